//! Encrypted keys: PKCS#8 (RFC 5958, PBES2 of RFC 8018), and OpenSSL's legacy PEM encryption.
//!
//! Neither format detects a wrong passphrase reliably: with one, decryption fails on its padding, or one
//! time in 256 returns random bytes. So the result must be the DER of a key; if not, the passphrase was
//! wrong.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, KeyInit, KeyIvInit as _};
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Pbkdf2Prf};
use zeroize::Zeroizing;

use super::der::{self, Kind};
use super::error::IdentityProblem;
use super::passphrase::{Passphrase, PassphraseRequest};

/// More iterations would take longer than half a minute: the file is damaged.
const PBKDF2_ITERATIONS_MAX: u32 = 20_000_000;
/// Memory that scrypt may take: many times OpenSSL's own limit.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const SCRYPT_PARALLEL_MAX: u16 = 16;

/// Decrypts a PKCS#8 key to its DER.
pub(super) fn pkcs8(
    locked: &[u8],
    path: Option<&std::path::Path>,
    passphrase: &mut Passphrase,
) -> Result<(Kind, Zeroizing<Vec<u8>>), IdentityProblem> {
    let info = EncryptedPrivateKeyInfoRef::try_from(locked)
        .map_err(|error| unknown_scheme(locked, &error.to_string()))?;
    let encryption = supported(&info.encryption_algorithm)?;
    let secret = ask(passphrase, path, &encryption)?;
    let mut buffer = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    match info
        .encryption_algorithm
        .decrypt_in_place(&*secret, &mut buffer)
    {
        Ok(plain) => {
            let length = plain.len();
            buffer.truncate(length);
        }
        Err(pkcs8::pkcs5::Error::DecryptFailed) => {
            return Err(IdentityProblem::WrongPassphrase { encryption });
        }
        Err(error) => {
            return Err(IdentityProblem::UnsupportedEncryption {
                encryption: format!("{encryption} ({error})"),
            });
        }
    }
    expect_key(buffer, encryption)
}

/// Decrypts the body of a PEM section with `Proc-Type: 4,ENCRYPTED`.
pub(super) fn legacy_pem(
    body: &[u8],
    dek_info: Option<&str>,
    path: Option<&std::path::Path>,
    passphrase: &mut Passphrase,
) -> Result<(Kind, Zeroizing<Vec<u8>>), IdentityProblem> {
    let (name, iv) = dek_info
        .and_then(|info| info.split_once(','))
        .ok_or_else(|| IdentityProblem::MalformedDer {
            what: "the encrypted key".to_owned(),
            detail: "its DEK-Info header is missing or incomplete".to_owned(),
        })?;
    let encryption = format!("legacy PEM encryption (MD5, one iteration), {name}");
    let Some(cipher) = OldCipher::named(name) else {
        return Err(IdentityProblem::UnsupportedEncryption { encryption });
    };
    let iv = unhex(iv.trim())
        .filter(|iv| iv.len() == cipher.block_bytes())
        .ok_or_else(|| IdentityProblem::MalformedDer {
            what: "the encrypted key".to_owned(),
            detail: "the initialization vector in its DEK-Info header is malformed".to_owned(),
        })?;
    let secret = ask(passphrase, path, &encryption)?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let Some(length) = cipher.decrypt(&secret, &iv, &mut buffer) else {
        return Err(IdentityProblem::WrongPassphrase { encryption });
    };
    buffer.truncate(length);
    expect_key(buffer, encryption)
}

fn ask(
    passphrase: &mut Passphrase,
    path: Option<&std::path::Path>,
    encryption: &str,
) -> Result<Zeroizing<Vec<u8>>, IdentityProblem> {
    passphrase.reveal(&PassphraseRequest {
        path: path.map(Into::into),
        encryption: encryption.to_owned(),
    })
}

/// If the result is not a key, the passphrase was wrong, even if the padding is valid.
fn expect_key(
    plain: Zeroizing<Vec<u8>>,
    encryption: String,
) -> Result<(Kind, Zeroizing<Vec<u8>>), IdentityProblem> {
    match der::recognise(&plain) {
        Some(kind @ (Kind::Pkcs8 | Kind::Pkcs1 | Kind::Sec1 | Kind::DsaKey)) => Ok((kind, plain)),
        _ => Err(IdentityProblem::WrongPassphrase { encryption }),
    }
}

