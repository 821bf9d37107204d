//! What a peer may do that brings nothing forward: counted in buckets that leak, so that a patient peer may go
//! on for ever and a flood is cut.

use std::time::{Duration, Instant};

use super::Violation;

/// Frames that bring nothing forward at a time, and how many of them a second are forgotten: clients say a
/// few at a time, and keep a slow reply's connection alive by pings for hours.
const IDLE_MAX: u32 = 2000;
const IDLE_LEAK: u32 = 64;

/// How many of them are forgiven for one that does bring something forward. gRPC's clients measure
/// the path by a PING for each burst of data.
const IDLE_FORGIVEN: u32 = 16;

/// Streams at a time that came to nothing before a reply to them began, and how many of them a second
/// are forgotten. A browser whose user leaves a page with many pictures, a player that seeks,
/// cancel hundreds; whoever opens streams only to have them reset makes the server work for nothing
/// (CVE-2023-44487, CVE-2025-8671).
const FRUITLESS_MAX: u32 = 512;
const FRUITLESS_LEAK: u32 = 16;

/// Both buckets of one connection.
#[derive(Debug)]
pub(super) struct Flood {
    idle: Bucket,
    fruitless: Bucket,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            idle: Bucket::new(IDLE_MAX, IDLE_LEAK),
            fruitless: Bucket::new(FRUITLESS_MAX, FRUITLESS_LEAK),
        }
    }
}

impl Flood {
    /// Something was asked, sent or received.
    pub(super) fn progress(&mut self) {
        self.idle.take_out(IDLE_FORGIVEN);
    }

    /// A message was sent whole.
    pub(super) fn completed(&mut self) {
        self.fruitless.take_out(1);
        self.progress();
    }

    /// A stream came to nothing.
    pub(super) fn fruitless(&mut self, now: Instant) -> Result<(), Violation> {
        match self.fruitless.add(1, now) {
            true => Ok(()),
            false => Err(Violation::calm("too many streams that came to nothing")),
        }
    }

    /// A frame brought nothing forward; it cost the work of so many.
    pub(super) fn idle(&mut self, weight: u32, now: Instant) -> Result<(), Violation> {
        match self.idle.add(weight, now) {
            true => Ok(()),
            false => Err(Violation::calm(
                "too many frames that bring nothing forward",
            )),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    level: u32,
    max: u32,
    leak: u32,
    /// Up to when the leak was taken into account.
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

    /// False when it runs over.
    fn add(&mut self, count: u32, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let whole = now.saturating_duration_since(since).as_millis() * u128::from(self.leak) / 1000;
        if whole > 0 {
            let leaked = u32::try_from(whole).unwrap_or(u32::MAX);
            self.level = self.level.saturating_sub(leaked);
            // What did not make a whole drop goes on leaking.
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
    fn a_flood_is_told_from_a_client_that_pings_for_hours() {
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
    fn a_player_that_cancels_is_told_from_a_rapid_reset() {
        let began = Instant::now();
        let mut player = Flood::default();
        for cancelled in 0..10 * FRUITLESS_MAX {
            let at = began + cancelled * Duration::from_millis(100);
            assert_eq!(player.fruitless(at), Ok(()));
        }
        let mut flood = Flood::default();
        let cut = (0..10 * FRUITLESS_MAX)
            .take_while(|_| flood.fruitless(began).is_ok())
            .count();
        assert_eq!(cut, FRUITLESS_MAX as usize);
    }
}
