//! Processing received frames (RFC 9113, section 6).

use std::time::Instant;

use super::block::Block;
use super::connection::{Connection, LAST_CALL, State};
use super::frame::{self, Frame, Next, PREFACE, Piece, Unframed, code, flag, kind, setting};
use super::priority::Priority;
use super::stream::{Receiving, Stream};
use super::{Bounds, Cut, Event, Judged, Role, Violation};

/// The most frames of one header block; each has up to 16 KiB (CVE-2024-27316).
const BLOCK_FRAMES_MAX: u32 = 16;

/// Changing the windows of this many streams counts as one frame without progress.
const STREAMS_PER_IDLE_FRAME: usize = 8;

/// The same for settings.
const SETTINGS_PER_IDLE_FRAME: usize = 32;

/// How many frames without progress an interim response counts as: servers send no more than a few.
const INTERIM_WEIGHT: u32 = 20;

/// How much of the debug data of a GOAWAY is kept, in bytes.
const DEBUG_MAX: usize = 256;

type Found<'b, R, T> = Result<Option<Event<'b, R, T>>, Violation>;

impl<R: Role, T: Default> Connection<R, T> {
    /// Consumes received bytes from the front of `rest`, up to the next event; `None` when all of them are
    /// consumed and there are no more events. Call it until then, also after [`expire`](Self::expire) and
    /// [`end_of_input`](Self::end_of_input), with empty input.
    pub fn receive<'b>(&mut self, rest: &mut &'b [u8], now: Instant) -> Option<Event<'b, R, T>> {
        self.now = now;
        self.reap();
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.state == State::Failed {
                *rest = &[];
            }
            if rest.is_empty() {
                return None;
            }
            match self.step(rest) {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(violation) => self.fail(violation),
            }
        }
    }

    fn step<'b>(&mut self, rest: &mut &'b [u8]) -> Found<'b, R, T> {
        if self.preface < PREFACE.len() {
            self.take_preface(rest)?;
        }
        match self.reader.cut(rest) {
            Ok(None) => Ok(None),
            Ok(Some(Next::Piece(piece))) => self.piece(piece),
            Ok(Some(Next::Joined(joined))) => {
                let found = self.piece(Piece::Frame(joined.frame()));
                self.reader.recycle(joined);
                found
            }
            Err(Unframed::TooLarge) => Err(Violation::size("a frame larger than allowed")),
            Err(Unframed::TooShort) => Err(Violation::size("padding without a length")),
            Err(Unframed::Padding) => Err(Violation::protocol("padding longer than its frame")),
        }
    }

    fn take_preface(&mut self, rest: &mut &[u8]) -> Result<(), Violation> {
        let missing = PREFACE.get(self.preface..).unwrap_or_default();
        let (front, after) = rest.split_at(missing.len().min(rest.len()));
        if !missing.starts_with(front) {
            return Err(Violation::protocol(
                "the HTTP/2 connection preface is missing",
            ));
        }
        self.preface += front.len();
        *rest = after;
        Ok(())
    }

    fn piece<'b>(&mut self, piece: Piece<'_, 'b>) -> Found<'b, R, T> {
        if !self.settled {
            match &piece {
                Piece::Frame(frame)
                    if frame.kind == kind::SETTINGS && frame.flags & flag::ACK == 0 =>
                {
                    self.settled = true;
                }
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
            Piece::Frame(frame) => self.frame(&frame),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Found<'static, R, T> {
        if self.block.is_some() && frame.kind != kind::CONTINUATION {
            return Err(Violation::protocol("a frame within a header block"));
        }
        match frame.kind {
            kind::HEADERS => return self.headers(frame),
            kind::CONTINUATION => return self.continuation(frame),
            kind::WINDOW_UPDATE => self.window_update(frame)?,
            kind::RST_STREAM => self.rst_stream(frame)?,
            kind::SETTINGS => self.settings(frame)?,
            kind::PING => self.ping(frame)?,
            kind::GOAWAY => self.goaway(frame)?,
            kind::PUSH_PROMISE => {
                return Err(Violation::protocol("PUSH_PROMISE, which was not enabled"));
            }
            kind::PRIORITY => self.priority(frame)?,
            kind::PRIORITY_UPDATE if R::IS_SERVER => self.priority_update(frame)?,
            // Frames of unknown types are ignored (RFC 9113, section 5.5), but counted.
            _ => self.flood.idle(1, self.now)?,
        }
        Ok(None)
    }

    // Bodies.

    fn data<'b>(&mut self, id: u32, body: &'b [u8], flow: u32, end: bool) -> Found<'b, R, T> {
        if self.block.is_some() {
            return Err(Violation::protocol("a frame within a header block"));
        }
        if !self.was_opened(id) {
            return Err(Violation::protocol(
                "DATA on a stream that was never opened",
            ));
        }
        let window_in = self.window_in.checked_sub(flow);
        self.window_in = window_in.ok_or(Violation::flow("more DATA than the window allows"))?;
        if body.is_empty() && !end {
            self.flood.idle(1, self.now)?;
        } else {
            self.flood.progress();
        }
        let Some(stream) = self.streams.get(id) else {
            self.owe(flow);
            if self.was_reset(id) {
                return Ok(None);
            }
            let what = "DATA on a stream that is closed";
            return Err(Violation::new(code::STREAM_CLOSED, what));
        };
        let Some(receiving) = &mut stream.receiving else {
            self.owe(flow);
            return self.spoil(id, code::STREAM_CLOSED, "DATA after the end of its stream");
        };
        let fault = if !receiving.begun {
            Some((code::PROTOCOL_ERROR, "a body before its head"))
        } else if receiving.window < flow {
            Some((code::FLOW_CONTROL_ERROR, "more DATA than the window allows"))
        } else if receiving
            .length_left
            .is_some_and(|left| left < body.len() as u64)
        {
            Some((code::PROTOCOL_ERROR, "a body longer than announced"))
        } else {
            None
        };
        if let Some((code, what)) = fault {
            self.owe(flow);
            return self.spoil(id, code, what);
        }
        receiving.window -= flow;
        if let Some(left) = &mut receiving.length_left {
            *left -= body.len() as u64;
        }
        stream.held += flow;
        // The driver does not see padding, so it is released here.
        let padding = flow - (body.len() as u32).min(flow);
        if padding > 0 {
            self.release(id, padding);
        }
        if end {
            if let Some(what) = self.end_receiving(id) {
                return self.spoil(id, code::PROTOCOL_ERROR, what);
            }
        } else if body.is_empty() {
            return Ok(None);
        }
        Ok(Some(Event::Data {
            stream: id,
            body,
            end,
        }))
    }

    /// The peer's direction of a stream has ended. Returns the error if that is premature.
    fn end_receiving(&mut self, id: u32) -> Option<&'static str> {
        let stream = self.streams.get(id)?;
        let receiving = stream.receiving.take()?;
        if receiving.length_left.is_some_and(|left| left > 0) {
            return Some("a body shorter than announced");
        }
        if stream.is_done() {
            self.over = Some(id);
        }
        None
    }

    /// A stream error: the message is malformed.
    fn spoil(&mut self, id: u32, code: u32, what: &'static str) -> Found<'static, R, T> {
        self.flood.without_reply(self.now)?;
        self.lose(id, Cut::Malformed(what), Some(code));
        Ok(self.pending.pop_front())
    }

    // Heads.

    fn headers(&mut self, frame: &Frame<'_>) -> Found<'static, R, T> {
        if frame.stream == 0 || frame.stream.is_multiple_of(2) {
            return Err(Violation::protocol(
                "HEADERS on a stream that is not the client's",
            ));
        }
        if !R::IS_SERVER && !self.was_opened(frame.stream) {
            return Err(Violation::protocol(
                "HEADERS on a stream that was never opened",
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
                .ok_or(Violation::size("HEADERS cut short"))?;
        }
        let end_stream = frame.flags & flag::END_STREAM != 0;
        if frame.flags & flag::END_HEADERS != 0 {
            return self.block(frame.stream, end_stream, payload);
        }
        self.block = Some(Block {
            stream: frame.stream,
            end_stream,
            bytes: payload.to_vec(),
            frames: 1,
        });
        Ok(None)
    }

    fn continuation(&mut self, frame: &Frame<'_>) -> Found<'static, R, T> {
        let Some(mut block) = self.block.take() else {
            return Err(Violation::protocol("CONTINUATION without HEADERS"));
        };
        if block.stream != frame.stream {
            return Err(Violation::protocol("CONTINUATION of another stream"));
        }
        block.frames += 1;
        // Twice the limit of the list, so that a head that is a little too large gets a response with
        // status 431.
        let bytes_max = self.bounds().bytes_max.saturating_mul(2);
        if block.frames > BLOCK_FRAMES_MAX || block.bytes.len() + frame.payload.len() > bytes_max {
            return Err(Violation::calm(
                "a header block of more than twice the limit",
            ));
        }
        block.bytes.extend_from_slice(frame.payload);
        if frame.flags & flag::END_HEADERS != 0 {
            return self.block(block.stream, block.end_stream, &block.bytes);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            bytes_max: self.limits.head_bytes_max.max(8 * 1024),
            fields_max: self.limits.fields_max,
        }
    }

    /// A complete header block: a message's head or trailer section.
    fn block(&mut self, id: u32, end: bool, block: &[u8]) -> Found<'static, R, T> {
        let bounds = self.bounds();
        let mut head = R::Head::default();
        // Decode it in any case, to keep the dynamic table synchronized.
        self.decoder
            .decode(block, |field, size| R::add(&mut head, field, size, bounds))
            .ok_or(Violation::new(
                code::COMPRESSION_ERROR,
                "a header block that cannot be decoded",
            ))?;
        if R::IS_SERVER && id > self.last {
            return self.open_by_client(id, end, head);
        }
        let Some(stream) = self.streams.get(id) else {
            if self.was_reset(id) {
                return Ok(None);
            }
            let what = "HEADERS on a stream that is closed";
            return Err(Violation::new(code::STREAM_CLOSED, what));
        };
        let Some(receiving) = &mut stream.receiving else {
            return self.spoil(
                id,
                code::STREAM_CLOSED,
                "HEADERS after the end of its stream",
            );
        };
        if !receiving.begun {
            return self.begin_response(id, end, head);
        }
        if !end {
            let what = "a second head, or trailers that do not end their stream";
            return self.spoil(id, code::PROTOCOL_ERROR, what);
        }
        let trailers = R::trailers(head, bounds);
        let fault = trailers.as_ref().err().copied();
        if let Some(what) = fault.or_else(|| self.end_receiving(id)) {
            return self.spoil(id, code::PROTOCOL_ERROR, what);
        }
        Ok(Some(Event::Trailers {
            stream: id,
            fields: trailers.unwrap_or_default(),
        }))
    }

    fn open_by_client(&mut self, id: u32, end: bool, head: R::Head) -> Found<'static, R, T> {
        self.last = id;
        if self.state == State::WindingUp {
            // Opened after our GOAWAY: the client sends the request again on another connection.
            self.flood.idle(1, self.now)?;
            return Ok(None);
        }
        self.served = id;
        self.flood.progress();
        if self.streams.len() >= self.limits.streams_max as usize {
            self.flood.without_reply(self.now)?;
            self.put_reset(id, code::REFUSED_STREAM);
            return Ok(None);
        }
        let message = match R::judge(head, self.bounds()) {
            Judged::Message(message) => Some(message),
            Judged::TooLarge => None,
            Judged::Malformed(_) => {
                self.flood.without_reply(self.now)?;
                self.put_reset(id, code::PROTOCOL_ERROR);
                return Ok(None);
            }
        };
        let length = message.as_ref().and_then(R::length);
        if end && length.is_some_and(|length| length > 0) {
            self.flood.without_reply(self.now)?;
            self.put_reset(id, code::PROTOCOL_ERROR);
            return Ok(None);
        }
        let fields = message.as_ref().and_then(R::priority);
        let priority = self.priorities.open(id, fields.and_then(Priority::of));
        let mut stream = Stream::new(T::default(), self.stream_window);
        stream.priority = priority;
        stream.receiving = (!end).then(|| Receiving {
            begun: true,
            length_left: length,
            ..Receiving::new(self.limits.stream_window)
        });
        self.streams.add(id, stream);
        Ok(Some(match message {
            Some(message) => Event::Head {
                stream: id,
                message,
                end,
            },
            None => {
                self.flood.without_reply(self.now)?;
                Event::TooLarge { stream: id, end }
            }
        }))
    }

    fn begin_response(&mut self, id: u32, end: bool, head: R::Head) -> Found<'static, R, T> {
        let message = match R::judge(head, self.bounds()) {
            Judged::Message(message) => message,
            Judged::TooLarge => {
                return self.spoil(id, code::PROTOCOL_ERROR, "a head larger than the limit");
            }
            Judged::Malformed(what) => return self.spoil(id, code::PROTOCOL_ERROR, what),
        };
        if R::is_interim(&message) {
            self.flood.idle(INTERIM_WEIGHT, self.now)?;
            if end {
                let what = "an interim response that ends its stream";
                return self.spoil(id, code::PROTOCOL_ERROR, what);
            }
        } else {
            self.flood.progress();
            if let Some(stream) = self.streams.get(id)
                && let Some(receiving) = &mut stream.receiving
            {
                receiving.begun = true;
                receiving.length_left = match receiving.bodiless {
                    true => Some(0),
                    false => R::length(&message),
                };
            }
            if end && let Some(what) = self.end_receiving(id) {
                return self.spoil(id, code::PROTOCOL_ERROR, what);
            }
        }
        Ok(Some(Event::Head {
            stream: id,
            message,
            end,
        }))
    }

    // Control.

    /// Whether a stream with this identifier was opened at some time.
    fn was_opened(&self, id: u32) -> bool {
        id != 0 && !id.is_multiple_of(2) && id <= self.last
    }

    fn window_update(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        let Some(increment) = frame.u32() else {
            return Err(Violation::size("a malformed WINDOW_UPDATE"));
        };
        self.flood.idle(1, self.now)?;
        let increment = i64::from(increment & frame::WINDOW_MAX);
        if frame.stream == 0 {
            self.window += increment;
            if increment == 0 {
                return Err(Violation::protocol("a WINDOW_UPDATE of zero"));
            }
            if self.window > i64::from(frame::WINDOW_MAX) {
                return Err(Violation::flow("the window overflows"));
            }
            return Ok(());
        }
        if !self.was_opened(frame.stream) {
            return Err(Violation::protocol(
                "WINDOW_UPDATE on a stream that was never opened",
            ));
        }
        let Some(stream) = self.streams.get(frame.stream) else {
            return Ok(());
        };
        stream.window += increment;
        let fault = if increment == 0 {
            Some((code::PROTOCOL_ERROR, "a WINDOW_UPDATE of zero"))
        } else if stream.window > i64::from(frame::WINDOW_MAX) {
            Some((code::FLOW_CONTROL_ERROR, "the window overflows"))
        } else {
            None
        };
        match fault {
            Some((code, what)) => {
                self.flood.without_reply(self.now)?;
                self.lose(frame.stream, Cut::Malformed(what), Some(code));
            }
            None => self.enqueue(frame.stream),
        }
        Ok(())
    }

    fn rst_stream(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        let Some(code) = frame.u32() else {
            return Err(Violation::size("a malformed RST_STREAM"));
        };
        if !self.was_opened(frame.stream) {
            return Err(Violation::protocol(
                "RST_STREAM on a stream that was never opened",
            ));
        }
        match self.streams.get(frame.stream) {
            Some(stream) => {
                // If some of the body was sent, it is a cancelled download. A head alone does not show that the
                // client waited for the reply: cached files are served before the next frame is read.
                if R::IS_SERVER && !stream.begun {
                    self.flood.without_reply(self.now)?;
                }
                self.lose(frame.stream, Cut::Reset(code), None);
            }
            None => self.flood.idle(1, self.now)?,
        }
        Ok(())
    }

    fn settings(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.stream != 0 {
            return Err(Violation::protocol("SETTINGS on a stream"));
        }
        let is_ack = frame.flags & flag::ACK != 0;
        if is_ack && !frame.payload.is_empty() || !frame.payload.len().is_multiple_of(6) {
            return Err(Violation::size("malformed SETTINGS"));
        }
        let mut weight = 1 + frame.payload.len() / 6 / SETTINGS_PER_IDLE_FRAME;
        let mut window = None;
        for (id, value) in frame.settings() {
            match id {
                setting::INITIAL_WINDOW_SIZE if value > frame::WINDOW_MAX => {
                    return Err(Violation::flow("INITIAL_WINDOW_SIZE above its maximum"));
                }
                setting::INITIAL_WINDOW_SIZE => window = Some(value),
                setting::ENABLE_PUSH if value > 1 || (!R::IS_SERVER && value > 0) => {
                    return Err(Violation::protocol("ENABLE_PUSH out of its range"));
                }
                setting::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                    return Err(Violation::protocol("MAX_FRAME_SIZE out of its range"));
                }
                setting::MAX_CONCURRENT_STREAMS => self.peer_streams_max = value,
                setting::HEADER_TABLE_SIZE => self.peer_table_max = value,
                // Frames are never larger than the protocol's minimum.
                _ => {}
            }
        }
        // Several changes of the window in one frame are applied as one.
        if let Some(size) = window {
            let difference = i64::from(size) - self.stream_window;
            if difference != 0 {
                weight += self.streams.len() / STREAMS_PER_IDLE_FRAME;
            }
            self.resize_windows(size, difference)?;
        }
        self.flood
            .idle(u32::try_from(weight).unwrap_or(u32::MAX), self.now)?;
        if !is_ack {
            frame::put_settings_ack(self.out.bytes());
        }
        Ok(())
    }

    /// RFC 9113, section 6.9.2.
    fn resize_windows(&mut self, size: u32, difference: i64) -> Result<(), Violation> {
        self.stream_window = i64::from(size);
        if difference == 0 {
            return Ok(());
        }
        for (id, stream) in self.streams.iter_mut() {
            stream.window += difference;
            if stream.window > i64::from(frame::WINDOW_MAX) {
                return Err(Violation::flow("the window overflows"));
            }
            if difference > 0 && stream.wants && !std::mem::replace(&mut stream.queued, true) {
                self.queue.push_back(id);
            }
        }
        Ok(())
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        let Ok(payload) = <[u8; 8]>::try_from(frame.payload) else {
            return Err(Violation::size("a malformed PING"));
        };
        if frame.stream != 0 {
            return Err(Violation::protocol("PING on a stream"));
        }
        self.flood.idle(1, self.now)?;
        if frame.flags & flag::ACK == 0 {
            frame::put_ping_ack(self.out.bytes(), payload);
        } else if payload == LAST_CALL && self.state == State::Announced {
            self.state = State::WindingUp;
            frame::put_goaway(self.out.bytes(), self.served, code::NO_ERROR, b"");
        }
        Ok(())
    }

    fn priority(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.stream == 0 {
            return Err(Violation::protocol("PRIORITY on stream 0"));
        }
        if frame.payload.len() != 5 {
            return Err(Violation::size("a malformed PRIORITY"));
        }
        if frame::u32_of(frame.payload).map(|id| id & frame::STREAM_ID_MAX) == Some(frame.stream) {
            return Err(Violation::protocol("a stream that depends on itself"));
        }
        self.flood.idle(1, self.now)
    }

    fn priority_update(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.stream != 0 {
            return Err(Violation::protocol("PRIORITY_UPDATE on a stream"));
        }
        let (Some(id), Some(value)) = (frame.u32_at(0), frame.payload.get(4..)) else {
            return Err(Violation::size("a malformed PRIORITY_UPDATE"));
        };
        let id = id & frame::STREAM_ID_MAX;
        if id == 0 || id.is_multiple_of(2) {
            return Err(Violation::protocol(
                "PRIORITY_UPDATE of a stream that is not the client's",
            ));
        }
        self.flood.idle(1, self.now)?;
        let priority = Priority::parse(value);
        if let Some(stream) = self.streams.get(id) {
            stream.priority = priority;
            self.priorities.updated();
        } else if id > self.last {
            self.priorities.keep(id, priority);
        }
        // A stream that has ended needs none.
        Ok(())
    }

    fn goaway(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if frame.stream != 0 {
            return Err(Violation::protocol("GOAWAY on a stream"));
        }
        let (Some(last), Some(code)) = (frame.u32_at(0), frame.u32_at(4)) else {
            return Err(Violation::size("a malformed GOAWAY"));
        };
        self.flood.idle(1, self.now)?;
        let last = last & frame::STREAM_ID_MAX;
        // It must not increase (RFC 9113, section 6.8); if it does, the smaller value applies.
        let last = self.going.map_or(last, |before| before.min(last));
        self.going = Some(last);
        let debug = frame.payload.get(8..).unwrap_or_default();
        let debug = debug.get(..DEBUG_MAX).unwrap_or(debug).to_vec();
        self.pending.push_back(Event::Going { code, debug });
        if !R::IS_SERVER {
            let beyond: Vec<u32> = self
                .streams
                .iter()
                .map(|(id, _)| id)
                .filter(|id| *id > last)
                .collect();
            for id in beyond {
                self.lose(id, Cut::Unprocessed(code), None);
            }
        }
        Ok(())
    }
}
