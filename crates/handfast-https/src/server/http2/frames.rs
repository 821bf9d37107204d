//! What a client's frames do to its connection (RFC 9113, section 6), and what they may not do.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use hyper::http::StatusCode;

use super::super::engine::Failure;
use super::super::handler::{Handler, RequestBody};
use super::super::incoming::{Broken, Incoming};
use super::super::service::{answer, plain_fields};
use super::request::{Bounds, Head, Judged, Request};
use super::stream::{Arriving, Stream};
use super::{CONNECTION_WINDOW, Http2, STREAM_WINDOW, State};
use crate::http2::frame::{self, Frame, FrameReader, Piece, code, flag, kind, setting};

/// What every client begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The PING behind the first GOAWAY: its answer says that the client has seen both.
pub(super) const LAST_CALL: [u8; 8] = *b"lastcall";

/// Frames that bring nothing forward, in a row and within [`IDLE_FRAMES_WITHIN`]: clients have a few to
/// say at a time. One that pings to keep a slow reply's connection alive may do so for ever.
const IDLE_FRAMES_MAX: u32 = 2000;
const IDLE_FRAMES_WITHIN: Duration = Duration::from_secs(30);

/// Streams that came to nothing, more than those that were replied to: what a browser cancels when its
/// user leaves a page with many pictures. Whoever opens streams only to have them reset makes the
/// server work for nothing (CVE-2023-44487, CVE-2025-8671).
const FRUITLESS_MAX: u32 = 256;

/// Frames of one header block: each carries up to 16 KiB (CVE-2024-27316).
const BLOCK_FRAMES_MAX: u32 = 16;

/// A header block that is arriving.
#[derive(Debug)]
pub(super) struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
    frames: u32,
}

/// How much nonsense there was.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    idle_frames: u32,
    idle_since: Option<Instant>,
    fruitless: u32,
}

impl Strikes {
    /// Something was asked, sent or received.
    pub(super) fn progress(&mut self) {
        self.idle_frames = 0;
        self.idle_since = None;
    }

    pub(super) fn replied(&mut self) {
        self.fruitless = self.fruitless.saturating_sub(1);
        self.progress();
    }

    pub(super) fn fruitless(&mut self) -> Result<(), Violation> {
        self.fruitless += 1;
        if self.fruitless > FRUITLESS_MAX {
            return Err(Violation::calm("too many streams that came to nothing"));
        }
        Ok(())
    }

    pub(super) fn idle_frame(&mut self) -> Result<(), Violation> {
        self.idle_frame_at(Instant::now())
    }

    fn idle_frame_at(&mut self, now: Instant) -> Result<(), Violation> {
        let since = *self.idle_since.get_or_insert(now);
        if now.saturating_duration_since(since) > IDLE_FRAMES_WITHIN {
            self.idle_since = Some(now);
            self.idle_frames = 0;
        }
        self.idle_frames += 1;
        if self.idle_frames > IDLE_FRAMES_MAX {
            return Err(Violation::calm(
                "too many frames that bring nothing forward",
            ));
        }
        Ok(())
    }
}

/// How the client broke the protocol: the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    code: u32,
    what: &'static str,
}

impl Violation {
    pub(super) const fn new(code: u32, what: &'static str) -> Self {
        Self { code, what }
    }

    pub(super) const fn protocol(what: &'static str) -> Self {
        Self::new(code::PROTOCOL_ERROR, what)
    }

    const fn calm(what: &'static str) -> Self {
        Self::new(code::ENHANCE_YOUR_CALM, what)
    }
}

impl<H: Handler> Http2<H> {
    /// Takes what was received; nothing means the end.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, reader: &mut FrameReader, bytes: &[u8]) {
        if bytes.is_empty() {
            self.end_of_input();
            return;
        }
        let mut result = Ok(());
        match self.take_preface(bytes) {
            Ok(rest) => reader.read(rest, |piece| {
                result = self.piece(cx, piece);
                match result {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            }),
            Err(violation) => result = Err(violation),
        }
        if let Err(violation) = result {
            self.fail(violation);
        }
    }

    /// No more frames will come; replies may still be taken.
    fn end_of_input(&mut self) {
        self.ended = true;
        let cut: Vec<u32> = self
            .streams
            .iter()
            .filter_map(|(id, stream)| stream.receiving().map(|_| id))
            .collect();
        for id in cut {
            let Some(stream) = self.streams.get(id) else {
                continue;
            };
            if let Some(arriving) = stream.incoming.take() {
                let cut = Broken::Cut("the client ended the connection within a request's body");
                arriving.body.finish(Err(cut));
            }
            if stream.is_done() {
                self.drop_stream(id);
            }
        }
    }

