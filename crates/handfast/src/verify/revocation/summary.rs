//! Summaries of lists for messages, and why a list does not apply.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::x509::format_utc;

/// The summary of a revocation list. Text in it is escaped: it is safe to print. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrlSummary {
    /// The issuer.
    pub issuer: String,
    /// When it was issued (thisUpdate).
    pub this_update: i64,
    /// When the next list is due (nextUpdate); without it a list is valid for seven days.
    pub next_update: Option<i64>,
    /// Its number, if present; decimal, or hexadecimal with `0x` if it is very large.
    pub number: Option<String>,
    /// For a delta list: the number of its base list.
    pub delta_of: Option<String>,
    /// Which certificates it covers: `all certificates`, or its restrictions.
    pub scope: String,
    /// The number of entries.
    pub entries: usize,
    /// The file that it came from.
    pub file: Option<PathBuf>,
}

/// `crl.pem: list 7 of CN=Root, issued 2026-11-25T13:26:58Z, next due 2026-12-02T13:26:58Z`
impl fmt::Display for CrlSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        f.write_str(if self.delta_of.is_some() {
            "delta list "
        } else {
            "list "
        })?;
        if let Some(number) = &self.number {
            write!(f, "{number} ")?;
        }
        let issued = format_utc(self.this_update);
        write!(f, "of {}, issued {issued}", self.issuer)?;
        match self.next_update {
            Some(next_update) => write!(f, ", next due {}", format_utc(next_update)),
            None => f.write_str(", without nextUpdate"),
        }
    }
}

/// The fault of a list with its issuer's key identifier or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrlFault {
    /// The key usage of the issuer's certificate has no cRLSign (RFC 5280, 6.3.3, f).
    MayNotSign,
    /// The list has the identifier of the issuer's key, but that key did not make the signature.
    WrongSignature,
}

impl fmt::Display for CrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MayNotSign => {
                "the key usage of its issuer's certificate does not allow it to sign lists (cRLSign)"
            }
            Self::WrongSignature => "its signature is invalid: the list was damaged or changed",
        })
    }
}

/// A list of the right issuer that does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UncountedCrl {
    /// The list.
    pub list: Arc<CrlSummary>,
    /// Why it does not apply.
    pub reason: Uncounted,
}

/// `crl.pem: list 7 of CN=Root, ...: it was signed by another key`
impl fmt::Display for UncountedCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.list, self.reason)
    }
}

/// Why a list does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Uncounted {
    /// It covers other certificates.
    OtherScope {
        /// Which ones, and what the certificate has.
        detail: String,
    },
    /// Its thisUpdate is in the future.
    FromTheFuture {
        /// When it was checked.
        now: i64,
    },
    /// It was signed by none of the known keys of its issuer.
    OtherKey,
    /// A delta list without its base list.
    WithoutBase,
    /// It covers only some revocation reasons, and no list covers the others.
    SomeReasons {
        /// The reasons that no list covers.
        missing: String,
    },
}

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherScope { detail } => f.write_str(detail),
            Self::FromTheFuture { now } => write!(
                f,
                "its issue date is in the future; this machine's clock: {}",
                format_utc(*now)
            ),
            Self::OtherKey => f.write_str("it was signed with a key that is not the issuer's"),
            Self::WithoutBase => {
                f.write_str("it is a delta list; its base list was not given or is not current")
            }
            Self::SomeReasons { missing } => {
                write!(f, "no list covers revocations for {missing}")
            }
        }
    }
}
