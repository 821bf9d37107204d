//! Certificates from a file and to a text, for programs that look at them without trusting them.

use std::path::Path;

use base64ct::{Base64, Encoding};
use pki_types::CertificateDer;

use crate::trust::{self, TrustError};

/// The certificates of a file: PEM with any number of them, in order, or DER with one.
///
/// Nothing in them is looked at: even a certificate that is malformed comes back, so that a report
/// can say what is wrong with it.
///
/// # Errors
/// When the file cannot be read or holds no certificate. The error's `Display` speaks of trust, which
/// is what such files are mostly read for; its `problem` does not.
pub fn certificates_from_file(
    path: impl AsRef<Path>,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let path = path.as_ref();
    trust::certificates_of_file(path).map_err(|problem| TrustError {
        path: Some(path.to_owned()),
        problem,
    })
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
        let mut symbols = &*Base64::encode_string(certificate);
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
