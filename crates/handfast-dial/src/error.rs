//! Errors of dialling: a phase, a cause and the evidence; and errors of [`connect()`](crate::connect()).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use handfast::{HandshakeFailure, NetworkCause, Phase};

use crate::local::LocalEnd;
use crate::proxy::problem::ProxyError;
use crate::starttls::problem::StartTlsError;

/// Why no channel was made, in which phase, and the evidence.
///
/// [`fmt::Display`] prints one level; [`std::error::Error::source`] leads to the level below;
/// [`Error::explain`](Self::explain) is for users: what happened, the evidence, and what to do.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    phase: Phase,
    cause: Cause,
    server_name: Option<String>,
}

/// Why no channel was made.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// Not of the form `host:port`.
    Address {
        /// What was given.
        text: String,
    },
    /// A host that the C library would parse as a number, which is never intended.
    ServerName {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The name has no address.
    NotResolved {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// Nothing listens on this address and port.
    Refused {
        /// Every address tried.
        addresses: Vec<SocketAddr>,
    },
    /// No address could be reached.
    Unreachable {
        /// Every address tried.
        addresses: Vec<SocketAddr>,
        /// The last error of the operating system.
        source: io::Error,
    },
    /// The phase's time limit passed.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// A proxy did not connect to the server.
    Proxy(Box<ProxyError>),
    /// The plaintext dialogue before TLS failed.
    StartTls(Box<StartTlsError>),
    /// The connection was reset.
    Reset,
    /// Any other error of the operating system.
    Io(io::Error),
    /// A Unix socket cannot be connected to.
    UnixSocket {
        /// Its path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The chosen address, device or port of this machine cannot be used.
    LocalEnd {
        /// Which one.
        local: LocalEnd,
        /// The operating system's error.
        source: io::Error,
    },
    /// This process, or this system, has reached its limit of open files and sockets.
    DescriptorsUsedUp {
        /// The operating system's error.
        source: io::Error,
    },
    /// Every local port is used by a connection to this address, including those that ended within the last
    /// included.
    PortsUsedUp {
        /// The address.
        address: SocketAddr,
    },
}

impl Error {
    /// An error with this cause, in this phase.
    pub fn new(phase: Phase, cause: impl Into<Cause>) -> Self {
        Self(Box::new(Inner {
            phase,
            cause: cause.into(),
            server_name: None,
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

    /// The same error with the name of the requested server.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.0.server_name = Some(name.into());
        self
    }

    /// The same error with another cause made of its own.
    pub(crate) fn with_cause(mut self, change: impl FnOnce(Cause) -> Cause) -> Self {
        self.0.cause = change(self.0.cause);
        self
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
        let kind = match error.cause() {
            Cause::Address { .. } | Cause::ServerName { .. } => io::ErrorKind::InvalidInput,
            Cause::Refused { .. } => io::ErrorKind::ConnectionRefused,
            Cause::TimedOut { .. } => io::ErrorKind::TimedOut,
            Cause::StartTls(_) => io::ErrorKind::InvalidData,
            Cause::Reset => io::ErrorKind::ConnectionReset,
            Cause::Io(inner) => inner.kind(),
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotResolved { source, .. }
            | Self::Unreachable { source, .. }
            | Self::Io(source)
            | Self::UnixSocket { source, .. }
            | Self::LocalEnd { source, .. }
            | Self::DescriptorsUsedUp { source } => Some(source),
            Self::Proxy(e) => Some(e.as_ref()),
            Self::StartTls(e) => Some(e.as_ref()),
            _ => None,
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match NetworkCause::is_reset(&error) {
            true => Self::Reset,
            false => Self::Io(error),
        }
    }
}

/// An error of [`connect()`](crate::connect()): no channel, or no TLS over it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no channel.
    Dial(Error),
    /// The channel was made, and TLS failed.
    Tls(handfast::Error),
}

impl ConnectError {
    /// The phase in which it happened.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Dial(error) => error.phase(),
            Self::Tls(error) => error.phase(),
        }
    }

    /// The error of TLS, if TLS failed.
    pub fn tls(&self) -> Option<&handfast::Error> {
        match self {
            Self::Dial(_) => None,
            Self::Tls(error) => Some(error),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(error) => error.source(),
            Self::Tls(error) => error.source(),
        }
    }
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        Self::Dial(error)
    }
}

impl From<handfast::Error> for ConnectError {
    fn from(error: handfast::Error) -> Self {
        Self::Tls(error)
    }
}

impl<C> From<HandshakeFailure<C>> for ConnectError {
    fn from(failure: HandshakeFailure<C>) -> Self {
        Self::Tls(failure.error)
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Dial(error) => error.into(),
            ConnectError::Tls(error) => error.into(),
        }
    }
}
