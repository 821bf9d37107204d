//! Reads certificates from files and writes them as PEM, without trusting them.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pki_types::CertificateDer;

use crate::certificates::Contents;
use crate::trust::{self, TrustError, TrustProblem};

/// The certificates of a file: PEM with any number of them, in order, DER, or a PKCS#7 bundle in either.
///
/// They are not parsed: malformed certificates are returned as well, so that a report
/// can say what is wrong with it.
///
/// # Errors
/// When the file cannot be read or holds no certificate. The error's `Display` is about trust, for which
/// such files are mostly read; its `problem` is not.
pub fn certificates_from_file(
    path: impl AsRef<Path>,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let path = path.as_ref();
    trust::contents_of_file(path)
        .and_then(certificates)
        .map_err(|problem| TrustError {
            path: Some(path.to_owned()),
            problem,
        })
}

/// The certificates in the response of a `caIssuers` URL (RFC 5280, section 4.2.2.1;
/// RFC 5652): one in DER, PEM with any number of them, or a certs-only PKCS#7 bundle in DER or PEM.
///
/// They are not parsed and must not be trusted.
///
/// # Errors
/// When there is no certificate in it. See [`certificates_from_file`] about its `Display`.
pub fn certificates_from_bytes(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    certificates(Contents::of(bytes)).map_err(|problem| TrustError {
        path: None,
        problem,
    })
}

fn certificates(contents: Contents) -> Result<Vec<CertificateDer<'static>>, TrustProblem> {
    let placed = trust::only_certificates(contents)?;
    Ok(placed.into_iter().map(|one| one.der).collect())
}

/// The certificates as PEM (RFC 7468), one section each.
///
/// ```
/// use handfast::{CertificateDer, certificates_to_pem};
/// let pem = certificates_to_pem(&[CertificateDer::from(vec![0x30, 0])]);
/// assert_eq!(pem, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
/// ```
pub fn certificates_to_pem(certificates: &[CertificateDer<'_>]) -> String {
    const COLUMNS: usize = 64;
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut symbols = &*BASE64_STANDARD.encode(certificate);
        // Base64 is ASCII: it can be cut anywhere.
        while let Some((line, rest)) = symbols.split_at_checked(COLUMNS.min(symbols.len()))
            && !line.is_empty()
        {
            text.push_str(line);
            text.push('\n');
            symbols = rest;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::Element;
    use crate::x509::wrap_sequence;
    use proptest::prelude::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut element = wrap_sequence(content);
        element[0] = tag;
        element
    }

    /// SignedData without signers (RFC 5652, 5.1).
    fn bundle(certificates: &[Vec<u8>]) -> Vec<u8> {
        let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
        let signed = [
            &[2, 1, 1, 0x31, 0, 0x30, 0][..],
            &element(0xa0, &certificates.concat()),
            &[0x31, 0],
        ]
        .concat();
        let wrapped = element(0xa0, &wrap_sequence(&signed));
        wrap_sequence(&[&oid[..], &wrapped].concat())
    }

    proptest! {
        #[test]
        fn bundles_round_trip(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5),
        ) {
            let certificates: Vec<Vec<u8>> = contents.iter().map(|one| wrap_sequence(one)).collect();
            let expected: Vec<_> = certificates.iter().cloned().map(CertificateDer::from).collect();
            let der = bundle(&certificates);
            prop_assert_eq!(&certificates_from_bytes(&der).unwrap(), &expected);
            let text = BASE64_STANDARD.encode(&der);
            let pem = format!("-----BEGIN PKCS7-----\n{text}\n-----END PKCS7-----\n");
            prop_assert_eq!(&certificates_from_bytes(pem.as_bytes()).unwrap(), &expected);
        }

        #[test]
        fn no_bytes_cause_a_panic(
            at in any::<prop::sample::Index>(),
            with in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut der = bundle(&[wrap_sequence(&[7; 200]), wrap_sequence(&[8; 20])]);
            let at = at.index(der.len());
            der[at] = with;
            der.truncate(cut.index(der.len()) + 1);
            // Every certificate found is one element.
            for one in certificates_from_bytes(&der).into_iter().flatten() {
                prop_assert!(Element::only(&one).is_some());
            }
        }
    }
}
