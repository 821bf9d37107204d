//! Bodies (RFC 9112, sections 6 and 7): from bytes to pieces.

use super::Framing;
use super::chunked::{Chunks, Malformed};
use super::piece::{Found, take};

/// Cuts a body out of what follows a head.
#[derive(Debug, Clone)]
pub struct Body(State);

#[derive(Debug, Clone)]
enum State {
    /// So many bytes are missing.
    Length(u64),
    Chunked(Box<Chunks>),
    /// Everything, up to the end of the connection.
    UntilClose,
    Done,
}

impl Body {
    /// The body of a message that is framed like this.
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::default()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// The body of a request that is framed like this: chunks are held to the grammar to the letter, because a
    /// proxy in front may read otherwise what is not.
    pub fn of_request(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self(State::Chunked(Box::new(Chunks::of_request()))),
            _ => Self::new(framing),
        }
    }

    /// Has its end been seen? Never, where only the end of the connection ends it.
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Bytes that are missing, where the length was announced.
    pub fn missing(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// Takes what it can from the front of `rest`. Nothing is copied and nothing kept.
    ///
    /// # Errors
    /// [`Malformed`] when chunks are not spelled as RFC 9112, section 7.1, has them. Where the message
    /// ends cannot be known then.
    pub fn read<'b>(&mut self, rest: &mut &'b [u8]) -> Result<Found<'b>, Malformed> {
        match &mut self.0 {
            State::Done => Ok(Found::End),
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
                    self.0 = State::Done;
                }
                Ok(found)
            }
        }
    }
}
