//! The description of a load test: plain data.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use url::{Host, Url};

/// The origin and resource of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The host: a DNS name or an IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as in a request (RFC 9110, section 7.2): without the default port.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// A URL that cannot be tested.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidTarget {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` cannot be tested: {}",
            handfast::escape_control(&self.text),
            self.problem
        )
    }
}

impl std::error::Error for InvalidTarget {}

impl Target {
    /// Parses an `https` URL; the default scheme is `https`.
    ///
    /// # Errors
    /// If it is not a URL, has another scheme, or a user name: credentials in a URL may be written
    /// to logs, and a header can be used instead.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = |problem: String| InvalidTarget {
            text: text.to_owned(),
            problem,
        };
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&full).map_err(|error| invalid(error.to_string()))?;
        if url.scheme() != "https" {
            return Err(invalid(format!(
                "the scheme is {}, not https",
                url.scheme()
            )));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "it has credentials; send them in a header".to_owned(),
            ));
        }
        // A URL parser would convert it to an IPv4 address: 8443 to 0.0.32.251.
        handfast_dial::refuse_number_in_url(&full)
            .map_err(|error| invalid(error.cause().to_string()))?;
        let (host, shown) = match url.host() {
            Some(Host::Domain(name)) => (name.to_owned(), name.to_owned()),
            Some(Host::Ipv4(address)) => (address.to_string(), address.to_string()),
            Some(Host::Ipv6(address)) => (address.to_string(), format!("[{address}]")),
            None => return Err(invalid("it has no host".to_owned())),
        };
        let authority = url
            .port()
            .map_or_else(|| shown.clone(), |port| format!("{shown}:{port}"));
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(443),
            authority,
            path,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.path)
    }
}

/// The request that is sent repeatedly.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The method. Default GET.
    pub method: Method,
    /// Further header fields. `Host` replaces the URL's authority. Those that belong
    /// to one connection (RFC 9110, section 7.6.1) are not sent.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

impl Default for Request {
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("handfast/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        Self {
            method: Method::GET,
            headers,
            body: Bytes::new(),
        }
    }
}

impl Request {
    /// The fields that are sent, without those that belong to one connection.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        const OF_ONE_CONNECTION: [HeaderName; 6] = [
            header::HOST,
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
            header::UPGRADE,
            header::TE,
        ];
        self.headers
            .iter()
            .filter(|(name, _)| !OF_ONE_CONNECTION.contains(name) && *name != "keep-alive")
    }

    /// The `Content-Length`, if required: also for an empty body of a method that expects one
    /// (RFC 9110, section 8.6).
    pub(super) fn content_length(&self) -> Option<usize> {
        let expected = [Method::POST, Method::PUT, Method::PATCH].contains(&self.method);
        (expected || !self.body.is_empty()).then_some(self.body.len())
    }

    /// The authority of the request.
    pub(super) fn authority<'a>(&'a self, target: &'a Target) -> &'a [u8] {
        self.headers
            .get(header::HOST)
            .map_or(target.authority.as_bytes(), HeaderValue::as_bytes)
    }
}

/// The HTTP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// The server's choice by ALPN; HTTP/1.1 without one.
    #[default]
    Negotiated,
    /// Only HTTP/1.1.
    Http1,
    /// Only HTTP/2: a server that does not choose it is an error.
    Http2,
}

/// How connections are made and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Handshake {
    /// Connections are opened before the clock starts and kept as long as the server keeps them.
    #[default]
    KeepAlive,
    /// Every request has its own connection, with a full handshake.
    Full,
    /// Every request has its own connection, whose handshake resumes a session
    /// if the server allows it. The first handshakes are full.
    Resumed,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Pacing {
    /// Closed loop: each connection (or stream) sends its next request when the last is answered.
    /// A stalled server gets fewer requests, so a stall has little effect on the result.
    #[default]
    Closed,
    /// Open loop: requests are due at this many per second whether or not the server keeps up, and
    /// latency counts from when a request was due. If every connection is busy, requests are queued in
    /// order.
    Open {
        /// Requests per second over all threads; positive.
        per_second: f64,
    },
}

/// A load test.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The target.
    pub target: Target,
    /// The request.
    pub request: Request,
    /// The version of HTTP. Default: negotiated.
    pub protocol: Protocol,
    /// The connections. Default: kept ones.
    pub handshake: Handshake,
    /// The pacing. Default: closed loop.
    pub pacing: Pacing,
    /// The number of concurrent connections. Default 16: enough to keep a server of a few cores busy
    /// without looking like an attack.
    pub connections: usize,
    /// The number of concurrent requests on an HTTP/2 connection, within the server's limit. Default 1.
    pub streams: usize,
    /// The total number of requests, including failed ones. Default: no limit.
    pub requests: Option<u64>,
    /// How long requests are sent. Default 10 s.
    pub duration: Option<Duration>,
    /// The number of threads, at most one for each connection. Default: one for each core.
    pub threads: usize,
    /// The time limit of a request, including connecting. Default 10 s.
    pub request_limit: Duration,
    /// How long to wait at the end for open requests. Default 1 s.
    pub grace: Duration,
}

impl Plan {
    /// The defaults, against this target.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            request: Request::default(),
            protocol: Protocol::default(),
            handshake: Handshake::default(),
            pacing: Pacing::default(),
            connections: 16,
            streams: 1,
            requests: None,
            duration: Some(Duration::from_secs(10)),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            request_limit: Duration::from_secs(10),
            grace: Duration::from_secs(1),
        }
    }

    /// The same with values limited: at least one of everything, no
    /// more connections than requests, no more threads than connections.
    pub fn bounded(&self) -> Self {
        let mut plan = self.clone();
        plan.streams = plan.streams.clamp(1, super::http2::STREAMS_MAX);
        let requests = plan
            .requests
            .and_then(|requests| usize::try_from(requests).ok())
            .unwrap_or(usize::MAX);
        plan.connections = plan.connections.min(requests).max(1);
        plan.threads = plan.threads.min(plan.connections).max(1);
        plan
    }

    pub(super) fn alpn(&self) -> &'static [&'static str] {
        match self.protocol {
            Protocol::Negotiated => &["h2", "http/1.1"],
            Protocol::Http1 => &["http/1.1"],
            Protocol::Http2 => &["h2"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_https_url_without_credentials() {
        let target = Target::parse("https://example.org/a/b?c=d#e").unwrap();
        assert_eq!(target.authority, "example.org");
        assert_eq!((target.host.as_str(), target.port), ("example.org", 443));
        assert_eq!(target.path, "/a/b?c=d");
        let target = Target::parse("localhost:8443").unwrap();
        assert_eq!(target.authority, "localhost:8443");
        assert_eq!(target.path, "/");
        let target = Target::parse("https://[::1]:8443/x").unwrap();
        assert_eq!(target.host, "::1");
        assert_eq!(target.to_string(), "https://[::1]:8443/x");
        for refused in [
            "http://example.org/",
            "https://a:b@c/",
            "https://",
            "ftp://x/",
            "8443",
            "https://0x7f.1/",
            "https://127.1:8443/",
            "",
        ] {
            assert!(Target::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_plan_has_no_more_connections_than_requests_and_no_more_threads_than_connections() {
        let mut plan = Plan::new(Target::parse("localhost").unwrap());
        plan.requests = Some(3);
        plan.connections = 100;
        plan.threads = 8;
        let plan = plan.bounded();
        assert_eq!((plan.connections, plan.threads), (3, 3));
    }
}
