//! Errors: a phase, a cause sorted by origin, and the evidence.
//!
//! Causes are made where rustls or the operating system returns an error
//! (`classify.rs`, `channel.rs`). Their explanations are in `explain.rs`.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::alert::Alert;
use crate::explanation::Explanation;
use crate::identity::IdentityError;
use crate::offer::ClientOffer;
use crate::phase::Phase;
use crate::registry::WireVersion;
use crate::side::Side;
use crate::trust::TrustError;
use crate::verify::VerifyError;

/// Why an operation failed, in which phase, and the evidence.
///
/// [`fmt::Display`] prints one level; [`std::error::Error::source`] leads to the level below;
/// [`Error::explain`] is for users: what happened, the evidence, and what to do.
///
/// Streams return this error inside an [`io::Error`], as the traits of the standard library
/// require; [`Error::from_io`] extracts it.
pub struct Error(Box<Inner>);

struct Inner {
    phase: Phase,
    cause: Cause,
    server_name: Option<String>,
    explanation: Option<Box<Explanation>>,
    side: Option<Side>,
    offer: Option<Box<ClientOffer>>,
}

impl Error {
    /// An error with this cause, in this phase.
    pub fn new(phase: Phase, cause: impl Into<Cause>) -> Self {
        Self(Box::new(Inner {
            phase,
            cause: cause.into(),
            server_name: None,
            explanation: None,
            side: None,
            offer: None,
        }))
    }

    /// The phase in which it happened.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// What caused it.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The server's name that the caller requested, if any.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// Our side, if a connection failed.
    pub fn side(&self) -> Option<Side> {
        self.0.side
    }

    /// For a failed handshake of a server: what the client had offered, as far as it
    /// had arrived.
    pub fn client_offer(&self) -> Option<&ClientOffer> {
        self.0.offer.as_deref()
    }

    /// The same error with our side and the client's offer.
    pub(crate) fn seen_by(mut self, side: Option<Side>, offer: Option<ClientOffer>) -> Self {
        self.0.side = side;
        self.0.offer = offer.map(Box::new);
        self
    }

