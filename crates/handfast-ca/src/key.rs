//! Private keys of the certificates: generated, encoded as PKCS#8 in PEM, wiped after use.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::Ed25519KeyPair;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use pki_types::PrivatePkcs8KeyDer;
use rcgen::{KeyPair, PublicKeyData, RsaKeySize, SignatureAlgorithm, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::CaError;

/// OWASP's recommendation for PBKDF2 with HMAC-SHA-256: decrypting takes a quarter of a second, for
/// the owner and for each guess of an attacker.
const PBKDF2_ROUNDS: u32 = 600_000;

/// Kinds of private keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KeyType {
    /// ECDSA on P-256: the default, small, fast and supported everywhere.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// Ed25519. Browsers do not support it.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// RSA of 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA of 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
        }
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072)
    }

    /// A fresh key.
    pub(crate) fn generate(self) -> Result<PrivateKey, CaError> {
        const DOING: &str = "generate a key";
        let pair = match self {
            Self::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => {
                // Not through rcgen, which writes PKCS#8 version 2 here: OpenSSL 3.0 and GnuTLS cannot
                // read that.
                let key = Ed25519KeyPair::generate().map_err(CaError::crypto(DOING))?;
                let der = key.to_pkcs8v1().map_err(CaError::crypto(DOING))?;
                let der = Zeroizing::new(der.as_ref().to_vec());
                return PrivateKey::from_pkcs8(&PrivatePkcs8KeyDer::from(der.as_slice()))
                    .map_err(CaError::crypto(DOING));
            }
            Self::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
        };
        pair.map(PrivateKey).map_err(CaError::crypto(DOING))
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("expected one of {known}")
            })
    }
}

/// A key pair whose serialised form is wiped when it is dropped.
pub(crate) struct PrivateKey(KeyPair);

impl PrivateKey {
    pub(crate) fn from_pkcs8(der: &PrivatePkcs8KeyDer<'_>) -> Result<Self, rcgen::Error> {
        KeyPair::try_from(der).map(Self)
    }

    /// PKCS#8 in PEM: `PRIVATE KEY`, or with a passphrase `ENCRYPTED PRIVATE KEY`.
    ///
    /// Encrypted with PBES2, PBKDF2 and AES-256-CBC: scrypt is more resistant to guessing, but GnuTLS
    /// and Java do not support it.
    pub(crate) fn to_pem(
        &self,
        passphrase: Option<&Zeroizing<String>>,
    ) -> Result<Zeroizing<String>, CaError> {
        const DOING: &str = "encode the key";
        let der = self.0.serialized_der();
        let info = PrivateKeyInfoRef::try_from(der).map_err(CaError::crypto(DOING))?;
        let Some(passphrase) = passphrase else {
            let document =
                pkcs8::SecretDocument::try_from(&info).map_err(CaError::crypto(DOING))?;
            return document
                .to_pem("PRIVATE KEY", LineEnding::LF)
                .map_err(CaError::crypto(DOING));
        };
        let salt = random::<16>()?;
        let iv = random::<16>()?;
        let parameters =
            pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv)
                .map_err(CaError::crypto("encrypt the key"))?;
        let encrypted = info
            .encrypt_with_params(parameters, passphrase.as_bytes())
            .map_err(CaError::crypto("encrypt the key"))?;
        // Decrypted once, so that a key that cannot be decrypted is never returned.
        EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes())
            .map_err(CaError::crypto("encrypt the key"))?;
        encrypted
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(CaError::crypto(DOING))
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Never the key.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CaError::Crypto {
            doing: "get random bytes",
            detail: "the operating system returned none".to_owned(),
        })?;
    Ok(bytes)
}
