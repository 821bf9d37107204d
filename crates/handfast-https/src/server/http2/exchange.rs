//! One request and its reply, and the request's body while it arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::Waker;

use super::super::incoming::Incoming;
use super::super::service::Tracked;
use super::reply::Reply;

type Answer = Pin<Box<dyn Future<Output = http::Response<Tracked>>>>;

/// One request and its reply.
#[derive(Default)]
pub(super) struct Exchange {
    /// The handler at work.
    pub(super) answer: Option<Answer>,
    /// The reply that is being sent.
    pub(super) reply: Option<Reply>,
    /// The request's body, until all of it was sent and read.
    pub(super) incoming: Option<Arriving>,
    /// Only an unread body is left.
    pub(super) discards: bool,
    waker: Option<Waker>,
}

impl Exchange {
    /// This stream's own waker, made when it first has to wait.
    pub(super) fn waker(&mut self, make: impl FnOnce() -> Waker) -> Waker {
        self.waker.get_or_insert_with(make).clone()
    }

    /// Whether only an unread body is left.
    pub(super) fn only_discards(&self) -> bool {
        self.answer.is_none()
            && self.reply.is_none()
            && self.incoming.as_ref().is_some_and(Arriving::is_discarded)
    }
}

/// A request's body that is arriving.
pub(super) struct Arriving {
    pub(super) body: Incoming,
    /// The client has said all of it.
    pub(super) ended: bool,
    /// Discarded bytes.
    pub(super) discarded: u64,
    /// The client waits for 100 (Continue).
    pub(super) expects: bool,
}

impl Arriving {
    pub(super) fn new(body: Incoming, expects: bool) -> Self {
        Self {
            body,
            ended: false,
            discarded: 0,
            expects,
        }
    }

    /// Whether the rest of it is in flight, and will not be read.
    pub(super) fn is_discarded(&self) -> bool {
        !self.ended && self.body.is_unwanted()
    }
}
