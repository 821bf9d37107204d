//! Probes a TLS server with a hand-written ClientHello, to find out which parameters it accepts, or why a handshake failed.
//!
//! rustls supports TLS 1.2 and 1.3 with secure suites. A server without these sends an alert
//! without details. A probe offers every parameter, from SSL 3 to TLS 1.3, reads the server's choice and closes
//! the connection: no key is agreed on, no secret is sent, nothing is trusted.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::TcpStream;
//! use std::time::{Duration, Instant};
//! use handfast_probe::{ClientHello, WireVersion, ask, survey};
//!
//! // Everything that a server accepts, one connection for each probe.
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
//! It completes no handshake, verifies nothing and changes no result: a finding changes only the text of an error.
//! It does not connect: the caller does (such as with `handfast-dial`), so that each probe uses the same route, through
//! the same proxy, after the same STARTTLS. It does not search for known vulnerabilities; it lists what is offered, with
//! the ratings of [`handfast::registry`].
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
//! - all that a server accepts: [`survey()`] and its [`Survey`], [`VersionSurvey`], [`Offer`], [`Order`];
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
