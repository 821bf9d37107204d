//! What the clones of a client, and the responses that it gave, share: settings, and connections that are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use handfast::{ClientContext, Timeouts};

use super::facts::Opened;
use super::http2::{self, Again};
use super::origin::Origin;
use super::pool::{Connection, Pool, Speaks};
use super::settings::Settings;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    /// The context for origins that ask for HTTP/1.1.
    http1: ClientContext,
    /// If they have a client certificate: the context, and that for HTTP/1.1, without it.
    anonymous: Option<(ClientContext, ClientContext)>,
    pub(super) pool: Pool,
    /// How many connections were made.
    made: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new(mut settings: Settings) -> Self {
        if settings.connect_max.is_some() {
            // The limit that was given stands for those of the phases.
            settings.context = settings.context.with_timeouts(Timeouts::NONE);
        }
        Self {
            http1: settings.context.with_alpn(["http/1.1"]),
            anonymous: settings.context.without_identity().map(|context| {
                let http1 = context.with_alpn(["http/1.1"]);
                (context, http1)
            }),
            made: Arc::default(),
            pool: Pool::new(settings.pool),
            settings,
        }
    }

    /// Does it matter whether an origin gets a client certificate?
    pub(super) fn has_identity(&self) -> bool {
        self.anonymous.is_some()
    }

    /// What connections to this origin are secured by.
    pub(super) fn context(&self, origin: &Origin) -> &ClientContext {
        let (any, http1) = match &self.anonymous {
            Some((any, http1)) if origin.is_anonymous => (any, http1),
            _ => (&self.settings.context, &self.http1),
        };
        match self.pool.wants_http1(origin) {
            true => http1,
            false => any,
        }
    }

    /// The same settings, and connections of its own. They are counted together with these.
    pub(super) fn sibling(&self) -> Self {
        Self {
            http1: self.http1.clone(),
            anonymous: self.anonymous.clone(),
            made: Arc::clone(&self.made),
            pool: Pool::new(self.settings.pool),
            settings: self.settings.clone(),
        }
    }

    /// The number of a new connection.
    pub(super) fn number(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps a connection for the next exchange to its origin.
    pub(super) fn keep(self: &Arc<Self>, origin: &Origin, link: Connection) {
        let evicted = self.pool.keep(origin, link);
        self.retire(evicted);
        self.reap();
    }

    /// A connection of HTTP/2 to this origin has become idle.
    pub(super) fn rested(&self, origin: &Origin) {
        self.retire(self.pool.rested(origin));
    }

    /// One who waited for a connection does so no more.
    pub(super) fn given_up(&self) {
        self.retire(self.pool.given_up());
    }

    /// Closes connections that are not needed any more, in order, while others go on.
    pub(super) fn retire(&self, links: Vec<Connection>) {
        let limit = self.settings.close_wait;
        for link in links {
            if tokio::runtime::Handle::try_current().is_ok() {
                tokio::spawn(async move {
                    link.close(limit).await;
                });
            }
        }
    }

    /// Closes what has been idle for too long, when it has.
    pub(super) fn reap(self: &Arc<Self>) {
        self.pool.reap_by(|| {
            let client = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    let Some(shared) = client.upgrade() else {
                        return;
                    };
                    let (expired, next) = shared.pool.expire(Instant::now());
                    shared.retire(expired);
                    drop(shared);
                    let Some(next) = next else {
                        return;
                    };
                    tokio::time::sleep_until(next.into()).await;
                }
            })
            .abort_handle()
        });
    }

    /// An exchange over this connection came to nothing: if the connection takes no more of them, or is
    /// not wanted any more, it is closed when it is unused.
    pub(super) fn let_go(&self, opened: &Arc<Opened>, shared: &http2::Shared, again: Again) {
        if shared.is_open() && again != Again::OverHttp1 {
            return;
        }
        self.pool.forget(shared);
        if shared.idle_since().is_some() {
            let speaks = Speaks::Http2(shared.clone());
            let opened = Arc::clone(opened);
            self.retire(vec![Connection {
                opened,
                speaks,
                claim: None,
            }]);
        }
    }
}
