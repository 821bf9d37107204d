//! When something was looked at, and for how long that is good: everything that is served in one turn of a thread's
//! event loop had arrived before it began, so that what is looked up once in a turn is as fresh for all of it.

use std::time::{Duration, Instant};

use handfast_https::server;

/// Under load a turn can be long, and what arrives meanwhile belongs to it.
const TURN_MAX: Duration = Duration::from_millis(1);

/// A moment at which something was looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    turn: Option<u64>,
    at: Instant,
}

impl Look {
    pub(crate) fn now(at: Instant) -> Self {
        Self {
            turn: server::turn(),
            at,
        }
    }

    /// Would looking again, now, tell nothing new to anyone who is being served?
    pub(crate) fn is_fresh(self, now: Instant) -> bool {
        self.turn.is_some()
            && self.turn == server::turn()
            && now.saturating_duration_since(self.at) < TURN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_good_for_its_turn_and_no_longer_than_a_millisecond() {
        let now = Instant::now();
        assert!(!Look::now(now).is_fresh(now), "this thread does not count");
        let look = |turn| Look { turn, at: now };
        assert!(!look(Some(1)).is_fresh(now), "another turn");
    }
}
