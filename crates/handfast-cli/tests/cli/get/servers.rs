//! Pages from real servers: nginx, OpenSSL, GnuTLS.

use std::ffi::OsStr;
use std::fs;

use handfast_testbed::launch::{GnutlsServer, Nginx, OpensslServer};

use super::code;
use crate::common::{Fixture, localhost};

#[test]
fn client_certificates_with_and_without_a_passphrase() {
    let fixture = Fixture::new();
    let client = fixture.files("client", &fixture.pki.client("ada"));
    let Some(locked) = fixture.encrypted_key(client.key_pem.as_ref(), "locked.key", "s3cret")
    else {
        return;
    };
    let Some(server) = Nginx::launch(fixture.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {};\
             ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client on;\
             return 200 $ssl_client_s_dn; }}",
            fixture.chain.display(),
            fixture.key.display(),
            fixture.ca.display()
        )
    }) else {
        return;
    };
    let url = format!("https://{}/", localhost(server.address()));
    let cert = client.chain_pem.to_str().unwrap();
    let (key, locked) = (client.key_pem.to_str().unwrap(), locked.to_str().unwrap());
    for tls in ["1.2", "1.3"] {
        for extra in [&[][..], &["--http1.1"]] {
            let mut base = vec!["--tls-max", tls, "--cert", cert];
            base.extend_from_slice(extra);
            let with = |more: &[&str]| fixture.get(base.iter().chain(more));
            let plain = with(&["--key", key, &url]);
            assert_eq!(
                (code(&plain), plain.out().as_str()),
                (0, "O=handfast tests,CN=ada"),
                "{plain}"
            );
            let unlocked = with(&["--key", locked, "--pass", "pass:s3cret", &url]);
            assert_eq!(code(&unlocked), 0, "{unlocked}");
            let wrong = with(&["--key", locked, "--pass", "pass:wrong", &url]);
            assert_eq!(code(&wrong), 58, "{wrong}");
            assert!(wrong.err().contains("wrong-passphrase"), "{wrong}");
        }
        // nginx shakes hands all the same, and answers 400.
        let without = fixture.get(["--tls-max", tls, "-f", &url]);
        assert_eq!(code(&without), 22, "{without}");
    }
}

#[test]
fn a_client_certificate_stays_with_its_origin() {
    let fixture = Fixture::new();
    let client = fixture.files("client", &fixture.pki.client("ada"));
    let Some(server) = Nginx::launch(fixture.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {};\
             ssl_client_certificate {}; ssl_verify_client optional;\
             location /who {{ return 200 \"[$ssl_client_s_dn]\"; }}\
             location /same {{ return 302 /who; }}\
             location /away {{ return 302 https://127.0.0.1:{port}/who; }}\
             location /back {{ return 302 https://127.0.0.1:{port}/home; }}\
             location /home {{ return 302 https://localhost:{port}/who; }} }}",
            fixture.chain.display(),
            fixture.key.display(),
            fixture.ca.display()
        )
    }) else {
        return;
    };
    let port = server.address().port();
    let home = format!("https://localhost:{port}");
    let other = format!("https://127.0.0.1:{port}");
    let cert = client.chain_pem.to_str().unwrap();
    let key = client.key_pem.to_str().unwrap();
    let (ada, none) = ("[O=handfast tests,CN=ada]", "[]");
    for http in ["--http1.1", "--http2"] {
        for (options, urls, expected) in [
            (&[][..], &[format!("{home}/same")][..], vec![ada]),
            (&[], &[format!("{home}/away")], vec![none]),
            (
                &["--location-trusted"],
                &[format!("{home}/away")],
                vec![ada],
            ),
            // The first origin gets it again.
            (&[], &[format!("{home}/back")], vec![ada]),
            // A kept connection, or a session, that has it serves the redirect no better.
            (
                &[],
                &[
                    format!("{other}/who"),
                    format!("{home}/away"),
                    format!("{other}/who"),
                ],
                vec![ada, none, ada],
            ),
        ] {
            let arguments = ["-L", http, "--cert", cert, "--key", key];
            let urls = urls.iter().map(String::as_str);
            let finished = fixture.get(
                arguments
                    .into_iter()
                    .chain(options.iter().copied())
                    .chain(urls),
            );
            assert_eq!(code(&finished), 0, "{finished}");
            assert_eq!(
                finished.out(),
                expected.concat(),
                "{http} {options:?}: {finished}"
            );
        }
    }
}

