//! Is the peer who it claims to be? Chain, depth, purposes, names, pins, revocation.
//!
//! Owns the judgement and the evidence. The cryptography is the provider's. rustls-webpki is the fast way to a
//! verified path; on top of it stand the rules it leaves out: the caller's limit on depth, the lifetime
//! of the trust anchor, key usage, weak keys, pins, certificates trusted only as themselves. What webpki
//! refuses is judged by a path validation of our own, which knows the reason. When a chain is refused,
//! [`VerifyError`] names the cause, the culprit's place, and keeps the chain as it was sent.
//!
//! Leaves to others: reading trusted certificates (`trust`), describing certificates (`x509`), and
//! the life of a connection (`connection`), which fetches what the verifiers deposit in `witness`.
//!
//! ```text
//!   rustls -> server.rs / client.rs ---> policy.rs: check_*_chain -> path.rs (webpki + our rules)
//!                  |                                                   |            | failed
//!                  v                                                 name.rs   validate/
//!               witness  <---- VerifiedPath, or VerifyError { cause, chain, at_index }
//! ```

// A refusal happens once and ends everything: what it carries may be large.
#![allow(clippy::result_large_err)]

mod additional;
mod anchor;
mod client;
mod constraints;
mod danger;
mod error;
mod finding;
mod handshake;
mod interception;
mod issued;
mod keys;
mod name;
mod ocsp;
mod path;
mod peer;
mod pin;
mod policies;
mod policy;
mod purpose;
mod revocation;
mod server;
mod unfit;
mod validate;

pub(crate) use additional::Additional;
pub use additional::{AdditionalVerification, Candidate, Objection};
pub(crate) use client::ClientVerifier;
pub(crate) use danger::AcceptAny;
pub use danger::KeyKind;
pub use error::{RevokedBy, VerifyCause, VerifyError};
pub use issued::is_issued_by;
pub use name::{InvalidServerName, ServerName};
#[cfg(any(test, fuzzing))]
pub(crate) use ocsp::check_worst;
pub use ocsp::{StapleProblem, StapledResponse, StapledStatus};
pub use path::{PathAnchor, VerifiedPath};
pub use peer::VerifiedPeer;
pub use pin::{InvalidPin, SpkiSha256};
pub use policy::VerificationPolicy;
pub(crate) use policy::{CHAIN_DEPTH_LIMIT, Staple};
pub use purpose::Purpose;
#[cfg(any(test, fuzzing))]
pub(crate) use revocation::check_list;
pub use revocation::{
    CrlError, CrlFault, CrlProblem, CrlSummary, ExpiredLists, RevocationLists, RevocationScope,
    Uncounted, UncountedCrl,
};
pub(crate) use server::ServerVerifier;
