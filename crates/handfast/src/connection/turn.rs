//! One step of the state machine, and what becomes of it: records decrypted, records made, bytes used up.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::records::Records;
use crate::buffers::Window;
use crate::resumption::Ticket;
use crate::witness::Session;

/// Who knows what to do with the next record.
pub(super) enum Tls {
    /// rustls' state machine: the handshake, of either side.
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
    /// After it, our record protocol.
    Records(Box<Records>),
    /// Nobody: it failed when the one was to become the other.
    Nobody,
}

impl Tls {
    /// rustls' view of the handshake, while it is rustls'.
    pub(super) fn handshake(&self) -> Option<&rustls::CommonState> {
        match self {
            Self::Client(tls) => Some(tls),
            Self::Server(tls) => Some(tls),
            Self::Records(_) | Self::Nobody => None,
        }
    }

    /// Takes the records over from rustls, which must have nothing left to do.
    pub(super) fn take_over(&mut self, session: &Session) -> Result<(), rustls::Error> {
        let records = match std::mem::replace(self, Self::Nobody) {
            Self::Client(tls) => Records::of_client(*tls, session.clone())?,
            Self::Server(tls) => Records::of_server(*tls)?,
            other => {
                *self = other;
                return Ok(());
            }
        };
        *self = Self::Records(Box::new(records));
        Ok(())
    }
}

/// What to encrypt when rustls next allows it.
pub(super) enum Job<'j> {
    Record(&'j [u8]),
    CloseNotify,
}

pub(super) enum Step {
    /// There may be more to do with what was received.
    More,
    JobDone,
    /// rustls needs more from the peer.
    Drained,
    /// The peer's `close_notify`.
    Ended,
    Failed(rustls::Error),
}

/// Where plaintext goes, and how much of it.
pub(super) struct Target<'t> {
    pub(super) place: Place<'t>,
    pub(super) room: usize,
    pub(super) filled: usize,
}

pub(super) enum Place<'t> {
    Buffer(&'t mut [u8]),
    Taker(&'t mut dyn FnMut(&[u8])),
}

impl<'t> Target<'t> {
    pub(super) fn of(buffer: &'t mut [u8]) -> Self {
        Self {
            room: buffer.len(),
            place: Place::Buffer(buffer),
            filled: 0,
        }
    }

    /// Nobody wants plaintext now: it is kept.
    pub(super) fn none() -> Self {
        Self::of(&mut [])
    }

    pub(super) fn is_full(&self) -> bool {
        self.room > 0 && self.filled == self.room
    }

    /// Takes what there is room for; gives the rest.
    fn put<'p>(&mut self, plaintext: &'p [u8]) -> &'p [u8] {
        let (now, later) = plaintext.split_at(plaintext.len().min(self.room - self.filled));
        if !now.is_empty() {
            match &mut self.place {
                Place::Buffer(buffer) => {
                    buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
                }
                Place::Taker(take) => take(now),
            }
            self.filled += now.len();
        }
        later
    }
}

/// One step and what is done with its results.
pub(super) struct Turn<'t, 'u, 'j> {
    pub(super) outgoing: &'t mut Window,
    plaintext: &'t mut Window,
    pub(super) target: &'t mut Target<'u>,
    pub(super) records: u64,
    pub(super) plaintext_received: u64,
    pub(super) job: Option<Job<'j>>,
    /// Tickets that the peer gave out.
    pub(super) tickets: Vec<Ticket>,
    /// The peer asked to renegotiate.
    pub(super) renegotiation_refused: bool,
}

impl<'t, 'u, 'j> Turn<'t, 'u, 'j> {
    pub(super) fn new(
        outgoing: &'t mut Window,
        plaintext: &'t mut Window,
        target: &'t mut Target<'u>,
        job: Option<Job<'j>>,
    ) -> Self {
        Self {
            outgoing,
            plaintext,
            target,
            records: 0,
            plaintext_received: 0,
            job,
            tickets: Vec::new(),
            renegotiation_refused: false,
        }
    }

    /// Gives how many bytes of `incoming` are used up, and what to do next.
    pub(super) fn call(&mut self, tls: &mut Tls, incoming: &mut [u8]) -> (usize, Step) {
        match tls {
            Tls::Client(tls) => self.take(tls.process_tls_records(incoming)),
            Tls::Server(tls) => self.take(tls.process_tls_records(incoming)),
            Tls::Records(records) => records.turn(self, incoming),
            Tls::Nobody => {
                let error = rustls::Error::General("the connection has failed before".into());
                (0, Step::Failed(error))
            }
        }
    }

    fn take<D>(&mut self, status: UnbufferedStatus<'_, '_, D>) -> (usize, Step) {
        let UnbufferedStatus { mut discard, state } = status;
        let step = match state {
            Err(error) => Step::Failed(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        self.deliver(record.payload);
                    }
                    Some(Err(error)) => break Step::Failed(error),
                    None => break Step::More,
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                // Asking for room with none given tells how much is needed.
                let needed = match encode.encode(&mut []) {
                    Err(rustls::unbuffered::EncodeError::InsufficientSize(size)) => {
                        size.required_size
                    }
                    _ => 0,
                };
                match encode.encode(self.outgoing.room(needed)) {
                    Ok(count) => {
                        self.outgoing.fill(count);
                        Step::More
                    }
                    Err(error) => Step::Failed(rustls::Error::General(error.to_string())),
                }
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                // `outgoing` keeps the order; whoever owns the channel sends it.
                transmit.done();
                Step::More
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => match self.job.take() {
                None => Step::Drained,
                Some(job) => {
                    let size = match job {
                        Job::Record(plaintext) => plaintext.len(),
                        Job::CloseNotify => 0,
                    };
                    // Header, content type, tag and nonce of every suite; and, when the keys are
                    // about to be renewed, a key update before it.
                    let room = self.outgoing.room(size + 512);
                    let written = match job {
                        Job::Record(plaintext) => traffic.encrypt(plaintext, room),
                        Job::CloseNotify => traffic.queue_close_notify(room),
                    };
                    match written {
                        Ok(count) => {
                            self.outgoing.fill(count);
                            Step::JobDone
                        }
                        Err(_) => Step::Failed(rustls::Error::EncryptError),
                    }
                }
            },
            Ok(ConnectionState::BlockedHandshake) => Step::Drained,
            Ok(ConnectionState::PeerClosed) => Step::Ended,
            Ok(ConnectionState::Closed) => Step::Drained,
            // Early data is never enabled; later variants of this enum are not known here.
            Ok(_) => Step::Failed(rustls::Error::General("an unknown state".into())),
        };
        (discard, step)
    }

    pub(super) fn deliver(&mut self, payload: &[u8]) {
        self.records += 1;
        self.plaintext_received += payload.len() as u64;
        // What waits already comes first.
        let rest = match self.plaintext.is_empty() {
            true => self.target.put(payload),
            false => payload,
        };
        if !rest.is_empty() {
            self.plaintext.extend(rest);
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "Client",
            Self::Server(_) => "Server",
            Self::Records(_) => "Records",
            Self::Nobody => "Nobody",
        })
    }
}
