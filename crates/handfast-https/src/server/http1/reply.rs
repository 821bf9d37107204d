//! Replies over HTTP/1 (RFC 9112): the head, and the body in the framing that its length asks for.
//!
//! The head waits for the first piece of the body, so that both leave in one record.

use std::io::{IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use handfast::AsyncStream;
use handfast_http::h1::request::Refusal;
use handfast_http::may_trail;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING,
};
use http::{StatusCode, Version};
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

use super::super::budget::FLOOR;
use super::super::date;
use super::super::engine::{Failure, Transport};
use super::super::service::{Tracked, plain_fields};
use super::super::state::ConnectionState;

/// The most that is asked of a body at a time: what becomes eight full records, and one system call.
const PIECE_MAX: usize = 128 * 1024;

/// What a head takes, as a first guess.
const HEAD_ROOM: usize = 384;

/// How the end of the body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none.
    None,
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    /// By the end of the connection: what HTTP/1.0 has for bodies of unknown length.
    Close,
}

/// A reply on its way.
pub(super) struct Reply {
    /// Goes before `piece`: the head, or a chunk's size.
    before: Vec<u8>,
    written: usize,
    piece: Bytes,
    body: Option<Tracked>,
    framing: Framing,
    /// Trailer fields are sent.
    trails: bool,
    /// Something was written since the last flush.
    unflushed: bool,
    /// The connection ends with this reply.
    pub(super) closes: bool,
}

/// What the request has to say about its reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// The client takes trailer fields.
    pub(super) trails: bool,
    /// May the connection go on afterwards?
    pub(super) persistent: bool,
}

impl Reply {
    pub(super) fn new(response: http::Response<Tracked>, terms: Terms) -> Self {
        let (parts, body) = response.into_parts();
        let (status, fields) = (parts.status, parts.headers);
        let size = body.size_hint().exact();
        let bodiless = terms.is_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut before = Vec::with_capacity(HEAD_ROOM);
        // How the message is framed is decided here, whatever a handler says.
        let trails = terms.trails && terms.version == Version::HTTP_11;
        let said = put_head(&mut before, status, &fields, !bodiless, trails);
        let framing = match (bodiless, size.or(said.length)) {
            (true, _) => Framing::None,
            // What follows the body is announced, and can follow nothing but chunks.
            (false, _) if trails && fields.contains_key(TRAILER) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) if terms.version == Version::HTTP_11 => Framing::Chunked,
            (false, None) => Framing::Close,
        };
        let closes = !terms.persistent || framing == Framing::Close || said.close;
        if let Framing::Length(length) = framing {
            let _ = write!(before, "content-length: {length}\r\n");
        }
        if framing == Framing::Chunked {
            before.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if closes {
            before.extend_from_slice(b"connection: close\r\n");
        } else if terms.version == Version::HTTP_10 {
            before.extend_from_slice(b"connection: keep-alive\r\n");
        }
        // The line that ends the head; a chunk's size brings it along.
        if framing != Framing::Chunked {
            before.extend_from_slice(b"\r\n");
        }
        let mut reply = Self {
            before,
            written: 0,
            piece: Bytes::new(),
            body: Some(body),
            framing,
            trails,
            unflushed: false,
            closes,
        };
        if framing == Framing::None {
            reply.body = None;
        }
        reply
    }

