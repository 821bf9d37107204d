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
    /// The client's verified identity; `None` if no certificate was requested or sent.
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
    rate_min: u32,
    /// Once the client was waited for.
    patience: Option<Box<Patience>>,
    trailers: Option<HeaderMap>,
}

impl RequestBody {
    /// The client may be silent for so long, and has to send so many bytes per second.
    pub(super) fn new(incoming: Option<Incoming>, silence: Duration, rate_min: u32) -> Self {
        Self {
            incoming,
            silence,
            rate_min,
            patience: None,
            trailers: None,
        }
    }

    /// The next piece of the body; `None` after its last.
    ///
    /// # Errors
    /// When the client broke it off, sent something that is no body, or was silent or slow for too long.
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
        let (silence, rate_min) = (self.silence, self.rate_min);
        let patience = self
            .patience
            .get_or_insert_with(|| Box::new(Patience::new(silence, rate_min)));
        patience.waits();
        std::task::ready!(patience.sleep.as_mut().poll(cx));
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
                if let Some(patience) = &mut this.patience
                    && let Some(Ok(piece)) = &piece
                    && let Err(error) = patience.came(piece.len())
                {
                    return Poll::Ready(Some(Err(error.into())));
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

/// For a client's body, as far as a handler waits for it: how long it may be silent, and how slow on average.
struct Patience {
    sleep: Pin<Box<Sleep>>,
    /// Of silence, and of the average.
    span: Duration,
    bytes_min: u64,
    waits_since: Option<Instant>,
    /// Since the average was last enough.
    waited: Duration,
    bytes: u64,
}

impl Patience {
    fn new(span: Duration, rate_min: u32) -> Self {
        let time = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            sleep: Box::pin(sleep(span)),
            span,
            bytes_min: u64::from(rate_min).saturating_mul(time) / 1000,
            waits_since: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    fn waits(&mut self) {
        if self.waits_since.is_none() {
            let now = Instant::now();
            self.sleep.as_mut().reset(now + self.span);
            self.waits_since = Some(now);
        }
    }

    /// So many bytes came.
    fn came(&mut self, bytes: usize) -> io::Result<()> {
        if let Some(since) = self.waits_since.take() {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes >= self.bytes_min {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
            return Ok(());
        }
        if self.waited < self.span {
            return Ok(());
        }
        let text = format!(
            "only {} bytes of the request's body came in {:?}",
            self.bytes, self.waited
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
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

#[cfg(test)]
mod tests {
    use super::super::config::Limits;
    use super::*;

    fn body(incoming: &Incoming, limits: &Limits) -> RequestBody {
        RequestBody::new(Some(incoming.clone()), limits.read, limits.read_rate_min)
    }

    /// After how many seconds a client is given up that sends so many bytes every so many seconds.
    async fn given_up_after(limits: &Limits, bytes: usize, every: u64) -> Option<u64> {
        let incoming = Incoming::new(None);
        let mut body = body(&incoming, limits);
        let began = Instant::now();
        let sends = async {
            loop {
                sleep(Duration::from_secs(every)).await;
                incoming.push(&vec![b'x'; bytes]);
            }
        };
        let reads = async {
            while (Instant::now() - began).as_secs() < 600 {
                if let Err(error) = body.next().await.unwrap() {
                    let error = error.downcast::<io::Error>().unwrap();
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return Some((Instant::now() - began).as_secs());
                }
            }
            None
        };
        tokio::select! {
            () = sends => None,
            result = reads => result,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_slowly_and_steadily_is_read_and_a_trickle_is_not() {
        let limits = Limits::default();
        for (bytes, every, expected) in [
            (200, 1, None),
            (4000, 25, None),
            (1, 1, Some(30)),
            (1000, 20, Some(40)),
            (100_000, 31, Some(30)),
        ] {
            let after = given_up_after(&limits, bytes, every).await;
            assert_eq!(after, expected, "{bytes} bytes every {every} s");
        }
        let unlimited = Limits {
            read_rate_min: 0,
            ..limits
        };
        assert_eq!(given_up_after(&unlimited, 1, 20).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_handler_does_something_else_is_not_the_clients() {
        let incoming = Incoming::new(None);
        let mut body = body(&incoming, &Limits::default());
        for _ in 0..100 {
            let sends = async {
                sleep(Duration::from_millis(1)).await;
                incoming.push(b"x");
            };
            let (piece, ()) = tokio::join!(body.next(), sends);
            assert_eq!(piece.unwrap().unwrap(), "x");
            sleep(Duration::from_secs(60)).await;
        }
    }
}
