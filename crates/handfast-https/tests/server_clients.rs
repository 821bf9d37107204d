//! Who the client is, and real clients of every kind.

#![cfg(feature = "server")]

mod server_common;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use handfast::{ClientAuth, ClientContext, RevocationLists, ServerContext, TrustAnchors};
use handfast_https::server::{ALPN, Body, ConnectionInfo, Request, Response};
use handfast_testbed::launch::Program;
use server_common::{Fixture, Reply, Setup, identity};

/// Tells each client who it is.
fn who_am_i(required: bool) -> (Fixture, PathBuf, PathBuf) {
    let setup = Setup {
        context: Box::new(move |pki, builder| {
            let anchors = TrustAnchors::empty()
                .with_pem(pki.root.cert_pem().as_bytes())
                .unwrap();
            builder.client_auth(if required {
                ClientAuth::Required(anchors)
            } else {
                ClientAuth::Optional(anchors)
            })
        }),
        ..Setup::default()
    };
    let server = Fixture::start(setup, |_| {
        |_request: Request, client: Arc<ConnectionInfo>| async move {
            let name = client.client().and_then(|peer| peer.common_name());
            Response::new(Body::from(name.unwrap_or("anonymous").to_owned()))
        }
    });
    let alice = server.pki.client("alice");
    let files = alice.write(server.directory.path(), "alice", &[]);
    (server, files.chain_pem, files.key_pem)
}

fn ask(server: &Fixture, client: &ClientContext) -> Result<Reply, handfast::Error> {
    let socket = std::net::TcpStream::connect(server.address).unwrap();
    let mut stream = client.secure("localhost", socket)?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .map_err(|error| handfast::Error::from_io_owned(error, handfast::Phase::Request))?;
    let (bytes, ending) = stream.read_to_ending()?;
    Ok(Reply::parse(&bytes, ending))
}

#[test]
fn the_handler_and_the_log_know_the_client() {
    let (server, chain, key) = who_am_i(false);
    let anonymous = server.client();
    assert_eq!(ask(&server, &anonymous).unwrap().text(), "anonymous");
    let alice = handfast::Identity::from_files(&chain, &key, handfast::Passphrase::none()).unwrap();
    let alice = server.client_builder().identity(alice).build().unwrap();
    // The second time the session is resumed, and the identity is the same.
    for _ in 0..2 {
        assert_eq!(ask(&server, &alice).unwrap().text(), "alice");
    }
    let events = server
        .witness
        .wait("three requests", |events| events.requests.len() == 3);
    // Each connection has a worker of its own, so that their events come in any order.
    let mut clients: Vec<_> = events.requests.iter().map(|seen| &seen.client).collect();
    clients.sort();
    let alice = Some("O=handfast tests, CN=alice".to_owned());
    assert_eq!(clients, [&None, &alice, &alice]);
}

#[test]
fn a_client_without_a_demanded_certificate_is_refused() {
    let (server, _, _) = who_am_i(true);
    assert!(ask(&server, &server.client()).is_err());
    // A certificate of another authority.
    let stranger = handfast_testbed::pki::Pki::new().client("mallory");
    let stranger = server
        .client_builder()
        .identity(identity(&stranger))
        .build()
        .unwrap();
    assert!(ask(&server, &stranger).is_err());
    let events = server
        .witness
        .wait("two refusals", |events| events.handshakes.len() == 2);
    assert_eq!(events.handshakes[0].id, "client-certificate-missing");
    assert!(events.requests.is_empty());
    server.wait_idle();
}

#[test]
fn curl_shows_its_certificate_over_both_protocols() {
    let (server, chain, key) = who_am_i(true);
    for http in ["--http1.1", "--http2"] {
        for tls in ["1.2", "1.3"] {
            let Some(curl) = Program::new("curl") else {
                return;
            };
            let finished = curl
                .args(["-sS", http, "--tls-max", tls, "--cacert"])
                .arg(&server.ca_file)
                .arg("--cert")
                .arg(&chain)
                .arg("--key")
                .arg(&key)
                .arg(server.url("/"))
                .run();
            assert_eq!(finished.out(), "alice", "{http} {tls}: {finished}");
        }
    }
}

