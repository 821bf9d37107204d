//! Assembling a request from the fields of a header block (RFC 9113, section 8.3).

use std::sync::LazyLock;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{Method, Uri, Version};

use super::hpack::{Entry, Fields, static_table};
use super::{Bounds, Judged, Role};
use crate::decimal;
use crate::h1::request::is_host;

/// The server's role: it receives requests.
#[derive(Debug)]
pub struct Requests;

/// One field of a request, validated. Malformed fields are kept as such, because the dynamic table has to
/// stay synchronized with the client's.
#[derive(Debug, Clone)]
pub enum Field {
    Method(Method),
    Scheme,
    Authority(Authority),
    Path(PathAndQuery),
    Plain(HeaderName, HeaderValue),
    Malformed(&'static str),
}

/// The name of a field whose value is not yet known.
#[derive(Debug, Clone)]
pub enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Plain(HeaderName),
    Malformed(&'static str),
}

impl Fields for Requests {
    type Name = Name;
    type Field = Field;

    fn name(name: &[u8]) -> Name {
        parse_name(name)
    }

    fn field(name: &Name, value: &[u8]) -> Field {
        parse_value(name, value)
    }

    fn table() -> &'static [Entry<Self>] {
        static TABLE: LazyLock<Vec<Entry<Requests>>> = LazyLock::new(static_table);
        &TABLE
    }
}

impl Role for Requests {
    const IS_SERVER: bool = true;
    type Head = Head;
    type Message = Box<Request>;

    fn add(head: &mut Head, field: &Field, size: usize, bounds: Bounds) {
        head.add(field, size, bounds);
    }

    fn judge(head: Head, bounds: Bounds) -> Judged<Box<Request>> {
        head.judge(bounds)
    }

    fn trailers(head: Head, bounds: Bounds) -> Result<HeaderMap, &'static str> {
        head.trailers(bounds)
    }

    fn length(request: &Box<Request>) -> Option<u64> {
        request.length
    }

    fn priority(request: &Box<Request>) -> Option<&HeaderMap> {
        Some(request.head.headers())
    }
}

/// A request head that is being assembled.
#[derive(Debug)]
pub struct Head {
    method: Option<Method>,
    scheme: bool,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    fields: HeaderMap,
    count: usize,
    size: usize,
    malformed: Option<&'static str>,
}

/// A request without its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// Method, target, fields.
    pub head: http::Request<()>,
    /// The length of the body, if it is announced.
    pub length: Option<u64>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            method: None,
            scheme: false,
            authority: None,
            path: None,
            // As many fields as browsers send; growing once would cost as much as all the rest.
            fields: HeaderMap::with_capacity(12),
            count: 0,
            size: 0,
            malformed: None,
        }
    }
}

impl Head {
    /// Adds a field, as far as the bounds allow: a small block can expand to a large list.
    fn add(&mut self, field: &Field, size: usize, bounds: Bounds) {
        self.size = self.size.saturating_add(size);
        if self.is_too_large(bounds) || self.malformed.is_some() {
            return;
        }
        let regular_before = self.count > 0;
        let twice = match field {
            Field::Method(method) => self.method.replace(method.clone()).is_some(),
            Field::Scheme => std::mem::replace(&mut self.scheme, true),
            Field::Authority(authority) => self.authority.replace(authority.clone()).is_some(),
            Field::Path(path) => self.path.replace(path.clone()).is_some(),
            Field::Plain(name, value) => {
                self.count += 1;
                if self.count <= bounds.fields_max {
                    self.fields.append(name.clone(), value.clone());
                }
                return;
            }
            Field::Malformed(what) => {
                self.malformed = Some(what);
                return;
            }
        };
        if twice || regular_before {
            self.malformed = Some("a pseudo-header field twice, or after a header field");
        }
    }

    fn is_too_large(&self, bounds: Bounds) -> bool {
        self.size > bounds.bytes_max || self.count > bounds.fields_max
    }

