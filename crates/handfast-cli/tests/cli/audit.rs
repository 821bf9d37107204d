//! A table of failed handshakes as `serve --audit` tells them: each produced by a real client or by a
//! socket that misbehaves, and what the line must say.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use handfast_testbed::launch::{Program, Running};
use handfast_testbed::pki::{ExtendedKeyUsagePurpose, Issued, Pki, Spec};
use serde_json::Value;

use crate::common::Fixture;

const PATIENCE: Duration = Duration::from_secs(20);

/// A fixture with a directory to serve, and the root of another PKI.
struct Place {
    fixture: Fixture,
}

struct Serving {
    running: Running,
    port: u16,
    audit: PathBuf,
}

impl Place {
    fn new() -> Self {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path("public")).unwrap();
        fixture.write("other.pem", Pki::new().root.cert_pem());
        Self { fixture }
    }

    fn text(&self, name: &str) -> String {
        self.fixture.path(name).display().to_string()
    }

    fn serve(&self, name: &str, more: &[&str]) -> Serving {
        let audit = self.fixture.path(&format!("{name}.jsonl"));
        let running = self
            .fixture
            .program("serve")
            .args(["--listen", "127.0.0.1:0", "--audit"])
            .arg(&audit)
            .arg("--cert")
            .arg(&self.fixture.chain)
            .arg("--key")
            .arg(&self.fixture.key)
            .args(more)
            .arg(self.fixture.path("public"))
            .start();
        let port = running
            .wait_until(PATIENCE, |output| {
                let (_, rest) = output.split_once("listening on https://127.0.0.1:")?;
                rest.split_once("/\n")?.0.parse().ok()
            })
            .unwrap_or_else(|| panic!("{}", running.output()));
        Serving {
            running,
            port,
            audit,
        }
    }

    /// A client's certificate in two files.
    fn client(&self, name: &str, issued: &Issued) -> [String; 4] {
        let files = self.fixture.files(name, issued);
        let [cert, key] = [files.chain_pem, files.key_pem].map(|path| path.display().to_string());
        ["-cert".into(), cert, "-key".into(), key]
    }
}

impl Serving {
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.audit).unwrap();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn wait_for(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            if lines.len() >= count {
                assert_eq!(lines.len(), count, "{lines:#?}");
                return lines;
            }
            assert!(
                Instant::now() < deadline,
                "{count} lines: {lines:#?}\n{}",
                self.running.output()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let id = self.running.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// What a socket sends, then FIN; and what comes back.
    fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer
    }

    fn openssl(&self, args: &[&str]) -> Option<()> {
        Program::new("openssl")?
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", self.port)])
            .args(["-servername", "localhost"])
            .args(args)
            .stdin("Q\n")
            .run();
        Some(())
    }
}

/// What a line must say.
struct Expected {
    cause: &'static str,
    what: &'static str,
    sent: Option<&'static str>,
    received: Option<&'static str>,
    versions: Option<&'static [&'static str]>,
}

fn check(line: &Value, case: &str, expected: &Expected) {
    let alert = |field: &str| line[field]["name"].as_str().map(str::to_owned);
    assert_eq!(line["event"], "handshake-failed", "{case}: {line:#}");
    assert_eq!(line["cause"], expected.cause, "{case}: {line:#}");
    let what = line["what"].as_str().unwrap();
    assert!(what.contains(expected.what), "{case}: {line:#}");
    assert_eq!(
        (
            alert("alert_sent").as_deref(),
            alert("alert_received").as_deref()
        ),
        (expected.sent, expected.received),
        "{case}: {line:#}"
    );
    match expected.versions {
        None => assert!(line["offered"].is_null(), "{case}: {line:#}"),
        Some(versions) => assert_eq!(
            line["offered"]["versions"],
            serde_json::json!(versions),
            "{case}: {line:#}"
        ),
    }
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}

const TLS10: Option<&[&str]> = Some(&["TLS 1.0"]);
const TLS11: Option<&[&str]> = Some(&["TLS 1.1"]);
const CUT_OFF: Option<&[&str]> = Some(&[]);
const TLS13: Option<&[&str]> = Some(&["TLS 1.3"]);
const TLS12: Option<&[&str]> = Some(&["TLS 1.2"]);

