//! The client: fetches over HTTPS and knows whether all of a response arrived.
//!
//! Owns connecting, keeping connections, redirects and the judgement of bodies. Leaves TLS, names and
//! trust to the [`handfast::ClientContext`] that it is given, HTTP's syntax to hyper, and every
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

mod completeness;
mod connect;
mod download;
mod error;
mod event;
mod hearsay;
mod link;
mod patience;
mod probing;
mod proxy;
mod redirect;
mod request;
mod response;
mod settings;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handfast::{ClientContext, CloseOutcome, Phase};
use hyper::body::Incoming;

pub use completeness::{Framing, Verdict, Whole, judge};
pub use download::Download;
pub use error::{Error, Truncation};
pub use event::Event;
pub use hearsay::with_hearsay;
pub use proxy::{Proxy, connect_through};
pub use request::Request;
pub use response::{Finished, Oddity, Response};
pub use settings::ClientBuilder;

use connect::Origin;
use link::Link;
use patience::Patience;
use settings::Settings;

/// The application protocols to give to [`handfast::ClientContextBuilder::alpn`]: HTTP/2 preferred.
/// A context without any makes a client that speaks HTTP/1.1.
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// How many idle connections are kept for one origin. One exchange at a time leaves one; this bounds
/// what a burst leaves behind.
const KEPT_PER_ORIGIN_MAX: usize = 8;

/// An HTTPS client. Cheap to clone; clones share connections.
///
/// Runs on a tokio runtime of any flavour. One exchange has a connection to itself; afterwards the
/// connection is kept and serves the next one to the same origin.
#[derive(Debug, Clone)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    kept: Mutex<HashMap<Origin, Vec<Link>>>,
}

impl Client {
    /// Begins a client that connects by this context.
    pub fn builder(context: ClientContext) -> ClientBuilder {
        ClientBuilder::new(context)
    }

    /// A client with the defaults of [`ClientBuilder`].
    pub fn new(context: ClientContext) -> Self {
        Self::builder(context).build()
    }

    fn from_settings(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            settings,
            kept: Mutex::default(),
        }))
    }

    /// Sends a request, whole, and gives the response when its head has come.
    ///
    /// A response of any status is no error. Redirects are followed if the client was built so.
    ///
    /// # Errors
    /// With the phase in which it failed, for everything that comes before the head of a response.
    pub async fn send(&self, mut request: Request) -> Result<Response, Error> {
        let settings = &self.0.settings;
        let patience = Patience::new(settings.silence_max, settings.total_max);
        let mut redirects = Vec::new();
        loop {
            let (link, response) = self.exchange(&request, patience).await?;
            let response = Response::new(
                Arc::clone(&self.0),
                link,
                patience,
                &request,
                response,
                redirects.clone(),
            );
            settings.tell(&Event::Responding {
                version: response.version(),
                status: response.status(),
                headers: response.headers(),
                framing: response.framing(),
            });
            let Some(limit) = settings.redirects_max else {
                return Ok(response);
            };
            let Some(next) = redirect::next(&request, response.status(), response.headers())?
            else {
                return Ok(response);
            };
            if redirects.len() >= limit {
                return Err(Error::TooManyRedirects {
                    limit,
                    next: next.url.to_string(),
                });
            }
            response.discard().await;
            settings.tell(&Event::Redirecting {
                url: &next.url,
                method: &next.method,
            });
            redirects.push(std::mem::replace(&mut request, next).url);
        }
    }

    /// Closes the connections that are kept, each in two phases, and says how that went (A17).
    pub async fn close(&self) -> Vec<(SocketAddr, CloseOutcome)> {
        let links = std::mem::take(&mut *self.0.kept());
        let mut outcomes = Vec::new();
        for link in links.into_values().flatten() {
            let address = link.address;
            let outcome = link.close(self.0.settings.close_wait).await;
            self.0.settings.tell(&Event::Closed { address, outcome });
            outcomes.push((address, outcome));
        }
        outcomes
    }

    /// One request and the head of its response, over a kept connection or a new one.
    async fn exchange(
        &self,
        request: &Request,
        patience: Patience,
    ) -> Result<(Link, http::Response<Incoming>), Error> {
        let settings = &self.0.settings;
        let origin = request.origin();
        while let Some(mut link) = self.0.take(&origin) {
            settings.tell(&Event::Reused {
                address: link.address,
            });
            match self.attempt(&mut link, request, patience).await {
                Ok(response) => return Ok((link, response)),
                // The server closes idle connections when it likes, perhaps at this very moment.
                // What may do harm when done twice is not repeated (RFC 9110, section 9.2.2).
                Err(error)
                    if request.is_idempotent() && !link.has_answered() && !is_time_out(&error) =>
                {
                    settings.tell(&Event::Retrying { error: &error });
                }
                Err(error) => return Err(error),
            }
        }
        let mut link = self.open(&origin, patience).await?;
        let response = self.attempt(&mut link, request, patience).await?;
        Ok((link, response))
    }

    async fn open(&self, origin: &Origin, patience: Patience) -> Result<Link, Error> {
        let settings = &self.0.settings;
        let patience = patience.but_at_most(settings.connect_max);
        let phase = Mutex::new(Phase::Resolve);
        let opening = connect::open(settings, origin, |reached| {
            *phase.lock().unwrap_or_else(PoisonError::into_inner) = reached;
        });
        let reached = || *phase.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = patience.wait(reached, opening).await;
        let (stream, address) = match opened.and_then(|opened| opened) {
            Ok(opened) => opened,
            Err(error) => {
                let error = error.with_server_name(&origin.host);
                return Err(probing::clarify(settings, origin, error, patience)
                    .await
                    .into());
            }
        };
        settings.tell(&Event::Secured {
            report: stream.report(),
        });
        Link::new(stream, address, origin.clone()).await
    }

    async fn attempt(
        &self,
        link: &mut Link,
        request: &Request,
        patience: Patience,
    ) -> Result<http::Response<Incoming>, Error> {
        let http = request.to_http(link.version())?;
        self.0.settings.tell(&Event::Requesting {
            method: http.method(),
            url: &request.url,
            version: http.version(),
            headers: http.headers(),
            body_bytes: request.body.len(),
        });
        let wire = link.wire.clone();
        let response = patience
            .wait_on(&wire, Phase::Response, link.exchange(http))
            .await
            .map_err(|error| error.with_server_name(&link.origin.host))?;
        response.map_err(|error| link.no_response(&error))
    }
}

impl Shared {
    /// A kept connection that seems to be open.
    fn take(&self, origin: &Origin) -> Option<Link> {
        let mut kept = self.kept();
        let links = kept.get_mut(origin)?;
        while let Some(link) = links.pop() {
            if link.is_open() {
                return Some(link);
            }
        }
        kept.remove(origin);
        None
    }

    fn keep(&self, link: Link) {
        let mut kept = self.kept();
        let links = kept.entry(link.origin.clone()).or_default();
        if links.len() < KEPT_PER_ORIGIN_MAX {
            links.push(link);
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Link>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_time_out(error: &Error) -> bool {
    matches!(error, Error::Connection(error)
        if matches!(error.cause(), handfast::Cause::Network(handfast::NetworkCause::TimedOut { .. })))
}