/// Describes a supported scheme, within limits.
fn supported(scheme: &EncryptionScheme) -> Result<String, IdentityProblem> {
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return Err(IdentityProblem::UnsupportedEncryption {
            encryption: format!("PBES1 (object identifier {})", scheme.oid()),
        });
    };
    let (derivation, is_within_limits) = describe_derivation(&parameters.kdf);
    let encryption = format!(
        "PKCS#8, {derivation}, {}",
        describe_cipher(parameters.encryption)
    );
    if is_within_limits {
        Ok(encryption)
    } else {
        Err(IdentityProblem::UnsupportedEncryption {
            encryption: format!("{encryption}: its work factor exceeds the limit"),
        })
    }
}

fn describe_derivation(kdf: &Kdf) -> (String, bool) {
    match kdf {
        Kdf::Pbkdf2(parameters) => {
            let prf = match parameters.prf {
                Pbkdf2Prf::HmacWithSha1 => "HMAC-SHA1",
                Pbkdf2Prf::HmacWithSha224 => "HMAC-SHA224",
                Pbkdf2Prf::HmacWithSha256 => "HMAC-SHA256",
                Pbkdf2Prf::HmacWithSha384 => "HMAC-SHA384",
                Pbkdf2Prf::HmacWithSha512 => "HMAC-SHA512",
                _ => "another function",
            };
            let count = parameters.iteration_count;
            (
                format!("PBKDF2 with {prf} ({count} iterations)"),
                count <= PBKDF2_ITERATIONS_MAX,
            )
        }
        Kdf::Scrypt(parameters) => {
            let (n, r, p) = (
                parameters.cost_parameter,
                parameters.block_size,
                parameters.parallelization,
            );
            let bytes = n
                .checked_mul(u64::from(r))
                .and_then(|nr| nr.checked_mul(128));
            (
                format!("scrypt (N {n}, r {r}, p {p})"),
                p <= SCRYPT_PARALLEL_MAX && bytes.is_some_and(|bytes| bytes <= SCRYPT_BYTES_MAX),
            )
        }
        _ => ("another key derivation".to_owned(), false),
    }
}

fn describe_cipher(scheme: pbes2::EncryptionScheme) -> &'static str {
    match scheme {
        pbes2::EncryptionScheme::Aes128Cbc { .. } => "AES-128-CBC",
        pbes2::EncryptionScheme::Aes192Cbc { .. } => "AES-192-CBC",
        pbes2::EncryptionScheme::Aes256Cbc { .. } => "AES-256-CBC",
        pbes2::EncryptionScheme::Aes128Gcm { .. } => "AES-128-GCM",
        pbes2::EncryptionScheme::Aes256Gcm { .. } => "AES-256-GCM",
        pbes2::EncryptionScheme::DesEde3Cbc { .. } => "3DES-CBC",
        pbes2::EncryptionScheme::DesCbc { .. } => "DES-CBC",
        _ => "another cipher",
    }
}

/// Whether the parser failed because an algorithm is unknown, or because the bytes are malformed.
fn unknown_scheme(locked: &[u8], detail: &str) -> IdentityProblem {
    let names: Vec<_> = der::object_identifiers(locked)
        .iter()
        .map(|id| name_scheme(id))
        .collect();
    if names.iter().all(|(_, is_supported)| *is_supported) {
        return IdentityProblem::MalformedDer {
            what: "the encrypted key".to_owned(),
            detail: detail.to_owned(),
        };
    }
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    IdentityProblem::UnsupportedEncryption {
        encryption: names.join(", "),
    }
}