    fn take_preface<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Violation> {
        let missing = PREFACE.get(self.preface..).unwrap_or_default();
        let (front, rest) = bytes.split_at(missing.len().min(bytes.len()));
        if !missing.starts_with(front) {
            return Err(Violation::protocol("no preface of HTTP/2"));
        }
        self.preface += front.len();
        Ok(rest)
    }

    /// The client broke the protocol: it is told, and everything under way is dropped.
    fn fail(&mut self, violation: Violation) {
        let ids: Vec<u32> = self.streams.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.drop_stream(id);
        }
        let last = self.last;
        let what = violation.what;
        frame::put_goaway(self.out.bytes(), last, violation.code, what.as_bytes());
        self.state = State::Failing(Failure::BadRequest(what.to_owned()));
    }

    fn piece(
        &mut self,
        cx: &mut Context<'_>,
        piece: Result<Piece<'_>, &'static str>,
    ) -> Result<(), Violation> {
        let piece = piece.map_err(|what| Violation::new(code::FRAME_SIZE_ERROR, what))?;
        if !self.settled {
            match &piece {
                Piece::Frame(frame) if frame.kind == kind::SETTINGS => self.settled = true,
                _ => return Err(Violation::protocol("the first frame is not SETTINGS")),
            }
        }
        match piece {
            Piece::Data {
                stream,
                body,
                flow,
                end,
            } => self.data(stream, body, flow, end),
            Piece::Frame(frame) => self.frame(cx, &frame),
        }
    }

    fn frame(&mut self, cx: &mut Context<'_>, frame: &Frame<'_>) -> Result<(), Violation> {
        if self.block.is_some() && frame.kind != kind::CONTINUATION {
            return Err(Violation::protocol("a frame within a header block"));
        }
        match frame.kind {
            kind::HEADERS => self.headers(cx, frame),
            kind::CONTINUATION => self.continuation(cx, frame),
            kind::WINDOW_UPDATE => self.window_update(frame),
            kind::RST_STREAM => self.rst_stream(frame),
            kind::SETTINGS => self.settings(frame),
            kind::PING => self.ping(frame),
            kind::GOAWAY => {
                if frame.stream != 0 || frame.payload.len() < 8 {
                    return Err(Violation::protocol("a malformed GOAWAY"));
                }
                // It opens no more streams; when those it has are answered, all is said.
                self.state = State::WindingUp;
                Ok(())
            }
            kind::PUSH_PROMISE => Err(Violation::protocol("PUSH_PROMISE from a client")),
            kind::PRIORITY => {
                if frame.stream == 0 {
                    return Err(Violation::protocol("PRIORITY of no stream"));
                }
                if frame.payload.len() != 5 {
                    return Err(Violation::new(
                        code::FRAME_SIZE_ERROR,
                        "a malformed PRIORITY",
                    ));
                }
                self.strikes.idle_frame()
            }
            // Unknown kinds are ignored (RFC 9113, section 5.5), as long as they are few.
            _ => self.strikes.idle_frame(),
        }
    }

    fn headers(&mut self, cx: &mut Context<'_>, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.stream == 0 || frame.stream.is_multiple_of(2) {
            return Err(Violation::protocol(
                "HEADERS on a stream that is not the client's",
            ));
        }
        let mut payload = frame
            .unpadded()
            .ok_or(Violation::protocol("padding longer than its frame"))?;
        if frame.flags & flag::PRIORITY != 0 {
            let depends_on = frame::u32_of(payload).map(|id| id & frame::STREAM_ID_MAX);
            if depends_on == Some(frame.stream) {
                return Err(Violation::protocol("a stream that depends on itself"));
            }
            payload = payload
                .get(5..)
                .ok_or(Violation::new(code::FRAME_SIZE_ERROR, "HEADERS cut short"))?;
        }
        let end_stream = frame.flags & flag::END_STREAM != 0;
        if frame.flags & flag::END_HEADERS != 0 {
            return self.block(cx, frame.stream, end_stream, payload);
        }
        self.block = Some(Block {
            stream: frame.stream,
            end_stream,
            bytes: payload.to_vec(),
            frames: 1,
        });
        Ok(())
    }

    fn continuation(&mut self, cx: &mut Context<'_>, frame: &Frame<'_>) -> Result<(), Violation> {
        let Some(mut block) = self.block.take() else {
            return Err(Violation::protocol("CONTINUATION of nothing"));
        };
        if block.stream != frame.stream {
            return Err(Violation::protocol("CONTINUATION of another stream"));
        }
        block.frames += 1;
        // As much again as the list may take, so that whoever sends a little too much is told so by
        // a reply.
        let bytes_max = self.bounds().bytes_max.saturating_mul(2);
        if block.frames > BLOCK_FRAMES_MAX || block.bytes.len() + frame.payload.len() > bytes_max {
            return Err(Violation::calm("a header block that is far too large"));
        }
        block.bytes.extend_from_slice(frame.payload);
        if frame.flags & flag::END_HEADERS != 0 {
            return self.block(cx, block.stream, block.end_stream, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    fn bounds(&self) -> Bounds {
        let limits = &self.shared.limits;
        Bounds {
            bytes_max: limits.head_bytes_max.max(8 * 1024),
            fields_max: limits.fields_max,
        }
    }

    /// A whole header block: a request, or the trailer fields of one.
    fn block(
        &mut self,
        cx: &mut Context<'_>,
        id: u32,
        end_stream: bool,
        block: &[u8],
    ) -> Result<(), Violation> {
        let bounds = self.bounds();
        let mut head = Head::new();
        self.decoder
            .decode(block, |field, size| head.add(field, size, bounds))
            .ok_or(Violation::new(
                code::COMPRESSION_ERROR,
                "a header block that cannot be decoded",
            ))?;
        if id <= self.last {
            return self.trailers(id, end_stream);
        }
        if matches!(self.state, State::WindingUp) {
            // Beyond what we said we would answer: the client asks again elsewhere.
            return Ok(());
        }
        self.last = id;
        self.strikes.progress();
        if self.streams.len() >= self.shared.limits.streams_max as usize {
            self.strikes.fruitless()?;
            self.reset(id, code::REFUSED_STREAM);
            return Ok(());
        }
        match head.judge(bounds) {
            Judged::Request(request) => self.begin(cx, id, end_stream, *request),
            Judged::TooLarge => {
                self.strikes.fruitless()?;
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                self.refuse(
                    id,
                    end_stream,
                    status,
                    b"the header fields are too many or too long\n",
                );
                Ok(())
            }
            Judged::Malformed(_) => {
                self.strikes.fruitless()?;
                self.reset(id, code::PROTOCOL_ERROR);
                Ok(())
            }
        }
    }

    /// A second header block on a stream: what it says is of no interest, that it ends the body is.
    fn trailers(&mut self, id: u32, end_stream: bool) -> Result<(), Violation> {
        let Some(stream) = self.streams.get(id) else {
            if self.reset.contains(&id) {
                return Ok(());
            }
            let what = "HEADERS on a stream that is closed";
            return Err(Violation::new(code::STREAM_CLOSED, what));
        };
        if stream.receiving().is_none() {
            self.strikes.fruitless()?;
            self.reset(id, code::STREAM_CLOSED);
        } else if !end_stream {
            self.strikes.fruitless()?;
            self.reset(id, code::PROTOCOL_ERROR);
        } else {
            self.end_body(id)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        id: u32,
        end_stream: bool,
        request: Request,
    ) -> Result<(), Violation> {
        let Request {
            head,
            length,
            expects,
        } = request;
        if end_stream && length.is_some_and(|length| length > 0) {
            self.strikes.fruitless()?;
            self.reset(id, code::PROTOCOL_ERROR);
            return Ok(());
        }
        let body = (!end_stream).then(|| Incoming::new(length));
        let mut stream = Box::new(Stream::new(self.stream_window));
        stream.incoming = body
            .clone()
            .map(|body| Arriving::new(body, length, expects));
        let silence = self.shared.limits.read;
        let request = head.map(|()| RequestBody::new(body, silence));
        let (shared, link) = (Arc::clone(&self.shared), Rc::clone(&self.link));
        stream.answer = Some(Box::pin(answer(shared, link, request)));
        self.streams.add(id, stream);
        self.poll_answer(cx, id);
        self.tend_body(id);
        Ok(())
    }

    /// Answers what no handler needs to see.
    fn refuse(&mut self, id: u32, end_stream: bool, status: StatusCode, text: &'static [u8]) {
        self.put_head(id, status, &plain_fields(), Some(text.len() as u64), false);
        frame::put_data(self.out.bytes(), id, text, true);
        self.window -= text.len() as i64;
        if !end_stream {
            self.reset(id, code::NO_ERROR);
        }
    }

    fn window_update(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        let Some(increment) = frame.u32() else {
            return Err(Violation::new(
                code::FRAME_SIZE_ERROR,
                "a malformed WINDOW_UPDATE",
            ));
        };
        let increment = i64::from(increment & frame::STREAM_ID_MAX);
        if frame.stream > self.last {
            return Err(Violation::protocol(
                "WINDOW_UPDATE on a stream that was never opened",
            ));
        }
        self.strikes.idle_frame()?;
        if frame.stream == 0 {
            self.window += increment;
            if increment == 0 {
                return Err(Violation::protocol("WINDOW_UPDATE by nothing"));
            }
            if self.window > i64::from(frame::WINDOW_MAX) {
                return Err(Violation::new(
                    code::FLOW_CONTROL_ERROR,
                    "the window overflows",
                ));
            }
            return Ok(());
        }
        let Some(stream) = self.streams.get(frame.stream) else {
            return Ok(());
        };
        stream.window += increment;
        if increment == 0 || stream.window > i64::from(frame::WINDOW_MAX) {
            self.strikes.fruitless()?;
            self.reset(
                frame.stream,
                if increment == 0 {
                    code::PROTOCOL_ERROR
                } else {
                    code::FLOW_CONTROL_ERROR
                },
            );
        } else {
            self.enqueue(frame.stream);
        }
        Ok(())
    }

    fn rst_stream(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.payload.len() != 4 {
            return Err(Violation::new(
                code::FRAME_SIZE_ERROR,
                "a malformed RST_STREAM",
            ));
        }
        if frame.stream == 0 || frame.stream > self.last {
            return Err(Violation::protocol(
                "RST_STREAM on a stream that was never opened",
            ));
        }
        if self.streams.get(frame.stream).is_some() {
            self.strikes.fruitless()?;
            self.drop_stream(frame.stream);
        } else {
            self.strikes.idle_frame()?;
        }
        Ok(())
    }

    fn settings(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.stream != 0 {
            return Err(Violation::protocol("SETTINGS of a stream"));
        }
        self.strikes.idle_frame()?;
        let is_ack = frame.flags & flag::ACK != 0;
        if is_ack && !frame.payload.is_empty() || !frame.payload.len().is_multiple_of(6) {
            return Err(Violation::new(code::FRAME_SIZE_ERROR, "malformed SETTINGS"));
        }
        if is_ack {
            return Ok(());
        }
        for (id, value) in frame.settings() {
            match id {
                setting::INITIAL_WINDOW_SIZE => self.resize_windows(value)?,
                setting::ENABLE_PUSH if value > 1 => {
                    return Err(Violation::protocol("ENABLE_PUSH is neither 0 nor 1"));
                }
                setting::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                    return Err(Violation::protocol("MAX_FRAME_SIZE out of its range"));
                }
                // Frames are never larger than the least, no table is kept, nothing is pushed.
                _ => {}
            }
        }
        frame::put_settings_ack(self.out.bytes());
        Ok(())
    }

    /// RFC 9113, section 6.9.2.
    fn resize_windows(&mut self, size: u32) -> Result<(), Violation> {
        const OVERFLOW: Violation =
            Violation::new(code::FLOW_CONTROL_ERROR, "the window overflows");
        if size > frame::WINDOW_MAX {
            return Err(OVERFLOW);
        }
        let difference = i64::from(size) - self.stream_window;
        self.stream_window = i64::from(size);
        let mut larger = Vec::new();
        for (id, stream) in self.streams.iter() {
            stream.window += difference;
            if stream.window > i64::from(frame::WINDOW_MAX) {
                return Err(OVERFLOW);
            }
            larger.push(id);
        }
        if difference > 0 {
            for id in larger {
                self.enqueue(id);
            }
        }
        Ok(())
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        let Ok(payload) = <[u8; 8]>::try_from(frame.payload) else {
            return Err(Violation::new(code::FRAME_SIZE_ERROR, "a malformed PING"));
        };
        if frame.stream != 0 {
            return Err(Violation::protocol("PING of a stream"));
        }
        if frame.flags & flag::ACK == 0 {
            self.strikes.idle_frame()?;
            frame::put_ping_ack(self.out.bytes(), payload);
        } else if payload == LAST_CALL && matches!(self.state, State::Announced) {
            self.state = State::WindingUp;
            let last = self.last;
            frame::put_goaway(self.out.bytes(), last, code::NO_ERROR, b"");
        }
        Ok(())
    }
}

// What is owed fits: no window of ours is larger.
const _: () = assert!(CONNECTION_WINDOW < frame::WINDOW_MAX && STREAM_WINDOW <= CONNECTION_WINDOW);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a18_a_flood_is_told_from_a_client_that_pings_for_hours() {
        let began = Instant::now();
        let mut patient = Strikes::default();
        for ping in 0..10 * IDLE_FRAMES_MAX {
            let at = began + ping * Duration::from_secs(1);
            assert_eq!(patient.idle_frame_at(at), Ok(()));
        }
        let mut flood = Strikes::default();
        for _ in 0..IDLE_FRAMES_MAX {
            assert_eq!(flood.idle_frame_at(began), Ok(()));
        }
        assert!(flood.idle_frame_at(began).is_err());
        flood.progress();
        assert_eq!(flood.idle_frame_at(began), Ok(()));
    }
}
