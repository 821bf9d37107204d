//! Passes request bodies to handlers, and discards unread data.

use std::task::Context;

use handfast_http::h2::frame::code;
use http::HeaderMap;
use http::StatusCode;

use super::super::handler::Handler;
use super::super::incoming::Broken;
use super::Http2;

impl<H: Handler> Http2<H> {
    /// Some of a body has come.
    pub(super) fn data(&mut self, id: u32, body: &[u8], end: bool) {
        let count = body.len() as u32;
        let Some(own) = self.core.own(id) else {
            return;
        };
        let Some(arriving) = &mut own.incoming else {
            self.core.release(id, count);
            return;
        };
        arriving.expects = false;
        let unwanted = arriving.body.is_unwanted();
        if unwanted {
            arriving.discarded += u64::from(count);
        } else if !body.is_empty() {
            arriving.body.push(body);
        }
        let too_much = unwanted && arriving.discarded > self.connection.discard_max;
        if end {
            arriving.body.finish(Ok(()));
            arriving.ended = true;
            if std::mem::take(&mut own.discards) {
                self.no_more_discarded();
            }
        }
        // A client that sends more than the limit on discarded data gets no more window.
        if unwanted && !too_much {
            self.core.release(id, count);
        }
        self.tend_body(id);
    }

    /// A body has ended with these fields.
    pub(super) fn trailers(&mut self, id: u32, fields: HeaderMap) {
        let own = self.core.own(id);
        if let Some(arriving) = own.and_then(|own| own.incoming.as_ref()) {
            arriving.body.put_trailers(fields);
        }
        self.data(id, &[], true);
    }

    /// The client has ended the connection within a body.
    pub(super) fn cut_body(&mut self, id: u32) {
        let Some(own) = self.core.own(id) else {
            return;
        };
        if let Some(arriving) = own.incoming.take() {
            let cut = Broken::Cut("the client ended the connection within a request's body");
            arriving.body.finish(Err(cut));
        }
        if std::mem::take(&mut own.discards) {
            self.no_more_discarded();
        }
    }

    /// Returns the window of data that the handler has read; sends 100 (Continue) to a client that waits for it.
    pub(super) fn tend_body(&mut self, id: u32) {
        let Some(own) = self.core.own(id) else {
            return;
        };
        if own.incoming.is_none() {
            return;
        }
        let waker = own.waker(|| self.woken.waker(id));
        let Some(arriving) = &mut own.incoming else {
            return;
        };
        // Registers for what the handler does next.
        arriving.body.poll_wanted(&Context::from_waker(&waker));
        let taken = u32::try_from(arriving.body.take_taken()).unwrap_or(u32::MAX);
        let unwanted = arriving.body.is_unwanted();
        if arriving.ended {
            if unwanted || arriving.body.is_end() {
                own.incoming = None;
            }
            self.core.release(id, taken);
            return;
        }
        let goes_on = arriving.expects && arriving.body.is_read();
        arriving.expects &= !goes_on;
        let too_much = unwanted && arriving.discarded > self.connection.discard_max;
        let has_replied = own.answer.is_none() && own.reply.is_none();
        if taken > 0 {
            self.core.release(id, taken);
        }
        if goes_on {
            let none = HeaderMap::new();
            self.core
                .put_head(id, StatusCode::CONTINUE, &none, None, None, false);
        }
        if has_replied && too_much {
            // Not an error: the reply was complete without it (RFC 9113, section 8.1).
            self.reset(id, code::NO_ERROR);
        } else {
            self.mark_discarding(id);
        }
    }

    /// Records whether this stream has only unread data left.
    pub(super) fn mark_discarding(&mut self, id: u32) {
        if let Some(own) = self.core.own(id)
            && own.only_discards()
            && !std::mem::replace(&mut own.discards, true)
        {
            self.discarding += 1;
            self.connection.activity.discards(true);
        }
    }

    pub(super) fn no_more_discarded(&mut self) {
        self.discarding = self.discarding.saturating_sub(1);
        if self.discarding == 0 {
            self.connection.activity.discards(false);
        }
    }
}
