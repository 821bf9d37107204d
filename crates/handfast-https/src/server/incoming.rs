//! The body of a request on its way from the connection that receives it to the handler that reads it.
//!
//! Both are usually in one task; a handler may pass the body on to another thread. The connection decodes only as much as is asked
//! for; what a handler leaves unread it discards, within limits, so that the answer arrives.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// Bytes that wait for a slow handler before no more are read from the connection.
const QUEUED_MAX: usize = 64 * 1024;

/// What comes in smaller pieces is put together up to here, in bytes. A client may send a body byte by byte, and each
/// piece of its own would take a hundred times the memory of what it holds.
const PIECE_MIN: usize = 4 * 1024;

/// Either end of the pipe.
#[derive(Debug, Clone)]
pub(super) struct Incoming(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    queue: VecDeque<Bytes>,
    /// What came last, as long as it is small.
    tail: BytesMut,
    /// Bytes in both.
    queued: usize,
    /// Bytes that the handler took since the connection last asked.
    taken: u64,
    /// The fields after the body, until they are taken.
    trailers: Option<Box<HeaderMap>>,
    /// What the head announced and has not arrived.
    announced: Option<u64>,
    end: Option<Result<(), Broken>>,
    reader: Reader,
    handler: Option<Waker>,
    connection: Option<Waker>,
}

/// What the handler does with the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// It has not looked yet.
    Idle,
    /// It looked.
    Reads,
    /// It never will (again).
    Gone,
}

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection or the stream ended.
    Cut(&'static str),
    /// It is spelled wrong.
    Malformed(&'static str),
}

impl Broken {
    fn to_error(&self) -> io::Error {
        match self {
            Self::Cut(what) => io::Error::new(io::ErrorKind::UnexpectedEof, *what),
            Self::Malformed(what) => io::Error::new(io::ErrorKind::InvalidData, *what),
        }
    }
}

impl Incoming {
    /// A body of so many bytes, or of any number.
    pub(super) fn new(announced: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(State {
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            queued: 0,
            taken: 0,
            trailers: None,
            announced,
            end: None,
            reader: Reader::Idle,
            handler: None,
            connection: None,
        })))
    }
}

impl Incoming {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// The connection's end.
impl Incoming {
    /// Should more be decoded now? The connection is woken when that changes, and when there is room for the client to
    /// send: the handler may read in another task.
    pub(super) fn poll_wanted(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        match &mut state.connection {
            Some(known) => known.clone_from(cx.waker()),
            None => state.connection = Some(cx.waker().clone()),
        }
        state.end.is_none() && state.reader == Reader::Reads && !state.is_full()
    }

    /// Has the handler looked for the body?
    pub(super) fn is_read(&self) -> bool {
        self.lock().reader == Reader::Reads
    }

    /// Whether the data will not be read.
    pub(super) fn is_unwanted(&self) -> bool {
        self.lock().reader == Reader::Gone
    }

    /// Passes on a copy of a piece. It is dropped if it will not be read.
    pub(super) fn push(&self, piece: &[u8]) {
        let mut state = self.lock();
        if let Some(announced) = &mut state.announced {
            *announced = announced.saturating_sub(piece.len() as u64);
        }
        if state.reader == Reader::Gone || piece.is_empty() {
            return;
        }
        state.queued += piece.len();
        if piece.len() < PIECE_MIN {
            state.tail.extend_from_slice(piece);
            if state.tail.len() >= PIECE_MIN {
                state.end_tail();
            }
        } else {
            state.end_tail();
            state.queue.push_back(Bytes::copy_from_slice(piece));
        }
        state.wake_handler();
    }

    /// The fields that follow the body; before its [end](Self::finish).
    pub(super) fn put_trailers(&self, fields: HeaderMap) {
        let mut state = self.lock();
        if state.reader != Reader::Gone && state.end.is_none() && !fields.is_empty() {
            state.trailers = Some(Box::new(fields));
        }
    }

    /// Nothing more will come; the first call counts.
    pub(super) fn finish(&self, end: Result<(), Broken>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
            state.wake_handler();
        }
    }

    /// Bytes that the handler took since this was last asked: room for the client to send.
    pub(super) fn take_taken(&self) -> u64 {
        std::mem::take(&mut self.lock().taken)
    }
}

// The handler's end.
impl Incoming {
    /// The next piece; `None` after the last.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut state = self.lock();
        let first_look = state.reader == Reader::Idle;
        state.reader = Reader::Reads;
        if state.queue.is_empty() {
            state.end_tail();
        }
        if let Some(piece) = state.queue.pop_front() {
            let was_full = state.is_full();
            state.queued -= piece.len();
            state.taken += piece.len() as u64;
            if was_full || state.queued == 0 {
                state.wake_connection();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match &state.end {
            Some(Ok(())) => return Poll::Ready(None),
            Some(Err(broken)) => return Poll::Ready(Some(Err(broken.to_error()))),
            None => {}
        }
        state.handler = Some(cx.waker().clone());
        if first_look {
            state.wake_connection();
        }
        Poll::Pending
    }

    /// Takes the fields that follow the body, once all of it has been read.
    pub(super) fn take_trailers(&self) -> Option<HeaderMap> {
        self.lock().trailers.take().map(|fields| *fields)
    }

    /// Has all of it been read?
    pub(super) fn is_end(&self) -> bool {
        let state = self.lock();
        state.queued == 0 && state.trailers.is_none() && state.end == Some(Ok(()))
    }

    /// Bytes that are still to be read, where that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        let state = self.lock();
        let queued = state.queued as u64;
        match &state.end {
            Some(_) => Some(queued),
            None => state.announced.map(|announced| announced + queued),
        }
    }

