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
    /// What the client takes of its replies is to be looked at.
    Progress,
    /// The rest of an unread request body does not arrive.
    Discard,
    /// A stream of an HTTP/2 connection is kept from sending.
    Stream,
}

/// How long after its reply the rest of an unwanted request body is read, so that the connection can be
/// used again. Then it is closed, lingering: that costs the client a new connection and nothing else.
const DISCARD: Duration = Duration::from_millis(500);

/// Progress is looked at so many times in [`Limits::write`]: a client is dropped no later than that part of
/// it after its time, and a look costs some microseconds.
const LOOKS: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For the first head, since the connection was accepted.
    FirstHead,
    /// For the first byte of a head.
    Idle,
    /// For the rest of a head (HTTP/1).
    Head,
}

/// What a connection has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Bytes that the client has acknowledged, since the connection began.
    pub(super) acknowledged: u64,
    /// Is there something that it has not?
    pub(super) outstanding: bool,
}

/// A stretch of time in which the client has to take so much.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// When it began, and what was acknowledged by then; not known before the first look.
    began: Option<(Instant, u64)>,
    /// When to look next.
    look: Instant,
}

#[derive(Debug)]
pub(super) struct Activity {
    waiting: Cell<Waiting>,
    since: Cell<Instant>,
    /// Requests whose reply has not been handed over whole.
    in_flight: Cell<u32>,
    /// While replies are under way.
    span: Cell<Option<Span>>,
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
            span: Cell::new(None),
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

