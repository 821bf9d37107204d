//! The steps between a connection and its channel: bytes out, bytes in, and the close of what failed.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::time::timeout;

use crate::close::{CloseOutcome, ClosePolicy, LingerLimits, Lingering};
use crate::connection::Connection;
use crate::error::{Error, NetworkCause};
use crate::phase::Phase;

/// Sends until all is sent or the channel is full.
pub(super) fn poll_transmit<C: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut C,
    connection: &mut Connection,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    while !connection.outgoing().is_empty() {
        match ready!(Pin::new(&mut *channel).poll_write(cx, connection.outgoing())) {
            Ok(0) => return Poll::Ready(Err(io_error(io::ErrorKind::WriteZero.into()))),
            Ok(count) => connection.sent(count),
            Err(error) if NetworkCause::is_reset(&error) => {
                return Poll::Ready(Err(last_words(channel, connection, cx)));
            }
            Err(error) => return Poll::Ready(Err(io_error(error))),
        }
    }
    Poll::Ready(Ok(()))
}

pub(super) fn poll_receive<C: AsyncRead + Unpin>(
    channel: &mut C,
    connection: &mut Connection,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    match ready!(poll_raw_read(channel, cx, connection.receive_room())) {
        Ok(0) => connection.received_end(),
        Ok(count) => connection.received(count),
        Err(error) if NetworkCause::is_reset(&error) => connection.received_reset(),
        Err(error) => {
            return Poll::Ready(Err(Error::new(Phase::Response, NetworkCause::from(error))));
        }
    }
    Poll::Ready(Ok(()))
}

pub(super) fn poll_raw_read<C: AsyncRead + Unpin>(
    channel: &mut C,
    cx: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(room);
    ready!(Pin::new(channel).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// The connection is lost; the data before that may contain an alert with the reason. Other data, such as an early
/// answer, can still be read afterwards.
fn last_words<C: AsyncRead + Unpin>(
    channel: &mut C,
    connection: &mut Connection,
    cx: &mut Context<'_>,
) -> Error {
    connection.note_reset();
    for _ in 0..64 {
        let before = connection.traffic().bytes_received;
        // Pending does not mean that no data arrived: the reactor may not have reported it yet.
        let read = poll_receive(channel, connection, cx);
        if !matches!(read, Poll::Ready(Ok(()))) {
            break;
        }
        if let Err(error) = connection.look_ahead() {
            return error;
        }
        if connection.traffic().bytes_received == before {
            break;
        }
    }
    Error::new(Phase::Request, NetworkCause::Reset)
}

pub(super) fn io_error(error: io::Error) -> Error {
    Error::new(Phase::Request, NetworkCause::from(error))
}

/// Sends the alert of a failed connection, half-closes, and discards further data.
pub(super) async fn close_failed<C: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut C,
    connection: &mut Connection,
    limits: Option<LingerLimits>,
) -> CloseOutcome {
    if connection.alert_sent().is_none() {
        return CloseOutcome::PeerGone;
    }
    let limit = limits.unwrap_or(LingerLimits::AFTER_REFUSAL).silence;
    let sent = timeout(limit, async {
        poll_fn(|cx| poll_transmit(channel, connection, cx)).await?;
        poll_fn(|cx| Pin::new(&mut *channel).poll_flush(cx)).await?;
        poll_fn(|cx| Pin::new(&mut *channel).poll_shutdown(cx)).await
    });
    if !matches!(sent.await, Ok(Ok(()))) {
        return CloseOutcome::PeerGone;
    }
    let outcome = match limits.map(ClosePolicy::Linger).and_then(Lingering::new) {
        Some(lingering) => discard_raw(channel, lingering, Instant::now()).await,
        None => CloseOutcome::SentOnly,
    };
    match outcome {
        CloseOutcome::PeerGone => CloseOutcome::PeerGone,
        _ => CloseOutcome::AlertSent,
    }
}

pub(super) async fn discard_raw<C: AsyncRead + Unpin>(
    channel: &mut C,
    mut lingering: Lingering,
    began: Instant,
) -> CloseOutcome {
    let mut discarded = [0; 4096];
    while let Some(limit) = lingering.next_limit() {
        let read = poll_fn(|cx| poll_raw_read(channel, cx, &mut discarded));
        match timeout(limit, read).await {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => lingering.progressed(began.elapsed(), count as u64),
            Ok(Err(error)) if NetworkCause::is_reset(&error) => return CloseOutcome::PeerGone,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    CloseOutcome::SentOnly
}
