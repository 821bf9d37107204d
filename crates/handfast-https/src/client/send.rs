//! The client: from a request to the head of its response, over a kept connection or a new one, and once more
//! where that does no harm.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use handfast::{ClientContext, CloseOutcome, Phase};
use http::header::PROXY_AUTHENTICATE;
use http::{HeaderMap, StatusCode, Version};
use tokio::task::JoinSet;

use super::carrier::{Carrier, Head};
use super::error::Error;
use super::event::{Callbacks, Event};
use super::facts::{ConnectionFacts, ExchangeTimes, Opened};
use super::http1::Http1;
use super::http2::{self, Again};
use super::origin::Origin;
use super::patience::Patience;
use super::places::Place;
use super::pool::{self, Connection, Found, Speaks};
use super::request::Request;
use super::response::Response;
use super::settings::{ClientBuilder, Settings};
use super::shared::Shared;
use super::stream::Stream;
use super::target::Target;
use super::{connect, probing, redirect};

/// How often a request is sent again that the server has not processed: a server that is restarting may
/// send away two connections, and no more.
const RETRIES_MAX: usize = 3;

/// An HTTPS client. Cheap to clone; clones share connections.
///
/// Runs on a tokio runtime of any flavour. Exchanges over HTTP/2 share a connection; over HTTP/1.1 one
/// exchange has a connection to itself. Afterwards the connection is kept for a while and serves the
/// next one to the same origin.
#[derive(Debug, Clone)]
pub struct Client(pub(super) Arc<Shared>);

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
        Self(Arc::new(Shared::new(settings)))
    }

    /// A client that is set up alike and has connections of its own.
    pub(super) fn sibling(&self) -> Self {
        Self(Arc::new(self.0.sibling()))
    }

    /// Sends a request, whole, and gives the response when its head has come.
    ///
    /// A response of any status is no error. Redirects are followed if the client was built so. What the
    /// server says that it has not processed is sent again (RFC 9113, section 8.7).
    ///
    /// # Errors
    /// With the phase in which it failed, for everything that comes before the head of a response.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let settings = &self.0.settings;
        let (silence, total) = (settings.silence(), settings.total_max);
        let patience = match request.began {
            Some(began) => Patience::since(began.into(), silence, total),
            None => Patience::new(silence, total),
        };
        self.send_within(request, patience).await
    }

    /// The same within these limits.
    pub(super) async fn send_within(
        &self,
        mut request: Request,
        patience: Patience,
    ) -> Result<Response, Error> {
        let settings = &self.0.settings;
        let callbacks = settings.callbacks(&request);
        let began = Instant::now();
        let mut redirects = Vec::new();
        let mut proxy_answers = 0;
        #[cfg(feature = "digest")]
        let mut answers = 0;
        if settings.rate_max.is_some() {
            request.spread_body();
        }
        loop {
            let sent = self.with_secrets(&request);
            let sent = sent.as_ref().unwrap_or(&request);
            let (link, head, connected) = self.exchange(sent, &callbacks, patience).await?;
            let times = ExchangeTimes {
                connection: connected.saturating_duration_since(began),
                head: began.elapsed(),
            };
            let forward = link.forward().cloned();
            let response = Response::new(
                Arc::clone(&self.0),
                link,
                patience,
                &request,
                head,
                times,
                redirects.clone(),
            );
            callbacks.tell(&Event::Responding {
                version: response.version(),
                status: response.status(),
                headers: response.headers(),
                framing: response.framing(),
            });
            #[cfg(feature = "cookies")]
            if let Some(jar) = &settings.cookies {
                jar.take(&request.url, response.headers());
            }
            #[cfg(feature = "digest")]
            if let Some(digest) = &request.digest {
                let (status, fields) = (response.status(), response.headers());
                if digest.take(&request.origin(), status, fields, &mut answers)
                    && request.is_repeatable()
                {
                    response.discard().await;
                    continue;
                }
            }
            if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                && let Some(proxy) = &forward
                && proxy.is_answering(&challenges(response.headers()), &mut proxy_answers)
                && request.is_repeatable()
            {
                response.discard().await;
                continue;
            }
            if response.status() == StatusCode::EXPECTATION_FAILED
                && response.version() < Version::HTTP_2
                && request.asks_before_body()
                && request.is_repeatable()
            {
                request.stop_asking();
                response.discard().await;
                continue;
            }
            let Some(limit) = settings.redirects_max else {
                return Ok(response);
            };
            let Some(next) = redirect::next(
                &request,
                response.status(),
                response.headers(),
                &settings.redirects,
            )?
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
            callbacks.tell(&Event::Redirecting {
                url: next.url.as_str(),
                method: &next.method,
            });
            redirects.push(std::mem::replace(&mut request, next).url);
        }
    }

    /// The request with the cookies for its URL and the answer to a challenge, if there are any. They are of this hop alone:
    /// what redirects go on with is the request as it was given.
    fn with_secrets(&self, request: &Request) -> Option<Request> {
        #[cfg_attr(
            not(any(feature = "cookies", feature = "digest")),
            expect(unused_mut, reason = "as with the features")
        )]
        let mut with: Option<Request> = None;
        #[cfg(feature = "cookies")]
        if let Some(jar) = &self.0.settings.cookies {
            let with = with.get_or_insert_with(|| request.clone());
            jar.put_into(&request.url, &mut with.headers);
        }
        #[cfg(feature = "digest")]
        if let Some(digest) = &request.digest
            && let Some(field) = digest.field(&request.origin(), &request.method, request.path())
        {
            let with = with.get_or_insert_with(|| request.clone());
            with.headers.insert(http::header::AUTHORIZATION, field);
        }
        #[cfg(not(any(feature = "cookies", feature = "digest")))]
        let _ = request;
        with
    }

    /// Closes the connections that are kept, each in two phases, and says how that went. Exchanges
    /// that go on over one of them are cut off: [`Error::ClientClosed`], or [`Error::Truncated`] where a response had
    /// begun.
    pub async fn close(&self) -> Vec<(SocketAddr, CloseOutcome)> {
        self.close_within(self.0.settings.close_wait).await
    }

    /// As [`close`](Self::close), and takes no longer than `limit`, even where
    /// [`ClientBuilder::close_wait`] allows more.
    pub async fn close_within(&self, limit: Duration) -> Vec<(SocketAddr, CloseOutcome)> {
        let limit = limit.min(self.0.settings.close_wait);
        let mut closing = JoinSet::new();
        for link in self.0.pool.take_all() {
            let address = link.opened.address();
            closing.spawn(async move { (address, link.close(limit).await) });
        }
        let mut outcomes = Vec::new();
        while let Some(closed) = closing.join_next().await {
            let Ok((address, outcome)) = closed else {
                continue;
            };
            self.0.settings.tell(&Event::Closed { address, outcome });
            outcomes.push((address, outcome));
        }
        outcomes
    }

    /// One request and the head of its response, over a kept connection or a new one, and once more where
    /// that does no harm.
    async fn exchange(
        &self,
        request: &Request,
        callbacks: &Callbacks,
        patience: Patience,
    ) -> Result<(Carrier, Head, Instant), Error> {
        let mut origin = request.origin();
        // Without a certificate all connections of an origin are alike.
        origin.is_anonymous &= self.0.has_identity();
        let mut retries = 0;
        loop {
            let (link, is_reused) = self.connection(&origin, callbacks, patience).await?;
            let connected = Instant::now();
            let failed = match self
                .attempt(&origin, link, request, callbacks, patience)
                .await
            {
                Ok((link, head)) => return Ok((link, head, connected)),
                Err(failed) => failed,
            };
            let error = failed.error;
            let may_be_sent_again = match failed.again {
                Again::Unprocessed => retries < RETRIES_MAX,
                Again::OverHttp1 => {
                    let is_news = !self.0.pool.wants_http1(&origin);
                    self.0.pool.note_http1(&origin);
                    is_news
                }
                // The server closes idle connections when it likes, perhaps at this very moment.
                // What may do harm when done twice is not repeated (RFC 9110, section 9.2.2).
                Again::IfHarmless => is_reused && request.is_idempotent(),
                Again::No => false,
            };
            if !may_be_sent_again || !request.is_repeatable() {
                return Err(error);
            }
            if failed.again == Again::Unprocessed {
                retries += 1;
            }
            callbacks.tell(&Event::Retrying { error: &error });
        }
    }

    /// A connection to the origin, and whether it has served before.
    async fn connection(
        &self,
        origin: &Origin,
        callbacks: &Callbacks,
        patience: Patience,
    ) -> Result<(Connection, bool), Error> {
        loop {
            match self.0.pool.find(origin) {
                Found::Kept(mut link) => {
                    if matches!(link.speaks, Speaks::Http1(_)) {
                        // Lets the runtime see whether the server has closed it in the meantime.
                        tokio::task::yield_now().await;
                        if !link.is_open() {
                            continue;
                        }
                    }
                    callbacks.tell(&Event::Reused {
                        address: link.opened.address(),
                    });
                    return Ok((link, true));
                }
                Found::Full(waiting, evicted) => {
                    self.0.retire(evicted);
                    let mut watch = Watch(Some(&self.0));
                    patience.wait(|| Phase::Connect, waiting.wait()).await?;
                    watch.0 = None;
                }
                Found::Make(mut making) => {
                    let place = making.place.take().unwrap_or_default();
                    let made = self.open(origin, place, callbacks, patience).await;
                    self.0.pool.made(origin, making, made.as_ref().ok());
                    let link = made?;
                    if matches!(link.speaks, Speaks::Http2(_)) {
                        self.0.reap();
                    }
                    return Ok((link, false));
                }
                Found::Wait(gate) => {
                    let waiting = pool::made_by_another(gate);
                    patience.wait(|| Phase::Connect, waiting).await?;
                }
            }
        }
    }

    async fn open(
        &self,
        origin: &Origin,
        place: Place,
        callbacks: &Callbacks,
        patience: Patience,
    ) -> Result<Connection, Error> {
        let settings = &self.0.settings;
        let patience = patience.but_at_most(settings.connect_max);
        let context = self.0.context(origin);
        let phase = Mutex::new(Phase::Resolve);
        let opening = connect::open(settings, context, origin, callbacks, |reached| {
            *phase.lock().unwrap_or_else(PoisonError::into_inner) = reached;
        });
        let reached = || *phase.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = patience.wait(reached, opening).await;
        let opened = opened.map_err(Error::from).and_then(|opened| opened);
        let (stream, report, way) =
            match opened.map_err(|error| error.with_server_name(&origin.host)) {
                Ok(opened) => opened,
                Err(Error::Connection(error)) => {
                    return Err(
                        probing::clarify(settings, origin, callbacks, error, patience)
                            .await
                            .into(),
                    );
                }
                Err(error) => return Err(error),
            };
        match &report {
            Some(report) => callbacks.tell(&Event::Secured { report }),
            None => callbacks.tell(&Event::Unsecured {
                address: way.address,
            }),
        }
        let alpn = report.as_deref().and_then(|report| report.alpn.as_deref());
        let is_http2 = alpn == Some(b"h2");
        let forward = way.forward;
        let facts = ConnectionFacts {
            number: self.0.number(),
            exchanges_before: 0,
            peer_address: way.address,
            unix_socket: way.unix_socket,
            local_address: way.local,
            proxy: way.proxy,
            report,
            setup: way.setup,
        };
        let opened = Arc::new(Opened::new(facts, forward));
        let (speaks, claim) = match stream {
            Stream::Tls(stream) if is_http2 => {
                let (client, origin) = (Arc::downgrade(&self.0), origin.clone());
                let shared = http2::Shared::start(*stream, place, move || {
                    if let Some(client) = client.upgrade() {
                        client.rested(&origin);
                    }
                });
                let claim = Some(shared.claim());
                (Speaks::Http2(shared), claim)
            }
            stream => (Speaks::Http1(Box::new(Http1::new(stream, place))), None),
        };
        Ok(Connection {
            opened,
            speaks,
            claim,
        })
    }

    async fn attempt(
        &self,
        origin: &Origin,
        link: Connection,
        request: &Request,
        callbacks: &Callbacks,
        patience: Patience,
    ) -> Result<(Carrier, Head), http2::NoResponse> {
        let refuse = |error: Error| http2::NoResponse {
            error,
            again: Again::No,
        };
        let late = |error: handfast::Error| refuse(error.with_server_name(&origin.host).into());
        let mut target = request.target().map_err(refuse)?;
        let outflow = request.begin_upload(callbacks).map_err(refuse)?;
        let rate_max = self.0.settings.rate_max;
        let mut outflow = outflow.map(|outflow| outflow.paced(rate_max));
        let opened = link.opened;
        if let Some(proxy) = opened.forward() {
            target.go_by(proxy, &request.method, request.absolute());
        }
        let facts = opened.begin();
        match link.speaks {
            Speaks::Http1(mut http1) => {
                let asks = request.asks_before_body();
                if asks {
                    target.ask();
                }
                tell_request(callbacks, request, &target, Version::HTTP_11);
                let written = target.to_http1(&request.method, &request.body);
                http1.begin(written, outflow.take(), target.is_chunked(), asks);
                let head = patience
                    .wait_on(&mut *http1, Phase::Response, |http1, cx| {
                        http1.poll_head(cx, &request.method)
                    })
                    .await
                    .map_err(late)?;
                match head {
                    Ok(head) => Ok((
                        Carrier::of_http1(http1, opened, facts, origin),
                        Head::of_http1(head, origin.is_plain),
                    )),
                    Err(error) => Err(http2::NoResponse {
                        again: match http1.has_answered() {
                            true => Again::No,
                            false => Again::IfHarmless,
                        },
                        error,
                    }),
                }
            }
            Speaks::Http2(mut shared) => {
                target.for_http2();
                tell_request(callbacks, request, &target, Version::HTTP_2);
                let exchange = patience
                    .wait_on(&mut shared, Phase::Request, |shared, cx| {
                        shared.poll_open(cx, &target, &request.method, &request.body, &mut outflow)
                    })
                    .await
                    .map_err(late)?;
                drop(link.claim);
                let head = match exchange {
                    Ok(mut exchange) => patience
                        .wait_on(&mut exchange, Phase::Response, |exchange, cx| {
                            exchange.poll_head(cx)
                        })
                        .await
                        .map_err(late)?
                        .map(|head| (exchange, head)),
                    Err(failed) => Err(failed),
                };
                match head {
                    Ok((exchange, head)) => Ok((
                        Carrier::of_http2(exchange, facts),
                        Head::of_http2(head, &request.method),
                    )),
                    Err(failed) => {
                        self.0.let_go(&opened, &shared, failed.again);
                        Err(failed)
                    }
                }
            }
        }
    }
}

/// What a proxy asks for that was given a request.
fn challenges(fields: &HeaderMap) -> Vec<String> {
    let values = fields.get_all(PROXY_AUTHENTICATE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.map(str::to_owned).collect()
}

fn tell_request(callbacks: &Callbacks, request: &Request, target: &Target, version: Version) {
    if !callbacks.is_empty() {
        callbacks.tell(&Event::Requesting {
            method: &request.method,
            url: request.url.as_str(),
            version,
            headers: &target.shown(version),
            body_bytes: request.body_bytes(),
        });
    }
}

/// Waits for a connection: dropped before it got one, it leaves what it was told of to others.
struct Watch<'a>(Option<&'a Arc<Shared>>);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.given_up();
        }
    }
}

impl ClientBuilder {
    /// Makes the client.
    pub fn build(self) -> Client {
        Client::from_settings(self.into_settings())
    }
}
