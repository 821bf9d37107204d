//! The authority: what it refuses, what it writes and how it recovers.

mod common;

use std::fs;
use std::path::Path;
use std::thread;

use common::{Fixture, openssl};
use handfast_ca::{Authority, CaError, InitOptions, IssueRequest, KeyType, RevokeTarget};
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_authority_is_created_once_and_then_opened() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("deep/er/ca");
    assert!(matches!(
        Authority::open(&dir),
        Err(CaError::Missing { .. })
    ));
    let (made, created) = Authority::open_or_init(&dir, &InitOptions::default()).unwrap();
    assert!(created);
    let (opened, created) = Authority::open_or_init(&dir, &InitOptions::default()).unwrap();
    assert!(!created);
    assert_eq!(made.sha256(), opened.sha256());
    assert_eq!(made.permitted(), opened.permitted());
    let again = Authority::init(&dir, &InitOptions::default());
    assert!(matches!(again, Err(CaError::Exists { .. })), "{again:?}");
    assert_eq!(Authority::open(&dir).unwrap().sha256(), made.sha256());
    let another = Fixture::new();
    assert_ne!(another.authority.common_name(), made.common_name());
}

#[test]
fn secrets_are_readable_by_their_owner_only() {
    let home = Fixture::new();
    let issued = home
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    let mut elsewhere = IssueRequest::server(["localhost"]);
    elsewhere.out = Some(home.path("out"));
    let outside = home.authority.issue(&elsewhere).unwrap();
    #[cfg(unix)]
    {
        let dir = home.authority.dir();
        assert_eq!(mode(dir), 0o700);
        assert_eq!(mode(&dir.join("certs")), 0o700);
        assert_eq!(mode(&home.authority.key_file()), 0o600);
        assert_eq!(mode(&dir.join("ledger.jsonl")), 0o600);
        assert_eq!(mode(&issued.key_file), 0o600);
        assert_eq!(mode(&outside.key_file), 0o600);
        // 0644 with the umask applied.
        assert_eq!(mode(&home.authority.certificate_file()) & !0o644, 0);
    }
    let ledger = fs::read_to_string(home.authority.dir().join("ledger.jsonl")).unwrap();
    assert!(!ledger.contains("PRIVATE"));
    let mut request = IssueRequest::server(["localhost"]);
    request.passphrase = Some(Zeroizing::new("hunter2".to_owned()));
    assert!(!format!("{request:?}").contains("hunter2"));
    assert!(!format!("{:?}", home.authority).contains("PRIVATE"));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let home = Fixture::new();
    let key = home.authority.key_file();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = home
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap_err();
    assert!(
        matches!(refused, CaError::KeyExposed { mode: 0o640, .. }),
        "{refused:?}"
    );
    assert!(refused.fix().unwrap().contains("chmod 600"));
    assert!(home.authority.issued().unwrap().is_empty());
}

#[test]
fn names_outside_are_refused_before_anything_is_signed() {
    let home = Fixture::new();
    let out = home.path("out");
    for (client, names) in [
        (false, &["bank.example"][..]),
        (false, &["localhost", "bank.example"]),
        (false, &["*.bank.example"]),
        (false, &["8.8.8.8"]),
        (false, &["2606:2800::1"]),
        (true, &["alice.smith"]),
        (true, &["alice", "bank.example"]),
    ] {
        let mut request = IssueRequest::server(names.iter().copied());
        request.client = client;
        request.out = Some(out.clone());
        let refused = home.authority.issue(&request).unwrap_err();
        let CaError::NotPermitted { name, permitted } = &refused else {
            panic!("{names:?}: {refused:?}");
        };
        assert_eq!(Some(&name.as_str()), names.last());
        assert!(permitted.contains(&"localhost".to_owned()));
        assert!(refused.fix().unwrap().contains("another one"), "{names:?}");
    }
    assert!(!out.exists());
    assert!(home.authority.issued().unwrap().is_empty());
}

