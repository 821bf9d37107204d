//! Request heads (RFC 9112, sections 2 to 6): from bytes to a request and the framing of its body.
//!
//! httparse cuts the head into its parts; what the parts may say is decided here, on the strict side
//! wherever two readers of one head could disagree about where the request ends.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{EXPECT, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};

use super::{Facts, Fault, Framing, blank, end_of_head};

/// Fields that are cut on the stack; more of them take memory from the heap.
const FIELDS_ON_STACK: usize = 100;

/// A request head.
#[derive(Debug)]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Its target, in whichever form it came (RFC 9112, section 3.2).
    pub target: Uri,
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    /// Its header fields.
    pub fields: HeaderMap,
    /// Where its body ends.
    pub framing: Framing,
    /// Does the client want to go on with this connection?
    pub persistent: bool,
    /// Does it wait for `100 Continue` before it sends the body?
    pub expects: bool,
}

/// Why a request head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status that says so.
    pub status: StatusCode,
    /// What is wrong, in words.
    pub what: &'static str,
}

const fn refusal(status: StatusCode, what: &'static str) -> Refusal {
    Refusal { status, what }
}

const fn bad(what: &'static str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, what)
}

/// The bounds on a head.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its bytes.
    pub bytes_max: usize,
    /// Its fields.
    pub fields_max: usize,
}

/// Looks for a head at the front of what was received; `None` while its end has not arrived.
/// `seen` bytes were looked at in vain before. Gives the head and its length in bytes.
///
/// # Errors
/// [`Refusal`], which is to be the last response of the connection: where the request ends is not known.
pub fn find(
    received: &[u8],
    seen: usize,
    bounds: Bounds,
) -> Option<Result<(Head, usize), Refusal>> {
    let blank = blank(received);
    let Some(end) = end_of_head(received, seen, blank) else {
        return (received.len() > bounds.bytes_max)
            .then(|| Err(too_long(received.get(blank..).unwrap_or_default())));
    };
    if end > bounds.bytes_max {
        return Some(Err(too_long(received.get(blank..).unwrap_or_default())));
    }
    let head = Bytes::copy_from_slice(received.get(blank..end)?);
    Some(parse(&head, bounds.fields_max).map(|head| (head, end)))
}

fn too_long(head: &[u8]) -> Refusal {
    match memchr::memchr(b'\n', head) {
        Some(_) => refusal(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the header fields are too long",
        ),
        None => refusal(StatusCode::URI_TOO_LONG, "the request line is too long"),
    }
}

fn parse(head: &Bytes, fields_max: usize) -> Result<Head, Refusal> {
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let room: &mut [MaybeUninit<httparse::Header<'_>>] = if fields_max <= FIELDS_ON_STACK {
        on_stack.get_mut(..fields_max).unwrap_or_default()
    } else {
        on_heap.resize_with(fields_max, MaybeUninit::uninit);
        &mut on_heap
    };
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the head is malformed")),
        Err(error) => return Err(explain(error, head)),
    }
    let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(bad("the request line is malformed"));
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("no such method"))?;
    let version = match minor {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let target = Uri::from_maybe_shared(head.slice_ref(path.as_bytes()))
        .map_err(|_| bad("the request target is malformed"))?;
    let mut fields = HeaderMap::with_capacity(request.headers.len());
    let (mut facts, mut hosts) = (Facts::default(), 0);
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| bad("a header field's name is malformed"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| bad("a header field's value is malformed"))?;
        facts.note(field.name, field.value);
        hosts += usize::from(name == HOST);
        fields.append(name, value);
    }
    let framing = facts.of_request(version).map_err(misframed)?;
    check_host(hosts, version)?;
    Ok(Head {
        persistent: facts.persistent(version),
        // A client of HTTP/1.0 does not know of it (RFC 9110, section 10.1.1).
        expects: version == Version::HTTP_11
            && framing != Framing::None
            && fields
                .get(EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        method,
        target,
        version,
        fields,
        framing,
    })
}

fn misframed(fault: Fault) -> Refusal {
    match fault {
        Fault::UnknownCoding => refusal(StatusCode::NOT_IMPLEMENTED, fault.what()),
        _ => bad(fault.what()),
    }
}

