//! A server for connections that the caller accepts: on the caller's runtime, from the caller's listeners, over any
//! channel.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast::{AsyncStream, ServerContext};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::config::ServerConfig;
use super::connection;
use super::handler::Handler;
use super::handshake::Accepted;
use super::places;
use super::shared::Shared;
use super::worker::Worker;

/// How often a thread gives back buffers that it has kept since a burst and not used since; looked at when a connection
/// ends.
const RELEASE_EVERY: Duration = Duration::from_secs(10);

/// Where a connection comes from, for handlers and observers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address of this end of the connection, which is not the listener's if that listens on every address.
    pub local: SocketAddr,
}

impl Addresses {
    /// Of a channel that has none, such as a pipe: 0.0.0.0, port 0. Without a port plain HTTP cannot be redirected to https.
    pub const NONE: Self = Self {
        peer: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        local: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    };
}

/// Serves connections that its caller has accepted, on the caller's runtime.
///
/// Everything that a [`Server`](super::Server) does for a connection is done here, too: limits, HTTP, closing, events. What
/// it does not do is to listen and to start threads: of the [`ServerConfig`], `listen` and `threads` are not looked at.
///
/// It is for one thread, and so are its futures: run them in a [`LocalSet`](tokio::task::LocalSet), in a tokio
/// `LocalRuntime`, or in `block_on`. To serve on several threads, make one for each. A clone is the same.
///
/// ```no_run
/// # use std::sync::Arc;
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
///         let (socket, peer) = listener.accept().await?;
///         let Ok(local) = socket.local_addr() else { continue };
///         let connections = connections.clone();
///         tokio::task::spawn_local(async move {
///             connections.accept(socket, Addresses { peer, local }).await;
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

    /// Shakes hands and serves HTTP until the connection has ended. At
    /// [`Limits::connections_max`](super::Limits::connections_max) it first waits until there is room.
    ///
    /// The outcome is reported to the observer. Dropping it closes the connection.
    pub async fn accept<T>(&self, channel: T, addresses: Addresses)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let counted = self.worker.count();
        let accepted = self.arrived(addresses).await;
        let worker = Rc::clone(counted.worker());
        let served = connection::run(worker, channel, accepted, |_| None);
        self.until_cut(served).await;
    }

    /// Serves HTTP over a connection whose handshake the caller has done, until it has ended. The version is the one that
    /// ALPN agreed on: without `h2` it is HTTP/1.1.
    ///
    /// A caller that serves other protocols besides HTTP looks at [`Report::alpn`](handfast::Report::alpn), and passes on
    /// what is HTTP.
    pub async fn serve_connection<T>(&self, stream: AsyncStream<T>, addresses: Addresses)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let counted = self.worker.count();
        let accepted = self.arrived(addresses).await;
        let worker = Rc::clone(counted.worker());
        let served = connection::serve(worker, Box::new(stream), accepted, |_| None);
        self.until_cut(served).await;
    }

    /// New connections get this context; running ones keep the one they began with. Make it
    /// [`succeeding`](handfast::ServerContextBuilder::succeeding) the present one so that sessions can still be resumed.
    pub fn replace_context(&self, context: ServerContext) {
        self.worker.shared.contexts.replace(context);
    }

    /// Connections that are open now, those that wait for room, shake hands or close included.
    pub fn count(&self) -> usize {
        self.worker.live()
    }

    /// Ends what is served: idle connections are closed, HTTP/2 clients are requested to open no more streams, and replies that
    /// run may finish within `grace`; then what is left is cut. Ready when all have ended. The caller stops to accept before.
    pub async fn shutdown(&self, grace: Duration) {
        self.worker.drain();
        if timeout(grace, self.worker.until_empty()).await.is_err() {
            self.worker.cut();
            self.worker.until_empty().await;
        }
    }

    /// Waits for a place for a connection.
    async fn arrived(&self, addresses: Addresses) -> Accepted {
        let shared = &self.worker.shared;
        let told = |max| shared.observer.connections_full(max);
        let place = tokio::select! {
            biased;
            place = shared.places.take(told) => place,
            () = self.make_room() => unreachable!("it never ends"),
        };
        Accepted {
            peer: addresses.peer,
            local: addresses.local,
            place: Rc::new(place),
            // The time without a place is not the client's.
            at: Instant::now(),
        }
    }

    /// Closes idle connections while a client waits for a place.
    async fn make_room(&self) {
        loop {
            self.worker.close_idle(self.worker.shared.places.wanted());
            sleep(places::LOOK_EVERY).await;
        }
    }

    async fn until_cut(&self, served: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = served => {}
            () = self.worker.until_cut() => {}
        }
        if self.released.get().elapsed() >= RELEASE_EVERY {
            self.released.set(Instant::now());
            handfast::release_unused_buffers();
            handfast_http::h2::release_unused_buffers();
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
