//! What each client address takes: connections, handshakes and requests, within limits.
//!
//! An address is an IPv4 address or an IPv6 network of 64 bits, which is what one subscriber has. The table is bounded, and
//! an address is forgotten once it has nothing open and all its allowances are whole again. An address for which there is no
//! room is not limited: by then there are so many that limits for each of them protect nothing, and the limit on all
//! connections does.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::config::{Limits, Rate};
use super::observer::{AddressLimit, LimitEvent, Observer};

/// Parts of the table, each with a lock of its own: threads that accept seldom wait for each other.
const PARTS: usize = 16;

/// Addresses in a part: 65,536 in all, of some 200 bytes each.
const ADDRESSES_MAX: usize = 4096;

/// An address whose connections or requests are cut is told once in this time, with a count.
const SPAN: Duration = Duration::from_secs(60);

/// So many addresses are reported one by one; for all others only the sum is reported. An attack from
/// thousands of addresses does not fill a log.
const TOLD_MAX: usize = 64;

/// A full part is searched for addresses to forget no more often than this: the search looks at all of them.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// What all addresses take. Shared by the threads.
pub(super) struct Sources {
    connections_max: usize,
    handshakes: Option<Rate>,
    requests: Option<Rate>,
    began: Instant,
    hasher: RandomState,
    parts: [Mutex<Part>; PARTS],
    telling: Mutex<Telling>,
    swept: AtomicU64,
}

#[derive(Default)]
struct Part {
    sources: HashMap<IpAddr, Arc<Source>>,
    searched: Duration,
}

/// Which addresses were told lately, and what was not.
#[derive(Debug, Default)]
struct Telling {
    since: Duration,
    told: usize,
}

/// One address.
#[derive(Debug)]
struct Source {
    network: IpAddr,
    connections: AtomicUsize,
    handshakes: Allowance,
    requests: Allowance,
    /// By [`AddressLimit`].
    cut: Mutex<[Option<Cut>; 3]>,
}

/// What was cut of one address since a time.
#[derive(Debug, Clone, Copy)]
struct Cut {
    since: Duration,
    /// Besides what was told.
    more: u64,
    /// It was not told that there is something.
    silent: bool,
}

/// A token bucket, as the time when it is full again, in nanoseconds.
#[derive(Debug, Default)]
struct Allowance(AtomicU64);

