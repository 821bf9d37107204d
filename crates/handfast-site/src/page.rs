//! The pages that a site makes itself, in the style of the listings of `handfast-files`: errors and forms.

use handfast_files::{error_page, escape_html, html_page, prefers_html};
use handfast_https::server::Response;
use http::header::{CACHE_CONTROL, HeaderValue, REFERRER_POLICY, VARY};
use http::{HeaderMap, StatusCode};

/// A page, or for programs a line, for a status.
pub(crate) fn status_page(request: &HeaderMap, status: StatusCode, text: &str) -> Response {
    let mut response = error_page(status, request, text);
    harden(response.headers_mut());
    response
}

pub(crate) const NOT_FOUND: &str = "There is nothing at this URL.";

/// The page for a path that a rule answers with an error.
pub(crate) fn refusal_page(request: &HeaderMap, status: StatusCode) -> Response {
    let text = match status {
        StatusCode::GONE => "What was here is gone for good.",
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::FORBIDDEN => "This is not for you to see.",
        _ => "This is not available.",
    };
    status_page(request, status, text)
}

/// A page with this heading, and HTML beneath it.
pub(crate) fn html(heading: &str, content: &str) -> Response {
    let mut response = html_page(heading, content);
    harden(response.headers_mut());
    response
}

/// As [`status_page`], with a link back to a form for people.
pub(crate) fn form_refused(
    request: &HeaderMap,
    status: StatusCode,
    text: &str,
    form: &str,
) -> Response {
    if !prefers_html(request) {
        return status_page(request, status, text);
    }
    let content = format!(
        "<p>{}</p>\n<p><a href=\"{}\">Back to the form</a></p>\n<p class=dim>Status {}</p>",
        escape_html(text),
        escape_html(form),
        status.as_u16(),
    );
    let mut response = html(status.canonical_reason().unwrap_or("Error"), &content);
    *response.status_mut() = status;
    let by_accept = HeaderValue::from_static("Accept");
    response.headers_mut().insert(VARY, by_accept);
    response
}

/// The path of a page that is not for everyone is not told to other sites, and what it says is asked for again.
fn harden(headers: &mut HeaderMap) {
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}