fn hello() -> Vec<u8> {
    use handfast_probe::{ClientHello, WireVersion};
    ClientHello::new(WireVersion::Tls13)
        .with_server_name("localhost")
        .encode()
}

#[test]
fn what_clients_offer_and_what_they_think_of_us() {
    let place = Place::new();
    let server = place.serve("plain", &[]);
    let other = place.text("other.pem");
    let sent = |cause, what, sent, versions| Expected {
        cause,
        what,
        sent: Some(sent),
        received: None,
        versions,
    };
    let old = "DEFAULT@SECLEVEL=0";
    let cases: Vec<(Vec<&str>, Expected)> = vec![
        (
            vec!["-tls1", "-cipher", old],
            sent(
                "protocol-version",
                "the client speaks TLS 1.0 only",
                "protocol_version",
                TLS10,
            ),
        ),
        (
            vec!["-tls1_1", "-cipher", old],
            sent(
                "protocol-version",
                "the client speaks TLS 1.1",
                "protocol_version",
                TLS11,
            ),
        ),
        (
            vec!["-tls1_2", "-cipher", "AES128-SHA"],
            sent(
                "no-shared-cipher-suite",
                "no cipher suite",
                "handshake_failure",
                TLS12,
            ),
        ),
        (
            vec!["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
            sent(
                "no-shared-cipher-suite",
                "no cipher suite",
                "handshake_failure",
                TLS12,
            ),
        ),
        (
            vec!["-tls1_3", "-groups", "ffdhe2048"],
            sent(
                "no-shared-group",
                "no key exchange group",
                "handshake_failure",
                TLS13,
            ),
        ),
        (
            vec!["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
            sent(
                "no-shared-signature-scheme",
                "no signature scheme",
                "handshake_failure",
                TLS13,
            ),
        ),
        (
            vec!["-tls1_3", "-alpn", "imap"],
            sent(
                "no-application-protocol",
                "ALPN",
                "no_application_protocol",
                TLS13,
            ),
        ),
        (
            vec!["-verify_return_error", "-tls1_3", "-CAfile", &other],
            Expected {
                cause: "issuer-distrusted-by-client",
                what: "does not trust the issuer",
                sent: None,
                received: Some("unknown_ca"),
                versions: TLS13,
            },
        ),
        (
            vec!["-verify_return_error", "-tls1_2", "-CAfile", &other],
            Expected {
                cause: "issuer-distrusted-by-client",
                what: "does not trust the issuer",
                sent: None,
                received: Some("unknown_ca"),
                versions: TLS12,
            },
        ),
    ];
    for (index, (args, expected)) in cases.iter().enumerate() {
        if server.openssl(args).is_none() {
            return;
        }
        let lines = server.wait_for(index + 1);
        check(&lines[index], &args.join(" "), expected);
        assert_eq!(lines[index]["server_name"], "localhost");
    }
    // curl says the same.
    let count = cases.len();
    let Some(curl) = Program::new("curl") else {
        return;
    };
    curl.args(["-sS", "--cacert", &other])
        .arg(format!("https://localhost:{}/", server.port))
        .run();
    let lines = server.wait_for(count + 1);
    assert_eq!(lines[count]["cause"], "issuer-distrusted-by-client");
    assert_eq!(lines[count]["offered"]["alpn"][0], "h2");
}

#[test]
fn sockets_that_do_not_shake_hands() {
    let place = Place::new();
    let mut server = place.serve("raw", &[]);
    let hello = hello();
    let expected = |cause, what, versions| Expected {
        cause,
        what,
        sent: None,
        received: None,
        versions,
    };
    let cases: Vec<(&[u8], Expected)> = vec![
        (
            b"",
            expected(
                "closed-without-a-byte",
                "without sending anything: a port scan",
                None,
            ),
        ),
        (
            &hello[..7],
            expected("closed-in-hello", "before it sent a ClientHello", None),
        ),
        (
            &hello[..60],
            expected(
                "closed-in-hello",
                "in the middle of its ClientHello",
                CUT_OFF,
            ),
        ),
        (
            b"GET /\x1b HTTP/1.1\r\nHost: h\r\n\r\n",
            expected("not-tls", "the client speaks plain HTTP", None),
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            expected("not-tls", "the client speaks SSH", None),
        ),
        (
            b"\x16\x03\x01\x00\x05hello",
            Expected {
                sent: Some("decode_error"),
                ..expected("protocol-violation", "violated the TLS protocol", None)
            },
        ),
    ];
    for (index, (bytes, expected)) in cases.iter().enumerate() {
        server.raw(bytes);
        let lines = server.wait_for(index + 1);
        let case = bytes.escape_ascii().to_string();
        // Of a hello that was cut off before its extensions, the version of old is what is known.
        if expected.versions == CUT_OFF {
            assert_eq!(lines[index]["offered"]["complete"], false);
            assert_eq!(lines[index]["cause"], expected.cause);
            assert!(
                lines[index]["what"]
                    .as_str()
                    .unwrap()
                    .contains(expected.what)
            );
        } else {
            check(&lines[index], &case, expected);
        }
    }
    assert_eq!(server.lines()[3]["plain_http_status"], 400);
    // Renamed, reopened; and the last line is written before the end.
    let moved = place.fixture.path("moved.jsonl");
    fs::rename(&server.audit, &moved).unwrap();
    server.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while !server.audit.exists() {
        assert!(Instant::now() < deadline, "{}", server.running.output());
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut half = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    half.write_all(&hello[..60]).unwrap();
    server.raw(b"");
    server.wait_for(1);
    server.signal("TERM");
    assert!(server.running.wait(PATIENCE).unwrap().success());
    let lines = server.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!(lines[1]["cause"], "server-stopping");
    let _ = half.shutdown(Shutdown::Both);
}

#[test]
fn clients_whose_certificates_do_not_pass() {
    let place = Place::new();
    let root = &place.fixture.pki.root;
    let revoked = place.fixture.pki.client("revoked");
    fs::write(
        place.fixture.path("crl.pem"),
        handfast_testbed::pki::pem("X509 CRL", root.crl(&[&revoked]).as_ref()),
    )
    .unwrap();
    let (ca, crl) = (place.text("ca.pem"), place.text("crl.pem"));
    let server = place.serve("mutual", &["--client-ca", &ca, "--crl", &crl]);
    let server_purpose =
        Spec::client("wrong purpose").extended_key_usage(&[ExtendedKeyUsagePurpose::ServerAuth]);
    let cases: Vec<(&str, Option<Issued>, &str, &str, &str)> = vec![
        (
            "none",
            None,
            "client-certificate-missing",
            "no certificate",
            "certificate_required",
        ),
        (
            "revoked",
            Some(revoked),
            "certificate-revoked",
            "the client's certificate",
            "certificate_revoked",
        ),
        (
            "expired",
            Some(root.issue(Spec::client("expired").expired())),
            "certificate-expired",
            "the client's certificate",
            "certificate_expired",
        ),
        (
            "stranger",
            Some(
                Spec::authority("Another Root")
                    .self_signed()
                    .issue(Spec::client("stranger")),
            ),
            "unknown-issuer",
            "the client's certificate",
            "unknown_ca",
        ),
        (
            "purpose",
            Some(root.issue(server_purpose)),
            "wrong-purpose",
            "the client's certificate",
            "unsupported_certificate",
        ),
    ];
    let mut count = 0;
    for (name, issued, cause, what, alert) in &cases {
        let identity = issued.as_ref().map(|issued| place.client(name, issued));
        for (version, versions) in [("-tls1_2", TLS12), ("-tls1_3", TLS13)] {
            let mut args = vec![version];
            args.extend(identity.iter().flatten().map(String::as_str));
            if server.openssl(&args).is_none() {
                return;
            }
            count += 1;
            let lines = server.wait_for(count);
            let expected = Expected {
                cause: Box::leak((*cause).to_owned().into_boxed_str()),
                what: Box::leak((*what).to_owned().into_boxed_str()),
                sent: Some(Box::leak((*alert).to_owned().into_boxed_str())),
                received: None,
                versions,
            };
            check(&lines[count - 1], &format!("{name} {version}"), &expected);
        }
    }
}

#[test]
fn a_path_that_cannot_be_written_is_an_error_before_listening() {
    let place = Place::new();
    let fixture = &place.fixture;
    let finished = fixture
        .program("serve")
        .args(["--listen", "127.0.0.1:0", "--audit"])
        .arg(fixture.path("no/such/audit.jsonl"))
        .arg("--cert")
        .arg(&fixture.chain)
        .arg("--key")
        .arg(&fixture.key)
        .arg(fixture.path("public"))
        .run();
    assert_eq!(finished.out(), "", "{finished}");
    assert_eq!(finished.code, Some(23), "{finished}");
    assert!(
        finished.err().contains("[audit-file-unusable]"),
        "{finished}"
    );
}

/// However many connections wait, and however long.
#[test]
fn a_server_without_a_free_connection_is_one_line_and_one_record() {
    let place = Place::new();
    let log = place.text("access.log");
    let more = ["--connections-max", "1", "--log", &log];
    let mut server = place.serve("full", &more);
    let connect = || TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let waiting: Vec<_> = (0..4).map(|_| connect()).collect();
    let record = server.wait_for(1).remove(0);
    assert_eq!(record["event"], "connections-full", "{record:#}");
    assert_eq!(record["connections_max"], 1, "{record:#}");
    drop(waiting);
    server.signal("TERM");
    assert!(server.running.wait(PATIENCE).is_some());
    let records = server.lines();
    let full = |record: &&Value| record["event"] == "connections-full";
    assert_eq!(records.iter().filter(full).count(), 1, "{records:#?}");
    let log = fs::read_to_string(log).unwrap();
    let told = "1 connections are open, the maximum: more wait until one ends";
    assert_eq!(log.matches(told).count(), 1, "{log}");
}

/// Left behind by a server that was killed, or whose disk was full.
#[test]
fn a_file_that_ends_within_a_line_is_gone_on_with_on_the_next() {
    let place = Place::new();
    fs::write(place.text("half.jsonl"), "{\"schema\":1,\"ev").unwrap();
    let server = place.serve("half", &[]);
    server.raw(&hello()[..60]);
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let text = fs::read_to_string(&server.audit).unwrap();
        if text.ends_with('\n') {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "{\"schema\":1,\"ev"));
    let line: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(line["event"], "handshake-failed");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_once_and_what_was_lost_at_the_end() {
    let place = Place::new();
    std::os::unix::fs::symlink("/dev/full", place.text("full.jsonl")).unwrap();
    let mut server = place.serve("full", &["--quiet"]);
    for _ in 0..3 {
        server.raw(&hello()[..60]);
    }
    server.running.expect_output("cannot be written", PATIENCE);
    server.signal("TERM");
    assert!(server.running.wait(PATIENCE).is_some());
    let output = server.running.output();
    let told = output.matches("the audit file cannot be written").count();
    assert_eq!(told, 1, "{output}");
    assert!(
        output.contains("3 lines of the audit file were lost"),
        "{output}"
    );
}

/// The document names every field that a line has, and no line has others.
#[test]
fn the_schema_is_the_documented_one() {
    let document = include_str!("../../../../docs/audit-json.md");
    let place = Place::new();
    let server = place.serve("schema", &[]);
    server.raw(&hello()[..60]);
    let line = server.wait_for(1).remove(0);
    for (field, value) in line.as_object().unwrap() {
        assert!(document.contains(&format!("`{field}`")), "{field}");
        for inner in value.as_object().into_iter().flatten() {
            assert!(
                document.contains(&format!(".{}`", inner.0)),
                "{field}.{}",
                inner.0
            );
        }
    }
    assert_eq!(line["schema"], 1);
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}
