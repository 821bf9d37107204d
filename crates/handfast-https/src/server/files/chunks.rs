//! The content of a file, piece by piece, without stopping the thread that serves.
//!
//! What the page cache has is read on the spot (`preadv2` with `RWF_NOWAIT`); only what a disk must be
//! asked for goes to a blocking thread. Pieces lie in buffers that the thread lends again and again.

use std::cell::RefCell;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::body::Body;

/// A piece, in bytes: eight full records, which the TLS stream encrypts and sends in one go.
const CHUNK: usize = 128 * 1024;

/// Buffers that a thread keeps for the next pieces.
const KEPT: usize = 16;

/// Up to here a piece gets memory of its own size. HTTP/2 has hundreds of small replies under way at
/// once, each of which would hold a lent buffer for a few bytes.
const SMALL: usize = 16 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// `length` bytes of a file from `start` on, as the body of an answer; and the bytes themselves, if
/// they could be read at once.
pub(super) fn body(file: &Arc<File>, start: u64, length: u64) -> (Body, Option<Bytes>) {
    if length == 0 {
        return (Body::empty(), None);
    }
    let mut rest = FileBody {
        file: Arc::clone(file),
        at: start,
        left: length,
        reading: None,
    };
    // Small files, the most frequent ones, are read at once.
    if length <= CHUNK as u64
        && let Some(Ok(bytes)) = rest.read_cached()
        && bytes.len() as u64 == length
    {
        return (bytes.clone().into(), Some(bytes));
    }
    rest.at = start;
    rest.left = length;
    (Body::file(rest), None)
}

/// The rest of a file that is being sent.
#[derive(Debug)]
pub(in crate::server) struct FileBody {
    file: Arc<File>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// Bytes that are still to come.
    pub(in crate::server) fn remaining(&self) -> u64 {
        self.left
    }

    /// The next piece. A file that ends before its time is an error, so that the reply breaks off.
    pub(in crate::server) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            if let Some(result) = self.read_cached() {
                return Poll::Ready(Some(result));
            }
            let (file, at, length) = (Arc::clone(&self.file), self.at, self.next_length());
            self.reading = Some(spawn_blocking(move || {
                read(length, |buffer| read_at(&file, buffer, at))
            }));
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let joined = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let result = joined.unwrap_or_else(|error| Err(io::Error::other(error)));
        Poll::Ready(Some(self.account(result)))
    }

    /// Fills a buffer of the caller's with what is in memory already; `None` when nothing is, and
    /// [`poll_chunk`](Self::poll_chunk) has to wait for it.
    pub(in crate::server) fn fill(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if self.reading.is_some() || self.left == 0 {
            return None;
        }
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = buffer.get_mut(..length).unwrap_or_default();
        match read_at_nowait(&self.file, part, self.at) {
            Err(error) if is_no_answer(&error) => None,
            Ok(0) => Some(Err(self.ended_early())),
            Ok(count) => {
                self.advance(count);
                Some(Ok(count))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn next_length(&self) -> usize {
        usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK))
    }

    /// What is in memory already; `None` when nothing is, or it cannot be told.
    fn read_cached(&mut self) -> Option<io::Result<Bytes>> {
        let (at, length) = (self.at, self.next_length());
        match read(length, |buffer| read_at_nowait(&self.file, buffer, at)) {
            Err(error) if is_no_answer(&error) => None,
            result => Some(self.account(result)),
        }
    }

    fn account(&mut self, result: io::Result<Bytes>) -> io::Result<Bytes> {
        let bytes = result?;
        if bytes.is_empty() {
            return Err(self.ended_early());
        }
        self.advance(bytes.len());
        Ok(bytes)
    }

    fn advance(&mut self, count: usize) {
        self.at += count as u64;
        self.left = self.left.saturating_sub(count as u64);
    }

    fn ended_early(&self) -> io::Error {
        let text = format!(
            "the file ended {} bytes before its announced end",
            self.left
        );
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }
}

/// Reads up to `length` bytes, into a lent buffer when they are many.
fn read(length: usize, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Bytes> {
    if length <= SMALL {
        let mut buffer = vec![0; length];
        let count = read(&mut buffer)?;
        buffer.truncate(count);
        return Ok(buffer.into());
    }
    let mut lent = Lent::new();
    let count = read(lent.buffer.get_mut(..length).unwrap_or_default())?;
    lent.filled = count.min(length);
    Ok(Bytes::from_owner(lent))
}

/// Would the disk have to be asked, or can this file system not tell?
fn is_no_answer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported | io::ErrorKind::Interrupted
    )
}

#[cfg(target_os = "linux")]
fn read_at_nowait(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut slices = [io::IoSliceMut::new(buffer)];
    preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT).map_err(|error| match error {
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => io::ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

#[cfg(not(target_os = "linux"))]
fn read_at_nowait(_file: &File, _buffer: &mut [u8], _at: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    loop {
        match file.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    use std::os::windows::fs::FileExt as _;
    file.seek_read(buffer, at)
}

/// A buffer that goes back to whichever thread drops it. Handing such buffers to the allocator instead
/// makes the kernel clear their pages anew for every piece.
struct Lent {
    buffer: Vec<u8>,
    filled: usize,
}

impl Lent {
    fn new() -> Self {
        let buffer = BUFFERS
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| vec![0; CHUNK]);
        Self { buffer, filled: 0 }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // The thread may be ending: then the buffer ends with it.
        let _ = BUFFERS.try_with(|kept| {
            if let Ok(mut kept) = kept.try_borrow_mut()
                && kept.len() < KEPT
            {
                kept.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;

    use super::*;

    fn open(content: &[u8]) -> (tempfile::NamedTempFile, FileBody) {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(content).unwrap();
        let body = FileBody {
            file: Arc::new(named.reopen().unwrap()),
            at: 0,
            left: content.len() as u64,
            reading: None,
        };
        (named, body)
    }

    #[tokio::test]
    async fn b1_a_file_comes_whole_in_pieces() {
        let content: Vec<u8> = (0..3 * CHUNK + 7).map(|n| (n % 251) as u8).collect();
        let (_named, mut body) = open(&content);
        let mut got = Vec::new();
        while let Some(piece) = poll_fn(|cx| body.poll_chunk(cx)).await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert!(got == content);
        assert_eq!(body.remaining(), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn b1_a_file_fills_what_it_is_given() {
        let content: Vec<u8> = (0..1000).map(|n| (n % 251) as u8).collect();
        let (named, mut body) = open(&content);
        let mut buffer = [0; 600];
        assert_eq!(body.fill(&mut buffer).unwrap().unwrap(), 600);
        assert_eq!(buffer[..], content[..600]);
        assert_eq!(body.fill(&mut buffer).unwrap().unwrap(), 400);
        assert_eq!(buffer[..400], content[600..]);
        assert!(body.fill(&mut buffer).is_none());
        let (_, mut shrunk) = open(&content);
        shrunk.file = Arc::clone(&body.file);
        named.as_file().set_len(0).unwrap();
        let error = shrunk.fill(&mut buffer).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn c1_a_file_that_shrinks_is_an_error() {
        let (named, mut body) = open(&vec![1; 2 * CHUNK]);
        poll_fn(|cx| body.poll_chunk(cx)).await.unwrap().unwrap();
        named.as_file().set_len(100).unwrap();
        let error = poll_fn(|cx| body.poll_chunk(cx)).await.unwrap();
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
