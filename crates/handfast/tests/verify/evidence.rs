//! Evidence in results, pins, and connections without verification.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use handfast::{
    Cause, ClientAuth, ClientContext, Error, PathAnchor, PeerCause, Purpose, ServerContext,
    ServerName, UnixTime, VerificationPolicy, VerifyCause,
};
use handfast_testbed::careless::Careless;
use handfast_testbed::pki::{Fault, Issued, Pki, Spec};

use crate::case::{Case, NAME, VERSIONS, identity, in_memory, pin, refused, trust};

#[test]
fn pins_are_required_in_addition_to_everything_else() {
    let pki = Pki::new();
    let elsewhere = Pki::new();
    let middle = pki.root.issue(Spec::authority("Middle"));
    let unused = pki.root.issue(Spec::authority("Unused"));
    let end_entity = middle.issue(Spec::server(&[NAME]));
    let expired = middle.issue(Spec::server(&[NAME]).expired());
    let mismatch = refused!(at None, VerifyCause::PinMismatch { expected, presented }
        if !expected.is_empty() && presented.len() == 3);
    let case = |what: &str, end_entity: &Issued, pins: &[&Issued], expected| {
        let issuers = [&middle, &unused];
        let case = Case::new(
            Purpose::ServerAuth,
            what,
            end_entity,
            &issuers,
            &[&pki.root],
            expected,
        );
        case.policy(|policy| {
            pins.iter()
                .fold(policy, |policy, one| policy.with_pin(pin(one)))
        })
    };
    for case in [
        case("its own key", &end_entity, &[&end_entity], None),
        case("the intermediate's key", &end_entity, &[&middle], None),
        case("the root's key", &end_entity, &[&pki.root], None),
        case("one of two", &end_entity, &[&elsewhere.root, &middle], None),
        case(
            "an unrelated key",
            &end_entity,
            &[&elsewhere.root],
            mismatch,
        ),
        case(
            "a key that was sent but is on no path",
            &end_entity,
            &[&unused],
            mismatch,
        ),
        case(
            "its own key, but expired",
            &expired,
            &[&expired],
            refused!(at Some(0), VerifyCause::Expired { .. }),
        ),
    ] {
        case.check();
    }
}

/// Two authorities certify the same intermediate: the pinned path is found in any search order.
#[test]
fn of_several_paths_the_pinned_one_is_used() {
    let roots = ["One", "Other"].map(|name| Spec::authority(name).self_signed());
    let middle = roots[0].issue(Spec::authority("Middle"));
    let crossed = roots[1].cross_sign(&middle);
    let end_entity = middle.issue(Spec::server(&[NAME]));
    for root in &roots {
        Case::new(
            Purpose::ServerAuth,
            "two paths, one pinned",
            &end_entity,
            &[&middle, &crossed],
            &[&roots[0], &roots[1]],
            None,
        )
        .policy(|policy| policy.with_pin(pin(root)))
        .check();
    }
}

#[test]
fn a_verified_path_has_its_anchor() {
    let pki = Pki::new();
    let middle = pki.root.issue(Spec::authority("Middle"));
    let stray = pki.root.issue(Spec::authority("Stray"));
    let end_entity = middle.issue(Spec::server(&[NAME]));
    let chain = end_entity.chain_with(&[&stray, &middle, &pki.root]);
    let policy = VerificationPolicy::new(trust(&[&pki.root]));
    let name = ServerName::parse(NAME).unwrap();
    let path = policy
        .check_server_chain(&chain, &name, UnixTime::now())
        .unwrap();
    assert_eq!(path.chain(), end_entity.chain_with(&[&middle]));
    assert!(
        matches!(path.anchor(), PathAnchor::Authority { subject } if subject.contains("Test Root"))
    );
    let alone = VerificationPolicy::new(trust(&[&end_entity]));
    let path = alone
        .check_server_chain(&chain, &name, UnixTime::now())
        .unwrap();
    assert_eq!(path.anchor(), &PathAnchor::Itself);
    assert_eq!(path.chain(), [end_entity.der]);
    let none = policy
        .check_server_chain(&[], &name, UnixTime::now())
        .unwrap_err();
    assert_eq!(none.cause, VerifyCause::NoCertificate);
}

