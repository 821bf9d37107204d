//! The chunked transfer coding (RFC 9112, section 7.1): one parser, for requests and responses.
//!
//! It parses byte by byte without buffering, so that input may be split anywhere. Other parsers of the
//! same bytes may be lax about what ends a line or a size, which makes request smuggling possible. So
//! this one is strict: lines end with CR LF, and a size consists of hexadecimal digits only. Trailer fields are kept, within limits.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::piece::{Found, take};

/// The longest chunk-size line in bytes, including extensions, which are not in use.
const LINE_MAX: usize = 4096;

/// The largest trailer section, in bytes.
const TRAILERS_MAX: usize = 8 * 1024;

/// The most trailer fields: as many as header fields that servers accept by default. Each takes a hundred bytes of memory, however
/// short it is.
const TRAILER_FIELDS_MAX: usize = 100;

/// Bytes of a line that are kept for errors.
const EXCERPT_MAX: usize = 48;

/// The position of the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size {
        value: u64,
        digits: u8,
    },
    /// After the digits: blanks, extensions.
    AfterSize {
        value: u64,
        extension: bool,
    },
    /// A size's line feed is next.
    SizeEnd(u64),
    /// This many bytes of a chunk are missing.
    Data(u64),
    DataCr,
    DataLf,
    /// A trailer field or the last line is next.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// The last line feed is next.
    LastLf,
    Done,
}

/// Parses one chunked body.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of the current line or trailer section.
    length: usize,
    excerpt: Excerpt,
    /// The lines of the trailer section.
    trailers: Vec<u8>,
    trailer_fields: usize,
    /// Allow blanks after a size, without extensions after them: old servers pad lines with them. The grammar
    /// does not allow it.
    padded: bool,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: State::Size {
                value: 0,
                digits: 0,
            },
            length: 0,
            excerpt: Excerpt::default(),
            trailers: Vec::new(),
            trailer_fields: 0,
            padded: true,
        }
    }
}

/// The chunks do not follow the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed {
    /// The problem.
    pub what: &'static str,
    /// The malformed line, as far as it was read: at most 48 bytes.
    pub line: Vec<u8>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\"", self.what, self.line.escape_ascii())
    }
}

impl std::error::Error for Malformed {}

impl Chunks {
    /// The chunks of a request.
    pub(super) fn of_request() -> Self {
        Self {
            padded: false,
            ..Self::default()
        }
    }

