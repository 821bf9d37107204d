//! One end of a connection: its state, its streams, and how it ends.

use std::collections::VecDeque;
use std::time::Instant;

use http::{HeaderMap, Method};

use super::block::Block;
use super::flood::Flood;
use super::frame::{self, FrameReader, PREFACE, STREAM_ID_MAX, code, kind, setting};
use super::hpack::{Decoder, encode};
use super::output::Output;
use super::priority::Priorities;
use super::stream::{LetThrough, Receiving, Stream, Streams};
use super::{Cut, Event, Limits, Role, Violation};

/// The initial window of the connection and of streams (RFC 9113, section 6.9.2).
const WINDOW_INITIAL: u32 = 65_535;

/// The largest DATA frame that is sent: the size that every peer must accept.
pub(super) const FRAME_MAX: usize = 16 * 1024;

/// How many streams that we reset are remembered. If there were more, all older streams are treated like
/// them: a peer that still sends on one may not have received the reset, so it is not a violation.
const RESET_KEPT: usize = 256;

/// The PING after the first GOAWAY: its acknowledgement shows that the client has received both.
pub(super) const LAST_CALL: [u8; 8] = *b"lastcall";

/// One end of an HTTP/2 connection. `T` is the driver's data for each stream.
///
/// The order of calls is in the [module's documentation](super).
#[derive(Debug)]
pub struct Connection<R: Role, T> {
    pub(super) limits: Limits,
    /// The time of the last call.
    pub(super) now: Instant,
    // Input.
    /// Bytes of the client's preface that have arrived.
    pub(super) preface: usize,
    pub(super) reader: FrameReader,
    pub(super) decoder: Decoder<R>,
    pub(super) block: Option<Block>,
    /// The first frame, which must be SETTINGS, has arrived.
    pub(super) settled: bool,
    pub(super) ended: bool,
    pub(super) flood: Flood,
    /// The last stream that was opened.
    pub(super) last: u32,
    /// The last of them that is processed.
    pub(super) served: u32,
    /// Streams that we reset recently: the peer may not have received the reset.
    reset: VecDeque<u32>,
    /// Streams up to this one may have been reset, too: more were reset than are remembered.
    reset_before: u32,
    pub(super) window_in: u32,
    owed: u32,
    // Streams.
    pub(super) streams: Streams<T>,
    pub(super) queue: VecDeque<u32>,
    pub(super) priorities: Priorities,
    /// A lower bound of the ends of all streams' spans.
    pub(super) earliest: Option<Instant>,
    pub(super) let_through: LetThrough,
    pub(super) pending: VecDeque<Event<'static, R, T>>,
    /// A stream that has ended; the driver may still be handling its last event.
    pub(super) over: Option<u32>,
    // Output.
    pub(super) out: Output,
    pub(super) window: i64,
    pub(super) stream_window: i64,
    /// The peer's limit on concurrent streams.
    pub(super) peer_streams_max: u32,
    pub(super) peer_table_max: u32,
    pub(super) table_told: bool,
    pub(super) state: State,
    /// The peer sent GOAWAY: the last stream that it processes.
    pub(super) going: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// A first GOAWAY was sent. Until the peer has received it, streams on their way are served.
    Announced,
    /// Streams after the last one are no longer served.
    WindingUp,
    Failed,
}

/// A request that a client sends.
#[derive(Debug, Clone, Copy)]
pub struct NewRequest<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Host and port, as in a `Host` field.
    pub authority: &'r [u8],
    /// Path and query.
    pub path: &'r [u8],
    /// Its header fields, without connection-specific ones of HTTP/1.1.
    pub fields: &'r HeaderMap,
    /// The length of its body, if there is no field for it.
    pub length: Option<u64>,
    /// It has no body.
    pub end: bool,
}

/// Why a stream cannot be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CannotOpen {
    /// The server's limit on concurrent streams is reached.
    Full,
    /// The server sent GOAWAY, the connection has ended or failed, or its stream identifiers are used up.
    Going,
}

