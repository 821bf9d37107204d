//! Clients that are refused learn why: the alert arrives, whatever they were sending.

#![cfg(feature = "server")]

mod server_common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use handfast::{
    ClientAuth, CloseOutcome, ClosePolicy, RevocationLists, ServerContext, TlsVersion, TrustAnchors,
};
use handfast_probe::{ClientHello, WireVersion};
use handfast_testbed::launch::Program;
use handfast_testbed::pki::{Issued, Pki};
use server_common::{Fixture, PATIENCE, Setup, identity};

const ROUNDS: usize = 20;

fn anchors(pki: &Pki) -> TrustAnchors {
    TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap()
}

fn demanding() -> Fixture {
    Fixture::shelf_with(Setup {
        context: Box::new(|pki, builder| builder.client_auth(ClientAuth::Required(anchors(pki)))),
        ..Setup::default()
    })
}

/// What is unread when a connection is closed makes the kernel send a reset, which overtakes the alert.
#[test]
fn curl_without_a_certificate_reads_the_alert_every_time() {
    let server = demanding();
    let upload = server.directory.path().join("upload");
    std::fs::write(&upload, vec![b'x'; 200 * 1024]).unwrap();
    for version in ["1.2", "1.3"] {
        for round in 0..ROUNDS {
            let Some(curl) = Program::new("curl") else {
                return;
            };
            let mut curl = curl
                .args(["-sS", &format!("--tlsv{version}"), "--tls-max", version])
                .arg("--cacert")
                .arg(&server.ca_file);
            if round % 2 == 1 {
                curl = curl.args(["-H", "Expect:", "--data-binary"]);
                curl = curl.arg(format!("@{}", upload.display()));
            }
            let finished = curl.arg(server.url("/")).run();
            assert!(!finished.succeeded(), "{version}: {finished}");
            assert!(
                finished.err().contains("alert certificate required"),
                "{version}, round {round}: {finished}"
            );
        }
    }
    let events = server.witness.wait("all refusals", |events| {
        events.handshakes.len() == 2 * ROUNDS
    });
    for seen in &events.handshakes {
        assert_eq!(seen.id, "client-certificate-missing");
        assert_eq!(seen.alert_sent, Some(116), "{seen:?}");
    }
    server.wait_idle();
    assert_eq!(server.witness.events().handshakes.len(), 2 * ROUNDS);
}

#[test]
fn openssl_reads_the_alert_for_what_it_offers() {
    let server = Fixture::shelf();
    for (args, alert, id) in [
        (
            &["-tls1_2", "-cipher", "AES128-SHA"][..],
            "handshake failure",
            "no-shared-cipher-suite",
        ),
        (
            &["-tls1_3", "-alpn", "nonsense"],
            "no application protocol",
            "no-application-protocol",
        ),
        (
            &["-tls1_2", "-alpn", "nonsense"],
            "no application protocol",
            "no-application-protocol",
        ),
    ] {
        for _ in 0..5 {
            let before = server.witness.events().handshakes.len();
            let Some(openssl) = Program::new("openssl") else {
                return;
            };
            let finished = openssl
                .args(["s_client", "-connect", &server.address.to_string()])
                .args(args)
                .run();
            assert!(finished.printed(alert), "{args:?}: {finished}");
            let events = server
                .witness
                .wait("a refusal", |events| events.handshakes.len() == before + 1);
            let seen = events.handshakes.last().unwrap();
            assert_eq!(seen.id, id, "{args:?}: {seen:?}");
            assert!(seen.alert_sent.is_some());
        }
    }
}

/// A hello of TLS 1.0, and then more and more bytes.
#[test]
fn a_peer_that_keeps_sending_still_gets_the_alert_and_the_end() {
    let server = Fixture::shelf();
    let hello = ClientHello::new(WireVersion::Tls10).encode();
    for _ in 0..ROUNDS {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&hello).unwrap();
        // All of it in time to be unread when the server makes up its mind, or right after.
        socket.write_all(&[0x17; 100 * 1024]).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
        socket.shutdown(Shutdown::Both).unwrap();
    }
    // One that never stops is not listened to for ever.
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(&hello).unwrap();
    let began = Instant::now();
    while socket.write_all(&[0x17; 16 * 1024]).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    // One that says nothing more is not waited for either.
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.write_all(&hello).unwrap();
    let events = server.witness.wait("all refusals", |events| {
        events.handshakes.len() == ROUNDS + 2
    });
    server.wait_idle();
    assert!(
        events
            .handshakes
            .iter()
            .all(|seen| seen.id == "protocol-version" && seen.versions == ["TLS 1.0"])
    );
}

