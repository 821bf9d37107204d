//! A response while it arrives, and what it was when it has.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use handfast::{Ending, NetworkCause, Phase, Report, Traffic};
use handfast_http::{h1, h2};
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::time::timeout;
use url::Url;

use super::completeness::{Framing, Verdict, Whole, judge};
use super::content_range::ContentRange;
#[cfg(feature = "decoding")]
use super::decoding::{Decoder, DecodingLimits};
use super::disposition;
use super::error::{Error, Truncation};
use super::event::{Callbacks, Event};
use super::facts::{ConnectionFacts, ExchangeTimes, Opened};
use super::finished::{Finished, Oddity};
use super::http1::{self, Http1};
use super::http2::{self, Exchange};
use super::origin::Origin;
use super::pace::{Pace, Watch};
use super::patience::{Moving, Patience};
use super::request::Request;
use super::shared::Shared;

/// A response whose head has come and whose body is being read.
///
/// Read it with [`chunk`](Self::chunk) until there is no more, then ask [`finish`](Self::finish) for
/// the proof that it was all. A response that is dropped before breaks its connection off, or over HTTP/2
/// its stream.
pub struct Response {
    head: Head,
    times: ExchangeTimes,
    url: Url,
    redirects: Vec<Url>,
    link: Carrier,
    patience: Patience,
    shared: Arc<Shared>,
    callbacks: Callbacks,
    received: u64,
    received_max: Option<u64>,
    pace: Option<Pace>,
    watch: Option<Watch>,
    framed_end: bool,
    /// Came together with what [`lend`](Self::lend) was broken off at.
    kept: Vec<u8>,
    #[cfg(feature = "decoding")]
    decoder: Option<Box<Decoder>>,
}

/// What the head of a response says.
#[derive(Debug)]
pub(super) struct Head {
    version: Version,
    status: StatusCode,
    fields: HeaderMap,
    framing: Framing,
    /// Whether the connection is reusable afterwards, according to the head.
    persistent: bool,
    length_and_chunks: bool,
}

impl Head {
    pub(super) fn of_http1(head: h1::response::Head, is_plain: bool) -> Self {
        Self {
            version: head.version,
            status: head.status,
            fields: head.fields,
            framing: match Framing::from(head.framing) {
                Framing::UntilClose if is_plain => Framing::UntilFin,
                framing => framing,
            },
            persistent: head.persistent,
            length_and_chunks: head.length_and_chunks,
        }
    }

    pub(super) fn of_http2(head: h2::Response, method: &Method) -> Self {
        let has_no_body = *method == Method::HEAD
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        Self {
            version: Version::HTTP_2,
            status: head.status,
            fields: head.fields,
            framing: match has_no_body {
                true => Framing::NoBody,
                false => Framing::Stream(head.length),
            },
            persistent: true,
            length_and_chunks: false,
        }
    }
}

/// What a response comes over.
#[derive(Debug)]
pub(super) struct Carrier {
    facts: ConnectionFacts,
    over: Over,
}

#[derive(Debug)]
enum Over {
    Http1(Box<Http1>, Arc<Opened>, Origin),
    Http2(Exchange),
}

impl Carrier {
    pub(super) fn of_http1(
        http1: Box<Http1>,
        opened: Arc<Opened>,
        facts: ConnectionFacts,
        origin: &Origin,
    ) -> Self {
        let over = Over::Http1(http1, opened, origin.clone());
        Self { facts, over }
    }

    pub(super) fn of_http2(exchange: Exchange, facts: ConnectionFacts) -> Self {
        let over = Over::Http2(exchange);
        Self { facts, over }
    }

    fn ending(&self) -> Option<Ending> {
        match &self.over {
            Over::Http1(http1, ..) => http1.ending(),
            Over::Http2(exchange) => exchange.shared().ending(),
        }
    }

    fn is_body_done(&self) -> bool {
        match &self.over {
            Over::Http1(http1, ..) => http1.is_body_done(),
            Over::Http2(exchange) => exchange.is_body_done(),
        }
    }

    fn is_request_sent(&self) -> bool {
        match &self.over {
            Over::Http1(http1, ..) => http1.is_request_sent(),
            Over::Http2(exchange) => exchange.is_request_sent(),
        }
    }

