//! The iterations of a serving thread's event loop, and giving way to the others of the thread.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::pin;
use std::task::Context;
use tokio::task::yield_now;

thread_local! {
    /// No thread but those that serve counts its iterations.
    static ITERATION: Cell<u64> = const { Cell::new(0) };
}

/// The thread woke up.
pub(super) fn begin() {
    ITERATION.set(ITERATION.get() + 1);
}

/// The number of this thread's current iteration; `None` on threads that no [`Server`](super::Server) runs.
///
/// Everything that is served in one iteration of the event loop had arrived before it began: what is looked up once in
/// an iteration, the state of a file say, is as fresh for all of it.
pub fn loop_iteration() -> Option<u64> {
    Some(ITERATION.get()).filter(|number| *number > 0)
}

/// Continues after all other tasks: those that are ready now, and those that become ready meanwhile. A task that only
/// wakes itself would keep the thread from polling the kernel for sixty iterations.
pub(super) fn give_way(cx: &mut Context<'_>) {
    // It has registered the task when it is dropped.
    let _ = pin!(yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_threads_that_serve_count_iterations() {
        assert_eq!(loop_iteration(), None);
        begin();
        assert_eq!(loop_iteration(), Some(1));
        begin();
        assert_eq!(loop_iteration(), Some(2));
    }
}