    /// The same error with a more exact cause, such as the reason for an alert.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = cause.into();
        self
    }

    /// The same error with another explanation, for callers that know more about it. It changes only the text, never the
    /// result.
    #[must_use]
    pub fn with_explanation(mut self, explanation: Explanation) -> Self {
        self.0.explanation = Some(Box::new(explanation));
        self
    }

    /// Whether it has an explanation of its own ([`with_explanation`](Self::with_explanation)).
    pub fn is_explained(&self) -> bool {
        self.0.explanation.is_some()
    }

    /// The same error in another phase, for layers on top.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    /// The same error with the name of the requested server.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.0.explanation = self
            .0
            .explanation
            .map(|explanation| Box::new(explanation.about(&name)));
        self.0.server_name = Some(name);
        self
    }

    /// The explanation of a caller that has found out more, if any.
    pub(crate) fn explanation(&self) -> Option<&Explanation> {
        self.0.explanation.as_deref()
    }

    /// The handfast error inside an `io::Error` from a stream.
    ///
    /// `io::Error::source` skips the error that it wraps, so walking the sources does not find it.
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Extracts the handfast error from an `io::Error`; any other becomes a network cause.
    pub fn from_io_owned(error: io::Error, phase: Phase) -> Self {
        if !error.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            return Self::new(phase, NetworkCause::from(error));
        }
        match error.into_inner().map(|inner| inner.downcast::<Self>()) {
            Some(Ok(ours)) => *ours,
            _ => Self::new(
                phase,
                LocalCause::Internal("an error changed its type".into()),
            ),
        }
    }

    /// A copy for a second report of the same failure. Parts that cannot be copied, such as an
    /// operating system error's inner value, are reduced to their kind and text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Box::new(Inner {
            phase: self.0.phase,
            cause: self.0.cause.duplicate(),
            server_name: self.0.server_name.clone(),
            explanation: self.0.explanation.clone(),
            side: self.0.side,
            offer: self.0.offer.clone(),
        }))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("phase", &self.0.phase)
            .field("cause", &self.0.cause)
            .field("server_name", &self.0.server_name)
            .field("explanation", &self.0.explanation)
            .field("side", &self.0.side)
            .field("offer", &self.0.offer)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.server_name {
            Some(name) => write!(f, "{} with {name} failed", self.0.phase),
            None => write!(f, "{} failed", self.0.phase),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.cause)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error.0.cause {
            Cause::Peer(PeerCause::PrematureEnd { .. } | PeerCause::ClosedInHandshake { .. }) => {
                io::ErrorKind::UnexpectedEof
            }
            Cause::Peer(PeerCause::ResetInHandshake { .. })
            | Cause::Network(NetworkCause::Reset) => io::ErrorKind::ConnectionReset,
            Cause::Peer(_) => io::ErrorKind::InvalidData,
            Cause::Network(NetworkCause::TimedOut { .. }) => io::ErrorKind::TimedOut,
            Cause::Network(NetworkCause::Io(inner)) => inner.kind(),
            Cause::Configuration(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The cause of an [`Error`], sorted by origin.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// Our configuration: files, names, choices.
    Configuration(ConfigurationCause),
    /// The peer.
    Peer(PeerCause),
    /// The network: time limits and the operating system's transport.
    Network(NetworkCause),
    /// This program or this machine.
    Local(LocalCause),
}

/// Errors of our own configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigurationCause {
    /// Our certificate chain and key cannot be used.
    Identity(IdentityError),
    /// Trust anchors or revocation lists cannot be used.
    Trust(TrustError),
    /// A server has no identity.
    IdentityMissing,
    /// This is neither a DNS name nor an IP address (RFC 9525, section 2).
    ServerName {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An unknown name.
    UnknownName {
        /// What was being chosen.
        what: Negotiated,
        /// The name given.
        name: String,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// The choices exclude everything.
    NothingLeft {
        /// The kind of parameter.
        what: &'static str,
    },
    /// A file needed by the configuration cannot be opened or written.
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Errors of the peer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PeerCause {
    /// Its certificate chain was not accepted; contains the chain as sent.
    Certificate(Box<VerifyError>),
    /// It ended the handshake or the exchange with a fatal alert (RFC 8446, section 6).
    Alert(Alert),
    /// It requires a client certificate, and none was sent.
    ClientCertificateRequired {
        /// The alert.
        alert: Alert,
        /// The issuers it accepts, as DER-encoded names; empty if it sent none.
        acceptable_issuers: Vec<Vec<u8>>,
    },
    /// It did not accept the client certificate that we sent.
    ClientCertificateRefused {
        /// The alert.
        alert: Alert,
    },
    /// A client certificate is required, and it sent none.
    ClientCertificateMissing,
    /// The received data is not TLS.
    NotTls {
        /// The first bytes that it sent, at most 256.
        first_bytes: Vec<u8>,
    },
    /// It closed its direction during the handshake, possibly without having sent a byte.
    ClosedInHandshake {
        /// How many bytes it had sent before.
        bytes_received: u64,
    },
    /// It reset the connection during the handshake.
    ResetInHandshake {
        /// How many bytes it had sent before.
        bytes_received: u64,
    },
    /// Its direction ended without `close_notify`: the data may be truncated.
    PrematureEnd {
        /// How many bytes of plaintext had arrived before.
        bytes_received: u64,
    },
    /// It authenticated for the public name, and rejected the encrypted ClientHello (RFC 9849, section
    /// 6.1.6): its configuration has changed, or was removed.
    EchRejected {
        /// The configurations that it offers instead, as [`EchConfigs`](crate::EchConfigs) takes them, for one further
        /// attempt; `None` if it offers none: Encrypted Client Hello is then disabled by the server.
        retry_configs: Option<Vec<u8>>,
    },
    /// No common protocol version.
    ProtocolVersion {
        /// The alert, if the peer sent one.
        alert: Option<Alert>,
        /// The version that the peer speaks, if a probe has found one.
        theirs: Option<WireVersion>,
    },
    /// No common parameter of this kind.
    NothingInCommon {
        /// Of what.
        what: Negotiated,
    },
    /// It supports none of the offered ALPN protocols (RFC 7301).
    NoApplicationProtocol,
    /// It does not recognize the server name (RFC 6066, section 3).
    NameUnrecognised,
    /// A message was malformed or unexpected.
    ProtocolViolation {
        /// What was wrong with it.
        what: String,
    },
    /// A record could not be decrypted or failed its integrity check.
    BadRecord,
    /// One of its handshake messages is too long.
    MessageTooLarge {
        /// Which; [`LongMessage::Certificate`] is the usual one.
        message: LongMessage,
        /// The longest that is accepted, in bytes.
        limit: usize,
    },
    /// It requested renegotiation (RFC 5246, section 7.4.1.1), got the alert no_renegotiation, and ended the
    /// connection.
    RenegotiationRefused {
        /// The alert that it ended with; `None` if it repeated the request instead.
        alert: Option<Alert>,
    },
}

/// What two ends have to have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Negotiated {
    /// A cipher suite (RFC 8446, appendix B.4).
    CipherSuite,
    /// A key exchange group (RFC 8446, section 4.2.7).
    KeyExchangeGroup,
    /// A signature scheme (RFC 8446, section 4.2.3).
    SignatureScheme,
}

impl fmt::Display for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CipherSuite => "cipher suite",
            Self::KeyExchangeGroup => "key exchange group",
            Self::SignatureScheme => "signature scheme",
        })
    }
}

