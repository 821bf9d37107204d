//! One step of the state machine: what it works on, and what becomes of it: records decrypted, records made.

use crate::buffers::Window;
use crate::report::Ticket;

/// What to encrypt, once the handshake is done.
pub(super) enum Job<'j> {
    Record(&'j [u8]),
    CloseNotify,
}

/// What to do next.
pub(super) enum Next {
    /// There may be more to do with what was received.
    More,
    JobDone,
    /// More input is needed.
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

    /// No plaintext is read now: it is kept.
    pub(super) fn none() -> Self {
        Self::of(&mut [])
    }

    pub(super) fn is_full(&self) -> bool {
        self.room > 0 && self.filled == self.room
    }

    /// Takes what fits; returns the rest.
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
pub(super) struct Step<'t, 'u, 'j> {
    pub(super) outgoing: &'t mut Window,
    plaintext: &'t mut Window,
    pub(super) target: &'t mut Target<'u>,
    pub(super) records: u64,
    pub(super) plaintext_received: u64,
    pub(super) job: Option<Job<'j>>,
    /// Tickets from the peer.
    pub(super) tickets: Vec<Ticket>,
    /// The peer asked to renegotiate.
    pub(super) renegotiation_refused: bool,
}

impl<'t, 'u, 'j> Step<'t, 'u, 'j> {
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

    pub(super) fn deliver(&mut self, payload: &[u8]) {
        self.records += 1;
        self.plaintext_received += payload.len() as u64;
        // Kept plaintext comes first.
        let rest = match self.plaintext.is_empty() {
            true => self.target.put(payload),
            false => payload,
        };
        if !rest.is_empty() {
            self.plaintext.extend(rest);
        }
    }
}
