//! Input from the channel: the room for it, and its bookkeeping.

#[cfg(unix)]
use super::Received;
use super::step::Target;
use super::{Connection, FIRST_BYTES_MAX, HELLO_BYTES_MAX, INCOMING_ROOM_MIN};
use crate::close::Ending;
use crate::error::Error;
use crate::side::Side;

impl Connection {
    /// Room for the channel to read into; at least one record's worth. Its content is of this connection, or zero.
    pub fn receive_room(&mut self) -> &mut [u8] {
        let max = self.receive_max;
        let room = self.incoming.room(INCOMING_ROOM_MIN);
        let offered = room.len().min(max);
        &mut room[..offered]
    }

    /// How many bytes of room are offered for one read of the channel, but no less than for one record. Default: all of
    /// a buffer, eight records. A caller that expects little can read less at once.
    pub fn set_receive_max(&mut self, bytes: usize) {
        self.receive_max = bytes.max(INCOMING_ROOM_MIN);
    }

    /// Reads once from a socket or a pipe: what [`receive_room`](Self::receive_room), a
    /// read and [`received`](Self::received) or [`received_end`](Self::received_end) do together. Only the operating system writes into the room, so it need not be cleared.
    ///
    /// # Errors
    /// Those of the read; they do not change the connection.
    #[cfg(unix)]
    pub fn receive_from(&mut self, channel: impl std::os::fd::AsFd) -> std::io::Result<Received> {
        let room = self.incoming.unseen_room(INCOMING_ROOM_MIN);
        let offered = room.len().min(self.receive_max);
        let count = rustix::io::read(channel, &mut room[..offered])?;
        match count {
            0 => self.received_end(),
            _ => self.received(count),
        }
        Ok(Received {
            count,
            is_full: count == offered,
        })
    }

    /// `count` bytes of [`receive_room`](Self::receive_room) were filled by the channel.
    ///
    /// Bytes after `close_notify`, or after a failure, are counted and discarded (RFC 8446, section 6.1).
    pub fn received(&mut self, count: usize) {
        if self.ending.is_some() || self.failure.is_some() {
            self.incoming.fill(count);
            self.incoming.clear();
            self.facts.bytes_received += count as u64;
            self.traffic.bytes_received += count as u64;
            return;
        }
        let kept_max = match self.facts.side {
            Some(Side::Server) => HELLO_BYTES_MAX,
            _ => FIRST_BYTES_MAX,
        };
        if self.facts.bytes_received < kept_max as u64 && self.report.is_none() {
            let before = self.incoming.len();
            self.incoming.fill(count);
            let fresh = self.incoming.filled().get(before..).unwrap_or_default();
            let missing = kept_max.saturating_sub(self.facts.first_bytes.len());
            self.facts
                .first_bytes
                .extend_from_slice(&fresh[..fresh.len().min(missing)]);
        } else {
            self.incoming.fill(count);
        }
        self.facts.bytes_received += count as u64;
        self.traffic.bytes_received += count as u64;
    }

    /// The same in one step, for bytes in memory.
    pub fn receive(&mut self, bytes: &[u8]) {
        let room = self.incoming.unseen_room(bytes.len().max(1));
        if let Some(room) = room.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.received(bytes.len());
        }
    }

    /// The channel has ended (FIN). A second end, or one after a reset, changes nothing.
    pub fn received_end(&mut self) {
        self.channel_ended.get_or_insert(if self.reset_noted {
            Ending::Reset
        } else {
            Ending::Premature
        });
    }

    /// Sending failed by a reset. Earlier data can still be received; the end that follows is not a
    /// FIN, although the operating system, which reports a reset only once, may report one.
    #[cfg(feature = "tokio")]
    pub(crate) fn note_reset(&mut self) {
        self.reset_noted = true;
    }

    /// The channel was reset.
    pub fn received_reset(&mut self) {
        self.channel_ended.get_or_insert(Ending::Reset);
    }

    /// Continues the handshake with the received bytes.
    ///
    /// Afterwards [`outgoing`](Self::outgoing) may have our next flight, or an alert. Needed only during
    /// the handshake; later, [`read`](Self::read) does it.
    ///
    /// # Errors
    /// Why the handshake failed; every later call returns the same error.
    pub fn process(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.report.is_none() {
            self.refuse_other_protocols()?;
            self.apply_preference();
            self.advance(&mut Target::none(), None)?;
        }
        Ok(())
    }
}
