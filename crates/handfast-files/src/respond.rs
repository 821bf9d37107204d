//! Responses: a representation of a file, whole, in parts, or not at all, and the short ones.

use std::rc::Rc;

use handfast_https::server::{Body, Response, plain};
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, VARY,
};
use http::{HeaderMap, StatusCode};

use crate::chunks::FileBody;
use crate::coding::Coding;
use crate::multipart::Multipart;
use crate::open::NotOpened;
use crate::options::NO_CACHE;
use crate::path::Target;
use crate::ranges::Span;
use crate::ready::Ready;
use crate::reply::{self, Validators, Verdict};

/// The response with a file, a part of it, or an error.
pub(crate) fn file(mut ready: Rc<Ready>, request: &HeaderMap, head: bool) -> Response {
    let size = ready.facts.size;
    let span = match reply::judge(request, &ready.validators, size, head) {
        Verdict::Whole => None,
        Verdict::Part(span) => Some(span),
        Verdict::Parts(spans) => return parts(&ready, spans),
        Verdict::NotModified => return not_modified(&ready.fields),
        Verdict::PreconditionFailed => return precondition_failed(),
        Verdict::OutOfRange => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n");
            let size = format!("bytes */{size}");
            insert_text(response.headers_mut(), CONTENT_RANGE, size);
            return response;
        }
    };
    let (start, length) = span.map_or((0, size), |span| (span.start, span.length));
    let fields = ready.fields_for_reply();
    let mut response = Response::new(if head {
        Body::empty()
    } else {
        Body::pulled(FileBody::new(ready, start, length))
    });
    if span.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let headers = response.headers_mut();
    *headers = fields;
    if head {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let Some(span) = span {
        insert_text(headers, CONTENT_RANGE, span.content_range(size));
    }
    response
}

/// The response with several parts of a file.
fn parts(ready: &Rc<Ready>, spans: Vec<Span>) -> Response {
    let body = Multipart::new(ready, spans);
    let content_type = body.content_type();
    let mut response = Response::new(Body::pulled(body));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.clone_from(&ready.fields);
    insert_text(headers, CONTENT_TYPE, content_type);
    response
}

/// The fields of a file that is compressed while it is sent: its length and its parts are not known.
pub(crate) fn coded_fields(ready: &Ready, coding: Coding, validators: &Validators) -> HeaderMap {
    let mut fields = ready.fields.clone();
    fields.insert(ETAG, validators.etag.clone());
    fields.insert(CONTENT_ENCODING, coding.field());
    fields.insert(VARY, ACCEPT_ENCODING.into());
    fields.remove(ACCEPT_RANGES);
    fields
}

/// With the fields that a cache needs to go on with what it has (RFC 9110, section 15.4.5).
pub(crate) fn not_modified(fields: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    for name in [ETAG, LAST_MODIFIED, CACHE_CONTROL, VARY] {
        if let Some(value) = fields.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    response
}

pub(crate) fn precondition_failed() -> Response {
    plain(StatusCode::PRECONDITION_FAILED, "precondition failed\n")
}

/// The request refuses the file as it is, and every coding that it could have.
pub(crate) fn not_acceptable() -> Response {
    let text = "this file is not available in a content coding that the request accepts\n";
    let mut response = plain(StatusCode::NOT_ACCEPTABLE, text);
    response.headers_mut().insert(VARY, ACCEPT_ENCODING.into());
    response
}

/// Redirects to the same path with a slash at its end, so that relative references work.
pub(crate) fn to_directory(target: &Target, query: Option<&str>) -> Response {
    // Made of the decoded segments: it begins with one slash and a name, so that it cannot lead to
    // another host in any client's interpretation ("//host", "/\host").
    let mut location = target.url_path();
    location.push('/');
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    let mut response = plain(
        StatusCode::PERMANENT_REDIRECT,
        "a directory: mind the slash\n",
    );
    let headers = response.headers_mut();
    insert_text(headers, LOCATION, location);
    // It may be a file tomorrow; browsers keep a permanent redirection without a limit.
    headers.insert(CACHE_CONTROL, NO_CACHE);
    response
}

pub(crate) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "not found\n")
}

pub(crate) fn refused(error: &NotOpened) -> Response {
    match error {
        NotOpened::Missing | NotOpened::WouldBlock => not_found(),
        NotOpened::Forbidden => plain(StatusCode::FORBIDDEN, "forbidden\n"),
        NotOpened::Exhausted => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too busy to open another file\n",
        ),
        NotOpened::Failed => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the file cannot be opened\n",
        ),
    }
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
