//! Every explanation as a person reads it, compared with the files in `tests/explanations/client`.

use std::io;
use std::path::Path;

use handfast::{Ending, NetworkCause, Phase};
use handfast_http::h2::frame::code;
use handfast_testbed::golden;
use http::StatusCode;

use super::{Error, Truncation};
use crate::client::Framing;

fn cut(
    framing: Option<Framing>,
    received: u64,
    ending: Option<Ending>,
    failure: Option<handfast::Error>,
) -> Error {
    Error::Truncated(Box::new(Truncation {
        framing,
        expected: framing.and_then(Framing::expected),
        received,
        ending,
        problem: None,
        failure,
    }))
}

fn all() -> Vec<(&'static str, Error)> {
    let url = || "https://shop.example/a".to_owned();
    let reset = handfast::Error::new(Phase::Response, NetworkCause::Reset);
    vec![
        (
            "invalid-url",
            Error::InvalidUrl {
                text: "https://shop.example:99999/".to_owned(),
                problem: "invalid port number".to_owned(),
            },
        ),
        (
            "plain-http",
            Error::PlainHttp {
                url: "http://shop.example/".to_owned(),
                redirected_from: None,
            },
        ),
        (
            "redirect-to-plain-http",
            Error::PlainHttp {
                url: "http://shop.example/\u{1b}[2J".to_owned(),
                redirected_from: Some(url()),
            },
        ),
        (
            "unsupported-scheme",
            Error::UnsupportedScheme {
                url: "ftp://shop.example/".to_owned(),
                scheme: "ftp".to_owned(),
                redirected_from: None,
            },
        ),
        (
            "unsupported-scheme.redirect",
            Error::UnsupportedScheme {
                url: "file:///etc/passwd".to_owned(),
                scheme: "file".to_owned(),
                redirected_from: Some(url()),
            },
        ),
        (
            "invalid-request",
            Error::InvalidRequest {
                problem: "invalid header value".to_owned(),
            },
        ),
        (
            "too-many-redirects",
            Error::TooManyRedirects {
                limit: 50,
                next: url(),
            },
        ),
        (
            "invalid-redirect",
            Error::InvalidRedirect {
                location: "https://u:s3cret@[nonsense".to_owned(),
                problem: "invalid IPv6 address".to_owned(),
            },
        ),
        (
            "http-status",
            Error::Status {
                status: StatusCode::NOT_FOUND,
                url: url(),
            },
        ),
        (
            "empty-reply",
            Error::EmptyReply {
                ending: Some(Ending::CloseNotify),
            },
        ),
        ("client-closed", Error::ClientClosed),
        ("stream-reset", Error::StreamReset { code: 2 }),
        (
            "stream-reset.http1",
            Error::StreamReset {
                code: code::HTTP_1_1_REQUIRED,
            },
        ),
        (
            "go-away",
            Error::GoAway {
                code: code::NO_ERROR,
                debug: String::new(),
            },
        ),
        (
            "go-away.debug",
            Error::GoAway {
                code: code::ENHANCE_YOUR_CALM,
                debug: "too_many_pings\u{1b}[2J".to_owned(),
            },
        ),
        (
            "malformed-response",
            Error::Malformed {
                problem: "a malformed header line: \"nocolonhere\"".to_owned(),
            },
        ),
        (
            "unsupported-content-coding",
            Error::UnsupportedCoding {
                coding: "compress\u{1b}[2J".to_owned(),
            },
        ),
        (
            "range-not-sent",
            Error::RangeNotSent {
                asked: "the whole file".to_owned(),
                sent: "bytes 0 to 9".to_owned(),
            },
        ),
        (
            "broken-content-coding",
            Error::BrokenCoding {
                coding: "gzip",
                problem: "it ends early".to_owned(),
            },
        ),
        (
            "decompression-bomb",
            Error::DecompressionBomb {
                received: 100_000,
                decoded: 70_000_000,
            },
        ),
        (
            "response-too-large",
            Error::TooLarge {
                limit: 1000,
                announced: Some(1001),
            },
        ),
        (
            "response-too-large.more",
            Error::TooLarge {
                limit: 1000,
                announced: None,
            },
        ),
        (
            "truncated",
            cut(
                Some(Framing::Length(1000)),
                10,
                Some(Ending::Premature),
                None,
            ),
        ),
        (
            "truncated.head",
            cut(None, 17, Some(Ending::CloseNotify), None),
        ),
        (
            "truncated.until-close",
            cut(Some(Framing::UntilClose), 10, Some(Ending::Premature), None),
        ),
        (
            "truncated.chunked",
            cut(Some(Framing::Chunked), 1, None, Some(reset)),
        ),
        (
            "file-unusable",
            Error::File {
                path: "page.html".into(),
                action: "write",
                source: io::Error::from_raw_os_error(28),
            },
        ),
        (
            "upload-failed",
            Error::Upload {
                source: io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is shorter than its announced length",
                ),
            },
        ),
        (
            "download-running",
            Error::DownloadRunning {
                part: "page.html.part".into(),
            },
        ),
    ]
}

#[test]
fn explanations_match_the_golden_files() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations/client");
    let texts = all().into_iter().map(|(name, error)| {
        let explanation = error.explain();
        assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
        let text = format!("{explanation}\n");
        assert!(!text.contains("s3cret"), "{name}: {text}");
        (name.to_owned(), text)
    });
    golden::compare(&directory, 12, texts);
}
