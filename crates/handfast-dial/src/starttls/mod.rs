//! The STARTTLS dialogues: a protocol's plaintext up to the point where TLS begins.
//!
//! The client's side is without I/O (`dialogue.rs`; the protocols' scripts are in
//! `lines.rs`, `binary.rs`, `xmpp.rs`); `negotiate.rs` runs it over a channel. The explanations of errors are
//! in `explain/starttls.rs`.
//!
//! Everything up to that point is unprotected: an attacker on the path can change it. So it is used
//! only to reach TLS, a server that does not offer TLS is an error and never a
//! reason to continue without it, and bytes after the server's last plaintext message are an error: they
//! may be injected, to be treated as protected data (CVE-2011-0411 and its successors).

mod binary;
mod dialogue;
mod lines;
mod negotiate;
pub(crate) mod problem;
mod protocol;
mod step;
#[cfg(test)]
mod tests;
mod xmpp;

pub use dialogue::StartTlsDialogue;
pub use problem::{StartTlsError, StartTlsProblem};
pub use protocol::{StartTls, UnknownStartTls};
