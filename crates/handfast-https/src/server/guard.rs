//! An observer whose panics end nothing.
//!
//! Observers are called where a panic would do harm that is not noticed: in the task that accepts, which would end and leave a
//! listener that does not answer; in the tasks that make room and give back memory; while a connection is dropped because of another
//! panic, which would abort the process.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::handler::ConnectionInfo;
use super::observer::{
    CloseEvent, HandshakeEvent, LimitEvent, Observer, RedirectEvent, RequestEvent,
};

/// Passes on every event; one at which the observer panics is lost.
pub(super) struct Guarded(pub(super) Arc<dyn Observer>);

/// What is left in disorder is the observer's own: `Observer` is shared by threads, of which any may panic.
fn contained<T: Default>(tell: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(tell)).unwrap_or_default()
}

impl Observer for Guarded {
    fn request(&self, event: &RequestEvent<'_>) {
        contained(|| self.0.request(event));
    }

    fn wants_fields(&self) -> bool {
        contained(|| self.0.wants_fields())
    }

    fn connection_opened(&self, connection: &ConnectionInfo) {
        contained(|| self.0.connection_opened(connection));
    }

    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        contained(|| self.0.handshake_failed(event));
    }

    fn redirected(&self, event: &RedirectEvent<'_>) {
        contained(|| self.0.redirected(event));
    }

    fn connection_closed(&self, event: &CloseEvent<'_>) {
        contained(|| self.0.connection_closed(event));
    }

    fn connections_full(&self, connections_max: usize) {
        contained(|| self.0.connections_full(connections_max));
    }

    fn address_limited(&self, event: &LimitEvent) {
        contained(|| self.0.address_limited(event));
    }

    fn accept_failed(&self, error: &io::Error, pause: Duration) {
        contained(|| self.0.accept_failed(error, pause));
    }
}