    fn stop_sending(&mut self) {
        match &mut self.over {
            Over::Http1(http1, ..) => http1.stop_sending(),
            Over::Http2(exchange) => exchange.stop_sending(),
        }
    }

    fn take_upload_failure(&mut self) -> Option<io::Error> {
        match &mut self.over {
            Over::Http1(http1, ..) => http1.take_upload_failure(),
            Over::Http2(exchange) => exchange.take_upload_failure(),
        }
    }

    /// Ready when nothing of the request is left to be sent, or nothing more can be.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.over {
            Over::Http1(http1, ..) => http1.poll_send(cx),
            Over::Http2(exchange) => exchange.poll_sent(cx),
        }
    }
}

impl Moving for Carrier {
    fn moved(&self) -> u64 {
        match &self.over {
            Over::Http1(http1, ..) => http1.moved(),
            Over::Http2(exchange) => exchange.moved(),
        }
    }

    fn is_held(&self) -> bool {
        match &self.over {
            Over::Http1(http1, ..) => http1.is_held(),
            Over::Http2(exchange) => exchange.is_held(),
        }
    }
}

impl Response {
    pub(super) fn new(
        shared: Arc<Shared>,
        mut link: Carrier,
        patience: Patience,
        request: &Request,
        head: Head,
        times: ExchangeTimes,
        redirects: Vec<Url>,
    ) -> Self {
        if !head.status.is_success() {
            // The server wants something else than this body, or nothing (RFC 9112, section 9.3).
            link.stop_sending();
        }
        let pace = shared.settings.rate_max.map(Pace::new);
        let watch = shared.settings.speed_min.map(Watch::new);
        Self {
            framed_end: head.framing == Framing::NoBody || link.is_body_done(),
            head,
            times,
            url: request.url.clone(),
            redirects,
            link,
            patience,
            callbacks: shared.settings.callbacks(request),
            shared,
            received: 0,
            received_max: None,
            pace,
            watch,
            kept: Vec::new(),
            #[cfg(feature = "decoding")]
            decoder: None,
        }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Its header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.fields
    }

    /// Which bytes of the file its body has, if it is a range of it (206), or that there are none such (416).
    pub fn content_range(&self) -> Option<ContentRange> {
        let has_one = [
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
        ];
        has_one
            .contains(&self.status())
            .then(|| ContentRange::of(self.headers()))?
    }

    /// Whether its body is decoded.
    pub fn is_decoded(&self) -> bool {
        #[cfg(feature = "decoding")]
        let is_decoded = self.decoder.is_some();
        #[cfg(not(feature = "decoding"))]
        let is_decoded = false;
        is_decoded
    }

    /// The file name that the server proposes (`Content-Disposition`; RFC 6266), made safe: a name in one directory, without
    /// control characters, and not hidden.
    pub fn file_name(&self) -> Option<String> {
        disposition::file_name(self.headers())
    }

    /// Where it came from, after redirects.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The URLs that redirected, in order.
    pub fn redirects(&self) -> impl ExactSizeIterator<Item = &str> {
        self.redirects.iter().map(Url::as_str)
    }

    /// How the end of its body will be known.
    pub fn framing(&self) -> Framing {
        self.head.framing
    }

    /// How many bytes of body have come so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Its connection: which one, new or kept, how it was made, and who the server is.
    pub fn connection(&self) -> &ConnectionFacts {
        &self.link.facts
    }

    /// How long it took to come.
    pub fn times(&self) -> ExchangeTimes {
        self.times
    }

    /// The handshake of its connection, and who the server is. `None` without TLS, for a URL of the scheme http.
    pub fn report(&self) -> Option<Arc<Report>> {
        self.link.facts.report.clone()
    }

    /// Where its connection leads.
    pub fn address(&self) -> SocketAddr {
        self.link.facts.peer_address
    }

    /// The status as an error, if it is 400 or more.
    ///
    /// # Errors
    /// [`Error::Status`].
    pub fn error_for_status(&self) -> Result<(), Error> {
        if self.status().as_u16() < 400 {
            return Ok(());
        }
        Err(Error::Status {
            status: self.status(),
            url: self.url.to_string(),
        })
    }

    /// Limits the body to so many bytes, as they are received.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it is announced to have more; so do the methods that read it once more have come.
    pub fn limit(&mut self, bytes_max: u64) -> Result<(), Error> {
        self.received_max = Some(bytes_max);
        match self.head.framing.expected() {
            Some(announced) if announced > bytes_max => Err(Error::TooLarge {
                limit: bytes_max,
                announced: Some(announced),
            }),
            _ => Ok(()),
        }
    }

