//! HTTP/2 as a load generator needs it (RFC 9113): the client's side of one connection.
//!
//! Sans-I/O: bytes in, frames appended to a buffer, finished streams reported. Bodies are counted
//! while they pass. Receive windows are as large as the protocol allows, so that it is never this
//! end that slows a server down.

mod hpack;

use std::ops::ControlFlow;

use bytes::Bytes;
use handfast::Ending;

use self::hpack::{Decoder, RequestBlocks};
use super::outcome::{Broken, Response};
use super::plan::Plan;
use crate::http2::frame::{self, Frame, FrameReader, Piece, STREAM_ID_MAX, WINDOW_MAX, flag, kind};

/// The most streams at once on a connection: ids and states are searched one by one.
pub(super) const STREAMS_MAX: usize = 1024;

/// A window is refilled when half of it is used.
const WINDOW_REFILL: u32 = WINDOW_MAX / 2;

/// The window that both directions of a connection begin with.
const WINDOW_INITIAL: i64 = 65_535;

/// The largest payload of a frame that every peer takes.
const FRAME_MAX: usize = 16_384;

/// Header blocks that are longer are not decoded: nobody has answers with 64 KiB of fields.
const BLOCK_MAX: usize = 64 * 1024;

/// Answers to pings and settings that wait for the channel: a peer that sends more without
/// reading is flooding.
const CONTROL_BYTES_MAX: usize = 256 * 1024;

/// The request as every connection sends it.
#[derive(Debug)]
pub(super) struct Encoded {
    blocks: RequestBlocks,
    body: Bytes,
}

impl Encoded {
    pub(super) fn new(plan: &Plan) -> Self {
        let request = &plan.request;
        let length = request.content_length().map(|length| length.to_string());
        let pseudo: [(&[u8], &[u8], bool); 4] = [
            (b":method", request.method.as_str().as_bytes(), false),
            (b":scheme", b"https", false),
            (b":path", plan.target.path.as_bytes(), false),
            (b":authority", request.authority(&plan.target), false),
        ];
        let length = length
            .as_deref()
            .map(|length| (&b"content-length"[..], length.as_bytes(), false));
        let fields = request.fields().map(|(name, value)| {
            let secret = [http::header::AUTHORIZATION, http::header::COOKIE].contains(name);
            (
                name.as_str().as_bytes(),
                value.as_bytes(),
                secret || value.is_sensitive(),
            )
        });
        Self {
            blocks: RequestBlocks::new(pseudo.into_iter().chain(fields).chain(length)),
            body: request.body.clone(),
        }
    }
}

/// A stream that is over, and with what.
#[derive(Debug)]
pub(super) struct Finished<T> {
    /// What the caller gave [`Session::start`].
    pub(super) tag: T,
    pub(super) result: Result<Response, Broken>,
}

/// One connection. `T` is what the caller wants to know a stream by.
#[derive(Debug)]
pub(super) struct Session<T> {
    reader: FrameReader,
    decoder: Decoder,
    streams: Vec<Stream<T>>,
    streams_max: usize,
    next_id: u32,
    /// Which of the request's encodings is next.
    encoding: Encoding,
    /// A header block that is continued: its stream, whether that ends with it, the part so far.
    block: Option<(u32, bool)>,
    block_bytes: Vec<u8>,
    /// How much more the peer lets us send, on the connection and at first on a stream.
    send_window: i64,
    send_window_initial: i64,
    frame_max: usize,
    /// How much arrived since the connection's window was last refilled.
    received: u32,
    settings_seen: bool,
    /// GOAWAY: the last stream that the server takes care of, and why it goes.
    going: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    First,
    Again,
    /// After a table size update, which is still to be sent or not.
    Literal {
        update_due: bool,
    },
}

#[derive(Debug)]
struct Stream<T> {
    id: u32,
    tag: T,
    response: Response,
    received: u32,
    send_window: i64,
    /// How much of the body was sent.
    body_sent: usize,
    body_done: bool,
}

