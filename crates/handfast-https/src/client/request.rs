//! A request as its caller means it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body_util::Full;
use url::{Host, Url};

use super::connect::Origin;
use super::error::Error;

/// A request: method, URL, header fields, body.
///
/// The client adds `Host` and the body's length, nothing else. Credentials in the URL become an
/// `Authorization` field (RFC 7617) and are removed from the URL.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Secrets are not shown.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .field("body", &self.body.len())
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
        let parsed = Url::parse(url).map_err(|error| Error::InvalidUrl {
            text: without_credentials(url),
            problem: error.to_string(),
        })?;
        let mut request = Self {
            method,
            url: check_scheme(parsed, None)?,
            headers: HeaderMap::new(),
            body: Bytes::new(),
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

    /// With this body. Its length is announced.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its URL, without credentials.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its header fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Its body.
    pub fn body(&self) -> &Bytes {
        &self.body
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

    /// As hyper takes it.
    pub(super) fn to_http(&self, version: Version) -> Result<http::Request<Full<Bytes>>, Error> {
        let invalid = |problem: String| Error::InvalidRequest { problem };
        let mut headers = self.headers.clone();
        let given_host = headers.remove(HOST);
        let authority = self.url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let host = match given_host {
            Some(value) => value,
            None => HeaderValue::try_from(&authority).map_err(|e| invalid(e.to_string()))?,
        };
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let path = if path.starts_with('/') { path } else { "/" };
        let uri = if version == Version::HTTP_2 {
            let authority = host.to_str().map_err(|e| invalid(e.to_string()))?;
            for name in CONNECTION_FIELDS {
                headers.remove(name);
            }
            format!("https://{authority}{path}")
        } else {
            headers.insert(HOST, host);
            path.to_owned()
        };
        let uri: Uri = uri.parse().map_err(|error| invalid(format!("{error}")))?;
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn move_credentials(&mut self) {
        let (name, secret) = (self.url.username(), self.url.password());
        if name.is_empty() && secret.is_none() {
            return;
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let mut pair = decode(name);
        pair.push(b':');
        pair.extend(decode(secret.unwrap_or_default()));
        let value = format!("Basic {}", base64(&pair));
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        // Neither can fail for a URL with a host.
        let _ = self.url.set_username("");
        let _ = self.url.set_password(None);
    }
}

/// Fields about a connection, which HTTP/2 forbids (RFC 9113, section 8.2.2).
const CONNECTION_FIELDS: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Only https is fetched.
pub(super) fn check_scheme(url: Url, redirected_from: Option<&Url>) -> Result<Url, Error> {
    match url.scheme() {
        "https" if url.host_str().is_none_or(str::is_empty) => {}
        "https" => return Ok(url),
        "http" => {
            return Err(Error::PlainHttp {
                url: without_credentials(url.as_str()),
                redirected_from: redirected_from.map(Url::to_string),
            });
        }
        other => {
            return Err(Error::UnsupportedScheme {
                url: without_credentials(url.as_str()),
                scheme: other.to_owned(),
                redirected_from: redirected_from.map(Url::to_string),
            });
        }
    }
    Err(Error::InvalidUrl {
        text: without_credentials(url.as_str()),
        problem: "it has no host".to_owned(),
    })
}

/// For messages: what looks like `user:secret@` is hidden, whether or not the rest is a URL.
pub(super) fn without_credentials(text: &str) -> String {
    let start = text.find("//").map_or(0, |place| place + 2);
    let (scheme, rest) = text.split_at(start);
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| {
            (bits << 8) | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for position in 0..4 {
            let symbol = ALPHABET[(bits >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= group.len() {
                char::from(symbol)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_field_and_are_shown_nowhere() {
        let request = Request::get("https://al%20ice:s3cret@example.org:8443/a?b#c").unwrap();
        assert_eq!(request.url().as_str(), "https://example.org:8443/a?b#c");
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
        ] {
            let error = Request::get(text).unwrap_err();
            assert!(
                !format!("{error:?} {}", error.explain()).contains("s3cret"),
                "{text}"
            );
        }
    }

    #[test]
    fn base64_pads() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn requests_are_written_for_their_version() {
        let request = Request::get("https://[::1]:8443/a%20b?x=%7C#frag").unwrap();
        assert_eq!(request.origin().host, "::1");
        let first = request.to_http(Version::HTTP_11).unwrap();
        assert_eq!(first.uri(), "/a%20b?x=%7C");
        assert_eq!(first.headers()[HOST], "[::1]:8443");
        let second = request.to_http(Version::HTTP_2).unwrap();
        assert_eq!(second.uri(), "https://[::1]:8443/a%20b?x=%7C");
        assert!(second.headers().is_empty());
        let default_port = Request::get("https://EXAMPLE.org:443").unwrap();
        let http = default_port.to_http(Version::HTTP_11).unwrap();
        assert_eq!(http.headers()[HOST], "example.org");
        assert_eq!(http.uri(), "/");
    }
}
