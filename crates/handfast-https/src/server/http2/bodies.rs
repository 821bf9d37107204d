//! Request bodies: DATA frames, their windows (RFC 9113, section 5.2), and what nobody wants of them.

use std::task::Context;

use bytes::Bytes;

use super::super::handler::Handler;
use super::super::incoming::Broken;
use super::frames::Violation;
use super::stream::FRAME_MAX;
use super::{Http2, STREAM_WINDOW};
use crate::http2::frame::{self, code};

impl<H: Handler> Http2<H> {
    pub(super) fn data(
        &mut self,
        id: u32,
        body: &[u8],
        flow: u32,
        end: bool,
    ) -> Result<(), Violation> {
        if self.block.is_some() {
            return Err(Violation::protocol("a frame within a header block"));
        }
        if id == 0 || id > self.last {
            return Err(Violation::protocol(
                "DATA on a stream that was never opened",
            ));
        }
        self.window_in = self.window_in.checked_sub(flow).ok_or(Violation::new(
            code::FLOW_CONTROL_ERROR,
            "more DATA than the window takes",
        ))?;
        if body.is_empty() && !end {
            self.strikes.idle_frame()?;
        } else {
            self.strikes.progress();
        }
        let Some(arriving) = self.streams.get(id).and_then(|stream| stream.receiving()) else {
            self.owe(flow);
            if self.reset.contains(&id) {
                return Ok(());
            }
            if self.streams.get(id).is_some() {
                self.strikes.fruitless()?;
                self.reset(id, code::STREAM_CLOSED);
                return Ok(());
            }
            let what = "DATA on a stream that is closed";
            return Err(Violation::new(code::STREAM_CLOSED, what));
        };
        let count = body.len() as u64;
        let in_window = arriving.window.checked_sub(flow);
        let in_length = match arriving.length_left {
            None => Some(None),
            Some(left) => left.checked_sub(count).map(Some),
        };
        let (Some(window), Some(length_left)) = (in_window, in_length) else {
            self.owe(flow);
            self.strikes.fruitless()?;
            let code = match in_window {
                None => code::FLOW_CONTROL_ERROR,
                Some(_) => code::PROTOCOL_ERROR,
            };
            self.reset(id, code);
            return Ok(());
        };
        arriving.window = window;
        arriving.length_left = length_left;
        arriving.expects = false;
        // Padding is nobody's to read.
        arriving.owed += flow - body.len() as u32;
        if arriving.body.is_unwanted() {
            arriving.discarded += count;
            arriving.owed += body.len() as u32;
        } else if !body.is_empty() {
            arriving.body.push(Bytes::copy_from_slice(body));
        }
        if end {
            return self.end_body(id);
        }
        self.tend_body(id);
        Ok(())
    }

    /// The client has said all of the request's body.
    pub(super) fn end_body(&mut self, id: u32) -> Result<(), Violation> {
        let Some(stream) = self.streams.get(id) else {
            return Ok(());
        };
        let Some(arriving) = stream.receiving() else {
            return Ok(());
        };
        if arriving.length_left.is_some_and(|left| left > 0) {
            let short = Broken::Malformed("the body is shorter than announced");
            arriving.body.finish(Err(short));
            self.strikes.fruitless()?;
            self.reset(id, code::PROTOCOL_ERROR);
            return Ok(());
        }
        arriving.body.finish(Ok(()));
        arriving.ended = true;
        if std::mem::take(&mut stream.discards) {
            self.no_more_discarded();
        }
        self.tend_body(id);
        Ok(())
    }

    /// Gives back the room of what the handler has read; tells a client that waits to go on.
    pub(super) fn tend_body(&mut self, id: u32) {
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        if stream.incoming.is_none() {
            return;
        }
        let waker = stream.waker(|| self.woken.waker(id));
        let Some(arriving) = &mut stream.incoming else {
            return;
        };
        // Registers for what the handler does next.
        arriving.body.poll_wanted(&Context::from_waker(&waker));
        arriving.owed += arriving.body.take_taken() as u32;
        if arriving.ended {
            // The window of a stream that ended matters to nobody; the connection's does.
            let owed = std::mem::take(&mut arriving.owed);
            arriving.window += owed;
            if arriving.held() == 0 || arriving.body.is_unwanted() {
                stream.incoming = None;
            }
            if stream.is_done() {
                self.streams.remove(id);
            }
            self.owe(owed);
            return;
        }
        if arriving.expects && arriving.body.is_read() {
            arriving.expects = false;
            let mut block = Vec::new();
            if !std::mem::replace(&mut self.replied, true) {
                block.push(0x20);
            }
            block.extend_from_slice(b"\x08\x03100");
            frame::put_headers(self.out.bytes(), id, [&[], &block], false, FRAME_MAX);
        }
        let unwanted = arriving.body.is_unwanted();
        let too_much = unwanted && arriving.discarded > self.link.discard_max;
        let mut owed = 0;
        // Who sends more than is read of what nobody wants gets no more room.
        if arriving.owed >= STREAM_WINDOW / 2 && !too_much {
            owed = std::mem::take(&mut arriving.owed);
            arriving.window += owed;
            frame::put_window_update(self.out.bytes(), id, owed);
        }
        let has_replied = stream.answer.is_none() && stream.reply.is_none();
        self.owe(owed);
        if has_replied && too_much {
            // Not an error: the reply was complete without it (RFC 9113, section 8.1).
            self.reset(id, code::NO_ERROR);
        } else {
            self.mark_discarding(id);
        }
    }
}
