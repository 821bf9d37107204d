//! Faults of one certificate: validity, purposes, keys, signatures, encodings.

use std::time::Duration;

use handfast::{Purpose, ServerName, UnixTime, VerificationPolicy, VerifyCause};
use handfast_testbed::pki::{
    Basic, DAY_SECS, ExtendedKeyUsagePurpose, Fault, Issued, Key, KeyUsagePurpose, Pki, Spec,
    now_secs,
};

use crate::case::{Case, NAME, Refusal, check_both, good, refused, trust};

#[test]
fn validity_is_checked_for_every_certificate() {
    check_both(|purpose| {
        let pki = Pki::new();
        let middle = pki.root.issue(Spec::authority("Middle"));
        let late_middle = pki.root.issue(Spec::authority("Late").expired());
        let early_middle = pki.root.issue(Spec::authority("Early").not_yet_valid());
        let late_root = Spec::authority("Late Root").expired().self_signed();
        let early_root = Spec::authority("Early Root").not_yet_valid().self_signed();
        let now = now_secs();
        let reversed = good(purpose).valid_between(now + DAY_SECS, now - DAY_SECS);
        let late = |at: Option<usize>| match at {
            Some(0) => refused!(at Some(0), VerifyCause::Expired { .. }),
            Some(_) => {
                refused!(at Some(1), VerifyCause::Expired { subject, .. } if subject.contains("Late"))
            }
            None => {
                refused!(at None, VerifyCause::Expired { subject, .. } if subject.contains("Late Root"))
            }
        };
        let early = |at: Option<usize>| match at {
            Some(0) => refused!(at Some(0), VerifyCause::NotYetValid { .. }),
            Some(_) => {
                refused!(at Some(1), VerifyCause::NotYetValid { subject, .. } if subject.contains("Early"))
            }
            None => {
                refused!(at None, VerifyCause::NotYetValid { subject, .. } if subject.contains("Early Root"))
            }
        };
        type Row<'r> = (&'r str, &'r Issued, Spec, bool, &'r Issued, Option<Refusal>);
        let table: [Row<'_>; 9] = [
            (
                "expired end entity",
                &middle,
                good(purpose).expired(),
                true,
                &pki.root,
                late(Some(0)),
            ),
            (
                "expired intermediate",
                &late_middle,
                good(purpose),
                true,
                &pki.root,
                late(Some(1)),
            ),
            (
                "expired root",
                &late_root,
                good(purpose),
                false,
                &late_root,
                late(None),
            ),
            (
                "expired root, sent",
                &late_root,
                good(purpose),
                true,
                &late_root,
                late(None),
            ),
            (
                "end entity not yet valid",
                &middle,
                good(purpose).not_yet_valid(),
                true,
                &pki.root,
                early(Some(0)),
            ),
            (
                "intermediate not yet valid",
                &early_middle,
                good(purpose),
                true,
                &pki.root,
                early(Some(1)),
            ),
            (
                "root not yet valid",
                &early_root,
                good(purpose),
                false,
                &early_root,
                early(None),
            ),
            (
                "both expired: the end entity",
                &late_middle,
                good(purpose).expired(),
                true,
                &pki.root,
                late(Some(0)),
            ),
            (
                "ends before it begins",
                &middle,
                reversed,
                true,
                &pki.root,
                refused!(at Some(0), VerifyCause::InvalidValidity { .. }),
            ),
        ];
        table
            .into_iter()
            .map(|(what, issuer, spec, sent, root, expected)| {
                let end_entity = issuer.issue(spec);
                let issuers: &[&Issued] = if sent { &[issuer] } else { &[] };
                Case::new(purpose, what, &end_entity, issuers, &[root], expected)
            })
            .collect()
    });
}

#[test]
fn validity_includes_its_first_and_last_second() {
    let now = now_secs();
    let root = Spec::authority("Root")
        .valid_between(now - 100, now + 100)
        .self_signed();
    let end_entity = root.issue(Spec::server(&[NAME]).valid_between(now - 50, now + 50));
    let short_root = Spec::authority("Short")
        .valid_between(now - 50, now + 50)
        .self_signed();
    let outlives = short_root.issue(Spec::server(&[NAME]).valid_between(now - 100, now + 100));
    let name = ServerName::parse(NAME).unwrap();
    for (root, end_entity) in [(&root, &end_entity), (&short_root, &outlives)] {
        let policy = VerificationPolicy::new(trust(&[root]));
        let at = |seconds: u64| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let chain = [end_entity.der.clone()];
            let judged = policy.check_server_chain(&chain, &name, time);
            judged.map_err(|refused| refused.cause.id())
        };
        assert_eq!(at(now - 51).unwrap_err(), "certificate-not-yet-valid");
        assert!(at(now - 50).is_ok());
        assert!(at(now + 50).is_ok());
        assert_eq!(at(now + 51).unwrap_err(), "certificate-expired");
        assert_eq!(at(now).unwrap().not_after(), now + 50);
    }
}

