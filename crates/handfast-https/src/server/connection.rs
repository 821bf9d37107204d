//! One connection, from accepting to closing, in a task of its own.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use handfast::{AsyncStream, CloseOutcome, ClosePolicy, LingerLimits, Timeouts};
use tokio::time::{Sleep, sleep_until};

use super::activity::{Delivery, Due};
use super::budget::Allowance;
use super::delivery::unacknowledged;
use super::engine::{Engine, Failure, SEND_AT, Transport};
use super::handler::{ConnectionInfo, Handler};
use super::handshake::{Accepted, shake_hands};
use super::http1::Http1;
use super::http2::Http2;
use super::observer::CloseReason;
use super::places;
use super::state::ConnectionState;
use super::worker::Worker;

/// When a successor serves, a kept HTTP/1 connection that idles for so long is closed; before, its next reply says that it is the last. Closed
/// at once, it would often be closed while a request is on its way, which the client cannot tell from one that was lost.
const LAST_REQUEST: Duration = places::IDLE_MIN;

/// The address at which a connection is known to the kernel, which may be another than the one that is listened on.
pub(super) type LocalOf<T> = fn(&T) -> Option<SocketAddr>;

/// Serves one connection to its end. All failures are reported to the observer.
pub(super) async fn run<H: Handler, T: Transport>(
    worker: Rc<Worker<H>>,
    socket: T,
    accepted: Accepted,
    local_of: LocalOf<T>,
) {
    // Each phase is boxed, so that a connection occupies what its present phase needs and no more.
    if let Some(stream) = Box::pin(shake_hands(&worker, socket, &accepted)).await {
        serve(worker, stream, accepted, local_of).await;
    }
}

/// Serves one whose handshake is done.
pub(super) async fn serve<H: Handler, T: Transport>(
    worker: Rc<Worker<H>>,
    mut stream: Box<AsyncStream<T>>,
    accepted: Accepted,
    local_of: LocalOf<T>,
) {
    let Accepted {
        peer,
        local,
        place,
        admitted,
        at,
    } = accepted;
    // The driver of the connection applies its limits, and flushes.
    stream.set_timeouts(&Timeouts::NONE);
    stream.set_flush_on_read(false);
    stream.set_send_at(SEND_AT);
    let shared = &worker.shared;
    let info = Arc::new(ConnectionInfo {
        number: shared.connections_ever.fetch_add(1, Ordering::Relaxed) + 1,
        peer,
        local,
        report: Arc::clone(stream.report()),
    });
    let observer = Arc::clone(&shared.observer);
    observer.connection_opened(&info);
    let held = Allowance::new(&shared.budget);
    let discard_max = shared.limits.discard_max;
    let connection = ConnectionState::new(info, at, discard_max, held, place, admitted, observer);
    let mut live = Live {
        number: worker.add(&connection),
        worker: &worker,
        stream: Some(stream),
        connection,
    };
    let (shared, connection) = (Arc::clone(shared), Rc::clone(&live.connection));
    let reason = if connection.info.is_http2() {
        let engine = Http2::new(shared, connection);
        Box::pin(drive(&worker, &mut live, engine, local_of)).await
    } else {
        let engine = Http1::new(shared, connection);
        Box::pin(drive(&worker, &mut live, engine, local_of)).await
    };
    Box::pin(end(&worker, &mut live, reason)).await;
}

/// A connection whose handshake is done. However its task ends, its end is reported.
struct Live<'w, H: Handler, T: Transport> {
    worker: &'w Worker<H>,
    /// Its number among those of the thread.
    number: u64,
    stream: Option<Box<AsyncStream<T>>>,
    connection: Rc<ConnectionState>,
}

impl<H: Handler, T: Transport> Drop for Live<'_, H, T> {
    fn drop(&mut self) {
        self.worker.remove(self.number);
        self.connection.ends(&CloseReason::Stopped);
        self.connection.settle(false);
        self.connection
            .report(self.stream.as_deref(), CloseReason::Stopped, None);
    }
}

