//! Our client against other servers: `s_server`, `gnutls-serv`, nginx.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use handfast::{Cause, ClientContext, ClosePolicy, Ending, PeerCause, Report, TlsVersion};
use handfast_testbed::launch::{GnutlsServer, Nginx, OpensslServer};
use handfast_testbed::pki::{Pki, Spec};

use crate::office::{Office, REQUEST, SOON, VERSIONS, openssl_server, os};

/// One request to an HTTP server: the report, the reply, the ending.
fn ask(client: &ClientContext, address: SocketAddr) -> (Arc<Report>, String, Ending) {
    let socket = TcpStream::connect(address).unwrap();
    let mut stream = client.secure("localhost", socket).unwrap();
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    stream.close(ClosePolicy::Wait(SOON));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (stream.report().clone(), text, ending)
}

/// The same over the asynchronous stream.
fn ask_async(client: &ClientContext, address: SocketAddr) -> (Arc<Report>, String, Ending) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut stream = client.secure_async("localhost", socket).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, REQUEST.as_bytes())
            .await
            .unwrap();
        let (bytes, ending) = stream.read_to_ending(1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        stream.close(ClosePolicy::Wait(SOON)).await;
        (stream.report().clone(), text, ending)
    })
}

/// A full handshake and resumed ones, over either stream. `words` has the texts that a reply must contain if the
/// session is new, if it is resumed, and for our identity.
fn converse(
    office: &Office,
    peer: &str,
    version: TlsVersion,
    identify: bool,
    address: SocketAddr,
    words: Words,
) {
    let client = office.client(version, identify);
    for (turn, resumed) in [false, true, true].into_iter().enumerate() {
        let (report, text, ending) = match turn {
            2 => ask_async(&client, address),
            _ => ask(&client, address),
        };
        let what = format!("{peer}, {version:?}, identify: {identify}, turn {turn}\n{text}");
        assert_eq!(report.version, version, "{what}");
        assert_eq!(report.resumed, resumed, "{what}");
        let server = report
            .peer
            .as_ref()
            .expect("a verified server, resumed or not");
        assert_eq!(server.common_name(), Some("localhost"), "{what}");
        assert_eq!(server.chain().len(), 2, "{what}");
        assert_eq!(ending, Ending::CloseNotify, "{what}");
        let status = text.lines().next().unwrap_or_default();
        assert!(status.contains(" 200 "), "{what}");
        if !resumed {
            assert_eq!(report.client_certificate_requested, identify, "{what}");
        }
        let expected = if resumed { words.resumed } else { words.new };
        assert!(text.contains(expected), "no {expected:?}: {what}");
        if identify {
            assert!(text.contains(words.alice), "no {:?}: {what}", words.alice);
        }
    }
}

#[derive(Clone, Copy)]
struct Words {
    new: &'static str,
    resumed: &'static str,
    alice: &'static str,
}

#[test]
fn our_client_and_openssl_s_server() {
    let office = Office::new();
    let words = Words {
        new: "\nNew, ",
        resumed: "\nReused, ",
        alice: "Subject: CN=alice",
    };
    for version in VERSIONS {
        for identify in [false, true] {
            for tickets in [&["-www"][..], &["-www", "-no_ticket"]] {
                let Some(server) = openssl_server(&office, identify, tickets) else {
                    return;
                };
                let peer = format!("s_server {tickets:?}");
                converse(&office, &peer, version, identify, server.address(), words);
            }
        }
    }
}

