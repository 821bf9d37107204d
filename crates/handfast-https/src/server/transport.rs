//! The TLS stream as hyper sees it, and what hyper must not decide about it: when a reply counts as
//! sent, how unread request bytes are disposed of, and how the connection ends.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use handfast::{AsyncStream, CloseOutcome, Ending};
use hyper::body::{Body as _, Incoming};
use hyper::http::{Method, StatusCode, Uri, Version};
use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::handler::ConnectionInfo;
use super::observer::{CloseEvent, CloseReason, Observer, RequestEvent, TransferEnd};

/// What one read takes at most, in bytes: a full record.
const SCRATCH: usize = 16 * 1024;

/// HTTP/2 frames that are gathered, in bytes: four full records, for one system call.
const STAGED_MAX: usize = 64 * 1024;

/// Buffers for that which a thread keeps; one is in use for each connection that is writing.
const STAGING_KEPT: usize = 8;

thread_local! {
    static STAGING: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };

    /// hyper's buffer can be filled without `unsafe` only by copying, so that plaintext passes through
    /// here. It is the small direction: requests.
    static READING: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// One connection, shared by hyper, the requests under way and the code that ends it. All on one thread.
pub(super) struct Link {
    stream: RefCell<Option<AsyncStream<TcpStream>>>,
    pub(super) activity: Activity,
    pub(super) info: Arc<ConnectionInfo>,
    accepted: Instant,
    /// Replies that were handed over and not yet flushed.
    ledger: RefCell<Vec<Record>>,
    /// What HTTP/2 has written and the stream has not taken.
    staged: RefCell<Staged>,
    discarding: RefCell<Vec<Discarding>>,
    discard_max: u64,
    observer: Arc<dyn Observer>,
    reported: Cell<bool>,
}

/// HTTP/2 frames on their way into records.
///
/// hyper flushes after every DATA frame, which would make a record and a system call of each. Its
/// frames are gathered here instead and go to the stream together, when this is full or hyper has
/// nothing more to write.
#[derive(Default)]
struct Staged {
    bytes: Vec<u8>,
    taken: usize,
    flush: bool,
}

/// A request body that nobody wanted.
struct Discarding {
    body: Incoming,
    left: u64,
}

impl Discarding {
    /// Ready at its end, or when it is too much.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let count = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.left = self.left.saturating_sub(count);
            if self.left == 0 {
                break;
            }
        }
        Poll::Ready(())
    }
}

/// What is known of a request and its reply.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) began: Instant,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    pub(super) status: Option<StatusCode>,
    pub(super) bytes: u64,
    /// The whole body was handed over.
    pub(super) whole: bool,
}

impl Link {
    pub(super) fn new(
        stream: AsyncStream<TcpStream>,
        info: Arc<ConnectionInfo>,
        accepted: Instant,
        discard_max: u64,
        observer: Arc<dyn Observer>,
    ) -> Rc<Self> {
        Rc::new(Self {
            activity: Activity::new(accepted, info.is_http2()),
            stream: RefCell::new(Some(stream)),
            info,
            accepted,
            ledger: RefCell::default(),
            staged: RefCell::default(),
            discarding: RefCell::default(),
            discard_max,
            observer,
            reported: Cell::new(false),
        })
    }

    /// Takes over a body that its handler did not read. A client that is still sending it may read the
    /// reply only afterwards (HTTP/1), or take the reset of its stream for a failure (HTTP/2).
    pub(super) fn discard(&self, body: Incoming) {
        if self.discard_max > 0 {
            let left = self.discard_max;
            self.discarding.borrow_mut().push(Discarding { body, left });
            self.activity.discards(true);
        }
    }

