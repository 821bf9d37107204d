//! The client: fetches over HTTPS and knows whether all of a response arrived.
//!
//! Owns connecting, keeping connections, redirects and the judgement of bodies. Leaves TLS, names and
//! trust to the [`handfast::ClientContext`] that it is given, HTTP's syntax to `handfast-http`, and every
//! decision about what to print to its caller.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use handfast::ClientContext;
//! use handfast_https::client::{ALPN, Client, Download, Request};
//!
//! let context = ClientContext::builder().alpn(ALPN).build()?;
//! let client = Client::builder(context).follow_redirects(true).build();
//! let mut response = client.send(Request::get("https://example.org/")?).await?;
//! let mut download = Download::create("page.html")?;
//! while let Some(chunk) = response.chunk().await? {
//!     download.write(&chunk)?;
//! }
//! let finished = response.finish().await?; // the proof, or the error that says what is missing
//! download.complete(&finished.whole)?; // only now the file has its name
//! client.close().await;
//! # Ok(())
//! # }
//! ```

mod asked_range;
mod carrier;
mod completeness;
mod connect;
mod content_range;
#[cfg(feature = "cookies")]
mod cookies;
mod credentials;
#[cfg(feature = "decoding")]
mod decoding;
#[cfg(feature = "digest")]
mod digest;
mod disposition;
mod download;
mod error;
mod event;
mod facts;
mod finished;
#[cfg(all(fuzzing, feature = "decoding", feature = "digest"))]
pub(crate) mod fuzzing;
mod http1;
mod http2;
mod origin;
mod pace;
mod patience;
mod places;
mod pool;
mod probing;
mod redirect;
mod request;
mod response;
mod segments;
mod send;
mod settings;
mod shared;
mod spans;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod tls_stream;
mod upload;

pub use completeness::{Framing, Verdict, Whole, judge};
pub use content_range::ContentRange;
#[cfg(feature = "cookies")]
pub use cookies::CookieJar;
#[cfg(feature = "decoding")]
pub use decoding::{DECODED_CODINGS, DecodingLimits};
#[cfg(feature = "digest")]
pub use digest::DigestCredentials;
pub use download::{Begun, Download, Existing};
pub use error::{Error, Truncation};
pub use event::Event;
pub use facts::{ConnectionFacts, ExchangeTimes, SetupTimes};
pub use finished::{Finished, Oddity};
pub use handfast_dial::proxy::Proxy;
pub use handfast_dial::{AddressFamily, LocalEnd};
pub use places::PoolLimits;
pub use request::Request;
pub use response::Response;
pub use segments::{NotSegmented, SEGMENTS_MAX, SegmentEvent, Segmented, Segments};
pub use send::Client;
pub use settings::ClientBuilder;
pub use upload::{Upload, UploadEnded, UploadSender};

/// The application protocols to give to [`handfast::ClientContextBuilder::alpn`]: HTTP/2 preferred.
/// A context without any makes a client that speaks HTTP/1.1.
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];
