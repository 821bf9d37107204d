//! The body of a response, piece by piece, as it came or decoded.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use handfast::{NetworkCause, Phase};

use super::{CHUNK_BYTES, Response};
use crate::client::carrier::Over;
use crate::client::error::Error;
use crate::client::{http1, http2};

impl Response {
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
    pub(super) async fn next(
        &mut self,
        limit: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, Error> {
        let patience = self.patience;
        let mut limit = limit;
        if let Some((step, due)) = self.rates.next() {
            limit = limit.min(step);
            let now = tokio::time::Instant::now();
            let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
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
        if let Some(min) = self.rates.count(lent, !self.framed_end) {
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
}
