//! A server's identities: by name, by what the client can verify, exchanged while it runs, with keys that are elsewhere.

#![allow(missing_docs)]

use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::{
    Mutex,
    mpsc::{Receiver, channel},
};
use std::thread;
use std::time::Duration;

use handfast::{
    Alert, Cause, ClientContext, ClientContextBuilder, ClosePolicy, Error, HandshakeFailure,
    Identities, Identity, IdentityProblem, KeyKind, LocalCause, Passphrase, PeerCause, RemoteKey,
    Report, ServerContext, SignatureScheme, StapleProblem, TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::{Issued, Key, Pki, Spec};
use pki_types::SubjectPublicKeyInfoDer;
use pki_types::pem::PemObject as _;

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

fn identity(issued: &Issued) -> Identity {
    let (chain, key) = (issued.chain_pem(&[]), issued.key_pem());
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap()
}

fn client(pki: &Pki) -> ClientContextBuilder {
    let anchors = TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap();
    ClientContext::builder().trust(anchors)
}

/// What a handshake comes to, on either side.
struct Met {
    client: Result<Arc<Report>, Error>,
    server: Result<Arc<Report>, HandshakeFailure<TcpStream>>,
}

impl Met {
    /// The end-entity certificate that the server showed.
    fn shown(&self) -> &[u8] {
        &self.client.as_ref().unwrap().peer_chain[0]
    }
}

fn meet(server: &ServerContext, client: &ClientContext, name: &str) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.clone();
    let serving = thread::spawn(move || {
        let mut stream = server.accept(listener.accept().unwrap().0)?;
        let report = Arc::clone(stream.report());
        stream.close(ClosePolicy::Wait(Duration::from_secs(5)));
        Ok(report)
    });
    let client = client
        .secure(name, TcpStream::connect(address).unwrap())
        .map(|mut stream| {
            let report = Arc::clone(stream.report());
            stream.close(ClosePolicy::Wait(Duration::from_secs(5)));
            report
        })
        .map_err(Error::from);
    Met {
        client,
        server: serving.join().unwrap(),
    }
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let pki = Pki::new();
    let [a, b, wild] = [
        &["a.example", "www.a.example"][..],
        &["b.example"],
        &["*.c.example"],
    ]
    .map(|names| pki.server(names));
    let identities = Identities::new();
    assert_eq!(identities.add(identity(&a)), 2);
    identities.add(identity(&b));
    identities.add(identity(&wild));
    assert_eq!(
        identities.names(),
        ["*.c.example", "a.example", "b.example", "www.a.example"]
    );
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    for version in VERSIONS {
        let client = client(&pki)
            .versions([version])
            .resumption(false)
            .build()
            .unwrap();
        for (name, issued) in [
            ("a.example", &a),
            ("WWW.A.example", &a),
            ("b.example", &b),
            ("one.c.example", &wild),
        ] {
            let met = meet(&server, &client, name);
            assert_eq!(met.shown(), &issued.der[..], "{name}");
        }
    }
}

#[test]
fn a_name_that_no_identity_is_for_is_refused_by_its_alert() {
    let pki = Pki::new();
    let identities = Identities::new();
    identities.add(identity(&pki.server(&["a.example"])));
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    for version in VERSIONS {
        let client = client(&pki).versions([version]).build().unwrap();
        // An address is not sent as a name.
        for name in ["b.example", "example", "x.a.example", "127.0.0.1"] {
            let met = meet(&server, &client, name);
            let told = met.client.unwrap_err();
            assert!(
                matches!(told.cause(), Cause::Peer(PeerCause::NameUnrecognised)),
                "{name}: {told:?}"
            );
            let failure = met.server.unwrap_err();
            assert_eq!(
                failure.alert_sent().map(Alert::name),
                Some("unrecognized_name")
            );
            let told = failure.error.explain();
            assert_eq!(told.id, "name-unrecognised", "{told}");
            let named = name.ends_with("example");
            assert_eq!(told.what.ends_with(name), named, "{told}");
        }
    }
}

#[test]
fn other_server_names_get_the_default_identity() {
    let pki = Pki::new();
    let (a, other) = (
        pki.server(&["a.example"]),
        pki.server(&["other.example", "127.0.0.1"]),
    );
    let identities = Identities::new();
    identities.add(identity(&a));
    let server = ServerContext::builder()
        .identities(&identities)
        .identity(identity(&other));
    let server = server.build().unwrap();
    let client = client(&pki).build().unwrap();
    for (name, issued) in [
        ("a.example", &a),
        ("other.example", &other),
        ("127.0.0.1", &other),
    ] {
        assert_eq!(
            meet(&server, &client, name).shown(),
            &issued.der[..],
            "{name}"
        );
    }
}

