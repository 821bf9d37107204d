//! Where client and server have nothing in common: what an alert leaves open, a few questions find out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use handfast::{ClientContext, TrustAnchors};
use handfast_testbed::launch::{Nginx, OpensslServer, Program};
use handfast_testbed::pki::{Key, Spec};

use super::{Case, HANDSHAKE, NAME, Peer, fin, serve};
use crate::common::Fixture;

/// What the library says with the questions of a probe behind it.
fn clarified(fixture: &Fixture, peer: &Peer, case: &Case) -> handfast::Error {
    let anchors = TrustAnchors::empty().with_file(&fixture.ca).unwrap();
    let context = ClientContext::builder().trust(anchors).build().unwrap();
    let again = || TcpStream::connect(peer.address);
    let failed = context.secure(case.name, again().unwrap()).unwrap_err();
    let limit = Duration::from_secs(5);
    handfast_probe::clarify(failed.error, &context, case.name, limit, again)
}

#[test]
fn nothing_in_common_with_openssl() {
    let fixture = Fixture::new();
    let root = &fixture.pki.root;
    let rsa = root.issue(Spec::server(&[NAME]).key(Key::Rsa2048));
    let failed = |id| Case::new(id, HANDSHAKE);
    let alert = |id| failed("alert-received").probed(id);
    let old = ["-cipher", "ALL:@SECLEVEL=0"];
    for (args, case, says) in [
        (
            &[&["-tls1"], &old[..]].concat()[..],
            failed("protocol-version"),
            "accepts: TLS 1.0 (weak",
        ),
        (
            &[&["-tls1_1"], &old[..]].concat(),
            failed("protocol-version"),
            "accepts: TLS 1.1 (weak",
        ),
        (
            &["-tls1_2", "-cipher", "AES128-SHA"],
            alert("no-shared-cipher-suite"),
            "accepts, with TLS 1.2: TLS_RSA_WITH_AES_128_CBC_SHA (",
        ),
        (
            &["-tls1_3", "-groups", "P-521"],
            alert("no-shared-group"),
            "accepts: secp521r1",
        ),
        (
            &["-tls1_2", "-groups", "P-521", "-cipher", "ECDHE"],
            alert("no-shared-group"),
            "accepts: secp521r1",
        ),
        (&["-alpn", "imap"], failed("no-application-protocol"), ""),
        (
            &["-servername", "other.example", "-servername_fatal"],
            failed("name-unrecognised"),
            "",
        ),
    ] {
        let mut args = args.to_vec();
        let files = rsa.write(fixture.directory(), "second", &[]);
        let (second, key) = (
            files.chain_pem.display().to_string(),
            files.key_pem.display().to_string(),
        );
        if args.contains(&"-servername") {
            args.extend(["-cert2", &second, "-key2", &key]);
        }
        let what = args.join(" ");
        let Some(peer) = fixture.openssl(&rsa, &args).map(Peer::openssl) else {
            return;
        };
        fixture.check(&what, &peer, &case);
        if case.probed != case.library || what.contains("-tls1") {
            let told = clarified(&fixture, &peer, &case).explain();
            assert_eq!(told.id, case.probed, "{what} {told}");
            assert!(told.to_string().contains(says), "{what} {told}");
        }
    }
}

/// A certificate and its key for kinds of keys that the testbed does not make.
fn odd_identity(fixture: &Fixture, algorithm: &[&str]) -> Option<[String; 2]> {
    let [cert, key] = ["odd.pem", "odd.key"].map(|name| fixture.path(name).display().to_string());
    let made = Program::new("openssl")?
        .args([
            "req", "-x509", "-nodes", "-subj", "/CN=odd", "-days", "3", "-newkey",
        ])
        .args(algorithm)
        .args(["-keyout", &key, "-out", &cert])
        .run();
    assert!(made.succeeded(), "{made}");
    Some([cert, key])
}

/// Whether a ClientHello names a server.
fn names_a_server(hello: &[u8]) -> bool {
    hello
        .windows(NAME.len())
        .any(|part| part == NAME.as_bytes())
}

