//! How much of something a thread may have at once.

use std::cell::Cell;
use std::thread::LocalKey;

/// The number in use on this thread.
pub(crate) type InUse = LocalKey<Cell<usize>>;

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Quota(&'static InUse);

impl Quota {
    /// `None` if `max` are in use.
    pub(crate) fn take(in_use: &'static InUse, max: usize) -> Option<Self> {
        let count = in_use.get();
        (count < max).then(|| {
            in_use.set(count + 1);
            Self(in_use)
        })
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = self
            .0
            .try_with(|count| count.set(count.get().saturating_sub(1)));
    }
}
