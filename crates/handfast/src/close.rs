//! How a stream ended, and how to close one (RFC 8446, section 6.1).
//!
//! Plain data and limits; the streams do the I/O.

use std::fmt;
use std::time::Duration;

/// How the peer's direction of a connection ended.
///
/// Only the first value proves that everything arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// `close_notify`: the peer stated, protected by the connection's keys, that this
    /// was all. Later data is ignored.
    CloseNotify,
    /// The channel ended (FIN) without `close_notify`. An attacker on the path can cause this: what
    /// arrived may be truncated, unless the protocol over TLS proves that it is complete.
    Premature,
    /// The connection was reset. As above; also, bytes in flight in either direction are lost.
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
/// Every policy begins with: flush, send `close_notify`, half-close the channel (FIN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClosePolicy {
    /// Do not wait. Unread bytes of the peer make the operating system send a
    /// reset, which can destroy the end of what we sent: only for peers that send nothing.
    Send,
    /// Read and discard until the peer ends, within limits, so that the peer receives all of our data.
    Linger(LingerLimits),
    /// Wait for the peer's `close_notify`, at most this long.
    Wait(Duration),
}

impl ClosePolicy {
    /// How long to wait for the peer's end; `None` if the policy does not wait.
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

/// The limits on waiting for the peer's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LingerLimits {
    /// The time without data. Default 5 s: several retransmissions of a lost segment.
    pub silence: Duration,
    /// The total time. Default 30 s, for a peer that sends slowly.
    pub total: Duration,
    /// The number of bytes. Default 1 MiB: what a peer may have in flight; a peer that
    /// sends more is not stopping.
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
    /// For a rejected peer: 2 s without data, 5 s or 256 KiB in total. It has an alert of a few bytes
    /// to read, and may still send its last flight and the beginning of a request.
    pub const AFTER_REFUSAL: Self = Self {
        silence: Duration::from_secs(2),
        total: Duration::from_secs(5),
        bytes_max: 256 * 1024,
    };
}

/// The outcome of a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseOutcome {
    /// Both sides sent `close_notify`: both directions are complete.
    Complete,
    /// Our `close_notify` was sent; the peer's did not arrive (it ended without one, the policy
    /// did not wait, or a limit passed).
    SentOnly,
    /// The connection had failed. The alert was sent in place of `close_notify`, and
    /// the peer had time to read it, according to the policy.
    AlertSent,
    /// The connection was lost before or during the close: our last bytes may not have arrived.
    PeerGone,
}

impl CloseOutcome {
    /// The outcome if our `close_notify` was sent and the peer's direction ended like this.
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

/// Applies the limits while a stream waits for the peer's end. Time is an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lingering {
    limits: LingerLimits,
    insist: bool,
    waited: Duration,
    bytes: u64,
}

impl Lingering {
    /// `None` if the policy does not wait.
    pub(crate) fn new(policy: ClosePolicy) -> Option<Self> {
        Some(Self {
            limits: policy.limits()?,
            insist: matches!(policy, ClosePolicy::Wait(_)),
            waited: Duration::ZERO,
            bytes: 0,
        })
    }

    /// The limit of the next read; `None` if a limit is reached.
    pub(crate) fn next_limit(&self) -> Option<Duration> {
        let left = self
            .limits
            .total
            .checked_sub(self.waited)?
            .min(self.limits.silence);
        (!left.is_zero() && self.bytes < self.limits.bytes_max).then_some(left)
    }

    /// `total` time has passed since the close began, and `received` more bytes arrived.
    pub(crate) fn progressed(&mut self, total: Duration, received: u64) {
        self.waited = total;
        self.bytes = self.bytes.saturating_add(received);
    }

    /// Whether the peer's last records must be decrypted; otherwise its FIN is enough.
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
        assert_eq!(linger.next_limit(), Some(Duration::from_secs(5)));
        linger.progressed(Duration::from_secs(27), 10);
        assert_eq!(linger.next_limit(), Some(Duration::from_secs(3)));
        linger.progressed(Duration::from_secs(28), 1024 * 1024);
        assert_eq!(linger.next_limit(), None);

        let mut wait = Lingering::new(ClosePolicy::Wait(Duration::from_secs(2))).unwrap();
        wait.progressed(Duration::from_secs(1), u64::MAX / 2);
        assert_eq!(wait.next_limit(), Some(Duration::from_secs(1)));
        wait.progressed(Duration::from_secs(2), 0);
        assert_eq!(wait.next_limit(), None);
    }
}
