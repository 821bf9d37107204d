//! Stapled OCSP responses, made by OpenSSL: who may sign one, what it is about, and of when it is.

use std::time::Duration;

use handfast::{CertificateDer, StapleProblem, StapledResponse, StapledStatus, UnixTime};
use handfast_testbed::ocsp::{Status, respond};
use handfast_testbed::pki::{
    DAY_SECS, ExtendedKeyUsagePurpose, Issued, Key, KeyUsagePurpose, Pki, Spec, now_secs,
};
use proptest::prelude::*;

fn responder() -> Spec {
    Spec::client("Responder")
        .extended_key_usage(&[ExtendedKeyUsagePurpose::OcspSigning])
        .key_usage(&[KeyUsagePurpose::DigitalSignature])
}

fn at(unix_seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds))
}

fn check(
    response: &[u8],
    about: &Issued,
    issuer: &Issued,
    now: u64,
) -> Result<StapledResponse, StapleProblem> {
    StapledResponse::check(response, &about.der, &issuer.der, at(now))
}

#[test]
fn b4_a_response_counts_only_by_its_issuer_s_word() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let now = now_secs();
    let issuer = pki.root.issue(Spec::authority("Issuer"));
    let stranger = Spec::authority("Issuer").self_signed();
    let about = issuer.issue(Spec::server(&["localhost"]));
    let other = issuer.issue(Spec::server(&["localhost"]));
    let appointed = issuer.issue(responder());
    let appointed_rsa = issuer.issue(responder().key(Key::Rsa2048));
    let not_appointed = issuer.issue(Spec::server(&["localhost"]));
    let of_yesterday = issuer.issue(responder().expired());
    let of_root = pki.root.issue(responder());
    let of_stranger = stranger.issue(responder());
    let revoked = StapledStatus::Revoked {
        at: 1_790_856_000,
        reason: Some("keyCompromise"),
    };
    let (good, unauthorised) = (StapledStatus::Good, StapleProblem::Unauthorised);
    let unknown = StapledStatus::Unknown;
    type Row<'a> = (
        &'a str,
        &'a Issued,
        Status,
        &'a [&'a str],
        Result<StapledStatus, StapleProblem>,
    );
    let table: Vec<Row<'_>> = vec![
        ("issuer", &issuer, Status::Good, &[], Ok(good.clone())),
        (
            "by key",
            &issuer,
            Status::Good,
            &["-resp_key_id"],
            Ok(good.clone()),
        ),
        (
            "revoked",
            &issuer,
            Status::Revoked,
            &[],
            Ok(revoked.clone()),
        ),
        ("unknown", &issuer, Status::Unknown, &[], Ok(unknown)),
        ("appointed", &appointed, Status::Good, &[], Ok(good.clone())),
        (
            "appointed by key",
            &appointed,
            Status::Revoked,
            &["-resp_key_id"],
            Ok(revoked),
        ),
        (
            "RSA",
            &appointed_rsa,
            Status::Good,
            &["-rmd", "sha384"],
            Ok(good),
        ),
        (
            "without its certificate",
            &appointed,
            Status::Good,
            &["-resp_no_certs"],
            Err(unauthorised.clone()),
        ),
        (
            "not appointed",
            &not_appointed,
            Status::Good,
            &[],
            Err(unauthorised.clone()),
        ),
        (
            "expired responder",
            &of_yesterday,
            Status::Good,
            &[],
            Err(unauthorised.clone()),
        ),
        (
            "appointed by the root, not by the issuer",
            &of_root,
            Status::Good,
            &[],
            Err(unauthorised.clone()),
        ),
        (
            "another authority of this name",
            &stranger,
            Status::Good,
            &[],
            Err(unauthorised.clone()),
        ),
        (
            "that one's responder",
            &of_stranger,
            Status::Good,
            &[],
            Err(unauthorised.clone()),
        ),
        (
            "bad signature",
            &issuer,
            Status::Good,
            &["-badsig"],
            Err(unauthorised),
        ),
    ];
    for (case, signer, status, args, expected) in table {
        let Some(response) = respond(directory.path(), &issuer, signer, &about, status, args)
        else {
            return;
        };
        let judged = check(&response, &about, &issuer, now_secs());
        assert_eq!(judged.clone().map(|told| told.status), expected, "{case}");
        if let Ok(told) = judged {
            assert!(
                told.produced_at.abs_diff(i64::try_from(now).unwrap()) < 300,
                "{case}"
            );
            assert_eq!(
                told.next_update,
                Some(told.this_update + 7 * 86_400),
                "{case}"
            );
            assert!(told.responder.contains("CN="), "{case} {}", told.responder);
        }
        assert_eq!(
            check(&response, &other, &issuer, now_secs()),
            Err(StapleProblem::OtherCertificate),
            "{case}"
        );
        assert_eq!(
            check(&response, &about, &stranger, now_secs()),
            Err(StapleProblem::OtherCertificate),
            "{case}"
        );
    }
}

