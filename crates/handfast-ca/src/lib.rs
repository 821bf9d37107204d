//! A local certificate authority that can only sign for the names it was made for.
//!
//! ```
//! use handfast_ca::{Authority, InitOptions, IssueRequest};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! # let dir = home.path().join("ca");
//! let authority = Authority::init(&dir, &InitOptions::default())?;
//! let issued = authority.issue(&IssueRequest::server(["localhost", "127.0.0.1"]))?;
//! assert!(issued.chain_file.exists() && issued.key_file.exists());
//!
//! // A stolen key cannot sign for a bank: the limits are in the certificate that clients
//! // trust, so every verifier enforces them, and this library checks them before it signs.
//! let refused = authority.issue(&IssueRequest::server(["bank.example"]));
//! assert!(refused.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # What it is not
//!
//! No public authority, no ACME server, no hierarchy: one self-signed certificate with path length
//! zero, kept in one directory by one user. It is in no trust store until [`Authority::change_trust`] is
//! called, prints nothing, reads nothing from the environment, and takes passphrases as values.
//!
//! # Who enforces the limits
//!
//! OpenSSL, GnuTLS, webpki (and so rustls) and Go apply a trust anchor's name constraints to every
//! certificate below it; so does Chromium. Java ignores the name constraints of an anchor, so a Java client that
//! trusts the authority is protected only by the secrecy of the key.
//!
//! # Files
//!
//! ```text
//! DIR/            0700
//!   ca.pem              the certificate to trust: name-constrained, for TLS only
//!   ca.key        0600  its key
//!   crl.pem             the revocation list, written again at every revocation
//!   ledger.jsonl  0600  what was issued and revoked, appended before a certificate is written
//!   lock          0600  held while the ledger or the list changes
//!   certs/        0700  certificates that were issued without another output directory
//! ```
//!
//! Every file is written under another name in the same directory, with its final mode from the
//! first byte, flushed to disk and then renamed: a file with its final name is complete.
//!
//! # The public interface is
//!
//! - [`Authority`]: made by [`init`](Authority::init) with [`InitOptions`], or opened;
//! - [`IssueRequest`] and [`Issued`], with [`KeyType`];
//! - [`RevokeTarget`] and [`Revocation`], with the [`RevocationList`] and [`UnrecordedRevocation`]s;
//! - [`Authority::change_trust`]: this machine's trust stores, by [`Change`], [`StoreKind`] and [`Places`]; a
//!   [`StoreReport`] with its [`Outcome`] for each, with [`Step`]s, [`Tool`]s, [`StoreError`] and [`ToolProblem`];
//! - what can be queried: [`Constraints`] with their [`IpNetwork`]s, [`IssuedRecord`];
//! - [`CaError`].

mod authority;
mod constraints;
mod error;
mod files;
mod issue;
mod key;
mod ledger;
mod names;
mod revoke;
mod trust;

pub use authority::{Authority, CA_DAYS_DEFAULT, InitOptions};
pub use constraints::{Constraints, IpNetwork};
pub use error::CaError;
pub use issue::{DAYS_DEFAULT, DAYS_MAX, IssueRequest, Issued};
pub use key::KeyType;
pub use ledger::{IssuedRecord, UnrecordedRevocation};
pub use revoke::{Revocation, RevocationList, RevokeTarget};
pub use trust::{
    Change, Outcome, Places, Step, StoreError, StoreKind, StoreReport, Tool, ToolProblem,
};

/// A day in seconds.
const DAY_SECS: i64 = 86_400;

/// How far a verifier's clock may be behind ours without rejecting a new certificate as not yet
/// valid: machines of one network rarely differ by more.
const BACKDATE_SECS: i64 = 300;

/// Unix seconds as rcgen's date type. A macro, because rcgen does not re-export the type.
macro_rules! date {
    ($unix_seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(u64::try_from($unix_seconds).unwrap_or(0))
    };
}
use date;

/// Unix seconds now.
fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The SHA-256 fingerprint, in hexadecimal.
fn sha256(der: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref())
}

/// The README's example is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
