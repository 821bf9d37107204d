//! The turns of a thread's event loop: everything that is served in one of them had arrived before it
//! began, so that what is looked up once in a turn is as fresh for all of it.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// Under load a turn can be long, and what arrives meanwhile belongs to it.
const TURN_MAX: Duration = Duration::from_millis(1);

thread_local! {
    /// No thread but those that serve counts its turns.
    static TURN: Cell<u64> = const { Cell::new(0) };
}

/// The thread woke up.
pub(super) fn begin() {
    TURN.set(TURN.get() + 1);
}

/// Comes back after everybody else: whoever is ready now, and whoever becomes so meanwhile, which a task that only wakes
/// itself keeps the thread from finding out for sixty turns.
pub(super) fn give_way(cx: &mut Context<'_>) {
    // It has registered the task when it is dropped.
    let _ = pin!(yield_now()).poll(cx);
}

/// A moment at which something was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    turn: u64,
    at: Instant,
}

impl Look {
    pub(super) fn now(at: Instant) -> Self {
        Self {
            turn: TURN.get(),
            at,
        }
    }

    /// Would looking again, now, tell nothing new to anyone who is being served?
    pub(super) fn is_fresh(self, now: Instant) -> bool {
        self.turn != 0
            && self.turn == TURN.get()
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
        begin();
        let look = Look::now(now);
        assert!(look.is_fresh(now));
        assert!(!look.is_fresh(now + TURN_MAX));
        begin();
        assert!(!look.is_fresh(now));
    }
}
