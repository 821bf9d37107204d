//! Certificates out of a PKCS#7 bundle (RFC 5652: SignedData that signs nothing), as `.p7b` and `.p7c`
//! files hold them and servers hand them out.

use pki_types::CertificateDer;

use crate::der::{CONTEXT_0, Element, INTEGER, OBJECT_IDENTIFIER, SEQUENCE};

/// Platform stores have some 150 authorities, and can be exported whole.
const BUNDLED_MAX: usize = 1024;

/// The certificates of a SignedData, in no order that means anything; `None` when it is none, or holds
/// none or far too many. A bundle in a bundle is no certificate.
pub(crate) fn certificates(der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    const SET: u8 = 0x31;
    let mut content_info = Element::only_of(der, SEQUENCE)?.reader();
    if !is_signed_data(der) {
        return None;
    }
    content_info.take(OBJECT_IDENTIFIER)?;
    let signed = content_info.take_wrapped(CONTEXT_0, SEQUENCE)?;
    let mut fields = signed.reader();
    fields.take(INTEGER)?;
    fields.take(SET)?;
    fields.take(SEQUENCE)?;
    let certificates: Vec<_> = fields
        .take(CONTEXT_0)?
        .children()
        .filter(|one| one.tag == SEQUENCE && !is_signed_data(one.raw))
        .take(BUNDLED_MAX + 1)
        .map(|one| CertificateDer::from(one.raw.to_vec()))
        .collect();
    (1..=BUNDLED_MAX)
        .contains(&certificates.len())
        .then_some(certificates)
}

/// Whether it begins like one.
fn is_signed_data(der: &[u8]) -> bool {
    const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
    let kind = Element::only_of(der, SEQUENCE).and_then(|outer| outer.children().next());
    kind.and_then(Element::oid)
        .is_some_and(|oid| oid == SIGNED_DATA)
}
