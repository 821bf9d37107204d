//! HTTP/1.1 on one connection: an exchange at a time, the request sent while the response is read.
//!
//! Owns the stream, what of the request is still to be sent, and where in the response the connection
//! is. How long to wait is `patience.rs`, what an end means is `completeness.rs`.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use handfast::{CloseOutcome, Ending, NetworkCause, Phase, ReadOutcome, Traffic};
use handfast_http::h1::{self, Found, response};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Sleep, sleep};

use super::error::{Error, Truncation};
use super::patience::Moving;
use super::places::Place;
use super::stream::Stream;
use super::target::Written;
use super::tls_stream::is_end;
use super::upload::Outflow;

/// A response head larger than this is an attack or a mistake: real ones have a few kilobytes.
pub(super) const HEAD_BYTES_MAX: usize = 256 * 1024;

/// More header fields than any real response has.
pub(super) const HEAD_FIELDS_MAX: usize = 1000;

/// How much may come before the head of a response, interim responses included: real ones are a few.
const BEFORE_HEAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How long a server may take to agree to a body: many never answer the question. As curl.
const AGREES_WITHIN: Duration = Duration::from_secs(1);

/// How much is read at a time while a head is awaited: a record. Of what follows the head, so much is
/// copied at most.
const HEAD_STEP: usize = 16 * 1024;

/// Memory for heads that an idle connection keeps.
const HEAD_KEPT: usize = 4 * 1024;

/// A connection that speaks HTTP/1.1.
#[derive(Debug)]
pub(super) struct Http1 {
    stream: Stream,
    /// Given back when it is closed.
    place: Place,
    request: Outgoing,
    /// Why sending stopped. What the peer had sent before is still to be read.
    send_failure: Option<handfast::Error>,
    /// Why the request's body ended before its end.
    upload_failure: Option<io::Error>,
    /// Why nothing more can be read, where that was none of the ends.
    failure: Option<handfast::Error>,
    /// Came together with a head: the beginning of its body. The first `taken` bytes were read.
    ahead: Vec<u8>,
    taken: usize,
    body: h1::Body,
    /// What is wrong with the body's framing. What came before it was lent.
    malformed: Option<String>,
    /// Bytes that came after the end of a response, and belong to none.
    left_over: u64,
    before: Traffic,
}

/// A request on its way out.
#[derive(Debug, Default)]
struct Outgoing {
    written: Written,
    sent: usize,
    /// The server was asked before the body, and has not answered.
    asking: Option<Asking>,
    /// What is left of a body that is made while it is sent.
    outflow: Option<Outflow>,
    /// It is sent in chunks.
    is_chunked: bool,
    /// All that there was is sent, and its caller has not made more yet.
    held: bool,
    flushed: bool,
    /// The rest is not sent: the response has made it pointless.
    stopped: bool,
}

/// A body that waits for the server's `100 Continue`.
#[derive(Debug)]
struct Asking {
    body: Written,
    /// From when the head was sent.
    until: Option<Pin<Box<Sleep>>>,
    is_agreed: bool,
}

impl Asking {
    /// Ready when the body may be sent.
    fn poll_agreed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_agreed {
            return Poll::Ready(());
        }
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(sleep(AGREES_WITHIN)));
        until.as_mut().poll(cx)
    }
}

impl Outgoing {
    fn is_done(&self) -> bool {
        self.flushed || self.stopped
    }
}

/// Why a body does not go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended, or failed: [`Http1::ending`] and [`Http1::take_failure`] know how.
    Ended,
    /// The framing makes no sense.
    Malformed(String),
    /// The request's body ended before its end.
    Upload(io::Error),
}

