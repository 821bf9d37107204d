//! HTTP/1.1 and HTTP/1.0 (RFC 9112): messages on a stream of bytes.
//!
//! [`request`] and [`response`] parse heads, [`Framing`] decides where a body ends, and [`Body`] extracts the
//! body from the bytes that follow. Both roles use the same code, so that no two parsers in one program
//! disagree about where a message ends.
//!
//! ```
//! use handfast_http::h1::{Body, Found, response};
//! use http::Method;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let received = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nrest";
//! let bounds = response::Bounds { bytes_max: 64 * 1024, fields_max: 100 };
//! let found = response::find(received, 0, bounds, &Method::GET);
//! let (head, length) = found.expect("the head is there")?;
//! assert!(head.persistent);
//!
//! let mut body = Body::new(head.framing);
//! let mut rest = &received[length..];
//! assert_eq!(body.read(&mut rest)?, Found::Piece(b"hello"));
//! assert_eq!(body.read(&mut rest)?, Found::End);
//! assert_eq!(rest, b"rest");
//! # Ok(())
//! # }
//! ```

mod body;
mod chunked;
mod framing;
mod piece;
pub mod request;
pub mod response;

pub use body::Body;
pub use chunked::Malformed;
pub use framing::{Facts, Fault, Framing};
pub use piece::Found;

/// The end of the head at the front of `bytes`: one past the line feed of its blank line, which may lack
/// its carriage return (RFC 9112, section 2.2). The first `seen` bytes were looked at before and hold no end; the
/// first `blank` are blank lines in front of the head.
fn end_of_head(bytes: &[u8], seen: usize, blank: usize) -> Option<usize> {
    // The blank line may have begun in what was seen.
    let from = seen.saturating_sub(3).max(blank);
    let rest = bytes.get(from..)?;
    memchr::memchr_iter(b'\n', rest).find_map(|at| match rest.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// The blank lines in front of a head, which are passed over (RFC 9112, section 2.2). A carriage return that is not
/// followed by a line feed is none; what follows the last one may not have arrived.
fn blank(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    for _ in 0..BLANK_LINES_MAX {
        rest = match rest {
            [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => after,
            [b'\r'] => &[],
            _ => break,
        };
    }
    bytes.len() - rest.len()
}

/// Some clients send one after a body. They are scanned again whenever bytes arrive, so many of them would
/// be expensive.
const BLANK_LINES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_blank_lines_are_skipped_and_many_are_refused() {
        assert_eq!(blank(b"\r\n\nGET"), 3);
        assert_eq!(blank(b"\r\rGET"), 0);
        assert_eq!(blank(b"\r\n\r"), 3);
        assert_eq!(blank(&[b'\n'; 1000]), BLANK_LINES_MAX);
        let bounds = request::Bounds {
            bytes_max: 1000,
            fields_max: 10,
        };
        let many = [
            &b"\r\n".repeat(20)[..],
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        let refused = request::find(&many, 0, bounds).map(|found| found.is_err());
        assert_eq!(refused, Some(true));
        // Both parsers of responses, with input of every length.
        let bounds = response::Bounds {
            bytes_max: 1000,
            fields_max: 10,
        };
        for bytes in [
            "\r\rHTTP/1.1 200 OK\r\n\r\n",
            &format!("{}HTTP/1.1 200 OK\r\n\r\n", "\n".repeat(9)),
        ] {
            let found = response::find(bytes.as_bytes(), 0, bounds, &http::Method::GET);
            assert!(found.is_some_and(|found| found.is_err()), "{bytes:?}");
        }
    }
}