    /// The reply to what is no request.
    pub(super) fn refusing(refusal: Refusal) -> Self {
        let mut before = Vec::with_capacity(HEAD_ROOM);
        put_head(
            &mut before,
            refusal.status,
            &plain_fields(refusal.status),
            true,
            false,
        );
        let length = refusal.what.len() + 1;
        let _ = write!(
            before,
            "content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        before.extend_from_slice(refusal.what.as_bytes());
        before.push(b'\n');
        Self {
            before,
            written: 0,
            piece: Bytes::new(),
            body: None,
            framing: Framing::None,
            trails: false,
            unflushed: false,
            closes: true,
        }
    }

    /// Ready when all of it was handed to the stream, which may not have flushed it yet.
    pub(super) fn poll<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
        connection: &ConnectionState,
    ) -> Poll<Result<(), Failure>> {
        loop {
            if self.piece.is_empty() && self.body.is_some() {
                let Poll::Ready(max) = self.poll_room(cx, stream, connection)? else {
                    return Poll::Pending;
                };
                match self.poll_piece(cx, max) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => {
                        // What there is should not wait for what is not.
                        ready!(self.poll_write(cx, stream, connection))?;
                        if self.unflushed {
                            ready!(connection.poll_flush(cx, stream))?;
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    }
                }
            }
            ready!(self.poll_write(cx, stream, connection))?;
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// How large the next piece may be. When much is held already, what was handed over leaves first.
    fn poll_room<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
        connection: &ConnectionState,
    ) -> Poll<Result<usize, Failure>> {
        if connection.held.held() > 0 {
            stream.rest();
            connection.held.note(stream.unsent_memory_held());
        }
        let room = connection.held.room(PIECE_MAX);
        if room < PIECE_MAX && self.unflushed {
            ready!(self.poll_write(cx, stream, connection))?;
            ready!(connection.poll_flush(cx, stream))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(room.max(FLOOR)))
    }

    /// Asks the body for its next piece; drops it after its last.
    fn poll_piece(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Result<(), Failure>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(()));
        };
        let piece = match ready!(body.poll_piece(cx, max)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Err(Failure::body(&*error))),
            None => {
                let trailers = body.take_trailers();
                self.body = None;
                return Poll::Ready(self.finish(trailers.unwrap_or_default()));
            }
        };
        match &mut self.framing {
            Framing::Length(left) => {
                let Some(rest) = left.checked_sub(piece.len() as u64) else {
                    return Poll::Ready(Err(Failure::server("the body is longer than announced")));
                };
                *left = rest;
            }
            Framing::Chunked if !piece.is_empty() => {
                let _ = write!(self.before, "\r\n{:x}\r\n", piece.len());
            }
            Framing::Chunked | Framing::Close | Framing::None => {}
        }
        self.piece = piece;
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, trailers: HeaderMap) -> Result<(), Failure> {
        match self.framing {
            Framing::Length(1..) => {
                return Err(Failure::server("the body is shorter than announced"));
            }
            Framing::Chunked => {
                self.before.extend_from_slice(b"\r\n0\r\n");
                let sent = trailers.iter().filter(|(name, _)| may_trail(name));
                for (name, value) in sent.filter(|_| self.trails) {
                    put_field(&mut self.before, name.as_str(), value.as_bytes());
                }
                self.before.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_write<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
        connection: &ConnectionState,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let before = self.before.get(self.written..).unwrap_or_default();
            if before.is_empty() && self.piece.is_empty() {
                self.before.clear();
                self.written = 0;
                break;
            }
            let slices = [IoSlice::new(before), IoSlice::new(&self.piece)];
            let written = Pin::new(&mut *stream).poll_write_vectored(cx, &slices);
            let Poll::Ready(count) = written.map_err(Failure::io)? else {
                stream.rest();
                connection
                    .held
                    .note(stream.unsent_memory_held() + self.piece.len());
                return Poll::Pending;
            };
            self.unflushed = true;
            let of_before = count.min(before.len());
            self.written += of_before;
            self.piece.advance(count - of_before);
        }
        // The last piece was handed over: the reply is complete as far as its body goes.
        if self.framing == Framing::Length(0)
            && let Some(body) = self.body.take()
        {
            body.complete();
        }
        Poll::Ready(Ok(()))
    }
}

/// What the fields of a reply say of its framing.
#[derive(Debug, Default)]
struct Said {
    length: Option<u64>,
    close: bool,
}

/// Status line and fields, without the line that ends the head and without what says how the message is
/// framed, which is given back. The length stays where there is no body that has one (RFC 9110, section 8.6), and what is said of
/// trailer fields where they are sent.
fn put_head(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: &HeaderMap,
    has_body: bool,
    trails: bool,
) -> Said {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let (mut said, mut dated) = (Said::default(), false);
    for (name, value) in fields {
        match *name {
            TRANSFER_ENCODING => continue,
            TRAILER if !trails => continue,
            CONNECTION => {
                said.close |= says_close(value);
                continue;
            }
            CONTENT_LENGTH if has_body => {
                said.length = said.length.or_else(|| decimal(value));
                continue;
            }
            DATE => dated = true,
            _ => {}
        }
        put_field(out, name.as_str(), value.as_bytes());
    }
    if !dated {
        put_field(out, "date", &date::now());
    }
    said
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn says_close(value: &HeaderValue) -> bool {
    let mut options = value.as_bytes().split(|byte| *byte == b',');
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn decimal(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}
