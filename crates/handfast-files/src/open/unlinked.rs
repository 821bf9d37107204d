//! Directories into which no link leads, although links are followed: what others store there is found by the names of the directory
//! itself alone, where it is known for what it is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::path::Target;

/// Directories, seen from a served one.
#[derive(Debug, Clone)]
pub(crate) struct Unlinked {
    root: PathBuf,
    /// Without links in them.
    directories: Arc<[PathBuf]>,
}

impl Unlinked {
    /// `root`: the served directory. A directory that is not there now is known by the path that it would have.
    pub(crate) fn new(root: &Path, directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let resolved = |path: PathBuf| {
            let found = path.canonicalize().or_else(|_| std::path::absolute(&path));
            found.unwrap_or(path)
        };
        Self {
            root: root.to_owned(),
            directories: directories.into_iter().map(resolved).collect(),
        }
    }

    /// Whether this file, opened by this name, lies in one of them, and a link has led there.
    pub(crate) fn has(&self, file: &File, target: &Target) -> bool {
        // What lies nobody knows where may lie there.
        let Some(path) = self.path_of(file, target) else {
            return true;
        };
        if !self.directories.iter().any(|one| path.starts_with(one)) {
            return false;
        }
        let root = self.root.canonicalize().ok();
        let plain = root.and_then(|root| Some(root.join(target.relative()?)));
        plain.is_none_or(|plain| plain != path)
    }

    #[cfg(target_os = "linux")]
    fn path_of(&self, file: &File, target: &Target) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        path.or_else(|| self.path_by_name(target))
    }

    #[cfg(not(target_os = "linux"))]
    fn path_of(&self, _: &File, target: &Target) -> Option<PathBuf> {
        self.path_by_name(target)
    }

    fn path_by_name(&self, target: &Target) -> Option<PathBuf> {
        self.root.join(target.relative()?).canonicalize().ok()
    }
}