/// Running connections keep the context they began with, new ones get the other; a revoked
/// certificate is refused from then on, resumption or not.
#[test]
fn a_revocation_list_comes_in_by_a_reload() {
    let (server, chain, key) = who_am_i(true);
    let alice = server.pki.client("alice");
    let _ = (chain, key);
    let client = server
        .client_builder()
        .identity(identity(&alice))
        .build()
        .unwrap();
    assert_eq!(ask(&server, &client).unwrap().text(), "alice");
    let mut running = server.connect_with(&client);
    let anchors = TrustAnchors::empty()
        .with_pem(server.pki.root.cert_pem().as_bytes())
        .unwrap();
    let lists = RevocationLists::none()
        .with_der(server.pki.root.crl(&[&alice]))
        .unwrap();
    let context = ServerContext::builder()
        .identity(identity(&server.issued))
        .alpn(ALPN)
        .client_auth(ClientAuth::Required(anchors))
        .revocation_lists(lists)
        .build()
        .unwrap();
    server.running().replace_context(context);
    assert!(ask(&server, &client).is_err());
    running
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    let (bytes, ending) = running.read_to_ending().unwrap();
    assert_eq!(Reply::parse(&bytes, ending).text(), "alice");
    let events = server
        .witness
        .wait("a refusal", |events| !events.handshakes.is_empty());
    assert!(events.handshakes[0].id.contains("revoked"), "{events:?}");
}

#[test]
fn openssl_gnutls_and_python_are_served_over_tls_12_and_13() {
    let server = Fixture::shelf();
    server.put("f", "the content\n");
    let request = "GET /f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let address = format!("127.0.0.1:{}", server.address.port());
    let ca = server.ca_file.display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        if let Some(openssl) = Program::new("openssl") {
            let finished = openssl
                .args([
                    "s_client", "-quiet", "-ign_eof", version, "-connect", &address,
                ])
                .args(["-servername", "localhost", "-verify_return_error"])
                .args(["-verify_hostname", "localhost", "-CAfile", &ca])
                .stdin(request)
                .run();
            assert!(
                finished.out().ends_with("\r\n\r\nthe content\n"),
                "{finished}"
            );
        }
    }
    for priority in [
        "NORMAL:-VERS-ALL:+VERS-TLS1.2",
        "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    ] {
        if let Some(gnutls) = Program::new("gnutls-cli") {
            let port = server.address.port().to_string();
            let finished = gnutls
                .args(["--priority", priority, "--x509cafile", &ca, "--port", &port])
                .args(["--no-ca-verification", "--logfile=/dev/null", "localhost"])
                .stdin(request)
                .run();
            assert!(finished.out().contains("the content\n"), "{finished}");
        }
    }
    for version in ["TLSv1_2", "TLSv1_3"] {
        let Some(python) = Program::new("python3") else {
            continue;
        };
        let script = server.directory.path().join("client.py");
        fs::write(&script, PYTHON).unwrap();
        let finished = python
            .arg(&script)
            .args([&ca, version, &server.address.port().to_string()])
            .run();
        assert_eq!(
            finished.out(),
            "False the content\nTrue the content\n",
            "{finished}"
        );
    }
    server.wait_idle();
    let events = server.witness.events();
    assert!(events.handshakes.is_empty(), "{events:#?}");
}

/// Twice, the second time over the session of the first; says whether it was resumed, and demands
/// close_notify (`suppress_ragged_eofs=False`).
const PYTHON: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
version = getattr(ssl.TLSVersion, sys.argv[2])
context.minimum_version = context.maximum_version = version
session = None
for _ in range(2):
    raw = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    with context.wrap_socket(raw, server_hostname="localhost", session=session,
                             suppress_ragged_eofs=False) as tls:
        tls.sendall(b"GET /f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        reply = b""
        while chunk := tls.recv(65536):
            reply += chunk
        session = tls.session
        body = reply.split(b"\r\n\r\n", 1)[1].decode()
        sys.stdout.write(str(tls.session_reused) + " " + body)
"#;
