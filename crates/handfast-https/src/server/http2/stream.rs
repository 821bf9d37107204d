//! One stream: a request's body on its way in, a reply on its way out (RFC 9113, section 5).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use hyper::body::Body as _;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::http::{HeaderMap, StatusCode};

use super::super::incoming::Incoming;
use super::super::service::Tracked;
use super::STREAM_WINDOW;
use crate::http2::frame::{self, HEADER_LEN, flag, kind};

pub(super) type Answer = Pin<Box<dyn Future<Output = hyper::Response<Tracked>>>>;

/// The largest DATA frame that is sent: the least that every client takes.
pub(super) const FRAME_MAX: usize = 16 * 1024;

pub(super) struct Stream {
    /// The handler at work.
    pub(super) answer: Option<Answer>,
    /// The reply that is being sent.
    pub(super) reply: Option<Reply>,
    /// The request's body, until all of it was sent and read.
    pub(super) incoming: Option<Arriving>,
    /// Bytes of DATA that the client takes; negative after it made its window smaller.
    pub(super) window: i64,
    /// In the queue of those that have something to send.
    pub(super) queued: bool,
    /// Nothing is left of it but a body that nobody wants.
    pub(super) discards: bool,
    waker: Option<Waker>,
}

/// The streams of a connection that are open, in the order of their numbers, which only grow. There
/// are so few of them that nothing finds one faster.
#[derive(Default)]
pub(super) struct Streams(Vec<(u32, Box<Stream>)>);

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.find(id)?;
        self.0.get_mut(at).map(|(_, stream)| &mut **stream)
    }

    /// Adds the stream that was opened last.
    pub(super) fn add(&mut self, id: u32, stream: Box<Stream>) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < id));
        self.0.push((id, stream));
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Box<Stream>> {
        let at = self.find(id)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn iter(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.0.iter_mut().map(|(id, stream)| (*id, &mut **stream))
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }
}

/// A request's body that is arriving.
pub(super) struct Arriving {
    pub(super) body: Incoming,
    /// What was announced and has not come.
    pub(super) length_left: Option<u64>,
    /// Bytes of DATA that the client may send.
    pub(super) window: u32,
    /// Bytes that were read and not given back to the window.
    pub(super) owed: u32,
    /// The client has said all of it.
    pub(super) ended: bool,
    /// Bytes that nobody wanted.
    pub(super) discarded: u64,
    /// The client waits for leave to send.
    pub(super) expects: bool,
}

/// A reply of which the head was sent.
pub(super) struct Reply {
    body: Tracked,
    piece: Bytes,
    left: Option<u64>,
}

/// What a reply has for the connection.
pub(super) enum Emitted {
    /// A piece, which was put into the buffer; is it the last?
    Data {
        end: bool,
    },
    /// Nothing now.
    Waits,
    /// The client must open its window first.
    Blocked,
    Failed,
}

impl Stream {
    pub(super) fn new(window: i64) -> Self {
        Self {
            answer: None,
            reply: None,
            incoming: None,
            window,
            queued: false,
            discards: false,
            waker: None,
        }
    }

    /// This stream's own waker, made when it first has to wait.
    pub(super) fn waker(&mut self, make: impl FnOnce() -> Waker) -> Waker {
        self.waker.get_or_insert_with(make).clone()
    }

    /// Has everything been said, by both sides?
    pub(super) fn is_done(&self) -> bool {
        self.answer.is_none() && self.reply.is_none() && self.incoming.is_none()
    }

    /// The body that the client may still send.
    pub(super) fn receiving(&mut self) -> Option<&mut Arriving> {
        self.incoming.as_mut().filter(|arriving| !arriving.ended)
    }

    /// Is all that is left of it a body that nobody wants?
    pub(super) fn only_discards(&self) -> bool {
        self.answer.is_none()
            && self.reply.is_none()
            && self
                .incoming
                .as_ref()
                .is_some_and(|arriving| !arriving.ended && arriving.body.is_unwanted())
    }
}

impl Arriving {
    pub(super) fn new(body: Incoming, length: Option<u64>, expects: bool) -> Self {
        Self {
            body,
            length_left: length,
            window: STREAM_WINDOW,
            owed: 0,
            ended: false,
            discarded: 0,
            expects,
        }
    }

