//! How many connections and open files the process's descriptors allow.

use handfast::Explanation;

use crate::failure::{Failure, code};

/// How many connections may be open, so that descriptors remain for the requested files: otherwise a client that only opens
/// connections could block all others. A quarter is for files. `None` if there are too few.
pub(super) fn connections_room(descriptors: Option<u64>) -> Option<usize> {
    // Listeners, event loops, logs.
    const OWN: usize = 16;
    const FEWEST: usize = 32;
    let count = descriptors.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    (count >= FEWEST).then(|| (count - OWN) / 4 * 3)
}

pub(super) fn too_few_descriptors() -> Failure {
    let what = "the limit of open files is too low to serve any client";
    Failure::new(
        code::OTHER,
        Explanation::new("too-many-open-files", what)
            .with_fix("raise the limit of open files (ulimit -n) to 1024 or more"),
    )
}

/// How many files each thread may keep open: its share of the descriptors, without those for connections and a
/// reserve; without a limit, as many as are useful.
pub(super) fn open_files_max(
    descriptors: Option<u64>,
    connections_max: usize,
    threads: usize,
) -> usize {
    const FEW: usize = 128;
    const MANY: usize = 16 * 1024;
    const RESERVE: usize = 512;
    let descriptors = descriptors.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    let spare = descriptors.saturating_sub(connections_max.saturating_add(RESERVE));
    (spare / threads.max(1)).clamp(FEW, MANY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_before_open_files() {
        assert_eq!(open_files_max(Some(20_000), 8_192, 2), 5_648);
        assert_eq!(open_files_max(Some(1_024), 8_192, 2), 128);
        assert_eq!(open_files_max(None, 8_192, 2), 16 * 1024);
        assert_eq!(open_files_max(Some(u64::MAX), 1, 0), 16 * 1024);
    }

    #[test]
    fn connections_leave_descriptors_for_files() {
        assert_eq!(connections_room(Some(1_024)), Some(756));
        assert_eq!(connections_room(Some(20_000)), Some(14_988));
        assert_eq!(connections_room(Some(31)), None);
        assert!(connections_room(None) > Some(1 << 60));
        assert!(connections_room(Some(u64::MAX)) > Some(1 << 60));
    }
}
