//! Accepting and stopping: what one serving thread runs, with its runtime and the sockets that it accepts from.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, sleep_until};

use super::acceptor::Acceptor;
use super::address::{LocalAddress, PeerAddress};
use super::connection;
use super::event_loop;
use super::handler::Handler;
use super::handshake::Accepted;
use super::housekeeping::{make_room, release_periodically};
use super::listener::{Redirect, Socket};
use super::observer::Observer;
use super::places::Place;
use super::redirect;
use super::shared::Shared;
use super::sources::Admitted;
use super::worker::{Drain, Worker};

/// Connections accepted in a row before others get their turn: a burst of handshakes must not starve
/// the replies that are running.
const ACCEPTS_IN_A_ROW: usize = 8;

/// After a refusal for want of descriptors or memory, doubling up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections that are taken from a queue before it is closed: as many as it may hold, so that this ends.
const DRAINED_MAX: usize = 4096;

/// Pauses for want of descriptors or memory while a queue is emptied, 630 ms in all: who closes the listener waits meanwhile.
const DRAIN_PAUSES: usize = 6;

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
    StopBy(Instant, Drain),
}

/// A change of what a thread accepts from.
#[derive(Debug)]
pub(super) enum Command {
    /// Accept from these, too. The outcome is sent; then the sender is dropped.
    Accept {
        id: u64,
        sockets: Vec<Socket>,
        role: Role,
        done: std::sync::mpsc::Sender<io::Result<()>>,
    },
    /// Accept no more from those of this number; the sender is dropped when they are closed. `drains`: what is in their queue now is
    /// served, since it is about to be closed.
    Stop {
        id: u64,
        drains: bool,
        done: std::sync::mpsc::Sender<()>,
    },
}

/// What a listener is for.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) local: LocalAddress,
    pub(super) redirect: Option<Arc<Redirect>>,
}

/// What a serving thread needs and might not get: its runtime.
pub(super) struct Serving(LocalRuntime);

impl Serving {
    /// On the thread that is to serve.
    pub(super) fn new() -> io::Result<Self> {
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(BLOCKING_IDLE)
            .on_thread_unpark(event_loop::begin)
            .build_local(LocalOptions::default())
            .map(Self)
    }

    /// Serves until ordered to stop.
    pub(super) fn run<H: Handler>(
        self,
        shared: Arc<Shared<H>>,
        commands: UnboundedReceiver<Command>,
        orders: watch::Receiver<Order>,
    ) {
        self.0.block_on(serve(shared, commands, orders));
        // Connections that are left are dropped here, unclosed: they look broken off, as they are.
        self.0.shutdown_timeout(BLOCKING_END);
    }
}

async fn serve<H: Handler>(
    shared: Arc<Shared<H>>,
    mut commands: UnboundedReceiver<Command>,
    mut orders: watch::Receiver<Order>,
) {
    let worker = Worker::new(shared);
    let mut accepting = Accepting::default();
    let making_room = spawn_local(make_room(Rc::clone(&worker)));
    let releasing = spawn_local(release_periodically(Rc::clone(&worker)));
    let (mut deadline, how) = loop {
        tokio::select! {
            biased;
            order = stop_order(&mut orders) => break order,
            Some(command) = commands.recv() => accepting.change(&worker, command),
        }
    };
    // What is not done of commands is not going to be.
    drop(commands);
    making_room.abort();
    releasing.abort();
    match how {
        Drain::Stop => {
            accepting.end().await;
            worker.drain(how);
        }
        Drain::Retire => {
            // What was accepted is served, also what still waits for a place.
            accepting.stop();
            worker.drain(how);
            tokio::select! {
                () = accepting.ended() => {}
                () = sleep_until(deadline.into()) => {}
                // Taken note of below.
                _ = orders.changed() => orders.mark_changed(),
            }
            accepting.end().await;
        }
    }
    while worker.live() > 0 {
        tokio::select! {
            () = worker.until_empty() => {}
            () = sleep_until(deadline.into()) => break,
            // In a greater hurry than before.
            (sooner, how) = next_order(&mut orders) => {
                deadline = sooner;
                worker.drain(how);
            }
        }
    }
}

/// The tasks of a thread that accept.
#[derive(Default)]
struct Accepting {
    tasks: Vec<(u64, Rc<Stopping>, JoinHandle<()>)>,
}

impl Accepting {
    fn change<H: Handler>(&mut self, worker: &Rc<Worker<H>>, command: Command) {
        self.tasks.retain(|(_, _, task)| !task.is_finished());
        match command {
            Command::Accept {
                id,
                sockets,
                role,
                done,
            } => {
                let acceptors: io::Result<Vec<_>> =
                    sockets.into_iter().map(Acceptor::new).collect();
                let result = acceptors.map(|acceptors| {
                    for acceptor in acceptors {
                        let stopping = Rc::new(Stopping::default());
                        let (worker, role) = (Rc::clone(worker), role.clone());
                        let task = accept(worker, role, acceptor, Rc::clone(&stopping));
                        self.tasks.push((id, stopping, spawn_local(task)));
                    }
                });
                let _ = done.send(result);
            }
            Command::Stop { id, drains, done } => {
                for (_, stopping, _) in self.tasks.iter().filter(|(of, ..)| *of == id) {
                    stopping.done.borrow_mut().push(done.clone());
                    stopping.stop(drains);
                }
            }
        }
    }

