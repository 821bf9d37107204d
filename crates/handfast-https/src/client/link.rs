//! One connection that speaks HTTP: hyper's state machine over our stream, and its end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use handfast::{CloseOutcome, ClosePolicy, Ending, NetworkCause, Phase, Traffic};
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::Origin;
use super::error::{Error, Truncation};
use super::wire::{TlsStream, Wire};

/// A response head larger than this is an attack or a mistake: real ones have a few kilobytes.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// More header fields than any real response has.
const HEAD_FIELDS_MAX: usize = 1000;

/// How much may come before the head of a response, interim responses included: real ones are a
/// few, and a body that comes along with its head is read in smaller pieces.
const BEFORE_HEAD_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// How much of a body may be in flight on one HTTP/2 stream, and on the connection: a gigabit per
/// second over 60 ms.
const HTTP2_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How long hyper may take to let go of a connection that is to be closed.
const LET_GO: Duration = Duration::from_secs(1);

/// A connection for one origin.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Wire,
    pub(super) address: SocketAddr,
    pub(super) origin: Origin,
    sender: Sender,
    tasks: Aborting,
    /// Exchanges that were begun.
    pub(super) served: u64,
    before: Traffic,
}

#[derive(Debug)]
enum Sender {
    Http1(Http1),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Link {
    pub(super) async fn new(
        stream: TlsStream,
        address: SocketAddr,
        origin: Origin,
    ) -> Result<Self, Error> {
        let wire = Wire::new(stream);
        let tasks = Tasks::default();
        let is_http2 = wire.report().alpn.as_deref() == Some(b"h2");
        let sender = if is_http2 {
            let (sender, driver) = http2::Builder::new(tasks.clone())
                .initial_stream_window_size(HTTP2_WINDOW_BYTES)
                .initial_connection_window_size(HTTP2_WINDOW_BYTES)
                .max_header_list_size(HEAD_BYTES_MAX as u32)
                .handshake(wire.clone())
                .await
                .map_err(|error| broken(&wire, Traffic::default(), true, &error))?;
            tasks.spawn(async {
                // What went wrong reaches the requests.
                let _ = driver.await;
            });
            Sender::Http2(sender)
        } else {
            let http1 = Http1::start(&wire, &tasks).await;
            Sender::Http1(http1.map_err(|error| broken(&wire, Traffic::default(), false, &error))?)
        };
        Ok(Self {
            wire,
            address,
            origin,
            sender,
            tasks: Aborting(tasks),
            served: 0,
            before: Traffic::default(),
        })
    }

    pub(super) fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    /// Is it worth trying to send something?
    pub(super) fn is_open(&self) -> bool {
        let closed = match &self.sender {
            Sender::Http1(http1) => http1.sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        };
        !closed && self.wire.ending().is_none()
    }

    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.served += 1;
        self.before = self.wire.traffic();
        self.wire.await_head(Some(BEFORE_HEAD_BYTES_MAX));
        let response = match &mut self.sender {
            Sender::Http1(Http1 { sender, .. }) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        };
        if response.is_ok() {
            self.wire.await_head(None);
        }
        response
    }

    /// Takes the connection out of hyper's hands in the middle of a response's body, which then is to be
    /// read from the wire; gives what hyper had read ahead. Nothing, where that cannot be.
    pub(super) async fn take_over(&mut self) -> Option<Bytes> {
        let Sender::Http1(http1) = &mut self.sender else {
            return None;
        };
        let (answer, read_ahead) = oneshot::channel();
        http1.stop.take()?.send(answer).ok()?;
        read_ahead.await.ok()
    }

    /// Gives a connection that was taken over back to hyper, between two exchanges.
    pub(super) async fn hand_back(&mut self) {
        if let Ok(http1) = Http1::start(&self.wire, &self.tasks.0).await {
            self.sender = Sender::Http1(http1);
        }
    }

    /// Has anything come since the last exchange began?
    pub(super) fn has_answered(&self) -> bool {
        self.wire.traffic().plaintext_received > self.before.plaintext_received
    }

    /// What an exchange that gave no response head means.
    pub(super) fn no_response(&self, error: &hyper::Error) -> Error {
        let is_http2 = matches!(self.sender, Sender::Http2(_));
        broken(&self.wire, self.before, is_http2, error)
    }