    pub(super) fn read<'b>(&mut self, rest: &mut &'b [u8]) -> Result<Found<'b>, Malformed> {
        loop {
            if let State::Data(left) = &mut self.state {
                let piece = take(rest, *left);
                if piece.is_empty() {
                    return Ok(Found::More);
                }
                *left -= piece.len() as u64;
                if *left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Found::Piece(piece));
            }
            if self.state == State::Done {
                return Ok(Found::End);
            }
            let Some((byte, after)) = rest.split_first() else {
                return Ok(Found::More);
            };
            *rest = after;
            if *byte != b'\n' {
                self.excerpt.add(*byte);
            }
            self.state = self.step(*byte).map_err(|what| Malformed {
                what,
                line: self.excerpt.bytes().to_vec(),
            })?;
        }
    }

    /// The trailer fields, if there are any. They are complete when the body has ended.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        let section = std::mem::take(&mut self.trailers);
        let mut fields = HeaderMap::with_capacity(self.trailer_fields);
        for line in section.split(|byte| *byte == b'\n') {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            if let (Some(name), Some(value)) = (parts.next(), parts.next())
                // The grammar was checked while they arrived.
                && let Ok(name) = HeaderName::from_bytes(name)
                && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
            {
                fields.append(name, value);
            }
        }
        (!fields.is_empty()).then_some(fields)
    }

    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        const SIZE: &str = "a chunk's size is malformed";
        const TRAILER: &str = "a trailer field is malformed";
        self.length += 1;
        Ok(match self.state {
            State::Size { value, digits } => {
                self.bound(LINE_MAX, "a chunk's size is too long")?;
                match (hex(byte), byte) {
                    // 16 digits fit 64 bits.
                    (Some(digit), _) if digits < 16 => State::Size {
                        value: value << 4 | u64::from(digit),
                        digits: digits + 1,
                    },
                    (None, b'\r') if digits > 0 => State::SizeEnd(value),
                    (None, b' ' | b'\t') if digits > 0 => State::AfterSize {
                        value,
                        extension: false,
                    },
                    (None, b';') if digits > 0 => State::AfterSize {
                        value,
                        extension: true,
                    },
                    _ => return Err(SIZE),
                }
            }
            State::AfterSize { value, extension } => {
                self.bound(LINE_MAX, "a chunk's size is too long")?;
                match byte {
                    b'\r' if extension || self.padded => State::SizeEnd(value),
                    b' ' | b'\t' => self.state,
                    b';' => State::AfterSize {
                        value,
                        extension: true,
                    },
                    _ if extension && is_text(byte) => self.state,
                    _ => return Err(SIZE),
                }
            }
            State::SizeEnd(value) => {
                if byte != b'\n' {
                    return Err(SIZE);
                }
                self.next_line();
                match value {
                    0 => State::Trailer,
                    value => State::Data(value),
                }
            }
            State::DataCr | State::DataLf => match (self.state, byte) {
                (State::DataCr, b'\r') => State::DataLf,
                (State::DataLf, b'\n') => {
                    self.next_line();
                    State::Size {
                        value: 0,
                        digits: 0,
                    }
                }
                _ => return Err("a chunk is longer than its size"),
            },
            State::Trailer | State::TrailerName | State::TrailerValue => {
                self.bound(TRAILERS_MAX, "the trailer fields are too long")?;
                if byte != b'\r' {
                    self.trailers.push(byte);
                }
                match (self.state, byte) {
                    (State::Trailer, b'\r') => State::LastLf,
                    (State::TrailerName, b':') => State::TrailerValue,
                    (State::Trailer | State::TrailerName, byte) if is_token(byte) => {
                        State::TrailerName
                    }
                    (State::TrailerValue, b'\r') => State::TrailerEnd,
                    (State::TrailerValue, byte) if is_text(byte) => State::TrailerValue,
                    _ => return Err(TRAILER),
                }
            }
            State::TrailerEnd => {
                if byte != b'\n' {
                    return Err(TRAILER);
                }
                self.excerpt = Excerpt::default();
                self.trailers.push(byte);
                self.trailer_fields += 1;
                if self.trailer_fields > TRAILER_FIELDS_MAX {
                    return Err("there are too many trailer fields");
                }
                State::Trailer
            }
            State::LastLf => {
                if byte != b'\n' {
                    return Err(TRAILER);
                }
                State::Done
            }
            State::Data(_) | State::Done => self.state,
        })
    }

    fn bound(&self, max: usize, too_long: &'static str) -> Result<(), &'static str> {
        if self.length > max {
            return Err(too_long);
        }
        Ok(())
    }

    fn next_line(&mut self) {
        self.length = 0;
        self.excerpt = Excerpt::default();
    }
}

/// The beginning of a line.
#[derive(Debug, Clone, Copy)]
struct Excerpt {
    bytes: [u8; EXCERPT_MAX],
    length: usize,
}

impl Default for Excerpt {
    fn default() -> Self {
        Self {
            bytes: [0; EXCERPT_MAX],
            length: 0,
        }
    }
}

impl Excerpt {
    fn add(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Allowed in a field's value or an extension (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Body, Framing};
    use super::*;

    /// The body and the number of bytes that follow it; `None` while it has not ended.
    fn all(
        framing: Framing,
        bytes: &[u8],
        cut: usize,
    ) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
        let mut decoder = Body::new(framing);
        let mut body = Vec::new();
        let (front, back) = bytes.split_at(cut.min(bytes.len()));
        for (mut rest, after) in [(front, back.len()), (back, 0)] {
            loop {
                match decoder.read(&mut rest)? {
                    Found::Piece(piece) => body.extend_from_slice(piece),
                    Found::More => break,
                    Found::End => return Ok(Some((body, rest.len() + after))),
                }
            }
            assert!(rest.is_empty());
        }
        Ok(None)
    }

