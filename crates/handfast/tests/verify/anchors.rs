//! Which trusted certificates are anchors, and the limits in their own certificates.

use handfast::{
    AnchorProblemKind, CertificateDer, Purpose, ServerName, TrustAnchors, TrustProblem, UnixTime,
    VerificationPolicy, VerifyCause,
};
use handfast_testbed::draft::{self, Draft, Pair, Text};
use handfast_testbed::pki::{Basic, ExtendedKeyUsagePurpose, Fault, Issued, KeyUsagePurpose, Spec};

use crate::case::{Case, NAME, check_both, good, refused, trust};

/// `certificatePolicies`, and an unassigned identifier.
const POLICIES: &[u64] = &[2, 5, 29, 32];
const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 99999, 1];

fn own_purpose(purpose: Purpose) -> ExtendedKeyUsagePurpose {
    match purpose {
        Purpose::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
        _ => ExtendedKeyUsagePurpose::ClientAuth,
    }
}

fn other_purpose(purpose: Purpose) -> ExtendedKeyUsagePurpose {
    match purpose {
        Purpose::ServerAuth => ExtendedKeyUsagePurpose::ClientAuth,
        _ => ExtendedKeyUsagePurpose::ServerAuth,
    }
}

#[test]
fn the_limits_of_a_roots_certificate_apply_to_certificates_below_it() {
    check_both(|purpose| {
        let root = || Spec::authority("Root");
        let policies = [0x30, 6, 0x30, 4, 6, 2, 0x2a, 3];
        [
            ("the same purpose", root().extended_key_usage(&[own_purpose(purpose)]), None),
            (
                "any purpose",
                root().extended_key_usage(&[ExtendedKeyUsagePurpose::Any]),
                None,
            ),
            (
                "another purpose of TLS",
                root().extended_key_usage(&[other_purpose(purpose)]),
                refused!(at None, VerifyCause::ExtendedKeyUsage { subject, .. } if subject.contains("Root")),
            ),
            (
                "signing code",
                root().extended_key_usage(&[ExtendedKeyUsagePurpose::CodeSigning]),
                refused!(at None, VerifyCause::ExtendedKeyUsage { presented, .. }
                    if *presented == ["codeSigning"]),
            ),
            (
                "signing lists alone",
                root().key_usage(&[KeyUsagePurpose::CrlSign]),
                refused!(at None, VerifyCause::KeyUsage { subject, required: "keyCertSign", presented }
                    if subject.contains("Root") && *presented == ["cRLSign"]),
            ),
            (
                "signing certificates",
                root().key_usage(&[KeyUsagePurpose::KeyCertSign]),
                None,
            ),
            (
                "a critical extension that is not known",
                root().extension(UNKNOWN, &[5, 0], true),
                refused!(at None, VerifyCause::UnknownCriticalExtension { oid, .. }
                    if oid == "1.3.6.1.4.1.99999.1"),
            ),
            (
                "one that is not known and not critical",
                root().extension(UNKNOWN, &[5, 0], false),
                None,
            ),
            (
                "critical policies, which begin below an anchor",
                root().extension(POLICIES, &policies, true),
                None,
            ),
        ]
        .into_iter()
        .map(|(what, root, expected)| {
            let root = root.self_signed();
            let end_entity = root.issue(good(purpose));
            Case::new(purpose, what, &end_entity, &[], &[&root], expected)
        })
        .collect()
    });
}

