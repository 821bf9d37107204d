//! The body of an answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

/// What went wrong with a body. Breaks off the answer, so that the client sees it is not whole.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

type Boxed = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>;

/// A body that makes what it is asked for, and nothing ahead of it.
///
/// The server asks for no more than may be sent at that moment: what the client's windows and the server's budget
/// have room for. A file is read that way, or a long page made.
pub trait Pull: 'static {
    /// The next piece, of at most `max` bytes; `None` after the last. It may be empty.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// Puts what comes next, at most `max` bytes of it, at the end of `out`, and says how many those were: none
    /// at the end. Worth an implementation of its own where that saves a copy.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Poll<Result<usize, BodyError>> {
        let Some(piece) = ready!(self.poll_piece(cx, max)).transpose()? else {
            return Poll::Ready(Ok(0));
        };
        out.extend_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }

    /// Has all of it been asked for?
    fn is_end(&self) -> bool;

    /// Bytes that are still to come, where that is known.
    fn remaining(&self) -> Option<u64>;
}

/// The body of an answer: nothing, bytes, one that is [pulled](Pull), or any other
/// [`http_body::Body`]. Trailer fields may follow it.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Makes the fields that follow it.
    trailers: Option<MakeTrailers>,
}

type MakeTrailers = Box<dyn FnOnce() -> HeaderMap>;

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Pulled(Box<dyn Pull>),
    Boxed {
        body: Boxed,
        /// What it gave and was not asked for any more.
        rest: Bytes,
    },
    /// It has ended, with these fields.
    Trailers(Box<HeaderMap>),
}

impl Body {
    /// No body at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that comes piece by piece. An error in it breaks off the answer.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + 'static,
    {
        Self::of(Kind::Boxed {
            body: Box::pin(Converted(Box::pin(body))),
            rest: Bytes::new(),
        })
    }

    /// A body that makes what it is asked for. An error in it breaks off the answer.
    pub fn pulled(body: impl Pull) -> Self {
        Self::of(Kind::Pulled(Box::new(body)))
    }

    /// Followed by trailer fields (RFC 9110, section 6.5), made when the rest was sent: a checksum, for one. An
    /// [`http_body::Body`] may have a frame of them instead.
    ///
    /// Over HTTP/2 they are always sent. Over HTTP/1.1 they are sent to clients that say `TE: trailers`, and only behind chunks: if the
    /// body's length is known, the response needs a `Trailer` field that names them, so that chunks are used. Otherwise they
    /// are left out, and so are fields that [must not be sent there](handfast_http::may_trail).
    ///
    /// ```
    /// use handfast_https::server::Body;
    /// use http::{HeaderMap, HeaderName, HeaderValue};
    ///
    /// let body = Body::from("hello\n").with_trailers(|| {
    ///     let sum = HeaderValue::from_static("sha-256=:WJG5tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6EZyqp8=:");
    ///     HeaderMap::from_iter([(HeaderName::from_static("repr-digest"), sum)])
    /// });
    /// # drop(body);
    /// ```
    pub fn with_trailers(mut self, make: impl FnOnce() -> HeaderMap + 'static) -> Self {
        self.trailers = Some(Box::new(make));
        self
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            trailers: None,
        }
    }

    /// The fields that follow it, once all else was taken.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        if let Kind::Trailers(fields) = &mut self.kind {
            let fields = std::mem::take(fields);
            self.kind = Kind::Empty;
            self.trailers = None;
            return Some(*fields);
        }
        if !self.is_data_end() {
            return None;
        }
        self.trailers.take().map(|make| make())
    }

    /// Looks whether something follows, where only the body itself knows: so that the last piece is sent as such, and does
    /// not wait for what might follow.
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if let Kind::Boxed { body, rest } = &mut self.kind
            && rest.is_empty()
            && let Poll::Ready(found) = body.as_mut().poll_frame(cx)
        {
            match found.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => *rest = data,
                Some(Err(frame)) => self.kind = Kind::of_trailers(frame),
                None => self.kind = Kind::Empty,
            }
        }
        Ok(())
    }

    /// Is there no more of it, but perhaps trailer fields?
    fn is_data_end(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Trailers(_) => true,
            Kind::Whole(_) => false,
            Kind::Pulled(body) => body.is_end(),
            Kind::Boxed { body, rest } => rest.is_empty() && body.is_end_stream(),
        }
    }

    /// The next piece, of at most `max` bytes; `None` after the last. It may be empty. Nothing of a file is
    /// read that is not asked for; a body of a handler's own decides itself how much it makes at a time.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.kind {
            Kind::Empty | Kind::Trailers(_) => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let piece = bytes.split_to(max.min(bytes.len()));
                if bytes.is_empty() {
                    self.kind = Kind::Empty;
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Kind::Pulled(body) => body.poll_piece(cx, max),
            Kind::Boxed { body, rest } => {
                if rest.is_empty() {
                    match ready!(body.as_mut().poll_frame(cx))
                        .transpose()?
                        .map(Frame::into_data)
                    {
                        Some(Ok(data)) => *rest = data,
                        Some(Err(frame)) => {
                            self.kind = Kind::of_trailers(frame);
                            return Poll::Ready(None);
                        }
                        None => {
                            self.kind = Kind::Empty;
                            return Poll::Ready(None);
                        }
                    }
                }
                Poll::Ready(Some(Ok(rest.split_to(max.min(rest.len())))))
            }
        }
    }

    /// Puts what comes next, at most `max` bytes of it, at the end of `out`, and says how many those were:
    /// none at the end, or when there is nothing just now but may be soon
    /// (see [`is_end_stream`](http_body::Body::is_end_stream)).
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Poll<Result<usize, BodyError>> {
        if let Kind::Pulled(body) = &mut self.kind {
            return body.poll_fill(cx, out, max);
        }
        let Some(piece) = ready!(self.poll_piece(cx, max)).transpose()? else {
            return Poll::Ready(Ok(0));
        };
        out.extend_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }
}

