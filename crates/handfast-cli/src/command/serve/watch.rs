//! Whether the files that were read are still the same, and when it is time to read them again.
//!
//! A change is acted on when it was seen twice, a second apart, with nothing else in between: programs write a chain and
//! its key one after the other, and editors write a file in pieces. What was refused is looked at again only when it
//! changes.

use std::io;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// Files, and what is known of them.
#[derive(Debug)]
pub(super) struct Watch {
    paths: Vec<PathBuf>,
    in_use: Vec<Stamp>,
    /// What was seen the last time, if it is not in use.
    seen: Option<Vec<Stamp>>,
    /// What cannot be used.
    refused: Option<Vec<Stamp>>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing, or not yet.
    None,
    /// What was refused is gone, and what is in use is there again.
    Restored,
    /// Read the files.
    Read,
}

impl Watch {
    /// These files, as they are now: before they are read, so that no later change is missed.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let in_use = stamps(&paths);
        Self {
            paths,
            in_use,
            seen: None,
            refused: None,
        }
    }

    /// Further files, as they are now: before they are read.
    pub(super) fn add(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            if !self.paths.contains(&path) {
                self.in_use.push(stamp(&path));
                self.paths.push(path);
            }
        }
    }

    /// Everything was read. What was missing before was made by that: the local authority.
    pub(super) fn complete(&mut self) {
        for (path, known) in self.paths.iter().zip(&mut self.in_use) {
            if *known == Stamp::none() {
                *known = stamp(path);
            }
        }
    }

    /// The process has become another user: what it cannot look at any more has not changed.
    pub(super) fn lose_sight(&mut self) {
        for (path, known) in self.paths.iter().zip(&mut self.in_use) {
            let looked = path.metadata();
            if looked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
                *known = Stamp::none();
            }
        }
    }

    /// Looks at the files.
    pub(super) fn look(&mut self) -> Change {
        let now = stamps(&self.paths);
        if now == self.in_use {
            self.seen = None;
            return match self.refused.take() {
                Some(_) => Change::Restored,
                None => Change::None,
            };
        }
        if self.refused.as_ref() == Some(&now) {
            return Change::None;
        }
        match self.seen.as_ref() == Some(&now) {
            true => Change::Read,
            false => {
                self.seen = Some(now);
                Change::None
            }
        }
    }

    /// These files were looked at by `before` and then read. If they have changed since, that is seen by the next look.
    pub(super) fn accept(&mut self, before: Self) {
        *self = before;
    }

    /// These files, some of which may be missing, were looked at by `before` and then read, and cannot be used. If they have changed since,
    /// that is seen by the next look.
    pub(super) fn refuse(&mut self, before: Self) {
        // What was in use and is not named any more was not read.
        let mut refused = stamps(&self.paths);
        for (path, stamp) in before.paths.into_iter().zip(before.in_use) {
            match self.paths.iter().position(|known| *known == path) {
                Some(at) => refused.splice(at..=at, [stamp]).for_each(drop),
                None => {
                    self.paths.push(path);
                    self.in_use.push(stamp.clone());
                    refused.push(stamp);
                }
            }
        }
        self.refused = Some(refused);
        self.seen = None;
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    Stamp::of(path).unwrap_or_else(Stamp::none)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_is_acted_on_when_it_was_seen_twice_and_refused_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), "1").unwrap();
        let mut watch = Watch::new(vec![path("a"), path("missing")]);
        assert_eq!(watch.look(), Change::None);
        fs::write(path("a"), "22").unwrap();
        assert_eq!(watch.look(), Change::None, "it may be half of a change");
        fs::write(path("missing"), "333").unwrap();
        assert_eq!(watch.look(), Change::None, "and this is the other half");
        assert_eq!(watch.look(), Change::Read);
        // It names another file, which does not exist yet.
        watch.refuse(Watch::new(vec![path("a"), path("named")]));
        assert_eq!((watch.look(), watch.look()), (Change::None, Change::None));
        fs::write(path("named"), "4").unwrap();
        assert_eq!((watch.look(), watch.look()), (Change::None, Change::Read));
        watch.accept(Watch::new(vec![path("a"), path("missing"), path("named")]));
        assert_eq!((watch.look(), watch.look()), (Change::None, Change::None));
    }

    #[test]
    fn what_changes_while_it_is_read_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("config"), "1").unwrap();
        fs::write(path("key"), "1").unwrap();
        let mut watch = Watch::new(vec![path("config"), path("key")]);
        fs::write(path("config"), "broken").unwrap();
        assert_eq!((watch.look(), watch.look()), (Change::None, Change::Read));
        // It is corrected after it was read, before it is refused.
        let before = Watch::new(vec![path("config")]);
        fs::write(path("config"), "corrected").unwrap();
        watch.refuse(before);
        assert_eq!((watch.look(), watch.look()), (Change::None, Change::Read));
        // So is the configuration, before the files that it names are looked at.
        let mut before = Watch::new(vec![path("config")]);
        fs::write(path("config"), "corrected again").unwrap();
        before.add(vec![path("config"), path("key")]);
        watch.accept(before);
        assert_eq!((watch.look(), watch.look()), (Change::None, Change::Read));
    }

    #[test]
    fn what_is_in_use_again_is_no_change() {
        let directory = tempfile::tempdir().unwrap();
        let (file, aside) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, "1").unwrap();
        // Renaming keeps the file, but not the time of its inode's change.
        let link = directory.path().join("link");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&file, &link).unwrap();
            fs::write(&aside, "other").unwrap();
            let mut watch = Watch::new(vec![link.clone()]);
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(&aside, &link).unwrap();
            assert_eq!((watch.look(), watch.look()), (Change::None, Change::Read));
            watch.refuse(Watch::new(vec![link.clone()]));
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(&file, &link).unwrap();
            assert_eq!(watch.look(), Change::Restored);
            assert_eq!(watch.look(), Change::None);
        }
    }
}
