//! Which of a name's addresses to try, and when (Happy Eyeballs, RFC 8305), without I/O or a clock.
//!
//! The connection attempts are in `tcp.rs` and `tcp_async.rs`. Names are resolved by the operating
//! system, which sorts the addresses (RFC 6724) and gives both families at once, so that only sections 4 and 5 apply.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The Connection Attempt Delay (RFC 8305, section 5).
pub(crate) const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Begin to connect to this address.
    Try(SocketAddr),
    /// Wait for a running attempt, at most until this time.
    Wait(Option<Instant>),
    /// Every address has failed.
    Lost,
}

/// The attempts on one name's addresses.
#[derive(Debug)]
pub(crate) struct Race {
    waiting: VecDeque<SocketAddr>,
    tried: Vec<SocketAddr>,
    running: usize,
    next_at: Option<Instant>,
}

impl Race {
    /// For these addresses, in the resolver's order.
    pub(crate) fn new(addresses: &[SocketAddr]) -> Self {
        Self {
            waiting: interleaved(addresses),
            tried: Vec::new(),
            running: 0,
            next_at: None,
        }
    }

    /// The next step.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let is_due = self.running == 0 || self.next_at.is_none_or(|at| at <= now);
        match self.waiting.front() {
            Some(address) if is_due => {
                let address = *address;
                self.waiting.pop_front();
                self.tried.push(address);
                self.running += 1;
                self.next_at = Some(now + NEXT_ADDRESS_AFTER);
                Step::Try(address)
            }
            Some(_) => Step::Wait(self.next_at),
            None if self.running == 0 => Step::Lost,
            None => Step::Wait(None),
        }
    }

    /// An attempt has failed: the next address is tried without delay.
    pub(crate) fn failed(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.next_at = None;
    }

    /// The addresses tried, in their order.
    pub(crate) fn tried(self) -> Vec<SocketAddr> {
        self.tried
    }
}

/// Alternates the address families, beginning with that of the first address (RFC 8305, section 4).
fn interleaved(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == first_is_ipv6);
    let mut order = VecDeque::with_capacity(addresses.len());
    while !(first.is_empty() && second.is_empty()) {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_each_keeps_its_order() {
        for (given, expected) in [
            (&[][..], &[][..]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"],
            ),
            (
                &["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"],
                &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"],
            ),
        ] {
            assert_eq!(interleaved(&addresses(given)), addresses(expected));
        }
    }

    #[test]
    fn the_next_address_is_tried_after_a_delay_or_a_failure() {
        let all = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
        let mut race = Race::new(&all);
        let begin = Instant::now();
        assert_eq!(race.step(begin), Step::Try(all[0]));
        let delayed = begin + NEXT_ADDRESS_AFTER;
        assert_eq!(race.step(begin), Step::Wait(Some(delayed)));
        assert_eq!(race.step(delayed), Step::Try(all[1]));
        assert_eq!(
            race.step(delayed),
            Step::Wait(Some(delayed + NEXT_ADDRESS_AFTER))
        );
        race.failed();
        assert_eq!(race.step(delayed), Step::Try(all[2]));
        // No address is left: the race waits for running attempts without a limit of its own.
        assert_eq!(race.step(delayed), Step::Wait(None));
        race.failed();
        assert_eq!(race.step(delayed), Step::Wait(None));
        race.failed();
        assert_eq!(race.step(delayed), Step::Lost);
        assert_eq!(race.tried(), all);
    }

    #[test]
    fn without_an_address_there_is_nothing_to_try() {
        assert_eq!(Race::new(&[]).step(Instant::now()), Step::Lost);
    }

    proptest::proptest! {
        /// In every order of failures and steps, each address is tried once, and no two without a reason.
        #[test]
        fn every_address_is_tried_once(
            families in proptest::collection::vec(proptest::prelude::any::<bool>(), 0..8),
            events in proptest::collection::vec((0_u64..400, proptest::prelude::any::<bool>()), 0..64),
        ) {
            let all: Vec<SocketAddr> = families.iter().zip(1_u16..).map(|(is_ipv6, port)| {
                let ip = if *is_ipv6 { "::1".parse().unwrap() } else { std::net::IpAddr::from([127, 0, 0, 1]) };
                SocketAddr::new(ip, port)
            }).collect();
            let mut race = Race::new(&all);
            let mut now = Instant::now();
            let mut running = 0_usize;
            for (later_ms, fails) in events {
                now += Duration::from_millis(later_ms);
                match race.step(now) {
                    Step::Try(_) => running += 1,
                    Step::Lost => { proptest::prop_assert_eq!(running, 0); break; }
                    Step::Wait(_) => proptest::prop_assert!(running > 0),
                }
                if fails && running > 0 {
                    race.failed();
                    running -= 1;
                }
            }
            let mut tried = race.tried();
            let count = tried.len();
            tried.sort();
            tried.dedup();
            proptest::prop_assert_eq!(tried.len(), count);
        }
    }
}