#[test]
fn our_client_and_gnutls_serv() {
    let office = Office::new();
    // Its page does not show whether the session was resumed; its output does.
    let words = Words {
        new: "",
        resumed: "",
        alice: "alice",
    };
    for version in VERSIONS {
        for identify in [false, true] {
            let mut arguments = os(&["--http", "--x509certfile"]);
            arguments.extend([office.server.chain_pem.clone().into()]);
            arguments.extend(os(&["--x509keyfile"]));
            arguments.extend([office.server.key_pem.clone().into()]);
            arguments.extend(os(&["--x509cafile"]));
            arguments.extend([office.root.clone().into()]);
            arguments.extend(os(match identify {
                true => &["--require-client-cert", "--verify-client-cert"],
                false => &["--disable-client-cert"],
            }));
            let Some(mut server) = GnutlsServer::launch(&arguments) else {
                return;
            };
            converse(
                &office,
                "gnutls-serv",
                version,
                identify,
                server.address(),
                words,
            );
            let output = server.process().wait_until(SOON, |output| {
                let resumed = output.matches("This is a resumed session").count();
                (resumed == 2).then_some(())
            });
            assert!(output.is_some(), "{}", server.process().output());
        }
    }
}

#[test]
fn our_client_and_nginx() {
    let office = Office::new();
    let words = Words {
        new: "reused=.\n",
        resumed: "reused=r\n",
        alice: "CN=alice\n",
    };
    for identify in [false, true] {
        for tickets in ["on", "off"] {
            let ask_client = match identify {
                true => format!(
                    "ssl_verify_client on; ssl_verify_depth 3; ssl_client_certificate {};",
                    office.root.display()
                ),
                false => String::new(),
            };
            let server = Nginx::launch(office.directory.path(), |port| {
                format!(
                    "ssl_session_cache shared:sessions:1m; ssl_session_tickets {tickets};\n\
                     server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;\n\
                     ssl_certificate {}; ssl_certificate_key {}; {ask_client}\n\
                     location / {{ default_type text/plain; return 200\n\
                     'reused=$ssl_session_reused\nclient=$ssl_client_s_dn\n'; }} }}",
                    office.server.chain_pem.display(),
                    office.server.key_pem.display(),
                )
            });
            let Some(server) = server else { return };
            for version in VERSIONS {
                let peer = format!("nginx, tickets {tickets}");
                let address = server.address();
                converse(&office, &peer, version, identify, address, words);
            }
        }
    }
}

#[test]
fn servers_that_require_a_certificate_refuse_us_and_we_report_why() {
    let office = Office::new();
    for version in VERSIONS {
        let Some(server) = openssl_server(&office, true, &["-www"]) else {
            return;
        };
        let client = office.client(version, false);
        let refused = (|| {
            let socket = TcpStream::connect(server.address()).unwrap();
            let mut stream = client.secure("localhost", socket)?;
            // TLS 1.3: the server verifies after our handshake is complete.
            stream.read_some(&mut [0; 100]).map(|_| ())
        })();
        let error = refused.unwrap_err();
        assert!(
            matches!(
                error.cause(),
                Cause::Peer(PeerCause::ClientCertificateRequired { acceptable_issuers, .. })
                    if acceptable_issuers.len() == 1
            ),
            "{version:?}: {error:?}"
        );
    }
}

#[test]
fn a_real_server_with_a_bad_certificate_is_refused_and_its_chain_kept() {
    let office = Office::new();
    let pki = Pki::new();
    let end_entity = pki.root.issue(Spec::server(&["localhost"]));
    let files = end_entity.write(office.directory.path(), "stranger", &[]);
    for version in VERSIONS {
        let arguments: [OsString; 5] = [
            "-www".into(),
            "-cert".into(),
            files.chain_pem.clone().into(),
            "-key".into(),
            files.key_pem.clone().into(),
        ];
        let Some(server) = OpensslServer::launch(&arguments) else {
            return;
        };
        let socket = TcpStream::connect(server.address()).unwrap();
        let failure = office
            .client(version, false)
            .secure("localhost", socket)
            .unwrap_err();
        let Cause::Peer(PeerCause::Certificate(refused)) = failure.error.cause() else {
            panic!("{version:?}: {:?}", failure.error);
        };
        assert_eq!(refused.chain, std::slice::from_ref(&end_entity.der));
    }
}
