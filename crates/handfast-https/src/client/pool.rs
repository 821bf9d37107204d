//! The connections of a client that can serve another exchange: how many are kept, and for how long.
//!
//! A connection of HTTP/1.1 is here while it is idle; one of HTTP/2 from its handshake on, as exchanges share
//! it. Who finds none makes one; meanwhile others who want the same origin wait, for it may turn out to be
//! one that can be shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use handfast::CloseOutcome;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::facts::Opened;
use super::http1::Http1;
use super::http2;
use super::origin::Origin;
use super::places::{Place, Places, PoolLimits, Shortage, Waiting};

/// Of how many origins it is remembered which version they speak. Then all are forgotten.
const REMEMBERED_MAX: usize = 1000;

/// A connection that can serve an exchange, and where it leads.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) opened: Arc<Opened>,
    pub(super) speaks: Speaks,
    /// Of the exchange that it was given to, over HTTP/2.
    pub(super) claim: Option<http2::Claim>,
}

#[derive(Debug)]
pub(super) enum Speaks {
    Http1(Box<Http1>),
    Http2(http2::Shared),
}

impl Connection {
    /// Closes in order within the limit.
    pub(super) async fn close(self, limit: Duration) -> CloseOutcome {
        match self.speaks {
            Speaks::Http1(http1) => http1.close(limit).await,
            Speaks::Http2(shared) => shared.close(limit).await,
        }
    }

    /// Is it worth trying to send something?
    pub(super) fn is_open(&mut self) -> bool {
        match &mut self.speaks {
            Speaks::Http1(http1) => {
                http1.look(&mut Context::from_waker(Waker::noop()));
                http1.is_open()
            }
            Speaks::Http2(shared) => shared.is_open(),
        }
    }
}

/// What a client found when it asked for a connection.
#[derive(Debug)]
pub(super) enum Found {
    /// One that has served before, or still does.
    Kept(Connection),
    /// None: make one, and say so by the permit.
    Make(Making),
    /// None, and no more may be made: wait for one to be closed or given back, then ask again. The others are to be
    /// closed, to make room.
    Full(Waiting, Vec<Connection>),
    /// Another exchange makes one: wait for it, then ask again.
    Wait(Arc<Semaphore>),
}

/// Connections that are kept, and how many there may be.
#[derive(Debug)]
pub(super) struct Pool {
    limits: PoolLimits,
    places: Places,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    /// Origins to which a task is connecting, possibly over HTTP/2.
    making: HashMap<Origin, Arc<Semaphore>>,
    versions: HashMap<Origin, Known>,
    reaper: Option<AbortHandle>,
}

#[derive(Debug)]
struct Kept {
    origin: Origin,
    since: Instant,
    link: Connection,
}

impl Kept {
    /// Since when it is idle; `None` while exchanges go over it.
    fn idle_since(&self) -> Option<Instant> {
        match &self.link.speaks {
            Speaks::Http1(_) => Some(self.since),
            Speaks::Http2(shared) => shared.idle_since(),
        }
    }
}

/// What is known of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its connections are not shared: no task waits for another one's.
    NotShared,
    /// It asks for HTTP/1.1, though it speaks HTTP/2.
    WantsHttp1,
}

