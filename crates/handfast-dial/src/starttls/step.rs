//! The result of a protocol's script for the bytes received so far.

/// How much of an unexpected answer is kept as evidence.
const EVIDENCE_MAX: usize = 256;

/// The result of a script.
pub(super) enum Step {
    /// The answer is not complete yet.
    Wait,
    /// `used` bytes were an answer; `next` is sent, and another answer expected.
    Say { used: usize, next: Vec<u8> },
    /// `used` bytes were the last answer before TLS; `last` is the last message sent.
    Done { used: usize, last: Vec<u8> },
}

pub(super) fn evidence(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take(EVIDENCE_MAX).collect()
}
