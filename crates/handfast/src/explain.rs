//! Explanations of errors: a stable id, what happened, the evidence, what to do.
//!
//! One total match over the causes, and the only place of these texts. Errors of the peer and
//! our own never share a message, and no fix turns verification off.

mod certificate;
mod first_bytes;
mod fix;
// The operating system's messages are those of Linux.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod identity;
mod server;

use std::fmt;

pub use self::first_bytes::quote_bytes;
use self::first_bytes::{is_portal, spoken};
use self::fix::{Told, asked_by_address, told};
use crate::error::{Cause, ConfigurationCause, Error, LocalCause, NetworkCause, PeerCause, Phase};
use crate::side::Side;
use crate::verify::Purpose;
use crate::x509::escape_control;

/// The explanation of an error for users.
///
/// `Display` prints all of it, in plain text without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// A stable id in kebab-case: part of the interface, for scripts and for documentation.
    pub id: &'static str,
    /// What happened, in one sentence without a full stop.
    pub what: String,
    /// The evidence, a line each.
    pub evidence: Vec<String>,
    /// What to do, a line each; may be empty.
    pub fix: Vec<String>,
}

impl Explanation {
    /// An explanation of an error outside this library, in the same form.
    ///
    /// Text from a peer must be escaped by [`escape_control`] before.
    pub fn new(id: &'static str, what: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            evidence: Vec::new(),
            fix: Vec::new(),
        }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn with_evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds a line about what to do.
    #[must_use]
    pub fn with_fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }
}

impl Explanation {
    /// The same for the server with this name, which is prepended unless the sentence has it already.
    #[must_use]
    pub fn about(mut self, server_name: &str) -> Self {
        if !mentions(&self.what, server_name) {
            self.what = format!("{}: {}", escape_control(server_name), self.what);
        }
        self
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.id)?;
        for line in &self.evidence {
            write!(f, "\n  {line}")?;
        }
        for line in &self.fix {
            write!(f, "\n  fix: {line}")?;
        }
        Ok(())
    }
}

pub(crate) fn explain(error: &Error) -> Explanation {
    let Told { id, fix } = told(error);
    let mut explanation = Explanation {
        id,
        what: sentence(error),
        evidence: evidence(error.cause()),
        fix: fix.into_iter().collect(),
    };
    if let Some(name) = error.server_name() {
        explanation = explanation.about(name);
    }
    if error.side() == Some(Side::Server) {
        server::retell(&mut explanation, error);
    }
    explanation
}

fn sentence(error: &Error) -> String {
    let mut what = what(error.cause());
    if let Cause::Network(NetworkCause::TimedOut { .. }) = error.cause() {
        what = format!("{what} during the {}", error.phase());
    }
    if matches!(error.cause(), Cause::Peer(PeerCause::NameUnrecognised)) && asked_by_address(error)
    {
        what = "the server requires a DNS name, and the request was for an IP address".into();
    }
    if let Cause::Peer(PeerCause::NotTls { first_bytes }) = error.cause()
        && is_portal(first_bytes, error.server_name())
    {
        what = "a network's login page answered instead of the server, in plain HTTP".into();
    }
    what
}

/// Whether a text contains a name, not as a part of another name.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.match_indices(name).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let mut after = text.get(at + found.len()..).unwrap_or_default().chars();
        let ends = match after.next() {
            // The end of a sentence is not another label.
            Some('.') => !after.next().is_some_and(is_part),
            Some(c) => !is_part(c),
            None => true,
        };
        !before.is_some_and(is_part) && ends
    })
}

/// What happened, in one sentence.
pub(crate) fn what(cause: &Cause) -> String {
    match cause {
        Cause::Configuration(cause) => configuration(cause),
        Cause::Peer(cause) => peer(cause),
        Cause::Network(cause) => network(cause),
        Cause::Local(cause) => match cause {
            LocalCause::RandomUnavailable => {
                "the operating system provides no random bytes, so TLS cannot be used".into()
            }
            LocalCause::AfterEnd => "the connection was used after its end".into(),
            LocalCause::KeyWornOut => {
                "the connection has sent as much as one key may protect, and TLS 1.2 cannot change the key".into()
            }
            LocalCause::SigningFailed(said) => {
                format!("the private key did not sign the handshake: {}", escape_control(said))
            }
            LocalCause::Unrecognised { said, .. } => {
                format!("an unknown error: {}", escape_control(said))
            }
            LocalCause::Stopping => "the handshake was ended because the server is stopping".into(),
            LocalCause::Internal(what) => format!("an internal error: {what}"),
        },
    }
}

fn configuration(cause: &ConfigurationCause) -> String {
    match cause {
        ConfigurationCause::Identity(error) => identity::what(error),
        ConfigurationCause::Trust(error) => error.to_string(),
        ConfigurationCause::IdentityMissing => "a server needs a certificate and its key".into(),
        ConfigurationCause::ServerName { text, problem } => {
            format!(
                "`{}` is not the name of a server: {problem}",
                escape_control(text)
            )
        }
        ConfigurationCause::UnknownName { what, name, .. } => {
            format!("unknown {what} `{}`", escape_control(name))
        }
        ConfigurationCause::NothingLeft { what } => format!("there is no {what} left to use"),
        ConfigurationCause::File { path, .. } => {
            format!(
                "the file {} cannot be opened",
                escape_control(&path.display().to_string())
            )
        }
    }
}

