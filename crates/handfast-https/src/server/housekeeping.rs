//! What a serving thread does besides serving: it makes room for connections that wait, and gives back memory.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::places::LOOK_EVERY;
use super::worker::Worker;

/// How often a thread gives back buffers that it has kept since a burst and not used since.
pub(super) const RELEASE_EVERY: Duration = Duration::from_secs(10);

/// Closes connections that idle while places are wanted. Several of these do no more than one.
pub(super) async fn make_room<H>(worker: Rc<Worker<H>>) -> Infallible {
    loop {
        worker.shared.places.until_wanted().await;
        worker.make_room();
        sleep(LOOK_EVERY).await;
    }
}

/// Keeps no more buffers than are used, and forgets addresses that take nothing.
pub(super) async fn release_periodically<H>(worker: Rc<Worker<H>>) -> Infallible {
    loop {
        sleep(RELEASE_EVERY).await;
        release_now(&worker);
    }
}

/// Gives back the buffers of this thread that were not used since this was last done, and forgets addresses.
pub(super) fn release_now<H>(worker: &Worker<H>) {
    let shared = &worker.shared;
    if let Some(sources) = &shared.sources {
        sources.sweep(RELEASE_EVERY, &*shared.observer);
    }
    handfast::release_unused_buffers();
    handfast_http::h2::release_unused_buffers();
}
