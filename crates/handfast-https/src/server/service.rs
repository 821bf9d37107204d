//! One request: to the handler and back, with a record of how it went.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::body::{self, Body, BodyError};
use super::handler::{Handler, Request, Response, User};
use super::observer::{AbortReason, RequestFields};
use super::shared::Shared;
use super::state::{ConnectionState, Record};

/// Answers one request, which is under way from now on, also if it is dropped before it was polled.
pub(super) fn answer<H: Handler>(
    shared: Arc<Shared<H>>,
    connection: Rc<ConnectionState>,
    request: Request,
) -> impl Future<Output = http::Response<Tracked>> {
    let mut flight = Flight::new(&connection, &request);
    async move {
        let is_head = request.method() == Method::HEAD;
        let mut response = match connection.admit_request() {
            Ok(()) => shared.handler.handle(request, &connection.info).await,
            Err(wait) => too_many(wait),
        };
        let user = response.extensions_mut().remove::<User>();
        let response = allowed(response, is_head);
        flight.record(|record| {
            record.user = user;
            record.status = Some(response.status());
            record.whole = response.body().is_end_stream();
        });
        response.map(|body| Tracked { body, flight })
    }
}

/// The answer to a request that is one too many of its address, for so long.
fn too_many(wait: Duration) -> Response {
    let text = "too many requests from this address\n";
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, text);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(RETRY_AFTER, seconds.max(1).into());
    response
}

/// The answer without what HTTP does not let it have, whatever a handler says.
fn allowed(mut response: Response, is_head: bool) -> Response {
    match response.status() {
        // The client would wait for the final response.
        status if status.is_informational() => {
            let text = "the response has an interim status code\n";
            allowed(plain(StatusCode::INTERNAL_SERVER_ERROR, text), is_head)
        }
        // Neither content nor, for 204, a length (RFC 9110, sections 8.6, 15.3.5 and 15.3.6).
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => {
            response.headers_mut().remove(CONTENT_LENGTH);
            response.map(|_| Body::empty())
        }
        // A length is that of the response to a request without conditions (RFC 9110, section 8.6).
        StatusCode::NOT_MODIFIED => response.map(|_| Body::empty()),
        _ if is_head => headless(response),
        _ => response,
    }
}

/// The answer to HEAD: what the answer to GET would say of its body, without it (RFC 9110, section
/// 9.3.2).
fn headless(mut response: Response) -> Response {
    let size = response.body().size_hint().exact();
    if let Some(size) = size.filter(|size| *size > 0) {
        response
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| size.into());
    }
    response.map(|_| Body::empty())
}

/// A short answer in plain text. A browser takes it for nothing else, and lets nothing in it act.
pub fn plain(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    put_plain_fields(response.headers_mut());
    response
}

/// The fields of a short answer in plain text that no handler gave.
pub(super) fn plain_fields(status: StatusCode) -> HeaderMap {
    let mut fields = HeaderMap::new();
    put_plain_fields(&mut fields);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // What CONNECT asks for is no resource that has methods (RFC 9110, sections 9.3.6 and 15.5.6).
        fields.insert(ALLOW, HeaderValue::from_static(""));
    }
    fields
}

/// What every text of ours has: its type, which is not guessed from what stands in it, and the strictest policy.
pub(super) const PLAIN_FIELDS: [(HeaderName, &str); 3] = [
    (CONTENT_TYPE, "text/plain; charset=utf-8"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

fn put_plain_fields(fields: &mut HeaderMap) {
    for (name, value) in PLAIN_FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

/// A request under way: its record is entered into the ledger when it is dropped, however that comes.
struct Flight {
    connection: Rc<ConnectionState>,
    record: Option<Record>,
}

impl Flight {
    fn new(connection: &Rc<ConnectionState>, request: &Request) -> Self {
        connection.activity.request_began();
        let record = Record {
            time: SystemTime::now(),
            began: Instant::now(),
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            user: None,
            status: None,
            bytes: 0,
            whole: false,
            abort: None,
            fields: connection
                .wants_fields
                .then(|| Box::new(RequestFields::of(request.headers()))),
        };
        Self {
            connection: Rc::clone(connection),
            record: Some(record),
        }
    }

    fn record(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.connection.activity.request_ended();
        if let Some(record) = self.record.take() {
            self.connection.enter(record);
        }
    }
}

/// The body of an answer, watched.
pub(super) struct Tracked {
    body: Body,
    flight: Flight,
}

impl Tracked {
    /// The last so many bytes that were handed over are not going to be sent.
    pub(super) fn abort(&mut self, unsent: u64) {
        self.flight.record(|record| {
            record.whole = false;
            record.bytes = record.bytes.saturating_sub(unsent);
        });
    }

    /// As [`Body::poll_piece`].
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let piece = ready!(self.body.poll_piece(cx, max));
        let handed_over = match &piece {
            Some(Ok(piece)) => Ok(piece.len()),
            Some(Err(_)) => Err(()),
            None => Ok(0),
        };
        self.note(handed_over);
        Poll::Ready(piece)
    }

    /// As [`Body::poll_fill`].
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Poll<Result<usize, BodyError>> {
        let filled = ready!(self.body.poll_fill(cx, out, max));
        self.note(filled.as_ref().map(|count| *count).map_err(|_| ()));
        Poll::Ready(filled)
    }

    /// As [`Body::take_trailers`].
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        let fields = self.body.take_trailers();
        if fields.is_some() {
            self.note(Ok(0));
        }
        fields
    }

    /// As [`Body::look_ahead`].
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let looked = self.body.look_ahead(cx);
        self.note(looked.as_ref().map(|()| 0).map_err(|_| ()));
        looked
    }

    /// All that the head announces was handed over; whatever else the body would give is not sent.
    pub(super) fn complete(mut self) {
        self.flight.record(|record| record.whole = true);
    }

    fn note(&mut self, handed_over: Result<usize, ()>) {
        let ended = self.body.is_end_stream();
        self.flight.record(|record| match handed_over {
            Ok(count) => {
                record.bytes += count as u64;
                record.whole = ended;
            }
            Err(()) => {
                record.whole = false;
                record.abort = Some(AbortReason::Body);
            }
        });
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let piece = ready!(this.poll_piece(cx, usize::MAX));
        Poll::Ready(body::frame(piece, || this.take_trailers()))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