impl Allowance {
    /// Takes a token, or says how long there is none.
    fn take(&self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let now = nanoseconds(now);
        let each = (1_000_000_000 / u64::from(rate.per_second.get())).max(1);
        let depth = u64::from(rate.burst.max(1) - 1) * each;
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| {
                let full = full.max(now);
                (full - now <= depth).then_some(full + each)
            });
        taken
            .map(|_| ())
            .map_err(|full| Duration::from_nanos(full.saturating_sub(now).saturating_sub(depth)))
    }

    fn is_whole(&self, now: Duration) -> bool {
        self.0.load(Ordering::Relaxed) <= nanoseconds(now)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

impl Sources {
    /// `None` if there are no limits per address: nothing is counted then.
    pub(super) fn new(limits: &Limits) -> Option<Arc<Self>> {
        let connections_max = limits.connections_per_address_max;
        let (handshakes, requests) = (limits.handshakes_per_address, limits.requests_per_address);
        if connections_max.is_none() && handshakes.is_none() && requests.is_none() {
            return None;
        }
        Some(Arc::new(Self {
            connections_max: connections_max.map_or(usize::MAX, std::num::NonZero::get),
            handshakes,
            requests,
            began: Instant::now(),
            hasher: RandomState::new(),
            parts: Default::default(),
            telling: Mutex::default(),
            swept: AtomicU64::new(0),
        }))
    }

    /// Counts a connection of this address, unless that is one too many: then it is reported. `None`: it is not counted.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        observer: &dyn Observer,
    ) -> Result<Option<Admitted>, AddressLimit> {
        let now = self.began.elapsed();
        let Some(source) = self.source(network(address), now) else {
            return Ok(None);
        };
        let refused = |limit| {
            self.cut(&source, limit, now, observer);
            Err(limit)
        };
        let before = source.connections.fetch_add(1, Ordering::Relaxed);
        // From here on it is given back.
        let admitted = Admitted {
            sources: Arc::clone(self),
            source: Arc::clone(&source),
        };
        if before >= self.connections_max {
            return refused(AddressLimit::Connections);
        }
        match self
            .handshakes
            .map(|rate| source.handshakes.take(rate, now))
        {
            Some(Err(_)) => refused(AddressLimit::Handshakes),
            _ => Ok(Some(admitted)),
        }
    }

    fn source(&self, network: IpAddr, now: Duration) -> Option<Arc<Source>> {
        let number = self.hasher.hash_one(network) as usize % PARTS;
        let mut part = lock(self.parts.get(number)?);
        if part.sources.len() >= ADDRESSES_MAX && !part.sources.contains_key(&network) {
            if now.saturating_sub(part.searched) < SEARCH_EVERY {
                return None;
            }
            part.searched = now;
            part.sources.retain(|_, source| !source.is_forgettable(now));
            if part.sources.len() >= ADDRESSES_MAX {
                return None;
            }
        }
        let source = match part.sources.entry(network) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => Arc::clone(entry.insert(Arc::new(Source {
                network,
                connections: AtomicUsize::new(0),
                handshakes: Allowance::default(),
                requests: Allowance::default(),
                cut: Mutex::default(),
            }))),
        };
        Some(source)
    }

    /// Notes that something was cut. The first time in a span is told.
    fn cut(&self, source: &Source, limit: AddressLimit, now: Duration, observer: &dyn Observer) {
        let is_told = {
            let mut cut = lock(&source.cut);
            let Some(cut) = cut.get_mut(limit as usize) else {
                return;
            };
            match cut {
                Some(cut) => {
                    cut.more += 1;
                    false
                }
                None => {
                    let is_told = self.may_tell(now);
                    *cut = Some(Cut {
                        since: now,
                        more: u64::from(!is_told),
                        silent: !is_told,
                    });
                    is_told
                }
            }
        };
        if is_told {
            observer.address_limited(&LimitEvent {
                time: SystemTime::now(),
                limit,
                address: Some(source.network),
                count: 1,
            });
        }
    }

    fn may_tell(&self, now: Duration) -> bool {
        let mut telling = lock(&self.telling);
        if now.saturating_sub(telling.since) >= SPAN {
            telling.since = now;
            telling.told = 0;
        }
        telling.told += 1;
        telling.told <= TOLD_MAX
    }

    /// Tells what else was cut in spans that are over, and forgets addresses. To be called now and then, by any thread.
    pub(super) fn sweep(&self, every: Duration, observer: &dyn Observer) {
        let now = self.began.elapsed();
        let swept = self.swept.load(Ordering::Relaxed);
        let is_due = nanoseconds(now).saturating_sub(swept) >= nanoseconds(every) / 2;
        let mine = is_due
            && self
                .swept
                .compare_exchange(
                    swept,
                    nanoseconds(now),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if mine {
            self.sweep_at(now, observer);
        }
    }

    fn sweep_at(&self, now: Duration, observer: &dyn Observer) {
        let mut events: Vec<(AddressLimit, Option<IpAddr>, u64)> = Vec::new();
        let mut others = [0_u64; 3];
        for part in &self.parts {
            let mut part = lock(part);
            for source in part.sources.values() {
                for (limit, cut) in AddressLimit::ALL.into_iter().zip(&mut *lock(&source.cut)) {
                    let Some(ended) = cut.take_if(|cut| now.saturating_sub(cut.since) >= SPAN)
                    else {
                        continue;
                    };
                    if ended.silent {
                        if let Some(sum) = others.get_mut(limit as usize) {
                            *sum += ended.more;
                        }
                    } else if ended.more > 0 {
                        events.push((limit, Some(source.network), ended.more));
                    }
                }
            }
            part.sources.retain(|_, source| !source.is_forgettable(now));
            // After a peak.
            if part.sources.len() < part.sources.capacity() / 8 {
                part.sources.shrink_to_fit();
            }
        }
        let sums = AddressLimit::ALL.into_iter().zip(others);
        events.extend(
            sums.filter(|(_, sum)| *sum > 0)
                .map(|(limit, sum)| (limit, None, sum)),
        );
        for (limit, address, count) in events {
            observer.address_limited(&LimitEvent {
                time: SystemTime::now(),
                limit,
                address,
                count,
            });
        }
    }
}

impl Source {
    fn is_forgettable(self: &Arc<Self>, now: Duration) -> bool {
        Arc::strong_count(self) == 1
            && self.handshakes.is_whole(now)
            && self.requests.is_whole(now)
            && lock(&self.cut).iter().all(Option::is_none)
    }
}

/// One connection of an address, for as long as it lives.
pub(super) struct Admitted {
    sources: Arc<Sources>,
    source: Arc<Source>,
}

impl Admitted {
    /// Counts a request. If it is one too many, that is reported; the result is when the next one is not.
    pub(super) fn request(&self, observer: &dyn Observer) -> Result<(), Duration> {
        let Some(rate) = self.sources.requests else {
            return Ok(());
        };
        let now = self.sources.began.elapsed();
        let taken = self.source.requests.take(rate, now);
        if taken.is_err() {
            let limit = AddressLimit::Requests;
            self.sources.cut(&self.source, limit, now, observer);
        }
        taken
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.source.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is counted as one client: an IPv4 address, also one that is spelled as IPv6, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<(AddressLimit, Option<IpAddr>, u64)>>);

