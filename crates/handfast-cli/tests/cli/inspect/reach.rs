//! How `handfast inspect` gets to servers and to what is missing: proxies, many hosts, authority
//! information access; and that none of it can be made to hang or to trust.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use handfast_testbed::careless::{Careless, version};
use handfast_testbed::launch::{Program, Tinyproxy, free_address};
use handfast_testbed::pki::{Spec, pem};
use serde_json::Value;

use crate::common::{Fixture, localhost};

impl Fixture {
    /// A server that sends its own certificate alone.
    fn alone(&self) -> SocketAddr {
        let server = self.pki.server(&["localhost"]);
        Careless::new(server.chain_with(&[]), &server.key_der()).serve(&version::TLS13, 500)
    }
}

/// Answers every request, whatever it is, with these bytes, and counts nothing.
fn answering(bytes: Vec<u8>, then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, bytes) = (socket.unwrap(), bytes.clone());
            thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request);
                let _ = socket.write_all(&bytes);
                match then {
                    Then::Close => {}
                    // Until the client has enough of it.
                    Then::Stall => drop(socket.read(&mut request)),
                    Then::Flood => while socket.write_all(&[b'x'; 65536]).is_ok() {},
                }
            });
        }
    });
    address
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    Stall,
    Flood,
}

fn http(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_chain_is_completed_for_its_file_and_never_for_trust() {
    let fixture = Fixture::new();
    let issuer = fixture.pki.root.issue(Spec::authority("Issuer"));
    let stranger = Spec::authority("Issuer").self_signed();
    let pkcs7 = |form: &str| {
        let files = issuer.write(fixture.directory(), "issuer", &[&stranger]);
        let made = Program::new("openssl")?
            .args(["crl2pkcs7", "-nocrl", "-outform", form, "-certfile"])
            .arg(&files.chain_pem)
            .run();
        assert!(made.succeeded(), "{made}");
        Some(made.stdout)
    };
    let (Some(bundle), Some(pem_bundle)) = (pkcs7("DER"), pkcs7("PEM")) else {
        return;
    };
    let loud = "CN=x\u{1b}[2J\r\n";
    for (case, answer, then, says) in [
        ("DER", http(&issuer.der), Then::Close, None),
        ("PEM", http(issuer.cert_pem().as_bytes()), Then::Close, None),
        ("bundle", http(&bundle), Then::Close, None),
        ("bundle in PEM", http(&pem_bundle), Then::Close, None),
        (
            "another of that name",
            http(&stranger.der),
            Then::Close,
            Some("it is not the issuer's certificate"),
        ),
        (
            "no certificate",
            http(b"<html>"),
            Then::Close,
            Some("nothing from http://"),
        ),
        (
            "cut short",
            http(&issuer.der)[..200].to_vec(),
            Then::Close,
            Some("bytes arrived"),
        ),
        (
            "status",
            format!("HTTP/1.1 404 {loud}\r\n\r\n").into_bytes(),
            Then::Close,
            Some("the response has status 404"),
        ),
        (
            "silence",
            Vec::new(),
            Then::Stall,
            Some("the time limit of 1s passed"),
        ),
        (
            "flood",
            Vec::new(),
            Then::Flood,
            Some("it is larger than 256 KiB"),
        ),
    ] {
        let url = format!("http://{}/i.crt?a=b", answering(answer, then));
        let server = issuer.issue(Spec::server(&["localhost"]).ca_issuers(&url));
        let address =
            Careless::new(server.chain_with(&[]), &server.key_der()).serve(&version::TLS13, 20);
        let saved = fixture.path("saved.pem");
        let args = ["--fetch-missing", "--timeout", "1", "--pem"].map(OsStr::new);
        let host = localhost(address);
        let finished = fixture.inspect(
            args.into_iter()
                .chain([saved.as_os_str(), OsStr::new(&host)]),
        );
        // The server is to blame, whatever was found elsewhere.
        assert_eq!(finished.code, Some(60), "{case} {finished}");
        assert!(
            finished.printed("[missing-intermediate]"),
            "{case} {finished}"
        );
        let pem_text = fs::read_to_string(&saved).unwrap();
        match says {
            None => {
                assert!(finished.printed("would be verified"), "{case} {finished}");
                assert_eq!(pem_text, server.chain_pem(&[&issuer]), "{case}");
            }
            Some(says) => {
                assert!(finished.printed(says), "{case} {says} {finished}");
                assert!(
                    finished.printed("would be refused, too"),
                    "{case} {finished}"
                );
                assert_eq!(pem_text, server.chain_pem(&[]), "{case}");
            }
        }
        assert!(!finished.out().contains('\u{1b}'), "{case} {finished}");
    }
}

#[test]
fn two_missing_certificates_are_found_and_the_root_is_left_where_it_belongs() {
    let fixture = Fixture::new();
    let root = answering(http(&fixture.pki.root.der), Then::Close);
    let upper = fixture
        .pki
        .root
        .issue(Spec::authority("Upper").ca_issuers(&format!("http://{root}/root")));
    let upper_at = answering(http(pem("CERTIFICATE", &upper.der).as_bytes()), Then::Close);
    let lower = upper.issue(Spec::authority("Lower").ca_issuers(&format!("http://{upper_at}/u")));
    let lower_at = answering(http(&lower.der), Then::Close);
    let server =
        lower.issue(Spec::server(&["localhost"]).ca_issuers(&format!("http://{lower_at}/l")));
    let address =
        Careless::new(server.chain_with(&[]), &server.key_der()).serve(&version::TLS12, 20);
    let saved = fixture.path("saved.pem");
    let host = localhost(address);
    let args = ["--json", "--fetch-missing", "--pem"].map(OsStr::new);
    let finished = fixture.inspect(
        args.into_iter()
            .chain([saved.as_os_str(), OsStr::new(&host)]),
    );
    let document: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let completed = &document["inspected"][0]["completed"];
    assert_eq!(completed["would_be_verified"], true, "{finished}");
    assert_eq!(
        completed["fetched"].as_array().unwrap().len(),
        2,
        "{finished}"
    );
    assert_eq!(document["inspected"][0]["verified"], false);
    let expected = server.chain_pem(&[&lower, &upper]);
    assert_eq!(fs::read_to_string(&saved).unwrap(), expected);
}

#[test]
fn many_hosts_are_inspected_at_once_and_told_in_their_order() {
    let fixture = Fixture::new();
    // Twelve that never say a word, a second each, and a good one between them.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = localhost(mute.local_addr().map(|address| (address, mute)).unwrap().0);
    let good = localhost(fixture.alone());
    let silent = answering(Vec::new(), Then::Stall);
    let silent = localhost(silent);
    let mut hosts = vec![silent; 12];
    hosts.insert(5, good);
    hosts.push(mute);
    let began = Instant::now();
    let args = ["--timeout", "1", "--no-probe"].map(str::to_owned);
    let finished = fixture.inspect(args.into_iter().chain(hosts.clone()));
    // One after the other they would take twelve seconds and more.
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(finished.code, Some(28), "{finished}");
    let told: Vec<String> = finished
        .out()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(' '))
        .map(str::to_owned)
        .collect();
    assert_eq!(told, hosts, "{finished}");
    assert!(
        finished.printed("chain        verified for localhost"),
        "{finished}"
    );
}

