//! Starting and stopping.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handfast::ServerContext;
use tokio::sync::watch;

use super::accept::{Order, Serving};
use super::budget::Budget;
use super::config::ServerConfig;
use super::gauges::Gauges;
use super::handler::Handler;
use super::listener::{self, BindError, Listening};
use super::places::Places;
use super::shared::Shared;

/// A server that listens and does not yet serve: clients that connect wait.
#[must_use]
pub struct Server<H> {
    shared: Arc<Shared<H>>,
    listening: Vec<Listening>,
    threads: usize,
}

impl<H: Handler> Server<H> {
    /// Listens on every address of the configuration.
    ///
    /// # Errors
    /// The first address that could not be bound, and why; also if another process listens on it.
    pub fn bind(config: ServerConfig, handler: H) -> Result<Self, BindError> {
        let threads = config.thread_count();
        let listening = listener::bind(&config.listen, threads)?;
        let shared = Arc::new(Shared::new(config, handler, threads));
        Ok(Self {
            shared,
            listening,
            threads,
        })
    }

    /// The addresses listened on, in the order of the configuration, with their real ports.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listening.iter().map(|one| one.address).collect()
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
        let addresses = self.local_addrs();
        let (orders, receiver) = watch::channel(Order::Serve);
        let mut sockets: Vec<Vec<(SocketAddr, TcpListener)>> =
            (0..self.threads).map(|_| Vec::new()).collect();
        for one in self.listening {
            for (mine, socket) in sockets.iter_mut().zip(one.sockets) {
                mine.push((one.address, socket));
            }
        }
        let contexts = Arc::clone(&self.shared);
        let mut running = Running {
            addresses,
            orders,
            places: Arc::clone(&self.shared.places),
            budget: Arc::clone(&self.shared.budget),
            replace: Box::new(move |context| contexts.contexts.replace(context)),
            threads: Vec::new(),
        };
        for (number, listeners) in sockets.into_iter().enumerate() {
            let shared = Arc::clone(&self.shared);
            let receiver = receiver.clone();
            let (ready, started) = std::sync::mpsc::channel();
            let thread = thread::Builder::new()
                .name(format!("handfast-{number}"))
                .spawn(move || match Serving::new(listeners) {
                    Ok(serving) => {
                        let _ = ready.send(Ok(()));
                        serving.run(shared, receiver);
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
        Ok(running)
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listening", &self.listening)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// A server that serves. Dropping it stops it at once, running replies included.
#[must_use]
pub struct Running {
    addresses: Vec<SocketAddr>,
    orders: watch::Sender<Order>,
    places: Arc<Places>,
    budget: Arc<Budget>,
    replace: Box<dyn Fn(ServerContext) + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// The addresses listened on, with their real ports.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
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

    /// Stops it from elsewhere, also while another thread is waiting in [`join`](Self::join).
    pub fn stopper(&self) -> Stopper {
        Stopper {
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
    orders: watch::Sender<Order>,
}

impl Stopper {
    /// As [`Running::shutdown`].
    pub fn shutdown(&self, grace: Duration) {
        let now = Instant::now();
        let deadline = now.checked_add(grace).unwrap_or(now);
        self.orders.send_replace(Order::StopBy(deadline));
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("addresses", &self.addresses)
            .field("connections", &self.connections())
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use handfast::{Identity, Passphrase};
    use handfast_testbed::pki::Pki;

    use super::super::handler::{ConnectionInfo, Request, Response};
    use super::super::service::plain;
    use super::*;

    async fn answer(_: Request, _: Arc<ConnectionInfo>) -> Response {
        plain(http::StatusCode::OK, "served\n")
    }

    #[test]
    fn a_listener_that_cannot_be_watched_is_an_error_of_the_start() {
        let issued = Pki::new().server(&["localhost"]);
        let (chain, key) = (issued.cert_pem(), issued.key_pem());
        let identity =
            Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
        let context = ServerContext::builder().identity(identity).build().unwrap();
        let config = ServerConfig::new(context)
            .listen("127.0.0.1:0".parse().unwrap())
            .threads(std::num::NonZero::new(2).unwrap());
        let mut server = Server::bind(config, answer).unwrap();
        // The system has no events for a file.
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        let file = TcpListener::from(file);
        file.set_nonblocking(true).unwrap();
        server.listening[0].sockets[1] = file;
        let error = server.start().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
