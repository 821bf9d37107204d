//! What a protocol's script makes of the bytes that have come.

/// How much of an unexpected answer is kept as evidence.
const EVIDENCE_MAX: usize = 256;

/// What a script makes of the bytes so far.
pub(super) enum Step {
    /// They are not a whole answer yet.
    Wait,
    /// So many of them were an answer; this is said next, and another answer awaited.
    Say { used: usize, next: Vec<u8> },
    /// So many of them were the last answer before TLS; this is said as the last thing.
    Done { used: usize, last: Vec<u8> },
}

pub(super) fn evidence(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take(EVIDENCE_MAX).collect()
}
