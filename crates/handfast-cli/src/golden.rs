//! Explanations of failures that are not those of an exchange, compared with the files in
//! `tests/explanations`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast::{CrlProblem, RevocationLists};
use handfast_ca::{CaError, Change, StoreError, Tool, ToolProblem};
use handfast_testbed::golden;

use crate::command::{trust_failure, trust_not_found};
use crate::failure::Failure;

/// An error as returned by the operating system.
fn system_error(kind: io::ErrorKind) -> io::Error {
    io::Error::from_raw_os_error(match kind {
        io::ErrorKind::PermissionDenied => 13,
        _ => 28,
    })
}

fn revocation_lists() -> Vec<(&'static str, Failure)> {
    let missing = RevocationLists::none().with_file("no/such/crl.pem");
    let missing = missing.unwrap_err();
    let of = |problem| {
        let mut error = missing.clone();
        error.problem = problem;
        error
    };
    let problems = [
        ("crl-file-unreadable", missing.problem.clone()),
        (
            "crl-file-malformed",
            CrlProblem::Pem {
                detail: "section end \"X509 CRL\" missing".to_owned(),
            },
        ),
        ("crl-file-without-list", CrlProblem::NoList),
        (
            "crl-file-unusable",
            CrlProblem::Unusable {
                index: 1,
                detail: "the list has the critical extension 2.5.29.99, which is not supported"
                    .to_owned(),
            },
        ),
    ];
    problems
        .map(|(name, problem)| (name, of(problem).into()))
        .into()
}

fn authority() -> Vec<(&'static str, Failure)> {
    let dir = || PathBuf::from("/home/ada/.local/share/handfast/ca");
    let key = || dir().join("ca.key");
    let file = |doing, kind| CaError::File {
        doing,
        path: key(),
        source: system_error(kind),
    };
    let errors = vec![
        (
            "ca-exists",
            CaError::Exists {
                certificate_file: dir().join("ca.pem"),
            },
        ),
        ("ca-missing", CaError::Missing { dir: dir() }),
        (
            "ca-directory-in-use",
            CaError::DirectoryInUse {
                dir: dir(),
                found: "holiday.jpg".to_owned(),
            },
        ),
        (
            "ca-name-not-permitted",
            CaError::NotPermitted {
                name: "*.example.org".to_owned(),
                permitted: vec!["localhost".to_owned(), "127.0.0.0/8".to_owned()],
            },
        ),
        (
            "ca-invalid-name",
            CaError::InvalidName {
                text: "-a-".to_owned(),
                problem: "a label begins with a hyphen",
            },
        ),
        (
            "ca-invalid-permit",
            CaError::InvalidPermit {
                text: "10.0.0.0/99".to_owned(),
                problem: "the prefix is too long",
            },
        ),
        ("ca-no-name", CaError::NoName),
        (
            "ca-several-subjects",
            CaError::SeveralSubjects {
                first: "ada".to_owned(),
                second: "bob".to_owned(),
            },
        ),
        (
            "ca-invalid-days",
            CaError::InvalidDays {
                days: 9999,
                days_max: 825,
            },
        ),
        ("ca-empty-passphrase", CaError::EmptyPassphrase),
        (
            "ca-expired",
            CaError::Expired {
                not_after: 1_700_000_000,
            },
        ),
        (
            "ca-file-exists",
            CaError::FileExists {
                path: "localhost.pem".into(),
            },
        ),
        (
            "ca-output-is-authority",
            CaError::OutputIsAuthority { dir: dir() },
        ),
        (
            "ca-key-exposed",
            CaError::KeyExposed {
                path: key(),
                mode: 0o644,
            },
        ),
        ("ca-key-mismatch", CaError::KeyMismatch { path: key() }),
        (
            "ca-unknown-serial",
            CaError::UnknownSerial {
                serial: "1f2e3d".to_owned(),
            },
        ),
        (
            "ca-invalid-serial",
            CaError::InvalidSerial {
                text: "xyz".to_owned(),
            },
        ),
        (
            "ca-foreign-certificate",
            CaError::ForeignCertificate {
                path: "other.pem".into(),
            },
        ),
        (
            "ca-own-certificate",
            CaError::OwnCertificate {
                path: "ca.pem".into(),
            },
        ),
        (
            "ca-malformed-file",
            CaError::Malformed {
                path: dir().join("ledger.jsonl"),
                problem: "line 3: EOF while parsing a string at line 1 column 40".to_owned(),
            },
        ),
        (
            "ca-busy",
            CaError::Busy {
                path: dir().join("lock"),
                waited_secs: 10,
            },
        ),
        ("ca-file", file("read", io::ErrorKind::PermissionDenied)),
        ("ca-file.full", file("write", io::ErrorKind::StorageFull)),
        (
            "ca-crypto",
            CaError::Crypto {
                doing: "make a key",
                detail: "unspecified".to_owned(),
            },
        ),
    ];
    let errors = errors.into_iter();
    errors.map(|(name, error)| (name, error.into())).collect()
}