#[test]
fn a_broken_host_outweighs_one_that_ends_soon() {
    let fixture = Fixture::new();
    let good = localhost(fixture.alone());
    let unused = localhost(free_address());
    let within = ["--expires-within", "5000d"];
    for (hosts, code) in [
        (vec![good.clone()], 1),
        (vec![good.clone(), unused.clone()], 7),
        (vec![unused, good], 7),
    ] {
        let args = within.iter().map(ToString::to_string).chain(hosts.clone());
        let finished = fixture.inspect(args);
        assert_eq!(finished.code, Some(code), "{hosts:?} {finished}");
    }
}

#[test]
fn a_server_behind_a_proxy_is_inspected_and_scanned() {
    let fixture = Fixture::new();
    let Some(proxy) = Tinyproxy::launch(fixture.directory(), "Allow 127.0.0.1") else {
        return;
    };
    let host = localhost(fixture.alone());
    let proxy = format!("http://{}", proxy.address());
    let finished = fixture.inspect(["--proxy", &proxy, "--scan", &host]);
    assert_eq!(finished.code, Some(0), "{finished}");
    for says in [
        "connected to the server in ",
        "verified for localhost",
        "TLS 1.3 full handshake again",
        "fine    TLS 1.3: the current version",
    ] {
        assert!(finished.printed(says), "{says} {finished}");
    }
    // A proxy that is not there is told as such.
    let unused = format!("http://{}", free_address());
    let finished = fixture.inspect(["--proxy", &unused, &host]);
    assert!(finished.printed("[proxy-unreachable]"), "{finished}");
    // And a host that is to be reached without it is.
    let finished = fixture.inspect(["--proxy", &unused, "--noproxy", "localhost", &host]);
    assert_eq!(finished.code, Some(0), "{finished}");
}

