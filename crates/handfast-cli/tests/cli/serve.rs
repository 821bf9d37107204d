//! `handfast serve` as a person or a script runs it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use handfast_testbed::launch::{Program, Running};
use handfast_testbed::pki::{ExtendedKeyUsagePurpose, Pki, Spec};

const PATIENCE: Duration = Duration::from_secs(20);

fn handfast() -> Program {
    Program::at(env!("CARGO_BIN_EXE_handfast"))
}

/// A directory to serve, and an authority's directory of its own.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("public")).unwrap();
        fs::write(base.path().join("public/f.txt"), "served\n").unwrap();
        Self { base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn serve(&self, more: &[&str]) -> Serving {
        let running = handfast()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .arg(self.path("public"))
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .start();
        running
            .wait_for("listening on https://127.0.0.1:", PATIENCE)
            .unwrap_or_else(|| panic!("{}", running.output()));
        let port = loop {
            let output = running.output();
            let rest = output
                .split_once("listening on https://127.0.0.1:")
                .map(|(_, rest)| rest);
            if let Some((port, _)) = rest.and_then(|rest| rest.split_once("/\n")) {
                break port.parse().unwrap();
            }
            std::thread::yield_now();
        };
        Serving { running, port }
    }
}

struct Serving {
    running: Running,
    port: u16,
}

impl Serving {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Waits until its output, on either stream, contains this.
    fn wait_for(&self, text: &str) {
        self.running.expect_output(text, PATIENCE);
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.running.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn code(&mut self) -> Option<i32> {
        self.running.wait(PATIENCE).and_then(|status| status.code())
    }
}

fn curl(ca: &Path, url: &str) -> Option<Program> {
    Some(
        Program::new("curl")?
            .args(["-sS", "--cacert"])
            .arg(ca)
            .arg(url),
    )
}

/// With nothing but a directory: an authority, a certificate, and commands that work as printed.
#[test]
fn the_commands_that_it_prints_reach_it() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let url = server.url("/");
    server
        .running
        .wait_for(&format!("{url}\n\n"), PATIENCE)
        .unwrap_or_else(|| panic!("{}", server.running.output()));
    let said = String::from_utf8(server.running.stdout()).unwrap();
    let mut commands = 0;
    for line in said.lines().filter(|line| line.starts_with("  ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let program = match words[0] {
            "handfast" => Some(handfast()),
            other => Program::new(other),
        };
        let Some(program) = program else { continue };
        let finished = program
            .args(&words[1..])
            .env("HANDFAST_CA_DIR", place.path("ca"))
            .run();
        assert!(finished.succeeded(), "{line}: {finished}");
        assert!(finished.out().contains("f.txt"), "{line}: {finished}");
        commands += 1;
    }
    assert!(commands >= 1, "{said}");
    // A second run makes nothing new.
    let certificates = fs::read_dir(place.path("ca/certs")).unwrap().count();
    server.signal("INT");
    assert_eq!(server.code(), Some(0));
    let mut again = place.serve(&["--quiet"]);
    assert_eq!(
        fs::read_dir(place.path("ca/certs")).unwrap().count(),
        certificates
    );
    again.signal("TERM");
    assert_eq!(again.code(), Some(0));
}

/// A line for each request and each failed handshake, and no control characters from strangers.
#[test]
fn what_happens_is_one_line_each_on_stderr() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let Some(client) = curl(&place.path("ca/ca.pem"), &server.url("/f.txt?a=%1b")) else {
        return;
    };
    assert_eq!(client.run().out(), "served\n");
    // A port scan, and plain HTTP.
    drop(TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    plain
        .write_all(b"GET /\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    plain.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 "), "{reply}");
    for expected in ["\" 200 7 ", "[closed-without-a-byte]", "[not-tls]"] {
        server.wait_for(expected);
    }
    server.signal("TERM");
    assert_eq!(server.code(), Some(0));
    let output = server.running.output();
    let count = |what: &str| output.matches(what).count();
    assert_eq!(
        (count("GET /f.txt"), count("handshake failed")),
        (1, 2),
        "{output}"
    );
    assert!(!output.contains('\x1b'), "{output:?}");
}

