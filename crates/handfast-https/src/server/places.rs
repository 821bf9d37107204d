//! Places for connections, of which there are so many and no more
//! ([`Limits::connections_max`](super::Limits::connections_max)).
//!
//! A listener asks for a place with a connection in its hands, so that a place that becomes free goes to
//! a connection that uses it. While connections wait, those that have one are asked to make room: kept
//! connections that idle are closed, the longest idle first, and replies end theirs. The last few places
//! are given away for one request each.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

/// One place in so many is kept for connections that end with their first reply, up to [`RESERVE_MAX`]: a client that
/// comes while idle connections are being closed is served meanwhile.
const RESERVED_OF: usize = 16;
const RESERVE_MAX: usize = 64;

/// Full means over again when one place in so many is free: filling up before that is not reported again.
const RELIEF_OF: usize = 8;

/// How long a kept connection has been idle before it is closed to make room: the requests of one page come within
/// less.
pub(super) const IDLE_MIN: Duration = Duration::from_secs(5);

/// How often idle connections are looked for while places are wanted.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// All places of a server. Shared by its threads.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    free: Semaphore,
    /// Connections that were accepted and have no place.
    waiting: AtomicUsize,
    /// Connections that have a place and end with their next reply, for those that wait.
    promised: AtomicUsize,
    /// It was told that there is no place left.
    full: AtomicBool,
    wanted: Notify,
}

/// A connection's place. Free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    brief: bool,
    promised: Cell<bool>,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            max,
            free: Semaphore::new(max),
            waiting: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            wanted: Notify::new(),
        })
    }

    /// Places that there are.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.max - self.free.available_permits().min(self.max)
    }

    /// Takes a place, as soon as there is one. When it has to wait, and none had to for some time, it says
    /// so: to `tell`, with the number of places that there are.
    pub(super) async fn take(self: &Arc<Self>, tell: impl FnOnce(usize)) -> Place {
        let permit = match self.free.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _waiting = Waiting::new(self);
                if !self.full.swap(true, Ordering::Relaxed) {
                    tell(self.max);
                }
                self.wanted.notify_waiters();
                self.free.acquire().await.ok()
            }
        };
        if let Some(permit) = permit {
            permit.forget();
        }
        let brief = self.free.available_permits() < self.reserve();
        if brief {
            self.wanted.notify_waiters();
        }
        Place {
            places: Arc::clone(self),
            brief,
            promised: Cell::new(false),
        }
    }

    /// Places that idle connections should make, now.
    pub(super) fn wanted(&self) -> usize {
        let missing = self.reserve().saturating_sub(self.free.available_permits());
        self.waiting.load(Ordering::Relaxed) + missing
    }

    /// Waits until places are wanted.
    pub(super) async fn until_wanted(&self) {
        loop {
            // Hears of what is said from here on.
            let wanted = self.wanted.notified();
            if self.wanted() > 0 {
                return;
            }
            wanted.await;
        }
    }

    fn reserve(&self) -> usize {
        (self.max / RESERVED_OF).min(RESERVE_MAX)
    }

    /// Is one more of those that wait without a place promised to them?
    fn promise(&self) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        waiting > 0
            && self
                .promised
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |promised| {
                    (promised < waiting).then_some(promised + 1)
                })
                .is_ok()
    }
}

impl Place {
    /// Is the connection to end with the reply that is being made?
    pub(super) fn is_wanted(&self) -> bool {
        if self.brief || self.promised.get() {
            return true;
        }
        let promised = self.places.promise();
        self.promised.set(promised);
        promised
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.places;
        if self.promised.get() {
            places.promised.fetch_sub(1, Ordering::Relaxed);
        }
        // Goes to the connection that has waited longest, if any.
        places.free.add_permits(1);
        let relief = (places.max / RELIEF_OF).max(1);
        if places.full.load(Ordering::Relaxed) && places.free.available_permits() >= relief {
            places.full.store(false, Ordering::Relaxed);
        }
    }
}

/// Counts one that waits, for as long as it does.
struct Waiting<'p>(&'p Places);

impl<'p> Waiting<'p> {
    fn new(places: &'p Places) -> Self {
        places.waiting.fetch_add(1, Ordering::Relaxed);
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn take(places: &Arc<Places>) -> Option<Place> {
        now(pin!(places.take(|_| {})))
    }

    #[test]
    fn a_free_place_goes_to_a_waiting_connection_and_there_are_never_more() {
        let places = Places::new(2);
        let (first, second) = (take(&places).unwrap(), take(&places).unwrap());
        let mut told = 0;
        {
            let mut third = pin!(places.take(|max| told = max));
            let mut fourth = pin!(places.take(|_| panic!("that was told already")));
            assert!(now(third.as_mut()).is_none() && now(fourth.as_mut()).is_none());
            assert_eq!(places.wanted(), 2);
            drop(first);
            assert!(now(fourth.as_mut()).is_none(), "the third came before");
            let _third = now(third.as_mut()).unwrap();
            assert_eq!((places.taken(), places.wanted()), (2, 1));
            drop(second);
            assert!(now(fourth.as_mut()).is_some());
        }
        assert_eq!((told, places.taken(), places.wanted()), (2, 0, 0));
    }

    #[test]
    fn an_exchange_that_gives_up_waiting_is_not_waited_for() {
        let places = Places::new(1);
        let only = take(&places).unwrap();
        assert!(take(&places).is_none());
        assert_eq!(places.wanted(), 0);
        drop(only);
        assert!(take(&places).is_some());
    }

    #[test]
    fn as_many_replies_end_their_connection_as_others_wait() {
        let places = Places::new(3);
        let held: Vec<_> = (0..3).map(|_| take(&places).unwrap()).collect();
        assert!(!held[0].is_wanted());
        let mut waits = pin!(places.take(|_| {}));
        assert!(now(waits.as_mut()).is_none());
        assert!(held[0].is_wanted() && held[0].is_wanted());
        assert!(!held[1].is_wanted(), "one waits, and one goes");
        drop(held);
        assert!(now(waits.as_mut()).is_some());
        assert_eq!(places.promised.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_last_places_are_for_one_request_each() {
        let places = Places::new(32);
        let held: Vec<_> = (0..32).map(|_| take(&places).unwrap()).collect();
        let brief = held.iter().filter(|place| place.is_wanted()).count();
        assert_eq!(brief, 2);
        assert_eq!(places.wanted(), 2);
        assert!(take(&Places::new(1)).is_some_and(|place| !place.is_wanted()));
    }

    #[test]
    fn being_full_is_reported_once_until_places_are_free() {
        let places = Places::new(16);
        let mut held: Vec<_> = (0..16).map(|_| take(&places).unwrap()).collect();
        let full = |expected: bool| {
            let mut told = false;
            assert!(now(pin!(places.take(|_| told = true))).is_none());
            assert_eq!(told, expected);
        };
        full(true);
        full(false);
        held.pop();
        held.push(take(&places).unwrap());
        full(false);
        held.truncate(14);
        held.extend((0..2).map(|_| take(&places).unwrap()));
        full(true);
    }
}
