//! Trust and identity of `get`: pins, client certificates, what is offered.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handfast_testbed::launch::{Finished, Nginx, OpensslServer};
use handfast_testbed::misbehaving::{Misbehaving, Step};
use handfast_testbed::pki::{Pki, Spec};

use super::code;
use crate::common::{Fixture, localhost};

#[test]
fn a_pinned_key_may_be_that_of_an_authority_where_the_path_is_verified() {
    let fixture = Fixture::new();
    let server = fixture.pki.server(&["localhost"]);
    let Some(running) = fixture.openssl(&server, &["-www"]) else {
        return;
    };
    let root = handfast::SpkiSha256::of_certificate(&fixture.pki.root.der)
        .unwrap()
        .to_string();
    let url = format!("https://{}/", localhost(running.address()));
    for (more, expected) in [(&[][..], 0), (&["-k"], 90)] {
        let run = fixture.get([&["--pin", &root, &url], more].concat());
        assert_eq!(code(&run), expected, "{run}");
    }
    let run = fixture.get(["--pinnedpubkey", &root, &url]);
    assert!(run.err().contains("pin-mismatch"), "{run}");
}

#[test]
fn the_server_gets_the_identity_that_it_accepts() {
    let fixture = Fixture::new();
    let client = fixture.files("client", &fixture.pki.client("ada"));
    let strangers = fixture.pki.root.issue(Spec::authority("Strangers"));
    let stranger = fixture.files("stranger", &strangers.issue(Spec::client("eve")));
    let Some(server) = Nginx::launch(fixture.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; server_name localhost; ssl_certificate {};\
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
    let [cert, key, other, other_key] = [
        &client.chain_pem,
        &client.key_pem,
        &stranger.chain_pem,
        &stranger.key_pem,
    ]
    .map(|path| path.display().to_string());
    for tls in ["1.2", "1.3"] {
        let several = [
            "-E", &other, "--key", &other_key, "-E", &cert, "--key", &key,
        ];
        let run = fixture.get([&several[..], &["--tls-max", tls, &url]].concat());
        assert_eq!(run.out(), "O=handfast tests,CN=ada", "{run}");
    }
    let run = fixture.get(["-E", &other, "-E", &cert, "--key", &key, &url]);
    assert_eq!(code(&run), 2, "{run}");
}

fn page(fixture: &Fixture, server: &OpensslServer, arguments: &[&str]) -> Finished {
    let url = format!("https://{}/", localhost(server.address()));
    fixture.get([arguments, &[url.as_str()]].concat())
}

#[test]
fn suites_and_groups_are_offered_by_both_names() {
    let fixture = Fixture::new();
    let identity = fixture.pki.server(&["localhost"]);
    let Some(server) = fixture.openssl(&identity, &["-www"]) else {
        return;
    };
    // The arguments, and what the page of the server then names.
    let table: &[(&[&str], &str)] = &[
        (
            &[
                "--tls-max",
                "1.2",
                "--ciphers",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
            ],
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            &[
                "--tls-max",
                "1.2",
                "--ciphers",
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            ],
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
        (
            &[
                "--tls-max",
                "1.2",
                "--ciphers",
                "HIGH:AES128-SHA:ecdhe-ecdsa-aes128-gcm-sha256",
            ],
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            &["--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"],
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
        // A choice for one version leaves the other as it is.
        (
            &["--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"],
            "New, TLSv1.3",
        ),
        (
            &[
                "--tls13-ciphers",
                "TLS_AES_128_GCM_SHA256",
                "--tls-max",
                "1.2",
            ],
            "New, TLSv1.2",
        ),
        (&["--curves", "P-384"], "Shared groups: secp384r1"),
        (
            &["--curves", "prime256v1:x25519"],
            "Shared groups: secp256r1:X25519",
        ),
        (&["--tlsv1.0"], "TLSv1.3"),
        (&["-1", "--tls-max", "default"], "TLSv1.3"),
        (&["--ech", "grease"], "TLSv1.3"),
    ];
    for (arguments, expected) in table {
        let run = page(&fixture, &server, arguments);
        assert_eq!(code(&run), 0, "{arguments:?}: {run}");
        let out = run
            .out()
            .replace("prime256v1", "secp256r1")
            .replace("x25519", "X25519");
        assert!(out.contains(expected), "{arguments:?}: {run}");
    }
    let run = page(&fixture, &server, table[2].0);
    assert!(run.err().contains("left out: HIGH, AES128-SHA"), "{run}");
    for arguments in [
        &["--ciphers", "AES128-SHA"][..],
        &["--ciphers", "TLS_AES_128_GCM_SHA256"],
        &["--tls13-ciphers", ""],
    ] {
        let run = page(&fixture, &server, arguments);
        assert_eq!(code(&run), 59, "{arguments:?}: {run}");
        assert!(run.err().contains("supported: "), "{run}");
    }
    for arguments in [
        &["--tls-max", "1.1"][..],
        &["--ech", "true"],
        &["--ech", "ecl:?"],
        &["--cert-type", "ENG"],
    ] {
        let run = page(&fixture, &server, arguments);
        assert_eq!(code(&run), 2, "{arguments:?}: {run}");
    }
}

#[test]
fn without_verification_what_it_would_have_said_is_told() {
    let fixture = Fixture::new();
    let stranger = Pki::new();
    for (identity, told) in [
        (stranger.server(&["localhost"]), Some("[unknown-issuer]")),
        (
            fixture.pki.server(&["other.example"]),
            Some("[name-mismatch]"),
        ),
        (fixture.pki.server(&["localhost"]), None),
    ] {
        let Some(server) = fixture.openssl(&identity, &["-www"]) else {
            return;
        };
        let run = page(&fixture, &server, &["-k", "-o", "/dev/null"]);
        assert_eq!(code(&run), 0, "{run}");
        let said = run.err();
        assert!(said.contains("NOT verified"), "{run}");
        match told {
            Some(id) => assert!(said.contains(id), "{id}: {run}"),
            None => assert!(!said.contains("would have"), "{run}"),
        }
        let silent = page(&fixture, &server, &["-s", "-k", "-o", "/dev/null"]);
        assert!(!silent.err().contains("would have"), "{silent}");
        let target = localhost(server.address());
        let session = fixture.run("connect", ["-k", "--no-probe", &target]);
        assert_eq!(
            session.err().contains("verification would have failed"),
            told.is_some(),
            "{session}"
        );
    }
}

/// An ECHConfigList (RFC 9849, section 4) with a key of X25519, for a server with this public name.
fn ech_configs(public_name: &str) -> Vec<u8> {
    fn with_length(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], bytes].concat()
    }
    let mut contents = vec![7, 0, 0x20];
    // Any number is a public key of X25519.
    contents.extend(with_length(&[9; 32]));
    contents.extend(with_length(&[0, 1, 0, 1]));
    contents.extend([0, u8::try_from(public_name.len()).unwrap()]);
    contents.extend(public_name.as_bytes());
    contents.extend(with_length(&[]));
    with_length(&[&[0xfe, 0x0d][..], &with_length(&contents)].concat())
}

/// What a server does with each client that has sent something.
#[derive(Debug, Clone, Copy)]
enum Refuses {
    /// With the alert `handshake_failure`.
    ByAlert,
    ByClosing,
    /// Passes it on to this server.
    As(SocketAddr),
}

/// Listens, and keeps every byte that any client sends.
fn recording(refuses: Refuses) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&sent);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let _ = serve(client, refuses, |bytes| {
                    kept.lock().unwrap().extend_from_slice(bytes);
                });
            });
        }
    });
    (address, sent)
}

