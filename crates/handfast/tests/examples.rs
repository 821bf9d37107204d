//! Runs the examples, against each other and against OpenSSL and nginx.
//!
//! `cargo test` builds them first; with `cargo test --test examples` they may be missing (which is an
//! error) or old.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use handfast::{Identity, Passphrase, ServerContext};
use handfast_testbed::launch::{Finished, Nginx, OpensslServer, Program, Running};
use handfast_testbed::pki::{IssuedFiles, Pki, Spec};

const SOON: Duration = Duration::from_secs(20);

/// A root, a server and their files.
struct Fixture {
    directory: tempfile::TempDir,
    root: PathBuf,
    server: IssuedFiles,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        let server = pki.server(&["localhost", "127.0.0.1"]);
        Self {
            root: pki.root.write(directory.path(), "root", &[]).chain_pem,
            server: server.write(directory.path(), "server", &[]),
            directory,
        }
    }

    /// An example with the server's chain and key as arguments.
    fn with_identity(&self, name: &str) -> Program {
        example(name)
            .arg(&self.server.chain_pem)
            .arg(&self.server.key_pem)
    }

    /// `simple_server` for this many clients, and its address.
    fn simple_server(&self, clients: usize) -> (Running, String) {
        let server = self
            .with_identity("simple_server")
            .arg(clients.to_string())
            .start();
        let line = server.wait_for("listening on ", SOON).expect("it listens");
        let address = line.rsplit(' ').next().unwrap().to_owned();
        (server, address)
    }

    fn openssl_server(&self, more: &[&str]) -> Option<OpensslServer> {
        let mut arguments = vec![
            "-cert".into(),
            self.server.chain_pem.clone().into_os_string(),
        ];
        arguments.extend(["-key".into(), self.server.key_pem.clone().into_os_string()]);
        arguments.extend(more.iter().map(Into::into));
        OpensslServer::launch(&arguments)
    }
}

/// Examples are built next to the directory of the tests.
fn example(name: &str) -> Program {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let there = path.is_file();
    assert!(
        there,
        "{} is missing: cargo build --examples",
        path.display()
    );
    Program::at(path)
}

fn port_of(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

#[track_caller]
fn expect(finished: &Finished, texts: &[&str]) {
    assert!(finished.succeeded(), "{finished}");
    for text in texts {
        assert!(finished.printed(text), "no {text:?}: {finished}");
    }
}

#[test]
fn memory_channel() {
    let office = Fixture::new();
    let finished = office
        .with_identity("memory_channel")
        .arg(&office.root)
        .run();
    expect(
        &finished,
        &[
            "shook hands in 2 round trips",
            "server read \"hello, server\"",
            "client read \"hello, client\"",
        ],
    );
}

#[test]
#[cfg(unix)]
fn serial_line() {
    let office = Fixture::new();
    let finished = office.with_identity("serial_line").arg(&office.root).run();
    expect(
        &finished,
        &[
            "client read \"17 bytes, ended by close_notify\"",
            "server read \"temperature 21.5\\n\"; closed: complete",
        ],
    );
}

#[test]
fn simple_client_and_simple_server() {
    let office = Fixture::new();
    let (mut server, address) = office.simple_server(1);
    let authority = format!("localhost:{}", port_of(&address));
    let finished = example("simple_client")
        .arg(authority)
        .arg(&office.root)
        .run();
    expect(
        &finished,
        &[
            "HTTP/1.0 200 OK",
            "You asked: GET / HTTP/1.0\n",
            "TLS 1.3, TLS_",
            "ended by close_notify; closed: complete",
        ],
    );
    let status = server.wait(SOON).expect("its only client was served");
    assert!(status.success());
    let output = server.output();
    assert!(
        output.contains("GET / HTTP/1.0: 1 records sent, closed: complete"),
        "{output}"
    );
}

#[test]
fn simple_client_reports_why_it_refuses_a_server() {
    let office = Fixture::new();
    let stranger = Spec::authority("Stranger").self_signed();
    let stranger = stranger.write(office.directory.path(), "stranger", &[]);
    let (server, address) = office.simple_server(1);
    let authority = format!("localhost:{}", port_of(&address));
    let finished = example("simple_client")
        .arg(authority)
        .arg(&stranger.chain_pem)
        .run();
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stdout.is_empty(), "{finished}");
    assert!(finished.err().contains("Test Root"), "{finished}");
    let output = server.wait_for("issuer-distrusted-by-client", SOON);
    assert!(output.is_some(), "{}", server.output());
}

