//! TLS over any tokio channel: the asynchronous counterpart of `blocking.rs`.
//!
//! Polling, wakers and time limits; the protocol is in `connection.rs`. While a stream
//! waits, it holds no buffers: the thread lends them while bytes are transferred.

mod handshake;
mod raw;
mod split;
mod waiting;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::time::timeout;

pub use self::handshake::AsyncHandshake;
use self::raw::{close_failed, discard_raw, io_error, poll_receive, poll_transmit};
pub use self::split::{AsyncReadHalf, AsyncWriteHalf};
use self::waiting::{ProgressLimit, Sender, Senders};
use crate::alert::Alert;
use crate::blocking::{HandshakeFailure, ending_as_io, too_much};
use crate::close::{CloseOutcome, ClosePolicy, Ending, Lingering};
use crate::connection::{Connection, ReadOutcome};
use crate::context::{ClientContext, ServerContext, Timeouts};
use crate::error::Error;
use crate::exporter::ExportError;
use crate::phase::Phase;
use crate::report::{Report, Ticket, Traffic};

impl ClientContext {
    /// Completes the handshake as the client over any channel, and verifies that the peer is `server_name`.
    ///
    /// # Errors
    /// The failure, with the channel and what the peer had sent.
    pub async fn secure_async<C: AsyncRead + AsyncWrite + Unpin>(
        &self,
        server_name: &str,
        channel: C,
    ) -> Result<AsyncStream<C>, HandshakeFailure<C>> {
        match self.connection(server_name) {
            Ok(connection) => {
                let elsewhere = self.signs_elsewhere();
                AsyncHandshake::new(connection, channel, self.timeouts(), elsewhere).await
            }
            Err(error) => Err(HandshakeFailure::before(error, channel)),
        }
    }
}

impl ServerContext {
    /// Completes the handshake as the server over any channel.
    ///
    /// # Errors
    /// The failure, with the channel and what the peer had sent.
    pub async fn accept_async<C: AsyncRead + AsyncWrite + Unpin>(
        &self,
        channel: C,
    ) -> Result<AsyncStream<C>, HandshakeFailure<C>> {
        match self.handshake_async(channel) {
            Ok(handshake) => handshake.await,
            Err(failure) => Err(failure),
        }
    }

    /// As [`accept_async`](Self::accept_async), as a value: the caller can stop waiting
    /// for it and still get its state ([`AsyncHandshake::give_up`]).
    ///
    /// # Errors
    /// [`LocalCause::Internal`](crate::LocalCause::Internal), never seen.
    pub fn handshake_async<C: AsyncRead + AsyncWrite + Unpin>(
        &self,
        channel: C,
    ) -> Result<AsyncHandshake<C>, HandshakeFailure<C>> {
        match self.connection() {
            Ok(connection) => {
                let elsewhere = self.signs_elsewhere();
                let timeouts = self.timeouts();
                Ok(AsyncHandshake::new(
                    connection, channel, timeouts, elsewhere,
                ))
            }
            Err(error) => Err(HandshakeFailure::before(error, channel)),
        }
    }
}

