//! The TLS stream as hyper sees it, shared with us so that its end can be judged afterwards.
//!
//! hyper hides errors below others and closes streams by itself. So this keeps the first error that
//! it hands to hyper, closes nothing when hyper asks, and gives the stream back when hyper is done.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use handfast::{
    AsyncStream, Cause, CloseOutcome, ClosePolicy, Ending, NetworkCause, Phase, Read, Report,
    Traffic,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection runs over.
pub(super) trait Channel: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl<C: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Channel for C {}

/// A TLS stream over some channel.
pub(super) type TlsStream = AsyncStream<Box<dyn Channel>>;

/// A handle on a shared stream.
#[derive(Clone, Debug)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    stream: TlsStream,
    /// The first error of reading, where it was none of the ends.
    failure: Option<handfast::Error>,
    /// Why sending stopped. What the peer had sent before is still to be read.
    send_failure: Option<handfast::Error>,
    /// How many bytes may still come before the head of a response; `None` while none is awaited.
    before_head: Option<u64>,
    /// Bytes that came after the end of a response, and belong to none.
    left_over: u64,
}

impl Wire {
    pub(super) fn new(stream: TlsStream) -> Self {
        Self(Arc::new(Mutex::new(State {
            stream,
            failure: None,
            send_failure: None,
            before_head: None,
            left_over: 0,
        })))
    }

    pub(super) fn report(&self) -> Arc<Report> {
        Arc::clone(self.state().stream.report())
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.state().stream.traffic()
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().stream.ending()
    }

    /// Why reading failed, where that was none of the ends. Given once.
    pub(super) fn take_failure(&self) -> Option<handfast::Error> {
        self.state().failure.take()
    }

    /// Why not everything could be sent. Given once.
    pub(super) fn take_send_failure(&self) -> Option<handfast::Error> {
        self.state().send_failure.take()
    }

    /// Was sending cut off?
    pub(super) fn sending_failed(&self) -> bool {
        self.state().send_failure.is_some()
    }

    /// A response's head is awaited, and at most so many bytes may come before it; `None`: it has come.
    pub(super) fn await_head(&self, bytes_max: Option<u64>) {
        self.state().before_head = bytes_max;
    }

    /// Did more come before the head of a response than may?
    pub(super) fn never_got_to_the_head(&self) -> bool {
        self.state().before_head == Some(0)
    }

    /// So many more bytes came after the end of the last response.
    pub(super) fn note_left_over(&self, bytes: u64) {
        let mut state = self.state();
        state.left_over = state.left_over.saturating_add(bytes);
    }

    /// How many bytes came after the end of the last response, as far as they were read.
    pub(super) fn left_over(&self) -> u64 {
        self.state().left_over
    }

    /// Lends `take` what has come, at most `limit` bytes of it, and says how much that was; nothing when
    /// there will be no more, of which [`ending`](Self::ending) and
    /// [`take_failure`](Self::take_failure) know the reason.
    pub(super) fn poll_lend(
        &self,
        cx: &mut Context<'_>,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<usize> {
        let read = ready!(self.state().poll_read_with(cx, limit, take));
        Poll::Ready(read.unwrap_or(0))
    }

    /// Waits until the peer has ended its direction, discarding what still comes.
    pub(super) async fn wait_for_ending(&self, limit: Duration) -> Option<Ending> {
        let drain = std::future::poll_fn(|cx| {
            let mut discarded = [0; 4096];
            loop {
                let mut state = self.state();
                let mut buffer = ReadBuf::new(&mut discarded);
                let read = Pin::new(&mut state.stream).poll_read(cx, &mut buffer);
                let is_err = ready!(read).is_err();
                let count = buffer.filled().len() as u64;
                state.left_over = state.left_over.saturating_add(count);
                if is_err || count == 0 {
                    return Poll::Ready(());
                }
            }
        });
        let _ = tokio::time::timeout(limit, drain).await;
        self.ending()
    }

    /// Closes in two phases, when nobody else uses the stream any more.
    pub(super) async fn close(self, policy: ClosePolicy) -> CloseOutcome {
        match Arc::try_unwrap(self.0) {
            Ok(state) => {
                let State { mut stream, .. } =
                    state.into_inner().unwrap_or_else(PoisonError::into_inner);
                stream.close(policy).await
            }
            // hyper still holds it; dropping then ends it visibly without order.
            Err(_) => CloseOutcome::PeerGone,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut target: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.before_head == Some(0) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let room = target.remaining();
        let count = ready!(state.poll_read_with(cx, room, &mut |bytes| target.put_slice(bytes)))?;
        if let Some(left) = &mut state.before_head {
            *left = left.saturating_sub(count as u64);
        }
        Poll::Ready(Ok(()))
    }
}

impl State {
    /// Reads; the first error that is none of the ends is kept, the ends are asked of the stream itself.
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(match ready!(self.stream.poll_read_with(cx, limit, take)) {
            Ok(Read::Data(count)) => Ok(count),
            Ok(Read::End(Ending::CloseNotify) | Read::WouldBlock) => Ok(0),
            Ok(Read::End(Ending::Premature)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Read::End(Ending::Reset)) => Err(io::ErrorKind::ConnectionReset.into()),
            Err(error) => {
                let error = io::Error::from(error);
                let kind = error.kind();
                let error = handfast::Error::from_io_owned(error, Phase::Response);
                if !is_end(&error) {
                    self.failure.get_or_insert(error);
                }
                Err(kind.into())
            }
        })
    }
}

impl hyper::rt::Write for Wire {
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
        let all = slices.iter().map(|slice| slice.len()).sum();
        self.sending(all, |stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sending((), |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // When and how to close is ours to decide.
        self.poll_flush(cx)
    }
}

impl Wire {
    /// Sends, and pretends to when the peer is gone: a server may answer before it has read the
    /// whole request, and close. hyper would give up at the first failed write and lose that answer;
    /// so reading goes on, and meets the answer or the end.
    fn sending<T>(
        &self,
        pretended: T,
        send: impl FnOnce(Pin<&mut TlsStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut state = self.state();
        if state.send_failure.is_some() {
            return Poll::Ready(Ok(pretended));
        }
        match ready!(send(Pin::new(&mut state.stream))) {
            Ok(done) => Poll::Ready(Ok(done)),
            Err(error) => {
                let kind = error.kind();
                let error = handfast::Error::from_io_owned(error, Phase::Request);
                if is_end(&error) {
                    state.send_failure = Some(error);
                    return Poll::Ready(Ok(pretended));
                }
                state.failure.get_or_insert(error);
                Poll::Ready(Err(kind.into()))
            }
        }
    }
}

fn is_end(error: &handfast::Error) -> bool {
    matches!(
        error.cause(),
        Cause::Network(NetworkCause::Reset) | Cause::Peer(handfast::PeerCause::PrematureEnd { .. })
    )
}
