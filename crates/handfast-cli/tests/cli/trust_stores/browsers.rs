//! What browsers make of it.

use std::fs;
use std::time::{Duration, Instant};

use handfast_testbed::launch::Program;
use handfast_testbed::peers;

use super::{BROWSER_LIMIT, Home, line};

/// The one proof that counts: a browser loads the page, and did not before; and it keeps to the authority's limits.
#[test]
fn chromium_loads_pages_of_serve_once_the_authority_is_trusted() {
    let (Some(_), Some(chromium)) = (peers::require("certutil"), peers::require("chromium")) else {
        return;
    };
    let home = Home::new();
    let (_server, port) = home.serve(&[]);
    let browse = |host: &str, port: u16| {
        let profile = tempfile::tempdir().unwrap();
        let browser = home.environment(Program::at(&chromium));
        let finished = browser
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--host-resolver-rules=MAP {host} 127.0.0.1"))
            .args(["--dump-dom", &format!("https://{host}:{port}/")])
            .limit(BROWSER_LIMIT)
            .run();
        assert!(!finished.timed_out, "{finished}");
        finished
    };
    const SHOWN: &str = "script of https:";
    let before = browse("localhost", port);
    assert!(!before.out().contains(SHOWN), "{before}");
    assert!(
        before.err().contains("ERR_CERT_AUTHORITY_INVALID"),
        "{before}"
    );

    let finished = home.ca(&["trust", "--store", "nss"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let trusted = browse("localhost", port);
    assert!(trusted.out().contains(SHOWN), "{trusted}");
    assert!(!trusted.err().contains("ERR_CERT"), "{trusted}");

    // Even with the stolen key, nothing is signed beyond the limits that a browser would accept.
    if let Some((chain, key)) = stolen(&home, "bank.example") {
        let (_server, port) = home.serve(&["--cert", &chain, "--key", &key]);
        let forged = browse("bank.example", port);
        assert!(!forged.out().contains(SHOWN), "{forged}");
        assert!(forged.err().contains("ERR_CERT_INVALID"), "{forged}");
    }

    let finished = home.ca(&["untrust", "--store", "nss"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let after = browse("localhost", port);
    assert!(!after.out().contains(SHOWN), "{after}");
}

/// What reaches the server tells whether Firefox took its certificate: a request, or an alert.
#[test]
fn firefox_sends_requests_to_serve_once_the_authority_is_trusted() {
    let (Some(_), Some(firefox)) = (peers::require("certutil"), peers::require("firefox-esr"))
    else {
        return;
    };
    let home = Home::new();
    let (server, port) = home.serve(&[]);
    let profile = home.path("home/.mozilla/firefox/x1.default");
    fs::create_dir_all(&profile).unwrap();
    let browse = |page: &str| {
        let shot = home.path("shot.png");
        home.environment(Program::at(&firefox))
            .args(["--headless", "--no-remote", "--profile"])
            .arg(&profile)
            .arg("--screenshot")
            .arg(shot)
            .arg(format!("https://localhost:{port}/{page}"))
            .limit(BROWSER_LIMIT)
    };
    const REFUSED: &str = "issuer-distrusted-by-client";
    let refused = || server.output().matches(REFUSED).count();
    // It shows a page of its own and stays: it is ended once the server has its alert.
    let is_refused = || {
        let before = refused();
        let running = browse("refused").start();
        let deadline = Instant::now() + BROWSER_LIMIT;
        while refused() == before {
            assert!(Instant::now() < deadline, "{}", running.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    is_refused();
    let finished = home.ca(&["trust", "--store", "nss"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(line(&finished.out(), &profile).starts_with("done"));
    let before = refused();
    let finished = browse("trusted").run();
    assert!(finished.succeeded(), "{finished}");
    assert!(server.output().contains("GET /trusted "));
    assert_eq!(refused(), before);
    let finished = home.ca(&["untrust", "--store", "nss"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    is_refused();
    assert!(!server.output().contains("GET /refused "));
}

/// A certificate for this name, signed with the authority's key by OpenSSL, which asks nothing.
fn stolen(home: &Home, name: &str) -> Option<(String, String)> {
    let path = |end: &str| home.path(&format!("{name}.{end}")).display().to_string();
    let (key, request, chain, extensions) = (path("key"), path("csr"), path("pem"), path("cnf"));
    fs::write(
        &extensions,
        format!("subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\n"),
    )
    .unwrap();
    let (ca, ca_key) = (home.ca_file(), home.path("ca/ca.key"));
    for arguments in [
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-subj",
            &format!("/CN={name}"),
            "-out",
            &request,
        ][..],
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            ca.to_str()?,
            "-CAkey",
            ca_key.to_str()?,
            "-days",
            "30",
            "-extfile",
            &extensions,
            "-out",
            &chain,
        ],
    ] {
        let finished = Program::new("openssl")?.args(arguments).run();
        assert!(finished.succeeded(), "{finished}");
    }
    Some((chain, key))
}