/// A TLS stream over a tokio channel.
///
/// Reads, writes and ends as [`Stream`](crate::Stream): `poll_read` gives `Ok(0)`
/// only after `close_notify`; a premature end is `UnexpectedEof`, a reset `ConnectionReset`, with an
/// [`Error`] inside, after all data that had arrived. `poll_shutdown` flushes, sends `close_notify`
/// and half-closes; [`close`](Self::close) also waits for the peer's end.
///
/// Every method may be cancelled at any await and called again: nothing that was received is lost, nothing that was
/// reported as written is, and nothing is sent twice. (Tokio's methods on top, such as `read_exact` or
/// `write_all`, document what they lose.) A limit on reading or writing counts from the last progress, whether or
/// not a task was waiting all the time.
#[derive(Debug)]
pub struct AsyncStream<C> {
    channel: C,
    connection: Connection,
    report: Arc<Report>,
    reading: ProgressLimit,
    writing: ProgressLimit,
    senders: Senders,
    flush_on_read: bool,
    send_at: usize,
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncStream<C> {
    /// The negotiated parameters, and the peer. Shared, so that keeping it costs no copy.
    pub fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// How the peer's direction ended, once everything before the end was read.
    pub fn ending(&self) -> Option<Ending> {
        self.connection.ending()
    }

    /// The fatal alert of a failed connection, if any: [`close`](Self::close) delivers it
    /// to the peer.
    pub fn alert_sent(&self) -> Option<Alert> {
        self.connection.alert_sent()
    }

    /// The fatal alert by which the peer ended the connection, if it did.
    pub fn alert_received(&self) -> Option<Alert> {
        self.connection.alert_received()
    }

    /// The tickets that the server has sent so far: see [`Connection::tickets`].
    pub fn tickets(&self) -> &[Ticket] {
        self.connection.tickets()
    }

    /// Whether data can be read without waiting for the peer.
    pub fn has_plaintext(&self) -> bool {
        self.connection.has_plaintext()
    }

    /// Bytes and records so far.
    pub fn traffic(&self) -> Traffic {
        self.connection.traffic()
    }

    /// The number of bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.connection.outgoing().len()
    }

    /// Keying material for a protocol above: see [`Connection::export_keying_material`].
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn export_keying_material(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        output: &mut [u8],
    ) -> Result<(), ExportError> {
        self.connection
            .export_keying_material(label, context, output)
    }

    /// The channel binding `tls-exporter` (RFC 9266): see [`Connection::channel_binding`].
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn channel_binding(&self) -> Result<[u8; 32], ExportError> {
        self.connection.channel_binding()
    }

    /// The channel underneath.
    pub fn channel(&self) -> &C {
        &self.channel
    }

    /// The connection without its channel, for a caller that continues differently.
    pub fn into_parts(self) -> (C, Connection) {
        (self.channel, self.connection)
    }

    /// Memory held in buffers, in bytes; nearly none while idle.
    pub fn memory_held(&self) -> usize {
        self.connection.memory_held()
    }

    /// The part of it that is for what was written and not yet sent.
    pub fn unsent_memory_held(&self) -> usize {
        self.connection.unsent_memory_held()
    }

    /// Releases buffers that are empty or nearly so. Waiting does it, too.
    pub fn rest(&mut self) {
        self.connection.rest();
    }

    /// How much is read from the channel at once, at least one record. Default: eight records.
    pub fn set_receive_max(&mut self, bytes: usize) {
        self.connection.set_receive_max(bytes);
    }

