//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handfast::ServerContext;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use super::accept::{Order, Serving};
use super::address::LocalAddress;
use super::budget::Budget;
use super::config::ServerConfig;
use super::gauges::Gauges;
use super::handler::Handler;
use super::listener::{self, BindError, Bound, Listener, Redirect};
use super::listening::{ListenerId, Listeners, Listening};
use super::places::Places;
use super::shared::Shared;
use super::worker::Drain;

/// A time limit that never ends and that every clock can represent: "no limit" must not become "at once".
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// A server that listens and does not yet serve: clients that connect wait.
#[must_use]
pub struct Server<H> {
    shared: Arc<Shared<H>>,
    bound: Vec<Bound>,
    threads: usize,
}

impl<H: Handler> Server<H> {
    /// Listens on everything in the configuration.
    ///
    /// # Errors
    /// The first address that could not be bound, and why; also if another process listens on it.
    pub fn bind(config: ServerConfig, handler: H) -> Result<Self, BindError> {
        let threads = config.thread_count();
        let bound = listener::bind(&config.listen, threads)?;
        let shared = Arc::new(Shared::new(config, handler, threads));
        Ok(Self {
            shared,
            bound,
            threads,
        })
    }

    /// The TCP addresses on which HTTPS is served, in the order of the configuration, with their real ports.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let https = self.bound.iter().filter(|one| one.redirect.is_none());
        https.filter_map(|one| one.address.socket()).collect()
    }

    /// The addresses of all listeners, in the order of the configuration, with their real ports.
    pub fn addresses(&self) -> Vec<LocalAddress> {
        self.bound.iter().map(|one| one.address.clone()).collect()
    }

    /// What can be read of it from now on, by any thread.
    pub fn gauges(&self) -> Gauges {
        Gauges::new(&self.shared.places, &self.shared.budget)
    }

    /// Serves, on threads of its own.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue, or does not watch a listener.
    pub fn start(self) -> io::Result<Running> {
        let (orders, receiver) = watch::channel(Order::Serve);
        let contexts = Arc::clone(&self.shared);
        let (senders, commands): (Vec<_>, Vec<_>) =
            (0..self.threads).map(|_| unbounded_channel()).unzip();
        let mut running = Running {
            listeners: Arc::new(Listeners::new(senders)),
            orders,
            places: Arc::clone(&self.shared.places),
            budget: Arc::clone(&self.shared.budget),
            replace: Box::new(move |context| contexts.contexts.replace(context)),
            threads: Vec::new(),
        };
        for (number, commands) in commands.into_iter().enumerate() {
            let shared = Arc::clone(&self.shared);
            let receiver = receiver.clone();
            let (ready, started) = std::sync::mpsc::channel();
            let thread = thread::Builder::new()
                .name(format!("handfast-{number}"))
                .spawn(move || match Serving::new() {
                    Ok(serving) => {
                        let _ = ready.send(Ok(()));
                        serving.run(shared, commands, receiver);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                })?;
            running.threads.push(thread);
            // A runtime cannot move between threads, so its making is reported from there.
            started
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("a serving thread ended at once")))?;
        }
        running.listeners.add_all(self.bound)?;
        Ok(running)
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("bound", &self.bound)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// A server that serves. Dropping it stops it at once, running replies included.
#[must_use]
pub struct Running {
    listeners: Arc<Listeners>,
    orders: watch::Sender<Order>,
    places: Arc<Places>,
    budget: Arc<Budget>,
    replace: Box<dyn Fn(ServerContext) + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// The TCP addresses on which HTTPS is served now, with their real ports.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.list().into_iter();
        let https = listeners.filter(|one| !one.redirects);
        https.filter_map(|one| one.address.socket()).collect()
    }

    /// What is listened on now, in the order in which it was added.
    pub fn listeners(&self) -> Vec<Listening> {
        self.listeners.list()
    }

    /// Listens on one more. On return clients can connect.
    ///
    /// This, [`stop_listening`](Self::stop_listening), [`stop_accepting`](Self::stop_accepting) and
    /// [`accept_again`](Self::accept_again) wait for the serving threads, each of which has at most one turn of other
    /// work before: do not call them on one of those, as from a handler.
    ///
    /// # Errors
    /// When it cannot be bound or watched. The others are not touched then, nor otherwise.
    pub fn listen(&self, listener: &Listener) -> Result<ListenerId, BindError> {
        self.listeners.listen(listener)
    }

    /// Listens there no more. Connections that it has accepted live on, and those in its queue are accepted before it is
    /// closed; other listeners do not notice. On return it is closed, and its address can be [listened](Self::listen) on
    /// otherwise. `false`: there is no such listener.
    ///
    /// Of a TCP address, a client whose connection comes into being between the last look at the queue and the close is reset,
    /// as it would have been refused a moment later.
    pub fn stop_listening(&self, id: ListenerId) -> bool {
        self.listeners.stop_listening(id)
    }

    /// What connects there from now on is [redirected](Listener::redirecting), or with `None` served over TLS. The sockets stay, and so do
    /// connections that were accepted. `false`: there is no such listener.
    ///
    /// # Errors
    /// When there are no descriptors left, or the system does not watch a listener; nothing has changed then.
    pub fn set_redirect(&self, id: ListenerId, redirect: Option<Redirect>) -> io::Result<bool> {
        self.listeners.set_redirect(id, redirect.map(Arc::new))
    }

    /// The listening sockets, in the order of [`listeners`](Self::listeners), for a successor: pass them to the
    /// [`ServerConfig`] of one in this process, or, as [descriptors](Listener::into_fds), to another process, which
    /// [makes listeners of them](Listener::from_fds).
    ///
    /// They are the same sockets, with the same queues. This server goes on accepting from them, as does a
    /// successor once it has started; then [`stop_accepting`](Self::stop_accepting) with this one, or [`retire`](Self::retire) it.
    /// No connection is refused or reset, since a connection that waits in a queue is accepted by one of the remaining processes. The successor has to
    /// accept from all of them.
    ///
    /// The files of Unix sockets are no longer removed by this server, but by a successor in this process, or by one that is
    /// told [to do so](Listener::removes_file), once it has started. One that cannot start does not remove them.
    pub fn hand_over(&self) -> Vec<Listener> {
        self.listeners.hand_over()
    }

    /// Whether the file of this Unix socket is removed at the end, as [`Listener::removes_file`] says of one that was given: for a successor
    /// in another process, which learns only after its start that its predecessor is to stop. `false`: there is no such
    /// listener, or it has no file.
    #[cfg(unix)]
    pub fn set_removes_file(&self, id: ListenerId, removes: bool) -> bool {
        self.listeners.set_removes_file(id, removes)
    }

    /// Accepts no more, and keeps the listening sockets open: clients that connect wait in their queues for a successor, or until
    /// [`accept_again`](Self::accept_again). On return nothing more is accepted. Connections that were accepted are served on.
    pub fn stop_accepting(&self) {
        self.listeners.pause();
    }

    /// There is no successor: accepts again after [`stop_accepting`](Self::stop_accepting), and takes back what was
    /// [handed over](Self::hand_over).
    ///
    /// # Errors
    /// When there are no descriptors left, or the system does not watch a listener; nothing is accepted then.
    pub fn accept_again(&self) -> io::Result<()> {
        self.listeners.resume()
    }

    /// Connections that are open now, those that shake hands or close included.
    pub fn connections(&self) -> usize {
        self.places.taken()
    }

    /// Bytes of replies that are held now, because clients do not take them: of all connections together, at most
    /// [`Limits::held_bytes_max`](super::Limits::held_bytes_max).
    pub fn held_bytes(&self) -> usize {
        self.budget.held()
    }

    /// New connections get this context; running ones keep the one they began with. Make it
    /// [`succeeding`](handfast::ServerContextBuilder::succeeding) the present one so that sessions
    /// can still be resumed.
    pub fn replace_context(&self, context: ServerContext) {
        (self.replace)(context);
    }

    /// Stops: nothing more is accepted, idle connections are closed, HTTP/2 clients are requested to open no
    /// more streams, and replies that run may finish within `grace`; then what is left is cut. Returns
    /// at once; [`join`](Self::join) waits. A second call can shorten the time.
    pub fn shutdown(&self, grace: Duration) {
        self.stopper().shutdown(grace);
    }

    /// As [`shutdown`](Self::shutdown), once a successor accepts from the same sockets: also those clients are served that
    /// this server has accepted and that have not sent their first request yet, since the successor would have served them.
    /// Kept HTTP/1.1 connections get one reply more, which says that it is the last; those that idle for 5 s are closed.
    pub fn retire(&self, grace: Duration) {
        self.stopper().stop(grace, Drain::Retire);
    }

    /// Stops it from elsewhere, also while another thread is waiting in [`join`](Self::join), and also from a handler: it does not
    /// wait for anything.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            listeners: Arc::clone(&self.listeners),
            orders: self.orders.clone(),
        }
    }

    /// Waits until it has stopped.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic of a handler ends its connection's task, not the thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shutdown(Duration::ZERO);
            self.wait();
        }
    }
}

