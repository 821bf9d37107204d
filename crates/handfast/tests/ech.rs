//! Encrypted Client Hello (RFC 9849) of a client: what the wire shows, and what becomes of it at servers that have none.

use std::net::TcpStream;

use handfast::{
    Candidate, Cause, ClientContext, ClientContextBuilder, Connection, EchConfigs, Identity,
    Objection, Passphrase, PeerCause, ServerContext, ServerName, SpkiSha256, TlsVersion,
    TrustAnchors, VerifyCause,
};
use handfast_testbed::launch::{GnutlsServer, OpensslServer};
use handfast_testbed::pki::Pki;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
use rustls::crypto::hpke::Hpke as _;

const PUBLIC: &str = "public.example";
const SECRET: &str = "secret.example";
const ECH_EXTENSION: [u8; 2] = [0xfe, 0x0d];
const ECH_REQUIRED: u8 = 121;

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

/// A configuration with this identifier for a key that is not kept (RFC 9849, section 4).
fn configuration(kem: u16) -> Vec<u8> {
    let (key, _) = DH_KEM_X25519_HKDF_SHA256_AES_128
        .generate_key_pair()
        .unwrap();
    let suites = [0, 1, 0, 1]; // HKDF-SHA256, AES-128-GCM
    let contents = [
        &[7][..], // its identifier
        &kem.to_be_bytes(),
        &with_length(&key.0),
        &with_length(&suites),
        &[0], // no maximum of the name's length
        &[PUBLIC.len() as u8],
        PUBLIC.as_bytes(),
        &with_length(&[]),
    ]
    .concat();
    [&ECH_EXTENSION[..], &with_length(&contents)].concat()
}

fn configurations() -> EchConfigs {
    EchConfigs::from_bytes(with_length(&configuration(0x20)))
}

struct Office {
    pki: Pki,
    directory: tempfile::TempDir,
}

