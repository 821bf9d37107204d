//! HTTP/1.1 for a load generator (RFC 9112): the request is encoded once, responses are measured
//! without storing them or allocating. Without I/O.

use handfast::Ending;
use handfast_http::h1::{Body, Found, Framing, response};
use http::{Method, StatusCode};

use super::outcome::{Broken, Response};
use super::plan::{Handshake, Plan};

/// The limit on the head of a response. Servers send a few hundred bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The limit on fields of a head.
const FIELDS_MAX: usize = 100;

/// The request in wire format.
pub(super) fn encode(plan: &Plan) -> Vec<u8> {
    let request = &plan.request;
    let mut bytes = Vec::with_capacity(512 + request.body.len());
    let mut put = |part: &[u8]| bytes.extend_from_slice(part);
    put(request.method.as_str().as_bytes());
    put(b" ");
    put(plan.target.path.as_bytes());
    put(b" HTTP/1.1\r\nHost: ");
    put(request.authority(&plan.target));
    put(b"\r\n");
    for (name, value) in request.fields() {
        put(name.as_str().as_bytes());
        put(b": ");
        put(value.as_bytes());
        put(b"\r\n");
    }
    if let Some(length) = request.content_length() {
        put(format!("Content-Length: {length}\r\n").as_bytes());
    }
    if plan.handshake != Handshake::KeepAlive {
        put(b"Connection: close\r\n");
    }
    put(b"\r\n");
    put(&request.body);
    bytes
}

/// Parses responses.
#[derive(Debug)]
pub(super) struct Parser {
    /// The current body; `None` while a head is expected.
    body: Option<Body>,
    until_close: bool,
    /// A partial head.
    partial: Vec<u8>,
    method: Method,
    response: Response,
    keep_alive: bool,
}

/// The result of [`Parser::feed`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All bytes were consumed; the response continues.
    Partial,
    /// A response is complete.
    Complete {
        /// The response.
        response: Response,
        /// How many bytes were consumed, up to its end.
        used: usize,
        /// Whether the connection can take another request.
        keep_alive: bool,
    },
}

impl Parser {
    /// A parser of responses to requests with this method: responses to HEAD have no body.
    pub(super) fn new(method: &Method) -> Self {
        Self {
            body: None,
            until_close: false,
            partial: Vec::new(),
            method: method.clone(),
            response: Response::default(),
            keep_alive: true,
        }
    }

    /// Whether the response has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.body.is_some() || !self.partial.is_empty() || self.response.status != 0
    }

    /// Parses the next bytes of the stream.
    ///
    /// # Errors
    /// [`Broken`] if they are not a response; no further bytes can be parsed then.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Broken> {
        let mut rest = bytes;
        loop {
            while let Some(body) = &mut self.body {
                match body.read(&mut rest).map_err(malformed)? {
                    Found::Piece(piece) => {
                        let count = piece.len() as u64;
                        let bytes = &mut self.response.body_bytes;
                        *bytes = bytes.saturating_add(count);
                    }
                    Found::More => return Ok(Fed::Partial),
                    Found::End => {
                        self.body = None;
                        return Ok(Fed::Complete {
                            response: std::mem::take(&mut self.response),
                            used: bytes.len() - rest.len(),
                            keep_alive: self.keep_alive,
                        });
                    }
                }
            }
            if rest.is_empty() || !self.take_head(&mut rest)? {
                return Ok(Fed::Partial);
            }
        }
    }

    /// The stream has ended: completes a response that is delimited by the end.
    ///
    /// # Errors
    /// [`Broken`] if the response is truncated or missing.
    pub(super) fn end(&self, ending: Ending) -> Result<Response, Broken> {
        match self.until_close && self.body.is_some() {
            true if ending == Ending::CloseNotify => Ok(self.response),
            _ if self.has_begun() => Err(Broken::Truncated(ending)),
            _ => Err(Broken::Empty(ending)),
        }
    }

    /// Parses a head if it is complete.
    fn take_head(&mut self, rest: &mut &[u8]) -> Result<bool, Broken> {
        if self.partial.is_empty() {
            // The usual case: the whole head is in the input.
            return match self.parse_head(rest)? {
                Some(used) => {
                    *rest = rest.get(used..).unwrap_or_default();
                    Ok(true)
                }
                None => {
                    self.keep(rest)?;
                    Ok(false)
                }
            };
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(rest);
        // Parsed again only if it may be complete: otherwise single bytes would cost n^2.
        let from = self.partial.get(before.saturating_sub(3)..);
        let from = from.unwrap_or_default();
        let may_end = memchr::memmem::find(from, b"\n\r\n").is_some()
            || memchr::memmem::find(from, b"\n\n").is_some();
        let mut whole = std::mem::take(&mut self.partial);
        let parsed = match may_end {
            true => self.parse_head(&whole)?,
            false => None,
        };
        let Some(used) = parsed else {
            *rest = &[];
            self.partial = whole;
            return self.bound().map(|()| false);
        };
        *rest = rest.get(used.saturating_sub(before)..).unwrap_or_default();
        whole.clear();
        self.partial = whole;
        Ok(true)
    }

    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let cut = response::cut(bytes, FIELDS_MAX, |_, _| Ok(())).map_err(malformed)?;
        let Some(brief) = cut else {
            return Ok(None);
        };
        if brief.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Broken::malformed("switching protocols without a request"));
        }
        if brief.status.is_informational() {
            // An interim response: the final one follows.
            return Ok(Some(brief.length));
        }
        let framing = brief.facts.of_response(&self.method, brief.status);
        let framing = framing.map_err(|fault| Broken::malformed(fault.what()))?;
        self.response.status = brief.status.as_u16();
        self.until_close = framing == Framing::UntilClose;
        // The connection is not reused after a body that is delimited by the close, or that is ambiguous.
        self.keep_alive = brief.facts.persistent(brief.version)
            && !self.until_close
            && !brief.facts.has_length_and_coding();
        self.body = Some(Body::new(framing));
        Ok(Some(brief.length))
    }

    fn keep(&mut self, rest: &mut &[u8]) -> Result<(), Broken> {
        self.partial.extend_from_slice(rest);
        *rest = &[];
        self.bound()
    }

    fn bound(&self) -> Result<(), Broken> {
        match self.partial.len() > HEAD_BYTES_MAX {
            true => Err(Broken::malformed("a head of more than 64 KiB")),
            false => Ok(()),
        }
    }
}

