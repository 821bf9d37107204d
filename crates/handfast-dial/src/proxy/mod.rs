//! Channels through a proxy: HTTP CONNECT, and SOCKS.
//!
//! The protocols are without I/O ([`ConnectDialogue`], [`Socks5Dialogue`],
//! [`Socks4Dialogue`]); [`Proxy::tunnel`] runs them over a channel. The tunnel then carries TLS with
//! the server itself: the proxy sees the server's name and the number of bytes, and is not trusted.
//!
//! Environment variables are read by the program, not here.

mod authenticate;
mod choice;
mod credentials;
mod http;
#[cfg(test)]
mod played;
pub(crate) mod problem;
mod socks4;
mod socks5;
pub(crate) mod target;
mod tunnel;
mod unreachable;

pub use authenticate::Authenticate;
pub use choice::{Proxy, ProxyProtocol};
pub use credentials::Credentials;
pub use http::ConnectDialogue;
pub use problem::{ProxyError, ProxyProblem};
pub use socks4::Socks4Dialogue;
pub use socks5::Socks5Dialogue;
pub use target::Target;
