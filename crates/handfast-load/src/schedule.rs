//! When the next request is due, and how many there are.
//!
//! In the open loop a request has a time at which it is due, whatever the server does. When every
//! connection is busy, due requests wait: they are taken in order, each with the time at which it
//! was due, so that waiting counts as latency. The queue itself needs no memory: it is the distance
//! between the number taken and the number due.

/// Nanoseconds on the clock of a run. 584 years of them fit.
pub(super) type Nanos = u64;

/// The requests of one thread.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pace: Pace,
    taken: u64,
    limit: u64,
    /// From here on nothing is due any more.
    end: Nanos,
    start: Nanos,
}

#[derive(Debug, Clone)]
enum Pace {
    Closed,
    /// Request `k` of this thread is the run's request `k * threads + thread`.
    Open {
        nanos_each: f64,
        thread: u64,
        threads: u64,
    },
}

impl Work {
    /// A closed loop: always due, until `limit` were taken or the end comes.
    pub(super) fn closed(limit: Option<u64>, end: Option<Nanos>) -> Self {
        Self {
            pace: Pace::Closed,
            taken: 0,
            limit: limit.unwrap_or(u64::MAX),
            end: end.unwrap_or(Nanos::MAX),
            start: 0,
        }
    }

    /// The same with all its times counted from `start`.
    pub(super) fn starting_at(mut self, start: Nanos) -> Self {
        self.start = start;
        self.end = self.end.saturating_add(start);
        self
    }

    /// This thread's share of an open loop at `per_second` over all threads.
    pub(super) fn open(
        per_second: f64,
        (thread, threads): (usize, usize),
        limit: Option<u64>,
        end: Option<Nanos>,
    ) -> Self {
        Self {
            pace: Pace::Open {
                // A rate that makes no sense becomes one request that is never due again.
                nanos_each: (1e9 / per_second.max(f64::MIN_POSITIVE)).min(1e18),
                thread: thread as u64,
                threads: threads.max(1) as u64,
            },
            ..Self::closed(limit, end)
        }
    }

    /// When request `index` of this thread is due; computed, not added up, so that no error grows.
    fn due_at(&self, index: u64) -> Option<Nanos> {
        if index >= self.limit {
            return None;
        }
        let due = match self.pace {
            Pace::Closed => 0,
            Pace::Open {
                nanos_each,
                thread,
                threads,
            } => {
                (index.saturating_mul(threads).saturating_add(thread) as f64 * nanos_each) as Nanos
            }
        };
        let due = due.saturating_add(self.start);
        (due < self.end).then_some(due)
    }

    /// Takes the next request if it is due, and says since when: in the closed loop since now.
    pub(super) fn take(&mut self, now: Nanos) -> Option<Nanos> {
        if !self.is_due(now) {
            return None;
        }
        let due = self.due_at(self.taken)?;
        self.taken += 1;
        Some(if self.is_closed() { now } else { due })
    }

    /// Is a request due?
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        (!self.is_closed() || now < self.end)
            && self.due_at(self.taken).is_some_and(|due| due <= now)
    }

    /// When the next request is due; `None` when there will be no more.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.due_at(self.taken)
    }

    /// Will no request be due at `now` or later?
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        now >= self.end || self.due_at(self.taken).is_none()
    }

    /// How many requests are due at `now` and were not taken: the queue of the open loop.
    pub(super) fn waiting(&self, now: Nanos) -> u64 {
        let Pace::Open {
            nanos_each,
            thread,
            threads,
        } = self.pace
        else {
            return 0;
        };
        let last = now.min(self.end.saturating_sub(1));
        // The first index that is not due yet, by division, then made exact.
        let since = last.saturating_sub(self.start) as f64;
        let guess = ((since / nanos_each - thread as f64) / threads as f64).max(0.0) as u64;
        let mut due = guess.min(self.limit).saturating_sub(1);
        while self.due_at(due).is_some_and(|at| at <= last) {
            due += 1;
        }
        due.saturating_sub(self.taken)
    }

    fn is_closed(&self) -> bool {
        matches!(self.pace, Pace::Closed)
    }
}

/// The `index`th of `parts` nearly equal shares of `total`, the larger ones first.
pub(super) fn share(total: u64, index: usize, parts: usize) -> u64 {
    let (index, parts) = (index as u64, parts.max(1) as u64);
    total / parts + u64::from(index < total % parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_closed_loop_is_due_at_once_until_its_number_or_its_end() {
        let mut work = Work::closed(Some(2), Some(100));
        assert_eq!(work.take(7), Some(7));
        assert_eq!(work.next_due(), Some(0));
        assert_eq!(work.take(100), None);
        assert!(work.is_over(100) && !work.is_over(99));
        assert_eq!(work.take(99), Some(99));
        assert_eq!(work.take(99), None);
        assert!(work.is_over(0));
        assert_eq!(work.waiting(99), 0);
    }

    #[test]
    fn an_open_loop_counts_from_when_a_request_was_due() {
        // Two threads, 1000 a second: this one has the odd milliseconds.
        let mut work = Work::open(1000.0, (1, 2), None, Some(10_000_000));
        assert_eq!(work.take(999_999), None);
        assert_eq!(work.next_due(), Some(1_000_000));
        assert_eq!(work.take(1_000_000), Some(1_000_000));
        // A stall: three are due, and each keeps its time.
        assert_eq!(work.waiting(7_500_000), 3);
        assert_eq!(work.take(7_500_000), Some(3_000_000));
        assert_eq!(work.take(7_500_000), Some(5_000_000));
        assert_eq!(work.take(7_500_000), Some(7_000_000));
        assert_eq!(work.take(7_500_000), None);
        // Nothing is due at the end or later, but what was due before it still is.
        assert_eq!(work.waiting(20_000_000), 1);
        assert_eq!(work.take(20_000_000), Some(9_000_000));
        assert_eq!(work.next_due(), None);
    }

    proptest! {
        /// However the polling falls, every request is taken once, in order, at its own time.
        #[test]
        fn no_request_is_omitted(
            per_second in 1.0f64..1e7,
            threads in 1usize..5,
            steps in proptest::collection::vec(0u64..50_000_000, 1..40),
        ) {
            let end = 200_000_000;
            let mut all = Vec::new();
            let mut left = 0;
            for thread in 0..threads {
                let mut work = Work::open(per_second, (thread, threads), Some(3000), Some(end));
                let mut now = 0;
                for step in &steps {
                    now += step;
                    let waiting = work.waiting(now);
                    let mut taken = 0;
                    while let Some(due) = work.take(now) {
                        prop_assert!(due <= now);
                        all.push(due);
                        taken += 1;
                    }
                    prop_assert_eq!(taken, waiting);
                }
                left += usize::from(!work.is_over(now));
            }
            all.sort_unstable();
            if left == 0 && per_second * 0.2 < 3000.0 {
                let expected = (0..).map(|k| (k as f64 * (1e9 / per_second)) as u64).take_while(|due| *due < end);
                let now: u64 = steps.iter().sum();
                prop_assert_eq!(all, expected.filter(|due| *due <= now).collect::<Vec<_>>());
            }
        }

        #[test]
        fn shares_add_up(total in 0u64..10_000, parts in 1usize..20) {
            let sum: u64 = (0..parts).map(|index| share(total, index, parts)).sum();
            prop_assert_eq!(sum, total);
        }
    }
}
