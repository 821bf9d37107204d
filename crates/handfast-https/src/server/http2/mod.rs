//! HTTP/2, the server's side: many requests at once on one connection.
//!
//! `handfast-http` owns the protocol; here are handlers and bodies. All streams of a connection live in its
//! task. Handlers and bodies are polled when they are woken (`wake.rs`); request bodies are passed on as they
//! arrive (`bodies.rs`); replies take turns of one DATA frame each (`reply.rs`) into one buffer, which goes to
//! the stream in few, large records. This file owns the turns.
//!
//! ```text
//! bytes -> Connection -> Head -> handler -> Reply -> turns -> Connection -> records
//!                `-----> Data -> Incoming -> handler
//! ```

mod bodies;
mod exchange;
mod reply;
mod wake;

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use handfast::AsyncStream;
use handfast_http::h2::frame::code;
use handfast_http::h2::{self, Connection, Cut, Event, Filling, Request, Requests, Turn};
use http::{Method, StatusCode};
use tokio::io::AsyncWrite as _;

use self::exchange::{Arriving, Exchange};
use self::reply::Reply;
use super::engine::{Engine, Failure, SEND_AT, Transport};
use super::handler::{Handler, RequestBody};
use super::incoming::{Broken, Incoming};
use super::observer::AbortReason;
use super::receive::{SCRATCH, poll_read_with};
use super::service::{answer, plain_fields};
use super::shared::Shared;
use super::state::ConnectionState;
use super::{budget, config::Limits, date, event_loop};

/// What a client may send of one body before the handler has read it. Not less than a MiB: curl 7.88
/// stops sending for good when it has to wait for more room while a reply comes.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// The same for all bodies of a connection, so that an unread one does not block the others.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// With so much waiting for the client no more is read of it: answers to frames add up. More than replies alone come
/// to (48 KiB and their heads), because a client may wait with reading until it has sent all.
const OUT_STOP: usize = 56 * 1024;

/// What a stream may send in one turn, in bytes: a full record, and all that a connection may always hold.
const FRAME: usize = budget::FLOOR;

/// What is taken of a client at once while it sends no body, in bytes: enough for the heads of a hundred requests. What it
/// sends beyond stays with it until these are looked at.
const HEADS: usize = 16 * 1024;

/// How much of it is one unit of work: some 80 requests, each of which may cost as much as all their bytes.
const HEADS_AT_ONCE: usize = 4 * 1024;

/// So many requests are one unit of work: each has files looked for and opened, ten microseconds of it.
const REQUESTS_PER_UNIT: u32 = 8;

/// Units of work (reading 16 KiB, beginning with 8 requests, or sending 32 KiB) before the thread goes on with its other
/// connections.
const WORK_MAX: u32 = 8;

/// Room for so many requests is kept while none waits.
const WAITING_KEPT: usize = 32;

/// One connection.
pub(super) struct Http2<H> {
    shared: Arc<Shared<H>>,
    connection: Rc<ConnectionState>,
    core: Connection<Requests, Exchange>,
    woken: Arc<wake::Woken>,
    woken_now: Vec<u32>,
    /// The time at which it was polled.
    now: Instant,
    /// Streams with only an unread body left.
    discarding: usize,
    ended: bool,
    /// The client takes nothing now.
    blocked: bool,
    /// Bytes that were handed to the stream since what is held was noted.
    gathered: usize,
    /// Bodies of requests are arriving, or were not long ago.
    has_bodies: bool,
    /// Requests with which no handler has begun.
    waiting: VecDeque<u32>,
    /// More has arrived than was looked at.
    more: bool,
    /// GOAWAY is sent.
    failure: Option<Failure>,
}

