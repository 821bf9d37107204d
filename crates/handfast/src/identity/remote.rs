//! A private key that is elsewhere: in a hardware security module, in an agent, in another process.
//!
//! TLS needs one signature of it for each full handshake, and needs it at once: rustls asks for it synchronously. The blocking
//! stream and [`Connection`](crate::Connection) sign where they are called. The asynchronous handshake signs on a thread
//! that may block, so that the others of its runtime go on.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm};

/// How a handshake is signed (RFC 8446, section 4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// `ecdsa_secp256r1_sha256`; the signature is DER (RFC 3279, section 2.2.3), as of each ECDSA scheme.
    EcdsaP256Sha256,
    /// `ecdsa_secp384r1_sha384`
    EcdsaP384Sha384,
    /// `ecdsa_secp521r1_sha512`
    EcdsaP521Sha512,
    /// `ed25519`: of the message itself, which is not hashed before.
    Ed25519,
    /// `rsa_pss_rsae_sha256`; the salt is as long as the hash, as in each PSS scheme.
    RsaPssSha256,
    /// `rsa_pss_rsae_sha384`
    RsaPssSha384,
    /// `rsa_pss_rsae_sha512`
    RsaPssSha512,
    /// `rsa_pkcs1_sha256`, for TLS 1.2
    RsaPkcs1Sha256,
    /// `rsa_pkcs1_sha384`, for TLS 1.2
    RsaPkcs1Sha384,
    /// `rsa_pkcs1_sha512`, for TLS 1.2
    RsaPkcs1Sha512,
}

impl SignatureScheme {
    fn to_rustls(self) -> rustls::SignatureScheme {
        use rustls::SignatureScheme as S;
        match self {
            Self::EcdsaP256Sha256 => S::ECDSA_NISTP256_SHA256,
            Self::EcdsaP384Sha384 => S::ECDSA_NISTP384_SHA384,
            Self::EcdsaP521Sha512 => S::ECDSA_NISTP521_SHA512,
            Self::Ed25519 => S::ED25519,
            Self::RsaPssSha256 => S::RSA_PSS_SHA256,
            Self::RsaPssSha384 => S::RSA_PSS_SHA384,
            Self::RsaPssSha512 => S::RSA_PSS_SHA512,
            Self::RsaPkcs1Sha256 => S::RSA_PKCS1_SHA256,
            Self::RsaPkcs1Sha384 => S::RSA_PKCS1_SHA384,
            Self::RsaPkcs1Sha512 => S::RSA_PKCS1_SHA512,
        }
    }
}

/// A private key that signs elsewhere.
///
/// ```
/// use std::io;
/// use handfast::{RemoteKey, SignatureScheme};
///
/// #[derive(Debug)]
/// struct Agent {
///     public_key: Vec<u8>,
/// }
///
/// impl RemoteKey for Agent {
///     fn public_key(&self) -> &[u8] {
///         &self.public_key
///     }
///
///     fn schemes(&self) -> &[SignatureScheme] {
///         &[SignatureScheme::EcdsaP256Sha256]
///     }
///
///     fn sign(&self, _: SignatureScheme, message: &[u8]) -> io::Result<Vec<u8>> {
///         // Ask the agent; waiting for its answer is fine.
/// #       let _ = message;
///         Err(io::ErrorKind::NotConnected.into())
///     }
/// }
/// ```
pub trait RemoteKey: fmt::Debug + Send + Sync + 'static {
    /// The public half: a SubjectPublicKeyInfo in DER (RFC 5280, section 4.1), as the certificate has it.
    fn public_key(&self) -> &[u8];

    /// How it can sign, the preferred first.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs a message, which is to be hashed as the scheme says. It may block: the asynchronous handshake calls it on a
    /// thread that may. It should have a time limit of its own: the handshake's limit ends the connection, and not this call.
    ///
    /// # Errors
    /// Any: they end the handshake, with alert internal_error.
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> io::Result<Vec<u8>>;
}

/// A remote key as rustls wants it.
#[derive(Debug)]
pub(super) struct Remote(pub(super) Arc<dyn RemoteKey>);

impl SigningKey for Remote {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
        let fits = |scheme: &&SignatureScheme| offered.contains(&scheme.to_rustls());
        let scheme = *self.0.schemes().iter().find(fits)?;
        Some(Box::new(Signing {
            key: Arc::clone(&self.0),
            scheme,
        }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        use SignatureScheme as S;
        match self.0.schemes().first() {
            Some(S::EcdsaP256Sha256 | S::EcdsaP384Sha384 | S::EcdsaP521Sha512) => {
                SignatureAlgorithm::ECDSA
            }
            Some(S::Ed25519) => SignatureAlgorithm::ED25519,
            Some(_) => SignatureAlgorithm::RSA,
            // One that signs nothing fits no client.
            None => SignatureAlgorithm::Anonymous,
        }
    }
}

#[derive(Debug)]
struct Signing {
    key: Arc<dyn RemoteKey>,
    scheme: SignatureScheme,
}

impl Signer for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key
            .sign(self.scheme, message)
            .map_err(|error| rustls::Error::Other(OtherError(Arc::new(SigningFailed(error)))))
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        self.scheme.to_rustls()
    }
}

/// The key did not sign. On its way through rustls.
#[derive(Debug)]
pub(crate) struct SigningFailed(io::Error);

impl fmt::Display for SigningFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SigningFailed {}