    impl Observer for Told {
        fn address_limited(&self, event: &LimitEvent) {
            lock(&self.0).push((event.limit, event.address, event.count));
        }
    }

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        Some(Rate::new(per_second.try_into().unwrap(), burst))
    }

    fn sources(change: impl FnOnce(&mut Limits)) -> Arc<Sources> {
        let mut limits = Limits::default();
        change(&mut limits);
        Sources::new(&limits).unwrap()
    }

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn without_limits_nothing_is_counted() {
        assert!(Sources::new(&Limits::default()).is_none());
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let allowance = Allowance::default();
        let rate = rate(10, 3).unwrap();
        let at = Duration::from_millis;
        for _ in 0..3 {
            allowance.take(rate, at(1000)).unwrap();
        }
        assert_eq!(allowance.take(rate, at(1000)), Err(at(100)));
        assert_eq!(allowance.take(rate, at(1040)), Err(at(60)));
        allowance.take(rate, at(1100)).unwrap();
        assert!(allowance.take(rate, at(1199)).is_err());
        assert!(!allowance.is_whole(at(1399)) && allowance.is_whole(at(1400)));
        for _ in 0..3 {
            allowance.take(rate, at(9000)).unwrap();
        }
        assert!(allowance.take(rate, at(9000)).is_err());
    }

    #[test]
    fn connections_are_counted_as_long_as_they_live_and_by_network() {
        let sources = sources(|limits| limits.connections_per_address_max = 2.try_into().ok());
        let admit = |text: &str| sources.admit(text.parse().unwrap(), &Told::default());
        let first = admit("2001:db8::1").unwrap().unwrap();
        let _second = admit("2001:db8::ffff:1").unwrap().unwrap();
        assert_eq!(admit("2001:db8::2").err(), Some(AddressLimit::Connections));
        assert!(admit("2001:db8:0:1::1").is_ok());
        drop(first);
        assert!(admit("2001:db8::3").is_ok());
        let _held = [
            admit("192.0.2.1").unwrap(),
            admit("::ffff:192.0.2.1").unwrap(),
        ];
        assert!(admit("192.0.2.1").is_err() && admit("192.0.2.2").is_ok());
    }

    #[test]
    fn what_is_cut_is_told_once_in_a_span_and_then_as_a_sum() {
        let told = Told::default();
        let sources = sources(|limits| limits.handshakes_per_address = rate(1, 1));
        for _ in 0..5 {
            let _ = sources.admit(A, &told);
        }
        assert_eq!(*lock(&told.0), [(AddressLimit::Handshakes, Some(A), 1)]);
        sources.sweep_at(SPAN / 2, &told);
        assert_eq!(lock(&told.0).len(), 1);
        sources.sweep_at(SPAN * 2, &told);
        assert_eq!(lock(&told.0)[1..], [(AddressLimit::Handshakes, Some(A), 3)]);
        // Nothing is left of it.
        let left = sources.parts.iter().map(|part| lock(part).sources.len());
        assert_eq!(left.sum::<usize>(), 0);
    }

    #[test]
    fn many_addresses_fill_neither_the_log_nor_the_table() {
        let told = Told::default();
        let sources = sources(|limits| limits.handshakes_per_address = rate(1, 1));
        let many = 2 * (PARTS * ADDRESSES_MAX) as u32;
        for number in 0..many {
            let address = IpAddr::V4(number.into());
            for _ in 0..2 {
                let _ = sources.admit(address, &told);
            }
        }
        assert_eq!(lock(&told.0).len(), TOLD_MAX);
        let left = || {
            let parts = sources.parts.iter();
            parts.map(|part| lock(part).sources.len()).sum::<usize>()
        };
        assert!(left() <= PARTS * ADDRESSES_MAX);
        sources.sweep_at(sources.began.elapsed() + SPAN, &told);
        assert_eq!(left(), 0);
        let events = lock(&told.0);
        assert!(events.len() <= TOLD_MAX + 1, "{}", events.len());
        assert!(events.last().is_some_and(|event| event.1.is_none()));
    }

    #[test]
    fn an_address_with_a_connection_is_not_forgotten() {
        let sources = sources(|limits| limits.connections_per_address_max = 1.try_into().ok());
        let _held = sources.admit(A, &Told::default()).unwrap();
        sources.sweep_at(SPAN * 10, &Told::default());
        assert!(sources.admit(A, &Told::default()).is_err());
    }
}