#[test]
fn a_client_gets_a_certificate_that_it_can_verify() {
    let pki = Pki::new();
    let of = |key| {
        let mut spec = Spec::server(&["a.example"]);
        spec.key = key;
        pki.root.issue(spec)
    };
    let (rsa, ecdsa) = (of(Key::Rsa2048), of(Key::P256));
    let identities = Identities::new();
    identities.add(identity(&rsa));
    identities.add(identity(&ecdsa));
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    for version in VERSIONS {
        let builder = || {
            ClientContext::builder()
                .versions([version])
                .resumption(false)
        };
        for (kind, issued) in [(KeyKind::Rsa, &rsa), (KeyKind::Ecdsa, &ecdsa)] {
            let picky = builder().danger().accept_any_certificate_for(kind);
            let met = meet(&server, &picky.build().unwrap(), "a.example");
            assert_eq!(met.shown(), &issued.der[..], "{version:?} {kind:?}");
        }
        let either = client(&pki)
            .versions([version])
            .resumption(false)
            .build()
            .unwrap();
        let met = meet(&server, &either, "a.example");
        assert_eq!(met.shown(), &ecdsa.der[..], "what costs less comes first");
        // None fits: that is told, and not that the name is unknown.
        let neither = builder()
            .danger()
            .accept_any_certificate_for(KeyKind::Ed25519);
        let met = meet(&server, &neither.build().unwrap(), "a.example");
        let failure = met.server.unwrap_err();
        assert!(
            matches!(
                failure.error.cause(),
                Cause::Peer(PeerCause::NothingInCommon { .. })
            ),
            "{:?}",
            failure.error
        );
    }
}

#[test]
fn an_identity_is_exchanged_while_others_stay() {
    let pki = Pki::new();
    let (before, after, b) = (
        pki.server(&["a.example"]),
        pki.server(&["a.example"]),
        pki.server(&["b.example"]),
    );
    let identities = Identities::new();
    identities.add(identity(&before));
    identities.add(identity(&b));
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    let client = client(&pki).resumption(false).build().unwrap();
    assert_eq!(meet(&server, &client, "a.example").shown(), &before.der[..]);
    identities.add(identity(&after));
    assert_eq!(meet(&server, &client, "a.example").shown(), &after.der[..]);
    assert_eq!(meet(&server, &client, "b.example").shown(), &b.der[..]);
    assert!(identities.remove("A.example") && !identities.remove("a.example"));
    assert!(meet(&server, &client, "a.example").client.is_err());
}

#[test]
fn a_removed_name_is_refused_to_sessions_too() {
    let pki = Pki::new();
    let identities = Identities::new();
    identities.add(identity(&pki.server(&["a.example"])));
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    for version in VERSIONS {
        let client = client(&pki).versions([version]).build().unwrap();
        identities.add(identity(&pki.server(&["a.example"])));
        assert!(meet(&server, &client, "a.example").client.is_ok());
        assert!(meet(&server, &client, "a.example").client.unwrap().resumed);
        identities.remove("a.example");
        assert!(meet(&server, &client, "a.example").client.is_err());
    }
}

#[test]
fn each_identity_has_its_own_staple() {
    let pki = Pki::new();
    let (a, b) = (pki.server(&["a.example"]), pki.server(&["b.example"]));
    let identities = Identities::new();
    identities.add(identity(&a).with_ocsp_response(*b"no response"));
    identities.add(identity(&b));
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    let client = client(&pki).build().unwrap();
    let met = meet(&server, &client, "a.example");
    let staple = &met.client.as_ref().unwrap().staple;
    assert!(matches!(staple, Some(Err(_))), "{staple:?}");
    let met = meet(&server, &client, "b.example");
    let staple: &Option<Result<_, StapleProblem>> = &met.client.as_ref().unwrap().staple;
    assert!(staple.is_none());
}

#[test]
fn a_context_without_any_identity_is_not_built() {
    let error = ServerContext::builder().build().unwrap_err();
    assert_eq!(error.explain().id, "identity-missing");
}

