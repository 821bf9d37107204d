//! Asking a server that was refused: for its clock, and where it would send us.
//!
//! Asked over a connection that verifies nothing, so nothing of the user's goes along: no header
//! field, no credentials, no path, no client certificate. Nothing that comes back is believed; it is
//! evidence, labelled as unproven.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use handfast::{ClientContext, Error, Stream, Timeouts};
#[cfg(feature = "tokio")]
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::reply::{UnverifiedReply, answer, is_over, question};
use crate::unproven::{is_worthwhile, refine};

impl UnverifiedReply {
    /// Whether the peer's own word could help to explain this error: a certificate refused over time
    /// or over its name.
    pub fn is_worthwhile(error: &Error) -> bool {
        is_worthwhile(error)
    }

    /// The error with what the peer said when it was asked without being verified. An
    /// explanation then tells a wrong clock from a certificate that has expired, and a network that
    /// wants a login from a server with another name; both labelled as unproven.
    #[must_use]
    pub fn refine(&self, error: Error) -> Error {
        refine(error, self)
    }
}

/// A context that accepts any certificate, offers none of ours, and is for one question.
///
/// # Errors
/// As [`handfast::ClientContextBuilder::build`].
fn unverified(limit: Duration) -> Result<ClientContext, Error> {
    ClientContext::builder()
        .timeouts(Timeouts::all(limit))
        .alpn(["http/1.1"])
        .resumption(false)
        .danger()
        .accept_any_certificate()
        .build()
}

/// The error with what the server says when it is asked without being verified, where that could
/// help ([`UnverifiedReply::is_worthwhile`]); over a blocking channel that `connect` makes.
///
/// `host` and `port` are the server's as they stand in a URL. Sends `HEAD /` and nothing else, within `limit` in total.
/// `connect` needs a time limit itself: it is not interrupted. The name is sent in the clear: not to be used where the failed
/// handshake encrypted it ([`ClientContext::encrypts_hello`](handfast::ClientContext::encrypts_hello)).
#[must_use]
pub fn with_unverified_reply<C: handfast::Channel, E>(
    error: Error,
    host: &str,
    port: u16,
    limit: Duration,
    connect: impl FnOnce() -> Result<C, E>,
) -> Error {
    if !is_worthwhile(&error) {
        return error;
    }
    // A limit that overflows is no limit.
    let deadline = Instant::now().checked_add(limit);
    let left = || match deadline {
        Some(at) => at
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero()),
        None => Some(limit),
    };
    let heard = || -> Option<UnverifiedReply> {
        let channel = connect().ok()?;
        let mut stream: Stream<C> = unverified(left()?).ok()?.secure(host, channel).ok()?;
        stream.set_timeouts(Timeouts::all(left()?));
        stream.write_all(question(host, port).as_bytes()).ok()?;
        stream.flush().ok()?;
        let mut head = Vec::new();
        let mut chunk = [0; 4096];
        while !is_over(&head)
            && let Some(left) = left()
        {
            stream.set_timeouts(Timeouts::all(left));
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(count) => head.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
        answer(&head)
    };
    match heard() {
        Some(reply) => refine(error, &reply),
        None => error,
    }
}

/// As [`with_unverified_reply`], without blocking the thread.
#[cfg(feature = "tokio")]
#[must_use]
pub async fn with_unverified_reply_async<C, E>(
    error: Error,
    host: &str,
    port: u16,
    limit: Duration,
    connect: impl Future<Output = Result<C, E>>,
) -> Error
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if !is_worthwhile(&error) {
        return error;
    }
    let hearing = async { hear(host, port, limit, connect.await.ok()?).await };
    match tokio::time::timeout(limit, hearing).await {
        Ok(Some(reply)) => refine(error, &reply),
        _ => error,
    }
}

#[cfg(feature = "tokio")]
async fn hear<C>(host: &str, port: u16, limit: Duration, channel: C) -> Option<UnverifiedReply>
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let context = unverified(limit).ok()?;
    let mut stream = context.secure_async(host, channel).await.ok()?;
    stream
        .write_all(question(host, port).as_bytes())
        .await
        .ok()?;
    stream.flush().await.ok()?;
    let mut head = Vec::new();
    let mut chunk = vec![0; 4096];
    while !is_over(&head) {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    answer(&head)
}