#[test]
fn client_certificates_are_demanded_and_logged() {
    let place = Place::new();
    let pki = Pki::new();
    let root = pki.root.write(place.base.path(), "root", &[]);
    let own = pki
        .server(&["localhost"])
        .write(place.base.path(), "own", &[]);
    let alice = pki.client("alice").write(place.base.path(), "alice", &[]);
    let text = |path: &Path| path.display().to_string();
    let server = place.serve(&[
        "--cert",
        &text(&own.chain_pem),
        "--key",
        &text(&own.key_pem),
        "--client-ca",
        &text(&root.chain_pem),
    ]);
    let url = server.url("/f.txt");
    let Some(unnamed) = curl(&root.chain_pem, &url) else {
        return;
    };
    assert!(!unnamed.run().succeeded());
    let Some(named) = curl(&root.chain_pem, &url) else {
        return;
    };
    let finished = named
        .arg("--cert")
        .arg(&alice.chain_pem)
        .arg("--key")
        .arg(&alice.key_pem)
        .run();
    assert_eq!(finished.out(), "served\n", "{finished}");
    for expected in ["alice", "[client-certificate-missing]"] {
        server.wait_for(expected);
    }
}

#[test]
fn what_cannot_be_done_is_explained() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let public = place.path("public").display().to_string();
    let file = place.path("public/f.txt").display().to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--listen", &address, &public], 1, "[address-in-use]"),
        (
            &["--listen", "10.255.255.1:0", &public],
            1,
            "[address-not-available]",
        ),
        (&["/nowhere/at/all"], 26, "[no-directory]"),
        (&[&file], 26, "is not a directory"),
        (&["--cert", &file, &public], 58, "fix:"),
        (&["--client-ca", &file, &public], 77, "[trust"),
        (&["--key", &file, &public], 2, "--cert"),
    ];
    for (args, code, text) in cases {
        let finished = handfast()
            .arg("serve")
            .args(args.iter())
            .env("HANDFAST_CA_DIR", place.path("ca"))
            .run();
        assert_eq!(finished.code, Some(*code), "{args:?}: {finished}");
        assert!(finished.err().contains(text), "{args:?}: {finished}");
    }
}

/// The advice is about what was to listen: another one does not help.
#[test]
fn what_cannot_be_listened_on_is_explained_by_what_it_is() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let public = place.path("public").display().to_string();
    let socket = place.path("socket");
    let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let unix = |name: &str| format!("unix:{}", place.path(name).display());
    let (file, used, none, long) = (
        unix("public/f.txt"),
        unix("socket"),
        unix("none/socket"),
        unix(&"x".repeat(200)),
    );
    let free = "127.0.0.1:0";
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--listen", free, "--status", &address],
            &["[address-in-use]", "another address: --status ADDR:PORT"],
        ),
        (
            &["--listen", &address],
            &["[address-in-use]", "another address: --listen ADDR:PORT"],
        ),
        (
            &["--listen", free, "--status", "10.255.255.1:0"],
            &["[address-not-available]", "--status PORT"],
        ),
        (
            &["--listen", &file],
            &[
                "[cannot-listen]",
                "which is not a socket",
                "remove the file",
            ],
        ),
        (
            &["--listen", &used],
            &["[address-in-use]", "another path: --listen unix:PATH"],
        ),
        (
            &["--listen", &none],
            &["[cannot-listen]", "no directory", "create the directory"],
        ),
        (&["--listen", &long], &["[cannot-listen]", "a shorter path"]),
    ];
    for (args, expected) in cases {
        let finished = handfast()
            .arg("serve")
            .args(args.iter())
            .arg(&public)
            .env("HANDFAST_CA_DIR", place.path("ca"))
            .run();
        assert_eq!(finished.code, Some(1), "{args:?}: {finished}");
        for text in *expected {
            assert!(
                finished.err().contains(text),
                "{args:?}: {text}: {finished}"
            );
        }
    }
}

/// A connection that comes when all places are taken is served once one is free, and not before.
#[test]
fn connections_beyond_the_number_allowed_wait_their_turn() {
    let place = Place::new();
    let mut server = place.serve(&["--connections-max", "1", "--threads", "1", "--quiet"]);
    let held = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let ask = |limit| {
        curl(&place.path("ca/ca.pem"), &server.url("/f.txt"))
            .map(|client| client.args(["--max-time", limit]).run())
    };
    let Some(refused) = ask("1") else { return };
    assert_eq!(refused.code, Some(28), "{refused}");
    drop(held);
    let served = ask("20").unwrap();
    assert!(served.succeeded() && served.out() == "served\n", "{served}");
    server.signal("TERM");
    assert_eq!(server.code(), Some(0));
}

