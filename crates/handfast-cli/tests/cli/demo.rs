//! The main job in one command: `handfast demo`.

use std::process::Command;

/// Ctrl-C in the middle of it.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    use rustix::process::{Pid, Signal, kill_process};

    let temporary = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .arg("demo")
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut told = String::new();
    said.read_to_string(&mut told).unwrap();
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    let status = child.wait().unwrap();
    // It may have been quicker than the signal.
    match status.code() {
        Some(130) => assert!(errors.contains("all files were removed"), "{errors}"),
        code => assert_eq!(code, Some(0), "{errors}"),
    }
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?} {errors}");
}

#[test]
fn both_ends_meet_and_tell_what_they_saw() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .arg("demo")
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "");
    // Each act shows what it is there for, on both sides.
    for sign in [
        "full handshake in",
        "resumed session in",
        "the client is alice, verified",
        "closed in two phases: complete",
        "[truncated]",
        "announced 100000 bytes, sent 40000",
        "[name-mismatch]",
        "bad_certificate",
        "All 5 as expected.",
    ] {
        assert!(text.contains(sign), "{sign} is missing:\n{text}");
    }
    assert_eq!(text.matches(": as expected").count(), 5, "{text}");
    assert!(!text.contains('\x1b'), "colour is for terminals only");
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