/// Stands before a server and lets in so many clients at a time of so long; others find the door shut.
fn limited(to: SocketAddr, clients: usize, per: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut began, mut count) = (Instant::now(), 0);
        for client in listener.incoming() {
            let client = client.unwrap();
            if began.elapsed() > per {
                (began, count) = (Instant::now(), 0);
            }
            count += 1;
            if count > clients {
                continue;
            }
            let server = TcpStream::connect(to).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

#[test]
fn a_scan_is_patient_with_a_server_that_limits_connections_and_never_tells_half() {
    let fixture = Fixture::new();
    let server = fixture.alone();
    let scan = |address: SocketAddr| {
        let finished = fixture.inspect(["--json", "--scan", &localhost(address)]);
        let document: Value = serde_json::from_slice(&finished.stdout).unwrap();
        document["inspected"][0]["connection"]["scan"].clone()
    };
    let whole = scan(server);
    assert_eq!(whole["complete"], true, "{whole:#}");
    assert_eq!(whole["versions"][4]["groups"].as_array().unwrap().len(), 4);
    let through = scan(limited(server, 7, Duration::from_millis(300)));
    assert_eq!(through, whole);
    // An expired one is reported.
    let shut = scan(limited(server, 12, Duration::from_secs(3600)));
    assert_eq!(shut["complete"], false, "{shut:#}");
    let problem = shut["problem"].as_str().unwrap();
    assert!(problem.contains("has stopped responding"), "{problem}");
}

#[test]
fn names_places_and_protocols_are_asked_for_as_told() {
    let fixture = Fixture::new();
    let server = fixture.pki.server(&["shop.example", "*.shop.example"]);
    let Some(running) = fixture.openssl(&server, &["-www", "-alpn", "http/1.1,h2"]) else {
        return;
    };
    let place = localhost(running.address());
    for (args, code, name, alpn) in [
        (&["shop.example"][..], 0, "shop.example", Some("http/1.1")),
        (&["shop.example:1"], 0, "shop.example", Some("http/1.1")),
        (
            &["shop.example", "--alpn", "h2"],
            0,
            "shop.example",
            Some("h2"),
        ),
        (&["shop.example", "--alpn", ""], 0, "shop.example", None),
        (
            &["shop.example", "--sni", "www.shop.example"],
            0,
            "www.shop.example",
            Some("http/1.1"),
        ),
        (
            &["shop.example", "--sni", "other.example"],
            60,
            "other.example",
            Some("http/1.1"),
        ),
    ] {
        let fixed = ["--json", "--connect-to", &place];
        let finished = fixture.inspect(fixed.iter().chain(args));
        assert_eq!(finished.code, Some(code), "{args:?} {finished}");
        let document: Value = serde_json::from_slice(&finished.stdout).unwrap();
        let found = &document["inspected"][0];
        assert_eq!(found["name"], name, "{args:?}");
        assert_eq!(found["target"], args[0]);
        let session = &found["connection"]["session"];
        assert_eq!(session["server_name"], name, "{args:?} {found:#}");
        assert_eq!(session["alpn"].as_str(), alpn, "{args:?} {found:#}");
        if code == 0 {
            assert_eq!(found["path"][0], "O=handfast tests, CN=shop.example");
        } else {
            assert_eq!(found["failure"]["id"], "name-mismatch");
        }
    }
}