    /// Changes the limits on later reads and writes.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) {
        self.reading = ProgressLimit::new(timeouts.read, Phase::Response);
        self.writing = ProgressLimit::new(timeouts.write, Phase::Request);
    }

    /// Whether waiting for the peer first sends what was written and not flushed. Default: yes, which
    /// a request and its reply need. A caller that always flushes turns it off, so that
    /// reading ahead does not cut its writes into smaller records.
    pub fn set_flush_on_read(&mut self, on: bool) {
        self.flush_on_read = on;
    }

    /// How many bytes of records are gathered before they are sent without a flush. Default: 1,
    /// every full record is sent immediately. A caller that always flushes after the last write of
    /// several saves system calls with more; values over 128 KiB have no further effect.
    pub fn set_send_at(&mut self, bytes: usize) {
        self.send_at = bytes.clamp(1, crate::buffers::BUFFER_SIZE);
    }

    /// Reads everything up to the peer's end, at most `bytes_max` bytes, and returns how it ended.
    /// Only [`Ending::CloseNotify`] proves that this was everything the peer sent.
    ///
    /// After cancellation or an error, nothing is lost: received data can still be read.
    ///
    /// # Errors
    /// A protocol error, an alert, a time-out, or more than `bytes_max`.
    pub async fn read_to_ending(&mut self, bytes_max: usize) -> Result<(Vec<u8>, Ending), Error> {
        let mut gathering = Gathering {
            stream: self,
            bytes: Vec::new(),
        };
        loop {
            match poll_fn(|cx| gathering.poll(cx, bytes_max)).await? {
                ReadOutcome::End(ending) => {
                    return Ok((std::mem::take(&mut gathering.bytes), ending));
                }
                ReadOutcome::Data(_) | ReadOutcome::WouldBlock => {}
            }
            if gathering.bytes.len() > bytes_max {
                return Err(too_much(bytes_max));
            }
        }
    }

    /// Closes in two phases: flush, `close_notify`, FIN; then waits for the peer's end as the
    /// policy requires, discarding further data. Never fails: the outcome is returned.
    ///
    /// A failed connection cannot be closed in order. If there is an alert, it is sent in place of
    /// `close_notify`, and the peer has the same time to read it.
    ///
    /// After cancellation, the next call continues with new limits. Discarded data is lost.
    pub async fn close(&mut self, policy: ClosePolicy) -> CloseOutcome {
        if self.connection.has_failed() {
            let limits = policy.limits();
            return close_failed(&mut self.channel, &mut self.connection, limits).await;
        }
        let lingering = Lingering::new(policy);
        let began = Instant::now();
        // Sending has its own limit, for a peer that reads nothing.
        if poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx))
            .await
            .is_err()
        {
            return CloseOutcome::PeerGone;
        }
        let Some(mut lingering) = lingering else {
            return CloseOutcome::after(self.connection.ending());
        };
        while let Some(limit) = lingering.next_limit() {
            let before = self.connection.traffic().bytes_received;
            let mut discarded = [0; 4096];
            let next = poll_fn(|cx| self.poll_read_some(cx, &mut discarded));
            match timeout(limit, next).await {
                Ok(Ok(ReadOutcome::End(ending))) => return CloseOutcome::after(Some(ending)),
                Ok(Ok(_)) => {}
                // Further data cannot be decrypted; only FIN ends the connection.
                Ok(Err(_)) if lingering.insists() => return CloseOutcome::SentOnly,
                Ok(Err(_)) => return discard_raw(&mut self.channel, lingering, began).await,
                Err(_) => return CloseOutcome::SentOnly,
            }
            let received = self.connection.traffic().bytes_received - before;
            lingering.progressed(began.elapsed(), received);
        }
        CloseOutcome::SentOnly
    }

    /// The first half of [`close`](Self::close): sends what was written and, with it, `close_notify`. What
    /// is left to do is to close. If the last write ends the exchange, this saves a flush.
    ///
    /// # Errors
    /// The channel fails, or accepts nothing within the time limit.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connection.send_close_notify()?;
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.channel).poll_flush(cx).map_err(io_error)
    }

    /// Reads plaintext without a buffer, as [`Connection::read_with`]: passes `take` the received data, at most
    /// `limit` bytes of it. The peer's end is a value here, whichever it was.
    ///
    /// # Errors
    /// A protocol error, an alert, a time-out; what came before is delivered first.
    pub fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<ReadOutcome, Error>> {
        self.poll_read_by(cx, &mut |connection| connection.read_with(limit, take))
    }

    /// Reads once; the peer's end of any kind is a value.
    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<ReadOutcome, Error>> {
        self.poll_read_by(cx, &mut |connection| connection.read(buffer))
    }

    fn poll_read_by(
        &mut self,
        cx: &mut Context<'_>,
        read: &mut dyn FnMut(&mut Connection) -> Result<ReadOutcome, Error>,
    ) -> Poll<Result<ReadOutcome, Error>> {
        loop {
            let unsent = self.connection.outgoing().len();
            match read(&mut self.connection) {
                Ok(ReadOutcome::WouldBlock) => {}
                Ok(found) => {
                    self.reading.progress();
                    return Poll::Ready(Ok(found));
                }
                Err(error) => {
                    // Send the alert; the result is the same whether or not it arrives.
                    let _ = poll_transmit(&mut self.channel, &mut self.connection, cx);
                    return Poll::Ready(Err(error));
                }
            }
            // Written data waits for a flush; messages of the protocol itself do not.
            let answers = self.connection.outgoing().len() > unsent;
            let flushes = self.flush_on_read && !self.connection.close_notify_sent();
            if flushes {
                self.connection.flush()?;
            }
            if (flushes || answers)
                && let Poll::Ready(Err(error)) = self.poll_send(cx, Sender::Reader)
            {
                return Poll::Ready(Err(error.in_phase(Phase::Request)));
            }
            match poll_receive(&mut self.channel, &mut self.connection, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.connection.rest_reading();
                    return self.reading.poll(cx).map(Err);
                }
            }
        }
    }

    fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            let count = self.connection.write(slices)?;
            if count == 0 {
                ready!(self.poll_sent(cx))?;
                continue;
            }
            // If the channel is full, records wait for the next call, which also gets a persistent error.
            if self.connection.outgoing().len() >= self.send_at {
                let _ = self.poll_send(cx, Sender::Writer);
            }
            return Poll::Ready(Ok(count));
        }
    }

    /// Sends all records.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.poll_send(cx, Sender::Writer) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                self.connection.rest();
                self.writing.poll(cx).map(Err)
            }
        }
    }

    /// Sends for a reader or a writer, which may be different tasks. Either way, what the
    /// channel takes is progress.
    fn poll_send(&mut self, cx: &mut Context<'_>, who: Sender) -> Poll<Result<(), Error>> {
        let before = self.connection.outgoing().len();
        let sent = self.poll_send_once(cx, who);
        if sent.is_ready() || self.connection.outgoing().len() < before {
            self.writing.progress();
        }
        sent
    }

    fn poll_send_once(&mut self, cx: &mut Context<'_>, who: Sender) -> Poll<Result<(), Error>> {
        let sent = poll_transmit(&mut self.channel, &mut self.connection, cx);
        if sent.is_ready() {
            self.senders.sent(cx.waker());
            return sent;
        }
        let Some(both) = self.senders.waits(who, cx.waker()) else {
            return sent;
        };
        // The channel keeps one waker, now ours: it must wake both tasks.
        let sent = poll_transmit(
            &mut self.channel,
            &mut self.connection,
            &mut Context::from_waker(&both),
        );
        if sent.is_ready() {
            self.senders.sent(cx.waker());
        }
        sent
    }
}

