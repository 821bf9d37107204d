//! Errors, with evidence and what to do about them.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why an operation of the authority failed.
///
/// `Display` says what happened in one line; [`fix`](Self::fix) says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaError {
    /// The directory contains an authority already.
    Exists {
        /// Its certificate.
        certificate_file: PathBuf,
    },
    /// There is no authority in the directory.
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory for a new authority holds other files.
    DirectoryInUse {
        /// The directory.
        dir: PathBuf,
        /// The name of one of them, escaped.
        found: String,
    },
    /// A name that the authority's name constraints do not permit. Nothing was signed.
    NotPermitted {
        /// The name, in the form used in certificates.
        name: String,
        /// What the authority may sign for.
        permitted: Vec<String>,
    },
    /// Text that cannot be certified as a name.
    InvalidName {
        /// The text, escaped.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Text that cannot widen the constraints.
    InvalidPermit {
        /// The text, escaped.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A request without a name.
    NoName,
    /// A client certificate for two owners.
    SeveralSubjects {
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// A lifetime outside of the allowed range.
    InvalidDays {
        /// The requested lifetime.
        days: u32,
        /// The longest allowed.
        days_max: u32,
    },
    /// The passphrase for a new key is empty.
    EmptyPassphrase,
    /// The authority's own certificate has expired.
    Expired {
        /// When, in Unix seconds.
        not_after: i64,
    },
    /// A file of that name exists already.
    FileExists {
        /// The file that would have been overwritten.
        path: PathBuf,
    },
    /// Certificates were to be written among the authority's own files.
    OutputIsAuthority {
        /// The directory.
        dir: PathBuf,
    },
    /// Users other than its owner can read the authority's key, so it is not used.
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The authority's key is not the one in its certificate.
    KeyMismatch {
        /// The key's file.
        path: PathBuf,
    },
    /// No certificate with this serial number was issued here.
    UnknownSerial {
        /// The number, hexadecimal.
        serial: String,
    },
    /// Text that is not a serial number.
    InvalidSerial {
        /// The text, escaped.
        text: String,
    },
    /// A certificate that another authority issued.
    ForeignCertificate {
        /// The file that holds it.
        path: PathBuf,
    },
    /// The authority's own certificate, which its list cannot revoke.
    OwnCertificate {
        /// The file that holds it.
        path: PathBuf,
    },
    /// One of the authority's own files, or one given to it, is malformed.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Another process held the authority's lock for too long.
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long this process waited.
        waited_secs: u64,
    },
    /// A file or a directory cannot be read or written.
    File {
        /// What was being done: `read`, `write`, `create`...
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The cryptographic library returned an error, which is not expected.
    Crypto {
        /// What was being done.
        doing: &'static str,
        /// Its message.
        detail: String,
    },
}

impl CaError {
    /// A stable name for the kind of error.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "ca-exists",
            Self::Missing { .. } => "ca-missing",
            Self::DirectoryInUse { .. } => "ca-directory-in-use",
            Self::NotPermitted { .. } => "ca-name-not-permitted",
            Self::InvalidName { .. } => "ca-invalid-name",
            Self::InvalidPermit { .. } => "ca-invalid-permit",
            Self::NoName => "ca-no-name",
            Self::SeveralSubjects { .. } => "ca-several-subjects",
            Self::InvalidDays { .. } => "ca-invalid-days",
            Self::EmptyPassphrase => "ca-empty-passphrase",
            Self::Expired { .. } => "ca-expired",
            Self::FileExists { .. } => "ca-file-exists",
            Self::OutputIsAuthority { .. } => "ca-output-is-authority",
            Self::KeyExposed { .. } => "ca-key-exposed",
            Self::KeyMismatch { .. } => "ca-key-mismatch",
            Self::UnknownSerial { .. } => "ca-unknown-serial",
            Self::InvalidSerial { .. } => "ca-invalid-serial",
            Self::ForeignCertificate { .. } => "ca-foreign-certificate",
            Self::OwnCertificate { .. } => "ca-own-certificate",
            Self::Malformed { .. } => "ca-malformed-file",
            Self::Busy { .. } => "ca-busy",
            Self::File { .. } => "ca-file",
            Self::Crypto { .. } => "ca-crypto",
        }
    }

    /// What to do about it, if there is anything to do.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Exists { .. } => {
                "use it as it is, or give another directory"
                    .to_owned()
            }
            Self::Missing { .. } => {
                "make one, or name the right directory"
                    .to_owned()
            }
            Self::DirectoryInUse { .. } => {
                "give a new or an empty directory".to_owned()
            }
            Self::NotPermitted { name, .. } => format!(
                "what an authority may sign for is fixed when it is made: make another one, that may sign for {}, \
                 in another directory",
                name.strip_prefix("*.").unwrap_or(name)
            ),
            Self::InvalidName { .. } => {
                "give host names, IP addresses or, for a client, its name or mail address"
                    .to_owned()
            }
            Self::InvalidPermit { .. } => {
                "give a domain (its subdomains are included), an IP address or a network such as \
                 192.0.2.0/24"
                    .to_owned()
            }
            Self::NoName => "give at least one name to certify".to_owned(),
            Self::SeveralSubjects { .. } => "issue one certificate for each of them".to_owned(),
            Self::InvalidDays { days_max, .. } => format!("give 1 to {days_max} days"),
            Self::EmptyPassphrase => "give a passphrase that is not empty".to_owned(),
            Self::Expired { .. } => {
                "make a new authority in another directory and have its certificate trusted"
                    .to_owned()
            }
            Self::FileExists { .. } => {
                "give another directory, or replace the files"
                    .to_owned()
            }
            Self::OutputIsAuthority { .. } => "give another directory".to_owned(),
            Self::KeyExposed { path, .. } => format!(
                "find out who may have read it, then: chmod 600 {}",
                path.display()
            ),
            Self::UnknownSerial { .. } => {
                "compare it with the list of what was issued; if the ledger was lost, give the file of the \
                 certificate, or say that it was lost"
                    .to_owned()
            }
            Self::ForeignCertificate { .. } => {
                "revoke it with the authority that issued it, in that authority's directory"
                    .to_owned()
            }
            Self::OwnCertificate { .. } => {
                "give the file of a certificate that it issued; to retire the authority, remove its \
                certificate from every trust store"
                    .to_owned()
            }
            Self::InvalidSerial { .. } => {
                "give the hexadecimal number from the list of what was issued, or the file of the \
                 certificate"
                    .to_owned()
            }
            Self::Busy { .. } => {
                "let the other process finish, or end it, and try again".to_owned()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run it as the owner of the directory, or name another directory"
                    .to_owned()
            }
            Self::KeyMismatch { .. } | Self::Malformed { .. } => {
                "restore the file from a backup".to_owned()
            }
            Self::File { .. } | Self::Crypto { .. } => return None,
        })
    }

    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    pub(crate) fn crypto<E: fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Crypto {
            doing,
            detail: error.to_string(),
        }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { certificate_file } => write!(
                f,
                "certificate authority exists already: {}",
                certificate_file.display()
            ),
            Self::Missing { dir } => {
                write!(f, "there is no certificate authority in {}", dir.display())
            }
            Self::DirectoryInUse { dir, found } => write!(
                f,
                "{} holds other files ({found}), and an authority's directory is made accessible \
                to its owner only",
                dir.display()
            ),
            Self::NotPermitted { name, .. } => {
                write!(
                    f,
                    "this authority may not sign for {name}; nothing was signed"
                )
            }
            Self::InvalidName { text, problem } => {
                write!(f, "\"{text}\" cannot be certified: {problem}")
            }
            Self::InvalidPermit { text, problem } => {
                write!(f, "\"{text}\" cannot be permitted: {problem}")
            }
            Self::NoName => f.write_str("a certificate needs a name"),
            Self::SeveralSubjects { first, second } => write!(
                f,
                "a client certificate has one owner, not both {first} and {second}"
            ),
            Self::InvalidDays { days, days_max } => write!(
                f,
                "a certificate cannot be valid for {days} days: the limit is {days_max}"
            ),
            Self::EmptyPassphrase => f.write_str("the passphrase for the new key is empty"),
            Self::Expired { .. } => f.write_str("the authority's own certificate has expired"),
            Self::FileExists { path } => {
                write!(f, "{} exists already; it was not changed", path.display())
            }
            Self::OutputIsAuthority { dir } => write!(
                f,
                "certificates are not written to the authority's own directory {}",
                dir.display()
            ),
            Self::KeyExposed { path, mode } => write!(
                f,
                "the authority's key {} is accessible to other users (mode {mode:04o})",
                path.display()
            ),
            Self::KeyMismatch { path } => write!(
                f,
                "the key {} does not belong to the authority's certificate",
                path.display()
            ),
            Self::UnknownSerial { serial } => {
                write!(
                    f,
                    "no certificate with the serial number {serial} was issued here"
                )
            }
            Self::InvalidSerial { text } => write!(f, "\"{text}\" is not a serial number"),
            Self::ForeignCertificate { path } => write!(
                f,
                "the certificate in {} was not signed by this authority",
                path.display()
            ),
            Self::OwnCertificate { path } => write!(
                f,
                "{} is the authority's own certificate, which its list cannot revoke",
                path.display()
            ),
            Self::Malformed { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Busy { path, waited_secs } => write!(
                f,
                "another process holds the lock {}; waited {waited_secs} s",
                path.display()
            ),
            Self::File { doing, path, .. } => write!(f, "cannot {doing} {}", path.display()),
            Self::Crypto { doing, detail } => write!(f, "cannot {doing}: {detail}"),
        }
    }
}

impl std::error::Error for CaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