/// Stops a server that another thread owns.
#[derive(Debug, Clone)]
pub struct Stopper {
    listeners: Arc<Listeners>,
    orders: watch::Sender<Order>,
}

impl Stopper {
    /// As [`Running::shutdown`].
    pub fn shutdown(&self, grace: Duration) {
        self.stop(grace, Drain::Stop);
    }

    /// As [`Running::retire`].
    pub fn retire(&self, grace: Duration) {
        self.stop(grace, Drain::Retire);
    }

    fn stop(&self, grace: Duration, how: Drain) {
        self.listeners.close();
        let deadline = Instant::now() + grace.min(FOREVER);
        self.orders.send_replace(Order::StopBy(deadline, how));
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("listeners", &self.listeners())
            .field("connections", &self.connections())
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;

    use handfast::{Identity, Passphrase};
    use handfast_testbed::pki::Pki;

    use super::super::handler::{ConnectionInfo, Request, Response};
    use super::super::service::plain;
    use super::*;

    async fn answer(_: Request, _: Arc<ConnectionInfo>) -> Response {
        plain(http::StatusCode::OK, "served\n")
    }

    fn config() -> ServerConfig {
        let issued = Pki::new().server(&["localhost"]);
        let (chain, key) = (issued.cert_pem(), issued.key_pem());
        let identity =
            Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
        let context = ServerContext::builder().identity(identity).build().unwrap();
        ServerConfig::new(context).threads(std::num::NonZero::new(2).unwrap())
    }

    /// The system has no events for a file.
    fn unwatchable() -> TcpListener {
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        let file = TcpListener::from(file);
        file.set_nonblocking(true).unwrap();
        file
    }

    #[test]
    fn a_listener_that_cannot_be_watched_is_an_error_of_the_start() {
        let config = config().listen("127.0.0.1:0".parse().unwrap());
        let mut server = Server::bind(config, answer).unwrap();
        server.bound[0].replace_socket(1, unwatchable());
        let error = server.start().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_start_that_fails_at_the_last_listener_leaves_the_file_of_a_socket_that_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let given = UnixListener::bind(&path).unwrap();
        let given = Listener::unix_socket(given).removes_file(true);
        let with_both = || {
            let config = config().listener(given.clone());
            config.listen("127.0.0.1:0".parse().unwrap())
        };
        let mut server = Server::bind(with_both(), answer).unwrap();
        server.bound[1].replace_socket(1, unwatchable());
        server.start().unwrap_err();
        assert!(path.exists());
        drop(Server::bind(with_both(), answer).unwrap().start().unwrap());
        assert!(!path.exists());
    }
}
