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

mod address;
mod connect;
mod dialer;
mod dialogue;
#[cfg(feature = "tokio")]
mod dialogue_async;
mod error;
mod explain;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
pub mod proxy;
mod race;
mod resolve;
mod starttls;
mod system;
mod tcp;
#[cfg(feature = "tokio")]
mod tcp_async;
#[cfg(unix)]
mod unix;

pub use address::{refuse_number, refuse_number_in_url, split_authority};
pub use connect::{connect, connect_tcp};
#[cfg(feature = "tokio")]
pub use connect::{connect_async, connect_tcp_async};
pub use dialer::{Dialer, Dialled, Progress};
pub use error::{Cause, ConnectError, Error};
pub use resolve::resolve;
#[cfg(feature = "tokio")]
pub use resolve::resolve_async;
pub use starttls::{StartTls, StartTlsDialogue, StartTlsError, StartTlsProblem, UnknownStartTls};
pub use system::connect_error;
#[cfg(unix)]
pub use unix::connect_unix;
#[cfg(all(unix, feature = "tokio"))]
pub use unix::connect_unix_async;
