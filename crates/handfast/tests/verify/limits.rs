//! Chains that only a limit of webpki forbids; authorities of one name; cycles.

use handfast::{Purpose, VerifyCause};
use handfast_testbed::pki::{Basic, Fault, Issued, Spec, der};

use crate::case::{Case, check_both, good, refused};

#[test]
fn chains_that_only_a_limit_of_webpki_forbids_are_accepted() {
    check_both(|purpose| {
        let root = Spec::authority("Root").self_signed();
        let good = || good(purpose);
        let policies = der(0x30, &der(0x30, &der(6, &[0x2a, 3])));
        let critical = |spec: Spec| spec.extension(&[2, 5, 29, 32], &policies, true);
        let attribute = [der(6, &[0x55, 4, 10]), der(0x0c, b"Others")].concat();
        let directory = der(0x30, &der(0x31, &der(0x30, &attribute)));
        let excluded = der(0x30, &der(0xa1, &der(0x30, &der(0xa4, &directory))));
        let bound =
            root.issue(Spec::authority("Bound").extension(&[2, 5, 29, 30], &excluded, true));
        let narrow = root.issue(Spec::authority("Narrow").basic(Basic::AuthorityWithin(0)));
        // The authority's new key, certified by the old one.
        let link = narrow.issue(Spec::authority("Narrow").basic(Basic::AuthorityWithin(0)));
        let linked = link.issue(Spec::authority("Below"));
        let middle = |spec| root.issue(spec);
        let respelled = middle(Spec::authority("Middle").fault(Fault::IssuerRespelled));
        let old = middle(Spec::authority("Middle").fault(Fault::Since1950));
        let with_policies = middle(critical(Spec::authority("Middle")));
        let too_long = refused!(at Some(2), VerifyCause::PathTooLong { path_len: Some(0), .. });
        [
            (
                "issuer's name respelled",
                root.issue(good().fault(Fault::IssuerRespelled)),
                vec![],
                None,
            ),
            (
                "respelled above",
                respelled.issue(good()),
                vec![&respelled],
                None,
            ),
            (
                "since 1950",
                root.issue(good().fault(Fault::Since1950)),
                vec![],
                None,
            ),
            (
                "intermediate since 1950",
                old.issue(good()),
                vec![&old],
                None,
            ),
            (
                "critical policies",
                root.issue(critical(good())),
                vec![],
                None,
            ),
            (
                "intermediate with critical policies",
                with_policies.issue(good()),
                vec![&with_policies],
                None,
            ),
            (
                "other directories excluded",
                bound.issue(good()),
                vec![&bound],
                None,
            ),
            (
                "a new key of an authority",
                link.issue(good()),
                vec![&link, &narrow],
                None,
            ),
            (
                "an authority below the new key",
                linked.issue(good()),
                vec![&linked, &link, &narrow],
                too_long,
            ),
        ]
        .into_iter()
        .map(|(what, end_entity, issuers, expected)| {
            Case::new(purpose, what, &end_entity, &issuers, &[&root], expected)
        })
        .collect()
    });
}

#[test]
fn an_issuer_needs_a_signature_not_only_a_name() {
    check_both(|purpose| {
        let root = Spec::authority("Root").self_signed();
        let again = Spec::authority("Root").self_signed();
        let by_again = again.issue(good(purpose));
        let late = root.issue(Spec::authority("Middle").expired());
        let namesake = root.issue(Spec::authority("Middle"));
        let by_late = late.issue(good(purpose));
        // They certify each other, and no trusted authority certifies either.
        let one = Spec::authority("One").self_signed();
        let other = Spec::authority("Other").self_signed();
        let circle: [Issued; 2] = [other.cross_sign(&one), one.cross_sign(&other)];
        let in_circle = one.issue(good(purpose));
        let case = |what: &str, end_entity: &Issued, issuers: &[&Issued], expected| {
            Case::new(purpose, what, end_entity, issuers, &[&root], expected)
        };
        vec![
            case(
                "the root was created again, and is sent",
                &by_again,
                &[&again],
                refused!(at Some(1), VerifyCause::UntrustedRoot { has_trusted_namesake: true, .. }),
            ),
            case(
                "the root was created again, and is not sent",
                &by_again,
                &[],
                refused!(at Some(0), VerifyCause::UnknownIssuer { has_trusted_namesake: true, .. }),
            ),
            case(
                "an authority of the same name before the one that signed",
                &by_late,
                &[&namesake, &late],
                refused!(at Some(2), VerifyCause::Expired { .. }),
            ),
            case(
                "a cycle",
                &in_circle,
                &[&circle[0], &circle[1]],
                refused!(at Some(1), VerifyCause::UntrustedRoot { has_trusted_namesake: false, .. }),
            ),
        ]
    });
}

#[test]
fn faults_of_a_certificate_on_no_path_are_never_reported() {
    let root = Spec::authority("Root").self_signed();
    let elsewhere = Spec::authority("Elsewhere").self_signed();
    let unknown = refused!(at Some(0), VerifyCause::UnknownIssuer { .. });
    for fault in [
        Fault::Version1,
        Fault::TrailingByte,
        Fault::CutOff,
        Fault::Garbage,
        Fault::SaysSha1,
    ] {
        let extra = elsewhere.issue(Spec::authority("Extra").fault(fault.clone()));
        let (known, unknown_server) = (
            root.issue(good(Purpose::ServerAuth)),
            elsewhere.issue(good(Purpose::ServerAuth)),
        );
        for (end_entity, expected) in [(&known, None), (&unknown_server, unknown)] {
            let what = format!("{fault:?} in another certificate");
            Case::new(
                Purpose::ServerAuth,
                what,
                end_entity,
                &[&extra],
                &[&root],
                expected,
            )
            .check();
        }
    }
}