/// A handshake message that may be long without being malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LongMessage {
    /// The chain, compressed or not.
    Certificate,
    /// The issuers that a server accepts.
    CertificateRequest,
    /// A ticket.
    NewSessionTicket,
}

impl LongMessage {
    /// Its name in RFC 8446.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "Certificate",
            Self::CertificateRequest => "CertificateRequest",
            Self::NewSessionTicket => "NewSessionTicket",
        }
    }
}

/// Errors of the network.
#[derive(Debug)]
#[non_exhaustive]
pub enum NetworkCause {
    /// The phase's time limit passed.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The connection was reset.
    Reset,
    /// Any other error of the operating system.
    Io(io::Error),
}

/// Errors of this program or this machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum LocalCause {
    /// The operating system provides no random bytes, so TLS cannot be used.
    RandomUnavailable,
    /// The caller used a connection after it had failed or been closed.
    AfterEnd,
    /// The connection's key has protected as many records as allowed (RFC 8446, section 5.5), and TLS 1.2
    /// has no key update.
    KeyWornOut,
    /// A [`RemoteKey`](crate::RemoteKey) made no signature; its error.
    SigningFailed(String),
    /// An unknown failure, with the raw evidence.
    Unrecognised {
        /// The message of the layer below.
        said: String,
        /// The first bytes that the peer sent, if known.
        first_bytes: Vec<u8>,
    },
    /// The caller ended a handshake because it is stopping.
    Stopping,
    /// A bug or a limit of this library.
    Internal(String),
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Configuration(ConfigurationCause::Identity(e)) => Some(e),
            Self::Configuration(ConfigurationCause::Trust(e)) => Some(e),
            Self::Configuration(ConfigurationCause::File { source, .. }) => Some(source),
            Self::Peer(PeerCause::Certificate(e)) => Some(e.as_ref()),
            Self::Network(NetworkCause::Io(source)) => Some(source),
            _ => None,
        }
    }
}

macro_rules! cause_from {
    ($($inner:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$inner> for Cause {
            fn from(inner: $inner) -> Self {
                Self::$variant(inner)
            }
        }
    )+};
}

cause_from!(
    ConfigurationCause => Configuration,
    PeerCause => Peer,
    NetworkCause => Network,
    LocalCause => Local,
);

impl From<IdentityError> for Error {
    fn from(e: IdentityError) -> Self {
        Self::new(Phase::Configure, ConfigurationCause::Identity(e))
    }
}

impl From<TrustError> for Error {
    fn from(e: TrustError) -> Self {
        Self::new(Phase::Configure, ConfigurationCause::Trust(e))
    }
}

impl From<io::Error> for NetworkCause {
    fn from(error: io::Error) -> Self {
        match Self::is_reset(&error) {
            true => Self::Reset,
            false => Self::Io(error),
        }
    }
}

impl NetworkCause {
    /// Whether this error of a channel means that the peer has reset the connection.
    pub fn is_reset(error: &io::Error) -> bool {
        // The second write to a connection that the peer has reset fails with "broken pipe".
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    }
}

impl Cause {
    fn duplicate(&self) -> Self {
        match self {
            Self::Peer(peer) => Self::Peer(peer.clone()),
            Self::Network(NetworkCause::TimedOut { limit }) => {
                NetworkCause::TimedOut { limit: *limit }.into()
            }
            Self::Network(NetworkCause::Reset) => NetworkCause::Reset.into(),
            Self::Network(NetworkCause::Io(e)) => {
                NetworkCause::Io(io::Error::new(e.kind(), e.to_string())).into()
            }
            Self::Local(LocalCause::RandomUnavailable) => LocalCause::RandomUnavailable.into(),
            Self::Local(LocalCause::AfterEnd) => LocalCause::AfterEnd.into(),
            Self::Local(LocalCause::KeyWornOut) => LocalCause::KeyWornOut.into(),
            Self::Local(LocalCause::SigningFailed(said)) => {
                LocalCause::SigningFailed(said.clone()).into()
            }
            Self::Local(LocalCause::Unrecognised { said, first_bytes }) => {
                LocalCause::Unrecognised {
                    said: said.clone(),
                    first_bytes: first_bytes.clone(),
                }
                .into()
            }
            Self::Local(LocalCause::Stopping) => LocalCause::Stopping.into(),
            Self::Local(LocalCause::Internal(text)) => LocalCause::Internal(text.clone()).into(),
            // No connection that already runs fails with the rest.
            Self::Configuration(_) => LocalCause::Internal(self.to_string()).into(),
        }
    }
}
