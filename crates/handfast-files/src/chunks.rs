//! The content of a file in pieces, without blocking the serving thread.
//!
//! Data is read only on request, and no more than requested. Cached pages are read on
//! the serving thread (`preadv2` with `RWF_NOWAIT`); only reads from disk go to a blocking thread.
//! Pieces are in buffers that the thread reuses.

use std::cell::RefCell;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use handfast_https::server::{BodyError, Pull};

use crate::blocking::{Work, off_thread};
use crate::open::look_at;
use crate::ready::Ready;

/// The largest piece, in bytes: eight full records, which the TLS stream encrypts and sends at once.
const CHUNK: usize = 128 * 1024;

/// Buffers that a thread keeps for the next pieces.
const KEPT: usize = 16;

/// Pieces up to this size get memory of their own size. HTTP/2 has hundreds of small replies in progress at
/// once, each of which would hold a buffer for a few bytes.
const SMALL: usize = 16 * 1024;

/// How many bytes before a piece are compared with those read before, to detect changes.
const TAIL: usize = 16;

/// Data from disk, and the bytes before it, if they were read.
type Read = (Bytes, Option<[u8; TAIL]>);

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// The rest of a file that is being sent.
///
/// A file that is shortened or overwritten meanwhile is an error, so that the reply is aborted; one that
/// grows is sent with its previous length. A file that is removed or replaced by another one is
/// sent to its end: it is still open.
#[derive(Debug)]
pub(crate) struct FileBody {
    ready: Rc<Ready>,
    at: u64,
    left: u64,
    /// A piece was read that was not the last.
    began: bool,
    /// The last bytes read, if there are enough.
    tail: Option<[u8; TAIL]>,
    reading: Option<Work<io::Result<Read>>>,
    /// Data from disk that was not requested any more.
    piece: Bytes,
}

impl FileBody {
    /// `length` bytes of a file from `start` on.
    pub(crate) fn new(ready: Rc<Ready>, start: u64, length: u64) -> Self {
        Self {
            ready,
            at: start,
            left: length,
            began: false,
            tail: None,
            reading: None,
            piece: Bytes::new(),
        }
    }

    /// After other parts of the same file: it must not have changed since those were read.
    pub(crate) fn continued(mut self) -> Self {
        self.began = true;
        self
    }

    /// The number of bytes left.
    fn left(&self) -> u64 {
        self.left + self.piece.len() as u64
    }