/// Roots without basic constraints, and trusted end-entity certificates, must not be confused.
#[test]
fn a_root_without_basic_constraints_is_an_anchor_and_an_end_entity_never_is() {
    let bare = |name: &str| Spec::authority(name).key_usage(&[]).basic(Basic::Absent);
    let anchors = [
        ("version 1", Spec::authority("Old").fault(Fault::Version1)),
        ("nothing said", bare("Bare")),
        (
            "key usage alone",
            bare("Signer").key_usage(&[KeyUsagePurpose::KeyCertSign]),
        ),
        (
            "key usage and a server's name",
            bare("Signer")
                .key_usage(&[KeyUsagePurpose::KeyCertSign])
                .names(&[NAME]),
        ),
    ];
    let others = [
        ("CA:FALSE", Spec::server(&[NAME])),
        (
            "CA:FALSE with keyCertSign",
            bare("False")
                .basic(Basic::NotAuthority)
                .key_usage(&[KeyUsagePurpose::KeyCertSign]),
        ),
        ("a server's name", bare("Named").names(&[NAME])),
        ("an address", bare("Addressed").names(&["10.0.0.1"])),
        (
            "a server's purpose",
            bare("Serving").extended_key_usage(&[ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        (
            "key usage without keyCertSign",
            bare("Using").key_usage(&[KeyUsagePurpose::DigitalSignature]),
        ),
        ("no name", bare("").common_name(None)),
    ];
    let name = ServerName::parse(NAME).unwrap();
    let verdict = |root: &Issued, anchors: &TrustAnchors| {
        let chain = root.issue(Spec::server(&[NAME])).chain_with(&[]);
        VerificationPolicy::new(anchors.clone())
            .check_server_chain(&chain, &name, UnixTime::now())
            .map_err(Box::new)
    };
    for (what, spec) in anchors {
        let root = spec.self_signed();
        let anchors = trust(&[&root]);
        assert!(
            verdict(&root, &anchors).is_ok(),
            "{what}: {:?}",
            verdict(&root, &anchors)
        );
        let source = anchors.sources().remove(0);
        assert_eq!(
            (source.authorities, source.problems.len()),
            (1, 0),
            "{what}"
        );
        // A duplicate, next to another certificate, changes nothing.
        let beside = format!(
            "{}{}",
            Spec::authority("Another").self_signed().cert_pem(),
            root.cert_pem()
        );
        let twice = anchors.with_pem(beside.as_bytes()).unwrap();
        assert!(verdict(&root, &twice).is_ok(), "{what}, twice");
        assert_eq!(twice.len(), 2, "{what}, twice");
    }
    for (what, spec) in others {
        let leaf = spec.self_signed();
        let anchors = trust(&[&leaf]);
        assert!(verdict(&leaf, &anchors).is_err(), "{what}");
        assert!(anchors.is_empty(), "{what}");
        let source = anchors.sources().remove(0);
        assert_eq!((source.authorities, source.end_entities), (0, 1), "{what}");
        assert!(source.problems[0].kind.is_trusted_as_itself(), "{what}");
    }
    // A certificate that another authority issued is not a root.
    let authority = Spec::authority("Root").self_signed();
    let issued = authority.issue(bare("Issued"));
    assert!(verdict(&issued, &trust(&[&issued])).is_err());
    let old = authority.issue(Spec::authority("Old").fault(Fault::Version1));
    let refused = TrustAnchors::empty()
        .with_certificate_der(old.der)
        .unwrap_err();
    let TrustProblem::NoneUsable { problems } = refused.problem else {
        panic!("{refused}");
    };
    assert!(
        matches!(
            problems[0].kind,
            AnchorProblemKind::OldVersion {
                version: 1,
                is_root: false
            }
        ),
        "{problems:?}"
    );
}

#[test]
fn self_issued_intermediates_do_not_count_towards_an_anchors_path_length() {
    let root = Spec::authority("Root")
        .basic(Basic::AuthorityWithin(0))
        .self_signed();
    let rolled = root.issue(Spec::authority("Root"));
    let below = root.issue(Spec::authority("Below"));
    let name = ServerName::parse(NAME).unwrap();
    for (what, issuer, is_accepted) in [("self-issued", &rolled, true), ("another", &below, false)]
    {
        let chain: Vec<CertificateDer<'static>> =
            issuer.issue(Spec::server(&[NAME])).chain_with(&[issuer]);
        let verdict = VerificationPolicy::new(trust(&[&root])).check_server_chain(
            &chain,
            &name,
            UnixTime::now(),
        );
        if is_accepted {
            // webpki has its own limit here.
            let ours = !matches!(
                verdict.as_ref().map_err(|refused| &refused.cause),
                Err(VerifyCause::PathTooLong { subject, .. }) if subject.contains("Root")
            );
            assert!(ours, "{what}: {verdict:?}");
        } else {
            let refused = verdict.unwrap_err();
            assert!(
                matches!(refused.cause, VerifyCause::PathTooLong { .. }),
                "{what}: {refused:?}"
            );
        }
    }
}

/// RFC 5280, 7.1: the same name in upper case and in another string type.
#[test]
fn a_root_whose_issuer_is_spelled_differently_from_its_subject_is_a_root() {
    let key = Pair::new();
    let name = |kind, text: &str| draft::name(&[(draft::COMMON_NAME, kind, text)]);
    let subject = name(Text::Utf8, "Old Root");
    for version in [1, 3] {
        let mut root = Draft::new(subject.clone(), name(Text::Printable, "OLD  ROOT"), &key);
        root.version = version;
        let end_entity = Draft::new(name(Text::Utf8, "shop"), subject.clone(), &Pair::new())
            .extension(draft::subject_alt_names(&[draft::dns(NAME)]))
            .sign(&key);
        let anchors = TrustAnchors::empty()
            .with_certificate_der(root.sign(&key))
            .unwrap_or_else(|error| panic!("version {version}: {error:?}"));
        let name = ServerName::parse(NAME).unwrap();
        VerificationPolicy::new(anchors)
            .check_server_chain(&[end_entity], &name, UnixTime::now())
            .unwrap_or_else(|error| panic!("version {version}: {:?}", error.cause));
    }
}