    fn stop(&self) {
        for (_, stopping, _) in &self.tasks {
            stopping.stop(false);
        }
    }

    /// Ready when all that were told to stop have.
    async fn ended(&mut self) {
        for (_, _, task) in &mut self.tasks {
            let _ = task.await;
        }
        self.tasks.clear();
    }

    /// Closes all at once.
    async fn end(mut self) {
        // One that has ended must not be awaited again.
        self.tasks.retain(|(_, _, task)| !task.is_finished());
        for (_, _, task) in self.tasks {
            task.abort();
            // Until it is gone the listener is still open.
            let _ = task.await;
        }
    }
}

/// Whether a task is to accept no more.
#[derive(Debug, Default)]
struct Stopping {
    stopped: Cell<bool>,
    /// What is in the queue is to be served.
    drains: Cell<bool>,
    wake: Notify,
    /// Dropped when the socket is closed.
    done: RefCell<Vec<std::sync::mpsc::Sender<()>>>,
}

impl Stopping {
    fn stop(&self, drains: bool) {
        self.stopped.set(true);
        self.drains.set(drains);
        self.wake.notify_waiters();
    }

    async fn until_stopped(&self) {
        loop {
            // No await in between, and all on one thread: nothing is missed.
            let wake = self.wake.notified();
            if self.stopped.get() {
                return;
            }
            wake.await;
        }
    }

    /// Closes a socket, and gives what was in its queue if that is to be served: the system would reset it.
    async fn close(
        &self,
        acceptor: Acceptor,
        observer: &dyn Observer,
    ) -> Vec<(TcpStream, PeerAddress)> {
        let mut left = Vec::new();
        if self.drains.get() {
            match acceptor.into_queue() {
                Ok(queue) => left = drained(|| queue.accept(), observer).await,
                Err(error) => observer.accept_failed(&error, Duration::ZERO),
            }
        }
        self.done.take();
        left
    }
}

/// What is in a queue, until nothing is. An error is one of the next connection alone, or passes when descriptors or memory are
/// free again: then what is left is waited for, not for long.
async fn drained<T>(mut accept: impl FnMut() -> io::Result<T>, observer: &dyn Observer) -> Vec<T> {
    let (mut taken, mut pause, mut pauses) = (Vec::new(), PAUSE_MIN, 0);
    for _ in 0..DRAINED_MAX {
        match accept() {
            Ok(accepted) => taken.push(accepted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) if pauses < DRAIN_PAUSES => {
                observer.accept_failed(&error, pause);
                sleep(pause).await;
                pauses += 1;
                pause *= 2;
            }
            Err(error) => {
                observer.accept_failed(&error, Duration::ZERO);
                break;
            }
        }
    }
    taken
}

/// When to be gone, once that has been ordered. A server whose owner is gone stops at once.
async fn stop_order(orders: &mut watch::Receiver<Order>) -> (Instant, Drain) {
    match orders
        .wait_for(|order| *order != Order::Serve)
        .await
        .map(|order| *order)
    {
        Ok(Order::StopBy(deadline, how)) => (deadline, how),
        Ok(Order::Serve) | Err(_) => (Instant::now(), Drain::Stop),
    }
}

async fn next_order(orders: &mut watch::Receiver<Order>) -> (Instant, Drain) {
    if orders.changed().await.is_err() {
        return pending().await;
    }
    let order = *orders.borrow_and_update();
    match order {
        Order::StopBy(deadline, how) => (deadline, how),
        Order::Serve => pending().await,
    }
}

/// Accepts until it is told to stop. No error ends it. A connection that was accepted is served, whatever is ordered then.
async fn accept<H: Handler>(
    worker: Rc<Worker<H>>,
    role: Role,
    acceptor: Acceptor,
    stopping: Rc<Stopping>,
) {
    let mut pause = PAUSE_MIN;
    let mut in_a_row = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.until_stopped() => break,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = PAUSE_MIN;
                let Some(admitted) = admit(&worker, &socket, peer) else {
                    in_a_row = rest(in_a_row).await;
                    continue;
                };
                let mut place = pin!(place(&worker));
                let place = tokio::select! {
                    biased;
                    place = &mut place => place,
                    () = stopping.until_stopped() => {
                        let left = stopping.close(acceptor, &*worker.shared.observer).await;
                        begin(&worker, &role, socket, peer, admitted, place.await);
                        return begin_all(&worker, &role, left).await;
                    }
                };
                begin(&worker, &role, socket, peer, admitted, place);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                worker.shared.observer.accept_failed(&error, pause);
                tokio::select! {
                    biased;
                    () = stopping.until_stopped() => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        in_a_row = rest(in_a_row).await;
    }
    let left = stopping.close(acceptor, &*worker.shared.observer).await;
    begin_all(&worker, &role, left).await;
}

