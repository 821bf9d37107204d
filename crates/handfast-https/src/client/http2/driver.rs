//! The task that drives a connection of HTTP/2, and the state that it shares with the exchanges.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use handfast::{CloseOutcome, Ending, LocalCause, NetworkCause, Phase, ReadOutcome};
use handfast_http::h2::frame::code;
use handfast_http::h2::{self, Connection, Cut, Event, Limits, Responses};
use http::HeaderMap;
use tokio::io::AsyncWrite as _;

use super::super::error::Error;
use super::super::http1::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX};
use super::super::tls_stream::{self, TlsStream, is_end};
use super::super::upload::Outflow;
use super::outcome::{Again, Broken, NoResponse};

/// How much of a body may be in flight on one stream, and on the connection: a gigabit per second over
/// 60 ms.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How much is read at a time: what a stream's buffer holds.
const READ_STEP: usize = 64 * 1024;

/// How much is read before those who wait for it get their turn: what is taken soon is still in the
/// processor's cache.
const READ_TURN: usize = 128 * 1024;

/// Memory that a stream keeps for what comes next: what a turn brings, in a buffer that has doubled to it.
pub(super) const DATA_KEPT: usize = 4 * READ_TURN;

/// Why the task's turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It has read enough for now.
    Over,
    /// The connection is to be closed.
    Close,
}

#[derive(Debug)]
pub(super) struct State {
    /// Until it is being closed.
    pub(super) stream: Option<TlsStream>,
    pub(super) http: Connection<Responses, ()>,
    pub(super) streams: HashMap<u32, Slot>,
    /// How many exchanges are about to open a stream.
    pub(super) claims: usize,
    /// Wakes the task.
    pub(super) driver: Option<Waker>,
    /// Streams whose bodies their callers have not made yet.
    pub(super) held: Vec<u32>,
    /// Those who wait until they may open a stream.
    pub(super) waiting: Vec<Waker>,
    pub(super) end: End,
    /// To be closed within this limit.
    pub(super) closing: Option<Duration>,
    pub(super) closed: Option<CloseOutcome>,
    /// Those who wait until it is closed.
    pub(super) closers: Vec<Waker>,
    /// Since when nothing is under way.
    pub(super) idle_since: Instant,
}

/// Why the connection serves no more exchanges, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Nothing more can be received.
    pub(super) received_all: bool,
    /// What TLS or the network had to say.
    pub(super) failure: Option<handfast::Error>,
    /// What was wrong with what the server sent.
    pub(super) malformed: Option<String>,
    /// The server goes: its GOAWAY.
    pub(super) going: Option<(u32, String)>,
}

/// What has come of one exchange, and what is still to be sent.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) waker: Option<Waker>,
    pub(super) head: Option<h2::Response>,
    pub(super) begun: bool,
    pub(super) data: Vec<u8>,
    pub(super) ended: bool,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) cut: Option<Cut>,
    pub(super) upload: Bytes,
    /// What makes more of it, until it has ended.
    pub(super) outflow: Option<Outflow>,
    /// All that there was is sent, and its caller has not made more yet.
    pub(super) held: bool,
    /// Why it ended before its end.
    pub(super) upload_failure: Option<io::Error>,
    pub(super) sending: bool,
    /// The rest of what is to be sent was given up.
    pub(super) stopped: bool,
    pub(super) moved: u64,
}

/// What a caller's body gives when it is asked for more.
type Piece = Poll<io::Result<Option<Bytes>>>;

impl Slot {
    /// Takes what came of asking for more of its body; gives back what has no more.
    fn take_piece(&mut self, outflow: Outflow, piece: Piece) -> Option<Outflow> {
        self.held = piece.is_pending();
        match piece {
            Poll::Ready(Ok(Some(piece))) => self.upload = piece,
            Poll::Ready(Ok(None)) => return Some(outflow),
            Poll::Ready(Err(error)) => {
                self.upload_failure = Some(error);
                self.stopped = true;
                self.wake();
                return Some(outflow);
            }
            Poll::Pending => {}
        }
        self.outflow = Some(outflow);
        None
    }

