//! The TLS stream under an exchange, and what its errors mean to HTTP.

use std::fmt;
use std::time::Duration;

use handfast::{AsyncStream, Cause, CloseOutcome, ClosePolicy, NetworkCause, PeerCause};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// What a connection runs over.
pub(super) trait Channel: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl<C: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Channel for C {}

/// A TLS stream over some channel.
pub(super) type TlsStream = AsyncStream<Box<dyn Channel>>;

/// How much longer than its limit a close may take when the peer does not even take our `close_notify`:
/// enough for the stream to notice the limit by itself.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(50);

/// Closes in two phases, within this limit: also when what is to be sent before cannot be sent.
pub(super) async fn close(mut stream: TlsStream, limit: Duration) -> CloseOutcome {
    let closing = stream.close(ClosePolicy::Wait(limit));
    timeout(limit.saturating_add(CLOSE_GRACE), closing)
        .await
        .unwrap_or(CloseOutcome::PeerGone)
}

/// Does this error say that the connection has ended, and nothing else?
pub(super) fn is_end(error: &handfast::Error) -> bool {
    matches!(
        error.cause(),
        Cause::Network(NetworkCause::Reset) | Cause::Peer(PeerCause::PrematureEnd { .. })
    )
}