impl<T> Session<T> {
    /// A connection of at most so many streams at once; `out` gets the preface.
    pub(super) fn new(streams_max: usize, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let settings: [(u16, u32); 2] = [
            (frame::setting::ENABLE_PUSH, 0),
            (frame::setting::INITIAL_WINDOW_SIZE, WINDOW_MAX),
        ];
        frame::put_settings(out, &settings);
        frame::put_window_update(out, 0, WINDOW_MAX - WINDOW_INITIAL as u32);
        Self {
            reader: FrameReader::default(),
            decoder: Decoder::default(),
            streams: Vec::with_capacity(streams_max.min(STREAMS_MAX)),
            streams_max: streams_max.min(STREAMS_MAX),
            next_id: 1,
            encoding: Encoding::First,
            block: None,
            block_bytes: Vec::new(),
            send_window: WINDOW_INITIAL,
            send_window_initial: WINDOW_INITIAL,
            frame_max: FRAME_MAX,
            received: 0,
            settings_seen: false,
            going: None,
        }
    }

    /// Would the server take another request now?
    pub(super) fn has_room(&self) -> bool {
        self.streams.len() < self.streams_max && !self.is_going()
    }

    /// Will there be no further requests on this connection, once those under way are done?
    pub(super) fn is_going(&self) -> bool {
        self.going.is_some() || self.next_id > STREAM_ID_MAX - 2
    }

    /// Requests under way.
    pub(super) fn open(&self) -> usize {
        self.streams.len()
    }

