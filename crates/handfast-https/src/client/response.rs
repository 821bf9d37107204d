//! A response while it arrives, and what it was when it has.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handfast::{CloseOutcome, Ending, Phase, Report, Traffic};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, Version, response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use url::Url;

use super::Shared;
use super::completeness::{Framing, Verdict, Whole, judge, persists};
use super::error::{Error, Truncation};
use super::event::Event;
use super::link::{Link, chain_text};
use super::patience::Patience;

/// A response whose head has come and whose body is being read.
///
/// Read it with [`chunk`](Self::chunk) until there is no more, then ask [`finish`](Self::finish) for
/// the proof that it was all. A response that is dropped before breaks its connection off.
pub struct Response {
    head: response::Parts,
    body: Incoming,
    url: Url,
    redirects: Vec<Url>,
    framing: Framing,
    link: Link,
    patience: Patience,
    shared: Arc<Shared>,
    received: u64,
    trailers: Option<HeaderMap>,
    framed_end: bool,
    /// Was the request all sent when the response came? One without a body was.
    request_sent: bool,
    /// The rest of the body is read from the wire, without hyper.
    is_direct: bool,
    /// Came together with what [`lend`](Self::lend) was broken off at.
    kept: Vec<u8>,
}

/// How an exchange ended that ended well.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The proof that the response is whole.
    pub whole: Whole,
    /// Trailer fields, if any came.
    pub trailers: Option<HeaderMap>,
    /// How the connection's incoming direction ended; `None` while it goes on.
    pub ending: Option<Ending>,
    /// How the close went, if the connection had to be closed.
    pub close: Option<CloseOutcome>,
    /// What went over the connection since it was made.
    pub traffic: Traffic,
    /// The server answered, and closed, before it had taken the whole request.
    pub request_cut_short: bool,
    /// What was not as HTTP has it, and did no harm.
    pub oddities: Vec<Oddity>,
}

/// Something about a response that is whole and that HTTP does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// Bytes came after its end. They were thrown away, and the connection was closed.
    LeftOver {
        /// How many were seen.
        bytes: u64,
    },
    /// It announced a length and sent chunks, which count (RFC 9112, section 6.3): servers and
    /// proxies that read it differently can be played off against each other.
    LengthAndChunks,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOver { bytes: 1 } => f.write_str("1 byte came after the end of the response, and was thrown away"),
            Self::LeftOver { bytes } => {
                write!(f, "{bytes} bytes came after the end of the response, and were thrown away")
            }
            Self::LengthAndChunks => f.write_str(
                "the response announced a length and sent chunks: the chunks counted, and the connection was not used again",
            ),
        }
    }
}

