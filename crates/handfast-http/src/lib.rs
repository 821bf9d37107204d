//! HTTP/1.1 and HTTP/2 without I/O: bytes in, bytes and events out, for clients and servers.
//!
//! ```text
//! bytes -> h1::request, h1::response -> head        h2::Connection: bytes -> receive() -> events
//! bytes -> h1::Body                  -> pieces                      open(), put_head(), put_data() -> output()
//! ```
//!
//! - [`h1`]: heads of requests and responses, where a body ends, and bodies by length or in chunks
//!   (RFC 9112);
//! - [`h2`]: one end of a connection, client or server: frames, header compression, streams, windows,
//!   limits (RFC 9113, RFC 7541).
//!
//! # What it is not
//!
//! There is no socket, no runtime and no clock in this crate. Time is an argument, every limit is a value, and
//! the caller that drives a connection decides when to read and write. The semantics of messages (methods,
//! caching, redirects) are left to the caller.
//!
//! # What it reports
//!
//! How each stream ended, and which requests are safe to send again: when a client loses a
//! connection, each request's event says whether the server may have processed it.
//!
//! # Bounds
//!
//! Every byte that a peer sends costs a bounded amount of time and memory. The size of a head, a header list, a
//! chunk line and a trailer section is limited; a frame's cost is bounded by its length; frames
//! that make no progress, and streams that are cancelled before their reply begins, are counted in leaky
//! buckets, which a slow peer never fills and a flood does.

pub mod h1;
pub mod h2;
mod number;
mod trailer;

pub use number::decimal;
pub use trailer::may_trail;
