//! A URL that a user gives and the Location that a server answers with: always https, never with credentials that
//! somebody else gave, secrets for their own origin alone, and nothing in it that could end a line of HTTP.
#![no_main]

use handfast_fuzz::Input;
use handfast_http::h1::request::{Bounds, find};
use handfast_http::h1::{Body, Found};
use handfast_https::client::Request;
use handfast_https::fuzzing::{self, redirected, sent};
use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderValue, Method, StatusCode};
use libfuzzer_sys::fuzz_target;

fn check(request: &Request) {
    let url = fuzzing::url(request);
    assert_eq!(url.scheme(), "https");
    assert!(url.host_str().is_some_and(|host| !host.is_empty()));
    assert!(url.username().is_empty() && url.password().is_none());
    // It reads the same when it is read again.
    let again = Request::get(url.as_str()).expect("a URL that was read once");
    assert_eq!(again.url(), request.url());
    assert!(again.headers().get(AUTHORIZATION).is_none());
    let (bytes, authority, path) = sent(request).expect("a request of what was read");
    for text in [&authority, &path] {
        assert!(!text.is_empty());
        assert!(
            text.iter().all(|byte| *byte > 0x20 && *byte != 0x7f),
            "{text:?}"
        );
    }
    assert!(path.starts_with(b"/") && !path.contains(&b'#'));
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    assert_eq!(authority, host.as_bytes());
    // Names that no resolver and no certificate has are not reached.
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    if !host.bytes().all(usual) {
        return;
    }
    // A server of ours reads from it what was meant.
    let bounds = Bounds {
        bytes_max: 16 * 1024,
        fields_max: 20,
    };
    let (head, length) = find(&bytes, 0, bounds)
        .expect("a whole head")
        .unwrap_or_else(|refusal| panic!("{refusal:?} {}", bytes.escape_ascii()));
    assert_eq!(head.method, request.method());
    assert_eq!(head.target.to_string().as_bytes(), path);
    assert_eq!(head.fields[HOST].as_bytes(), authority);
    let mut body = Body::new(head.framing);
    let mut rest = &bytes[length..];
    let mut found = Vec::new();
    while let Ok(Found::Piece(piece)) = body.read(&mut rest) {
        found.extend_from_slice(piece);
    }
    assert!(body.is_done() && rest.is_empty());
    assert_eq!(&found[..], &request.body()[..]);
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let choice = input.byte();
    let text = String::from_utf8_lossy(input.string());
    let text = &*text;
    let location = input.rest();
    let method = match choice % 4 {
        0 => Method::POST,
        1 => Method::HEAD,
        _ => Method::GET,
    };
    let request = match Request::new(method, text) {
        Ok(request) => request,
        Err(error) => {
            let told = error.explain().to_string();
            let control = |c: char| c.is_control() && c != '\n';
            assert!(!told.chars().any(control), "{told:?}");
            return;
        }
    };
    check(&request);
    let given = request.headers().contains_key(AUTHORIZATION);
    let request = request
        .with_header(COOKIE, HeaderValue::from_static("k=v"))
        .with_body("body");
    let status = [301, 302, 303, 307, 308, 304][usize::from(choice >> 2) % 6];
    let status = StatusCode::from_u16(status).expect("a status");
    match redirected(&request, status, location) {
        Ok(None) => {}
        Ok(Some(next)) => {
            check(&next);
            let same = fuzzing::url(&next).origin() == fuzzing::url(&request).origin();
            assert_eq!(same, next.headers().contains_key(COOKIE));
            assert_eq!(same && given, next.headers().contains_key(AUTHORIZATION));
            if matches!(status.as_u16(), 307 | 308) {
                assert_eq!(next.method(), request.method());
                assert_eq!(next.body(), request.body());
            } else if next.method() == Method::GET && request.method() == Method::POST {
                assert!(next.body().is_empty());
            }
        }
        Err(error) => {
            let told = error.explain().to_string();
            let control = |c: char| c.is_control() && c != '\n';
            assert!(!told.chars().any(control), "{told:?}");
        }
    }
});
