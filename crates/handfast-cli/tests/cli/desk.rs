//! `handfast serve` for development: addresses as they are typed, names for the certificate, the browser, the phone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use handfast_testbed::launch::{Program, Running};

const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("public")).unwrap();
        fs::write(base.path().join("public/f"), "content").unwrap();
        Self { base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn serve(&self, arguments: &[&str]) -> (Running, u16) {
        let running = Program::at(HANDFAST)
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .env("PATH", self.path("bin"))
            .arg("serve")
            .args(arguments)
            .arg(self.path("public"))
            .start();
        let port = running.wait_until(PATIENCE, |printed| {
            let (_, rest) = printed.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        (running, port)
    }

    fn get(&self, url: &str, resolve: &str) -> String {
        let finished = Program::at(HANDFAST)
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .args(["get", url, "--resolve", resolve])
            .run();
        assert!(finished.succeeded(), "{finished}");
        finished.out()
    }
}

#[test]
fn a_port_is_enough_to_listen_on_this_machine() {
    let place = Place::new();
    for arguments in [
        &["-p", "0"][..],
        &["--listen", "0"],
        &["--listen", "localhost:0"],
    ] {
        let (_server, port) = place.serve(arguments);
        let url = format!("https://localhost:{port}/f");
        assert_eq!(
            place.get(&url, &format!("localhost:{port}:127.0.0.1")),
            "content"
        );
    }
    let refused = Program::at(HANDFAST)
        .args(["serve", "--listen", "127.0.0.1", "."])
        .run();
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused.err().contains("a port is missing: 127.0.0.1:8443"),
        "{refused}"
    );
}

#[test]
fn names_are_added_to_the_certificate_as_far_as_the_authority_may_sign() {
    let place = Place::new();
    let (server, port) = place.serve(&[
        "-p",
        "0",
        "--name",
        "app.localhost",
        "--name",
        "example.org",
    ]);
    let url = format!("https://app.localhost:{port}/f");
    assert_eq!(
        place.get(&url, &format!("app.localhost:{port}:127.0.0.1")),
        "content"
    );
    server.expect_output(
        "the certificate does not name example.org: the local authority may not sign for that",
        PATIENCE,
    );
}

/// The browser is started before the process gives up starting programs, and for an address that listens.
#[test]
fn the_browser_is_opened_at_the_address() {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    let (opener, seen) = (place.path("bin/xdg-open"), place.path("seen"));
    fs::write(
        &opener,
        format!(
            "#!/bin/sh\necho \"$1\" > {0}.new\n/bin/mv {0}.new {0}\n",
            seen.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let (server, port) = place.serve(&["-p", "0", "--open"]);
    let deadline = std::time::Instant::now() + PATIENCE;
    let opened = loop {
        assert!(std::time::Instant::now() < deadline, "{}", server.output());
        if let Ok(opened) = fs::read_to_string(&seen) {
            break opened;
        }
    };
    assert_eq!(opened, format!("https://localhost:{port}/\n"));
    drop(server);

    fs::remove_file(&opener).unwrap();
    let (server, port) = place.serve(&["-p", "0", "--open"]);
    server.expect_output("--open: xdg-open cannot be started", PATIENCE);
    server.expect_output(&format!("open https://localhost:{port}/"), PATIENCE);
}

#[test]
fn a_phone_is_not_led_to_an_address_that_it_cannot_reach() {
    let place = Place::new();
    let (server, _) = place.serve(&["-p", "0", "--qr"]);
    server.expect_output("--qr: other machines cannot reach this server", PATIENCE);
}
