//! A reply on its way out: its head's fields, and its body in pieces as large as the turns.

use std::task::{Context, Poll};

use handfast_http::h2::Filling;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body::Body as _;

use super::super::service::Tracked;

/// A reply of which the head was sent.
pub(super) struct Reply {
    /// What a handler gave.
    body: Option<Tracked>,
    /// A few words, where no handler was asked.
    text: &'static [u8],
    /// What was announced and not yet taken out of the body.
    left: Option<u64>,
    /// The fields that follow the body, which has ended.
    pub(super) trailers: Option<HeaderMap>,
}

/// Fields of a connection of HTTP/1.1: with one of them a response is malformed (RFC 9113, section 8.2.2).
static OF_HTTP1: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A reply's status and fields, its length if no field has it, and its body, unless it ends with
/// its head.
pub(super) fn begin(
    response: http::Response<Tracked>,
) -> (StatusCode, HeaderMap, Option<u64>, Option<Reply>) {
    let (parts, body) = response.into_parts();
    let mut fields = parts.headers;
    for name in &OF_HTTP1 {
        fields.remove(name);
    }
    let announced = fields
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let size = body.size_hint().exact();
    let untold = size.filter(|size| *size > 0 && announced.is_none());
    let reply = (!body.is_end_stream()).then(|| Reply {
        body: Some(body),
        text: b"",
        left: announced.or(size),
        trailers: None,
    });
    (parts.status, fields, untold, reply)
}

impl Reply {
    /// The body of a short reply that no handler made.
    pub(super) fn text(text: &'static str) -> Self {
        Self {
            body: None,
            text: text.as_bytes(),
            left: None,
            trailers: None,
        }
    }

    /// It is not going to be sent to its end.
    pub(super) fn abort(&mut self) {
        if let Some(body) = &mut self.body {
            body.abort(0);
        }
    }

    /// Puts what the body has now behind what is in `out`, at most `room` bytes of it. Nothing is asked for ahead
    /// of what may be sent. Trailer fields that end the body are put into `trailers`.
    pub(super) fn fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, room: usize) -> Filling {
        let Some(body) = &mut self.body else {
            let (now, later) = self.text.split_at(room.min(self.text.len()));
            out.extend_from_slice(now);
            self.text = later;
            return Filling::Data {
                end: later.is_empty(),
            };
        };
        let count = match body.poll_fill(cx, out, room) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) => return Filling::Failed,
            Poll::Pending => return Filling::Waits,
        };
        self.took(count)
    }

    /// For a stream that may send no more data now: has the body ended all the same?
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) -> Filling {
        match &mut self.body {
            Some(body) => match body.look_ahead(cx) {
                Ok(()) => self.took(0),
                Err(_) => Filling::Failed,
            },
            None => Filling::Data { end: false },
        }
    }

    /// So many bytes were taken out of the body.
    fn took(&mut self, count: usize) -> Filling {
        let Some(body) = &mut self.body else {
            return Filling::Failed;
        };
        self.trailers = body.take_trailers();
        let end = body.is_end_stream();
        if let Some(left) = &mut self.left {
            match left.checked_sub(count as u64) {
                Some(rest) if !end || rest == 0 => *left = rest,
                _ => return Filling::Failed,
            }
        }
        Filling::Data {
            end: end && self.trailers.is_none(),
        }
    }
}
