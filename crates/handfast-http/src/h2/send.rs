//! Sending: heads, bodies in turns, and the deadlines of streams that the peer's windows block.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};

use super::connection::{Connection, FRAME_MAX};
use super::frame::{self, HEADER_LEN, code, flag, kind};
use super::hpack::encode;
use super::output::OUTPUT_MAX;
use super::priority::Priority;
use super::stream::{LetThrough, Pace};
use super::{Cut, Role};

/// The least size of a DATA frame that counts as progress, in bytes.
const PROGRESS_MIN: u64 = 64;

/// A stream's turn to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The stream.
    pub stream: u32,
    /// How many bytes of DATA it may send now: at least one.
    pub room: usize,
}

/// The result of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// A piece of the body. An empty one that is not the last requests another turn.
    Data {
        /// Whether it is the last.
        end: bool,
    },
    /// No data is available now.
    Waits,
    /// The body cannot be completed.
    Failed,
}

impl<R: Role, T> Connection<R, T> {
    /// Sends the head of a response; `length` and `date` are added if no field has them. With `end`, the response
    /// ends with it.
    pub fn put_head(
        &mut self,
        stream: u32,
        status: StatusCode,
        fields: &HeaderMap,
        length: Option<u64>,
        date: Option<&[u8]>,
        end: bool,
    ) {
        if !self.is_sending(stream) {
            return;
        }
        let start = self.begin_block();
        let out = self.out.bytes();
        encode::put_status(out, status);
        encode::put_fields(out, fields);
        if let Some(length) = length {
            encode::put_number(out, "content-length", length);
        }
        if let Some(date) = date {
            encode::put_field(out, "date", date, false);
        }
        let end = end && !status.is_informational();
        self.finish_block(start, stream, end);
        if end {
            self.sent_all(stream);
        }
    }

    /// Reports that a stream has something to send: it gets a turn when the windows allow.
    pub fn want(&mut self, stream: u32, now: Instant) {
        self.now = now;
        let span = self.limits.span;
        let Some(it) = self.streams.get(stream) else {
            return;
        };
        if !it.sending {
            return;
        }
        it.wants = true;
        if it.pace.is_none() {
            let until = later(now, span);
            it.pace = Some(Pace { until, sent: 0 });
            self.earliest.get_or_insert(until);
        }
        self.enqueue(stream);
    }

    /// The next turn, if the output has room. The stream gets no other turn until [`want`](Self::want) is called
    /// again.
    pub fn turn(&mut self) -> Option<Turn> {
        if self.out.len() >= OUTPUT_MAX {
            return None;
        }
        loop {
            if self.window <= 0 && !self.ended {
                return None;
            }
            let streams = &mut self.streams;
            let id = self.priorities.next(&mut self.queue, |id| {
                streams
                    .get(id)
                    .map_or_else(Priority::default, |stream| stream.priority)
            })?;
            let Some(stream) = self.streams.get(id) else {
                continue;
            };
            stream.queued = false;
            // Its message has ended since, with its head or with trailers.
            if !stream.wants {
                continue;
            }
            let window = stream.window.min(self.window);
            if window <= 0 {
                // A WINDOW_UPDATE queues it again; after the peer's end of input there is none.
                if self.ended {
                    self.lose(id, Cut::Ended, Some(code::CANCEL));
                }
                continue;
            }
            stream.wants = false;
            let room = usize::try_from(window).map_or(FRAME_MAX, |window| window.min(FRAME_MAX));
            return Some(Turn { stream: id, room });
        }
    }

    /// Sends a piece of a body, up to the turn's room. Returns how many bytes were sent.
    pub fn put_data(&mut self, turn: Turn, part: &[u8], end: bool) -> usize {
        let sent = part.get(..turn.room).unwrap_or(part);
        let end = end && sent.len() == part.len();
        if !self.is_sending(turn.stream) {
            return 0;
        }
        frame::put_data(self.out.bytes(), turn.stream, sent, end);
        self.sent_data(turn.stream, sent.len(), end);
        sent.len()
    }

    /// Writes a piece of a body directly to the output: `write` is given the driver's data for the stream, a buffer
    /// to append to, and how many bytes it may append. Nothing is sent if it appends nothing and does not end the
    /// body, if it fails, or if it appends more.
    pub fn fill(
        &mut self,
        turn: Turn,
        write: impl FnOnce(&mut T, &mut Vec<u8>, usize) -> Filling,
    ) -> Filling {
        let out = self.out.bytes();
        let Some(stream) = self.streams.get(turn.stream).filter(|it| it.sending) else {
            return Filling::Failed;
        };
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        let filling = write(&mut stream.own, out, turn.room);
        let count = out.len().saturating_sub(start + HEADER_LEN);
        let end = match filling {
            Filling::Data { end } if count <= turn.room => end,
            Filling::Waits => {
                out.truncate(start);
                return Filling::Waits;
            }
            Filling::Data { .. } | Filling::Failed => {
                out.truncate(start);
                return Filling::Failed;
            }
        };
        if count == 0 && !end {
            out.truncate(start);
            return filling;
        }
        let flags = if end { flag::END_STREAM } else { 0 };
        if let Some(header) = out.get_mut(start..start + HEADER_LEN) {
            header.copy_from_slice(&frame::header(count, kind::DATA, flags, turn.stream));
        }
        self.sent_data(turn.stream, count, end);
        filling
    }

