//! A response while it arrives, and what it was when it has.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast::{Ending, Phase, Report, Traffic};
use http::{HeaderMap, StatusCode, Version};
use tokio::time::timeout;
use url::Url;

use super::asked_range::AskedRange;
use super::carrier::{Carrier, Head, Over};
use super::completeness::{Framing, Verdict, Whole, judge};
use super::content_range::ContentRange;
#[cfg(feature = "decoding")]
use super::decoding::{Decoder, DecodingLimits};
use super::disposition;
use super::error::{Error, Truncation};
use super::event::{Callbacks, Event};
use super::facts::{ConnectionFacts, ExchangeTimes};
use super::finished::{Finished, Oddity};
use super::pace::RateLimits;
use super::patience::Patience;
use super::request::Request;
use super::shared::Shared;

mod reading;

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
    asked: AskedRange,
    link: Carrier,
    patience: Patience,
    shared: Arc<Shared>,
    callbacks: Callbacks,
    received: u64,
    received_max: Option<u64>,
    rates: RateLimits,
    framed_end: bool,
    /// Came together with what [`lend`](Self::lend) was broken off at.
    kept: Vec<u8>,
    #[cfg(feature = "decoding")]
    decoder: Option<Box<Decoder>>,
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
        let rates = RateLimits::new(shared.settings.rate_max, shared.settings.speed_min);
        Self {
            framed_end: head.framing == Framing::NoBody || link.is_body_done(),
            head,
            times,
            url: request.url.clone(),
            redirects,
            asked: AskedRange::of(request.headers()),
            link,
            patience,
            callbacks: shared.settings.callbacks(request),
            shared,
            received: 0,
            received_max: None,
            rates,
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

    /// The limits on its rate and on its time, for others that are parts of the same file.
    pub(super) fn limits(&self) -> (RateLimits, Patience) {
        (self.rates.clone(), self.patience)
    }

    /// Its rate is limited together with that of others.
    pub(super) fn share_rates(&mut self, rates: RateLimits) {
        self.rates = rates;
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

    /// Is a part of the file (206) the part that was requested? Its body is not looked at; [`finish`](Self::finish) does that,
    /// too.
    ///
    /// # Errors
    /// [`Error::RangeNotSent`], also if the whole was requested.
    pub fn check_range(&self) -> Result<(), Error> {
        self.checked_range().map(|_| ())
    }

    fn checked_range(&self) -> Result<Option<ContentRange>, Error> {
        match self.status() == StatusCode::PARTIAL_CONTENT && self.head.framing != Framing::NoBody {
            true => self.asked.check(self.headers()),
            false => Ok(None),
        }
    }

    /// A part of the file is whole if it has all the bytes that it announces, and all that were requested.
    fn check_part(&self) -> Result<(), Error> {
        let Some(range) = self.checked_range()? else {
            return Ok(());
        };
        let Some((first, last)) = range.bytes else {
            return Ok(());
        };
        let announced = (last - first).saturating_add(1);
        let problem = if announced != self.received {
            format!("Content-Range announces {announced} bytes")
        } else if self.asked.is_more_than(range) {
            format!(
                "{} was requested, and the server sent bytes {first} to {last}",
                self.asked
            )
        } else {
            return Ok(());
        };
        Err(self.truncated(Some(problem), None, None))
    }

    /// Reads what is left of the body, and says how the exchange ended. The connection is kept for the
    /// next request, or closed in two phases when it does not persist.
    ///
    /// If the server has answered before it had taken the whole request, the rest is sent as long as the
    /// server goes on taking it and its status is one of success; else the rest is given up. So it is when its caller
    /// makes no more of it for as long as [`ClientBuilder::close_wait`](super::ClientBuilder::close_wait) allows: the response
    /// does not depend on it.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); [`Error::Upload`] when the rest of the request could not be read; a part of the file (206) that
    /// is not what was requested is [`Error::RangeNotSent`], one that has less is [`Error::Truncated`].
    pub async fn finish(mut self) -> Result<Finished, Error> {
        while !self.framed_end {
            self.next(usize::MAX, |_| {}).await?;
        }
        self.finish_request().await?;
        let whole = self.judge(None)?;
        self.check_part()?;
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
            let limit = self.shared.settings.close_wait;
            let patience = self.patience.with_silence(limit).with_held(Some(limit));
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

/// The largest chunk of a body that is not lent.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reading so much is cheaper than another handshake.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024;

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
