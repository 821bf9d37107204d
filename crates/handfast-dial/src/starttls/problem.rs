//! Errors of STARTTLS dialogues.

use std::fmt;

use super::protocol::StartTls;

/// Why a STARTTLS dialogue failed. The cause is the server, or a device on the path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartTlsError {
    /// The protocol.
    pub protocol: StartTls,
    /// What happened.
    pub problem: StartTlsProblem,
}

/// What happened in a STARTTLS dialogue. Bytes are as the server sent them, at most 256.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartTlsProblem {
    /// The server's capabilities do not include TLS.
    NotOffered {
        /// The list.
        offered: Vec<u8>,
    },
    /// The server refused to begin TLS.
    Refused {
        /// Its answer.
        answer: Vec<u8>,
    },
    /// Before TLS was requested, in its greeting or in the answer to EHLO, the server refused this
    /// client (RFC 5321, section 3.1: a server may open with 554 instead of 220).
    ClientRefused {
        /// Its answer.
        answer: Vec<u8>,
    },
    /// Its message is not an answer of this protocol.
    Unexpected {
        /// The expected answer: "the greeting", "the answer to STARTTLS".
        awaited: &'static str,
        /// The received bytes.
        answer: Vec<u8>,
    },
    /// Plaintext followed the last answer, where only TLS may follow: an attack, or a
    /// broken server.
    Injected {
        /// The received bytes.
        bytes: Vec<u8>,
    },
    /// Its answer exceeds the limit.
    TooLong {
        /// The expected answer.
        awaited: &'static str,
    },
    /// It closed the connection.
    Ended {
        /// The expected answer.
        awaited: &'static str,
    },
    /// It speaks TLS from the first byte.
    AlreadyTls,
}

impl StartTls {
    /// The error of a server that turned out to speak TLS from the first byte.
    pub fn already_tls(self) -> StartTlsError {
        StartTlsError {
            protocol: self,
            problem: StartTlsProblem::AlreadyTls,
        }
    }
}

impl StartTlsProblem {
    /// A stable id in kebab-case.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NotOffered { .. } => "starttls-not-offered",
            Self::Refused { .. } => "starttls-refused",
            Self::ClientRefused { .. } => "starttls-client-refused",
            Self::Unexpected { .. } | Self::TooLong { .. } => "starttls-unexpected-answer",
            Self::Injected { .. } => "starttls-injection",
            Self::Ended { .. } => "starttls-ended",
            Self::AlreadyTls => "starttls-already-tls",
        }
    }
}

impl fmt::Display for StartTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol;
        match &self.problem {
            StartTlsProblem::NotOffered { .. } => {
                write!(f, "the {protocol} server does not offer TLS")
            }
            StartTlsProblem::Refused { .. } => {
                write!(f, "the {protocol} server refused to begin TLS")
            }
            StartTlsProblem::Unexpected { awaited, .. } => {
                write!(f, "the peer does not speak {protocol}: expected {awaited}")
            }
            StartTlsProblem::ClientRefused { .. } => {
                write!(f, "the {protocol} server refused this client before TLS")
            }
            StartTlsProblem::Injected { .. } => write!(
                f,
                "the {protocol} server sent plaintext after its last answer before TLS: refused, as it may be injected"
            ),
            StartTlsProblem::TooLong { awaited } => write!(
                f,
                "the {protocol} server's answer is too long: expected {awaited}"
            ),
            StartTlsProblem::Ended { awaited } => write!(
                f,
                "the {protocol} server closed the connection before TLS: expected {awaited}"
            ),
            StartTlsProblem::AlreadyTls => {
                write!(f, "the peer speaks TLS from the start, not {protocol}")
            }
        }
    }
}

impl std::error::Error for StartTlsError {}
