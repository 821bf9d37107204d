//! The program's heaps, and that what a peak of connections took goes back to the system within seconds.
//!
//! Rust's heap is jemalloc: glibc never returns most of a peak, because a small allocation that is still in use lies behind
//! every block that was freed. The C code's heap (the keys of TLS connections) stays glibc's: jemalloc in place of
//! `malloc` for the whole process hangs at its start under libfaketime. glibc gives back free pages within its heaps
//! only when it is asked to, by `malloc_trim`, for which there is no safe wrapper: so here is the one foreign function
//! that the workspace declares. It takes a number, is safe to call from any thread at any time (malloc_trim(3):
//! MT-Safe), moves nothing that is in use, and so may be declared safe.

#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often it is looked whether a peak is over.
pub(crate) const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// So many connections fewer than at the peak are worth a look through the heap, which takes some milliseconds: each leaves
/// about a kilobyte.
const FEWER_MIN: usize = 256;

/// Knows when a peak of connections is over.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    highest: usize,
    /// Connections at the last look.
    last: usize,
}

impl Peak {
    /// There are so many connections now. Is a peak over, its memory to be given back? Not as long as their number still
    /// falls fast: then there is more to come.
    pub(crate) fn is_over(&mut self, connections: usize) -> bool {
        let falls = self.last.saturating_sub(connections) >= FEWER_MIN;
        self.last = connections;
        self.highest = self.highest.max(connections);
        let is_over =
            !falls && self.highest - connections >= FEWER_MIN && connections <= self.highest / 2;
        if is_over {
            self.highest = connections;
        }
        is_over
    }
}

/// Gives the free pages of the C code's heap back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    use std::ffi::c_int;
    #[allow(unsafe_code)]
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> c_int;
    }
    // Whether there were any does not matter.
    let _ = malloc_trim(0);
}

/// Other systems' heaps do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_over_when_most_connections_are_gone_and_no_more_are_going() {
        let mut peak = Peak::default();
        let looks = [
            // Few connections, whatever they do, are no peak.
            (0, false),
            (200, false),
            (0, false),
            // Up; a part of them gone; most of them on their way.
            (10_000, false),
            (6000, false),
            (6000, false),
            (2000, false),
            // No more are going.
            (1900, true),
            (1900, false),
            // What is left goes, too.
            (300, false),
            (290, true),
            (10, false),
            (0, true),
            (0, false),
        ];
        for (number, (connections, over)) in looks.into_iter().enumerate() {
            assert_eq!(peak.is_over(connections), over, "look {number}");
        }
    }

    #[test]
    fn heaps_give_back_what_is_free() {
        give_back();
    }
}
