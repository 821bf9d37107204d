//! What a server demands of its clients by the name that they ask for.

#![allow(missing_docs)]

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use handfast::{
    Cause, ClientAuth, ClientContext, ClientPolicy, ClosePolicy, Error, Identity, Passphrase,
    PeerCause, Report, RevocationLists, ServerContext, TlsVersion, TrustAnchors, VerifyCause,
};
use handfast_testbed::crl::Crl;
use handfast_testbed::launch::Program;
use handfast_testbed::pki::{DAY_SECS, Issued, Pki, now_secs};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

const NAMES: [&str; 6] = [
    "open.example",
    "staff.example",
    "a.optional.example",
    "closed.optional.example",
    "other.example",
    "127.0.0.1",
];

fn identity(issued: &Issued) -> Identity {
    let (chain, key) = (issued.chain_pem(&[]), issued.key_pem());
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap()
}

fn trust(pki: &Pki) -> TrustAnchors {
    let anchors = TrustAnchors::empty();
    anchors.with_pem(pki.root.cert_pem().as_bytes()).unwrap()
}

/// Three authorities: of the server, of staff, of guests.
struct World {
    own: Pki,
    staff: Pki,
    guests: Pki,
    alice: Issued,
    mallory: Issued,
    bob: Issued,
}

impl World {
    fn new() -> Self {
        let [own, staff, guests] = [(); 3].map(|()| Pki::new());
        Self {
            alice: staff.client("alice"),
            mallory: staff.client("mallory"),
            bob: guests.client("bob"),
            own,
            staff,
            guests,
        }
    }

    /// No client is asked, but for some names.
    fn server(&self) -> ServerContext {
        let revoked = Crl::by(&self.staff.root)
            .between(now_secs() - DAY_SECS, None)
            .revoking(&self.mallory);
        let lists = RevocationLists::none().with_der(revoked.der()).unwrap();
        let staff = ClientAuth::Required(trust(&self.staff));
        let guests = ClientAuth::Optional(trust(&self.guests));
        ServerContext::builder()
            .identity(identity(&self.own.server(&NAMES)))
            .client_policy_for(
                "Staff.Example.",
                ClientPolicy::new(staff).with_revocation_lists(lists),
            )
            .client_policy_for("*.optional.example", ClientPolicy::new(guests))
            .client_policy_for(
                "closed.optional.example",
                ClientPolicy::new(ClientAuth::None),
            )
            .build()
            .unwrap()
    }

    fn client(&self, version: TlsVersion, with: Option<&Issued>) -> ClientContext {
        let builder = ClientContext::builder()
            .trust(trust(&self.own))
            .versions([version]);
        match with {
            Some(issued) => builder.identity(identity(issued)),
            None => builder,
        }
        .build()
        .unwrap()
    }
}

/// What the server says of a client, after data was exchanged.
fn meet(server: &ServerContext, client: &ClientContext, name: &str) -> Result<Arc<Report>, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.clone();
    let serving = thread::spawn(move || {
        let mut stream = server.accept(listener.accept().unwrap().0)?;
        let report = Arc::clone(stream.report());
        stream.close(ClosePolicy::Wait(Duration::from_secs(5)));
        Ok(report)
    });
    if let Ok(mut stream) = client.secure(name, TcpStream::connect(address).unwrap()) {
        let _ = std::io::Read::read(&mut stream, &mut [0]);
        stream.close(ClosePolicy::Wait(Duration::from_secs(5)));
    }
    serving.join().unwrap()
}

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Without a certificate.
    Unknown,
    Verified,
    Missing,
    UnknownIssuer,
    Revoked,
}

fn outcome(result: &Result<Arc<Report>, Error>) -> Outcome {
    match result {
        Ok(report) => match &report.peer {
            Some(_) => Outcome::Verified,
            None => {
                assert!(report.peer_chain.is_empty());
                Outcome::Unknown
            }
        },
        Err(error) => match error.cause() {
            Cause::Peer(PeerCause::ClientCertificateMissing) => Outcome::Missing,
            Cause::Peer(PeerCause::Certificate(failure)) => match failure.cause {
                VerifyCause::Revoked { .. } => Outcome::Revoked,
                _ => Outcome::UnknownIssuer,
            },
            other => panic!("{other:?}"),
        },
    }
}

