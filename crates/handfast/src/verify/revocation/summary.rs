//! What people are told of a list, and why one did not count.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::x509::format_utc;

/// A revocation list in short. Text in it is escaped: it is safe to print. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrlSummary {
    /// Who issued it.
    pub issuer: String,
    /// When it was issued.
    pub this_update: i64,
    /// When the next is due at the latest; without it a list counts for seven days.
    pub next_update: Option<i64>,
    /// Its number, where it has one; decimal, or hexadecimal with `0x` if it is very large.
    pub number: Option<String>,
    /// Of a delta list: the number of the list that it changes.
    pub delta_of: Option<String>,
    /// Which certificates it is about: `all certificates`, or what restricts it.
    pub scope: String,
    /// How many certificates are on it.
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
            None => f.write_str(", without the date of the next"),
        }
    }
}

/// What is wrong with a list that its issuer's key signed, or is said to have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrlFault {
    /// The key usage of the issuer's certificate has no cRLSign (RFC 5280, 6.3.3, f).
    MayNotSign,
    /// The list names the issuer's key, which did not make the signature.
    WrongSignature,
}

impl fmt::Display for CrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MayNotSign => {
                "the key usage of its issuer's certificate does not allow it to sign lists (cRLSign)"
            }
            Self::WrongSignature => "its signature is wrong: the list was damaged or changed",
        })
    }
}

/// A list of the right issuer that was given and did not count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UncountedCrl {
    /// The list.
    pub list: Arc<CrlSummary>,
    /// Why it did not count.
    pub reason: Uncounted,
}

/// `crl.pem: list 7 of CN=Root, ...: it was signed by another key`
impl fmt::Display for UncountedCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.list, self.reason)
    }
}

/// Why a list did not count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Uncounted {
    /// It is about other certificates.
    OtherScope {
        /// About which, and what the certificate says.
        detail: String,
    },
    /// It was issued later than now.
    FromTheFuture {
        /// When it was judged.
        now: i64,
    },
    /// No key of its issuer that is known here made its signature.
    OtherKey,
    /// A delta list without the list that it changes.
    WithoutBase,
    /// It is about revocations for some reasons alone, and no list is about the others.
    SomeReasons {
        /// The reasons that no list is about.
        missing: String,
    },
}

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherScope { detail } => f.write_str(detail),
            Self::FromTheFuture { now } => write!(
                f,
                "it was issued later than now: this machine's clock says {}",
                format_utc(*now)
            ),
            Self::OtherKey => f.write_str("it was signed by another key than the issuer's"),
            Self::WithoutBase => {
                f.write_str("it only changes another list, which was not given or is not current")
            }
            Self::SomeReasons { missing } => {
                write!(f, "no list covers revocations for {missing}")
            }
        }
    }
}