impl Http1 {
    pub(super) fn new(stream: Stream, place: Place) -> Self {
        Self {
            before: stream.traffic(),
            stream,
            place,
            request: Outgoing {
                flushed: true,
                ..Outgoing::default()
            },
            send_failure: None,
            upload_failure: None,
            failure: None,
            ahead: Vec::new(),
            taken: 0,
            body: h1::Body::new(h1::Framing::None),
            malformed: None,
            left_over: 0,
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// How the peer's direction ended, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.stream.ending()
    }

    /// Why reading failed, where that was none of the ends. Given once.
    pub(super) fn take_failure(&mut self) -> Option<handfast::Error> {
        self.failure.take()
    }

    /// How many bytes came after the end of the last response, as far as they were read.
    pub(super) fn left_over(&self) -> u64 {
        self.left_over
    }

    /// Was the request sent, all of it?
    pub(super) fn is_request_sent(&self) -> bool {
        self.request.flushed && self.send_failure.is_none()
    }

    /// Has the rest of the request been given up, by the peer or by us?
    pub(super) fn is_request_cut_short(&self) -> bool {
        self.send_failure.is_some() || self.request.stopped
    }

    /// The rest of the request is not sent.
    pub(super) fn stop_sending(&mut self) {
        self.request.stopped |= !self.request.flushed;
        self.request.asking = None;
        self.request.outflow = None;
        self.request.held = false;
        self.upload_failure = None;
    }

    /// Why the request's body ended before its end, if it did. Given once.
    pub(super) fn take_upload_failure(&mut self) -> Option<io::Error> {
        self.upload_failure.take()
    }

    /// Could another exchange go over this connection?
    pub(super) fn is_open(&self) -> bool {
        self.stream.ending().is_none()
            && self.failure.is_none()
            && self.is_request_sent()
            && self.left_over == 0
            && self.body.is_done()
            && self.taken == self.ahead.len()
    }

    /// Begins an exchange: the request is sent while the response is awaited, its body when the server agrees if `asks`.
    pub(super) fn begin(
        &mut self,
        mut written: Written,
        outflow: Option<Outflow>,
        is_chunked: bool,
        asks: bool,
    ) {
        self.before = self.stream.traffic();
        let asking = asks.then(|| Asking {
            body: written.split_body(),
            until: None,
            is_agreed: false,
        });
        self.request = Outgoing {
            written,
            asking,
            outflow,
            is_chunked,
            ..Outgoing::default()
        };
        self.ahead.clear();
        self.taken = 0;
    }

    /// Has anything come since the exchange began?
    pub(super) fn has_answered(&self) -> bool {
        self.received() > 0
    }

    fn received(&self) -> u64 {
        let now = self.stream.traffic().plaintext_received;
        now.saturating_sub(self.before.plaintext_received)
    }

    /// Sends what can be sent of the request. Ready when nothing is left to be sent.
    ///
    /// That the peer is gone ends sending and nothing else: a server may answer before it has read the
    /// whole request, and close. Its answer is still to be read.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.request.is_done()
            || self.send_failure.is_some()
            || self.upload_failure.is_some()
            || self.failure.is_some()
        {
            return Poll::Ready(());
        }
        let request = &mut self.request;
        let sent = loop {
            let slices = request.written.slices(request.sent);
            if slices.iter().all(|slice| slice.is_empty()) {
                if let Some(asking) = &mut request.asking {
                    if let Err(error) = ready!(self.stream.poll_flush(cx)) {
                        break Err(error);
                    }
                    ready!(asking.poll_agreed(cx));
                    request.written = std::mem::take(&mut asking.body);
                    request.asking = None;
                    request.sent = 0;
                    continue;
                }
                let Some(outflow) = &mut request.outflow else {
                    break ready!(self.stream.poll_flush(cx));
                };
                let piece = outflow.poll_piece(cx);
                request.held = piece.is_pending();
                match piece {
                    Poll::Ready(Ok(Some(piece))) => {
                        request.written = Written::piece(piece, request.is_chunked);
                    }
                    Poll::Ready(Ok(None)) => {
                        request.outflow = None;
                        request.written = Written::end(request.is_chunked);
                    }
                    Poll::Ready(Err(error)) => {
                        request.outflow = None;
                        self.upload_failure = Some(error);
                        return Poll::Ready(());
                    }
                    // The server gets what there is.
                    Poll::Pending => match self.stream.poll_flush(cx) {
                        Poll::Ready(Err(error)) => break Err(error),
                        _ => return Poll::Pending,
                    },
                }
                request.sent = 0;
                continue;
            }
            let slices = slices.map(IoSlice::new);
            match ready!(self.stream.poll_write_vectored(cx, &slices)) {
                Ok(count) => request.sent += count,
                Err(error) => break Err(error),
            }
        };
        match sent {
            Ok(()) => {
                self.request.flushed = true;
                // A request that was sent is not needed any more, nor its memory.
                self.request.written = Written::default();
            }
            Err(error) => {
                self.request.outflow = None;
                self.request.held = false;
                let error = handfast::Error::from_io_owned(error, Phase::Request);
                match is_end(&error) {
                    true => self.send_failure = Some(error),
                    false => self.failure = Some(error),
                }
            }
        }
        Poll::Ready(())
    }

