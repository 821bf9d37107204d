//! The state of a connection of HTTP/2, which its task shares with the exchanges.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use handfast::{CloseOutcome, Ending, NetworkCause, Phase};
use handfast_http::h2::frame::code;
use handfast_http::h2::{self, Connection, Cut, Limits, Responses};
use http::HeaderMap;

use super::super::error::Error;
use super::super::http1::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX};
use super::super::tls_stream::TlsStream;
use super::super::upload::Outflow;
use super::outcome::{Again, Broken, NoResponse};

/// How much of a body may be in flight on one stream, and on the connection: a gigabit per second over
/// 60 ms.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct State {
    /// Until it is being closed.
    pub(super) stream: Option<TlsStream>,
    pub(super) http: Connection<Responses, ()>,
    pub(super) streams: HashMap<u32, Slot>,
    /// How many exchanges are about to open a stream.
    pub(super) claims: usize,
    /// Wakes the task.
    pub(super) driver: Option<Waker>,
    /// Streams whose bodies their callers have not made yet.
    pub(super) held: Vec<u32>,
    /// Something was written that may not have left the TLS stream.
    pub(super) unflushed: bool,
    /// Those who wait until they may open a stream, each task once.
    pub(super) waiting: Vec<Waker>,
    pub(super) end: End,
    /// To be closed within this limit.
    pub(super) closing: Option<Duration>,
    pub(super) closed: Option<CloseOutcome>,
    /// Those who wait until it is closed.
    pub(super) closers: Vec<Waker>,
    /// Since when nothing is under way.
    pub(super) idle_since: Instant,
}

/// Why the connection serves no more exchanges, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Nothing more can be received.
    pub(super) received_all: bool,
    /// What TLS or the network had to say.
    pub(super) failure: Option<handfast::Error>,
    /// What was wrong with what the server sent.
    pub(super) malformed: Option<String>,
    /// The server goes: its GOAWAY.
    pub(super) going: Option<(u32, String)>,
}

/// What has come of one exchange, and what is still to be sent.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) waker: Option<Waker>,
    pub(super) head: Option<h2::Response>,
    pub(super) begun: bool,
    pub(super) data: Vec<u8>,
    pub(super) ended: bool,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) cut: Option<Cut>,
    pub(super) upload: Bytes,
    /// What makes more of it, until it has ended.
    pub(super) outflow: Option<Outflow>,
    /// All that there was is sent, and its caller has not made more yet.
    pub(super) held: bool,
    /// Why it ended before its end.
    pub(super) upload_failure: Option<io::Error>,
    pub(super) sending: bool,
    /// The rest of what is to be sent was given up.
    pub(super) stopped: bool,
    pub(super) moved: u64,
}

/// What a caller's body gives when it is asked for more.
pub(super) type Piece = Poll<io::Result<Option<Bytes>>>;

impl Slot {
    /// Takes what came of asking for more of its body; gives back what has no more.
    pub(super) fn take_piece(&mut self, outflow: Outflow, piece: Piece) -> Option<Outflow> {
        self.held = piece.is_pending();
        match piece {
            Poll::Ready(Ok(Some(piece))) => self.upload = piece,
            Poll::Ready(Ok(None)) => return Some(outflow),
            Poll::Ready(Err(error)) => {
                self.upload_failure = Some(error);
                self.stopped = true;
                self.wake();
                return Some(outflow);
            }
            Poll::Pending => {}
        }
        self.outflow = Some(outflow);
        None
    }

