//! The path of a request, decoded once, as rules see it.
//!
//! Rules compare what names a file, not how a client spells it: `%70rivate`, `//private` and `private` are the same name
//! to the file system, so they are the same to rules.

use handfast_files::{Files, decode_segment, encode_segment};

/// Where names that differ in case are the same file.
pub(crate) const IGNORES_CASE: bool = cfg!(any(windows, target_os = "macos"));

/// A decoded path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// None is empty, `.` or `..`, and none has a slash or a NUL in it.
    pub(crate) segments: Vec<Vec<u8>>,
    /// Does it end with a slash?
    pub(crate) directory: bool,
}

/// Why a path names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathProblem {
    /// It cannot be decoded, or decodes to what no name contains.
    Malformed,
    /// It has `.` or `..` in it: clients resolve those before they ask (RFC 3986, section 5.2.4).
    Unresolved,
}

impl Path {
    pub(crate) fn parse(path: &str) -> Result<Self, PathProblem> {
        let rest = path.strip_prefix('/').ok_or(PathProblem::Malformed)?;
        let directory = rest.is_empty() || rest.ends_with('/');
        let segments = rest
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            segments,
            directory,
        })
    }

    /// What the client wrote, where that [names nothing](PathProblem): what cannot be decoded is a name as it stands, and so are `.` and
    /// `..`. For what holds beneath a path whether or not anything is there: guards and header fields.
    pub(crate) fn as_spelled(path: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        Self {
            segments: segments
                .map(|segment| decode(segment).unwrap_or_else(|_| segment.as_bytes().to_vec()))
                .collect(),
            directory: path.ends_with('/'),
        }
    }

    /// As the path of a URL. It begins with one slash, so that it cannot lead to another host.
    pub(crate) fn to_url(&self) -> String {
        let mut url = join(&self.segments);
        url.insert(0, '/');
        if self.directory && !self.segments.is_empty() {
            url.push('/');
        }
        url
    }

    /// Does the last name have an extension?
    pub(crate) fn has_extension(&self) -> bool {
        !self.directory
            && self
                .segments
                .last()
                .and_then(|name| name.get(1..))
                .is_some_and(|rest| rest.contains(&b'.'))
    }

    /// What this file holds in a content coding, by its name: `/a` for `/a.gz`.
    pub(crate) fn uncoded(&self) -> Option<Self> {
        let name = self.segments.last().filter(|_| !self.directory)?;
        let rest = Files::precompressed_suffixes().find_map(|suffix| {
            let (rest, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
            (end.eq_ignore_ascii_case(suffix.as_bytes()) && !rest.is_empty()).then_some(rest)
        })?;
        let mut uncoded = self.clone();
        *uncoded.segments.last_mut()? = rest.to_vec();
        Some(uncoded)
    }

    /// The files that may be sent in place of this one, in a content coding: `/a.gz` for `/a`. None of a directory.
    pub(crate) fn coded(&self) -> impl Iterator<Item = Self> {
        let name = self.segments.last().filter(|_| !self.directory);
        let suffixes = name
            .into_iter()
            .flat_map(|_| Files::precompressed_suffixes());
        suffixes.map(|suffix| {
            let mut coded = self.clone();
            if let Some(name) = coded.segments.last_mut() {
                name.extend_from_slice(suffix.as_bytes());
            }
            coded
        })
    }

    /// The file that a directory is served as, if it has this name.
    pub(crate) fn index(&self, name: &[u8]) -> Self {
        let mut index = self.clone();
        index.segments.push(name.to_vec());
        index.directory = false;
        index
    }

    /// In the one spelling that stands for all that differ in case, for file systems that ignore it.
    pub(crate) fn folded(&self) -> Self {
        Self {
            segments: self.segments.iter().map(|name| fold(name)).collect(),
            directory: self.directory,
        }
    }
}

/// A name without regard to case. By way of upper case, which brings together what only differs in lower case: `ſ` and `s`, `ß` and
/// `ss`.
pub(crate) fn fold(name: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(name)
        .chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .into_bytes()
}

/// Names as segments of a URL's path, with slashes between them.
pub(crate) fn join(names: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push('/');
        }
        text.push_str(&encode_segment(name));
    }
    text
}

/// Decodes one segment.
pub(crate) fn decode(segment: &str) -> Result<Vec<u8>, PathProblem> {
    let name = decode_segment(segment).ok_or(PathProblem::Malformed)?;
    if matches!(name.as_slice(), b"." | b"..") {
        return Err(PathProblem::Unresolved);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_a_path_are_the_same_path() {
        use PathProblem::{Malformed, Unresolved};
        for (path, expected) in [
            ("/", Ok("/")),
            ("//", Ok("/")),
            ("/a", Ok("/a")),
            ("//a///b//", Ok("/a/b/")),
            ("/%70rivate/x%20y", Ok("/private/x%20y")),
            ("/%5cevil", Ok("/%5Cevil")),
            ("/a/%2e%2e/b", Err(Unresolved)),
            ("/./a", Err(Unresolved)),
            ("/a%2fb", Err(Malformed)),
            ("/a%00", Err(Malformed)),
            ("/a%4", Err(Malformed)),
            ("*", Err(Malformed)),
            ("", Err(Malformed)),
        ] {
            let parsed = Path::parse(path).map(|path| path.to_url());
            assert_eq!(parsed, expected.map(str::to_owned), "{path}");
        }
    }

    #[test]
    fn a_path_that_names_nothing_has_the_names_that_are_written() {
        for (path, expected) in [
            ("/%61/../b/", &["a", "..", "b"][..]),
            ("/a%2fb//%zz", &["a%2fb", "%zz"]),
            ("*", &["*"]),
            ("", &[]),
        ] {
            assert!(Path::parse(path).is_err());
            let spelled = Path::as_spelled(path);
            let expected: Vec<_> = expected.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(spelled.segments, expected, "{path}");
            assert_eq!(spelled.directory, path.ends_with('/'));
        }
    }

    #[test]
    fn extensions_are_those_of_the_last_name() {
        for (path, expected) in [
            ("/a.js", true),
            ("/v1.2/a", false),
            ("/a", false),
            ("/.well-known", false),
            ("/a.b/", false),
            ("/", false),
            ("/a.", true),
        ] {
            assert_eq!(
                Path::parse(path).unwrap().has_extension(),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn names_that_differ_in_case_are_folded_to_one() {
        for (one, other) in [
            ("/Private/x", "/pRIVATE/X"),
            ("/\u{c9}t\u{e9}", "/\u{e9}T\u{c9}"),
            ("/secret", "/\u{17f}ecret"),
            ("/Stra\u{df}e", "/STRASSE"),
            ("/\u{212a}elvin", "/kelvin"),
            ("/\u{3c3}\u{3c2}", "/\u{3a3}\u{3a3}"),
        ] {
            let [one, other] = [one, other].map(|path| Path::parse(path).unwrap());
            assert_ne!(one, other);
            assert_eq!(one.folded(), other.folded(), "{one:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_leads_back_to_itself_and_to_no_other_host(
            path in "(/|[a.%\\\\]|%2[eEfF5]|%5[cC]|%00|\\PC)*"
        ) {
            if let Ok(parsed) = Path::parse(&path) {
                let url = parsed.to_url();
                prop_assert!(url.starts_with('/') && !url.starts_with("//") && !url.contains('\\'));
                prop_assert_eq!(Path::parse(&url), Ok(parsed));
            }
        }
    }
}
