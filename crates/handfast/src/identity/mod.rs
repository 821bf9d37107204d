//! stub
use pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;
/// stub
#[derive(Debug)]
pub struct IdentityError(String);
impl std::fmt::Display for IdentityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for IdentityError {}
impl IdentityError {
    /// stub
    pub fn id(&self) -> &'static str {
        "identity"
    }
}
/// stub
#[derive(Clone, Debug)]
pub struct Identity {
    key: Arc<rustls::sign::CertifiedKey>,
}
/// stub
#[derive(Debug)]
pub struct Passphrase;
impl Passphrase {
    /// stub
    pub fn none() -> Self {
        Self
    }
}
impl Identity {
    /// stub
    pub fn from_bytes(chain: &[u8], key: &[u8], _p: Passphrase) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .map(|c| c.unwrap())
            .collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| IdentityError(e.to_string()))?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Ok(Self {
            key: Arc::new(rustls::sign::CertifiedKey::new(chain, key)),
        })
    }
    /// stub
    pub fn from_pem_files(chain: &str, key: &str, p: Passphrase) -> Result<Self, IdentityError> {
        Self::from_bytes(
            &std::fs::read(chain).unwrap(),
            &std::fs::read(key).unwrap(),
            p,
        )
    }
    pub(crate) fn certified_key(&self) -> Arc<rustls::sign::CertifiedKey> {
        Arc::clone(&self.key)
    }
}
impl From<Option<String>> for Passphrase {
    fn from(_: Option<String>) -> Self {
        Self
    }
}
