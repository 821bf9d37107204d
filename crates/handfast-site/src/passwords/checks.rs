//! Which passwords were checked lately, and who has failed.
//!
//! A check of a good hash takes 50 ms and more of a core, and browsers send the password with every request. So each pair of
//! user and password is checked once, and the result is remembered under a keyed hash of both: the password itself is not kept.
//! Requests with the same pair wait for the one check. Wrong ones are limited for each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::hash::Hash;

/// How long a successful check is remembered: a browser's session costs a check every ten minutes.
const RIGHT_FOR: Duration = Duration::from_secs(600);

/// How long a failed one is: a client that repeats a wrong password costs nothing.
const WRONG_FOR: Duration = Duration::from_secs(60);

/// Pairs that are remembered: some 100 bytes each.
const PAIRS_MAX: usize = 4096;

/// Different wrong passwords from one address in [`WINDOW`]: more than a person mistypes, and a dictionary takes years.
const FAILURES_MAX: u32 = 10;

/// See [`FAILURES_MAX`].
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses whose failures are counted.
const ADDRESSES_MAX: usize = 4096;

/// Checks that wait for a core. Beyond them a client is asked to come again.
const WAITING_MAX: usize = 64;

type Key = [u8; 32];

/// A password that a client sent, and what it is checked against.
pub(super) struct Attempt<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a [u8],
    pub(super) hash: &'a Hash,
    /// There is such a user.
    pub(super) known: bool,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many failures; again after this time.
    Failures(Duration),
    /// Too many checks at once.
    Busy,
}

#[derive(Debug)]
pub(super) struct Checks {
    /// Random, so that what is in memory tells nothing of the passwords.
    key: hmac::Key,
    pairs: Mutex<HashMap<Key, Pair>>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    #[cfg(test)]
    pub(super) done: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Pair {
    result: Arc<OnceCell<bool>>,
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Checks {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        // The generator never fails once it is seeded; without it nothing would be secret about the key, so there is a
        // server that cannot make TLS connections either.
        let _ = aws_lc_rs::rand::fill(&mut key);
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            pairs: Mutex::default(),
            failures: Mutex::default(),
            // The others serve meanwhile.
            cores: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
            #[cfg(test)]
            done: AtomicUsize::new(0),
        }
    }

    /// Is the password right?
    pub(super) async fn check(
        &self,
        attempt: &Attempt<'_>,
        address: IpAddr,
    ) -> Result<bool, Refused> {
        let pair = self.pair(attempt, Instant::now());
        if let Some(result) = pair.result.get() {
            return Ok(*result);
        }
        let checked = pair
            .result
            .get_or_try_init(|| self.check_now(attempt, address));
        checked.await.copied()
    }

    async fn check_now(&self, attempt: &Attempt<'_>, address: IpAddr) -> Result<bool, Refused> {
        let address = network_of(address);
        if let Some(wait) = self.blocked(address, Instant::now()) {
            return Err(Refused::Failures(wait));
        }
        let right = self.verify(attempt).await? && attempt.known;
        if !right {
            self.failed(address, Instant::now());
        }
        Ok(right)
    }

    async fn verify(&self, attempt: &Attempt<'_>) -> Result<bool, Refused> {
        #[cfg(test)]
        self.done.fetch_add(1, Ordering::Relaxed);
        if attempt.hash.is_quick() {
            return Ok(attempt.hash.verify(attempt.password));
        }
        let waiting = Waiting::new(&self.waiting).ok_or(Refused::Busy)?;
        let Ok(core) = Arc::clone(&self.cores).acquire_owned().await else {
            return Err(Refused::Busy);
        };
        drop(waiting);
        let hash = attempt.hash.clone();
        let password = Zeroizing::new(attempt.password.to_vec());
        let work = spawn_blocking(move || {
            // Also if the client has gone: the work goes on.
            let _core = core;
            hash.verify(&password)
        });
        work.await.map_err(|_| Refused::Busy)
    }

    /// What is known of this pair, or room for it.
    fn pair(&self, attempt: &Attempt<'_>, now: Instant) -> Pair {
        let key = self.key_of(attempt);
        let mut pairs = lock(&self.pairs);
        let is_valid = |pair: &Pair| {
            let age = now.saturating_duration_since(pair.since);
            match pair.result.get() {
                Some(true) => age < RIGHT_FOR,
                Some(false) => age < WRONG_FOR,
                // Under way, or given up.
                None => Arc::strong_count(&pair.result) > 1,
            }
        };
        if let Some(pair) = pairs.get(&key).filter(|pair| is_valid(pair)) {
            return pair.clone();
        }
        if pairs.len() >= PAIRS_MAX {
            pairs.retain(|_, pair| is_valid(pair));
        }
        if pairs.len() >= PAIRS_MAX {
            pairs.retain(|_, pair| pair.result.get() == Some(&true));
        }
        if pairs.len() >= PAIRS_MAX {
            pairs.clear();
        }
        let pair = Pair {
            result: Arc::default(),
            since: now,
        };
        pairs.insert(key, pair.clone());
        pair
    }