/// A reader of the line may send the signal at once: the handlers are installed already.
#[test]
fn a_signal_that_comes_with_the_first_line_stops_it_in_order() {
    let place = Place::new();
    // The authority is made by the first.
    for name in ["TERM", "INT", "TERM", "INT", "TERM", "INT", "TERM", "INT"] {
        let running = handfast()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg(place.path("public"))
            .env("HANDFAST_CA_DIR", place.path("ca"))
            .start();
        let mut server = Serving { running, port: 0 };
        let line = server.running.wait_for("listening on", PATIENCE);
        assert!(line.is_some(), "{}", server.running.output());
        server.signal(name);
        assert_eq!(
            server.code(),
            Some(0),
            "{name}: {}",
            server.running.output()
        );
        // With its time, as the requests between which it stands.
        let output = server.running.output();
        let last = output.lines().find(|line| line.ends_with(" stopped"));
        assert!(last.is_some_and(|line| line.starts_with("20")), "{output}");
    }
}

#[test]
fn other_signals_end_nothing_and_usr1_reopens_the_log() {
    let place = Place::new();
    let (log, rotated) = (place.path("access.log"), place.path("access.log.1"));
    let mut server = place.serve(&["--log", log.to_str().unwrap()]);
    let url = server.url("/f.txt");
    let ca = place.path("ca/ca.pem");
    let get = || curl(&ca, &url).map(|program| program.run());
    for name in ["USR2", "ALRM", "USR1"] {
        server.signal(name);
        let Some(served) = get() else { return };
        assert!(served.succeeded(), "{name}: {served}");
    }
    fs::rename(&log, &rotated).unwrap();
    server.signal("USR1");
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("GET /f.txt")) {
        assert!(Instant::now() < deadline, "{}", server.running.output());
        assert!(get().unwrap().succeeded());
    }
    // As a web server of other make does it.
    server.signal("QUIT");
    assert_eq!(server.code(), Some(0), "{}", server.running.output());
}

/// A second signal does not wait for what the first would have waited for.
#[test]
fn the_second_signal_ends_it_at_once() {
    for name in ["TERM", "INT", "QUIT"] {
        the_second_signal_ends_it(name);
    }
}

fn the_second_signal_ends_it(name: &str) {
    let place = Place::new();
    fs::File::create(place.path("public/large"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let (log, rotated) = (place.path("access.log"), place.path("access.log.1"));
    let mut server = place.serve(&["--grace", "600", "--log", log.to_str().unwrap()]);
    let url = server.url("/large");
    let Some(client) = curl(&place.path("ca/ca.pem"), &url) else {
        return;
    };
    let target = place.path("partial");
    let mut client = client
        .args(["--limit-rate", "100k", "-o"])
        .arg(&target)
        .start();
    let deadline = Instant::now() + PATIENCE;
    while fs::metadata(&target).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(Instant::now() < deadline, "{}", client.output());
        std::thread::yield_now();
    }
    server.signal(name);
    // Stopping: no new connections, and the reply still runs.
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
    }
    assert!(!server.running.has_ended() && !client.has_ended());
    // Logs are rotated also while it waits.
    fs::rename(&log, &rotated).unwrap();
    server.signal("USR1");
    while !log.exists() {
        assert!(Instant::now() < deadline, "{}", server.running.output());
    }
    server.signal(name);
    assert_eq!(server.code(), Some(0));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("\"GET /large HTTP/"), "{text}");
    // curl sees that it was cut off.
    let status = client.wait(PATIENCE);
    assert!(status.is_some_and(|status| !status.success()));
}

