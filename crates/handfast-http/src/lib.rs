//! HTTP/1.1 and HTTP/2 without I/O: bytes in, bytes and events out, for clients and servers alike.
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
//! There is no socket, no runtime and no clock in here. Time is an argument, every limit is a value, and
//! whoever drives a connection decides what is read and written when. What a message means (methods,
//! caching, redirects) is its users' business.
//!
//! # What it knows
//!
//! What was sent, how each stream ended, and what is safe to send again: a client that loses a
//! connection is told for every request whether the server may have processed it.
//!
//! # Bounds
//!
//! Every byte that a peer sends costs a bounded amount of time and memory. A head, a header list, a
//! chunk line and a trailer section have a largest size; a frame's cost is bounded by its length; frames
//! that bring nothing forward, and streams that come to nothing, are counted in buckets that
//! leak, so that a patient peer never fills them and a flood does.

pub mod h1;
pub mod h2;
mod number;

pub use number::decimal;
