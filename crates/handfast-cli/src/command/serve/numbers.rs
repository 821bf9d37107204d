//! What the server has done since its start, counted: for `/metrics` and the status page.
//!
//! Each thread counts in a shard of its own, without locks and without atomic additions, so that a request costs a
//! handful of plain loads and stores. A reader adds up the shards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use handfast::{CertificateFacts, TlsVersion};
use handfast_https::server::{CloseEvent, CloseReason, ConnectionInfo, RequestEvent};
use http::Version;

use super::certificates::SiteIdentities;

/// Protocol versions of requests, as they are named.
pub(super) const PROTOCOLS: [&str; 2] = ["1.1", "2"];

/// Classes of status codes, as they are named; the last is for requests that were given up before there was one.
pub(super) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// Versions of TLS, as they are named.
pub(super) const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// How connections end, as it is named.
pub(super) const ENDS: [&str; 8] = [
    "finished",
    "idle",
    "made-room",
    "stopped",
    "head-timed-out",
    "stalled",
    "bad-request",
    "broken-off",
];

/// Upper bounds of the durations that are told apart, in milliseconds: from a file that is at hand to a long download.
pub(super) const DURATIONS_MS: [u64; 8] = [1, 5, 25, 100, 500, 2500, 10_000, 60_000];

/// A counter that one thread writes.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, count: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }
}

/// What one thread has counted.
#[derive(Debug, Default)]
struct Shard {
    requests: [[Counter; CLASSES.len()]; PROTOCOLS.len()],
    aborted: Counter,
    bytes: Counter,
    durations: [Counter; DURATIONS_MS.len() + 1],
    microseconds: Counter,
    handshakes: [[Counter; 2]; TLS_VERSIONS.len()],
    ends: [Counter; ENDS.len()],
    received: Counter,
    sent: Counter,
}

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// By protocol and class of the status.
    pub(super) requests: [[u64; CLASSES.len()]; PROTOCOLS.len()],
    /// Requests whose reply broke off.
    pub(super) aborted: u64,
    /// Of bodies of replies.
    pub(super) bytes: u64,
    /// Requests by duration; the last are longer than every bound.
    pub(super) durations: [u64; DURATIONS_MS.len() + 1],
    /// Of all requests together.
    pub(super) microseconds: u64,
    /// By version; full and resumed ones.
    pub(super) handshakes: [[u64; 2]; TLS_VERSIONS.len()],
    /// Connections that ended, by reason.
    pub(super) ends: [u64; ENDS.len()],
    /// Bytes on the wire of connections that ended, received and sent.
    pub(super) wire: [u64; 2],
    /// Failed handshakes by the id of their cause.
    pub(super) failures: BTreeMap<&'static str, u64>,
    /// How often all connections were taken.
    pub(super) full: u64,
    pub(super) accept_failures: u64,
    /// Reloads that succeeded and that failed.
    pub(super) reloads: [u64; 2],
}

/// A certificate that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The names that it is for.
    pub(super) names: Vec<String>,
    pub(super) issuer: String,
    pub(super) serial: String,
    /// Its last second, in unix seconds.
    pub(super) not_after: i64,
}

impl From<&CertificateFacts> for Certificate {
    fn from(facts: &CertificateFacts) -> Self {
        let names: Vec<String> = facts.names.iter().map(ToString::to_string).collect();
        Self {
            names: match names.is_empty() {
                true => vec![facts.subject.clone()],
                false => names,
            },
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            not_after: facts.not_after,
        }
    }
}

/// The certificates of all sites, each once.
pub(super) fn certificates(identities: &SiteIdentities) -> Vec<Certificate> {
    let mut all: Vec<Certificate> = Vec::new();
    for shown in identities.sites.iter().flatten() {
        let certificate = Certificate::from(shown.facts());
        if !all.contains(&certificate) {
            all.push(certificate);
        }
    }
    all
}

/// Counts, for as long as the server runs.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Distinguishes it in what each thread remembers.
    number: u64,
    shards: Mutex<Vec<Arc<Shard>>>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    full: AtomicU64,
    accept_failures: AtomicU64,
    reloads: [AtomicU64; 2],
    certificates: Mutex<Vec<Certificate>>,
    started: (SystemTime, Instant),
}

thread_local! {
    /// This thread's shard, and the number of what it belongs to.
    static SHARD: RefCell<Option<(u64, Arc<Shard>)>> = const { RefCell::new(None) };
}

