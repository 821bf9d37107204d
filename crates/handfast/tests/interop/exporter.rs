//! Exported keying material: OpenSSL and GnuTLS, as client and as server, derive the same (RFC 5705; RFC 8446,
//! section 7.5; RFC 9266).

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use handfast::{ClientContext, ClosePolicy, Stream, TlsVersion};
use handfast_testbed::launch::{GnutlsServer, Program, Running};

use crate::office::{Office, SOON, VERSIONS, openssl_server, os};

const LABEL: &str = "EXPERIMENTAL handfast";
const LENGTH: usize = 47;

/// What both ends of one connection exported.
struct Material {
    exported: String,
    binding: String,
}

fn material(stream: &Stream<TcpStream>) -> Material {
    let mut exported = [0; LENGTH];
    stream
        .export_keying_material(LABEL.as_bytes(), None, &mut exported)
        .unwrap();
    Material {
        exported: hex(&exported),
        binding: hex(&stream.channel_binding().unwrap()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The peer says, in hexadecimal digits of either case, that it exported the same.
fn expect(what: &str, peer: &Running, exported: &str) {
    let said = peer.wait_until(SOON, |told| {
        told.to_lowercase().contains(exported).then_some(())
    });
    assert!(said.is_some(), "{what}: not {exported}: {}", peer.output());
}

/// One connection of our client, which is then resumed.
fn visit(client: &ClientContext, address: std::net::SocketAddr) -> (Material, bool) {
    let socket = TcpStream::connect(address).unwrap();
    let mut stream = client.secure("localhost", socket).unwrap();
    let material = material(&stream);
    let resumed = stream.report().resumed;
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let _ = stream.read_to_ending();
    stream.close(ClosePolicy::Wait(SOON));
    (material, resumed)
}

#[test]
fn openssl_s_server_exports_what_our_client_does() {
    let office = Office::new();
    let length = LENGTH.to_string();
    let export = ["-keymatexport", LABEL, "-keymatexportlen", &length];
    for version in VERSIONS {
        let Some(mut server) = openssl_server(&office, false, &export) else {
            return;
        };
        let client = office.client(version, false);
        for resumed in [false, true] {
            let socket = TcpStream::connect(server.address()).unwrap();
            let mut stream = client.secure("localhost", socket).unwrap();
            let material = material(&stream);
            assert_eq!(stream.report().resumed, resumed, "{version:?}");
            expect("s_server", server.process(), &material.exported);
            // It gives out its tickets with what it sends.
            server.process().write("hello\n").unwrap();
            let mut greeting = [0; 6];
            std::io::Read::read_exact(&mut stream, &mut greeting).unwrap();
            stream.close(ClosePolicy::Wait(SOON));
        }
    }
}

#[test]
fn gnutls_serv_exports_what_our_client_does_and_binds_the_same_channel() {
    let office = Office::new();
    for version in VERSIONS {
        let length = LENGTH.to_string();
        let mut arguments = os(&["--http", "--disable-client-cert", "--keymatexport", LABEL]);
        arguments.extend(os(&["--keymatexportsize", &length, "--x509certfile"]));
        arguments.extend([office.server.chain_pem.clone().into()]);
        arguments.extend(os(&["--x509keyfile"]));
        arguments.extend([office.server.key_pem.clone().into()]);
        let Some(mut server) = GnutlsServer::launch(&arguments) else {
            return;
        };
        let client = office.client(version, false);
        for expected in [false, true] {
            let (material, resumed) = visit(&client, server.address());
            assert_eq!(resumed, expected, "{version:?}");
            expect("gnutls-serv", server.process(), &material.exported);
            if version == TlsVersion::Tls13 {
                expect("gnutls-serv", server.process(), &material.binding);
            }
        }
    }
}

/// A client that is started against our server; what our end exported of its connections.
fn visited(office: &Office, version: TlsVersion, start: impl FnOnce(u16) -> Option<Running>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some(client) = start(port) else {
        return;
    };
    let server = office.server(version, false);
    let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
    let material = material(&stream);
    stream.flush().unwrap();
    expect("a client", &client, &material.exported);
}

#[test]
fn openssl_s_client_exports_what_our_server_does() {
    let office = Office::new();
    for version in VERSIONS {
        visited(&office, version, |port| {
            let to = format!("127.0.0.1:{port}");
            let length = LENGTH.to_string();
            let openssl = Program::new("openssl")?;
            let openssl = openssl.args(["s_client", "-connect", &to, "-CAfile"]);
            let openssl = openssl.arg(&office.root);
            let openssl = openssl.args(["-keymatexport", LABEL, "-keymatexportlen", &length]);
            Some(openssl.start())
        });
    }
}

#[test]
fn gnutls_cli_exports_what_our_server_does() {
    let office = Office::new();
    for version in VERSIONS {
        visited(&office, version, |port| {
            let (port, length) = (port.to_string(), LENGTH.to_string());
            let gnutls = Program::new("gnutls-cli")?;
            let gnutls = gnutls.args(["localhost", "-p", &port, "--x509cafile"]);
            let gnutls = gnutls.arg(&office.root);
            let gnutls = gnutls.args(["--keymatexport", LABEL, "--keymatexportsize", &length]);
            Some(gnutls.start())
        });
    }
}

#[test]
fn both_of_our_ends_export_the_same_whatever_label_context_and_session() {
    let office = Office::new();
    for version in VERSIONS {
        let (client, server) = (office.client(version, false), office.server(version, false));
        let mut bindings = Vec::new();
        for resumed in [false, true] {
            let mut client = client.connection("localhost").unwrap();
            let mut server = server.connection().unwrap();
            assert!(client.channel_binding().is_err(), "before the handshake");
            while client.is_handshaking() || server.is_handshaking() {
                server.receive(client.outgoing());
                client.sent(client.outgoing().len());
                server.process().unwrap();
                client.receive(server.outgoing());
                server.sent(server.outgoing().len());
                client.process().unwrap();
            }
            // The tickets.
            let _ = client.read(&mut [0; 1]).unwrap();
            assert_eq!(client.report().unwrap().resumed, resumed, "{version:?}");
            for (label, context, length) in [
                (&b"EXPERIMENTAL one"[..], None, 1),
                (b"EXPERIMENTAL one", Some(&b""[..]), 32),
                (b"EXPERIMENTAL two", Some(&[7; 300][..]), 8_000),
            ] {
                let export = |end: &handfast::Connection| {
                    let mut output = vec![0; length];
                    end.export_keying_material(label, context, &mut output)
                        .map(|()| output)
                };
                assert_eq!(export(&client), export(&server), "{version:?}");
                assert!(export(&client).is_ok(), "{version:?}");
            }
            let binding = client.channel_binding().unwrap();
            assert_eq!(server.channel_binding(), Ok(binding), "{version:?}");
            bindings.push(binding);
        }
        assert_ne!(
            bindings[0], bindings[1],
            "{version:?}: a channel of its own"
        );
    }
}
