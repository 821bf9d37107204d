//! How long to wait: silence is judged over both directions, and everything by one deadline.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use handfast::{Error, NetworkCause, Phase};
use tokio::time::{Instant, sleep_until};

use super::wire::Wire;

/// The limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    silence: Option<Duration>,
    deadline: Option<(Instant, Duration)>,
}

impl Patience {
    pub(super) fn new(silence: Option<Duration>, total: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            silence,
            // A limit beyond the end of time is none.
            deadline: total.and_then(|limit| Some((now.checked_add(limit)?, limit))),
        }
    }

    /// The same with an earlier deadline, if so much from now is earlier.
    pub(super) fn but_at_most(self, limit: Option<Duration>) -> Self {
        let other = Self::new(self.silence, limit).deadline;
        let deadline = match (self.deadline, other) {
            (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
            (one, other) => one.or(other),
        };
        Self { deadline, ..self }
    }

    /// How long to wait for something that should take `limit` at most.
    pub(super) fn at_most(&self, limit: Duration) -> Duration {
        self.deadline.map_or(limit, |(at, _)| {
            limit.min(at.saturating_duration_since(Instant::now()))
        })
    }

    /// Waits for what runs over no connection yet.
    pub(super) async fn wait<T>(
        &self,
        phase: impl Fn() -> Phase,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        match self.deadline {
            None => Ok(work.await),
            Some((at, limit)) => tokio::time::timeout_at(at, work)
                .await
                .map_err(|_| Error::new(phase(), NetworkCause::TimedOut { limit })),
        }
    }

    /// Waits for something that goes over this connection.
    pub(super) async fn wait_on<T>(
        &self,
        wire: &Wire,
        phase: Phase,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        // Nearly always there is something already, and no timer is needed.
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            return Ok(done);
        }
        loop {
            let moved = |traffic: handfast::Traffic| traffic.bytes_received + traffic.bytes_sent;
            let before = moved(wire.traffic());
            let silent_at = self
                .silence
                .and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
            let next = match (silent_at, self.deadline) {
                (Some(silent), Some(deadline)) => Some(silent.min(deadline)),
                (silent, deadline) => silent.or(deadline),
            };
            let Some((at, limit)) = next else {
                return Ok(work.await);
            };
            let mut alarm = pin!(sleep_until(at));
            let done = poll_fn(|cx| {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Some(done));
                }
                alarm.as_mut().poll(cx).map(|()| None)
            })
            .await;
            if let Some(done) = done {
                return Ok(done);
            }
            let is_over = self.deadline.is_some_and(|(at, _)| Instant::now() >= at);
            if is_over || moved(wire.traffic()) == before {
                return Err(Error::new(phase, NetworkCause::TimedOut { limit }));
            }
        }
    }
}
