//! HTTP/1.1 as a load generator needs it (RFC 9112): the request encoded once, responses measured
//! while they pass, nothing allocated for one. Sans-I/O: bytes in, judgements out.

use handfast::Ending;
use http::Method;

use super::outcome::{Broken, Response};
use super::plan::{Handshake, Plan};

/// The longest head of a response, trailers likewise. Servers send a few hundred bytes; whoever
/// sends more than this is not going to stop.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most fields of a head.
const FIELDS_MAX: usize = 100;

/// The longest line of a chunk's size, extensions included.
const CHUNK_LINE_MAX: usize = 4 * 1024;

/// The request as it goes over the wire.
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

/// Reads one response after the other.
#[derive(Debug)]
pub(super) struct Parser {
    state: State,
    /// The part of a head, chunk line or trailer that has arrived, while it is incomplete.
    partial: Vec<u8>,
    to_head: bool,
    response: Response,
    keep_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

/// What [`Parser::feed`] made of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All were used; the response goes on.
    Partial,
    /// A response is complete.
    Complete {
        /// The response.
        response: Response,
        /// How many bytes were used, up to its end.
        used: usize,
        /// Will the connection take another request?
        keep_alive: bool,
    },
}

impl Parser {
    /// A parser of responses to requests with this method: to HEAD there comes no body.
    pub(super) fn new(method: &Method) -> Self {
        Self {
            state: State::Head,
            partial: Vec::new(),
            to_head: *method == Method::HEAD,
            response: Response::default(),
            keep_alive: true,
        }
    }

    /// Has any of the response arrived?
    pub(super) fn has_begun(&self) -> bool {
        self.state != State::Head || !self.partial.is_empty() || self.response.status != 0
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`Broken`] when they are not a response; nothing that follows makes sense then.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Broken> {
        let mut rest = bytes;
        loop {
            let complete = match self.state {
                State::Head => match self.take_head(&mut rest)? {
                    Some(complete) => complete,
                    None => return Ok(Fed::Partial),
                },
                State::Length(left) => match self.skip(left, &mut rest) {
                    0 => true,
                    left => {
                        self.state = State::Length(left);
                        return Ok(Fed::Partial);
                    }
                },
                State::UntilClose => {
                    self.skip(u64::MAX, &mut rest);
                    return Ok(Fed::Partial);
                }
                State::Chunk(left) => {
                    let left = self.skip(left, &mut rest);
                    if left > 0 {
                        self.state = State::Chunk(left);
                        return Ok(Fed::Partial);
                    }
                    self.state = State::ChunkEnd;
                    false
                }
                State::ChunkLine | State::ChunkEnd | State::Trailers => {
                    match self.take_line(&mut rest)? {
                        Some(complete) => complete,
                        None => return Ok(Fed::Partial),
                    }
                }
            };
            if complete {
                let response = self.response;
                let keep_alive = self.keep_alive;
                self.state = State::Head;
                self.response = Response::default();
                return Ok(Fed::Complete {
                    response,
                    used: bytes.len() - rest.len(),
                    keep_alive,
                });
            }
        }
    }

    /// The stream has ended so: was a response that only the end could complete complete?
    ///
    /// # Errors
    /// [`Broken`] when the response was cut off, or never came.
    pub(super) fn end(&self, ending: Ending) -> Result<Response, Broken> {
        match self.state {
            State::UntilClose if ending == Ending::CloseNotify => Ok(self.response),
            _ if self.has_begun() => Err(Broken::Truncated(ending)),
            _ => Err(Broken::Empty(ending)),
        }
    }

    /// Counts body bytes at the front of `rest` and steps over them; gives how many are missing.
    fn skip(&mut self, left: u64, rest: &mut &[u8]) -> u64 {
        let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        *rest = rest.get(count..).unwrap_or_default();
        self.response.body_bytes = self.response.body_bytes.saturating_add(count as u64);
        left - count as u64
    }

