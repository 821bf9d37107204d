//! HTTP/2, the server's side (RFC 9113): many requests at once on one connection.
//!
//! All streams of a connection live in its task. What was received is understood frame by frame
//! (`frames.rs`, `bodies.rs`); handlers and bodies are polled when they are woken (`wake.rs`); replies take turns
//! of one DATA frame each into one buffer, which goes to the stream in few, large records. This file
//! owns the turns.
//!
//! ```text
//! bytes -> FrameReader -> hpack, request -> handler -> Reply -> queue of turns -> out -> records
//!                `-> DATA -> Incoming -> handler
//! ```

mod bodies;
mod frames;
mod hpack;
mod request;
mod stream;
mod wake;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use handfast::AsyncStream;
use hyper::header::HeaderMap;
use hyper::http::StatusCode;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use self::frames::{Block, Strikes};
use self::stream::{Emitted, Streams};
use super::engine::{Engine, Failure};
use super::handler::Handler;
use super::incoming::Broken;
use super::link::Link;
use super::receive::poll_read_with;
use super::worker::Shared;
use crate::http2::frame::{self, FrameReader, HEADER_LEN, code, flag, kind, setting};

/// The window that everything begins with (RFC 9113, section 6.9.2).
const WINDOW_INITIAL: i64 = 65_535;

/// What a client may send of one body before the handler has read it. Not less than a MiB: curl 7.88
/// stops sending for good when it has to wait for more room while a reply comes.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// The same of all bodies of a connection, so that one that nobody reads does not hold up the others.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes that are gathered for the stream: four full records, for one system call.
const OUT_MAX: usize = 64 * 1024;

/// With so much waiting for the client no more is read of it: answers to frames add up.
const OUT_STOP: usize = 2 * OUT_MAX;

/// Room for the frame that goes beyond it.
const OUT_ROOM: usize = OUT_MAX + OUT_MAX / 4 + 1024;

/// Buffers for that which a thread keeps; one is in use for each connection that is writing.
const OUT_KEPT: usize = 8;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// One connection.
pub(super) struct Http2<H> {
    shared: Arc<Shared<H>>,
    link: Rc<Link>,
    // What comes in.
    /// Bytes of the client's preface that have come.
    preface: usize,
    reader: FrameReader,
    decoder: hpack::Decoder,
    block: Option<Block>,
    /// The first frame must be SETTINGS.
    settled: bool,
    ended: bool,
    strikes: Strikes,
    /// The last stream that the client opened.
    last: u32,
    /// Streams that we have reset lately: the client may not know yet.
    reset: VecDeque<u32>,
    window_in: u32,
    owed: u32,
    // What is under way.
    streams: Streams,
    woken: Arc<wake::Woken>,
    woken_now: Vec<u32>,
    queue: VecDeque<u32>,
    discarding: usize,
    // What goes out.
    out: Out,
    window: i64,
    stream_window: i64,
    replied: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// No more requests are taken. Until the client has seen that, those on their way are answered.
    Announced,
    /// Streams beyond the last are not answered any more.
    WindingUp,
    /// The connection has failed; the client is being told.
    Failing(Failure),
}

impl<H: Handler> Http2<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, link: Rc<Link>) -> Self {
        let mut out = Out::default();
        let bytes = out.bytes();
        let limits = &shared.limits;
        let list_max = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
        frame::put_settings(
            bytes,
            &[
                (setting::MAX_CONCURRENT_STREAMS, limits.streams_max),
                (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (setting::MAX_HEADER_LIST_SIZE, list_max),
                (setting::NO_RFC7540_PRIORITIES, 1),
            ],
        );
        frame::put_window_update(bytes, 0, CONNECTION_WINDOW - WINDOW_INITIAL as u32);
        Self {
            shared,
            link,
            preface: 0,
            reader: FrameReader::default(),
            decoder: hpack::Decoder::default(),
            block: None,
            settled: false,
            ended: false,
            strikes: Strikes::default(),
            last: 0,
            reset: VecDeque::new(),
            window_in: CONNECTION_WINDOW,
            owed: 0,
            streams: Streams::default(),
            woken: Arc::default(),
            woken_now: Vec::new(),
            queue: VecDeque::new(),
            discarding: 0,
            out,
            window: WINDOW_INITIAL,
            stream_window: WINDOW_INITIAL,
            replied: false,
            state: State::Open,
        }
    }

    /// Lets a handler work; puts the head of its reply into the buffer when there is one.
    fn poll_answer(&mut self, cx: &mut Context<'_>, id: u32) {
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        let Some(answer) = &mut stream.answer else {
            return;
        };
        // Most handlers are ready at once and need no waker of their own.
        let mut polled = answer.as_mut().poll(cx);
        if polled.is_pending() {
            let waker = stream.waker(|| self.woken.waker(id));
            if let Some(answer) = &mut stream.answer {
                polled = answer.as_mut().poll(&mut Context::from_waker(&waker));
            }
        }
        let Poll::Ready(response) = polled else {
            return;
        };
        stream.answer = None;
        let (status, fields, length, reply) = stream::begin(response);
        let ends = reply.is_none();
        stream.reply = reply;
        self.put_head(id, status, &fields, length, ends);
        if ends {
            self.replied_to(id);
        } else {
            self.enqueue(id);
        }
    }

