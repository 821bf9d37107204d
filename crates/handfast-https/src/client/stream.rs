//! What HTTP/1.1 runs over: TLS, or for URLs of the scheme http the bare channel, with the same interface.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use handfast::{CloseOutcome, Ending, Error, NetworkCause, Phase, ReadOutcome, Traffic};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::tls_stream::{self, Channel, TlsStream};

/// As much as a record of TLS has at most.
const READ_BYTES: usize = 16 * 1024;

/// A connection's stream.
#[derive(Debug)]
pub(super) enum Stream {
    Tls(Box<TlsStream>),
    Plain(Plain),
}

/// A channel without TLS. Its end is FIN, which anyone on the path can send.
#[derive(Debug)]
pub(super) struct Plain {
    channel: Box<dyn Channel>,
    traffic: Traffic,
    ending: Option<Ending>,
    buffer: Box<[u8]>,
}

impl Plain {
    pub(super) fn new(channel: Box<dyn Channel>) -> Self {
        Self {
            channel,
            traffic: Traffic::default(),
            ending: None,
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<ReadOutcome, Error>> {
        if let Some(ending) = self.ending {
            return Poll::Ready(Ok(ReadOutcome::End(ending)));
        }
        let room = limit.clamp(1, READ_BYTES);
        let mut buffer = ReadBuf::new(self.buffer.get_mut(..room).unwrap_or_default());
        if let Err(error) = ready!(Pin::new(&mut self.channel).poll_read(cx, &mut buffer)) {
            return Poll::Ready(Err(self.failed(error, Phase::Response)));
        }
        let bytes = buffer.filled();
        if bytes.is_empty() {
            self.ending = Some(Ending::Premature);
            return Poll::Ready(Ok(ReadOutcome::End(Ending::Premature)));
        }
        let count = bytes.len() as u64;
        self.traffic.bytes_received = self.traffic.bytes_received.wrapping_add(count);
        self.traffic.plaintext_received = self.traffic.plaintext_received.wrapping_add(count);
        take(bytes);
        Poll::Ready(Ok(ReadOutcome::Data(bytes.len())))
    }

    /// An error of the channel; that the peer is gone is an end.
    fn failed(&mut self, error: io::Error, phase: Phase) -> Error {
        let error = Error::new(phase, NetworkCause::from(error));
        if tls_stream::is_end(&error) {
            self.ending.get_or_insert(Ending::Reset);
        }
        error
    }
}

impl Stream {
    pub(super) fn traffic(&self) -> Traffic {
        match self {
            Self::Tls(stream) => stream.traffic(),
            Self::Plain(plain) => plain.traffic,
        }
    }

    /// How the peer's direction ended, if it did. Without TLS a FIN is [`Ending::Premature`]: nothing was stated.
    pub(super) fn ending(&self) -> Option<Ending> {
        match self {
            Self::Tls(stream) => stream.ending(),
            Self::Plain(plain) => plain.ending,
        }
    }

    pub(super) fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<ReadOutcome, Error>> {
        match self {
            Self::Tls(stream) => stream.poll_read_with(cx, limit, take),
            Self::Plain(plain) => plain.poll_read_with(cx, limit, take),
        }
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Plain(plain) => {
                let written = ready!(Pin::new(&mut plain.channel).poll_write_vectored(cx, slices));
                Poll::Ready(match written {
                    Ok(count) => {
                        let more = count as u64;
                        plain.traffic.bytes_sent = plain.traffic.bytes_sent.wrapping_add(more);
                        plain.traffic.plaintext_sent =
                            plain.traffic.plaintext_sent.wrapping_add(more);
                        Ok(count)
                    }
                    Err(error) => Err(io::Error::other(Error::new(
                        Phase::Request,
                        NetworkCause::from(error),
                    ))),
                })
            }
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Plain(plain) => Pin::new(&mut plain.channel).poll_flush(cx),
        }
    }

    /// Closes within this limit: TLS in two phases.
    pub(super) async fn close(self, limit: Duration) -> CloseOutcome {
        match self {
            Self::Tls(stream) => tls_stream::close(*stream, limit).await,
            Self::Plain(mut plain) => {
                let shut = timeout(limit, plain.channel.shutdown()).await;
                match (shut, plain.ending) {
                    (Ok(Ok(())), Some(Ending::Premature) | None) => CloseOutcome::SentOnly,
                    _ => CloseOutcome::PeerGone,
                }
            }
        }
    }
}
