//! Selects protocol versions, cipher suites and groups by name.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::error::{ConfigurationCause, Error, Negotiated};
use crate::names::{group_name, is_group_name, is_suite_name, suite_name};
use crate::phase::Phase;
use crate::random;
use crate::suites;
use crate::version::TlsVersion;

/// The choices of a builder; empty lists mean the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choices {
    pub(crate) versions: Vec<TlsVersion>,
    pub(crate) cipher_suites: Vec<String>,
    pub(crate) groups: Vec<String>,
}

impl Choices {
    /// The crypto provider with these choices; an error if the operating system provides no random bytes.
    pub(crate) fn provider(&self) -> Result<Arc<CryptoProvider>, Error> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = suites::ALL.to_vec();
        random::check()?;
        if !self.cipher_suites.is_empty() {
            provider.cipher_suites = pick(
                Negotiated::CipherSuite,
                &self.cipher_suites,
                &suites::ALL,
                |suite| suite_name(suite.suite()),
                |suite, name| is_suite_name(suite.suite(), name),
            )?;
        }
        if !self.groups.is_empty() {
            provider.kx_groups = pick(
                Negotiated::KeyExchangeGroup,
                &self.groups,
                aws_lc_rs::ALL_KX_GROUPS,
                |group| group_name(group.name()),
                |group, name| is_group_name(group.name(), name),
            )?;
        }
        Ok(Arc::new(provider))
    }

    /// The selected protocol versions, the oldest first.
    pub(crate) fn allowed(&self) -> Vec<TlsVersion> {
        let all = [TlsVersion::Tls12, TlsVersion::Tls13];
        all.into_iter()
            .filter(|version| self.versions.is_empty() || self.versions.contains(version))
            .collect()
    }

    pub(crate) fn versions(&self) -> Vec<&'static rustls::SupportedProtocolVersion> {
        self.allowed()
            .into_iter()
            .rev()
            .map(|version| match version {
                TlsVersion::Tls12 => &rustls::version::TLS12,
                TlsVersion::Tls13 => &rustls::version::TLS13,
            })
            .collect()
    }
}

/// The cipher suites that can be chosen, by IANA name, in the default order of preference.
pub fn cipher_suite_names() -> Vec<&'static str> {
    suites::ALL
        .iter()
        .map(|suite| suite_name(suite.suite()))
        .collect()
}

/// The key exchange groups that can be chosen, by IANA name, in the default order of preference.
pub fn group_names() -> Vec<&'static str> {
    aws_lc_rs::ALL_KX_GROUPS
        .iter()
        .map(|group| group_name(group.name()))
        .collect()
}

/// The IANA name of the cipher suite that this is IANA's or OpenSSL's name of, if it can be chosen.
pub fn cipher_suite_named(text: &str) -> Option<&'static str> {
    let named = suites::ALL
        .iter()
        .find(|suite| is_suite_name(suite.suite(), text))?;
    Some(suite_name(named.suite()))
}

fn pick<T: Copy>(
    what: Negotiated,
    names: &[String],
    all: &[T],
    name_of: impl Fn(&T) -> &'static str,
    is_named: impl Fn(&T, &str) -> bool,
) -> Result<Vec<T>, Error> {
    names
        .iter()
        .map(|name| {
            all.iter()
                .find(|item| is_named(item, name))
                .copied()
                .ok_or_else(|| {
                    let known = all.iter().map(&name_of).collect();
                    let cause = ConfigurationCause::UnknownName {
                        what,
                        name: name.clone(),
                        known,
                    };
                    Error::new(Phase::Configure, cause)
                })
        })
        .collect()
}

/// rustls rejects combinations without any suite or group.
pub(crate) fn nothing_left(_: rustls::Error) -> Error {
    let what = "cipher suite for the chosen protocol versions and groups";
    Error::new(Phase::Configure, ConfigurationCause::NothingLeft { what })
}
