//! Which streams of a connection were woken.
//!
//! All streams of a connection live in its task, which would have to look at each of them whenever
//! any has something to do. A stream that waits has a waker of its own instead, so that the cost of
//! waking does not grow with the number of streams.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The streams that were woken since the connection last looked.
#[derive(Debug, Default)]
pub(super) struct Woken(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    streams: Vec<u32>,
    connection: Option<Waker>,
}

impl Woken {
    /// The task to wake when a stream is woken.
    pub(super) fn register(&self, connection: &Waker) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.connection {
            Some(known) => known.clone_from(connection),
            None => state.connection = Some(connection.clone()),
        }
    }

    /// Takes what was woken into `streams`, which must be empty.
    pub(super) fn take(&self, streams: &mut Vec<u32>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.streams, streams);
    }

    /// A waker for one stream.
    pub(super) fn waker(self: &Arc<Self>, stream: u32) -> Waker {
        Waker::from(Arc::new(StreamWaker {
            stream,
            woken: Arc::clone(self),
        }))
    }
}

struct StreamWaker {
    stream: u32,
    woken: Arc<Woken>,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.streams.contains(&self.stream) {
            state.streams.push(self.stream);
        }
        let connection = state.connection.clone();
        drop(state);
        if let Some(connection) = connection {
            connection.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_woken_once_and_by_its_number() {
        let woken = Arc::new(Woken::default());
        woken.register(Waker::noop());
        let (one, two) = (woken.waker(1), woken.waker(3));
        one.wake_by_ref();
        two.wake();
        one.wake();
        let mut streams = Vec::new();
        woken.take(&mut streams);
        assert_eq!(streams, [1, 3]);
        streams.clear();
        woken.take(&mut streams);
        assert!(streams.is_empty());
    }
}
