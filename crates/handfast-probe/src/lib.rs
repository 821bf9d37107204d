//! What would a TLS server speak? Questions by a hand-written ClientHello, before a connection or after one that failed.
//!
//! rustls speaks TLS 1.2 and 1.3 with suites that are safe. A server that speaks nothing of that answers with an alert
//! that says little. A probe offers whatever there ever was, from SSL 3 to TLS 1.3, reads the server's choice and hangs
//! up: no key is agreed on, no secret is sent, nothing is believed. It is a question, not a connection.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::TcpStream;
//! use std::time::{Duration, Instant};
//! use handfast_probe::{ClientHello, WireVersion, ask, survey};
//!
//! // Everything that a server accepts, one connection for each question.
//! let base = |version| ClientHello::new(version).with_server_name("shop.example");
//! let found = survey(&WireVersion::ALL, base, |hello| -> std::io::Result<_> {
//!     let mut socket = TcpStream::connect("shop.example:443")?;
//!     Ok(ask(&mut socket, hello, Instant::now() + Duration::from_secs(4)))
//! })?;
//! for version in &found.versions {
//!     if let Ok(offer) = &version.offer {
//!         let suites: Vec<String> = offer.suites.iter().map(|suite| suite.name()).collect();
//!         println!("{}: {}", version.version, suites.join(", "));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not
//!
//! It finishes no handshake, verifies nothing and changes no verdict: what it finds changes the words of an error.
//! It does not connect: the caller does (with `handfast-dial`, say), so that each question takes the same way, through
//! the same proxy, past the same STARTTLS. It does not look for known vulnerabilities; it names what is offered, with
//! [`handfast::registry`]'s judgement on each.
//!
//! # Data flow
//!
//! ```text
//! before:  survey  -- ClientHello ->  ask  -> server -> Answer -> the next question ... -> Survey
//! after:   Error -> Inquiry -- ClientHello -> ask -> server -> Answer -> ... -> the same Error, explained better
//!          Error -> an unverified connection: "HEAD /" -> UnverifiedReply ------------> the same Error, explained better
//! ```
//!
//! # The public interface is
//!
//! - questions and answers as bytes, without I/O: [`ClientHello`], [`AnswerReader`], [`Answer`], [`ServerHello`];
//! - asking over a channel: [`ask`], [`ask_async`];
//! - all that a server accepts: [`survey`] and its [`Survey`], [`VersionSurvey`], [`Offer`], [`Order`];
//! - what a failed handshake was over: [`clarify`], [`clarify_async`]; [`Inquiry`] without I/O, its [`Probed`] and
//!   [`Finding`];
//! - what a server that was refused says of its clock, and where it redirects to: [`with_unverified_reply`],
//!   [`with_unverified_reply_async`], [`UnverifiedReply`];
//! - again from `handfast`: [`OwnOffer`], [`WireVersion`], [`SuiteId`], [`GroupId`], [`SchemeId`], [`Judgement`],
//!   [`Grade`].

mod answer;
mod asking;
#[cfg(feature = "tokio")]
mod asking_async;
mod explain;
mod finding;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod hello;
mod inquiry;
mod reply;
mod survey;
#[cfg(test)]
mod tests;
mod unproven;
mod unverified;

pub use answer::{Answer, AnswerReader, ServerHello};
pub use asking::{ask, clarify};
#[cfg(feature = "tokio")]
pub use asking_async::{ask_async, clarify_async};
pub use finding::{Finding, Probed};
pub use handfast::OwnOffer;
pub use handfast::registry::{Grade, GroupId, Judgement, SchemeId, SuiteId, WireVersion};
pub use hello::ClientHello;
pub use inquiry::Inquiry;
pub use reply::UnverifiedReply;
pub use survey::{Offer, Order, Survey, VersionSurvey, survey};
pub use unverified::with_unverified_reply;
#[cfg(feature = "tokio")]
pub use unverified::with_unverified_reply_async;

/// The guide's and the README's snippets are tests, too.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../handfast-dial/README.md")]
    struct Dial;
    #[doc = include_str!("../README.md")]
    struct Probe;
}
