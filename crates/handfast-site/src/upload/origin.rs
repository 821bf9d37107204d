//! Whether a request that changes files comes from a page of this site, from one that may, or from no page.

use handfast_https::server::Request;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};

use crate::cors::Cors;
use crate::name::host_of;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Is it not a page of another site that sends this, or one that may? A browser adds the user's password and certificate to it, and sends
/// forms without asking first. So where [`Cors`] allows an origin no credentials, a request with some is refused. Clients that are no
/// browsers name no origin.
pub(super) fn may_upload(request: &Request, cors: Option<&Cors>, has_certificate: bool) -> bool {
    let headers = request.headers();
    let origin = headers.get(ORIGIN);
    let is_own = match headers.get(FETCH_SITE) {
        Some(site) => site == "same-origin" || site == "none",
        None => match origin {
            Some(origin) => is_origin_of(request, origin),
            None => true,
        },
    };
    let has_credentials = has_certificate || headers.contains_key(AUTHORIZATION);
    let is_allowed = || {
        origin.zip(cors).is_some_and(|(origin, cors)| {
            cors.allows_method(origin, request.method())
                && (cors.allows_credentials() || !has_credentials)
        })
    };
    is_own || is_allowed()
}

fn is_origin_of(request: &Request, origin: &HeaderValue) -> bool {
    let authority = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| request.headers().get(HOST)?.to_str().ok());
    match (authority, origin.to_str()) {
        (Some(authority), Ok(origin)) => is_same_origin(authority, origin),
        _ => false,
    }
}

/// Is the origin, as browsers send it, this authority with https?
pub(super) fn is_same_origin(authority: &str, origin: &str) -> bool {
    let parts = |authority: &str| {
        let host = host_of(authority).into_owned();
        let port = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok())
            .unwrap_or(443);
        (host, port)
    };
    origin
        .strip_prefix("https://")
        .is_some_and(|origin| parts(authority) == parts(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_authority_with_https() {
        for (authority, origin, expected) in [
            ("a.example", "https://a.example", true),
            ("a.example:443", "https://a.example", true),
            ("A.Example.:8443", "https://a.example:8443", true),
            ("[0:0::1]:8443", "https://[::1]:8443", true),
            ("[::1]", "https://[::1]", true),
            ("a.example:8443", "https://a.example", false),
            ("a.example", "https://a.example:8443", false),
            ("a.example", "http://a.example", false),
            ("a.example", "https://b.example", false),
            ("a.example", "https://a.example.evil.example", false),
            ("a.example", "https://a.example@evil.example", false),
            ("a.example", "null", false),
        ] {
            let is_same = is_same_origin(authority, origin);
            assert_eq!(is_same, expected, "{authority} {origin}");
        }
    }
}
