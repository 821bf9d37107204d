//! What answers requests, and what it is given.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use handfast::{Report, VerifiedPeer};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::address::{LocalAddress, PeerAddress};
use super::body::{Body, BodyError};
use super::incoming::Incoming;

/// A request: its head as soon as it is there, its body as it comes.
pub type Request = http::Request<RequestBody>;

/// An answer.
pub type Response = http::Response<Body>;

/// Answers requests.
///
/// Called on whichever serving thread has the connection; the future stays on that thread, so that
/// it may hold what is not `Send`. It must not block: everything else on the thread waits meanwhile.
/// When the client goes away it is dropped.
///
/// Implemented for functions `Fn(Request, Arc<ConnectionInfo>) -> impl Future<Output = Response>`.
pub trait Handler: Send + Sync + 'static {
    /// Answers `request`, which came over `connection`.
    fn handle(
        &self,
        request: Request,
        connection: &Arc<ConnectionInfo>,
    ) -> impl Future<Output = Response>;
}

impl<F, A> Handler for F
where
    F: Fn(Request, Arc<ConnectionInfo>) -> A + Send + Sync + 'static,
    A: Future<Output = Response>,
{
    fn handle(
        &self,
        request: Request,
        connection: &Arc<ConnectionInfo>,
    ) -> impl Future<Output = Response> {
        self(request, Arc::clone(connection))
    }
}

/// A connection as its handlers see it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its number among the connections of this server, beginning with 1.
    pub number: u64,
    /// The client's address.
    pub peer: PeerAddress,
    /// The address that was listened on.
    pub local: LocalAddress,
    /// What the handshake agreed on.
    pub report: Arc<Report>,
}

impl ConnectionInfo {
    /// Who the client proved to be; `None` when it was not asked or showed no certificate.
    pub fn client(&self) -> Option<&VerifiedPeer> {
        self.report.peer.as_ref()
    }

    /// Was HTTP/2 agreed on?
    pub fn is_http2(&self) -> bool {
        self.report.alpn.as_deref() == Some(b"h2")
    }
}

/// The user who was authenticated, for logs: a handler puts it into the extensions of its response, and
/// [`RequestEvent::user`](super::RequestEvent::user) has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User(Arc<str>);

impl User {
    /// The user of this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// The body of a request.
///
/// One that a handler does not read to its end is discarded by the server as far as
/// [`Limits::discard_max`](super::Limits::discard_max), so that the answer arrives.
pub struct RequestBody {
    /// Most requests have none.
    incoming: Option<Incoming>,
    silence: Duration,
    patience: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
}

impl RequestBody {
    pub(super) fn new(incoming: Option<Incoming>, silence: Duration) -> Self {
        Self {
            incoming,
            silence,
            patience: None,
            trailers: None,
        }
    }

    /// The next piece of the body; `None` after its last.
    ///
    /// # Errors
    /// When the client broke it off, sent something that is no body, or was silent for too long.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(frame)) => self.trailers = frame.into_trailers().ok(),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The trailer fields of the request, when [`next`](Self::next) has returned the last piece and then `None`. `None`: there are
    /// none, or they were taken. Readers of frames get them as a frame. They are what the client says behind the content, and no header
    /// fields: do not add them to those.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// The whole body, at most `bytes_max` bytes of it.
    ///
    /// # Errors
    /// As [`next`](Self::next); or when there is more.
    pub async fn read_to_end(&mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if whole.len().saturating_add(piece.len()) > bytes_max {
                let text = format!("the request's body is longer than {bytes_max} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text).into());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let silence = self.silence;
        let sleep = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(silence)));
        std::task::ready!(sleep.as_mut().poll(cx));
        let text = format!("no byte of the request's body came for {silence:?}");
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text).into())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(incoming) = &this.incoming else {
            return Poll::Ready(None);
        };
        // The first read sends 100 (Continue) to a client that waits for it.
        match incoming.poll_next(cx) {
            Poll::Ready(piece) => {
                if let Some(sleep) = &mut this.patience {
                    sleep.as_mut().reset(Instant::now() + this.silence);
                }
                Poll::Ready(match piece {
                    Some(result) => Some(result.map(Frame::data).map_err(Into::into)),
                    None => incoming
                        .take_trailers()
                        .map(|fields| Ok(Frame::trailers(fields))),
                })
            }
            Poll::Pending => this.poll_silence(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(Some(0), Incoming::remaining)
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(incoming) = &self.incoming {
            incoming.give_up();
        }
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}