    #[test]
    fn blanks_after_a_size_are_refused_in_requests() {
        for (bytes, strict, lax) in [
            (&b"1 \r\nx\r\n0\r\n\r\n"[..], false, true),
            (b"1\t\r\nx\r\n0\r\n\r\n", false, true),
            (b"0 \r\n\r\n", false, true),
            (b"1 ;a=b\r\nx\r\n0\r\n\r\n", true, true),
            (b"1\r\nx\r\n0\r\n\r\n", true, true),
            (b"1 x\r\nx\r\n0\r\n\r\n", false, false),
        ] {
            for (mut body, fits) in [
                (Body::of_request(Framing::Chunked), strict),
                (Body::new(Framing::Chunked), lax),
            ] {
                let mut rest = bytes;
                let end = loop {
                    match body.read(&mut rest) {
                        Ok(Found::Piece(_)) => {}
                        other => break other,
                    }
                };
                assert_eq!(end == Ok(Found::End), fits, "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn bodies_end_according_to_their_framing_however_input_is_split() {
        type Expected<'b> = Result<Option<(&'b str, usize)>, ()>;
        let cases: &[(Framing, &str, Expected<'_>)] = &[
            (Framing::None, "next", Ok(Some(("", 4)))),
            (Framing::Length(3), "abcnext", Ok(Some(("abc", 4)))),
            (Framing::Length(3), "ab", Ok(None)),
            (Framing::UntilClose, "ab", Ok(None)),
            (
                Framing::Chunked,
                "3\r\nabc\r\n0\r\n\r\nnext",
                Ok(Some(("abc", 4))),
            ),
            (
                Framing::Chunked,
                "3;x=\"y\"\r\nabc\r\n00\r\nA: b\r\n\r\n",
                Ok(Some(("abc", 0))),
            ),
            (
                Framing::Chunked,
                "A\r\n0123456789\r\n1 \r\nx\r\n0\r\n\r\n",
                Ok(Some(("0123456789x", 0))),
            ),
            (Framing::Chunked, "3\r\nabc\r\n", Ok(None)),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n", Ok(None)),
            (Framing::Chunked, "3\r\nabcd\r\n0\r\n\r\n", Err(())),
            (Framing::Chunked, "3\nabc\r\n0\r\n\r\n", Err(())),
            (Framing::Chunked, "3\r\nabc\n0\r\n\r\n", Err(())),
            (Framing::Chunked, "\r\nabc", Err(())),
            (Framing::Chunked, ";x\r\nabc", Err(())),
            (Framing::Chunked, "-3\r\nabc", Err(())),
            (Framing::Chunked, "0x3\r\nabc", Err(())),
            (Framing::Chunked, "3 3\r\nabc", Err(())),
            (Framing::Chunked, " 3\r\nabc", Err(())),
            (Framing::Chunked, "3\rx\r\nabc", Err(())),
            (Framing::Chunked, "3;a\nb\r\nabc", Err(())),
            (Framing::Chunked, "3;a\0b\r\nabc", Err(())),
            (Framing::Chunked, "11111111111111111\r\n", Err(())),
            // The last chunk and the trailer section are as strict as the rest.
            (Framing::Chunked, "0\n\r\n", Err(())),
            (Framing::Chunked, "0\r\n\n", Err(())),
            (Framing::Chunked, "0\r\n\rx", Err(())),
            (Framing::Chunked, "0\r\nA: b\n\r\n", Err(())),
            (Framing::Chunked, "0\r\nA: b\r\r\n", Err(())),
            (Framing::Chunked, "0\r\n folded\r\n\r\n", Err(())),
            (Framing::Chunked, "0\r\nno field\r\n\r\n", Err(())),
            (Framing::Chunked, "0\r\n: b\r\n\r\n", Err(())),
            (Framing::Chunked, "0\r\nA : b\r\n\r\n", Err(())),
            (Framing::Chunked, "0\r\nA: \0\r\n\r\n", Err(())),
            (Framing::Chunked, "0\r\nGET / HTTP/1.1\r\n\r\n", Err(())),
        ];
        for (framing, bytes, expected) in cases {
            for cut in 0..=bytes.len() {
                let found = all(*framing, bytes.as_bytes(), cut);
                let found = found
                    .as_ref()
                    .map(|found| {
                        found
                            .as_ref()
                            .map(|(body, rest)| (std::str::from_utf8(body).unwrap(), *rest))
                    })
                    .map_err(|_| ());
                if *framing == Framing::UntilClose {
                    assert_eq!(found, Ok(None));
                    continue;
                }
                assert_eq!(found, *expected, "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let endless = format!("{}\r\n", "1;".repeat(LINE_MAX));
        let error = all(Framing::Chunked, endless.as_bytes(), 0).unwrap_err();
        assert_eq!(error.what, "a chunk's size is too long");
        let long = "b".repeat(TRAILERS_MAX / TRAILER_FIELDS_MAX);
        let trailers = format!("0\r\n{}", format!("A: {long}\r\n").repeat(100));
        let error = all(Framing::Chunked, trailers.as_bytes(), 0).unwrap_err();
        assert_eq!(error.what, "the trailer fields are too long");
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_FIELDS_MAX + 1));
        let error = all(Framing::Chunked, trailers.as_bytes(), 0).unwrap_err();
        assert_eq!(error.what, "there are too many trailer fields");
    }

    #[test]
    fn trailer_fields_are_those_that_were_sent_however_input_is_split() {
        for (bytes, expected) in [
            ("3\r\nabc\r\n0\r\n\r\n", None),
            (
                "0\r\nX-Sum: 12\r\n\r\nnext: request",
                Some(vec![("x-sum", "12")]),
            ),
            (
                "1\r\nx\r\n0\r\nA:1\r\nEmpty:\r\nb: \t2 : 3\t \r\na: 4\r\n\r\n",
                Some(vec![("a", "1"), ("a", "4"), ("empty", ""), ("b", "2 : 3")]),
            ),
        ] {
            for cut in 0..=bytes.len() {
                let mut body = Body::of_request(Framing::Chunked);
                let (front, back) = bytes.split_at(cut);
                let mut end = Found::More;
                for mut rest in [front, back].map(str::as_bytes) {
                    while end != Found::End {
                        assert_eq!(body.take_trailers(), None);
                        end = body.read(&mut rest).unwrap();
                        if end == Found::More {
                            break;
                        }
                    }
                }
                assert!(body.is_done(), "{bytes:?} cut at {cut}");
                let found = body.take_trailers();
                let found: Option<Vec<_>> = found.as_ref().map(|fields| {
                    let fields = fields.iter();
                    fields
                        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                        .collect()
                });
                assert_eq!(found, expected, "{bytes:?} cut at {cut}");
                assert!(body.is_done() && body.take_trailers().is_none());
            }
        }
    }

    #[test]
    fn an_error_shows_the_line() {
        let error = all(Framing::Chunked, b"3\r\nabc\r\nzebra\r\n", 7).unwrap_err();
        assert_eq!(error.to_string(), "a chunk's size is malformed: \"z\"");
        let error = all(Framing::Chunked, b"3\r\nabcdef", 1).unwrap_err();
        assert_eq!(error.to_string(), "a chunk is longer than its size: \"d\"");
    }

    proptest! {
        #[test]
        fn arbitrary_chunks_end_at_the_same_place_however_input_is_split(bytes in "[0-9a-f;:\r\n ]{0,80}", cut in 0usize..80) {
            let whole = all(Framing::Chunked, bytes.as_bytes(), 0);
            let pieces = all(Framing::Chunked, bytes.as_bytes(), cut);
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn any_trailer_fields_arrive_as_they_were_sent(
            sent in proptest::collection::vec(("[!#$%&'*+.^_`|~0-9a-z-]{1,9}", "([!-~\u{e9}]([ -~\t\u{e9}]{0,20}[!-~])?)?"), 0..20),
            cut in 0usize..400,
        ) {
            let mut bytes = b"1\r\nx\r\n0\r\n".to_vec();
            for (name, value) in &sent {
                bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"\r\nrest");
            let mut body = Body::of_request(Framing::Chunked);
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            for mut rest in [front, back] {
                while let Found::Piece(_) = body.read(&mut rest).unwrap() {}
            }
            let found = body.take_trailers().unwrap_or_default();
            prop_assert_eq!(found.len(), sent.len());
            for (name, _) in &sent {
                let expected = sent.iter().filter(|(other, _)| other == name);
                let expected: Vec<&[u8]> = expected.map(|(_, value)| value.as_bytes()).collect();
                let got: Vec<&[u8]> = found.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                prop_assert_eq!(got, expected);
            }
        }
    }
}