#[test]
fn purposes_and_key_usages() {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    check_both(|purpose| {
        let pki = Pki::new();
        // The wrong purpose, the right one.
        let both = match purpose {
            Purpose::ServerAuth => [ClientAuth, ServerAuth],
            _ => [ServerAuth, ClientAuth],
        };
        let at_0 = refused!(at Some(0), VerifyCause::ExtendedKeyUsage { .. });
        let at_1 = refused!(at Some(1), VerifyCause::ExtendedKeyUsage { subject, .. } if subject.contains("Narrow"));
        let no_signing =
            refused!(at Some(0), VerifyCause::KeyUsage { required: "digitalSignature", .. });
        let authority = refused!(at Some(0), VerifyCause::CaUsedAsEndEntity { .. });
        let middle = pki.root.issue(Spec::authority("Middle"));
        let narrow = pki
            .root
            .issue(Spec::authority("Narrow").extended_key_usage(&both[..1]));
        let fitting = pki
            .root
            .issue(Spec::authority("Fitting").extended_key_usage(&both[1..]));
        let unreadable = Spec::authority("Unreadable").key_usage(&[]);
        let unreadable = unreadable.extension(&[2, 5, 29, 15], &[0x30, 0], true);
        let unreadable = pki.root.issue(unreadable);
        let no_cert_signing =
            refused!(at Some(1), VerifyCause::KeyUsage { required: "keyCertSign", .. });
        let agreement = [KeyUsagePurpose::KeyAgreement];
        let spec = || good(purpose);
        let table: [(&str, &Issued, Spec, Option<Refusal>); 10] = [
            (
                "other purpose",
                &middle,
                spec().extended_key_usage(&both[..1]),
                at_0,
            ),
            (
                "unrelated purpose",
                &middle,
                spec().extended_key_usage(&[CodeSigning]),
                at_0,
            ),
            (
                "both purposes",
                &middle,
                spec().extended_key_usage(&both),
                None,
            ),
            (
                "no purposes",
                &middle,
                spec().extended_key_usage(&[]).key_usage(&[]),
                None,
            ),
            ("intermediate for another purpose", &narrow, spec(), at_1),
            ("intermediate for the purpose", &fitting, spec(), None),
            (
                "a key usage that cannot be read",
                &middle,
                spec()
                    .key_usage(&[])
                    .extension(&[2, 5, 29, 15], &[0x30, 0], true),
                no_signing,
            ),
            (
                "an intermediate's key usage that cannot be read",
                &unreadable,
                spec(),
                no_cert_signing,
            ),
            (
                "a key that may not sign",
                &middle,
                spec().key_usage(&agreement),
                no_signing,
            ),
            (
                "a CA certificate as end entity",
                &middle,
                spec().basic(Basic::Authority),
                authority,
            ),
        ];
        table
            .into_iter()
            .map(|(what, issuer, spec, expected)| {
                let end_entity = issuer.issue(spec);
                Case::new(
                    purpose,
                    what,
                    &end_entity,
                    &[issuer],
                    &[&pki.root],
                    expected,
                )
            })
            .collect()
    });
}

