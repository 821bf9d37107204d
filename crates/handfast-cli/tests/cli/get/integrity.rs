//! Complete, truncated or failed: the same verdict over every path; and what is checked besides.

use std::fs;

use handfast_testbed::launch::Tinyproxy;
use handfast_testbed::misbehaving::{Step, http2};

use super::code;
use crate::common::Fixture;

const TEXT: &str = "hello, hello, hello\n";
const SHA256: &str = "9936fa6ba57663801b43c307ab5d04efcc419b85679e644f4722995814b72dbd";
const REPR_DIGEST: &str = "Repr-Digest: sha-256=:mTb6a6V2Y4AbQ8MHq10E78xBm4VnnmRPRyKZWBS3Lb0=:\r\n";
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\xe7\x42\x6e\x52\x14\x00\x00\x00";

/// What is there of a file that is continued.
const HELD: usize = 7;

/// How a response comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Length,
    Chunked,
    Http2,
    Compressed,
    Proxied,
    Resumed,
    ResumedHttp2,
}

/// How the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    CloseNotify,
    Fin,
    Reset,
}

impl Path {
    const ALL: [Self; 7] = [
        Self::Length,
        Self::Chunked,
        Self::Http2,
        Self::Compressed,
        Self::Proxied,
        Self::Resumed,
        Self::ResumedHttp2,
    ];

    fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::ResumedHttp2)
    }

    fn is_resumed(self) -> bool {
        matches!(self, Self::Resumed | Self::ResumedHttp2)
    }

    /// The response, or half of it.
    fn steps(self, is_whole: bool) -> Vec<Step> {
        let body: &[u8] = match self {
            Self::Compressed => GZIP,
            Self::Resumed | Self::ResumedHttp2 => &TEXT.as_bytes()[HELD..],
            _ => TEXT.as_bytes(),
        };
        let sent = if is_whole {
            body
        } else {
            &body[..body.len() / 2]
        };
        let range = format!("bytes {HELD}-{}/{}", TEXT.len() - 1, TEXT.len());
        if self.is_http2() {
            let fields: &[(&str, &str)] = match self.is_resumed() {
                true => &[("content-range", &range)],
                false => &[],
            };
            let mut head = http2::headers(1, fields, false);
            if self.is_resumed() {
                // Behind the header of the frame: `:status: 206`, in the static table.
                head[9] = 0x8a;
            }
            return vec![
                Step::Send(http2::settings()),
                Step::ReadHttp2Request,
                Step::Send(head),
                Step::Send(http2::data(1, sent, is_whole)),
            ];
        }
        let length = body.len();
        let (status, fields) = match self {
            Self::Resumed => (
                "206 X",
                format!("content-range: {range}\r\ncontent-length: {length}"),
            ),
            Self::Compressed => (
                "200 X",
                format!("content-encoding: gzip\r\ncontent-length: {length}"),
            ),
            Self::Chunked => ("200 X", "transfer-encoding: chunked".to_owned()),
            _ => ("200 X", format!("content-length: {length}")),
        };
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n\r\n");
        let mut bytes = head.into_bytes();
        if self == Self::Chunked {
            bytes.extend(format!("{:x}\r\n", sent.len()).bytes());
            bytes.extend_from_slice(sent);
            bytes.extend_from_slice(if is_whole { b"\r\n0\r\n\r\n" } else { b"" });
        } else {
            bytes.extend_from_slice(sent);
        }
        vec![Step::ReadHead, Step::Send(bytes)]
    }
}