    /// Puts the head of a reply into the buffer.
    fn put_head(
        &mut self,
        id: u32,
        status: StatusCode,
        fields: &HeaderMap,
        length: Option<u64>,
        ends: bool,
    ) {
        let first = !std::mem::replace(&mut self.replied, true);
        let out = self.out.bytes();
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        hpack::put_reply(out, first, status, fields, length);
        let count = out.len() - start - HEADER_LEN;
        if count > stream::FRAME_MAX {
            let block = out.split_off(start + HEADER_LEN);
            out.truncate(start);
            frame::put_headers(out, id, [&[], &block], ends, stream::FRAME_MAX);
            return;
        }
        let end = if ends { flag::END_STREAM } else { 0 };
        let header = frame::header(count, kind::HEADERS, end | flag::END_HEADERS, id);
        if let Some(room) = out.get_mut(start..start + HEADER_LEN) {
            room.copy_from_slice(&header);
        }
    }

    fn enqueue(&mut self, id: u32) {
        if let Some(stream) = self.streams.get(id)
            && stream.reply.is_some()
            && !stream.queued
        {
            stream.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Turns, for as long as there is room in the buffer and in the client's window.
    fn produce(&mut self, cx: &mut Context<'_>) {
        while self.out.len() < OUT_MAX && self.window > 0 {
            let Some(id) = self.queue.pop_front() else {
                return;
            };
            let Some(stream) = self.streams.get(id) else {
                continue;
            };
            stream.queued = false;
            let window = stream.window.min(self.window);
            let Some(reply) = &mut stream.reply else {
                continue;
            };
            let before = self.out.bytes().len();
            let mut emitted = reply.emit(cx, id, window, self.out.bytes());
            if matches!(emitted, Emitted::Waits) {
                let waker = stream.waker(|| self.woken.waker(id));
                if let Some(reply) = &mut stream.reply {
                    let mut own = Context::from_waker(&waker);
                    emitted = reply.emit(&mut own, id, window, self.out.bytes());
                }
            }
            match emitted {
                Emitted::Data { end } => {
                    let frame = self.out.bytes().len() - before;
                    let count = frame.saturating_sub(HEADER_LEN) as i64;
                    stream.window -= count;
                    self.window -= count;
                    if count > 0 {
                        self.strikes.progress();
                    }
                    if end {
                        stream.reply = None;
                        self.replied_to(id);
                    } else {
                        self.enqueue(id);
                    }
                }
                // Woken, or let go by a WINDOW_UPDATE, it comes back.
                Emitted::Waits | Emitted::Blocked => {}
                // What was cut must look cut.
                Emitted::Failed => self.reset(id, code::INTERNAL_ERROR),
            }
        }
    }

    /// The reply is complete. What the client still sends is not wanted, but read.
    fn replied_to(&mut self, id: u32) {
        self.strikes.replied();
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        if stream.is_done() {
            self.streams.remove(id);
        } else if stream.receiving().is_some_and(|arriving| arriving.expects) {
            // It was never told to go on: there is nothing to wait for (RFC 9113, section 8.1).
            self.reset(id, code::NO_ERROR);
        } else {
            self.mark_discarding(id);
        }
    }

    /// Notes that of this stream nothing is left but what nobody wants, if so.
    fn mark_discarding(&mut self, id: u32) {
        if let Some(stream) = self.streams.get(id)
            && stream.only_discards()
            && !std::mem::replace(&mut stream.discards, true)
        {
            self.discarding += 1;
            self.link.activity.discards(true);
        }
    }

    fn no_more_discarded(&mut self) {
        self.discarding = self.discarding.saturating_sub(1);
        if self.discarding == 0 {
            self.link.activity.discards(false);
        }
    }

    /// Ends a stream before its time. Its handler and its bodies are dropped.
    fn reset(&mut self, id: u32, code: u32) {
        frame::put_rst_stream(self.out.bytes(), id, code);
        self.drop_stream(id);
        if self.reset.len() >= RESET_KEPT {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    fn drop_stream(&mut self, id: u32) {
        let Some(mut stream) = self.streams.remove(id) else {
            return;
        };
        if let Some(reply) = stream.reply.take() {
            reply.abort();
        }
        if stream.discards {
            self.no_more_discarded();
        }
        if let Some(arriving) = &stream.incoming {
            arriving
                .body
                .finish(Err(Broken::Cut("the stream was reset")));
            // What of it nobody will read any more is the connection's again.
            self.owe(arriving.held());
        }
    }

    /// Bytes that were taken out of the client's way: it may send as many more.
    fn owe(&mut self, count: u32) {
        self.owed += count;
        if self.owed >= CONNECTION_WINDOW / 2 {
            frame::put_window_update(self.out.bytes(), 0, self.owed);
            self.window_in += self.owed;
            self.owed = 0;
        }
    }

    /// Looks after the streams that were woken.
    fn run_woken(&mut self, cx: &mut Context<'_>) {
        let mut woken = std::mem::take(&mut self.woken_now);
        self.woken.take(&mut woken);
        for id in woken.drain(..) {
            self.poll_answer(cx, id);
            self.tend_body(id);
            self.enqueue(id);
        }
        self.woken_now = woken;
    }

    /// Hands the buffer to the stream. Ready when it took all.
    fn poll_unload(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<TcpStream>,
    ) -> Poll<Result<(), Failure>> {
        while self.out.len() > 0 {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, self.out.rest()))
                .map_err(Failure::io)?;
            self.out.taken(count);
            self.link.activity.sent();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<TcpStream>,
    ) -> Poll<Result<(), Failure>> {
        ready!(self.poll_unload(cx, stream))?;
        ready!(Pin::new(stream).poll_flush(cx)).map_err(Failure::io)?;
        self.link.settle(true);
        self.out.rest_now();
        Poll::Ready(Ok(()))
    }

    /// Is there nothing more to come or to say?
    fn is_done(&self) -> bool {
        self.streams.is_empty() && (self.ended || matches!(self.state, State::WindingUp))
    }
}

/// Streams of which it is remembered that we reset them: more than a client can have had at once.
const RESET_KEPT: usize = 256;

impl<H: Handler> Engine for Http2<H> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<TcpStream>,
    ) -> Poll<Result<(), Failure>> {
        self.woken.register(cx.waker());
        loop {
            if let State::Failing(failure) = &self.state {
                let failure = failure.clone();
                ready!(self.poll_flush(cx, stream))?;
                return Poll::Ready(Err(failure));
            }
            self.run_woken(cx);
            self.produce(cx);
            let unloaded = self.poll_unload(cx, stream)?.is_ready();
            // A client may wait with reading until it has sent all; but one that makes us say more and
            // more that it does not take is not listened to.
            if self.out.len() < OUT_STOP && !self.ended {
                let mut taken = std::mem::take(&mut self.reader);
                let read = poll_read_with(cx, stream, &Rc::clone(&self.link), |cx, bytes| {
                    self.receive(cx, &mut taken, bytes);
                })?;
                self.reader = taken;
                if read.is_ready() {
                    continue;
                }
            }
            if unloaded && self.window > 0 && !self.queue.is_empty() {
                continue;
            }
            // Replies to requests that came together leave together: flushed is what must wait.
            ready!(self.poll_flush(cx, stream))?;
            if self.is_done() {
                return Poll::Ready(Ok(()));
            }
            return Poll::Pending;
        }
    }

    fn wind_up(&mut self) {
        if matches!(self.state, State::Open) {
            // In two steps, so that no request that is on its way is lost (RFC 9113, section 6.8).
            self.state = State::Announced;
            frame::put_goaway(self.out.bytes(), frame::STREAM_ID_MAX, code::NO_ERROR, b"");
            frame::put_header(self.out.bytes(), 8, kind::PING, 0, 0);
            self.out.bytes().extend_from_slice(&frames::LAST_CALL);
        }
    }

    fn give_up_discarding(&mut self) {
        let unwanted: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.only_discards())
            .map(|(id, _)| id)
            .collect();
        for id in unwanted {
            // Not an error: the reply was complete without it (RFC 9113, section 8.1).
            self.reset(id, code::NO_ERROR);
        }
        self.discarding = 0;
        self.link.activity.discards(false);
    }
}

/// What is to be handed to the stream. While there is nothing, there is no buffer.
#[derive(Debug, Default)]
struct Out {
    bytes: Vec<u8>,
    taken: usize,
}

impl Out {
    fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = KEPT
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| Vec::with_capacity(OUT_ROOM));
        }
        &mut self.bytes
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn taken(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.bytes.len() {
            self.taken = 0;
            self.bytes.clear();
        }
    }

    /// Gives the buffer back, if it is empty.
    fn rest_now(&mut self) {
        if !self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // One that grew for a burst of heads goes to the allocator.
        if bytes.capacity() == OUT_ROOM {
            KEPT.with_borrow_mut(|kept| {
                if kept.len() < OUT_KEPT {
                    kept.push(bytes);
                }
            });
        }
    }
}

impl<H> Drop for Http2<H> {
    fn drop(&mut self) {
        for (_, stream) in self.streams.iter() {
            if let Some(arriving) = &stream.incoming {
                arriving
                    .body
                    .finish(Err(Broken::Cut("the connection ended")));
            }
        }
    }
}