    /// A new hash in the file is another pair.
    fn key_of(&self, attempt: &Attempt<'_>) -> Key {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [
            attempt.user.as_bytes(),
            attempt.hash.text().as_bytes(),
            attempt.password,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = Key::default();
        for (byte, made) in key.iter_mut().zip(context.sign().as_ref()) {
            *byte = *made;
        }
        key
    }

    /// For how long no more passwords from this address are checked.
    fn blocked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = lock(&self.failures).get(&address).copied()?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(failures.since))?;
        (failures.count >= FAILURES_MAX).then_some(left)
    }

    fn failed(&self, address: IpAddr, now: Instant) {
        // A channel without an address, such as a Unix socket, is not one client.
        if address.is_unspecified() {
            return;
        }
        let mut failures = lock(&self.failures);
        let is_recent = |of: &Failures| now.saturating_duration_since(of.since) < WINDOW;
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(&address) {
            failures.retain(|_, of| is_recent(of));
            if failures.len() >= ADDRESSES_MAX {
                failures.retain(|_, of| of.count > 1);
            }
            if failures.len() >= ADDRESSES_MAX {
                failures.clear();
            }
        }
        let of_address = failures.entry(address).or_insert(Failures {
            count: 0,
            since: now,
        });
        if !is_recent(of_address) {
            *of_address = Failures {
                count: 0,
                since: now,
            };
        }
        of_address.count += 1;
    }
}

/// An attempt in the queue, counted as long as it is there.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of IPv6 a client has a network of 64 bits for itself.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn sha(password: &str) -> Hash {
        use base64ct::{Base64, Encoding as _};
        let hash = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            password.as_bytes(),
        );
        Hash::parse(&format!("{{SHA}}{}", Base64::encode_string(hash.as_ref()))).unwrap()
    }

    fn attempt<'a>(password: &'a str, hash: &'a Hash) -> Attempt<'a> {
        Attempt {
            user: "ann",
            password: password.as_bytes(),
            hash,
            known: true,
        }
    }

    #[tokio::test]
    async fn a_pair_is_checked_once_and_a_new_hash_again() {
        let checks = Checks::new();
        let (hash, new) = (sha("right"), sha("new"));
        for _ in 0..20 {
            assert_eq!(
                checks.check(&attempt("right", &hash), ADDRESS).await,
                Ok(true)
            );
            assert_eq!(
                checks.check(&attempt("wrong", &hash), ADDRESS).await,
                Ok(false)
            );
        }
        assert_eq!(checks.done.load(Ordering::Relaxed), 2);
        assert_eq!(
            checks.check(&attempt("right", &new), ADDRESS).await,
            Ok(false)
        );
        assert_eq!(checks.check(&attempt("new", &new), ADDRESS).await, Ok(true));
        assert_eq!(checks.done.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn guesses_are_limited_for_each_address() {
        let checks = Checks::new();
        let hash = sha("right");
        let known: Result<bool, Refused> = checks.check(&attempt("right", &hash), ADDRESS).await;
        assert_eq!(known, Ok(true));
        for number in 0..FAILURES_MAX {
            let guess = number.to_string();
            assert_eq!(
                checks.check(&attempt(&guess, &hash), ADDRESS).await,
                Ok(false)
            );
        }
        let refused = checks.check(&attempt("another", &hash), ADDRESS).await;
        assert!(matches!(refused, Err(Refused::Failures(left)) if left <= WINDOW));
        // Who was let in before still is, and other addresses are not concerned.
        assert_eq!(
            checks.check(&attempt("right", &hash), ADDRESS).await,
            Ok(true)
        );
        let other = "192.0.2.7".parse().unwrap();
        assert_eq!(
            checks.check(&attempt("another", &hash), other).await,
            Ok(false)
        );
        assert_eq!(
            checks.blocked(ADDRESS, Instant::now() + WINDOW + Duration::from_secs(1)),
            None
        );
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let checks = Checks::new();
        let hash = sha("right");
        assert_eq!(
            checks.check(&attempt("right", &hash), ADDRESS).await,
            Ok(true)
        );
        for number in 0..PAIRS_MAX + 10 {
            checks.pair(&attempt(&number.to_string(), &hash), Instant::now());
        }
        assert!(lock(&checks.pairs).len() <= PAIRS_MAX);
        assert_eq!(
            checks
                .pair(&attempt("right", &hash), Instant::now())
                .result
                .get(),
            Some(&true)
        );
        let now = Instant::now();
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 10 {
            checks.failed(IpAddr::V4(std::net::Ipv4Addr::from_bits(number + 1)), now);
        }
        assert!(lock(&checks.failures).len() <= ADDRESSES_MAX);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let of = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8::1:2:3:4"), "2001:db8::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }
}
