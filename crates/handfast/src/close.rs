//! What the end of a stream meant, and how to make one (RFC 8446, section 6.1).
//!
//! Plain data and limits; the closing itself is done by the streams, which own a channel.

use std::fmt;
use std::time::Duration;

/// How the peer's direction of a connection ended.
///
/// Three different values, never confused: only the first proves that everything arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// `close_notify`: the peer said, under the protection of the connection's keys, that this
    /// was all. What follows it is ignored.
    CloseNotify,
    /// The channel ended (FIN) without `close_notify`. Anybody on the path can cause this: what
    /// arrived may be cut off, unless a framing above TLS says that it was whole.
    Premature,
    /// The connection was reset. As above; besides, bytes in flight in either direction are lost.
    Reset,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloseNotify => "close_notify",
            Self::Premature => "FIN without close_notify",
            Self::Reset => "reset",
        })
    }
}

/// How far to go when closing first.
///
/// Every policy begins alike: flush, send `close_notify`, half-close the channel (FIN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClosePolicy {
    /// Do not wait. Bytes of the peer that nobody has read make the operating system send a
    /// reset, which can destroy the end of what we sent: only for peers that send nothing.
    Send,
    /// Read and discard until the peer ends, within limits: the peer gets our last bytes whole.
    Linger(LingerLimits),
    /// Insist on the peer's `close_notify`, for at most this long.
    Wait(Duration),
}

impl ClosePolicy {
    /// How long to wait for the peer's end; `None` when the policy does not wait at all.
    pub(crate) fn limits(self) -> Option<LingerLimits> {
        match self {
            Self::Send => None,
            Self::Linger(limits) => Some(limits),
            Self::Wait(limit) => Some(LingerLimits {
                silence: limit,
                total: limit,
                bytes_max: u64::MAX,
            }),
        }
    }
}

impl Default for ClosePolicy {
    fn default() -> Self {
        Self::Linger(LingerLimits::default())
    }
}

/// When lingering gives up waiting for the peer's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LingerLimits {
    /// After this long without a byte. Default 5 s: several retransmissions of a lost segment.
    pub silence: Duration,
    /// After this long in all. Default 30 s: a peer that drips bytes cannot hold us longer.
    pub total: Duration,
    /// After this many bytes. Default 1 MiB: what a peer may have had in flight; a peer that
    /// sends more is not going to stop.
    pub bytes_max: u64,
}

impl Default for LingerLimits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(5),
            total: Duration::from_secs(30),
            bytes_max: 1024 * 1024,
        }
    }
}

impl LingerLimits {
    /// For a peer that was refused: 2 s of silence, 5 s or 256 KiB in all. It has an alert of a few bytes
    /// to read, and what it may still send is its last flight and the beginning of a request.
    pub const AFTER_REFUSAL: Self = Self {
        silence: Duration::from_secs(2),
        total: Duration::from_secs(5),
        bytes_max: 256 * 1024,
    };
}

/// How a close went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseOutcome {
    /// Both ends said `close_notify`: neither is in doubt.
    Complete,
    /// Our `close_notify` was sent; the peer's did not come (it ended without one, the policy
    /// did not wait, or a limit passed).
    SentOnly,
    /// The connection had failed. In place of `close_notify` the alert that says why was sent, and as
    /// the policy says the peer had time to read it.
    AlertSent,
    /// The connection was gone before or while we closed: our last bytes may not have arrived.
    PeerGone,
}

impl CloseOutcome {
    /// The outcome when our `close_notify` was sent and the peer's direction ended so.
    pub(crate) fn after(ending: Option<Ending>) -> Self {
        match ending {
            Some(Ending::CloseNotify) => Self::Complete,
            Some(Ending::Reset) => Self::PeerGone,
            Some(Ending::Premature) | None => Self::SentOnly,
        }
    }
}

impl fmt::Display for CloseOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::SentOnly => "sent only",
            Self::AlertSent => "alert sent",
            Self::PeerGone => "peer gone",
        })
    }
}

/// Keeps count while a stream waits for the peer's end. Time is an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lingering {
    limits: LingerLimits,
    insist: bool,
    waited: Duration,
    bytes: u64,
}

impl Lingering {
    /// `None` when the policy does not wait at all.
    pub(crate) fn new(policy: ClosePolicy) -> Option<Self> {
        Some(Self {
            limits: policy.limits()?,
            insist: matches!(policy, ClosePolicy::Wait(_)),
            waited: Duration::ZERO,
            bytes: 0,
        })
    }

    /// How much longer the next read may take; `None` when a limit has been reached.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let left = self
            .limits
            .total
            .checked_sub(self.waited)?
            .min(self.limits.silence);
        (!left.is_zero() && self.bytes < self.limits.bytes_max).then_some(left)
    }

    /// `total` time has passed since the closing began and `received` more bytes came.
    pub(crate) fn progressed(&mut self, total: Duration, received: u64) {
        self.waited = total;
        self.bytes = self.bytes.saturating_add(received);
    }

    /// Must the peer's last word be understood (decrypted), or is its FIN enough?
    pub(crate) fn insists(&self) -> bool {
        self.insist
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lingering_ends_by_silence_total_or_bytes() {
        assert!(Lingering::new(ClosePolicy::Send).is_none());
        let mut linger = Lingering::new(ClosePolicy::default()).unwrap();
        assert_eq!(linger.patience(), Some(Duration::from_secs(5)));
        linger.progressed(Duration::from_secs(27), 10);
        assert_eq!(linger.patience(), Some(Duration::from_secs(3)));
        linger.progressed(Duration::from_secs(28), 1024 * 1024);
        assert_eq!(linger.patience(), None);

        let mut wait = Lingering::new(ClosePolicy::Wait(Duration::from_secs(2))).unwrap();
        wait.progressed(Duration::from_secs(1), u64::MAX / 2);
        assert_eq!(wait.patience(), Some(Duration::from_secs(1)));
        wait.progressed(Duration::from_secs(2), 0);
        assert_eq!(wait.patience(), None);
    }
}
