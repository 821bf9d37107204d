//! What drives one connection, whichever version of HTTP it speaks.

use std::error::Error;
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use handfast::AsyncStream;
use tokio::io::{AsyncRead, AsyncWrite};

/// Records that are gathered before they are sent: a reply of up to four full ones, head included,
/// leaves with one system call, and a long body with one for each 128 KiB.
pub(super) const SEND_AT: usize = 96 * 1024;

/// What connections run over.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Transport for T {}

/// The server's side of HTTP on one connection. Polled in the connection's task; it owns requests and
/// replies, not the stream, not the time limits and not the close.
pub(super) trait Engine<T> {
    /// Reads, answers and writes as far as that goes now. Ready when HTTP is done: everything was
    /// flushed then, or there is a failure.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>>;

    /// Takes no more requests; ends when those under way are answered.
    fn wind_up(&mut self);

    /// Reads no more of unread bodies.
    fn give_up_discarding(&mut self);

    /// When [`expire`](Self::expire) is to be called: something in here has a limit of its own by then.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Gives up what has waited for too long.
    fn expire(&mut self) {}
}

/// Why HTTP ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The data is not HTTP. The client got an error response.
    BadRequest(String),
    /// The exchange broke off.
    BrokenOff(String),
}

impl Failure {
    /// The stream failed.
    pub(super) fn io(error: io::Error) -> Self {
        Self::BrokenOff(chain(&error))
    }

    /// The body of a reply failed.
    pub(super) fn body(error: &(dyn Error + 'static)) -> Self {
        Self::BrokenOff(chain(error))
    }

    /// The handler did what cannot be spelled.
    pub(super) fn server(what: &str) -> Self {
        Self::BrokenOff(what.to_owned())
    }
}

/// An error and its sources on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = source(error);
    while let Some(error) = next {
        let more = error.to_string();
        // Some repeat their source in their message.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source(error);
    }
    text
}

/// `io::Error` hides what it wraps from its `source`.
fn source<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|inner| inner.source()),
        None => error.source(),
    }
}
