//! From a protocol's plain text to the point where TLS begins: the STARTTLS dialogues.
//!
//! Owns what a client says and what it accepts as an answer, without I/O (`dialogue.rs`; the protocols' scripts in
//! `lines.rs`, `binary.rs`, `xmpp.rs`), and the waiting for it (`negotiate.rs`). The explaining of failures is
//! `explain/starttls.rs`.
//!
//! Everything up to that point is unprotected: anyone on the path can change it. So nothing of it
//! is used for anything but getting to TLS, a server that does not offer TLS is an error and never a
//! reason to go on without, and bytes after the server's last answer in plain text are refused: they were
//! put there to be taken for something that came protected (CVE-2011-0411 and its many successors).

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
