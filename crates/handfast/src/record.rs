//! The size of the next record.
//!
//! Large records are efficient; but a record can be decrypted only when its last byte has arrived, so that
//! small ones deliver the first bytes sooner at the start of a transfer over a slow path.

use std::time::{Duration, Instant};

/// The plaintext of the largest record that TLS allows (RFC 8446, section 5.1).
pub(crate) const RECORD_MAX: usize = 16 * 1024;

/// The plaintext in one segment of a path with Ethernet's MTU: 1500 less 40 (IPv6), 20 (TCP), 12 (its
/// timestamps) and 22 to 29 (TLS).
const SEGMENT: usize = 1390;

/// Small records up to this amount: then the congestion window has grown.
const EARLY_BYTES: u64 = 64 * 1024;

/// Data within the initial window of ten segments (RFC 6928) arrives in the same round trip however
/// it is split: it is one record.
const INITIAL_WINDOW: usize = 10 * SEGMENT;

/// After this time without a write, the congestion window is assumed to be small again.
const IDLE: Duration = Duration::from_secs(1);

/// How plaintext is split into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecordSizing {
    /// As few and as large records as possible: up to 16 KiB each.
    #[default]
    Full,
    /// While there is more data than a new path takes in one round trip, records of one segment
    /// (about 1400 bytes) for the first 64 KiB, and again after a second without data; otherwise full ones.
    Adaptive,
    /// The limit on plaintext in a record (between 1 and 16384 bytes).
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

    /// The current time, if needed.
    pub(crate) fn now(&self) -> Option<Instant> {
        (self.sizing == RecordSizing::Adaptive).then(Instant::now)
    }

    /// The plaintext of the next record, with this much available.
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

    /// The records of `total` available bytes, the first at `now`.
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
    fn data_within_the_initial_window_is_one_record() {
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
