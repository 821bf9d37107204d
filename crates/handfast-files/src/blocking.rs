//! Work that may block on a disk, on a separate thread.
//!
//! Work is cancelled by dropping it before it starts.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::{JoinHandle, spawn_blocking};

/// Submitted work.
#[derive(Debug)]
pub(crate) struct Work<T>(JoinHandle<T>);

/// Runs this on a thread that may block, once one is free.
pub(crate) fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Work<T> {
    Work(spawn_blocking(work))
}

impl<T> Future for Work<T> {
    /// An error if the work panicked, or the server is stopping.
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().0)
            .poll(cx)
            .map_err(io::Error::other)
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        // Started work continues to its end; other work is dropped.
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn cancelled_work_is_never_started() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (done, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(())));
            let shut = gate.lock().unwrap();
            let counting = || {
                let (done, gate) = (Arc::clone(&done), Arc::clone(&gate));
                off_thread(move || {
                    drop(gate.lock());
                    done.fetch_add(1, Ordering::SeqCst)
                })
            };
            let first = counting();
            for _ in 0..1000 {
                drop(counting());
            }
            let last = counting();
            drop(shut);
            assert_eq!((first.await.unwrap(), last.await.unwrap()), (0, 1));
        });
    }
}
