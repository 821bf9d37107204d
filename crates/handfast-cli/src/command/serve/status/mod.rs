//! The status listener: a page for people and `/metrics` for programs, away from what is served.
//!
//! It is a server like the other one, over TLS with the same certificate and the same demands on clients, with one
//! thread. Its address is the name by which it is found, so it has a certificate for every name that is asked for, also where
//! all sites have names: then by the demands of the first site. Plain HTTP on loopback would be simpler to read, but any page in a browser of this machine could
//! read it then, by a name of its own that resolves to 127.0.0.1; over TLS the certificate is not for that name.

mod metrics;
mod page;
mod snapshot;

use std::num::NonZeroUsize;
use std::sync::Arc;

use handfast::{Explanation, ServerContext};
use handfast_https::server::{
    Body, ConnectionInfo, Handler, Limits, Listener, Request, Response, Running, Server,
    ServerConfig, plain,
};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};

pub(super) use snapshot::Sources;

use super::config::StatusAddress;
use crate::failure::{Failure, code};

/// Connections at once: some browsers and collectors. A flood of this port takes nothing from the other.
const CONNECTIONS_MAX: usize = 64;

/// Bytes of a request head: those of a browser have less than 2 KiB.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Can this address be reached from elsewhere?
pub(super) fn is_public(address: &StatusAddress) -> bool {
    !address.0.ip().to_canonical().is_loopback()
}

/// Listens for those who watch the server.
///
/// # Errors
/// If an address cannot be bound.
pub(super) fn bind(
    listener: Listener,
    context: ServerContext,
    sources: Sources,
    bind_failure: impl FnOnce(handfast_https::server::BindError) -> Failure,
) -> Result<Server<Status>, Failure> {
    let mut limits = Limits::default();
    limits.connections_max = CONNECTIONS_MAX;
    limits.head_bytes_max = HEAD_BYTES_MAX;
    let config = ServerConfig::new(context)
        .threads(NonZeroUsize::MIN)
        .limits(limits)
        .listener(listener);
    Server::bind(config, Status { sources }).map_err(bind_failure)
}

/// Serves the status until it is dropped.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(server: Server<Status>) -> Result<Running, Failure> {
    server.start().map_err(|error| {
        let what = "the status listener cannot start";
        Failure::new(
            code::OTHER,
            Explanation::new("no-runtime", what).with_evidence(error.to_string()),
        )
    })
}

pub(super) struct Status {
    sources: Sources,
}

impl Handler for Status {
    async fn handle(&self, request: Request, _: &Arc<ConnectionInfo>) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD\n");
            set(&mut response, ALLOW, "GET, HEAD");
            return response;
        }
        let mut response = match request.uri().path() {
            "/" => {
                let page = page::html(&self.sources.snapshot());
                let mut response = Response::new(Body::from(page));
                set(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
                if let Ok(policy) = HeaderValue::from_str(page::policy()) {
                    response
                        .headers_mut()
                        .insert(CONTENT_SECURITY_POLICY, policy);
                }
                set(&mut response, REFERRER_POLICY, "no-referrer");
                response
            }
            "/metrics" => {
                let text = metrics::text(&self.sources.snapshot());
                let mut response = Response::new(Body::from(text));
                set(&mut response, CONTENT_TYPE, metrics::CONTENT_TYPE);
                response
            }
            _ => plain(StatusCode::NOT_FOUND, "/ and /metrics are here\n"),
        };
        set(&mut response, CACHE_CONTROL, "no-store");
        set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
        response
    }
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_not_public() {
        for (text, public) in [
            ("9443", false),
            ("127.1.2.3:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
        ] {
            assert_eq!(is_public(&text.parse().unwrap()), public, "{text}");
        }
    }
}
