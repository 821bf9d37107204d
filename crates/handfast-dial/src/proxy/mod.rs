//! From a proxy to a channel through it: HTTP's CONNECT, and SOCKS5.
//!
//! Owns what is said to the proxy and what is accepted as its answer, without I/O ([`ConnectDialogue`],
//! [`Socks5Dialogue`]), and the waiting for it ([`Proxy::tunnel`]). What then runs through the tunnel is TLS with
//! the server itself: the proxy sees its name and the number of bytes, and vouches for nothing.
//!
//! Which variables of the environment name a proxy is the program's to read.

mod choice;
mod credentials;
mod http;
pub(crate) mod problem;
mod socks5;
pub(crate) mod target;
mod tunnel;
mod unreachable;

pub use choice::{Proxy, ProxyProtocol};
pub use credentials::Credentials;
pub use http::ConnectDialogue;
pub use problem::{ProxyError, ProxyProblem};
pub use socks5::Socks5Dialogue;
pub use target::Target;