impl Kind {
    /// What a frame that is no data makes of a body: its end. Frames of another kind do not exist.
    fn of_trailers(frame: Frame<Bytes>) -> Self {
        frame
            .into_trailers()
            .map_or(Self::Empty, |fields| Self::Trailers(Box::new(fields)))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self::of(Kind::Whole(bytes))
        }
    }
}

/// A piece of a body as a frame; after the last one, its trailer fields.
pub(super) fn frame(
    piece: Option<Result<Bytes, BodyError>>,
    take_trailers: impl FnOnce() -> Option<HeaderMap>,
) -> Option<Result<Frame<Bytes>, BodyError>> {
    match piece {
        Some(piece) => Some(piece.map(Frame::data)),
        None => take_trailers().map(|fields| Ok(Frame::trailers(fields))),
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let piece = ready!(this.poll_piece(cx, usize::MAX));
        Poll::Ready(frame(piece, || this.take_trailers()))
    }

    fn is_end_stream(&self) -> bool {
        let has_trailers = self.trailers.is_some() || matches!(self.kind, Kind::Trailers(_));
        !has_trailers && self.is_data_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Trailers(_) => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pulled(body) => body
                .remaining()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Boxed { body, rest } => {
                let (mut size, more) = (body.size_hint(), rest.len() as u64);
                if let Some(upper) = size.upper() {
                    size.set_upper(upper.saturating_add(more));
                }
                size.set_lower(size.lower().saturating_add(more));
                size
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}

/// Another body with its error boxed.
struct Converted<B>(Pin<Box<B>>);

impl<B> http_body::Body for Converted<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0
            .as_mut()
            .poll_frame(cx)
            .map(|frame| frame.map(|result| result.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Gives its pieces, one for each time that it is asked.
    struct Pieces(Vec<&'static [u8]>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            let piece = Bytes::from_static(self.0.remove(0));
            Poll::Ready(Some(Ok(Frame::data(piece))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
        }
    }

    #[test]
    fn a_body_gives_no_more_than_it_is_asked_for_and_all_of_it() {
        let mut cx = Context::from_waker(Waker::noop());
        for max in [1, 3, 4, 100] {
            let bodies = [
                Body::from("0123456789"),
                Body::new(Pieces(vec![b"0123", b"", b"45", b"6789"])),
                Body::new(Pieces(vec![b"", b"0123456789"])),
            ];
            for mut body in bodies {
                let mut out = Vec::new();
                while !body.is_end_stream() {
                    let before = out.len();
                    let left = (10 - before) as u64;
                    assert_eq!(body.size_hint().exact(), Some(left));
                    let filled = body.poll_fill(&mut cx, &mut out, max);
                    let Poll::Ready(Ok(count)) = filled else {
                        panic!("{filled:?}")
                    };
                    assert!(count <= max && out.len() == before + count);
                }
                assert_eq!(out, b"0123456789");
            }
        }
    }
}
