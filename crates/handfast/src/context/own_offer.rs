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

#[cfg(test)]
mod tests {
    use crate::registry::WireVersion;
    use crate::{ClientContext, TlsVersion};

    #[test]
    fn suites_are_of_the_versions_offered() {
        let offer = |versions: &[TlsVersion]| {
            let client = ClientContext::builder().versions(versions.iter().copied());
            client.build().unwrap().own_offer()
        };
        let count = |versions: &[TlsVersion]| {
            let offer = offer(versions);
            // Those of TLS 1.3 are a range of their own (RFC 8446, appendix B.4).
            let new = offer.suites.iter().filter(|suite| suite.0 >> 8 == 0x13);
            (offer.suites.len() - new.clone().count(), new.count())
        };
        let (old, new) = count(&[]);
        assert!(old > 0 && new > 0);
        assert_eq!(count(&[TlsVersion::Tls12]), (old, 0));
        assert_eq!(count(&[TlsVersion::Tls13]), (0, new));
        let versions = offer(&[TlsVersion::Tls13]).versions;
        assert_eq!(versions, [WireVersion::Tls13]);
    }
}
