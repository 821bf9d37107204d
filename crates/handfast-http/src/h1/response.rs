//! Parsing response heads (RFC 9112, section 4), with the framing of the body.

use std::borrow::Cow;
use std::fmt;
use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

use super::{Facts, Framing, blank, end_of_head};

/// Fields that are parsed on the stack; more of them need memory from the heap.
const FIELDS_ON_STACK: usize = 100;

/// How much of a malformed line is quoted, in bytes.
const QUOTE_MAX: usize = 60;

/// A response head.
#[derive(Debug)]
#[non_exhaustive]
pub struct Head {
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    /// Its status. Below 200, it is an interim response, and another head follows.
    pub status: StatusCode,
    /// Its header fields. Folded ones are unfolded (RFC 9112, section 5.2).
    pub fields: HeaderMap,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether the connection can be used again. Not after a body that ends with the connection, and not after
    /// a message with ambiguous framing.
    pub persistent: bool,
    /// It has both a length and chunks; the chunks take precedence (RFC 9112, section 6.3).
    pub length_and_chunks: bool,
}

/// The bounds on a head.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its bytes.
    pub bytes_max: usize,
    /// Its fields.
    pub fields_max: usize,
}

/// The received bytes are not a valid response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed {
    /// The problem.
    pub what: Cow<'static, str>,
    /// The first 60 bytes of the malformed line, if the problem is in one line.
    pub line: Option<Vec<u8>>,
}

