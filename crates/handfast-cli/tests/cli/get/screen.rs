//! What `handfast get` writes to a terminal: colours, progress, and no bytes that are not text.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use handfast_testbed::misbehaving::{Served, Step};
use rustix::termios::{Winsize, tcsetwinsize};

use super::code;
use crate::common::Fixture;
use crate::terminal::terminal;

/// Runs `get` with stderr, and if `shows_body` with stdout, on a terminal of this width. Gives the exit code, and what was written
/// to the terminal.
fn on_screen(fixture: &Fixture, columns: u16, shows_body: bool, args: &[&str]) -> (i32, String) {
    let (mut ours, theirs, _) = terminal();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&theirs, size).unwrap();
    let stdout = match shows_body {
        true => Stdio::from(theirs.try_clone().unwrap()),
        false => Stdio::null(),
    };
    let mut child = fixture
        .command("get")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .args(fixture.trust())
        .args(args)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(theirs)
        .spawn()
        .unwrap();
    let reading = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        // Linux reports the end of a terminal whose other side is closed as an error.
        while let Ok(count @ 1..) = ours.read(&mut chunk) {
            seen.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    });
    let code = child.wait().unwrap().code().unwrap_or(-1);
    drop(child);
    (code, reading.join().unwrap())
}

fn answers(fixture: &Fixture, kind: &str, body: &[u8]) -> Served {
    let length = body.len();
    let mut reply =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n")
            .into_bytes();
    reply.extend_from_slice(body);
    fixture
        .misbehaving()
        .serve([Step::ReadRequest, Step::Send(reply)])
}

/// A body of 2000 bytes, the second half of which comes when a bar has had time to be drawn.
fn slow(fixture: &Fixture, head: &str) -> Served {
    let reply = |text: &str| [text.as_bytes(), &[b'x'; 1000]].concat();
    fixture.misbehaving().serve([
        Step::ReadRequest,
        Step::Send(reply(&format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n"
        ))),
        Step::Pause(Duration::from_secs(2)),
        Step::Send(reply("")),
        Step::CloseNotify,
        Step::Fin,
    ])
}

#[test]
fn json_and_heads_are_in_colour_on_a_terminal_alone() {
    let fixture = Fixture::new();
    let body = b"{\"a\": [1, \"x\"]}\n";
    let coloured = "{\x1b[34m\"a\"\x1b[0m: [\x1b[36m1\x1b[0m, \x1b[32m\"x\"\x1b[0m]}";
    let serve = || answers(&fixture, "application/problem+json; charset=utf-8", body);
    let show = |args: &[&str]| {
        let server = serve();
        let url = server.url("/");
        on_screen(&fixture, 80, true, &[args, &[url.as_str()]].concat())
    };
    let (code_, seen) = show(&["-i"]);
    assert_eq!(code_, 0, "{seen:?}");
    assert!(seen.contains(coloured), "{seen:?}");
    assert!(
        seen.contains("\x1b[32mHTTP/1.1 200 OK\x1b[0m\r"),
        "{seen:?}"
    );
    assert!(
        seen.contains("\x1b[34mcontent-length\x1b[0m: 16"),
        "{seen:?}"
    );
    let (_, seen) = show(&["-i", "--color", "never"]);
    assert!(!seen.contains('\x1b'), "{seen:?}");
    // Not where a program reads it, unless it was asked for; and never in a file.
    let piped = fixture.get([&serve().url("/")]);
    assert_eq!(piped.out().as_bytes(), body);
    let piped = fixture.get(["--color", "always", &serve().url("/")]);
    assert!(piped.out().contains(coloured), "{piped}");
    let file = fixture.path("file");
    fixture.get([
        "--color",
        "always",
        "-o",
        file.to_str().unwrap(),
        &serve().url("/"),
    ]);
    assert_eq!(std::fs::read(file).unwrap(), body);
    let (_, seen) = on_screen(&fixture, 80, true, &["-o", "-", &serve().url("/")]);
    assert!(
        !seen.contains('\x1b'),
        "what is forced is written as it comes: {seen:?}"
    );
}