/// Bytes read by a call that may be dropped before it returns them: then they can be read again.
struct Gathering<'s, C> {
    stream: &'s mut AsyncStream<C>,
    bytes: Vec<u8>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Gathering<'_, C> {
    /// Reads once, and not more than a byte beyond the limit.
    fn poll(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<ReadOutcome, Error>> {
        let Self { stream, bytes } = self;
        let limit = bytes_max.saturating_add(1).saturating_sub(bytes.len());
        stream.poll_read_with(cx, limit, &mut |piece| bytes.extend_from_slice(piece))
    }
}

impl<C> Drop for Gathering<'_, C> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.stream.connection.unread(&self.bytes);
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for AsyncStream<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let unfilled = buffer.initialize_unfilled();
        if unfilled.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let bytes_received = this.connection.traffic().plaintext_received;
        match ready!(this.poll_read_some(cx, unfilled))? {
            ReadOutcome::Data(count) => buffer.advance(count),
            ReadOutcome::End(ending) => {
                ending_as_io(ending, bytes_received)?;
            }
            ReadOutcome::WouldBlock => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for AsyncStream<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_write_some(cx, slices)
            .map_err(Into::into)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.flush()?;
        ready!(this.poll_sent(cx))?;
        Pin::new(&mut this.channel).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_finish(cx))?;
        match ready!(Pin::new(&mut this.channel).poll_shutdown(cx)) {
            // The peer has closed both directions already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
