//! Certificate policies: if a certificate requires one, the whole path must have it.

use handfast::{CertificateFacts, VerifyCause};
use handfast_testbed::pki::{Pki, Spec, der};

use crate::case::{Case, check_both, good, refused};

/// Object identifiers as DER: 1.2.1 and 1.2.2.
const P: &[u8] = &[6, 2, 0x2a, 1];
const Q: &[u8] = &[6, 2, 0x2a, 2];

/// With non-critical certificate policies, as usual.
fn asserting(spec: Spec, policies: &[&[u8]]) -> Spec {
    let list: Vec<u8> = policies
        .iter()
        .flat_map(|policy| der(0x30, policy))
        .collect();
    spec.extension(&[2, 5, 29, 32], &der(0x30, &list), false)
}

/// With critical requireExplicitPolicy, which webpki refuses and we do not.
fn demanding_critically(spec: Spec) -> Spec {
    let constraints = der(0x30, &[0x80, 1, 0]);
    spec.extension(&[2, 5, 29, 36], &constraints, true)
}

/// With requireExplicitPolicy. RFC 5280 requires it to be critical; if it is not, it still applies.
fn demanding(spec: Spec, after: u8) -> Spec {
    let constraints = der(0x30, &[0x80, 1, after]);
    spec.extension(&[2, 5, 29, 36], &constraints, false)
}

#[test]
fn a_policy_that_an_authority_requires_must_be_in_the_whole_path() {
    check_both(|purpose| {
        let pki = Pki::new();
        let strict = pki
            .root
            .issue(demanding(asserting(Spec::authority("Strict"), &[P]), 0));
        let later = pki
            .root
            .issue(demanding(asserting(Spec::authority("Later"), &[P]), 1));
        let critical = pki.root.issue(demanding_critically(asserting(
            Spec::authority("Strict"),
            &[P],
        )));
        let critical_root = demanding_critically(Spec::authority("Strict Root")).self_signed();
        let vague = pki.root.issue(demanding(Spec::authority("Vague"), 0));
        let strict_root = demanding(Spec::authority("Strict Root"), 0).self_signed();
        let mut cases = Vec::new();
        for (what, issuer, root, policies, expected) in [
            ("the policy", &strict, &pki.root, &[P][..], None),
            ("the policy and another", &strict, &pki.root, &[P, Q], None),
            (
                "another policy",
                &strict,
                &pki.root,
                &[Q],
                refused!(at Some(0), VerifyCause::NoValidPolicy { demanded_by, .. } if demanded_by.contains("Strict")),
            ),
            (
                "no policy",
                &strict,
                &pki.root,
                &[],
                refused!(at Some(0), VerifyCause::NoValidPolicy { demanded_by, .. } if demanded_by.contains("Strict")),
            ),
            ("the policy, critical", &critical, &pki.root, &[P], None),
            (
                "no policy, critical",
                &critical,
                &pki.root,
                &[],
                refused!(at Some(0), VerifyCause::NoValidPolicy { demanded_by, .. } if demanded_by.contains("Strict")),
            ),
            (
                "a root that demands critically",
                &critical_root,
                &critical_root,
                &[P],
                None,
            ),
            // One more certificate may lack the policy.
            (
                "no policy, demanded at the end",
                &later,
                &pki.root,
                &[],
                refused!(at Some(0), VerifyCause::NoValidPolicy { demanded_by, .. } if demanded_by.contains("Later")),
            ),
            (
                "an authority without one itself",
                &vague,
                &pki.root,
                &[P],
                refused!(at Some(1), VerifyCause::NoValidPolicy { subject, .. } if subject.contains("Vague")),
            ),
            (
                "a root that demands, with the policy",
                &strict_root,
                &strict_root,
                &[P],
                None,
            ),
            (
                "a root that demands, without a policy",
                &strict_root,
                &strict_root,
                &[],
                refused!(at Some(0), VerifyCause::NoValidPolicy { demanded_by, .. } if demanded_by.contains("Strict Root")),
            ),
        ] {
            let spec = match policies {
                [] => good(purpose),
                policies => asserting(good(purpose), policies),
            };
            let end_entity = issuer.issue(spec);
            cases.push(Case::new(
                purpose,
                what,
                &end_entity,
                &[issuer],
                &[root],
                expected,
            ));
        }
        cases
    });
}

#[test]
fn critical_policy_extensions_are_supported() {
    let spec = Spec::authority("Strict")
        .extension(&[2, 5, 29, 32], &der(0x30, &der(0x30, P)), true)
        .extension(
            &[2, 5, 29, 33],
            &der(0x30, &der(0x30, &[P, Q].concat())),
            true,
        )
        .extension(&[2, 5, 29, 54], &[2, 1, 0], true);
    let strict = demanding_critically(spec).self_signed();
    let facts = CertificateFacts::from_der(&strict.der).unwrap();
    assert_eq!(facts.unknown_critical_extensions, Vec::<String>::new());
}
