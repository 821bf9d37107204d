//! Revocation lists: which of them apply to a certificate, and what a refusal reports about the others.
//!
//! Each row is a path, lists and a time; the verdict is that of the policy, without a connection.

use std::time::Duration;

use handfast::{
    ExpiredLists, RevocationLists, RevokedBy, ServerName, UnixTime, VerificationPolicy, VerifyCause,
};
use handfast_testbed::crl::{
    Crl, certificate_issuer, crl_issuer, directory_point, extension, flag, id, point, points,
    reason_code, reasons, relative_point,
};
use handfast_testbed::pki::{DAY_SECS, Issued, KeyUsagePurpose, Pki, Spec, der, now_secs};

use crate::case::{NAME, trust};

const URL: &str = "http://crl.example/1.crl";
const OTHER_URL: &str = "http://crl.example/2.crl";
const DISTRIBUTION_POINTS: [u64; 4] = [2, 5, 29, 31];

fn lists(lists: &[Crl<'_>]) -> RevocationLists {
    lists.iter().fold(RevocationLists::none(), |all, list| {
        all.with_der(list.der()).unwrap()
    })
}

/// A server's certificate with these distribution points.
fn pointing(parts: &[&[Vec<u8>]]) -> Spec {
    Spec::server(&[NAME]).extension(&DISTRIBUTION_POINTS, &points(parts), false)
}

/// `good`, or the id of the cause, its position and a summary of the lists.
fn verdict(chain: &[&Issued], roots: &[&Issued], lists: RevocationLists, now: u64) -> String {
    let policy = VerificationPolicy::new(trust(roots)).with_revocation_lists(lists);
    let chain: Vec<_> = chain.iter().map(|one| one.der.clone()).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let name = ServerName::parse(NAME).unwrap();
    let Err(refused) = policy.check_server_chain(&chain, &name, now) else {
        return "good".to_owned();
    };
    let place = refused
        .at_index
        .map_or_else(|| "-".to_owned(), |at| at.to_string());
    let text = match &refused.cause {
        VerifyCause::Revoked {
            by: RevokedBy::List { list, reason, .. },
            ..
        } => format!(
            " by {}{}",
            list.number.as_deref().unwrap_or("?"),
            reason.map_or_else(String::new, |reason| format!(" for {reason}"))
        ),
        VerifyCause::RevocationUnknown { uncounted, .. } => {
            uncounted.iter().fold(String::new(), |text, one| {
                let number = one.list.number.as_deref().unwrap_or("?");
                text + &format!("; {number}: {}", one.reason)
            })
        }
        VerifyCause::CrlExpired { list, .. } | VerifyCause::CrlUnusable { list, .. } => {
            format!(" of {}", list.number.as_deref().unwrap_or("?"))
        }
        _ => String::new(),
    };
    format!("{} at {place}{text}", refused.cause.id())
}

/// The verdict, which must be the same in every order of the lists.
fn check(end: &Issued, root: &Issued, given: &[Crl<'_>]) -> String {
    let verdict_text = verdict(&[end], &[root], lists(given), now_secs());
    let mut reversed = given.to_vec();
    reversed.reverse();
    let other = verdict(&[end], &[root], lists(&reversed), now_secs());
    let sorted = |text: &str| {
        let mut parts: Vec<String> = text.split("; ").map(str::to_owned).collect();
        parts.sort();
        parts
    };
    assert_eq!(
        sorted(&verdict_text),
        sorted(&other),
        "the order of the lists"
    );
    verdict_text
}

#[test]
fn a_certificate_has_to_pass_all_lists_that_were_added() {
    let pki = Pki::new();
    let end = pki.root.issue(Spec::server(&[NAME]));
    let other = Pki::new();
    let revoking = || lists(&[Crl::by(&pki.root).revoking(&end)]).allowing_unknown();
    let silent = || lists(&[Crl::by(&other.root)]).allowing_unknown();
    let none = RevocationLists::none;
    for (case, all) in [
        ("first", none().and_also(revoking()).and_also(silent())),
        ("last", none().and_also(silent()).and_also(revoking())),
        (
            "between others",
            silent()
                .and_also(silent())
                .and_also(revoking())
                .and_also(silent()),
        ),
        (
            "in a group of its own",
            none()
                .and_also(silent().and_also(revoking()))
                .and_also(silent()),
        ),
        ("before none", none().and_also(revoking()).and_also(none())),
        (
            "among those of others",
            none().with_lists_of(&silent().and_also(revoking())),
        ),
    ] {
        let verdict = verdict(&[&end], &[&pki.root], all, now_secs());
        assert_eq!(verdict, "certificate-revoked at 0 by 1", "{case}");
    }
}

#[test]
fn of_several_lists_the_newest_applies_and_a_revocation_is_permanent() {
    const HOLD: u8 = 6;
    const REMOVED: u8 = 8;
    let pki = Pki::new();
    let root = &pki.root;
    let end = &root.issue(Spec::server(&[NAME]));
    let now = now_secs();
    let older = || {
        let until = Some(now + 100 * DAY_SECS);
        Crl::by(root).between(now - 20 * DAY_SECS, until)
    };
    let newer = || Crl::by(root).number(2);
    let delta = |number: u8| {
        let from = now - DAY_SECS / 2;
        Crl::by(root)
            .between(from, Some(now + DAY_SECS))
            .number(number)
    };
    let expired = || Crl::by(root).between(now - 9 * DAY_SECS, Some(now - DAY_SECS));
    let rows: Vec<(&str, Vec<Crl<'_>>, &str)> = vec![
        ("one", vec![newer()], "good"),
        (
            "the newer one revokes, the older one is due later",
            vec![older(), newer().revoking(end)],
            "certificate-revoked at 0 by 2",
        ),
        (
            "only the older one revokes",
            vec![older().revoking_for(end, 1), newer()],
            "certificate-revoked at 0 by 1 for keyCompromise",
        ),
        (
            "held by the older one, no longer by the newer one",
            vec![older().revoking_for(end, HOLD), newer()],
            "good",
        ),
        (
            "held by the newer one",
            vec![older(), newer().revoking_for(end, HOLD)],
            "certificate-revoked at 0 by 2 for certificateHold",
        ),
        (
            "of the same time, the higher number applies",
            vec![
                Crl::by(root).revoking_for(end, HOLD),
                Crl::by(root).number(2),
            ],
            "good",
        ),
        (
            "the newest has expired, although an older one has not",
            vec![older(), expired().number(3)],
            "crl-expired at 0 of 3",
        ),
        (
            "revoked by an expired list",
            vec![expired().revoking(end), older()],
            "certificate-revoked at 0 by 1",
        ),
        (
            "a delta list revokes",
            vec![newer(), delta(3).delta_of(2).revoking(end)],
            "certificate-revoked at 0 by 3",
        ),
        (
            "a delta list ends a hold",
            vec![
                newer().revoking_for(end, HOLD),
                delta(3).delta_of(2).revoking_for(end, REMOVED),
            ],
            "good",
        ),
        (
            "a delta list does not end a revocation",
            vec![
                newer().revoking_for(end, 1),
                delta(3).delta_of(2).revoking_for(end, REMOVED),
            ],
            "certificate-revoked at 0 by 2 for keyCompromise",
        ),
        (
            "a delta list holds",
            vec![newer(), delta(3).delta_of(2).revoking_for(end, HOLD)],
            "certificate-revoked at 0 by 3 for certificateHold",
        ),
        (
            "a delta list that is older than the list",
            vec![
                newer(),
                Crl::by(root)
                    .between(now - 2 * DAY_SECS, Some(now + DAY_SECS))
                    .delta_of(0)
                    .revoking_for(end, HOLD),
            ],
            "good",
        ),
        (
            "only a delta list",
            vec![delta(3).delta_of(2)],
            "revocation-unknown at 0; 3: it is a delta list; its base list was not given or is not current",
        ),
        (
            "only a delta list, which revokes",
            vec![delta(3).delta_of(2).revoking(end)],
            "certificate-revoked at 0 by 3",
        ),
        (
            "an expired list, with a current delta list",
            vec![expired(), delta(3).delta_of(1)],
            "good",
        ),
        (
            "an expired list, with a delta list for a later one",
            vec![expired(), delta(3).delta_of(2)],
            "crl-expired at 0 of 1",
        ),
        (
            "listed as removed in a complete list",
            vec![newer().revoking_for(end, REMOVED)],
            "good",
        ),
        (
            "listed twice",
            vec![newer().revoking_for(end, REMOVED).revoking_for(end, 4)],
            "certificate-revoked at 0 by 2 for superseded",
        ),
        (
            "of version 1",
            vec![Crl::by(root).version_1().revoking(end)],
            "certificate-revoked at 0 by ?",
        ),
        (
            "without a number",
            vec![Crl::by(root).without(id::NUMBER)],
            "good",
        ),
    ];
    for (case, given, expected) in rows {
        assert_eq!(check(end, root, &given), expected, "{case}");
    }
}

#[test]
fn a_list_applies_from_its_issue_until_the_next_is_due() {
    let pki = Pki::new();
    let root = &pki.root;
    let end = &root.issue(Spec::server(&[NAME]));
    let now = now_secs();
    let week = Crl::by(root).between(now, Some(now + 7 * DAY_SECS));
    let open = Crl::by(root).between(now, None);
    let hour = 3600;
    for (list, at, hard, soft) in [
        (&week, now, "good", "good"),
        (&week, now - 290, "good", "good"),
        (
            &week,
            now - hour,
            "revocation-unknown at 0",
            "revocation-unknown at 0",
        ),
        (&week, now + 7 * DAY_SECS, "good", "good"),
        (
            &week,
            now + 7 * DAY_SECS + 1,
            "crl-expired at 0 of 1",
            "good",
        ),
        // Without nextUpdate it is valid for a week.
        (&open, now + 7 * DAY_SECS, "good", "good"),
        (
            &open,
            now + 7 * DAY_SECS + 1,
            "crl-expired at 0 of 1",
            "good",
        ),
    ] {
        let list = std::slice::from_ref(list);
        let verdict_text = verdict(&[end], &[root], lists(list), at);
        assert!(
            verdict_text.starts_with(hard),
            "{verdict_text}, not {hard}, at {at}"
        );
        let given = lists(list).with_expired(ExpiredLists::Accept);
        let verdict_text = verdict(&[end], &[root], given, at);
        assert!(
            verdict_text.starts_with(soft),
            "{verdict_text}, not {soft}, at {at}"
        );
    }
    let from_the_future = vec![Crl::by(root).between(now + hour, None).revoking(end)];
    let verdict_text = check(end, root, &from_the_future);
    assert!(
        verdict_text.contains("its issue date is in the future"),
        "{verdict_text}"
    );
}

#[test]
fn a_list_applies_according_to_its_scope() {
    let pki = Pki::new();
    let root = &pki.root;
    let plain = &root.issue(Spec::server(&[NAME]));
    let pointed = &root.issue(pointing(&[&[point(&[URL])]]));
    let either = &root.issue(pointing(&[&[point(&[URL])], &[point(&[OTHER_URL])]]));
    let relative = &root.issue(pointing(&[&[relative_point("list")]]));
    let split = &root.issue(pointing(&[
        &[point(&[URL]), reasons(1, &[1, 2])],
        &[point(&[OTHER_URL]), reasons(1, &[3, 4, 5, 6, 7, 8])],
    ]));
    let broken =
        &root.issue(Spec::server(&[NAME]).extension(&DISTRIBUTION_POINTS, &der(0x30, &[]), false));
    let full = || Crl::by(root);
    let of = |parts: &[Vec<u8>]| full().scope(parts);
    const KEYS: [u8; 2] = [1, 2];
    const OTHERS: [u8; 6] = [3, 4, 5, 6, 7, 8];
    let other_point =
        "it covers only the distribution point http://crl.example/1.crl, and the certificate has";
    let rows: Vec<(&str, &Issued, Vec<Crl<'_>>, String)> = vec![
        ("all", pointed, vec![full()], "good".into()),
        ("its point", pointed, vec![of(&[point(&[URL])])], "good".into()),
        (
            "one of several names of its point",
            pointed,
            vec![of(&[point(&[OTHER_URL, URL])])],
            "good".into(),
        ),
        ("the second point", either, vec![of(&[point(&[OTHER_URL])])], "good".into()),
        (
            "another point",
            pointed,
            vec![of(&[point(&[OTHER_URL])]).revoking(pointed)],
            format!(
                "revocation-unknown at 0; 1: it covers only the distribution point {OTHER_URL}, and the certificate has {URL}"
            ),
        ),
        (
            "a point, and the certificate has none",
            plain,
            vec![of(&[point(&[URL])])],
            format!("revocation-unknown at 0; 1: {other_point} none"),
        ),
        (
            "a list for another point beside the full one",
            plain,
            vec![of(&[point(&[URL])]).number(9), full().number(2).revoking(plain)],
            "certificate-revoked at 0 by 2".into(),
        ),
        (
            "a name relative to the issuer's",
            relative,
            vec![of(&[relative_point("list")])],
            "good".into(),
        ),
        (
            "the same name in full",
            relative,
            vec![of(&[directory_point(root, "LIST")])],
            "good".into(),
        ),
        (
            "another relative name",
            relative,
            vec![of(&[relative_point("other")])],
            "revocation-unknown at 0; 1: it covers only the distribution point CN=other, O=handfast tests, CN=Test Root".into(),
        ),
        ("end entities", plain, vec![of(&[flag(1)])], "good".into()),
        (
            "authorities",
            plain,
            vec![of(&[flag(2)]).revoking(plain)],
            "revocation-unknown at 0; 1: it covers only CA certificates".into(),
        ),
        (
            "attribute certificates",
            plain,
            vec![of(&[flag(5)])],
            "revocation-unknown at 0; 1: it covers only attribute certificates".into(),
        ),
        (
            "some reasons",
            plain,
            vec![of(&[reasons(3, &KEYS)])],
            "revocation-unknown at 0; 1: no list covers revocations for affiliationChanged, superseded, \
             cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise"
                .into(),
        ),
        (
            "some reasons, and revoked for one",
            plain,
            vec![of(&[reasons(3, &KEYS)]).revoking_for(plain, 1)],
            "certificate-revoked at 0 by 1 for keyCompromise".into(),
        ),
        (
            "all reasons in two lists",
            plain,
            vec![of(&[reasons(3, &KEYS)]), of(&[reasons(3, &OTHERS)]).number(2)],
            "good".into(),
        ),
        (
            "all reasons in two lists, one of which revokes",
            plain,
            vec![
                of(&[reasons(3, &KEYS)]),
                of(&[reasons(3, &OTHERS)]).number(2).revoking_for(plain, 4),
            ],
            "certificate-revoked at 0 by 2 for superseded".into(),
        ),
        (
            "a list for each of the certificate's points",
            split,
            vec![of(&[point(&[URL])]), of(&[point(&[OTHER_URL])]).number(2)],
            "good".into(),
        ),
        (
            "a list for one of the points, which is for some reasons",
            split,
            vec![of(&[point(&[OTHER_URL])])],
            "revocation-unknown at 0; 1: no list covers revocations for keyCompromise, cACompromise".into(),
        ),
        (
            "points that cannot be read",
            broken,
            vec![full()],
            "revocation-unknown at 0; 1: the certificate's distribution points cannot be read".into(),
        ),
    ];
    for (case, end, given, expected) in rows {
        let verdict_text = check(end, root, &given);
        assert!(
            verdict_text.starts_with(&expected),
            "{case}: {verdict_text}, not {expected}"
        );
    }
}

#[test]
fn lists_for_end_entities_and_for_authorities_apply_along_a_path() {
    let pki = Pki::new();
    let middle = pki.root.issue(Spec::authority("Middle"));
    let end = middle.issue(Spec::server(&[NAME]));
    let of_middle = Crl::by(&middle).scope(&[flag(1)]);
    let of_root = |tag| Crl::by(&pki.root).scope(&[flag(tag)]);
    let check =
        |given: &[Crl<'_>]| verdict(&[&end, &middle], &[&pki.root], lists(given), now_secs());
    assert_eq!(check(&[of_middle.clone(), of_root(2)]), "good");
    assert_eq!(
        check(&[of_middle.clone(), of_root(1).revoking(&middle)]),
        "revocation-unknown at 1; 1: it covers only end-entity certificates"
    );
    assert_eq!(
        check(&[of_middle, of_root(2).revoking(&middle)]),
        "certificate-revoked at 1 by 1"
    );
    // A revocation takes precedence over an unknown status.
    assert_eq!(
        check(&[of_root(2).revoking(&middle)]),
        "certificate-revoked at 1 by 1"
    );
}

#[test]
fn an_indirect_list_applies_if_the_certificate_names_its_issuer() {
    let pki = Pki::new();
    let root = &pki.root;
    let desk = &root.issue(Spec::authority("Desk"));
    let signer = &root.issue(Spec::client("Desk").key_usage(&[KeyUsagePurpose::CrlSign]));
    let no_signer =
        &root.issue(Spec::client("Desk").key_usage(&[KeyUsagePurpose::DigitalSignature]));
    let stranger = &Spec::client("Desk")
        .key_usage(&[KeyUsagePurpose::CrlSign])
        .self_signed();
    let end = &root.issue(pointing(&[&[point(&[URL]), crl_issuer(desk)]]));
    let only_issuer = &root.issue(pointing(&[&[crl_issuer(desk)]]));
    let other = &root.issue(Spec::server(&[NAME]));
    const INDIRECT: u8 = 4;
    let scope = || vec![point(&[URL]), flag(INDIRECT)];
    let by = |signer| Crl::by(signer).in_name_of(desk);
    let check = |end: &Issued, beside: &[&Issued], list: Crl<'_>| {
        let chain: Vec<&Issued> = std::iter::once(end).chain(beside.iter().copied()).collect();
        verdict(&chain, &[root], lists(&[list]), now_secs())
    };
    assert_eq!(check(end, &[signer], by(signer).scope(&scope())), "good");
    assert_eq!(
        check(only_issuer, &[signer], by(signer).scope(&[flag(INDIRECT)])),
        "good"
    );
    let entry = [certificate_issuer(root), reason_code(1)];
    assert_eq!(
        check(
            end,
            &[signer],
            by(signer).scope(&scope()).entry(&end.serial, &entry)
        ),
        "certificate-revoked at 0 by 1 for keyCompromise"
    );
    // The issuer of an entry is that of the previous entry by default.
    assert_eq!(
        check(
            end,
            &[signer],
            by(signer)
                .scope(&scope())
                .entry(&[1], &[certificate_issuer(root)])
                .entry(&end.serial, &[])
        ),
        "certificate-revoked at 0 by 1"
    );
    // Before the first named issuer, it is the list's own: this is a serial number of another authority.
    assert_eq!(
        check(
            end,
            &[signer],
            by(signer).scope(&scope()).entry(&end.serial, &[])
        ),
        "good"
    );
    assert_eq!(
        check(
            end,
            &[signer],
            by(signer)
                .scope(&scope())
                .entry(&end.serial, &[certificate_issuer(desk)])
                .entry(&[1], &[certificate_issuer(root)])
        ),
        "good"
    );
    // A list that is not indirect.
    let verdict_text = check(end, &[signer], by(signer).scope(&[point(&[URL])]));
    assert!(
        verdict_text.starts_with("revocation-unknown at 0; 1: "),
        "{verdict_text}"
    );
    // The issuer's own list: its revocations apply, but the certificate points to another's.
    assert_eq!(
        check(end, &[], Crl::by(root)),
        "revocation-unknown at 0; 1: according to the certificate, lists of other issuers cover it"
    );
    assert_eq!(
        check(end, &[], Crl::by(root).revoking(end)),
        "certificate-revoked at 0 by 1"
    );
    // A list to which the certificate does not point does not apply.
    assert_eq!(
        check(other, &[signer], by(signer).scope(&[flag(INDIRECT)])),
        "revocation-unknown at 0"
    );
    // A signer that no authority of the path authorized.
    for signer in [no_signer, stranger] {
        let verdict_text = check(end, &[signer], by(signer).scope(&scope()));
        assert_eq!(
            verdict_text,
            "revocation-unknown at 0; 1: it was signed with a key that is not the issuer's"
        );
    }
    let revoked = lists(&[
        by(signer).scope(&scope()),
        Crl::by(root).number(7).revoking(signer),
    ]);
    let verdict_text = verdict(&[end, signer], &[root], revoked, now_secs());
    assert!(
        verdict_text.starts_with("revocation-unknown at 0; 1: it was signed"),
        "{verdict_text}"
    );
}

#[test]
fn a_list_applies_if_signed_by_a_key_of_its_issuer_on_the_path() {
    let pki = Pki::new();
    let old = pki.root.issue(Spec::authority("Middle"));
    // The same authority with a new key, certified by the old one.
    let new = old.issue(Spec::authority("Middle"));
    let under_new = new.issue(Spec::server(&[NAME]));
    let under_old = old.issue(Spec::server(&[NAME]));
    let root = || Crl::by(&pki.root).number(9);
    let check = |chain: &[&Issued], given: &[Crl<'_>]| {
        verdict(chain, &[&pki.root], lists(given), now_secs())
    };
    let path = [&under_new, &new, &old];
    let (by_old, by_new) = (|| Crl::by(&old), || Crl::by(&new).number(2));
    assert_eq!(check(&path, &[root(), by_old()]), "good");
    assert_eq!(
        check(&path, &[root(), by_old().revoking(&under_new)]),
        "certificate-revoked at 0 by 1"
    );
    assert_eq!(
        check(&path, &[root(), by_old(), by_new().revoking(&under_new)]),
        "certificate-revoked at 0 by 2"
    );
    // The new key cannot sign the status of its own certificate.
    assert_eq!(
        check(&path, &[root(), by_new()]),
        "revocation-unknown at 1; 2: it was signed with a key that is not the issuer's"
    );
    // A key outside of the path may sign if a key of the path certified it for that.
    let path = [&under_old, &old, &new];
    assert_eq!(check(&path, &[root(), by_new()]), "good");
    assert_eq!(
        check(&path, &[root(), by_old(), by_new().revoking(&under_old)]),
        "certificate-revoked at 0 by 2"
    );
    let double = Spec::authority("Middle").self_signed();
    assert_eq!(
        check(&[&under_old, &old, &double], &[root(), Crl::by(&double)]),
        "revocation-unknown at 0; 1: it was signed with a key that is not the issuer's"
    );
}

#[test]
fn roots_of_one_name_are_distinguished_by_their_keys() {
    let (one, two) = (Pki::new(), Pki::new());
    let end = one.root.issue(Spec::server(&[NAME]));
    let roots = [&two.root, &one.root];
    let check = |given: &[Crl<'_>]| verdict(&[&end], &roots, lists(given), now_secs());
    let (by_one, by_two) = (|| Crl::by(&one.root), || Crl::by(&two.root).number(2));
    assert_eq!(check(&[by_two(), by_one()]), "good");
    assert_eq!(check(&[by_two().revoking(&end), by_one()]), "good");
    assert_eq!(
        check(&[by_two(), by_one().revoking(&end)]),
        "certificate-revoked at 0 by 1"
    );
    assert_eq!(
        check(&[by_two()]),
        "revocation-unknown at 0; 2: it was signed with a key that is not the issuer's"
    );
}

#[test]
fn lists_of_a_root_without_crl_sign_are_refused() {
    let root = Spec::authority("Root")
        .key_usage(&[KeyUsagePurpose::KeyCertSign])
        .self_signed();
    let end = root.issue(Spec::server(&[NAME]));
    let verdict_text = |lists| verdict(&[&end], &[&root], lists, now_secs());
    let list = lists(&[Crl::by(&root)]);
    assert_eq!(verdict_text(list.clone()), "crl-unusable at 0 of 1");
    // It is an unusable list, not a missing one.
    assert_eq!(
        verdict_text(list.allowing_unknown()),
        "crl-unusable at 0 of 1"
    );
}

#[test]
fn a_damaged_list_is_distinguished_from_one_of_another_authority() {
    let pki = Pki::new();
    let end = pki.root.issue(Spec::server(&[NAME]));
    let key_id = {
        // keyIdentifier, SHA-256 of the key's bits, cut (RFC 7093, 2).
        let key = pki.root.key().public_key_raw();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
        der(0x30, &der(0x80, &hash.as_ref()[..20]))
    };
    let list = Crl::by(&pki.root).extension(id::KEY_ID, false, &key_id);
    let mut damaged = list.der().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let given = RevocationLists::none().with_der(damaged.into()).unwrap();
    let verdict_text = verdict(&[&end], &[&pki.root], given, now_secs());
    assert_eq!(verdict_text, "crl-unusable at 0 of 1");
}

#[test]
fn unusable_lists_are_refused_with_the_reason() {
    let pki = Pki::new();
    let list = || Crl::by(&pki.root);
    let critical = |id| extension(id, true, &[5, 0]);
    let rows: Vec<(Crl<'_>, &str)> = vec![
        (
            list().extension(99, true, &[5, 0]),
            "the list has the critical extension 2.5.29.99, which is not supported",
        ),
        (
            list().entry(&[1], &[critical(99)]),
            "its entry 1 has the critical extension 2.5.29.99, which is not supported",
        ),
        (
            list()
                .revoking(&pki.root)
                .entry(&[1], &[certificate_issuer(&pki.root)]),
            "its entry 2 has the critical extension 2.5.29.29, which is not supported",
        ),
        (
            list().version_1().extension(id::KEY_ID, false, &[5, 0]),
            "it is of version 1 and has extensions",
        ),
        (
            list().version_1().entry(&[1], &[reason_code(1)]),
            "it is of version 1, and its entries have extensions",
        ),
        (
            list().extension(id::NUMBER, true, &der(2, &[1])),
            "its CRL number is critical, which RFC 5280 forbids",
        ),
        (
            list().extension(id::NUMBER, false, &der(2, &[0x80])),
            "its CRL number cannot be read",
        ),
        (
            list().without(id::NUMBER).delta_of(1),
            "it is a delta list without a CRL number",
        ),
        (
            list().scope(&[]),
            "its issuing distribution point cannot be read",
        ),
        (
            list().scope(&[flag(1), flag(2)]),
            "its issuing distribution point cannot be read",
        ),
        (
            list().raw_entries(&[0x30, 3, 2, 1, 1]),
            "its entry 1 cannot be read",
        ),
    ];
    for (list, expected) in rows {
        let refused = RevocationLists::none().with_der(list.der()).unwrap_err();
        let text = refused.problem.to_string();
        assert_eq!(text, format!("list 1 in it cannot be used: {expected}"));
    }
}

#[test]
fn any_serial_number_is_found_among_many() {
    let pki = Pki::new();
    let end = pki.root.issue(Spec::server(&[NAME]));
    let mut list = Crl::by(&pki.root);
    for number in 0..3000u32 {
        let serial = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        // Of every length, also longer than any that RFC 5280 allows.
        let length = usize::try_from(number % 300).unwrap();
        let serial = [&[1][..], &vec![7; length], &serial].concat();
        list = list.entry(&serial, &[]);
    }
    let check = |list: Crl<'_>| verdict(&[&end], &[&pki.root], lists(&[list]), now_secs());
    assert_eq!(check(list.clone()), "good");
    assert_eq!(
        check(list.clone().revoking(&end)),
        "certificate-revoked at 0 by 1"
    );
    // The same number, encoded differently.
    let longer = [&[0][..], &end.serial].concat();
    assert_eq!(
        check(list.entry(&longer, &[])),
        "certificate-revoked at 0 by 1"
    );
}

#[test]
fn lists_are_summarized() {
    let pki = Pki::new();
    let now = now_secs();
    let list = Crl::by(&pki.root)
        .between(now, None)
        .scope(&[point(&[URL]), flag(1)])
        .delta_of(0)
        .entry(&[1], &[]);
    let given = lists(&[list, Crl::by(&pki.root)]);
    let text: Vec<_> = given.summaries().collect();
    let [first, second] = text.as_slice() else {
        panic!("{text:?}");
    };
    assert_eq!(
        first.scope,
        "end-entity certificates, distribution point http://crl.example/1.crl"
    );
    assert_eq!((first.entries, first.next_update), (1, None));
    assert_eq!(first.number.as_deref(), Some("1"));
    assert_eq!(first.delta_of.as_deref(), Some("0"));
    assert_eq!(second.scope, "all certificates");
    assert_eq!(second.next_update, Some((now + 7 * DAY_SECS) as i64));
}