    /// Bytes that are not the window's: waiting to be read, or read and not given back.
    pub(super) fn held(&self) -> u32 {
        STREAM_WINDOW.saturating_sub(self.window)
    }
}

/// A reply's status and fields, its length where no field tells it, and its body, unless it ends with
/// its head.
pub(super) fn begin(
    response: hyper::Response<Tracked>,
) -> (StatusCode, HeaderMap, Option<u64>, Option<Reply>) {
    let (parts, body) = response.into_parts();
    let mut fields = parts.headers;
    // What belongs to a connection of HTTP/1.1 (RFC 9113, section 8.2.2).
    fields.remove(CONNECTION);
    fields.remove(TRANSFER_ENCODING);
    let announced = fields
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let size = body.size_hint().exact();
    let untold = size.filter(|size| *size > 0 && announced.is_none());
    let reply = (!body.is_end_stream()).then(|| Reply {
        body,
        piece: Bytes::new(),
        left: announced.or(size),
    });
    (parts.status, fields, untold, reply)
}

impl Reply {
    /// It is not going to be sent to its end.
    pub(super) fn abort(mut self) {
        self.body.abort(self.piece.len() as u64);
    }

    /// Puts one DATA frame into `out`, of at most `window` bytes.
    pub(super) fn emit(
        &mut self,
        cx: &mut Context<'_>,
        id: u32,
        window: i64,
        out: &mut Vec<u8>,
    ) -> Emitted {
        if self.piece.is_empty()
            && let Some(emitted) = self.fill(id, window, out)
        {
            return emitted;
        }
        if self.piece.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Emitted::Waits,
                Poll::Ready(None) => return self.end(id, out),
                Poll::Ready(Some(Err(_))) => return Emitted::Failed,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers: nobody here has any.
                    self.piece = frame.into_data().unwrap_or_default();
                }
            }
            if let Some(left) = &mut self.left {
                match left.checked_sub(self.piece.len() as u64) {
                    Some(rest) => *left = rest,
                    None => return Emitted::Failed,
                }
            }
            if self.piece.is_empty() {
                return if self.body.is_end_stream() {
                    self.end(id, out)
                } else {
                    // An empty piece: ask again, after the others.
                    Emitted::Data { end: false }
                };
            }
        }
        let count = self
            .piece
            .len()
            .min(FRAME_MAX)
            .min(usize::try_from(window).unwrap_or(0));
        if count == 0 {
            return Emitted::Blocked;
        }
        let is_last = count == self.piece.len() && self.body.is_end_stream();
        if is_last && self.left.is_some_and(|left| left > 0) {
            return Emitted::Failed;
        }
        let part = self.piece.get(..count).unwrap_or_default();
        frame::put_data(out, id, part, is_last);
        self.piece.advance(count);
        Emitted::Data { end: is_last }
    }

    /// Has the body fill a DATA frame where it stands; `None` when it cannot.
    fn fill(&mut self, id: u32, window: i64, out: &mut Vec<u8>) -> Option<Emitted> {
        let room = FRAME_MAX.min(usize::try_from(window).unwrap_or(0));
        if room == 0 || !self.body.fills() {
            return None;
        }
        let start = out.len();
        out.resize(start + HEADER_LEN + room, 0);
        let payload = out.get_mut(start + HEADER_LEN..).unwrap_or_default();
        let Some(result) = self.body.fill(payload) else {
            out.truncate(start);
            return None;
        };
        let end = self.body.is_end_stream();
        let left = match (&result, self.left) {
            (Ok(count), Some(left)) => left.checked_sub(*count as u64),
            _ => self.left,
        };
        let fits =
            left.is_some() == self.left.is_some() && !(end && left.is_some_and(|left| left > 0));
        let (Ok(count), true) = (result, fits) else {
            out.truncate(start);
            return Some(Emitted::Failed);
        };
        self.left = left;
        out.truncate(start + HEADER_LEN + count);
        let flags = if end { flag::END_STREAM } else { 0 };
        if let Some(header) = out.get_mut(start..start + HEADER_LEN) {
            header.copy_from_slice(&frame::header(count, kind::DATA, flags, id));
        }
        Some(Emitted::Data { end })
    }

    fn end(&self, id: u32, out: &mut Vec<u8>) -> Emitted {
        if self.left.is_some_and(|left| left > 0) {
            return Emitted::Failed;
        }
        frame::put_data(out, id, &[], true);
        Emitted::Data { end: true }
    }
}