#[test]
fn signatures_keys_and_encodings() {
    check_both(|purpose| {
        let pki = Pki::new();
        let middle = pki.root.issue(Spec::authority("Middle"));
        let unknown_oid = [1, 3, 6, 1, 4, 1, 99_999, 1];
        let strange = |spec: Spec| spec.extension(&unknown_oid, &[5, 0], true);
        let at_0: [(&str, Spec, Option<Refusal>); 12] = [
            ("P-384", good(purpose).key(Key::P384), None),
            ("Ed25519", good(purpose).key(Key::Ed25519), None),
            ("RSA", good(purpose).key(Key::Rsa2048), None),
            (
                "RSA with 1024 bits",
                good(purpose).key(Key::ShownAsRsa1024),
                refused!(at Some(0), VerifyCause::WeakKey { bits: 1024, bits_min: 2048, .. }),
            ),
            (
                "flipped bit in the signature",
                good(purpose).fault(Fault::SignatureBitFlipped),
                refused!(at Some(0), VerifyCause::BadSignature { .. }),
            ),
            (
                "SHA-1",
                good(purpose).fault(Fault::SaysSha1),
                refused!(at Some(0), VerifyCause::WeakSignature { algorithm, .. } if algorithm == "ecdsa-with-SHA1"),
            ),
            (
                "unknown signature algorithm",
                good(purpose).fault(Fault::SaysUnknownAlgorithm),
                refused!(at Some(0), VerifyCause::UnsupportedSignature { .. }),
            ),
            (
                "algorithms that disagree",
                good(purpose).fault(Fault::AlgorithmsDisagree),
                refused!(at Some(0), VerifyCause::SignatureAlgorithmMismatch { .. }),
            ),
            (
                "unknown critical extension",
                strange(good(purpose)),
                refused!(at Some(0), VerifyCause::UnknownCriticalExtension { oid, .. } if oid == "1.3.6.1.4.1.99999.1"),
            ),
            (
                "unknown extension that is not critical",
                good(purpose).extension(&unknown_oid, &[5, 0], false),
                None,
            ),
            (
                "version 1",
                good(purpose).fault(Fault::Version1),
                refused!(at Some(0), VerifyCause::UnsupportedVersion { version: 1, .. }),
            ),
            (
                "trailing byte",
                good(purpose).fault(Fault::TrailingByte),
                refused!(at Some(0), VerifyCause::Malformed { .. }),
            ),
        ];
        let mut cases: Vec<Case> = at_0
            .into_iter()
            .map(|(what, spec, expected)| {
                let end_entity = middle.issue(spec);
                Case::new(
                    purpose,
                    what,
                    &end_entity,
                    &[&middle],
                    &[&pki.root],
                    expected,
                )
            })
            .collect();
        for fault in [Fault::CutOff, Fault::Garbage] {
            let what = format!("end entity {fault:?}");
            let end_entity = middle.issue(good(purpose).fault(fault));
            let expected = refused!(at Some(0), VerifyCause::Malformed { .. });
            cases.push(Case::new(
                purpose,
                what,
                &end_entity,
                &[&middle],
                &[&pki.root],
                expected,
            ));
        }
        let authority = || Spec::authority("Spoilt");
        let at_1: [(&str, Spec, Option<Refusal>); 9] = [
            (
                "RSA with 1024 bits",
                authority().key(Key::ShownAsRsa1024),
                refused!(at Some(1), VerifyCause::WeakKey { bits: 1024, .. }),
            ),
            (
                "flipped bit",
                authority().fault(Fault::SignatureBitFlipped),
                refused!(at Some(1), VerifyCause::BadSignature { subject, .. } if subject.contains("Spoilt")),
            ),
            (
                "SHA-1",
                authority().fault(Fault::SaysSha1),
                refused!(at Some(1), VerifyCause::WeakSignature { subject, .. } if subject.contains("Spoilt")),
            ),
            (
                "unknown algorithm",
                authority().fault(Fault::SaysUnknownAlgorithm),
                refused!(at Some(1), VerifyCause::UnsupportedSignature { .. }),
            ),
            (
                "algorithms that disagree",
                authority().fault(Fault::AlgorithmsDisagree),
                refused!(at Some(1), VerifyCause::SignatureAlgorithmMismatch { .. }),
            ),
            (
                "unknown critical extension",
                strange(authority()),
                refused!(at Some(1), VerifyCause::UnknownCriticalExtension { .. }),
            ),
            (
                "cut off",
                authority().fault(Fault::CutOff),
                refused!(at Some(1), VerifyCause::Malformed { .. }),
            ),
            (
                // It cannot be recognized as the issuer.
                "garbage",
                authority().fault(Fault::Garbage),
                refused!(at Some(0), VerifyCause::UnknownIssuer { is_end_entity: true, .. }),
            ),
            (
                "trailing byte",
                authority().fault(Fault::TrailingByte),
                refused!(at Some(1), VerifyCause::Malformed { .. }),
            ),
        ];
        for (what, spec, expected) in at_1 {
            let spoilt = pki.root.issue(spec);
            let end_entity = spoilt.issue(good(purpose));
            let what = format!("intermediate: {what}");
            cases.push(Case::new(
                purpose,
                what,
                &end_entity,
                &[&spoilt],
                &[&pki.root],
                expected,
            ));
        }
        cases
    });
}