    /// From now on [`chunk`](Self::chunk), [`lend`](Self::lend) and [`bytes`](Self::bytes) give the body without its content
    /// coding (`Content-Encoding`), if it has one. The header fields and [`received`](Self::received) stay what was
    /// received. Call it before the body is read; [`DECODED_CODINGS`](super::DECODED_CODINGS) is what the request may accept.
    ///
    /// # Errors
    /// [`Error::UnsupportedCoding`]. Reading has more: [`Error::BrokenCoding`], and where it exceeds the limits
    /// [`Error::TooLarge`] or [`Error::DecompressionBomb`]. A body that was cut off is [`Error::Truncated`], not a broken
    /// coding.
    #[cfg(feature = "decoding")]
    pub fn decode(&mut self, limits: DecodingLimits) -> Result<(), Error> {
        // There is nothing to decode in a response to HEAD.
        if self.head.framing != Framing::NoBody {
            self.decoder = Decoder::new(&self.head.fields, limits)?.map(Box::new);
        }
        Ok(())
    }

    /// The next piece of the body; `None` when the body is complete.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it ended before its end: what came before is not the whole.
    /// [`Error::Malformed`] when it cannot be known where it ends. [`Error::Upload`] when the body of the request could not
    /// be had, and the server waits for it.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        #[cfg(feature = "decoding")]
        if self.decoder.is_some() {
            let piece = self.decoded().await?;
            return Ok(piece.map(Bytes::copy_from_slice));
        }
        self.received_chunk().await
    }

    /// The next piece of the decoded body.
    #[cfg(feature = "decoding")]
    async fn decoded(&mut self) -> Result<Option<&[u8]>, Error> {
        loop {
            let Some(decoder) = &mut self.decoder else {
                return Ok(None);
            };
            if decoder.step()? {
                break;
            }
            // Its end is judged before the coding's.
            let chunk = self.received_chunk().await?;
            match (chunk, &mut self.decoder) {
                (Some(chunk), Some(decoder)) => decoder.feed(chunk),
                (None, Some(decoder)) => {
                    decoder.end()?;
                    return Ok(None);
                }
                (_, None) => return Ok(None),
            }
        }
        Ok(self.decoder.as_ref().map(|decoder| decoder.piece()))
    }

    /// The next piece of the body as it is received.
    async fn received_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.kept.is_empty() {
            return Ok(Some(std::mem::take(&mut self.kept).into()));
        }
        let mut bytes = Vec::new();
        while !self.framed_end {
            let is_http2 = matches!(self.link.over, Over::Http2(_));
            let lent = self
                .next(CHUNK_BYTES, |piece| {
                    // Over HTTP/2 the piece is taken below, as it is.
                    if !is_http2 {
                        bytes.extend_from_slice(piece);
                    }
                })
                .await?;
            if lent == 0 {
                continue;
            }
            return Ok(Some(match &mut self.link.over {
                Over::Http1(..) => bytes.into(),
                Over::Http2(exchange) => exchange.take_lent(),
            }));
        }
        Ok(None)
    }

    /// Lends `take` the body piece by piece, until it is complete or `take` breaks off, and gives what
    /// `take` broke off with. Costs less than [`chunk`](Self::chunk): over HTTP/1.1 a body is lent as it
    /// was decrypted, without a copy.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn lend<B>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        #[cfg(feature = "decoding")]
        if self.decoder.is_some() {
            while let Some(piece) = self.decoded().await? {
                if let ControlFlow::Break(reason) = take(piece) {
                    return Ok(Some(reason));
                }
            }
            return Ok(None);
        }
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            if let ControlFlow::Break(reason) = take(&kept) {
                return Ok(Some(reason));
            }
        }
        while !self.framed_end {
            let mut flow = ControlFlow::Continue(());
            let mut kept = Vec::new();
            self.next(usize::MAX, |piece| match flow {
                ControlFlow::Continue(()) => flow = take(piece),
                ControlFlow::Break(_) => kept.extend_from_slice(piece),
            })
            .await?;
            self.kept = kept;
            if let ControlFlow::Break(reason) = flow {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Lends the next pieces of the body, at most `limit` bytes over HTTP/1.1, and says how many bytes they
    /// had.
    async fn next(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> Result<usize, Error> {
        let patience = self.patience;
        let mut limit = limit;
        if let Some(pace) = &self.pace {
            limit = limit.min(pace.step());
            let now = tokio::time::Instant::now();
            let wait = pace
                .due()
                .map_or(Duration::MAX, |due| due.saturating_duration_since(now));
            if !wait.is_zero() {
                tokio::time::sleep(patience.at_most(wait)).await;
            }
        }
        let lent = match &mut self.link.over {
            Over::Http1(http1, ..) => {
                let lending = patience.wait_on(&mut **http1, Phase::Response, |http1, cx| {
                    http1.poll_lend(cx, limit, &mut take)
                });
                match lending.await {
                    Ok(Ok(count)) => {
                        self.framed_end = http1.is_body_done();
                        count
                    }
                    Ok(Err(http1::Broken::Malformed(problem))) => {
                        return Err(Error::Malformed { problem });
                    }
                    Ok(Err(http1::Broken::Upload(source))) => return Err(Error::Upload { source }),
                    Ok(Err(http1::Broken::Ended)) => {
                        let failure = http1.take_failure();
                        self.judge(failure)?;
                        self.framed_end = true;
                        0
                    }
                    Err(late) => return Err(self.truncated(None, None, Some(late))),
                }
            }
            Over::Http2(exchange) => {
                let lending = patience.wait_on(exchange, Phase::Response, |exchange, cx| {
                    exchange.poll_lend(cx, &mut take)
                });
                match lending.await {
                    Ok(Ok(0)) => {
                        self.framed_end = true;
                        self.judge(None)?;
                        0
                    }
                    Ok(Ok(count)) => count,
                    Ok(Err(http2::Broken::Ended(failure))) => {
                        self.judge(failure)?;
                        0
                    }
                    Ok(Err(http2::Broken::Reset(problem))) => {
                        return Err(self.truncated(Some(problem), None, None));
                    }
                    // One that is shorter than announced was cut off, whatever the cause.
                    Ok(Err(http2::Broken::Malformed(problem))) if self.is_short() => {
                        return Err(self.truncated(Some(problem), None, None));
                    }
                    Ok(Err(http2::Broken::Malformed(problem))) => {
                        return Err(Error::Malformed { problem });
                    }
                    Ok(Err(http2::Broken::Upload(source))) => return Err(Error::Upload { source }),
                    Err(late) => return Err(self.truncated(None, None, Some(late))),
                }
            }
        };
        self.received = self.received.saturating_add(lent as u64);
        if let Some(pace) = &mut self.pace {
            pace.count(lent);
        }
        if let (Some(watch), Some(min)) = (&mut self.watch, self.shared.settings.speed_min)
            && !self.framed_end
            && watch.is_too_slow(lent)
        {
            let late = NetworkCause::TimedOut { limit: min.time };
            let problem = format!("fewer than {} bytes a second came", min.bytes_per_second);
            let late = handfast::Error::new(Phase::Response, late);
            return Err(self.truncated(Some(problem), None, Some(late)));
        }
        match self.received_max {
            Some(limit) if self.received > limit => Err(Error::TooLarge {
                limit,
                announced: None,
            }),
            _ => Ok(lent),
        }
    }

    fn is_short(&self) -> bool {
        let expected = self.head.framing.expected();
        expected.is_some_and(|expected| self.received < expected)
    }

    /// Reads the whole body into memory, at most `bytes_max` of it.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); a longer body is [`Error::Malformed`].
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(Error::Malformed {
                    problem: format!("a body of more than {bytes_max} bytes"),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads what is left of the body, and says how the exchange ended. The connection is kept for the
    /// next request, or closed in two phases when it does not persist.
    ///
    /// If the server has answered before it had taken the whole request, the rest is sent as long as the
    /// server goes on taking it and its status is one of success; else the rest is given up. So it is when its caller
    /// makes no more of it for as long as [`ClientBuilder::silence_max`](super::ClientBuilder::silence_max) allows.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); [`Error::Upload`] when the rest of the request could not be had.
    pub async fn finish(mut self) -> Result<Finished, Error> {
        while !self.framed_end {
            self.next(usize::MAX, |_| {}).await?;
        }
        self.finish_request().await?;
        let whole = self.judge(None)?;
        let Self {
            shared,
            callbacks,
            head,
            link,
            patience,
            received,
            ..
        } = self;
        let mut finished = Finished {
            whole,
            trailers: None,
            ending: None,
            close: None,
            traffic: Traffic::default(),
            request_cut_short: !link.is_request_sent(),
            oddities: Vec::new(),
        };
        if head.length_and_chunks {
            finished.oddities.push(Oddity::LengthAndChunks);
        }
        let is_plain = link.facts.report.is_none();
        let address = link.facts.peer_address;
        let limit = patience.at_most(shared.settings.close_wait);
        match link.over {
            Over::Http1(http1, opened, origin) => {
                let persistent = head.persistent && http1.is_request_sent();
                finished
                    .end_http1(http1, opened, &origin, &shared, persistent, limit)
                    .await;
            }
            Over::Http2(exchange) => finished.end_http2(exchange, &shared, limit).await,
        }
        // A body that brings its own end is whole however the connection ends; that is a remark.
        // Without TLS every connection ends by a FIN: that is no remark.
        let ending = match finished.ending {
            Some(Ending::Premature) if is_plain && head.framing.ends_itself() => None,
            ending => ending,
        };
        if let Verdict::Whole(judged) = judge(head.framing, received, true, ending) {
            finished.whole = judged;
        }
        callbacks.tell(&Event::Completed {
            whole: &finished.whole,
            trailers: finished.trailers.as_ref(),
            traffic: finished.traffic,
            ending: finished.ending,
            request_cut_short: finished.request_cut_short,
        });
        if let Some(outcome) = finished.close {
            callbacks.tell(&Event::Closed { address, outcome });
        }
        Ok(finished)
    }

    /// Sends what is left of the request, as long as the server takes it and the caller makes it; if one of them does not,
    /// gives it up.
    async fn finish_request(&mut self) -> Result<(), Error> {
        if self.link.is_request_sent() {
            return Ok(());
        }
        if self.head.status.is_success() {
            let patience = self.patience.with_silence(self.shared.settings.close_wait);
            let patience = patience.with_held(self.shared.settings.silence());
            // It was answered: what does not arrive any more is told, and is no failure.
            let _ = patience
                .wait_on(&mut self.link, Phase::Request, Carrier::poll_sent)
                .await;
            if let Some(source) = self.link.take_upload_failure() {
                return Err(Error::Upload { source });
            }
        }
        self.link.stop_sending();
        Ok(())
    }

    /// Leaves a response of which nothing more is wanted, in order: a short rest is read, so that the
    /// connection can be kept for another; before a long or a slow one it is closed.
    pub async fn discard(mut self) {
        let limit = self.patience.at_most(self.shared.settings.close_wait);
        let reading = async {
            while !self.framed_end && self.received <= DISCARDED_BYTES_MAX {
                self.next(CHUNK_BYTES, |_| {}).await?;
            }
            Ok::<_, Error>(self.framed_end)
        };
        match timeout(limit, reading).await {
            Ok(Ok(true)) => {
                let _ = self.finish().await;
            }
            Ok(Ok(false)) | Err(_) => {
                if let Over::Http1(http1, ..) = self.link.over {
                    http1.close(Duration::ZERO).await;
                }
            }
            Ok(Err(_)) => {}
        }
    }

    fn judge(&self, failure: Option<handfast::Error>) -> Result<Whole, Error> {
        let ending = self.link.ending();
        match judge(self.head.framing, self.received, self.framed_end, ending) {
            Verdict::Whole(whole) => Ok(whole),
            Verdict::Truncated { ending, .. } => Err(self.truncated(None, ending, failure)),
        }
    }

    fn truncated(
        &self,
        problem: Option<String>,
        ending: Option<Ending>,
        failure: Option<handfast::Error>,
    ) -> Error {
        Error::Truncated(Box::new(Truncation {
            framing: Some(self.head.framing),
            expected: self.head.framing.expected(),
            received: self.received,
            problem,
            ending,
            failure,
        }))
    }
}

/// Reading so much is cheaper than another handshake.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024;

/// The largest chunk of a body that is not lent.
const CHUNK_BYTES: usize = 64 * 1024;

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("url", &self.url.as_str())
            .field("framing", &self.head.framing)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
