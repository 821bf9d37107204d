//! Pages of ours: what all of them look like, and what they may do.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handfast_https::server::{Body, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::accept::prefers_html;

/// How pages look: in the colours of the reader's system, on every width.
const STYLE: &str = include_str!("page/style.css");

/// Sorting and filtering of listings, which without it are in the order of names.
pub(crate) const SCRIPT: &str = include_str!("page/listing.js");

/// Pages load nothing and run only the script above, whatever a name in them contrives.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy("'none'"));

/// For a page with a form, which leads back to the same site.
static POLICY_OF_FORMS: LazyLock<HeaderValue> = LazyLock::new(|| policy("'self'"));

/// Browsers get pages, programs get text.
const BY_ACCEPT: HeaderValue = HeaderValue::from_static("Accept");

fn policy(form_action: &str) -> HeaderValue {
    let [style, script] =
        [STYLE, SCRIPT].map(|text| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         base-uri 'none'; form-action {form_action}; frame-ancestors 'self'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Fields of a page of ours in HTML.
pub(crate) fn put_fields(fields: &mut HeaderMap) {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    fields.insert(CONTENT_TYPE, html);
    fields.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// From the document type to the title.
pub(crate) fn put_head(page: &mut String, title: &str) {
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body>\n"
    );
}

/// An error as a page for browsers, which ask for HTML (by `Accept`, RFC 9110, section 12.5.1), and as plain text for everything else.
///
/// `text` is a sentence for the person who reads it.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// let mut request = HeaderMap::new();
/// request.insert("accept", "text/html".parse().unwrap());
/// let page = handfast_files::error_page(StatusCode::NOT_FOUND, &request, "There is nothing at this address.");
/// assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
/// ```
pub fn error_page(status: StatusCode, request: &HeaderMap, text: &str) -> Response {
    let is_html = prefers_html(request);
    let body = match is_html {
        true => {
            let reason = status.canonical_reason().unwrap_or("Error");
            let mut page = String::with_capacity(STYLE.len() + 512);
            put_head(&mut page, reason);
            let _ = write!(
                page,
                "<main><h1>{reason}</h1>\n<p>{}</p>\n<p class=dim>Status {}</p></main>\n</body></html>\n",
                escape_html(text),
                status.as_u16(),
            );
            Body::from(page)
        }
        false => Body::from(format!("{text}\n")),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    put_fields(fields);
    if !is_html {
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
    }
    fields.insert(VARY, BY_ACCEPT);
    response
}

/// A page in the same style, with HTML beneath its heading: a form, which may lead back to the same site, or a list. It runs no script
/// but ours.
pub fn html_page(heading: &str, content: &str) -> Response {
    let heading = escape_html(heading);
    let mut page = String::with_capacity(STYLE.len() + content.len() + 512);
    put_head(&mut page, &heading);
    let _ = write!(
        page,
        "<main><h1>{heading}</h1>\n{content}\n</main>\n</body></html>\n"
    );
    let mut response = Response::new(Body::from(page));
    let fields = response.headers_mut();
    put_fields(fields);
    fields.insert(CONTENT_SECURITY_POLICY, POLICY_OF_FORMS.clone());
    response
}

/// A reply that is an error in plain text, as a page if the client is a browser. Its other fields stay.
pub(crate) fn for_people(reply: Response, request: &HeaderMap) -> Response {
    let status = reply.status();
    let text = match status {
        StatusCode::BAD_REQUEST => "This address is not a valid path.",
        StatusCode::FORBIDDEN => "The server may not read this file.",
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => "Files can only be read here.",
        StatusCode::NOT_ACCEPTABLE => {
            "The file cannot be sent in a content coding that the client accepts."
        }
        StatusCode::PRECONDITION_FAILED => "The file is not the one that the request was about.",
        StatusCode::RANGE_NOT_SATISFIABLE => {
            "The file is shorter than the part that was asked for."
        }
        StatusCode::INTERNAL_SERVER_ERROR => "The server cannot read this file.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "The server is too busy for this request. Try again soon."
        }
        _ => return reply,
    };
    if !prefers_html(request) {
        let mut text = reply;
        text.headers_mut().append(VARY, BY_ACCEPT);
        return text;
    }
    let mut page = error_page(status, request, text);
    for (name, value) in reply.headers() {
        let fields = page.headers_mut();
        if name == VARY {
            fields.append(VARY, value.clone());
        } else if !fields.contains_key(name) {
            fields.insert(name, value.clone());
        }
    }
    page
}

/// Text for HTML, in elements and in quoted attribute values. Control characters, and those that turn the direction
/// of writing, are made visible.
pub fn escape_html(text: &str) -> Cow<'_, str> {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.bytes().all(harmless) {
        return Cow::Borrowed(text);
    }
    let text = handfast::escape_control(text);
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;
    use crate::respond::{not_acceptable, not_found};

    #[test]
    fn errors_are_pages_for_browsers_and_text_for_programs() {
        for (accept, is_html) in [("text/html,*/*;q=0.8", true), ("*/*", false)] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT, HeaderValue::from_static(accept));
            let response = error_page(StatusCode::NOT_FOUND, &request, "Nothing <here>.");
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            let fields = response.headers();
            let kind = if is_html { "text/html" } else { "text/plain" };
            assert!(fields[CONTENT_TYPE].to_str().unwrap().starts_with(kind));
            assert_eq!(fields[VARY], "Accept");
            assert_eq!(fields[X_CONTENT_TYPE_OPTIONS], "nosniff");
            let text = format!("{:?}", response.body());
            assert!(!is_html || !text.contains("<here>"), "{text}");
        }
    }

    #[test]
    fn errors_say_what_their_form_depends_on() {
        for accept in ["text/html", "*/*"] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT, HeaderValue::from_static(accept));
            for (reply, expected) in [
                (not_acceptable(), &["Accept", "accept-encoding"][..]),
                (not_found(), &["Accept"]),
            ] {
                let reply = for_people(reply, &request);
                let mut vary: Vec<_> = reply.headers().get_all(VARY).iter().collect();
                vary.sort_unstable();
                assert_eq!(vary, expected, "{accept}");
            }
        }
        let whole = for_people(Response::default(), &HeaderMap::new());
        assert!(!whole.headers().contains_key(VARY));
    }

    #[test]
    fn text_in_html_is_text() {
        for (text, expected) in [
            ("plain", "plain"),
            ("<a b='c\">&\u{1b}", "&lt;a b=&#39;c&quot;&gt;&amp;\\u{1b}"),
        ] {
            assert_eq!(escape_html(text), expected);
        }
    }

    #[test]
    fn the_policy_allows_this_style_and_this_script_alone() {
        let policy = POLICY.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
}
