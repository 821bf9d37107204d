//! One serving thread: its runtime, its listeners, its connections.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use handfast::{ClosePolicy, ServerContext};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{sleep, sleep_until};

use super::budget::Budget;
use super::config::Limits;
use super::connection::{self, Accepted};
use super::handler::Handler;
use super::link::Link;
use super::listener::INHERITS_NODELAY;
use super::observer::Observer;
use super::places::{self, Places};
use super::turn;

/// Connections accepted in a row before others get their turn: a burst of handshakes must not starve
/// the replies that are running.
const ACCEPTS_IN_A_ROW: usize = 8;

/// After a refusal for want of descriptors or memory, doubling up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Blocking file reads at once, for each thread.
const BLOCKING_THREADS: usize = 16;

/// A blocking thread that has nothing to do goes after this long.
const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// How long the end of the last blocking reads is waited for.
const BLOCKING_END: Duration = Duration::from_millis(500);

/// How often a thread gives back buffers that it has kept since a burst and not used since.
const RELEASE_EVERY: Duration = Duration::from_secs(10);

/// What the threads have in common.
pub(super) struct Shared<H> {
    pub(super) handler: H,
    pub(super) contexts: Contexts,
    pub(super) limits: Limits,
    pub(super) budget: Arc<Budget>,
    pub(super) close: ClosePolicy,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) places: Arc<Places>,
    pub(super) threads: usize,
}

/// The context for new connections. Threads keep a copy and look here only when it was replaced.
pub(super) struct Contexts {
    current: RwLock<ServerContext>,
    generation: AtomicU64,
}

impl Contexts {
    pub(super) fn new(context: ServerContext) -> Self {
        Self {
            current: RwLock::new(context),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn replace(&self, context: ServerContext) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = context;
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn current(&self) -> (u64, ServerContext) {
        let generation = self.generation.load(Ordering::Acquire);
        let context = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (generation, context.clone())
    }
}

/// Counts a connection for as long as it lives.
struct Counted<H> {
    worker: Rc<Worker<H>>,
}

impl<H> Counted<H> {
    fn new(worker: &Rc<Worker<H>>) -> Self {
        worker.live.set(worker.live.get() + 1);
        Self {
            worker: Rc::clone(worker),
        }
    }
}

impl<H> Drop for Counted<H> {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.live.set(worker.live.get().saturating_sub(1));
        if worker.live.get() == 0 {
            worker.emptied.notify_one();
        }
    }
}

/// What a thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Accept no more, finish what runs, and be gone by then.
    StopBy(Instant),
}

/// One serving thread.
pub(super) struct Worker<H> {
    pub(super) shared: Arc<Shared<H>>,
    context: RefCell<(u64, ServerContext)>,
    live: Cell<usize>,
    /// Those whose handshake is done, in the order of their coming.
    links: RefCell<BTreeMap<u64, Rc<Link>>>,
    links_ever: Cell<u64>,
    emptied: Notify,
    draining: Cell<bool>,
    drain: Notify,
}

impl<H: Handler> Worker<H> {
    fn new(shared: Arc<Shared<H>>) -> Self {
        let context = RefCell::new(shared.contexts.current());
        Self {
            shared,
            context,
            live: Cell::new(0),
            links: RefCell::default(),
            links_ever: Cell::new(0),
            emptied: Notify::new(),
            draining: Cell::new(false),
            drain: Notify::new(),
        }
    }

    /// The context for a new connection.
    pub(super) fn context(&self) -> ServerContext {
        let mut context = self.context.borrow_mut();
        if context.0 != self.shared.contexts.generation.load(Ordering::Acquire) {
            *context = self.shared.contexts.current();
        }
        context.1.clone()
    }

    /// Adds a connection whose handshake is done, to be [removed](Self::remove) by this number.
    pub(super) fn add(&self, link: &Rc<Link>) -> u64 {
        let number = self.links_ever.get();
        self.links_ever.set(number + 1);
        self.links.borrow_mut().insert(number, Rc::clone(link));
        number
    }

    pub(super) fn remove(&self, number: u64) {
        self.links.borrow_mut().remove(&number);
    }

    /// Closes up to `count` connections that idle, the longest idle first.
    fn close_idle(&self, count: usize) {
        let now = Instant::now();
        let mut idle: Vec<(Instant, Rc<Link>)> = Vec::new();
        for link in self.links.borrow().values() {
            if let Some(since) = link.idle_since()
                && now.saturating_duration_since(since) >= places::IDLE_MIN
            {
                idle.push((since, Rc::clone(link)));
            }
        }
        idle.sort_by_key(|(since, _)| *since);
        for (_, link) in idle.iter().take(count) {
            link.ask_to_leave();
        }
    }

