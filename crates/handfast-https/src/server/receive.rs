//! Bytes of HTTP that were received and not yet understood.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use handfast::{AsyncStream, Ending};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::engine::{Failure, Transport};
use super::state::ConnectionState;

/// What one read takes at most, in bytes: a full record.
pub(super) const SCRATCH: usize = 16 * 1024;

/// What an idle connection may keep for its next request.
const KEPT_MAX: usize = 512;

thread_local! {
    /// Plaintext passes through here, so that a connection holds only what it has not understood.
    static SCRATCHED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
}

impl Received {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Has the client ended its direction?
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Nothing more is expected soon.
    pub(super) fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_MAX {
            self.bytes = Vec::new();
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        // What was consumed makes room before more is taken.
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// Reads once; ready when there is more, or the end.
pub(super) fn poll_receive<T: Transport>(
    cx: &mut Context<'_>,
    stream: &mut AsyncStream<T>,
    received: &mut Received,
    connection: &ConnectionState,
) -> Poll<Result<(), Failure>> {
    poll_read_with(cx, stream, connection, SCRATCH, |bytes| match bytes {
        [] => received.ended = true,
        bytes => received.add(bytes),
    })
}

/// Reads once, at most `max` bytes, and hands over what came; nothing at the end of the client's direction.
///
/// A request says itself where it ends, so that a missing `close_notify` takes nothing from it; what
/// it does end is the waiting for the next one.
pub(super) fn poll_read_with<T: Transport>(
    cx: &mut Context<'_>,
    stream: &mut AsyncStream<T>,
    connection: &ConnectionState,
    max: usize,
    take: impl FnOnce(&[u8]),
) -> Poll<Result<(), Failure>> {
    SCRATCHED.with_borrow_mut(|scratch| {
        let room = max.min(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
            Ok(()) => {
                if !buffer.filled().is_empty() {
                    connection.activity.received();
                }
                take(buffer.filled());
                Poll::Ready(Ok(()))
            }
            Err(_) if stream.ending() == Some(Ending::Premature) => {
                take(&[]);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(Failure::io(error))),
        }
    })
}