#[test]
fn invalid_requests_are_refused() {
    let home = Fixture::new();
    let with_days = |days| {
        let mut request = IssueRequest::server(["localhost"]);
        request.days = days;
        request
    };
    let mut empty_passphrase = IssueRequest::server(["localhost"]);
    empty_passphrase.passphrase = Some(Zeroizing::default());
    let mut into_authority = IssueRequest::server(["ca.localhost"]);
    into_authority.out = Some(home.authority.dir().join("certs/.."));
    into_authority.overwrite = true;
    fs::create_dir(home.authority.dir().join("certs")).unwrap();
    for (request, id) in [
        (IssueRequest::server(Vec::<String>::new()), "ca-no-name"),
        (IssueRequest::server(["*.local"]), "ca-invalid-name"),
        (IssueRequest::server(["local host"]), "ca-invalid-name"),
        (
            IssueRequest::client(["alice", "bob"]),
            "ca-several-subjects",
        ),
        (with_days(0), "ca-invalid-days"),
        (with_days(826), "ca-invalid-days"),
        (empty_passphrase, "ca-empty-passphrase"),
        (into_authority, "ca-output-is-authority"),
    ] {
        let refused = home.authority.issue(&request).unwrap_err();
        assert_eq!(refused.id(), id, "{request:?}");
        assert!(!refused.to_string().is_empty());
    }
    assert!(home.authority.issued().unwrap().is_empty());
}

#[test]
fn invalid_options_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("ca");
    let with = |change: fn(&mut InitOptions)| {
        let mut options = InitOptions::default();
        change(&mut options);
        Authority::init(&dir, &options).unwrap_err().id()
    };
    assert_eq!(with(|options| options.days = 0), "ca-invalid-days");
    assert_eq!(with(|options| options.days = u32::MAX), "ca-invalid-days");
    assert_eq!(
        with(|options| options.permit = vec!["a b".to_owned()]),
        "ca-invalid-permit"
    );
    assert_eq!(
        with(|options| options.common_name = Some("x".repeat(65))),
        "ca-invalid-name"
    );
    assert!(!dir.exists());

    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("thesis.txt"), "mine").unwrap();
    let refused = Authority::init(&dir, &InitOptions::default()).unwrap_err();
    assert_eq!(refused.id(), "ca-directory-in-use");
    assert_eq!(names_in(&dir), ["thesis.txt"]);
}

#[test]
fn an_interrupted_init_is_completed() {
    let home = Fixture::new();
    let dir = home.authority.dir();
    let key = fs::read(home.authority.key_file()).unwrap();
    fs::remove_file(home.authority.certificate_file()).unwrap();
    let (again, created) = Authority::open_or_init(dir, &InitOptions::default()).unwrap();
    assert!(created);
    assert_eq!(fs::read(again.key_file()).unwrap(), key);
    again.issue(&IssueRequest::server(["localhost"])).unwrap();
}

#[test]
fn existing_files_are_kept_by_default() {
    let home = Fixture::new();
    let out = home.path("out");
    let mut request = IssueRequest::server(["*.dev.localhost"]);
    request.out = Some(out.clone());
    let first = home.authority.issue(&request).unwrap();
    assert_eq!(
        names_in(&out),
        ["_wildcard.dev.localhost.key", "_wildcard.dev.localhost.pem"]
    );
    let key = fs::read(&first.key_file).unwrap();
    for gone in [None, Some(&first.chain_file), Some(&first.key_file)] {
        if let Some(gone) = gone {
            fs::rename(gone, home.path("aside")).unwrap();
        }
        let refused = home.authority.issue(&request).unwrap_err();
        assert_eq!(refused.id(), "ca-file-exists");
        if let Some(gone) = gone {
            fs::rename(home.path("aside"), gone).unwrap();
        }
    }
    assert_eq!(fs::read(&first.key_file).unwrap(), key);
    assert_eq!(home.authority.issued().unwrap().len(), 1);

    request.overwrite = true;
    let second = home.authority.issue(&request).unwrap();
    assert_eq!(second.key_file, first.key_file);
    assert_ne!(fs::read(&second.key_file).unwrap(), key);
    assert_eq!(names_in(&out).len(), 2, "a temporary file is left");
}

#[test]
fn certificates_are_valid_as_long_as_requested() {
    let home = Fixture::new();
    let day = 86_400;
    let issued = home
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    // Browsers count both the first and the last second.
    assert_eq!(issued.not_after - issued.not_before + 1, 397 * day);
    assert!(!issued.shortened);

    let mut options = InitOptions::default();
    options.days = 30;
    let short_lived = Fixture::with(&options);
    let issued = short_lived
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    assert_eq!(issued.not_after, short_lived.authority.not_after());
    assert!(issued.shortened);
    let written = CertificateDer::from_pem_file(&issued.chain_file).unwrap();
    let (_, parsed) = X509Certificate::from_der(&written).unwrap();
    assert_eq!(parsed.validity().not_after.timestamp(), issued.not_after);
    assert_eq!(
        parsed.raw_serial_as_string().replace(':', ""),
        issued.serial
    );
    assert_eq!(issued.serial.len(), 32);
}