impl<R: Role, T> Connection<R, T> {
    /// A new connection. Its preface is in the output.
    pub fn new(mut limits: Limits, now: Instant) -> Self {
        limits.stream_window = limits.stream_window.max(WINDOW_INITIAL);
        let mut out = Output::default();
        let bytes = out.bytes();
        let list_max = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
        if R::IS_SERVER {
            frame::put_settings(
                bytes,
                &[
                    (setting::MAX_CONCURRENT_STREAMS, limits.streams_max),
                    (setting::INITIAL_WINDOW_SIZE, limits.stream_window),
                    (setting::MAX_HEADER_LIST_SIZE, list_max),
                    (setting::NO_RFC7540_PRIORITIES, 1),
                ],
            );
        } else {
            bytes.extend_from_slice(PREFACE);
            frame::put_settings(
                bytes,
                &[
                    (setting::ENABLE_PUSH, 0),
                    (setting::INITIAL_WINDOW_SIZE, limits.stream_window),
                    (setting::MAX_HEADER_LIST_SIZE, list_max),
                ],
            );
        }
        let more = limits.connection_window.saturating_sub(WINDOW_INITIAL);
        if more > 0 {
            frame::put_window_update(bytes, 0, more);
        }
        Self {
            now,
            preface: if R::IS_SERVER { 0 } else { PREFACE.len() },
            reader: FrameReader::default(),
            decoder: Decoder::default(),
            block: None,
            settled: false,
            ended: false,
            flood: Flood::default(),
            last: 0,
            served: 0,
            reset: VecDeque::new(),
            reset_before: 0,
            window_in: limits.connection_window.max(WINDOW_INITIAL),
            owed: 0,
            streams: Streams::default(),
            queue: VecDeque::new(),
            priorities: Priorities::default(),
            earliest: None,
            let_through: LetThrough { at: now, sent: 0 },
            pending: VecDeque::new(),
            over: None,
            out,
            window: i64::from(WINDOW_INITIAL),
            stream_window: i64::from(WINDOW_INITIAL),
            // The minimum that RFC 9113, section 6.5.2, recommends, until the server's SETTINGS arrive.
            peer_streams_max: 100,
            peer_table_max: 4096,
            table_told: false,
            state: State::Open,
            going: None,
            limits,
        }
    }