impl Numbers {
    pub(super) fn new() -> Arc<Self> {
        static EVER: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            number: EVER.fetch_add(1, Ordering::Relaxed),
            shards: Mutex::default(),
            failures: Mutex::default(),
            full: AtomicU64::new(0),
            accept_failures: AtomicU64::new(0),
            reloads: Default::default(),
            certificates: Mutex::default(),
            started: (SystemTime::now(), Instant::now()),
        })
    }

    fn count(&self, count: impl FnOnce(&Shard)) {
        // A thread that ends counts no more.
        let _ = SHARD.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            match &*kept {
                Some((number, shard)) if *number == self.number => count(shard),
                _ => {
                    let shard = Arc::new(Shard::default());
                    lock(&self.shards).push(Arc::clone(&shard));
                    count(&shard);
                    *kept = Some((self.number, shard));
                }
            }
        });
    }

    pub(super) fn request(&self, event: &RequestEvent<'_>) {
        let protocol = usize::from(event.version == Version::HTTP_2);
        let class = event.status.map_or(CLASSES.len() - 1, |status| {
            usize::from(status.as_u16() / 100).saturating_sub(1)
        });
        let microseconds = u64::try_from(event.duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = DURATIONS_MS
            .iter()
            .position(|bound| microseconds <= bound * 1000)
            .unwrap_or(DURATIONS_MS.len());
        self.count(|shard| {
            if let Some(counter) = shard.requests.get(protocol).and_then(|of| of.get(class)) {
                counter.add(1);
            }
            if let Some(counter) = shard.durations.get(bucket) {
                counter.add(1);
            }
            shard.microseconds.add(microseconds);
            shard.bytes.add(event.bytes);
            if event.abort.is_some() {
                shard.aborted.add(1);
            }
        });
    }

    pub(super) fn connection_opened(&self, connection: &ConnectionInfo) {
        let report = &connection.report;
        let version = usize::from(report.version != TlsVersion::Tls12);
        let resumed = usize::from(report.resumed);
        self.count(|shard| {
            if let Some(counter) = shard.handshakes.get(version).and_then(|of| of.get(resumed)) {
                counter.add(1);
            }
        });
    }

    pub(super) fn connection_closed(&self, event: &CloseEvent<'_>) {
        let end = match &event.reason {
            CloseReason::Finished => 0,
            CloseReason::Idle => 1,
            CloseReason::MadeRoom => 2,
            CloseReason::HeadTimedOut => 4,
            CloseReason::Stalled => 5,
            CloseReason::BadRequest(_) => 6,
            CloseReason::BrokenOff(_) => 7,
            _ => 3,
        };
        self.count(|shard| {
            if let Some(counter) = shard.ends.get(end) {
                counter.add(1);
            }
            shard.received.add(event.traffic.bytes_received);
            shard.sent.add(event.traffic.bytes_sent);
        });
    }

    /// A handshake failed, for the cause with this id.
    pub(super) fn handshake_failed(&self, cause: &'static str) {
        *lock(&self.failures).entry(cause).or_default() += 1;
    }

    pub(super) fn connections_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn accept_failed(&self) {
        self.accept_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Something that had changed was read again, and is used or cannot be.
    pub(super) fn reloaded(&self, succeeded: bool) {
        let [good, bad] = &self.reloads;
        let counter = if succeeded { good } else { bad };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// These certificates are served from now on.
    pub(super) fn set_certificates(&self, certificates: Vec<Certificate>) {
        *lock(&self.certificates) = certificates;
    }

    pub(super) fn certificates(&self) -> Vec<Certificate> {
        lock(&self.certificates).clone()
    }

    pub(super) fn started(&self) -> SystemTime {
        self.started.0
    }

    pub(super) fn uptime(&self) -> Duration {
        self.started.1.elapsed()
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums {
            failures: lock(&self.failures).clone(),
            full: self.full.load(Ordering::Relaxed),
            accept_failures: self.accept_failures.load(Ordering::Relaxed),
            reloads: [0, 1].map(|at| {
                self.reloads
                    .get(at)
                    .map_or(0, |one| one.load(Ordering::Relaxed))
            }),
            ..Sums::default()
        };
        for shard in lock(&self.shards).iter() {
            for (sum, of) in sums.requests.iter_mut().zip(&shard.requests) {
                add(sum, of);
            }
            for (sum, of) in sums.handshakes.iter_mut().zip(&shard.handshakes) {
                add(sum, of);
            }
            add(&mut sums.durations, &shard.durations);
            add(&mut sums.ends, &shard.ends);
            for (sum, counter) in [
                (&mut sums.aborted, &shard.aborted),
                (&mut sums.bytes, &shard.bytes),
                (&mut sums.microseconds, &shard.microseconds),
            ] {
                *sum += counter.0.load(Ordering::Relaxed);
            }
            for (sum, counter) in sums.wire.iter_mut().zip([&shard.received, &shard.sent]) {
                *sum += counter.0.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

fn add(sums: &mut [u64], counters: &[Counter]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.0.load(Ordering::Relaxed);
    }
}

/// What was counted before a panic is still right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_have_counted_is_added_up() {
        let (numbers, other) = (Numbers::new(), Numbers::new());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (numbers, other) = (Arc::clone(&numbers), Arc::clone(&other));
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        numbers.count(|shard| shard.bytes.add(3));
                    }
                    other.count(|shard| shard.aborted.add(1));
                    numbers.count(|shard| shard.requests[1][3].add(1));
                    numbers.handshake_failed("not-tls");
                })
            })
            .collect();
        threads.into_iter().for_each(|one| one.join().unwrap());
        numbers.reloaded(false);
        let sums = numbers.sums();
        assert_eq!((sums.bytes, sums.aborted), (12_000, 0));
        assert_eq!(sums.requests[1], [0, 0, 0, 4, 0, 0]);
        assert_eq!(sums.failures.get("not-tls"), Some(&4));
        assert_eq!(sums.reloads, [0, 1]);
        assert_eq!(other.sums().aborted, 4);
    }
}
