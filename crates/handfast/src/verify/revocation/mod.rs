//! Certificate revocation lists (RFC 5280, 5 and 6.3) and how strictly they are applied.
//!
//! Owns the lists and the rules. Lists come from the caller and are never fetched: verification does not use
//! the network. Stapled responses are handled in `ocsp`.
//!
//! ```text
//!   file ---> list.rs: one list, parsed and indexed; lists.rs: those of a caller, and the rules
//!                |  scope.rs: to which certificates it applies
//!   path ---> check.rs: which lists apply to each certificate, and its status
//!                |
//!             good, or a cause with a summary of the list (summary.rs)
//! ```

mod check;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod list;
mod lists;
mod problem;
mod scope;
mod single;
mod summary;

pub(super) use self::check::Signer;
#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzzing::check_list;
pub(super) use self::list::{reason_name, same_number};
pub use self::lists::{ExpiredLists, RevocationLists, RevocationScope};
pub use self::problem::{CrlError, CrlProblem};
pub use self::summary::{CrlFault, CrlSummary, Uncounted, UncountedCrl};
