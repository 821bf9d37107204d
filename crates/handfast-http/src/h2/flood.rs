//! Detects floods: frames that make no progress and cancelled streams are counted in leaky buckets, so that a
//! peer that sends a few at a time is never cut off.

use std::time::{Duration, Instant};

use super::Violation;

/// The capacity of the bucket for frames that make no progress, and how many leak per second: clients send a
/// few at a time, and keep the connection of a slow reply alive by PINGs for hours.
const IDLE_MAX: u32 = 2000;
const IDLE_LEAK: u32 = 64;

/// How many of them a frame that makes progress offsets. gRPC clients measure the path with a PING for each
/// burst of data.
const IDLE_OFFSET: u32 = 16;

/// The capacity of the bucket for streams that ended before their reply began, and how many leak per
/// second. A browser whose user leaves a page with many pictures, or a player that seeks, cancels hundreds; an
/// attacker opens streams only to reset them, to make the server work (CVE-2023-44487, CVE-2025-8671).
const WITHOUT_REPLY_MAX: u32 = 512;
const WITHOUT_REPLY_LEAK: u32 = 16;

/// Both buckets of one connection.
#[derive(Debug)]
pub(super) struct Flood {
    idle: Bucket,
    without_reply: Bucket,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            idle: Bucket::new(IDLE_MAX, IDLE_LEAK),
            without_reply: Bucket::new(WITHOUT_REPLY_MAX, WITHOUT_REPLY_LEAK),
        }
    }
}

impl Flood {
    /// A message or a part of one was sent or received.
    pub(super) fn progress(&mut self) {
        self.idle.take_out(IDLE_OFFSET);
    }

    /// A message was sent completely.
    pub(super) fn completed(&mut self) {
        self.without_reply.take_out(1);
        self.progress();
    }

    /// A stream ended before its reply began.
    pub(super) fn without_reply(&mut self, now: Instant) -> Result<(), Violation> {
        match self.without_reply.add(1, now) {
            true => Ok(()),
            false => Err(Violation::calm(
                "too many streams that ended without a reply",
            )),
        }
    }

    /// A frame made no progress; it cost the work of `weight` frames.
    pub(super) fn idle(&mut self, weight: u32, now: Instant) -> Result<(), Violation> {
        match self.idle.add(weight, now) {
            true => Ok(()),
            false => Err(Violation::calm("too many frames that make no progress")),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    level: u32,
    max: u32,
    leak: u32,
    /// When the leak was last accounted for.
    since: Option<Instant>,
}

impl Bucket {
    fn new(max: u32, leak: u32) -> Self {
        Self {
            level: 0,
            max,
            leak,
            since: None,
        }
    }

    fn take_out(&mut self, count: u32) {
        self.level = self.level.saturating_sub(count);
    }

    /// Returns false if it overflows.
    fn add(&mut self, count: u32, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let whole = now.saturating_duration_since(since).as_millis() * u128::from(self.leak) / 1000;
        if whole > 0 {
            let leaked = u32::try_from(whole).unwrap_or(u32::MAX);
            self.level = self.level.saturating_sub(leaked);
            // Keep the remainder of the time.
            let accounted = Duration::from_millis(u64::from(leaked) * 1000 / u64::from(self.leak));
            self.since = Some(since.checked_add(accounted).unwrap_or(now).min(now));
        }
        self.level = self.level.saturating_add(count);
        self.level <= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_for_hours_are_allowed_and_a_flood_is_not() {
        let began = Instant::now();
        let mut patient = Flood::default();
        for ping in 0..10 * IDLE_MAX {
            let at = began + ping * Duration::from_millis(20);
            assert_eq!(patient.idle(1, at), Ok(()));
        }
        let mut flood = Flood::default();
        for _ in 0..IDLE_MAX {
            assert_eq!(flood.idle(1, began), Ok(()));
        }
        assert!(flood.idle(1, began).is_err());
        flood.progress();
        assert_eq!(flood.idle(1, began), Ok(()));
    }

    #[test]
    fn cancelling_many_downloads_is_allowed_and_a_rapid_reset_is_not() {
        let began = Instant::now();
        let mut player = Flood::default();
        for cancelled in 0..10 * WITHOUT_REPLY_MAX {
            let at = began + cancelled * Duration::from_millis(100);
            assert_eq!(player.without_reply(at), Ok(()));
        }
        let mut flood = Flood::default();
        let cut = (0..10 * WITHOUT_REPLY_MAX)
            .take_while(|_| flood.without_reply(began).is_ok())
            .count();
        assert_eq!(cut, WITHOUT_REPLY_MAX as usize);
    }
}
