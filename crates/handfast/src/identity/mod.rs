//! Our identity: a certificate chain and its private key.
//!
//! All problems of the two are detected when the identity is loaded, not at the first connection, and
//! reported as a typed [`IdentityError`]:
//!
//! ```text
//! file or bytes -> contents (pem, der: recognition) -> unlock, pkcs12 (passphrase) -> chain (order, key pair)
//! ```

mod chain;
mod contents;
pub(crate) mod der;
mod error;
mod key;
mod passphrase;
#[cfg(feature = "pkcs12")]
mod pkcs12;
mod remote;
#[cfg(feature = "encrypted-keys")]
mod unlock;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::{CertifiedKey, SigningKey};
use zeroize::Zeroizing;

use crate::hex;
use crate::x509::{self, CertificateFacts, RSA_BITS};
use chain::PublicHalf;
use contents::{Contents, Input};
use der::Kind;
pub use error::{IdentityError, IdentityPart, IdentityProblem};
pub use passphrase::{Passphrase, PassphraseRequest};
use remote::Remote;
pub(crate) use remote::SigningFailed;
pub use remote::{RemoteKey, SignatureScheme};

/// A certificate chain and its private key, checked: the key belongs to the first certificate, and
/// each certificate that follows issued one before it.
///
/// Files and bytes may be PEM or DER, and the key PKCS#1, SEC1 or PKCS#8. A key may be encrypted with a
/// passphrase: encrypted PKCS#8 (PBES2 with PBKDF2 or scrypt; AES or 3DES), OpenSSL's legacy
/// `Proc-Type: 4,ENCRYPTED`, or a PKCS#12 file, which can replace either file or both.
///
/// Cloning is cheap. `Debug` shows the subject and nothing of the key.
///
/// ```no_run
/// # fn main() -> Result<(), handfast::IdentityError> {
/// use handfast::{Identity, Passphrase};
///
/// let identity = Identity::from_files("chain.pem", "key.pem", Passphrase::none())?;
/// let in_one_file = Identity::from_file("identity.p12", Passphrase::from("correct horse"))?;
/// println!("{}", identity.facts().subject);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    facts: Arc<CertificateFacts>,
    is_remote: bool,
}

