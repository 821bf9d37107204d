//! The body of a request that is made while it is sent.
//!
//! It is asked for the next piece only when the last one was taken by the connection: by TLS and the socket over
//! HTTP/1.1, by the windows of stream and connection over HTTP/2 (RFC 9113, section 5.2). A server that does not read
//! holds back the producer of the body, and what is in memory is bounded by two of its pieces.

use std::cmp;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::event::{Callbacks, Event};
use super::pace::Pace;

/// How much is read from a reader at a time: four records.
const PIECE_BYTES: usize = 64 * 1024;

/// A request's body that is made while it is sent.
///
/// The one who makes it is held back while the server does not take it. Unless it is
/// [`repeatable`](Self::repeatable), it can be sent once: where a server asks for the request again after some of it
/// was sent (a redirect with status 307 or 308, a connection that is lost), the exchange fails.
///
/// Over HTTP/1.1 it is sent in chunks (RFC 9112, section 7.1), unless it has a length. A body that fails, or is
/// given up before its end, breaks the exchange off, so that no server takes a part for the whole.
///
/// ```
/// use handfast_https::client::Upload;
///
/// let file = tokio::io::empty(); // any AsyncRead: a file, a pipe, a socket
/// let upload = Upload::from_reader(file).with_length(0);
/// # let _ = upload;
/// ```
#[derive(Clone)]
pub struct Upload {
    shared: Arc<Mutex<Shared>>,
    length: Option<u64>,
    again: Option<Again>,
}

/// Makes the body once more.
type Again = Arc<dyn Fn() -> Source + Send + Sync>;

/// The end of an [`Upload`] that pieces are put into.
///
/// Dropped without [`finish`](Self::finish), it breaks the exchange off.
#[derive(Debug)]
pub struct UploadSender {
    pieces: mpsc::Sender<Bytes>,
    is_finished: Arc<AtomicBool>,
}

/// The exchange takes no more of its body: it has ended, or failed, or the server does not want the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadEnded;

impl fmt::Display for UploadEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the exchange takes no more of the request's body")
    }
}

impl std::error::Error for UploadEnded {}

impl Upload {
    /// What this reader gives, until its end. It is read when there is room for more.
    pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::new(Source::Reader {
            reader: Box::pin(reader),
            buffer: BytesMut::new(),
        })
    }

    /// What the readers that `make` returns give, until their end. It is called once for each time that the body
    /// is sent.
    pub fn repeatable<R>(make: impl Fn() -> R + Send + Sync + 'static) -> Self
    where
        R: AsyncRead + Send + 'static,
    {
        let again = move || Source::Reader {
            reader: Box::pin(make()),
            buffer: BytesMut::new(),
        };
        Self {
            again: Some(Arc::new(again)),
            ..Self::new(Source::Over)
        }
    }

    /// What is put into the sender, until it is finished.
    pub fn channel() -> (UploadSender, Self) {
        // One piece waits while the one before it is sent.
        let (sender, pieces) = mpsc::channel(1);
        let is_finished = Arc::new(AtomicBool::new(false));
        let sender = UploadSender {
            pieces: sender,
            is_finished: Arc::clone(&is_finished),
        };
        let source = Source::Channel {
            pieces,
            is_finished,
        };
        (sender, Self::new(source))
    }

    /// With this length, which is announced to the server. A body of another length fails. Default: none is known.
    #[must_use]
    pub fn with_length(self, bytes: u64) -> Self {
        Self {
            length: Some(bytes),
            ..self
        }
    }

    /// The length that is announced, if one is.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    fn new(source: Source) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                source,
                stage: Stage::Untouched,
            })),
            length: None,
            again: None,
        }
    }

    /// Takes it for an exchange; `None` when another has it, or some of it was sent.
    pub(super) fn begin(&self) -> Option<Outflow> {
        if let Some(again) = &self.again {
            return Some(Outflow::new(
                Arc::new(Mutex::new(Shared {
                    source: again(),
                    stage: Stage::Taken,
                })),
                self.length,
            ));
        }
        let mut shared = lock(&self.shared);
        if shared.stage != Stage::Untouched {
            return None;
        }
        shared.stage = Stage::Taken;
        Some(Outflow::new(Arc::clone(&self.shared), self.length))
    }

    /// Could it be sent from its beginning?
    pub(super) fn is_untouched(&self) -> bool {
        self.again.is_some() || lock(&self.shared).stage == Stage::Untouched
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl UploadSender {
    /// Puts in the next piece, when there is room for it.
    ///
    /// # Errors
    /// [`UploadEnded`] when the exchange takes no more.
    pub async fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), UploadEnded> {
        let piece = piece.into();
        if piece.is_empty() {
            return Ok(());
        }
        self.pieces.send(piece).await.map_err(|_| UploadEnded)
    }

    /// Says that this was all.
    pub fn finish(self) {
        self.is_finished.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct Shared {
    source: Source,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it was asked for.
    Untouched,
    /// An exchange has it, and has asked for nothing.
    Taken,
    /// Some of it was asked for: it cannot be sent again.
    Begun,
}

enum Source {
    Reader {
        reader: Pin<Box<dyn AsyncRead + Send>>,
        buffer: BytesMut,
    },
    Channel {
        pieces: mpsc::Receiver<Bytes>,
        is_finished: Arc<AtomicBool>,
    },
    /// Nothing more is wanted, or there is nothing more.
    Over,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader { .. } => "Reader",
            Self::Channel { .. } => "Channel",
            Self::Over => "Over",
        })
    }
}

