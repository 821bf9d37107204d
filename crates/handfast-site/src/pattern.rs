//! Patterns of paths, and targets with their matches.
//!
//! A pattern is matched segment by segment. `*` stands for anything within a segment; `**`, a segment of its own, for any
//! number of segments, also none. There is at most one `**`, and the literal pieces between `*` are looked for from left to
//! right, so the time is linear in the length of the path.

use std::fmt;

use handfast_files::encode_segment;
use http::Uri;

use crate::path::{self, Path};

/// What is wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternProblem {
    /// It does not begin with a slash.
    NoSlash,
    /// It has an empty segment, `.` or `..`: no path is matched by it.
    NeverMatches,
    /// A `%` is not followed by two hexadecimal digits, or stands for a slash or NUL.
    Encoding,
    /// `**` is not a segment of its own.
    MixedRest,
    /// There is more than one `**`.
    SecondRest,
    /// It is longer than 1024 bytes.
    TooLong,
}

impl fmt::Display for PatternProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "it does not begin with /",
            Self::NeverMatches => "it has an empty segment, . or .., which no path has",
            Self::Encoding => {
                "a % is not followed by two hexadecimal digits of a character that names may have"
            }
            Self::MixedRest => "** is not alone between two slashes",
            Self::SecondRest => "it has more than one **",
            Self::TooLong => "it is longer than 1024 bytes",
        })
    }
}

/// Longer than any path that a person writes.
const BYTES_MAX: usize = 1024;

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    before: Vec<Segment>,
    /// What follows `**`, if there is one.
    after: Option<Vec<Segment>>,
    /// Does it end with a slash?
    directory: bool,
}

/// Literal pieces, with `*` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment(Vec<Vec<u8>>);

/// What a wildcard stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capture<'p> {
    Part(&'p [u8]),
    /// Segments, and whether a slash follows the last.
    Rest(&'p [Vec<u8>], bool),
}

impl Capture<'_> {
    /// In a URL. A part has no slash, and none is empty between two of a rest.
    fn encoded(&self) -> String {
        match self {
            Self::Part(part) => encode_segment(part),
            Self::Rest(names, slash) => {
                let mut text = path::join(names);
                if *slash && !names.is_empty() {
                    text.push('/');
                }
                text
            }
        }
    }
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternProblem> {
        if text.len() > BYTES_MAX {
            return Err(PatternProblem::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(PatternProblem::NoSlash)?;
        let (rest, directory) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, rest.is_empty()),
        };
        let mut before = Vec::new();
        let mut after: Option<Vec<Segment>> = None;
        if !rest.is_empty() {
            for segment in rest.split('/') {
                if segment == "**" {
                    if after.replace(Vec::new()).is_some() {
                        return Err(PatternProblem::SecondRest);
                    }
                    continue;
                }
                let segment = Segment::parse(segment)?;
                match &mut after {
                    Some(after) => after.push(segment),
                    None => before.push(segment),
                }
            }
        } else if text == "//" {
            return Err(PatternProblem::NeverMatches);
        }
        Ok(Self {
            before,
            after,
            directory,
        })
    }

    /// How many wildcards it has.
    pub(crate) fn wildcards(&self) -> usize {
        let stars = |segments: &[Segment]| -> usize {
            segments.iter().map(|segment| segment.0.len() - 1).sum()
        };
        stars(&self.before) + self.after.as_ref().map_or(0, |after| 1 + stars(after))
    }

    pub(crate) fn matches(&self, path: &Path) -> bool {
        self.find(path, None)
    }

    /// What the wildcards stand for, if it matches.
    pub(crate) fn captures<'p>(&self, path: &'p Path) -> Option<Vec<Capture<'p>>> {
        let mut captures = Vec::with_capacity(self.wildcards());
        self.find(path, Some(&mut captures)).then_some(captures)
    }

    fn find<'p>(&self, path: &'p Path, mut captures: Option<&mut Vec<Capture<'p>>>) -> bool {
        let ends_with_rest = self.after.as_ref().is_some_and(Vec::is_empty);
        if self.directory != path.directory && (!ends_with_rest || self.directory) {
            return false;
        }
        let names = &path.segments;
        let after = self.after.as_deref().unwrap_or_default();
        let rest = match names.len().checked_sub(self.before.len() + after.len()) {
            Some(rest) if rest == 0 || self.after.is_some() => rest,
            _ => return false,
        };
        let (front, others) = names.split_at(self.before.len());
        let (middle, back) = others.split_at(rest);
        if !all_match(&self.before, front, captures.as_deref_mut()) {
            return false;
        }
        if let (Some(captures), Some(_)) = (&mut captures, &self.after) {
            captures.push(Capture::Rest(middle, ends_with_rest && path.directory));
        }
        all_match(after, back, captures)
    }

    /// Does it match the path, or a directory above it?
    pub(crate) fn covers(&self, path: &Path) -> bool {
        let names = &path.segments;
        let Some((front, others)) = names.split_at_checked(self.before.len()) else {
            return false;
        };
        if !all_match(&self.before, front, None) {
            return false;
        }
        match self.after.as_deref() {
            None | Some([]) => true,
            Some(after) => others
                .windows(after.len())
                .any(|window| all_match(after, window, None)),
        }
    }

    /// For paths that are [folded](Path::folded).
    pub(crate) fn folded(&self) -> Self {
        let lower = |segments: &[Segment]| -> Vec<Segment> {
            let pieces = |segment: &Segment| {
                Segment(segment.0.iter().map(|piece| path::fold(piece)).collect())
            };
            segments.iter().map(pieces).collect()
        };
        Self {
            before: lower(&self.before),
            after: self.after.as_deref().map(lower),
            directory: self.directory,
        }
    }
}

