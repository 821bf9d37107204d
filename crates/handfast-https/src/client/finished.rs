//! How an exchange ended that ended well, and what becomes of its connection.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use handfast::{CloseOutcome, Ending, Traffic};
use http::HeaderMap;
use tokio::time::timeout;

use super::completeness::Whole;
use super::facts::Opened;
use super::http1::Http1;
use super::http2::Exchange;
use super::origin::Origin;
use super::pool::{self, Speaks};
use super::shared::Shared;

/// How an exchange ended that ended well.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The proof that the response is whole.
    pub whole: Whole,
    /// The trailer fields, if any came (RFC 9110, section 6.5): what the server said behind the content. Servers may send them
    /// over HTTP/1.1 only to clients that say `TE: trailers`.
    pub trailers: Option<HeaderMap>,
    /// How the connection's incoming direction ended; `None` while it goes on.
    pub ending: Option<Ending>,
    /// How the close went, if the connection had to be closed.
    pub close: Option<CloseOutcome>,
    /// What went over the connection since it was made.
    pub traffic: Traffic,
    /// The server answered before it had taken the whole request, and not all of it was sent.
    pub request_cut_short: bool,
    /// What was not as HTTP has it, and did no harm.
    pub oddities: Vec<Oddity>,
}

impl Finished {
    /// The connection is kept, or seen to its end and closed, within the limit.
    pub(super) async fn end_http1(
        &mut self,
        mut http1: Box<Http1>,
        opened: Arc<Opened>,
        origin: &Origin,
        shared: &Arc<Shared>,
        persistent: bool,
        limit: Duration,
    ) {
        let began = Instant::now();
        self.trailers = http1.take_trailers();
        if persistent {
            poll_fn(|cx| {
                http1.look(cx);
                Poll::Ready(())
            })
            .await;
        } else {
            // The server closes first: its end belongs to this response.
            let _ = timeout(limit, poll_fn(|cx| http1.poll_ending(cx))).await;
        }
        self.ending = http1.ending();
        self.traffic = http1.stream().traffic();
        if http1.left_over() > 0 {
            let bytes = http1.left_over();
            self.oddities.push(Oddity::LeftOver { bytes });
        }
        if persistent && http1.is_open() {
            let speaks = Speaks::Http1(http1);
            let claim = None;
            shared.keep(
                origin,
                pool::Connection {
                    opened,
                    speaks,
                    claim,
                },
            );
            return;
        }
        let is_given_up = http1.is_request_cut_short();
        let limit = limit.saturating_sub(began.elapsed());
        let outcome = http1.close(limit).await;
        self.close = Some(outcome);
        if outcome == CloseOutcome::PeerGone && self.ending.is_none() && !is_given_up {
            self.ending = Some(Ending::Reset);
        }
    }

    /// The connection goes on for others, unless it is done and this was the last to use it.
    pub(super) async fn end_http2(
        &mut self,
        exchange: Exchange,
        shared: &Arc<Shared>,
        limit: Duration,
    ) {
        self.trailers = exchange.take_trailers();
        let connection = exchange.shared().clone();
        self.ending = connection.ending();
        self.traffic = connection.traffic();
        let is_last = !connection.is_open() && exchange.is_alone();
        if is_last {
            shared.pool.forget(&connection);
        }
        drop(exchange);
        if is_last {
            self.close = Some(connection.close(limit).await);
        }
    }
}

/// Something about a response that is whole and that HTTP does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// Bytes came after its end. They were thrown away, and the connection was closed.
    LeftOver {
        /// How many were seen.
        bytes: u64,
    },
    /// It announced a length and sent chunks, which count (RFC 9112, section 6.3): servers and
    /// proxies that read it differently can be played off against each other.
    LengthAndChunks,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOver { bytes: 1 } => f.write_str("1 byte came after the end of the response, and was thrown away"),
            Self::LeftOver { bytes } => {
                write!(f, "{bytes} bytes came after the end of the response, and were thrown away")
            }
            Self::LengthAndChunks => f.write_str(
                "the response announced a length and sent chunks: the chunks counted, and the connection was not used again",
            ),
        }
    }
}
