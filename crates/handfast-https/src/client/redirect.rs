//! Where a redirect leads, and what of the request goes along (RFC 9110, section 15.4).

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION, REFERER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::error::Error;
use super::request::{Request, check_scheme};

/// What redirects do apart from what RFC 9110 says.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// Credentials go along to other origins.
    pub(super) keeps_credentials: bool,
    /// With these a POST stays one.
    pub(super) keeps_post: Vec<StatusCode>,
    /// The URL that redirects becomes the `Referer`.
    pub(super) sets_referer: bool,
    /// They may lead to http, where the request allows that at all. By default those from http.
    pub(super) to_http: Option<bool>,
}

/// The request that a response redirects to; `None` when it does not redirect.
pub(super) fn next(
    request: &Request,
    status: StatusCode,
    headers: &HeaderMap,
    rules: &Rules,
) -> Result<Option<Request>, Error> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    // An empty one would lead to the same URL: it is meant for none, and curl and browsers take it so.
    let location = headers.get(LOCATION).filter(|value| !value.is_empty());
    let Some(location) = location else {
        return Ok(None);
    };
    let text = as_text(location.as_bytes());
    let mut url = request
        .url
        .join(&text)
        .map_err(|error| Error::InvalidRedirect {
            location: text,
            problem: error.to_string(),
        })?;
    // Credentials are the user's to give, not the server's.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.fragment().is_none() {
        url.set_fragment(request.url.fragment());
    }
    let may_be_plain = request.allows_http && rules.to_http.unwrap_or_else(|| request.is_plain());
    let url = check_scheme(url, Some(&request.url), may_be_plain)?;

    let mut next = Request {
        zone: request.zone.clone(),
        url,
        ..request.clone()
    };
    let stays_post = next.method == Method::POST && rules.keeps_post.contains(&status);
    let becomes_get = match status {
        _ if stays_post => false,
        StatusCode::SEE_OTHER => next.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => next.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = bytes::Bytes::new();
        next.upload = None;
        for name in [
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LENGTH,
            CONTENT_LOCATION,
            CONTENT_TYPE,
            TRANSFER_ENCODING,
        ] {
            next.headers.remove(name);
        }
    }
    if !rules.keeps_credentials {
        next.identity_for
            .get_or_insert_with(|| request.url.origin());
    }
    if next.url.host() != request.url.host() {
        next.zone = None;
    }
    if next.url.origin() != request.url.origin() {
        next.headers.remove(HOST);
        if !rules.keeps_credentials {
            #[cfg(feature = "digest")]
            {
                next.digest = None;
            }
            for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                next.headers.remove(name);
            }
        }
    }
    if rules.sets_referer {
        // Neither credentials nor a fragment (RFC 9110, section 10.1.3): the first are not in it.
        let from = &request.url[..url::Position::AfterQuery];
        if let Ok(from) = HeaderValue::try_from(from) {
            next.headers.insert(REFERER, from);
        }
    }
    Ok(Some(next))
}

