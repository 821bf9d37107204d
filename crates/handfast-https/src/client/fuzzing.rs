//! Doors for fuzz targets: where a redirect leads, and what of a request is sent.

use http::{HeaderMap, StatusCode};

use super::redirect;
use super::{Error, Request};

/// The request that a response redirects to.
///
/// # Errors
/// As the client has them.
pub(crate) fn next(
    request: &Request,
    status: StatusCode,
    fields: &HeaderMap,
) -> Result<Option<Request>, Error> {
    redirect::next(request, status, fields, &redirect::Rules::default())
}

/// All bytes that HTTP/1.1 sends of a request; authority and path, as HTTP/2 sends them.
///
/// # Errors
/// As the client has them.
pub fn sent(request: &Request) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>), Error> {
    let mut target = request.target()?;
    let written = target.to_http1(request.method(), request.body());
    target.for_http2();
    let second = target.to_http2(request.method(), request.body());
    Ok((
        written.slices(0).concat(),
        second.authority.to_vec(),
        second.path.to_vec(),
    ))
}

/// The URL of a request, in its parts.
pub fn url(request: &Request) -> &url::Url {
    &request.url
}
