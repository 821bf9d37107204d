//! Which passwords were checked lately, and who has failed.
//!
//! A check of a good hash takes 50 ms and more of a core, and browsers send the password with every request. So each pair of
//! user and password is checked once, and the result is remembered under a keyed hash of both: the password itself is not kept.
//! Requests with the same pair wait for the one check. Wrong ones are limited for each address: a check counts from its beginning, so
//! that it makes no difference whether the client waits for the result, or how many it asks for at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::hash::Hash;
use crate::source::network_of;

/// How long a successful check is remembered: a browser's session costs a check every ten minutes.
const RIGHT_FOR: Duration = Duration::from_secs(600);

/// How long a failed one is: a client that repeats a wrong password costs nothing.
const WRONG_FOR: Duration = Duration::from_secs(60);

/// Pairs that are remembered: some 100 bytes each.
const PAIRS_MAX: usize = 4096;

/// Different wrong passwords from one address in [`WINDOW`], by default: more than a person mistypes, and a dictionary takes years.
pub(super) const FAILURES_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// So many times the limit for an address is that for all channels without one, such as a Unix socket behind a proxy: many clients share
/// it, and a dictionary still takes years.
const WITHOUT_ADDRESS: u32 = 10;

/// See [`FAILURES_MAX`].
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses whose failures are counted.
const SOURCES_MAX: usize = 4096;

/// Checks that wait for a core. Beyond them a client is asked to come again.
const WAITING_MAX: usize = 64;

type Key = [u8; 32];

/// The address whose failures are counted together; `None` for channels without an address.
type Source = Option<IpAddr>;

/// A password that a client sent, and what it is checked against.
pub(super) struct Attempt<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a [u8],
    pub(super) hash: &'a Hash,
    /// There is such a user.
    pub(super) known: bool,
    /// What takes longest to check of all users' hashes, if this one is quicker: it is checked, too, when the password is wrong, so that
    /// the time does not tell who there is.
    pub(super) slowest: Option<&'a Hash>,
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
    failures: Arc<Mutex<HashMap<Source, Failures>>>,
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
    /// Checks that have not ended.
    running: u32,
    since: Instant,
}

