//! What a client context offers, by number.

use crate::registry::{GroupId, SchemeId, SuiteId, WireVersion};

/// What a client offers to servers, by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OwnOffer {
    /// Protocol versions, the oldest first.
    pub versions: Vec<WireVersion>,
    /// Cipher suites of all these versions, in order of preference.
    pub suites: Vec<SuiteId>,
    /// Key exchange groups, in order of preference.
    pub groups: Vec<GroupId>,
    /// Signature schemes, in order of preference.
    pub schemes: Vec<SchemeId>,
}
