//! Lines over a TLS stream, bounded.
//!
//! A reader that returns a full buffer as if it were a line lets a peer
//! forge the blank line that ends a head. Here a line is complete, or an error.

use std::io::{self, BufRead, BufReader, Read};

/// Reads lines that end with CRLF, or with a bare LF as broken clients send it.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use handfast::{Line, LineReader};
/// let mut lines = LineReader::new(&b"GET / HTTP/1.0\r\nHost: a\n\r\nrest"[..], 1024);
/// assert_eq!(lines.next_line()?, Line::Text(b"GET / HTTP/1.0".to_vec()));
/// assert_eq!(lines.next_line()?, Line::Text(b"Host: a".to_vec()));
/// assert_eq!(lines.next_line()?, Line::Blank);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LineReader<R> {
    reader: BufReader<R>,
    line_max: usize,
    spoilt: bool,
}

/// A line, or the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line that is not empty, without its line end.
    Text(Vec<u8>),
    /// An empty line, such as at the end of a head.
    Blank,
    /// The stream ended between two lines, by close_notify.
    End,
}

impl<R: Read> LineReader<R> {
    /// Reads lines of at most `line_max` bytes, without the line end, from `reader`.
    pub fn new(reader: R, line_max: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            line_max,
            spoilt: false,
        }
    }

    /// The next line.
    ///
    /// # Errors
    /// `InvalidData` if a line is longer than allowed or contains a bare CR or a NUL:
    /// every later call fails with the same error. `UnexpectedEof` if the
    /// stream ends within a line. Otherwise the stream's error.
    pub fn next_line(&mut self) -> io::Result<Line> {
        if self.spoilt {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an earlier line was invalid",
            ));
        }
        let mut line = Vec::new();
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return if line.is_empty() {
                    Ok(Line::End)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..newline.unwrap_or(available.len())];
            // One more than allowed: the last may be the CR of the line end.
            let room = (self.line_max + 1).saturating_sub(line.len());
            if piece.len() > room {
                return self.spoil("a line longer than the limit");
            }
            line.extend_from_slice(piece);
            let used = piece.len() + usize::from(newline.is_some());
            self.reader.consume(used);
            if newline.is_some() {
                return self.finish(line);
            }
        }
    }

    /// The data after the lines: a body.
    pub fn into_rest(self) -> BufReader<R> {
        self.reader
    }

    /// The stream underneath. Bytes already buffered for the next line are not in it.
    pub fn stream_mut(&mut self) -> &mut R {
        self.reader.get_mut()
    }

    fn finish(&mut self, mut line: Vec<u8>) -> io::Result<Line> {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > self.line_max {
            return self.spoil("a line longer than the limit");
        }
        // Only some parsers treat a bare CR as a line end, which allows request smuggling.
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return self.spoil("a bare CR or a NUL within a line");
        }
        Ok(if line.is_empty() {
            Line::Blank
        } else {
            Line::Text(line)
        })
    }

    fn spoil(&mut self, why: &str) -> io::Result<Line> {
        self.spoilt = true;
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns one byte at a time, like a slow peer.
    struct Dripping<'d>(&'d [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            (&mut self.0).take(1).read(buffer)
        }
    }

    #[test]
    fn a_line_too_long_is_never_mistaken_for_a_blank_one() {
        // Lengths around the limit: were the line cut into pieces, one piece would be empty.
        for excess in 1..=3 {
            let input = [&vec![b'a'; 16 + excess][..], b"\r\n\r\n"].concat();
            let mut lines = LineReader::new(Dripping(&input), 16);
            assert_eq!(
                lines.next_line().unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
            assert_eq!(
                lines.next_line().unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
        let exact = [&[b'a'; 16][..], b"\r\n\r\n"].concat();
        let mut lines = LineReader::new(Dripping(&exact), 16);
        assert_eq!(lines.next_line().unwrap(), Line::Text(vec![b'a'; 16]));
        assert_eq!(lines.next_line().unwrap(), Line::Blank);
        assert_eq!(lines.next_line().unwrap(), Line::End);
    }

    #[test]
    fn ends_and_invalid_bytes_are_distinguished() {
        let first = |input: &[u8]| LineReader::new(input, 80).next_line().map_err(|e| e.kind());
        assert_eq!(first(b""), Ok(Line::End));
        assert_eq!(first(b"cut"), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(first(b"\n"), Ok(Line::Blank));
        assert_eq!(first(b"a\rb\r\n"), Err(io::ErrorKind::InvalidData));
        assert_eq!(first(b"a\0b\r\n"), Err(io::ErrorKind::InvalidData));
        assert_eq!(first(b"a\r\r\n"), Err(io::ErrorKind::InvalidData));
    }

    proptest! {
        #[test]
        fn lines_and_rest_are_the_input(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut lines = LineReader::new(Dripping(&input), 40);
            let mut text = Vec::new();
            while let Ok(Line::Text(line)) = lines.next_line() {
                prop_assert!(!line.is_empty() && line.len() <= 40 && !line.contains(&b'\n'));
                text.extend(line);
            }
            let kept: Vec<u8> = input.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
            prop_assert!(kept.starts_with(&text));
        }
    }
}