fn trust_stores() -> Vec<(&'static str, Failure)> {
    let debian = || PathBuf::from("/usr/local/share/ca-certificates");
    let profile = || PathBuf::from("/home/ada/.mozilla/firefox/x1y2z3.default");
    let name = || "handfast-ca-0123456789abcdef".to_owned();
    let update = || {
        let limit = Duration::from_secs(180);
        Tool::new("/usr/sbin/update-ca-certificates", limit).arg("-f")
    };
    let errors = [
        (
            "trust-store-needs-root",
            StoreError::NeedsRoot { path: debian() },
        ),
        (
            "trust-store-other-owner",
            StoreError::OtherOwner { path: profile() },
        ),
        (
            "trust-store-made-from-system",
            StoreError::MadeFromSystem {
                path: "/etc/pki/ca-trust/extracted/java/cacerts".into(),
            },
        ),
        (
            "trust-store-tool-missing",
            StoreError::ToolMissing {
                tool: "certutil",
                path: profile(),
                install: "apt-get install libnss3-tools".to_owned(),
            },
        ),
        (
            "trust-store-tool-failed",
            StoreError::Tool {
                tool: update(),
                problem: ToolProblem::Ended { code: Some(1) },
                message: "ln: failed to create symbolic link: No space left on device".to_owned(),
            },
        ),
        (
            "trust-store-tool-failed.late",
            StoreError::Tool {
                tool: update(),
                problem: ToolProblem::TimedOut { seconds: 180 },
                message: String::new(),
            },
        ),
        ("trust-store-locked", StoreError::Locked { path: profile() }),
        (
            "trust-store-name-taken",
            StoreError::AnotherCertificate {
                path: profile(),
                name: name(),
            },
        ),
        (
            "trust-store-not-in-effect",
            StoreError::NotInEffect {
                change: Change::Trust,
                path: debian(),
            },
        ),
        (
            "trust-store-not-in-effect.untrust",
            StoreError::NotInEffect {
                change: Change::Untrust,
                path: debian(),
            },
        ),
        (
            "trust-store-file",
            StoreError::File(CaError::File {
                doing: "write",
                path: debian().join(format!("{}.crt", name())),
                source: system_error(io::ErrorKind::StorageFull),
            }),
        ),
    ];
    let reasons = ["java: JAVA_HOME is not set, and there is no java on the PATH".to_owned()];
    errors
        .map(|(name, error)| (name, trust_failure(&error)))
        .into_iter()
        .chain([(
            "trust-store-not-found",
            trust_not_found(reasons.into_iter()),
        )])
        .collect()
}

#[test]
fn explanations_match_the_golden_files() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations");
    let all = revocation_lists()
        .into_iter()
        .chain(authority())
        .chain(trust_stores())
        .chain(crate::command::bench::tests::failures());
    let texts = all.map(|(name, failure)| {
        let explanation = failure.explanation;
        assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
        (name.to_owned(), format!("{explanation}\n"))
    });
    golden::compare(&directory, 5, texts);
}
