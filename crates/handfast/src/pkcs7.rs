//! Reads certificates from a PKCS#7 bundle (RFC 5652: SignedData without signers), as in `.p7b` and `.p7c`
//! files and responses of servers.

use pki_types::CertificateDer;

use crate::der::{CONTEXT_0, Element, INTEGER, OBJECT_IDENTIFIER, SEQUENCE};

/// The limit on certificates: platform stores have about 150, and can be exported.
const BUNDLED_MAX: usize = 1024;

/// The certificates of a SignedData, in undefined order; `None` if it is not one, or has
/// none or too many. A nested bundle is not a certificate.
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

/// Whether it begins like a SignedData.
fn is_signed_data(der: &[u8]) -> bool {
    const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
    let kind = Element::only_of(der, SEQUENCE).and_then(|outer| outer.children().next());
    kind.and_then(Element::oid)
        .is_some_and(|oid| oid == SIGNED_DATA)
}