    /// Sends the fields behind a body, which ends the message. Those that [must not be sent there](crate::may_trail) are left
    /// out. It needs no turn, because header blocks are not subject to flow control.
    pub fn put_trailers(&mut self, stream: u32, fields: &HeaderMap) {
        if !self.is_sending(stream) {
            return;
        }
        let mut allowed = fields
            .iter()
            .filter(|(name, _)| crate::may_trail(name))
            .peekable();
        if allowed.peek().is_none() {
            // An empty block would say the same in a form that fewer peers have seen.
            frame::put_data(self.out.bytes(), stream, &[], true);
        } else {
            let start = self.begin_block();
            let out = self.out.bytes();
            for (name, value) in allowed {
                encode::put_map_field(out, name, value);
            }
            self.finish_block(start, stream, true);
        }
        self.flood.progress();
        self.sent_all(stream);
    }

    /// When the rate of a stream that waits to send is to be checked next.
    pub fn due(&self) -> Option<Instant> {
        self.earliest
    }

    /// Checks the rates of streams whose span is over. Those that the peer's windows blocked are reset; those that had to wait
    /// because the connection's window let others through are not.
    pub fn expire(&mut self, now: Instant) {
        self.now = now;
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        let span = self.limits.span;
        let enough = self.limits.enough();
        // As long as it lets enough through, it is we who choose which streams wait.
        let connection_blocks_at = later(self.let_through.at, span);
        let connection_blocks = self.window <= 0 && connection_blocks_at <= now;
        let mut stalled = Vec::new();
        for (id, stream) in self.streams.iter_mut() {
            let Some(pace) = &mut stream.pace else {
                continue;
            };
            if pace.until <= now {
                if !stream.wants {
                    stream.pace = None;
                    continue;
                }
                let blocked = stream.window <= 0 || connection_blocks;
                if blocked && pace.sent < enough {
                    stalled.push(id);
                    continue;
                }
                let until = match self.window <= 0 && connection_blocks_at > now {
                    true => connection_blocks_at,
                    false => later(now, span),
                };
                *pace = Pace { until, sent: 0 };
            }
            self.earliest = Some(match self.earliest {
                Some(earliest) => earliest.min(pace.until),
                None => pace.until,
            });
        }
        for id in stalled {
            self.lose(id, Cut::Stalled, Some(code::CANCEL));
        }
    }

    pub(super) fn enqueue(&mut self, id: u32) {
        if let Some(stream) = self.streams.get(id)
            && stream.wants
            && !std::mem::replace(&mut stream.queued, true)
        {
            self.queue.push_back(id);
        }
    }

    fn sent_data(&mut self, id: u32, count: usize, end: bool) {
        let count = count as u64;
        self.window -= count as i64;
        self.let_through.sent += count;
        if self.let_through.sent >= self.limits.enough() {
            self.let_through = LetThrough {
                at: self.now,
                sent: 0,
            };
        }
        if let Some(stream) = self.streams.get(id) {
            stream.window -= count as i64;
            stream.begun |= count > 0;
            if let Some(pace) = &mut stream.pace {
                pace.sent += count;
                // Bytes that were sent before the window closed do not count for the time after it.
                if pace.sent >= self.limits.enough() {
                    *pace = Pace {
                        until: later(self.now, self.limits.span),
                        sent: 0,
                    };
                }
            }
        }
        // Opening the window byte by byte is no progress (CVE-2019-9511).
        if count >= PROGRESS_MIN || end {
            self.flood.progress();
        }
        if end {
            self.sent_all(id);
        }
    }

    /// Our direction of a stream has ended.
    fn sent_all(&mut self, id: u32) {
        self.flood.completed();
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        stream.sending = false;
        stream.wants = false;
        stream.pace = None;
        if stream.is_done() {
            self.reap();
            self.over = Some(id);
        }
    }

    /// Reserves room for a frame header; the block follows. Returns its position.
    pub(super) fn begin_block(&mut self) -> usize {
        let first = !std::mem::replace(&mut self.table_told, true);
        let out = self.out.bytes();
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        if first {
            out.push(encode::NO_TABLE);
        }
        start
    }

    /// Writes the frame header of the block.
    pub(super) fn finish_block(&mut self, start: usize, id: u32, end: bool) {
        let out = self.out.bytes();
        let count = out.len() - start - HEADER_LEN;
        if count > FRAME_MAX {
            let block = out.split_off(start + HEADER_LEN);
            out.truncate(start);
            frame::put_headers(out, id, [&[], &block], end, FRAME_MAX);
            return;
        }
        let end = if end { flag::END_STREAM } else { 0 };
        let header = frame::header(count, kind::HEADERS, end | flag::END_HEADERS, id);
        if let Some(room) = out.get_mut(start..start + HEADER_LEN) {
            room.copy_from_slice(&header);
        }
    }
}

/// Adds without overflow, for limits that are practically infinite.
fn later(now: Instant, span: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + span.min(CENTURY)
}