impl Pool {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            places: Places::new(&limits),
            limits,
            state: Mutex::default(),
        }
    }

    /// A connection to this origin, or what to do instead.
    pub(super) fn find(&self, origin: &Origin) -> Found {
        let mut state = self.state();
        let mut at = state.kept.len();
        // The one that was used last is the one that is open most probably.
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let Some(kept) = state.kept.get_mut(at) else {
                break;
            };
            if kept.origin != *origin {
                continue;
            }
            if !kept.link.is_open() {
                state.kept.remove(at);
                continue;
            }
            let link = match &kept.link.speaks {
                Speaks::Http2(shared) => Connection {
                    opened: Arc::clone(&kept.link.opened),
                    claim: Some(shared.claim()),
                    speaks: Speaks::Http2(shared.clone()),
                },
                Speaks::Http1(_) => state.kept.remove(at).link,
            };
            // Who waited until now may have been told of a place.
            self.places.pass_on();
            return Found::Kept(link);
        }
        let is_shared = !state.versions.contains_key(origin);
        if is_shared
            && let Some(making) = state.making.get(origin)
            && !making.is_closed()
        {
            self.places.pass_on();
            return Found::Wait(Arc::clone(making));
        }
        let place = match self.places.take(origin) {
            Ok(place) => Some(place),
            Err((Shortage::OfOrigin, waiting)) => return Found::Full(waiting, Vec::new()),
            Err((Shortage::InAll, waiting)) => {
                return Found::Full(waiting, state.take_idle(|_| true).into_iter().collect());
            }
        };
        if !is_shared {
            return Found::Make(Making { gate: None, place });
        }
        // It gives out no permits: it is closed when the connection was made, or could not be.
        let gate = Arc::new(Semaphore::new(0));
        // Those whose makers were given up.
        state.making.retain(|_, gate| !gate.is_closed());
        state.making.insert(origin.clone(), Arc::clone(&gate));
        Found::Make(Making {
            gate: Some(gate),
            place,
        })
    }

    /// The connection was made, or could not be: those who wait for it ask again.
    pub(super) fn made(&self, origin: &Origin, making: Making, made: Option<&Connection>) {
        let mut state = self.state();
        if making.gate.is_some() {
            state.making.remove(origin);
        }
        match made.map(|link| (&link.opened, &link.speaks)) {
            Some((opened, Speaks::Http2(shared))) => {
                state.versions.remove(origin);
                let link = Connection {
                    opened: Arc::clone(opened),
                    speaks: Speaks::Http2(shared.clone()),
                    claim: None,
                };
                state.keep(origin, link);
                self.places.wake_all(origin);
            }
            // Where none can be made, all find out at once, and not one after the other.
            _ => state.remember(origin, Known::NotShared),
        }
    }

    /// The origin asks for HTTP/1.1.
    pub(super) fn note_http1(&self, origin: &Origin) {
        self.state().remember(origin, Known::WantsHttp1);
    }

    /// Has the origin asked for HTTP/1.1?
    pub(super) fn wants_http1(&self, origin: &Origin) -> bool {
        self.state().versions.get(origin) == Some(&Known::WantsHttp1)
    }

    /// Keeps a connection for the next exchange; gives those for which there is no room.
    pub(super) fn keep(&self, origin: &Origin, link: Connection) -> Vec<Connection> {
        let mut state = self.state();
        state.keep(origin, link);
        let mut evicted = state.evict(&self.limits, origin);
        if !self.places.wake(origin) && evicted.is_empty() {
            evicted.extend(self.make_room(&mut state));
        }
        evicted
    }

    /// A connection of HTTP/2 to this origin has become idle; gives those for which there is no room.
    pub(super) fn rested(&self, origin: &Origin) -> Vec<Connection> {
        let mut state = self.state();
        let mut evicted = state.evict(&self.limits, origin);
        if evicted.is_empty() {
            evicted.extend(self.make_room(&mut state));
        }
        evicted
    }

    /// One who waited for a connection has given up; what it may have been told of is for others. Gives what is to be closed
    /// for them.
    pub(super) fn given_up(&self) -> Vec<Connection> {
        self.make_room(&mut self.state()).into_iter().collect()
    }

    /// Takes out an idle one if another exchange waits for any to be closed.
    fn make_room(&self, state: &mut State) -> Option<Connection> {
        match self.places.pass_on() {
            true => state.take_idle(|_| true),
            false => None,
        }
    }

    /// Takes out a connection that serves nothing more, unless others still use it.
    pub(super) fn forget(&self, shared: &http2::Shared) {
        let mut state = self.state();
        state.kept.retain(
            |kept| !matches!(&kept.link.speaks, Speaks::Http2(other) if other.is_same(shared)),
        );
    }

    /// All of them.
    pub(super) fn take_all(&self) -> Vec<Connection> {
        let kept = std::mem::take(&mut self.state().kept);
        kept.into_iter().map(|kept| kept.link).collect()
    }

    /// Takes out those that have been idle for too long; says when to ask again, if there are any left.
    pub(super) fn expire(&self, now: Instant) -> (Vec<Connection>, Option<Instant>) {
        let mut state = self.state();
        let kept = std::mem::take(&mut state.kept);
        let mut expired = Vec::new();
        let mut next: Option<Instant> = None;
        for mut kept in kept {
            let until = kept.idle_since().unwrap_or(now) + self.limits.idle_time_max;
            if until <= now || !kept.link.is_open() && kept.idle_since().is_some() {
                expired.push(kept.link);
                continue;
            }
            next = Some(next.map_or(until, |next| next.min(until)));
            state.kept.push(kept);
        }
        if next.is_none() {
            state.reaper = None;
        }
        (expired, next)
    }

    /// Ensures that expired connections are closed: `begin` starts a task for that.
    pub(super) fn reap_by(&self, begin: impl FnOnce() -> AbortHandle) {
        let mut state = self.state();
        // One that is finished has not gone of itself: its runtime was shut down.
        let is_gone = state.reaper.as_ref().is_none_or(AbortHandle::is_finished);
        if is_gone && Handle::try_current().is_ok() {
            state.reaper = Some(begin());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(reaper) = self.state().reaper.take() {
            reaper.abort();
        }
    }
}

