//! An asynchronous stream as two halves, for a task that reads and one that writes.
//!
//! Both poll the one stream, each for as long as a poll takes. Each half closes what is its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::AsyncStream;
use crate::close::Ending;
use crate::report::{Report, Traffic};

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncStream<C> {
    /// Two halves of the stream, for two tasks: one reads while the other writes. They end one by one: shutting the
    /// write half down (`AsyncWriteExt::shutdown`) sends `close_notify` and FIN, and the read half finds the end of the
    /// peer's direction; [`AsyncReadHalf::unsplit`] makes a stream of them again, to [`close`](Self::close) it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::io::AsyncWriteExt;
    /// # let context = handfast::ClientContext::builder().build()?;
    /// # let socket = tokio::net::TcpStream::connect("example.org:443").await?;
    /// # let stream = context.secure_async("example.org", socket).await?;
    /// let (mut reading, mut writing) = stream.into_split();
    /// let reader = tokio::spawn(async move {
    ///     tokio::io::copy(&mut reading, &mut tokio::io::sink()).await
    /// });
    /// writing.write_all(b"hello\n").await?;
    /// writing.shutdown().await?; // close_notify, FIN
    /// reader.await??; // until the peer's close_notify
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_split(self) -> (AsyncReadHalf<C>, AsyncWriteHalf<C>) {
        let report = Arc::clone(&self.report);
        let stream = Arc::new(Mutex::new(self));
        let read = AsyncReadHalf {
            stream: Arc::clone(&stream),
            report,
        };
        let write = AsyncWriteHalf {
            stream: Some(stream),
            finished: false,
        };
        (read, write)
    }
}

fn lock<C>(stream: &Mutex<AsyncStream<C>>) -> MutexGuard<'_, AsyncStream<C>> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The half of an [`AsyncStream`] that reads: as the stream does, and ends as it does.
#[derive(Debug)]
pub struct AsyncReadHalf<C: AsyncRead + AsyncWrite + Unpin> {
    stream: Arc<Mutex<AsyncStream<C>>>,
    report: Arc<Report>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncReadHalf<C> {
    /// What the handshake agreed on, and who the peer is.
    pub fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// How the peer's direction ended, once everything before the end was read.
    pub fn ending(&self) -> Option<Ending> {
        lock(&self.stream).ending()
    }

    /// Bytes and records so far, in both directions.
    pub fn traffic(&self) -> Traffic {
        lock(&self.stream).traffic()
    }

    /// The stream as it was.
    ///
    /// # Errors
    /// The halves are of two streams: both come back.
    pub fn unsplit(
        self,
        mut write: AsyncWriteHalf<C>,
    ) -> Result<AsyncStream<C>, Box<(Self, AsyncWriteHalf<C>)>> {
        let Self { stream, report } = self;
        let same = write.stream.take_if(|other| Arc::ptr_eq(other, &stream));
        if same.is_none() {
            return Err(Box::new((Self { stream, report }, write)));
        }
        drop(same);
        match Arc::try_unwrap(stream) {
            Ok(stream) => Ok(stream.into_inner().unwrap_or_else(PoisonError::into_inner)),
            Err(_) => unreachable!("two halves, and no third"),
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for AsyncReadHalf<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_read(cx, buffer)
    }
}

/// The half of an [`AsyncStream`] that writes.
///
/// Dropped before it was shut down, it ends our direction without `close_notify`: what broke off must look broken off to
/// the peer.
#[derive(Debug)]
pub struct AsyncWriteHalf<C: AsyncRead + AsyncWrite + Unpin> {
    /// `None` once it has become a stream again.
    stream: Option<Arc<Mutex<AsyncStream<C>>>>,
    finished: bool,
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWriteHalf<C> {
    fn poll<R>(
        &self,
        poll: impl FnOnce(Pin<&mut AsyncStream<C>>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        match &self.stream {
            Some(stream) => poll(Pin::new(&mut *lock(stream))),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for AsyncWriteHalf<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.poll(|stream| stream.poll_shutdown(cx));
        self.finished |= matches!(done, Poll::Ready(Ok(())));
        done
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Drop for AsyncWriteHalf<C> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.as_ref().filter(|_| !self.finished) {
            // A socket does it at once. A channel that would have to wait ends when the other half does.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut lock(stream).channel).poll_shutdown(&mut cx);
        }
    }
}
