//! Work that takes a processor for long, off the thread that serves and behind it: a thread for each serving thread, made
//! when it is first needed and gone with it, with a lower priority. A thread that serves has waited when it wakes up, and
//! with equal priorities it would wait for the rest of a time slice first.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll};
use std::thread;

use tokio::sync::oneshot;

/// By how much the priority is lower: a tenth of the time where others want all of it, and all that they leave.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// Jobs that wait: listings come one at a time.
const WAITING_MAX: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static JOBS: RefCell<Option<SyncSender<Job>>> = const { RefCell::new(None) };
}

/// Work under way. Work that was begun runs to its end, even if its result is not wanted any more; other work is dropped.
#[derive(Debug)]
pub(crate) struct Work<T>(oneshot::Receiver<T>);

/// Does this behind the thread that serves.
pub(crate) fn behind<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Work<T> {
    let (done, result) = oneshot::channel();
    let job = Box::new(move || {
        if !done.is_closed() {
            let _ = done.send(work());
        }
    });
    // A job that finds no thread is dropped, which its receiver is told.
    let _ = enqueue(job);
    Work(result)
}

impl<T> Future for Work<T> {
    /// An error when the work panicked, or there was no thread for it.
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().0)
            .poll(cx)
            .map_err(io::Error::other)
    }
}

fn enqueue(job: Job) -> io::Result<()> {
    JOBS.with_borrow_mut(|jobs| {
        let unsent = match jobs {
            Some(sender) => sender.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        match unsent {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(io::ErrorKind::WouldBlock.into()),
            // There is none yet, or a job panicked.
            Err(TrySendError::Disconnected(job)) => {
                let sender = start()?;
                let sent = sender.try_send(job);
                *jobs = Some(sender);
                sent.map_err(|_| io::ErrorKind::WouldBlock.into())
            }
        }
    })
}

/// Starts a thread, which ends when its sender is dropped.
fn start() -> io::Result<SyncSender<Job>> {
    let (sender, jobs) = sync_channel::<Job>(WAITING_MAX);
    thread::Builder::new()
        .name("handfast-listing".to_owned())
        .spawn(move || {
            lower_priority();
            while let Ok(job) = jobs.recv() {
                job();
            }
        })?;
    Ok(sender)
}

/// A thread has a priority of its own on Linux alone. Without leave it goes on with the one that it has.
#[cfg(target_os = "linux")]
fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};
    if let Ok(now) = getpriority_process(None) {
        let _ = setpriority_process(None, now.saturating_add(NICER));
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_one_thread_until_a_job_panics_and_then_on_another() {
        let id = || thread::current().id();
        let first = behind(id).await.unwrap();
        assert_ne!(first, id());
        assert_eq!(behind(id).await.unwrap(), first);
        assert!(behind(|| panic!("a job that fails")).await.is_err());
        // It may still be going.
        while behind(id).await.is_ok_and(|now| now == first) {}
        assert_ne!(behind(id).await.unwrap(), first);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_comes_after_what_serves() {
        use rustix::process::getpriority_process;
        let serving = getpriority_process(None).unwrap();
        let behind = behind(|| getpriority_process(None).unwrap());
        let expected = serving.saturating_add(NICER).min(19);
        assert_eq!(behind.await.unwrap(), expected);
        assert_eq!(getpriority_process(None).unwrap(), serving);
    }
}
