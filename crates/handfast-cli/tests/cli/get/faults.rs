//! Faults in the middle of a transfer: kills, a full disk, a server that stands still. Nothing that is half
//! gets a final name.

use std::ffi::OsStr;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

/// A body of so many bytes, in pieces that take some time.
fn slow_download(size: usize) -> Vec<Step> {
    const PIECES: usize = 20;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
    let mut script = vec![Step::ReadHead, Step::send(head)];
    for _ in 0..PIECES {
        script.push(Step::send(vec![b'x'; size / PIECES]));
        script.push(Step::Pause(Duration::from_millis(1)));
    }
    script
}

#[test]
fn a_download_that_is_killed_at_any_moment_leaves_nothing_half_under_its_name() {
    const SIZE: usize = 200_000;
    const KILLS: u32 = 200;
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve(slow_download(SIZE));
    // How long a whole one takes here: kills are spread over it and a bit more.
    let began = Instant::now();
    let whole = fixture.get([
        OsStr::new("-o"),
        fixture.path("first").as_os_str(),
        server.url("/").as_ref(),
    ]);
    assert_eq!(code(&whole), 0, "{whole}");
    let span = began.elapsed() + Duration::from_millis(20);
    let target = fixture.path("file");
    let part = fixture.path("file.part");
    let (mut whole, mut halves) = (0, 0);
    for kill in 0..KILLS {
        let _ = fs::remove_file(&target);
        let _ = fs::remove_file(&part);
        let mut child = fixture
            .command("get")
            .args(fixture.trust())
            .args([
                OsStr::new("-o"),
                target.as_os_str(),
                server.url("/").as_ref(),
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(span * kill / KILLS);
        child.kill().unwrap();
        child.wait().unwrap();
        match fs::metadata(&target) {
            Ok(found) => {
                assert_eq!(found.len(), SIZE as u64, "half a file under its name");
                assert!(!part.exists());
                whole += 1;
            }
            Err(_) => halves += u32::from(part.exists()),
        }
    }
    assert!(halves > 0, "no kill met a download: {whole} whole");
    // What a killed download has left hinders no other.
    let again = fixture.get([
        OsStr::new("-o"),
        target.as_os_str(),
        server.url("/").as_ref(),
    ]);
    assert_eq!(code(&again), 0, "{again}");
    assert_eq!(fs::read(&target).unwrap(), vec![b'x'; SIZE]);
}

#[test]
fn an_upload_that_is_killed_never_looks_whole() {
    const SIZE: usize = 3_000_000;
    let fixture = Fixture::new();
    let upload = fixture.write("upload", vec![b'x'; SIZE]);
    let data = format!("@{}", upload.display());
    let mut cut = 0;
    // Where a start takes longer than 50 ms, later kills meet the upload: the server then pauses for as long.
    for kill in (0..50).chain([100, 200, 400, 800, 1_600, 3_200]) {
        if kill >= 50 && cut > 0 {
            break;
        }
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::Read(1_000_000),
            Step::Pause(Duration::from_millis(5 + kill)),
            Step::ReadToEnd,
        ]);
        let mut child = fixture
            .command("get")
            .args(fixture.trust())
            .args(["-d", &data, &server.url("/")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(kill));
        child.kill().unwrap();
        child.wait().unwrap();
        let received = server.received_text();
        if let Some((head, body)) = received.split_once("\r\n\r\n") {
            // Where the body ends was said before it came, so that the server knows what is missing.
            assert!(head.contains(&format!("content-length: {SIZE}")), "{head}");
            cut += u32::from(body.len() < SIZE);
        }
    }
    assert!(cut > 0, "no kill met an upload");
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_is_told_and_leaves_no_file() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve(slow_download(200_000));
    let target = fixture.path("file");
    // A file may have 64 blocks of 512 bytes; writing beyond fails as it does on a full disk.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let mut get = fixture.command("get");
    get.args(fixture.trust());
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", script, "sh"])
        .arg(get.get_program())
        .args(get.get_args());
    let output = limited
        .args([
            OsStr::new("-o"),
            target.as_os_str(),
            server.url("/").as_ref(),
        ])
        .env("HANDFAST_CA_DIR", fixture.path("no-such-ca"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(23), "{told}");
    assert!(told.contains("[file-unusable]"), "{told}");
    assert!(!target.exists());

    // A device that is always full.
    if fs::metadata("/dev/full").is_ok() {
        let full = fixture.get(["-o", "/dev/full", &server.url("/")]);
        assert_eq!(code(&full), 23, "{full}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_does_not_fit_is_told_before_it_is_fetched() {
    let fixture = Fixture::new();
    // More than any disk has room for. The server would send it.
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 50);
    let script = vec![
        Step::ReadHead,
        Step::send(head),
        Step::Forever(vec![b'x'; 16_000]),
    ];
    let server = fixture.misbehaving().serve(script);
    let target = fixture.path("file");
    let output = fixture.get(["-o".as_ref(), target.as_os_str(), server.url("/").as_ref()]);
    assert_eq!(code(&output), 23, "{output}");
    let told = "cannot reserve disk space for";
    assert!(output.err().contains(told), "{output}");
    assert!(!target.exists() && !fixture.path("file.part").exists());
    assert!(!fixture.path("file.part.state").exists());
}

#[cfg(unix)]
#[test]
fn a_server_that_is_stopped_is_waited_for_as_long_as_was_said() {
    use rustix::process::{Pid, Signal, kill_process};
    let fixture = Fixture::new();
    let public = fixture.path("public");
    fs::create_dir(&public).unwrap();
    // More than fits the buffers of the kernel.
    fs::write(public.join("large"), vec![b'x'; 64 << 20]).unwrap();
    let identity = [
        OsStr::new("--cert"),
        fixture.chain.as_os_str(),
        OsStr::new("--key"),
        fixture.key.as_os_str(),
    ];
    let mut server = fixture
        .program("serve")
        .args(["--listen", "127.0.0.1:0"])
        .args(identity)
        .arg(&public)
        .start();
    let port = server
        .wait_until(Duration::from_secs(20), |output| {
            let (_, rest) = output.split_once("listening on https://127.0.0.1:")?;
            let (port, _) = rest.split_once("/\n")?;
            port.parse::<u16>().ok()
        })
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    let url = format!("https://localhost:{port}/large");
    let target = fixture.path("large");
    // In the middle of a download that a slow reader holds up.
    let reading = fixture
        .command("get")
        .args(fixture.trust())
        .args(["-m", "1", "-o"])
        .args([target.as_os_str(), url.as_ref()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let output = reading.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    // It may have been whole before the server was stopped.
    if output.status.code() != Some(0) {
        assert_eq!(output.status.code(), Some(28), "{told}");
        assert!(!target.exists());
    }
    let silent = fixture.get(["-m", "0.5", "-o", "other", &url]);
    assert_eq!(code(&silent), 28, "{silent}");
    kill_process(pid, Signal::CONT).unwrap();
    let whole = fixture.get([OsStr::new("-o"), target.as_os_str(), url.as_ref()]);
    assert_eq!(code(&whole), 0, "{whole}");
    assert_eq!(fs::metadata(&target).unwrap().len(), 64 << 20);
    kill_process(pid, Signal::TERM).unwrap();
    server.wait(Duration::from_secs(20));
}