impl Malformed {
    fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            what: what.into(),
            line: None,
        }
    }

    fn at(what: &'static str, line: &[u8]) -> Self {
        let shown = line.get(..QUOTE_MAX).unwrap_or(line);
        Self {
            what: what.into(),
            line: Some(shown.to_vec()),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.line {
            Some(line) => write!(f, ": \"{}\"", line.escape_ascii()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Malformed {}

/// Looks for the head of a response to a request with the method `to` at the front of the received bytes;
/// `None` if it is incomplete. The first `seen` bytes were searched before. Returns the head and its length in
/// bytes.
///
/// # Errors
/// [`Malformed`]; the bytes that follow cannot be parsed then.
pub fn find(
    received: &[u8],
    seen: usize,
    bounds: Bounds,
    to: &Method,
) -> Option<Result<(Head, usize), Malformed>> {
    let blank = blank(received);
    // Fail early instead of waiting for more of what cannot become a response.
    if let Some(malformed) = refuse_early(received.get(blank..)?) {
        return Some(Err(malformed));
    }
    let end = match end_of_head(received, seen, blank) {
        Some(end) if end <= bounds.bytes_max => end,
        None if received.len() <= bounds.bytes_max => return None,
        _ => {
            let what = format!("a response head of more than {} bytes", bounds.bytes_max);
            return Some(Err(Malformed::new(what)));
        }
    };
    let head = Bytes::copy_from_slice(received.get(blank..end)?);
    Some(parse(&head, bounds.fields_max, to).map(|head| (head, end)))
}

/// An error if these bytes cannot be the beginning of a response.
fn refuse_early(bytes: &[u8]) -> Option<Malformed> {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let common = bytes.len().min(BEGINNING.len());
    if bytes.get(..common) == BEGINNING.get(..common) {
        return None;
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    Some(Malformed::at(
        "not a status line of HTTP/1",
        line.trim_ascii_end(),
    ))
}

/// A head without its fields.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Brief {
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    /// Its status.
    pub status: StatusCode,
    /// The fields that concern framing and connection.
    pub facts: Facts,
    /// Its length, in bytes.
    pub length: usize,
}

/// Parses the head at the front of `bytes` and calls `each` for every field, without allocating for at most
/// 100 fields; `None` if it is incomplete.
///
/// # Errors
/// [`Malformed`], as [`find`].
pub fn cut(
    bytes: &[u8],
    fields_max: usize,
    mut each: impl FnMut(&str, &[u8]) -> Result<(), Malformed>,
) -> Result<Option<Brief>, Malformed> {
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let room: &mut [MaybeUninit<httparse::Header<'_>>] = if fields_max <= FIELDS_ON_STACK {
        on_stack.get_mut(..fields_max).unwrap_or_default()
    } else {
        on_heap.resize_with(fields_max, MaybeUninit::uninit);
        &mut on_heap
    };
    let mut head = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let length = match config.parse_response_with_uninit_headers(&mut head, bytes, room) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(explain(error, bytes, fields_max)),
    };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    let Some(status) = status else {
        return Err(explain(httparse::Error::Status, bytes, fields_max));
    };
    let mut facts = Facts::default();
    for field in head.headers.iter() {
        facts.note(field.name, field.value);
        each(field.name, field.value)?;
    }
    Ok(Some(Brief {
        version: match head.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        },
        status,
        facts,
        length,
    }))
}

fn parse(head: &Bytes, fields_max: usize, to: &Method) -> Result<Head, Malformed> {
    let mut fields = HeaderMap::new();
    let cut = cut(head, fields_max, |name, value| {
        let bad = || Malformed::at("a malformed header field", name.as_bytes());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let value = match memchr::memchr(b'\n', value) {
            Some(_) => HeaderValue::from_maybe_shared(Bytes::from(unfold(value))),
            None => HeaderValue::from_maybe_shared(head.slice_ref(value)),
        };
        fields.append(name, value.map_err(|_| bad())?);
        Ok(())
    })?;
    let Some(brief) = cut else {
        return Err(explain(httparse::Error::NewLine, head, fields_max));
    };
    let framing = brief.facts.of_response(to, brief.status);
    let framing = framing.map_err(|fault| Malformed::new(fault.what()))?;
    let length_and_chunks = framing == Framing::Chunked && brief.facts.has_length_and_coding();
    Ok(Head {
        version: brief.version,
        status: brief.status,
        fields,
        persistent: brief.facts.persistent(brief.version)
            && framing != Framing::UntilClose
            && !brief.facts.has_length_and_coding(),
        framing,
        length_and_chunks,
    })
}

/// A folded value on one line: each fold becomes a space (RFC 9112, section 5.2).
fn unfold(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|byte| *byte == b'\n');
    let lines: Vec<_> = lines.map(<[u8]>::trim_ascii).collect();
    lines.join(&b' ')
}

/// Converts httparse's error, with the line that caused it.
fn explain(error: httparse::Error, head: &[u8], fields_max: usize) -> Malformed {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip_while(|line| line.is_empty());
    let first = lines.next().unwrap_or_default();
    match error {
        httparse::Error::TooManyHeaders => {
            Malformed::new(format!("more than {fields_max} header fields"))
        }
        httparse::Error::Version => Malformed::at("not a status line of HTTP/1", first),
        httparse::Error::Status => Malformed::at("a malformed status line", first),
        _ => match lines.find(|line| !line.is_empty() && !is_field(line)) {
            Some(line) => Malformed::at("a malformed header line", line),
            None => Malformed::at("a malformed status line", first),
        },
    }
}

/// Whether this line is a header field or its continuation.
fn is_field(line: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return line.iter().all(is_text);
    }
    match memchr::memchr(b':', line) {
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            HeaderName::from_bytes(name).is_ok() && value.iter().all(is_text)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        bytes_max: 1000,
        fields_max: 10,
    };

    fn one(head: &str) -> Option<Result<Head, String>> {
        let found = find(head.as_bytes(), 0, BOUNDS, &Method::GET)?;
        Some(
            found
                .map(|(head, _)| head)
                .map_err(|error| error.to_string()),
        )
    }

    #[test]
    fn heads_determine_framing_and_persistence() {
        for (head, framing, persistent) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
            (
                "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n",
                Framing::Length(3),
                true,
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 3\n\n",
                Framing::Length(3),
                true,
            ),
            (
                "\r\nHTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n",
                Framing::Length(3),
                false,
            ),
            (
                "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
                Framing::None,
                true,
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", Framing::None, true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Chunked,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
                Framing::Length(3),
                false,
            ),
        ] {
            let found = one(head).unwrap().unwrap();
            assert_eq!(
                (found.framing, found.persistent),
                (framing, persistent),
                "{head}"
            );
        }
    }

    #[test]
    fn errors_quote_the_malformed_line() {
        let many = "A: b\r\n".repeat(20);
        let long = "x".repeat(1000);
        for (head, expected) in [
            (
                "SSH-2.0-x\r\n",
                "not a status line of HTTP/1: \"SSH-2.0-x\"",
            ),
            (
                "HTTP/2 200\r\n\r\n",
                "not a status line of HTTP/1: \"HTTP/2 200\"",
            ),
            (
                "HTTP/1.1 2000 OK\r\n\r\n",
                "a malformed status line: \"HTTP/1.1 2000 OK\"",
            ),
            (
                "HTTP/1.1 abc\r\n\r\n",
                "a malformed status line: \"HTTP/1.1 abc\"",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\nno colon here\r\n\r\n",
                "a malformed header line: \"no colon here\"",
            ),
            (
                "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
                "a malformed header line: \"A b: c\"",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
                "a malformed header line: \"A: \\x01\"",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "unsupported transfer coding: only chunked is supported",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                "several Content-Length fields that differ",
            ),
            (
                &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
                "more than 10 header fields",
            ),
            (
                &format!("HTTP/1.1 200 OK\r\nX: {long}"),
                "a response head of more than 1000 bytes",
            ),
        ] {
            assert_eq!(one(head).unwrap().unwrap_err(), expected, "{head}");
        }
        for unfinished in ["", "\r\n", "HT", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
            assert!(one(unfinished).is_none(), "{unfinished}");
        }
    }

    #[test]
    fn folded_fields_are_unfolded() {
        let head = one("HTTP/1.1 200 OK\r\nA: one\r\n  two\r\n\tthree\r\nB: c\r\n\r\n");
        let head = head.unwrap().unwrap();
        assert_eq!(head.fields["a"], "one two three");
        assert_eq!(head.fields["b"], "c");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_heads_may_be_split(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..60,
        ) {
            let _ = find(&bytes, 0, BOUNDS, &Method::GET);
            let mut head = b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec();
            head.extend_from_slice(&bytes);
            head.extend_from_slice(b"\r\n\r\n");
            let _ = find(&head, 0, BOUNDS, &Method::GET);
            let head = b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\nbody\r\n\r\n";
            let cut = cut.min(head.len());
            let first = find(&head[..cut], 0, BOUNDS, &Method::GET).map(|found| found.unwrap().1);
            let end = first.or_else(|| {
                find(head, cut, BOUNDS, &Method::GET).map(|found| found.unwrap().1)
            });
            prop_assert_eq!(end, Some(34));
        }
    }
}
