//! The revocation lists that clients are checked against: read at the start, read again when their files
//! change, with a warning before they are out of date.
//!
//! A file that cannot be used, or holds an older list than the one in use, causes a warning, and the
//! previous list stays in use. The local authority's own list is renewed here in time.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use handfast::{CrlSummary, ExpiredLists, RevocationLists};
use handfast_ca::Authority;

use super::once::is_pipe;
use super::stamp::Stamp;
use crate::clock::unix_now;
use crate::failure::Failure;
use crate::{crl_dates, data_dir};

/// How often renewing the authority's list is checked, which reads its ledger.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// All of the lists.
pub(super) struct Lists {
    files: Vec<ListFile>,
    own: Option<Own>,
    expired: ExpiredLists,
    /// Warnings that were already given.
    given: HashSet<String>,
}

/// The local authority, whose list is among the files.
struct Own {
    authority: Authority,
    asked: Instant,
}

struct ListFile {
    path: PathBuf,
    /// The stamp of the content in use.
    stamp: Stamp,
    lists: RevocationLists,
    /// The content that cannot be used, and whether a warning was given. It is given when the same content is seen
    /// again: a process may still be writing the file.
    refused: Option<(Stamp, bool)>,
}

/// The result of checking the files.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Whether the lists have changed.
    pub(super) changed: bool,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// Whether a list is out of date, so that clients are refused.
    pub(super) refuses: bool,
}

impl Lists {
    /// Reads the files, and the list of the local authority, which is created if there is none.
    ///
    /// # Errors
    /// The first one, and which of the files it is about.
    pub(super) fn read(
        files: Vec<PathBuf>,
        own: Option<Authority>,
        expired: ExpiredLists,
    ) -> Result<(Self, Look), (Option<usize>, Failure)> {
        let mut look = Look::default();
        let mut read = Vec::with_capacity(files.len() + 1);
        for (number, file) in files.into_iter().enumerate() {
            read.push(ListFile::read(file).map_err(|failure| (Some(number), failure))?);
        }
        if let Some(authority) = &own {
            let (file, warning) =
                data_dir::fresh_list(authority).map_err(|failure| (None, failure))?;
            look.warnings.extend(warning);
            read.push(ListFile::read(file).map_err(|failure| (None, failure))?);
        }
        let mut lists = Self {
            files: read,
            own: own.map(|authority| Own {
                authority,
                asked: Instant::now(),
            }),
            expired,
            given: HashSet::new(),
        };
        lists.tell_dates(&mut look, unix_now());
        Ok((lists, look))
    }

    /// Whether there are no files.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The lists in use.
    pub(super) fn in_use(&self) -> RevocationLists {
        self.files.iter().fold(
            RevocationLists::none().with_expired(self.expired),
            |all, file| all.with_lists_of(&file.lists),
        )
    }

    /// Checks the files again.
    pub(super) fn look(&mut self) -> Look {
        let mut look = Look::default();
        if let Some(own) = &mut self.own
            && own.asked.elapsed() >= RENEW_EVERY
        {
            own.asked = Instant::now();
            // Looking at the file reports that it is gone.
            let warning = data_dir::fresh_list(&own.authority).ok();
            if let Some((_, Some(warning))) = warning
                && self.given.insert(warning.clone())
            {
                look.warnings.push(warning);
            }
        }
        for file in &mut self.files {
            file.look(&mut look);
        }
        self.tell_dates(&mut look, unix_now());
        look
    }

    /// Warns of each list once before it expires, and once after.
    fn tell_dates(&mut self, look: &mut Look, now: i64) {
        let own = self.own.as_ref().map(|own| own.authority.crl_file());
        for file in &self.files {
            for list in file.lists.summaries() {
                let Some(what) = crl_dates::remark(list, self.expired, now) else {
                    continue;
                };
                look.refuses |= self.expired == ExpiredLists::Refuse
                    && list.next_update.is_some_and(|until| until < now);
                let fix = match own.as_ref() == Some(&file.path) {
                    true => "renew it: handfast ca crl",
                    false => {
                        "replace the file by the issuer's current list; it is read when the file changes"
                    }
                };
                let warning = format!("{list}: {what}; {fix}");
                if self.given.insert(warning.clone()) {
                    look.warnings.push(warning);
                }
            }
        }
    }
}

impl ListFile {
    fn read(path: PathBuf) -> Result<Self, Failure> {
        // Before the content: a change in between is detected at the next check.
        let stamp = Stamp::of(&path);
        let lists = RevocationLists::none().with_file(&path)?;
        Ok(Self {
            stamp: stamp.unwrap_or_else(Stamp::none),
            lists,
            path,
            refused: None,
        })
    }

    fn look(&mut self, look: &mut Look) {
        // A pipe is empty after it was read, or opening it blocks.
        if is_pipe(&self.path) {
            return;
        }
        let stamp = Stamp::of(&self.path).unwrap_or_else(Stamp::none);
        if stamp == self.stamp {
            self.refused = None;
            return;
        }
        if self.refused.as_ref() == Some(&(stamp.clone(), true)) {
            return;
        }
        let problem = match RevocationLists::none().with_file(&self.path) {
            Ok(lists) => match older(&self.lists, &lists) {
                None => {
                    for list in lists.summaries() {
                        look.notes.push(format!("{list}: in use now"));
                    }
                    self.stamp = stamp;
                    self.lists = lists;
                    self.refused = None;
                    look.changed = true;
                    return;
                }
                Some(older) => format!("{older}: it is older than the list in use"),
            },
            Err(error) => {
                let explanation = Failure::from(error).explanation;
                match explanation.evidence.first() {
                    Some(why) => format!("{}: {why}", explanation.what),
                    None => explanation.what,
                }
            }
        };
        let seen_before = self
            .refused
            .as_ref()
            .is_some_and(|(before, _)| *before == stamp);
        if seen_before {
            look.warnings
                .push(format!("{problem}; the last valid list stays in use"));
        }
        self.refused = Some((stamp, seen_before));
    }
}

/// The first of the new lists that is older than the current one of the same issuer and scope.
fn older(in_use: &RevocationLists, new: &RevocationLists) -> Option<CrlSummary> {
    let is_older = |new: &CrlSummary, old: &CrlSummary| {
        let same = new.issuer == old.issuer
            && new.scope == old.scope
            && new.delta_of.is_some() == old.delta_of.is_some();
        let numbers = number(new).zip(number(old));
        same && match numbers {
            Some((new_number, old_number)) if new_number != old_number => new_number < old_number,
            _ => new.this_update < old.this_update,
        }
    };
    new.summaries()
        .find(|new| in_use.summaries().any(|old| is_older(new, old)))
        .cloned()
}

/// A list's number, if it can be compared.
fn number(list: &CrlSummary) -> Option<u128> {
    list.number.as_ref()?.parse().ok()
}
