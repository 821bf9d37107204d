//! One serving thread, as its connections see it: the context for new ones, who is there, and whether to wind up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use handfast::ServerContext;
use tokio::sync::Notify;

use super::places;
use super::shared::Shared;
use super::state::ConnectionState;

/// How a thread comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// What was asked for is answered.
    Stop,
    /// The next request of each connection is answered, too: a successor would have answered it.
    Retire,
}

/// One serving thread.
pub(super) struct Worker<H> {
    pub(super) shared: Arc<Shared<H>>,
    context: RefCell<(u64, ServerContext)>,
    live: Cell<usize>,
    /// Those whose handshake is done, in the order of their coming.
    connections: RefCell<BTreeMap<u64, Rc<ConnectionState>>>,
    numbers_ever: Cell<u64>,
    /// When idle connections were last looked for.
    looked: Cell<Option<tokio::time::Instant>>,
    emptied: Notify,
    draining: Cell<Option<Drain>>,
    drain: Notify,
    is_cut: Cell<bool>,
    cut: Notify,
}

impl<H> Worker<H> {
    pub(super) fn new(shared: Arc<Shared<H>>) -> Rc<Self> {
        let context = RefCell::new(shared.contexts.current());
        Rc::new(Self {
            shared,
            context,
            live: Cell::new(0),
            connections: RefCell::default(),
            numbers_ever: Cell::new(0),
            looked: Cell::new(None),
            emptied: Notify::new(),
            draining: Cell::new(None),
            drain: Notify::new(),
            is_cut: Cell::new(false),
            cut: Notify::new(),
        })
    }

    /// The context for a new connection.
    pub(super) fn context(&self) -> ServerContext {
        let mut context = self.context.borrow_mut();
        if self.shared.contexts.is_replaced(context.0) {
            *context = self.shared.contexts.current();
        }
        context.1.clone()
    }

    /// Adds a connection whose handshake is done, to be [removed](Self::remove) by this number.
    pub(super) fn add(&self, connection: &Rc<ConnectionState>) -> u64 {
        let number = self.numbers_ever.get();
        self.numbers_ever.set(number + 1);
        self.connections
            .borrow_mut()
            .insert(number, Rc::clone(connection));
        number
    }

    pub(super) fn remove(&self, number: u64) {
        self.connections.borrow_mut().remove(&number);
    }

    /// Closes idle connections if places are wanted, unless this was done a moment ago.
    pub(super) fn make_room(&self) {
        let wanted = self.shared.places.wanted();
        let now = tokio::time::Instant::now();
        let is_due = |looked| now.saturating_duration_since(looked) >= places::LOOK_EVERY;
        if wanted > 0 && self.looked.get().is_none_or(is_due) {
            self.looked.set(Some(now));
            // Each thread does its part; what the others do not find is looked for again.
            self.close_idle(wanted.div_ceil(self.shared.threads));
        }
    }

    /// Closes up to `count` connections that idle, the longest idle first.
    fn close_idle(&self, count: usize) {
        let now = Instant::now();
        let mut idle: Vec<(Instant, Rc<ConnectionState>)> = Vec::new();
        for connection in self.connections.borrow().values() {
            if let Some(since) = connection.idle_since()
                && now.saturating_duration_since(since) >= places::IDLE_MIN
            {
                idle.push((since, Rc::clone(connection)));
            }
        }
        idle.sort_by_key(|(since, _)| *since);
        for (_, connection) in idle.iter().take(count) {
            connection.ask_to_leave();
        }
    }

    /// Counts a connection, from now until that is dropped.
    pub(super) fn count(self: &Rc<Self>) -> Counted<H> {
        self.live.set(self.live.get() + 1);
        Counted {
            worker: Rc::clone(self),
        }
    }

    /// Connections that are counted now.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Ready when the last connection has gone.
    pub(super) async fn until_empty(&self) {
        loop {
            // No await in between, and all on one thread: nothing is missed.
            let emptied = self.emptied.notified();
            if self.live.get() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Takes no more requests, as far as that says.
    pub(super) fn drain(&self, how: Drain) {
        self.draining.set(Some(how));
        self.drain.notify_waiters();
    }

    /// Has every connection dropped.
    pub(super) fn cut(&self) {
        self.is_cut.set(true);
        self.cut.notify_waiters();
    }

    /// Ready once every connection is to be dropped.
    pub(super) async fn until_cut(&self) {
        // No await in between, and all on one thread: nothing is missed.
        let cut = self.cut.notified();
        if !self.is_cut.get() {
            cut.await;
        }
    }

    /// Ready once the thread takes no more requests, or none but first ones.
    pub(super) async fn draining(&self) {
        self.until_drained(|_| true).await;
    }

    /// Ready once the thread takes no more requests at all.
    pub(super) async fn stopping(&self) {
        self.until_drained(|how| how == Drain::Stop).await;
    }

    /// Ready once a connection that has been answered, and only waits for its client, is to go: the server stops, or places are
    /// wanted.
    pub(super) async fn until_wanted_away(&self) {
        tokio::select! {
            biased;
            () = self.stopping() => {}
            () = self.shared.places.until_wanted() => {}
        }
    }

    /// Does it still take the first request of a connection?
    pub(super) fn takes_first_requests(&self) -> bool {
        self.draining.get() != Some(Drain::Stop)
    }

    async fn until_drained(&self, enough: impl Fn(Drain) -> bool) {
        loop {
            // No await in between, and all on one thread: nothing is missed.
            let drain = self.drain.notified();
            if self.draining.get().is_some_and(&enough) {
                return;
            }
            drain.await;
        }
    }
}

/// Counts a connection for as long as it lives.
pub(super) struct Counted<H> {
    worker: Rc<Worker<H>>,
}

impl<H> Counted<H> {
    /// The thread that serves it.
    pub(super) fn worker(&self) -> &Rc<Worker<H>> {
        &self.worker
    }
}

impl<H> Drop for Counted<H> {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.live.set(worker.live.get().saturating_sub(1));
        if worker.live.get() == 0 {
            // All that wait now: a permit would be kept for one that waits later, when there is room.
            worker.emptied.notify_waiters();
        }
    }
}
