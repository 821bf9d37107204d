//! A hand-written ClientHello, to learn what a server would speak that we would not.
//!
//! rustls speaks TLS 1.2 and 1.3 with suites that are safe. A server that speaks nothing of that
//! answers us with an alert that says little. A probe offers whatever there ever was, one version at
//! a time, from SSL 3 to TLS 1.3, reads the server's choice and hangs up: no key is agreed on, no
//! secret is sent, nothing is believed. It is a question, not a connection.
//!
//! [`ClientHello::encode`] makes bytes, [`AnswerReader`] takes them, and [`survey`] is told how to ask.
//! After a handshake that failed, [`clarify`] asks a few questions and puts what it finds into the
//! error; [`Inquiry`] is the same without I/O. [`with_hearsay`] asks a server that was refused for its clock, and
//! where it would send us. The names of suites and groups by number, and the judgement on each, are
//! [`handfast::registry`]'s.
//!
//! ```
//! use handfast_probe::{Answer, ClientHello, Survey, WireVersion, survey};
//!
//! // A server that refuses everything: `ask` would send `hello.encode()` over a socket.
//! let refuse = |_hello: &ClientHello| Ok::<_, std::io::Error>(Answer::Closed { bytes_received: 0 });
//! let base = |version| ClientHello::new(version).with_server_name("shop.example");
//! let found: Survey = survey(&WireVersion::ALL, base, refuse)?;
//! assert!(found.versions.iter().all(|found| found.offer.is_err()));
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
mod asking;
#[cfg(feature = "tokio")]
mod asking_async;
mod explain;
mod finding;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod hearsay;
mod hello;
mod inquiry;
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
pub use hearsay::Hearsay;
pub use hello::ClientHello;
pub use inquiry::Inquiry;
pub use survey::{Offer, Order, Survey, VersionSurvey, survey};
pub use unverified::with_hearsay;
#[cfg(feature = "tokio")]
pub use unverified::with_hearsay_async;

/// The guide's and the README's snippets are tests, too.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../../../README.md")]
    struct Readme;
}
