//! Compressed files that are requested again: what came out, for all threads, within a limit of bytes.
//!
//! A result belongs to one state of a file, whose facts are its key, so that a changed file never gets the old one. What has
//! not been used for the longest time makes room.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::coding::Coding;
use crate::open::FileFacts;

/// What an entry takes beside its content, about.
const ENTRY: usize = 256;

/// A state of a file, in a coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    identity: (u64, u64),
    size: u64,
    modified_ns: u128,
    changed_ns: u128,
    coding: Coding,
}

impl Key {
    pub(crate) fn new(facts: &FileFacts, coding: Coding) -> Self {
        Self {
            identity: facts.identity,
            size: facts.size,
            modified_ns: facts.modified_ns,
            changed_ns: facts.changed_ns,
            coding,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Results {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of results.
    kept: usize,
    /// For what is being compressed.
    reserved: usize,
    results: HashMap<Key, Entry>,
    /// By the time of the last use.
    order: BTreeMap<u64, Key>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` if the file does not become smaller.
    content: Option<Bytes>,
    used: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY + self.content.as_ref().map_or(0, Bytes::len)
    }
}

impl Results {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            state: Mutex::default(),
        })
    }

    /// What came out. `Some(None)`: nothing smaller.
    pub(crate) fn find(&self, key: &Key) -> Option<Option<Bytes>> {
        let mut state = self.lock();
        let state = &mut *state;
        let entry = state.results.get_mut(key)?;
        state.order.remove(&entry.used);
        state.uses += 1;
        entry.used = state.uses;
        state.order.insert(entry.used, *key);
        Some(entry.content.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reserves so many bytes if they can be had, by removing results.
    fn reserve(&mut self, bytes: usize, bytes_max: usize) -> bool {
        if self.reserved + bytes > bytes_max {
            return false;
        }
        self.reserved += bytes;
        while self.kept + self.reserved > bytes_max
            && let Some((_, key)) = self.order.pop_first()
        {
            let removed = self.results.remove(&key);
            self.kept -= removed.as_ref().map_or(0, Entry::bytes);
        }
        true
    }
}

/// Content that is being collected for a result, with the bytes that are reserved for it.
#[derive(Debug)]
pub(crate) struct Collecting {
    results: Arc<Results>,
    key: Key,
    content: Vec<u8>,
    reserved: usize,
}

impl Collecting {
    /// `None` if there is no room.
    pub(crate) fn new(results: &Arc<Results>, key: Key) -> Option<Self> {
        results
            .lock()
            .reserve(ENTRY, results.bytes_max)
            .then(|| Self {
                results: Arc::clone(results),
                key,
                content: Vec::new(),
                reserved: ENTRY,
            })
    }

    /// Adds a piece; `false` if there is no room for it.
    pub(crate) fn push(&mut self, piece: &[u8]) -> bool {
        let has_room = self
            .results
            .lock()
            .reserve(piece.len(), self.results.bytes_max);
        if has_room {
            self.reserved += piece.len();
            self.content.extend_from_slice(piece);
        }
        has_room
    }

    /// Keeps it as the result, if it is worth while.
    pub(crate) fn keep(mut self, gains: bool) {
        let mut content = std::mem::take(&mut self.content);
        content.shrink_to_fit();
        let content = gains.then(|| Bytes::from(content));
        let mut state = self.results.lock();
        let state = &mut *state;
        state.uses += 1;
        let entry = Entry {
            content,
            used: state.uses,
        };
        // In place of what was reserved for it.
        state.reserved -= self.reserved;
        self.reserved = 0;
        state.kept += entry.bytes();
        state.order.insert(entry.used, self.key);
        if let Some(before) = state.results.insert(self.key, entry) {
            state.order.remove(&before.used);
            state.kept -= before.bytes();
        }
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.results.lock().reserved -= self.reserved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        let facts = FileFacts {
            identity: (1, number),
            size: 1,
            modified_ns: 2,
            changed_ns: 3,
        };
        Key::new(&facts, Coding::Gzip)
    }

    fn keep(results: &Arc<Results>, number: u64, length: usize) -> bool {
        let Some(mut collecting) = Collecting::new(results, key(number)) else {
            return false;
        };
        let pushed = collecting.push(&vec![0; length]);
        if pushed {
            collecting.keep(true);
        }
        pushed
    }

    #[test]
    fn results_are_kept_within_the_limit_and_the_least_used_goes_first() {
        let results = Results::new(4 * (ENTRY + 1000));
        for number in 0..4 {
            assert!(keep(&results, number, 1000));
        }
        assert_eq!(results.lock().kept, results.bytes_max);
        assert!(results.find(&key(0)).is_some(), "used now");
        assert!(keep(&results, 4, 1000));
        assert!(results.find(&key(1)).is_none());
        assert!(results.find(&key(0)).is_some());
        assert!(keep(&results, 4, 500), "again");
        assert!(!keep(&results, 5, 1_000_000), "larger than the limit");
        assert!(results.find(&key(4)).is_some(), "nothing made room for it");

        // What is being collected counts, too.
        let mut collecting = Collecting::new(&results, key(6)).unwrap();
        assert!(collecting.push(&[0; 3000]));
        assert!(!keep(&results, 7, 3000));
        drop(collecting);
        assert!(keep(&results, 7, 3000));

        let nothing = Collecting::new(&results, key(8)).unwrap();
        nothing.keep(false);
        assert_eq!(results.find(&key(8)), Some(None));
        let state = results.lock();
        let sum: usize = state.results.values().map(Entry::bytes).sum();
        assert_eq!((state.kept, state.reserved), (sum, 0));
        assert_eq!(state.order.len(), state.results.len());
    }

    #[test]
    fn without_a_limit_to_speak_of_nothing_is_kept() {
        let results = Results::new(0);
        assert!(!keep(&results, 1, 1));
        assert!(results.find(&key(1)).is_none());
    }
}
