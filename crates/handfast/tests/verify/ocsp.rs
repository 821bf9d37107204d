//! Stapled OCSP responses, made by OpenSSL: their signers, certificates and times.

use std::time::Duration;

use aws_lc_rs::digest;
use handfast::{CertificateDer, StapleProblem, StapledResponse, StapledStatus, UnixTime};
use handfast_testbed::crl::{ECDSA_WITH_SHA256, generalized_time, subject};
use handfast_testbed::ocsp::{Status, respond};
use handfast_testbed::pki::{
    DAY_SECS, ExtendedKeyUsagePurpose, Issued, Key, KeyUsagePurpose, Pki, Spec, der, now_secs,
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
fn a_response_must_be_signed_by_the_issuer_or_its_responder() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let now = now_secs();
    let issuer = pki.root.issue(Spec::authority("Issuer"));
    let stranger = Spec::authority("Issuer").self_signed();
    let about = issuer.issue(Spec::server(&["localhost"]));
    let other = issuer.issue(Spec::server(&["localhost"]));
    let delegated = issuer.issue(responder());
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
        ("delegated", &delegated, Status::Good, &[], Ok(good.clone())),
        (
            "delegated by key",
            &delegated,
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
            &delegated,
            Status::Good,
            &["-resp_no_certs"],
            Err(unauthorised.clone()),
        ),
        (
            "not delegated",
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
            "delegated by the root, not by the issuer",
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
            "its responder",
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
        let checked = check(&response, &about, &issuer, now_secs());
        assert_eq!(
            checked.clone().map(|found| found.status),
            expected,
            "{case}"
        );
        if let Ok(found) = checked {
            assert!(
                found.produced_at.abs_diff(i64::try_from(now).unwrap()) < 300,
                "{case}"
            );
            assert_eq!(
                found.next_update,
                Some(found.this_update + 7 * 86_400),
                "{case}"
            );
            assert!(
                found.responder.contains("CN="),
                "{case} {}",
                found.responder
            );
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
fn a_response_applies_only_at_its_time() {
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
        let found = match check(response, &about, &pki.root, now) {
            Ok(_) => "good",
            Err(StapleProblem::NotYetValid { .. } | StapleProblem::NotYetProduced { .. }) => {
                "future"
            }
            Err(StapleProblem::Outdated { .. }) => "outdated",
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, expected, "{now}");
    }
}

#[test]
fn every_change_to_a_response_is_detected() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    let delegated = pki.root.issue(responder());
    let Some(response) = respond(
        directory.path(),
        &pki.root,
        &delegated,
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
            // A byte that is not signed (the responder's certificate has some) may change; the status may
            // not.
            if let Ok(found) = check(&altered, &about, &pki.root, now) {
                assert_eq!(found, whole, "{position}");
            }
        }
    }
    let longer = [&response[..], &[0]].concat();
    assert!(check(&longer, &about, &pki.root, now).is_err());
}

#[test]
fn errors_of_a_responder_are_reported() {
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    for (bytes, expected) in [
        (
            &[0x30, 3, 0x0a, 1, 3][..],
            "the responder's status is tryLater",
        ),
        (
            &[0x30, 3, 0x0a, 1, 6],
            "the responder's status is unauthorized",
        ),
        (
            &[0x30, 3, 0x0a, 1, 0],
            "it cannot be read: its frame is malformed",
        ),
        (&[0x30, 0], "it cannot be read: its status is malformed"),
        (&[], "it cannot be read: its frame is malformed"),
    ] {
        let found = check(bytes, &about, &pki.root, now_secs()).unwrap_err();
        assert_eq!(found.to_string(), expected, "{bytes:?}");
    }
}

/// One entry for a certificate, encoded by hand, because OpenSSL makes only current responses with one entry.
#[derive(Clone)]
struct Answer {
    status: Vec<u8>,
    this_update: u64,
    next_update: Option<u64>,
}

impl Answer {
    fn good() -> Self {
        let now = now_secs();
        Self {
            status: der(0x80, &[]),
            this_update: now - 3600,
            next_update: Some(now + DAY_SECS),
        }
    }

    fn unknown() -> Self {
        let status = der(0x82, &[]);
        Self {
            status,
            ..Self::good()
        }
    }

    fn revoked(reason: u8) -> Self {
        let since = generalized_time(now_secs() - 30 * DAY_SECS);
        let reason = der(0xa0, &der(10, &[reason]));
        let status = der(0xa1, &[since, reason].concat());
        Self {
            status,
            ..Self::good()
        }
    }

    fn between(self, this_update: u64, next_update: Option<u64>) -> Self {
        Self {
            this_update,
            next_update,
            ..self
        }
    }

