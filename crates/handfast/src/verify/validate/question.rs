//! The inputs of a path validation.

use pki_types::{CertificateDer, UnixTime};

use super::super::pin::SpkiSha256;
use super::super::purpose::Purpose;
use super::super::revocation::RevocationLists;
use crate::trust::Resolved;

/// All inputs of a path validation (RFC 5280, 6.1.1).
pub(in crate::verify) struct Question<'q> {
    pub(in crate::verify) end_entity: &'q CertificateDer<'q>,
    /// The other certificates that were sent, in any order.
    pub(in crate::verify) intermediates: &'q [CertificateDer<'q>],
    pub(in crate::verify) trust: &'q Resolved,
    pub(in crate::verify) chain_depth_max: usize,
    pub(in crate::verify) revocation: &'q RevocationLists,
    /// If not empty, the path must contain one of these keys.
    pub(in crate::verify) pins: &'q [SpkiSha256],
    pub(in crate::verify) purpose: Purpose,
    pub(in crate::verify) now: UnixTime,
}

impl Question<'_> {
    /// The time, in unix seconds.
    pub(super) fn now_seconds(&self) -> i64 {
        i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX)
    }
}
