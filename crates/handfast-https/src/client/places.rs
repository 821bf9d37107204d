//! How many connections a client may have open at once: each takes a place, and gives it back when it is closed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::origin::Origin;

/// How many connections a client has, and how long it keeps those that are idle.
///
/// A request for which there is no connection, and none may be made, waits for one to be given back or closed; an
/// idle connection to another server is closed to make room for it. How long it waits is limited by
/// [`ClientBuilder::total_max`](super::ClientBuilder::total_max) only: it is not the server that keeps it waiting.
///
/// ```
/// use handfast_https::client::PoolLimits;
///
/// let mut limits = PoolLimits::default();
/// limits.connections_max = 100;
/// limits.per_origin_max = 6;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolLimits {
    /// How many connections may be open at once, used or idle; at least 1. Default: any number.
    pub connections_max: usize,
    /// How many of them to one origin; at least 1. Exchanges over HTTP/2 share one. Default: any number.
    pub per_origin_max: usize,
    /// How many idle connections are kept in all. Default: 64. Each is a descriptor, and some memory of a server's.
    pub idle_max: usize,
    /// How many idle connections are kept for one origin. Default: 8. One exchange at a time leaves one; this bounds
    /// what a burst leaves behind.
    pub idle_per_origin_max: usize,
    /// How long an idle connection is kept. Default: 60 s. Servers close theirs after 5 to 75 seconds; a
    /// request sent over one that is being closed has to be sent again.
    pub idle_time_max: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connections_max: usize::MAX,
            per_origin_max: usize::MAX,
            idle_max: 64,
            idle_per_origin_max: 8,
            idle_time_max: Duration::from_secs(60),
        }
    }
}

/// The places of a client's connections.
#[derive(Debug)]
pub(super) struct Places(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    connections_max: usize,
    per_origin_max: usize,
    open: usize,
    of_origin: HashMap<Origin, usize>,
    /// The waiting exchanges, first come first served.
    waiting: VecDeque<(Origin, oneshot::Sender<()>)>,
}

/// Of what there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The origin has all of its connections.
    OfOrigin,
    /// All connections are there.
    InAll,
}

impl Places {
    pub(super) fn new(limits: &PoolLimits) -> Self {
        Self(Arc::new(Mutex::new(Counts {
            connections_max: limits.connections_max.max(1),
            per_origin_max: limits.per_origin_max.max(1),
            open: 0,
            of_origin: HashMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    /// A place for a connection to this origin, or the right to be told when to ask again.
    pub(super) fn take(&self, origin: &Origin) -> Result<Place, (Shortage, Waiting)> {
        let mut counts = lock(&self.0);
        if let Some(shortage) = counts.shortage(origin) {
            let (sender, told) = oneshot::channel();
            // Those who have gone are not waited for.
            counts.waiting.retain(|(_, sender)| !sender.is_closed());
            counts.waiting.push_back((origin.clone(), sender));
            let waiting = Waiting {
                told,
                counts: Arc::clone(&self.0),
                origin: origin.clone(),
                is_over: false,
            };
            return Err((shortage, waiting));
        }
        counts.open += 1;
        *counts.of_origin.entry(origin.clone()).or_default() += 1;
        Ok(Place(Some((Arc::clone(&self.0), origin.clone()))))
    }

    /// A connection to this origin was given back: tells one who waits for it. Was there one?
    pub(super) fn wake(&self, origin: &Origin) -> bool {
        lock(&self.0).wake(origin)
    }

    /// There is a connection to this origin that can be shared: tells all who wait for it.
    pub(super) fn wake_all(&self, origin: &Origin) {
        let mut counts = lock(&self.0);
        while counts.wake(origin) {}
    }

    /// One who was told has no need of a place any more: tells the first who could make a connection now. Is another waiting
    /// for any connection to be closed?
    pub(super) fn pass_on(&self) -> bool {
        let mut counts = lock(&self.0);
        counts.wake_for_place();
        let mut waiting = counts.waiting.iter();
        waiting.any(|(origin, _)| counts.shortage(origin) == Some(Shortage::InAll))
    }
}

impl Counts {
    fn shortage(&self, origin: &Origin) -> Option<Shortage> {
        let of_origin = self.of_origin.get(origin).copied().unwrap_or(0);
        if of_origin >= self.per_origin_max {
            return Some(Shortage::OfOrigin);
        }
        (self.open >= self.connections_max).then_some(Shortage::InAll)
    }

    fn wake(&mut self, origin: &Origin) -> bool {
        self.wake_first(|_, waits_for| waits_for == origin)
    }

    /// Tells the first who could make a connection now.
    fn wake_for_place(&mut self) {
        let _: bool = self.wake_first(|counts, waits_for| counts.shortage(waits_for).is_none());
    }

    fn wake_first(&mut self, is_meant: impl Fn(&Self, &Origin) -> bool) -> bool {
        let mut at = 0;
        while let Some((origin, _)) = self.waiting.get(at) {
            if !is_meant(self, origin) {
                at += 1;
                continue;
            }
            if let Some((_, sender)) = self.waiting.remove(at)
                && sender.send(()).is_ok()
            {
                return true;
            }
        }
        false
    }
}

/// The place of one connection. Dropped, it is free.
#[derive(Debug, Default)]
pub(super) struct Place(Option<(Arc<Mutex<Counts>>, Origin)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((counts, origin)) = self.0.take() else {
            return;
        };
        let mut counts = lock(&counts);
        counts.open = counts.open.saturating_sub(1);
        if let Some(count) = counts.of_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                counts.of_origin.remove(&origin);
            }
        }
        counts.wake_for_place();
    }
}

/// An exchange that waits for a connection.
#[derive(Debug)]
pub(super) struct Waiting {
    told: oneshot::Receiver<()>,
    counts: Arc<Mutex<Counts>>,
    origin: Origin,
    is_over: bool,
}

impl Waiting {
    /// Until it is worth asking again.
    pub(super) async fn wait(mut self) {
        let _ = (&mut self.told).await;
        self.is_over = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.told.close();
        if !self.is_over && self.told.try_recv().is_ok() {
            // What it was told is for another.
            let mut counts = lock(&self.counts);
            if !counts.wake(&self.origin) {
                counts.wake_for_place();
            }
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
