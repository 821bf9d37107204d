//! Parsing request heads (RFC 9112, sections 2 to 6), with the framing of the body.
//!
//! httparse splits the head into its parts; this module validates them, strictly wherever two parsers
//! could disagree about where the request ends.

use std::mem::MaybeUninit;
use std::net::Ipv6Addr;

use bytes::Bytes;
use http::header::{EXPECT, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, StatusCode, Uri, Version};

use super::{Facts, Fault, Framing, blank, end_of_head};

/// Fields that are parsed on the stack; more of them need memory from the heap.
const FIELDS_ON_STACK: usize = 100;

/// A request head.
#[derive(Debug)]
#[non_exhaustive]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Its target, in the form that was received (RFC 9112, section 3.2).
    pub target: Uri,
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    /// Its header fields.
    pub fields: HeaderMap,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether the client keeps this connection open.
    pub persistent: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects: bool,
}

/// The reason for refusing a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the response.
    pub status: StatusCode,
    /// A description of the problem.
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
    /// Its fields as received: a target in absolute form may add the Host (RFC 9112, section 3.2.2).
    pub fields_max: usize,
}

/// Looks for a head at the front of the received bytes; `None` if it is incomplete.
/// The first `seen` bytes were searched before. Returns the head and its length in bytes.
///
/// # Errors
/// [`Refusal`], which must be the last response on the connection: the end of the request is unknown.
pub fn find(
    received: &[u8],
    seen: usize,
    bounds: Bounds,
) -> Option<Result<(Head, usize), Refusal>> {
    let blank = blank(received);
    let Some(end) = end_of_head(received, seen, blank) else {
        return (received.len() > bounds.bytes_max).then(|| {
            let head = received.get(blank..).unwrap_or_default();
            Err(too_long(head, bounds.bytes_max))
        });
    };
    if end > bounds.bytes_max {
        let head = received.get(blank..).unwrap_or_default();
        return Some(Err(too_long(head, bounds.bytes_max)));
    }
    let head = Bytes::copy_from_slice(received.get(blank..end)?);
    Some(parse(&head, bounds.fields_max).map(|head| (head, end)))
}

/// The error names whichever is longer, the request line or the fields.
fn too_long(head: &[u8], bytes_max: usize) -> Refusal {
    match memchr::memchr(b'\n', head) {
        Some(line) if line <= bytes_max / 2 => refusal(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the header fields are too long",
        ),
        _ => URI_TOO_LONG,
    }
}

const URI_TOO_LONG: Refusal = refusal(StatusCode::URI_TOO_LONG, "the request line is too long");

/// The longest target that [`Uri`] accepts.
const TARGET_MAX: usize = u16::MAX as usize - 1;

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
        Err(error) => {
            if error == httparse::Error::Version
                && let Some(head) = as_version_11(head)
            {
                return parse(&head, fields_max);
            }
            return Err(explain(error, head));
        }
    }
    let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(bad("the request line is malformed"));
    };
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| bad("the method is malformed"))?;
    let version = match minor {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    if path.len() > TARGET_MAX {
        return Err(URI_TOO_LONG);
    }
    let target = Uri::from_maybe_shared(head.slice_ref(path.as_bytes()))
        .map_err(|_| bad("the request target is malformed"))?;
    check_form(&target, &method)?;
    let mut fields = HeaderMap::with_capacity(request.headers.len());
    let (mut facts, mut hosts) = (Facts::default(), Hosts::None);
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| bad("a header field's name is malformed"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| bad("a header field's value is malformed"))?;
        facts.note(field.name, field.value);
        if name == HOST {
            hosts = hosts.and(&value);
        }
        fields.append(name, value);
    }
    let framing = facts.of_request(version).map_err(misframed)?;
    hosts.check(version)?;
    if let Some(authority) = target.authority()
        && method != Method::CONNECT
    {
        agree(&mut fields, authority)?;
    }
    Ok(Head {
        persistent: facts.persistent(version),
        // Not defined for HTTP/1.0 (RFC 9110, section 10.1.1).
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
        httparse::Error::Version if has_another_version(head) => refusal(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "without ALPN, only HTTP/1.1 and HTTP/1.0 are supported",
        ),
        httparse::Error::Version | httparse::Error::Token => bad("the request line is malformed"),
        httparse::Error::HeaderName => bad("a header field's name is malformed"),
        httparse::Error::HeaderValue => bad("a header field's value is malformed"),
        httparse::Error::NewLine | httparse::Error::Status => bad("the head is malformed"),
    }
}