    pub(super) fn wake(&mut self) {
        self.moved = self.moved.wrapping_add(1);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl State {
    pub(super) fn new(stream: TlsStream) -> Self {
        let limits = Limits {
            head_bytes_max: HEAD_BYTES_MAX,
            fields_max: HEAD_FIELDS_MAX,
            stream_window: WINDOW_BYTES,
            connection_window: WINDOW_BYTES,
            ..Limits::default()
        };
        let now = Instant::now();
        Self {
            stream: Some(stream),
            http: Connection::new(limits, now),
            streams: HashMap::new(),
            claims: 0,
            driver: None,
            held: Vec::new(),
            unflushed: false,
            waiting: Vec::new(),
            end: End::default(),
            closing: None,
            closed: None,
            closers: Vec::new(),
            idle_since: now,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.claims == 0
    }

    pub(super) fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Why there is no response. `cut` is the end of the stream; without, none could be opened.
    pub(super) fn no_response(&self, cut: Option<Cut>) -> NoResponse {
        let going = |end: &End, code| {
            let debug = end.going.as_ref().map(|(_, debug)| debug.clone());
            Error::GoAway {
                code,
                debug: debug.unwrap_or_default(),
            }
        };
        let (error, again) = match cut {
            Some(Cut::Reset(code::HTTP_1_1_REQUIRED)) => (
                Error::StreamReset {
                    code: code::HTTP_1_1_REQUIRED,
                },
                Again::OverHttp1,
            ),
            Some(Cut::Unprocessed(code::HTTP_1_1_REQUIRED)) => {
                (going(&self.end, code::HTTP_1_1_REQUIRED), Again::OverHttp1)
            }
            Some(Cut::Unprocessed(code)) => (going(&self.end, code), Again::Unprocessed),
            Some(Cut::Reset(code)) => {
                let again = match code {
                    code::REFUSED_STREAM => Again::Unprocessed,
                    _ => Again::No,
                };
                (Error::StreamReset { code }, again)
            }
            Some(Cut::Malformed(what)) => (
                Error::Malformed {
                    problem: what.to_owned(),
                },
                Again::No,
            ),
            Some(Cut::Stalled | Cut::Ended | Cut::Failed) if self.closing.is_some() => {
                (Error::ClientClosed, Again::No)
            }
            Some(Cut::Stalled | Cut::Ended | Cut::Failed) => {
                (self.end.error(self.stream.as_ref()), Again::IfHarmless)
            }
            // Nothing was sent.
            None => (self.end.error(self.stream.as_ref()), Again::Unprocessed),
        };
        NoResponse { error, again }
    }

    pub(super) fn broken(&self, cut: Cut) -> Broken {
        match cut {
            Cut::Reset(code) | Cut::Unprocessed(code) => Broken::Reset(format!(
                "the server gave up the stream: {}",
                code::name(code)
            )),
            Cut::Malformed(what) => Broken::Malformed(what.to_owned()),
            Cut::Stalled | Cut::Ended | Cut::Failed if self.closing.is_some() => {
                Broken::Reset("the client was closed".to_owned())
            }
            Cut::Stalled | Cut::Ended | Cut::Failed => {
                match (&self.end.malformed, self.end.reason()) {
                    (Some(malformed), _) => Broken::Malformed(malformed.clone()),
                    (None, Some(reason)) => Broken::Reset(reason),
                    (None, None) => {
                        Broken::Ended(self.end.failure.as_ref().map(handfast::Error::duplicate))
                    }
                }
            }
        }
    }

    /// Nothing more is received or sent: all who wait for it are told.
    pub(super) fn cut_all(&mut self) {
        self.end.received_all = true;
        cut_all(&mut self.streams);
        for waker in std::mem::take(&mut self.waiting) {
            waker.wake();
        }
    }
}

impl End {
    /// Why the server closed the connection, if its GOAWAY has a reason.
    fn reason(&self) -> Option<String> {
        let (code, debug) = self.going.as_ref()?;
        if *code == code::NO_ERROR {
            return None;
        }
        let said = match debug.is_empty() {
            true => String::new(),
            false => format!(", \"{debug}\""),
        };
        let name = code::name(*code);
        Some(format!(
            "the server closed the connection: GOAWAY with {name}{said}"
        ))
    }

    /// What the connection's end means to an exchange without a response.
    pub(super) fn error(&self, stream: Option<&TlsStream>) -> Error {
        if let Some(problem) = &self.malformed {
            return Error::Malformed {
                problem: problem.clone(),
            };
        }
        if let Some(failure) = &self.failure {
            return Error::Connection(failure.duplicate());
        }
        if let Some((code, debug)) = &self.going {
            return Error::GoAway {
                code: *code,
                debug: debug.clone(),
            };
        }
        match stream.and_then(TlsStream::ending) {
            Some(Ending::Reset) => {
                Error::Connection(handfast::Error::new(Phase::Response, NetworkCause::Reset))
            }
            ending => Error::EmptyReply { ending },
        }
    }
}

/// Those who wait for what has not come, or cannot be sent, are told.
pub(super) fn cut_all(streams: &mut HashMap<u32, Slot>) {
    for slot in streams.values_mut() {
        if slot.cut.is_none() && (!slot.ended || slot.sending) {
            slot.cut = Some(Cut::Ended);
            slot.wake();
        }
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
