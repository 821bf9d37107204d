//! Names under which files may be stored.

use std::fmt;

/// What file systems take at most, in bytes.
const BYTES_MAX: usize = 255;

/// Why a name is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameProblem {
    Empty,
    TooLong,
    Hidden,
    /// Not UTF-8, or with characters that cannot be seen or that change how others are seen.
    Characters,
    /// With a space at its begin or end.
    Spaces,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "The file has no name.",
            Self::TooLong => "The name of the file is longer than 255 bytes.",
            Self::Hidden => "The name of the file begins with a dot.",
            Self::Characters => "The name of the file has characters that are not accepted.",
            Self::Spaces => "The name of the file begins or ends with a space.",
        })
    }
}

/// A name that is stored as it is.
pub(crate) fn check(name: &[u8]) -> Result<&str, NameProblem> {
    let name = std::str::from_utf8(name).map_err(|_| NameProblem::Characters)?;
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    if name.len() > BYTES_MAX {
        return Err(NameProblem::TooLong);
    }
    // Among them `.`, `..` and our temporary files: what begins with a dot is never served.
    if name.starts_with('.') {
        return Err(NameProblem::Hidden);
    }
    if name.chars().any(is_refused) {
        return Err(NameProblem::Characters);
    }
    if name.trim() != name {
        return Err(NameProblem::Spaces);
    }
    Ok(name)
}

fn is_refused(char: char) -> bool {
    char.is_control()
        || matches!(char, '/' | '\\')
        // Marks of direction make "gpj.exe" of "exe.jpg".
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        // Nothing to see.
        || matches!(char, '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}')
}

/// The name of a file in a form: some clients send the path that it had.
pub(crate) fn last_of(file_name: &str) -> &str {
    file_name.rsplit(['/', '\\']).next().unwrap_or(file_name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_what_people_see() {
        use NameProblem as P;
        for (name, expected) in [
            ("a.txt", Ok("a.txt")),
            ("with space (1).txt", Ok("with space (1).txt")),
            ("Ünïcode-文件.pdf", Ok("Ünïcode-文件.pdf")),
            ("-rf", Ok("-rf")),
            ("a..b", Ok("a..b")),
            ("", Err(P::Empty)),
            (".", Err(P::Hidden)),
            ("..", Err(P::Hidden)),
            (".htaccess", Err(P::Hidden)),
            (".handfast-upload-1", Err(P::Hidden)),
            ("a/b", Err(P::Characters)),
            ("a\\b", Err(P::Characters)),
            ("a\0b", Err(P::Characters)),
            ("a\nb", Err(P::Characters)),
            ("a\u{7f}", Err(P::Characters)),
            ("a\u{9b}31m", Err(P::Characters)),
            ("cod.\u{202e}exe", Err(P::Characters)),
            (" a", Err(P::Spaces)),
            ("a ", Err(P::Spaces)),
        ] {
            assert_eq!(check(name.as_bytes()), expected, "{name:?}");
        }
        assert_eq!(check(&[b'a', 0xff]), Err(P::Characters));
        assert!(check("x".repeat(255).as_bytes()).is_ok());
        assert_eq!(check("x".repeat(256).as_bytes()), Err(P::TooLong));
        assert_eq!(last_of("C:\\fakepath\\a.txt"), "a.txt");
        assert_eq!(last_of("/etc/passwd"), "passwd");
    }

    proptest! {
        #[test]
        fn no_name_leads_elsewhere(name in "(\\.|/|\\\\|\\PC|[\\x00-\\x1f]){0,12}") {
            if let Ok(name) = check(last_of(&name).as_bytes()) {
                prop_assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
            }
        }
    }
}