fn explain(error: httparse::Error, head: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => refusal(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too many header fields",
        ),
        httparse::Error::Version if speaks_another_version(head) => refusal(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "only HTTP/1.1 and HTTP/1.0 are spoken here without ALPN",
        ),
        httparse::Error::Version | httparse::Error::Token => bad("the request line is malformed"),
        httparse::Error::HeaderName => bad("a header field's name is malformed"),
        httparse::Error::HeaderValue => bad("a header field's value is malformed"),
        httparse::Error::NewLine | httparse::Error::Status => bad("the head is malformed"),
    }
}

/// Does the request line end like one of HTTP, only of another version?
fn speaks_another_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let last = last.strip_suffix(b"\r").unwrap_or(last);
    match last.strip_prefix(b"HTTP/") {
        Some([b'1', b'.', b'0' | b'1']) => false,
        Some([b'0'..=b'9', b'.', b'0'..=b'9'] | [b'0'..=b'9']) => true,
        _ => false,
    }
}

/// RFC 9112, section 3.2.
fn check_host(hosts: usize, version: Version) -> Result<(), Refusal> {
    match hosts {
        1 => Ok(()),
        0 if version == Version::HTTP_10 => Ok(()),
        _ => Err(bad("exactly one Host field is needed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds {
        bytes_max: 1000,
        fields_max: 10,
    };

    fn one(head: &[u8]) -> Result<Head, u16> {
        match find(head, 0, BOUNDS) {
            Some(Ok((head, _))) => Ok(head),
            Some(Err(refusal)) => Err(refusal.status.as_u16()),
            None => Err(0),
        }
    }

    #[test]
    fn heads_and_what_is_none() {
        let many = "A: b\r\n".repeat(20);
        let long = "x".repeat(1000);
        type Found = Result<(Framing, bool), u16>;
        let cases: &[(&str, Found)] = &[
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            ("GET / HTTP/1.1\nHost: a\n\n", Ok((Framing::None, true))),
            (
                "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            ("GET / HTTP/1.0\r\n\r\n", Ok((Framing::None, false))),
            (
                "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
                Ok((Framing::None, false)),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
                Ok((Framing::Length(3), true)),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                Ok((Framing::Length(3), true)),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
                Ok((Framing::Chunked, true)),
            ),
            (
                "GET http://other/x HTTP/1.1\r\nHost: a\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            (
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            // What could be read in two ways.
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Err(501),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
                Err(501),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
                Err(501),
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Err(400)),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(505)),
            ("PRI * HTTP/2.0\r\n\r\n", Err(505)),
            ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Err(505)),
            ("GET /\r\n\r\n", Err(400)),
            ("nonsense\r\n\r\n", Err(400)),
            ("\x16\x03\x01\r\n\r\n", Err(400)),
            (
                &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
                Err(431),
            ),
            (
                &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
                Err(431),
            ),
            (&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"), Err(431)),
            (&format!("GET /{long}"), Err(414)),
            // Not there yet.
            ("GET / HTTP/1.1\r\nHost: a\r\n", Err(0)),
            ("\r\n\r\n", Err(0)),
            ("", Err(0)),
        ];
        for (head, expected) in cases {
            let found = one(head.as_bytes()).map(|head| (head.framing, head.persistent));
            assert_eq!(found, *expected, "{head:?}");
        }
    }

    #[test]
    fn who_waits_to_be_told_to_send() {
        for (version, field, body, expected) in [
            ("1.1", "100-Continue", "Content-Length: 1", true),
            ("1.1", "100-continue", "Transfer-Encoding: chunked", true),
            ("1.1", "100-continue", "Content-Length: 0", false),
            ("1.0", "100-continue", "Content-Length: 1", false),
            ("1.1", "tea", "Content-Length: 1", false),
        ] {
            let head =
                format!("PUT / HTTP/{version}\r\nHost: a\r\nExpect: {field}\r\n{body}\r\n\r\n");
            assert_eq!(one(head.as_bytes()).unwrap().expects, expected, "{head}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = find(&bytes, 0, BOUNDS);
            let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
            head.extend_from_slice(&bytes);
            head.extend_from_slice(b"\r\n\r\n");
            let _ = find(&head, 0, BOUNDS);
        }

        /// However the bytes come, the head ends at the same place.
        #[test]
        fn a_head_may_come_in_pieces(cut in 0usize..60) {
            let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n";
            let cut = cut.min(head.len());
            let first = find(&head[..cut], 0, BOUNDS).map(|found| found.unwrap().1);
            let end = first.or_else(|| find(head, cut, BOUNDS).map(|found| found.unwrap().1));
            prop_assert_eq!(end, Some(33));
        }
    }
}