impl<H: Handler> Http2<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, connection: Rc<ConnectionState>) -> Self {
        let now = Instant::now();
        let core = Connection::new(limits(&shared.limits), now);
        Self {
            shared,
            connection,
            core,
            woken: Arc::default(),
            woken_now: Vec::new(),
            now,
            discarding: 0,
            ended: false,
            blocked: false,
            gathered: 0,
            has_bodies: false,
            waiting: VecDeque::new(),
            more: false,
            failure: None,
        }
    }

    /// Takes what was received; nothing means the end.
    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.ended = true;
            self.core.end_of_input(self.now);
        }
        self.events(bytes);
    }

    fn events(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.core.receive(&mut rest, self.now) {
            match event {
                Event::Head {
                    stream,
                    message,
                    end,
                } => self.accept(stream, end, *message),
                Event::TooLarge { stream, .. } => {
                    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                    self.refuse(
                        stream,
                        status,
                        "the header fields are too many or too long\n",
                    );
                }
                Event::Data { stream, body, end } => self.data(stream, body, end),
                Event::Trailers { stream, fields } => self.trailers(stream, fields),
                Event::BodyCut { stream } => self.cut_body(stream),
                Event::Lost { own, cut, .. } => self.drop_exchange(own, cut),
                // It opens no more streams; when those it has are answered, all is said.
                Event::Going { .. } => {}
                Event::Failed(violation) => {
                    self.failure = Some(Failure::BadRequest(violation.what.to_owned()));
                }
            }
        }
    }

    /// Takes a request. A handler begins with it when all that has arrived was looked at: it may have been reset.
    fn accept(&mut self, id: u32, end: bool, request: Request) {
        let Request {
            head,
            length,
            expects,
            ..
        } = request;
        if head.method() == Method::CONNECT {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            self.refuse(id, status, "this server is not a proxy\n");
            return;
        }
        self.has_bodies |= !end;
        let body = (!end).then(|| Incoming::new(length));
        let arriving = body.clone().map(|body| Arriving::new(body, expects));
        let limits = &self.shared.limits;
        let request = head.map(|()| RequestBody::new(body, limits.read, limits.read_rate_min));
        let answer = answer(
            Arc::clone(&self.shared),
            Rc::clone(&self.connection),
            request,
        );
        if let Some(own) = self.core.own(id) {
            own.incoming = arriving;
            own.answer = Some(Box::pin(answer));
        }
        self.waiting.push_back(id);
    }

    /// Lets handlers begin with requests that wait, at most `units` of work. Returns how many units it took.
    fn begin(&mut self, cx: &mut Context<'_>, units: u32) -> u32 {
        let mut begun = 0;
        while begun < units * REQUESTS_PER_UNIT
            && let Some(id) = self.waiting.pop_front()
        {
            // Those that were reset meanwhile cost nothing.
            let Some(own) = self.core.own(id) else {
                continue;
            };
            let has_body = own.incoming.is_some();
            begun += 1;
            self.poll_answer(cx, id);
            if has_body {
                self.tend_body(id);
            }
        }
        begun / REQUESTS_PER_UNIT
    }

    /// Answers what no handler needs to see.
    fn refuse(&mut self, id: u32, status: StatusCode, text: &'static str) {
        let length = Some(text.len() as u64);
        self.put_head(id, status, &plain_fields(status), length, false);
        if let Some(own) = self.core.own(id) {
            own.reply = Some(Reply::text(text));
        }
        self.core.want(id, self.now);
    }

    /// Lets a handler work; sends the head of its reply when there is one.
    fn poll_answer(&mut self, cx: &mut Context<'_>, id: u32) {
        let Some(own) = self.core.own(id) else {
            return;
        };
        let Some(answer) = &mut own.answer else {
            return;
        };
        // Most handlers are ready at once and need no waker of their own.
        let mut polled = answer.as_mut().poll(cx);
        if polled.is_pending() {
            let waker = own.waker(|| self.woken.waker(id));
            if let Some(answer) = &mut own.answer {
                polled = answer.as_mut().poll(&mut Context::from_waker(&waker));
            }
        }
        let Poll::Ready(response) = polled else {
            return;
        };
        own.answer = None;
        let (status, fields, length, reply) = reply::begin(response);
        let ends = reply.is_none();
        own.reply = reply;
        self.put_head(id, status, &fields, length, ends);
        if ends {
            self.replied_to(id);
        } else {
            self.go_on(id);
        }
    }

    fn put_head(
        &mut self,
        id: u32,
        status: StatusCode,
        fields: &http::HeaderMap,
        length: Option<u64>,
        ends: bool,
    ) {
        let dated = fields.contains_key(http::header::DATE);
        let now = (!dated).then(date::now);
        let date = now.as_ref().map(<[u8; _]>::as_slice);
        self.core.put_head(id, status, fields, length, date, ends);
    }

    /// Is there room in the budget for one more frame, on top of what was made and is not noted as held?
    fn has_room(&mut self) -> bool {
        // With more than this the stream sends by itself.
        let gathered = self.gathered.min(SEND_AT);
        let wanted = gathered + self.core.output().len() + FRAME;
        self.connection.held.room(wanted) == wanted
    }

    /// Turns, for as long as there is room in the buffer, in the budget and in the client's windows.
    fn produce(&mut self, cx: &mut Context<'_>) {
        while self.has_room()
            && let Some(turn) = self.core.turn()
        {
            let id = turn.stream;
            let mut filling = self.fill(cx, turn);
            if filling == Filling::Waits
                && let Some(own) = self.core.own(id)
            {
                let waker = own.waker(|| self.woken.waker(id));
                filling = self.fill(&mut Context::from_waker(&waker), turn);
            }
            match filling {
                Filling::Data { end: true } => self.replied_to(id),
                Filling::Data { end: false } => self.go_on(id),
                // Woken, it comes back.
                Filling::Waits => {}
                // What was cut must look cut.
                Filling::Failed => self.reset(id, code::INTERNAL_ERROR),
            }
        }
    }

    /// A reply that has not ended wants a turn. Its end, and trailer fields, need none.
    fn go_on(&mut self, id: u32) {
        let is_blocked = self.core.is_blocked(id);
        let Some(own) = self.core.own(id) else {
            return;
        };
        let waker = is_blocked.then(|| own.waker(|| self.woken.waker(id)));
        let Some(reply) = &mut own.reply else {
            return;
        };
        let mut ahead = Filling::Data { end: false };
        if let Some(waker) = waker.filter(|_| reply.trailers.is_none()) {
            ahead = reply.look_ahead(&mut Context::from_waker(&waker));
        }
        match (ahead, reply.trailers.take()) {
            (Filling::Data { end: true }, _) => {
                let none = Turn {
                    stream: id,
                    room: 0,
                };
                self.core.put_data(none, &[], true);
                self.replied_to(id);
            }
            (Filling::Data { end: false }, Some(fields)) => {
                self.core.put_trailers(id, &fields);
                self.replied_to(id);
            }
            (Filling::Data { end: false } | Filling::Waits, _) => self.core.want(id, self.now),
            (Filling::Failed, _) => self.reset(id, code::INTERNAL_ERROR),
        }
    }

    fn fill(&mut self, cx: &mut Context<'_>, turn: Turn) -> Filling {
        self.core.fill(turn, |own, out, room| match &mut own.reply {
            Some(reply) => reply.fill(cx, out, room),
            None => Filling::Failed,
        })
    }

    /// The reply is complete. What the client still sends is not wanted, but read.
    fn replied_to(&mut self, id: u32) {
        let receives = self.core.is_receiving(id);
        let Some(own) = self.core.own(id) else {
            return;
        };
        own.reply = None;
        let expects = own
            .incoming
            .as_ref()
            .is_some_and(|arriving| arriving.expects);
        if receives && expects {
            // It was never sent 100 (Continue): do not wait for the body (RFC 9113, section 8.1).
            self.reset(id, code::NO_ERROR);
        } else if receives && own.incoming.is_none() {
            // A request that no handler has seen.
            self.reset(id, code::NO_ERROR);
        } else {
            self.mark_discarding(id);
        }
    }

    /// Ends a stream before its time. Its handler and its bodies are dropped.
    fn reset(&mut self, id: u32, code: u32) {
        if let Some(own) = self.core.reset(id, code) {
            self.drop_exchange(own, Cut::Ended);
        }
    }

    fn drop_exchange(&mut self, mut own: Exchange, cut: Cut) {
        if own.discards {
            self.no_more_discarded();
        }
        if let Some(arriving) = &own.incoming {
            arriving.body.finish(Err(match cut {
                Cut::Malformed(what) => Broken::Malformed(what),
                Cut::Ended | Cut::Failed => Broken::Cut("the connection ended"),
                _ => Broken::Cut("the stream was reset"),
            }));
        }
        if let Some(reply) = &mut own.reply {
            reply.abort();
        }
        // The handler, or the rest of its reply.
        self.connection.cut(own, abort_reason(cut));
    }

    /// Looks after the streams that were woken.
    fn run_woken(&mut self, cx: &mut Context<'_>) {
        let mut woken = std::mem::take(&mut self.woken_now);
        self.woken.take(&mut woken);
        for id in woken.drain(..) {
            self.poll_answer(cx, id);
            self.tend_body(id);
            self.go_on(id);
        }
        self.woken_now = woken;
    }

    /// Hands the output to the stream. Ready when it took all.
    fn poll_unload<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>> {
        let out = self.core.output();
        while !out.is_empty() {
            let written = Pin::new(&mut *stream).poll_write(cx, out.as_slice());
            let Poll::Ready(count) = written.map_err(Failure::io)? else {
                stream.rest();
                let held = stream.unsent_memory_held() + out.memory_held();
                self.connection.held.note(held);
                self.gathered = 0;
                self.blocked = true;
                return Poll::Pending;
            };
            out.sent(count);
            self.gathered += count;
        }
        self.blocked = false;
        if self.connection.held.held() > 0 {
            stream.rest();
            self.connection.held.note(stream.unsent_memory_held());
            self.gathered = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>> {
        ready!(self.poll_unload(cx, stream))?;
        self.gathered = 0;
        let flushed = self.connection.poll_flush(cx, stream);
        self.core.rest();
        ready!(flushed)?;
        self.connection.settle(true);
        self.has_bodies &= self.core.streams() > 0;
        self.waiting.shrink_to(WAITING_KEPT);
        Poll::Ready(Ok(()))
    }
}

/// Why an exchange that is dropped was not completed, if it was not.
fn abort_reason(cut: Cut) -> Option<AbortReason> {
    match cut {
        Cut::Reset(code) | Cut::Unprocessed(code) => Some(AbortReason::Reset(code)),
        Cut::Malformed(_) => Some(AbortReason::Malformed),
        Cut::Stalled => Some(AbortReason::Stalled),
        Cut::Ended | Cut::Failed => None,
    }
}

/// The server's limits, as the protocol's.
fn limits(limits: &Limits) -> h2::Limits {
    h2::Limits {
        streams_max: limits.streams_max,
        head_bytes_max: limits.head_bytes_max,
        fields_max: limits.fields_max,
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        span: limits.write,
        rate_min: limits.write_rate_min,
    }
}

impl<H: Handler, T: Transport> Engine<T> for Http2<H> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>> {
        self.woken.register(cx.waker());
        self.now = Instant::now();
        let mut work = 0;
        loop {
            if let Some(failure) = &self.failure {
                let failure = failure.clone();
                ready!(self.poll_flush(cx, stream))?;
                return Poll::Ready(Err(failure));
            }
            self.run_woken(cx);
            // Nothing is made on top of what the client does not take, nor before all that it says was heard: it may not
            // want it any more.
            if !self.more {
                work += self.begin(cx, WORK_MAX.saturating_sub(work));
            }
            if !self.more && (!self.blocked || self.poll_unload(cx, stream)?.is_ready()) {
                self.produce(cx);
            }
            if self.ended {
                // Replies that were ready only now, and that the window blocks for good.
                self.events(&[]);
            }
            let unloaded = self.poll_unload(cx, stream)?.is_ready();
            if work >= WORK_MAX {
                event_loop::give_way(cx);
                return Poll::Pending;
            }
            // A client may wait with reading until it has sent all; but one that makes us say more and
            // more that it does not take is not listened to.
            if self.core.output().len() < OUT_STOP && !self.ended {
                let connection = Rc::clone(&self.connection);
                let (receive_max, max) = match self.has_bodies && !self.blocked {
                    true => (usize::MAX, SCRATCH),
                    false => (HEADS, HEADS_AT_ONCE),
                };
                stream.set_receive_max(receive_max);
                self.more = false;
                let read = poll_read_with(cx, stream, &connection, max, |bytes| {
                    self.more = bytes.len() == HEADS_AT_ONCE && !self.has_bodies;
                    self.receive(bytes);
                })?;
                if read.is_ready() {
                    work += 1;
                    continue;
                }
            }
            if !self.more && !self.waiting.is_empty() {
                work += 1;
                continue;
            }
            if unloaded && self.core.has_turns() {
                if !self.has_room() {
                    ready!(self.poll_flush(cx, stream))?;
                }
                work += 1;
                continue;
            }
            // Replies to requests that came together leave together: flushed is what must wait.
            ready!(self.poll_flush(cx, stream))?;
            if self.core.is_done() {
                return Poll::Ready(Ok(()));
            }
            return Poll::Pending;
        }
    }

    fn wind_up(&mut self) {
        self.core.wind_up();
    }

    fn give_up_discarding(&mut self) {
        let unwanted: Vec<u32> = self
            .core
            .each()
            .filter(|(_, own)| own.only_discards())
            .map(|(id, _)| id)
            .collect();
        for id in unwanted {
            // Not an error: the reply was complete without it (RFC 9113, section 8.1).
            self.reset(id, code::NO_ERROR);
        }
        self.discarding = 0;
        self.connection.activity.discards(false);
    }

    fn due(&self) -> Option<Instant> {
        self.core.due()
    }

    fn expire(&mut self) {
        self.now = Instant::now();
        self.core.expire(self.now);
        while let Some(event) = self.core.receive(&mut &[][..], self.now) {
            if let Event::Lost { own, cut, .. } = event {
                self.drop_exchange(own, cut);
            }
        }
    }
}

impl<H> Drop for Http2<H> {
    fn drop(&mut self) {
        for (_, own) in self.core.each() {
            if let Some(arriving) = &own.incoming {
                arriving
                    .body
                    .finish(Err(Broken::Cut("the connection ended")));
            }
        }
    }
}
