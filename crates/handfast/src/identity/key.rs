//! A private key as a file holds it, encrypted or not.

use std::path::Path;

use zeroize::Zeroizing;

use super::der::Kind;
use super::error::IdentityProblem;
use super::passphrase::Passphrase;
use super::unlock;

/// A private key, locked or not.
pub(super) struct Key {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
    /// Locked in the old manner of PEM; inside, the value of `DEK-Info`.
    old_lock: Option<Option<String>>,
}

impl Key {
    pub(super) fn plain(kind: Kind, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            kind,
            bytes,
            old_lock: None,
        }
    }

    /// One of a PEM section; `old_lock` where the section itself is encrypted, with its `DEK-Info`.
    pub(super) fn of_pem(
        kind: Kind,
        bytes: Zeroizing<Vec<u8>>,
        old_lock: Option<Option<String>>,
    ) -> Self {
        Self {
            kind,
            bytes,
            old_lock,
        }
    }

    /// What it is, as people call it.
    pub(super) fn describe(&self) -> &'static str {
        self.kind.describe()
    }

    /// The DER of the key and its encoding, unlocked where it was locked.
    pub(super) fn unlock(
        self,
        path: Option<&Path>,
        passphrase: &mut Passphrase,
    ) -> Result<(Kind, Zeroizing<Vec<u8>>), IdentityProblem> {
        match (self.old_lock, self.kind) {
            (Some(dek_info), _) => {
                unlock::old_pem(&self.bytes, dek_info.as_deref(), path, passphrase)
            }
            (None, Kind::LockedPkcs8) => unlock::pkcs8(&self.bytes, path, passphrase),
            (None, kind) => Ok((kind, self.bytes)),
        }
    }
}
