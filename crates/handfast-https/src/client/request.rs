//! A request as its caller means it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};
use url::{Host, Url};

use super::credentials::{basic, text_without_credentials, without_credentials};
use super::error::Error;
use super::event::{Callback, Callbacks, Event};
use super::origin::Origin;
use super::target::{Target, asks};
use super::upload::{Outflow, Upload};

/// A request: method, URL, header fields, body.
///
/// The client adds `Host` and the body's length, nothing else. Credentials in the URL become an
/// `Authorization` field (RFC 7617) and are removed from the URL.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    /// The zone of the URL's address, which is not part of it.
    pub(super) zone: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// A body that is made while it is sent, in place of `body`.
    pub(super) upload: Option<Upload>,
    /// Over HTTP/1.1 the server is asked before a body of more bytes is sent.
    pub(super) asks_above: Option<u64>,
    pub(super) observer: Option<Callback>,
    /// Since when the limit on all of it counts.
    pub(super) began: Option<Instant>,
    /// Its URL, and those that it is redirected to, may be without TLS.
    pub(super) allows_http: bool,
    /// After a redirect: the origin that the client certificate is for, which is that of the first URL.
    pub(super) identity_for: Option<url::Origin>,
    #[cfg(feature = "digest")]
    pub(super) digest: Option<super::digest::DigestCredentials>,
}