    /// Gives hyper the chance to see what came after a response, which ends the connection.
    pub(super) async fn settle(&self) {
        tokio::task::yield_now().await;
    }

    /// Closes in order: hyper lets go, then `close_notify`, FIN, and the server's end.
    pub(super) async fn close(self, limit: Duration) -> CloseOutcome {
        let Self {
            wire,
            sender,
            tasks,
            ..
        } = self;
        drop(sender);
        tasks.0.clone().end().await;
        drop(tasks);
        wire.close(ClosePolicy::Wait(limit)).await
    }
}

/// hyper on an HTTP/1.1 connection.
#[derive(Debug)]
struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Makes hyper let go, and answer with what it had read ahead.
    stop: Option<oneshot::Sender<oneshot::Sender<Bytes>>>,
}

impl Http1 {
    async fn start(wire: &Wire, tasks: &Tasks) -> Result<Self, hyper::Error> {
        let (sender, mut driver) = http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_headers(HEAD_FIELDS_MAX)
            .handshake(wire.clone())
            .await?;
        let (stop, mut stopped) = oneshot::channel();
        tasks.spawn(async move {
            let mut may_stop = true;
            // hyper must not close what is ours to close. What went wrong reaches the request.
            let answer = poll_fn(|cx| {
                if may_stop {
                    match Pin::new(&mut stopped).poll(cx) {
                        Poll::Ready(Ok(answer)) => return Poll::Ready(Some(answer)),
                        Poll::Ready(Err(_)) => may_stop = false,
                        Poll::Pending => {}
                    }
                }
                driver.poll_without_shutdown(cx).map(|_| None)
            });
            let answer: Option<oneshot::Sender<Bytes>> = answer.await;
            let rest = driver.into_parts();
            match answer {
                Some(answer) => {
                    let _ = answer.send(rest.read_buf);
                }
                None => rest.io.note_left_over(rest.read_buf.len() as u64),
            }
        });
        Ok(Self {
            sender,
            stop: Some(stop),
        })
    }
}

/// Classifies, once and here, what hyper could not do, by what the wire saw.
fn broken(wire: &Wire, before: Traffic, is_http2: bool, error: &hyper::Error) -> Error {
    if let Some(failure) = wire.take_failure() {
        return Error::Connection(failure);
    }
    if wire.never_got_to_the_head() {
        return Error::Malformed {
            problem: format!("{BEFORE_HEAD_BYTES_MAX} bytes of interim responses, and no response"),
        };
    }
    let received = wire
        .traffic()
        .plaintext_received
        .saturating_sub(before.plaintext_received);
    match wire.ending() {
        // Over HTTP/2 what came may be settings: no part of any response.
        Some(ending) if received == 0 || is_http2 => match (wire.take_send_failure(), ending) {
            (Some(failure), _) => Error::Connection(failure),
            (None, Ending::Reset) => {
                Error::Connection(handfast::Error::new(Phase::Response, NetworkCause::Reset))
            }
            (None, ending) => Error::EmptyReply {
                ending: Some(ending),
            },
        },
        Some(ending) if !error.is_parse() => Error::Truncated(Box::new(Truncation {
            framing: None,
            expected: None,
            received,
            ending: Some(ending),
            problem: None,
            failure: None,
        })),
        _ if error.is_user() => Error::InvalidRequest {
            problem: chain_text(error),
        },
        _ => Error::Malformed {
            problem: chain_text(error),
        },
    }
}

/// hyper's words and those below them.
pub(super) fn chain_text(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(inner) = next {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = inner.source();
    }
    text
}

/// The tasks of one connection; they end with it.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.set().spawn(work);
    }

    /// Waits until all have ended, or ends them.
    async fn end(self) {
        let mut set = std::mem::take(&mut *self.set());
        let all = async { while set.join_next().await.is_some() {} };
        if timeout(LET_GO, all).await.is_err() {
            set.shutdown().await;
        }
    }

    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        self.spawn(async {
            work.await;
        });
    }
}

/// A connection that is dropped ends visibly without order, and its tasks with it.
#[derive(Debug)]
struct Aborting(Tasks);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.set().abort_all();
    }
}
