//! The time of a check, and how long it is valid: all requests that are handled in one iteration of a thread's
//! event loop had arrived before it, so that one check in an iteration is valid for all of them.

use std::time::{Duration, Instant};

use handfast_https::server;

/// Under load an iteration can be long, and requests that arrive meanwhile are part of it.
const VALID_MAX: Duration = Duration::from_millis(1);

/// The time of a check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    iteration: Option<u64>,
    at: Instant,
}

impl Look {
    pub(crate) fn now(at: Instant) -> Self {
        Self {
            iteration: server::loop_iteration(),
            at,
        }
    }

    /// Whether the check is still valid.
    pub(crate) fn is_fresh(self, now: Instant) -> bool {
        self.iteration.is_some()
            && self.iteration == server::loop_iteration()
            && now.saturating_duration_since(self.at) < VALID_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_valid_for_its_iteration_and_at_most_a_millisecond() {
        let now = Instant::now();
        assert!(!Look::now(now).is_fresh(now), "this thread does not count");
        let look = |iteration| Look { iteration, at: now };
        assert!(!look(Some(1)).is_fresh(now), "another iteration");
    }
}
