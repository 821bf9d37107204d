//! A hand-written ClientHello, to learn what a server would speak that we would not.
//!
//! rustls speaks TLS 1.2 and 1.3 with suites that are safe. A server that speaks nothing of that
//! answers us with an alert that says little. A probe offers whatever there ever was, one version at
//! a time, from SSL 3 to TLS 1.3, reads the server's choice and hangs up: no key is agreed on, no
//! secret is sent, nothing is believed. It is a question, not a connection.
//!
//! [`ClientHello::encode`] makes bytes, [`AnswerReader`] takes them, and [`survey`] is told how to ask.
//! After a handshake that failed, [`clarify`] asks a few questions and puts what it finds into the
//! error; [`Inquiry`] is the same without I/O. Owns the names of suites and groups by number and the judgement on each:
//! [`SuiteId`], [`GroupId`], [`WireVersion`], each with a [`Judgement`].
//!
//! ```
//! use handfast::probe::{Answer, ClientHello, Survey, WireVersion, survey};
//!
//! // A server that refuses everything: `ask` would send `hello.encode()` over a socket.
//! let refuse = |_hello: &ClientHello| Ok::<_, std::io::Error>(Answer::Closed { bytes_received: 0 });
//! let base = |version| ClientHello::new(version).with_server_name("shop.example");
//! let found: Survey = survey(&WireVersion::ALL, base, refuse)?;
//! assert!(found.versions.iter().all(|found| found.offer.is_err()));
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
mod groups;
mod hello;
mod inquiry;
mod judgement;
mod schemes;
mod suites;
mod survey;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerReader, ServerHello};
pub use groups::GroupId;
pub use hello::{ClientHello, WireVersion};
pub use inquiry::{Finding, Inquiry, OwnOffer, Probed, ask, clarify};
pub use judgement::{Grade, Judgement};
pub use schemes::SchemeId;
pub use suites::SuiteId;
pub use survey::{Offer, Order, Survey, VersionSurvey, survey};