fn malformed(error: impl std::fmt::Display) -> Broken {
    Broken::malformed(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq)]
    enum Seen {
        Response(Response, bool),
        Broken,
    }

    /// The results for a stream in these pieces that ends in order.
    fn parse(pieces: &[&[u8]], ending: Ending) -> Vec<Seen> {
        let mut parser = Parser::new(&Method::GET);
        let mut seen = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match parser.feed(rest) {
                    Ok(Fed::Partial) => break,
                    Ok(Fed::Complete {
                        response,
                        used,
                        keep_alive,
                    }) => {
                        seen.push(Seen::Response(response, keep_alive));
                        rest = &rest[used..];
                    }
                    Err(_) => {
                        seen.push(Seen::Broken);
                        return seen;
                    }
                }
            }
        }
        if parser.has_begun() {
            seen.push(match parser.end(ending) {
                Ok(response) => Seen::Response(response, false),
                Err(_) => Seen::Broken,
            });
        }
        seen
    }

    fn one(text: &str) -> Vec<Seen> {
        parse(&[text.as_bytes()], Ending::CloseNotify)
    }

    fn response(status: u16, body_bytes: u64, keep_alive: bool) -> Seen {
        Seen::Response(Response { status, body_bytes }, keep_alive)
    }

    #[test]
    fn framing_decides_where_a_response_ends() {
        for (text, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                vec![response(200, 3, true)],
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: close\r\n\r\n",
                vec![response(200, 0, false)],
            ),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
                vec![response(200, 1, false)],
            ),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\nx",
                vec![response(200, 1, true)],
            ),
            (
                "HTTP/1.1 204 No Content\r\n\r\n",
                vec![response(204, 0, true)],
            ),
            (
                "HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n",
                vec![response(304, 0, true)],
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                vec![response(200, 1, true)],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: t\r\n\r\n",
                vec![response(200, 13, true)],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n",
                vec![response(200, 1, false)],
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nuntil the end",
                vec![response(200, 13, false)],
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
                vec![Seen::Broken],
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
                vec![Seen::Broken],
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
                vec![Seen::Broken],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
                vec![Seen::Broken],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                vec![Seen::Broken],
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                vec![Seen::Broken],
            ),
            ("220 mail.example ESMTP\r\n", vec![Seen::Broken]),
        ] {
            assert_eq!(one(text), expected, "{text}");
        }
    }

    #[test]
    fn only_close_notify_completes_a_body_delimited_by_the_close() {
        let text: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nuntil the end";
        assert_eq!(
            parse(&[text], Ending::CloseNotify),
            [response(200, 13, false)]
        );
        assert_eq!(parse(&[text], Ending::Premature), [Seen::Broken]);
        assert_eq!(parse(&[text], Ending::Reset), [Seen::Broken]);
        let mut parser = Parser::new(&Method::GET);
        assert!(matches!(
            parser.end(Ending::CloseNotify),
            Err(Broken::Empty(_))
        ));
        assert!(matches!(parser.feed(b"HTTP/1.1 20"), Ok(Fed::Partial)));
        assert!(matches!(
            parser.end(Ending::Premature),
            Err(Broken::Truncated(_))
        ));
    }

    #[test]
    fn heads_and_lines_are_bounded() {
        let mut parser = Parser::new(&Method::GET);
        parser.feed(b"HTTP/1.1 200 OK\r\nA: ").unwrap();
        let fed = (0..100).try_for_each(|_| parser.feed(&[b'x'; 1024]).map(drop));
        assert!(fed.is_err());
        let mut parser = Parser::new(&Method::GET);
        parser
            .feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
            .unwrap();
        assert!(parser.feed(&[b'x'; 8 * 1024]).is_err());
    }

    proptest! {
        #[test]
        fn fragmentation_does_not_change_the_result(
            which in proptest::collection::vec(0usize..5, 1..5),
            cuts in proptest::collection::vec(1usize..40, 0..60),
        ) {
            let texts: [&[u8]; 5] = [
                b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello",
                b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n10;q=\"z\"\r\n0123456789abcdef\r\n0\r\nA: b\r\nC: d\r\n\r\n",
                b"HTTP/1.1 503 \r\nContent-Length: 1\r\nConnection: x, close\r\n\r\n!",
                b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
            ];
            let stream: Vec<u8> = which.iter().flat_map(|index| texts[*index]).copied().collect();
            let mut pieces = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(
                parse(&pieces, Ending::CloseNotify),
                parse(&[&stream], Ending::CloseNotify)
            );
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            prefix in 0usize..4,
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..8),
        ) {
            let prefix: &[u8] = [
                &b""[..], b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: ",
            ][prefix];
            let mut all = vec![prefix];
            all.extend(pieces.iter().map(Vec::as_slice));
            parse(&all, Ending::Premature);
        }
    }
}
