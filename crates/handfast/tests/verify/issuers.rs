//! Issuers: end entities that issue, trusted end-entity certificates, missing issuers, several paths, depth.

use std::time::Duration;

use handfast::{Purpose, ServerName, TrustAnchors, UnixTime, VerificationPolicy, VerifyCause};
use handfast_testbed::pki::{Basic, Fault, Issued, KeyUsagePurpose, Pki, Spec};

use crate::case::{Case, NAME, Refusal, check_both, good, refused, trust};

#[test]
fn a_valid_chain_is_verified_at_every_depth() {
    check_both(|purpose| {
        let pki = Pki::new();
        let mut cases = Vec::new();
        for depth in 0..=6 {
            let authorities = pki.intermediates(depth);
            let issuer = authorities.last().unwrap_or(&pki.root);
            let end_entity = issuer.issue(good(purpose));
            let issuers: Vec<&Issued> = authorities.iter().rev().collect();
            let what = format!("{depth} intermediates");
            cases.push(Case::new(
                purpose,
                what,
                &end_entity,
                &issuers,
                &[&pki.root],
                None,
            ));
        }
        cases
    });
}

/// The attack: an attacker with an ordinary certificate and its key issues one for another name.
#[test]
fn an_end_entity_cannot_issue_at_any_depth_through_any_entry_point() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign};
    check_both(|purpose| {
        let mut cases = Vec::new();
        for above in 0..=3 {
            let pki = Pki::new();
            let authorities = pki.intermediates(above);
            let issuer = authorities.last().unwrap_or(&pki.root);
            let mallory = || {
                good(purpose)
                    .names(&["mallory.example"])
                    .common_name(Some("Mallory"))
            };
            let not_a_ca =
                refused!(at Some(1), VerifyCause::NotACa { is_trusted_as_itself: false, .. });
            let no_signer =
                refused!(at Some(1), VerifyCause::KeyUsage { required: "keyCertSign", .. });
            let no_version =
                refused!(at Some(1), VerifyCause::UnsupportedVersion { version: 1, .. });
            let kinds = [
                ("CA:FALSE", mallory().basic(Basic::NotAuthority), not_a_ca),
                (
                    "no basic constraints",
                    mallory().basic(Basic::Absent),
                    not_a_ca,
                ),
                (
                    "CA:FALSE, but keyCertSign",
                    mallory().key_usage(&[DigitalSignature, KeyCertSign]),
                    not_a_ca,
                ),
                (
                    "no basic constraints, no purposes, but keyCertSign",
                    mallory()
                        .basic(Basic::Absent)
                        .extended_key_usage(&[])
                        .key_usage(&[KeyCertSign]),
                    not_a_ca,
                ),
                (
                    "CA:TRUE without keyCertSign",
                    mallory()
                        .basic(Basic::Authority)
                        .key_usage(&[DigitalSignature]),
                    no_signer,
                ),
                (
                    "CA:TRUE with only cRLSign",
                    mallory().basic(Basic::Authority).key_usage(&[CrlSign]),
                    no_signer,
                ),
                ("version 1", mallory().fault(Fault::Version1), no_version),
                (
                    "version 1 that was an authority",
                    Spec::authority("Mallory").fault(Fault::Version1),
                    no_version,
                ),
            ];
            for (kind, spec, expected) in kinds {
                let impostor = issuer.issue(spec);
                let victim = impostor.issue(good(purpose));
                let mut issuers = vec![&impostor];
                issuers.extend(authorities.iter().rev());
                let what = format!("impostor with {kind} under {above} intermediates");
                let case = |what, issuers: &[&Issued]| {
                    Case::new(purpose, what, &victim, issuers, &[&pki.root], expected)
                };
                cases.push(case(what.clone(), &issuers));
                issuers.push(&pki.root);
                cases.push(case(format!("{what}, root sent"), &issuers));
            }
        }
        cases
    });
}

#[test]
fn an_authority_issued_by_an_end_entity_cannot_issue() {
    check_both(|purpose| {
        let pki = Pki::new();
        let first = pki.root.issue(good(purpose).common_name(Some("First")));
        let second = first.issue(Spec::authority("Second"));
        let victim = second.issue(good(purpose));
        let not_a_ca = refused!(at Some(2), VerifyCause::NotACa { .. });
        vec![Case::new(
            purpose,
            "an authority made by an impostor",
            &victim,
            &[&second, &first],
            &[&pki.root],
            not_a_ca,
        )]
    });
}

