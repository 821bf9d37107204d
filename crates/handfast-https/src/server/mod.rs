//! An HTTPS server: HTTP/1.1 and HTTP/2 over [`handfast`], embeddable in other programs.
//!
//! It owns listening, limits, closing and stopping; what is answered is a [`Handler`]'s business
//! (`handfast-files` has one for a directory). It prints nothing: an [`Observer`] receives every request, every failed
//! handshake and how each connection ended. Where bytes become records is `handfast`'s; HTTP is
//! spelled here, by an engine for each of its versions.
//!
//! ```text
//!            Server::start
//!                 |
//!   +-------------+--------------+      one thread, one runtime, one SO_REUSEPORT listener per core;
//!   |             |              |      a connection stays where it was accepted
//! worker        worker        worker
//!   |
//!   accept -> handshake -> HTTP -> Handler -> Body -> flush -> close_notify, FIN, linger
//!   `---- one deadline -----'                `- write limit -'  `------ ClosePolicy ----'
//! ```
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//! use handfast::{Identity, Passphrase, ServerContext};
//! use handfast_https::server::{ALPN, Body, ConnectionInfo, Request, Response, Server, ServerConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::from_pem_files("chain.pem", "key.pem", Passphrase::none())?;
//! let context = ServerContext::builder().identity(identity).alpn(ALPN).build()?;
//! let config = ServerConfig::new(context).listen("127.0.0.1:8443".parse()?);
//! let server = Server::bind(config, |_request: Request, client: Arc<ConnectionInfo>| async move {
//!     Response::new(Body::from(format!("hello, {}\n", client.peer)))
//! })?;
//! println!("listening on {:?}", server.local_addrs());
//! let running = server.start()?;
//! // ... and when it is enough:
//! running.shutdown(Duration::from_secs(10));
//! running.join();
//! # Ok(())
//! # }
//! ```
//!
//! # The public interface is
//!
//! - [`Server`], its [`ServerConfig`] and [`Limits`], and [`Running`] with [`Stopper`];
//! - [`Listener`], with [`Redirect`], [`Listening`] and [`BindError`]: where it listens;
//! - [`Connections`], with [`Addresses`] and [`ConnectionPermit`]: the same for connections that the caller accepts;
//! - [`Handler`], with [`Request`], [`RequestBody`], [`Response`], [`Body`], [`User`] and [`ConnectionInfo`], which has a
//!   [`PeerAddress`] and a [`LocalAddress`];
//! - [`Pull`], [`plain`] and [`loop_iteration()`]: what helps to write handlers that cost little;
//! - [`Observer`] and its events; [`Gauges`].

mod accept;
mod acceptor;
mod activity;
mod address;
mod body;
mod budget;
mod config;
mod connection;
mod connections;
mod date;
mod delivery;
mod engine;
mod event_loop;
mod gauges;
mod guard;
mod handler;
mod handshake;
mod housekeeping;
mod http1;
mod http2;
mod incoming;
mod listener;
mod listening;
mod observer;
mod places;
mod plain_http;
mod receive;
mod redirect;
mod running;
mod service;
mod shared;
mod sources;
mod state;
#[cfg(feature = "tower")]
mod tower;
mod worker;

pub use address::{Addresses, LocalAddress, PeerAddress, UnixPeer};
pub use body::{Body, BodyError, Pull};
pub use config::{ALPN, Limits, Rate, ServerConfig};
pub use connections::{ConnectionPermit, Connections};
pub use event_loop::loop_iteration;
pub use gauges::Gauges;
pub use handler::{ConnectionInfo, Handler, Request, RequestBody, Response, User};
pub use listener::{BindError, Listener, Redirect};
pub use listening::{ListenerId, Listening};
pub use observer::{
    AbortReason, AddressLimit, CloseEvent, CloseReason, HandshakeEvent, LimitEvent, Observer,
    RedirectEvent, RequestEvent, RequestFields, Silent, TransferEnd,
};
pub use running::{Running, Server, Stopper};
pub use service::plain;
#[cfg(feature = "tower")]
pub use tower::{Tower, tower};