/// As many segments as names.
fn all_match<'p>(
    segments: &[Segment],
    names: &'p [Vec<u8>],
    mut captures: Option<&mut Vec<Capture<'p>>>,
) -> bool {
    segments
        .iter()
        .zip(names)
        .all(|(segment, name)| segment.matches(name, captures.as_deref_mut()))
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternProblem> {
        if text.contains("**") {
            return Err(PatternProblem::MixedRest);
        }
        if text.is_empty() {
            return Err(PatternProblem::NeverMatches);
        }
        text.split('*')
            .map(|piece| match path::decode(piece) {
                Ok(name) => Ok(name),
                // A dot beside a wildcard is a part of a name.
                Err(path::PathProblem::Unresolved) if text.contains('*') => {
                    Ok(piece.as_bytes().to_vec())
                }
                Err(path::PathProblem::Unresolved) => Err(PatternProblem::NeverMatches),
                Err(path::PathProblem::Malformed) => Err(PatternProblem::Encoding),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn matches<'p>(&self, name: &'p [u8], mut captures: Option<&mut Vec<Capture<'p>>>) -> bool {
        let [first, others @ ..] = self.0.as_slice() else {
            return false;
        };
        let Some(mut rest) = name.strip_prefix(first.as_slice()) else {
            return false;
        };
        let [between @ .., last] = others else {
            return rest.is_empty();
        };
        for piece in between {
            let Some(at) = memchr::memmem::find(rest, piece) else {
                return false;
            };
            let (part, found) = rest.split_at(at);
            if let Some(captures) = &mut captures {
                captures.push(Capture::Part(part));
            }
            rest = found.get(piece.len()..).unwrap_or_default();
        }
        let Some(part) = rest.strip_suffix(last.as_slice()) else {
            return false;
        };
        if let Some(captures) = &mut captures {
            captures.push(Capture::Part(part));
        }
        true
    }
}

/// What is wrong with the target of a redirect or a rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetProblem {
    /// It is neither a path that begins with one slash nor, of a redirect, a URL with `https://` or `http://` and a host.
    NoTarget,
    /// A `$` is not followed by the number of a wildcard in the pattern; `$$` stands for one `$`.
    NoWildcard,
    /// A wildcard stands where the host or port would be.
    InAuthority,
    /// It has characters that a URL does not have.
    Characters,
}

impl fmt::Display for TargetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTarget => {
                "it is not a path that begins with one /, or a URL with https:// and a host"
            }
            Self::NoWildcard => {
                "a $ is not followed by the number of a wildcard in the pattern ($$ stands for $)"
            }
            Self::InAuthority => "a wildcard must not stand for the host",
            Self::Characters => "it has characters that must be percent-encoded in a URL",
        })
    }
}

