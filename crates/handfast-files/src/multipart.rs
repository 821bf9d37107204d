//! Several parts of a file in one reply, `multipart/byteranges` (RFC 9110, section 14.6).
//!
//! The text between parts is made when it is asked for, and so is what lies in the file.

use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use handfast_https::server::{BodyError, Pull};
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::chunks::FileBody;
use crate::ranges::Span;
use crate::ready::Ready;

/// The rest of a reply with several parts.
#[derive(Debug)]
pub(crate) struct Multipart {
    ready: Rc<Ready>,
    boundary: String,
    parts: vec::IntoIter<Span>,
    /// What is sent before `file`.
    text: Bytes,
    file: Option<FileBody>,
    left: u64,
}

impl Multipart {
    pub(crate) fn new(ready: &Rc<Ready>, parts: Vec<Span>) -> Self {
        let mut it = Self {
            ready: Rc::clone(ready),
            boundary: boundary(),
            parts: vec![].into_iter(),
            text: Bytes::new(),
            file: None,
            left: 0,
        };
        let lengths = parts
            .iter()
            .enumerate()
            .map(|(number, part)| it.head(*part, number == 0).len() as u64 + part.length);
        it.left = lengths.sum::<u64>() + it.foot().len() as u64;
        it.parts = parts.into_iter();
        it
    }

    /// The type of the reply.
    pub(crate) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    fn head(&self, part: Span, is_first: bool) -> String {
        let line_end = if is_first { "" } else { "\r\n" };
        let media = self.ready.fields.get(CONTENT_TYPE);
        let media = media.and_then(|value: &HeaderValue| value.to_str().ok());
        format!(
            "{line_end}--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            self.boundary,
            media.unwrap_or("application/octet-stream"),
            part.content_range(self.ready.facts.size),
        )
    }

    fn foot(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Begins the next part, or the end.
    fn next(&mut self) {
        let is_first = self.file.is_none();
        match self.parts.next() {
            Some(part) => {
                self.text = self.head(part, is_first).into();
                let body = FileBody::new(Rc::clone(&self.ready), part.start, part.length);
                self.file = Some(if is_first { body } else { body.continued() });
            }
            None => self.text = self.foot().into(),
        }
    }
}

impl Pull for Multipart {
    fn remaining(&self) -> Option<u64> {
        Some(self.left)
    }

    fn is_end(&self) -> bool {
        self.left == 0
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.text.is_empty() && self.file.as_ref().is_none_or(FileBody::is_end) {
            self.next();
        }
        let piece = match &mut self.file {
            Some(file) if self.text.is_empty() => match ready!(file.poll_piece(cx, max)) {
                Some(Ok(piece)) => piece,
                other => return Poll::Ready(other),
            },
            _ => self.text.split_to(max.min(self.text.len())),
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(piece)))
    }
}

/// Not predictable, so that no file contains it on purpose: 128 bits from the keys that the standard library draws for its maps.
fn boundary() -> String {
    let (high, low) = (RandomState::new(), RandomState::new());
    format!("{:016x}{:016x}", high.hash_one(1), low.hash_one(2))
}