#[test]
fn bytes_that_are_not_text_are_not_written_to_a_terminal() {
    let fixture = Fixture::new();
    let serve = || answers(&fixture, "image/png", b"\x89PNG\0\0\0");
    let (code_, seen) = on_screen(&fixture, 80, true, &[&serve().url("/")]);
    assert_eq!(code_, 23, "{seen:?}");
    assert!(
        seen.contains("[binary-output]") && seen.contains("-o -"),
        "{seen:?}"
    );
    assert!(!seen.contains("PNG"), "{seen:?}");
    let (code_, seen) = on_screen(&fixture, 80, true, &["-o", "-", &serve().url("/")]);
    assert!(code_ == 0 && seen.contains("PNG\0"), "{seen:?}");
    let piped = fixture.get([&serve().url("/")]);
    assert_eq!(
        (code(&piped), piped.stdout.as_slice()),
        (0, &b"\x89PNG\0\0\0"[..])
    );
}

#[test]
fn text_of_a_server_does_not_control_the_terminal() {
    let fixture = Fixture::new();
    let server = answers(
        &fixture,
        "text/plain",
        b"a\x1b]0;title\x07b\rc\xc2\x9b1mgr\xc3\xbcn\n",
    );
    let (code_, seen) = on_screen(&fixture, 80, true, &[&server.url("/")]);
    assert_eq!(
        (code_, seen.as_str()),
        (0, "a\\u{1b}]0;title\\u{7}b\\u{d}c\\u{9b}1mgr\u{fc}n\r\n")
    );
}

#[test]
fn transfers_that_take_time_show_how_far_they_are() {
    let fixture = Fixture::new();
    let file = fixture.path("file.bin");
    let file = file.to_str().unwrap();
    for (columns, options, head, shown, hidden) in [
        (
            100,
            &[][..],
            "content-length: 2000\r\n",
            &["file.bin", " 50%", "[=", "B/s"][..],
            &["#"][..],
        ),
        // Of unknown length.
        (100, &[], "", &["file.bin", "1000 B", "B/s"], &["%"]),
        (
            40,
            &[],
            "content-length: 2000\r\n",
            &["file.bin", " 50%", "B/s"],
            &["[="],
        ),
        (20, &[], "content-length: 2000\r\n", &[" 50%"], &["[="]),
        (
            100,
            &["-#"],
            "content-length: 2000\r\n",
            &["###", " 50%"],
            &["[="],
        ),
        (
            100,
            &["--no-progress-meter"],
            "content-length: 2000\r\n",
            &[],
            &["%", "#", "file"],
        ),
        (
            100,
            &["-s"],
            "content-length: 2000\r\n",
            &[],
            &["%", "#", "file"],
        ),
    ] {
        let server = slow(&fixture, head);
        let url = server.url("/");
        let args = [options, &["-o", file, &url]].concat();
        let (code_, seen) = on_screen(&fixture, columns, false, &args);
        assert_eq!(code_, 0, "{seen:?}");
        for text in shown {
            assert!(
                seen.contains(text),
                "{columns} {options:?} lacks {text}: {seen:?}"
            );
        }
        for text in hidden {
            assert!(
                !seen.contains(text),
                "{columns} {options:?} has {text}: {seen:?}"
            );
        }
        if !shown.is_empty() {
            // At the end a line says what came, and no bar is left.
            assert!(seen.contains("file.bin: 1.95 KiB in "), "{seen:?}");
        }
    }
}

#[test]
fn messages_stand_above_the_bars_and_short_transfers_have_none() {
    let fixture = Fixture::new();
    let file = fixture.path("file.bin");
    let file = file.to_str().unwrap();
    let server = answers(&fixture, "text/plain", b"short");
    let (code_, seen) = on_screen(&fixture, 80, false, &["-o", file, &server.url("/")]);
    assert_eq!((code_, seen.as_str()), (0, ""));
    // It breaks off while a bar is shown: the message begins a line, and the bar is gone.
    let server = slow(&fixture, "content-length: 9000\r\n");
    let (code_, seen) = on_screen(
        &fixture,
        80,
        false,
        &["--color", "never", "-o", file, &server.url("/")],
    );
    assert_eq!(code_, 18, "{seen:?}");
    let (before, message) = seen.split_once("handfast: ").unwrap();
    assert!(
        before.ends_with("\x1b[2K") || before.ends_with('\r') || before.ends_with('\n'),
        "{seen:?}"
    );
    assert!(!message.contains('%'), "{seen:?}");
    // Where the body goes to the terminal, there is no room for a bar.
    let server = slow(&fixture, "content-length: 2000\r\n");
    let (_, seen) = on_screen(&fixture, 80, true, &[&server.url("/")]);
    assert_eq!(seen, "x".repeat(2000), "{seen:?}");
}
