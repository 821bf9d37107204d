//! How many uploads run at once: of all clients, and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::source::network_of;

/// Those that run.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// No more than run.
    of: HashMap<IpAddr, usize>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the uploads that run.
pub(super) struct Running<'p> {
    places: &'p Places,
    network: Option<IpAddr>,
}

impl<'p> Running<'p> {
    /// `None` if too many run, or too many of this address: one client does not keep all others from uploading.
    pub(super) fn new(places: &'p Places, address: Option<IpAddr>, max: usize) -> Option<Self> {
        let network = address.map(network_of);
        let mut taken = places.lock();
        if taken.all >= max {
            return None;
        }
        if let Some(network) = network {
            let own = taken.of.get(&network).copied().unwrap_or_default();
            if own >= max.div_ceil(2) {
                return None;
            }
            taken.of.insert(network, own + 1);
        }
        taken.all += 1;
        Some(Self { places, network })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(own) = taken.of.get_mut(&network)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.of.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_half_of_the_places_and_others_the_rest() {
        let address = |text: &str| Some(text.parse().unwrap());
        let places = Places::default();
        let take = |from| Running::new(&places, from, 5);
        let mut first: Vec<_> = (0..3)
            .map(|_| take(address("192.0.2.1")).unwrap())
            .collect();
        assert!(take(address("192.0.2.1")).is_none());
        let second = take(address("2001:db8::1")).unwrap();
        let third = take(None).unwrap();
        assert!(take(address("192.0.2.2")).is_none(), "all are taken");
        first.pop();
        let fourth = take(address("2001:db8::2")).unwrap();
        drop((first, third));
        // Of the same network as two others.
        let fifth = take(address("2001:db8::3")).unwrap();
        assert!(take(address("2001:db8::4")).is_none());
        drop((second, fourth, fifth));
        assert_eq!(places.lock().all, 0);
        assert!(places.lock().of.is_empty());
        // However few there are, there is one.
        assert!(Running::new(&places, address("192.0.2.1"), 1).is_some());
        assert!(Running::new(&places, None, 0).is_none());
    }
}
