//! The pages that a site makes itself, in the style of the listings of `handfast-files`: errors and forms.

use handfast_files::{error_page, html_page};
use handfast_https::server::Response;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderValue, REFERRER_POLICY};
use http::{HeaderMap, StatusCode};

/// Does the client name HTML among what it accepts? Browsers do, programs do not.
pub(crate) fn names_html(request: &HeaderMap) -> bool {
    request.get_all(ACCEPT).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.to_ascii_lowercase().contains("text/html"))
    })
}

/// A page, or for programs a line, for a status.
pub(crate) fn status_page(request: &HeaderMap, status: StatusCode, text: &str) -> Response {
    let mut response = error_page(status, request, text);
    harden(response.headers_mut());
    response
}

/// A page with this heading, and HTML beneath it.
pub(crate) fn html(heading: &str, content: &str) -> Response {
    let mut response = html_page(heading, content);
    harden(response.headers_mut());
    response
}

/// The path of a page that is not for everyone is not told to other sites, and what it says is asked for again.
fn harden(headers: &mut HeaderMap) {
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// Text as it stands in HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let text = handfast::escape_control(text);
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_page_is_text() {
        assert_eq!(
            escape("<a b='c\">&\u{1b}"),
            "&lt;a b=&#39;c&quot;&gt;&amp;\\u{1b}"
        );
    }
}
