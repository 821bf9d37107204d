//! Whether the files that were read are still the same, and when it is time to read them again.
//!
//! A change is acted on when it was seen twice, a second apart, with nothing else in between: programs write a chain and
//! its key one after the other, and editors write a file in pieces. What was refused is looked at again only when it
//! changes.

use std::path::PathBuf;

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
    /// These files, as they are now.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let in_use = stamps(&paths);
        Self {
            paths,
            in_use,
            seen: None,
            refused: None,
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

    /// What is there now cannot be used. It named these files besides, of which one may be what is missing.
    pub(super) fn refuse(&mut self, before: Self) {
        for (path, stamp) in before.paths.into_iter().zip(before.in_use) {
            if !self.paths.contains(&path) {
                self.paths.push(path);
                self.in_use.push(stamp);
            }
        }
        self.refused = Some(stamps(&self.paths));
        self.seen = None;
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let of = |path: &PathBuf| Stamp::of(path).unwrap_or_else(Stamp::none);
    paths.iter().map(of).collect()
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
