//! Verifying the peer's certificate chain: path, depth, purposes, names, pins, revocation.
//!
//! Owns the verdict and the evidence. The cryptography is the provider's. rustls-webpki finds a verified path
//! fast; this module adds the rules that it lacks: the caller's limit on depth, the validity of the trust
//! anchor, key usage, weak keys, pins, trusted end-entity certificates. Chains that webpki refuses are
//! validated again by a path validation of our own, which finds the reason. When a chain is refused,
//! [`VerifyError`] has the cause, the position of the certificate at fault, and the chain as it was sent.
//!
//! Leaves to others: reading trusted certificates (`trust`), describing certificates (`x509`), and
//! the connection (`connection`), which takes the results that the verifiers deposit in `callback_data`.
//!
//! ```text
//!   rustls -> server.rs / client.rs ---> policy.rs: check_*_chain -> path.rs (webpki + our rules)
//!                  |                                                   |            | failed
//!                  v                                                 name.rs   validate/
//!            callback_data  <---- VerifiedPath, or VerifyError { cause, chain, at_index }
//! ```

// A refusal happens at most once per connection, so its error may be large.
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
pub(crate) use client::{ClientVerifier, Demand};
pub(crate) use danger::AcceptAny;
pub use error::{RevokedBy, VerifyCause, VerifyError};
pub use issued::is_issued_by;
pub use name::{InvalidServerName, ServerName};
#[cfg(any(test, fuzzing))]
pub(crate) use ocsp::check_worst;
pub use ocsp::{StapleProblem, StapledResponse, StapledStatus};
pub use path::{PathAnchor, VerifiedPath};
pub use peer::VerifiedPeer;
pub use pin::{InvalidPin, SpkiSha256};
pub use policy::CHAIN_DEPTH_LIMIT;
pub(crate) use policy::Staple;
pub use policy::VerificationPolicy;
pub use purpose::Purpose;
#[cfg(any(test, fuzzing))]
pub(crate) use revocation::check_list;
pub use revocation::{
    CrlError, CrlFault, CrlProblem, CrlSummary, ExpiredLists, RevocationLists, RevocationScope,
    Uncounted, UncountedCrl,
};
pub(crate) use server::ServerVerifier;
