//! Compression of a file while it is sent.
//!
//! A portion of the file is read when something may be sent, and compressed behind the thread that serves (`background.rs`),
//! one portion after another. All that waits is what comes out of one portion: at most a block of the coding, 128 KiB
//! of the file, and of few files at a time.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use handfast_https::server::{BodyError, Pull};

use crate::background::{Work, behind};
use crate::chunks::FileBody;
use crate::coding::{Accepted, Coding};
use crate::quota::Quota;
use crate::ready::Ready;
use crate::results::{Collecting, Key, Results};

/// Files that a thread compresses at a time. Each takes up to 1.5 MB for the compressor; further requests get their files
/// as they are.
const COMPRESSING_MAX: usize = 16;

/// The largest portion, which takes 1 to 2 ms; listings and other files have their turn after it.
const PORTION_MAX: usize = 64 * 1024;

/// The smallest portion: of less, hardly anything comes out.
pub(crate) const PORTION_MIN: usize = 4 * 1024;

/// zlib's levels above give 1 to 2% for twice the time.
const GZIP_LEVEL: u32 = 4;

/// Brotli's, likewise.
const BROTLI_QUALITY: u32 = 4;

/// The default of zstd, three times as fast as the others at the same size.
const ZSTD_LEVEL: i32 = 3;

/// The logarithm of what a compressor remembers of the content: 256 KiB, which bounds its memory. Decoders of zstd need
/// not remember more than 8 MB (RFC 9659).
const WINDOW_LOG: u32 = 18;

thread_local! {
    static COMPRESSING: Cell<usize> = const { Cell::new(0) };
}

/// The coding of these that costs the least; at their levels all make about the same of a file.
pub(crate) fn fastest(codings: impl Iterator<Item = Coding> + Clone) -> Option<Coding> {
    let has = |wanted: &Coding| codings.clone().any(|coding| coding == *wanted);
    [Coding::Zstd, Coding::Brotli, Coding::Gzip]
        .into_iter()
        .find(has)
}

/// Whether a compressed file is worth while: for a sixteenth less.
pub(crate) fn gains(length: usize, ready: &Ready) -> bool {
    let size = u128::from(ready.facts.size);
    length as u128 * 16 <= size * 15
}

/// What came out of a portion, and the compressor for the next one.
type Portion = (Option<Encoder>, Vec<u8>);

/// A file that is being compressed and sent.
#[derive(Debug)]
pub(crate) struct Compressed {
    ready: Rc<Ready>,
    source: FileBody,
    /// At rest; at work it is elsewhere. `None` after the end.
    encoder: Option<Encoder>,
    work: Option<Work<io::Result<Portion>>>,
    /// What came out of the last portion and was not asked for yet.
    text: Bytes,
    collecting: Option<Collecting>,
    length: usize,
    _place: Quota,
}

impl Compressed {
    /// `None` if too much is being compressed.
    pub(crate) fn new(ready: &Rc<Ready>, coding: Coding, results: &Arc<Results>) -> Option<Self> {
        let place = Quota::take(&COMPRESSING, COMPRESSING_MAX)?;
        let size = ready.facts.size;
        // A change of it might not be seen, or, where files have no numbers (Windows), another one look the same.
        let may_keep = !ready.validators.is_weak() && ready.facts.identity != (0, 0);
        let key = Key::new(&ready.facts, coding);
        Some(Self {
            ready: Rc::clone(ready),
            source: FileBody::new(Rc::clone(ready), 0, size),
            encoder: Some(Encoder::new(coding, Some(size)).ok()?),
            work: None,
            text: Bytes::new(),
            collecting: Collecting::new(results, key).filter(|_| may_keep),
            length: 0,
            _place: place,
        })
    }

    /// All of it.
    pub(crate) async fn collect(mut self) -> Result<Bytes, BodyError> {
        let mut content = Vec::new();
        while let Some(piece) = poll_fn(|cx| self.poll_piece(cx, PORTION_MAX)).await {
            content.extend_from_slice(&piece?);
        }
        Ok(content.into())
    }

    /// What came out of a portion.
    fn came_out(&mut self, encoder: Option<Encoder>, bytes: Vec<u8>) {
        self.length += bytes.len();
        if let Some(collecting) = self.collecting.take() {
            self.collecting = collecting.with(&bytes);
        }
        self.encoder = encoder;
        if self.encoder.is_none()
            && let Some(collecting) = self.collecting.take()
        {
            collecting.keep(gains(self.length, &self.ready));
        }
        self.text = bytes.into();
    }
}

impl Pull for Compressed {
    fn remaining(&self) -> Option<u64> {
        None
    }

    fn is_end(&self) -> bool {
        self.text.is_empty() && self.work.is_none() && self.encoder.is_none()
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if !self.text.is_empty() {
                return Poll::Ready(Some(Ok(self.text.split_to(max.min(self.text.len())))));
            }
            if let Some(work) = &mut self.work {
                let done = ready!(Pin::new(work).poll(cx));
                self.work = None;
                match done.and_then(|portion| portion) {
                    Ok((encoder, bytes)) => self.came_out(encoder, bytes),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
                continue;
            }
            if self.encoder.is_none() {
                return Poll::Ready(None);
            }
            let portion = max.clamp(PORTION_MIN, PORTION_MAX);
            let piece = match ready!(self.source.poll_piece(cx, portion)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => Bytes::new(),
            };
            let is_last = self.source.is_end();
            if let Some(mut encoder) = self.encoder.take() {
                self.work = Some(behind(move || {
                    encoder.write_all(&piece)?;
                    match is_last {
                        true => Ok((None, encoder.finish()?)),
                        false => {
                            let bytes = encoder.take();
                            Ok((Some(encoder), bytes))
                        }
                    }
                }));
            }
        }
    }
}