/// Polls the engine, and keeps the limits.
async fn drive<H: Handler, T: Transport, E: Engine<T>>(
    worker: &Worker<H>,
    live: &mut Live<'_, H, T>,
    mut engine: E,
    local_of: LocalOf<T>,
) -> CloseReason {
    let mut draining = pin!(worker.draining());
    let mut stopping = pin!(worker.stopping());
    let (mut drains, mut drained) = (false, false);
    let mut watchdog = Watchdog::default();
    let connection = Rc::clone(&live.connection);
    let mut registered = false;
    poll_fn(|cx| {
        if !std::mem::replace(&mut registered, true) {
            // A task's waker is the same as long as it lives.
            connection.serve_by(cx.waker());
        }
        let Some(stream) = &mut live.stream else {
            return Poll::Ready(CloseReason::Stopped);
        };
        drains = drains || draining.as_mut().poll(cx).is_ready();
        loop {
            if drains && !drained {
                let is_served = connection.activity.requests() > 0;
                drained = is_served && connection.info.is_http2()
                    || !worker.takes_first_requests()
                    || stopping.as_mut().poll(cx).is_ready();
                match drained {
                    true => engine.wind_up(),
                    false => connection.retire(),
                }
                if is_served && !drained {
                    watchdog.retired.get_or_insert_with(Instant::now);
                }
            }
            if let Poll::Ready(result) = engine.poll(cx, stream) {
                return Poll::Ready(judge(result, stream, &connection, &watchdog));
            }
            if drains
                && !drained
                && connection.info.is_http2()
                && connection.activity.requests() > 0
            {
                continue;
            }
            let due = match is_to_leave(&connection) {
                true if !watchdog.winding_up => Poll::Ready(Due::Idle),
                _ => watchdog.poll(cx, worker, &connection, engine.due(), || {
                    delivery(stream, &connection, local_of)
                }),
            };
            match due {
                Poll::Ready(Due::Idle) if connection.info.is_http2() && !watchdog.winding_up => {
                    // GOAWAY has the last stream that was served (RFC 9113, section 6.8), and the client has
                    // as long as for a head to take note.
                    watchdog.wind_up(worker.shared.limits.head);
                    engine.wind_up();
                }
                Poll::Ready(Due::Idle) if connection.is_leaving() => {
                    return Poll::Ready(CloseReason::MadeRoom);
                }
                Poll::Ready(Due::Idle) if watchdog.retired.is_some() && !drained => {
                    drained = true;
                    engine.wind_up();
                }
                Poll::Ready(Due::Discard) => engine.give_up_discarding(),
                Poll::Ready(Due::Stream) => engine.expire(),
                Poll::Ready(Due::Idle) => return Poll::Ready(CloseReason::Idle),
                Poll::Ready(Due::Head) => return Poll::Ready(CloseReason::HeadTimedOut),
                Poll::Ready(Due::Progress) => return Poll::Ready(CloseReason::Stalled),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Does an idle connection go now, so that another one has its place? Over HTTP/1 a reply has said so before;
/// over HTTP/2 nothing but GOAWAY can.
fn is_to_leave(connection: &ConnectionState) -> bool {
    if connection.is_leaving() {
        return connection.idle_since().is_some();
    }
    let leaves = connection.info.is_http2()
        && connection.idle_since().is_some()
        && connection.place.is_wanted();
    if leaves {
        connection.ask_to_leave();
    }
    leaves
}

/// What an engine's end means.
fn judge<T: Transport>(
    result: Result<(), Failure>,
    stream: &AsyncStream<T>,
    connection: &ConnectionState,
    watchdog: &Watchdog,
) -> CloseReason {
    match result {
        Ok(()) if connection.is_leaving() => CloseReason::MadeRoom,
        Ok(()) if watchdog.winding_up => CloseReason::Idle,
        Ok(()) => CloseReason::Finished,
        Err(Failure::BadRequest(what)) => CloseReason::BadRequest(what),
        // The client left where nothing was under way.
        Err(Failure::BrokenOff(_)) if stream.ending().is_some() && connection.is_idle() => {
            CloseReason::Finished
        }
        Err(Failure::BrokenOff(what)) => CloseReason::BrokenOff(what),
    }
}

/// Ends the connection as the reason demands, and reports it.
async fn end<H: Handler, T: Transport>(
    worker: &Worker<H>,
    live: &mut Live<'_, H, T>,
    reason: CloseReason,
) {
    live.connection.ends(&reason);
    let policy = match &reason {
        CloseReason::Finished | CloseReason::Idle | CloseReason::BadRequest(_) => {
            Some(worker.shared.close)
        }
        // A connection waits for its place, and nothing has been under way for some time.
        CloseReason::MadeRoom => Some(ClosePolicy::Linger(LingerLimits::AFTER_REFUSAL)),
        // Nothing was said that could be lost, and who drips a head would drip on.
        CloseReason::HeadTimedOut => Some(ClosePolicy::Send),
        // The client violated the TLS protocol: it is to read the alert that says so.
        _ if live
            .stream
            .as_ref()
            .is_some_and(|stream| stream.alert_sent().is_some()) =>
        {
            Some(ClosePolicy::Linger(LingerLimits::AFTER_REFUSAL))
        }
        // Dropping is not closing: what was cut must look cut.
        _ => None,
    };
    let outcome = match (&mut live.stream, policy) {
        (Some(stream), Some(policy)) => {
            // Little is left to be sent: what the channel takes is progress enough.
            let mut timeouts = Timeouts::NONE;
            timeouts.write = Some(worker.shared.limits.write);
            stream.set_timeouts(&timeouts);
            Some(stream.close(policy).await)
        }
        _ => None,
    };
    live.connection.settle(matches!(
        outcome,
        Some(CloseOutcome::Complete | CloseOutcome::SentOnly)
    ));
    live.connection
        .report(live.stream.as_deref(), reason, outcome);
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
    /// Since when it has been kept for one request more.
    retired: Option<Instant>,
}

impl Watchdog {
    fn wind_up(&mut self, limit: Duration) {
        self.winding_up = true;
        self.deadline = Some(Instant::now() + limit);
    }

    fn poll<H: Handler>(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker<H>,
        connection: &ConnectionState,
        engine_due: Option<Instant>,
        delivery: impl Fn() -> Delivery,
    ) -> Poll<Due> {
        let limits = &worker.shared.limits;
        loop {
            let due = match self.deadline {
                Some(deadline) if connection.activity.is_idle() => (deadline, Due::Idle),
                _ => connection.activity.due(limits, !connection.is_settled()),
            };
            let last = self.retired.zip(connection.idle_since());
            let due = match last.map(|(since, idle)| since.max(idle) + LAST_REQUEST) {
                Some(last) if last < due.0 => (last, Due::Idle),
                _ => due,
            };
            let (at, what) = match engine_due {
                Some(at) if at < due.0 => (at, Due::Stream),
                _ => due,
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
                let now = Instant::now();
                if what != Due::Progress
                    || !connection.activity.takes_enough(now, delivery(), limits)
                {
                    return Poll::Ready(what);
                }
                continue;
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// How much was delivered to the client, if the kernel reports it; otherwise, how much the kernel has accepted.
fn delivery<T: Transport>(
    stream: &AsyncStream<T>,
    connection: &ConnectionState,
    local_of: LocalOf<T>,
) -> Delivery {
    let taken = stream.traffic().bytes_sent;
    let local = local_of(stream.channel()).or_else(|| connection.info.local.socket());
    let addresses = local.zip(connection.info.peer.socket());
    match addresses.and_then(|(local, peer)| unacknowledged(local, peer)) {
        Some(waiting) => Delivery {
            acknowledged: taken.saturating_sub(waiting.into()),
            outstanding: waiting > 0,
        },
        None => Delivery {
            acknowledged: taken,
            outstanding: stream.unsent() > 0,
        },
    }
}
