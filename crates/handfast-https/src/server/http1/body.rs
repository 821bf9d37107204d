//! Request bodies (RFC 9112, sections 6 and 7): from bytes to pieces, by length or in chunks.

use bytes::Bytes;

use super::head::Framing;

/// The longest line of a chunk's size, extensions included, and of a trailer section.
const LINE_MAX: usize = 4096;
const TRAILERS_MAX: usize = 8 * 1024;

/// Cuts a body out of what follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// So many bytes are missing.
    Length(u64),
    /// A chunk's size is next.
    Size,
    /// So many bytes of a chunk are missing.
    Chunk(u64),
    /// The line end behind a chunk is next.
    ChunkEnd,
    /// Trailer fields of at most so many bytes are next.
    Trailers(usize),
    Done,
}

/// What is at the front of what was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A piece of the body.
    Piece(Bytes),
    /// Nothing before more arrives.
    More,
    /// The body's end.
    End,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Size,
        }
    }

    pub(super) fn is_done(self) -> bool {
        self == Self::Done
    }

    /// Takes what it can from the front of `received`, and says how much that was.
    pub(super) fn decode(&mut self, received: &[u8]) -> Result<(usize, Found), &'static str> {
        let mut used = 0;
        loop {
            let rest = received.get(used..).unwrap_or_default();
            match self {
                Self::Done => return Ok((used, Found::End)),
                Self::Length(left) | Self::Chunk(left) => {
                    let count =
                        usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    if count == 0 {
                        return Ok((used, Found::More));
                    }
                    *left -= count as u64;
                    let (is_last, in_chunk) = (*left == 0, matches!(self, Self::Chunk(_)));
                    if is_last {
                        *self = if in_chunk { Self::ChunkEnd } else { Self::Done };
                    }
                    let piece = Bytes::copy_from_slice(rest.get(..count).unwrap_or_default());
                    return Ok((used + count, Found::Piece(piece)));
                }
                Self::Size => {
                    let Some(line) = line(rest, LINE_MAX, "a chunk's size is too long")? else {
                        return Ok((used, Found::More));
                    };
                    used += line.len() + 1;
                    *self = match chunk_size(line)? {
                        0 => Self::Trailers(TRAILERS_MAX),
                        size => Self::Chunk(size),
                    };
                }
                Self::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok((used, Found::More)),
                    _ => return Err("a chunk is longer than its size"),
                },
                Self::Trailers(left) => {
                    let Some(line) = line(rest, *left, "the trailer fields are too long")? else {
                        return Ok((used, Found::More));
                    };
                    used += line.len() + 1;
                    *left = left.saturating_sub(line.len() + 1);
                    if line.strip_suffix(b"\r").unwrap_or(line).is_empty() {
                        *self = Self::Done;
                    }
                }
            }
        }
    }
}

/// A line without its line feed, once it is there.
fn line<'b>(
    rest: &'b [u8],
    max: usize,
    too_long: &'static str,
) -> Result<Option<&'b [u8]>, &'static str> {
    match memchr::memchr(b'\n', rest) {
        Some(end) if end < max => Ok(rest.get(..end)),
        None if rest.len() < max => Ok(None),
        _ => Err(too_long),
    }
}

/// Hexadecimal digits, and extensions that nobody needs. What ends a line elsewhere is strict here: a
/// bare line feed or a stray carriage return is how chunks are smuggled past others.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    const MALFORMED: &str = "a chunk's size is malformed";
    let line = line.strip_suffix(b"\r").ok_or(MALFORMED)?;
    if line.contains(&b'\r') {
        return Err(MALFORMED);
    }
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, extensions) = line.split_at(digits);
    let extensions = extensions.trim_ascii_start();
    if digits.is_empty()
        || digits.len() > 16
        || !(extensions.is_empty() || extensions.starts_with(b";"))
    {
        return Err(MALFORMED);
    }
    let text = std::str::from_utf8(digits).map_err(|_| MALFORMED)?;
    u64::from_str_radix(text, 16).map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The body, and what follows it; `None` while it has not ended.
    fn all(
        framing: Framing,
        bytes: &[u8],
        cut: usize,
    ) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
        let mut decoder = Decoder::new(framing);
        let mut body = Vec::new();
        let mut used = 0;
        for end in [cut.min(bytes.len()), bytes.len()] {
            loop {
                let (count, found) = decoder.decode(&bytes[used..end])?;
                used += count;
                match found {
                    Found::Piece(piece) => body.extend_from_slice(&piece),
                    Found::More => break,
                    Found::End => return Ok(Some((body, bytes.len() - used))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn a20_bodies_table() {
        type Body<'b> = Result<Option<(&'b str, usize)>, ()>;
        let cases: &[(Framing, &str, Body<'_>)] = &[
            (Framing::None, "next", Ok(Some(("", 4)))),
            (Framing::Length(3), "abcnext", Ok(Some(("abc", 4)))),
            (Framing::Length(3), "ab", Ok(None)),
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
            (Framing::Chunked, "-3\r\nabc", Err(())),
            (Framing::Chunked, "0x3\r\nabc", Err(())),
            (Framing::Chunked, "3 3\r\nabc", Err(())),
            (Framing::Chunked, "3\rx\r\nabc", Err(())),
            (Framing::Chunked, "11111111111111111\r\n", Err(())),
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
                assert_eq!(found, *expected, "{bytes:?} cut at {cut}");
            }
        }
        let endless = format!("{}\r\n", "1;".repeat(LINE_MAX));
        assert!(all(Framing::Chunked, endless.as_bytes(), 0).is_err());
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(TRAILERS_MAX));
        assert!(all(Framing::Chunked, trailers.as_bytes(), 0).is_err());
    }

    proptest! {
        #[test]
        fn a20_arbitrary_chunks_never_panic_and_end_alike(bytes in "[0-9a-f;\r\n ]{0,80}", cut in 0usize..80) {
            let whole = all(Framing::Chunked, bytes.as_bytes(), 0);
            let pieces = all(Framing::Chunked, bytes.as_bytes(), cut);
            prop_assert_eq!(whole, pieces);
        }
    }
}