    /// The head of the response to a request with this method.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
    ) -> Poll<Result<response::Head, Error>> {
        const BOUNDS: response::Bounds = response::Bounds {
            bytes_max: HEAD_BYTES_MAX,
            fields_max: HEAD_FIELDS_MAX,
        };
        let _ = self.poll_send(cx);
        let mut seen = self.ahead.len();
        loop {
            let ahead = &mut self.ahead;
            let found = self.stream.poll_read_with(cx, HEAD_STEP, &mut |bytes| {
                ahead.extend_from_slice(bytes);
            });
            match found {
                // What sending met counts only after everything that had come.
                Poll::Pending if self.failure.is_some() || self.upload_failure.is_some() => {
                    return Poll::Ready(Err(self.no_response()));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(ReadOutcome::Data(_))) => {}
                Poll::Ready(Ok(ReadOutcome::End(_) | ReadOutcome::WouldBlock)) => {
                    return Poll::Ready(Err(self.no_response()));
                }
                Poll::Ready(Err(error)) => {
                    self.note(error);
                    return Poll::Ready(Err(self.no_response()));
                }
            }
            // Interim responses come first, sometimes with the response in one record.
            let mut start = 0;
            while let Some(found) = response::find(
                self.ahead.get(start..).unwrap_or_default(),
                seen,
                BOUNDS,
                method,
            ) {
                let (head, length) = match found {
                    Ok(found) => found,
                    Err(malformed) => {
                        return Poll::Ready(Err(Error::Malformed {
                            problem: malformed.to_string(),
                        }));
                    }
                };
                start += length;
                seen = 0;
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Err(Error::Malformed {
                        problem:
                            "101 Switching Protocols, although no other protocol was asked for"
                                .to_owned(),
                    }));
                }
                if head.status == StatusCode::CONTINUE
                    && let Some(asking) = &mut self.request.asking
                {
                    asking.is_agreed = true;
                }
                if !head.status.is_informational() {
                    if self.request.asking.is_some() && !head.status.is_success() {
                        // The server does not want the body.
                        self.stop_sending();
                    }
                    self.taken = start;
                    self.body = h1::Body::new(head.framing);
                    if self.body.is_done() {
                        let beyond = self.ahead.len().saturating_sub(start);
                        self.left_over = self.left_over.saturating_add(beyond as u64);
                        self.forget_ahead();
                    }
                    return Poll::Ready(Ok(head));
                }
            }
            self.ahead.drain(..start);
            seen = self.ahead.len();
            // The server may have agreed to the body.
            let _ = self.poll_send(cx);
            if self.received() > BEFORE_HEAD_BYTES_MAX as u64 {
                return Poll::Ready(Err(Error::Malformed {
                    problem: format!(
                        "{BEFORE_HEAD_BYTES_MAX} bytes of interim responses, and no response"
                    ),
                }));
            }
        }
    }

    /// What it means that no head came.
    fn no_response(&mut self) -> Error {
        if let Some(source) = self.upload_failure.take() {
            return Error::Upload { source };
        }
        if let Some(failure) = self.failure.take() {
            return Error::Connection(failure);
        }
        let received = self.received();
        match (self.stream.ending(), self.send_failure.take()) {
            (_, Some(failure)) if received == 0 => Error::Connection(failure),
            (Some(Ending::Reset), None) if received == 0 => {
                Error::Connection(handfast::Error::new(Phase::Response, NetworkCause::Reset))
            }
            (ending, _) if received == 0 => Error::EmptyReply { ending },
            (ending, _) => Error::Truncated(Box::new(Truncation {
                framing: None,
                expected: None,
                received,
                ending,
                problem: None,
                failure: None,
            })),
        }
    }

    /// Keeps an error of reading, unless it only says that the connection has ended.
    fn note(&mut self, error: handfast::Error) {
        if !is_end(&error) {
            self.failure.get_or_insert(error);
        }
    }

    /// Has all of the body come?
    pub(super) fn is_body_done(&self) -> bool {
        self.body.is_done()
    }

    /// The fields that came behind the body, when all of it has come.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.body.take_trailers()
    }

    /// Lends `take` the next pieces of the body, and says how many bytes they had: at most `limit`, or none
    /// when only framing came. What of the request is left goes out meanwhile.
    pub(super) fn poll_lend(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<usize, Broken>> {
        if !self.request.is_done() {
            let _ = self.poll_send(cx);
        }
        if let Some(malformed) = self.malformed.take() {
            return Poll::Ready(Err(Broken::Malformed(malformed)));
        }
        let mut cut = Cut::default();
        let rest = self.ahead.get(self.taken..).unwrap_or_default();
        if !rest.is_empty() {
            let piece = rest.get(..limit).unwrap_or(rest);
            cut.cut(&mut self.body, piece, take);
            self.taken += piece.len();
            if self.taken == self.ahead.len() {
                self.forget_ahead();
            } else if self.body.is_done() {
                cut.beyond += (self.ahead.len() - self.taken) as u64;
                self.forget_ahead();
            }
            return Poll::Ready(self.judge(cut));
        }
        let body = &mut self.body;
        // What comes after the end of the body stays where it is.
        let limit = match body.missing() {
            Some(missing) => usize::try_from(missing).map_or(limit, |missing| missing.min(limit)),
            None => limit,
        };
        let found = self.stream.poll_read_with(cx, limit, &mut |bytes| {
            cut.cut(body, bytes, take);
        });
        match found {
            Poll::Pending if self.failure.is_some() => Poll::Ready(Err(Broken::Ended)),
            // The server may wait for the rest of it.
            Poll::Pending => match self.upload_failure.take() {
                Some(error) => Poll::Ready(Err(Broken::Upload(error))),
                None => Poll::Pending,
            },
            Poll::Ready(Ok(ReadOutcome::Data(_))) => Poll::Ready(self.judge(cut)),
            Poll::Ready(Ok(ReadOutcome::End(_) | ReadOutcome::WouldBlock)) => {
                Poll::Ready(Err(Broken::Ended))
            }
            Poll::Ready(Err(error)) => {
                self.note(error);
                Poll::Ready(Err(Broken::Ended))
            }
        }
    }

    fn judge(&mut self, cut: Cut) -> Result<usize, Broken> {
        self.left_over = self.left_over.saturating_add(cut.beyond);
        match cut.malformed {
            Some(malformed) if cut.lent == 0 => Err(Broken::Malformed(malformed)),
            malformed => {
                self.malformed = malformed;
                Ok(cut.lent)
            }
        }
    }

    fn forget_ahead(&mut self) {
        self.ahead.clear();
        self.ahead.shrink_to(HEAD_KEPT);
        self.taken = 0;
    }

    /// Looks, without waiting, whether something came that belongs to no response, or the end.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) {
        let mut count = 0;
        let found = self.stream.poll_read_with(cx, HEAD_STEP, &mut |bytes| {
            count += bytes.len() as u64;
        });
        self.left_over = self.left_over.saturating_add(count);
        if let Poll::Ready(Err(error)) = found {
            self.note(error);
        }
    }

    /// Reads and discards until the peer has ended its direction.
    pub(super) fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut count = 0;
            let found = self.stream.poll_read_with(cx, HEAD_STEP, &mut |bytes| {
                count += bytes.len() as u64;
            });
            self.left_over = self.left_over.saturating_add(count);
            match ready!(found) {
                Ok(ReadOutcome::Data(_)) => {}
                Ok(ReadOutcome::End(_) | ReadOutcome::WouldBlock) => return Poll::Ready(()),
                Err(error) => {
                    self.note(error);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Closes in order within the limit: `close_notify`, FIN, and the server's end.
    pub(super) async fn close(self, limit: Duration) -> CloseOutcome {
        let Self { stream, place, .. } = self;
        let outcome = stream.close(limit).await;
        drop(place);
        outcome
    }
}

impl Moving for Http1 {
    fn moved(&self) -> u64 {
        let traffic = self.stream.traffic();
        traffic.bytes_received.wrapping_add(traffic.bytes_sent)
    }

    fn is_held(&self) -> bool {
        self.request.held
    }
}

/// What came of some bytes of a body.
#[derive(Default)]
struct Cut {
    lent: usize,
    /// Bytes beyond the body's end.
    beyond: u64,
    malformed: Option<String>,
}

impl Cut {
    fn cut(&mut self, body: &mut h1::Body, mut rest: &[u8], take: &mut dyn FnMut(&[u8])) {
        if self.malformed.is_some() {
            return;
        }
        loop {
            match body.read(&mut rest) {
                Ok(Found::Piece(piece)) => {
                    self.lent += piece.len();
                    take(piece);
                }
                Ok(Found::More) => return,
                Ok(Found::End) => {
                    self.beyond += rest.len() as u64;
                    return;
                }
                Err(malformed) => {
                    self.malformed = Some(malformed.to_string());
                    return;
                }
            }
        }
    }
}
