//! Bytes that are held for clients: of replies that were made and not yet sent, with the buffers they are in. What has
//! arrived and was not looked at is not among them: at most two records, and a buffer of eight (130 KiB) while the body of a
//! request arrives.
//!
//! A connection may hold [`CONNECTION_MAX`], the whole server
//! [`Limits::held_bytes_max`](super::Limits::held_bytes_max). What has no room is not made: it is asked for
//! again when something was sent.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that one connection may hold. A piece of a file on its way into records (128 KiB), and the records of
/// the piece before it.
pub(super) const CONNECTION_MAX: usize = 256 * 1024;

/// Bytes that a connection which holds nothing may always take, whatever the others hold: one full record.
/// Without it, clients that read nothing could prevent service to others until their time limit.
pub(super) const FLOOR: usize = 16 * 1024;

/// What the whole server holds. Shared by all threads.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            max,
        })
    }

    /// Bytes that may be held.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Bytes that are held now.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// One connection's part of the budget. What it still holds when it is dropped goes back.
#[derive(Debug)]
pub(super) struct Allowance {
    server: Arc<Budget>,
    held: Cell<usize>,
}

impl Allowance {
    pub(super) fn new(server: &Arc<Budget>) -> Self {
        Self {
            server: Arc::clone(server),
            held: Cell::new(0),
        }
    }

    /// Bytes that this connection holds now.
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }

    /// How many of `wanted` bytes may be made now, in one go, to be [noted](Self::note) if they cannot be sent
    /// at once: most can, and cost nothing here. Threads that ask at the same moment may go beyond the server's
    /// limit by that much once.
    pub(super) fn room(&self, wanted: usize) -> usize {
        let held = self.held.get();
        let own = CONNECTION_MAX.saturating_sub(held).min(wanted);
        match self.server.held().saturating_add(own) <= self.server.max {
            true => own,
            false => FLOOR.saturating_sub(held).min(wanted),
        }
    }

    /// This is what the connection holds now, all in all.
    pub(super) fn note(&self, held: usize) {
        let before = self.held.replace(held);
        match held >= before {
            true => self.server.held.fetch_add(held - before, Ordering::Relaxed),
            false => self.server.held.fetch_sub(before - held, Ordering::Relaxed),
        };
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.note(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_holds_no_more_than_its_part() {
        let server = Budget::new(usize::MAX / 2);
        let one = Allowance::new(&server);
        assert_eq!(one.room(100), 100);
        assert_eq!(one.room(usize::MAX), CONNECTION_MAX);
        one.note(CONNECTION_MAX);
        assert_eq!(one.room(100), 0);
        one.note(CONNECTION_MAX - 1);
        assert_eq!((one.room(100), one.held()), (1, CONNECTION_MAX - 1));
        drop(one);
        assert_eq!(server.held(), 0);
    }

    #[test]
    fn a_server_that_holds_all_it_may_still_gives_each_connection_a_record() {
        let server = Budget::new(CONNECTION_MAX);
        let (hog, other) = (Allowance::new(&server), Allowance::new(&server));
        hog.note(CONNECTION_MAX);
        assert_eq!(other.room(128 * 1024), FLOOR);
        other.note(FLOOR);
        assert_eq!(other.room(1), 0);
        assert_eq!(server.held(), CONNECTION_MAX + FLOOR);
        hog.note(0);
        assert_eq!(other.room(128 * 1024), 128 * 1024);
        drop((hog, other));
        assert_eq!(server.held(), 0);
    }
}
