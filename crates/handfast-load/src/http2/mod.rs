//! HTTP/2 for a load tester: the same request repeatedly; responses are measured without storing them.
//!
//! The protocol is in `handfast-http`; here are the request, encoded once for all connections, and the
//! data of each stream. Nothing is allocated for a response except its stream. Receive windows are as large
//! as the protocol allows, so that flow control does not slow a server down.

mod encoded;
mod measured;

use std::time::Instant;

use handfast::Ending;
use handfast_http::h2::frame::{STREAM_ID_MAX, WINDOW_MAX, code};
use handfast_http::h2::{Connection, Cut, Event, Limits, Output};

pub(super) use self::encoded::Encoded;
use self::measured::Measured;
use super::outcome::{Broken, Response};

/// The limit on concurrent streams of a connection: more than any server allows.
pub(super) const STREAMS_MAX: usize = 1024;

/// The limit on a response's header list in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The limit on unsent answers to pings and settings: a peer that causes more without
/// reading is flooding.
const CONTROL_BYTES_MAX: usize = 256 * 1024;

/// A finished stream, with its result.
#[derive(Debug)]
pub(super) struct Finished<T> {
    /// The tag from [`Session::start`].
    pub(super) tag: T,
    pub(super) result: Result<Response, Broken>,
}

/// One connection. `T` is the caller's tag of a stream.
#[derive(Debug)]
pub(super) struct Session<T> {
    core: Connection<Measured, Option<Exchange<T>>>,
    streams_max: usize,
    open: usize,
    /// The encoding of the next request.
    encoding: Encoding,
    /// The error code of a GOAWAY.
    going: Option<u32>,
    left: bool,
    /// The time of the last input, which is sufficient for a client without time limits for streams.
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    First,
    Again,
    /// With a table size update, which may be unsent.
    Literal {
        update_due: bool,
    },
}

#[derive(Debug)]
struct Exchange<T> {
    tag: T,
    response: Response,
    /// How much of the body was sent.
    body_sent: usize,
}

impl<T> Session<T> {
    /// A connection with a limit on concurrent streams. Its preface is in the output.
    pub(super) fn new(streams_max: usize) -> Self {
        let limits = Limits {
            streams_max: 0,
            head_bytes_max: HEAD_BYTES_MAX,
            fields_max: usize::MAX,
            stream_window: WINDOW_MAX,
            connection_window: WINDOW_MAX,
            ..Limits::default()
        };
        let now = Instant::now();
        Self {
            core: Connection::new(limits, now),
            streams_max: streams_max.min(STREAMS_MAX),
            open: 0,
            encoding: Encoding::First,
            going: None,
            left: false,
            now,
        }
    }

    /// Whether another request can be sent now.
    pub(super) fn has_room(&self) -> bool {
        self.open < self.streams_max && self.core.has_room()
    }

    /// Whether no further requests can be sent on this connection.
    pub(super) fn is_going(&self) -> bool {
        self.left || self.core.is_going() || self.core.last_opened() > STREAM_ID_MAX - 2
    }