fn peer(cause: &PeerCause) -> String {
    match cause {
        PeerCause::Certificate(error) => {
            let holder = match error.purpose {
                Purpose::ServerAuth => "server",
                Purpose::ClientAuth => "client",
            };
            format!(
                "the {holder}'s certificate was not accepted: {}",
                error.cause
            )
        }
        PeerCause::Alert(alert) => format!("the peer ended the connection with the alert {alert}"),
        PeerCause::ClientCertificateRequired { .. } => {
            "the server requires a client certificate, and none was sent".into()
        }
        PeerCause::ClientCertificateRefused { alert } => {
            format!("the server did not accept our client certificate: alert {alert}")
        }
        PeerCause::ClientCertificateMissing => {
            "the client sent no certificate, and one is required".into()
        }
        PeerCause::NotTls { first_bytes } => match spoken(first_bytes) {
            Some(protocol) => format!("the peer speaks {protocol} here, not TLS"),
            None => "the peer's data is not TLS".into(),
        },
        PeerCause::ClosedInHandshake { bytes_received: 0 } => {
            "the peer closed the connection without sending any data".into()
        }
        PeerCause::ClosedInHandshake { .. } => {
            "the peer closed the connection during the handshake".into()
        }
        PeerCause::ResetInHandshake { .. } => {
            "the connection was reset during the handshake".into()
        }
        PeerCause::PrematureEnd { .. } => {
            "the connection ended without close_notify: the data may be truncated".into()
        }
        PeerCause::ProtocolVersion { .. } => "client and server have no TLS version in common".into(),
        PeerCause::NothingInCommon { what } => format!("client and server have no {what} in common"),
        PeerCause::NoApplicationProtocol => {
            "the peer speaks none of the application protocols offered (ALPN)".into()
        }
        PeerCause::EchRejected { .. } => {
            "the server could not decrypt the ClientHello: it has other configurations for Encrypted Client Hello, or none".into()
        }
        PeerCause::NameUnrecognised => "the server has no site of this name".into(),
        PeerCause::ProtocolViolation { what } => {
            format!("the peer violated the TLS protocol: {}", escape_control(what))
        }
        PeerCause::BadRecord => {
            "a record from the peer failed its integrity check: it was changed in transit, or encrypted with other keys"
                .into()
        }
        PeerCause::MessageTooLarge { message, limit } => match *message {
            "Certificate" => format!(
                "the peer's certificate chain is longer than the {} KiB that are accepted",
                kib(*limit)
            ),
            name => format!(
                "the peer's {name} message is longer than the {} KiB that are accepted",
                kib(*limit)
            ),
        },
        PeerCause::RenegotiationRefused { alert: Some(_) } => {
            "the peer requested renegotiation, which is not supported, and then ended the connection"
                .into()
        }
        PeerCause::RenegotiationRefused { alert: None } => {
            "the peer requested renegotiation again, although it is not supported"
                .into()
        }
    }
}

/// A limit of one byte less than a multiple of 1024, in KiB.
fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

fn network(cause: &NetworkCause) -> String {
    match cause {
        NetworkCause::TimedOut { limit } => format!("the time limit of {limit:?} passed"),
        NetworkCause::Reset => "the connection was reset".into(),
        NetworkCause::Io(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the connection ended too early".into(),
            _ => format!("the operating system reports: {}", plain_io_error(error)),
        },
    }
}

/// The operating system's message without the number that Rust adds, escaped.
pub fn plain_io_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
}

fn evidence(cause: &Cause) -> Vec<String> {
    match cause {
        Cause::Configuration(ConfigurationCause::Identity(error)) => identity::evidence(error),
        Cause::Configuration(ConfigurationCause::Trust(error)) => sources(error),
        Cause::Configuration(ConfigurationCause::File { source, .. }) => {
            vec![plain_io_error(source)]
        }
        Cause::Peer(PeerCause::Certificate(error)) => certificate::evidence(error),
        Cause::Peer(PeerCause::ClientCertificateRequired {
            alert,
            acceptable_issuers,
        }) => {
            let mut lines = vec![format!("alert {alert}")];
            lines.extend(acceptable_issuers.iter().take(5).map(|issuer| {
                format!(
                    "accepts certificates from {}",
                    crate::x509::describe_name_der(issuer)
                )
            }));
            if acceptable_issuers.len() > 5 {
                lines.push(format!("and from {} more", acceptable_issuers.len() - 5));
            }
            lines
        }
        Cause::Peer(PeerCause::NotTls { first_bytes }) => {
            vec![format!("its first bytes: {}", quote_bytes(first_bytes))]
        }
        // Already in the sentence.
        Cause::Peer(PeerCause::ClosedInHandshake { bytes_received: 0 }) => Vec::new(),
        Cause::Peer(
            PeerCause::ClosedInHandshake { bytes_received }
            | PeerCause::ResetInHandshake { bytes_received },
        ) => vec![match bytes_received {
            0 => "it sent no bytes".to_owned(),
            count => format!("after {count} bytes from it"),
        }],
        Cause::Peer(PeerCause::PrematureEnd { bytes_received }) => {
            vec![format!("{bytes_received} bytes had arrived")]
        }
        Cause::Peer(PeerCause::ProtocolVersion { alert: Some(alert) }) => {
            vec![format!("the peer's alert {alert}")]
        }
        Cause::Peer(PeerCause::RenegotiationRefused { alert: Some(alert) }) => {
            vec![format!("the peer's alert {alert}")]
        }
        Cause::Local(LocalCause::Unrecognised { first_bytes, .. }) if !first_bytes.is_empty() => {
            vec![format!(
                "the first bytes from the peer: {}",
                quote_bytes(first_bytes)
            )]
        }
        _ => Vec::new(),
    }
}

/// The sources of an error, a line each.
fn sources(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |error| error.source())
        .map(|error| {
            let text = error.to_string();
            escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
        })
        .collect()
}

/// With its phase, for logs.
impl Explanation {
    /// One line: the phase, the id, what happened.
    pub fn one_line(&self, phase: Phase) -> String {
        format!("{phase}: {} [{}]", self.what, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