/// Lets others have their turn after some connections in a row; returns how many there were since.
async fn rest(in_a_row: usize) -> usize {
    if in_a_row + 1 < ACCEPTS_IN_A_ROW {
        return in_a_row + 1;
    }
    tokio::task::yield_now().await;
    0
}

/// Counts a connection of its address. `None`: it is one too many, and is reset. An orderly close would leave it to
/// the kernel for a minute, with what the client still sends.
fn admit<H>(
    worker: &Worker<H>,
    socket: &TcpStream,
    peer: PeerAddress,
) -> Option<Option<Rc<Admitted>>> {
    let admitted = worker.shared.admit(peer);
    if admitted.is_err() {
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
    admitted.ok()
}

async fn begin_all<H: Handler>(
    worker: &Rc<Worker<H>>,
    role: &Role,
    connections: Vec<(TcpStream, PeerAddress)>,
) {
    for (number, (socket, peer)) in connections.into_iter().enumerate() {
        if number % ACCEPTS_IN_A_ROW == 0 {
            tokio::task::yield_now().await;
        }
        if let Some(admitted) = admit(worker, &socket, peer) {
            begin(worker, role, socket, peer, admitted, place(worker).await);
        }
    }
}

async fn place<H>(worker: &Worker<H>) -> Place {
    let observer = &worker.shared.observer;
    let told = |max| observer.connections_full(max);
    worker.shared.places.take(told).await
}

/// Serves a connection in a task of its own.
fn begin<H: Handler>(
    worker: &Rc<Worker<H>>,
    role: &Role,
    socket: TcpStream,
    peer: PeerAddress,
    admitted: Option<Rc<Admitted>>,
    place: Place,
) {
    let accepted = Accepted {
        peer,
        local: role.local.clone(),
        place: Rc::new(place),
        admitted,
        at: Instant::now(),
    };
    let counted = worker.count();
    match &role.redirect {
        None => {
            spawn_local(async move {
                let worker = Rc::clone(counted.worker());
                connection::run(worker, socket, accepted, local_of).await;
                drop(counted);
            });
        }
        Some(to) => {
            let to = Arc::clone(to);
            spawn_local(async move {
                let worker = Rc::clone(counted.worker());
                redirect::run(worker, socket, accepted, &to).await;
                drop(counted);
            });
        }
    }
}

fn local_of(socket: &TcpStream) -> Option<SocketAddr> {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The pauses that were told.
    #[derive(Default)]
    struct Pauses(Mutex<Vec<Duration>>);

    impl Observer for Pauses {
        fn accept_failed(&self, _: &io::Error, pause: Duration) {
            self.0.lock().unwrap().push(pause);
        }
    }

    #[tokio::test]
    async fn no_error_but_an_empty_queue_ends_emptying_it() {
        use io::ErrorKind::{ConnectionAborted, Interrupted, OutOfMemory, WouldBlock};
        let enough = vec![Err(OutOfMemory); DRAIN_PAUSES + 1];
        type Accepts = Vec<Result<u8, io::ErrorKind>>;
        // What accepting gives, what is taken, how many pauses are told.
        let cases: [(Accepts, &[u8], usize); 4] = [
            (vec![Ok(1), Ok(2)], &[1, 2], 0),
            (
                vec![Err(ConnectionAborted), Ok(1), Err(Interrupted), Ok(2)],
                &[1, 2],
                0,
            ),
            (
                vec![Ok(1), Err(OutOfMemory), Err(OutOfMemory), Ok(2)],
                &[1, 2],
                2,
            ),
            // It is given up in the end.
            (
                [vec![Ok(1)], enough, vec![Ok(2)]].concat(),
                &[1],
                DRAIN_PAUSES + 1,
            ),
        ];
        for (results, expected, told) in cases {
            let pauses = Pauses::default();
            let mut queue = results.clone().into_iter();
            let accept = || {
                queue
                    .next()
                    .unwrap_or(Err(WouldBlock))
                    .map_err(io::Error::from)
            };
            assert_eq!(drained(accept, &pauses).await, expected, "{results:?}");
            let pauses = pauses.0.into_inner().unwrap();
            assert_eq!(pauses.len(), told, "{results:?}");
            let is_last = |number| number == DRAIN_PAUSES;
            for (number, pause) in pauses.iter().enumerate() {
                assert_eq!(pause.is_zero(), is_last(number), "{pauses:?}");
            }
        }
    }
}
