//! A directory's entries in order, directories first, in batches of bounded size.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::natural;
use crate::open::{Hint, Kind, Root};
use crate::path::{Target, is_hidden};

/// The size of a batch, with the names: about 10,000 of usual length.
const BATCH_BYTES: usize = 256 * 1024;

/// The limit on entries that are read: about 20 ms.
const SEEN_MAX: usize = 200_000;

/// After this many entries, cancellation is checked.
const STRIDE: usize = 256;

/// What orders entries: directories first, then by name. True for files.
pub(crate) type Key<'n> = (bool, &'n [u8]);

fn compare(one: Key<'_>, other: Key<'_>) -> Ordering {
    let kinds = one.0.cmp(&other.0);
    kinds.then_with(|| natural::compare(one.1, other.1))
}

/// A part of a directory's entries, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    names: Vec<u8>,
    items: Vec<Item>,
    next: usize,
    /// The number of entries after this batch. All entries were read, unless `cut`.
    pub(crate) beyond: usize,
    /// There are more entries than were read.
    pub(crate) cut: bool,
}

#[derive(Debug, Clone)]
struct Item {
    is_file: bool,
    name: Range<u32>,
}

impl Batch {
    /// The first entries after `after`. May block.
    pub(crate) fn read(
        root: &Root,
        directory: &File,
        target: &Target,
        after: Option<Key<'_>>,
        stop: &AtomicBool,
    ) -> io::Result<Self> {
        let mut batch = Self::default();
        // Entries from here on do not fit.
        let mut bound: Option<(bool, Vec<u8>)> = None;
        let mut seen = 0;
        let mut behind = 0;
        root.each_entry(directory, target, &mut |name, hint| {
            seen += 1;
            if seen % STRIDE == 0 && stop.load(Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if seen > SEEN_MAX {
                batch.cut = true;
                return Ok(false);
            }
            if is_hidden(name, target.is_root()) {
                return Ok(true);
            }
            let is_file = match hint {
                Hint::Directory => false,
                Hint::File => true,
                Hint::Neither => return Ok(true),
                // Its target is looked up, and not opened.
                Hint::Unknown => match root.kind_of(&target.entry(name)) {
                    Some(kind) => matches!(kind, Kind::File(_)),
                    None => return Ok(true),
                },
            };
            let key = (is_file, name);
            if after.is_some_and(|after| compare(key, after).is_le()) {
                return Ok(true);
            }
            behind += 1;
            if bound
                .as_ref()
                .is_none_or(|(is_file, name)| compare(key, (*is_file, name)).is_lt())
            {
                batch.add(key);
                if batch.size() > BATCH_BYTES {
                    bound = batch.shorten();
                }
            }
            Ok(true)
        })?;
        batch.sort();
        batch.beyond = behind - batch.items.len();
        Ok(batch)
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Option<Key<'_>> {
        let item = self.items.get(self.next)?;
        self.next += 1;
        Some((item.is_file, name(&self.names, item)))
    }

    /// The number of remaining entries.
    pub(crate) fn left(&self) -> usize {
        self.items.len() - self.next
    }

    fn add(&mut self, (is_file, name): Key<'_>) {
        let start = self.names.len() as u32;
        self.names.extend_from_slice(name);
        let name = start..self.names.len() as u32;
        self.items.push(Item { is_file, name });
    }

    fn size(&self) -> usize {
        self.names.len() + self.items.len() * size_of::<Item>()
    }

    fn sort(&mut self) {
        let names = &self.names;
        self.items.sort_unstable_by(|one, other| {
            compare(
                (one.is_file, name(names, one)),
                (other.is_file, name(names, other)),
            )
        });
    }

    /// Removes the last eighth of the entries, and returns the first removed.
    fn shorten(&mut self) -> Option<(bool, Vec<u8>)> {
        self.sort();
        let gone = self.items.split_off(self.items.len() * 7 / 8);
        let first = gone.first()?;
        let bound = (first.is_file, name(&self.names, first).to_vec());
        let before = std::mem::take(self);
        for item in &before.items {
            self.add((item.is_file, name(&before.names, item)));
        }
        Some(bound)
    }
}

fn name<'n>(names: &'n [u8], item: &Item) -> &'n [u8] {
    names
        .get(item.name.start as usize..item.name.end as usize)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::open::Links;

    fn names_of(count: usize) -> (tempfile::TempDir, Vec<(bool, Vec<u8>)>) {
        let base = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        for number in 0..count {
            // Unsorted; every tenth is a directory.
            let name = format!("{:05}-{}", number * 7919 % 100_000, "x".repeat(200));
            if number % 10 == 0 {
                fs::create_dir(base.path().join(&name)).unwrap();
            } else {
                fs::write(base.path().join(&name), "").unwrap();
            }
            expected.push((number % 10 != 0, name.into_bytes()));
        }
        expected.sort_by(|one, other| compare((one.0, &one.1), (other.0, &other.1)));
        (base, expected)
    }

    /// For every size of directory, the limit is kept, and the batches contain all entries.
    #[test]
    fn batches_hold_the_first_entries_in_order_and_lead_to_all_of_them() {
        let (base, expected) = names_of(3000);
        let root = Root::open(base.path(), Links::Beneath).unwrap();
        let target = Target::parse("/").unwrap();
        let directory = root.find(&target).unwrap().file;
        let mut found: Vec<(bool, Vec<u8>)> = Vec::new();
        let mut batches = 0;
        loop {
            let after = found.last().map(|(is_file, name)| (*is_file, &name[..]));
            let stop = AtomicBool::new(false);
            let mut batch = Batch::read(&root, &directory, &target, after, &stop).unwrap();
            assert!(batch.size() <= BATCH_BYTES && !batch.cut);
            assert_eq!(batch.left() + batch.beyond, 3000 - found.len());
            batches += 1;
            while let Some((is_file, name)) = batch.next() {
                found.push((is_file, name.to_vec()));
            }
            if batch.beyond == 0 {
                break;
            }
        }
        assert!(found == expected && batches > 2, "{batches}");
    }

    #[test]
    fn cancelled_work_stops() {
        let (base, _) = names_of(600);
        let root = Root::open(base.path(), Links::Beneath).unwrap();
        let target = Target::parse("/").unwrap();
        let directory = root.find(&target).unwrap().file;
        let stop = AtomicBool::new(true);
        let stopped = Batch::read(&root, &directory, &target, None, &stop);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