impl Failures {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
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
            failures: Arc::default(),
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
        address: Option<IpAddr>,
        failures_max: NonZeroU32,
    ) -> Result<bool, Refused> {
        let pair = self.pair(attempt, Instant::now());
        if let Some(result) = pair.result.get() {
            return Ok(*result);
        }
        let checked = pair
            .result
            .get_or_try_init(|| self.check_now(attempt, address.map(network_of), failures_max));
        checked.await.copied()
    }

    async fn check_now(
        &self,
        attempt: &Attempt<'_>,
        source: Source,
        failures_max: NonZeroU32,
    ) -> Result<bool, Refused> {
        let counted = self.begin(source, failures_max, Instant::now())?;
        let known = attempt.known;
        let slowest = attempt.slowest.cloned();
        if attempt.hash.is_quick() {
            let is_right = attempt.hash.verify(attempt.password) && known;
            if is_right || slowest.is_none() {
                return Ok(counted.end(is_right));
            }
        }
        let waiting = Waiting::new(&self.waiting).ok_or(Refused::Busy)?;
        let Ok(core) = Arc::clone(&self.cores).acquire_owned().await else {
            return Err(Refused::Busy);
        };
        drop(waiting);
        let hash = attempt.hash.clone();
        let password = Zeroizing::new(attempt.password.to_vec());
        let work = spawn_blocking(move || {
            // Also if the client has gone: the work goes on, and counts.
            let _core = core;
            let is_right = hash.verify(&password) && known;
            if let Some(slowest) = slowest.filter(|_| !is_right) {
                let _ = slowest.verify(&password);
            }
            counted.end(is_right)
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

    /// Begins a check, unless there were too many failures, or there would be if all that run were wrong.
    fn begin(
        &self,
        source: Source,
        failures_max: NonZeroU32,
        now: Instant,
    ) -> Result<Counted, Refused> {
        #[cfg(test)]
        self.done.fetch_add(1, Ordering::Relaxed);
        let mut failures = lock(&self.failures);
        if failures.len() >= SOURCES_MAX && !failures.contains_key(&source) {
            make_room(&mut failures, now);
        }
        let of_source = failures.entry(source).or_insert(Failures {
            count: 0,
            running: 0,
            since: now,
        });
        if !of_source.is_recent(now) {
            (of_source.count, of_source.since) = (0, now);
        }
        let most = match source {
            Some(_) => failures_max.get(),
            None => failures_max.get().saturating_mul(WITHOUT_ADDRESS),
        };
        if of_source.count >= most {
            let age = now.saturating_duration_since(of_source.since);
            return Err(Refused::Failures(WINDOW.saturating_sub(age)));
        }
        if of_source.count.saturating_add(of_source.running) >= most {
            return Err(Refused::Busy);
        }
        of_source.running += 1;
        Ok(Counted {
            failures: Arc::clone(&self.failures),
            source,
            failed: false,
        })
    }
}

/// Forgets what is over, then who failed once, then everyone.
fn make_room(failures: &mut HashMap<Source, Failures>, now: Instant) {
    failures.retain(|_, of| of.running > 0 || of.is_recent(now));
    if failures.len() >= SOURCES_MAX {
        failures.retain(|_, of| of.running > 0 || of.count > 1);
    }
    if failures.len() >= SOURCES_MAX {
        failures.clear();
    }
}

/// A check that runs. One that is given up before it has begun is no failure.
struct Counted {
    failures: Arc<Mutex<HashMap<Source, Failures>>>,
    source: Source,
    failed: bool,
}

impl Counted {
    /// With its result, which is returned.
    fn end(mut self, right: bool) -> bool {
        self.failed = !right;
        right
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(of_source) = lock(&self.failures).get_mut(&self.source) {
            of_source.running = of_source.running.saturating_sub(1);
            of_source.count = of_source.count.saturating_add(u32::from(self.failed));
        }
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    const ADDRESS: Source = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

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
            slowest: None,
        }
    }

    #[tokio::test]
    async fn a_wrong_password_takes_the_time_of_the_slowest_hash_and_a_right_one_does_not() {
        let (hash, slowest) = (sha("right"), slow("other"));
        let of = |password| Attempt {
            slowest: Some(&slowest),
            ..attempt(password, &hash)
        };
        let checks = Checks::new();
        // What takes long needs a core, and there is none.
        let all = u32::try_from(checks.cores.available_permits()).unwrap();
        let taken = Arc::clone(&checks.cores)
            .acquire_many_owned(all)
            .await
            .unwrap();
        let right = of("right");
        assert_eq!(checks.check(&right, ADDRESS, FAILURES_MAX).await, Ok(true));
        let wrong = of("wrong");
        let mut waiting = Box::pin(checks.check(&wrong, ADDRESS, FAILURES_MAX));
        assert_eq!(poll_once(waiting.as_mut()).await, None);
        drop(taken);
        assert_eq!(waiting.await, Ok(false));
    }

    #[tokio::test]
    async fn a_pair_is_checked_once_and_a_new_hash_again() {
        let checks = Checks::new();
        let (hash, new) = (sha("right"), sha("new"));
        for _ in 0..20 {
            assert_eq!(
                checks
                    .check(&attempt("right", &hash), ADDRESS, FAILURES_MAX)
                    .await,
                Ok(true)
            );
            assert_eq!(
                checks
                    .check(&attempt("wrong", &hash), ADDRESS, FAILURES_MAX)
                    .await,
                Ok(false)
            );
        }
        assert_eq!(checks.done.load(Ordering::Relaxed), 2);
        assert_eq!(
            checks
                .check(&attempt("right", &new), ADDRESS, FAILURES_MAX)
                .await,
            Ok(false)
        );
        assert_eq!(
            checks
                .check(&attempt("new", &new), ADDRESS, FAILURES_MAX)
                .await,
            Ok(true)
        );
        assert_eq!(checks.done.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn guesses_are_limited_for_each_address() {
        let checks = Checks::new();
        let hash = sha("right");
        let known: Result<bool, Refused> = checks
            .check(&attempt("right", &hash), ADDRESS, FAILURES_MAX)
            .await;
        assert_eq!(known, Ok(true));
        for number in 0..FAILURES_MAX.get() {
            let guess = number.to_string();
            assert_eq!(
                checks
                    .check(&attempt(&guess, &hash), ADDRESS, FAILURES_MAX)
                    .await,
                Ok(false)
            );
        }
        let refused = checks
            .check(&attempt("another", &hash), ADDRESS, FAILURES_MAX)
            .await;
        assert!(matches!(refused, Err(Refused::Failures(left)) if left <= WINDOW));
        // A user whose password was checked before is still let in, and other addresses are not affected.
        assert_eq!(
            checks
                .check(&attempt("right", &hash), ADDRESS, FAILURES_MAX)
                .await,
            Ok(true)
        );
        let other = Some("192.0.2.7".parse().unwrap());
        assert_eq!(
            checks
                .check(&attempt("another", &hash), other, FAILURES_MAX)
                .await,
            Ok(false)
        );
        let later = Instant::now() + WINDOW + Duration::from_secs(1);
        assert!(checks.begin(ADDRESS, FAILURES_MAX, later).is_ok());
    }

    #[tokio::test]
    async fn every_source_of_guesses_has_a_limit() {
        let checks = Checks::new();
        let hash = sha("right");
        for (source, most) in [
            (Some("::1".parse().unwrap()), FAILURES_MAX.get()),
            // The same network.
            (Some("::".parse().unwrap()), 0),
            (None, FAILURES_MAX.get() * WITHOUT_ADDRESS),
        ] {
            let mut failed = 0;
            let refused = loop {
                let guess = format!("{source:?} {failed}");
                match checks
                    .check(&attempt(&guess, &hash), source, FAILURES_MAX)
                    .await
                {
                    Ok(right) => assert!(!right && failed < 1000, "{source:?}"),
                    Err(refused) => break refused,
                }
                failed += 1;
            };
            assert_eq!(failed, most, "{source:?}");
            assert!(matches!(refused, Refused::Failures(_)), "{source:?}");
        }
    }

    /// A hash that takes some milliseconds.
    fn slow(password: &str) -> Hash {
        Hash::parse(&bcrypt::hash(password, 6).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn guesses_at_once_are_no_more_than_one_after_the_other() {
        let checks = Arc::new(Checks::new());
        let hash = slow("right");
        let guesses = (0..40).map(|number| {
            let (checks, hash) = (Arc::clone(&checks), hash.clone());
            tokio::spawn(async move {
                let guess = number.to_string();
                checks
                    .check(&attempt(&guess, &hash), ADDRESS, FAILURES_MAX)
                    .await
            })
        });
        let mut checked = 0;
        for guess in guesses.collect::<Vec<_>>() {
            match guess.await.unwrap() {
                Ok(right) => {
                    assert!(!right);
                    checked += 1;
                }
                // Those that run could all be wrong; once they were, it is certain.
                Err(Refused::Busy | Refused::Failures(_)) => {}
            }
        }
        assert_eq!(checked, FAILURES_MAX.get());
        let refused = checks
            .check(&attempt("late", &hash), ADDRESS, FAILURES_MAX)
            .await;
        assert!(matches!(refused, Err(Refused::Failures(_))), "{refused:?}");
        // Right ones do not count, however many run at once.
        let other = Some("192.0.2.7".parse().unwrap());
        for _ in 0..3 {
            let hash = slow("right");
            let right = checks
                .check(&attempt("right", &hash), other, FAILURES_MAX)
                .await;
            assert_eq!(right, Ok(true));
        }
        let of_other = lock(&checks.failures)[&other];
        assert_eq!((of_other.count, of_other.running), (0, 0));
    }

    #[tokio::test]
    async fn a_guess_counts_although_its_client_is_gone() {
        let checks = Checks::new();
        let hash = slow("right");
        let (cores, deadline) = (
            checks.cores.available_permits(),
            Instant::now() + Duration::from_secs(30),
        );
        for number in 0..FAILURES_MAX.get() {
            let guess = number.to_string();
            let attempt = attempt(&guess, &hash);
            {
                let mut checked = std::pin::pin!(checks.check(&attempt, ADDRESS, FAILURES_MAX));
                // Begun, and given up. On a busy machine it may be over by then.
                let _ = poll_once(checked.as_mut()).await;
            }
            while lock(&checks.failures)[&ADDRESS].count <= number
                || checks.cores.available_permits() < cores
            {
                assert!(Instant::now() < deadline, "{number} is not counted");
                tokio::task::yield_now().await;
            }
        }
        let refused = checks
            .check(&attempt("late", &hash), ADDRESS, FAILURES_MAX)
            .await;
        assert!(matches!(refused, Err(Refused::Failures(_))), "{refused:?}");
    }

    /// Polls once.
    async fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        let mut future = Some(future);
        std::future::poll_fn(move |cx| {
            let polled = future.take().map(|future| future.poll(cx));
            Poll::Ready(match polled {
                Some(Poll::Ready(output)) => Some(output),
                _ => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let checks = Checks::new();
        let hash = sha("right");
        assert_eq!(
            checks
                .check(&attempt("right", &hash), ADDRESS, FAILURES_MAX)
                .await,
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
        for number in 0..u32::try_from(SOURCES_MAX).unwrap() + 10 {
            let address = std::net::Ipv4Addr::from_bits(number + 1);
            let counted = checks
                .begin(Some(address.into()), FAILURES_MAX, now)
                .unwrap();
            assert!(!counted.end(false));
        }
        assert!(lock(&checks.failures).len() <= SOURCES_MAX);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let of = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8::1:2:3:4"), "2001:db8::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }
}