    /// SingleResponse.
    fn encode(&self, about: &Issued, issuer: &Issued) -> Vec<u8> {
        const SHA256: [u8; 13] = [0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
        let hash = |bytes: &[u8]| {
            let hash = digest::digest(&digest::SHA256, bytes);
            der(4, hash.as_ref())
        };
        let id = [
            SHA256.to_vec(),
            hash(&subject(issuer)),
            hash(issuer.key().public_key_raw()),
            der(2, &about.serial),
        ];
        let mut fields = der(0x30, &id.concat());
        fields.extend(&self.status);
        fields.extend(generalized_time(self.this_update));
        if let Some(next_update) = self.next_update {
            fields.extend(der(0xa0, &generalized_time(next_update)));
        }
        der(0x30, &fields)
    }
}

/// A response with these entries, signed by the issuer.
fn signed(issuer: &Issued, produced_at: u64, answers: &[Vec<u8>]) -> Vec<u8> {
    const BASIC: [u8; 11] = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let data = [
        der(0xa1, &subject(issuer)),
        generalized_time(produced_at),
        der(0x30, &answers.concat()),
    ];
    let data = der(0x30, &data.concat());
    let signature = issuer.sign(&data);
    let signature = der(3, &[&[0][..], &signature].concat());
    let basic = der(0x30, &[&data[..], &ECDSA_WITH_SHA256, &signature].concat());
    let typed = der(0x30, &[&BASIC[..], &der(4, &basic)].concat());
    der(0x30, &[&[10, 1, 0][..], &der(0xa0, &typed)].concat())
}

#[test]
fn of_several_entries_the_worst_applies() {
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    let other = pki.server(&["localhost"]);
    let now = now_secs();
    let long_ago = |answer: Answer| answer.between(now - 9 * DAY_SECS, Some(now - 5 * DAY_SECS));
    let in_a_day = |answer: Answer| answer.between(now + DAY_SECS, Some(now + 2 * DAY_SECS));
    const KEY: u8 = 1;
    const HOLD: u8 = 6;
    let rows: Vec<(&str, Vec<Answer>, &str)> = vec![
        ("one", vec![Answer::good()], "good"),
        (
            "two",
            vec![Answer::good(), Answer::revoked(KEY)],
            "keyCompromise",
        ),
        (
            "unknown",
            vec![Answer::good(), Answer::unknown()],
            "unknown",
        ),
        (
            "all",
            vec![
                Answer::unknown(),
                Answer::revoked(HOLD),
                Answer::good(),
                Answer::revoked(KEY),
            ],
            "keyCompromise",
        ),
        (
            "held",
            vec![Answer::good(), Answer::revoked(HOLD)],
            "certificateHold",
        ),
        // Entries that are not current do not apply...
        (
            "held before",
            vec![Answer::good(), long_ago(Answer::revoked(HOLD))],
            "good",
        ),
        ("good before", vec![long_ago(Answer::good())], "outdated"),
        (
            "unknown before",
            vec![long_ago(Answer::unknown()), Answer::good()],
            "good",
        ),
        (
            "not yet",
            vec![in_a_day(Answer::revoked(KEY)), Answer::good()],
            "good",
        ),
        // ... but a revocation is permanent.
        (
            "revoked before",
            vec![Answer::good(), long_ago(Answer::revoked(KEY))],
            "keyCompromise",
        ),
        (
            "only revoked before",
            vec![long_ago(Answer::revoked(KEY))],
            "keyCompromise",
        ),
    ];
    for (case, answers, expected) in rows {
        let mut encoded: Vec<Vec<u8>> = answers
            .iter()
            .map(|answer| answer.encode(&about, &pki.root))
            .collect();
        encoded.push(Answer::revoked(KEY).encode(&other, &pki.root));
        for _ in 0..2 {
            encoded.reverse();
            let response = signed(&pki.root, now, &encoded);
            let found = match check(&response, &about, &pki.root, now) {
                Ok(found) => match found.status {
                    StapledStatus::Good => "good",
                    StapledStatus::Revoked { reason, .. } => reason.unwrap_or("revoked"),
                    _ => "unknown",
                },
                Err(StapleProblem::Outdated { .. }) => "outdated",
                Err(other) => panic!("{case}: {other}"),
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}

#[test]
fn produced_at_must_not_be_in_the_future_or_before_this_update() {
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    let now = now_secs();
    let answer = Answer::good().encode(&about, &pki.root);
    for (produced_at, expected) in [
        (now, "good"),
        (now + 290, "good"),
        (now + 900, "in the future"),
        (now - 3600 - 290, "good"),
        (now - 2 * 3600, "before its thisUpdate"),
    ] {
        let response = signed(&pki.root, produced_at, std::slice::from_ref(&answer));
        let found = check(&response, &about, &pki.root, now)
            .map_or_else(|problem| problem.to_string(), |_| "good".to_owned());
        assert!(found.contains(expected), "{found}, not {expected}");
    }
}

#[test]
fn a_response_without_next_update_is_valid_for_a_day() {
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    let now = now_secs();
    let answer = Answer::good().between(now, None).encode(&about, &pki.root);
    let response = signed(&pki.root, now, &[answer]);
    for (at, counts) in [
        (now, true),
        (now + DAY_SECS + 290, true),
        (now + DAY_SECS + 600, false),
    ] {
        let checked = check(&response, &about, &pki.root, at);
        assert_eq!(checked.is_ok(), counts, "{checked:?}");
    }
}

#[test]
fn a_responders_key_usage_must_allow_signing() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let about = pki.server(&["localhost"]);
    for (usage, expected) in [
        (KeyUsagePurpose::DigitalSignature, true),
        (KeyUsagePurpose::ContentCommitment, true),
        (KeyUsagePurpose::KeyAgreement, false),
    ] {
        let delegated = pki.root.issue(responder().key_usage(&[usage]));
        let (root, status) = (&pki.root, Status::Good);
        let Some(response) = respond(directory.path(), root, &delegated, &about, status, &[])
        else {
            return;
        };
        let checked = check(&response, &about, root, now_secs());
        assert_eq!(checked.is_ok(), expected, "{usage:?}: {checked:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_not_a_valid_response(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let nothing = CertificateDer::from(Vec::new());
        let now = at(1_800_000_000);
        prop_assert!(StapledResponse::check(&bytes, &nothing, &nothing, now).is_err());
    }
}
