//! What `handfast get` says and shows: no secrets, no control characters on a terminal, and a remark
//! on what HTTP does not allow.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use handfast_testbed::misbehaving::{Served, Step};

use crate::common::Fixture;
use crate::terminal::terminal;

impl Fixture {
    fn serve(&self, script: impl IntoIterator<Item = Step>) -> Served {
        self.misbehaving().serve(script)
    }

    /// What a person sees on a terminal.
    fn on_a_terminal(&self, args: &[&str]) -> String {
        let (mut ours, theirs, _) = terminal();
        let mut child = self
            .command("get")
            .env("NO_COLOR", "1")
            .args(self.trust())
            .args(args)
            .stdin(Stdio::null())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        // Linux reports the end of a terminal whose other side is closed as an error.
        while let Ok(count) = ours.read(&mut chunk) {
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }
}

fn whole(head: &str) -> [Step; 4] {
    let response = format!("HTTP/1.1 200 OK\r\n{head}content-length: 4\r\n\r\nbody");
    [
        Step::ReadHead,
        Step::send(response),
        Step::CloseNotify,
        Step::Fin,
    ]
}

#[test]
fn no_secret_is_shown() {
    let fixture = Fixture::new();
    let head = "location: https://alice:s3cret@other.example/\r\n\
                link: <https://bob:s3cret@x.example/>; rel=next\r\n\
                set-cookie: id=s3cret\r\nx-auth-token: s3cret\r\n";
    let server = fixture.serve(whole(head));
    let port = server.address().port();
    let url = format!("https://carol:s3cret@localhost:{port}/");
    let args = [
        "-v",
        "-H",
        "Cookie: s3cret",
        "-H",
        "X-Api-Key: s3cret",
        &url,
    ];
    let finished = fixture.get(args);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(!finished.printed("s3cret"), "{finished}");
    for shown in ["https://(hidden)@other.example/", "x-auth-token: (hidden)"] {
        assert!(finished.err().contains(shown), "{finished}");
    }
    let circle =
        "HTTP/1.1 302 X\r\nlocation: https://u:s3cret@[nonsense/\r\ncontent-length: 0\r\n\r\n";
    let server = fixture.serve([Step::ReadHead, Step::send(circle)]);
    let finished = fixture.get(["-L", "-v", &server.url("/")]);
    assert!(finished.err().contains("[invalid-redirect]"), "{finished}");
    assert!(!finished.printed("s3cret"), "{finished}");
}

#[test]
fn a_terminal_gets_no_control_characters_of_a_server_s() {
    let fixture = Fixture::new();
    let server = fixture.serve(whole("x-evil: a\u{9b}2Jb\r\n"));
    let seen = fixture.on_a_terminal(&["-i", "-v", &server.url("/")]);
    let bad = |c: char| c.is_control() && !matches!(c, '\r' | '\n');
    assert!(!seen.chars().any(bad), "{seen:?}");
    assert!(seen.contains("x-evil: a"), "{seen}");
    // What is said after a body begins a line of its own.
    assert!(seen.contains("body\r\n"), "{seen}");
    assert!(!seen.contains("body*"), "{seen}");
    // Elsewhere the head is what came, to the byte.
    let server = fixture.serve(whole("x-evil: a\u{9b}2Jb\r\n"));
    let piped = fixture.get(["-i", &server.url("/")]);
    assert!(piped.out().contains("x-evil: a\u{9b}2Jb"), "{piped}");
}

#[test]
fn fields_behind_the_body_are_shown_with_the_head() {
    let fixture = Fixture::new();
    let serve = || {
        fixture.serve([
            Step::ReadHead,
            Step::send(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\
                 X-Sum: 12\r\nx-auth-token: s3cret\r\nx-evil: a\u{9b}2Jb\r\n\r\n",
            ),
        ])
    };
    let server = serve();
    let finished = fixture.get([&server.url("/")]);
    assert_eq!(finished.out(), "body", "{finished}");
    let server = serve();
    let finished = fixture.get(["-i", &server.url("/")]);
    let rest = "\r\n\r\nbodyx-sum: 12\r\nx-auth-token: s3cret\r\nx-evil: a\u{9b}2Jb\r\n";
    assert!(finished.out().ends_with(rest), "{finished}");
    let server = serve();
    let finished = fixture.get(["-v", &server.url("/")]);
    assert_eq!(finished.out(), "body", "{finished}");
    assert!(!finished.printed("s3cret"), "{finished}");
    for shown in ["< x-sum: 12\n", "< x-auth-token: (hidden)\n"] {
        assert!(finished.err().contains(shown), "{finished}");
    }
    let server = serve();
    let seen = fixture.on_a_terminal(&["-i", "-v", &server.url("/")]);
    let bad = |c: char| c.is_control() && !matches!(c, '\r' | '\n');
    assert!(!seen.chars().any(bad), "{seen:?}");
}

#[test]
fn interim_responses_without_end_are_given_up() {
    let fixture = Fixture::new();
    let interim = b"HTTP/1.1 100 Continue\r\nx-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
    let server = fixture.serve([Step::ReadHead, Step::Forever(interim.repeat(100))]);
    let began = Instant::now();
    let finished = fixture.get([&server.url("/")]);
    assert!(
        finished.err().contains("[malformed-response]"),
        "{finished}"
    );
    assert!(finished.err().contains("interim responses"), "{finished}");
    assert_eq!(finished.code, Some(56), "{finished}");
    assert!(began.elapsed() < Duration::from_secs(20));
    // A few are as HTTP has them.
    let few = format!(
        "{}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
        String::from_utf8_lossy(&interim.repeat(20))
    );
    let server = fixture.serve([Step::ReadHead, Step::send(few)]);
    assert_eq!(fixture.get([&server.url("/")]).out(), "body");
}

#[test]
fn what_http_does_not_allow_is_remarked_on() {
    let fixture = Fixture::new();
    let chunks = "4\r\nbody\r\n0\r\n\r\n";
    for (response, code, says) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbodyand more".to_owned(),
            0,
            "note: 8 bytes came after the end of the response",
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbodyx".to_owned(),
            0,
            "note: 1 byte came after",
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
            ),
            0,
            "note: the response announced a length and sent chunks",
        ),
        (
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"),
            0,
            "",
        ),
        // RFC 9112, section 6.3, rule 5: it is unknown where this ends.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nbody".to_owned(),
            56,
            "[malformed-response]",
        ),
    ] {
        let server = fixture.serve([
            Step::ReadHead,
            Step::send(response.clone()),
            Step::CloseNotify,
            Step::Fin,
        ]);
        let finished = fixture.get([&server.url("/")]);
        assert_eq!(finished.code, Some(code), "{response:?} {finished}");
        assert!(finished.err().contains(says), "{response:?} {finished}");
        if code == 0 {
            assert_eq!(finished.out(), "body", "{response:?} {finished}");
        }
        assert!(!says.is_empty() || finished.err().is_empty(), "{finished}");
    }
}
