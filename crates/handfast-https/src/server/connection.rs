//! One connection, from accepting to closing, in a task of its own (A18, A22, A23).

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use handfast::{
    AsyncStream, CloseOutcome, ClosePolicy, Error, HandshakeFailure, NetworkCause, PeerCause,
    Phase, Timeouts,
};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until, timeout_at};

use super::activity::Due;
use super::handler::{ConnectionInfo, Handler};
use super::observer::{CloseReason, HandshakeEvent};
use super::plain_http;
use super::service::{Tracked, answer};
use super::transport::{Io, Link, SameThread};
use super::worker::Worker;

/// A connection as it was accepted.
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) at: Instant,
}

/// Serves one connection to its end. Everything that fails in here is told to the observer.
pub(super) async fn run<H: Handler>(worker: Rc<Worker<H>>, accepted: Accepted) {
    let (peer, local, at) = (accepted.peer, accepted.local, accepted.at);
    // Each phase is boxed, so that a connection occupies what its present phase needs and no more.
    let Some(stream) = Box::pin(shake_hands(&worker, accepted)).await else {
        return;
    };
    let info = Arc::new(ConnectionInfo {
        peer,
        local,
        report: stream.report().clone(),
    });
    let shared = &worker.shared;
    let observer = Arc::clone(&shared.observer);
    let link = Link::new(stream, info, at, shared.limits.discard_max, observer);
    let reason = if link.info.is_http2() {
        Box::pin(speak_http2(&worker, &link)).await
    } else {
        Box::pin(speak_http1(&worker, &link)).await
    };
    Box::pin(end(&worker, &link, reason)).await;
}

/// The handshake, within the deadline for the first request head. A failure is reported here.
async fn shake_hands<H: Handler>(
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

async fn speak_http1<H: Handler>(worker: &Rc<Worker<H>>, link: &Rc<Link>) -> CloseReason {
    let shared = Arc::clone(&worker.shared);
    let service_link = Rc::clone(link);
    let service =
        service_fn(move |request| answer(Arc::clone(&shared), Rc::clone(&service_link), request));
    let connection = worker.http1.serve_connection(Io(Rc::clone(link)), service);
    drive(worker, link, connection).await
}

async fn speak_http2<H: Handler>(worker: &Rc<Worker<H>>, link: &Rc<Link>) -> CloseReason {
    let shared = Arc::clone(&worker.shared);
    let service_link = Rc::clone(link);
    let service =
        service_fn(move |request| answer(Arc::clone(&shared), Rc::clone(&service_link), request));
    let connection = worker.http2.serve_connection(Io(Rc::clone(link)), service);
    drive(worker, link, connection).await
}

/// Either of hyper's connections.
trait Drive: Future<Output = hyper::Result<()>> {
    /// Take no more requests; end when those under way are answered.
    fn wind_up(self: Pin<&mut Self>);
}

impl<S> Drive for http1::Connection<Io, S>
where
    S: HttpService<Incoming, ResBody = Tracked>,
    S::Error: Into<super::BodyError>,
{
    fn wind_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Drive for http2::Connection<Io, S, SameThread>
where
    S: HttpService<Incoming, ResBody = Tracked>,
    S::Error: Into<super::BodyError>,
    S::Future: 'static,
{
    fn wind_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls hyper, discards what must be, and keeps the limits.
async fn drive<H: Handler, C: Drive>(
    worker: &Worker<H>,
    link: &Link,
    connection: C,
) -> CloseReason {
    let mut connection = pin!(connection);
    let mut draining = pin!(worker.draining());
    let mut drained = false;
    let mut watchdog = Watchdog::default();
    poll_fn(|cx| {
        if !drained && draining.as_mut().poll(cx).is_ready() {
            drained = true;
            connection.as_mut().wind_up();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(judge(result, link, &watchdog));
        }
        link.poll_discard(cx);
        if let Poll::Ready(Err(error)) = link.poll_promised_flush(cx) {
            return Poll::Ready(CloseReason::BrokenOff(chain(&error)));
        }
        match watchdog.poll(cx, worker, link) {
            Poll::Ready(Due::Idle) if link.info.is_http2() && !watchdog.winding_up => {
                // The client is told which streams were served (RFC 9113, section 6.8), and has as
                // long as for a head to take note.
                watchdog.wind_up(worker.shared.limits.head);
                connection.as_mut().wind_up();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Due::Discard) => {
                link.give_up_discarding();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Due::Idle) => Poll::Ready(CloseReason::Idle),
            Poll::Ready(Due::Head) => Poll::Ready(CloseReason::HeadTimedOut),
            Poll::Ready(Due::Stall) => Poll::Ready(CloseReason::Stalled),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What hyper's end means.
fn judge(result: hyper::Result<()>, link: &Link, watchdog: &Watchdog) -> CloseReason {
    match result {
        Ok(()) if watchdog.winding_up => CloseReason::Idle,
        Ok(()) => CloseReason::Finished,
        // hyper has answered 400, 414 or 431 already.
        Err(error) if error.is_parse() => CloseReason::BadRequest(chain(&error)),
        // The client left where nothing was under way.
        Err(_) if link.ending().is_some() && link.is_idle() => CloseReason::Finished,
        Err(error) => CloseReason::BrokenOff(chain(&error)),
    }
}

/// An error and its sources on one line; hyper prints one level only.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        // hyper repeats its source in some of its messages.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        // `io::Error` hides what it wraps from its `source`.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().and_then(|inner| inner.source()),
            None => error.source(),
        };
    }
    text
}

/// Ends the connection as the reason demands, and reports it.
async fn end<H: Handler>(worker: &Worker<H>, link: &Link, reason: CloseReason) {
    let mut stream = link.take_stream();
    let policy = match &reason {
        CloseReason::Finished | CloseReason::Idle | CloseReason::BadRequest(_) => {
            Some(worker.shared.close)
        }
        // Nothing was said that could be lost, and who drips a head would drip on.
        CloseReason::HeadTimedOut => Some(ClosePolicy::Send),
        // Dropping is not closing: what was cut must look cut.
        _ => None,
    };
    let outcome = match (&mut stream, policy) {
        (Some(stream), Some(policy)) => Some(stream.close(policy).await),
        _ => None,
    };
    link.settle(matches!(
        outcome,
        Some(CloseOutcome::Complete | CloseOutcome::SentOnly)
    ));
    link.report(stream.as_ref(), reason, outcome);
}

/// One timer for all limits of a connection. It is set for the earliest moment at which something may
/// be due and moved only when it fires or something becomes due earlier, so that traffic costs no
/// timer operation.
#[derive(Default)]
struct Watchdog {
    sleep: Option<Pin<Box<Sleep>>>,
    /// An end was announced: by then it must have come.
    deadline: Option<Instant>,
    winding_up: bool,
}

impl Watchdog {
    fn wind_up(&mut self, limit: std::time::Duration) {
        self.winding_up = true;
        self.deadline = Some(Instant::now() + limit);
    }

    fn poll<H: Handler>(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker<H>,
        link: &Link,
    ) -> Poll<Due> {
        loop {
            let due = match self.deadline {
                Some(deadline) if link.activity.is_idle() => Some((deadline, Due::Idle)),
                _ => link.activity.due(&worker.shared.limits),
            };
            let Some((at, what)) = due else {
                return Poll::Pending;
            };
            let at = tokio::time::Instant::from_std(at);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if at < sleep.deadline() {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= tokio::time::Instant::now() {
                return Poll::Ready(what);
            }
            sleep.as_mut().reset(at);
        }
    }
}