impl Response {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Link,
        patience: Patience,
        request: &super::Request,
        response: http::Response<Incoming>,
        redirects: Vec<Url>,
    ) -> Self {
        let (head, body) = response.into_parts();
        let framing = Framing::of(&request.method, &head);
        Self {
            head,
            body,
            url: request.url.clone(),
            redirects,
            framing,
            link,
            patience,
            shared,
            received: 0,
            trailers: None,
            framed_end: false,
            request_sent: request.body.is_empty(),
            is_direct: false,
            kept: Vec::new(),
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
        &self.head.headers
    }

    /// Where it came from, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The URLs that redirected, in order.
    pub fn redirects(&self) -> &[Url] {
        &self.redirects
    }

    /// How the end of its body will be known.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// How many bytes of body have come so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The handshake of its connection, and who the server is.
    pub fn report(&self) -> Arc<Report> {
        self.link.wire.report()
    }

    /// Where its connection leads.
    pub fn address(&self) -> SocketAddr {
        self.link.address
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

    /// The next piece of the body; `None` when the body is complete.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it ended before its end: what came before is not the whole.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if !self.kept.is_empty() {
                return Ok(Some(std::mem::take(&mut self.kept).into()));
            }
            if self.framed_end {
                return Ok(None);
            }
            if self.is_direct {
                let mut bytes = Vec::new();
                self.lend_direct(CHUNK_BYTES, &mut |piece| bytes.extend_from_slice(piece))
                    .await?;
                return Ok((!bytes.is_empty()).then(|| bytes.into()));
            }
            let frame = self.body.frame();
            let frame = self
                .patience
                .wait_on(&self.link.wire, Phase::Response, frame)
                .await;
            match frame {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.received = self.received.saturating_add(data.len() as u64);
                        if !data.is_empty() {
                            return Ok(Some(data));
                        }
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.trailers = Some(trailers);
                        }
                    }
                },
                Ok(None) => {
                    // hyper calls a stream that the server reset with NO_ERROR ended, too: only
                    // END_STREAM proves that nothing is missing (RFC 9113, section 8.1).
                    let is_stream = matches!(self.framing, Framing::Stream(_));
                    self.framed_end = !is_stream || self.body.is_end_stream();
                    let problem = "the stream was reset before its end".to_owned();
                    self.judge(is_stream.then_some(problem), None)?;
                    self.framed_end = true;
                }
                Ok(Some(Err(error))) => {
                    let problem = chain_text(&error);
                    let failure = self.link.wire.take_failure();
                    self.judge(Some(problem), failure)?;
                    // An error after the last byte of an announced length.
                    self.framed_end = true;
                }
                Err(failure) => {
                    return Err(self.truncated(None, None, Some(failure)));
                }
            }
        }
    }

    /// Lends `take` the body piece by piece, until it is complete or `take` breaks off, and gives what
    /// `take` broke off with. Costs less than [`chunk`](Self::chunk): a long body is lent as it was
    /// decrypted, without a copy.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn lend<B>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        while !self.framed_end || !self.kept.is_empty() {
            let mut flow = ControlFlow::Continue(());
            let mut kept = Vec::new();
            let mut lend = |piece: &[u8]| match flow {
                ControlFlow::Continue(()) => flow = take(piece),
                ControlFlow::Break(_) => kept.extend_from_slice(piece),
            };
            if self.is_direct && self.kept.is_empty() {
                self.lend_direct(usize::MAX, &mut lend).await?;
            } else if let Some(chunk) = self.chunk().await? {
                lend(&chunk);
                if self.goes_on_long() {
                    self.take_over(&mut lend).await?;
                }
            }
            self.kept.extend_from_slice(&kept);
            if let ControlFlow::Break(reason) = flow {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Is so much still to come that it pays to read it without hyper?
    fn goes_on_long(&self) -> bool {
        self.request_sent
            && !self.is_direct
            && !self.framed_end
            && matches!(self.framing, Framing::Length(length)
                if length.saturating_sub(self.received) >= DIRECT_BYTES_MIN)
    }

    /// Takes the connection out of hyper's hands, and lends what hyper had read of the body.
    async fn take_over(&mut self, lend: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        let Some(read_ahead) = self.link.take_over().await else {
            return Ok(());
        };
        self.is_direct = true;
        // What hyper had taken apart comes first, and then its complaint that it lost the connection.
        while let Some(Ok(frame)) = self.body.frame().await {
            if let Ok(data) = frame.into_data() {
                self.received = self.received.saturating_add(data.len() as u64);
                lend(&data);
            }
        }
        let left = self.left();
        let (now, beyond) = read_ahead.split_at(read_ahead.len().min(left));
        if !now.is_empty() {
            self.received = self.received.saturating_add(now.len() as u64);
            lend(now);
        }
        self.link.wire.note_left_over(beyond.len() as u64);
        self.framed_end = self.left() == 0;
        Ok(())
    }

    /// How much of an announced length is still to come.
    fn left(&self) -> usize {
        let left = self.framing.expected().unwrap_or(u64::MAX);
        usize::try_from(left.saturating_sub(self.received)).unwrap_or(usize::MAX)
    }

    /// Lends the next bytes of the body from the wire.
    async fn lend_direct(
        &mut self,
        limit: usize,
        lend: &mut impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let limit = limit.min(self.left());
        let wire = self.link.wire.clone();
        let next = poll_fn(|cx| wire.poll_lend(cx, limit, &mut *lend));
        let next = self.patience.wait_on(&wire, Phase::Response, next).await;
        match next {
            Ok(0) => {
                self.judge(None, wire.take_failure())?;
                self.framed_end = true;
                Ok(())
            }
            Ok(count) => {
                self.received = self.received.saturating_add(count as u64);
                self.framed_end = self.left() == 0;
                Ok(())
            }
            Err(failure) => Err(self.truncated(None, None, Some(failure))),
        }
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
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn finish(mut self) -> Result<Finished, Error> {
        while self.chunk().await?.is_some() {}
        let has_two_framings =
            self.framing == Framing::Chunked && self.head.headers.contains_key(CONTENT_LENGTH);
        let persists = persists(&self.head, self.framing)
            && !has_two_framings
            && !self.link.wire.sending_failed();
        if !persists {
            // The server closes first: its end belongs to this response.
            self.link
                .wire
                .wait_for_ending(self.shared.settings.close_wait)
                .await;
        }
        if self.is_direct && persists && self.link.wire.left_over() == 0 {
            self.link.hand_back().await;
        }
        self.link.settle().await;
        let mut oddities = Vec::new();
        if has_two_framings {
            oddities.push(Oddity::LengthAndChunks);
        }
        match self.link.wire.left_over() {
            0 => {}
            bytes => oddities.push(Oddity::LeftOver { bytes }),
        }
        let mut whole = self.judge(None, None)?;
        let mut ending = self.link.wire.ending();
        let request_cut_short = self.link.wire.sending_failed();
        let traffic = self.link.wire.traffic();
        let Self {
            shared,
            link,
            framing,
            received,
            trailers,
            ..
        } = self;
        let address = link.address;
        let close = if persists && link.is_open() {
            shared.keep(link);
            None
        } else {
            Some(link.close(shared.settings.close_wait).await)
        };
        if close == Some(CloseOutcome::PeerGone) && ending.is_none() {
            ending = Some(Ending::Reset);
            if let Verdict::Whole(judged) = judge(framing, received, true, ending) {
                whole = judged;
            }
        }
        shared.settings.tell(&Event::Completed {
            whole: &whole,
            traffic,
            ending,
            request_cut_short,
        });
        if let Some(outcome) = close {
            shared.settings.tell(&Event::Closed { address, outcome });
        }
        Ok(Finished {
            whole,
            trailers,
            ending,
            close,
            traffic,
            request_cut_short,
            oddities,
        })
    }

    /// Leaves a response of which nothing more is wanted, in order: a short rest is read, so that the
    /// connection can be kept for another; before a long one it is closed.
    pub async fn discard(mut self) {
        while self.received <= DISCARDED_BYTES_MAX {
            match self.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let _ = self.finish().await;
                    return;
                }
                Err(_) => return,
            }
        }
        let limit = Duration::ZERO;
        self.link.close(limit).await;
    }

    fn judge(
        &self,
        problem: Option<String>,
        failure: Option<handfast::Error>,
    ) -> Result<Whole, Error> {
        let ending = self.link.wire.ending();
        match judge(self.framing, self.received, self.framed_end, ending) {
            Verdict::Whole(whole) => Ok(whole),
            Verdict::Truncated { ending, .. } => Err(self.truncated(problem, ending, failure)),
        }
    }

    fn truncated(
        &self,
        problem: Option<String>,
        ending: Option<Ending>,
        failure: Option<handfast::Error>,
    ) -> Error {
        Error::Truncated(Box::new(Truncation {
            framing: Some(self.framing),
            expected: self.framing.expected(),
            received: self.received,
            // hyper's words about an end say less than the end itself.
            problem: problem.filter(|_| ending.is_none() && failure.is_none()),
            ending,
            failure,
        }))
    }
}

/// Reading so much is cheaper than another handshake.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024;

/// So much of a body is worth starting hyper anew for the next exchange: a copy of it costs more.
const DIRECT_BYTES_MIN: u64 = 256 * 1024;

/// The largest chunk of a body that is read without hyper and yet is not lent.
const CHUNK_BYTES: usize = 64 * 1024;

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("url", &self.url.as_str())
            .field("framing", &self.framing)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
