//! The status listener of `serve`: `/metrics` for programs, a page for people.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use handfast_testbed::launch::{Finished, Program, Running};
use handfast_testbed::peers;
use handfast_testbed::pki::Pki;

use crate::common::Fixture;

const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    fixture: Fixture,
}

struct Serving {
    running: Running,
    /// Of what is served, and of the status.
    ports: [u16; 2],
}

impl Place {
    fn new() -> Self {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path("public")).unwrap();
        fixture.write("public/f.txt", "served\n");
        Self { fixture }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fixture.path(name)
    }

    fn serve(&self, more: &[&str]) -> Serving {
        let running = self
            .fixture
            .program("serve")
            .args(["--listen", "127.0.0.1:0", "--status", "0", "--cert"])
            .arg(&self.fixture.chain)
            .arg("--key")
            .arg(&self.fixture.key)
            .args(more)
            .arg(self.path("public"))
            .start();
        let port = |what: &'static str| {
            running
                .wait_until(PATIENCE, |output| {
                    let (_, rest) = output.split_once(what)?;
                    rest.split_once("/\n")?.0.parse().ok()
                })
                .unwrap_or_else(|| panic!("{}", running.output()))
        };
        let ports = [
            port("listening on https://127.0.0.1:"),
            port("status page and /metrics on https://127.0.0.1:"),
        ];
        Serving { running, ports }
    }

    fn program(&self, port: u16, path: &str, more: &[&str]) -> Finished {
        self.fixture
            .program("get")
            .args(["--no-probe", "--cacert"])
            .arg(&self.fixture.ca)
            .args(more)
            .arg(format!("https://localhost:{port}{path}"))
            .run()
    }

    fn get(&self, port: u16, path: &str, more: &[&str]) -> String {
        let finished = self.program(port, path, more);
        assert!(finished.succeeded(), "{finished}");
        finished.out()
    }
}

/// The value of a sample.
fn sample(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing: {text}"))
        .parse()
        .unwrap()
}

