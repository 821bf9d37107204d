//! A check of the caller's own, after all others: it can refuse a peer and nothing else, is asked again when a session
//! is resumed, and its refusal is told to both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use handfast::{
    Candidate, Cause, ClientAuth, ClientContext, ClientContextBuilder, Connection, Error, Identity,
    Objection, Passphrase, PeerCause, ServerContext, ServerContextBuilder, TlsVersion,
    TrustAnchors, VerifyCause,
};
use handfast_testbed::pki::{Issued, Pki, Spec};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
const ACCESS_DENIED: u8 = 49;

fn identity(issued: &Issued) -> Identity {
    let (chain, key) = (issued.cert_pem(), issued.key_pem());
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap()
}

struct Ends {
    pki: Pki,
    trust: TrustAnchors,
}

impl Ends {
    fn new() -> Self {
        let pki = Pki::new();
        let trust = TrustAnchors::empty()
            .with_certificate_der(pki.root.der.clone())
            .unwrap();
        Self { pki, trust }
    }

    fn client(&self, version: TlsVersion) -> ClientContextBuilder {
        let alice = self.pki.root.issue(Spec::client("alice"));
        ClientContext::builder()
            .trust(self.trust.clone())
            .identity(identity(&alice))
            .versions([version])
    }

    fn server(&self, version: TlsVersion) -> ServerContextBuilder {
        ServerContext::builder()
            .identity(identity(&self.pki.server(&["localhost"])))
            .client_auth(ClientAuth::Required(self.trust.clone()))
            .versions([version])
    }
}

/// Both ends as far as they come, and what each says of it.
fn meet(client: &ClientContext, server: &ServerContext) -> [(Connection, Result<(), Error>); 2] {
    let mut client = client.connection("localhost").unwrap();
    let mut server = server.connection().unwrap();
    let mut told = [Ok(()), Ok(())];
    for _ in 0..10 {
        server.receive(client.outgoing());
        client.sent(client.outgoing().len());
        if told[1].is_ok() {
            told[1] = server.process().and_then(|()| read(&mut server));
        }
        client.receive(server.outgoing());
        server.sent(server.outgoing().len());
        if told[0].is_ok() {
            told[0] = client.process().and_then(|()| read(&mut client));
        }
    }
    let [of_client, of_server] = told;
    [(client, of_client), (server, of_server)]
}

fn read(connection: &mut Connection) -> Result<(), Error> {
    match connection.is_handshaking() {
        true => Ok(()),
        false => connection.read(&mut [0; 10]).map(|_| ()),
    }
}

/// What a check says, and how often it was asked.
#[derive(Clone, Default)]
struct Check {
    refuses: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Check {
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    fn refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    fn ask(&self, peer: &Candidate<'_>) -> Result<(), Objection> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            peer.facts().unwrap().names.is_empty(),
            peer.server_name.is_none()
        );
        match self.refuses.load(Ordering::Relaxed) {
            true => Err(Objection::new("the account is closed\n")),
            false => Ok(()),
        }
    }

    fn function(&self) -> impl Fn(&Candidate<'_>) -> Result<(), Objection> + Send + Sync + 'static {
        let check = self.clone();
        move |peer| check.ask(peer)
    }
}

fn expect_refused(
    refusing: &(Connection, Result<(), Error>),
    told: &(Connection, Result<(), Error>),
) {
    let error = refusing.1.as_ref().unwrap_err();
    let Cause::Peer(PeerCause::Certificate(refused)) = error.cause() else {
        panic!("{error:?}");
    };
    let VerifyCause::RefusedByApplication { reason } = &refused.cause else {
        panic!("{refused:?}");
    };
    assert_eq!(reason, "the account is closed\\u{a}", "escaped");
    assert_eq!(error.explain().id, "refused-by-application");
    assert_eq!(refused.chain.len(), 1);
    assert_eq!(refusing.0.alert_sent().unwrap().code(), ACCESS_DENIED);
    assert_eq!(told.0.alert_received().unwrap().code(), ACCESS_DENIED);
}

#[test]
fn a_check_of_the_client_s_own_refuses_a_server_that_is_valid() {
    let ends = Ends::new();
    for version in VERSIONS {
        let (check, server) = (Check::default(), ends.server(version).build().unwrap());
        let client = ends
            .client(version)
            .also_verify(check.function())
            .build()
            .unwrap();
        let met = meet(&client, &server);
        assert!(met.iter().all(|(_, told)| told.is_ok()), "{met:?}");
        assert_eq!(check.asked(), 1);
        check.refuse();
        let fresh = ends
            .client(version)
            .also_verify(check.function())
            .build()
            .unwrap();
        let [client, server] = meet(&fresh, &server);
        expect_refused(&client, &server);
    }
}

#[test]
fn a_check_of_the_server_s_own_refuses_a_client_that_is_valid() {
    let ends = Ends::new();
    for version in VERSIONS {
        let check = Check::default();
        let server = ends
            .server(version)
            .also_verify(check.function())
            .build()
            .unwrap();
        let met = meet(&ends.client(version).build().unwrap(), &server);
        assert!(met.iter().all(|(_, told)| told.is_ok()), "{met:?}");
        assert_eq!(check.asked(), 1);
        check.refuse();
        let [client, server] = meet(&ends.client(version).build().unwrap(), &server);
        expect_refused(&server, &client);
    }
}

#[test]
fn a_session_that_is_resumed_is_asked_about_again() {
    let ends = Ends::new();
    for version in VERSIONS {
        for of_client in [true, false] {
            let check = Check::default();
            let (mut client, mut server) = (ends.client(version), ends.server(version));
            match of_client {
                true => client = client.also_verify(check.function()),
                false => server = server.also_verify(check.function()),
            }
            let (client, server) = (client.build().unwrap(), server.build().unwrap());
            for resumed in [false, true] {
                let met = meet(&client, &server);
                assert!(met.iter().all(|(_, told)| told.is_ok()), "{met:?}");
                assert_eq!(met[0].0.report().unwrap().resumed, resumed, "{version:?}");
                assert_eq!(check.asked(), 1, "{version:?} {resumed}");
            }
            check.refuse();
            let [client, server] = meet(&client, &server);
            assert!(check.asked() > 0, "{version:?}");
            match of_client {
                true => expect_refused(&client, &server),
                false => expect_refused(&server, &client),
            }
        }
    }
}

#[test]
fn a_check_cannot_accept_what_another_refuses() {
    let ends = Ends::new();
    for version in VERSIONS {
        let (check, other) = (Check::default(), Check::default());
        other.refuse();
        // A server of another authority, and one that the second check refuses.
        let stranger = Ends::new().server(version).build().unwrap();
        let builder = || ends.client(version).also_verify(check.function());
        let [(_, told), _] = meet(&builder().build().unwrap(), &stranger);
        assert!(told.is_err());
        assert_eq!(check.asked(), 0, "not asked of one that is refused already");
        let both = builder().also_verify(other.function()).build().unwrap();
        let [client, server] = meet(&both, &ends.server(version).build().unwrap());
        expect_refused(&client, &server);
        assert_eq!(check.asked(), 1);
    }
}
