//! What the serving threads have in common.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use handfast::{ClosePolicy, ServerContext};

use super::address::PeerAddress;
use super::budget::Budget;
use super::config::{Limits, ServerConfig};
use super::guard::Guarded;
use super::observer::{AddressLimit, Observer};
use super::places::Places;
use super::sources::{Admitted, Sources};

/// What the threads have in common.
pub(super) struct Shared<H> {
    pub(super) handler: H,
    pub(super) contexts: Contexts,
    pub(super) limits: Limits,
    pub(super) budget: Arc<Budget>,
    pub(super) close: ClosePolicy,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) places: Arc<Places>,
    /// If there are limits for each address.
    pub(super) sources: Option<Arc<Sources>>,
    pub(super) threads: usize,
    /// Connections whose handshakes have succeeded so far.
    pub(super) connections_ever: AtomicU64,
}

impl<H> Shared<H> {
    pub(super) fn new(config: ServerConfig, handler: H, threads: usize) -> Self {
        Self {
            handler,
            contexts: Contexts::new(config.context),
            limits: config.limits,
            budget: Budget::new(config.limits.held_bytes_max),
            close: config.close,
            observer: Arc::new(Guarded(config.observer)),
            places: Places::new(config.limits.connections_max),
            sources: Sources::new(&config.limits),
            threads,
            connections_ever: AtomicU64::new(0),
        }
    }
}

impl<H> Shared<H> {
    /// Counts a connection from this address. An error: it is one too many, which was reported.
    pub(super) fn admit(&self, peer: PeerAddress) -> Result<Option<Rc<Admitted>>, AddressLimit> {
        match (&self.sources, peer.socket()) {
            (Some(sources), Some(address)) => sources
                .admit(address.ip(), &*self.observer)
                .map(|admitted| admitted.map(Rc::new)),
            _ => Ok(None),
        }
    }
}

/// The context for new connections. Threads keep a copy and look here only when it was replaced.
pub(super) struct Contexts {
    current: RwLock<ServerContext>,
    generation: AtomicU64,
}

impl Contexts {
    fn new(context: ServerContext) -> Self {
        Self {
            current: RwLock::new(context),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn replace(&self, context: ServerContext) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = context;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The present context, and its number.
    pub(super) fn current(&self) -> (u64, ServerContext) {
        let generation = self.generation.load(Ordering::Acquire);
        let context = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (generation, context.clone())
    }

    /// Was the context of this number replaced?
    pub(super) fn is_replaced(&self, generation: u64) -> bool {
        generation != self.generation.load(Ordering::Acquire)
    }
}