impl Office {
    fn new() -> Self {
        Self {
            pki: Pki::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn client(&self) -> ClientContextBuilder {
        let trust = TrustAnchors::empty()
            .with_certificate_der(self.pki.root.der.clone())
            .unwrap();
        ClientContext::builder().trust(trust)
    }

    fn server(&self, names: &[&str]) -> ServerContext {
        let issued = self.pki.server(names);
        let (chain, key) = (issued.cert_pem(), issued.key_pem());
        let identity =
            Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
        ServerContext::builder().identity(identity).build().unwrap()
    }
}

fn shows(hello: &[u8], text: &[u8]) -> bool {
    hello.windows(text.len()).any(|window| window == text)
}

fn exchange(client: &mut Connection, server: &mut Connection) -> Result<(), handfast::Error> {
    for _ in 0..4 {
        server.receive(client.outgoing());
        client.sent(client.outgoing().len());
        let _ = server.process();
        client.receive(server.outgoing());
        server.sent(server.outgoing().len());
        client.process()?;
    }
    Ok(())
}

#[test]
fn the_wire_shows_the_public_name_and_not_the_one_that_is_asked_for() {
    let office = Office::new();
    let builder = office.client().encrypted_client_hello(configurations());
    let connection = builder.build().unwrap().connection(SECRET).unwrap();
    let hello = connection.outgoing();
    assert!(shows(hello, PUBLIC.as_bytes()) && shows(hello, &ECH_EXTENSION));
    assert!(!shows(hello, b"secret"));
    // GREASE hides nothing, and looks like the same.
    let connection = office.client().ech_grease().build().unwrap();
    let connection = connection.connection(SECRET).unwrap();
    let hello = connection.outgoing();
    assert!(shows(hello, SECRET.as_bytes()) && shows(hello, &ECH_EXTENSION));
}

#[test]
fn a_server_without_it_is_refused_after_it_proved_to_be_that_of_the_public_name() {
    let office = Office::new();
    let builder = office.client().encrypted_client_hello(configurations());
    let client = builder.build().unwrap();
    let mut ours = client.connection(SECRET).unwrap();
    let mut server = office.server(&[PUBLIC]).connection().unwrap();
    let error = exchange(&mut ours, &mut server).unwrap_err();
    assert!(
        matches!(
            error.cause(),
            Cause::Peer(PeerCause::EchRejected {
                retry_configs: None
            })
        ),
        "{error:?}"
    );
    assert_eq!(error.explain().id, "ech-rejected");
    assert_eq!(ours.alert_sent().unwrap().code(), ECH_REQUIRED);
    server.receive(ours.outgoing());
    let _ = server.process();
    assert_eq!(server.alert_received().unwrap().code(), ECH_REQUIRED);

    // That the name in the certificate is to be another than the one asked for is about the server behind.
    let builder = office.client().encrypted_client_hello(configurations());
    let expected = ServerName::parse("inner.example").unwrap();
    let other = builder.expected_name(expected).build().unwrap();
    let mut ours = other.connection(SECRET).unwrap();
    let mut server = office.server(&[PUBLIC]).connection().unwrap();
    let error = exchange(&mut ours, &mut server).unwrap_err();
    assert_eq!(error.explain().id, "ech-rejected");

    // So are pinned keys, and the caller's own check.
    let pin = SpkiSha256::from_bytes([7; 32]);
    let builders = [
        office.client().pin(pin),
        office.client().also_verify(|candidate: &Candidate<'_>| {
            let name = candidate.server_name.unwrap().as_str();
            Err(Objection::new(format!("asked about {name}")))
        }),
    ];
    for builder in builders {
        let client = builder.encrypted_client_hello(configurations()).build();
        let mut ours = client.unwrap().connection(SECRET).unwrap();
        let mut server = office.server(&[PUBLIC]).connection().unwrap();
        let error = exchange(&mut ours, &mut server).unwrap_err();
        assert_eq!(error.explain().id, "ech-rejected");
    }

    // Anybody else learns nothing, and has nothing to say of configurations.
    for names in [&[SECRET][..], &["other.example"]] {
        let mut ours = client.connection(SECRET).unwrap();
        let mut server = office.server(names).connection().unwrap();
        let error = exchange(&mut ours, &mut server).unwrap_err();
        let Cause::Peer(PeerCause::Certificate(refused)) = error.cause() else {
            panic!("{error:?}");
        };
        let VerifyCause::NameMismatch { expected, .. } = &refused.cause else {
            panic!("{refused:?}");
        };
        assert_eq!(expected, PUBLIC);
    }
}

#[test]
fn what_cannot_be_offered_is_refused_when_the_context_is_built() {
    let office = Office::new();
    let unknown_kem = with_length(&configuration(0x1234));
    let cut = with_length(&configuration(0x20)[..40]);
    for list in [Vec::new(), vec![0, 0], vec![1, 2, 3], unknown_kem, cut] {
        let configs = EchConfigs::from_bytes(list);
        let error = office.client().encrypted_client_hello(configs).build();
        assert_eq!(error.unwrap_err().explain().id, "nothing-left-to-negotiate");
    }
    let old = office.client().versions([TlsVersion::Tls12]);
    let error = old.encrypted_client_hello(configurations()).build();
    assert_eq!(error.unwrap_err().explain().id, "nothing-left-to-negotiate");
}

#[test]
fn openssl_and_gnutls_ignore_grease_and_cannot_decrypt_an_offer() {
    let office = Office::new();
    let issued = office.pki.server(&[PUBLIC, SECRET]);
    let files = issued.write(office.directory.path(), "server", &[]);
    let (chain, key) = (files.chain_pem.as_os_str(), files.key_pem.as_os_str());
    let os = std::ffi::OsStr::new;
    let openssl = OpensslServer::launch(&[os("-cert"), chain, os("-key"), key]);
    let Some(openssl) = openssl else { return };
    let arguments = [
        os("--echo"),
        os("--x509certfile"),
        chain,
        os("--x509keyfile"),
        key,
    ];
    let Some(gnutls) = GnutlsServer::launch(&arguments) else {
        return;
    };
    for address in [openssl.address(), gnutls.address()] {
        let client = office.client().ech_grease().build().unwrap();
        let socket = TcpStream::connect(address).unwrap();
        let stream = client.secure(SECRET, socket).unwrap();
        assert_eq!(stream.report().version, TlsVersion::Tls13);
        assert!(!stream.report().encrypted_client_hello);
        drop(stream); // they talk to one at a time
        let client = office.client().encrypted_client_hello(configurations());
        let socket = TcpStream::connect(address).unwrap();
        let failure = client.build().unwrap().secure(SECRET, socket).unwrap_err();
        assert_eq!(failure.error.explain().id, "ech-rejected");
    }
}