/// Secrets are not shown.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .field("body", &self.body.len())
            .field("upload", &self.upload)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A `GET` of this URL.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn get(url: &str) -> Result<Self, Error> {
        Self::new(Method::GET, url)
    }

    /// A request of this URL.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`]; [`Error::PlainHttp`] or [`Error::UnsupportedScheme`] when its scheme is
    /// another than `https`.
    pub fn new(method: Method, url: &str) -> Result<Self, Error> {
        Self::of(method, url, false)
    }

    /// A request of this URL, whose scheme may be `http`: then there is no TLS, and anyone on the path can read and change
    /// what goes over it. Redirects of such a URL may lead to others; redirects from `https` to `http` still fail, unless
    /// [`ClientBuilder::redirects_to_http`](super::ClientBuilder::redirects_to_http) allows them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_allowing_http(method: Method, url: &str) -> Result<Self, Error> {
        Self::of(method, url, true)
    }

    fn of(method: Method, url: &str, allows_http: bool) -> Result<Self, Error> {
        let (written, zone) = split_zone(url);
        let parsed = Url::parse(&written).map_err(|error| Error::InvalidUrl {
            text: text_without_credentials(url),
            problem: error.to_string(),
        })?;
        // What a URL takes for an address that is not meant: 8443 for 0.0.32.251.
        handfast_dial::refuse_number_in_url(url).map_err(|error| Error::InvalidUrl {
            text: text_without_credentials(url),
            problem: error.cause().to_string(),
        })?;
        let mut request = Self {
            method,
            url: check_scheme(parsed, None, allows_http)?,
            zone,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            upload: None,
            asks_above: None,
            observer: None,
            began: None,
            allows_http,
            identity_for: None,
            #[cfg(feature = "digest")]
            digest: None,
        };
        request.move_credentials();
        Ok(request)
    }

    /// With this header field, besides any others of the same name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Answers a challenge of Digest authentication (RFC 7616) with these credentials, in place of an `Authorization` field.
    /// Its body is sent again, where it can be.
    #[cfg(feature = "digest")]
    #[must_use]
    pub fn with_digest(mut self, credentials: super::digest::DigestCredentials) -> Self {
        self.headers.remove(AUTHORIZATION);
        self.digest = Some(credentials);
        self
    }

    /// With this body. Its length is announced.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.upload = None;
        self
    }

    /// Over HTTP/1.1, asks the server (`Expect: 100-continue`; RFC 9110, section 10.1.1) before a body of more than `bytes`,
    /// or of unknown length, is sent. It is sent when the server agrees, or has not answered for a second; if the server
    /// answers with an error, it is not sent. After 417 the request is sent again without asking. Default: does not ask,
    /// unless there is such a header field.
    #[must_use]
    pub fn with_expect_continue(mut self, bytes: u64) -> Self {
        self.asks_above = Some(bytes);
        self
    }

    /// With a body that is made while it is sent. It can be sent once, unless it is [`Upload::repeatable`].
    #[must_use]
    pub fn with_upload(mut self, upload: Upload) -> Self {
        self.body = Bytes::new();
        self.upload = Some(upload);
        self
    }

    /// The limit on all of it ([`total_max`](super::ClientBuilder::total_max)) counts from this moment: for a request that goes on
    /// with what another began. Default: from when it is sent.
    #[must_use]
    pub fn begun_at(mut self, began: Instant) -> Self {
        self.began = Some(began);
        self
    }

    /// Tells this function what happens in its exchange, as it happens, besides
    /// [that of the client](super::ClientBuilder::observer) and those that were given before. A connection that is closed
    /// afterwards, with others, is none of it. Default: none.
    #[must_use]
    pub fn with_observer(mut self, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(match self.observer.take() {
            None => Callback(Arc::new(observe)),
            Some(Callback(before)) => Callback(Arc::new(move |event: &Event<'_>| {
                before(event);
                observe(event);
            })),
        });
        self
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its URL, without credentials.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Is its URL one without TLS?
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Its header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its header fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Does it ask the server before its body is sent over HTTP/1.1?
    pub(super) fn asks_before_body(&self) -> bool {
        let has_body = self.upload.is_some() || !self.body.is_empty();
        let is_large = |above| self.body_bytes().is_none_or(|bytes| bytes > above);
        has_body && (asks(&self.headers) || self.asks_above.is_some_and(is_large))
    }

    /// It does not ask any more.
    pub(super) fn stop_asking(&mut self) {
        self.headers.remove(EXPECT);
        self.asks_above = None;
    }

    /// Its body, where that is in memory.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Its body, where that is made while it is sent.
    pub fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }

    /// The length of its body, as far as it is known.
    pub(super) fn body_bytes(&self) -> Option<u64> {
        match &self.upload {
            Some(upload) => upload.length(),
            None => Some(self.body.len() as u64),
        }
    }

    /// Can all of it be sent, for the first time or again? Not after a part of an [`Upload`] was sent that can be sent
    /// once.
    pub fn is_repeatable(&self) -> bool {
        self.upload.as_ref().is_none_or(Upload::is_untouched)
    }

    /// Its body, if it is in memory, becomes one that is made while it is sent: then it can be held back.
    pub(super) fn spread_body(&mut self) {
        if self.body.is_empty() {
            return;
        }
        let body = std::mem::take(&mut self.body);
        let length = body.len() as u64;
        let upload = Upload::repeatable(move || std::io::Cursor::new(body.clone()));
        self.upload = Some(upload.with_length(length));
    }

    /// Takes its body for an exchange.
    pub(super) fn begin_upload(&self, callbacks: &Callbacks) -> Result<Option<Outflow>, Error> {
        let Some(upload) = &self.upload else {
            return Ok(None);
        };
        match upload.begin() {
            Some(outflow) => Ok(Some(outflow.observed(callbacks))),
            None => Err(Error::InvalidRequest {
                problem: "its body can be sent once, and was sent, or is being sent".to_owned(),
            }),
        }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            host: match self.url.host() {
                Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
                Some(Host::Ipv4(address)) => address.to_string(),
                Some(Host::Ipv6(address)) => address.to_string(),
                None => String::new(),
            },
            port: self.url.port_or_known_default().unwrap_or(443),
            is_plain: self.is_plain(),
            zone: self.zone.clone(),
            is_anonymous: (self.identity_for.as_ref())
                .is_some_and(|origin| *origin != self.url.origin()),
        }
    }

    /// May it be sent twice without harm (RFC 9110, section 9.2.2)?
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            Method::GET
                | Method::HEAD
                | Method::OPTIONS
                | Method::TRACE
                | Method::PUT
                | Method::DELETE
        )
    }

    /// The URL as proxies get it: without credentials and fragment.
    pub(super) fn absolute(&self) -> &str {
        &self.url[..url::Position::AfterQuery]
    }

    /// Path and query, as they are sent.
    pub(super) fn path(&self) -> &str {
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        if path.starts_with('/') { path } else { "/" }
    }

    /// The request without its version: who is asked, for what, with which fields.
    pub(super) fn target(&self) -> Result<Target, Error> {
        let invalid = |problem: &str| Error::InvalidRequest {
            problem: problem.to_owned(),
        };
        let mut fields = self.headers.clone();
        let host = match fields.remove(HOST) {
            Some(value) => value,
            None => {
                let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
                HeaderValue::try_from(authority).map_err(|error| invalid(&error.to_string()))?
            }
        };
        let path = self.path();
        // A length of the caller's own must not contradict the body: what follows would be read as
        // another request.
        for length in fields.get_all(CONTENT_LENGTH) {
            let known = self.body_bytes().map(|bytes| bytes.to_string());
            if known.as_deref().map(str::as_bytes) != Some(length.as_bytes()) {
                return Err(invalid("its Content-Length is not the length of its body"));
            }
        }
        fields.remove(CONTENT_LENGTH);
        let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
        let coding = codings.next();
        let is_chunked = coding.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if codings.next().is_some() || coding.is_some() && !is_chunked {
            return Err(invalid("no Transfer-Encoding but chunked can be sent"));
        }
        fields.remove(TRANSFER_ENCODING);
        let has_length = !self.body.is_empty() || self.upload.is_some()
            // RFC 9110, section 8.6: where a body is usual, that there is none is said.
            || matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        Ok(Target {
            host,
            path: path.to_owned(),
            fields,
            length: self.body_bytes().filter(|_| has_length),
            is_chunked: is_chunked || self.upload.is_some() && self.body_bytes().is_none(),
            is_upload: self.upload.is_some(),
        })
    }

    fn move_credentials(&mut self) {
        let (name, secret) = (self.url.username(), self.url.password());
        if name.is_empty() && secret.is_none() {
            return;
        }
        let value = basic(name, secret.unwrap_or_default());
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        // Neither can fail for a URL with a host.
        let _ = self.url.set_username("");
        let _ = self.url.set_password(None);
    }
}