#[test]
fn a_missing_certificate_is_a_different_error_for_servers_and_clients() {
    let pki = Pki::new();
    let key = pki.server(&[NAME]).key_der();
    let peer = Careless::new(Vec::new(), &key);
    for (version, rustls_version) in VERSIONS {
        let client = ClientContext::builder()
            .trust(trust(&[&pki.root]))
            .versions([version])
            .build()
            .unwrap();
        let connection = client.connection(NAME).unwrap();
        let error = in_memory(connection, peer.server(rustls_version).into()).unwrap_err();
        let Cause::Peer(PeerCause::Certificate(refused)) = error.cause() else {
            panic!("{version:?}: {error:?}");
        };
        assert_eq!(refused.cause, VerifyCause::NoCertificate, "{version:?}");
        assert_eq!(refused.name.as_deref(), Some(NAME));
        let server = ServerContext::builder()
            .identity(identity(&pki.server(&[NAME])))
            .client_auth(ClientAuth::Required(trust(&[&pki.root])))
            .versions([version])
            .build()
            .unwrap();
        let connection = server.connection().unwrap();
        let error = in_memory(connection, peer.client(rustls_version).into()).unwrap_err();
        assert!(
            matches!(
                error.cause(),
                Cause::Peer(PeerCause::ClientCertificateMissing)
            ),
            "{version:?}: {error:?}"
        );
    }
}

#[test]
fn a_chain_is_refused_without_its_key() {
    let pki = Pki::new();
    let real = pki.server(&[NAME]);
    let thief = pki.server(&["mallory.example"]);
    let peer = Careless::new(vec![real.der.clone()], &thief.key_der());
    for (version, rustls_version) in VERSIONS {
        let client = ClientContext::builder().trust(trust(&[&pki.root]));
        let client = client.versions([version]).build().unwrap();
        let connection = client.connection(NAME).unwrap();
        let error = in_memory(connection, peer.server(rustls_version).into()).unwrap_err();
        assert!(
            matches!(
                error.cause(),
                Cause::Peer(PeerCause::ProtocolViolation { .. })
            ),
            "{version:?}: {error:?}"
        );
        // Even without verification of the chain, so that the fingerprint is reliable.
        let client = ClientContext::builder().danger().accept_any_certificate();
        let client = client.versions([version]).build().unwrap();
        let connection = client.connection(NAME).unwrap();
        assert!(in_memory(connection, peer.server(rustls_version).into()).is_err());
    }
}

#[test]
fn danger_accepts_any_chain_and_reports_no_verified_peer() {
    let pki = Pki::new();
    for spec in [
        Spec::server(&["other.example"]).expired(),
        Spec::server(&[NAME]).fault(Fault::Version1),
        Spec::server(&[NAME]).fault(Fault::SignatureBitFlipped),
        Spec::server(&[NAME]).extension(&[1, 3, 6, 1, 4, 1, 99_999, 1], &[5, 0], true),
    ] {
        let end_entity = pki.root.issue(spec);
        let peer_chain = vec![end_entity.der.clone()];
        let peer = Careless::new(peer_chain.clone(), &end_entity.key_der());
        for (version, rustls_version) in VERSIONS {
            let client = ClientContext::builder().danger().accept_any_certificate();
            let client = client.versions([version]).build().unwrap();
            let connection = client.connection(NAME).unwrap();
            let connection = in_memory(connection, peer.server(rustls_version).into()).unwrap();
            let report = connection.report().unwrap();
            assert!(report.peer.is_none(), "{:?}", end_entity.spec.faults);
            assert_eq!(report.peer_chain, peer_chain);
        }
    }
}

/// Also if the error is wrapped in an `io::Error`.
#[test]
fn the_error_of_a_stream_has_the_chain_as_sent() {
    let pki = Pki::new();
    let end_entity = pki.root.issue(Spec::server(&[NAME]).expired());
    let peer = Careless::new(vec![end_entity.der.clone()], &end_entity.key_der());
    let client = ClientContext::builder()
        .trust(trust(&[&pki.root]))
        .build()
        .unwrap();
    let socket = TcpStream::connect(peer.serve(&rustls::version::TLS13, 1)).unwrap();
    let failure = client.secure(NAME, socket).unwrap_err();
    let error = std::io::Error::from(failure);
    let Some(Cause::Peer(PeerCause::Certificate(refused))) =
        Error::from_io(&error).map(Error::cause)
    else {
        panic!("{error:?}");
    };
    assert_eq!(refused.chain, [end_entity.der]);
    assert_eq!(refused.name.as_deref(), Some(NAME));
    // The peer received the alert certificate_expired.
    let mut socket = TcpStream::connect(peer.serve(&rustls::version::TLS12, 1)).unwrap();
    let mut connection = client.connection(NAME).unwrap();
    let mut buffer = [0; 16 * 1024];
    let alert = loop {
        let bytes = connection.outgoing().to_vec();
        connection.sent(bytes.len());
        socket.write_all(&bytes).unwrap();
        let count = socket.read(&mut buffer).unwrap();
        connection.receive(&buffer[..count]);
        if connection.process().is_err() {
            break connection.outgoing().to_vec();
        }
    };
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 45]);
}
