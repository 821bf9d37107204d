//! HTTP/2 on one connection: exchanges share it, a task drives it.
//!
//! The task owns reading and writing; exchanges put their requests into the state that they share with it, and
//! find there what came of them. What came and was not taken is bounded by the windows: the server may
//! send more only when an exchange has taken its part ([`Exchange::poll_lend`]).

mod driver;
mod outcome;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use handfast::{CloseOutcome, Ending, Traffic};
use handfast_http::h2::frame::code;
use handfast_http::h2::{self, CannotOpen};
use http::{HeaderMap, Method};
use tokio::task::AbortHandle;
use tokio::time::timeout;

pub(super) use self::outcome::{Again, Broken, NoResponse};

use self::driver::{DATA_KEPT, Driver, drive};
use self::state::{Slot, State, lock};
use super::error::Error;
use super::patience::Moving;
use super::places::Place;
use super::target::Target;
use super::tls_stream::{CLOSE_GRACE, TlsStream};
use super::upload::Outflow;

/// A connection, shared by those who make exchanges over it. When the last of them goes, it breaks off.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Arc<Mutex<State>>,
    at_rest: AtRest,
    task: AbortHandle,
    /// Given back when the last who shares it goes.
    _place: Place,
}

/// Told when a connection has become idle.
struct AtRest(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtRest")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Takes a stream over which HTTP/2 was agreed on; a task of its own drives it. Whenever nothing goes over it
    /// any more, it calls `at_rest`.
    pub(super) fn start(
        stream: TlsStream,
        place: Place,
        at_rest: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(State::new(stream)));
        let task = tokio::spawn(drive(Driver(Arc::clone(&state)))).abort_handle();
        Self(Arc::new(Inner {
            state,
            at_rest: AtRest(Box::new(at_rest)),
            task,
            _place: place,
        }))
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Does it take more exchanges, as far as is known?
    pub(super) fn is_open(&self) -> bool {
        let state = self.state();
        state.closing.is_none() && !state.end.received_all && !state.http.is_going()
    }

    /// Since when nothing goes over it; `None` while something does, or is going to.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.is_idle().then_some(state.idle_since)
    }

    /// For an exchange that is going to be made over it: until then it is not idle.
    pub(super) fn claim(&self) -> Claim {
        self.state().claims += 1;
        Claim(self.clone())
    }

    /// What was going over it is over: when it was the last, says so.
    fn leave(&self, mut state: MutexGuard<'_, State>) {
        let is_idle = state.is_idle();
        if is_idle {
            state.idle_since = Instant::now();
        }
        drop(state);
        if is_idle {
            (self.0.at_rest.0)();
        }
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().stream.as_ref()?.ending()
    }

    pub(super) fn traffic(&self) -> Traffic {
        let state = self.state();
        state
            .stream
            .as_ref()
            .map(TlsStream::traffic)
            .unwrap_or_default()
    }

    /// Sends a request, as soon as the server takes one more.
    pub(super) fn poll_open(
        &self,
        cx: &Context<'_>,
        target: &Target,
        method: &Method,
        body: &Bytes,
        outflow: &mut Option<Outflow>,
    ) -> Poll<Result<Exchange, NoResponse>> {
        let mut state = self.state();
        if state.closing.is_some() || state.end.received_all {
            return Poll::Ready(Err(state.no_response(None)));
        }
        let request = target.to_http2(method, body);
        let now = Instant::now();
        let stream = match state.http.open(&request, (), now) {
            Ok(stream) => stream,
            Err(CannotOpen::Full) => {
                // Whoever waits for several things at once polls often.
                if !state.waiting.iter().any(|it| it.will_wake(cx.waker())) {
                    state.waiting.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            Err(CannotOpen::Going) => {
                return Poll::Ready(Err(state.no_response(None)));
            }
        };
        let slot = Slot {
            sending: !request.end,
            upload: body.clone(),
            outflow: outflow.take(),
            ..Slot::default()
        };
        state.streams.insert(stream, slot);
        if !body.is_empty() {
            state.http.want(stream, now);
        } else if !request.end {
            state.held.push(stream);
        }
        state.wake_driver();
        drop(state);
        Poll::Ready(Ok(Exchange {
            shared: self.clone(),
            stream,
            buffer: Vec::new(),
        }))
    }

    /// Closes in order within the limit: GOAWAY, `close_notify`, FIN, and the server's end. What is under way
    /// is lost.
    pub(super) async fn close(&self, limit: Duration) -> CloseOutcome {
        {
            let mut state = self.state();
            state.closing.get_or_insert(limit);
            state.wake_driver();
        }
        let closed = poll_fn(|cx| {
            let mut state = self.state();
            if let Some(outcome) = state.closed {
                return Poll::Ready(outcome);
            }
            if !state.closers.iter().any(|it| it.will_wake(cx.waker())) {
                state.closers.push(cx.waker().clone());
            }
            Poll::Pending
        });
        // Another may have begun to close it, and allowed more time.
        timeout(limit.saturating_add(2 * CLOSE_GRACE), closed)
            .await
            .unwrap_or(CloseOutcome::PeerGone)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// The claim of an exchange that has not opened its stream yet.
#[derive(Debug)]
pub(super) struct Claim(Shared);

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.claims = state.claims.saturating_sub(1);
        self.0.leave(state);
    }
}

/// One exchange. Dropped before its response has ended, it gives its stream up.
#[derive(Debug)]
pub(super) struct Exchange {
    shared: Shared,
    stream: u32,
    /// What is being lent; its memory is the stream's next buffer.
    buffer: Vec<u8>,
}

impl Exchange {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The head of the response.
    pub(super) fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<h2::Response, NoResponse>> {
        let mut state = self.shared.state();
        let Some(slot) = state.streams.get_mut(&self.stream) else {
            return Poll::Ready(Err(state.no_response(None)));
        };
        if let Some(head) = slot.head.take() {
            return Poll::Ready(Ok(head));
        }
        if let Some(source) = slot.upload_failure.take() {
            let error = Error::Upload { source };
            let again = Again::No;
            return Poll::Ready(Err(NoResponse { error, again }));
        }
        match slot.cut {
            Some(cut) => Poll::Ready(Err(state.no_response(Some(cut)))),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Lends `take` what has come of the body, and says how many bytes that were: none when it is complete.
    pub(super) fn poll_lend(
        &mut self,
        cx: &Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<usize, Broken>> {
        let mut state = self.shared.state();
        let State { http, streams, .. } = &mut *state;
        let Some(slot) = streams.get_mut(&self.stream) else {
            return Poll::Ready(Err(Broken::Ended(None)));
        };
        if slot.data.is_empty() {
            if slot.ended {
                return Poll::Ready(Ok(0));
            }
            if let Some(error) = slot.upload_failure.take() {
                // The server may wait for the rest of it.
                return Poll::Ready(Err(Broken::Upload(error)));
            }
            return match slot.cut {
                Some(cut) => Poll::Ready(Err(state.broken(cut))),
                None => {
                    slot.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        self.buffer.clear();
        self.buffer.shrink_to(DATA_KEPT);
        std::mem::swap(&mut self.buffer, &mut slot.data);
        let count = self.buffer.len();
        http.release(self.stream, u32::try_from(count).unwrap_or(u32::MAX));
        if !http.output().is_empty() {
            state.wake_driver();
        }
        drop(state);
        take(&self.buffer);
        Poll::Ready(Ok(count))
    }

    /// The next part of the body, as it is in memory.
    pub(super) fn take_lent(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).into()
    }

    /// Has all of the body come and been taken?
    pub(super) fn is_body_done(&self) -> bool {
        let state = self.shared.state();
        let slot = state.streams.get(&self.stream);
        slot.is_none_or(|slot| slot.ended && slot.data.is_empty())
    }

    pub(super) fn take_trailers(&self) -> Option<HeaderMap> {
        let mut state = self.shared.state();
        state.streams.get_mut(&self.stream)?.trailers.take()
    }

    /// Was the request sent, all of it?
    pub(super) fn is_request_sent(&self) -> bool {
        let state = self.shared.state();
        let slot = state.streams.get(&self.stream);
        slot.is_none_or(|slot| !slot.sending)
    }

    /// The rest of the request is not sent.
    pub(super) fn stop_sending(&self) {
        let mut state = self.shared.state();
        let Some(slot) = state.streams.get_mut(&self.stream) else {
            return;
        };
        slot.stopped |= slot.sending;
        slot.upload = Bytes::new();
        slot.upload_failure = None;
        slot.held = false;
        let outflow = slot.outflow.take();
        // What is the caller's is dropped without the lock: it may be a response of this connection.
        drop(state);
        drop(outflow);
    }

    /// Why the request's body ended before its end, if it did. Given once.
    pub(super) fn take_upload_failure(&self) -> Option<io::Error> {
        let mut state = self.shared.state();
        let slot = state.streams.get_mut(&self.stream);
        slot?.upload_failure.take()
    }

    /// Ready when nothing of the request is left to be sent, or nothing more can be.
    pub(super) fn poll_sent(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        match state.streams.get_mut(&self.stream) {
            Some(slot) if slot.sending && !slot.stopped && slot.cut.is_none() => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Is this the only exchange of its connection?
    pub(super) fn is_alone(&self) -> bool {
        self.shared.state().streams.len() <= 1
    }
}

impl Moving for Exchange {
    fn moved(&self) -> u64 {
        let state = self.shared.state();
        state.streams.get(&self.stream).map_or(0, |slot| slot.moved)
    }

    fn is_held(&self) -> bool {
        let state = self.shared.state();
        state
            .streams
            .get(&self.stream)
            .is_some_and(|slot| slot.held)
    }
}

/// A stream that is awaited moves nothing.
impl Moving for Shared {
    fn moved(&self) -> u64 {
        0
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // Dropped after the lock: what makes its body is the caller's, and may be a response of this connection.
        let slot = state.streams.remove(&self.stream);
        let is_over = slot
            .as_ref()
            .is_none_or(|slot| slot.cut.is_some() || slot.ended && !slot.sending);
        if !is_over && state.http.reset(self.stream, code::CANCEL).is_some() {
            state.wake_driver();
        }
        for waker in std::mem::take(&mut state.waiting) {
            waker.wake();
        }
        self.shared.leave(state);
    }
}
