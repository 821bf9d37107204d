//! Which tasks wait for a channel, and for how long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use ::tokio::time::{Sleep, sleep};

use crate::error::{Error, NetworkCause};
use crate::phase::Phase;

/// The tasks that wait until the channel accepts more.
///
/// Reading sends too: what was written and not flushed. When the two halves of a stream are driven
/// by different tasks, both may wait for the same channel, which keeps only the last waker.
#[derive(Debug, Default)]
pub(super) struct Senders {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Sender {
    Reader,
    Writer,
}

impl Senders {
    /// Registers a waiting task; returns a waker for both if another task waits, too.
    pub(super) fn waits(&mut self, who: Sender, waker: &Waker) -> Option<Waker> {
        let (mine, other) = match who {
            Sender::Reader => (&mut self.reader, &self.writer),
            Sender::Writer => (&mut self.writer, &self.reader),
        };
        match mine {
            Some(mine) => mine.clone_from(waker),
            None => *mine = Some(waker.clone()),
        }
        let other = other.as_ref().filter(|other| !other.will_wake(waker))?;
        Some(Arc::new(Both(waker.clone(), other.clone())).into())
    }

    /// Everything was sent: no task waits any more.
    pub(super) fn sent(&mut self, by: &Waker) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            if !waker.will_wake(by) {
                waker.wake();
            }
        }
    }
}

struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}

/// The limit on time without progress in one direction. It costs nothing while there is progress.
#[derive(Debug)]
pub(super) struct ProgressLimit {
    limit: Option<Duration>,
    phase: Phase,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl ProgressLimit {
    pub(super) fn new(limit: Option<Duration>, phase: Phase) -> Self {
        Self {
            limit,
            phase,
            sleep: None,
            waiting: false,
        }
    }

    pub(super) fn progress(&mut self) {
        self.waiting = false;
    }

    /// Ready with the error when the limit has passed since the last progress.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            let Some(until) = ::tokio::time::Instant::now().checked_add(limit) else {
                // A limit that overflows is no limit.
                self.limit = None;
                return Poll::Pending;
            };
            sleep.as_mut().reset(until);
        }
        ready!(sleep.as_mut().poll(cx));
        self.waiting = false;
        Poll::Ready(Error::new(self.phase, NetworkCause::TimedOut { limit }))
    }
}
