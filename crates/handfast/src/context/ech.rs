//! Encrypted Client Hello (RFC 9849): from a server's configurations to what rustls is given.

use rustls::client::{EchConfig, EchGreaseConfig, EchMode};
use rustls::crypto::aws_lc_rs::hpke::{
    ALL_SUPPORTED_SUITES, DH_KEM_X25519_HKDF_SHA256_AES_128 as GREASE_SUITE,
};
use rustls::crypto::hpke::Hpke;

use crate::error::{ConfigurationCause, Error, LocalCause};
use crate::phase::Phase;

/// What a server publishes so that clients can encrypt their ClientHello to it: an `ECHConfigList` (RFC 9849, section
/// 4), as the `ech` parameter of its HTTPS record in the DNS has it (RFC 9848), there in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchConfigs(Vec<u8>);

impl EchConfigs {
    /// The list as it is on the wire, its length first. It is looked at when a context is built.
    pub fn from_bytes(list: impl Into<Vec<u8>>) -> Self {
        Self(list.into())
    }

    /// The list.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a client does about Encrypted Client Hello.
#[derive(Debug, Clone, Default)]
pub(super) enum Ech {
    #[default]
    Nothing,
    /// It encrypts its hello to this server.
    Offer(EchConfigs),
    /// It looks as if it did.
    Grease,
}

impl Ech {
    /// For rustls; `None` where nothing is offered.
    pub(super) fn mode(&self) -> Result<Option<EchMode>, Error> {
        match self {
            Self::Nothing => Ok(None),
            Self::Offer(configs) => EchConfig::new(configs.as_bytes().into(), ALL_SUPPORTED_SUITES)
                .map(|config| Some(EchMode::Enable(config)))
                .map_err(|_| {
                    let what = "valid Encrypted Client Hello configuration for a supported suite";
                    Error::new(Phase::Configure, ConfigurationCause::NothingLeft { what })
                }),
            Self::Grease => {
                // The private key is thrown away.
                let (key, _) = GREASE_SUITE
                    .generate_key_pair()
                    .map_err(|_| Error::new(Phase::Configure, LocalCause::RandomUnavailable))?;
                Ok(Some(EchGreaseConfig::new(GREASE_SUITE, key).into()))
            }
        }
    }

    pub(super) fn is_offer(&self) -> bool {
        matches!(self, Self::Offer(_))
    }
}
