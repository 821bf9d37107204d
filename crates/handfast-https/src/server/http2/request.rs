//! From the fields of a header block to a request (RFC 9113, section 8.3).

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use hyper::http::{Method, Uri, Version};

use super::hpack::Field;

/// A request head that is being put together.
#[derive(Debug)]
pub(super) struct Head {
    method: Option<Method>,
    scheme: bool,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    fields: HeaderMap,
    count: usize,
    size: usize,
    malformed: Option<&'static str>,
}

/// What a header block was.
#[derive(Debug)]
pub(super) enum Judged {
    Request(Box<Request>),
    /// A request, but more of it than is taken.
    TooLarge,
    /// The stream's error (RFC 9113, section 8.1.1), which has a number on the wire and no words.
    Malformed(#[cfg_attr(not(test), expect(dead_code))] &'static str),
}

/// A request without its body.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: hyper::Request<()>,
    /// The length of the body, where it is announced.
    pub(super) length: Option<u64>,
    /// Does the client wait for leave to send the body?
    pub(super) expects: bool,
}

/// The bounds on a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes_max: usize,
    pub(super) fields_max: usize,
}

impl Head {
    pub(super) fn new() -> Self {
        Self {
            method: None,
            scheme: false,
            authority: None,
            path: None,
            // What browsers send; growing once is as dear as all the rest.
            fields: HeaderMap::with_capacity(12),
            count: 0,
            size: 0,
            malformed: None,
        }
    }

    /// Adds a field, as far as the bounds allow: a small block can stand for a large list.
    pub(super) fn add(&mut self, field: &Field, size: usize, bounds: Bounds) {
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
            self.malformed = Some("a pseudo-header field twice, or behind a header field");
        }
    }

    fn is_too_large(&self, bounds: Bounds) -> bool {
        self.size > bounds.bytes_max || self.count > bounds.fields_max
    }

    pub(super) fn judge(mut self, bounds: Bounds) -> Judged {
        if let Some(what) = self.malformed {
            return Judged::Malformed(what);
        }
        if self.is_too_large(bounds) {
            return Judged::TooLarge;
        }
        let (Some(method), true, Some(path)) = (self.method.take(), self.scheme, self.path.take())
        else {
            return Judged::Malformed("no :method, no :scheme or no :path");
        };
        // `*` is a target of OPTIONS alone (RFC 9113, section 8.3.1).
        if path == "*" && method != Method::OPTIONS {
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
        let uri = match self.authority.take() {
            Some(authority) => {
                let mut parts = Parts::default();
                parts.scheme = Some(Scheme::HTTPS);
                parts.authority = Some(authority);
                parts.path_and_query = Some(path);
                Uri::from_parts(parts)
            }
            None => Ok(Uri::from(path)),
        };
        let Ok(uri) = uri else {
            return Judged::Malformed("the target is malformed");
        };
        let expects = self
            .fields
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let mut head = hyper::Request::new(());
        *head.method_mut() = method;
        *head.uri_mut() = uri;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.fields;
        Judged::Request(Box::new(Request {
            head,
            length,
            expects,
        }))
    }

    fn length(&self) -> Result<Option<u64>, &'static str> {
        let mut lengths = self.fields.get_all(CONTENT_LENGTH).iter();
        let Some(length) = lengths.next() else {
            return Ok(None);
        };
        let text = length.to_str().unwrap_or_default();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(length) if digits && lengths.next().is_none() => Ok(Some(length)),
            _ => Err("the content-length is malformed"),
        }
    }

    /// Two names for whom the request is meant for must not differ (RFC 9113, section 8.3.1).
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
                Err("the host field is another than the :authority")
            }
            (None, None) => Err("neither :authority nor a host field"),
            _ => Ok(()),
        }
    }

    /// A cookie may come in crumbs (RFC 9113, section 8.2.3), which nobody behind HTTP/2 expects.
    fn join_cookies(&mut self) {
        if self.fields.get_all(COOKIE).iter().nth(1).is_none() {
            return;
        }
        let mut joined = BytesMut::new();
        for crumb in self.fields.get_all(COOKIE) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        bytes_max: 1000,
        fields_max: 5,
    };

    fn judge(fields: &[(&str, &str)]) -> Result<Request, String> {
        let mut decoder = super::super::hpack::Decoder::default();
        let mut block = Vec::new();
        for (name, value) in fields {
            block.extend([0, name.len() as u8]);
            block.extend(name.as_bytes());
            block.push(value.len() as u8);
            block.extend(value.as_bytes());
        }
        let mut head = Head::new();
        decoder
            .decode(&block, |field, size| head.add(field, size, BOUNDS))
            .unwrap();
        match head.judge(BOUNDS) {
            Judged::Request(request) => Ok(*request),
            Judged::TooLarge => Err("too large".into()),
            Judged::Malformed(what) => Err(what.into()),
        }
    }

    const GET: (&str, &str) = (":method", "GET");
    const HTTPS: (&str, &str) = (":scheme", "https");
    const PATH: (&str, &str) = (":path", "/x?y");
    const AUTHORITY: (&str, &str) = (":authority", "a:1");

    #[test]
    fn a20_requests_are_put_together() {
        let request = judge(&[
            GET,
            HTTPS,
            PATH,
            AUTHORITY,
            ("cookie", "a=b"),
            ("content-length", "7"),
            ("cookie", "c=d"),
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
    }

    #[test]
    fn a20_what_is_no_request() {
        let long = "x".repeat(120);
        let large: Vec<_> = [GET, HTTPS, PATH, AUTHORITY]
            .into_iter()
            .chain(std::iter::repeat_n(("x", &long[..]), 7))
            .collect();
        for (fields, part) in [
            (&[HTTPS, PATH, AUTHORITY][..], "no :method"),
            (&[GET, PATH, AUTHORITY], "no :method"),
            (&[GET, HTTPS, AUTHORITY], "no :method"),
            (&[GET, HTTPS, PATH], "neither"),
            (&[GET, GET, HTTPS, PATH, AUTHORITY], "twice"),
            (&[GET, HTTPS, PATH, ("a", "b"), AUTHORITY], "behind"),
            (&[GET, HTTPS, PATH, AUTHORITY, ("host", "b")], "another"),
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
}
