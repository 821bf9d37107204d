//! From a protocol's plain text to the point where TLS begins: the STARTTLS dialogues.
//!
//! Owns what a client says and what it accepts as an answer, without I/O; the TLS that follows is
//! `connection.rs`, the explaining of failures `explain/starttls.rs`.
//!
//! Everything up to that point is unprotected: whoever is on the path can change it. So nothing of it
//! is used for anything but getting to TLS, a server that does not offer TLS is an error and never a
//! reason to go on without, and bytes after the server's last plain-text word are refused: they were
//! put there to be taken for something that came protected (CVE-2011-0411 and its many successors).

mod binary;
mod lines;
mod xmpp;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use handfast::{Channel, Phase, escape_control};

use crate::error::{Cause, Error};

/// A dialogue takes a few hundred bytes; a server that talks longer than this is not in it.
const BYTES_MAX: usize = 64 * 1024;

/// How much of an unexpected answer is kept as evidence.
const EVIDENCE_MAX: usize = 256;

/// A protocol that begins in plain text and turns to TLS on the same connection.
///
/// ```
/// # use handfast_dial::StartTls;
/// let protocol: StartTls = "smtp".parse()?;
/// assert_eq!(protocol.default_port(), 25);
/// # Ok::<(), handfast_dial::UnknownStartTls>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartTls {
    /// Mail transfer and submission (RFC 3207).
    Smtp,
    /// IMAP (RFC 9051, section 6.2.1).
    Imap,
    /// POP3 (RFC 2595, section 4).
    Pop3,
    /// FTP, its control connection (RFC 4217).
    Ftp,
    /// LDAP (RFC 4511, section 4.14).
    Ldap,
    /// XMPP between client and server (RFC 6120, section 5).
    Xmpp,
    /// PostgreSQL's `SSLRequest`.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// ManageSieve (RFC 5804, section 2.2).
    Sieve,
    /// Network news (RFC 4642).
    Nntp,
}

impl StartTls {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Smtp,
        Self::Imap,
        Self::Pop3,
        Self::Ftp,
        Self::Ldap,
        Self::Xmpp,
        Self::Postgres,
        Self::Mysql,
        Self::Sieve,
        Self::Nntp,
    ];

    /// The name that [`FromStr`] reads: `smtp`, `imap`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Ftp => "ftp",
            Self::Ldap => "ldap",
            Self::Xmpp => "xmpp",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Sieve => "sieve",
            Self::Nntp => "nntp",
        }
    }

    /// The port that is registered for its plain-text form.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Pop3 => 110,
            Self::Ftp => 21,
            Self::Ldap => 389,
            Self::Xmpp => 5222,
            Self::Postgres => 5432,
            Self::Mysql => 3306,
            Self::Sieve => 4190,
            Self::Nntp => 119,
        }
    }

    /// Does the server speak first? One that does not may be waiting for TLS, which the client begins.
    pub const fn server_speaks_first(self) -> bool {
        !matches!(self, Self::Ldap | Self::Xmpp | Self::Postgres)
    }

    /// The error of a server that turned out to speak TLS from the first byte.
    pub fn already_tls(self) -> StartTlsError {
        StartTlsError {
            protocol: self,
            problem: StartTlsProblem::AlreadyTls,
        }
    }

    /// Begins the dialogue with the server of this name, which XMPP tells it in the clear.
    pub fn dialogue(self, server_name: &str) -> StartTlsDialogue {
        let (script, outgoing) = match self {
            Self::Ldap => (Script::Ldap, binary::LDAP_START_TLS.to_vec()),
            Self::Postgres => (Script::Postgres, binary::POSTGRES_SSL_REQUEST.to_vec()),
            Self::Mysql => (Script::Mysql, Vec::new()),
            Self::Xmpp => (
                Script::Xmpp(xmpp::Awaited::Features),
                xmpp::header(server_name),
            ),
            Self::Smtp | Self::Imap | Self::Pop3 | Self::Ftp | Self::Sieve | Self::Nntp => {
                (Script::Lines(lines::turns(self)), Vec::new())
            }
        };
        StartTlsDialogue {
            protocol: self,
            script,
            outgoing,
            incoming: Vec::new(),
            received: 0,
            answered: false,
            failure: None,
        }
    }

    /// Leads the whole dialogue over a blocking channel. Afterwards TLS begins:
    /// [`ClientContext::secure`](handfast::ClientContext::secure).
    ///
    /// # Errors
    /// [`Cause::StartTls`] for whatever the server did otherwise, and time-outs and failures of
    /// the channel, all in [`Phase::StartTls`].
    pub fn negotiate<C: Channel>(
        self,
        channel: &mut C,
        server_name: &str,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let mut dialogue = self.dialogue(server_name);
        let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        let mut chunk = [0; 4096];
        loop {
            while !dialogue.outgoing().is_empty() {
                channel.limit_write(time_left(deadline)?).map_err(failed)?;
                match channel.write(dialogue.outgoing()) {
                    Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
                    Ok(count) => dialogue.sent(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(timed_out(deadline, error)),
                }
            }
            channel.flush().map_err(failed)?;
            if dialogue.is_done() {
                return Ok(());
            }
            channel.limit_read(time_left(deadline)?).map_err(failed)?;
            match channel.read(&mut chunk) {
                Ok(0) => return Err(dialogue.received_end().into()),
                Ok(count) => dialogue.received(chunk.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(deadline, error)),
            }
        }
    }
}