    /// The tags of the requests under way, and whether responses to them have begun.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (&T, bool)> {
        let streams = self.streams.iter();
        streams.map(|stream| (&stream.tag, stream.response.status != 0))
    }

    /// Sends the request once more.
    pub(super) fn start(&mut self, request: &Encoded, tag: T, out: &mut Vec<u8>) {
        let id = self.next_id;
        self.next_id += 2;
        let block = match self.encoding {
            Encoding::First => {
                self.encoding = Encoding::Again;
                &request.blocks.first
            }
            Encoding::Again => &request.blocks.again,
            Encoding::Literal { .. } => &request.blocks.literal,
        };
        let update: &[u8] = match &mut self.encoding {
            Encoding::Literal { update_due } if *update_due => {
                *update_due = false;
                &[0x20]
            }
            _ => &[],
        };
        let body_done = request.body.is_empty();
        frame::put_headers(out, id, [update, block], body_done, self.frame_max);
        self.streams.push(Stream {
            id,
            tag,
            response: Response::default(),
            received: 0,
            send_window: self.send_window_initial,
            body_sent: 0,
            body_done,
        });
        if !body_done {
            self.send_bodies(request, out);
        }
    }

    /// Takes the next bytes of the connection; finished streams go to `done`.
    ///
    /// # Errors
    /// [`Broken`] when they break the protocol: the connection is of no use then, and what was to
    /// tell the server so is in `out`.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        request: &Encoded,
        out: &mut Vec<u8>,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Broken> {
        let mut reader = std::mem::take(&mut self.reader);
        let mut result = Ok(());
        reader.read(bytes, |piece| {
            result = match piece {
                Ok(Piece::Data {
                    stream,
                    body,
                    flow,
                    end,
                }) => self.data(stream, body.len() as u32, flow, end, out, done),
                Ok(Piece::Frame(frame)) => self.frame(&frame, request, out, done),
                Err(what) => Err(Violation::new(frame::code::FRAME_SIZE_ERROR, what)),
            };
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        self.reader = reader;
        result.map_err(|violation| {
            // We never process a stream of the server's: the last one is always 0.
            frame::put_goaway(out, 0, violation.code, b"");
            Broken::malformed(violation.what)
        })
    }

    /// The connection has ended so: what was under way is not going to be finished.
    pub(super) fn end(&mut self, ending: Ending, done: &mut Vec<Finished<T>>) {
        let going = self.going;
        done.extend(self.streams.drain(..).map(|stream| Finished {
            result: Err(match going {
                _ if stream.response.status != 0 => Broken::Truncated(ending),
                // Refused streams are gone since the GOAWAY: the server took care of these.
                Some((_, code)) => Broken::GoAway {
                    code,
                    refused: false,
                },
                None => Broken::Empty(ending),
            }),
            tag: stream.tag,
        }));
    }

    /// Says that no more requests will come.
    pub(super) fn leave(&mut self, out: &mut Vec<u8>) {
        frame::put_goaway(out, 0, frame::code::NO_ERROR, b"");
        self.going
            .get_or_insert((STREAM_ID_MAX, frame::code::NO_ERROR));
    }
}

/// The server broke the protocol.
struct Violation {
    code: u32,
    what: &'static str,
}

impl Violation {
    fn new(code: u32, what: &'static str) -> Self {
        Self { code, what }
    }

    fn protocol(what: &'static str) -> Self {
        Self::new(frame::code::PROTOCOL_ERROR, what)
    }
}

impl<T> Session<T> {
    fn position(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id)
    }

    /// A stream that we never opened is a mistake; one that is over is not.
    fn check_opened(&self, id: u32) -> Result<(), Violation> {
        if id == 0 || id & 1 == 0 || id >= self.next_id {
            return Err(Violation::protocol("a frame on a stream that is not open"));
        }
        Ok(())
    }

    /// Part of a DATA frame: `count` bytes of body, `flow` bytes of flow control.
    fn data(
        &mut self,
        id: u32,
        count: u32,
        flow: u32,
        end: bool,
        out: &mut Vec<u8>,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Violation> {
        self.check_opened(id)?;
        if self.block.is_some() {
            return Err(Violation::protocol("a frame inside a header block"));
        }
        self.received += flow;
        if self.received >= WINDOW_REFILL {
            frame::put_window_update(out, 0, self.received);
            self.received = 0;
        }
        let Some(index) = self.position(id) else {
            return Ok(());
        };
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(());
        };
        if stream.response.status == 0 && (count > 0 || end) {
            return Err(Violation::protocol("a body before its head"));
        }
        stream.response.body_bytes += u64::from(count);
        stream.received += flow;
        if end {
            self.finish(index, out, done);
        } else if stream.received >= WINDOW_REFILL {
            frame::put_window_update(out, id, stream.received);
            stream.received = 0;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        frame: &Frame<'_>,
        request: &Encoded,
        out: &mut Vec<u8>,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Violation> {
        if self.block.is_some() && frame.kind != kind::CONTINUATION {
            return Err(Violation::protocol("a frame inside a header block"));
        }
        if !self.settings_seen && frame.kind != kind::SETTINGS {
            return Err(Violation::protocol(
                "a connection that does not begin with SETTINGS",
            ));
        }
        match frame.kind {
            kind::HEADERS => self.headers(frame, out, done),
            kind::CONTINUATION => self.continuation(frame, out, done),
            kind::RST_STREAM => self.reset(frame, done),
            kind::SETTINGS => self.settings(frame, request, out),
            kind::PING => {
                let Ok(payload) = <[u8; 8]>::try_from(frame.payload) else {
                    return Err(Violation::new(
                        frame::code::FRAME_SIZE_ERROR,
                        "a PING not of 8 bytes",
                    ));
                };
                if frame.flags & flag::ACK == 0 {
                    frame::put_ping_ack(out, payload);
                }
                Self::check_flood(out)
            }
            kind::GOAWAY => self.goaway(frame, done),
            kind::WINDOW_UPDATE => self.window_update(frame, request, out),
            kind::PUSH_PROMISE => Err(Violation::protocol(
                "a PUSH_PROMISE, which was switched off",
            )),
            // PRIORITY, ALTSVC and what nobody knows are passed over (RFC 9113, section 4.1).
            _ => Ok(()),
        }
    }

    fn check_flood(out: &[u8]) -> Result<(), Violation> {
        if out.len() > CONTROL_BYTES_MAX {
            return Err(Violation::new(
                frame::code::ENHANCE_YOUR_CALM,
                "a flood of control frames",
            ));
        }
        Ok(())
    }

    fn headers(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Violation> {
        self.check_opened(frame.stream)?;
        let payload = frame
            .unpadded()
            .ok_or_else(|| Violation::protocol("padding longer than its frame"))?;
        let payload = if frame.flags & flag::PRIORITY != 0 {
            payload.get(5..).ok_or_else(|| {
                Violation::new(frame::code::FRAME_SIZE_ERROR, "a priority cut short")
            })?
        } else {
            payload
        };
        let ends_stream = frame.flags & flag::END_STREAM != 0;
        if frame.flags & flag::END_HEADERS != 0 {
            return self.head(frame.stream, ends_stream, payload, out, done);
        }
        self.block = Some((frame.stream, ends_stream));
        self.block_bytes.clear();
        self.block_bytes.extend_from_slice(payload);
        Ok(())
    }

    fn continuation(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Violation> {
        let Some((stream, ends_stream)) = self.block.filter(|(stream, _)| *stream == frame.stream)
        else {
            return Err(Violation::protocol("a CONTINUATION of nothing"));
        };
        self.block_bytes.extend_from_slice(frame.payload);
        if self.block_bytes.len() > BLOCK_MAX {
            return Err(Violation::new(
                frame::code::ENHANCE_YOUR_CALM,
                "a header block of more than 64 KiB",
            ));
        }
        if frame.flags & flag::END_HEADERS == 0 {
            // Empty ones would come for nothing, and for ever.
            return match frame.payload.is_empty() {
                true => Err(Violation::new(
                    frame::code::ENHANCE_YOUR_CALM,
                    "an empty CONTINUATION",
                )),
                false => Ok(()),
            };
        }
        self.block = None;
        let block = std::mem::take(&mut self.block_bytes);
        let result = self.head(stream, ends_stream, &block, out, done);
        self.block_bytes = block;
        result
    }

    /// A whole header block: decoded even for a stream that is over, to stay in step.
    fn head(
        &mut self,
        id: u32,
        ends_stream: bool,
        block: &[u8],
        out: &mut Vec<u8>,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Violation> {
        let head = self.decoder.decode(block).ok_or_else(|| {
            Violation::new(
                frame::code::COMPRESSION_ERROR,
                "a header block that does not decode",
            )
        })?;
        let Some(index) = self.position(id) else {
            return Ok(());
        };
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(());
        };
        match (head.status, stream.response.status) {
            (Some(status), 0) if (100..200).contains(&status) => {
                if ends_stream {
                    return Err(Violation::protocol(
                        "an interim response that ends its stream",
                    ));
                }
                return Ok(());
            }
            (Some(status), 0) => stream.response.status = status,
            (None, 0) => return Err(Violation::protocol("a response without a status")),
            // Trailers end their stream (RFC 9113, section 8.1).
            _ if ends_stream => {}
            _ => return Err(Violation::protocol("a second head")),
        }
        if ends_stream {
            self.finish(index, out, done);
        }
        Ok(())
    }

    fn finish(&mut self, index: usize, out: &mut Vec<u8>, done: &mut Vec<Finished<T>>) {
        let stream = self.streams.swap_remove(index);
        if !stream.body_done {
            // A complete response before the request was: the rest of it is not wanted.
            frame::put_rst_stream(out, stream.id, frame::code::CANCEL);
        }
        done.push(Finished {
            tag: stream.tag,
            result: Ok(stream.response),
        });
    }

    fn reset(&mut self, frame: &Frame<'_>, done: &mut Vec<Finished<T>>) -> Result<(), Violation> {
        self.check_opened(frame.stream)?;
        let code = frame.u32().ok_or_else(|| {
            Violation::new(frame::code::FRAME_SIZE_ERROR, "a RST_STREAM not of 4 bytes")
        })?;
        if let Some(index) = self.position(frame.stream) {
            let stream = self.streams.swap_remove(index);
            let begun = stream.response.status != 0;
            done.push(Finished {
                tag: stream.tag,
                result: Err(Broken::StreamReset { code, begun }),
            });
        }
        Ok(())
    }

    fn settings(
        &mut self,
        frame: &Frame<'_>,
        request: &Encoded,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        if frame.stream != 0 || !frame.payload.len().is_multiple_of(6) {
            return Err(Violation::new(
                frame::code::FRAME_SIZE_ERROR,
                "SETTINGS of a wrong shape",
            ));
        }
        self.settings_seen = true;
        if frame.flags & flag::ACK != 0 {
            return Ok(());
        }
        let mut window_changed = false;
        for (id, value) in frame.settings() {
            match id {
                frame::setting::HEADER_TABLE_SIZE
                    if (value as usize) < request.blocks.table_bytes
                        && !matches!(self.encoding, Encoding::Literal { .. }) =>
                {
                    self.encoding = Encoding::Literal { update_due: true };
                }
                frame::setting::MAX_CONCURRENT_STREAMS => {
                    self.streams_max = self.streams_max.min(value as usize);
                }
                frame::setting::INITIAL_WINDOW_SIZE => {
                    if value > WINDOW_MAX {
                        return Err(Violation::new(
                            frame::code::FLOW_CONTROL_ERROR,
                            "a window beyond its bound",
                        ));
                    }
                    let change = i64::from(value) - self.send_window_initial;
                    self.send_window_initial = i64::from(value);
                    for stream in &mut self.streams {
                        stream.send_window += change;
                    }
                    window_changed |= change > 0;
                }
                frame::setting::MAX_FRAME_SIZE => {
                    if !(16_384..=0xff_ffff).contains(&value) {
                        return Err(Violation::protocol("a frame size beyond its bounds"));
                    }
                    // Larger frames would only hold other streams up.
                    self.frame_max = FRAME_MAX;
                }
                _ => {}
            }
        }
        frame::put_settings_ack(out);
        if window_changed {
            self.send_bodies(request, out);
        }
        Self::check_flood(out)
    }

    fn goaway(&mut self, frame: &Frame<'_>, done: &mut Vec<Finished<T>>) -> Result<(), Violation> {
        let (Some(last), Some(code)) = (frame.u32_at(0), frame.u32_at(4)) else {
            return Err(Violation::new(
                frame::code::FRAME_SIZE_ERROR,
                "a GOAWAY cut short",
            ));
        };
        let last = last & STREAM_ID_MAX;
        self.going = Some((last, code));
        // Later streams were not processed and are not going to be.
        let mut index = 0;
        while let Some(stream) = self.streams.get(index) {
            if stream.id > last {
                done.push(Finished {
                    tag: self.streams.swap_remove(index).tag,
                    result: Err(Broken::GoAway {
                        code,
                        refused: true,
                    }),
                });
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    fn window_update(
        &mut self,
        frame: &Frame<'_>,
        request: &Encoded,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let Some(increment) = frame.u32().map(|value| i64::from(value & WINDOW_MAX)) else {
            return Err(Violation::new(
                frame::code::FRAME_SIZE_ERROR,
                "a WINDOW_UPDATE not of 4 bytes",
            ));
        };
        let window = if frame.stream == 0 {
            Some(&mut self.send_window)
        } else {
            self.check_opened(frame.stream)?;
            self.position(frame.stream)
                .and_then(|index| self.streams.get_mut(index))
                .map(|stream| &mut stream.send_window)
        };
        if let Some(window) = window {
            *window += increment;
            if increment == 0 || *window > i64::from(WINDOW_MAX) {
                return Err(Violation::new(
                    frame::code::FLOW_CONTROL_ERROR,
                    "a window beyond its bounds",
                ));
            }
            if !request.body.is_empty() {
                self.send_bodies(request, out);
            }
        }
        Ok(())
    }

    /// Sends as much of the bodies as the windows allow.
    fn send_bodies(&mut self, request: &Encoded, out: &mut Vec<u8>) {
        for stream in &mut self.streams {
            while !stream.body_done && self.send_window > 0 && stream.send_window > 0 {
                let window = self.send_window.min(stream.send_window);
                let left = request.body.get(stream.body_sent..).unwrap_or_default();
                let count = left
                    .len()
                    .min(self.frame_max)
                    .min(usize::try_from(window).unwrap_or(0));
                stream.body_sent += count;
                stream.body_done = count == left.len();
                self.send_window -= count as i64;
                stream.send_window -= count as i64;
                let part = left.get(..count).unwrap_or_default();
                frame::put_data(out, stream.id, part, stream.body_done);
            }
        }
    }
}

#[cfg(test)]
mod tests;