/// A `Location` as text. Bytes that are no UTF-8, such as those of Latin-1, stay the bytes that they are:
/// percent-encoded, as servers read them that send them.
fn as_text(location: &[u8]) -> String {
    match std::str::from_utf8(location) {
        Ok(text) => text.to_owned(),
        Err(_) => location.iter().fold(String::new(), |mut text, byte| {
            match byte.is_ascii() {
                true => text.push(char::from(*byte)),
                false => text.push_str(percent_encoding::percent_encode_byte(*byte)),
            }
            text
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, URL, bytes of body, names of the fields.
    type Next = (String, String, usize, Vec<String>);

    fn redirected(method: Method, status: u16, location: &str) -> Result<Option<Next>, Error> {
        let request = Request::new(method, "https://a.example/dir/page?q#frag")
            .unwrap()
            .with_header(AUTHORIZATION, HeaderValue::from_static("Bearer x"))
            .with_header(COOKIE, HeaderValue::from_static("k=v"))
            .with_header(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .with_body("body");
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::try_from(location).unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        Ok(
            next(&request, status, &headers, &Rules::default())?.map(|next| {
                let mut names: Vec<_> = next.headers.keys().map(ToString::to_string).collect();
                names.sort();
                (
                    next.method.to_string(),
                    next.url.to_string(),
                    next.body.len(),
                    names,
                )
            }),
        )
    }

    #[test]
    fn methods_follow_rfc_9110() {
        for (method, status, expected, body) in [
            (Method::POST, 301, "GET", 0),
            (Method::POST, 302, "GET", 0),
            (Method::POST, 303, "GET", 0),
            (Method::POST, 307, "POST", 4),
            (Method::POST, 308, "POST", 4),
            (Method::PUT, 301, "PUT", 4),
            (Method::PUT, 303, "GET", 0),
            (Method::HEAD, 303, "HEAD", 4),
        ] {
            let next = redirected(method.clone(), status, "other")
                .unwrap()
                .unwrap();
            assert_eq!(next.0, expected, "{method} {status}");
            assert_eq!(next.1, "https://a.example/dir/other#frag");
            assert_eq!(next.2, body, "{method} {status}");
            assert_eq!(next.3.contains(&"content-type".to_owned()), body > 0);
        }
        assert!(redirected(Method::GET, 304, "other").unwrap().is_none());
        assert!(redirected(Method::GET, 300, "other").unwrap().is_none());
        assert!(redirected(Method::GET, 302, "").unwrap().is_none());
    }

    #[test]
    fn bytes_of_a_location_stay_what_they_are() {
        let request = Request::get("https://a.example/dir/").unwrap();
        for (location, expected) in [
            (&b"/caf\xe9?q=\xe9"[..], "https://a.example/caf%E9?q=%E9"),
            (b"caf\xc3\xa9", "https://a.example/dir/caf%C3%A9"),
            (b"/caf\xc3\xa9-\xe9", "https://a.example/caf%C3%A9-%E9"),
            (b"/a%e9", "https://a.example/a%e9"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_bytes(location).unwrap());
            let next = next(&request, StatusCode::FOUND, &headers, &Rules::default())
                .unwrap()
                .unwrap();
            assert_eq!(next.url.as_str(), expected);
        }
    }

    #[test]
    fn secrets_stay_with_their_origin() {
        for (location, kept) in [
            ("/x", true),
            ("https://a.example:443/x", true),
            ("//b.example/x", false),
            ("https://a.example:8443/x", false),
            ("https://sub.a.example/x", false),
        ] {
            let names = redirected(Method::GET, 307, location).unwrap().unwrap().3;
            assert_eq!(
                names.contains(&"authorization".to_owned()),
                kept,
                "{location}"
            );
            assert_eq!(names.contains(&"cookie".to_owned()), kept, "{location}");
        }
        let url = redirected(Method::GET, 307, "https://u:p@a.example/")
            .unwrap()
            .unwrap()
            .1;
        assert_eq!(url, "https://a.example/#frag");
    }

    #[test]
    fn http_leads_to_http_only_if_that_is_allowed() {
        let follows = |from: &str, to_http: Option<bool>| {
            let request = Request::new_allowing_http(Method::GET, from).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static("http://b.example/"));
            let rules = Rules {
                to_http,
                ..Rules::default()
            };
            next(&request, StatusCode::FOUND, &headers, &rules).is_ok()
        };
        for (from, to_http, expected) in [
            ("http://a.example/", None, true),
            ("https://a.example/", None, false),
            ("https://a.example/", Some(true), true),
            ("http://a.example/", Some(false), false),
        ] {
            assert_eq!(follows(from, to_http), expected, "{from} {to_http:?}");
        }
        assert!(Request::get("http://a.example/").is_err());
    }

    #[test]
    fn nothing_leads_out_of_tls() {
        assert!(matches!(
            redirected(Method::GET, 302, "http://a.example/"),
            Err(Error::PlainHttp {
                redirected_from: Some(_),
                ..
            })
        ));
        assert!(matches!(
            redirected(Method::GET, 302, "file:///etc/passwd"),
            Err(Error::UnsupportedScheme {
                redirected_from: Some(_),
                ..
            })
        ));
        assert!(matches!(
            redirected(Method::GET, 302, "https://[nonsense"),
            Err(Error::InvalidRedirect { .. })
        ));
    }
}
