//! The body of an answer.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::files::FileBody;

/// What went wrong with a body. Breaks off the answer, so that the client sees it is not whole.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

type Boxed = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = BodyError>>>;

/// The body of an answer: nothing, bytes at hand, part of a file, or any other
/// [`hyper::body::Body`].
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    File(FileBody),
    Boxed(Boxed),
}

impl Body {
    /// No body at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that comes piece by piece. An error in it breaks off the answer.
    pub fn new<B>(body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<BodyError>> + 'static,
    {
        Self(Kind::Boxed(Box::pin(Converted(Box::pin(body)))))
    }

    pub(super) fn file(file: FileBody) -> Self {
        Self(Kind::File(file))
    }

    /// Is it worth while to ask it to [`fill`](Self::fill) a buffer?
    pub(super) fn fills(&self) -> bool {
        matches!(&self.0, Kind::File(_))
    }

    /// Fills a buffer, where that can be done without waiting and without a copy in between.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        match &mut self.0 {
            Kind::File(file) => file.fill(buffer),
            _ => None,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Whole(bytes))
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let kind = &mut self.get_mut().0;
        match kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::File(file) => file
                .poll_chunk(cx)
                .map(|chunk| chunk.map(|result| result.map(Frame::data).map_err(Into::into))),
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::File(file) => file.remaining() == 0,
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::File(file) => SizeHint::with_exact(file.remaining()),
            Kind::Boxed(body) => body.size_hint(),
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

impl<B> hyper::body::Body for Converted<B>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BodyError>>,
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
