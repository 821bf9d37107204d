//! Doors for fuzz targets: built for fuzzing alone, and no part of the interface.

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};

pub use crate::client::fuzzing::{authorization, decoded, sent, url};
use crate::client::{Error, Request};

/// The request that a response with this status and `Location` leads to.
///
/// # Errors
/// As the client has them.
pub fn redirected(
    request: &Request,
    status: StatusCode,
    location: &[u8],
) -> Result<Option<Request>, Error> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(location) {
        headers.insert(LOCATION, value);
    }
    crate::client::fuzzing::next(request, status, &headers)
}
