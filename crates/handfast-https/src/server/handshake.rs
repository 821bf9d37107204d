//! The handshake of one connection: its deadline, and what becomes of one that fails (A22-A24, C3).

use std::time::SystemTime;

use handfast::{AsyncStream, Error, HandshakeFailure, NetworkCause, PeerCause, Phase, Timeouts};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::connection::Accepted;
use super::handler::Handler;
use super::observer::HandshakeEvent;
use super::plain_http;
use super::worker::Worker;

/// The handshake, within the deadline for the first request head. A failure is reported here.
pub(super) async fn shake_hands<H: Handler>(
    worker: &Worker<H>,
    accepted: Accepted,
) -> Option<AsyncStream<TcpStream>> {
    let Accepted {
        socket,
        peer,
        local,
        at,
    } = accepted;
    let limit = worker.shared.limits.head;
    let deadline = (at + limit).into();
    let context = worker.context();
    let result = tokio::select! {
        biased;
        // A stopping server has no use for clients that have asked for nothing yet.
        () = worker.draining() => return None,
        result = timeout_at(deadline, context.accept_async(socket)) => result,
    };
    let (error, plain_channel) = match result {
        Ok(Ok(mut stream)) => {
            let mut timeouts = Timeouts::NONE;
            timeouts.write = Some(worker.shared.limits.write);
            stream.set_timeouts(&timeouts);
            stream.set_flush_on_read(false);
            return Some(stream);
        }
        Ok(Err(HandshakeFailure {
            error,
            channel,
            received,
        })) => (error, Some((channel, received))),
        Err(_) => {
            let cause = NetworkCause::TimedOut { limit };
            (Error::new(Phase::Handshake, cause), None)
        }
    };
    let duration = at.elapsed();
    let (first_bytes, plain_http) = match plain_channel {
        Some((channel, received)) => {
            let not_tls = matches!(
                error.cause(),
                handfast::Cause::Peer(PeerCause::NotTls { .. })
            );
            let status = if not_tls {
                plain_http::answer(channel, &received, local.port(), deadline).await
            } else {
                None
            };
            (received, status)
        }
        None => (Vec::new(), None),
    };
    worker.shared.observer.handshake_failed(&HandshakeEvent {
        time: SystemTime::now(),
        peer,
        local,
        server_name: error.server_name(),
        error: &error,
        first_bytes: &first_bytes,
        plain_http,
        duration,
    });
    None
}
