//! The disk is full.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use handfast_testbed::skipped;
use rustix::process::{Signal, geteuid};
use serde_json::Value;

use super::{HANDFAST, Place, wait_until};

/// Files of this process may have so many KiB; more is an error instead of a signal.
fn files_up_to(kib: usize) -> String {
    // Shells count in blocks of 512 bytes (POSIX) or of 1 KiB (bash).
    format!("trap '' XFSZ; ulimit -S -f {kib}")
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_download_that_does_not_fit_gets_no_name_and_leaves_an_older_one_alone() {
    let place = Place::new();
    place.put("large", vec![b'x'; 4 << 20]);
    let server = place.serve(&["--quiet"]);
    let url = server.url("/large");
    for version in ["--http1.1", "--http2"] {
        for older in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let out = directory.path().join("out");
            if older {
                fs::write(&out, "older").unwrap();
            }
            let words = [version.as_ref(), "-o".as_ref(), out.as_os_str()];
            let arguments = [&words[..], &[OsStr::new(&url)]].concat();
            let finished = place.get_after(&files_up_to(64), &arguments);
            // What curl says of a write that fails.
            assert_eq!(finished.code, Some(23), "{finished}");
            assert!(finished.err().contains("File too large"), "{finished}");
            let found = names(directory.path());
            if older {
                assert_eq!(fs::read(&out).unwrap(), b"older", "{finished}");
            } else {
                assert!(!out.exists(), "{found:?} {finished}");
            }
        }
    }
}

#[test]
fn an_output_without_room_is_an_error_of_writing() {
    let place = Place::new();
    place.put("f", vec![b'x'; 100_000]);
    let server = place.serve(&["--quiet"]);
    let url = server.url("/f");
    for version in ["--http1.1", "--http2"] {
        let arguments = [OsStr::new(version), OsStr::new(&url)];
        let finished = place.get_after("exec >/dev/full", &arguments);
        assert_eq!(finished.code, Some(23), "{finished}");
        assert!(finished.err().contains("No space left"), "{finished}");
    }
}

/// A file system of 64 KiB: only root can make one, in a mount namespace that ends with the program.
#[test]
fn a_download_onto_a_full_file_system_gets_no_name() {
    let place = Place::new();
    let unshare = Command::new("unshare").args(["--mount", "true"]).output();
    if !geteuid().is_root() || !unshare.is_ok_and(|output| output.status.success()) {
        skipped::note("only root can mount a small file system");
        return;
    }
    place.put("large", vec![b'x'; 4 << 20]);
    let server = place.serve(&["--quiet"]);
    let small = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=64k none '{0}' || exit 99; \
         {HANDFAST} get --no-probe --cacert '{1}' -o '{0}/out' {2}; \
         code=$?; echo left: $(ls -A '{0}'); exit $code",
        small.path().display(),
        place.fixture.ca.display(),
        server.url("/large"),
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.code() == Some(99) {
        skipped::note(&format!("no file system may be mounted here: {err}"));
        return;
    }
    assert_eq!(output.status.code(), Some(23), "{out}{err}");
    assert!(err.contains("No space left"), "{err}");
    assert!(out.contains("left:"), "{out}");
    let left = out.trim().trim_start_matches("left:");
    assert!(left.split_whitespace().all(|name| name != "out"), "{out}");
}

/// The record that did not fit is torn; the next that fits begins on a line of its own, in the same process.
#[test]
fn an_audit_file_goes_on_with_a_whole_line_when_there_is_room_again() {
    let Some(prlimit) = handfast_testbed::peers::require("prlimit") else {
        return;
    };
    let place = Place::new();
    let audit = place.fixture.path("audit.jsonl");
    let arguments = ["--threads", "1", "--audit", audit.to_str().unwrap()];
    let server = place.serve_after(&files_up_to(2), &arguments);
    // No handshake at all: a line each.
    let lines = || {
        let text = fs::read(&audit).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let fail = || {
        use std::io::{Read as _, Write as _};
        let mut socket = server.raw();
        socket.write_all(b"no TLS at all\r\n\r\n").unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    };
    let told = "the audit file cannot be written";
    wait_until(told, || {
        fail();
        server.running.output().contains(told)
    });
    let torn = lines();
    let pid = server.running.id().to_string();
    let status = Command::new(prlimit)
        .args(["--pid", &pid, "--fsize=unlimited:"])
        .status()
        .unwrap();
    assert!(status.success());
    wait_until("a line that is whole again", || {
        fail();
        lines().len() > torn.len() + 1 && lines().ends_with('\n')
    });
    let text = lines();
    let broken: Vec<_> = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_err())
        .collect();
    assert!(broken.len() <= 1, "{broken:?}");
    assert!(text.lines().count() > torn.lines().count(), "{text}");
    server.signal(Signal::TERM);
}
