//! Replies that are none, and replies without a body.

use std::ffi::OsStr;

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

#[test]
fn replies_that_are_none() {
    let fixture = Fixture::new();
    let head = "HTTP/1.1 200 OK\r\ncontent-le";
    for (name, steps, expected, id) in [
        (
            "empty, close_notify",
            vec![Step::CloseNotify, Step::Fin],
            52,
            "[empty-reply]",
        ),
        ("empty, FIN", vec![Step::Fin], 52, "[empty-reply]"),
        ("empty, reset", vec![Step::Reset], 56, "[reset]"),
        (
            "half a head, close_notify",
            vec![Step::send(head), Step::CloseNotify, Step::Fin],
            56,
            "[truncated]",
        ),
        (
            "half a head, FIN",
            vec![Step::send(head), Step::Fin],
            56,
            "[truncated]",
        ),
        (
            "half a head, reset",
            vec![Step::send(head), Step::Reset],
            56,
            "[truncated]",
        ),
        (
            "not HTTP",
            vec![Step::send("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Step::Fin],
            56,
            "[malformed-response]",
        ),
        (
            "two lengths",
            vec![Step::send(
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
            )],
            56,
            "[malformed-response]",
        ),
        (
            "endless head",
            vec![
                Step::send("HTTP/1.1 200 OK\r\n"),
                Step::Forever(
                    b"x-filler: 0123456789012345678901234567890123456789\r\n".repeat(500),
                ),
            ],
            56,
            "[malformed-response]",
        ),
        (
            "endless line",
            vec![Step::Forever(vec![b'x'; 16 * 1024])],
            56,
            "[malformed-response]",
        ),
        (
            "bad chunk",
            vec![Step::send(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            )],
            56,
            "[malformed-response]",
        ),
    ] {
        let mut script = vec![Step::ReadHead];
        script.extend(steps);
        let server = fixture.misbehaving().serve(script);
        let target = fixture.path("none");
        let finished = fixture.get([
            OsStr::new("-o"),
            target.as_os_str(),
            server.url("/").as_ref(),
        ]);
        assert_eq!(code(&finished), expected, "{name}: {finished}");
        assert!(finished.err().contains(id), "{name}: {finished}");
        assert!(!target.exists(), "{name}");
    }
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let fixture = Fixture::new();
    for (args, head) in [
        (&["-I"][..], "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"),
        (&[], "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            &["-H", "If-None-Match: \"a\"", "-i"],
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n",
        ),
        (
            &[],
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let server = fixture
            .misbehaving()
            .serve([Step::ReadHead, Step::send(head)]);
        let mut all: Vec<&str> = args.to_vec();
        let url = server.url("/");
        all.push(&url);
        let finished = fixture.get(&all);
        assert_eq!(code(&finished), 0, "{head}: {finished}");
        if args.is_empty() {
            assert_eq!(finished.out(), "");
        } else {
            let line = head.lines().next().unwrap();
            assert!(finished.out().starts_with(line), "{finished}");
        }
    }
}