    /// Parses a head if all of it is there; says whether the response ends with it.
    fn take_head(&mut self, rest: &mut &[u8]) -> Result<Option<bool>, Broken> {
        if self.partial.is_empty() {
            // The usual case: the whole head lies in what arrived.
            return match self.parse_head(rest)? {
                Some((used, complete)) => {
                    *rest = rest.get(used..).unwrap_or_default();
                    Ok(Some(complete))
                }
                None => {
                    self.keep(rest, HEAD_BYTES_MAX)?;
                    Ok(None)
                }
            };
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(rest);
        // Parsed again only when its end may have come: else drops of one byte would cost n^2.
        let from = before.saturating_sub(3);
        if memchr::memmem::find(self.partial.get(from..).unwrap_or_default(), b"\n\r\n").is_none()
            && memchr::memmem::find(self.partial.get(from..).unwrap_or_default(), b"\n\n").is_none()
        {
            *rest = &[];
            return match self.partial.len() > HEAD_BYTES_MAX {
                true => Err(Broken::malformed("a head of more than 64 KiB")),
                false => Ok(None),
            };
        }
        let mut whole = std::mem::take(&mut self.partial);
        let parsed = self.parse_head(&whole)?;
        let Some((used, complete)) = parsed else {
            *rest = &[];
            self.partial = whole;
            return match self.partial.len() > HEAD_BYTES_MAX {
                true => Err(Broken::malformed("a head of more than 64 KiB")),
                false => Ok(None),
            };
        };
        *rest = rest.get(used.saturating_sub(before)..).unwrap_or_default();
        whole.clear();
        self.partial = whole;
        Ok(Some(complete))
    }

    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<(usize, bool)>, Broken> {
        let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut head,
            bytes,
            &mut fields,
        );
        let used = match parsed {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Broken::malformed(&error.to_string())),
        };
        let framing = Framing::of(&head)?;
        let status = head.code.unwrap_or(0);
        self.keep_alive = framing.keep_alive;
        if (100..200).contains(&status) {
            if status == 101 {
                return Err(Broken::malformed("switching protocols without being asked"));
            }
            // An interim response: the final one follows.
            return Ok(Some((used, false)));
        }
        self.response.status = status;
        let without_body = self.to_head || status == 204 || status == 304;
        self.state = match (framing.chunked, framing.length) {
            _ if without_body => State::Head,
            (Some(true), _) => State::ChunkLine,
            (Some(false), _) | (None, None) => State::UntilClose,
            (None, Some(length)) => State::Length(length),
        };
        // What only the close ends, the connection does not survive.
        self.keep_alive &= self.state != State::UntilClose;
        let complete = without_body || self.state == State::Length(0);
        Ok(Some((used, complete)))
    }

    /// Takes a line of the chunked coding if all of it is there; says whether the response ends
    /// with it.
    fn take_line(&mut self, rest: &mut &[u8]) -> Result<Option<bool>, Broken> {
        let limit = match self.state {
            State::Trailers => HEAD_BYTES_MAX,
            _ => CHUNK_LINE_MAX,
        };
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.keep(rest, limit)?;
            return Ok(None);
        };
        let (line, after) = rest.split_at(end + 1);
        *rest = after;
        if self.partial.is_empty() {
            return self.judge_line(line).map(Some);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(line);
        let complete = self.judge_line(&whole)?;
        whole.clear();
        self.partial = whole;
        Ok(Some(complete))
    }

    fn judge_line(&mut self, line: &[u8]) -> Result<bool, Broken> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Broken::malformed("a line of the chunked coding without CR"));
        };
        match self.state {
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkLine,
            State::ChunkEnd => return Err(Broken::malformed("a chunk longer than its size")),
            State::Trailers => return Ok(line.is_empty()),
            _ => {
                self.state = match chunk_size(line) {
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size),
                    None => return Err(Broken::malformed("a chunk without a size")),
                }
            }
        }
        Ok(false)
    }

    fn keep(&mut self, rest: &mut &[u8], limit: usize) -> Result<(), Broken> {
        self.partial.extend_from_slice(rest);
        *rest = &[];
        if self.partial.len() > limit {
            return Err(Broken::malformed("a head or line without end"));
        }
        Ok(())
    }
}

/// The size at the front of a chunk's line (RFC 9112, section 7.1); extensions are passed over.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, extensions) = line.split_at_checked(digits)?;
    let rest = extensions.trim_ascii_start();
    if digits.is_empty() || digits.len() > 16 || !(rest.is_empty() || rest.starts_with(b";")) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// What a head says about where the response ends.
struct Framing {
    /// `Some(true)`: chunked last; `Some(false)`: another coding last, ended by the close.
    chunked: Option<bool>,
    length: Option<u64>,
    keep_alive: bool,
}

impl Framing {
    fn of(head: &httparse::Response<'_, '_>) -> Result<Self, Broken> {
        let mut framing = Self {
            chunked: None,
            length: None,
            keep_alive: head.version == Some(1),
        };
        for field in head.headers.iter() {
            // The length tells most fields apart without looking at them.
            match field.name.len() {
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    framing.set_length(field.value)?;
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    let last = field.value.rsplit(|byte| *byte == b',').next();
                    let last = last.unwrap_or_default().trim_ascii();
                    framing.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
                }
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    for option in field.value.split(|byte| *byte == b',') {
                        let option = option.trim_ascii();
                        if option.eq_ignore_ascii_case(b"close") {
                            framing.keep_alive = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") {
                            framing.keep_alive |= head.version == Some(0);
                        }
                    }
                }
                _ => {}
            }
        }
        if framing.chunked.is_some() && framing.length.is_some() {
            // RFC 9112, section 6.3: the coding counts, and the message is suspect.
            framing.keep_alive = false;
        }
        Ok(framing)
    }

    fn set_length(&mut self, value: &[u8]) -> Result<(), Broken> {
        for one in value.split(|byte| *byte == b',') {
            let one = one.trim_ascii();
            let length = (!one.is_empty() && one.iter().all(u8::is_ascii_digit))
                .then(|| std::str::from_utf8(one).ok()?.parse::<u64>().ok())
                .flatten()
                .ok_or_else(|| Broken::malformed("a Content-Length that is no number"))?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Broken::malformed("two lengths that differ"));
            }
            self.length = Some(length);
        }
        Ok(())
    }
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

    /// What a parser makes of a stream that arrives in these pieces and ends in order.
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
    fn a16_framing_decides_where_a_response_ends() {
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
    fn a16_only_close_notify_completes_what_only_the_end_completes() {
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
    fn b6_heads_and_lines_are_bounded() {
        let mut parser = Parser::new(&Method::GET);
        parser.feed(b"HTTP/1.1 200 OK\r\nA: ").unwrap();
        let fed = (0..100).try_for_each(|_| parser.feed(&[b'x'; 1024]).map(drop));
        assert!(fed.is_err());
        let mut parser = Parser::new(&Method::GET);
        parser
            .feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
            .unwrap();
        assert!(parser.feed(&[b'x'; 2 * CHUNK_LINE_MAX]).is_err());
    }

    proptest! {
        #[test]
        fn b6_however_a_stream_is_cut_it_says_the_same(
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
        fn b6_arbitrary_bytes_never_panic(
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