/// Where a redirect or a rewrite leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `https://host`, or nothing.
    origin: String,
    pieces: Vec<Piece>,
    /// The target has a query: the request's is not appended.
    has_query: bool,
    /// With its `#`.
    fragment: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// By its index.
    Wildcard(usize),
}

impl Target {
    /// A path of this site or, for a redirect, also a URL.
    pub(crate) fn parse(
        text: &str,
        pattern: &Pattern,
        allow_url: bool,
    ) -> Result<Self, TargetProblem> {
        let is_plain = |byte: u8| {
            matches!(byte, b'!'..=b'~')
                && !matches!(
                    byte,
                    b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
                )
        };
        if !text.bytes().all(is_plain) {
            return Err(TargetProblem::Characters);
        }
        let (text, fragment) = match text.split_once('#') {
            Some((text, fragment)) => (text, format!("#{fragment}")),
            None => (text, String::new()),
        };
        if fragment.contains('$') || fragment.matches('#').count() > 1 {
            return Err(TargetProblem::Characters);
        }
        let (origin, rest) = split_origin(text, allow_url)?;
        if !rest.starts_with('/') || rest.starts_with("//") {
            return Err(TargetProblem::NoTarget);
        }
        let pieces = pieces(&rest, pattern.wildcards())?;
        let has_query = rest.contains('?');
        let target = Self {
            origin,
            pieces,
            has_query,
            fragment,
        };
        let sample = vec![Capture::Part(b"x"); pattern.wildcards()];
        target
            .expand(&sample, None)
            .parse::<Uri>()
            .map_err(|_| TargetProblem::Characters)?;
        Ok(target)
    }

    /// Is it a path of this site?
    pub(crate) fn is_local(&self) -> bool {
        self.origin.is_empty()
    }

    /// The URL. A path of it begins with one slash.
    pub(crate) fn expand(&self, captures: &[Capture<'_>], query: Option<&str>) -> String {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Wildcard(at) => {
                    let text = captures.get(*at).map(Capture::encoded).unwrap_or_default();
                    path.push_str(&text);
                }
            }
        }
        let mut url = self.origin.clone();
        url.push('/');
        // "//host" would lead to another host.
        url.push_str(path.trim_start_matches('/'));
        if let Some(query) = query.filter(|_| !self.has_query) {
            url.push('?');
            url.push_str(query);
        }
        url.push_str(&self.fragment);
        url
    }
}