fn public_key(issued: &Issued) -> Vec<u8> {
    let pem = issued.key().public_key_pem();
    SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

type Sign = Box<dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync>;

/// A key that signs elsewhere.
struct Agent {
    public_key: Vec<u8>,
    sign: Sign,
}

impl Agent {
    fn identity(
        issued: &Issued,
        sign: impl Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Identity {
        let agent = Self {
            public_key: public_key(issued),
            sign: Box::new(sign),
        };
        Identity::with_remote_key(issued.cert_pem().as_bytes(), Arc::new(agent)).unwrap()
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Agent")
    }
}

impl RemoteKey for Agent {
    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &[SignatureScheme::EcdsaP256Sha256]
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> io::Result<Vec<u8>> {
        assert_eq!(scheme, SignatureScheme::EcdsaP256Sha256);
        (self.sign)(message)
    }
}

#[test]
fn a_key_that_is_elsewhere_signs_on_either_side() {
    let pki = Pki::new();
    for version in VERSIONS {
        let (server, alice) = (pki.server(&["a.example"]), pki.client("alice"));
        let remote = |issued: Issued| {
            let issued = Arc::new(issued);
            let signer = Arc::clone(&issued);
            Agent::identity(&issued, move |message| Ok(signer.sign(message)))
        };
        let anchors = TrustAnchors::empty().with_pem(pki.root.cert_pem().as_bytes());
        let server = ServerContext::builder()
            .identity(remote(server))
            .client_auth(handfast::ClientAuth::Required(anchors.unwrap()))
            .build()
            .unwrap();
        let client = client(&pki)
            .versions([version])
            .identity(remote(alice))
            .build()
            .unwrap();
        let met = meet(&server, &client, "a.example");
        assert!(met.client.is_ok(), "{:?}", met.client);
        let report = met.server.unwrap();
        assert!(report.peer.as_ref().unwrap().subject().contains("alice"));
    }
}

#[test]
fn a_key_that_does_not_sign_is_told_by_its_reason() {
    let pki = Pki::new();
    let own = pki.server(&["a.example"]);
    let identity = Agent::identity(&own, |_| Err(io::Error::other("the token was taken out")));
    let server = ServerContext::builder().identity(identity).build().unwrap();
    for version in VERSIONS {
        let client = client(&pki).versions([version]).build().unwrap();
        let met = meet(&server, &client, "a.example");
        let failure = met.server.unwrap_err();
        assert_eq!(
            failure.alert_sent().map(Alert::name),
            Some("internal_error")
        );
        assert!(
            matches!(
                failure.error.cause(),
                Cause::Local(LocalCause::SigningFailed(_))
            ),
            "{:?}",
            failure.error
        );
        let told = failure.error.explain();
        assert_eq!(told.id, "signing-failed");
        assert!(
            told.to_string().contains("the token was taken out"),
            "{told}"
        );
        assert!(met.client.is_err());
    }
}

#[test]
fn a_remote_key_of_another_certificate_is_found_out_at_once() {
    let pki = Pki::new();
    let (own, other) = (pki.server(&["a.example"]), pki.server(&["a.example"]));
    let agent = Agent {
        public_key: public_key(&other),
        sign: Box::new(|_| unreachable!()),
    };
    let error = Identity::with_remote_key(own.cert_pem().as_bytes(), Arc::new(agent)).unwrap_err();
    assert!(matches!(error.problem, IdentityProblem::KeyMismatch { .. }));
}

/// The runtime has one thread: if it waited for the signature, nothing could permit it.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_runtime_goes_on_while_a_key_signs_elsewhere() {
    let pki = Pki::new();
    let own = Arc::new(pki.server(&["a.example"]));
    let (leave, wait): (_, Receiver<()>) = channel();
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let (signer, wait) = (Arc::clone(&own), Mutex::new(wait));
    let identity = Agent::identity(&own, move |message| {
        asked.send(()).map_err(io::Error::other)?;
        let leave = wait.lock().unwrap().recv_timeout(Duration::from_secs(20));
        leave.map_err(io::Error::other)?;
        Ok(signer.sign(message))
    });
    let identities = Identities::new();
    identities.add(identity);
    let server = ServerContext::builder()
        .identities(&identities)
        .build()
        .unwrap();
    let client = client(&pki).build().unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let allow = async {
        is_asked.recv().await.unwrap();
        leave.send(()).unwrap();
    };
    let (secured, accepted, ()) = tokio::join!(
        client.secure_async("a.example", near),
        server.accept_async(far),
        allow
    );
    assert_eq!(secured.unwrap().report().peer_chain[0], own.der);
    accepted.unwrap();

    // Given up while the key is waited for: there is no connection to be told of.
    let (near, far) = tokio::io::duplex(16 * 1024);
    let securing =
        tokio::spawn(async move { client.secure_async("a.example", near).await.is_ok() });
    let mut handshake = server.handshake_async(far).unwrap();
    tokio::select! {
        _ = &mut handshake => unreachable!("it waits for its signature"),
        _ = is_asked.recv() => {}
    }
    let reason = Error::new(handfast::Phase::Handshake, LocalCause::Stopping);
    let failure = handshake.give_up(reason).unwrap();
    assert_eq!(failure.bytes_received(), 0);
    drop((failure, leave));
    assert!(!securing.await.unwrap());
}

/// A server that wants a certificate of one of these authorities, and what it gets to see.
fn seen_by(authorities: &[&Issued], pki: &Pki, client: &ClientContext) -> Option<Vec<u8>> {
    let anchors = authorities
        .iter()
        .fold(TrustAnchors::empty(), |anchors, one| {
            anchors.with_pem(one.cert_pem().as_bytes()).unwrap()
        });
    let server = ServerContext::builder()
        .identity(identity(&pki.server(&["localhost"])))
        .client_auth(handfast::ClientAuth::Required(anchors))
        .build()
        .unwrap();
    let met = meet(&server, client, "localhost");
    let report = met.server.ok()?;
    report.peer_chain.first().map(|der| der.to_vec())
}

#[test]
fn a_client_of_several_identities_shows_the_first_that_the_server_accepts() {
    let pki = Pki::new();
    let [one, other, third] =
        ["One", "Other", "Third"].map(|name| pki.root.issue(Spec::authority(name)));
    let [ada, bob] = [&one, &other].map(|authority| authority.issue(Spec::client("me")));
    let both = [identity(&ada), identity(&bob)];
    for version in VERSIONS {
        let context = client(&pki)
            .versions([version])
            .identities(both.clone())
            .build()
            .unwrap();
        let shown = |authorities: &[&Issued]| seen_by(authorities, &pki, &context);
        assert_eq!(shown(&[&one]).as_deref(), Some(&ada.der[..]));
        assert_eq!(shown(&[&other]).as_deref(), Some(&bob.der[..]));
        assert_eq!(shown(&[&other, &one]).as_deref(), Some(&ada.der[..]));
        // None is from there: the server refuses the first.
        assert_eq!(shown(&[&third]), None);
    }
}

#[test]
fn pins_hold_for_servers_that_are_not_verified_and_are_their_own_keys() {
    let pki = Pki::new();
    let own = pki.server(&["localhost"]);
    let server = ServerContext::builder()
        .identity(identity(&own))
        .build()
        .unwrap();
    let pin = |issued: &Issued| handfast::SpkiSha256::of_certificate(&issued.der).unwrap();
    let (own, root) = (pin(&own), pin(&pki.root));
    let id = |context: ClientContextBuilder| {
        let met = meet(&server, &context.build().unwrap(), "localhost");
        met.client.err().map(|error| error.explain().id)
    };
    let blind = |context: ClientContextBuilder| context.danger().accept_any_certificate();
    assert_eq!(id(client(&pki).pin(root)), None);
    assert_eq!(id(client(&pki).own_key_pin(own)), None);
    assert_eq!(id(client(&pki).own_key_pin(root)), Some("pin-mismatch"));
    assert_eq!(id(client(&pki).own_key_pin(root).own_key_pin(own)), None);
    assert_eq!(id(blind(client(&pki).pin(own))), None);
    assert_eq!(id(blind(client(&pki).own_key_pin(own))), None);
    assert_eq!(id(blind(client(&pki).pin(root))), Some("pin-mismatch"));
    assert_eq!(
        id(blind(client(&pki).own_key_pin(root))),
        Some("pin-mismatch")
    );
}

#[test]
fn the_verdict_on_a_server_that_is_not_verified_is_in_the_report() {
    let (pki, other) = (Pki::new(), Pki::new());
    let own = ServerContext::builder()
        .identity(identity(&pki.server(&["localhost"])))
        .build()
        .unwrap();
    for (anchors, name, expected) in [
        (&pki, "localhost", None),
        (&pki, "other.example", Some("name-mismatch")),
        (&other, "localhost", Some("unknown-issuer")),
    ] {
        let builder = client(anchors).danger().accept_any_certificate_but_judge();
        let met = meet(&own, &builder.build().unwrap(), name);
        let report = met.client.unwrap();
        let objection = report
            .objection
            .as_ref()
            .map(|objection| objection.cause.id());
        assert_eq!(objection, expected);
        assert!(report.peer.is_none());
    }
}
