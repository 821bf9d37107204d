//! A server for connections that the caller accepts: on the caller's runtime, from the caller's listeners, over any
//! channel.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast::{AsyncStream, ServerContext};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::address::Addresses;
use super::config::ServerConfig;
use super::connection;
use super::handler::Handler;
use super::handshake::Accepted;
use super::housekeeping::{RELEASE_EVERY, make_room, release_now};
use super::places::Place;
use super::shared::Shared;
use super::worker::{Drain, Worker};

/// Permission to serve one connection, from [`Connections::acquire`]. Dropping it gives it back.
#[derive(Debug)]
pub struct ConnectionPermit(Place);

impl ConnectionPermit {
    /// `None`: there are too many of this address.
    fn spend<H>(self, shared: &Shared<H>, addresses: Addresses) -> Option<Accepted> {
        let at = Instant::now();
        let admitted = shared.admit(addresses.peer).ok()?;
        Some(Accepted {
            peer: addresses.peer,
            local: addresses.local,
            place: Rc::new(self.0),
            admitted,
            at,
        })
    }
}

/// Serves connections that its caller has accepted, on the caller's runtime.
///
/// Everything that a [`Server`](super::Server) does for a connection is done here, too: limits, HTTP, closing, events. What
/// it does not do is to listen and to start threads: of the [`ServerConfig`], `listen` and `threads` are not looked at.
///
/// It is for one thread, and so are its futures: run them in a [`LocalSet`](tokio::task::LocalSet), in a tokio
/// `LocalRuntime`, or in `block_on`. To serve on several threads, make one for each. A clone is the same.
///
/// Each connection needs a [permit](Self::acquire), of which there are
/// [`Limits::connections_max`](super::Limits::connections_max). Get it where you accept, once there is a connection and before
/// you start a task for it: while there is none, the loop accepts nothing more, and further connections wait in the system's
/// queue. A loop that acquired permits in its tasks would accept all that come, until there are no descriptors left.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use handfast_https::server::{Addresses, Body, Connections, ConnectionInfo, Request, Response, ServerConfig};
/// # async fn serve(context: handfast::ServerContext) -> std::io::Result<()> {
/// let hello = |_request: Request, client: Arc<ConnectionInfo>| async move {
///     Response::new(Body::from(format!("hello, {}\n", client.peer)))
/// };
/// let connections = Connections::new(ServerConfig::new(context), hello);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
/// let tasks = tokio::task::LocalSet::new();
/// tasks.run_until(async {
///     loop {
///         let (socket, peer) = match listener.accept().await {
///             Ok(accepted) => accepted,
///             Err(error) => {
///                 // The client has gone, or there are no descriptors left, for which time helps.
///                 eprintln!("a connection was not accepted: {error}");
///                 tokio::time::sleep(Duration::from_millis(50)).await;
///                 continue;
///             }
///         };
///         let Ok(local) = socket.local_addr() else { continue };
///         let permit = connections.acquire().await;
///         let connections = connections.clone();
///         tokio::task::spawn_local(async move {
///             connections.accept(permit, socket, Addresses::new(peer, local)).await;
///         });
///     }
/// }).await
/// # }
/// ```
pub struct Connections<H> {
    worker: Rc<Worker<H>>,
    released: Rc<Cell<Instant>>,
}

impl<H> Clone for Connections<H> {
    fn clone(&self) -> Self {
        Self {
            worker: Rc::clone(&self.worker),
            released: Rc::clone(&self.released),
        }
    }
}

impl<H: Handler> Connections<H> {
    /// For connections of this context, within these limits.
    pub fn new(config: ServerConfig, handler: H) -> Self {
        let shared = Arc::new(Shared::new(config, handler, 1));
        Self {
            worker: Worker::new(shared),
            released: Rc::new(Cell::new(Instant::now())),
        }
    }

    /// Waits until there is room for one more connection. Meanwhile idle connections are closed, and others end with their
    /// reply. The longest waiting comes first.
    ///
    /// The wait is not part of a connection's time limits: they begin when it is passed on with the permit.
    pub async fn acquire(&self) -> ConnectionPermit {
        let shared = &self.worker.shared;
        let told = |max| shared.observer.connections_full(max);
        let place = tokio::select! {
            biased;
            place = shared.places.take(told) => place,
            never = make_room(Rc::clone(&self.worker)) => match never {},
        };
        // For the next ones, of which each would otherwise get the place for one request only.
        self.worker.make_room();
        ConnectionPermit(place)
    }

    /// Shakes hands and serves HTTP until the connection has ended.
    ///
    /// The outcome is reported to the observer. Dropping it closes the connection. A connection that is one too many of its
    /// address is dropped before TLS.
    pub async fn accept<T>(&self, permit: ConnectionPermit, channel: T, addresses: Addresses)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let counted = self.worker.count();
        let Some(accepted) = permit.spend(&self.worker.shared, addresses) else {
            return;
        };
        let worker = Rc::clone(counted.worker());
        let served = connection::run(worker, channel, accepted, |_| None);
        self.until_cut(served).await;
    }

    /// Serves HTTP over a connection whose handshake the caller has done, until it has ended. The version is the one that
    /// ALPN agreed on: without `h2` it is HTTP/1.1.
    ///
    /// A caller that serves other protocols besides HTTP looks at [`Report::alpn`](handfast::Report::alpn), and passes on
    /// what is HTTP. The permit is best [acquired](Self::acquire) before the handshake, which it limits, too.
    pub async fn serve_connection<T>(
        &self,
        permit: ConnectionPermit,
        stream: AsyncStream<T>,
        addresses: Addresses,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let counted = self.worker.count();
        let Some(accepted) = permit.spend(&self.worker.shared, addresses) else {
            return;
        };
        let worker = Rc::clone(counted.worker());
        let served = connection::serve(worker, Box::new(stream), accepted, |_| None);
        self.until_cut(served).await;
    }

    /// New connections get this context; running ones keep the one they began with. Make it
    /// [`succeeding`](handfast::ServerContextBuilder::succeeding) the present one so that sessions can still be resumed.
    pub fn replace_context(&self, context: ServerContext) {
        self.worker.shared.contexts.replace(context);
    }

    /// Connections that are open now, those that shake hands or close included.
    pub fn count(&self) -> usize {
        self.worker.live()
    }

    /// Ends what is served: idle connections are closed, HTTP/2 clients are requested to open no more streams, and replies that
    /// run may finish within `grace`; then what is left is cut. Ready when all have ended. The caller stops to accept before.
    pub async fn shutdown(&self, grace: Duration) {
        self.worker.drain(Drain::Stop);
        if timeout(grace, self.worker.until_empty()).await.is_err() {
            self.worker.cut();
            self.worker.until_empty().await;
        }
    }

    async fn until_cut(&self, served: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = served => {}
            () = self.worker.until_cut() => {}
        }
        // There is no task that does this at other times.
        if self.released.get().elapsed() >= RELEASE_EVERY {
            self.released.set(Instant::now());
            release_now(&self.worker);
        }
    }
}

impl<H> std::fmt::Debug for Connections<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("count", &self.worker.live())
            .finish_non_exhaustive()
    }
}