    fn wake(&mut self) {
        self.moved = self.moved.wrapping_add(1);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl State {
    pub(super) fn new(stream: TlsStream) -> Self {
        let limits = Limits {
            head_bytes_max: HEAD_BYTES_MAX,
            fields_max: HEAD_FIELDS_MAX,
            stream_window: WINDOW_BYTES,
            connection_window: WINDOW_BYTES,
            ..Limits::default()
        };
        let now = Instant::now();
        Self {
            stream: Some(stream),
            http: Connection::new(limits, now),
            streams: HashMap::new(),
            claims: 0,
            driver: None,
            held: Vec::new(),
            waiting: Vec::new(),
            end: End::default(),
            closing: None,
            closed: None,
            closers: Vec::new(),
            idle_since: now,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.claims == 0
    }

    pub(super) fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Why there is no response. `cut` is the end of the stream; without, none could be opened.
    pub(super) fn no_response(&self, cut: Option<Cut>) -> NoResponse {
        let going = |end: &End, code| {
            let debug = end.going.as_ref().map(|(_, debug)| debug.clone());
            Error::GoAway {
                code,
                debug: debug.unwrap_or_default(),
            }
        };
        let (error, again) = match cut {
            Some(Cut::Reset(code::HTTP_1_1_REQUIRED)) => (
                Error::StreamReset {
                    code: code::HTTP_1_1_REQUIRED,
                },
                Again::OverHttp1,
            ),
            Some(Cut::Unprocessed(code::HTTP_1_1_REQUIRED)) => {
                (going(&self.end, code::HTTP_1_1_REQUIRED), Again::OverHttp1)
            }
            Some(Cut::Unprocessed(code)) => (going(&self.end, code), Again::Unprocessed),
            Some(Cut::Reset(code)) => {
                let again = match code {
                    code::REFUSED_STREAM => Again::Unprocessed,
                    _ => Again::No,
                };
                (Error::StreamReset { code }, again)
            }
            Some(Cut::Malformed(what)) => (
                Error::Malformed {
                    problem: what.to_owned(),
                },
                Again::No,
            ),
            Some(Cut::Stalled | Cut::Ended | Cut::Failed) if self.closing.is_some() => {
                (Error::ClientClosed, Again::No)
            }
            Some(Cut::Stalled | Cut::Ended | Cut::Failed) => {
                (self.end.error(self.stream.as_ref()), Again::IfHarmless)
            }
            // Nothing was sent.
            None => (self.end.error(self.stream.as_ref()), Again::Unprocessed),
        };
        NoResponse { error, again }
    }

    pub(super) fn broken(&self, cut: Cut) -> Broken {
        match cut {
            Cut::Reset(code) | Cut::Unprocessed(code) => Broken::Reset(format!(
                "the server gave up the stream: {}",
                code::name(code)
            )),
            Cut::Malformed(what) => Broken::Malformed(what.to_owned()),
            Cut::Stalled | Cut::Ended | Cut::Failed if self.closing.is_some() => {
                Broken::Reset("the client was closed".to_owned())
            }
            Cut::Stalled | Cut::Ended | Cut::Failed => match &self.end.malformed {
                Some(malformed) => Broken::Malformed(malformed.clone()),
                None => Broken::Ended(self.end.failure.as_ref().map(handfast::Error::duplicate)),
            },
        }
    }

    /// Nothing more is received or sent: all who wait for it are told.
    fn cut_all(&mut self) {
        self.end.received_all = true;
        cut_all(&mut self.streams);
        for waker in std::mem::take(&mut self.waiting) {
            waker.wake();
        }
    }

    fn has_to_write(&mut self) -> bool {
        !self.end.received_all && (self.http.has_turns() || !self.http.output().is_empty())
    }

    /// Ready when all of the output was sent, or nothing more can be sent.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(());
        };
        let mut stream = Pin::new(stream);
        let output = self.http.output();
        let mut wrote = false;
        let sent = loop {
            if output.is_empty() {
                break match wrote {
                    true => stream.as_mut().poll_flush(cx),
                    false => return Poll::Ready(()),
                };
            }
            match stream.as_mut().poll_write(cx, output.as_slice()) {
                Poll::Ready(Ok(count)) => {
                    wrote = true;
                    output.sent(count);
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        };
        match sent {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => {
                // That the peer is gone ends sending and nothing else: what it sent before is read.
                let count = output.len();
                output.sent(count);
                let error = handfast::Error::from_io_owned(error, Phase::Request);
                if !is_end(&error) {
                    self.end.failure.get_or_insert(error);
                }
                Poll::Ready(())
            }
        }
    }

    /// Reads available data, and wakes the waiting tasks; returns its length. Pending for good after the
    /// end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Self {
            stream: Some(stream),
            http,
            streams,
            waiting,
            end,
            ..
        } = self
        else {
            return Poll::Pending;
        };
        if end.received_all {
            return Poll::Pending;
        }
        let now = Instant::now();
        let mut received = 0;
        let found = stream.poll_read_with(cx, READ_STEP, &mut |bytes| {
            received += bytes.len();
            if !http.is_settled() && end.malformed.is_none() {
                end.malformed = other_protocol(bytes);
            }
            if end.malformed.is_none() {
                receive(http, streams, end, bytes, now);
            }
        });
        let ended = match found {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(ReadOutcome::Data(_))) => end.malformed.is_some(),
            Poll::Ready(Ok(ReadOutcome::End(_) | ReadOutcome::WouldBlock)) => true,
            Poll::Ready(Err(error)) => {
                if !is_end(&error) {
                    end.failure.get_or_insert(error);
                }
                true
            }
        };
        if ended {
            end.received_all = true;
            http.end_of_input(now);
            receive(http, streams, end, &[], now);
            // What cannot be sent any more waits for nothing.
            cut_all(streams);
        }
        for waker in std::mem::take(waiting) {
            waker.wake();
        }
        Poll::Ready(received)
    }
}