#[test]
fn servers_that_go_by_name() {
    let fixture = Fixture::new();
    let server = fixture.pki.root.issue(Spec::server(&["other.example"]));
    let files = server.write(fixture.directory(), "named", &[]);
    let nginx = Nginx::launch(fixture.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl default_server; ssl_reject_handshake on; }}\n\
             server {{ listen 127.0.0.1:{port} ssl; server_name other.example;\n\
             ssl_certificate {}; ssl_certificate_key {}; }}\n",
            files.chain_pem.display(),
            files.key_pem.display()
        )
    });
    if let Some(nginx) = nginx {
        let peer = Peer::at(nginx.address());
        for (name, id) in [(NAME, "name-unrecognised"), ("127.0.0.1", "name-needed")] {
            fixture.check(id, &peer, &Case::new(id, HANDSHAKE).name(name));
        }
    }

    // One that gives up without saying why, unless it is not told a name.
    let hello = [0x16, 3, 3, 0, 0x2c, 2, 0, 0, 0x28, 3, 3].into_iter();
    let hello = hello.chain([7; 32]).chain([0, 0, 0x9c, 0, 0, 0]);
    let hello: Vec<u8> = hello.collect();
    let shy = serve(move |mut socket| {
        let mut room = [0; 64 * 1024];
        let count = socket.read(&mut room).unwrap_or(0);
        let answer = match names_a_server(&room[..count]) {
            true => &[0x15, 3, 3, 0, 2, 2, 40],
            false => &hello[..],
        };
        let _ = socket.write_all(answer);
        fin(socket);
    });
    let case = Case::new("alert-received", HANDSHAKE).probed("name-unrecognised");
    fixture.check("shy", &shy, &case);
    let told = clarified(&fixture, &shy, &case).explain().to_string();
    assert!(told.contains("without the server name"), "{told}");
}

#[test]
fn probes_are_few_and_can_be_forbidden() {
    let fixture = Fixture::new();
    let refusal: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    let peer = serve(move |mut socket| {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = socket.read(&mut [0; 64 * 1024]);
        let _ = socket.write_all(refusal);
        fin(socket);
    });
    let port = peer.address.port();
    let url = format!("https://{NAME}:{port}/");
    let place = peer.address.to_string();
    let resolve = format!("{NAME}:{port}:127.0.0.1");
    for (command, args) in [
        ("get", &["--resolve", &resolve, &url][..]),
        ("connect", &["--servername", NAME, &place]),
        ("inspect", &["--connect-to", &place, NAME]),
    ] {
        counted.store(0, Ordering::SeqCst);
        let told = fixture.run(command, args);
        assert!(told.err().contains("each version from SSL 3"), "{told}");
        assert!(told.err().contains("[alert-received]"), "{told}");
        assert!(
            (2..=9).contains(&counted.load(Ordering::SeqCst)),
            "{command} {counted:?}"
        );
        counted.store(0, Ordering::SeqCst);
        let told = fixture.run(command, [&["--no-probe"], args].concat());
        assert!(!told.err().contains("a probe"), "{told}");
        assert_eq!(counted.load(Ordering::SeqCst), 1, "{command}");
    }
}

#[test]
fn signature_schemes_that_are_not_supported() {
    let fixture = Fixture::new();
    for (algorithm, says) in [
        (&["ed448"][..], "a key of type Ed448"),
        (
            &["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
            "a key of type RSA-PSS",
        ),
    ] {
        let Some([cert, key]) = odd_identity(&fixture, algorithm) else {
            return;
        };
        for version in ["-tls1_2", "-tls1_3"] {
            let args = ["-cert", &cert, "-key", &key, version];
            let Some(peer) = OpensslServer::launch(&args).map(Peer::openssl) else {
                return;
            };
            let case = Case::new("alert-received", HANDSHAKE).probed("no-shared-signature-scheme");
            let what = format!("{algorithm:?} {version}");
            fixture.check(&what, &peer, &case);
            let told = clarified(&fixture, &peer, &case).explain().to_string();
            assert!(told.contains(says), "{what} {told}");
        }
    }
}