/// Takes the zone out of a URL such as `https://[fe80::1%25eth0]/`. `%25` is a percent sign in a URL (RFC 6874); the sign
/// itself is taken, too, as browsers and curl do.
fn split_zone(url: &str) -> (Cow<'_, str>, Option<String>) {
    let found = || {
        let start = url.find("://")?.checked_add(3)?;
        let authority = url.get(start..)?.split(['/', '?', '#']).next()?;
        let open = start.checked_add(authority.rfind('[')?)?;
        let close = open.checked_add(url.get(open..)?.find(']')?)?;
        let sign = open.checked_add(url.get(open..close)?.find('%')?)?;
        let zone = url.get(sign..close)?;
        let zone = zone
            .strip_prefix("%25")
            .or_else(|| zone.strip_prefix('%'))?;
        let zone = percent_encoding::percent_decode_str(zone)
            .decode_utf8()
            .ok()?;
        let bare = format!("{}{}", url.get(..sign)?, url.get(close..)?);
        (!zone.is_empty()).then(|| (Cow::Owned(bare), Some(zone.into_owned())))
    };
    found().unwrap_or((Cow::Borrowed(url), None))
}

/// Only https is fetched.
pub(super) fn check_scheme(
    url: Url,
    redirected_from: Option<&Url>,
    allows_http: bool,
) -> Result<Url, Error> {
    match url.scheme() {
        "https" | "http" if url.host_str().is_none_or(str::is_empty) => {}
        "http" if allows_http => return Ok(url),
        "https" => return Ok(url),
        "http" => {
            return Err(Error::PlainHttp {
                url: without_credentials(&url),
                redirected_from: redirected_from.map(Url::to_string),
            });
        }
        other => {
            return Err(Error::UnsupportedScheme {
                url: without_credentials(&url),
                scheme: other.to_owned(),
                redirected_from: redirected_from.map(Url::to_string),
            });
        }
    }
    Err(Error::InvalidUrl {
        text: without_credentials(&url),
        problem: "it has no host".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use http::header::{CONNECTION, TE};

    use super::*;

    #[test]
    fn a_zone_is_for_connecting_and_never_sent() {
        for (url, zone, bare) in [
            (
                "https://[fe80::1%25eth0]:8443/a%25b",
                Some("eth0"),
                "https://[fe80::1]:8443/a%25b",
            ),
            (
                "https://[fe80::1%eth0]/",
                Some("eth0"),
                "https://[fe80::1]/",
            ),
            (
                "https://u:p@[fe80::1%25a%2Db]/",
                Some("a-b"),
                "https://[fe80::1]/",
            ),
            ("https://[fe80::1]/%25", None, "https://[fe80::1]/%25"),
            (
                "https://a.example/[x%25y]",
                None,
                "https://a.example/[x%25y]",
            ),
        ] {
            let request = Request::get(url).unwrap();
            assert_eq!(request.url(), bare);
            let origin = request.origin();
            assert_eq!(origin.zone.as_deref(), zone, "{url}");
            let place = zone.map_or_else(|| origin.host.clone(), |zone| format!("fe80::1%{zone}"));
            assert_eq!(origin.place(), place, "{url}");
        }
        for url in [
            "https://[fe80::1%]/",
            "https://[fe80::1%25]/",
            "https://[fe80::1%25e",
        ] {
            assert!(Request::get(url).is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_become_a_field_and_are_shown_nowhere() {
        let request = Request::get("https://al%20ice:s3cret@example.org:8443/a?b#c").unwrap();
        assert_eq!(request.url(), "https://example.org:8443/a?b#c");
        assert_eq!(
            request.headers()[AUTHORIZATION],
            "Basic YWwgaWNlOnMzY3JldA=="
        );
        assert!(!format!("{request:?}").contains("s3cret"));
        assert!(!format!("{:?}", request.headers()).contains("czNjcmV0"));
        for text in [
            "http://u:s3cret@h/",
            "https://u:s3cret@h:99999/",
            "ftp://u:s3cret@h/",
            "https://u:s3cret/s3cret@127.0.0.1/",
            "https:/u:s3cret@h:99999/",
            "htps:/u:s3cret@h/",
            "u:s3cret@h",
        ] {
            let error = Request::get(text).unwrap_err();
            assert!(
                !format!("{error:?} {}", error.explain()).contains("s3cret"),
                "{text}"
            );
        }
    }

    fn http1(request: &Request) -> String {
        let target = request.target().unwrap();
        let written = target.to_http1(&request.method, &request.body);
        String::from_utf8(written.slices(0).concat()).unwrap()
    }

    #[test]
    fn requests_are_written_for_their_version() {
        let request = Request::get("https://[::1]:8443/a%20b?x=%7C#frag")
            .unwrap()
            .with_header(TE, HeaderValue::from_static("gzip"))
            .with_header("x-y".parse().unwrap(), HeaderValue::from_static("z"));
        assert_eq!(request.origin().host, "::1");
        assert_eq!(
            http1(&request),
            "GET /a%20b?x=%7C HTTP/1.1\r\nhost: [::1]:8443\r\nte: gzip\r\nx-y: z\r\nconnection: TE\r\n\r\n"
        );
        let told = request.clone();
        let told = told.with_header(CONNECTION, HeaderValue::from_static("close, Te"));
        assert_eq!(http1(&told).matches("connection").count(), 1);
        let mut target = request.target().unwrap();
        target.for_http2();
        let second = target.to_http2(&request.method, &request.body);
        assert_eq!(
            (second.authority, second.path),
            (&b"[::1]:8443"[..], &b"/a%20b?x=%7C"[..])
        );
        assert_eq!(
            (second.length, second.end, second.fields.len()),
            (None, true, 1)
        );
        let default_port = Request::get("https://EXAMPLE.org:443").unwrap();
        assert_eq!(
            http1(&default_port),
            "GET / HTTP/1.1\r\nhost: example.org\r\n\r\n"
        );
    }

    #[test]
    fn the_end_of_a_body_is_told_and_cannot_be_contradicted() {
        let post = |body: &'static str| {
            let request = Request::new(Method::POST, "https://a/").unwrap();
            request.with_body(body)
        };
        let chunked = HeaderValue::from_static("chunked");
        for (request, end) in [
            (post(""), "content-length: 0\r\n\r\n"),
            (post("four"), "content-length: 4\r\n\r\nfour"),
            (
                post("four").with_header(CONTENT_LENGTH, HeaderValue::from_static("4")),
                "content-length: 4\r\n\r\nfour",
            ),
            (
                post("four").with_header(TRANSFER_ENCODING, chunked.clone()),
                "transfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
            ),
            (
                post("").with_header(TRANSFER_ENCODING, chunked),
                "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ] {
            let written = http1(&request);
            assert_eq!(written, format!("POST / HTTP/1.1\r\nhost: a\r\n{end}"));
        }
        for (name, value) in [(CONTENT_LENGTH, "5"), (TRANSFER_ENCODING, "gzip, chunked")] {
            let request = post("four").with_header(name, HeaderValue::from_static(value));
            assert!(matches!(
                request.target(),
                Err(Error::InvalidRequest { .. })
            ));
        }
    }

    #[test]
    fn what_was_sent_is_not_sent_again() {
        let request = Request::new(Method::PUT, "https://a/")
            .unwrap()
            .with_body("body");
        let chunked = HeaderValue::from_static("chunked");
        let target = request.with_header(TRANSFER_ENCODING, chunked);
        let written = target
            .target()
            .unwrap()
            .to_http1(&target.method, &target.body);
        let all = written.slices(0).concat();
        for sent in 0..=all.len() {
            assert_eq!(written.slices(sent).concat(), all[sent..]);
        }
        assert!(written.slices(all.len() + 1).concat().is_empty());
    }
}