impl Source {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self {
            Self::Reader { reader, buffer } => {
                buffer.reserve(PIECE_BYTES);
                let count = ready!(pin!(reader.read_buf(buffer)).poll(cx))?;
                Poll::Ready(Ok((count > 0).then(|| buffer.split().freeze())))
            }
            Self::Channel {
                pieces,
                is_finished,
            } => match ready!(pieces.poll_recv(cx)) {
                Some(piece) => Poll::Ready(Ok(Some(piece))),
                None if is_finished.load(Ordering::Acquire) => Poll::Ready(Ok(None)),
                None => Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it was dropped before it was finished",
                ))),
            },
            Self::Over => Poll::Ready(Ok(None)),
        }
    }
}

/// A body on its way into one exchange. Dropped, it takes no more; untouched, it may go into another.
#[derive(Debug)]
pub(super) struct Outflow {
    shared: Arc<Mutex<Shared>>,
    length: Option<u64>,
    taken: u64,
    last: Last,
    callbacks: Callbacks,
    pace: Option<Pace>,
}

/// The piece that completes the announced length.
#[derive(Debug)]
enum Last {
    NotReached,
    /// Whether more follows is not known yet.
    Held(Bytes),
    Given,
}

impl Outflow {
    fn new(shared: Arc<Mutex<Shared>>, length: Option<u64>) -> Self {
        Self {
            shared,
            length,
            taken: 0,
            last: Last::NotReached,
            callbacks: Callbacks::default(),
            pace: None,
        }
    }

    /// The same, held back to so many bytes a second.
    pub(super) fn paced(mut self, bytes_per_second: Option<u64>) -> Self {
        self.pace = bytes_per_second.map(Pace::new);
        self
    }

    /// The same, of which these are told.
    pub(super) fn observed(mut self, callbacks: &Callbacks) -> Self {
        self.callbacks = callbacks.clone();
        self
    }

    /// The next piece; `None` at its end.
    ///
    /// The piece that completes an announced length is given once the end behind it was seen. Otherwise a server
    /// could answer before we know that the request is sent, and the connection would serve no other.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll_due(cx));
        }
        let piece = ready!(self.poll_next(cx));
        if let Ok(Some(piece)) = &piece {
            if let Some(pace) = &mut self.pace {
                pace.count(piece.len());
            }
            self.callbacks.tell(&Event::Uploading { piece });
        }
        Poll::Ready(piece)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut shared = lock(&self.shared);
        shared.stage = Stage::Begun;
        let fail = |problem| Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
        loop {
            if matches!(self.last, Last::Given) {
                return Poll::Ready(Ok(None));
            }
            let piece = match shared.source.poll_piece(cx)? {
                Poll::Ready(piece) => piece,
                // Its sender may wait for the response before it finishes.
                Poll::Pending
                    if matches!(self.last, Last::Held(_))
                        && matches!(shared.source, Source::Channel { .. }) =>
                {
                    None
                }
                Poll::Pending => return Poll::Pending,
            };
            let Some(piece) = piece else {
                return match std::mem::replace(&mut self.last, Last::Given) {
                    Last::Held(last) => Poll::Ready(Ok(Some(last))),
                    _ if self.length.is_some_and(|length| self.taken < length) => {
                        fail("it is shorter than its announced length")
                    }
                    _ => Poll::Ready(Ok(None)),
                };
            };
            self.taken = self.taken.saturating_add(piece.len() as u64);
            match self.length.map(|length| self.taken.cmp(&length)) {
                Some(cmp::Ordering::Greater) => {
                    return fail("it is longer than its announced length");
                }
                Some(cmp::Ordering::Equal) => self.last = Last::Held(piece),
                _ => return Poll::Ready(Ok(Some(piece))),
            }
        }
    }
}

impl Drop for Outflow {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.stage != Stage::Begun {
            shared.stage = Stage::Untouched;
            return;
        }
        let source = std::mem::replace(&mut shared.source, Source::Over);
        // The caller's: dropped without the lock.
        drop(shared);
        drop(source);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn poll(outflow: &mut Outflow) -> Poll<io::Result<Option<Bytes>>> {
        outflow.poll_piece(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test]
    async fn the_last_byte_leaves_when_the_end_is_known() {
        let (reader, mut writer) = tokio::io::duplex(1024);
        let upload = Upload::from_reader(reader).with_length(7);
        let mut outflow = upload.begin().expect("untouched");
        writer.write_all(b"content").await.expect("room");
        assert!(poll(&mut outflow).is_pending());
        drop(writer);
        let last = poll(&mut outflow);
        assert!(matches!(&last, Poll::Ready(Ok(Some(piece))) if piece == "content"));
        assert!(matches!(poll(&mut outflow), Poll::Ready(Ok(None))));
    }

    #[tokio::test]
    async fn a_sender_that_gave_all_may_finish_later() {
        let (mut sender, upload) = Upload::channel();
        let upload = upload.with_length(7);
        let mut outflow = upload.begin().expect("untouched");
        sender.send("content").await.expect("room");
        let last = poll(&mut outflow);
        assert!(matches!(&last, Poll::Ready(Ok(Some(piece))) if piece == "content"));
        assert!(matches!(poll(&mut outflow), Poll::Ready(Ok(None))));
        sender.finish();
    }
}