#[test]
fn every_path_gives_the_same_verdict() {
    let fixture = Fixture::new();
    let proxy = Tinyproxy::launch(fixture.directory(), "");
    let proxy_url = proxy
        .as_ref()
        .map(|proxy| format!("http://{}", proxy.address()));
    let target = fixture.path("file");
    let part = fixture.path("file.part");
    let file = target.display().to_string();
    // Whether all of the body comes, how the connection ends, and the exit code without and with --strict-close.
    for (is_whole, end, code_usual, code_strict) in [
        (true, End::CloseNotify, 0, 0),
        (true, End::Fin, 0, 56),
        (false, End::CloseNotify, 18, 18),
        (false, End::Fin, 18, 18),
        (false, End::Reset, 18, 18),
    ] {
        for path in Path::ALL {
            for (strict, expected) in [(false, code_usual), (true, code_strict)] {
                if strict && is_whole && end == End::Fin && path.is_http2() {
                    // The stream has ended, and the connection may go on: its end may come before or after that is judged.
                    continue;
                }
                let what = format!("{path:?}, whole: {is_whole}, {end:?}, strict: {strict}");
                let mut args = vec!["-o", &file];
                if strict {
                    args.push("--strict-close");
                }
                match path {
                    Path::Compressed => args.push("--compressed"),
                    Path::Resumed | Path::ResumedHttp2 => args.extend(["-C", "7"]),
                    Path::Proxied => match &proxy_url {
                        Some(url) => args.extend(["-x", url]),
                        None => continue,
                    },
                    _ => {}
                }
                for left in [&target, &part, &fixture.path("file.part.state")] {
                    let _ = fs::remove_file(left);
                }
                if path.is_resumed() {
                    fs::write(&target, &TEXT[..HELD]).unwrap();
                }
                let mut steps = path.steps(is_whole);
                steps.extend(match end {
                    End::CloseNotify => vec![Step::CloseNotify, Step::Fin],
                    End::Fin => vec![Step::Fin],
                    End::Reset => vec![Step::Reset],
                });
                let server = fixture.misbehaving();
                let server = match path.is_http2() {
                    true => server.alpn(&["h2"]),
                    false => server,
                };
                let server = server.serve(steps);
                let url = server.url("/file");
                args.push(&url);
                let finished = fixture.get(args);
                if end == End::Reset {
                    // It may have taken away what had arrived and was not read yet, the head included.
                    assert!(
                        code(&finished) > 0 && !target.exists(),
                        "{what}: {finished}"
                    );
                    continue;
                }
                assert_eq!(code(&finished), expected, "{what}: {finished}");
                match expected {
                    0 => assert_eq!(fs::read_to_string(&target).unwrap(), TEXT, "{what}"),
                    _ => assert!(!target.exists() && part.exists(), "{what}: {finished}"),
                }
            }
        }
    }
}

#[test]
fn a_body_without_its_digest_gets_no_name() {
    let fixture = Fixture::new();
    let target = fixture.path("file");
    let part = fixture.path("file.part");
    let wrong = "0".repeat(64);
    let upper = SHA256.to_uppercase();
    let other = "Repr-Digest: sha-256=:AAAA:\r\n";
    for (fields, args, expected) in [
        ("", &["--sha256", SHA256][..], 0),
        ("", &["--sha256", &upper], 0),
        ("", &["--sha256", &wrong], 56),
        (REPR_DIGEST, &[], 0),
        (REPR_DIGEST, &["--sha256", SHA256], 0),
        (REPR_DIGEST, &["--sha256", &wrong], 56),
        (other, &[], 56),
        (other, &["--sha256", SHA256], 56),
    ] {
        for (resumes, writes) in [(false, true), (true, true), (false, false)] {
            let _ = fs::remove_file(&target);
            let _ = fs::remove_file(&part);
            let file = target.display().to_string();
            let mut all = args.to_vec();
            if writes {
                all.extend(["-o", &file]);
            }
            let (status, range, body) = match resumes {
                true => {
                    fs::write(&target, &TEXT[..HELD]).unwrap();
                    all.extend(["-C", "7"]);
                    let range = format!(
                        "content-range: bytes {HELD}-{}/{}\r\n",
                        TEXT.len() - 1,
                        TEXT.len()
                    );
                    ("206 X", range, &TEXT[HELD..])
                }
                false => ("200 OK", String::new(), TEXT),
            };
            let length = body.len();
            let server = fixture.misbehaving().serve([
                Step::ReadHead,
                Step::send(format!(
                    "HTTP/1.1 {status}\r\n{fields}{range}content-length: {length}\r\n\r\n{body}"
                )),
            ]);
            let url = server.url("/file");
            all.push(&url);
            let finished = fixture.get(&all);
            assert_eq!(code(&finished), expected, "{all:?}: {finished}");
            if expected != 0 {
                assert!(finished.err().contains("[digest-mismatch]"), "{finished}");
            }
            let is_named = expected == 0 && writes;
            assert_eq!(
                (target.exists(), part.exists()),
                (is_named, writes && expected != 0),
                "{all:?}"
            );
        }
    }
}

#[test]
fn a_complete_part_without_its_digest_gets_no_name_either() {
    let fixture = Fixture::new();
    let target = fixture.write("file", TEXT).display().to_string();
    let wrong = "0".repeat(64);
    for (digest, expected) in [(SHA256, 0), (&wrong, 56)] {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send(format!(
                "HTTP/1.1 416 X\r\ncontent-range: bytes */{}\r\ncontent-length: 0\r\n\r\n",
                TEXT.len()
            )),
        ]);
        let finished = fixture.get([
            "-C",
            "-",
            "--sha256",
            digest,
            "-o",
            &target,
            &server.url("/"),
        ]);
        assert_eq!(code(&finished), expected, "{finished}");
    }
}
