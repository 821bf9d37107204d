//! One of the connections that the plan asks for: what happens when it fails, ends or takes too
//! long, and what that means for the requests it carries.

use std::time::Duration;

use handfast::{Ending, Error, NetworkCause};
use mio::Token;

use super::connection::{MeasuredConnection, Stage, Status};
use super::desk::{Asked, Desk, Due};
use super::measure::Fault;
use super::schedule::Nanos;

/// The first wait after a failed connection, doubled with each that follows.
const BACKOFF_MIN: Duration = Duration::from_millis(10);

/// The longest wait: a server that comes back is noticed within a second.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Slot {
    token: Token,
    connection: Option<MeasuredConnection>,
    /// A request that waits for its own connection.
    pending: Option<Due>,
    /// Addresses that this attempt has tried.
    tries: usize,
    failures: u32,
    retry_at: Nanos,
    /// Is it on the worker's list of those with room?
    pub(super) listed: bool,
}

impl Slot {
    pub(super) fn new(token: Token) -> Self {
        Self {
            token,
            connection: None,
            pending: None,
            tries: 0,
            failures: 0,
            retry_at: 0,
            listed: false,
        }
    }

    /// Could it take a request now?
    pub(super) fn has_room(&self, desk: &Desk<'_>) -> bool {
        match &self.connection {
            Some(connection) => !desk.one_shot() && connection.has_room(),
            None => desk.one_shot() && self.pending.is_none() && desk.now >= self.retry_at,
        }
    }

    /// Has the first attempt to connect come to something?
    pub(super) fn is_settled(&self) -> bool {
        self.failures > 0
            || self
                .connection
                .as_ref()
                .is_some_and(MeasuredConnection::is_ready)
    }

    /// Requests that it carries.
    pub(super) fn carries(&self) -> u64 {
        let (waiting, begun) = self
            .connection
            .as_ref()
            .map_or((0, 0), MeasuredConnection::under_way);
        u64::from(self.pending.is_some()) + waiting + begun
    }

    /// Is there something to wait for at the end?
    pub(super) fn is_busy(&self) -> bool {
        let closing = self.connection.as_ref().map(MeasuredConnection::stage);
        self.carries() > 0 || matches!(closing, Some(Stage::Closing { .. }))
    }

    /// Takes a request that is due; [`settle`](Self::settle) must follow.
    pub(super) fn give(&mut self, due: Due, desk: &mut Desk<'_>) {
        match &mut self.connection {
            Some(connection) => {
                let sent = desk.now;
                connection.ask(Asked { due, sent }, desk);
            }
            None => {
                self.pending = Some(due);
                self.open(desk);
            }
        }
    }

    /// Opens the connection.
    pub(super) fn open(&mut self, desk: &mut Desk<'_>) {
        self.tries = 0;
        self.attempt(desk);
    }

    fn attempt(&mut self, desk: &mut Desk<'_>) {
        loop {
            self.tries += 1;
            match MeasuredConnection::open(self.token, desk) {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return;
                }
                Err(fault) => {
                    if !self.next_address(desk) {
                        return self.failed(fault, desk);
                    }
                }
            }
        }
    }

    /// Turns to the next address if this attempt has not tried all of them.
    fn next_address(&self, desk: &mut Desk<'_>) -> bool {
        let count = desk.shared.addresses.len();
        desk.preferred = (desk.preferred + 1) % count.max(1);
        self.tries < count
    }

    /// Something happened on the socket.
    pub(super) fn event(&mut self, insist: bool, desk: &mut Desk<'_>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.event(insist, desk) {
            Ok(Status::Open) => self.settle(desk),
            Ok(Status::Over) => {
                let ending = connection.ending();
                self.over(ending, desk);
            }
            Err(fault) => self.broken(fault, desk),
        }
    }

    /// Moves on as far as possible: a connection that became ready gets the request that waits for
    /// it, what is to be sent is sent.
    pub(super) fn settle(&mut self, desk: &mut Desk<'_>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if connection.is_ready() {
            self.failures = 0;
            if connection.has_room()
                && let Some(due) = self.pending.take()
            {
                // Its own connection is part of what the request costs.
                let sent = connection.opened;
                connection.ask(Asked { due, sent }, desk);
            }
        }
        if let Err(fault) = connection.flush(desk) {
            self.broken(fault, desk);
        }
    }

    /// Now and then: limits, and connections to be opened again.
    pub(super) fn tick(&mut self, desk: &mut Desk<'_>) {
        let limit = nanos(desk.shared.plan.request_limit);
        let Some(connection) = &self.connection else {
            if !desk.one_shot() && desk.now >= self.retry_at && !desk.is_over() {
                self.open(desk);
            }
            return;
        };
        let deadline = match connection.stage() {
            Stage::Closing { until } => Some(until),
            Stage::Ready => connection.oldest().map(|sent| sent.saturating_add(limit)),
            Stage::Connecting | Stage::Handshaking => Some(connection.opened.saturating_add(limit)),
        };
        if deadline.is_none_or(|deadline| desk.now < deadline) {
            return;
        }
        if let Stage::Closing { .. } = connection.stage() {
            return self.over(None, desk);
        }
        let cause = NetworkCause::TimedOut {
            limit: desk.shared.plan.request_limit,
        };
        let error = Error::new(connection.phase(), cause);
        self.broken(Fault::tls(error), desk);
    }

    /// The end of the test.
    pub(super) fn leave(&mut self, desk: &mut Desk<'_>) {
        desk.sample.requests.unfinished += self.carries();
        self.pending = None;
        if let Some(connection) = self.connection.take() {
            connection.leave(None, desk);
        }
    }

    /// The connection has ended; what it carried has been booked.
    fn over(&mut self, ending: Option<Ending>, desk: &mut Desk<'_>) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let opened = connection.opened;
        connection.leave(ending, desk);
        if !desk.one_shot() && !desk.is_over() {
            // A server that closes every connection at once is not asked in a tight loop.
            if desk.now.saturating_sub(opened) < nanos(BACKOFF_MIN) && desk.started {
                self.retry_at = desk.now + nanos(BACKOFF_MIN);
            } else {
                self.open(desk);
            }
        }
    }

    /// The connection has failed.
    fn broken(&mut self, fault: Fault, desk: &mut Desk<'_>) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if connection.stage() == Stage::Connecting && self.next_address(desk) {
            return self.attempt(desk);
        }
        let (waiting, begun) = connection.under_way();
        let connected = connection.is_ready();
        connection.leave(None, desk);
        if waiting + begun > 0 {
            desk.fail(waiting, begun, fault);
        } else if !connected {
            self.failed(fault, desk);
        }
    }

    /// There is no connection: the request that it was for, or else the next one, has failed.
    fn failed(&mut self, fault: Fault, desk: &mut Desk<'_>) {
        let wait = nanos(BACKOFF_MIN).saturating_mul(1 << self.failures.min(10));
        self.retry_at = desk.now + wait.min(nanos(BACKOFF_MAX));
        self.failures = self.failures.saturating_add(1);
        let carried = self.pending.take().or_else(|| match desk.started {
            true => desk.take_work(),
            false => None,
        });
        if carried.is_some() {
            desk.fail(1, 0, fault);
        }
    }
}

pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
