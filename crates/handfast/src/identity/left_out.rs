//! What stands in for the formats that this build does not read: the error says which.
//!
//! Always PKCS#12, whose feature includes that of encrypted keys.

use std::path::Path;

use pki_types::CertificateDer;

#[cfg(not(feature = "encrypted-keys"))]
use super::der::Kind;
use super::error::IdentityProblem;
use super::key::Key;
use super::passphrase::Passphrase;

#[cfg(not(feature = "encrypted-keys"))]
type Decrypted = Result<(Kind, zeroize::Zeroizing<Vec<u8>>), IdentityProblem>;

#[cfg(not(feature = "encrypted-keys"))]
pub(super) fn pkcs8(_: &[u8], _: Option<&Path>, _: &mut Passphrase) -> Decrypted {
    Err(left_out("an encrypted key", "encrypted-keys"))
}

#[cfg(not(feature = "encrypted-keys"))]
pub(super) fn legacy_pem(
    _: &[u8],
    _: Option<&str>,
    _: Option<&Path>,
    _: &mut Passphrase,
) -> Decrypted {
    Err(left_out("an encrypted key", "encrypted-keys"))
}

pub(super) struct Opened {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<Key>,
}

pub(super) fn open(
    _: &[u8],
    _: Option<&Path>,
    _: &mut Passphrase,
) -> Result<Opened, IdentityProblem> {
    Err(left_out("a PKCS#12 file", "pkcs12"))
}

fn left_out(format: &'static str, feature: &'static str) -> IdentityProblem {
    IdentityProblem::FormatLeftOut { format, feature }
}

#[cfg(all(test, not(feature = "encrypted-keys")))]
mod tests {
    use crate::{Identity, Passphrase, ServerName};

    #[test]
    fn what_was_left_out_is_refused_by_name() {
        let section =
            |label, body| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        // An EncryptedPrivateKeyInfo, as far as it is recognised: an algorithm and an octet string.
        let locked = section("ENCRYPTED PRIVATE KEY", "MBMwDQYJKoZIhvcNAQUNBQAEAmFh");
        let legacy = section(
            "RSA PRIVATE KEY",
            "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA",
        );
        let certificate = section("CERTIFICATE", "MAA=");
        for key in [locked, legacy] {
            let error = Identity::from_bytes(
                certificate.as_bytes(),
                key.as_bytes(),
                Passphrase::from("x"),
            )
            .unwrap_err();
            assert_eq!(error.id(), "key-format-left-out", "{error}");
        }
        // PFX: version 3, ContentInfo of data.
        let pfx = b"\x30\x14\x02\x01\x03\x30\x0f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x02\x04\x00";
        let error = Identity::from_pkcs12(pfx, Passphrase::none()).unwrap_err();
        assert_eq!(error.id(), "key-format-left-out", "{error}");
        assert!(ServerName::parse("m\u{fc}nchen.example").is_err());
        assert_eq!(
            ServerName::parse("Shop.Example.").unwrap().as_str(),
            "shop.example"
        );
    }
}
