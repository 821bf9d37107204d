//! Each way of fetching a file gives the same verdict on the same fault of a server.

use std::fs;

use handfast_testbed::misbehaving::{Step, http2};

use super::code;
use crate::common::Fixture;

/// Enough for two ranges at once.
const SIZE: usize = 4 * 1024 * 1024;
const HALF: usize = SIZE / 2;

const FIELDS: &str = "ETag: \"v1\"\r\nAccept-Ranges: bytes\r\nconnection: close\r\n";

type End = fn() -> Vec<Step>;

/// How the server ends a response whose last bytes it does not send.
const ENDS: [(&str, End, i32); 4] = [
    ("close_notify", || vec![Step::CloseNotify, Step::Fin], 18),
    ("FIN", || vec![Step::Fin], 18),
    ("reset", || vec![Step::Reset], 18),
    ("silence", || vec![Step::ReadToEnd], 28),
];

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8).collect()
}

/// What a request asks for: the first byte and the one behind the last.
fn range(head: &str) -> Option<(usize, usize)> {
    let (_, rest) = head.split_once("\r\nrange: bytes=")?;
    let (first, last) = rest.split_once("\r\n")?.0.split_once('-')?;
    let end = last.parse().map_or(SIZE, |last: usize| last + 1);
    Some((first.parse().unwrap(), end))
}

/// The response to this request without its last bytes.
fn cut(head: &str, fields: &str) -> Vec<Step> {
    let (status, first, end) = match range(head) {
        None => ("200 OK".to_owned(), 0, SIZE),
        Some((first, end)) => {
            let range = format!("Content-Range: bytes {first}-{}/{SIZE}", end - 1);
            (format!("206 X\r\n{range}"), first, end)
        }
    };
    let length = end - first;
    let head = format!("HTTP/1.1 {status}\r\n{FIELDS}{fields}content-length: {length}\r\n\r\n");
    vec![
        Step::send(head),
        Step::Send(content()[first..end - 100].to_vec()),
    ]
}

fn plain(head: &str, end: fn() -> Vec<Step>) -> Vec<Step> {
    let mut steps = cut(head, "");
    steps.extend(end());
    steps
}

type Answer = fn(&str) -> Vec<Step>;

/// For each of the ends, in their order: function pointers have no room for more.
const PLAIN: [Answer; 4] = [
    |head| plain(head, ENDS[0].1),
    |head| plain(head, ENDS[1].1),
    |head| plain(head, ENDS[2].1),
    |head| plain(head, ENDS[3].1),
];

/// A body in gzip, without its last bytes: stored blocks, so that what came can be decoded.
fn coded(end: fn() -> Vec<Step>) -> Vec<Step> {
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for block in content().chunks(60_000) {
        let length = u16::try_from(block.len()).unwrap();
        body.push(0);
        body.extend(length.to_le_bytes());
        body.extend((!length).to_le_bytes());
        body.extend(block);
    }
    let length = body.len() + 100;
    let head = format!(
        "HTTP/1.1 200 OK\r\n{FIELDS}content-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut steps = vec![Step::ReadHead, Step::send(head), Step::Send(body)];
    steps.extend(end());
    steps
}

#[test]
fn every_path_gives_the_same_verdict_on_a_body_that_is_cut_off() {
    for (number, (what, end, expected)) in ENDS.into_iter().enumerate() {
        for (path, args) in [
            ("HTTP/1.1", &[][..]),
            ("HTTP/2", &["--http2"]),
            ("to stdout", &[]),
            ("compressed", &["--compressed"]),
            ("resumed", &["-C", "-"]),
            ("parallel", &["-Z"]),
            ("segmented", &["--segments", "2"]),
            ("segmented and resumed", &["--segments", "2", "-C", "-"]),
        ] {
            let fixture = Fixture::new();
            let server = match path {
                "HTTP/2" => {
                    let length = [("content-length", "10")];
                    let reply = [
                        http2::headers(1, &length, false),
                        http2::data(1, b"01234", false),
                    ];
                    let mut steps = vec![
                        Step::send(http2::settings()),
                        Step::ReadHttp2Request,
                        Step::Send(reply.concat()),
                    ];
                    steps.extend(end());
                    fixture.misbehaving().alpn(&["h2"]).serve(steps)
                }
                "compressed" => fixture.misbehaving().serve(coded(end)),
                _ => fixture
                    .misbehaving()
                    .serve([Step::AnswerHead(PLAIN[number])]),
            };
            let url = server.url("/file");
            let target = fixture.path("file");
            if args.contains(&"-C") {
                let state = format!("handfast download 1\nurl {url}\netag \"v1\"\nlength {SIZE}\n");
                fs::write(fixture.path("file.part.state"), state).unwrap();
                fs::write(fixture.path("file.part"), &content()[..HALF / 2]).unwrap();
            }
            let report = fixture.path("report");
            let (target_text, report_text) =
                (target.display().to_string(), report.display().to_string());
            let mut all = vec!["--json-report", &report_text, "-o", &target_text];
            if path == "to stdout" {
                all.truncate(2);
            } else {
                all.extend(args);
            }
            if expected == 28 {
                all.extend(["-m", "3"]);
            }
            all.push(&url);
            let finished = fixture.get(all);
            let what = format!("{path}, {what}: {finished}");
            assert_eq!(code(&finished), expected, "{what}");
            let line = fs::read_to_string(&report).unwrap();
            assert!(line.contains("\"verdict\":\"truncated\""), "{what}: {line}");
            let id = if expected == 28 {
                "[timed-out]"
            } else {
                "[truncated]"
            };
            assert!(
                finished.err().contains(id) || finished.err().contains("[truncated]"),
                "{what}"
            );
            assert!(!target.exists(), "{what}");
        }
    }
}
