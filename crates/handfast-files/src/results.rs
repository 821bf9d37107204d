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

/// The share of the limit that one result may have: a larger one would take the place of too many others.
const SHARE: usize = 8;

/// The share of the limit that may be reserved for what is being compressed: that lasts as long as a client takes to read it, and
/// the rest is for results.
const RESERVED_SHARE: usize = 2;

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
    outcome: Outcome,
    used: u64,
}

#[derive(Debug)]
enum Outcome {
    Smaller(Bytes),
    NotSmaller,
    /// It is not collected again, which would remove others each time.
    TooLarge,
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Smaller(content) => ENTRY + content.len(),
            Outcome::NotSmaller | Outcome::TooLarge => ENTRY,
        }
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
        match &entry.outcome {
            Outcome::Smaller(content) => Some(Some(content.clone())),
            Outcome::NotSmaller => Some(None),
            Outcome::TooLarge => None,
        }
    }

    fn is_too_large(&self, key: &Key) -> bool {
        let state = self.lock();
        let entry = state.results.get(key);
        entry.is_some_and(|entry| matches!(entry.outcome, Outcome::TooLarge))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reserves so many bytes if they can be had, by removing results.
    fn reserve(&mut self, bytes: usize, bytes_max: usize) -> bool {
        if self.reserved + bytes > bytes_max / RESERVED_SHARE {
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
        let bytes_max = results.bytes_max;
        let has_room = ENTRY <= bytes_max / SHARE
            && !results.is_too_large(&key)
            && results.lock().reserve(ENTRY, bytes_max);
        has_room.then(|| Self {
            results: Arc::clone(results),
            key,
            content: Vec::new(),
            reserved: ENTRY,
        })
    }

    /// Adds a piece; gives it up if there is no room for it.
    pub(crate) fn with(mut self, piece: &[u8]) -> Option<Self> {
        let bytes_max = self.results.bytes_max;
        if self.reserved + piece.len() > bytes_max / SHARE {
            self.end(Outcome::TooLarge);
            return None;
        }
        if !self.results.lock().reserve(piece.len(), bytes_max) {
            return None;
        }
        self.reserved += piece.len();
        self.content.extend_from_slice(piece);
        Some(self)
    }

    /// Keeps it as the result, if it is worth while.
    pub(crate) fn keep(mut self, gains: bool) {
        let mut content = std::mem::take(&mut self.content);
        content.shrink_to_fit();
        self.end(match gains {
            true => Outcome::Smaller(content.into()),
            false => Outcome::NotSmaller,
        });
    }

    fn end(mut self, outcome: Outcome) {
        let mut state = self.results.lock();
        let state = &mut *state;
        state.uses += 1;
        let entry = Entry {
            outcome,
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
        let collecting = Collecting::new(results, key(number));
        match collecting.and_then(|collecting| collecting.with(&vec![0; length])) {
            Some(collecting) => {
                collecting.keep(true);
                true
            }
            None => false,
        }
    }

    #[test]
    fn results_are_kept_within_the_limit_and_the_least_used_goes_first() {
        let results = Results::new(8 * (ENTRY + 1000));
        for number in 0..8 {
            assert!(keep(&results, number, 1000));
        }
        assert_eq!(results.lock().kept, results.bytes_max);
        assert!(results.find(&key(0)).is_some(), "used now");
        assert!(keep(&results, 8, 1000));
        assert!(results.find(&key(1)).is_none());
        assert!(results.find(&key(0)).is_some());
        assert!(keep(&results, 8, 500), "again");

        let nothing = Collecting::new(&results, key(9)).unwrap();
        nothing.keep(false);
        assert_eq!(results.find(&key(9)), Some(None));
        assert_is_consistent(&results);
    }

    #[test]
    fn one_result_has_its_share_at_most() {
        let results = Results::new(8 * (ENTRY + 1000));
        for number in 0..8 {
            assert!(keep(&results, number, 1000));
        }
        assert!(!keep(&results, 8, 1001), "more than its share");
        let collecting = Collecting::new(&results, key(9)).unwrap();
        let half = collecting.with(&[0; 600]).unwrap();
        assert!(half.with(&[0; 600]).is_none(), "in pieces, too");
        assert!(results.find(&key(9)).is_none());
        assert!(Collecting::new(&results, key(9)).is_none(), "it is known");
        let kept = (0..8).filter(|number| results.find(&key(*number)).is_some());
        assert!(kept.count() >= 6, "others made room for the rest only");
        assert_is_consistent(&results);
    }

    /// A client that reads slowly has its reply compressed for as long.
    #[test]
    fn what_is_being_compressed_leaves_half_of_the_room_to_results() {
        let results = Results::new(8 * (ENTRY + 1000));
        let mut slow = Vec::new();
        let begin = |number| Collecting::new(&results, key(number))?.with(&[0; 1000]);
        while let Some(collecting) = begin(100 + slow.len() as u64) {
            slow.push(collecting);
        }
        assert_eq!(slow.len(), 4);
        assert!(!keep(&results, 1, 1000), "it counts");
        slow.pop();
        for number in 0..4 {
            assert!(keep(&results, number, 1000));
        }
        assert!((0..4).all(|number| results.find(&key(number)).is_some()));
        drop(slow);
        assert_is_consistent(&results);
    }

    fn assert_is_consistent(results: &Arc<Results>) {
        let state = results.lock();
        let sum: usize = state.results.values().map(Entry::bytes).sum();
        assert_eq!((state.kept, state.reserved), (sum, 0));
        assert_eq!(state.order.len(), state.results.len());
        assert!(sum <= results.bytes_max);
    }

    #[test]
    fn without_a_limit_to_speak_of_nothing_is_kept() {
        let results = Results::new(0);
        assert!(!keep(&results, 1, 1));
        assert!(results.find(&key(1)).is_none());
    }
}
