//! Explanations of errors: a stable id, what happened, the evidence, what to do.
//!
//! A cause goes through one total match: here by whose fault it is, and below by what it is. The end that saw it (a
//! client, a server in a handshake, a program that reads a file) chooses the words in the same arm. Nothing of this is
//! said anywhere else. What the other end did wrong and what we did wrong never share a message, and no fix advises
//! switching verification off.

mod alert;
mod certificate;
mod configuration;
mod ended;
mod first_bytes;
// The operating system's messages are those of Linux.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod identity;
mod negotiation;
mod peer;
mod text;

use std::fmt;

pub use self::first_bytes::{PlainProtocol, quote_bytes};
use self::text::{Seen, Text};
use crate::error::{Cause, Error, LocalCause, NetworkCause};
use crate::explanation::{Explanation, plain_io_error};
use crate::x509::escape_control;

impl Error {
    /// What happened, the evidence for it, and what to do about it.
    pub fn explain(&self) -> Explanation {
        match self.explanation() {
            Some(explanation) => explanation.clone(),
            None => {
                let seen = Seen::of(self);
                explain(self.cause(), &seen).finish(&seen)
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&explain(self, &Seen::default()).what)
    }
}

fn explain(cause: &Cause, seen: &Seen<'_>) -> Text {
    match cause {
        Cause::Configuration(cause) => configuration::explain(cause),
        Cause::Peer(cause) => peer::explain(cause, seen),
        Cause::Network(cause) => match cause {
            NetworkCause::TimedOut { limit } => ended::timed_out(*limit, seen),
            NetworkCause::Reset => ended::reset(seen),
            NetworkCause::Io(error) => Text::new(
                "transport-error",
                match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        "the connection ended too early".to_owned()
                    }
                    _ => format!("the operating system reports: {}", plain_io_error(error)),
                },
            )
            .fix("see the operating system's message above"),
        },
        Cause::Local(cause) => local(cause),
    }
}

fn local(cause: &LocalCause) -> Text {
    match cause {
        LocalCause::RandomUnavailable => Text::new(
            "no-randomness",
            "the operating system provides no random bytes, so TLS cannot be used",
        )
        .fix("allow the program to call getrandom or to read /dev/urandom"),
        LocalCause::AfterEnd => {
            Text::new("used-after-end", "the connection was used after its end")
                .fix("this is a bug in the program: it must not use a connection after its end")
        }
        LocalCause::KeyWornOut => Text::new(
            "key-worn-out",
            "the connection has sent as much as one key may protect, and TLS 1.2 cannot change the key",
        )
        .fix("open a new connection, or use TLS 1.3, which can change keys during a connection"),
        LocalCause::Unrecognised { said, first_bytes } => {
            let evidence = match first_bytes.as_slice() {
                [] => Vec::new(),
                begins => vec![format!(
                    "the first bytes from the peer: {}",
                    quote_bytes(begins)
                )],
            };
            Text::new(
                "unrecognised",
                format!("an unknown error: {}", escape_control(said)),
            )
            .evidence(evidence)
            .fix("please report this with the lines above")
        }
        LocalCause::Stopping => Text::new(
            "server-stopping",
            "the handshake was ended because the server is stopping",
        )
        .fix("none needed: the client can connect again when the server is back"),
        LocalCause::SigningFailed(said) => Text::new(
            "signing-failed",
            format!(
                "the private key did not sign the handshake: {}",
                escape_control(said)
            ),
        )
        .fix(
            "check that the device or agent with the private key is available, is unlocked, and allows this signature",
        ),
        LocalCause::Internal(what) => {
            Text::new("internal", format!("an internal error: {what}"))
                .fix("please report this, and what led to it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::Phase;

    #[test]
    fn the_server_s_name_is_printed_once() {
        let error =
            Error::new(Phase::Response, NetworkCause::Reset).with_server_name("example.org");
        assert_eq!(
            error.explain().to_string(),
            "example.org: the connection was reset [reset]\n  \
             fix: try again; if it persists, see the peer's log: its process may have crashed"
        );
        assert_eq!(error.to_string(), "response with example.org failed");
    }
}
