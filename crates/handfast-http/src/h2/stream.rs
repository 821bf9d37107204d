//! One stream (RFC 9113, section 5): which of its directions are open, and their windows.

use std::time::Instant;

/// A stream that has not ended.
#[derive(Debug)]
pub(super) struct Stream<T> {
    /// What the driver keeps with it.
    pub(super) own: T,
    /// Our direction is open.
    pub(super) sending: bool,
    /// Some of our message's body was sent.
    pub(super) begun: bool,
    /// Bytes of DATA that the peer takes; negative after it made its window smaller.
    pub(super) window: i64,
    /// The driver has something to send.
    pub(super) wants: bool,
    /// In the queue of those that get turns.
    pub(super) queued: bool,
    /// How fast it may send, while it wants to.
    pub(super) pace: Option<Pace>,
    /// The peer's direction, while that is open.
    pub(super) receiving: Option<Receiving>,
    /// Bytes that came and were not released.
    pub(super) held: u32,
}

/// A message that is arriving.
#[derive(Debug)]
pub(super) struct Receiving {
    /// The message's own head has come: interim responses may precede it.
    pub(super) begun: bool,
    /// It has no body, whatever it announces: the answer to HEAD.
    pub(super) bodiless: bool,
    /// What was announced and has not come.
    pub(super) length_left: Option<u64>,
    /// Bytes of DATA that the peer may send.
    pub(super) window: u32,
    /// Bytes that were released and not given back to the window.
    pub(super) owed: u32,
}

/// What a stream was allowed to send since a span began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) until: Instant,
    pub(super) sent: u64,
}

impl<T> Stream<T> {
    pub(super) fn new(own: T, window: i64) -> Self {
        Self {
            own,
            sending: true,
            begun: false,
            window,
            wants: false,
            queued: false,
            pace: None,
            receiving: None,
            held: 0,
        }
    }

    /// Has everything been said, by both sides?
    pub(super) fn is_done(&self) -> bool {
        !self.sending && self.receiving.is_none()
    }
}

impl Receiving {
    pub(super) fn new(window: u32) -> Self {
        Self {
            begun: false,
            bodiless: false,
            length_left: None,
            window,
            owed: 0,
        }
    }
}

/// The streams that are open, in the order of their numbers, which only grow. There are so few of them
/// that nothing finds one faster, but that the same one is asked for several times in a row.
#[derive(Debug)]
pub(super) struct Streams<T> {
    all: Vec<(u32, Box<Stream<T>>)>,
    /// Where the last one was found.
    last: usize,
}

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            last: 0,
        }
    }
}

impl<T> Streams<T> {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream<T>> {
        let at = self.find(id)?;
        self.all.get_mut(at).map(|(_, stream)| &mut **stream)
    }

    /// Adds the stream that was opened last.
    pub(super) fn add(&mut self, id: u32, stream: Stream<T>) {
        debug_assert!(self.all.last().is_none_or(|(last, _)| *last < id));
        self.all.push((id, Box::new(stream)));
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Box<Stream<T>>> {
        let at = self.find(id)?;
        Some(self.all.remove(at).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Stream<T>)> {
        self.all.iter().map(|(id, stream)| (*id, &**stream))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream<T>)> {
        self.all.iter_mut().map(|(id, stream)| (*id, &mut **stream))
    }

    fn find(&mut self, id: u32) -> Option<usize> {
        let is_here = |(here, _): &(u32, _)| *here == id;
        if !self.all.get(self.last).is_some_and(is_here) {
            self.last = self.all.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        }
        Some(self.last)
    }
}
