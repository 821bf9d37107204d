//! HTTP/1.1 and HTTP/2 over [`handfast`]: a client that knows when a reply is whole, a server that
//! never loses its last one.
//!
//! TLS says how a stream ended, HTTP says where a body should end; only both together can call a
//! reply complete. This crate is where they meet:
//!
//! - [`client`]: fetches, follows redirects, judges every body, and gives a download its name only
//!   when all of it arrived;
//! - [`server`]: listens, keeps limits, answers through a [`Handler`](server::Handler) (a directory of
//!   files is one), and closes so that the last reply arrives.
//!
//! Each is a feature of the same name, on by default: a program that serves brings no client with it, one
//! that fetches no server.
//!
//! HTTP itself is `handfast-http`'s. The crate prints nothing, reads nothing from the environment and installs no logger: observers are told what
//! happens.

#[cfg(feature = "client")]
pub mod client;
#[cfg(all(
    fuzzing,
    feature = "cookies",
    feature = "decoding",
    feature = "digest",
    feature = "server"
))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "server")]
pub mod server;

/// The snippets of the document for embedders are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;

/// The same for the client's document.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/client.md")]
struct ClientDocument;
