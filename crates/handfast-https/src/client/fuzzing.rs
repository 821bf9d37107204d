//! Doors for fuzz targets: where a redirect leads, what of a request is sent, content codings, challenges.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::decoding::Decoder;
use super::redirect;
use super::{DecodingLimits, DigestCredentials, Error, Request};

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

/// What becomes of a body in these content codings that comes in these pieces: what was decoded, and how that ended.
///
/// # Errors
/// Where the codings are refused.
pub fn decoded<'p>(
    codings: &[u8],
    limits: DecodingLimits,
    pieces: impl Iterator<Item = &'p [u8]>,
) -> Result<Option<(Vec<u8>, Result<(), Error>)>, Error> {
    let mut fields = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(codings) {
        fields.insert(CONTENT_ENCODING, value);
    }
    let Some(mut decoder) = Decoder::new(&fields, limits)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    let decode = || {
        for piece in pieces {
            decoder.feed(Bytes::copy_from_slice(piece));
            while decoder.step()? {
                content.extend_from_slice(decoder.piece());
            }
        }
        decoder.end()
    };
    let end = decode();
    Ok(Some((content, end)))
}

/// The `Authorization` of a request that is sent again after a 401 with these challenges.
pub fn authorization(
    credentials: &DigestCredentials,
    request: &Request,
    challenges: &[Vec<u8>],
) -> Option<HeaderValue> {
    let mut fields = HeaderMap::new();
    for challenge in challenges {
        fields.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(challenge).ok()?);
    }
    let (origin, mut answers) = (request.origin(), 0);
    if !credentials.take(&origin, StatusCode::UNAUTHORIZED, &fields, &mut answers) {
        return None;
    }
    let answer = credentials.field(&origin, request.method(), request.path());
    // However often a server asks, the same password is not sent for ever.
    let again = |_| credentials.take(&origin, StatusCode::UNAUTHORIZED, &fields, &mut answers);
    assert!((0..3).map(again).filter(|again| *again).count() <= 1);
    answer
}
