//! What ends a command: an explanation for the person and an exit code for the script.

use std::fmt;
use std::io;
use std::process::ExitCode;

use handfast::proxy::ProxyProblem;
use handfast::{
    Cause, ConfigurationCause, CrlError, CrlProblem, Error, Explanation, LocalCause, NetworkCause,
    PeerCause, Phase, StartTlsProblem, escape_control,
};

/// Exit codes with curl's meaning, so that scripts written for it understand ours.
pub(crate) mod code {
    /// Something that has no code of its own.
    pub(crate) const OTHER: u8 = 1;
    /// The arguments make no sense (clap's own code).
    pub(crate) const USAGE: u8 = 2;
    /// The URL cannot be used.
    pub(crate) const BAD_URL: u8 = 3;
    /// The proxy's name has no address.
    pub(crate) const RESOLVE_PROXY: u8 = 5;
    /// The name has no address.
    pub(crate) const RESOLVE: u8 = 6;
    /// Nobody answers there.
    pub(crate) const CONNECT: u8 = 7;
    /// The server ended the HTTP/2 connection.
    pub(crate) const HTTP2: u8 = 16;
    /// The body ended before its announced end.
    pub(crate) const SHORT_BODY: u8 = 18;
    /// An HTTP status of 400 or more, with `--fail`, or in a load test.
    pub(crate) const HTTP_STATUS: u8 = 22;
    /// What the peer said makes no sense.
    pub(crate) const WEIRD_REPLY: u8 = 8;
    /// A local file cannot be written.
    pub(crate) const WRITE: u8 = 23;
    /// A local file cannot be read.
    pub(crate) const READ: u8 = 26;
    /// A time limit passed.
    pub(crate) const TIMED_OUT: u8 = 28;
    /// The TLS handshake failed.
    pub(crate) const HANDSHAKE: u8 = 35;
    /// Too many redirects.
    pub(crate) const REDIRECTS: u8 = 47;
    /// Not a byte came back.
    pub(crate) const EMPTY_REPLY: u8 = 52;
    /// The request could not be sent.
    pub(crate) const SEND: u8 = 55;
    /// The reply could not be received, or was cut off.
    pub(crate) const RECEIVE: u8 = 56;
    /// Our own certificate or key cannot be used.
    pub(crate) const OWN_CERTIFICATE: u8 = 58;
    /// The peer is not who it should be.
    pub(crate) const PEER: u8 = 60;
    /// TLS was demanded, and the peer does not begin it (STARTTLS).
    pub(crate) const NO_TLS: u8 = 64;
    /// The trusted certificates cannot be used.
    pub(crate) const CA_FILE: u8 = 77;
    /// The server reset the HTTP/2 stream.
    pub(crate) const HTTP2_STREAM: u8 = 92;
}

/// An explained failure and the exit code that it ends the program with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) explanation: Explanation,
}

impl Failure {
    pub(crate) fn new(code: u8, explanation: Explanation) -> Self {
        Self { code, explanation }
    }

    /// Arguments that clap could not know to be wrong.
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
        Self::new(exit_code(&error), error.explain())
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

/// The operating system's words without the number that Rust adds.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
}

/// curl's code for an error of the library.
pub(crate) fn exit_code(error: &Error) -> u8 {
    match error.cause() {
        Cause::Configuration(ConfigurationCause::Identity(_)) => code::OWN_CERTIFICATE,
        Cause::Configuration(ConfigurationCause::Trust(_)) => code::CA_FILE,
        Cause::Configuration(
            ConfigurationCause::ServerName { .. } | ConfigurationCause::Address { .. },
        ) => code::BAD_URL,
        Cause::Configuration(ConfigurationCause::UnknownName { .. }) => code::USAGE,
        Cause::Configuration(ConfigurationCause::File { .. }) => code::READ,
        Cause::Network(NetworkCause::TimedOut { .. }) => code::TIMED_OUT,
        Cause::Network(NetworkCause::Proxy(error)) => match error.problem {
            ProxyProblem::NotResolved => code::RESOLVE_PROXY,
            ProxyProblem::Unreachable { .. } => code::CONNECT,
            _ => code::RECEIVE,
        },
        // Curl's 7 would send whoever reads it to the server.
        Cause::Local(LocalCause::DescriptorsUsedUp { .. } | LocalCause::PortsUsedUp { .. }) => {
            code::OTHER
        }
        Cause::Peer(PeerCause::Certificate(_)) => code::PEER,
        // In TLS 1.3 the server says so after the handshake, and means the same.
        Cause::Peer(
            PeerCause::ClientCertificateRequired { .. }
            | PeerCause::ClientCertificateRefused { .. },
        ) => code::HANDSHAKE,
        Cause::Peer(PeerCause::StartTls(error)) => match error.problem {
            StartTlsProblem::NotOffered { .. }
            | StartTlsProblem::Refused { .. }
            | StartTlsProblem::ClientRefused { .. } => code::NO_TLS,
            _ => code::WEIRD_REPLY,
        },
        _ => match error.phase() {
            Phase::Configure => code::OTHER,
            Phase::Resolve => code::RESOLVE,
            Phase::Connect => code::CONNECT,
            Phase::Handshake => code::HANDSHAKE,
            Phase::Request => code::SEND,
            _ => code::RECEIVE,
        },
    }
}