fn cut_all(streams: &mut HashMap<u32, Slot>) {
    for slot in streams.values_mut() {
        if slot.cut.is_none() && (!slot.ended || slot.sending) {
            slot.cut = Some(Cut::Ended);
            slot.wake();
        }
    }
}

/// One turn of the task.
fn poll_turn(shared: &Mutex<State>, cx: &mut Context<'_>) -> Poll<Turn> {
    let mut state = lock(shared);
    state.driver = Some(cx.waker().clone());
    let mut read = 0;
    loop {
        if state.closing.is_some() {
            state.http.wind_up();
            let _ = state.poll_write(cx);
            state.cut_all();
            return Poll::Ready(Turn::Close);
        }
        state = send_bodies(shared, state, cx);
        let wrote = state.poll_write(cx);
        if read >= READ_TURN {
            return Poll::Ready(Turn::Over);
        }
        match state.poll_read(cx) {
            Poll::Ready(count) => read += count,
            // What was received may have to be answered, or has opened a window.
            Poll::Pending if wrote.is_ready() && state.has_to_write() => {}
            Poll::Pending => {
                if state.streams.is_empty() {
                    state.http.rest();
                }
                return Poll::Pending;
            }
        }
    }
}

/// Puts as much of the bodies of requests into the output as windows and room allow.
fn send_bodies<'s>(
    shared: &'s Mutex<State>,
    mut state: MutexGuard<'s, State>,
    cx: &mut Context<'_>,
) -> MutexGuard<'s, State> {
    let now = Instant::now();
    for stream in std::mem::take(&mut state.held) {
        state = ask(shared, state, stream, cx);
        match state.streams.get(&stream) {
            Some(slot) if slot.held => state.held.push(stream),
            Some(_) => state.http.want(stream, now),
            None => {}
        }
    }
    while let Some(turn) = state.http.turn() {
        let Some(slot) = state.streams.get_mut(&turn.stream) else {
            continue;
        };
        if slot.stopped {
            // The stream is reset when its response has been read.
            continue;
        }
        let count = slot.upload.len().min(turn.room);
        let part = slot.upload.split_to(count);
        if slot.upload.is_empty() && slot.outflow.is_some() {
            // Is this the last piece? Its frame says so: one of its own might wait for a window that does not open.
            state = ask(shared, state, turn.stream, cx);
        }
        let State {
            streams,
            http,
            held,
            ..
        } = &mut *state;
        let Some(slot) = streams.get_mut(&turn.stream) else {
            continue;
        };
        let end = slot.upload.is_empty() && slot.outflow.is_none() && !slot.stopped;
        http.put_data(turn, &part, end);
        slot.sending = !end;
        match end {
            // An exchange may be waiting for this.
            true => slot.wake(),
            false => {
                slot.moved = slot.moved.wrapping_add(1);
                match slot.held {
                    true => held.push(turn.stream),
                    false => http.want(turn.stream, now),
                }
            }
        }
    }
    state
}

/// Asks for more of a body of which nothing is left to be sent. Its caller's code runs without the lock: it may lead back to
/// this connection, as when one response is the body of another request, and it may take its time.
fn ask<'s>(
    shared: &'s Mutex<State>,
    mut state: MutexGuard<'s, State>,
    stream: u32,
    cx: &mut Context<'_>,
) -> MutexGuard<'s, State> {
    let slot = state.streams.get_mut(&stream);
    let Some(mut outflow) = slot.and_then(|slot| slot.outflow.take()) else {
        return state;
    };
    drop(state);
    let piece = outflow.poll_piece(cx);
    let mut state = lock(shared);
    let unwanted = match state.streams.get_mut(&stream) {
        Some(slot) if !slot.stopped => slot.take_piece(outflow, piece),
        _ => Some(outflow),
    };
    if unwanted.is_none() {
        return state;
    }
    drop(state);
    drop(unwanted);
    lock(shared)
}