#[test]
fn a_valid_certificate_is_reused() {
    let home = Fixture::new();
    let authority = &home.authority;
    let request = IssueRequest::server(["localhost", "127.0.0.1"]);
    let (first, issued) = authority.issue_or_reuse(&request).unwrap();
    assert!(issued);
    assert_eq!(
        authority.issue_or_reuse(&request).unwrap(),
        (first.clone(), false)
    );

    let mut others = [
        request.clone(),
        request.clone(),
        IssueRequest::server(["localhost"]),
    ];
    others[0].client = true;
    others[1].key_type = KeyType::EcdsaP384;
    for other in &others {
        let (another, issued) = authority.issue_or_reuse(other).unwrap();
        assert!(issued && another.serial != first.serial, "{other:?}");
    }
    authority
        .revoke(&RevokeTarget::Serial(first.serial.clone()))
        .unwrap();
    let (second, issued) = authority.issue_or_reuse(&request).unwrap();
    assert!(issued && second.serial != first.serial);
    fs::remove_file(&second.key_file).unwrap();
    assert!(authority.issue_or_reuse(&request).unwrap().1);
}

#[test]
fn concurrent_issues_and_revocations_are_all_recorded() {
    let home = Fixture::new();
    let dir = home.authority.dir();
    let mut revoked = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                scope.spawn(move || {
                    let authority = Authority::open(dir).unwrap();
                    let serials: Vec<_> = (0..6)
                        .map(|turn| {
                            let name = format!("host-{worker}-{turn}.internal");
                            authority
                                .issue(&IssueRequest::server([name]))
                                .unwrap()
                                .serial
                        })
                        .collect();
                    let revoked = authority
                        .revoke(&RevokeTarget::Serial(serials[0].clone()))
                        .unwrap();
                    (serials, revoked.list.number)
                })
            })
            .collect();
        for worker in workers {
            let (serials, number) = worker.join().unwrap();
            revoked.push((serials[0].clone(), number));
        }
    });
    let records = home.authority.issued().unwrap();
    assert_eq!(records.len(), 48);
    let mut serials: Vec<_> = records.iter().map(|record| &record.serial).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 48);
    let mut numbers: Vec<_> = revoked.iter().map(|(_, number)| number).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 8, "no two lists share a number");
    for (serial, _) in &revoked {
        let record = records
            .iter()
            .find(|record| &record.serial == serial)
            .unwrap();
        assert!(record.revoked_at.is_some());
    }
    let crl = home.authority.crl_file();
    if let Some(text) = openssl(&["crl", "-in", crl.to_str().unwrap(), "-noout", "-text"]) {
        assert_eq!(
            text.words.matches("Serial Number:").count(),
            8,
            "{}",
            text.words
        );
    }
    assert!(names_in(dir).iter().all(|name| !name.starts_with('.')));
}

#[test]
fn concurrent_inits_create_one_authority() {
    let temp = tempfile::tempdir().unwrap();
    let dir = &temp.path().join("ca");
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || Authority::open_or_init(dir, &InitOptions::default()).unwrap())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(results.iter().filter(|(_, created)| *created).count(), 1);
    let first = results[0].0.sha256();
    assert!(
        results
            .iter()
            .all(|(authority, _)| authority.sha256() == first)
    );
}

#[test]
fn revoking_an_unknown_certificate_is_an_error() {
    let home = Fixture::new();
    let authority = &home.authority;
    let issued = authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    let foreign = Fixture::new();
    let other = foreign
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    for (target, id) in [
        (RevokeTarget::Serial("12".repeat(16)), "ca-unknown-serial"),
        (RevokeTarget::Serial("00".repeat(16)), "ca-invalid-serial"),
        (RevokeTarget::Serial("xyz".to_owned()), "ca-invalid-serial"),
        (RevokeTarget::Serial(String::new()), "ca-invalid-serial"),
        (
            RevokeTarget::File(other.chain_file),
            "ca-foreign-certificate",
        ),
        (
            RevokeTarget::File(issued.key_file.clone()),
            "ca-malformed-file",
        ),
        (
            RevokeTarget::File(authority.certificate_file()),
            "ca-own-certificate",
        ),
        (RevokeTarget::File(home.path("missing")), "ca-file"),
    ] {
        let refused = authority.revoke(&target).unwrap_err();
        assert_eq!(refused.id(), id, "{target:?}");
    }
    let before = authority.crl().unwrap().number;
    let colons: Vec<_> = issued
        .serial
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).unwrap())
        .collect();
    let first = authority
        .revoke(&RevokeTarget::Serial(colons.join(":")))
        .unwrap();
    assert!(!first.already_revoked);
    let again = authority
        .revoke(&RevokeTarget::File(issued.chain_file))
        .unwrap();
    assert!(again.already_revoked);
    assert_eq!(again.revoked_at, first.revoked_at);
    assert_eq!(
        (first.list.number, again.list.number),
        (before + 1, before + 1),
        "the list was written again without a change"
    );
    assert_eq!(authority.renew_crl().unwrap().number, before + 2);
}