#[test]
fn metrics_count_what_happens_and_other_programs_read_them() {
    let place = Place::new();
    let server = place.serve(&["--quiet"]);
    let [site, status] = server.ports;
    for (path, version) in [
        ("/f.txt", "--http2"),
        ("/f.txt", "--http1.1"),
        ("/", "--http1.1"),
    ] {
        place.get(site, path, &[version]);
    }
    drop(TcpStream::connect(("127.0.0.1", site)).unwrap());
    let deadline = std::time::Instant::now() + PATIENCE;
    let text = loop {
        let text = place.get(status, "/metrics", &[]);
        if text.contains("cause=\"closed-without-a-byte\"}") {
            break text;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
    };
    assert!(text.ends_with("# EOF\n"), "{text}");
    for (name, value) in [
        (
            "handfast_requests_total{protocol=\"2\",status=\"2xx\"}",
            1.0,
        ),
        (
            "handfast_requests_total{protocol=\"1.1\",status=\"2xx\"}",
            2.0,
        ),
        (
            "handfast_handshake_failures_total{cause=\"closed-without-a-byte\"}",
            1.0,
        ),
        ("handfast_request_duration_seconds_count", 3.0),
        ("handfast_log_lines_lost_total{log=\"access\"}", 0.0),
        ("handfast_connections_limit", 8192.0),
    ] {
        assert_eq!(sample(&text, name), value, "{name}");
    }
    let full = sample(
        &text,
        "handfast_handshakes_total{version=\"1.3\",resumed=\"false\"}",
    );
    assert_eq!(full, 3.0);
    assert!(sample(&text, "handfast_response_body_bytes_total") > 14.0);
    let days = text
        .lines()
        .find(|line| line.starts_with("handfast_certificate_left_days{name=\"localhost\""));
    assert!(days.is_some(), "{text}");
    // What is read again is counted.
    let id = server.running.id().to_string();
    let sent = Command::new("kill").args(["-s", "HUP", &id]).status();
    assert!(sent.unwrap().success());
    loop {
        let text = place.get(status, "/metrics", &[]);
        if sample(&text, "handfast_reloads_total{result=\"success\"}") == 1.0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
    }
    // What is not there.
    let missing = place.program(status, "/f.txt", &[]);
    assert_eq!(missing.out(), "/ and /metrics are here\n", "{missing}");
    let head = place.get(status, "/metrics", &["--head"]);
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    // An independent reader, where it is installed.
    let Some(python) = peers::require_python_with("prometheus_client") else {
        return;
    };
    fs::write(place.path("metrics"), &text).unwrap();
    let script = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                  families = list(read(open(sys.argv[1]).read())); assert len(families) > 15; print('read')";
    let finished = Program::at(python)
        .args(["-c", script])
        .arg(place.path("metrics"))
        .run();
    assert_eq!(finished.out(), "read\n", "{finished}");
}

/// The page has its numbers without the script; with it they follow what happens.
#[test]
fn a_browser_shows_the_status_page_and_refreshes_it() {
    let Some(chromium) = peers::require("chromium") else {
        return;
    };
    let place = Place::new();
    let server = place.serve(&["--quiet"]);
    let [site, status] = server.ports;
    for _ in 0..3 {
        place.get(site, "/f.txt", &[]);
    }
    // Time passes as fast as the page can go: its script has asked for the page again some times.
    let finished = Program::at(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--ignore-certificate-errors",
        ])
        .arg(format!(
            "--user-data-dir={}",
            place.path("browser").display()
        ))
        .args([
            "--virtual-time-budget=9000",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("https://localhost:{status}/"))
        .limit(Duration::from_secs(60))
        .run();
    let page = finished.out();
    assert!(page.contains("data-requests=\"3\""), "{finished}");
    let points = page
        .split_once("id=\"requests-trend\" points=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(points, _)| points);
    assert!(points.is_some_and(|points| points.contains(',')), "{page}");
    let said = finished.err();
    for complaint in ["Content Security Policy", "Uncaught", "Refused to"] {
        assert!(!said.contains(complaint), "{said}");
    }
    drop(server.running);
}

/// Who must show a certificate to the server must show it here.
#[test]
fn the_status_is_for_the_clients_that_are_let_in() {
    let place = Place::new();
    let pki = Pki::new();
    let directory = place.fixture.directory();
    let root = pki.root.write(directory, "clients", &[]).chain_pem;
    let server = place.serve(&["--quiet", "--client-ca", root.to_str().unwrap()]);
    let [_, status] = server.ports;
    let refused = place.program(status, "/metrics", &[]);
    assert!(
        !refused.succeeded() && refused.out().is_empty(),
        "{refused}"
    );
    let alice = pki.client("alice").write(directory, "alice", &[]);
    let [cert, key] = [alice.chain_pem, alice.key_pem].map(|path| path.display().to_string());
    let text = place.get(status, "/metrics", &["--cert", &cert, "--key", &key]);
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// A server whose sites all have names, with a status listener; `more` is for its site.
fn serve_by_name(place: &Place, more: &str) -> (Running, u16) {
    let configuration = format!(
        "ca_dir = \"ca\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[status]\naddress = \"0\"\n\
         [[site]]\nnames = [\"www.test\"]\nroot = \"public\"\n{more}\
         [[site.certificate]]\nchain = \"site.pem\"\nkey = \"site.key\"\n"
    );
    place.fixture.write("handfast.toml", &configuration);
    let running = place
        .fixture
        .program("serve")
        .arg("--config")
        .arg(place.path("handfast.toml"))
        .start();
    let port = running.wait_until(PATIENCE, |output| {
        let (_, rest) = output.split_once("status page and /metrics on https://127.0.0.1:")?;
        rest.split_once("/\n")?.0.parse().ok()
    });
    let port = port.unwrap_or_else(|| panic!("{}", running.output()));
    (running, port)
}

/// Requests `/metrics` by this name.
fn metrics(place: &Place, ca: &std::path::Path, name: &str, port: u16, more: &[&str]) -> Finished {
    place
        .fixture
        .program("get")
        .args(["--no-probe", "--cacert"])
        .arg(ca)
        .args(more)
        .arg(format!("--resolve={name}:{port}:127.0.0.1"))
        .arg(format!("https://{name}:{port}/metrics"))
        .run()
}

#[test]
fn the_status_of_a_server_whose_sites_have_names_is_at_its_address() {
    let place = Place::new();
    let pki = Pki::new();
    let directory = place.fixture.directory();
    let site = pki.server(&["www.test"]).write(directory, "site", &[]);
    fs::rename(site.chain_pem, place.path("site.pem")).unwrap();
    fs::rename(site.key_pem, place.path("site.key")).unwrap();
    let root = place.fixture.write("clients.pem", pki.root.cert_pem());
    // Without a local authority: the certificate of the first site.
    let (running, port) = serve_by_name(&place, "");
    let by_name = metrics(&place, &root, "www.test", port, &[]);
    assert!(by_name.out().ends_with("# EOF\n"), "{by_name}");
    for name in ["localhost", "127.0.0.1"] {
        let other = metrics(&place, &root, name, port, &["--insecure"]);
        assert!(other.out().ends_with("# EOF\n"), "{other}");
    }
    drop(running);
    // With one: a certificate for the address.
    let made = place.fixture.program("ca").args(["init", "--ca-dir"]);
    let made = made.arg(place.path("ca")).run();
    assert!(made.succeeded(), "{made}");
    let authority = place.path("ca/ca.pem");
    let (running, port) = serve_by_name(&place, "");
    for (name, ca) in [
        ("localhost", &authority),
        ("127.0.0.1", &authority),
        ("www.test", &root),
    ] {
        let found = metrics(&place, ca, name, port, &[]);
        assert!(found.out().ends_with("# EOF\n"), "{found}");
    }
    drop(running);
    // Not a way around the certificates that clients must show.
    let (running, port) = serve_by_name(&place, "[site.client_auth]\nca = \"clients.pem\"\n");
    for name in ["localhost", "www.test"] {
        let refused = metrics(&place, &root, name, port, &["--insecure"]);
        assert!(
            !refused.succeeded() && refused.out().is_empty(),
            "{refused}"
        );
    }
    let alice = pki.client("alice").write(directory, "alice", &[]);
    let [cert, key] = [alice.chain_pem, alice.key_pem].map(|path| path.display().to_string());
    let found = metrics(
        &place,
        &authority,
        "localhost",
        port,
        &["--cert", &cert, "--key", &key],
    );
    assert!(found.out().ends_with("# EOF\n"), "{found}");
    drop(running);
}

#[test]
fn a_status_that_others_can_reach_is_warned_of() {
    let place = Place::new();
    let port = handfast_testbed::launch::free_address().port().to_string();
    let server = place
        .fixture
        .program("serve")
        .args([
            "--listen",
            "127.0.0.1:0",
            "--status",
            &format!("0.0.0.0:{port}"),
            "--cert",
        ])
        .arg(&place.fixture.chain)
        .arg("--key")
        .arg(&place.fixture.key)
        .arg(place.path("public"))
        .start();
    server.expect_output("everyone who can connect to its address", PATIENCE);
    server.expect_output("status page and /metrics on https://0.0.0.0:", PATIENCE);
}