#[test]
fn a_trusted_end_entity_certificate_does_not_make_its_issues_trusted() {
    check_both(|purpose| {
        let pki = Pki::new();
        let stranger = pki.root.issue(good(purpose).common_name(Some("Stranger")));
        let victim = stranger.issue(good(purpose));
        let lonely = good(purpose).self_signed();
        let lonely_authority = Spec::openssl_req(&[NAME]).self_signed();
        let expired = good(purpose).expired().self_signed();
        let trusted = refused!(at Some(1), VerifyCause::NotACa { is_trusted_as_itself: true, .. });
        let trusted_unsent =
            refused!(at None, VerifyCause::NotACa { is_trusted_as_itself: true, .. });
        let late = refused!(at Some(0), VerifyCause::Expired { .. });
        let wrong_use = match purpose {
            Purpose::ServerAuth => Spec::client(NAME),
            _ => Spec::server(&[NAME]),
        }
        .self_signed();
        let purposes = refused!(at Some(0), VerifyCause::ExtendedKeyUsage { .. });
        vec![
            Case::new(purpose, "it, trusted", &stranger, &[], &[&stranger], None),
            Case::new(purpose, "it, self-signed", &lonely, &[], &[&lonely], None),
            Case::new(
                purpose,
                "what openssl req -x509 makes",
                &lonely_authority,
                &[],
                &[&lonely_authority],
                None,
            ),
            Case::new(
                purpose,
                "what it issued",
                &victim,
                &[&stranger],
                &[&stranger],
                trusted,
            ),
            Case::new(
                purpose,
                "what it issued, with its own issuer",
                &victim,
                &[&stranger],
                &[&stranger, &pki.root],
                trusted,
            ),
            Case::new(
                purpose,
                "what it issued, itself not sent",
                &victim,
                &[],
                &[&stranger, &lonely_authority],
                trusted_unsent,
            ),
            Case::new(purpose, "it, expired", &expired, &[], &[&expired], late),
            Case::new(
                purpose,
                "it, for another purpose",
                &wrong_use,
                &[],
                &[&wrong_use],
                purposes,
            ),
        ]
    });
}

#[test]
fn path_lengths_and_the_callers_limit_on_depth() {
    check_both(|purpose| {
        let mut cases = Vec::new();
        // Path length 0 at the highest, the middle one; at the root.
        let root = Spec::authority("Root").self_signed();
        let top = root.issue(Spec::authority("Top").basic(Basic::AuthorityWithin(0)));
        let below = top.issue(Spec::authority("Below"));
        let lowest = below.issue(Spec::authority("Lowest"));
        let one = root.issue(Spec::authority("One").basic(Basic::AuthorityWithin(1)));
        let two = one.issue(Spec::authority("Two").basic(Basic::AuthorityWithin(0)));
        let three = two.issue(Spec::authority("Three"));
        let tight = Spec::authority("Tight Root")
            .basic(Basic::AuthorityWithin(0))
            .self_signed();
        let under_tight = tight.issue(Spec::authority("Under Tight"));
        let table: [(&str, Vec<&Issued>, &Issued, Option<Refusal>); 7] = [
            ("length 0, directly under it", vec![&top], &root, None),
            (
                "length 0, one authority below",
                vec![&below, &top],
                &root,
                refused!(at Some(2), VerifyCause::PathTooLong { path_len: Some(0), .. }),
            ),
            (
                "length 0, two authorities below",
                vec![&lowest, &below, &top],
                &root,
                refused!(at Some(3), VerifyCause::PathTooLong { path_len: Some(0), .. }),
            ),
            ("length 1 and 0 kept", vec![&two, &one], &root, None),
            (
                "length 0 below length 1",
                vec![&three, &two, &one],
                &root,
                refused!(at Some(2), VerifyCause::PathTooLong { path_len: Some(0), .. }),
            ),
            ("root of length 0, directly under it", vec![], &tight, None),
            (
                "root of length 0, one authority below",
                vec![&under_tight],
                &tight,
                refused!(at None, VerifyCause::PathTooLong { path_len: Some(0), .. }),
            ),
        ];
        for (what, issuers, root, expected) in table {
            let issuer = issuers.first().unwrap_or(&root);
            let end_entity = issuer.issue(good(purpose));
            cases.push(Case::new(
                purpose,
                what,
                &end_entity,
                &issuers,
                &[root],
                expected,
            ));
        }
        let pki = Pki::new();
        for depth in 0..=3 {
            let authorities = pki.intermediates(depth);
            let issuer = authorities.last().unwrap_or(&pki.root);
            let end_entity = issuer.issue(good(purpose));
            let issuers: Vec<&Issued> = authorities.iter().rev().collect();
            for limit in 0..=2 {
                let what = format!("{depth} intermediates, {limit} allowed");
                let expected = refused!(at None, VerifyCause::DepthExceeded { depth, depth_max } if depth > depth_max);
                let expected = expected.filter(|_| depth > limit);
                let case = Case::new(purpose, what, &end_entity, &issuers, &[&pki.root], expected);
                cases.push(case.policy(|policy| policy.with_chain_depth_max(limit)));
            }
        }
        // More than path building follows, for any limit of the caller.
        let authorities = pki.intermediates(7);
        let end_entity = authorities[6].issue(good(purpose));
        let issuers: Vec<&Issued> = authorities.iter().rev().collect();
        let expected = refused!(at None, VerifyCause::DepthExceeded { depth: 7, depth_max: 6 });
        let case = Case::new(
            purpose,
            "7 intermediates",
            &end_entity,
            &issuers,
            &[&pki.root],
            expected,
        );
        cases.push(case.policy(|policy| policy.with_chain_depth_max(100)));
        cases
    });
}

