//! Whether a file is the one that was read.
//!
//! Files are looked at by name, once a second, and links are followed. Notifications by the operating system (inotify)
//! are about one directory each: with a link to a link to a directory, as container platforms and renewal programs
//! make them, each step needs a watch of its own, which must be renewed when a step changes; and network file systems
//! send none. A look costs one system call for each file, and sees what a process that opens the file would see.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often a running server looks: a renewed certificate, or a revocation, should take effect soon.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Identifies the content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    /// Device, inode, and when its inode was changed: a replaced file may have the times and the size of the old one.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            modified: found.modified().ok(),
            size: found.len(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt as _;
                (found.dev(), found.ino(), found.ctime(), found.ctime_nsec())
            },
        })
    }

    /// The stamp of a missing file.
    pub(super) fn none() -> Self {
        Self {
            modified: None,
            size: 0,
            #[cfg(unix)]
            inode: (0, 0, 0, 0),
        }
    }
}