#[test]
fn errors_name_files_that_cannot_be_written() {
    let home = Fixture::new();
    let plain_file = home.path("file");
    fs::write(&plain_file, "").unwrap();
    let below_file = plain_file.join("ca");
    let refused = Authority::init(&below_file, &InitOptions::default()).unwrap_err();
    assert!(matches!(&refused, CaError::File { .. }), "{refused:?}");
    assert!(refused.to_string().contains("file"), "{refused}");
    assert!(std::error::Error::source(&refused).is_some());

    let mut request = IssueRequest::server(["localhost"]);
    request.out = Some(plain_file);
    assert!(matches!(
        home.authority.issue(&request),
        Err(CaError::File { .. })
    ));
    assert!(home.authority.issued().unwrap().is_empty());
}

/// Permissions do not apply to root, so the test is skipped for root.
#[cfg(unix)]
#[test]
fn errors_name_a_read_only_directory() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        handfast_testbed::skipped::note("root may write into any directory");
        return;
    }
    let home = Fixture::new();
    let out = home.path("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o500)).unwrap();
    let mut request = IssueRequest::server(["localhost"]);
    request.out = Some(out.clone());
    let refused = home.authority.issue(&request).unwrap_err();
    assert!(refused.to_string().contains("out"), "{refused}");
    assert!(refused.fix().is_some());
    assert!(names_in(&out).is_empty());
    assert!(home.authority.issued().unwrap().is_empty());
}

#[test]
fn an_authority_without_name_constraints_is_not_opened() {
    let temp = tempfile::tempdir().unwrap();
    let pki = handfast_testbed::pki::Pki::new();
    fs::write(temp.path().join("ca.pem"), pki.root.cert_pem()).unwrap();
    let refused = Authority::open(temp.path()).unwrap_err();
    assert!(
        refused.to_string().contains("name constraints"),
        "{refused}"
    );
    fs::write(temp.path().join("ca.pem"), "nothing").unwrap();
    assert_eq!(
        Authority::open(temp.path()).unwrap_err().id(),
        "ca-malformed-file"
    );
}

#[test]
fn another_authoritys_key_is_not_used() {
    let (one, other) = (Fixture::new(), Fixture::new());
    fs::copy(other.authority.key_file(), one.authority.key_file()).unwrap();
    let refused = one
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap_err();
    assert_eq!(refused.id(), "ca-key-mismatch");
}

/// A process that ended between recording a revocation and publishing it.
#[test]
fn an_outdated_list_is_reported_and_repaired() {
    let home = Fixture::new();
    let authority = &home.authority;
    let issued = authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    assert!(authority.crl().unwrap().complete);
    let old_list = fs::read(authority.crl_file()).unwrap();
    authority
        .revoke(&RevokeTarget::Serial(issued.serial.clone()))
        .unwrap();
    let ledger = authority.dir().join("ledger.jsonl");
    let whole = fs::read_to_string(&ledger).unwrap();

    // Before the new list was numbered, and before it was written.
    let unnumbered = whole.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    for left_behind in [&unnumbered, &whole] {
        fs::write(&ledger, left_behind).unwrap();
        fs::write(authority.crl_file(), &old_list).unwrap();
        assert!(!authority.crl().unwrap().complete);
        authority
            .issue(&IssueRequest::server(["other.localhost"]))
            .unwrap();
        assert!(authority.crl().unwrap().complete);
        let list = authority.crl_file();
        if let Some(text) = openssl(&["crl", "-in", list.to_str().unwrap(), "-noout", "-text"]) {
            let serial = issued.serial.to_ascii_uppercase();
            assert!(text.words.contains(&serial), "{}", text.words);
        }
    }
}

