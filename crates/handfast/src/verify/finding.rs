//! The result of a failed rule: the cause and the certificate of the chain as sent.

use super::error::VerifyCause;

/// Why a path, or a chain, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: VerifyCause,
    /// The certificate at fault; `None` if it is the trust anchor or none.
    pub(super) at_index: Option<usize>,
}

impl Finding {
    pub(super) fn at(index: usize, cause: VerifyCause) -> Self {
        Self {
            cause,
            at_index: Some(index),
        }
    }

    pub(super) fn anywhere(cause: VerifyCause) -> Self {
        Self {
            cause,
            at_index: None,
        }
    }
}
