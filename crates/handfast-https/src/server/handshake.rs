//! The handshake of one connection: its deadline, and what becomes of one that fails.
//!
//! Each failure is reported to the observer once, with the client's offer; then the client gets
//! time to read the alert.

use std::rc::Rc;
use std::time::{Instant, SystemTime};

use handfast::{
    AsyncStream, Cause, Error, HandshakeFailure, LingerLimits, LocalCause, NetworkCause, PeerCause,
    Phase,
};
use tokio::time::timeout_at;

use super::address::{LocalAddress, PeerAddress};
use super::engine::Transport;
use super::handler::Handler;
use super::observer::HandshakeEvent;
use super::places::Place;
use super::plain_http;
use super::sources::Admitted;
use super::worker::Worker;

/// What is known of a connection as it was accepted, besides its socket.
pub(super) struct Accepted {
    pub(super) peer: PeerAddress,
    pub(super) local: LocalAddress,
    pub(super) place: Rc<Place>,
    /// If there are limits for each address.
    pub(super) admitted: Option<Rc<Admitted>>,
    pub(super) at: Instant,
}

/// The handshake, within the deadline for the first request head. A failure is reported here.
pub(super) async fn shake_hands<H: Handler, T: Transport>(
    worker: &Worker<H>,
    socket: T,
    accepted: &Accepted,
) -> Option<Box<AsyncStream<T>>> {
    let Accepted {
        peer, local, at, ..
    } = accepted;
    let limit = worker.shared.limits.head;
    let deadline = (*at + limit).into();
    let result = match worker.context().handshake_async(socket) {
        Ok(mut handshake) => {
            let given_up = tokio::select! {
                biased;
                // A stopping server has no use for clients that have asked for nothing yet.
                () = worker.stopping() => Err(LocalCause::Stopping.into()),
                result = timeout_at(deadline, &mut handshake) => {
                    result.map_err(|_| Cause::from(NetworkCause::TimedOut { limit }))
                }
            };
            match given_up {
                Ok(result) => result,
                Err(cause) => {
                    let failure = handshake.give_up(Error::new(Phase::Handshake, cause))?;
                    Err(failure)
                }
            }
        }
        Err(failure) => Err(failure),
    };
    let mut failure = match result {
        Ok(stream) => return Some(Box::new(stream)),
        Err(failure) => failure,
    };
    let (time, duration) = (SystemTime::now(), at.elapsed());
    let not_tls = matches!(failure.error.cause(), Cause::Peer(PeerCause::NotTls { .. }));
    let plain_http = match not_tls {
        true => {
            let HandshakeFailure {
                channel, received, ..
            } = &mut failure;
            let leave = || worker.until_wanted_away();
            plain_http::answer(channel, received, local.port(), deadline, leave).await
        }
        false => None,
    };
    let offer = failure.error.client_offer();
    let asked_for = offer.and_then(|offer| offer.server_name.as_deref());
    worker.shared.observer.handshake_failed(&HandshakeEvent {
        time,
        peer: *peer,
        local,
        server_name: failure.error.server_name().or(asked_for),
        offer,
        alert_sent: failure.alert_sent(),
        alert_received: failure.alert_received(),
        bytes_received: failure.bytes_received(),
        error: &failure.error,
        first_bytes: first_bytes(&failure.received),
        plain_http,
        duration,
    });
    if plain_http.is_none() {
        failure.close_async(LingerLimits::AFTER_REFUSAL).await;
    }
    None
}

/// What a log wants of what is not TLS: enough to recognize it.
fn first_bytes(received: &[u8]) -> &[u8] {
    const QUOTED_MAX: usize = 256;
    received.get(..QUOTED_MAX).unwrap_or(received)
}
