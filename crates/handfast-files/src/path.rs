//! From the path of a target URI to names beneath a directory (RFC 3986, section 3.3).
//!
//! Pure. Whatever passes here is a list of plain names: none empty, none `.` or `..`, none with a
//! slash or a NUL in it, none hidden.

use std::ffi::OsString;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What stands for itself in a path: the unreserved characters of RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Longer than any path that the system would open (`PATH_MAX`).
const BYTES_MAX: usize = 4096;

/// The one name with a dot in front that is meant for the public (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// A path that names something beneath a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    names: Vec<Vec<u8>>,
    directory: bool,
}

/// Why a path names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be decoded, or decodes to what no name contains.
    Malformed,
    /// It names what is not shown.
    NotFound,
}

impl Target {
    /// Decodes a path, once.
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        if path.len() > BYTES_MAX {
            return Err(Refusal::NotFound);
        }
        let rest = path.strip_prefix('/').ok_or(Refusal::Malformed)?;
        let mut names = Vec::new();
        let mut segments = rest.split('/').peekable();
        let mut directory = false;
        while let Some(segment) = segments.next() {
            // File systems know no empty names: "a//b" can only mean "a/b".
            if segment.is_empty() {
                directory = segments.peek().is_none();
                continue;
            }
            let name = decode_segment(segment).ok_or(Refusal::Malformed)?;
            check(&name, names.is_empty())?;
            names.push(name);
        }
        Ok(Self { names, directory })
    }

    /// Does it end with a slash?
    pub(crate) fn is_directory(&self) -> bool {
        self.directory
    }

    /// Is it the directory served itself?
    pub(crate) fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// An entry of the directory that this names.
    pub(crate) fn entry(&self, name: &[u8]) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_vec());
        Self {
            names,
            directory: false,
        }
    }

    /// A name beside this one: the same with a suffix.
    pub(crate) fn beside(&self, suffix: &str) -> Self {
        let mut it = self.clone();
        if let Some(name) = it.names.last_mut() {
            name.extend_from_slice(suffix.as_bytes());
        }
        it
    }

    /// The last name, of which the type of the content is told.
    pub(crate) fn name(&self) -> &[u8] {
        self.names.last().map_or(b"", Vec::as_slice)
    }

    /// The names, from the served directory downwards.
    pub(crate) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// As a path relative to the served directory; `.` for that itself. `None` where the system's
    /// names cannot be such bytes.
    // Other Unix systems open one name after the other.
    #[cfg_attr(all(unix, not(target_os = "linux")), allow(dead_code))]
    pub(crate) fn relative(&self) -> Option<OsString> {
        if self.names.is_empty() {
            return Some(".".into());
        }
        os_string(self.names.join(&b'/'))
    }

    /// As the path of a URL, without a slash at the end.
    pub(crate) fn url_path(&self) -> String {
        let mut path = String::new();
        for name in &self.names {
            path.push('/');
            path.push_str(&encode_segment(name));
        }
        path
    }
}

/// A name as a segment of a URL's path: everything but unreserved characters (RFC 3986, section 2.3) is percent-encoded.
pub fn encode_segment(name: &[u8]) -> String {
    percent_encode(name, ENCODED).to_string()
}

/// The name that a segment of a URL's path stands for, decoded once; `None` for a `%` without two digits, and for what is in no name: a
/// slash, NUL.
pub fn decode_segment(segment: &str) -> Option<Vec<u8>> {
    let bytes = segment.as_bytes();
    // `percent_decode` lets a stray `%` pass; a path that is wrong must not become another one.
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    let name: Vec<u8> = percent_decode(bytes).collect();
    // An encoded slash is part of a name, and no file has it in its name.
    (!name.iter().any(|byte| matches!(byte, 0 | b'/'))).then_some(name)
}

/// May a name be shown, at the top of the served directory or further down?
pub(crate) fn is_hidden(name: &[u8], top: bool) -> bool {
    name.first() == Some(&b'.') && !(top && name == WELL_KNOWN)
}

fn check(name: &[u8], top: bool) -> Result<(), Refusal> {
    if cfg!(windows) && is_alias_on_windows(name) {
        return Err(Refusal::NotFound);
    }
    // `.` and `..` among them: clients resolve those before they ask (RFC 3986, section 5.2.4).
    if is_hidden(name, top) {
        return Err(Refusal::NotFound);
    }
    Ok(())
}