#[test]
fn simple_client_and_openssl() {
    let office = Fixture::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(server) = office.openssl_server(&["-www", version]) else {
            return;
        };
        let authority = format!("localhost:{}", server.address().port());
        let finished = example("simple_client")
            .arg(authority)
            .arg(&office.root)
            .run();
        expect(&finished, &["HTTP/1.0 200 ok", "ended by close_notify"]);
    }
}

#[test]
fn simple_client_detects_a_truncated_reply() {
    let office = Fixture::new();
    let chain = std::fs::read(&office.server.chain_pem).unwrap();
    let key = std::fs::read(&office.server.key_pem).unwrap();
    let identity = Identity::from_bytes(&chain, &key, Passphrase::none()).unwrap();
    let server = ServerContext::builder().identity(identity).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhalf").unwrap();
        stream.flush().unwrap();
        // Dropped without close_notify.
    });
    let finished = example("simple_client")
        .arg(authority)
        .arg(&office.root)
        .run();
    server.join().unwrap();
    assert_eq!(finished.code, Some(56), "{finished}");
    assert!(finished.printed("may have been cut off"), "{finished}");
    assert!(finished.out().ends_with("half"), "{finished}");
}

#[test]
fn simple_server_and_openssl() {
    let office = Fixture::new();
    let versions = ["-tls1_2", "-tls1_3"];
    let (mut server, address) = office.simple_server(versions.len());
    for version in versions {
        let Some(openssl) = Program::new("openssl") else {
            return;
        };
        let finished = openssl
            .args([
                "s_client", "-connect", &address, version, "-ign_eof", "-quiet",
            ])
            .args(["-verify_return_error", "-CAfile"])
            .arg(&office.root)
            .stdin("GET /a HTTP/1.0\nHost: localhost\r\n\n") // bare LF from broken clients
            .run();
        expect(&finished, &["You asked: GET /a HTTP/1.0\n"]);
    }
    assert!(server.wait(SOON).is_some_and(|status| status.success()));
}

#[test]
fn multiplexed_client_and_simple_server() {
    let office = Fixture::new();
    let (mut server, address) = office.simple_server(300);
    let finished = example("multiplexed_client")
        .args([&address, "localhost"])
        .arg(&office.root)
        .arg("300")
        .run();
    expect(
        &finished,
        &["300 connections: 300 whole, 0 cut off, 0 reset, 0 failed"],
    );
    assert!(server.wait(SOON).is_some_and(|status| status.success()));
}

#[test]
fn multiplexed_client_and_nginx() {
    let office = Fixture::new();
    let server = Nginx::launch(office.directory.path(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             return 200 hello; }}",
            office.server.chain_pem.display(),
            office.server.key_pem.display()
        )
    });
    let Some(server) = server else { return };
    let finished = example("multiplexed_client")
        .args([&server.address().to_string(), "localhost"])
        .arg(&office.root)
        .arg("300")
        .run();
    expect(
        &finished,
        &["300 connections: 300 whole, 0 cut off, 0 reset, 0 failed"],
    );
}

/// A server that says this to each client, in the clear; and where it listens.
fn says(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = socket.unwrap().write_all(text.as_bytes());
        }
    });
    address
}

#[test]
fn a_proxy_picks_certificate_and_server_by_the_name_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let mut proxy = example("sni_proxy");
    for (name, text) in [("a.example", "this is a"), ("b.example", "this is b")] {
        let files = pki.server(&[name]).write(directory.path(), name, &[]);
        proxy = proxy
            .arg(&files.chain_pem)
            .arg(&files.key_pem)
            .arg(says(text));
    }
    let proxy = proxy.start();
    let said = proxy.wait_for("listening on ", SOON).expect("it listens");
    let address = said.rsplit(' ').next().unwrap();
    let anchors = handfast::TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap();
    let client = handfast::ClientContext::builder()
        .trust(anchors)
        .build()
        .unwrap();
    let connect = |name| client.secure(name, std::net::TcpStream::connect(address).unwrap());
    for (name, text) in [("a.example", "this is a"), ("b.example", "this is b")] {
        let mut stream = connect(name).unwrap();
        stream.finish().unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).unwrap();
        assert_eq!(got, text);
    }
    let refused = connect("c.example").unwrap_err();
    assert_eq!(refused.error.explain().id, "name-unrecognised");
}