impl Identity {
    /// Reads the chain from one file and the key from another, each in any of the formats.
    ///
    /// If the paths are equal, the file holds both.
    ///
    /// # Errors
    /// [`IdentityError`] if a file cannot be read, has other contents, or the key does not match the
    /// certificate.
    pub fn from_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        passphrase: Passphrase,
    ) -> Result<Self, IdentityError> {
        if chain.as_ref() == key.as_ref() {
            return Self::from_file(chain, passphrase);
        }
        let chain = Input::read(IdentityPart::Chain, chain.as_ref())?;
        let key = Input::read(IdentityPart::Key, key.as_ref())?;
        from_inputs(&chain, &key, passphrase)
    }

    /// [`from_files`](Self::from_files), for the usual case of PEM files. The other formats are accepted, too.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        passphrase: Passphrase,
    ) -> Result<Self, IdentityError> {
        Self::from_files(chain, key, passphrase)
    }

    /// Reads both from one file: PEM with certificates and a key, or PKCS#12.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_file(
        path: impl AsRef<Path>,
        passphrase: Passphrase,
    ) -> Result<Self, IdentityError> {
        from_input(&Input::read(IdentityPart::Both, path.as_ref())?, passphrase)
    }

    /// Reads both from a PKCS#12 file (`.p12`, `.pfx`), as written by `openssl pkcs12 -export`.
    ///
    /// The certificates may be in any order; those that belong to other chains are ignored. The other formats
    /// of [`from_file`](Self::from_file) are accepted, too.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_pkcs12_file(
        path: impl AsRef<Path>,
        passphrase: Passphrase,
    ) -> Result<Self, IdentityError> {
        Self::from_file(path, passphrase)
    }

    /// As [`from_files`](Self::from_files), from bytes; if both are equal, they hold both.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_bytes(
        chain: &[u8],
        key: &[u8],
        passphrase: Passphrase,
    ) -> Result<Self, IdentityError> {
        if chain == key {
            return from_input(&Input::from_bytes(IdentityPart::Both, chain), passphrase);
        }
        from_inputs(
            &Input::from_bytes(IdentityPart::Chain, chain),
            &Input::from_bytes(IdentityPart::Key, key),
            passphrase,
        )
    }

    /// As [`from_pkcs12_file`](Self::from_pkcs12_file), from bytes.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_pkcs12(bytes: &[u8], passphrase: Passphrase) -> Result<Self, IdentityError> {
        from_input(&Input::from_bytes(IdentityPart::Both, bytes), passphrase)
    }

    /// A chain (PEM, DER or PKCS#7) with a remote private key.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files), except those about reading the key.
    pub fn with_remote_key(chain: &[u8], key: Arc<dyn RemoteKey>) -> Result<Self, IdentityError> {
        let input = Input::from_bytes(IdentityPart::Chain, chain);
        let mut contents = input.contents()?;
        if contents.certificates.is_empty() {
            return Err(input.error(contents.lacks(IdentityPart::Chain)));
        }
        let certificates = std::mem::take(&mut contents.certificates);
        let public = PublicHalf {
            algorithm: "a remote key".to_owned(),
            spki_sha256: x509::sha256(key.public_key()),
        };
        let ready = Ready {
            signing: Arc::new(Remote(key)),
            public,
        };
        let mut identity = join(certificates, contents.is_unordered, ready)
            .map_err(|problem| input.error(problem))?;
        identity.is_remote = true;
        Ok(identity)
    }

    /// The same with an OCSP response to staple (RFC 6960, in DER), replacing a previous one. Clients verify it; the caller
    /// renews it.
    #[must_use]
    pub fn with_ocsp_response(self, der: impl Into<Vec<u8>>) -> Self {
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = Some(der.into());
        Self {
            key: Arc::new(key),
            ..self
        }
    }

    /// The chain in the order in which it is sent, the end-entity certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The content of the end-entity certificate.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Is its key elsewhere?
    pub(crate) fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Can its key sign in one of these ways?
    pub(crate) fn key_fits(&self, schemes: &[rustls::SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.facts.subject)
            .field("key", &self.facts.key_algorithm.to_string())
            .field("certificates", &self.key.cert.len())
            .field("sha256", &hex::encode(&self.facts.sha256))
            .finish_non_exhaustive()
    }
}

fn from_input(input: &Input, mut passphrase: Passphrase) -> Result<Identity, IdentityError> {
    let mut contents = input.contents()?;
    contents
        .open(input.path.as_deref(), &mut passphrase)
        .map_err(|problem| input.error(problem))?;
    for (part, is_missing) in [
        (IdentityPart::Chain, contents.certificates.is_empty()),
        (IdentityPart::Key, contents.keys.is_empty()),
    ] {
        if is_missing {
            return Err(input.error(contents.lacks(part)));
        }
    }
    let certificates = std::mem::take(&mut contents.certificates);
    let is_unordered = contents.is_unordered;
    let key = signing_key(input, contents, &mut passphrase)?;
    join(certificates, is_unordered, key).map_err(|problem| input.error(problem))
}