/// The name of an encryption algorithm, and whether it is supported.
pub(super) fn name_scheme(id: &str) -> (String, bool) {
    let (name, is_supported) = match id {
        "1.2.840.113549.1.5.13" => ("PBES2", true),
        "1.2.840.113549.1.5.12" => ("PBKDF2", true),
        "1.3.6.1.4.1.11591.4.11" => ("scrypt", true),
        "1.2.840.113549.2.7" => ("HMAC-SHA1", true),
        "1.2.840.113549.2.8" => ("HMAC-SHA224", true),
        "1.2.840.113549.2.9" => ("HMAC-SHA256", true),
        "1.2.840.113549.2.10" => ("HMAC-SHA384", true),
        "1.2.840.113549.2.11" => ("HMAC-SHA512", true),
        "2.16.840.1.101.3.4.1.2" => ("AES-128-CBC", true),
        "2.16.840.1.101.3.4.1.22" => ("AES-192-CBC", true),
        "2.16.840.1.101.3.4.1.42" => ("AES-256-CBC", true),
        "2.16.840.1.101.3.4.1.6" => ("AES-128-GCM", true),
        "2.16.840.1.101.3.4.1.46" => ("AES-256-GCM", true),
        "1.2.840.113549.3.7" => ("3DES-CBC", true),
        "1.3.14.3.2.7" => ("DES-CBC", true),
        "1.2.840.113549.1.5.14" => ("PBMAC1", false),
        "1.2.840.113549.3.2" => ("RC2-CBC", false),
        "1.2.840.113549.1.12.1.1" => ("PBE-SHA1-RC4-128", false),
        "1.2.840.113549.1.12.1.2" => ("PBE-SHA1-RC4-40", false),
        "1.2.840.113549.1.12.1.3" => ("PBE-SHA1-3DES", false),
        "1.2.840.113549.1.12.1.4" => ("PBE-SHA1-2DES", false),
        "1.2.840.113549.1.12.1.5" => ("PBE-SHA1-RC2-128", false),
        "1.2.840.113549.1.12.1.6" => ("PBE-SHA1-RC2-40", false),
        "1.2.392.200011.61.1.1.1.2" => ("Camellia-128-CBC", false),
        "1.2.392.200011.61.1.1.1.4" => ("Camellia-256-CBC", false),
        other => return (format!("object identifier {other}"), false),
    };
    (name.to_owned(), is_supported)
}

/// The ciphers of OpenSSL's legacy PEM encryption.
#[derive(Clone, Copy)]
enum OldCipher {
    Aes128,
    Aes192,
    Aes256,
    Des3,
    Des,
}

impl OldCipher {
    fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_uppercase().as_str() {
            "AES-128-CBC" => Some(Self::Aes128),
            "AES-192-CBC" => Some(Self::Aes192),
            "AES-256-CBC" => Some(Self::Aes256),
            "DES-EDE3-CBC" => Some(Self::Des3),
            "DES-CBC" => Some(Self::Des),
            _ => None,
        }
    }

    fn block_bytes(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
            Self::Des3 | Self::Des => 8,
        }
    }

    /// Decrypts in place, and returns the length without the padding.
    fn decrypt(self, passphrase: &[u8], iv: &[u8], buffer: &mut [u8]) -> Option<usize> {
        match self {
            Self::Aes128 => decrypt::<aes::Aes128Dec>(16, passphrase, iv, buffer),
            Self::Aes192 => decrypt::<aes::Aes192Dec>(24, passphrase, iv, buffer),
            Self::Aes256 => decrypt::<aes::Aes256Dec>(32, passphrase, iv, buffer),
            Self::Des3 => decrypt::<des::TdesEde3>(24, passphrase, iv, buffer),
            Self::Des => decrypt::<des::Des>(8, passphrase, iv, buffer),
        }
    }
}

fn decrypt<C: BlockCipherDecrypt + KeyInit>(
    key_bytes: usize,
    passphrase: &[u8],
    iv: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let key = derive(key_bytes, passphrase, iv.get(..8)?);
    let cipher = cbc::Decryptor::<C>::new_from_slices(&key, iv).ok()?;
    let plain = cipher.decrypt_padded::<Pkcs7>(buffer).ok()?;
    Some(plain.len())
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one iteration: D(i) = MD5(D(i-1) || passphrase || salt).
fn derive(key_bytes: usize, passphrase: &[u8], salt: &[u8]) -> Zeroizing<Vec<u8>> {
    // One block of MD5 more than the longest key, so that it is not reallocated without wiping.
    let mut key = Zeroizing::new(Vec::with_capacity(48));
    let mut last: Zeroizing<[u8; 16]> = Zeroizing::default();
    while key.len() < key_bytes {
        let mut hash = Md5::new();
        if !key.is_empty() {
            hash.update(*last);
        }
        hash.update(passphrase);
        hash.update(salt);
        last.copy_from_slice(&hash.finalize());
        key.extend_from_slice(&*last);
    }
    key.truncate(key_bytes);
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
