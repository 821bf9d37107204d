//! Paths in messages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The most paths in a message.
const PATHS_SHOWN_MAX: usize = 5;

pub(super) fn shown(path: &Path) -> String {
    handfast::escape_control(&path.display().to_string()).into_owned()
}

pub(super) fn list(paths: &BTreeSet<PathBuf>) -> String {
    let mut text = paths.iter().take(PATHS_SHOWN_MAX).map(|path| shown(path));
    let text = text.by_ref().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(PATHS_SHOWN_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
