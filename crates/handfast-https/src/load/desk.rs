//! What the connections of one thread share: the work to be done, the clock, the books.

use std::net::SocketAddr;
use std::time::Instant;

use handfast::ClientContext;
use mio::Registry;

use super::http2::{Encoded, Finished};
use super::measure::{Fault, Sample};
use super::outcome::{Broken, Response};
use super::plan::{Handshake, Plan};
use super::schedule::{Nanos, Work};

/// Plaintext that is read at once: a few full records.
const SCRATCH_LEN: usize = 64 * 1024;

/// What all threads share; nothing of it changes.
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

/// One request under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) due: Nanos,
    pub(super) sent: Nanos,
}

#[derive(Debug)]
pub(super) struct Desk<'s> {
    pub(super) shared: &'s Shared,
    pub(super) registry: Registry,
    pub(super) work: Work,
    pub(super) sample: Sample,
    /// The time of the event at hand.
    pub(super) now: Nanos,
    /// Has the clock of the test started? Before, connections are opened and nothing is asked.
    pub(super) started: bool,
    /// Which of the addresses answered last.
    pub(super) preferred: usize,
    /// Requests answered and failed since the start, to give up when nothing works.
    pub(super) answered: u64,
    pub(super) failed: u64,
    // Buffers, so that no connection needs its own.
    pub(super) scratch: Box<[u8]>,
    pub(super) out: Vec<u8>,
    pub(super) done: Vec<Finished<Asked>>,
}

impl<'s> Desk<'s> {
    pub(super) fn new(shared: &'s Shared, registry: Registry) -> Self {
        Self {
            shared,
            registry,
            work: Work::closed(Some(0), None),
            sample: Sample::default(),
            now: 0,
            started: false,
            preferred: 0,
            answered: 0,
            failed: 0,
            scratch: vec![0; SCRATCH_LEN].into_boxed_slice(),
            out: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(super) fn look_at_the_clock(&mut self) {
        let elapsed = self.shared.base.elapsed();
        self.now = u64::try_from(elapsed.as_nanos()).unwrap_or(Nanos::MAX);
    }

    /// Has every request a connection of its own?
    pub(super) fn one_shot(&self) -> bool {
        self.shared.plan.handshake != Handshake::KeepAlive
    }

    /// The next request that is due, and since when.
    pub(super) fn take_work(&mut self) -> Option<Nanos> {
        let due = self.work.take(self.now)?;
        self.sample.requests.started += 1;
        Some(due)
    }

    pub(super) fn complete(&mut self, asked: Asked, response: Response) {
        self.answered += 1;
        let latency = self.now.saturating_sub(asked.due);
        let service = self.now.saturating_sub(asked.sent);
        self.sample.complete(latency, service, response);
    }

    /// So many requests failed before, and so many after a response had begun, for one reason.
    pub(super) fn fail(&mut self, waiting: u64, begun: u64, fault: Fault) {
        self.failed += waiting + begun;
        self.sample.fail(waiting, begun, fault);
    }

    pub(super) fn fail_by(&mut self, broken: Broken) {
        let begun = u64::from(broken.is_truncated());
        self.fail(1 - begun, begun, Fault::Http(broken));
    }

    /// Books the streams that are over.
    pub(super) fn book_done(&mut self) {
        let mut done = std::mem::take(&mut self.done);
        for Finished { tag, result } in done.drain(..) {
            match result {
                Ok(response) => self.complete(tag, response),
                Err(broken) => self.fail_by(broken),
            }
        }
        self.done = done;
    }
}