fn from_inputs(
    chain: &Input,
    key: &Input,
    mut passphrase: Passphrase,
) -> Result<Identity, IdentityError> {
    let mut chain_contents = chain.contents()?;
    let mut key_contents = key.contents()?;
    let holds_key_only = |contents: &Contents| {
        contents.certificates.is_empty() && !contents.keys.is_empty() && !contents.is_pkcs12()
    };
    let holds_chain_only =
        |contents: &Contents| !contents.certificates.is_empty() && contents.keys.is_empty();
    if holds_key_only(&chain_contents) && holds_chain_only(&key_contents) {
        return Err(chain.error(IdentityProblem::Swapped));
    }
    for (input, contents) in [(chain, &mut chain_contents), (key, &mut key_contents)] {
        contents
            .open(input.path.as_deref(), &mut passphrase)
            .map_err(|problem| input.error(problem))?;
    }
    if chain_contents.certificates.is_empty() {
        return Err(chain.error(chain_contents.lacks(IdentityPart::Chain)));
    }
    if key_contents.keys.is_empty() {
        return Err(key.error(key_contents.lacks(IdentityPart::Key)));
    }
    let signing_key = signing_key(key, key_contents, &mut passphrase)?;
    join(
        chain_contents.certificates,
        chain_contents.is_unordered,
        signing_key,
    )
    .map_err(|problem| match problem {
        // Either of the two may be the wrong one; the error names the key.
        IdentityProblem::KeyMismatch { .. } => key.error(problem),
        _ => chain.error(problem),
    })
}

/// The only key of an input, decrypted and ready to sign.
fn signing_key(
    input: &Input,
    mut contents: Contents,
    passphrase: &mut Passphrase,
) -> Result<Ready, IdentityError> {
    let ready = match (contents.keys.pop(), contents.keys.len()) {
        (Some(key), 0) => key
            .decrypt(input.path.as_deref(), passphrase)
            .and_then(|(kind, der)| Ready::new(kind, &der)),
        (None, _) => Err(contents.lacks(IdentityPart::Key)),
        (Some(_), others) => Err(IdentityProblem::SeveralKeys {
            count: others.saturating_add(1),
        }),
    };
    ready.map_err(|problem| input.error(problem))
}

fn join(
    certificates: Vec<CertificateDer<'static>>,
    is_unordered: bool,
    key: Ready,
) -> Result<Identity, IdentityProblem> {
    let mut chain = certificates;
    if is_unordered {
        let order = chain::arrange(&chain::read(&chain)?, &key.public);
        chain = order
            .into_iter()
            .filter_map(|index| chain.get(index).cloned())
            .collect();
    }
    let mut parsed = chain::read(&chain)?;
    chain::check(&parsed, &key.public)?;
    let facts = parsed.swap_remove(0).facts;
    Ok(Identity {
        facts: Arc::new(facts),
        key: Arc::new(CertifiedKey::new(chain, key.signing)),
        is_remote: false,
    })
}

/// A key that can sign, and its public half.
struct Ready {
    signing: Arc<dyn SigningKey>,
    public: PublicHalf,
}

impl Ready {
    fn new(kind: Kind, der: &Zeroizing<Vec<u8>>) -> Result<Self, IdentityProblem> {
        let (algorithm, rsa_bits) = der::describe_private_key(kind, der);
        if let Some(bits) = rsa_bits.filter(|bits| !RSA_BITS.contains(bits)) {
            return Err(IdentityProblem::KeySize {
                bits,
                bits_min: *RSA_BITS.start(),
                bits_max: *RSA_BITS.end(),
            });
        }
        let borrowed = match kind {
            Kind::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der.as_slice())),
            Kind::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der.as_slice())),
            Kind::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice())),
            _ => {
                return Err(IdentityProblem::UnsupportedKey {
                    algorithm: algorithm.to_string(),
                });
            }
        };
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&borrowed).ok();
        let spki_sha256 = signing
            .as_ref()
            .and_then(|key| key.public_key().map(|spki| x509::sha256(&spki)));
        match (signing, spki_sha256) {
            (Some(signing), Some(spki_sha256)) => Ok(Self {
                signing,
                public: PublicHalf {
                    algorithm: algorithm.to_string(),
                    spki_sha256,
                },
            }),
            _ if algorithm.is_supported() => Err(IdentityProblem::MalformedDer {
                what: format!("the {algorithm} private key"),
                detail: "it is damaged: its numbers are inconsistent".to_owned(),
            }),
            _ => Err(IdentityProblem::UnsupportedKey {
                algorithm: algorithm.to_string(),
            }),
        }
    }
}
