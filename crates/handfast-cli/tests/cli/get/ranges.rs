//! Parts of files (206), and what is no answer to a request for one.

use std::fs;
use std::time::Duration;

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

/// A reply with a body of so many bytes.
fn reply(status: &str, fields: &str, bytes: usize) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {bytes}\r\n\r\n");
    vec![
        Step::ReadHead,
        Step::send(head),
        Step::Send(vec![b'x'; bytes]),
    ]
}

#[test]
fn a_part_that_was_not_requested_is_never_a_complete_response() {
    const PARTIAL: &str = "206 Partial Content";
    let range = |range: &str| format!("content-range: bytes {range}\r\n");
    let parts = "content-type: Multipart/ByteRanges; boundary=b\r\n";
    for (args, status, fields, bytes, expected) in [
        // The whole is requested.
        (&[][..], PARTIAL, range("0-9/1040"), 10, 33),
        (&[], PARTIAL, String::new(), 10, 33),
        (&[], PARTIAL, range("0-9/10"), 10, 0),
        (&[], PARTIAL, range("0-9/10"), 5, 18),
        // A range is.
        (&["-r0-9"], PARTIAL, range("0-9/1040"), 10, 0),
        (&["-r0-9"], PARTIAL, range("0-4/5"), 5, 0),
        (&["-r0-9"], PARTIAL, range("100-109/1040"), 10, 33),
        (&["-r0-9"], PARTIAL, String::new(), 10, 33),
        (&["-r0-9"], PARTIAL, parts.to_owned(), 10, 33),
        (&["-r0-499"], PARTIAL, range("0-499/1040"), 10, 18),
        (&["-r0-9"], PARTIAL, range("0-4/1040"), 5, 18),
        (&["-r100-"], PARTIAL, range("100-109/1040"), 10, 18),
        (&["-r-10"], PARTIAL, range("1030-1039/1040"), 10, 0),
        (&["-r-10"], PARTIAL, range("0-9/1040"), 10, 33),
        (&["-HRange: bytes=0-9"], PARTIAL, range("5-14/1040"), 10, 33),
        (&["-r0-1,5-6"], PARTIAL, parts.to_owned(), 10, 0),
        // Servers need not know ranges.
        (&["-r0-9"], "200 OK", String::new(), 1040, 0),
        // The rest is.
        (&["-C100"], PARTIAL, range("100-1039/1040"), 940, 0),
        (&["-C100"], PARTIAL, range("100-199/1040"), 100, 18),
        (&["-C100"], PARTIAL, range("99-1039/1040"), 941, 33),
        (
            &["-C100"],
            "416 Range Not Satisfiable",
            range("*/100"),
            0,
            0,
        ),
        (
            &["-C100"],
            "416 Range Not Satisfiable",
            range("*/50"),
            0,
            33,
        ),
    ] {
        let fixture = Fixture::new();
        for to_file in [false, true] {
            let script = reply(status, &fields, bytes);
            let server = fixture.misbehaving().serve(script);
            let file = fixture.path("file").display().to_string();
            let url = server.url("/");
            let output: &[&str] = if to_file { &["-o", &file] } else { &[] };
            let finished = fixture.get([args, output, &[&url]].concat());
            let what = format!("{args:?}, {status} {fields:?}: {finished}");
            assert_eq!(code(&finished), expected, "{what}");
            let is_there = fs::metadata(&file).is_ok();
            assert_eq!(is_there, to_file && expected == 0 && bytes > 0, "{what}");
        }
    }
}

#[test]
fn what_is_there_is_given_up_for_the_whole_and_for_nothing_less() {
    let other = "content-range: bytes 0-1/1000\r\n";
    for status in ["503 Service Unavailable", "404 Not Found", "302 Found"] {
        for name in ["file", "file.part"] {
            let fixture = Fixture::new();
            let path = fixture.path("file").display().to_string();
            let kept = fixture.path(name);
            fs::write(&kept, b"precious").unwrap();
            // The range cannot be used, so that the whole is requested. Of a part without a state it is at once.
            let mut replies = vec![reply(status, "", 3)];
            if name == "file" {
                replies.insert(0, reply("206 Partial Content", other, 2));
            }
            let server = fixture.misbehaving().serve_each(replies);
            let finished = fixture.get(["-C-", "-o", &path, &server.url("/")]);
            assert_eq!(code(&finished), 22, "{status}, {name}: {finished}");
            assert_eq!(fs::read(&kept).unwrap(), b"precious", "{status}, {name}");
        }
    }
}

#[test]
fn a_304_that_was_not_asked_for_is_an_error() {
    let fixture = Fixture::new();
    let file = fixture.path("file").display().to_string();
    fs::write(&file, "old").unwrap();
    let other = "0".repeat(64);
    for (args, expected) in [
        (&["-o", &file][..], 56),
        (&[], 56),
        (&["-z", "2026-01-01", "-o", &file], 0),
        (&["-z", "2026-01-01", "-o", &file, "--sha256", &other], 56),
        (&["-H", "If-None-Match: \"a\""], 0),
    ] {
        let server = fixture
            .misbehaving()
            .serve(reply("304 Not Modified", "", 0));
        let url = server.url("/");
        let finished = fixture.get([args, &[&url]].concat());
        assert_eq!(code(&finished), expected, "{args:?}: {finished}");
        assert_eq!(fs::read(&file).unwrap(), b"old");
    }
}

#[test]
fn a_head_is_shown_without_the_body_whatever_the_method_is() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve(reply("200 OK", "", 10));
    let finished = fixture.get(["-I", "-X", "GET", &server.url("/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(
        finished.out(),
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
    );
}

#[test]
fn the_time_limit_is_that_of_the_transfer_also_where_the_whole_is_asked_for_again() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "precious").display().to_string();
    // Each takes more than half of the limit.
    let late = |mut steps: Vec<Step>| {
        steps.insert(1, Step::Pause(Duration::from_millis(1200)));
        steps
    };
    let other = reply(
        "206 Partial Content",
        "content-range: bytes 0-1/1000\r\n",
        2,
    );
    let server = fixture
        .misbehaving()
        .serve_each([late(other), late(reply("200 OK", "", 10))]);
    let url = server.url("/");
    let finished = fixture.get(["-C-", "-m", "2", "-o", &file, &url]);
    assert_eq!(code(&finished), 28, "{finished}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}