#[test]
fn a_client_has_to_present_what_is_demanded_for_the_name_that_it_asks_for() {
    use Outcome::*;
    let world = World::new();
    let server = world.server();
    let (alice, mallory, bob) = (Some(&world.alice), Some(&world.mallory), Some(&world.bob));
    let table = [
        ("open.example", None, Unknown),
        // Not requested, so not sent.
        ("open.example", alice, Unknown),
        ("staff.example", None, Missing),
        ("staff.example", alice, Verified),
        ("STAFF.example", alice, Verified),
        ("staff.example", bob, UnknownIssuer),
        ("staff.example", mallory, Revoked),
        ("a.optional.example", None, Unknown),
        ("a.optional.example", bob, Verified),
        ("a.optional.example", alice, UnknownIssuer),
        ("closed.optional.example", bob, Unknown),
        ("other.example", None, Unknown),
        // An address is no name.
        ("127.0.0.1", alice, Unknown),
    ];
    for version in VERSIONS {
        for (name, with, expected) in table {
            let met = meet(&server, &world.client(version, with), name);
            assert_eq!(
                outcome(&met),
                expected,
                "{name} {version:?}, expected {expected:?}"
            );
        }
    }
}

#[test]
fn a_session_is_resumed_only_for_the_name_whose_demand_it_met() {
    let world = World::new();
    for version in VERSIONS {
        let server = world.server();
        let staff = world.client(version, Some(&world.alice));
        for expected in [false, true] {
            let report = meet(&server, &staff, "staff.example").unwrap();
            assert_eq!(report.resumed, expected, "{version:?}");
            assert_eq!(
                report.peer.as_ref().unwrap().subject(),
                "O=handfast tests, CN=alice"
            );
            // Of this name there is a session, too; it is another one.
            let report = meet(&server, &staff, "open.example").unwrap();
            assert_eq!((report.resumed, report.peer.is_none()), (expected, true));
        }
    }
}

#[test]
fn sessions_end_with_the_demand_of_any_name() {
    let world = World::new();
    for version in VERSIONS {
        let server = world.server();
        let client = world.client(version, None);
        let _ = meet(&server, &client, "open.example").unwrap();
        assert!(meet(&server, &client, "open.example").unwrap().resumed);
        // From now on, clients of this name need a certificate.
        let stricter = ServerContext::builder()
            .identity(identity(&world.own.server(&NAMES)))
            .client_policy_for(
                "open.example",
                ClientPolicy::new(ClientAuth::Required(trust(&world.staff))),
            )
            .succeeding(&server)
            .build()
            .unwrap();
        let met = meet(&stricter, &client, "open.example");
        assert_eq!(outcome(&met), Outcome::Missing);
    }
}

#[test]
fn the_demand_holds_after_a_hello_that_had_to_be_repeated() {
    let world = World::new();
    let server = ServerContext::builder()
        .identity(identity(&world.own.server(&NAMES)))
        .groups(["secp384r1"])
        .client_policy_for(
            "staff.example",
            ClientPolicy::new(ClientAuth::Required(trust(&world.staff))),
        )
        .build()
        .unwrap();
    let with = world.client(TlsVersion::Tls13, Some(&world.alice));
    assert_eq!(
        outcome(&meet(&server, &with, "staff.example")),
        Outcome::Verified
    );
    let without = world.client(TlsVersion::Tls13, None);
    assert_eq!(
        outcome(&meet(&server, &without, "staff.example")),
        Outcome::Missing
    );
    assert_eq!(
        outcome(&meet(&server, &without, "open.example")),
        Outcome::Unknown
    );
}

#[test]
fn the_demand_holds_for_a_name_with_the_dot_of_the_root() {
    let world = World::new();
    let server = world.server();
    for (name, expected) in [
        ("staff.example", Outcome::Missing),
        ("staff.example.", Outcome::Missing),
        ("closed.optional.example.", Outcome::Unknown),
        ("open.example.", Outcome::Unknown),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            // Our client, as most, sends the name without the dot.
            let Some(openssl) = Program::new("openssl") else {
                return;
            };
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let client = openssl
                .args(["s_client", "-connect", &address, "-quiet", version])
                .args(["-servername", name])
                .start();
            let met = server
                .accept(listener.accept().unwrap().0)
                .map(|stream| Arc::clone(stream.report()))
                .map_err(Error::from);
            drop(client);
            assert_eq!(outcome(&met), expected, "{name} {version}");
            if let Ok(report) = met {
                let plain = name.trim_end_matches('.');
                assert_eq!(report.server_name.as_deref(), Some(plain));
            }
        }
    }
}
