//! The client's side of a STARTTLS dialogue, without I/O.

use super::problem::{StartTlsError, StartTlsProblem};
use super::protocol::StartTls;
use super::step::{Step, evidence};
use super::{binary, lines, xmpp};

/// The limit on the server's data; dialogues have a few hundred bytes.
const BYTES_MAX: usize = 64 * 1024;

impl StartTls {
    /// Starts the dialogue. XMPP sends the server's name in plaintext.
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
                (Script::Lines(lines::rounds(self)), Vec::new())
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
}

/// One STARTTLS dialogue without I/O, from the client's side.
///
/// In a loop: send [`outgoing`](Self::outgoing) and report it by
/// [`sent`](Self::sent); stop once [`is_done`](Self::is_done); pass received bytes to
/// [`received`](Self::received). All bytes that were read must be passed in, also those after the last answer:
/// this is how injected plaintext is detected.
#[derive(Debug)]
pub struct StartTlsDialogue {
    protocol: StartTls,
    script: Script,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    received: usize,
    /// The server has sent its last message before TLS.
    answered: bool,
    failure: Option<StartTlsError>,
}

#[derive(Debug)]
enum Script {
    Lines(&'static [lines::Round]),
    Xmpp(xmpp::Awaited),
    Ldap,
    Postgres,
    Mysql,
}

impl StartTlsDialogue {
    /// Bytes to be sent to the server, in plaintext.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The first `count` bytes of [`outgoing`](Self::outgoing) have been sent.
    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    /// The dialogue is complete, and everything was sent: the next byte is TLS.
    pub fn is_done(&self) -> bool {
        self.answered && self.outgoing.is_empty() && self.failure.is_none()
    }

    /// Handles received bytes.
    ///
    /// # Errors
    /// Why TLS cannot begin; every later call returns the same error.
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

    /// Whether the server has not sent any byte.
    pub fn is_unanswered(&self) -> bool {
        self.received == 0
    }

    /// The server closed the connection (FIN, or a reset) before TLS began: the error to report.
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
        // A server that begins with a TLS record does not use STARTTLS.
        if self.received == self.incoming.len() && matches!(self.incoming[..], [0x15 | 0x16, 3, ..])
        {
            return Err(StartTlsProblem::AlreadyTls);
        }
        match &mut self.script {
            Script::Lines(rounds) => lines::step(rounds, &self.incoming),
            Script::Xmpp(awaited) => xmpp::step(awaited, &self.incoming),
            Script::Ldap => binary::ldap(&self.incoming),
            Script::Postgres => binary::postgres(&self.incoming),
            Script::Mysql => binary::mysql(&self.incoming),
        }
    }

    fn awaited(&self) -> &'static str {
        match &self.script {
            _ if self.answered => "the beginning of TLS",
            Script::Lines(rounds) => rounds.first().map_or("an answer", |round| round.awaited),
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