/// What clients will say against a certificate is told at the start, with the fix; nothing is refused.
#[test]
fn certificates_that_clients_refuse_are_told_at_the_start() {
    let pki = Pki::new();
    let root = &pki.root;
    let issued = |spec: Spec| root.issue(spec);
    let url = "http://issuer.test/ca.der";
    let cases = [
        (
            "ca",
            issued(Spec::authority("localhost").names(&["localhost"])),
            "CA certificate",
        ),
        (
            "expired",
            issued(Spec::server(&["localhost"]).expired()),
            "the certificate expired on",
        ),
        (
            "early",
            issued(Spec::server(&["localhost"]).not_yet_valid()),
            "not valid before",
        ),
        (
            "nameless",
            issued(Spec::server(&[]).common_name(Some("localhost"))),
            "names no server",
        ),
        (
            "purpose",
            issued(
                Spec::server(&["localhost"])
                    .extended_key_usage(&[ExtendedKeyUsagePurpose::ClientAuth]),
            ),
            "not for servers (serverAuth)",
        ),
        (
            "alone",
            issued(Spec::server(&["localhost"]).ca_issuers(url)),
            url,
        ),
        ("fine", pki.server(&["localhost"]), ""),
    ];
    for (name, certificate, warning) in cases {
        let place = Place::new();
        let files = certificate.write(place.base.path(), name, &[]);
        let (cert, key) = (files.chain_pem.display(), files.key_pem.display());
        let server = place.serve(&["--cert", &cert.to_string(), "--key", &key.to_string()]);
        // It is written before the addresses, to another stream.
        server.wait_for(warning);
        let output = server.running.output();
        assert_eq!(
            output.matches("warning: --cert").count(),
            usize::from(!warning.is_empty()),
            "{name}: {output}"
        );
    }
}

/// The commands shown for a certificate from elsewhere reach the server, by a name that resolves nowhere.
#[test]
fn the_commands_for_a_certificate_from_elsewhere_reach_it() {
    let pki = Pki::new();
    let place = Place::new();
    let files = pki
        .server(&["*.shop.test"])
        .write(place.base.path(), "shop", &[]);
    fs::write(place.path("root.pem"), pki.root.cert_pem()).unwrap();
    let (cert, key) = (files.chain_pem.display(), files.key_pem.display());
    let server = place.serve(&["--cert", &cert.to_string(), "--key", &key.to_string()]);
    server.wait_for("  curl ");
    let output = server.running.output();
    for program in ["handfast get", "curl"] {
        let line = output
            .lines()
            .find_map(|line| line.strip_prefix("  ")?.strip_prefix(program))
            .unwrap_or_else(|| panic!("{program}: {output}"));
        assert!(line.contains(" --resolve www.shop.test:"), "{line}");
        let issuer = place.path("root.pem").display().to_string();
        assert!(line.contains(" --cacert ISSUER.pem "), "{line}");
        let line = line.replace("ISSUER.pem", &issuer);
        let client = match program {
            "curl" => match Program::new("curl") {
                Some(curl) => curl,
                None => return,
            },
            _ => handfast().arg("get"),
        };
        let finished = client.args(line.split_whitespace()).run();
        assert!(finished.succeeded(), "{line}: {finished}");
        assert!(finished.out().contains("f.txt"), "{finished}");
    }
}

/// `--client-ca local` is the authority that `ca init` made.
#[test]
fn clients_of_the_local_authority_are_asked_for_by_one_word() {
    let place = Place::new();
    let ca = |args: &[&str]| {
        let finished = handfast()
            .arg("ca")
            .args(args)
            .env("HANDFAST_CA_DIR", place.path("ca"))
            .run();
        assert!(finished.succeeded(), "{finished}");
    };
    ca(&["init"]);
    let directory = place.base.path().display().to_string();
    ca(&[
        "issue",
        "--client",
        "alice@home.internal",
        "--out",
        &directory,
    ]);
    let server = place.serve(&["--client-ca", "local"]);
    let get = |identity: &[&str]| {
        handfast()
            .args(["get", "--cacert"])
            .arg(place.path("ca/ca.pem"))
            .args(identity)
            .arg(server.url("/f.txt"))
            .run()
    };
    assert!(!get(&[]).succeeded());
    let [cert, key] = ["pem", "key"].map(|end| {
        let file = place.path(&format!("alice@home.internal.{end}"));
        file.display().to_string()
    });
    let finished = get(&["--cert", &cert, "--key", &key]);
    assert_eq!(finished.out(), "served\n", "{finished}");
}