    fn judge(mut self, bounds: Bounds) -> Judged<Box<Request>> {
        if let Some(what) = self.malformed {
            return Judged::Malformed(what);
        }
        if self.is_too_large(bounds) {
            return Judged::TooLarge;
        }
        let Some(method) = self.method.take() else {
            return Judged::Malformed("no :method");
        };
        // CONNECT has an authority and nothing else (RFC 9113, section 8.5).
        let path = match (self.path.take(), self.scheme) {
            (Some(path), true) if method != Method::CONNECT => Some(path),
            (None, false) if method == Method::CONNECT && self.authority.is_some() => None,
            _ => return Judged::Malformed(":scheme or :path is missing or not allowed"),
        };
        // `*` is allowed for OPTIONS only (RFC 9113, section 8.3.1).
        if path.as_ref().is_some_and(|path| path == "*") && method != Method::OPTIONS {
            return Judged::Malformed("the :path is malformed");
        }
        let length = match self.length() {
            Ok(length) => length,
            Err(what) => return Judged::Malformed(what),
        };
        if let Err(what) = self.agree_on_authority() {
            return Judged::Malformed(what);
        }
        self.join_cookies();
        let uri = match (self.authority.take(), path) {
            (None, Some(path)) => Ok(Uri::from(path)),
            (authority, path) => {
                let mut parts = Parts::default();
                parts.scheme = path.is_some().then_some(Scheme::HTTPS);
                parts.authority = authority;
                parts.path_and_query = path;
                Uri::from_parts(parts)
            }
        };
        let Ok(uri) = uri else {
            return Judged::Malformed("the target is malformed");
        };
        let expects = self
            .fields
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let mut head = http::Request::new(());
        *head.method_mut() = method;
        *head.uri_mut() = uri;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.fields;
        Judged::Message(Box::new(Request {
            head,
            length,
            expects,
        }))
    }

    /// The fields of a trailer section: no pseudo-header fields (RFC 9113, section 8.1).
    fn trailers(self, bounds: Bounds) -> Result<HeaderMap, &'static str> {
        if let Some(what) = self.malformed {
            return Err(what);
        }
        if self.is_too_large(bounds) {
            return Err("trailer fields that are too many or too long");
        }
        let pseudo =
            self.method.is_some() || self.scheme || self.authority.is_some() || self.path.is_some();
        if pseudo {
            return Err("a pseudo-header field in a trailer section");
        }
        Ok(self.fields)
    }

    fn length(&self) -> Result<Option<u64>, &'static str> {
        let mut lengths = self.fields.get_all(CONTENT_LENGTH).iter();
        let Some(length) = lengths.next() else {
            return Ok(None);
        };
        match decimal(length.as_bytes()) {
            Some(length) if lengths.next().is_none() => Ok(Some(length)),
            _ => Err("the content-length is malformed"),
        }
    }

    /// `:authority` and `host` must not differ (RFC 9113, section 8.3.1).
    fn agree_on_authority(&self) -> Result<(), &'static str> {
        let mut hosts = self.fields.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err("more than one host field");
        }
        match (&self.authority, host) {
            (Some(authority), Some(host))
                if !host
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
            {
                Err("the host field differs from the :authority")
            }
            (None, None) => Err("neither :authority nor a host field"),
            (None, Some(host)) if authority(host.as_bytes()).is_none() => {
                Err("the host field is malformed")
            }
            _ => Ok(()),
        }
    }

    /// Cookies may be split into several fields (RFC 9113, section 8.2.3), which only HTTP/2 allows.
    fn join_cookies(&mut self) {
        if self.fields.get_all(COOKIE).iter().nth(1).is_none() {
            return;
        }
        let mut joined = BytesMut::new();
        let crumbs = self.fields.get_all(COOKIE).iter();
        for crumb in crumbs.filter(|crumb| !crumb.is_empty()) {
            if !joined.is_empty() {
                joined.put_slice(b"; ");
            }
            joined.put_slice(crumb.as_bytes());
        }
        if let Ok(cookie) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
            self.fields.insert(COOKIE, cookie);
        }
    }
}

fn parse_name(name: &[u8]) -> Name {
    match name {
        b":method" => Name::Method,
        b":scheme" => Name::Scheme,
        b":authority" => Name::Authority,
        b":path" => Name::Path,
        [b':', ..] => Name::Malformed("a pseudo-header field that requests do not have"),
        // Connection-specific fields are not allowed in HTTP/2 (RFC 9113, section 8.2.2).
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Name::Malformed("a header field that belongs to a connection of HTTP/1.1")
        }
        _ => match HeaderName::from_lowercase(name) {
            Ok(name) => Name::Plain(name),
            Err(_) => Name::Malformed("a header field's name is malformed"),
        },
    }
}