/// May Windows take a name for that of another file, which is hidden or guarded? Backslashes separate names there, what follows a colon
/// is a stream of a file, dots and spaces at the end are ignored, and `GIT~1` is the short name (8.3) of `.git`.
fn is_alias_on_windows(name: &[u8]) -> bool {
    let is_short = || {
        let (base, extension) = match memchr::memchr(b'.', name) {
            Some(at) => (name.get(..at), name.get(at + 1..)),
            None => (Some(name), None),
        };
        let base = base.unwrap_or_default();
        let digits = base.rsplit(|byte| *byte == b'~').next();
        let is_number = |digits: &[u8]| {
            !digits.is_empty() && digits.len() < base.len() && digits.iter().all(u8::is_ascii_digit)
        };
        base.len() <= 8
            && extension.is_none_or(|extension| extension.len() <= 3)
            && digits.is_some_and(is_number)
    };
    name.iter().any(|byte| matches!(byte, b'\\' | b':'))
        || matches!(name.last(), Some(b'.' | b' '))
        || is_short()
}

#[cfg(unix)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_decoded_once_and_refused_when_they_name_nothing() {
        use Refusal::{Malformed, NotFound};
        type Expected = Result<(&'static str, bool), Refusal>;
        let cases: &[(&str, Expected)] = &[
            ("/", Ok((".", true))),
            ("/a", Ok(("a", false))),
            ("/a/", Ok(("a", true))),
            ("/a/b%20c.txt", Ok(("a/b c.txt", false))),
            // Once: what comes out is not decoded again.
            ("/%252e%252e/x", Ok(("%2e%2e/x", false))),
            ("/%5C%5Cevil/", Ok(("\\\\evil", true))),
            ("/a+b", Ok(("a+b", false))),
            ("/.well-known/acme", Ok((".well-known/acme", false))),
            ("", Err(Malformed)),
            ("*", Err(Malformed)),
            ("a", Err(Malformed)),
            ("/%", Err(Malformed)),
            ("/%4", Err(Malformed)),
            ("/%zz", Err(Malformed)),
            ("/%+1", Err(Malformed)),
            ("/a%00.txt", Err(Malformed)),
            ("/a%2fb", Err(Malformed)),
            ("/..%2f..%2fetc/passwd", Err(Malformed)),
            ("/../etc/passwd", Err(NotFound)),
            ("/a/../b", Err(NotFound)),
            ("/%2e%2e/etc/passwd", Err(NotFound)),
            ("/a/..", Err(NotFound)),
            ("/./a", Err(NotFound)),
            ("//", Ok((".", true))),
            ("//a", Ok(("a", false))),
            ("//evil.example/", Ok(("evil.example", true))),
            ("/a//b", Ok(("a/b", false))),
            ("/a///", Ok(("a", true))),
            ("//../a", Err(NotFound)),
            ("//.git/config", Err(NotFound)),
            ("/a//.well-known/x", Err(NotFound)),
            ("/.git/config", Err(NotFound)),
            ("/a/.env", Err(NotFound)),
            ("/%2egit/config", Err(NotFound)),
            ("/a/.well-known/x", Err(NotFound)),
            ("/.well-known-not", Err(NotFound)),
        ];
        for (path, expected) in cases {
            let parsed = Target::parse(path);
            let expected = expected.map(|(relative, directory)| (relative.into(), directory));
            let parsed = parsed.map(|target| (target.relative().unwrap(), target.is_directory()));
            assert_eq!(parsed, expected, "{path}");
        }
    }

    #[test]
    fn names_that_windows_takes_for_others_are_known() {
        for (name, expected) in [
            ("index.html", false),
            ("GIT~1", true),
            ("htacce~1", true),
            ("PASSWO~2.TXT", true),
            ("ab~12.c", true),
            ("~1", true),
            ("a~b", false),
            ("a~", false),
            ("a~1b", false),
            ("12345678.txt", false),
            ("report~1.html", false),
            ("long-name~1.txt", false),
            ("archive.tar~1.gz", false),
            (".git.", true),
            (".git ", true),
            ("a::$DATA", true),
            ("a\\b", true),
            ("a.b.c", false),
        ] {
            assert_eq!(is_alias_on_windows(name.as_bytes()), expected, "{name}");
        }
    }

    proptest! {
        /// Whatever is sent, what passes stays beneath and leads back to itself.
        #[test]
        fn no_path_leads_out(path in "(/|[a.%\\\\]|%2[eEfF5]|%5[cC]|%00|\\PC)*") {
            if let Ok(target) = Target::parse(&path) {
                for (depth, name) in target.names().iter().enumerate() {
                    prop_assert!(!name.is_empty() && !name.contains(&b'/') && !name.contains(&0));
                    prop_assert!(name != b"." && name != b"..");
                    prop_assert!(!is_hidden(name, depth == 0));
                }
                let url = target.url_path();
                prop_assert!(!url.starts_with("//") && !url.contains('\\'));
                let mut again = url;
                if target.is_directory() {
                    again.push('/');
                }
                prop_assert_eq!(Target::parse(&again), Ok(target));
            }
        }
    }
}
