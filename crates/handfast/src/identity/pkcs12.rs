//! PKCS#12 (RFC 7292): a key and its certificates in one encrypted file, in no particular order.
//!
//! The decoder does not wipe its copies of the decrypted key; ours are wiped.

use std::path::Path;

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::der::{self, Kind};
use super::error::IdentityProblem;
use super::key::Key;
use super::passphrase::{Passphrase, PassphraseRequest};
use super::unlock::name_scheme;
use crate::der::Element;

/// The content of the file.
pub(super) struct Opened {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<Key>,
}

/// Decrypts the file. Tries the empty passphrase first, so that no passphrase is requested for it.
pub(super) fn open(
    der: &[u8],
    path: Option<&Path>,
    passphrase: &mut Passphrase,
) -> Result<Opened, IdentityProblem> {
    let archive = match Pkcs12Archive::from_pkcs12(der, "") {
        Err(error) if is_wrong_passphrase(&error, der) => {
            let encryption = describe(der);
            let secret = passphrase.reveal(&PassphraseRequest {
                path: path.map(Into::into),
                encryption: encryption.clone(),
            })?;
            let Ok(text) = std::str::from_utf8(&secret) else {
                // PKCS#12 passphrases are text by definition: bytes that are not UTF-8 cannot be right.
                return Err(IdentityProblem::WrongPassphrase { encryption });
            };
            // The decoder converts passphrases to UCS-2, which lacks these characters.
            if text.chars().any(|character| character > '\u{ffff}') {
                return Err(IdentityProblem::UnsupportedEncryption {
                    encryption: format!("{encryption}, with a passphrase beyond U+FFFF"),
                });
            }
            Pkcs12Archive::from_pkcs12(der, text)
        }
        result => result,
    };
    let archive = archive.map_err(|error| problem(&error, der))?;
    Ok(Opened {
        certificates: archive
            .certs
            .iter()
            .map(|bag| CertificateDer::from(bag.cert.as_der().to_vec()))
            .collect(),
        keys: archive
            .keys
            .iter()
            .map(|bag| Key::plain(Kind::Pkcs8, Zeroizing::new(bag.key.as_der().to_vec())))
            .collect(),
    })
}

fn problem(error: &Error, der: &[u8]) -> IdentityProblem {
    if is_wrong_passphrase(error, der) {
        return IdentityProblem::WrongPassphrase {
            encryption: describe(der),
        };
    }
    match error {
        Error::UnsupportedEncryptionScheme
        | Error::UnsupportedMacAlgorithm
        | Error::UnsupportedContentType
        | Error::InvalidParameters
        | Error::Pkcs5Error(_) => IdentityProblem::UnsupportedEncryption {
            encryption: format!("{} ({error})", describe(der)),
        },
        _ => IdentityProblem::MalformedDer {
            what: "the PKCS#12 file".to_owned(),
            detail: error.to_string(),
        },
    }
}

fn is_wrong_passphrase(error: &Error, der: &[u8]) -> bool {
    match error {
        Error::MacError(_) | Error::UnpadError => true,
        Error::Pkcs5Error(text) => *text == pkcs8::pkcs5::Error::DecryptFailed.to_string(),
        // Without a MAC, decryption with a wrong passphrase succeeds with random bytes one time in 256.
        Error::DerError(_) | Error::InvalidPrivateKey | Error::X509Error(_) => {
            let has_mac = Element::only(der).is_some_and(|outer| outer.children().count() > 2);
            !has_mac && der::recognise(der) == Some(Kind::Pkcs12)
        }
        _ => false,
    }
}

/// The algorithms named in the unencrypted part of the file.
fn describe(der: &[u8]) -> String {
    let mut names = vec!["PKCS#12".to_owned()];
    for id in der::object_identifiers(der) {
        let locks = [
            "1.2.840.113549.1.5.",
            "1.2.840.113549.1.12.1.",
            "1.3.6.1.4.1.11591.4.",
        ]
        .iter()
        .any(|family| id.starts_with(family));
        let (name, is_known) = name_scheme(&id);
        if (locks || is_known) && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}