    /// Everything that was handed over has gone to the kernel: from now on the client is waited for.
    pub(super) fn flushed(&self, now: Instant) {
        if self.in_flight.get() == 0 {
            self.since.set(now);
        }
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

    /// When the next limit is reached, as things stand. `sending`: not everything has gone to the kernel.
    pub(super) fn due(&self, limits: &Limits, sending: bool) -> (Instant, Due) {
        if sending || self.in_flight.get() > 0 {
            let span = self.span.get().unwrap_or_else(|| {
                let look = next_look(Instant::now(), limits);
                let span = Span { began: None, look };
                self.span.set(Some(span));
                span
            });
            return (span.look, Due::Progress);
        }
        self.span.set(None);
        let since = self.since.get();
        if self.discarding.get() {
            return (later(since, DISCARD), Due::Discard);
        }
        match self.waiting.get() {
            Waiting::FirstHead | Waiting::Head => (later(since, limits.head), Due::Head),
            Waiting::Idle => (later(since, limits.idle), Due::Idle),
        }
    }

    /// Looks at what was delivered. Does the client take enough of it to be served?
    ///
    /// Where nothing is outstanding it is not the client that is waited for: a handler thinks, or the client's
    /// window over HTTP/2 is shut, of which the engine keeps the time.
    pub(super) fn takes_enough(&self, now: Instant, delivery: Delivery, limits: &Limits) -> bool {
        let fresh = (now, delivery.acknowledged);
        let began = match self.span.get().and_then(|span| span.began) {
            Some(began) if delivery.outstanding => began,
            _ => fresh,
        };
        let taken = delivery.acknowledged.saturating_sub(began.1);
        let over = later(began.0, limits.write);
        let began = match taken >= bytes_min(limits) {
            true => fresh,
            false if now >= over && began != fresh => return false,
            false => began,
        };
        let mut look = next_look(now, limits);
        if over > now {
            look = look.min(over);
        }
        self.span.set(Some(Span {
            began: Some(began),
            look,
        }));
        true
    }
}

fn next_look(now: Instant, limits: &Limits) -> Instant {
    // However short the span is, the thread has others to serve.
    later(now, (limits.write / LOOKS).max(Duration::from_millis(1)))
}

/// Limits may be without end.
fn later(instant: Instant, duration: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    instant + duration.min(CENTURY)
}

/// Bytes that a client has to take in each [`Limits::write`]; one at least.
fn bytes_min(limits: &Limits) -> u64 {
    let span = u64::try_from(limits.write.as_millis()).unwrap_or(u64::MAX);
    let bytes = u64::from(limits.write_rate_min).saturating_mul(span) / 1000;
    bytes.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deadline_covers_the_handshake_and_the_first_head() {
        let limits = Limits::default();
        let accepted = Instant::now();
        let activity = Activity::new(accepted, false);
        activity.received();
        assert_eq!(
            activity.due(&limits, false),
            (accepted + limits.head, Due::Head)
        );
    }

    #[test]
    fn each_time_has_its_limit() {
        let limits = Limits::default();
        let activity = Activity::new(Instant::now(), false);
        let due = |sending| activity.due(&limits, sending).1;
        activity.request_began();
        assert_eq!(due(false), Due::Progress);
        activity.request_ended();
        assert_eq!(due(true), Due::Progress, "its end is still being sent");
        assert_eq!(due(false), Due::Idle);
        activity.received();
        assert_eq!(due(false), Due::Head);
        activity.discards(true);
        assert_eq!(due(false), Due::Discard);
    }

    #[test]
    fn pings_do_not_keep_an_http2_connection_from_being_idle() {
        let limits = Limits::default();
        let activity = Activity::new(Instant::now() - Duration::from_secs(1), true);
        activity.request_began();
        activity.request_ended();
        activity.received();
        assert_eq!(activity.due(&limits, false).1, Due::Idle);
    }

    /// When a client is dropped that takes so many bytes every so many seconds, by a clock that is the
    /// test's; `None` when it is not, within ten minutes.
    fn dropped_after(bytes: u64, every: u64, outstanding: bool) -> Option<Duration> {
        let limits = Limits::default();
        let began = Instant::now();
        let activity = Activity::new(began, false);
        activity.request_began();
        let (mut now, _) = activity.due(&limits, true);
        while now < began + Duration::from_secs(600) {
            let seconds = (now - began).as_secs();
            let delivery = Delivery {
                acknowledged: 1_000_000 + seconds / every * bytes,
                outstanding,
            };
            if !activity.takes_enough(now, delivery, &limits) {
                return Some(now - began);
            }
            let (next, due) = activity.due(&limits, true);
            assert!(next > now && due == Due::Progress);
            now = next;
        }
        None
    }

    #[test]
    fn slow_and_steady_is_served_and_a_trickle_is_not() {
        let limits = Limits::default();
        let soon = limits.write..=limits.write * 2;
        // Bytes, each so many seconds.
        let cases = [
            (1024, 1, true),
            (130, 1, true),
            (20_000, 50, true),
            (100, 1, false),
            (1, 38, false),
            (1, 1, false),
            (1000, 38, false),
            (0, 1, false),
        ];
        for (bytes, every, served) in cases {
            match dropped_after(bytes, every, true) {
                None => assert!(served, "{bytes} bytes each {every} s"),
                Some(after) => assert!(
                    !served && soon.contains(&after),
                    "{bytes} bytes each {every} s: dropped after {after:?}"
                ),
            }
            let waited_for = dropped_after(bytes, every, false);
            assert_eq!(waited_for, None, "nothing is outstanding");
        }
    }

    #[test]
    fn time_before_something_was_outstanding_is_not_the_clients() {
        let limits = Limits::default();
        let began = Instant::now();
        let activity = Activity::new(began, false);
        activity.request_began();
        let look = |seconds, acknowledged, outstanding| {
            let delivery = Delivery {
                acknowledged,
                outstanding,
            };
            activity.takes_enough(began + Duration::from_secs(seconds), delivery, &limits)
        };
        assert!(look(1, 0, false) && look(1000, 0, false));
        assert!(look(1001, 0, true) && look(1059, 100, true));
        assert!(!look(1061, 100, true));
    }

    #[test]
    fn a_rate_of_nothing_still_asks_for_a_byte() {
        let mut limits = Limits::default();
        assert_eq!(bytes_min(&limits), 7680);
        limits.write_rate_min = 0;
        assert_eq!(bytes_min(&limits), 1);
        limits.write_rate_min = u32::MAX;
        limits.write = Duration::MAX;
        limits.idle = Duration::MAX;
        assert!(bytes_min(&limits) > 0);
        let activity = Activity::new(Instant::now(), false);
        activity.request_began();
        let (look, _) = activity.due(&limits, true);
        let nothing = Delivery {
            acknowledged: 0,
            outstanding: true,
        };
        assert!(activity.takes_enough(look, nothing, &limits));
        activity.request_ended();
        assert_eq!(activity.due(&limits, false).1, Due::Idle);
    }
}
