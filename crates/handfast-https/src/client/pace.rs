//! How fast bodies go: held back to a rate, and given up below one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How often in a second a body that is held back goes on.
const STEPS_PER_SECOND: u64 = 10;

/// The smallest step, so that slow rates do not take a system call for each byte.
const STEP_BYTES_MIN: u64 = 256;

/// Holds a body back to so many bytes a second, on average since it began.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    began: Instant,
    count: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            began: Instant::now(),
            count: 0,
            sleep: None,
        }
    }

    /// So many bytes have gone.
    pub(super) fn count(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(bytes as u64);
    }

    /// How many may go at a time.
    pub(super) fn step(&self) -> usize {
        let step = (self.bytes_per_second / STEPS_PER_SECOND).max(STEP_BYTES_MIN);
        usize::try_from(step).unwrap_or(usize::MAX)
    }

    /// When the next may go.
    pub(super) fn due(&self) -> Option<Instant> {
        let seconds = self.count / self.bytes_per_second;
        let rest = self.count % self.bytes_per_second;
        // Less than a second.
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let taken = Duration::new(seconds, u32::try_from(nanos).unwrap_or_default());
        self.began.checked_add(taken)
    }

    /// Ready when the next may go.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due() else {
            return Poll::Pending;
        };
        if due <= Instant::now() {
            self.sleep = None;
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}

/// The limits on the rate of a body, or of the several that one file comes in.
#[derive(Debug, Clone, Default)]
pub(super) struct RateLimits {
    pace: Option<Arc<Mutex<Pace>>>,
    watch: Option<Arc<Mutex<Watch>>>,
}

impl RateLimits {
    pub(super) fn new(rate_max: Option<u64>, speed_min: Option<SpeedMin>) -> Self {
        Self {
            pace: rate_max.map(|rate| Arc::new(Mutex::new(Pace::new(rate)))),
            watch: speed_min.map(|min| Arc::new(Mutex::new(Watch::new(min)))),
        }
    }

    /// How many bytes may come at a time, and when.
    pub(super) fn next(&self) -> Option<(usize, Option<Instant>)> {
        let pace = lock(self.pace.as_ref()?);
        Some((pace.step(), pace.due()))
    }

    /// So many have come: `Some` if that is too slow, and `is_judged`.
    pub(super) fn count(&self, bytes: usize, is_judged: bool) -> Option<SpeedMin> {
        if let Some(pace) = &self.pace {
            lock(pace).count(bytes);
        }
        let mut watch = lock(self.watch.as_ref().filter(|_| is_judged)?);
        watch.is_too_slow(bytes).then_some(watch.min)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fewer bytes than this, for so long, are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpeedMin {
    pub(super) bytes_per_second: u64,
    pub(super) time: Duration,
}

/// Watches whether a body goes too slowly.
#[derive(Debug)]
pub(super) struct Watch {
    min: SpeedMin,
    since: Instant,
    count: u64,
}

impl Watch {
    pub(super) fn new(min: SpeedMin) -> Self {
        Self {
            min,
            since: Instant::now(),
            count: 0,
        }
    }

    /// More has come; is it too slow? Judged once in each of the times, so that a fast beginning does not make up for a stall.
    pub(super) fn is_too_slow(&mut self, bytes: usize) -> bool {
        self.count = self.count.saturating_add(bytes as u64);
        let elapsed = self.since.elapsed();
        if elapsed < self.min.time {
            return false;
        }
        let millis = elapsed.as_millis().max(1);
        let is_slow =
            u128::from(self.count) * 1000 < u128::from(self.min.bytes_per_second) * millis;
        (self.since, self.count) = (Instant::now(), 0);
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_due_when_the_rate_has_room_for_them() {
        let began = Instant::now();
        let mut pace = Pace::new(1000);
        assert_eq!(pace.step(), 256);
        assert_eq!(Pace::new(1 << 20).step(), (1 << 20) / 10);
        for _ in 0..8 {
            pace.count(250);
            std::future::poll_fn(|cx| pace.poll_due(cx)).await;
        }
        let elapsed = began.elapsed();
        assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
        assert!(elapsed < Duration::from_millis(2100), "{elapsed:?}");
        // Far beyond any clock.
        let mut pace = Pace::new(0);
        pace.count(usize::MAX);
        let _ = pace.due();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_after_a_fast_beginning_is_too_slow() {
        let min = SpeedMin {
            bytes_per_second: 100,
            time: Duration::from_secs(5),
        };
        let mut watch = Watch::new(min);
        assert!(!watch.is_too_slow(1_000_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!watch.is_too_slow(0));
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!watch.is_too_slow(10));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(watch.is_too_slow(10));
    }
}
