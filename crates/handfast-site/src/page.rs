//! The pages that a site makes itself: errors and forms. They run no script and load nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64ct::{Base64, Encoding as _};
use handfast_https::server::{Body, Response};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:1rem/1.5 system-ui,sans-serif;margin:0;padding:2rem 1rem}\
    main{max-width:40rem;margin:0 auto}\
    h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}\
    code{overflow-wrap:anywhere}\
    form{display:grid;gap:1rem;justify-items:start}\
    input,button{font:inherit;max-width:100%}\
    button{padding:.4rem 1rem}";

/// Only our style, and forms that lead back to this site.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = digest::digest(&digest::SHA256, STYLE.as_bytes());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        Base64::encode_string(hash.as_ref())
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// In what form a client takes a page: browsers ask for HTML, others get one line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Text,
}

impl Form {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let names_html = headers.get_all(ACCEPT).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.to_ascii_lowercase().contains("text/html"))
        });
        if names_html { Self::Html } else { Self::Text }
    }
}

/// A page for a status with one or two sentences.
pub(crate) fn status_page(form: Form, status: StatusCode, text: &str) -> Response {
    let mut response = match form {
        Form::Html => {
            let heading = format!(
                "{} {}",
                status.as_u16(),
                status.canonical_reason().unwrap_or_default()
            );
            html(&heading, &format!("<p>{}</p>", escape(text)))
        }
        Form::Text => {
            let mut response = Response::new(Body::from(format!("{text}\n")));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            harden(response.headers_mut());
            response
        }
    };
    *response.status_mut() = status;
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("accept"));
    response
}

/// A page with this heading, and HTML beneath it.
pub(crate) fn html(heading: &str, content: &str) -> Response {
    let heading = escape(heading);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{heading}</h1>\n{content}\n</main>\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    harden(headers);
    response
}

fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// Text as it stands in HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char if char.is_control() && char != '\n' => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(char));
            }
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_others_text() {
        for (accept, expected) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some("application/json"), Form::Text),
            (Some("text/html,application/xhtml+xml;q=0.9"), Form::Html),
            (Some("Text/HTML"), Form::Html),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Form::of(&headers), expected, "{accept:?}");
        }
        let page = status_page(Form::Html, StatusCode::FORBIDDEN, "<script>");
        assert!(
            page.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .contains("sha256-")
        );
        assert_eq!(
            escape("<a b='c\">&\u{1b}"),
            "&lt;a b=&#39;c&quot;&gt;&amp;\\u{1b}"
        );
    }
}
