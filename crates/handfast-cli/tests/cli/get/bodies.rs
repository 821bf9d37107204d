//! Large bodies: sent when the server agrees, sent again after a redirect, not sent to a server that refuses.

use std::time::Duration;

use handfast_testbed::launch::Running;
use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

/// More than is sent without asking.
const LARGE: usize = 1024 * 1024 + 1;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[test]
fn a_large_body_waits_for_the_servers_answer() {
    let fixture = Fixture::new();
    let file = fixture
        .write("large", vec![b'x'; LARGE])
        .display()
        .to_string();
    let data = format!("@{file}");
    for args in [["-T", &file], ["-d", &data]] {
        let refused = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send("HTTP/1.1 401 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            Step::ReadToEnd,
        ]);
        let finished = fixture.get([&args[..], &["-f", &refused.url("/")]].concat());
        assert_eq!(code(&finished), 22, "{finished}");
        let seen = refused.received_text();
        assert!(seen.contains("expect: 100-continue\r\n"), "{args:?}");
        assert!(seen.ends_with("\r\n\r\n") && seen.len() < LARGE, "{args:?}");

        // One that does not know the question.
        let silent =
            fixture
                .misbehaving()
                .serve([Step::ReadHead, Step::Read(LARGE), Step::send(OK)]);
        let finished = fixture.get([args[0], args[1], &silent.url("/")]);
        assert_eq!(code(&finished), 0, "{finished}");

        // One that refuses the question.
        let refuses = fixture.misbehaving().serve_each([
            vec![
                Step::ReadHead,
                Step::send("HTTP/1.1 417 X\r\ncontent-length: 0\r\n\r\n"),
            ],
            vec![Step::ReadHead, Step::Read(LARGE), Step::send(OK)],
        ]);
        let finished = fixture.get([args[0], args[1], &refuses.url("/")]);
        assert_eq!(code(&finished), 0, "{finished}");
        let seen = refuses.received_text();
        assert_eq!(seen.matches("expect: 100-continue").count(), 1, "{args:?}");
    }
    // Asked not to ask.
    let server = fixture
        .misbehaving()
        .serve([Step::ReadRequest, Step::send(OK)]);
    let finished = fixture.get(["-H", "Expect:", "-T", &file, &server.url("/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert!(!server.received_text().contains("expect"));
}

#[test]
fn files_are_sent_again_after_a_redirect_that_keeps_the_method() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "content").display().to_string();
    let form = format!("f=@{file}");
    for args in [["-T", &file], ["-F", &form]] {
        let server = fixture.misbehaving().serve([
            Step::ReadRequest,
            Step::send("HTTP/1.1 307 X\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n"),
            Step::ReadRequest,
            Step::send(OK),
        ]);
        let finished = fixture.get(["-L", args[0], args[1], &server.url("/once")]);
        assert_eq!(code(&finished), 0, "{finished}");
        let seen = server.received_text();
        assert_eq!(seen.matches("content-length: ").count(), 2, "{seen}");
        assert!(seen.matches("content").count() >= 4, "{seen}");
        assert!(seen.contains(" /again HTTP/1.1\r\n"), "{seen}");
    }
}

#[test]
fn files_are_uploaded_over_http2() {
    use handfast_testbed::misbehaving::http2;
    let fixture = Fixture::new();
    let file = fixture.write("file", "content").display().to_string();
    let server = fixture.misbehaving().alpn(&["h2"]).serve([
        Step::Send(http2::settings()),
        Step::ReadHttp2Request,
        Step::Send(http2::headers(1, &[], true)),
    ]);
    let finished = fixture.get(["-T", &file, &server.url("/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    let seen = server.received();
    assert!(seen.windows(7).any(|some| some == b"content"));
}

#[test]
fn bodies_that_cannot_be_made_are_refused_before_anything_is_sent() {
    let fixture = Fixture::new();
    for (args, expected) in [
        (&["-d", "a", "-F", "b=c"][..], 2),
        (&["-I", "-d", "a"], 2),
        (&["-F", "a"], 2),
        (&["-F", "a=b;c"], 2),
        (&["-T", "/nowhere/at/all"], 26),
        (&["-F", "a=@/nowhere/at/all"], 26),
        (&["-d", "@/nowhere/at/all"], 26),
        (&["-H", "@/nowhere/at/all"], 26),
    ] {
        // Nothing listens there: 7 would say that it was asked.
        let finished = fixture.get([args, &["https://127.0.0.1:1/"]].concat());
        assert_eq!(code(&finished), expected, "{args:?}: {finished}");
    }
}

#[test]
fn what_is_uploaded_is_not_waited_for_when_the_whole_reply_is_there() {
    let fixture = Fixture::new();
    let server = fixture
        .misbehaving()
        .serve([Step::ReadHead, Step::send(OK), Step::ReadToEnd]);
    let mut command = fixture.command("get");
    command.args(fixture.trust());
    command.args(["-T", "-", &server.url("/")]);
    // Its stdin has nothing, and no end.
    let mut running = Running::start(&mut command);
    let status = running.wait(Duration::from_secs(60));
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(running.output().contains("the rest was not sent"));
}

#[test]
fn an_upload_is_not_continued() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([Step::ReadRequest]);
    let file = fixture.write("file", "content").display().to_string();
    for offset in ["3", "-"] {
        let finished = fixture.get(["-C", offset, "-T", &file, &server.url("/")]);
        assert_eq!(code(&finished), 2, "{finished}");
        assert!(finished.err().contains("-C"), "{finished}");
    }
    assert_eq!(server.connections(), 0);
}