/// The origin of a URL, and the rest, which begins with a slash.
fn split_origin(text: &str, allow_url: bool) -> Result<(String, String), TargetProblem> {
    let Some(scheme) = ["https://", "http://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme) && allow_url)
    else {
        return Ok((String::new(), text.to_owned()));
    };
    let rest = text.get(scheme.len()..).unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('$') {
        return Err(TargetProblem::InAuthority);
    }
    let has_host = authority
        .parse::<http::uri::Authority>()
        .is_ok_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    if !has_host {
        return Err(TargetProblem::NoTarget);
    }
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok((format!("{scheme}{authority}"), path))
}

fn pieces(text: &str, wildcards: usize) -> Result<Vec<Piece>, TargetProblem> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char != '$' {
            plain.push(char);
            continue;
        }
        match rest.next() {
            Some('$') => plain.push('$'),
            Some(digit) => {
                let number = digit.to_digit(10).ok_or(TargetProblem::NoWildcard)? as usize;
                if number == 0 || number > wildcards {
                    return Err(TargetProblem::NoWildcard);
                }
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Wildcard(number - 1));
            }
            None => return Err(TargetProblem::NoWildcard),
        }
    }
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn patterns_match_segment_by_segment() {
        for (pattern, matched, others) in [
            ("/", &["/", "//"][..], &["/a", "/a/"][..]),
            (
                "/a",
                &["/a", "//a", "/%61"],
                &["/", "/a/", "/a/b", "/A", "/ab"],
            ),
            ("/a/", &["/a/"], &["/a", "/a/b/"]),
            ("/*", &["/a", "/.x"], &["/", "/a/", "/a/b"]),
            ("/a/*/c", &["/a/b/c"], &["/a/c", "/a//c", "/a/b/x/c"]),
            (
                "/*.js",
                &["/a.js", "/.js", "/a.b.js"],
                &["/a.jsx", "/x/a.js"],
            ),
            (
                "/a*b*c",
                &["/abc", "/aXbYc", "/abbcc"],
                &["/ab", "/acb", "/abcd"],
            ),
            ("/**", &["/", "/a", "/a/b/"], &[]),
            (
                "/a/**",
                &["/a", "/a/", "/a/b", "/a/b/c/"],
                &["/", "/ab", "/b/a"],
            ),
            (
                "/**/*.js",
                &["/a.js", "/x/y/a.js"],
                &["/a.css", "/a.js/", "/a.js/b"],
            ),
            ("/a/**/z", &["/a/z", "/a/b/c/z"], &["/a", "/z", "/a/z/b"]),
            ("/**/", &["/", "/a/"], &["/a"]),
            ("/%2A", &["/*"], &["/a"]),
            ("/a%20b", &["/a%20b", "/a b"], &["/ab"]),
            ("/ü", &["/%C3%BC"], &["/u"]),
            ("/..*", &["/..a"], &["/.a"]),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            for text in matched {
                assert!(parsed.matches(&path(text)), "{pattern} {text}");
                assert!(parsed.covers(&path(text)), "{pattern} {text}");
            }
            for text in others {
                assert!(!parsed.matches(&path(text)), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_pattern_covers_what_is_beneath() {
        for (pattern, covered, others) in [
            (
                "/a",
                &["/a", "/a/", "/a/b", "/a/b/c/"][..],
                &["/", "/ab", "/b/a"][..],
            ),
            ("/", &["/", "/a"], &[]),
            ("/a/*", &["/a/b", "/a/b/c"], &["/a", "/a/"]),
            ("/**/secret", &["/secret", "/a/secret/b"], &["/a/secrets"]),
            (
                "/a/**/b/*.x",
                &["/a/b/1.x/y", "/a/c/b/1.x"],
                &["/b/1.x", "/a/b/1.y"],
            ),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            for text in covered {
                assert!(parsed.covers(&path(text)), "{pattern} {text}");
            }
            for text in others {
                assert!(!parsed.covers(&path(text)), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        use PatternProblem as P;
        for (text, expected) in [
            ("", P::NoSlash),
            ("a", P::NoSlash),
            ("//", P::NeverMatches),
            ("/a//b", P::NeverMatches),
            ("/../a", P::NeverMatches),
            ("/a/%2e", P::NeverMatches),
            ("/a%2fb", P::Encoding),
            ("/a%", P::Encoding),
            ("/a**", P::MixedRest),
            ("/***", P::MixedRest),
            ("/**/**", P::SecondRest),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), expected, "{text}");
        }
        assert_eq!(
            Pattern::parse(&format!("/{}", "a".repeat(BYTES_MAX))),
            Err(P::TooLong)
        );
    }

    #[test]
    fn targets_are_made_of_what_was_matched() {
        for (pattern, target, request, query, expected) in [
            ("/old", "/new", "/old", None, "/new"),
            ("/old", "/new", "/old", Some("a=b"), "/new?a=b"),
            ("/old", "/new?x", "/old", Some("a=b"), "/new?x"),
            ("/old", "/new#part", "/old", Some("a=b"), "/new?a=b#part"),
            ("/a/**", "/b/$1", "/a/x/y/", None, "/b/x/y/"),
            ("/a/**", "/b/$1", "/a", None, "/b/"),
            (
                "/*/**/*.html",
                "/$3-$1/$2",
                "/a/b/c/d.html",
                None,
                "/d-a/b/c",
            ),
            (
                "/a/**",
                "https://b.example/$1",
                "/a/x",
                Some("q"),
                "https://b.example/x?q",
            ),
            ("/a", "https://b.example", "/a", None, "https://b.example/"),
            (
                "/a",
                "http://b.example:8080?x",
                "/a",
                None,
                "http://b.example:8080/?x",
            ),
            ("/$", "/$$5", "/$", None, "/$5"),
            // Nothing that is matched leads to another host, or ends the path.
            (
                "/go/**",
                "/$1",
                "/go//evil.example/x",
                None,
                "/evil.example/x",
            ),
            ("/a*/**", "/$1/$2", "/a/evil.example", None, "/evil.example"),
            (
                "/go/*",
                "/$1",
                "/go/%5Cevil.example",
                None,
                "/%5Cevil.example",
            ),
            (
                "/go/*",
                "/x/$1",
                "/go/a%3Fb%23c%0D%0A",
                None,
                "/x/a%3Fb%23c%0D%0A",
            ),
            (
                "/go/*",
                "https://b.example/$1",
                "/go/@evil.example",
                None,
                "https://b.example/%40evil.example",
            ),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let target = Target::parse(target, &pattern, true).unwrap();
            let path = path(request);
            let captures = pattern.captures(&path).unwrap();
            assert_eq!(target.expand(&captures, query), expected, "{request}");
        }
    }

    #[test]
    fn targets_that_lead_astray_are_refused() {
        use TargetProblem as P;
        let pattern = Pattern::parse("/*/**").unwrap();
        for (text, url, expected) in [
            ("", true, P::NoTarget),
            ("b", true, P::NoTarget),
            ("//evil.example", true, P::NoTarget),
            ("/\\evil.example", true, P::Characters),
            ("javascript:alert(1)", true, P::NoTarget),
            ("https://", true, P::NoTarget),
            ("https:///x", true, P::NoTarget),
            ("https://user@b.example/", true, P::NoTarget),
            ("https://$1/", true, P::InAuthority),
            ("https://b.example$1", true, P::InAuthority),
            ("https://b.example/", false, P::NoTarget),
            ("/$3", true, P::NoWildcard),
            ("/$0", true, P::NoWildcard),
            ("/$", true, P::NoWildcard),
            ("/$x", true, P::NoWildcard),
            ("/a b", true, P::Characters),
            ("/ü", true, P::Characters),
            ("/a#$1", true, P::Characters),
        ] {
            assert_eq!(Target::parse(text, &pattern, url), Err(expected), "{text}");
        }
    }

    #[test]
    fn matching_does_not_try_all_ways() {
        let pattern = Pattern::parse(&format!("/**/{}b", "*a".repeat(400))).unwrap();
        let long = path(&format!("/{}", "a".repeat(30_000)));
        // Trying all ways would never end.
        assert!(!pattern.matches(&long));
    }

    /// All ways, as a check of the one that is taken.
    fn glob(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| glob(rest, &name[at..])),
            Some((byte, rest)) => name.first() == Some(byte) && glob(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_segment_matches_as_all_ways_would(pattern in "[ab]{0,3}(\\*[ab]{1,3}){0,3}\\*?", name in "[ab]{1,12}") {
            prop_assume!(!pattern.is_empty());
            let parsed = Pattern::parse(&format!("/{pattern}")).unwrap();
            let path = path(&format!("/{name}"));
            prop_assert_eq!(parsed.matches(&path), glob(pattern.as_bytes(), name.as_bytes()));
            // What the wildcards stand for, put in their places, is the name.
            if let Some(captures) = parsed.captures(&path) {
                let mut target = String::new();
                let mut number = 0;
                for char in pattern.chars() {
                    if char == '*' {
                        number += 1;
                        target.push_str(&format!("${number}"));
                    } else {
                        target.push(char);
                    }
                }
                let target = Target::parse(&format!("/{target}"), &parsed, false).unwrap();
                prop_assert_eq!(target.expand(&captures, None), format!("/{name}"));
            }
        }

        #[test]
        fn no_pattern_and_no_path_panics(pattern in "(/|\\*|[a.%]|\\PC){0,20}", text in "(/|[a.%]|\\PC){0,20}") {
            if let (Ok(pattern), Ok(path)) = (Pattern::parse(&pattern), Path::parse(&format!("/{text}"))) {
                let matches = pattern.matches(&path);
                prop_assert_eq!(matches, pattern.captures(&path).is_some());
                prop_assert!(!matches || pattern.covers(&path));
            }
        }

        /// Whatever is matched, a redirect to a path of this site stays on this site.
        #[test]
        fn no_redirect_is_open(target in "/?(/|\\$1|\\$2|a|\\?){0,8}", text in "(/|\\\\|%5c|%2e|@|:|[ab]){0,12}") {
            let pattern = Pattern::parse("/*/**").unwrap();
            if let (Ok(target), Ok(path)) = (Target::parse(&target, &pattern, true), Path::parse(&format!("/{text}")))
                && let Some(captures) = pattern.captures(&path) {
                let url = target.expand(&captures, Some("q"));
                prop_assert!(url.starts_with('/'));
                prop_assert!(!url[1..].starts_with(['/', '\\']));
            }
        }
    }
}