    /// Ready once the thread takes no more requests.
    pub(super) async fn draining(&self) {
        // No await in between, and all on one thread: nothing is missed.
        let drain = self.drain.notified();
        if !self.draining.get() {
            drain.await;
        }
    }
}

/// A serving thread's runtime.
pub(super) fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_IDLE)
        .on_thread_unpark(turn::begin)
        .build_local(LocalOptions::default())
}

/// Serves until ordered to stop.
pub(super) fn run<H: Handler>(
    runtime: LocalRuntime,
    shared: Arc<Shared<H>>,
    listeners: Vec<(SocketAddr, TcpListener)>,
    orders: watch::Receiver<Order>,
) {
    runtime.block_on(serve(shared, listeners, orders));
    // Connections that are left are dropped here, unclosed: they look broken off, as they are.
    runtime.shutdown_timeout(BLOCKING_END);
}

async fn serve<H: Handler>(
    shared: Arc<Shared<H>>,
    listeners: Vec<(SocketAddr, TcpListener)>,
    mut orders: watch::Receiver<Order>,
) {
    let worker = Rc::new(Worker::new(shared));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|(address, listener)| spawn_local(accept(Rc::clone(&worker), address, listener)))
        .collect();
    let making_room = spawn_local(make_room(Rc::clone(&worker)));
    let releasing = spawn_local(release_buffers());
    let mut deadline = stop_order(&mut orders).await;
    making_room.abort();
    releasing.abort();
    for task in accepting {
        task.abort();
        // Until it is gone the listener is still open.
        let _ = task.await;
    }
    worker.draining.set(true);
    worker.drain.notify_waiters();
    while worker.live.get() > 0 {
        tokio::select! {
            () = worker.emptied.notified() => {}
            () = sleep_until(deadline.into()) => break,
            // In a greater hurry than before.
            sooner = next_order(&mut orders) => deadline = sooner,
        }
    }
}

/// Closes connections that idle while places are wanted. Never ends.
async fn make_room<H: Handler>(worker: Rc<Worker<H>>) {
    let (places, threads) = (&worker.shared.places, worker.shared.threads);
    loop {
        places.until_wanted().await;
        // Each thread does its part; what the others do not find is looked for again.
        worker.close_idle(places.wanted().div_ceil(threads));
        sleep(places::LOOK_EVERY).await;
    }
}

/// Keeps no more buffers than are used. Never ends.
async fn release_buffers() {
    loop {
        sleep(RELEASE_EVERY).await;
        handfast::release_unused_buffers();
        handfast_http::h2::release_unused_buffers();
    }
}

/// When to be gone, once that has been ordered. A server whose owner is gone stops at once.
async fn stop_order(orders: &mut watch::Receiver<Order>) -> Instant {
    match orders
        .wait_for(|order| *order != Order::Serve)
        .await
        .map(|order| *order)
    {
        Ok(Order::StopBy(deadline)) => deadline,
        Ok(Order::Serve) | Err(_) => Instant::now(),
    }
}

async fn next_order(orders: &mut watch::Receiver<Order>) -> Instant {
    if orders.changed().await.is_err() {
        return pending().await;
    }
    let order = *orders.borrow_and_update();
    match order {
        Order::StopBy(deadline) => deadline,
        Order::Serve => pending().await,
    }
}

/// Accepts for as long as it is not aborted. No error ends it.
fn accept<H: Handler>(
    worker: Rc<Worker<H>>,
    local: SocketAddr,
    listener: TcpListener,
) -> impl Future<Output = ()> {
    let listener = tokio::net::TcpListener::from_std(listener);
    async move {
        let Ok(listener) = listener else {
            return;
        };
        let mut pause = PAUSE_MIN;
        let mut in_a_row = 0;
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    pause = PAUSE_MIN;
                    if !INHERITS_NODELAY {
                        let _ = socket.set_nodelay(true);
                    }
                    let observer = &worker.shared.observer;
                    let told = |max| observer.connections_full(max);
                    let place = worker.shared.places.take(told).await;
                    let accepted = Accepted {
                        socket,
                        peer,
                        local,
                        place: Rc::new(place),
                        at: Instant::now(),
                    };
                    let counted = Counted::new(&worker);
                    spawn_local(async move {
                        connection::run(Rc::clone(&counted.worker), accepted).await;
                        drop(counted);
                    });
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    worker.shared.observer.accept_failed(&error, pause);
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            in_a_row += 1;
            if in_a_row >= ACCEPTS_IN_A_ROW {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Errors of the connection that was about to be accepted, not of accepting.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