/// A host and an optional port, without user information (RFC 9113, section 8.3.1).
fn authority(value: &[u8]) -> Option<Authority> {
    if !is_host(value) {
        return None;
    }
    Authority::from_maybe_shared(Bytes::copy_from_slice(value)).ok()
}

fn parse_value(name: &Name, value: &[u8]) -> Field {
    let parsed = match name {
        Name::Method => Method::from_bytes(value).ok().map(Field::Method),
        // Over TLS, requests are for this server regardless of the scheme; `http` comes from proxies.
        Name::Scheme => (value == b"https" || value == b"http").then_some(Field::Scheme),
        Name::Authority => authority(value).map(Field::Authority),
        Name::Path => (value.starts_with(b"/") || value == b"*")
            .then(|| PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(value)).ok())
            .flatten()
            .map(Field::Path),
        Name::Plain(name) => {
            let trimmed = value
                .first()
                .is_none_or(|byte| !matches!(byte, b' ' | b'\t'))
                && value
                    .last()
                    .is_none_or(|byte| !matches!(byte, b' ' | b'\t'));
            HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value))
                .ok()
                .filter(|_| trimmed && (name != TE || value == b"trailers"))
                .map(|value| Field::Plain(name.clone(), value))
        }
        Name::Malformed(what) => return Field::Malformed(what),
    };
    parsed.unwrap_or(Field::Malformed(match name {
        Name::Method => "the :method is malformed",
        Name::Scheme => "the :scheme is neither https nor http",
        Name::Authority => "the :authority is malformed",
        Name::Path => "the :path is malformed",
        Name::Plain(_) | Name::Malformed(_) => "a header field's value is malformed",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        bytes_max: 1000,
        fields_max: 5,
    };

    fn judge(fields: &[(&str, &str)]) -> Result<Request, String> {
        let mut decoder = super::super::hpack::Decoder::<Requests>::default();
        let mut block = Vec::new();
        for (name, value) in fields {
            block.extend([0, name.len() as u8]);
            block.extend(name.as_bytes());
            block.push(value.len() as u8);
            block.extend(value.as_bytes());
        }
        let mut head = Head::default();
        decoder
            .decode(&block, |field, size| head.add(field, size, BOUNDS))
            .unwrap();
        match head.judge(BOUNDS) {
            Judged::Message(request) => Ok(*request),
            Judged::TooLarge => Err("too large".into()),
            Judged::Malformed(what) => Err(what.into()),
        }
    }

    const GET: (&str, &str) = (":method", "GET");
    const HTTPS: (&str, &str) = (":scheme", "https");
    const PATH: (&str, &str) = (":path", "/x?y");
    const AUTHORITY: (&str, &str) = (":authority", "a:1");

    #[test]
    fn requests_are_assembled() {
        let request = judge(&[
            GET,
            HTTPS,
            PATH,
            AUTHORITY,
            ("cookie", "a=b"),
            ("content-length", "7"),
            ("cookie", "c=d"),
            ("cookie", ""),
            ("expect", "100-Continue"),
        ])
        .unwrap();
        assert_eq!(request.head.uri(), "https://a:1/x?y");
        assert_eq!(request.head.headers()[COOKIE], "a=b; c=d");
        assert_eq!(request.length, Some(7));
        assert!(request.expects);
        let by_host = judge(&[GET, HTTPS, PATH, ("host", "b")]).unwrap();
        assert_eq!(by_host.head.uri(), "/x?y");
        let same = judge(&[GET, HTTPS, PATH, AUTHORITY, ("host", "A:1")]);
        assert!(same.is_ok());
        let star = judge(&[(":method", "OPTIONS"), HTTPS, (":path", "*"), AUTHORITY]);
        assert_eq!(star.unwrap().head.uri().path(), "*");
        let connect = judge(&[(":method", "CONNECT"), AUTHORITY]).unwrap();
        assert_eq!(connect.head.uri(), "a:1");
    }

    #[test]
    fn malformed_requests() {
        let long = "x".repeat(120);
        let large: Vec<_> = [GET, HTTPS, PATH, AUTHORITY]
            .into_iter()
            .chain(std::iter::repeat_n(("x", &long[..]), 7))
            .collect();
        for (fields, part) in [
            (&[HTTPS, PATH, AUTHORITY][..], "no :method"),
            (&[GET, PATH, AUTHORITY], ":scheme or :path"),
            (&[GET, HTTPS, AUTHORITY], ":scheme or :path"),
            (
                &[(":method", "CONNECT"), HTTPS, PATH, AUTHORITY],
                ":scheme or :path",
            ),
            (&[(":method", "CONNECT")], ":scheme or :path"),
            (&[GET, HTTPS, PATH], "neither"),
            (&[GET, GET, HTTPS, PATH, AUTHORITY], "twice"),
            (&[GET, HTTPS, PATH, ("a", "b"), AUTHORITY], "after"),
            (&[GET, HTTPS, PATH, AUTHORITY, ("host", "b")], "differs"),
            (&[GET, HTTPS, PATH, ("host", "a b")], "host field"),
            (&[GET, HTTPS, PATH, ("host", "")], "host field"),
            (&[GET, HTTPS, PATH, ("host", "user@a")], "host field"),
            (&[GET, HTTPS, PATH, (":authority", "user@a")], ":authority"),
            (&[GET, HTTPS, PATH, (":authority", "")], ":authority"),
            (
                &[GET, HTTPS, PATH, ("host", "b"), ("host", "b")],
                "more than one",
            ),
            (&[GET, HTTPS, (":path", "*"), AUTHORITY], ":path"),
            (
                &[GET, HTTPS, PATH, AUTHORITY, ("content-length", "+1")],
                "content-length",
            ),
            (
                &[
                    GET,
                    HTTPS,
                    PATH,
                    AUTHORITY,
                    ("content-length", "1"),
                    ("content-length", "1"),
                ],
                "content-length",
            ),
            (
                &[GET, HTTPS, PATH, AUTHORITY, ("connection", "close")],
                "connection",
            ),
            (&[GET, HTTPS, PATH, AUTHORITY, (":x", "y")], "pseudo-header"),
            (&large, "too large"),
            (
                &[
                    GET,
                    HTTPS,
                    PATH,
                    AUTHORITY,
                    ("a", ""),
                    ("b", ""),
                    ("c", ""),
                    ("d", ""),
                    ("e", ""),
                    ("f", ""),
                ],
                "too large",
            ),
        ] {
            let error = judge(fields).unwrap_err();
            assert!(error.contains(part), "{fields:?}: {error}");
        }
    }

    #[test]
    fn fields_are_validated_once() {
        for (name, value, expected) in [
            ("a", "b", "Plain(\"a\", \"b\")"),
            (
                "A",
                "b",
                "Malformed(\"a header field's name is malformed\")",
            ),
            (
                "a",
                " b",
                "Malformed(\"a header field's value is malformed\")",
            ),
            (
                "a",
                "b\n",
                "Malformed(\"a header field's value is malformed\")",
            ),
            ("te", "trailers", "Plain(\"te\", \"trailers\")"),
            (
                "te",
                "gzip",
                "Malformed(\"a header field's value is malformed\")",
            ),
            (
                "upgrade",
                "h2c",
                "Malformed(\"a header field that belongs to a connection of HTTP/1.1\")",
            ),
            (
                ":status",
                "200",
                "Malformed(\"a pseudo-header field that requests do not have\")",
            ),
            (":path", "", "Malformed(\"the :path is malformed\")"),
            (":path", "a/b", "Malformed(\"the :path is malformed\")"),
            (":path", "*", "Path(*)"),
            (
                ":scheme",
                "ftp",
                "Malformed(\"the :scheme is neither https nor http\")",
            ),
            (":method", "A B", "Malformed(\"the :method is malformed\")"),
        ] {
            let name = Requests::name(name.as_bytes());
            let field = Requests::field(&name, value.as_bytes());
            assert_eq!(format!("{field:?}"), expected);
        }
    }
}
