//! Every explanation as a person reads it, compared with the files in `tests/explanations`.
//!
//! `HANDFAST_WRITE_EXPLANATIONS=1` writes them anew: read each one that changes.

use std::fs;
use std::io;
use std::path::Path;

use handfast::{Ending, NetworkCause, Phase};
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
        (
            "malformed-response",
            Error::Malformed {
                problem: "invalid HTTP header parsed".to_owned(),
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
            "download-running",
            Error::DownloadRunning {
                part: "page.html.part".into(),
            },
        ),
    ]
}

#[test]
fn c2_explanations_read_as_they_were_read() {
    let write = std::env::var_os("HANDFAST_WRITE_EXPLANATIONS").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations");
    let mut wrong = Vec::new();
    for (name, error) in all() {
        let explanation = error.explain();
        let text = format!("{explanation}\n");
        assert_eq!(
            Some(explanation.id),
            name.split('.').next(),
            "{name}: {text}"
        );
        assert!(text.lines().count() <= 12, "{name} is long: {text}");
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{name}: {text:?}"
        );
        for bad in ["Some(", "Os {", "os error", "--insecure", "s3cret"] {
            assert!(!text.contains(bad), "{name}: {text}");
        }
        let file = directory.join(format!("{name}.txt"));
        if write {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&file, &text).unwrap();
        }
        if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "these changed:\n{}", wrong.join("\n"));
}
