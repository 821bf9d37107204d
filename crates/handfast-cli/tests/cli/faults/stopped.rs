//! A peer that is stopped (SIGSTOP): its kernel goes on acknowledging, the process does nothing.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;

use super::{PATIENCE, Place, content, send, take};

#[test]
fn a_download_from_a_server_that_is_stopped_ends_with_the_limit_and_no_file() {
    let place = Place::new();
    place.put("f", content(32 << 20, 1));
    let server = place.serve(&["--quiet"]);
    server.signal(Signal::STOP);
    for limit in [["--connect-timeout", "1"], ["-m", "1"]] {
        // The kernel accepts the connection; no handshake follows.
        let began = Instant::now();
        let out = place.fixture.path("out");
        let finished = place.fixture.run(
            "get",
            [
                &limit[..],
                &["-o", out.to_str().unwrap(), &server.url("/f")],
            ]
            .concat(),
        );
        assert_eq!(finished.code, Some(28), "{finished}");
        assert!(began.elapsed() < PATIENCE && !out.exists(), "{finished}");
    }
    // Those that went meanwhile do not keep it from serving.
    server.signal(Signal::CONT);
    let finished = place.fixture.run("get", ["-I", &server.url("/f")]);
    assert!(finished.succeeded(), "{finished}");
}

#[test]
fn a_server_that_is_stopped_in_the_middle_of_a_reply_and_goes_on_delivers_all() {
    let place = Place::new();
    let whole = content(48 << 20, 1);
    place.put("f", &whole);
    for version in ["--http1.1", "--http2"] {
        for client_too in [false, true] {
            let server = place.serve(&["--quiet"]);
            let mut get = place
                .fixture
                .command("get")
                .args(place.fixture.trust())
                .args([version, &server.url("/f")])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = get.stdout.take().unwrap();
            let mut got = take(&mut output, 1 << 20);
            server.signal(Signal::STOP);
            if client_too {
                send(get.id(), Signal::STOP);
            }
            let read = std::thread::spawn(move || {
                output.read_to_end(&mut got).unwrap();
                got
            });
            server.signal(Signal::CONT);
            send(get.id(), Signal::CONT);
            assert!(read.join().unwrap() == whole, "{version}");
            assert_eq!(get.wait().unwrap().code(), Some(0), "{version}");
        }
    }
}

/// A stopped client takes nothing; the others are served, and it can go on.
#[test]
fn a_client_that_is_stopped_holds_up_no_other() {
    let place = Place::new();
    let whole = content(48 << 20, 1);
    place.put("f", &whole);
    place.put("small", "served\n");
    let server = place.serve(&["--threads", "1", "--quiet"]);
    for version in ["--http1.1", "--http2"] {
        let mut get = place
            .fixture
            .command("get")
            .args(place.fixture.trust())
            .args([version, &server.url("/f")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = get.stdout.take().unwrap();
        let mut got = take(&mut output, 1 << 20);
        send(get.id(), Signal::STOP);
        for _ in 0..3 {
            let finished = place.fixture.run("get", [server.url("/small")]);
            assert_eq!(finished.out(), "served\n", "{finished}");
        }
        send(get.id(), Signal::CONT);
        output.read_to_end(&mut got).unwrap();
        assert!(got == whole, "{version}");
        assert_eq!(get.wait().unwrap().code(), Some(0), "{version}");
    }
}
