//! Which protocol has the next record: the handshake, or the records after it.

use super::records::Records;
use super::step::{Next, Step};
use crate::callback_data::Session;
use crate::side::Side;
use crate::tls::{Handshake, Progress};

/// The protocol that the next record belongs to.
#[derive(Debug)]
pub(super) enum Tls {
    /// rustls' state machine.
    Handshake(Box<Handshake>),
    /// After it, our record protocol.
    Records(Box<Records>),
    /// Neither: it failed when the one was to become the other.
    Neither,
}

impl Tls {
    /// The handshake, while it lasts.
    pub(super) fn handshake(&self) -> Option<&Handshake> {
        match self {
            Self::Handshake(handshake) => Some(handshake),
            Self::Records(_) | Self::Neither => None,
        }
    }

    /// Takes the records over from the handshake, which must have nothing left to do.
    pub(super) fn take_over(&mut self, session: &Session, side: Side) -> Result<(), rustls::Error> {
        match std::mem::replace(self, Self::Neither) {
            Self::Handshake(handshake) => {
                let records = Records::new(handshake.finish()?, side, session.clone())?;
                *self = Self::Records(Box::new(records));
            }
            other => *self = other,
        }
        Ok(())
    }

    /// Takes one step. Gives how many bytes of `incoming` are used up, and what to do next.
    pub(super) fn step(
        &mut self,
        step: &mut Step<'_, '_, '_>,
        incoming: &mut [u8],
    ) -> (usize, Next) {
        match self {
            Self::Handshake(handshake) => {
                let (used, progress) = handshake.step(incoming, step.outgoing);
                let next = match progress {
                    Progress::More => Next::More,
                    Progress::Drained => Next::Drained,
                    Progress::Ended => Next::Ended,
                    Progress::Failed(error) => Next::Failed(error),
                };
                (used, next)
            }
            Self::Records(records) => records.step(step, incoming),
            Self::Neither => {
                let error = rustls::Error::General("the connection has failed before".into());
                (0, Next::Failed(error))
            }
        }
    }
}
