//! What `handfast serve` tells a service manager, and when.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use handfast_testbed::launch::{Program, Running};

const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

const PATIENCE: Duration = Duration::from_secs(30);

/// The next message that is no sign of life.
fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    loop {
        let count = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text != "WATCHDOG=1" {
            return text;
        }
    }
}

fn signal(running: &Running, name: &str) {
    let sent = Program::at("/bin/kill").args([name, &running.id().to_string()]);
    assert!(sent.run().succeeded());
}

#[test]
fn a_service_manager_is_told_of_the_start_of_reloads_and_of_the_end() {
    let place = tempfile::tempdir().unwrap();
    let public = place.path().join("public");
    fs::create_dir(&public).unwrap();
    let path = place.path().join("notify");
    let name = format!("handfast-test-{}", std::process::id());
    let named = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, address) in [
        (
            UnixDatagram::bind(&path).unwrap(),
            path.display().to_string(),
        ),
        (UnixDatagram::bind_addr(&named).unwrap(), format!("@{name}")),
    ] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut running = Program::at(HANDFAST)
            .env("HANDFAST_CA_DIR", place.path().join("ca"))
            .env("NOTIFY_SOCKET", address)
            .env("WATCHDOG_USEC", "200000")
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg(&public)
            .start();
        assert_eq!(next(&socket), "READY=1\nSTATUS=serving at 1 addresses");
        // Written before, and collected by another thread of this test.
        running.expect_output("listening on", PATIENCE);
        // Signs of life come on their own.
        let mut buffer = [0; 64];
        for _ in 0..3 {
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"WATCHDOG=1");
        }
        signal(&running, "-HUP");
        let reloading = next(&socket);
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert!(next(&socket).starts_with("READY=1\n"));
        signal(&running, "-TERM");
        assert_eq!(
            next(&socket),
            "STOPPING=1\nSTATUS=waiting for 0 connections"
        );
        assert!(
            running.wait(PATIENCE).unwrap().success(),
            "{}",
            running.output()
        );
    }
}
