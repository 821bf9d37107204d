//! A response while it arrives, and what it was when it has.

use std::fmt;
use std::net::SocketAddr;
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
    pub fn report(&self) -> Report {
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
            if self.framed_end {
                return Ok(None);
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
