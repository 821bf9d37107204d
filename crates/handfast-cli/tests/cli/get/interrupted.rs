//! Signals while something is fetched, and output that is not read.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use handfast_testbed::misbehaving::Step;

use crate::common::Fixture;

const PATIENCE: Duration = Duration::from_secs(20);
/// More than is gathered before it is written.
const SENT: usize = 100_000;

fn start<S: AsRef<OsStr>>(fixture: &Fixture, args: &[S]) -> Child {
    let mut command = fixture.command("get");
    command
        .args(fixture.trust())
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &id])
        .status();
    assert!(sent.unwrap().success());
}

#[track_caller]
fn ended(child: &mut Child) -> (ExitStatus, String) {
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    (status, told)
}

fn half_of_a_body() -> Vec<Step> {
    vec![
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 200000\r\n\r\n"),
        Step::send("x".repeat(SENT)),
        Step::ReadToEnd,
    ]
}

#[test]
fn a_download_that_is_interrupted_says_what_it_left() {
    let fixture = Fixture::new();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let server = fixture.misbehaving().serve(half_of_a_body());
        let (target, part) = (fixture.path("file"), fixture.path("file.part"));
        let _ = fs::remove_file(&part);
        let url = server.url("/file");
        let mut child = start(&fixture, &[OsStr::new("-o"), target.as_ref(), url.as_ref()]);
        let deadline = Instant::now() + PATIENCE;
        while fs::metadata(&part).map_or(0, |found| found.len()) < SENT as u64 / 2 {
            assert!(Instant::now() < deadline, "nothing arrives");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&child, name);
        let (status, told) = ended(&mut child);
        assert_eq!(status.code(), Some(code), "{told}");
        let kept = format!("interrupted; {} is kept, go on with -C -", part.display());
        assert!(told.contains(&kept), "{told}");
        assert!(!target.exists() && part.exists());
    }
}

#[test]
fn one_that_was_interrupted_before_anything_came_has_left_nothing() {
    let fixture = Fixture::new();
    let server = fixture
        .misbehaving()
        .serve(vec![Step::ReadHead, Step::ReadToEnd]);
    let target = fixture.path("file");
    let url = server.url("/file");
    let args = [
        OsStr::new("-v"),
        "-o".as_ref(),
        target.as_ref(),
        url.as_ref(),
    ];
    let mut child = start(&fixture, &args);
    // It has sent its request.
    let mut line = String::new();
    let mut byte = [0];
    let mut told = child.stderr.take().unwrap();
    while !line.contains("> GET ") {
        assert_eq!(told.read(&mut byte).unwrap(), 1, "{line}");
        line.push(char::from(byte[0]));
    }
    child.stderr = Some(told);
    signal(&child, "INT");
    let (status, told) = ended(&mut child);
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(
        told.contains("interrupted") && !told.contains("kept"),
        "{told}"
    );
    assert!(!target.exists() && !fixture.path("file.part").exists());
}

/// Nothing is kept of a body on stdout, and a blocked write must not delay the signal.
#[test]
fn unread_output_delays_neither_a_signal_nor_the_time_limit() {
    let fixture = Fixture::new();
    let forever = || {
        vec![
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n"),
            Step::Forever(vec![b'x'; 16_384]),
        ]
    };
    let server = fixture.misbehaving().serve(forever());
    let url = server.url("/file");
    let mut child = start(&fixture, &["-m", "1", &url]);
    let (status, told) = ended(&mut child);
    assert_eq!(status.code(), Some(28), "{told}");
    assert!(told.contains("standard output was not read"), "{told}");

    let server = fixture.misbehaving().serve(forever());
    let url = server.url("/file");
    let mut child = start(&fixture, &[&url]);
    let mut first = [0];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    // A shell starts what runs in its background with SIGINT ignored, and so do we then.
    signal(&child, "TERM");
    let (status, told) = ended(&mut child);
    assert_eq!(status.signal(), Some(15), "{told}");
    drop(out);

    // Also where another body goes to a file, so that signals are waited for.
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let first = vec![Step::ReadHead, Step::send(empty)];
    let server = fixture.misbehaving().serve_each([first, forever()]);
    let file = fixture.path("file").display().to_string();
    let url = server.url("/file");
    let mut child = start(&fixture, &["-o", &file, &url, &url]);
    let out = child.stdout.take().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // A pipe has room for 64 KiB.
    while rustix::io::ioctl_fionread(&out).unwrap() < 60_000 {
        assert!(Instant::now() < deadline, "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "TERM");
    let (status, told) = ended(&mut child);
    assert_eq!(status.code(), Some(143), "{told}");
    drop(out);
}
