//! What a connection is busy with, and until when it may be.
//!
//! No timers here: `connection.rs` asks when something is due, and arms one timer for it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::config::Limits;

/// Which limit is reached at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The request head is not there yet.
    Head,
    /// No request has begun.
    Idle,
    /// A reply is not taken.
    Stall,
    /// The rest of a request body that nobody wants does not come.
    Discard,
    /// A stream of an HTTP/2 connection is kept from sending.
    Stream,
}

/// How long after its reply the rest of an unwanted request body is read, so that the connection can be
/// used again. Then it is closed, lingering: that costs the client a new connection and nothing else.
const DISCARD: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For the first head, since the connection was accepted.
    FirstHead,
    /// For the first byte of a head.
    Idle,
    /// For the rest of a head (HTTP/1).
    Head,
}

#[derive(Debug)]
pub(super) struct Activity {
    waiting: Cell<Waiting>,
    since: Cell<Instant>,
    /// Requests whose reply has not been handed over whole.
    in_flight: Cell<u32>,
    /// Replies of which a piece was handed over and the next one not yet asked for.
    held: Cell<u32>,
    /// When the transport last took something.
    progress: Cell<Instant>,
    requests: Cell<u64>,
    /// Request bodies are being discarded.
    discarding: Cell<bool>,
    http2: bool,
}

impl Activity {
    pub(super) fn new(accepted: Instant, http2: bool) -> Self {
        Self {
            waiting: Cell::new(Waiting::FirstHead),
            since: Cell::new(accepted),
            in_flight: Cell::new(0),
            held: Cell::new(0),
            progress: Cell::new(accepted),
            requests: Cell::new(0),
            discarding: Cell::new(false),
            http2,
        }
    }

    /// Bytes of HTTP came.
    pub(super) fn received(&self) {
        // An HTTP/2 client that only pings is as idle as one that is silent.
        if !self.http2 && self.in_flight.get() == 0 && self.waiting.get() == Waiting::Idle {
            self.waiting.set(Waiting::Head);
            self.since.set(Instant::now());
        }
    }

    /// The channel took bytes.
    pub(super) fn sent(&self) {
        self.progress.set(Instant::now());
    }

    pub(super) fn request_began(&self) {
        self.requests.set(self.requests.get() + 1);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn request_ended(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if self.in_flight.get() == 0 {
            self.waiting.set(Waiting::Idle);
            self.since.set(Instant::now());
        }
    }

    /// A piece of a reply was handed over; until [`asked`](Self::asked) the client is to blame for
    /// the waiting, not the handler.
    pub(super) fn handed_over(&self) {
        self.held.set(self.held.get() + 1);
        self.progress.set(Instant::now());
    }

    pub(super) fn asked(&self) {
        self.held.set(self.held.get().saturating_sub(1));
    }

    pub(super) fn discards(&self, on: bool) {
        self.discarding.set(on);
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Has nothing of any request arrived yet, or is all that came answered?
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// Since when it has waited for a request of which nothing has come; `None` when it waits for something else.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.is_idle() && self.waiting.get() == Waiting::Idle && !self.discarding.get();
        idle.then(|| self.since.get())
    }

    /// When the next limit is reached, as things stand.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Due)> {
        if self.in_flight.get() > 0 {
            return (self.held.get() > 0).then(|| (self.progress.get() + limits.write, Due::Stall));
        }
        let since = self.since.get();
        if self.discarding.get() {
            return Some((since.max(self.progress.get()) + DISCARD, Due::Discard));
        }
        Some(match self.waiting.get() {
            Waiting::FirstHead | Waiting::Head => (since + limits.head, Due::Head),
            // The end of a reply may still be on its way to a slow client.
            Waiting::Idle => (since.max(self.progress.get()) + limits.idle, Due::Idle),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a18_one_deadline_covers_the_handshake_and_the_first_head() {
        let limits = Limits::default();
        let accepted = Instant::now();
        let activity = Activity::new(accepted, false);
        activity.received();
        assert_eq!(
            activity.due(&limits),
            Some((accepted + limits.head, Due::Head))
        );
    }

    #[test]
    fn a18_a_handler_that_thinks_is_not_a_client_that_stalls() {
        let limits = Limits::default();
        let activity = Activity::new(Instant::now(), false);
        activity.request_began();
        assert_eq!(activity.due(&limits), None);
        activity.handed_over();
        assert!(matches!(activity.due(&limits), Some((_, Due::Stall))));
        activity.asked();
        assert_eq!(activity.due(&limits), None);
        activity.request_ended();
        assert!(matches!(activity.due(&limits), Some((_, Due::Idle))));
        activity.received();
        assert!(matches!(activity.due(&limits), Some((_, Due::Head))));
    }

    #[test]
    fn a18_pings_do_not_keep_an_http2_connection_from_being_idle() {
        let limits = Limits::default();
        let activity = Activity::new(Instant::now() - Duration::from_secs(1), true);
        activity.request_began();
        activity.request_ended();
        activity.received();
        assert!(matches!(activity.due(&limits), Some((_, Due::Idle))));
    }
}
