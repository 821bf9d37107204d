//! The task that drives a connection of HTTP/2.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Instant;

use handfast::{CloseOutcome, LocalCause, Phase, ReadOutcome};
use handfast_http::h2::{Connection, Event, Responses};
use tokio::io::AsyncWrite as _;

use super::super::tls_stream::{self, is_end};
use super::state::{End, Slot, State, cut_all, lock};

/// How much is read at a time: what a stream's buffer holds.
const READ_STEP: usize = 64 * 1024;

/// How much is read before those who wait for it get their turn: what is taken soon is still in the
/// processor's cache.
const READ_MAX: usize = 128 * 1024;

/// Memory that a stream keeps for what comes next: what is read at once, in a buffer that has doubled to it.
pub(super) const DATA_KEPT: usize = 4 * READ_MAX;

/// Why the task stops to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// It has read enough for now.
    ReadEnough,
    /// The connection is to be closed.
    Close,
}

impl State {
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
        let sent = loop {
            if output.is_empty() {
                // Also what was written earlier and could not flush: reading flushes nothing.
                match self.unflushed {
                    true => break stream.as_mut().poll_flush(cx),
                    false => return Poll::Ready(()),
                }
            }
            match stream.as_mut().poll_write(cx, output.as_slice()) {
                Poll::Ready(Ok(count)) => {
                    self.unflushed = true;
                    output.sent(count);
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        };
        match sent {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => {
                self.unflushed = false;
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
        // Those who wait to open a stream, once there is room for one, or will never be.
        if http.has_room() || http.is_going() {
            for waker in std::mem::take(waiting) {
                waker.wake();
            }
        }
        Poll::Ready(received)
    }
}

/// Reads and writes until neither is possible, or until it has read enough for now.
fn poll_driver(shared: &Mutex<State>, cx: &mut Context<'_>) -> Poll<Pause> {
    let mut state = lock(shared);
    state.driver = Some(cx.waker().clone());
    let mut read = 0;
    loop {
        if state.closing.is_some() {
            state.http.wind_up();
            let _ = state.poll_write(cx);
            state.cut_all();
            return Poll::Ready(Pause::Close);
        }
        state = send_bodies(shared, state, cx);
        let wrote = state.poll_write(cx);
        if read >= READ_MAX {
            return Poll::Ready(Pause::ReadEnough);
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
    while poll_fn(|cx| poll_driver(state, cx)).await == Pause::ReadEnough {
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