    /// Reads data that is not cached on a blocking thread, as much as requested.
    fn poll_disk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<()>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let length = self.next_length(max);
        let reading = self.reading.get_or_insert_with(|| {
            let (file, at, mut tail) = (Arc::clone(&self.ready.file), self.at, self.tail);
            off_thread(move || {
                read(length, |buffer| {
                    let count = read_at(&file, buffer, at)?;
                    if let Some(tail) = &mut tail {
                        read_at(&file, tail, at.saturating_sub(TAIL as u64))?;
                    }
                    Ok(count)
                })
                .map(|bytes| (bytes, tail))
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let (bytes, tail) = read??;
        self.account(&bytes, tail)?;
        self.piece = bytes;
        Poll::Ready(Ok(()))
    }

    fn next_length(&self, max: usize) -> usize {
        let max = max.min(CHUNK);
        usize::try_from(self.left).map_or(max, |left| left.min(max))
    }

    /// Keeps the content of a small file that was read in one piece, for the next request, if that may find it.
    fn keep(&self, length: usize, bytes: &Bytes) {
        if self.at == 0 && bytes.len() == length && self.ready.is_shared() {
            self.ready.keep_content(bytes, |_| bytes.clone());
        }
    }

    /// Accounts for data that was read, and for `tail`, the bytes before it, if they were read.
    fn account(&mut self, bytes: &[u8], tail: Option<[u8; TAIL]>) -> io::Result<()> {
        if bytes.is_empty() {
            let text = format!(
                "the file ended {} bytes before its announced end",
                self.left
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        if tail != self.tail {
            return Err(changed());
        }
        self.advance(bytes.len());
        if self.left == 0 {
            return match self.began {
                true => self.check_unchanged(),
                false => Ok(()),
            };
        }
        self.began = true;
        self.tail = match bytes.last_chunk() {
            Some(tail) => Some(*tail),
            None => self.tail.map(|mut tail| {
                tail.rotate_left(bytes.len());
                let (_, end) = tail.split_at_mut(TAIL - bytes.len());
                end.copy_from_slice(bytes);
                tail
            }),
        };
        Ok(())
    }

    /// Whether the pieces of a file are of one version of its content.
    fn check_unchanged(&self) -> io::Result<()> {
        let (before, now) = (&self.ready.facts, look_at(&self.ready.file)?);
        let grew = now.size > before.size;
        if now.size < before.size || (now.modified_ns != before.modified_ns && !grew) {
            return Err(changed());
        }
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        self.at += count as u64;
        self.left = self.left.saturating_sub(count as u64);
    }
}

/// The first `length` bytes of a file, or fewer if it has become shorter.
pub(crate) async fn beginning(file: &Arc<File>, length: usize) -> io::Result<Bytes> {
    let cached = read(length, |buffer| read_nowait(file, buffer, 0, &mut None));
    match cached {
        Ok(bytes) if bytes.len() == length => Ok(bytes),
        Err(error) if !is_no_answer(&error) => Err(error),
        _ => {
            let file = Arc::clone(file);
            off_thread(move || read(length, |buffer| read_at(&file, buffer, 0))).await?
        }
    }
}

impl Pull for FileBody {
    fn remaining(&self) -> Option<u64> {
        Some(self.left())
    }

    fn is_end(&self) -> bool {
        self.left() == 0
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        if self.piece.is_empty() && self.reading.is_none() {
            let length = self.next_length(max);
            if let Some(content) = self.ready.content(self.at, length as u64) {
                self.advance(length);
                return Poll::Ready(Some(Ok(content)));
            }
            let (at, mut tail) = (self.at, self.tail);
            let result = read(length, |buffer| {
                read_nowait(&self.ready.file, buffer, at, &mut tail)
            });
            match result {
                Err(error) if is_no_answer(&error) => {}
                result => {
                    return Poll::Ready(Some(
                        result
                            .and_then(|bytes| {
                                self.keep(length, &bytes);
                                self.account(&bytes, tail)?;
                                Ok(bytes)
                            })
                            .map_err(Into::into),
                    ));
                }
            }
        }
        if let Err(error) = ready!(self.poll_disk(cx, max)) {
            return Poll::Ready(Some(Err(error.into())));
        }
        Poll::Ready(Some(Ok(self.piece.split_to(max.min(self.piece.len())))))
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Poll<Result<usize, BodyError>> {
        if self.piece.is_empty() && self.reading.is_none() {
            let length = self.next_length(max);
            if length == 0 {
                return Poll::Ready(Ok(0));
            }
            // Available data is copied once, into memory that need not be cleared.
            if let Some(content) = self.ready.content(self.at, length as u64) {
                out.extend_from_slice(&content);
                self.advance(length);
                return Poll::Ready(Ok(length));
            }
            let start = out.len();
            out.resize(start + length, 0);
            let (part, mut tail) = (out.get_mut(start..).unwrap_or_default(), self.tail);
            let result =
                read_nowait(&self.ready.file, part, self.at, &mut tail).and_then(|count| {
                    let bytes = part.get(..count).unwrap_or_default();
                    if self.at == 0 && self.ready.is_shared() {
                        self.ready.keep_content(bytes, Bytes::copy_from_slice);
                    }
                    self.account(bytes, tail)?;
                    Ok(count)
                });
            out.truncate(start + *result.as_ref().unwrap_or(&0));
            match result {
                Err(error) if is_no_answer(&error) => {}
                result => return Poll::Ready(result.map_err(Into::into)),
            }
        }
        ready!(self.poll_disk(cx, max))?;
        let count = max.min(self.piece.len());
        out.extend_from_slice(self.piece.get(..count).unwrap_or_default());
        self.piece.advance(count);
        Poll::Ready(Ok(count))
    }
}

fn changed() -> io::Error {
    io::Error::other("the file was changed while it was sent")
}

/// Reads up to `length` bytes, into a reused buffer if they are many.
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

/// Whether the disk must be read, or the file system does not support the call.
fn is_no_answer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported | io::ErrorKind::Interrupted
    )
}

/// Reads cached data, together with the bytes before it if there is a `tail`.
#[cfg(target_os = "linux")]
fn read_nowait(
    file: &File,
    buffer: &mut [u8],
    at: u64,
    tail: &mut Option<[u8; TAIL]>,
) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let read = |slices: &mut [io::IoSliceMut<'_>], at| {
        preadv2(file, slices, at, ReadWriteFlags::NOWAIT).map_err(|error| match error {
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => io::ErrorKind::Unsupported.into(),
            error => io::Error::from(error),
        })
    };
    let buffer = io::IoSliceMut::new(buffer);
    let Some(tail) = tail else {
        return read(&mut [buffer], at);
    };
    let slices = &mut [io::IoSliceMut::new(tail), buffer];
    match read(slices, at.saturating_sub(TAIL as u64))? {
        // The file may end here, or only the cached data: a blocking read decides.
        0..=TAIL => Err(io::ErrorKind::WouldBlock.into()),
        count => Ok(count - TAIL),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_nowait(
    _file: &File,
    _buffer: &mut [u8],
    _at: u64,
    _tail: &mut Option<[u8; TAIL]>,
) -> io::Result<usize> {
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

/// A buffer that returns to the thread that drops it. Returning such buffers to the allocator instead
/// makes the kernel clear their pages for every piece.
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
        // If the thread is ending, the buffer is freed.
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
    use crate::path::Target;
    use crate::ready::tests::plain;

    fn open(content: &[u8]) -> (tempfile::NamedTempFile, FileBody) {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(content).unwrap();
        let file = named.reopen().unwrap();
        let facts = look_at(&file).unwrap();
        let target = Target::parse("/f").unwrap();
        let ready = Ready::new(Arc::new(file), facts, target, plain());
        let body = FileBody::new(ready, 0, content.len() as u64);
        (named, body)
    }

    fn numbers(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n % 251) as u8).collect()
    }

    async fn piece(body: &mut FileBody, max: usize) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| body.poll_piece(cx, max)).await
    }

    async fn fill(body: &mut FileBody, out: &mut Vec<u8>, max: usize) -> Result<usize, BodyError> {
        poll_fn(|cx| body.poll_fill(cx, out, max)).await
    }

    #[tokio::test]
    async fn a_file_is_read_in_pieces_no_larger_than_requested() {
        let content = numbers(3 * CHUNK + 7);
        for max in [1000, CHUNK, usize::MAX] {
            let (_named, mut body) = open(&content);
            let mut got = Vec::new();
            while let Some(piece) = piece(&mut body, max).await {
                let piece = piece.unwrap();
                assert!(!piece.is_empty() && piece.len() <= max.min(CHUNK));
                got.extend_from_slice(&piece);
                assert_eq!(body.left(), (content.len() - got.len()) as u64);
            }
            assert!(got == content);
        }
    }

    #[tokio::test]
    async fn a_file_fills_a_buffer_and_no_more() {
        let content = numbers(1000);
        for max in [1, 7, 600, 4096] {
            let (_named, mut body) = open(&content);
            let mut out = b"before".to_vec();
            while body.left() > 0 {
                let room = out.len() + max;
                let count = fill(&mut body, &mut out, max).await.unwrap();
                assert!(count > 0 && out.len() <= room);
            }
            assert_eq!(out[6..], content);
            assert_eq!(fill(&mut body, &mut out, max).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn data_from_disk_waits_for_room() {
        let content = numbers(1000);
        let (_named, mut body) = open(&content);
        body.piece = Bytes::copy_from_slice(&content[..500]);
        (body.at, body.left) = (500, 500);
        let mut out = Vec::new();
        while body.left() > 0 {
            fill(&mut body, &mut out, 300).await.unwrap();
        }
        assert!(out == content);
    }

    #[tokio::test]
    async fn a_file_that_is_shortened_or_overwritten_is_an_error() {
        type Change = fn(&mut File) -> io::Result<()>;
        let cases: [(&str, Change, bool); 5] = [
            ("shortened", |file| file.set_len(100), false),
            ("emptied", |file| file.set_len(0), false),
            (
                "overwritten as long as it was",
                |file| file.write_all(&vec![7; 2 * CHUNK]),
                false,
            ),
            (
                "overwritten and longer",
                |file| file.write_all(&vec![7; 3 * CHUNK]),
                false,
            ),
            (
                "longer",
                |file| {
                    io::Seek::seek(file, io::SeekFrom::End(0))?;
                    file.write_all(b"more")
                },
                true,
            ),
        ];
        for (what, change, whole) in cases {
            for (max, fills) in [(SMALL, false), (SMALL, true), (CHUNK, false), (CHUNK, true)] {
                let content = numbers(2 * CHUNK);
                let (named, mut body) = open(&content);
                let mut got = piece(&mut body, max).await.unwrap().unwrap().to_vec();
                // A file system's clock may tick slowly.
                while look_at(named.as_file()).unwrap() == body.ready.facts {
                    change(&mut named.reopen_for_writing()).unwrap();
                }
                let end = loop {
                    if fills {
                        match fill(&mut body, &mut got, max).await {
                            Ok(0) => break Ok(()),
                            Ok(_) => continue,
                            Err(error) => break Err(error),
                        }
                    }
                    match piece(&mut body, max).await {
                        Some(Ok(piece)) => got.extend_from_slice(&piece),
                        Some(Err(error)) => break Err(error),
                        None => break Ok(()),
                    }
                };
                assert_eq!(end.is_ok(), whole, "{what}: {end:?}");
                let sent = got.len();
                assert_eq!(
                    sent as u64 + body.left(),
                    content.len() as u64,
                    "{what}: {sent}"
                );
                assert!(!whole || got == content, "{what}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_removed_is_sent_to_its_end() {
        let content = numbers(2 * CHUNK);
        let (named, mut body) = open(&content);
        let mut got = piece(&mut body, CHUNK).await.unwrap().unwrap().to_vec();
        named.close().unwrap();
        while let Some(piece) = piece(&mut body, CHUNK).await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert!(got == content);
    }

    trait Reopen {
        fn reopen_for_writing(&self) -> File;
    }

    impl Reopen for tempfile::NamedTempFile {
        fn reopen_for_writing(&self) -> File {
            File::options().write(true).open(self.path()).unwrap()
        }
    }
}