#[test]
fn missing_and_unknown_issuers_are_different_errors() {
    check_both(|purpose| {
        let pki = Pki::new();
        let elsewhere = Pki::new();
        let url = "http://ca.example/middle.der";
        let upper = pki.root.issue(Spec::authority("Upper"));
        let middle = upper.issue(Spec::authority("Middle"));
        let end_entity = middle.issue(good(purpose).ca_issuers(url));
        let lonely = good(purpose).self_signed();
        let openssl = Spec::openssl_req(&[NAME]).self_signed();
        let foreign = Spec::authority("Foreign Root").self_signed();
        let from_foreign = foreign.issue(good(purpose));
        let no_anchors = VerificationPolicy::new(TrustAnchors::empty());
        let mut cases = vec![
            Case::new(
                purpose,
                "intermediate not sent",
                &end_entity,
                &[],
                &[&pki.root],
                refused!(at Some(0), VerifyCause::UnknownIssuer { issuer, ca_issuer_urls, is_end_entity: true, .. }
                    if issuer.contains("Middle") && *ca_issuer_urls == ["http://ca.example/middle.der"]),
            ),
            Case::new(
                purpose,
                "upper intermediate not sent",
                &end_entity,
                &[&middle],
                &[&pki.root],
                refused!(at Some(1), VerifyCause::UnknownIssuer { issuer, is_end_entity: false, .. }
                    if issuer.contains("Upper")),
            ),
            Case::new(
                purpose,
                "self-signed",
                &lonely,
                &[],
                &[&pki.root],
                refused!(at Some(0), VerifyCause::SelfSigned { .. }),
            ),
            Case::new(
                purpose,
                "self-signed authority",
                &openssl,
                &[],
                &[&pki.root],
                refused!(at Some(0), VerifyCause::SelfSigned { .. }),
            ),
            Case::new(
                purpose,
                "untrusted root, sent",
                &from_foreign,
                &[&foreign],
                &[&pki.root],
                refused!(at Some(1), VerifyCause::UntrustedRoot { subject, .. } if subject.contains("Foreign Root")),
            ),
            Case::new(
                purpose,
                "untrusted root, not sent",
                &from_foreign,
                &[],
                &[&pki.root],
                refused!(at Some(0), VerifyCause::UnknownIssuer { issuer, .. } if issuer.contains("Foreign Root")),
            ),
            Case::new(
                purpose,
                "another root of the same name",
                &end_entity,
                &[&middle, &upper],
                &[&elsewhere.root],
                refused!(at Some(2), VerifyCause::UnknownIssuer { subject, issuer, has_trusted_namesake: true, .. }
                    if subject.contains("Upper") && issuer.contains("Test Root")),
            ),
        ];
        if purpose == Purpose::ServerAuth {
            // Such a server cannot be built.
            cases.push(
                Case::new(
                    purpose,
                    "no_anchors trusted",
                    &end_entity,
                    &[&middle, &upper],
                    &[],
                    refused!(at Some(0), VerifyCause::NoTrustAnchors),
                )
                .policy(|_| no_anchors),
            );
        }
        cases
    });
}

