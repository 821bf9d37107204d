//! Revocation lists.

use handfast::{RevocationLists, RevocationScope, Uncounted, VerifyCause};
use handfast_testbed::pki::{DAY_SECS, Issued, KeyUsagePurpose, Pki, Spec, now_secs};

use crate::case::{Case, Refusal, check_both, good, refused};

#[test]
fn revocation_lists() {
    check_both(|purpose| {
        let pki = Pki::new();
        let middle = pki.root.issue(Spec::authority("Middle"));
        let end_entity = middle.issue(good(purpose));
        let other = middle.issue(good(purpose));
        let no_crl_signer = pki
            .root
            .issue(Spec::authority("Mute").key_usage(&[KeyUsagePurpose::KeyCertSign]));
        let under_mute = no_crl_signer.issue(good(purpose));
        let double = Pki::new().root.issue(Spec::authority("Middle"));
        let now = now_secs();
        let (long_ago, yesterday) = (now - 30 * DAY_SECS, now - DAY_SECS);
        let lists = |ders: Vec<rustls::pki_types::CertificateRevocationListDer<'static>>| {
            ders.into_iter()
                .fold(RevocationLists::none(), |lists, der| {
                    lists.with_der(der).unwrap()
                })
        };
        let root_crl = || pki.root.crl(&[]);
        let unknown = refused!(at Some(0), VerifyCause::RevocationUnknown { issuer, .. } if issuer.contains("Middle"));
        let revoked_0 = refused!(at Some(0), VerifyCause::Revoked { .. });
        let expired = refused!(at Some(0), VerifyCause::CrlExpired { list, .. } if list.issuer.contains("Middle"));
        let unusable = refused!(at Some(0), VerifyCause::CrlUnusable { .. });
        let stale = || vec![middle.crl_between(&[], long_ago, yesterday), root_crl()];
        let table: Vec<(&str, &Issued, &Issued, RevocationLists, Option<Refusal>)> = vec![
            (
                "none revoked",
                &end_entity,
                &middle,
                lists(vec![middle.crl(&[&other]), root_crl()]),
                None,
            ),
            (
                "revoked",
                &end_entity,
                &middle,
                lists(vec![middle.crl(&[&end_entity]), root_crl()]),
                revoked_0,
            ),
            (
                "intermediate revoked",
                &end_entity,
                &middle,
                lists(vec![middle.crl(&[]), pki.root.crl(&[&middle])]),
                refused!(at Some(1), VerifyCause::Revoked { subject, .. } if subject.contains("Middle")),
            ),
            (
                "intermediate revoked, only the end entity is checked",
                &end_entity,
                &middle,
                lists(vec![middle.crl(&[]), pki.root.crl(&[&middle])])
                    .checking(RevocationScope::EndEntity),
                None,
            ),
            (
                "no list of the issuer",
                &end_entity,
                &middle,
                lists(vec![root_crl()]),
                unknown,
            ),
            (
                "no list of the issuer, allowed",
                &end_entity,
                &middle,
                lists(vec![root_crl()]).allowing_unknown(),
                None,
            ),
            (
                "no list of the issuer's issuer",
                &end_entity,
                &middle,
                lists(vec![middle.crl(&[])]),
                refused!(at Some(1), VerifyCause::RevocationUnknown { .. }),
            ),
            (
                "list out of date",
                &end_entity,
                &middle,
                lists(stale()),
                expired,
            ),
            (
                "list out of date, allowed",
                &end_entity,
                &middle,
                lists(stale()).allowing_expired(),
                None,
            ),
            (
                "an old and a new list: the new one applies",
                &end_entity,
                &middle,
                lists(vec![
                    middle.crl_between(&[], long_ago, yesterday),
                    middle.crl(&[&end_entity]),
                    root_crl(),
                ]),
                revoked_0,
            ),
            (
                "list by another of the same name",
                &end_entity,
                &middle,
                lists(vec![double.crl(&[]), root_crl()]),
                refused!(at Some(0), VerifyCause::RevocationUnknown { uncounted, .. }
                    if matches!(uncounted.as_slice(), [one] if one.reason == Uncounted::OtherKey)),
            ),
            (
                "list by a key that may not sign lists",
                &under_mute,
                &no_crl_signer,
                lists(vec![no_crl_signer.crl(&[]), root_crl()]),
                unusable,
            ),
        ];
        table
            .into_iter()
            .map(|(what, end_entity, issuer, lists, expected)| {
                Case::new(purpose, what, end_entity, &[issuer], &[&pki.root], expected)
                    .policy(|policy| policy.with_revocation_lists(lists))
            })
            .collect()
    });
}

#[test]
fn a_revoked_certificate_is_refused_although_it_is_trusted() {
    check_both(|purpose| {
        let pki = Pki::new();
        let end_entity = pki.root.issue(good(purpose));
        let lists = RevocationLists::none()
            .with_der(pki.root.crl(&[&end_entity]))
            .unwrap();
        let revoked = refused!(at Some(0), VerifyCause::Revoked { .. });
        let case = Case::new(
            purpose,
            "revoked",
            &end_entity,
            &[],
            &[&end_entity],
            revoked,
        );
        vec![case.policy(|policy| policy.with_revocation_lists(lists))]
    });
}
