//! Explanations of failures that are not those of an exchange, compared with the files in
//! `tests/explanations`.

use std::io;
use std::path::{Path, PathBuf};

use handfast::{CrlProblem, RevocationLists};
use handfast_ca::CaError;
use handfast_testbed::golden;

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

#[test]
fn explanations_read_as_they_were_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations");
    let all = revocation_lists()
        .into_iter()
        .chain(authority())
        .chain(crate::command::bench::tests::failures());
    let texts = all.map(|(name, failure)| {
        let explanation = failure.explanation;
        assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
        (name.to_owned(), format!("{explanation}\n"))
    });
    golden::compare(&directory, 5, texts);
}
