//! How long to wait: silence is judged over both directions, and everything by one deadline.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use handfast::{Error, NetworkCause, Phase};
use tokio::time::{Instant, sleep_until};

/// Something that moves bytes, or does not.
pub(super) trait Moving {
    /// A number that changes whenever something moved, in either direction.
    fn moved(&self) -> u64;

    /// Does it wait for our own side: for the caller to make more of a request's body? Then the silence is not
    /// the peer's.
    fn is_held(&self) -> bool {
        false
    }
}

/// The limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    silence: Option<Duration>,
    /// How long our own side may hold up what is awaited: without a limit where it is made by the caller.
    held: Option<Duration>,
    deadline: Option<(Instant, Duration)>,
}

impl Patience {
    pub(super) fn new(silence: Option<Duration>, total: Option<Duration>) -> Self {
        Self::since(Instant::now(), silence, total)
    }

    /// The same, where all of it has begun at this moment.
    pub(super) fn since(
        began: Instant,
        silence: Option<Duration>,
        total: Option<Duration>,
    ) -> Self {
        Self {
            silence,
            held: None,
            // A limit beyond the end of time is none.
            deadline: total.and_then(|limit| Some((began.checked_add(limit)?, limit))),
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

    /// The same with another limit on silence.
    pub(super) fn with_silence(self, limit: Duration) -> Self {
        Self {
            silence: Some(limit),
            ..self
        }
    }

    /// The same with a limit on how long our own side may hold it up.
    pub(super) fn with_held(self, limit: Option<Duration>) -> Self {
        Self {
            held: limit,
            ..self
        }
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

    /// Waits until `poll` is done with what it does by `it`.
    pub(super) async fn wait_on<M: Moving, T>(
        &self,
        it: &mut M,
        phase: Phase,
        mut poll: impl FnMut(&mut M, &mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Error> {
        // A peer that always has something ready must not outrun the deadline.
        if let Some((at, limit)) = self.deadline
            && Instant::now() >= at
        {
            return Err(Error::new(phase, NetworkCause::TimedOut { limit }));
        }
        // Nearly always there is something already, and no timer is needed.
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(poll(it, cx))).await {
            return Ok(done);
        }
        let (mut moved, mut is_held, mut last) = (it.moved(), it.is_held(), Instant::now());
        loop {
            let silence = match is_held {
                true => self.held,
                false => self.silence,
            };
            let silent_at = silence.and_then(|limit| Some((last.checked_add(limit)?, limit)));
            let next = match (silent_at, self.deadline) {
                (Some(silent), Some(deadline)) => Some(silent.min(deadline)),
                (silent, deadline) => silent.or(deadline),
            };
            let mut alarm = pin!(next.map(|(at, _)| sleep_until(at)));
            let done = poll_fn(|cx| {
                if let Poll::Ready(done) = poll(it, cx) {
                    return Poll::Ready(Some(done));
                }
                let now_held = it.is_held();
                let has_turned = now_held != is_held;
                if has_turned || it.moved() != moved {
                    (moved, is_held, last) = (it.moved(), now_held, Instant::now());
                }
                if has_turned {
                    // Another limit applies.
                    return Poll::Ready(None);
                }
                match alarm.as_mut().as_pin_mut() {
                    Some(alarm) => alarm.poll(cx).map(|()| None),
                    None => Poll::Pending,
                }
            })
            .await;
            if let Some(done) = done {
                return Ok(done);
            }
            let Some((at, limit)) = next else {
                continue;
            };
            let is_over = self.deadline.is_some_and(|(at, _)| Instant::now() >= at);
            let is_silent = Instant::now() >= at && silence.is_some_and(|it| last.elapsed() >= it);
            if is_over || is_silent {
                return Err(Error::new(phase, NetworkCause::TimedOut { limit }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use handfast::Cause;

    use super::*;

    struct Still;

    impl Moving for Still {
        fn moved(&self) -> u64 {
            0
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_always_ready_does_not_outrun_the_deadline() {
        let patience = |total| Patience::new(None, Some(total));
        for (total, in_time) in [(Duration::ZERO, false), (Duration::MAX, true)] {
            let work = patience(total)
                .wait_on(&mut Still, Phase::Response, |_, _| Poll::Ready(()))
                .await;
            assert_eq!(work.is_ok(), in_time, "{total:?}");
        }
    }

    #[test]
    fn the_limit_on_all_of_it_counts_from_its_beginning() {
        let began = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let left = |secs| {
            let total = Some(Duration::from_secs(secs));
            Patience::since(began, None, total).at_most(Duration::MAX)
        };
        assert_eq!(left(60), Duration::ZERO);
        assert!(left(90) <= Duration::from_secs(30) && left(90) > Duration::ZERO);
    }

    #[tokio::test]
    async fn what_our_own_side_holds_up_has_a_limit_of_its_own() {
        struct Held;
        impl Moving for Held {
            fn moved(&self) -> u64 {
                0
            }
            fn is_held(&self) -> bool {
                true
            }
        }
        let silence = Duration::from_millis(20);
        let total = Duration::from_millis(300);
        for (held, limit) in [(None, total), (Some(silence * 2), silence * 2)] {
            let patience = Patience::new(Some(silence), Some(total)).with_held(held);
            let outcome = patience
                .wait_on(&mut Held, Phase::Request, |_, _| Poll::<()>::Pending)
                .await;
            let error = outcome.unwrap_err();
            assert!(
                matches!(error.cause(), Cause::Network(NetworkCause::TimedOut { limit: told }) if *told == limit),
                "{held:?}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn silence_is_counted_from_what_moved_last() {
        struct Moves(u64);
        impl Moving for Moves {
            fn moved(&self) -> u64 {
                self.0
            }
        }
        let limit = Duration::from_millis(200);
        let began = Instant::now();
        let mut steps = tokio::time::interval(limit / 4);
        let outcome = Patience::new(Some(limit), None)
            .wait_on(&mut Moves(0), Phase::Response, |it, cx| {
                // Moves for longer than the limit, then no more.
                if it.0 < 8 && steps.poll_tick(cx).is_ready() {
                    it.0 += 1;
                    cx.waker().wake_by_ref();
                }
                Poll::<()>::Pending
            })
            .await;
        assert!(outcome.is_err());
        assert!(began.elapsed() >= limit * 2, "{:?}", began.elapsed());
    }
}