    /// The bytes to be sent.
    pub fn output(&mut self) -> &mut Output {
        &mut self.out
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The driver's data for a stream; `None` if the stream has ended.
    pub fn own(&mut self, stream: u32) -> Option<&mut T> {
        self.streams.get(stream).map(|stream| &mut stream.own)
    }

    /// All open streams with the driver's data.
    pub fn each(&self) -> impl Iterator<Item = (u32, &T)> {
        self.streams.iter().map(|(id, stream)| (id, &stream.own))
    }

    /// Bytes of memory that it holds besides the output: streams, queued turns and events, the dynamic table, and
    /// incomplete frames. The driver's data is not counted.
    pub fn memory_held(&self) -> usize {
        let block = self.block.as_ref().map_or(0, Block::memory_held);
        block
            + self.streams.len() * size_of::<Stream<T>>()
            + self.queue.capacity() * size_of::<u32>()
            + self.pending.capacity() * size_of::<Event<'static, R, T>>()
            + self.reader.memory_held()
            + self.decoder.memory_held()
    }

    /// The number of the last stream that was opened, or 0.
    pub fn last_opened(&self) -> u32 {
        self.last
    }

    /// Whether another stream can be opened now.
    pub fn has_room(&self) -> bool {
        !self.is_going() && self.open_streams() < self.peer_streams_max as usize
    }

    /// A stream that has ended but is not yet removed is not counted.
    fn open_streams(&self) -> usize {
        self.streams.len() - usize::from(self.over.is_some())
    }

    /// Whether our direction of this stream is open.
    pub fn is_sending(&mut self, stream: u32) -> bool {
        self.streams
            .get(stream)
            .is_some_and(|stream| stream.sending)
    }

    /// Whether the peer's direction of this stream is open.
    pub fn is_receiving(&mut self, stream: u32) -> bool {
        let stream = self.streams.get(stream);
        stream.is_some_and(|stream| stream.receiving.is_some())
    }

    /// Whether a stream has something to send and both windows are open.
    pub fn has_turns(&self) -> bool {
        self.window > 0 && !self.queue.is_empty()
    }

    /// Whether a stream may send no data now, because its window or the connection's is used up. The end of a body without
    /// data, and trailer fields, need none.
    pub fn is_blocked(&mut self, stream: u32) -> bool {
        let window = self.window;
        let stream = self.streams.get(stream);
        stream.is_some_and(|stream| stream.window.min(window) <= 0)
    }

    /// Whether the peer sent GOAWAY.
    pub fn is_going(&self) -> bool {
        self.going.is_some() || self.ended || self.state != State::Open
    }

    /// Whether the connection has failed. The output contains the GOAWAY for the peer.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Whether all streams have ended and no more can be opened.
    pub fn is_done(&self) -> bool {
        let no_more = self.ended
            || matches!(self.state, State::WindingUp | State::Failed)
            || self.going.is_some();
        self.pending.is_empty()
            && no_more
            && self.streams.iter().all(|(id, _)| self.over == Some(id))
    }

    /// The size of the peer's dynamic table for header compression (RFC 7541, section 4.2).
    pub fn peer_table_max(&self) -> u32 {
        self.peer_table_max
    }

    /// Whether the peer's first SETTINGS have arrived.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Shuts down gracefully: accepts no more streams, with two GOAWAY frames, so that no request that is on its
    /// way is lost (RFC 9113, section 6.8).
    pub fn wind_up(&mut self) {
        if self.state != State::Open {
            return;
        }
        let out = self.out.bytes();
        if R::IS_SERVER {
            self.state = State::Announced;
            frame::put_goaway(out, STREAM_ID_MAX, code::NO_ERROR, b"");
            frame::put_header(out, LAST_CALL.len(), kind::PING, 0, 0);
            out.extend_from_slice(&LAST_CALL);
        } else {
            // The server opens no streams.
            self.state = State::WindingUp;
            frame::put_goaway(out, 0, code::NO_ERROR, b"");
        }
    }

    /// Resets a stream; returns the driver's data for it.
    pub fn reset(&mut self, stream: u32, code: u32) -> Option<T> {
        let own = self.drop_stream(stream)?;
        self.put_reset(stream, code);
        Some(own)
    }

    /// Reports that `count` bytes of a body were consumed: the peer may send as many more.
    pub fn release(&mut self, stream: u32, count: u32) {
        let Some(it) = self.streams.get(stream) else {
            return;
        };
        let count = count.min(it.held);
        it.held -= count;
        if let Some(receiving) = &mut it.receiving {
            receiving.owed += count;
            if receiving.owed > 0 && receiving.owed >= self.limits.stream_window / 2 {
                let owed = std::mem::take(&mut receiving.owed);
                receiving.window += owed;
                frame::put_window_update(self.out.bytes(), stream, owed);
            }
        }
        self.owe(count);
    }

    /// Reports the end of input. Events follow for bodies that are truncated and for streams that are blocked by
    /// the peer's window, which cannot open any more.
    pub fn end_of_input(&mut self, now: Instant) {
        self.now = now;
        self.reap();
        self.ended = true;
        let ids: Vec<u32> = self.streams.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(stream) = self.streams.get(id) else {
                continue;
            };
            let cut = stream.receiving.is_some();
            let blocked = stream.wants && (stream.window <= 0 || self.window <= 0);
            if blocked || (cut && !R::IS_SERVER) {
                self.lose(id, Cut::Ended, None);
            } else if cut {
                stream.receiving = None;
                if stream.is_done() {
                    self.lose(id, Cut::Ended, None);
                } else {
                    self.pending.push_back(Event::BodyCut { stream: id });
                }
            }
        }
    }

    /// Releases memory when the connection becomes idle.
    pub fn rest(&mut self) {
        self.reap();
        self.out.rest();
        self.decoder.rest();
        if self.streams.is_empty() {
            self.queue.shrink_to(QUEUE_KEPT);
            self.pending.shrink_to(QUEUE_KEPT);
        }
    }
}

/// The capacity of queues that an idle connection keeps.
const QUEUE_KEPT: usize = 4;

