//! The time of a check, and how long it is valid: all requests that are handled in one turn of a thread's
//! event loop had arrived before the turn, so that one check in a turn is valid for all of them.

use std::time::{Duration, Instant};

use handfast_https::server;

/// Under load a turn can be long, and requests that arrive meanwhile are part of it.
const TURN_MAX: Duration = Duration::from_millis(1);

/// The time of a check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    turn: Option<u64>,
    at: Instant,
}

impl Look {
    pub(crate) fn now(at: Instant) -> Self {
        Self {
            turn: server::loop_turn(),
            at,
        }
    }

    /// Whether the check is still valid.
    pub(crate) fn is_fresh(self, now: Instant) -> bool {
        self.turn.is_some()
            && self.turn == server::loop_turn()
            && now.saturating_duration_since(self.at) < TURN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_valid_for_its_turn_and_at_most_a_millisecond() {
        let now = Instant::now();
        assert!(!Look::now(now).is_fresh(now), "this thread does not count");
        let look = |turn| Look { turn, at: now };
        assert!(!look(Some(1)).is_fresh(now), "another turn");
    }
}
