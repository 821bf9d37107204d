//! Work that takes a processor for long, off the thread that serves and behind it: a thread for each serving thread, made
//! when it is first needed and gone with it, with a lower priority. A thread that serves has waited when it wakes up, and
//! with equal priorities it would wait for the rest of a time slice first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use tokio::sync::oneshot;

/// By how much the priority is lower: a tenth of the time where others want all of it, and all that they leave.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static BEHIND: RefCell<Option<Behind>> = const { RefCell::new(None) };
}

/// Work under way. Dropping it removes the work if it has not begun; what has begun runs to its end.
#[derive(Debug)]
pub(crate) struct Work<T> {
    result: oneshot::Receiver<T>,
    /// Where it waits, and its number there. `None` when there was no thread for it.
    place: Option<(Arc<Queue>, u64)>,
}

/// Does this behind the thread that serves, after what was given before.
pub(crate) fn behind<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Work<T> {
    let (done, result) = oneshot::channel();
    let job = Box::new(move || {
        let _ = done.send(work());
    });
    // Without a thread the job is dropped, and its receiver is told.
    let place = add(job).ok();
    Work { result, place }
}

impl<T> Future for Work<T> {
    /// An error when the work panicked, or there was no thread for it.
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().result)
            .poll(cx)
            .map_err(io::Error::other)
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        if let Some((queue, number)) = &self.place {
            let waiting = queue.lock().jobs.remove(number);
            // What it holds is released without the lock.
            drop(waiting);
        }
    }
}

/// Jobs that wait, in their order: one at most for each [`Work`] that is waited for.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: BTreeMap<u64, Job>,
    jobs_ever: u64,
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: Job) -> u64 {
        let mut waiting = self.lock();
        let number = waiting.jobs_ever;
        waiting.jobs_ever += 1;
        waiting.jobs.insert(number, job);
        self.changed.notify_one();
        number
    }

    /// Waits for the next job; `None` when the thread that serves has ended.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        while !waiting.ended {
            if let Some((_, job)) = waiting.jobs.pop_first() {
                return Some(job);
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.lock().jobs.len();
        f.debug_struct("Queue").field("waiting", &waiting).finish()
    }
}

/// The thread behind this one. It ends when this is dropped.
struct Behind(Arc<Queue>);

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_one();
    }
}

fn add(job: Job) -> io::Result<(Arc<Queue>, u64)> {
    BEHIND.with_borrow_mut(|behind| {
        let queue = match behind {
            Some(Behind(queue)) => queue,
            None => &behind.insert(start()?).0,
        };
        Ok((Arc::clone(queue), queue.add(job)))
    })
}

fn start() -> io::Result<Behind> {
    let queue = Arc::new(Queue::default());
    let jobs = Arc::clone(&queue);
    thread::Builder::new()
        .name("handfast-listing".to_owned())
        .spawn(move || {
            lower_priority();
            while let Some(job) = jobs.next() {
                // One that panics drops its sender, which its caller is told.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
    Ok(Behind(queue))
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
    use std::sync::mpsc;

    use super::*;

    /// Keeps the thread busy until the sender is dropped.
    fn busy() -> (mpsc::Sender<()>, Work<bool>) {
        let (go_on, gate) = mpsc::channel::<()>();
        (go_on, behind(move || gate.recv().is_err()))
    }

    #[tokio::test]
    async fn work_is_done_on_one_thread_in_order() {
        let id = || thread::current().id();
        let first = behind(id).await.unwrap();
        assert_ne!(first, id());
        let (go_on, busy) = busy();
        let (sender, order) = mpsc::channel();
        let works: Vec<_> = (0..1000)
            .map(|number| {
                let sender = sender.clone();
                behind(move || sender.send((number, id())).unwrap())
            })
            .collect();
        drop(go_on);
        busy.await.unwrap();
        for work in works {
            work.await.unwrap();
        }
        let order: Vec<_> = order.try_iter().collect();
        assert!(order == (0..1000).map(|number| (number, first)).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn work_after_a_job_that_panics_is_done() {
        let (go_on, busy) = busy();
        let panics = behind(|| panic!("a job that fails"));
        let next = behind(|| 1);
        drop(go_on);
        busy.await.unwrap();
        assert!(panics.await.is_err());
        assert_eq!(next.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn cancelled_work_is_never_started_and_its_resources_are_released_at_once() {
        let (go_on, busy) = busy();
        let resource = Arc::new(());
        let holds = Arc::clone(&resource);
        let work = behind(move || panic!("begun with {holds:?}"));
        assert_eq!(Arc::strong_count(&resource), 2);
        drop(work);
        assert_eq!(Arc::strong_count(&resource), 1);
        drop(go_on);
        busy.await.unwrap();
        behind(|| ()).await.unwrap();
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