#[test]
fn order_and_extra_certificates_do_not_matter_but_the_first_does() {
    check_both(|purpose| {
        let pki = Pki::new();
        let upper = pki.root.issue(Spec::authority("Upper"));
        let middle = upper.issue(Spec::authority("Middle"));
        let end_entity = middle.issue(good(purpose));
        let unrelated = Spec::authority("Unrelated").self_signed();
        let case = |what: &str, expected, chain: &[&Issued]| {
            Case::new(purpose, what, &end_entity, &[], &[&pki.root], expected)
                .chain(&end_entity, chain)
        };
        vec![
            case(
                "root first",
                None,
                &[&end_entity, &pki.root, &upper, &middle],
            ),
            case("in reverse order", None, &[&end_entity, &upper, &middle]),
            case(
                "twice",
                None,
                &[&end_entity, &middle, &middle, &upper, &upper],
            ),
            case(
                "an unrelated certificate in between",
                None,
                &[&end_entity, &unrelated, &middle, &upper],
            ),
            case(
                "an authority first",
                refused!(at Some(0), VerifyCause::CaUsedAsEndEntity { .. }),
                &[&middle, &end_entity, &upper],
            ),
        ]
    });
}

#[test]
fn of_several_paths_one_valid_path_suffices() {
    check_both(|purpose| {
        let old_root = Spec::authority("Old Root").self_signed();
        let new_root = Spec::authority("New Root").self_signed();
        let late_root = Spec::authority("Late Root").expired().self_signed();
        let middle = old_root.issue(Spec::authority("Middle"));
        let crossed = new_root.cross_sign(&middle);
        let by_late = late_root.cross_sign(&middle);
        let mut expired_middle = middle.spec.clone().expired();
        expired_middle.common_name = middle.spec.common_name.clone();
        let end_entity = middle.issue(good(purpose));
        let issuers = [&middle, &crossed];
        let swapped = [&by_late, &crossed];
        vec![
            Case::new(
                purpose,
                "by the old root",
                &end_entity,
                &issuers,
                &[&old_root],
                None,
            ),
            Case::new(
                purpose,
                "by the new root",
                &end_entity,
                &issuers,
                &[&new_root],
                None,
            ),
            Case::new(
                purpose,
                "the first path ends in an expired root",
                &end_entity,
                &swapped,
                &[&late_root, &new_root],
                None,
            ),
            Case::new(
                purpose,
                "every path ends in an expired root",
                &end_entity,
                &swapped,
                &[&late_root],
                refused!(at None, VerifyCause::Expired { .. }),
            ),
        ]
    });
}

#[test]
fn a_chain_that_is_too_large_is_refused() {
    check_both(|purpose| {
        let pki = Pki::new();
        let end_entity = pki.root.issue(good(purpose));
        let many = vec![&pki.root; 32];
        let expected = refused!(at None, VerifyCause::ChainTooLarge { certificates: 33, .. });
        vec![Case::new(
            purpose,
            "33 certificates",
            &end_entity,
            &many,
            &[&pki.root],
            expected,
        )]
    });
}

/// Certificates that all issue one another have exponentially many paths.
#[test]
fn path_building_is_bounded() {
    let root = Spec::authority("Tangle").self_signed();
    let others: Vec<Issued> = (0..30)
        .map(|_| Spec::authority("Tangle").self_signed())
        .collect();
    let end_entity = root.issue(Spec::server(&[NAME]));
    let chain = end_entity.chain_with(&others.iter().collect::<Vec<_>>());
    let policy = VerificationPolicy::new(trust(&[&Pki::new().root]));
    let name = ServerName::parse(NAME).unwrap();
    let began = std::time::Instant::now();
    let refused = policy.check_server_chain(&chain, &name, UnixTime::now());
    assert!(refused.is_err());
    // Some milliseconds; every order of the thirty would take years.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}
