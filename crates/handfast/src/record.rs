//! How large the next record should be.
//!
//! Large records are cheap; but a record can be used only when its last byte has arrived, so that
//! at the beginning of a transfer over a slow path small ones show the first bytes sooner.

use std::time::{Duration, Instant};

/// The plaintext of the largest record that TLS allows (RFC 8446, section 5.1).
pub(crate) const RECORD_MAX: usize = 16 * 1024;

/// What fits one segment of a path with Ethernet's MTU: 1500 less 40 (IPv6), 20 (TCP), 12 (its
/// timestamps) and 22 to 29 (TLS).
const SEGMENT: usize = 1390;

/// Small records until this much was sent: by then the path's window has opened.
const EARLY_BYTES: u64 = 64 * 1024;

/// What fits the initial window of ten segments (RFC 6928) arrives in the same round trip however
/// it is cut: one record then.
const INITIAL_WINDOW: usize = 10 * SEGMENT;

/// After this long without a write the path's window is taken to have closed again.
const IDLE: Duration = Duration::from_secs(1);

/// How plaintext is cut into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecordSizing {
    /// As few and as large records as possible: up to 16 KiB each.
    #[default]
    Full,
    /// While more is at hand than a fresh path takes in one round trip, records of one segment
    /// (about 1400 bytes) for the first 64 KiB, and again after a second of silence; otherwise full ones.
    Adaptive,
    /// Never more than so many bytes of plaintext in a record (between 1 and 16384).
    Limited(usize),
}

#[derive(Debug)]
pub(crate) struct Sizer {
    sizing: RecordSizing,
    early: u64,
    last: Option<Instant>,
}

impl Sizer {
    pub(crate) fn new(sizing: RecordSizing) -> Self {
        Self {
            sizing,
            early: 0,
            last: None,
        }
    }

    /// The present, where it matters.
    pub(crate) fn now(&self) -> Option<Instant> {
        (self.sizing == RecordSizing::Adaptive).then(Instant::now)
    }

    /// The most plaintext that the next record should take, with so much at hand.
    pub(crate) fn next_record(&mut self, now: Option<Instant>, at_hand: usize) -> usize {
        match self.sizing {
            RecordSizing::Full => RECORD_MAX,
            RecordSizing::Limited(limit) => limit.clamp(1, RECORD_MAX),
            RecordSizing::Adaptive => {
                let silence = now.zip(self.last).map(|(now, last)| now - last);
                if silence.is_some_and(|silence| silence >= IDLE) {
                    self.early = 0;
                }
                if self.early < EARLY_BYTES && at_hand > INITIAL_WINDOW {
                    SEGMENT
                } else {
                    RECORD_MAX
                }
            }
        }
    }

    pub(crate) fn sent(&mut self, now: Option<Instant>, count: usize) {
        self.early = self.early.saturating_add(count as u64);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records that `total` bytes at hand leave in, the first at `now`.
    fn records(sizer: &mut Sizer, now: Instant, mut total: usize) -> Vec<usize> {
        let mut records = Vec::new();
        while total > 0 {
            let next = sizer.next_record(Some(now), total).min(total);
            sizer.sent(Some(now), next);
            records.push(next);
            total -= next;
        }
        records
    }

    #[test]
    fn adaptive_starts_small_grows_and_starts_again_after_idling() {
        let now = Instant::now();
        let mut sizer = Sizer::new(RecordSizing::Adaptive);
        let first = records(&mut sizer, now, 200_000);
        assert_eq!(first.iter().filter(|r| **r == SEGMENT).count(), 48);
        assert_eq!(
            first.last().copied(),
            Some(200_000 - 48 * SEGMENT - 8 * RECORD_MAX)
        );
        assert_eq!(records(&mut sizer, now, 40_000)[0], RECORD_MAX);
        assert_eq!(records(&mut sizer, now + IDLE, 40_000)[0], SEGMENT);
    }

    #[test]
    fn what_fits_the_initial_window_is_one_record() {
        let now = Instant::now();
        let mut sizer = Sizer::new(RecordSizing::Adaptive);
        assert_eq!(records(&mut sizer, now, 4_300), [4_300]);
        assert_eq!(
            Sizer::new(RecordSizing::Full).next_record(Some(now), 1),
            RECORD_MAX
        );
        assert_eq!(
            Sizer::new(RecordSizing::Limited(0)).next_record(Some(now), 9),
            1
        );
    }
}