/// A record that cannot be decrypted, in the middle of a stream, with more behind it.
#[test]
fn an_alert_in_mid_stream_arrives_too() {
    let server = Fixture::shelf();
    server.put("f", "f");
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = server.client_builder().versions([version]).build().unwrap();
        for _ in 0..ROUNDS {
            let stream = server.connect_with(&client);
            let (mut socket, mut connection) = stream.into_parts();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut forged = vec![0x17, 3, 3, 0, 64];
            forged.extend_from_slice(&[0x55; 64]);
            forged.extend_from_slice(&[0x17; 60 * 1024]);
            socket.write_all(&forged).unwrap();
            let alert = loop {
                let count = match socket.read(connection.receive_room()) {
                    Ok(count) => count,
                    Err(error) => panic!("{version:?}: {error}"),
                };
                match count {
                    0 => connection.received_end(),
                    count => connection.received(count),
                }
                let mut plain = [0; 1024];
                match connection.read(&mut plain) {
                    Ok(handfast::ReadOutcome::End(ending)) => {
                        panic!("{version:?}: ended by {ending}")
                    }
                    Ok(_) => {}
                    Err(_) => break connection.alert_received().unwrap(),
                }
            };
            assert_eq!(alert.name(), "bad_record_mac", "{version:?}");
        }
    }
    // What came together with the client's last flight failed its handshake.
    let events = server.witness.wait("all ends", |events| {
        events.closes.len() + events.handshakes.len() == 2 * ROUNDS
    });
    for seen in &events.handshakes {
        assert_eq!((seen.id, seen.alert_sent), ("bad-record", Some(20)));
    }
    for close in &events.closes {
        assert!(
            matches!(close.outcome, Some(CloseOutcome::AlertSent)),
            "{close:?}"
        );
    }
}

/// The blocking stream, and the blocking handshake.
#[test]
fn blocking_ends_see_their_alerts_through() {
    let pki = Pki::new();
    let context = ServerContext::builder()
        .identity(identity(&pki.server(&["localhost"])))
        .client_auth(ClientAuth::Required(anchors(&pki)))
        .build()
        .unwrap();
    let client = handfast::ClientContext::builder()
        .trust(anchors(&pki))
        .build()
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let mut failure = context.accept(listener.accept().unwrap().0).unwrap_err();
            assert_eq!(failure.alert_sent().unwrap().name(), "certificate_required");
            let outcome = failure.close(handfast::LingerLimits::AFTER_REFUSAL);
            assert_eq!(outcome, CloseOutcome::AlertSent);
        }
    });
    for _ in 0..ROUNDS {
        let mut stream = client
            .secure("localhost", TcpStream::connect(address).unwrap())
            .unwrap();
        let _ = stream.write_all(&[b'x'; 20 * 1024]);
        let _ = stream.flush();
        let error = stream.read_some(&mut [0; 64]).unwrap_err();
        assert_eq!(
            error.explain().id,
            "client-certificate-required",
            "{error:?}"
        );
        stream.close(ClosePolicy::Send);
    }
    server.join().unwrap();
}

/// A client that was let in before its certificate was revoked comes back with its session.
#[test]
fn a_session_of_a_client_that_is_refused_by_now_ends_with_the_fitting_alert() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let pki = Pki::new();
        let issued: Issued = pki.client("alice");
        let demand = |pki: &Pki| {
            ServerContext::builder()
                .identity(identity(&pki.server(&["localhost"])))
                .client_auth(ClientAuth::Required(anchors(pki)))
                .versions([version])
        };
        let first = demand(&pki).build().unwrap();
        let crl = pki.root.crl(&[&issued]);
        let lists = RevocationLists::none().with_der(crl).unwrap();
        // The same policy but for the list; its fingerprint leaves lists out, so that renewing them does
        // not cost everybody's sessions.
        let second = demand(&pki)
            .revocation_lists(lists)
            .succeeding(&first)
            .build()
            .unwrap();
        let client = handfast::ClientContext::builder()
            .trust(anchors(&pki))
            .identity(identity(&issued))
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || {
            client
                .secure("localhost", TcpStream::connect(address).unwrap())
                .map_err(|failure| failure.error)
        };
        let serve = |context: &ServerContext| {
            let (context, listener) = (context.clone(), listener.try_clone().unwrap());
            std::thread::spawn(move || match context.accept(listener.accept().unwrap().0) {
                Ok(mut stream) => {
                    stream.write_all(b"welcome").unwrap();
                    stream.close(ClosePolicy::default());
                    Ok(stream.report().resumed)
                }
                Err(mut failure) => {
                    failure.close(handfast::LingerLimits::AFTER_REFUSAL);
                    Err((failure.alert_sent(), failure.error.explain().id))
                }
            })
        };
        for resumed in [false, true] {
            let server = serve(&first);
            let mut stream = connect().unwrap();
            stream.read_to_ending().unwrap();
            stream.close(ClosePolicy::default());
            assert_eq!(server.join().unwrap(), Ok(resumed), "{version:?}");
        }
        let server = serve(&second);
        let error = match connect() {
            Ok(mut stream) => stream.read_some(&mut [0; 64]).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            error.explain().id,
            "client-certificate-refused",
            "{error:?}"
        );
        let (alert, id) = server.join().unwrap().unwrap_err();
        assert_eq!(alert.unwrap().name(), "certificate_revoked", "{version:?}");
        assert_eq!(id, "certificate-revoked");
    }
}

/// A handshake that the end of the server cuts off is told, once, as what it is.
#[test]
fn a_handshake_cut_off_by_the_servers_end_is_an_event() {
    let mut server = Fixture::shelf();
    let hello = ClientHello::new(WireVersion::Tls13).with_server_name("localhost");
    let bytes = hello.encode();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(&bytes[..bytes.len() / 2]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while server.running().connections() == 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let running = server.running.take().unwrap();
    running.shutdown(Duration::from_secs(5));
    running.join();
    let events = server.witness.events();
    let ids: Vec<_> = events.handshakes.iter().map(|seen| seen.id).collect();
    assert_eq!(ids, ["server-stopping"]);
    assert_eq!(events.handshakes[0].alert_sent, None);
}