    /// Reads what is to be discarded. The waker is called when there is more.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) {
        let mut all = self.discarding.borrow_mut();
        if all.is_empty() {
            return;
        }
        all.retain_mut(|one| one.poll(cx).is_pending());
        self.activity.discards(!all.is_empty());
    }

    /// Discards no more: hyper closes what it cannot read past.
    pub(super) fn give_up_discarding(&self) {
        // Dropping wakes hyper, on this thread but not at once.
        self.discarding.borrow_mut().clear();
        self.activity.discards(false);
    }

    /// A reply was handed over, or given up.
    pub(super) fn enter(&self, record: Record) {
        self.ledger.borrow_mut().push(record);
    }

    /// Is everything that was asked answered, and sent?
    pub(super) fn is_idle(&self) -> bool {
        self.activity.is_idle() && self.ledger.borrow().is_empty()
    }

    /// Reports what is in the ledger: everything before this moment was flushed, or nothing more of it
    /// ever will be.
    pub(super) fn settle(&self, flushed: bool) {
        if self.ledger.borrow().is_empty() {
            return;
        }
        // Taken out first: an observer may do anything.
        for record in self.ledger.take() {
            let end = if flushed && record.whole {
                TransferEnd::Complete
            } else {
                TransferEnd::Aborted
            };
            self.observer.request(&RequestEvent {
                time: record.time,
                connection: &self.info,
                method: &record.method,
                target: &record.target,
                version: record.version,
                status: record.status,
                bytes: record.bytes,
                duration: record.began.elapsed(),
                end,
            });
        }
    }

    /// How the client's direction ended, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.stream.borrow().as_ref().and_then(AsyncStream::ending)
    }

    /// The stream, for closing it. hyper gets no more of it.
    pub(super) fn take_stream(&self) -> Option<AsyncStream<TcpStream>> {
        self.stream.borrow_mut().take()
    }

    /// Tells how the connection ended; once.
    pub(super) fn report(
        &self,
        stream: Option<&AsyncStream<TcpStream>>,
        reason: CloseReason,
        outcome: Option<CloseOutcome>,
    ) {
        if self.reported.replace(true) {
            return;
        }
        self.observer.connection_closed(&CloseEvent {
            time: SystemTime::now(),
            connection: &self.info,
            reason,
            outcome,
            ending: stream.and_then(AsyncStream::ending),
            traffic: stream.map(AsyncStream::traffic).unwrap_or_default(),
            requests: self.activity.requests(),
            duration: self.accepted.elapsed(),
        });
    }

    fn poll_stream<T>(
        &self,
        poll: impl FnOnce(Pin<&mut AsyncStream<TcpStream>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(|stream| stream.poll_flush(cx)))?;
        self.settle(true);
        Poll::Ready(Ok(()))
    }

    /// Adds frames to what is staged; waits for the stream when that is full.
    fn poll_stage(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.staged.borrow().bytes.len() >= STAGED_MAX {
            ready!(self.poll_unstage(cx))?;
        }
        let mut staged = self.staged.borrow_mut();
        if staged.bytes.capacity() == 0 {
            staged.bytes = STAGING
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| Vec::with_capacity(STAGED_MAX + STAGED_MAX / 4));
        }
        let mut count = 0;
        for slice in slices {
            staged.bytes.extend_from_slice(slice);
            count += slice.len();
            if staged.bytes.len() >= STAGED_MAX {
                break;
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Hands what is staged to the stream.
    fn poll_unstage(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut staged = self.staged.borrow_mut();
        while let Some(rest) = staged.bytes.get(staged.taken..)
            && !rest.is_empty()
        {
            let count = ready!(self.poll_stream(|stream| stream.poll_write(cx, rest)))?;
            self.activity.sent();
            staged.taken += count;
        }
        staged.taken = 0;
        staged.bytes.clear();
        Poll::Ready(Ok(()))
    }

    /// The flush that HTTP/2 was promised. To be called whenever hyper waits.
    pub(super) fn poll_promised_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.staged.borrow().flush {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_unstage(cx))?;
        ready!(self.poll_flush(cx))?;
        let mut staged = self.staged.borrow_mut();
        staged.flush = false;
        // An idle connection holds no buffer.
        let bytes = std::mem::take(&mut staged.bytes);
        STAGING.with_borrow_mut(|kept| {
            if kept.len() < STAGING_KEPT {
                kept.push(bytes);
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.settle(false);
        let stream = self.stream.borrow_mut().take();
        self.report(stream.as_ref(), CloseReason::Stopped, None);
    }
}

/// hyper's hold on a [`Link`].
pub(super) struct Io(pub(super) Rc<Link>);

impl hyper::rt::Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let link = &self.0;
        READING.with_borrow_mut(|scratch| {
            let room = cursor.remaining().min(scratch.len());
            let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
            match ready!(link.poll_stream(|stream| stream.poll_read(cx, &mut buffer))) {
                Ok(()) => {
                    if !buffer.filled().is_empty() {
                        link.activity.received();
                    }
                    cursor.put_slice(buffer.filled());
                    Poll::Ready(Ok(()))
                }
                // A request says itself where it ends, so that a missing `close_notify` takes nothing
                // from it; what it does end is the waiting for the next one.
                Err(_) if link.ending() == Some(Ending::Premature) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
    }
}

impl hyper::rt::Write for Io {
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
        let link = &self.0;
        if link.info.is_http2() {
            return link.poll_stage(cx, slices);
        }
        let count = ready!(link.poll_stream(|stream| stream.poll_write_vectored(cx, slices)))?;
        link.activity.sent();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.info.is_http2() {
            self.0.staged.borrow_mut().flush = true;
            return Poll::Ready(Ok(()));
        }
        self.0.poll_flush(cx)
    }

    /// hyper is done. The end of the stream is not its to send: that takes lingering.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.info.is_http2() {
            self.0.staged.borrow_mut().flush = true;
            return self.0.poll_promised_flush(cx);
        }
        self.0.poll_flush(cx)
    }
}

/// Runs hyper's HTTP/2 streams on the thread of their connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct SameThread;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for SameThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