    /// The handler is done with it.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.reader = Reader::Gone;
        state.taken += std::mem::take(&mut state.queued) as u64;
        state.queue = VecDeque::new();
        state.tail = BytesMut::new();
        state.trailers = None;
        state.wake_connection();
    }
}

impl State {
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.queue.push_back(piece);
        }
    }

    fn is_full(&self) -> bool {
        self.queued >= QUEUED_MAX
    }

    fn wake_handler(&mut self) {
        if let Some(waker) = self.handler.take() {
            waker.wake();
        }
    }

    fn wake_connection(&mut self) {
        if let Some(waker) = self.connection.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn next(body: &Incoming) -> Poll<Option<Result<Bytes, io::ErrorKind>>> {
        body.poll_next(&Context::from_waker(Waker::noop()))
            .map(|piece| piece.map(|result| result.map_err(|error| error.kind())))
    }

    #[test]
    fn what_is_not_asked_for_is_not_decoded() {
        let cx = Context::from_waker(Waker::noop());
        let body = Incoming::new(Some(3));
        assert!(!body.poll_wanted(&cx));
        assert!(next(&body).is_pending());
        assert!(body.poll_wanted(&cx));
        assert_eq!(body.remaining(), Some(3));
        body.push(b"abc");
        body.finish(Ok(()));
        assert!(!body.is_end());
        assert_eq!(
            next(&body),
            Poll::Ready(Some(Ok(Bytes::from_static(b"abc"))))
        );
        assert_eq!(next(&body), Poll::Ready(None));
        assert!(body.is_end());
        assert_eq!((body.take_taken(), body.take_taken()), (3, 0));
    }

    #[test]
    fn a_slow_handler_holds_the_client_up() {
        let cx = Context::from_waker(Waker::noop());
        let body = Incoming::new(None);
        assert!(next(&body).is_pending());
        body.push(&vec![0; QUEUED_MAX]);
        assert!(!body.poll_wanted(&cx));
        assert!(next(&body).is_ready());
        assert!(body.poll_wanted(&cx));
    }

    #[test]
    fn the_connection_is_woken_when_data_is_taken_and_when_the_body_is_given_up() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let body = Incoming::new(None);
        assert!(!body.poll_wanted(&cx));
        assert!(next(&body).is_pending());
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "it is read");
        assert!(body.poll_wanted(&cx));
        body.push(b"abc");
        assert!(next(&body).is_ready());
        assert_eq!(count.0.load(Ordering::Relaxed), 2, "there is room");
        assert!(body.poll_wanted(&cx));
        body.give_up();
        assert_eq!(count.0.load(Ordering::Relaxed), 3, "it is unwanted");
    }

    #[test]
    fn a_body_that_was_cut_never_ends_in_order() {
        let body = Incoming::new(Some(5));
        body.push(b"abc");
        body.finish(Err(Broken::Cut("the client left")));
        body.finish(Ok(()));
        assert!(next(&body).is_ready());
        assert_eq!(
            next(&body),
            Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof)))
        );
        assert!(!body.is_end());
    }

    #[test]
    fn unread_bodies_are_not_kept() {
        let body = Incoming::new(None);
        body.push(b"abc");
        body.give_up();
        body.push(b"def");
        assert!(body.is_unwanted());
        assert_eq!(body.take_taken(), 3);
        assert_eq!(body.lock().queued, 0);
    }

    #[test]
    fn a_body_that_comes_byte_by_byte_is_put_together() {
        let body = Incoming::new(None);
        assert!(next(&body).is_pending());
        for byte in 0..=u8::MAX {
            for _ in 0..64 {
                body.push(&[byte]);
            }
        }
        assert_eq!(body.lock().queue.len(), 256 * 64 / PIECE_MIN);
        body.push(&[9; PIECE_MIN]);
        body.push(b"end");
        body.finish(Ok(()));
        let mut whole = Vec::new();
        while let Poll::Ready(Some(Ok(piece))) = next(&body) {
            whole.extend_from_slice(&piece);
        }
        let expected: Vec<u8> = (0..=u8::MAX).flat_map(|byte| [byte; 64]).collect();
        assert_eq!(whole[..expected.len()], expected);
        assert_eq!(whole.len(), expected.len() + PIECE_MIN + 3);
        assert!(body.is_end());
        assert_eq!(body.take_taken(), whole.len() as u64);
    }
}