/// The serial numbers on the authority's list, in hexadecimal.
fn listed(authority: &Authority) -> Vec<String> {
    let der = CertificateRevocationListDer::from_pem_file(authority.crl_file()).unwrap();
    let (_, list) = x509_parser::parse_x509_crl(&der).unwrap();
    list.iter_revoked_certificates()
        .map(|one| format!("{:x}", one.user_certificate))
        .collect()
}

/// The directory was restored from a backup that is older than a certificate.
#[test]
fn a_certificate_is_revoked_by_its_file_after_the_ledger_was_lost() {
    let home = Fixture::new();
    let authority = &home.authority;
    let ledger = authority.dir().join("ledger.jsonl");
    let before = fs::read(&ledger).unwrap();
    let mut request = IssueRequest::client(["stolen"]);
    request.out = Some(home.path("out"));
    let issued = authority.issue(&request).unwrap();
    let serial = RevokeTarget::Serial(issued.serial.clone());
    for _ in 0..3 {
        authority.renew_crl().unwrap();
    }
    let number = authority.crl().unwrap().number;
    fs::write(&ledger, &before).unwrap();

    assert_eq!(
        authority.revoke(&serial).unwrap_err().id(),
        "ca-unknown-serial"
    );
    let target = RevokeTarget::File(issued.chain_file.clone());
    let revoked = authority.revoke(&target).unwrap();
    assert!(!revoked.recorded && !revoked.already_revoked);
    assert_eq!(revoked.serial, issued.serial);
    assert_eq!(revoked.names, ["stolen"]);
    assert_eq!(
        listed(authority).as_slice(),
        std::slice::from_ref(&issued.serial)
    );
    assert!(revoked.list.number > number, "no number is used twice");
    let known = authority.revoked_unrecorded().unwrap();
    assert_eq!(
        (known.len(), known[0].names.as_slice()),
        (1, &["stolen".to_owned()][..])
    );

    // From now on it can be revoked by its number, too, and stays on every list.
    for target in [target, serial] {
        let again = authority.revoke(&target).unwrap();
        assert!(again.already_revoked && again.revoked_at == revoked.revoked_at);
    }
    authority.renew_crl().unwrap();
    assert_eq!(listed(authority), [issued.serial]);
}

/// Signed with the authority's key by another program.
#[test]
fn certificates_made_elsewhere_with_the_key_are_revoked_by_their_file() {
    let home = Fixture::new();
    let forged = home.steal_and_sign(&["shop.test", "10.0.0.7"], None, false);
    let revoked = home.authority.revoke(&RevokeTarget::File(forged)).unwrap();
    assert_eq!(revoked.names, ["shop.test", "10.0.0.7"]);
    assert_eq!(listed(&home.authority).len(), 1);
}

#[test]
fn certificates_of_another_authority_of_the_same_name_are_not_revoked() {
    let mut named = InitOptions::default();
    named.common_name = Some("Our CA".to_owned());
    let (one, other) = (Fixture::with(&named), Fixture::with(&named));
    let foreign = other
        .authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    let target = RevokeTarget::File(foreign.chain_file);
    let refused = one.authority.revoke(&target).unwrap_err();
    assert_eq!(refused.id(), "ca-foreign-certificate");
    assert!(listed(&one.authority).is_empty());
}

#[test]
fn a_serial_number_that_is_not_in_the_ledger_is_revoked_on_request() {
    let home = Fixture::new();
    for (text, listed_as) in [("0x0A:BC", "abc"), ("7f", "7f")] {
        let revoked = home
            .authority
            .revoke(&RevokeTarget::LostSerial(text.to_owned()))
            .unwrap();
        assert!(!revoked.recorded && !revoked.already_revoked, "{text}");
        assert!(
            listed(&home.authority).contains(&listed_as.to_owned()),
            "{text}: {:?}",
            listed(&home.authority)
        );
    }
    for text in ["", "0", "what", &"ab".repeat(21)] {
        let target = RevokeTarget::LostSerial(text.to_owned());
        let refused = home.authority.revoke(&target).unwrap_err();
        assert_eq!(refused.id(), "ca-invalid-serial", "{text}");
    }
}

#[test]
fn a_missing_or_outdated_list_is_renewed() {
    let home = Fixture::new();
    let authority = &home.authority;
    let first = authority.keep_crl_fresh().unwrap();
    assert_eq!(authority.keep_crl_fresh().unwrap().number, first.number);
    fs::remove_file(authority.crl_file()).unwrap();
    let second = authority.keep_crl_fresh().unwrap();
    assert!(second.complete && second.number > first.number);
    assert!(authority.crl_file().is_file());
}