/// How a text that is made while it is sent is compressed; one of those that a thread compresses at a time.
pub(crate) struct Encoding {
    coding: Coding,
    encoder: Encoder,
    place: Quota,
}

impl Encoding {
    /// `None` if the client prefers the text as it is, or if too much is being compressed.
    pub(crate) fn fastest(accepted: &Accepted) -> Option<Self> {
        let coding = accepted.groups().find_map(fastest)?;
        Some(Self {
            coding,
            place: Quota::take(&COMPRESSING, COMPRESSING_MAX)?,
            encoder: Encoder::new(coding, None).ok()?,
        })
    }

    pub(crate) fn coding(&self) -> Coding {
        self.coding
    }

    /// The encoder may go to another thread, and its place may not.
    pub(crate) fn into_parts(self) -> (Encoder, Quota) {
        (self.encoder, self.place)
    }
}

pub(crate) enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding, size: Option<u64>) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(flate2::write::GzEncoder::new(out, level))
            }
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                out,
                PORTION_MIN,
                BROTLI_QUALITY,
                WINDOW_LOG,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG)?;
                // So that little is reserved for a small file.
                encoder.set_pledged_src_size(size)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// What came out so far.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// Compresses a part of a text. What comes out can be decoded as it arrives.
    pub(crate) fn part(&mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        self.write_all(text)?;
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }?;
        Ok(self.take())
    }

    /// Compresses the last part of a text.
    pub(crate) fn last(mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        self.write_all(text)?;
        self.finish()
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::open::look_at;
    use crate::path::Target;
    use crate::ready::tests::plain;

    fn ready(content: &[u8]) -> (tempfile::NamedTempFile, Rc<Ready>) {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(content).unwrap();
        let file = named.reopen().unwrap();
        let before = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        file.set_modified(before).unwrap();
        let mut facts = look_at(&file).unwrap();
        facts.changed_ns = 5;
        let target = Target::parse("/f").unwrap();
        (named, Ready::new(Arc::new(file), facts, target, plain()))
    }

    fn text(lines: usize) -> Vec<u8> {
        (0..lines)
            .flat_map(|line| format!("line {line}, {:x}\n", line * line * 7919).into_bytes())
            .collect()
    }

    pub(crate) fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)
                .unwrap()
                .read_to_end(&mut content),
        }
        .unwrap();
        content
    }

    #[tokio::test]
    async fn every_coding_gives_the_file_back_in_portions_of_any_size() {
        let results = Results::new(8 << 20);
        for content in [text(20_000), text(1), vec![]] {
            let (_named, ready) = ready(&content);
            for coding in Coding::ALL {
                for max in [1, 1000, usize::MAX] {
                    let mut body = Compressed::new(&ready, coding, &results).unwrap();
                    let mut got = Vec::new();
                    while let Some(piece) = poll_fn(|cx| body.poll_piece(cx, max)).await {
                        let piece = piece.unwrap();
                        assert!(!piece.is_empty() && piece.len() <= max);
                        got.extend_from_slice(&piece);
                        // No more waits than a block, whatever was asked for.
                        assert!(body.text.len() <= 2 * PORTION_MAX);
                    }
                    assert!(body.is_end());
                    assert!(decode(coding, &got) == content, "{coding} {max}");
                }
                let kept = results.find(&Key::new(&ready.facts, coding)).unwrap();
                assert_eq!(kept.is_some(), content.len() > 1000, "{coding}");
                if let Some(kept) = kept {
                    assert!(decode(coding, &kept) == content, "{coding}, kept");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_changes_is_an_error_and_not_kept() {
        let results = Results::new(1 << 20);
        let (named, ready) = ready(&text(20_000));
        let mut body = Compressed::new(&ready, Coding::Gzip, &results).unwrap();
        poll_fn(|cx| body.poll_piece(cx, 1000))
            .await
            .unwrap()
            .unwrap();
        named.as_file().set_len(5000).unwrap();
        let end = loop {
            match poll_fn(|cx| body.poll_piece(cx, 1000)).await {
                Some(Ok(_)) => {}
                end => break end,
            }
        };
        assert!(end.unwrap().is_err());
        assert!(
            results
                .find(&Key::new(&ready.facts, Coding::Gzip))
                .is_none()
        );
    }

    #[tokio::test]
    async fn places_are_limited_and_given_back() {
        let results = Results::new(0);
        let (_named, ready) = ready(b"text");
        let take = || Compressed::new(&ready, Coding::Zstd, &results);
        let all: Vec<_> = std::iter::from_fn(take).collect();
        assert_eq!(all.len(), COMPRESSING_MAX);
        drop(all);
        assert!(take().is_some());
    }
}