fn serve(mut client: TcpStream, refuses: Refuses, mut keep: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut server = match refuses {
        Refuses::As(address) => Some(TcpStream::connect(address)?),
        _ => None,
    };
    if let Some(server) = &server {
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        keep(&buffer[..count]);
        match (&refuses, &mut server) {
            (Refuses::ByAlert, _) => return client.write_all(&[21, 3, 3, 0, 2, 2, 40]),
            (Refuses::As(_), Some(server)) => server.write_all(&buffer[..count])?,
            _ => return Ok(()),
        }
    }
    match server {
        Some(server) => server.shutdown(Shutdown::Write),
        None => Ok(()),
    }
}

#[test]
fn no_connection_shows_the_name_that_an_encrypted_hello_hides() {
    let fixture = Fixture::new();
    let configs = BASE64_STANDARD.encode(ech_configs("public.example"));
    let expired = Spec::server(&["public.example"]).expired();
    let expired = fixture.pki.root.issue(expired);
    let expired = Misbehaving::new(&expired, &[]).serve([Step::ReadToEnd]);
    for refuses in [
        Refuses::ByAlert,
        Refuses::ByClosing,
        // The client asks a server whose certificate has expired for its clock.
        Refuses::As(expired.address()),
    ] {
        let run = |name: &str, more: &[&str]| {
            let (address, sent) = recording(refuses);
            let port = address.port();
            let resolve = format!("{name}:{port}:127.0.0.1");
            let url = format!("https://{name}:{port}/");
            let finished = fixture.get([&["--resolve", &resolve, &url], more].concat());
            assert_ne!(code(&finished), 0, "{refuses:?}: {finished}");
            let sent = sent.lock().unwrap().clone();
            String::from_utf8_lossy(&sent).into_owned()
        };
        let sent = run("secret.example", &["--ech", &format!("ecl:{configs}")]);
        assert!(sent.contains("public.example"), "{refuses:?}");
        assert!(!sent.contains("secret.example"), "{refuses:?}");
        // Without, further connections find out what the server would have taken.
        let sent = run("public.example", &[]);
        let hellos = sent.matches("public.example").count();
        assert!(hellos > 1, "{refuses:?}: {hellos}");
    }
}