#[test]
fn b4_a_response_is_of_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    let sign = |args: &[&str]| {
        respond(
            directory.path(),
            &pki.root,
            &pki.root,
            &about,
            Status::Good,
            args,
        )
    };
    let (Some(week), Some(minute)) = (sign(&[]), sign(&["-nmin", "1"])) else {
        return;
    };
    let now = now_secs();
    for (response, now, expected) in [
        (&week, now, "good"),
        (&week, now - 290, "good"),
        (&week, now - 600, "future"),
        (&week, now + 6 * DAY_SECS, "good"),
        (&week, now + 7 * DAY_SECS + 600, "outdated"),
        (&minute, now, "good"),
        (&minute, now + 300, "good"),
        (&minute, now + 600, "outdated"),
    ] {
        let told = match check(response, &about, &pki.root, now) {
            Ok(_) => "good",
            Err(StapleProblem::NotYetValid { .. }) => "future",
            Err(StapleProblem::Outdated { .. }) => "outdated",
            Err(other) => panic!("{other}"),
        };
        assert_eq!(told, expected, "{now}");
    }
}

#[test]
fn b4_no_change_to_a_response_goes_unnoticed() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    let appointed = pki.root.issue(responder());
    let Some(response) = respond(
        directory.path(),
        &pki.root,
        &appointed,
        &about,
        Status::Revoked,
        &[],
    ) else {
        return;
    };
    let now = now_secs();
    let whole = check(&response, &about, &pki.root, now).unwrap();
    for position in 0..response.len() {
        assert!(
            check(&response[..position], &about, &pki.root, now).is_err(),
            "cut at {position}"
        );
        for change in [1, 0x80] {
            let mut altered = response.clone();
            altered[position] ^= change;
            // A byte that nobody signs (the responder's own certificate has some) may change; what the
            // response says may not.
            if let Ok(told) = check(&altered, &about, &pki.root, now) {
                assert_eq!(told, whole, "{position}");
            }
        }
    }
    let longer = [&response[..], &[0]].concat();
    assert!(check(&longer, &about, &pki.root, now).is_err());
}

#[test]
fn b4_what_a_responder_says_instead_is_told() {
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    for (bytes, expected) in [
        (&[0x30, 3, 0x0a, 1, 3][..], "the responder said tryLater"),
        (&[0x30, 3, 0x0a, 1, 6], "the responder said unauthorized"),
        (
            &[0x30, 3, 0x0a, 1, 0],
            "it cannot be read: its frame is malformed",
        ),
        (&[0x30, 0], "it cannot be read: its status is malformed"),
        (&[], "it cannot be read: its frame is malformed"),
    ] {
        let told = check(bytes, &about, &pki.root, now_secs()).unwrap_err();
        assert_eq!(told.to_string(), expected, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn b4_no_bytes_make_a_response(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let nothing = CertificateDer::from(Vec::new());
        let now = at(1_800_000_000);
        prop_assert!(StapledResponse::check(&bytes, &nothing, &nothing, now).is_err());
    }
}
