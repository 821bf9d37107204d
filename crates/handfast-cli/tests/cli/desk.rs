//! `handfast serve` for development: addresses as they are typed, names for the certificate, the browser, the phone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use crate::serving::{PATIENCE, Place, Serving};

/// Serves `public`, with programs to be found in `bin` alone.
fn serve(place: &Place, arguments: &[&str]) -> Serving {
    let program = place.program("serve").env("PATH", place.path("bin"));
    place.started(program.args(arguments).arg(place.path("public")))
}

#[test]
fn a_port_is_enough_to_listen_on_this_machine() {
    let place = Place::new();
    for arguments in [
        &["-p", "0"][..],
        &["--listen", "0"],
        &["--listen", "localhost:0"],
    ] {
        let server = serve(&place, arguments);
        assert_eq!(place.get(&server, "localhost", "/f"), "content");
    }
    // Without one it is the default.
    for (typed, expected) in [
        ("0.0.0.0", "0.0.0.0:8443"),
        ("localhost", "localhost:8443"),
        ("8443", "localhost:8443"),
    ] {
        let arguments = ["--listen", typed, "--print-config"];
        let printed = place
            .program("serve")
            .args(arguments)
            .arg(place.path("public"));
        let printed = printed.run();
        let line = format!("address = \"{expected}\"\n");
        assert!(printed.out().contains(&line), "{typed}: {printed}");
    }
}

#[test]
fn options_are_understood_as_they_are_written_elsewhere() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let program = place.program("serve").args(arguments);
        program.arg(place.path("public")).run()
    };
    for time in ["10", "10s"] {
        let printed = run(&["--print-config", "--grace", time]);
        assert!(printed.out().contains("grace = \"10s\"\n"), "{printed}");
    }
    for (arguments, expected) in [
        (&["--log", "-"][..], "/dev/stdout is standard output"),
        (
            &["--cors", "https://app.test"],
            "use --cors=https://app.test",
        ),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(refused.err().contains(expected), "{refused}");
    }
}

#[test]
fn names_are_added_to_the_certificate_as_far_as_the_authority_may_sign() {
    let place = Place::new();
    let server = serve(
        &place,
        &[
            "-p",
            "0",
            "--name",
            "app.localhost",
            "--name",
            "example.org",
        ],
    );
    assert_eq!(place.get(&server, "app.localhost", "/f"), "content");
    let output = server.running.output();
    let url = format!("https://app.localhost:{}/\n", server.port);
    for client in ["handfast get", "curl"] {
        let mut lines = output.split_inclusive('\n').map(str::trim_start);
        assert!(
            lines.any(|line| line.starts_with(client) && line.ends_with(&url)),
            "{client}: {output}"
        );
    }
    assert!(!output.contains("https://example.org"), "{output}");
    server.running.expect_output(
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
    let server = serve(&place, &["-p", "0", "--open"]);
    let deadline = Instant::now() + PATIENCE;
    let opened = loop {
        assert!(Instant::now() < deadline, "{}", server.running.output());
        if let Ok(opened) = fs::read_to_string(&seen) {
            break opened;
        }
    };
    assert_eq!(opened, format!("https://localhost:{}/\n", server.port));
    drop(server);

    fs::remove_file(&opener).unwrap();
    let server = serve(&place, &["-p", "0", "--open"]);
    server
        .running
        .expect_output("--open: xdg-open cannot be started", PATIENCE);
    server.running.expect_output(
        &format!("open https://localhost:{}/", server.port),
        PATIENCE,
    );
}

#[test]
fn a_phone_is_not_led_to_an_address_that_it_cannot_reach() {
    let place = Place::new();
    let server = serve(&place, &["-p", "0", "--qr"]);
    server
        .running
        .expect_output("--qr: other machines cannot reach this server", PATIENCE);
}
