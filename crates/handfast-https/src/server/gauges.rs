//! What a server holds at the moment, for those who watch it.

use std::sync::Arc;

use super::budget::Budget;
use super::places::Places;

/// What a [`Server`](super::Server) holds at the moment. It can be read from any thread, and costs the server nothing.
#[derive(Debug, Clone)]
pub struct Gauges {
    places: Arc<Places>,
    budget: Arc<Budget>,
}

impl Gauges {
    pub(super) fn new(places: &Arc<Places>, budget: &Arc<Budget>) -> Self {
        Self {
            places: Arc::clone(places),
            budget: Arc::clone(budget),
        }
    }

    /// Connections that are open, those in their handshake or closing included.
    pub fn connections(&self) -> usize {
        self.places.taken()
    }

    /// How many may be open ([`Limits::connections_max`](super::Limits::connections_max)).
    pub fn connections_max(&self) -> usize {
        self.places.max()
    }

    /// Bytes of replies that are held because clients do not take them.
    pub fn held_bytes(&self) -> usize {
        self.budget.held()
    }

    /// How many may be held ([`Limits::held_bytes_max`](super::Limits::held_bytes_max)).
    pub fn held_bytes_max(&self) -> usize {
        self.budget.max()
    }
}