impl<R: Role, T> Connection<R, T> {
    /// Opens a stream with a request.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open(
        &mut self,
        request: &NewRequest<'_>,
        own: T,
        now: Instant,
    ) -> Result<u32, CannotOpen> {
        let id = self.prepare_open()?;
        let start = self.begin_block();
        let out = self.out.bytes();
        encode::put_request_line(out, request.method, request.authority, request.path);
        encode::put_fields(out, request.fields);
        if let Some(length) = request.length {
            encode::put_number(out, "content-length", length);
        }
        self.finish_block(start, id, request.end);
        self.opened(id, own, request.end, *request.method == Method::HEAD, now);
        Ok(id)
    }

    /// Opens a stream with an encoded header block. It must be valid for the dynamic table that
    /// [`peer_table_max`](Self::peer_table_max) allows.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open_encoded(
        &mut self,
        block: [&[u8]; 2],
        end: bool,
        bodiless: bool,
        own: T,
        now: Instant,
    ) -> Result<u32, CannotOpen> {
        let id = self.prepare_open()?;
        self.table_told = true;
        frame::put_headers(self.out.bytes(), id, block, end, FRAME_MAX);
        self.opened(id, own, end, bodiless, now);
        Ok(id)
    }

    fn prepare_open(&mut self) -> Result<u32, CannotOpen> {
        self.reap();
        if self.is_going() || R::IS_SERVER || self.last > STREAM_ID_MAX - 2 {
            return Err(CannotOpen::Going);
        }
        if self.open_streams() >= self.peer_streams_max as usize {
            return Err(CannotOpen::Full);
        }
        Ok(if self.last == 0 { 1 } else { self.last + 2 })
    }

    fn opened(&mut self, id: u32, own: T, end: bool, bodiless: bool, now: Instant) {
        self.now = now;
        self.last = id;
        let mut stream = Stream::new(own, self.stream_window);
        stream.sending = !end;
        stream.receiving = Some(Receiving {
            bodiless,
            ..Receiving::new(self.limits.stream_window)
        });
        self.streams.add(id, stream);
    }

    /// Removes the stream whose last event the driver has handled.
    pub(super) fn reap(&mut self) {
        if let Some(id) = self.over.take() {
            self.drop_stream(id);
        }
    }

    /// Ends a stream prematurely: sends a reset with this code to the peer, and an event to the driver.
    pub(super) fn lose(&mut self, id: u32, cut: Cut, code: Option<u32>) {
        if let Some(own) = self.drop_stream(id) {
            self.pending.push_back(Event::Lost {
                stream: id,
                own,
                cut,
            });
        }
        if let Some(code) = code {
            self.put_reset(id, code);
        }
    }

    fn drop_stream(&mut self, id: u32) -> Option<T> {
        let stream = self.streams.remove(id)?;
        if self.over == Some(id) {
            self.over = None;
        }
        // Otherwise a peer with a closed window could make the queue grow by opening and resetting streams.
        if stream.queued {
            self.queue.retain(|queued| *queued != id);
        }
        // Its unread bytes are given back to the connection's window.
        self.owe(stream.held);
        Some(stream.own)
    }

    pub(super) fn put_reset(&mut self, id: u32, code: u32) {
        frame::put_rst_stream(self.out.bytes(), id, code);
        if self.reset.len() >= RESET_KEPT
            && let Some(id) = self.reset.pop_front()
        {
            self.reset_before = self.reset_before.max(id);
        }
        self.reset.push_back(id);
    }

    /// Whether the peer may not know yet that this stream was reset.
    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.reset.contains(&id) || id <= self.reset_before || (R::IS_SERVER && id > self.served)
    }

    pub(super) fn owe(&mut self, count: u32) {
        self.owed += count;
        if self.owed > 0 && self.owed >= self.limits.connection_window / 2 {
            frame::put_window_update(self.out.bytes(), 0, self.owed);
            self.window_in += self.owed;
            self.owed = 0;
        }
    }

    /// The peer violated the protocol: sends GOAWAY and ends all streams.
    pub(super) fn fail(&mut self, violation: Violation) {
        let ids: Vec<u32> = self.streams.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.lose(id, Cut::Failed, None);
        }
        self.queue.clear();
        let last = if R::IS_SERVER { self.served } else { 0 };
        let what = violation.what.as_bytes();
        frame::put_goaway(self.out.bytes(), last, violation.code, what);
        self.state = State::Failed;
        self.pending.push_back(Event::Failed(violation));
    }
}