    /// The number of open requests.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// The tags of the open requests, and whether their responses have begun.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (&T, bool)> {
        let streams = self.core.each().filter_map(|(_, own)| own.as_ref());
        streams.map(|own| (&own.tag, own.response.status != 0))
    }

    /// Sends the request once more.
    pub(super) fn start(&mut self, request: &Encoded, tag: T) {
        let now = self.now;
        if (self.core.peer_table_max() as usize) < request.blocks.table_bytes
            && !matches!(self.encoding, Encoding::Literal { .. })
        {
            self.encoding = Encoding::Literal { update_due: true };
        }
        let block = match self.encoding {
            Encoding::First => {
                self.encoding = Encoding::Again;
                &request.blocks.first
            }
            Encoding::Again => &request.blocks.again,
            Encoding::Literal { .. } => &request.blocks.literal,
        };
        let update: &[u8] = match &mut self.encoding {
            Encoding::Literal { update_due } if *update_due => {
                *update_due = false;
                &[0x20]
            }
            _ => &[],
        };
        let end = request.body.is_empty();
        let own = Some(Exchange {
            tag,
            response: Response::default(),
            body_sent: 0,
        });
        let opened = self
            .core
            .open_encoded([update, block], end, request.is_head, own, now);
        if let Ok(stream) = opened {
            self.open += 1;
            if !end {
                self.core.want(stream, now);
            }
        }
    }

    /// Processes the next bytes of the connection; finished streams are added to `done`.
    ///
    /// # Errors
    /// [`Broken`] if they violate the protocol: the connection cannot be used then, and the
    /// GOAWAY is in the output.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        now: Instant,
        done: &mut Vec<Finished<T>>,
    ) -> Result<(), Broken> {
        self.now = now;
        let mut rest = bytes;
        let mut result = Ok(());
        while let Some(event) = self.core.receive(&mut rest, now) {
            match event {
                Event::Head {
                    stream,
                    message,
                    end,
                } => {
                    if message.status >= 200
                        && let Some(Some(own)) = self.core.own(stream)
                    {
                        own.response.status = message.status;
                    }
                    if end {
                        self.finish(stream, done);
                    }
                }
                Event::Data { stream, body, end } => {
                    let count = body.len() as u32;
                    if let Some(Some(own)) = self.core.own(stream) {
                        own.response.body_bytes += u64::from(count);
                    }
                    self.core.release(stream, count);
                    if end {
                        self.finish(stream, done);
                    }
                }
                Event::Trailers { stream, .. } => self.finish(stream, done),
                Event::Lost { own, cut, .. } => self.lose(own, cut, None, done),
                Event::Going { code, .. } => self.going = Some(code),
                Event::TooLarge { .. } | Event::BodyCut { .. } => {}
                Event::Failed(violation) => result = Err(Broken::malformed(violation.what)),
            }
        }
        if result.is_ok() && self.core.output().len() > CONTROL_BYTES_MAX {
            result = Err(Broken::malformed("a flood of control frames"));
        }
        result
    }

    /// The connection has ended so: what was under way is not going to be finished.
    pub(super) fn end(&mut self, ending: Ending, done: &mut Vec<Finished<T>>) {
        let now = Instant::now();
        self.core.end_of_input(now);
        while let Some(event) = self.core.receive(&mut &[][..], now) {
            if let Event::Lost { own, cut, .. } = event {
                self.lose(own, cut, Some(ending), done);
            }
        }
    }

    /// Says that no more requests will come.
    pub(super) fn leave(&mut self) {
        self.left = true;
        self.core.wind_up();
    }

    /// What is to be sent, with as much of the requests' bodies as windows and output have room for.
    pub(super) fn output(&mut self, request: &Encoded) -> &mut Output {
        self.send_bodies(request);
        self.core.output()
    }

    fn finish(&mut self, stream: u32, done: &mut Vec<Finished<T>>) {
        let own = self.core.own(stream).and_then(Option::take);
        if self.core.is_sending(stream) {
            // A complete response before the request was: the rest of it is not wanted.
            self.core.reset(stream, code::CANCEL);
        }
        if let Some(own) = own {
            self.open = self.open.saturating_sub(1);
            done.push(Finished {
                tag: own.tag,
                result: Ok(own.response),
            });
        }
    }

    fn lose(
        &mut self,
        own: Option<Exchange<T>>,
        cut: Cut,
        ending: Option<Ending>,
        done: &mut Vec<Finished<T>>,
    ) {
        let Some(own) = own else {
            return;
        };
        self.open = self.open.saturating_sub(1);
        let begun = own.response.status != 0;
        let ending = ending.unwrap_or(Ending::CloseNotify);
        let broken = match cut {
            Cut::Reset(code) => Broken::StreamReset { code, begun },
            Cut::Unprocessed(code) => Broken::GoAway {
                code,
                refused: true,
            },
            Cut::Malformed(what) => Broken::malformed(what),
            Cut::Failed => Broken::malformed("the connection failed"),
            Cut::Stalled | Cut::Ended if begun => Broken::Truncated(ending),
            Cut::Stalled | Cut::Ended => match self.going {
                Some(code) => Broken::GoAway {
                    code,
                    refused: false,
                },
                None => Broken::Empty(ending),
            },
        };
        done.push(Finished {
            tag: own.tag,
            result: Err(broken),
        });
    }

    /// What is to be sent was taken: lets go of the buffer.
    pub(super) fn rest(&mut self) {
        self.core.output().rest();
    }

    fn send_bodies(&mut self, request: &Encoded) {
        while self.core.has_turns()
            && let Some(turn) = self.core.turn()
        {
            let Some(Some(own)) = self.core.own(turn.stream) else {
                continue;
            };
            let left = request.body.get(own.body_sent..).unwrap_or_default();
            let part = left.get(..turn.room).unwrap_or(left);
            own.body_sent += part.len();
            let end = part.len() == left.len();
            self.core.put_data(turn, part, end);
            if !end {
                self.core.want(turn.stream, self.now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
