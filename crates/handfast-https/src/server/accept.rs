//! Accepting and stopping: what one serving thread runs, with its runtime and its listeners.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{sleep, sleep_until};

use super::connection;
use super::handler::Handler;
use super::handshake::Accepted;
use super::housekeeping::{make_room, release_buffers};
use super::listener::INHERITS_NODELAY;
use super::shared::Shared;
use super::turn;
use super::worker::Worker;

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

/// What a thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Accept no more, finish what runs, and be gone by then.
    StopBy(Instant),
}

/// What a serving thread needs and might not get: its runtime, and its listeners in the runtime's event queue.
pub(super) struct Serving {
    listeners: Vec<(SocketAddr, TcpListener)>,
    runtime: LocalRuntime,
}

impl Serving {
    /// On the thread that is to serve.
    pub(super) fn new(sockets: Vec<(SocketAddr, std::net::TcpListener)>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(BLOCKING_IDLE)
            .on_thread_unpark(turn::begin)
            .build_local(LocalOptions::default())?;
        let entered = runtime.enter();
        let listeners = sockets
            .into_iter()
            .map(|(address, socket)| Ok((address, TcpListener::from_std(socket)?)))
            .collect::<io::Result<_>>()?;
        drop(entered);
        Ok(Self { listeners, runtime })
    }

    /// Serves until ordered to stop.
    pub(super) fn run<H: Handler>(self, shared: Arc<Shared<H>>, orders: watch::Receiver<Order>) {
        let Self { listeners, runtime } = self;
        runtime.block_on(serve(shared, listeners, orders));
        // Connections that are left are dropped here, unclosed: they look broken off, as they are.
        runtime.shutdown_timeout(BLOCKING_END);
    }
}

async fn serve<H: Handler>(
    shared: Arc<Shared<H>>,
    listeners: Vec<(SocketAddr, TcpListener)>,
    mut orders: watch::Receiver<Order>,
) {
    let worker = Worker::new(shared);
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
    worker.drain();
    while worker.live() > 0 {
        tokio::select! {
            () = worker.until_empty() => {}
            () = sleep_until(deadline.into()) => break,
            // In a greater hurry than before.
            sooner = next_order(&mut orders) => deadline = sooner,
        }
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
async fn accept<H: Handler>(worker: Rc<Worker<H>>, local: SocketAddr, listener: TcpListener) {
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
                    peer,
                    local,
                    place: Rc::new(place),
                    at: Instant::now(),
                };
                let counted = worker.count();
                spawn_local(async move {
                    let worker = Rc::clone(counted.worker());
                    connection::run(worker, socket, accepted, local_of).await;
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

fn local_of(socket: &tokio::net::TcpStream) -> Option<SocketAddr> {
    socket.local_addr().ok()
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
