//! The file name that a server proposes (`Content-Disposition`; RFC 6266), made safe to use.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_DISPOSITION;

/// The longest name, in bytes: every file system has room for it with an ending of ours.
const NAME_BYTES_MAX: usize = 240;

/// The name that these fields propose: `filename*` (RFC 8187), or else `filename`. What is left of it is one name in one
/// directory: without a path, without control characters, and not hidden.
pub(super) fn file_name(fields: &HeaderMap) -> Option<String> {
    let value = fields.get(CONTENT_DISPOSITION)?;
    let text = decoded(value.as_bytes());
    let (mut plain, mut extended) = (None, None);
    for (name, value) in parameters(&text) {
        // The first of each counts, as in browsers.
        if name.eq_ignore_ascii_case("filename*") {
            extended = extended.or_else(|| extended_value(&value));
        } else if name.eq_ignore_ascii_case("filename") {
            plain = plain.or(Some(value));
        }
    }
    let proposed = [extended, plain];
    proposed.into_iter().flatten().find_map(|name| safe(&name))
}

/// UTF-8, or else Latin-1, which HTTP once was.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// What comes behind the type: names and values, without the quotes.
fn parameters(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    // Some servers leave out the type.
    let mut rest = match text.split_once(';') {
        Some((first, rest)) if !first.contains('=') => rest,
        _ => text,
    };
    while let Some((name, behind)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ';']);
        let behind = behind.trim_start_matches([' ', '\t']);
        let value = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, behind) = unquoted(quoted);
                rest = behind;
                value
            }
            None => {
                let (value, behind) = behind.split_once(';').unwrap_or((behind, ""));
                rest = behind;
                value.trim_end_matches([' ', '\t']).to_owned()
            }
        };
        found.push((name, value));
    }
    found
}

/// A quoted string up to its end, and what comes behind it. A backslash takes the next character as it is only where that is
/// a quote or another backslash: servers put Windows' paths here.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match (char, chars.peek()) {
            ('"', _) => return (value, text.get(at + 1..).unwrap_or_default()),
            ('\\', Some((_, next @ ('"' | '\\')))) => {
                value.push(*next);
                chars.next();
            }
            _ => value.push(char),
        }
    }
    (value, "")
}

/// `CHARSET'LANGUAGE'PERCENT-ENCODED` (RFC 8187, section 3.2).
fn extended_value(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '\'');
    let (charset, _, value) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
    if charset.eq_ignore_ascii_case("utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// The longest ending of the names of parts, in bytes.
const OF_PARTS_BYTES_MAX: usize = ".part.state".len();

/// One name in one directory; `None` if nothing is left.
fn safe(proposed: &str) -> Option<String> {
    let name = proposed.rsplit(['/', '\\']).next()?;
    let mut name: String = name.chars().filter(|char| !is_harmful(*char)).collect();
    name.truncate(name.trim_end().len());
    let name = name.trim_start();
    if name.is_empty() || name.chars().all(|char| char == '.') {
        return None;
    }
    // A server must not choose the name of a hidden file: shells and programs read some of those.
    let name = match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name.to_owned(),
    };
    let mut name = shortened(name);
    // Nor that of what an earlier download left: the next one would go on with it.
    let ending = name.get(name.len().saturating_sub(OF_PARTS_BYTES_MAX)..);
    let ending = ending.unwrap_or(&name).to_ascii_lowercase();
    if ending.ends_with(".part") || ending.ends_with(".part.state") {
        name.push('_');
    }
    Some(name)
}

/// Control characters, those that turn the direction of text, and on Windows what no name has.
fn is_harmful(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || cfg!(windows) && r#"<>:"|?*"#.contains(char)
}

/// Not longer than allowed; the extension stays.
fn shortened(name: String) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    /// More is no extension.
    const EXTENSION_BYTES_MAX: usize = 20;
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= EXTENSION_BYTES_MAX => (stem, extension),
        _ => (name.as_str(), ""),
    };
    let room = NAME_BYTES_MAX - extension.len() - 1;
    let mut end = room.min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let stem = stem.get(..end).unwrap_or_default();
    match extension {
        "" => stem.to_owned(),
        _ => format!("{stem}.{extension}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn of(value: &[u8]) -> Option<String> {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_DISPOSITION, HeaderValue::from_bytes(value).ok()?);
        file_name(&fields)
    }

    #[test]
    fn names_are_those_of_rfc_6266() {
        for (value, expected) in [
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment; filename=\"a b;c.txt\"", Some("a b;c.txt")),
            ("inline;filename = a.txt ; x=y", Some("a.txt")),
            ("ATTACHMENT; FILENAME=a.txt", Some("a.txt")),
            ("filename=a.txt", Some("a.txt")),
            ("attachment; filename=\"a\\\"b\"", Some("a\"b")),
            ("attachment; filename=\"unfinished", Some("unfinished")),
            (
                "attachment; filename=\"EURO.txt\"; filename*=utf-8''%e2%82%ac.txt",
                Some("\u{20ac}.txt"),
            ),
            (
                "attachment; filename*=iso-8859-1'en'%A3.txt",
                Some("\u{a3}.txt"),
            ),
            ("attachment; filename*=utf-7''x; filename=y", Some("y")),
            ("attachment; filename*=utf-8''%ff; filename=y", Some("y")),
            ("attachment; filename*=utf-8''; filename=y", Some("y")),
            ("attachment; filename=one; filename=two", Some("one")),
            ("attachment", None),
            ("attachment; filename=", None),
            ("attachment; name=a.txt", None),
        ] {
            assert_eq!(of(value.as_bytes()).as_deref(), expected, "{value}");
        }
        assert_eq!(
            of(b"attachment; filename=\"caf\xe9\"").as_deref(),
            Some("caf\u{e9}")
        );
    }

    #[test]
    fn names_stay_in_the_directory_and_are_not_hidden() {
        for (value, expected) in [
            ("x; filename=\"/etc/passwd\"", Some("passwd")),
            ("x; filename=\"../../up\"", Some("up")),
            ("x; filename=\"C:\\\\dir\\\\a.txt\"", Some("a.txt")),
            ("x; filename=\"C:\\dir\\a.txt\"", Some("a.txt")),
            ("x; filename*=utf-8''..%2Fup", Some("up")),
            ("x; filename=\"..\"", None),
            ("x; filename=\".\"", None),
            ("x; filename=\"a/\"", None),
            ("x; filename=\".bashrc\"", Some("_bashrc")),
            ("x; filename=\"a.iso.part\"", Some("a.iso.part_")),
            (
                "x; filename=\"a.iso.Part.state\"",
                Some("a.iso.Part.state_"),
            ),
            ("x; filename=part", Some("part")),
            ("x; filename*=utf-8''a%0Ab%00c%1B", Some("abc")),
            ("x; filename*=utf-8''gpj%E2%80%AEexe", Some("gpjexe")),
        ] {
            assert_eq!(of(value.as_bytes()).as_deref(), expected, "{value}");
        }
        let long = format!("x; filename=\"{}.tar.gz\"", "n".repeat(400));
        let name = of(long.as_bytes()).unwrap();
        assert!(
            name.len() == NAME_BYTES_MAX && name.ends_with(".gz"),
            "{name}"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_proposed_is_one_name(value in prop::collection::vec(0x20_u8..=0xff, 0..300)) {
            if let Some(name) = of(&value) {
                prop_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
                prop_assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0']));
            }
        }
    }
}
