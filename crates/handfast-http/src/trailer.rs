//! Which fields may be sent behind a body.

use http::HeaderName;
use http::header;

/// Whether a field may be sent in a trailer section (RFC 9110, section 6.5.1). Fields may not that say how the message is framed, where it
/// goes, how it is to be handled, who sends it or what its content is: who reads the content needs them before, and who
/// processes the message must not be told something else afterwards.
///
/// ```
/// use handfast_http::may_trail;
/// use http::header::{CONTENT_LENGTH, HeaderName};
///
/// assert!(may_trail(&HeaderName::from_static("repr-digest")));
/// assert!(!may_trail(&CONTENT_LENGTH));
/// ```
pub fn may_trail(name: &HeaderName) -> bool {
    !(FORBIDDEN.contains(name) || FORBIDDEN_RARE.contains(&name.as_str()))
}

static FORBIDDEN: [HeaderName; 36] = [
    // Framing and connections.
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // Routing.
    header::HOST,
    // How a request is to be handled.
    header::CACHE_CONTROL,
    header::EXPECT,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::MAX_FORWARDS,
    header::PRAGMA,
    header::RANGE,
    // About the sender.
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    // How a response is to be handled.
    header::AGE,
    header::DATE,
    header::EXPIRES,
    header::LOCATION,
    header::RETRY_AFTER,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::WARNING,
    // The content.
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
];

/// Those that have no constant.
const FORBIDDEN_RARE: [&str; 3] = ["http2-settings", "keep-alive", "proxy-connection"];
