//! The shared state of one thread's connections: due requests, the clock, the measurements.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use handfast::ClientContext;
use mio::Registry;

use super::http2::{Encoded, Finished};
use super::measure::{Fault, Sample};
use super::outcome::{Broken, Response};
use super::plan::{Handshake, Plan};
use super::schedule::{Nanos, Work};

/// How often a request is sent again. A server with one request for each connection refuses, of a
/// hundred streams, the last one 99 times; the limit is for servers that always refuse.
const RESENT_MAX: u32 = 100;

/// The immutable state of all threads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) context: ClientContext,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) http1: Vec<u8>,
    pub(super) http2: Encoded,
    /// Time zero of every thread's clock.
    pub(super) base: Instant,
}

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Since this time.
    pub(super) since: Nanos,
    /// How often a server has refused it.
    pub(super) refused: u32,
}

/// A sent request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) due: Due,
    pub(super) sent: Nanos,
}

#[derive(Debug)]
pub(super) struct Desk<'s> {
    pub(super) shared: &'s Shared,
    pub(super) registry: Registry,
    pub(super) work: Work,
    /// Requests that a server has refused without processing them: they are sent before others.
    refused: VecDeque<Due>,
    pub(super) sample: Sample,
    /// The time of the current event, by the test's clock and by the machine's.
    pub(super) now: Nanos,
    pub(super) instant: Instant,
    /// Whether the clock of the test has started. Before, connections are opened and no requests sent.
    pub(super) started: bool,
    /// The address that answered last.
    pub(super) preferred: usize,
    /// Requests answered and failed since the start, to end the test if nothing succeeds.
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// Finished streams, in a buffer shared by all connections.
    pub(super) done: Vec<Finished<Asked>>,
}

impl<'s> Desk<'s> {
    pub(super) fn new(shared: &'s Shared, registry: Registry) -> Self {
        Self {
            shared,
            registry,
            work: Work::closed(Some(0), None),
            refused: VecDeque::new(),
            sample: Sample::default(),
            now: 0,
            instant: shared.base,
            started: false,
            preferred: 0,
            answered: 0,
            failed: 0,
            done: Vec::new(),
        }
    }

    pub(super) fn look_at_the_clock(&mut self) {
        self.instant = Instant::now();
        let elapsed = self.instant.saturating_duration_since(self.shared.base);
        self.now = u64::try_from(elapsed.as_nanos()).unwrap_or(Nanos::MAX);
    }

    /// Whether every request has its own connection.
    pub(super) fn one_shot(&self) -> bool {
        self.shared.plan.handshake != Handshake::KeepAlive
    }

    /// Whether a request is due.
    pub(super) fn is_due(&self) -> bool {
        !self.refused.is_empty() || self.work.is_due(self.now)
    }

    /// Whether no further request will be due.
    pub(super) fn is_over(&self) -> bool {
        self.refused.is_empty() && self.work.is_over(self.now)
    }

    /// Requests that were refused and not sent again.
    pub(super) fn refused(&self) -> u64 {
        self.refused.len() as u64
    }

    /// The next request that is due.
    pub(super) fn take_work(&mut self) -> Option<Due> {
        if let Some(due) = self.refused.pop_front() {
            self.sample.requests.resent += 1;
            return Some(due);
        }
        let since = self.work.take(self.now)?;
        self.sample.requests.started += 1;
        Some(Due { since, refused: 0 })
    }

    /// The server did not process this request: it can be sent again.
    fn refuse(&mut self, asked: Asked, broken: Broken) {
        let refused = asked.due.refused + 1;
        if refused > RESENT_MAX {
            return self.fail_by(broken);
        }
        let since = asked.due.since;
        self.refused.push_back(Due { since, refused });
    }

    pub(super) fn complete(&mut self, asked: Asked, response: Response) {
        self.answered += 1;
        let latency = self.now.saturating_sub(asked.due.since);
        let service = self.now.saturating_sub(asked.sent);
        self.sample.complete(latency, service, response);
    }

    /// Counts requests that failed before and after a response began, for one reason.
    pub(super) fn fail(&mut self, waiting: u64, begun: u64, fault: Fault) {
        self.failed += waiting + begun;
        self.sample.fail(waiting, begun, fault);
    }

    pub(super) fn fail_by(&mut self, broken: Broken) {
        let begun = u64::from(broken.is_truncated());
        self.fail(1 - begun, begun, Fault::Http(broken));
    }

    /// Counts the finished streams.
    pub(super) fn count_done(&mut self) {
        let mut done = std::mem::take(&mut self.done);
        for Finished { tag, result } in done.drain(..) {
            match result {
                Ok(response) => self.complete(tag, response),
                Err(broken) if broken.is_refused() => self.refuse(tag, broken),
                Err(broken) => self.fail_by(broken),
            }
        }
        self.done = done;
    }
}
