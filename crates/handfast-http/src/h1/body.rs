//! Parsing message bodies (RFC 9112, sections 6 and 7).

use http::HeaderMap;

use super::Framing;
use super::chunked::{Chunks, Malformed};
use super::piece::{Found, take};

/// Extracts a body from the bytes that follow a head.
#[derive(Debug, Clone)]
pub struct Body(State);

#[derive(Debug, Clone)]
enum State {
    /// This many bytes are missing.
    Length(u64),
    Chunked(Box<Chunks>),
    /// Everything until the end of the connection.
    UntilClose,
    Done,
    /// It has ended, with trailer fields that nothing has taken.
    Trailed(Box<HeaderMap>),
}

impl Body {
    /// The body of a message with this framing.
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::default()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// The body of a request with this framing: chunks must follow the grammar exactly, because a proxy in front
    /// may parse other forms differently.
    pub fn of_request(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self(State::Chunked(Box::new(Chunks::of_request()))),
            _ => Self::new(framing),
        }
    }

    /// Whether its end was received. Always false for [`Framing::UntilClose`].
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done | State::Trailed(_))
    }

    /// The trailer fields of a chunked body that has ended, if there are any (RFC 9112, section 7.1.2). Given once. They are not
    /// header fields: what they say of framing, of who sends or of the content has no effect (RFC 9110, section 6.5.1).
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match std::mem::replace(&mut self.0, State::Done) {
            State::Trailed(fields) => Some(*fields),
            other => {
                self.0 = other;
                None
            }
        }
    }

    /// The number of missing bytes, if the length was announced.
    pub fn missing(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Done | State::Trailed(_) => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// Takes as much as possible from the front of `rest`, without copying or buffering.
    ///
    /// # Errors
    /// [`Malformed`] if chunks do not follow RFC 9112, section 7.1. The end of the message is unknown then.
    pub fn read<'b>(&mut self, rest: &mut &'b [u8]) -> Result<Found<'b>, Malformed> {
        match &mut self.0 {
            State::Done | State::Trailed(_) => Ok(Found::End),
            State::Length(left) => {
                let piece = take(rest, *left);
                if piece.is_empty() {
                    return Ok(Found::More);
                }
                *left -= piece.len() as u64;
                if *left == 0 {
                    self.0 = State::Done;
                }
                Ok(Found::Piece(piece))
            }
            State::UntilClose => Ok(match take(rest, u64::MAX) {
                [] => Found::More,
                piece => Found::Piece(piece),
            }),
            State::Chunked(chunks) => {
                let found = chunks.read(rest)?;
                if found == Found::End {
                    self.0 = match chunks.take_trailers() {
                        Some(fields) => State::Trailed(Box::new(fields)),
                        None => State::Done,
                    };
                }
                Ok(found)
            }
        }
    }
}