/// The version at the end of the request line: its major digit, and the rest.
fn version(head: &[u8]) -> Option<(u8, &[u8])> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let last = line.rsplit(|byte| *byte == b' ').next()?;
    let last = last.strip_suffix(b"\r").unwrap_or(last);
    let (major, minor) = last.strip_prefix(b"HTTP/")?.split_first()?;
    major.is_ascii_digit().then_some((*major, minor))
}

/// Whether the request line ends with another version of HTTP.
fn has_another_version(head: &[u8]) -> bool {
    match version(head) {
        Some((b'1', [b'.', b'0' | b'1'])) => false,
        Some((_, [b'.', b'0'..=b'9'] | [])) => true,
        _ => false,
    }
}

/// Converts a head of a later minor version to HTTP/1.1, as which it is processed (RFC 9110, section 2.5).
fn as_version_11(head: &Bytes) -> Option<Bytes> {
    let Some((b'1', [b'.', b'2'..=b'9'])) = version(head) else {
        return None;
    };
    let end = memchr::memchr(b'\n', head)?;
    let line = head.get(..end)?;
    let digit = line
        .strip_suffix(b"\r")
        .unwrap_or(line)
        .len()
        .checked_sub(1)?;
    let mut head = head.to_vec();
    *head.get_mut(digit)? = b'1';
    Some(head.into())
}

/// Checks that the form of the target is allowed for the method (RFC 9112, section 3.2).
fn check_form(target: &Uri, method: &Method) -> Result<(), Refusal> {
    let fits = match (target.scheme(), target.authority()) {
        // absolute-form, and for CONNECT authority-form.
        (Some(_), Some(_)) => *method != Method::CONNECT,
        (None, Some(_)) => *method == Method::CONNECT,
        // origin-form; asterisk-form is for OPTIONS.
        _ if target.path() == "*" => *method == Method::OPTIONS,
        _ => target.path().starts_with('/') && *method != Method::CONNECT,
    };
    match fits {
        true => Ok(()),
        false => Err(bad("the request target is malformed")),
    }
}

/// The Host fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosts {
    None,
    One,
    /// One that is not an authority.
    Malformed,
    Several,
}

impl Hosts {
    fn and(self, value: &HeaderValue) -> Self {
        match self {
            Self::None if is_host(value.as_bytes()) => Self::One,
            Self::None => Self::Malformed,
            _ => Self::Several,
        }
    }

    /// RFC 9112, section 3.2.
    fn check(self, version: Version) -> Result<(), Refusal> {
        match self {
            Self::One => Ok(()),
            Self::None if version == Version::HTTP_10 => Ok(()),
            Self::None | Self::Several => Err(bad("exactly one Host field is needed")),
            Self::Malformed => Err(bad("the Host is malformed")),
        }
    }
}

/// The authority of a target in absolute form replaces the Host field (RFC 9112, section 3.2.2), so that all
/// later readers of the request use the same one.
fn agree(fields: &mut HeaderMap, authority: &Authority) -> Result<(), Refusal> {
    let authority = authority.as_str();
    if !is_host(authority.as_bytes()) {
        return Err(bad("the request target's authority is malformed"));
    }
    let agrees = fields
        .get(HOST)
        .is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
    if !agrees {
        let host = HeaderValue::from_str(authority)
            .map_err(|_| bad("the request target's authority is malformed"))?;
        fields.insert(HOST, host);
    }
    Ok(())
}

/// `uri-host [ ":" port ]` (RFC 9110, section 7.2), with a host, which `https` URIs require.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let mut at = 0;
    // A registered name or an IPv4 address, which has the same syntax (RFC 3986, section 3.2.2).
    loop {
        let rest = value.get(at..).unwrap_or_default();
        let plain = rest
            .iter()
            .position(|byte| !IN_REG_NAME[usize::from(*byte)]);
        at += plain.unwrap_or(rest.len());
        match value.get(at..).unwrap_or_default() {
            [] => return at > 0,
            [b':', digits @ ..] => return at > 0 && is_port(digits),
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => at += 3,
            [b'[', literal @ ..] if at == 0 => return is_ip_literal(literal),
            _ => return false,
        }
    }
}

/// Characters allowed unescaped in a registered name: unreserved ones and sub-delimiters (RFC 3986, section
/// 3.2.2).
const IN_REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// `::1]`, optionally with a port.
fn is_ip_literal(rest: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b']', rest) else {
        return false;
    };
    let (literal, after) = rest.split_at(end);
    let is_address =
        std::str::from_utf8(literal).is_ok_and(|literal| literal.parse::<Ipv6Addr>().is_ok());
    let fits = match after {
        [b']'] => true,
        [b']', b':', digits @ ..] => is_port(digits),
        _ => false,
    };
    is_address && fits
}