impl State {
    fn keep(&mut self, origin: &Origin, link: Connection) {
        self.kept.push(Kept {
            origin: origin.clone(),
            since: Instant::now(),
            link,
        });
    }

    /// Takes out the idle ones for which there is no room: in all, or of this origin.
    fn evict(&mut self, limits: &PoolLimits, origin: &Origin) -> Vec<Connection> {
        let mut evicted =
            self.evict_beyond(limits.idle_per_origin_max, |kept| kept.origin == *origin);
        evicted.extend(self.evict_beyond(limits.idle_max, |_| true));
        evicted
    }

    fn evict_beyond(&mut self, max: usize, of: impl Fn(&Kept) -> bool) -> Vec<Connection> {
        if self.kept.len() <= max {
            return Vec::new();
        }
        let of_these = self.kept.iter().filter(|kept| of(kept));
        let idle = of_these.filter(|kept| kept.idle_since().is_some()).count();
        (max..idle).filter_map(|_| self.take_idle(&of)).collect()
    }

    fn remember(&mut self, origin: &Origin, known: Known) {
        if self.versions.len() >= REMEMBERED_MAX {
            self.versions.clear();
        }
        let entry = self.versions.entry(origin.clone()).or_insert(known);
        if known == Known::WantsHttp1 {
            *entry = known;
        }
    }

    /// The one that has been idle for longest.
    fn take_idle(&mut self, of: impl Fn(&Kept) -> bool) -> Option<Connection> {
        let idle = self.kept.iter().enumerate().filter(|(_, kept)| of(kept));
        let oldest = idle.filter_map(|(at, kept)| Some((kept.idle_since()?, at)));
        oldest.min().map(|(_, at)| self.kept.remove(at).link)
    }
}

/// The right to make a connection for all who wait for it. Dropped, it lets them ask again.
#[derive(Debug, Default)]
pub(super) struct Making {
    /// The place of the connection that is made.
    pub(super) place: Option<Place>,
    gate: Option<Arc<Semaphore>>,
}

impl Drop for Making {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }
}

/// Waits until the connection of another task is made, or has failed.
pub(super) async fn made_by_another(gate: Arc<Semaphore>) {
    let _: Result<OwnedSemaphorePermit, _> = gate.acquire_owned().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_were_given_up_leave_nothing_behind() {
        let pool = Pool::new(PoolLimits::default());
        let origin = |port| Origin {
            host: "localhost".to_owned(),
            port,
            is_plain: false,
            zone: None,
            is_anonymous: false,
        };
        for port in 1..1000 {
            let Found::Make(making) = pool.find(&origin(port)) else {
                panic!("nothing is kept");
            };
            drop(making);
        }
        let Found::Make(_making) = pool.find(&origin(1)) else {
            panic!("nothing is kept");
        };
        assert_eq!(pool.state().making.len(), 1);
        assert!(matches!(pool.find(&origin(1)), Found::Wait(_)));
    }
}