impl fmt::Display for StartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::Ftp => "FTP",
            Self::Ldap => "LDAP",
            Self::Xmpp => "XMPP",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Sieve => "ManageSieve",
            Self::Nntp => "NNTP",
        })
    }
}

impl FromStr for StartTls {
    type Err = UnknownStartTls;

    fn from_str(text: &str) -> Result<Self, UnknownStartTls> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownStartTls(text.to_owned()))
    }
}

/// No protocol of [`StartTls`] goes by this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStartTls(String);

impl fmt::Display for UnknownStartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = StartTls::ALL.iter().map(|known| known.name()).collect();
        write!(
            f,
            "`{}` is none of {}",
            escape_control(&self.0),
            known.join(", ")
        )
    }
}

impl std::error::Error for UnknownStartTls {}

/// One STARTTLS dialogue without I/O, from the client's side.
///
/// Over and over: send what [`outgoing`](Self::outgoing) holds and report it by
/// [`sent`](Self::sent); stop once [`is_done`](Self::is_done); hand what the server says to
/// [`received`](Self::received). Whoever reads more from the channel in between must hand it in, too:
/// that is how injected plain text is found.
#[derive(Debug)]
pub struct StartTlsDialogue {
    protocol: StartTls,
    script: Script,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    received: usize,
    /// The server has said its last word before TLS.
    answered: bool,
    failure: Option<StartTlsError>,
}

#[derive(Debug)]
enum Script {
    Lines(&'static [lines::Turn]),
    Xmpp(xmpp::Awaited),
    Ldap,
    Postgres,
    Mysql,
}

/// What a script makes of the bytes so far.
enum Step {
    /// They are not a whole answer yet.
    Wait,
    /// So many of them were an answer; this is said next, and another answer awaited.
    Say { used: usize, next: Vec<u8> },
    /// So many of them were the last answer before TLS; this is said as the last thing.
    Done { used: usize, last: Vec<u8> },
}

impl StartTlsDialogue {
    /// Bytes to be sent to the server, in plain text.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The first `count` bytes of [`outgoing`](Self::outgoing) have been sent.
    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    /// Both sides have said everything, and it has been sent: the next byte is TLS.
    pub fn is_done(&self) -> bool {
        self.answered && self.outgoing.is_empty() && self.failure.is_none()
    }

    /// The server said this.
    ///
    /// # Errors
    /// Why there will be no TLS; the same again on every later call.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), StartTlsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.received = self.received.saturating_add(bytes.len());
        self.incoming.extend_from_slice(bytes);
        let result = self.advance();
        self.failure = result.as_ref().err().cloned();
        result
    }

    /// Has the server not said a single byte?
    pub fn is_unanswered(&self) -> bool {
        self.received == 0
    }

    /// The server's direction has ended (FIN, or a reset) before TLS began: the error to report.
    pub fn received_end(&mut self) -> StartTlsError {
        let awaited = self.awaited();
        let error = self.error(StartTlsProblem::Ended { awaited });
        self.failure.get_or_insert(error).clone()
    }

