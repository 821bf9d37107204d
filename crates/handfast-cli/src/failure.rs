//! Failures of commands: an explanation for the user and an exit code for scripts.

use std::fmt;
use std::io;
use std::process::ExitCode;

use handfast::{
    Cause, ConfigurationCause, CrlError, CrlProblem, Error, Explanation, NetworkCause, PeerCause,
    Phase, VerifyCause, escape_control,
};
use handfast_dial::proxy::ProxyProblem;
use handfast_dial::{ConnectError, StartTlsProblem};

use crate::advice::Advised as _;

pub(crate) use crate::exit_codes as code;

/// An explained failure with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) explanation: Explanation,
}

impl Failure {
    pub(crate) fn new(code: u8, explanation: Explanation) -> Self {
        Self { code, explanation }
    }

    /// Invalid arguments that clap does not detect.
    pub(crate) fn usage(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(code::USAGE, Explanation::new("usage", what).with_fix(fix))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.explanation.fmt(f)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(exit_code(&error), error.advise())
    }
}

impl From<handfast_dial::Error> for Failure {
    fn from(error: handfast_dial::Error) -> Self {
        Self::new(exit_code_of_dial(&error), error.advise())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::new(exit_code_of_connect(&error), error.advise())
    }
}

impl From<CrlError> for Failure {
    fn from(error: CrlError) -> Self {
        let explanation = Explanation::new(error.problem.id(), error.to_string())
            .with_evidence(error.problem.to_string());
        let explanation = match &error.problem {
            CrlProblem::Unreadable(error) => explanation
                .with_evidence(plain(error))
                .with_fix("check the path, and that this user may read the file"),
            CrlProblem::Pem { .. } => explanation
                .with_fix("the file is damaged or was only partly copied: fetch it again"),
            CrlProblem::NoList => {
                explanation.with_fix("give the issuer's list: -----BEGIN X509 CRL-----, or DER")
            }
            _ => explanation
                .with_fix("get the list again, or ask its issuer for one that keeps to RFC 5280"),
        };
        Self::new(code::CA_FILE, explanation)
    }
}

/// The operating system's message without the number that Rust adds.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
}

/// curl's code for an error of the library.
pub(crate) fn exit_code(error: &Error) -> u8 {
    match error.cause() {
        Cause::Configuration(ConfigurationCause::Identity(_)) => code::OWN_CERTIFICATE,
        Cause::Configuration(ConfigurationCause::Trust(_)) => code::CA_FILE,
        Cause::Configuration(ConfigurationCause::ServerName { .. }) => code::BAD_URL,
        Cause::Configuration(ConfigurationCause::UnknownName { .. }) => code::USAGE,
        Cause::Configuration(ConfigurationCause::File { .. }) => code::READ,
        Cause::Network(NetworkCause::TimedOut { .. }) => code::TIMED_OUT,
        Cause::Peer(PeerCause::Certificate(error)) => match error.cause {
            VerifyCause::PinMismatch { .. } => code::PINNED_KEY,
            _ => code::PEER,
        },
        // In TLS 1.3 the server sends the alert after the handshake.
        Cause::Peer(
            PeerCause::ClientCertificateRequired { .. }
            | PeerCause::ClientCertificateRefused { .. },
        ) => code::HANDSHAKE,
        _ => of_phase(error.phase()),
    }
}

/// curl's code for an error of dialling.
pub(crate) fn exit_code_of_dial(error: &handfast_dial::Error) -> u8 {
    use handfast_dial::Cause;
    match error.cause() {
        Cause::ServerName { .. } | Cause::Address { .. } => code::BAD_URL,
        Cause::TimedOut { .. } => code::TIMED_OUT,
        Cause::Proxy(error) => match error.problem {
            ProxyProblem::NotResolved => code::RESOLVE_PROXY,
            ProxyProblem::Unreachable { .. } => code::CONNECT,
            _ if error.is_of_socks() => code::PROXY,
            _ => code::RECEIVE,
        },
        Cause::LocalEnd { .. } => code::INTERFACE,
        // Not curl's 7, because the cause is not the server.
        Cause::DescriptorsUsedUp { .. } | Cause::PortsUsedUp { .. } => code::OTHER,
        Cause::StartTls(error) => match error.problem {
            StartTlsProblem::NotOffered { .. }
            | StartTlsProblem::Refused { .. }
            | StartTlsProblem::ClientRefused { .. } => code::NO_TLS,
            _ => code::WEIRD_REPLY,
        },
        _ => of_phase(error.phase()),
    }
}

/// curl's code for an error of connecting.
pub(crate) fn exit_code_of_connect(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Dial(error) => exit_code_of_dial(error),
        ConnectError::Tls(error) => exit_code(error),
        _ => code::OTHER,
    }
}

/// curl's code for a failure without its own code.
fn of_phase(phase: Phase) -> u8 {
    match phase {
        Phase::Configure => code::OTHER,
        Phase::Resolve => code::RESOLVE,
        Phase::Connect => code::CONNECT,
        Phase::Handshake => code::HANDSHAKE,
        Phase::Request => code::SEND,
        _ => code::RECEIVE,
    }
}
