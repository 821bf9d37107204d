//! From a name to a channel: addresses, proxies, Unix sockets, STARTTLS. TLS over the channel is `handfast`'s.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use handfast::ClientContext;
//! use handfast_dial::{Dialer, StartTls, proxy::Proxy};
//!
//! let client = ClientContext::builder().build()?;
//!
//! // All at once: name, addresses, TCP, TLS.
//! let stream = handfast_dial::connect(&client, "example.org:443")?;
//!
//! // Step by step: through a proxy, and with a protocol that begins in plain text.
//! let proxy = Proxy::parse("socks5h://127.0.0.1:9050")?;
//! let dialer = Dialer::within(&client.timeouts()).through(proxy);
//! let mut socket = dialer.dial("mail.example", 587)?.channel;
//! StartTls::Smtp.negotiate(&mut socket, "mail.example", client.timeouts().handshake)?;
//! let mail = client.secure("mail.example", socket)?;
//! # let _ = (stream, mail);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not
//!
//! It secures nothing: everything up to the end of a STARTTLS dialogue can be read and changed by an attacker on the path,
//! and so is used for nothing but getting to TLS. It does not resolve names itself (the operating system does), speaks
//! to no proxy over TLS, keeps no connections, and reads no environment: which proxy to use is the program's to say.
//! HTTP is `handfast-https`.
//!
//! # Data flow
//!
//! ```text
//! "host:port" -> split_authority -> resolve -> race (RFC 8305) -> TCP -> proxy: CONNECT or SOCKS5 -> STARTTLS -> TLS
//!                                   |------------------ Dialer ----------------------------------|             handfast
//! "/run/x.sock" -> connect_unix --------------------------------------------------------------> STARTTLS -> TLS
//! ```
//!
//! Each dialogue exists without I/O, too, for callers with a loop of their own: [`proxy::ConnectDialogue`],
//! [`proxy::Socks5Dialogue`], [`StartTlsDialogue`]. Everything blocking has a twin that ends in `_async`, with the
//! feature `tokio` (on by default).
//!
//! # The public interface is
//!
//! - a TLS stream to a name: [`connect()`], [`connect_async`];
//! - a channel: [`Dialer`] and its [`Dialled`] and [`Progress`], [`LocalEnd`], [`AddressFamily`], [`connect_tcp`], [`connect_unix`], [`resolve()`];
//! - proxies: [`proxy`];
//! - STARTTLS: [`StartTls`], [`StartTlsDialogue`];
//! - what people write: [`split_authority`], [`refuse_number`], [`refuse_number_in_url`];
//! - errors: [`Error`] and its [`Cause`], [`ConnectError`] for all of it up to TLS; [`connect_error`] for
//!   callers that connect by themselves.

mod address;
mod connect;
mod dialer;
mod dialogue;
#[cfg(feature = "tokio")]
mod dialogue_async;
mod error;
mod explain;
mod local;
// The operating system's messages are those of Linux.
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
pub use local::{AddressFamily, LocalEnd};
pub use resolve::resolve;
#[cfg(feature = "tokio")]
pub use resolve::resolve_async;
pub use starttls::{StartTls, StartTlsDialogue, StartTlsError, StartTlsProblem, UnknownStartTls};
pub use system::connect_error;
#[cfg(unix)]
pub use unix::connect_unix;
#[cfg(all(unix, feature = "tokio"))]
pub use unix::connect_unix_async;