#[test]
fn nginx_over_both_versions_of_http_and_tls() {
    let fixture = Fixture::new();
    let root = fixture.path("www");
    fs::create_dir(&root).unwrap();
    let big: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.join("big"), &big).unwrap();
    let Some(server) = Nginx::launch(fixture.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};\
             root {}; location /moved {{ return 301 /big; }} location /echo {{ return 200 $request_method; }} }}",
            fixture.chain.display(),
            fixture.key.display(),
            root.display()
        )
    }) else {
        return;
    };
    let base = format!("https://{}", localhost(server.address()));
    let target = fixture.path("big");
    for tls in ["1.2", "1.3"] {
        for (http, name) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
            let _ = fs::remove_file(&target);
            let finished = fixture.get([
                OsStr::new("-vL"),
                OsStr::new("--tls-max"),
                OsStr::new(tls),
                OsStr::new(http),
                OsStr::new("-o"),
                target.as_os_str(),
                format!("{base}/moved").as_ref(),
            ]);
            assert_eq!(code(&finished), 0, "{finished}");
            assert_eq!(fs::read(&target).unwrap(), big);
            let said = finished.err();
            assert!(said.contains(&format!("< {name} 301")), "{said}");
            assert!(said.contains(&format!("handshake: TLS {tls}")), "{said}");
            assert!(said.contains("is reused"), "{said}");
            // nginx ends idle connections without close_notify, and the program says so.
            assert!(said.contains(": sent only"), "{said}");
            let posted = fixture.get(["--tls-max", tls, http, "-d", "x", &format!("{base}/echo")]);
            assert_eq!(
                (code(&posted), posted.out().as_str()),
                (0, "POST"),
                "{posted}"
            );
            let missing = fixture.get(["-f", &format!("{base}/no")]);
            assert_eq!(code(&missing), 22, "{missing}");
        }
    }
}

#[test]
fn openssl_and_gnutls_serve_pages() {
    let fixture = Fixture::new();
    let (chain, key) = (
        fixture.chain.to_str().unwrap(),
        fixture.key.to_str().unwrap(),
    );
    let openssl = OpensslServer::launch(&["-www", "-cert", chain, "-key", key]);
    let gnutls = GnutlsServer::launch(&["--http", "--x509certfile", chain, "--x509keyfile", key]);
    let pages = [
        openssl
            .as_ref()
            .map(|server| (server.address(), "s_server")),
        gnutls.as_ref().map(|server| (server.address(), "GnuTLS")),
    ];
    for (address, text) in pages.into_iter().flatten() {
        for tls in ["1.2", "1.3"] {
            let url = format!("https://{}/", localhost(address));
            let finished = fixture.get(["-v", "--tls-max", tls, &url]);
            assert_eq!(code(&finished), 0, "{finished}");
            assert!(finished.out().contains(text), "{finished}");
            assert!(
                finished.err().contains(&format!("handshake: TLS {tls}")),
                "{finished}"
            );
        }
    }
}

#[test]
fn a_session_is_taken_up_again_and_said_to_be() {
    let fixture = Fixture::new();
    let (chain, key) = (
        fixture.chain.to_str().unwrap(),
        fixture.key.to_str().unwrap(),
    );
    // Closes after every response; serves files of the directory that the tests run in.
    let Some(server) = OpensslServer::launch(&["-WWW", "-cert", chain, "-key", key]) else {
        return;
    };
    let url = format!("https://{}/Cargo.toml", localhost(server.address()));
    let file = fs::read_to_string("Cargo.toml").unwrap();
    for tls in ["1.2", "1.3"] {
        let finished = fixture.get(["-v", "--tls-max", tls, &url, &url]);
        assert_eq!(code(&finished), 0, "{finished}");
        assert_eq!(finished.out(), file.repeat(2));
        assert_eq!(finished.err().matches(", resumed").count(), 1, "{finished}");
        // A resumed session has shown no certificate, and is verified all the same.
        assert_eq!(
            finished.err().matches("verified for localhost").count(),
            2,
            "{finished}"
        );
    }
}
