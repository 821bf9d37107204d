//! A private key in a file, encrypted or not.

use std::path::Path;

use zeroize::Zeroizing;

use super::der::Kind;
use super::error::IdentityProblem;
use super::passphrase::Passphrase;
#[cfg(feature = "encrypted-keys")]
use super::unlock;

/// A private key, encrypted or not.
pub(super) struct Key {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
    /// Encrypted with the legacy PEM encryption; contains the value of `DEK-Info`.
    legacy_encryption: Option<Option<String>>,
}

impl Key {
    pub(super) fn plain(kind: Kind, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            kind,
            bytes,
            legacy_encryption: None,
        }
    }

    /// From a PEM section; `legacy_encryption` if the section itself is encrypted, with its `DEK-Info`.
    pub(super) fn of_pem(
        kind: Kind,
        bytes: Zeroizing<Vec<u8>>,
        legacy_encryption: Option<Option<String>>,
    ) -> Self {
        Self {
            kind,
            bytes,
            legacy_encryption,
        }
    }

    /// A description for messages.
    pub(super) fn describe(&self) -> &'static str {
        self.kind.describe()
    }

    /// The DER of the key and its encoding, decrypted if it was encrypted.
    pub(super) fn decrypt(
        self,
        path: Option<&Path>,
        passphrase: &mut Passphrase,
    ) -> Result<(Kind, Zeroizing<Vec<u8>>), IdentityProblem> {
        match (self.legacy_encryption, self.kind) {
            #[cfg(feature = "encrypted-keys")]
            (Some(dek_info), _) => {
                unlock::legacy_pem(&self.bytes, dek_info.as_deref(), path, passphrase)
            }
            #[cfg(feature = "encrypted-keys")]
            (None, Kind::EncryptedPkcs8) => unlock::pkcs8(&self.bytes, path, passphrase),
            #[cfg(not(feature = "encrypted-keys"))]
            (Some(_), _) | (None, Kind::EncryptedPkcs8) => {
                let _ = (path, passphrase);
                Err(IdentityProblem::FormatLeftOut {
                    format: "an encrypted key",
                    feature: "encrypted-keys",
                })
            }
            (None, kind) => Ok((kind, self.bytes)),
        }
    }
}

#[cfg(all(test, not(feature = "encrypted-keys")))]
mod left_out {
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
