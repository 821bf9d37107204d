//! From a name to a channel: addresses, proxies, Unix sockets, STARTTLS. What follows is TLS, by `handfast`.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use handfast::ClientContext;
//!
//! let client = ClientContext::builder().build()?;
//! let stream = handfast_dial::connect(&client, "example.org:443")?; // name, addresses, TCP, TLS
//! # let _ = stream;
//! # Ok(())
//! # }
//! ```

mod connect;
mod error;
mod explain;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
pub mod proxy;
mod resolve;
mod starttls;
#[cfg(feature = "tokio")]
mod tcp_async;

pub use connect::{connect, connect_tcp};
#[cfg(feature = "tokio")]
pub use connect::{connect_async, connect_tcp_async};
pub use error::{Cause, ConnectError, Error};
pub use resolve::{connect_error, refuse_number, refuse_number_in_url, resolve};
pub use starttls::{StartTls, StartTlsDialogue, StartTlsError, StartTlsProblem, UnknownStartTls};

/// The guide's and the README's snippets are tests, too.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../../../README.md")]
    struct Readme;
}
