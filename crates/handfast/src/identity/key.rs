//! A private key in a file, encrypted or not.

use std::path::Path;

use zeroize::Zeroizing;

use super::der::Kind;
use super::error::IdentityProblem;
#[cfg(not(feature = "encrypted-keys"))]
use super::left_out as unlock;
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
            (Some(dek_info), _) => {
                unlock::legacy_pem(&self.bytes, dek_info.as_deref(), path, passphrase)
            }
            (None, Kind::EncryptedPkcs8) => unlock::pkcs8(&self.bytes, path, passphrase),
            (None, kind) => Ok((kind, self.bytes)),
        }
    }
}
