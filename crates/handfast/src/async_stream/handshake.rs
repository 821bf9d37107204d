//! Handshakes over a tokio channel, and how failed ones are closed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite};
use ::tokio::task::{JoinHandle, spawn_blocking};
use ::tokio::time::{Sleep, sleep};

use super::AsyncStream;
use super::raw::{close_failed, poll_receive, poll_transmit};
use super::waiting::{ProgressLimit, Senders};
use crate::blocking::HandshakeFailure;
use crate::close::{CloseOutcome, LingerLimits};
use crate::connection::Connection;
use crate::context::Timeouts;
use crate::error::{Error, LocalCause, NetworkCause};
use crate::phase::Phase;

/// A running handshake over a tokio channel: a future, ready within the context's time limit.
///
/// Dropping it closes the channel. To get its state, call
/// [`give_up`](Self::give_up) instead.
#[derive(Debug)]
#[must_use = "a handshake goes on only while it is awaited"]
pub struct AsyncHandshake<C> {
    under_way: Option<UnderWay<C>>,
    timeouts: Timeouts,
    sleep: Option<Pin<Box<Sleep>>>,
    /// A signature may be made elsewhere, and has to be waited for.
    signs_elsewhere: bool,
}

#[derive(Debug)]
struct UnderWay<C> {
    channel: C,
    /// At work it is elsewhere.
    connection: Option<Connection>,
    work: Option<JoinHandle<Processed>>,
}

/// A connection, and what it said of the records that it was given.
type Processed = (Connection, Result<(), Error>);

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncHandshake<C> {
    pub(super) fn new(
        connection: Connection,
        channel: C,
        timeouts: Timeouts,
        signs_elsewhere: bool,
    ) -> Self {
        Self {
            under_way: Some(UnderWay {
                channel,
                connection: Some(connection),
                work: None,
            }),
            timeouts,
            sleep: None,
            signs_elsewhere,
        }
    }

    /// Ends it for a reason of the caller, such as a time limit. `None` if it has ended already.
    pub fn give_up(self, error: Error) -> Option<HandshakeFailure<C>> {
        Some(self.under_way?.failed(error))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Future for AsyncHandshake<C> {
    type Output = Result<AsyncStream<C>, HandshakeFailure<C>>;

    /// # Panics
    /// If polled after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(under_way) = &mut this.under_way else {
            panic!("a handshake is polled after its end");
        };
        let result = match under_way.poll(cx, this.signs_elsewhere) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                let Some(limit) = this.timeouts.handshake else {
                    return Poll::Pending;
                };
                let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(sleep.as_mut().poll(cx));
                Err(Error::new(
                    Phase::Handshake,
                    NetworkCause::TimedOut { limit },
                ))
            }
        };
        let Some(mut under_way) = this.under_way.take() else {
            unreachable!("it was there above");
        };
        let connection = match result {
            Ok(connection) => connection,
            Err(error) => {
                if let Some(connection) = &mut under_way.connection {
                    // Send the alert. Closing sends what the channel does not accept now.
                    let _ = poll_transmit(&mut under_way.channel, connection, cx);
                }
                return Poll::Ready(Err(under_way.failed(error.in_phase(Phase::Handshake))));
            }
        };
        let Some(report) = connection.report().cloned() else {
            unreachable!("a handshake that is done has a report");
        };
        Poll::Ready(Ok(AsyncStream {
            channel: under_way.channel,
            connection,
            report,
            reading: ProgressLimit::new(this.timeouts.read, Phase::Response),
            writing: ProgressLimit::new(this.timeouts.write, Phase::Request),
            senders: Senders::default(),
            flush_on_read: true,
            send_at: 1,
        }))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> UnderWay<C> {
    fn failed(self, error: Error) -> HandshakeFailure<C> {
        match self.connection {
            Some(connection) => HandshakeFailure::of(error, self.channel, connection),
            // The signing task owns it until it is done.
            None => HandshakeFailure::before(error, self.channel),
        }
    }

    /// The connection, once its handshake is done.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        signs_elsewhere: bool,
    ) -> Poll<Result<Connection, Error>> {
        loop {
            if let Some(work) = &mut self.work {
                let done = ready!(Pin::new(work).poll(cx));
                self.work = None;
                let (connection, result) = done.map_err(|error| {
                    Error::new(Phase::Handshake, LocalCause::Internal(error.to_string()))
                })?;
                self.connection = Some(connection);
                result?;
            }
            let Some(connection) = &mut self.connection else {
                unreachable!("a connection that is not at work is here");
            };
            match ready!(poll_handshake(
                &mut self.channel,
                connection,
                cx,
                signs_elsewhere
            ))? {
                Step::Process => {
                    self.work = self.connection.take().map(|mut connection| {
                        spawn_blocking(move || {
                            let result = connection.process();
                            (connection, result)
                        })
                    });
                }
                Step::Done => match self.connection.take() {
                    Some(connection) => return Poll::Ready(Ok(connection)),
                    None => unreachable!("it was there above"),
                },
            }
        }
    }
}

/// Where a handshake stands.
enum Step {
    Done,
    /// What was received is to be processed, which may wait for a signature.
    Process,
}

impl<C: AsyncRead + AsyncWrite + Unpin> HandshakeFailure<C> {
    /// As [`close`](Self::close), without blocking the thread. After cancellation it can be called again.
    pub async fn close_async(&mut self, limits: LingerLimits) -> CloseOutcome {
        match &mut self.connection {
            Some(connection) => close_failed(&mut self.channel, connection, Some(limits)).await,
            None => CloseOutcome::PeerGone,
        }
    }
}

fn poll_handshake<C: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut C,
    connection: &mut Connection,
    cx: &mut Context<'_>,
    signs_elsewhere: bool,
) -> Poll<Result<Step, Error>> {
    loop {
        // Tickets can wait for the answer to the client's first data:
        // both are then sent together.
        let answers_soon = connection.has_plaintext() && !connection.owes_handshake();
        if !connection.is_handshaking() && answers_soon {
            return Poll::Ready(Ok(Step::Done));
        }
        let _ = poll_transmit(channel, connection, cx)?;
        if !connection.is_handshaking() {
            // The peer waits for our last flight, and the caller may not write soon.
            return match connection.owes_handshake() {
                true => Poll::Pending,
                false => Poll::Ready(Ok(Step::Done)),
            };
        }
        match poll_receive(channel, connection, cx)? {
            Poll::Ready(()) if signs_elsewhere => return Poll::Ready(Ok(Step::Process)),
            Poll::Ready(()) => connection.process()?,
            Poll::Pending => {
                connection.rest();
                return Poll::Pending;
            }
        }
    }
}