/// What was received, sorted to those who wait for it.
fn receive(
    http: &mut Connection<Responses, ()>,
    streams: &mut HashMap<u32, Slot>,
    end: &mut End,
    mut bytes: &[u8],
    now: Instant,
) {
    while let Some(event) = http.receive(&mut bytes, now) {
        match event {
            Event::Head {
                stream,
                message,
                end,
            } => {
                let Some(slot) = streams.get_mut(&stream) else {
                    continue;
                };
                if !message.status.is_informational() {
                    slot.head = Some(message);
                    slot.begun = true;
                    slot.ended = end;
                }
                slot.wake();
            }
            Event::Data { stream, body, end } => match streams.get_mut(&stream) {
                Some(slot) => {
                    slot.data.extend_from_slice(body);
                    slot.ended = end;
                    slot.wake();
                }
                None => http.release(stream, u32::try_from(body.len()).unwrap_or(u32::MAX)),
            },
            Event::Trailers { stream, fields } => {
                if let Some(slot) = streams.get_mut(&stream) {
                    slot.trailers = Some(fields);
                    slot.ended = true;
                    slot.wake();
                }
            }
            Event::Lost { stream, cut, .. } => {
                if let Some(slot) = streams.get_mut(&stream) {
                    slot.cut = Some(cut);
                    slot.wake();
                }
            }
            Event::Going { code, debug } => {
                let debug = String::from_utf8_lossy(&debug).into_owned();
                end.going.get_or_insert((code, debug));
            }
            Event::Failed(violation) => {
                end.malformed
                    .get_or_insert_with(|| violation.what.to_owned());
            }
            // Servers' events.
            Event::TooLarge { .. } | Event::BodyCut { .. } => {}
        }
    }
}

/// The beginning of a response of HTTP/1, from a server that had agreed on HTTP/2.
fn other_protocol(bytes: &[u8]) -> Option<String> {
    /// What is shown of it.
    const SHOWN: usize = 60;
    bytes.starts_with(b"HTTP/1.").then(|| {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let line = line.trim_ascii_end();
        let line = line.get(..SHOWN).unwrap_or(line);
        format!(
            "HTTP/1 after HTTP/2 was agreed on: \"{}\"",
            line.escape_ascii()
        )
    })
}

impl End {
    /// What the connection's end means to an exchange without a response.
    fn error(&self, stream: Option<&TlsStream>) -> Error {
        if let Some(problem) = &self.malformed {
            return Error::Malformed {
                problem: problem.clone(),
            };
        }
        if let Some(failure) = &self.failure {
            return Error::Connection(failure.duplicate());
        }
        if let Some((code, debug)) = &self.going {
            return Error::GoAway {
                code: *code,
                debug: debug.clone(),
            };
        }
        match stream.and_then(TlsStream::ending) {
            Some(Ending::Reset) => {
                Error::Connection(handfast::Error::new(Phase::Response, NetworkCause::Reset))
            }
            ending => Error::EmptyReply { ending },
        }
    }
}

/// What drives a connection. However it ends, also when it panics or its runtime is shut down before it has begun, those who
/// wait are told.
pub(super) struct Driver(pub(super) Arc<Mutex<State>>);

impl Drop for Driver {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        if state.closing.is_none() && !state.end.received_all {
            let what = "the task that drives the connection has ended before the connection";
            let cause = LocalCause::Internal(what.to_owned());
            let failure = handfast::Error::new(Phase::Response, cause);
            state.end.failure.get_or_insert(failure);
        }
        state.cut_all();
        state.closed.get_or_insert(CloseOutcome::PeerGone);
        for waker in std::mem::take(&mut state.closers) {
            waker.wake();
        }
    }
}

/// The task of a connection.
pub(super) async fn drive(driver: Driver) {
    let state = &driver.0;
    while poll_fn(|cx| poll_turn(state, cx)).await == Turn::Over {
        // Those who wait for what has come, first: also the runtime's main task, which has its turn only
        // when no other is ready.
        tokio::task::yield_now().await;
    }
    let (stream, limit) = {
        let mut state = lock(state);
        (state.stream.take(), state.closing.unwrap_or_default())
    };
    let outcome = match stream {
        Some(stream) => tls_stream::close(stream, limit).await,
        None => CloseOutcome::PeerGone,
    };
    lock(state).closed = Some(outcome);
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
