//! One stream (RFC 9113, section 5): its directions and their windows.

use std::time::Instant;

use super::priority::Priority;

/// A stream that has not ended.
#[derive(Debug)]
pub(super) struct Stream<T> {
    /// The driver's data.
    pub(super) own: T,
    /// Our direction is open.
    pub(super) sending: bool,
    /// A part of our message's body was sent.
    pub(super) begun: bool,
    /// The peer's window; negative after the peer reduced it.
    pub(super) window: i64,
    /// The driver has something to send.
    pub(super) wants: bool,
    pub(super) priority: Priority,
    /// In the queue for turns.
    pub(super) queued: bool,
    /// How fast the peer's windows let it send, while it has something to send.
    pub(super) pace: Option<Pace>,
    /// The peer's direction, while it is open.
    pub(super) receiving: Option<Receiving>,
    /// Bytes that were received and not released.
    pub(super) held: u32,
}

/// A message that is being received.
#[derive(Debug)]
pub(super) struct Receiving {
    /// The final head has arrived: interim responses may precede it.
    pub(super) begun: bool,
    /// It has no body, even if a length is announced: the response to HEAD.
    pub(super) bodiless: bool,
    /// Announced bytes that have not arrived.
    pub(super) length_left: Option<u64>,
    /// Our window.
    pub(super) window: u32,
    /// Bytes that were released and not yet added to the window.
    pub(super) owed: u32,
}

/// How much a stream was able to send since a span began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) until: Instant,
    pub(super) sent: u64,
}

/// What the window of the connection has let through.
#[derive(Debug, Clone, Copy)]
pub(super) struct LetThrough {
    /// When it was enough for a span the last time.
    pub(super) at: Instant,
    /// Bytes since then.
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
            priority: Priority::default(),
            queued: false,
            pace: None,
            receiving: None,
            held: 0,
        }
    }

    /// Whether both directions have ended.
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

/// The open streams, in the order of their identifiers, which only increase. There are so few that a search is
/// fast; the last position is cached because the same stream is often looked up several times in a row.
#[derive(Debug)]
pub(super) struct Streams<T> {
    all: Vec<(u32, Box<Stream<T>>)>,
    /// The position of the last lookup.
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