    fn advance(&mut self) -> Result<(), StartTlsError> {
        while !self.answered {
            let step = self.step().map_err(|problem| self.error(problem))?;
            match step {
                Step::Wait if self.received > BYTES_MAX => {
                    let awaited = self.awaited();
                    return Err(self.error(StartTlsProblem::TooLong { awaited }));
                }
                Step::Wait => return Ok(()),
                Step::Say { used, next } => {
                    self.incoming.drain(..used.min(self.incoming.len()));
                    self.outgoing.extend_from_slice(&next);
                }
                Step::Done { used, last } => {
                    self.incoming.drain(..used.min(self.incoming.len()));
                    self.outgoing.extend_from_slice(&last);
                    self.answered = true;
                }
            }
        }
        if self.incoming.is_empty() {
            Ok(())
        } else {
            let bytes = evidence(&self.incoming);
            Err(self.error(StartTlsProblem::Injected { bytes }))
        }
    }

    fn step(&mut self) -> Result<Step, StartTlsProblem> {
        if self.incoming.is_empty() {
            return Ok(Step::Wait);
        }
        // A server that begins with TLS records does not know STARTTLS, or does not need it.
        if self.received == self.incoming.len() && matches!(self.incoming[..], [0x15 | 0x16, 3, ..])
        {
            return Err(StartTlsProblem::AlreadyTls);
        }
        match &mut self.script {
            Script::Lines(turns) => lines::step(turns, &self.incoming),
            Script::Xmpp(awaited) => xmpp::step(awaited, &self.incoming),
            Script::Ldap => binary::ldap(&self.incoming),
            Script::Postgres => binary::postgres(&self.incoming),
            Script::Mysql => binary::mysql(&self.incoming),
        }
    }

    fn awaited(&self) -> &'static str {
        match &self.script {
            _ if self.answered => "the beginning of TLS",
            Script::Lines(turns) => turns.first().map_or("an answer", |turn| turn.awaited),
            Script::Xmpp(awaited) => awaited.describe(),
            Script::Ldap => "the answer to StartTLS",
            Script::Postgres => "the answer to SSLRequest",
            Script::Mysql => "the greeting",
        }
    }

    fn error(&self, problem: StartTlsProblem) -> StartTlsError {
        StartTlsError {
            protocol: self.protocol,
            problem,
        }
    }
}

fn evidence(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take(EVIDENCE_MAX).collect()
}

/// Why a STARTTLS dialogue did not come to TLS. Always the server's doing, or of somebody between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartTlsError {
    /// The protocol that was spoken.
    pub protocol: StartTls,
    /// What happened.
    pub problem: StartTlsProblem,
}

/// What happened in a STARTTLS dialogue. Bytes are as the server sent them, at most 256.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartTlsProblem {
    /// The server lists what it can do, and TLS is not among it.
    NotOffered {
        /// The list.
        offered: Vec<u8>,
    },
    /// Asked for TLS, the server said no.
    Refused {
        /// Its answer.
        answer: Vec<u8>,
    },
    /// Before a word about TLS, in its greeting or in the answer to ours, the server refused this
    /// client (RFC 5321, section 3.1: a server may open with 554 instead of 220).
    ClientRefused {
        /// Its answer.
        answer: Vec<u8>,
    },
    /// What it said is no answer in this protocol.
    Unexpected {
        /// What should have come: "the greeting", "the answer to STARTTLS".
        awaited: &'static str,
        /// What came.
        answer: Vec<u8>,
    },
    /// Plain text came after the answer that ends it, where only TLS may follow: an attack, or a
    /// broken server.
    Injected {
        /// What came.
        bytes: Vec<u8>,
    },
    /// It talks on without answering.
    TooLong {
        /// What should have come.
        awaited: &'static str,
    },
    /// It ended the connection.
    Ended {
        /// What should have come.
        awaited: &'static str,
    },
    /// It speaks TLS from the first byte.
    AlreadyTls,
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
                "the {protocol} server sent plain text after its last answer before TLS: refused, as it may be injected"
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

impl From<StartTlsError> for Error {
    fn from(error: StartTlsError) -> Self {
        Self::new(Phase::StartTls, Cause::StartTls(Box::new(error)))
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(Phase::StartTls, Cause::from(error))
}

fn time_left(deadline: Option<(Instant, Duration)>) -> Result<Option<Duration>, Error> {
    let Some((at, limit)) = deadline else {
        return Ok(None);
    };
    match at.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(Some(left)),
        _ => Err(Error::new(Phase::StartTls, Cause::TimedOut { limit })),
    }
}

fn timed_out(deadline: Option<(Instant, Duration)>, error: io::Error) -> Error {
    let cause: Cause = match (error.kind(), deadline) {
        (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some((_, limit))) => {
            Cause::TimedOut { limit }
        }
        _ => error.into(),
    };
    Error::new(Phase::StartTls, cause)
}

#[cfg(test)]
mod tests;