/// Digits of a port, or none.
fn is_port(digits: &[u8]) -> bool {
    let mut port: u32 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() || port > u32::from(u16::MAX) {
            return false;
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    port <= u32::from(u16::MAX)
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
    fn valid_and_malformed_heads() {
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
            // Ambiguous.
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
            (
                &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
                Err(414),
            ),
            (&format!("GET /{long} HTTP/1.1\r\n"), Err(414)),
            // A later minor version is processed as the latest supported one.
            (
                "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
                Ok((Framing::None, true)),
            ),
            ("GET / HTTP/1.9\nHost: a\n\n", Ok((Framing::None, true))),
            (
                "POST / HTTP/1.2\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                Ok((Framing::Chunked, true)),
            ),
            ("GET / HTTP/1.2\r\n\r\n", Err(400)),
            ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", Err(400)),
            ("GET / HTTP/1.x\r\nHost: a\r\n\r\n", Err(400)),
            // Incomplete.
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
    fn which_requests_expect_100_continue() {
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

    #[test]
    fn the_authority_of_the_target_replaces_the_host() {
        let cases: &[(&str, &str, Result<&str, u16>)] = &[
            ("GET /", "a.example", Ok("a.example")),
            ("GET /", "A.example:8443", Ok("A.example:8443")),
            ("GET /", "a:", Ok("a:")),
            ("GET /", "127.0.0.1:1", Ok("127.0.0.1:1")),
            ("GET /", "[::1]:1", Ok("[::1]:1")),
            ("GET /", "a_b~c.%2e!", Ok("a_b~c.%2e!")),
            ("GET http://a/x", "a", Ok("a")),
            ("GET http://a/x", "A", Ok("A")),
            ("GET http://other:80/x", "a", Ok("other:80")),
            ("OPTIONS *", "a", Ok("a")),
            ("CONNECT a:443", "a:443", Ok("a:443")),
            ("CONNECT a:443", "b", Ok("b")),
            ("GET /", "", Err(400)),
            ("GET /", "user@a", Err(400)),
            ("GET /", "a b", Err(400)),
            ("GET /", "a,b c", Err(400)),
            ("GET /", "a/b", Err(400)),
            ("GET /", "a?b", Err(400)),
            ("GET /", "a%2", Err(400)),
            ("GET /", "a:b", Err(400)),
            ("GET /", "a:-1", Err(400)),
            ("GET /", "a:65536", Err(400)),
            ("GET /", "a:1:2", Err(400)),
            ("GET /", "::1", Err(400)),
            ("GET /", "[::1", Err(400)),
            ("GET /", "[::1]x", Err(400)),
            ("GET /", "[a]", Err(400)),
            ("GET /", ":80", Err(400)),
            ("GET /", "\u{e4}", Err(400)),
            ("GET http://a/x", "a b", Err(400)),
            ("GET http://user@a/x", "a", Err(400)),
            ("GET *", "a", Err(400)),
            ("GET a:443", "a", Err(400)),
            ("GET a", "a", Err(400)),
            ("CONNECT /", "a", Err(400)),
            ("CONNECT http://a/", "a", Err(400)),
        ];
        for (line, host, expected) in cases {
            let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let found = one(head.as_bytes());
            let found = found.map(|head| head.fields[HOST].to_str().unwrap().to_owned());
            assert_eq!(
                found.as_deref(),
                expected.as_ref().map(|host| *host),
                "{head:?}"
            );
        }
        assert!(one(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n").is_err());
    }

    #[test]
    fn a_target_that_is_too_long_is_refused_with_414() {
        let bounds = Bounds {
            bytes_max: 200_000,
            fields_max: 10,
        };
        for (length, status) in [(65_000, 200), (65_533, 200), (65_534, 414), (150_000, 414)] {
            let target = "x".repeat(length);
            let head = format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let found = find(head.as_bytes(), 0, bounds).unwrap();
            assert_eq!(
                found.map_or_else(|it| it.status.as_u16(), |_| 200),
                status,
                "{length}"
            );
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

        #[test]
        fn a_head_may_arrive_in_pieces(cut in 0usize..60) {
            let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n";
            let cut = cut.min(head.len());
            let first = find(&head[..cut], 0, BOUNDS).map(|found| found.unwrap().1);
            let end = first.or_else(|| find(head, cut, BOUNDS).map(|found| found.unwrap().1));
            prop_assert_eq!(end, Some(33));
        }
    }
}
