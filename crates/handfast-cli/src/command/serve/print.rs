//! The configuration in force, as a configuration file.

use super::settings::{self, Settings};
use crate::passphrase::PassphraseSource;

/// Every setting, defaults included. Never a passphrase.
pub(super) fn text(settings: &Settings) -> String {
    let certificates = settings.sites.iter().flat_map(|site| &site.certificates);
    let has_secret = certificates
        .chain(&settings.certificates)
        .any(|certificate| {
            let source = certificate.passphrase.as_ref().map(|source| &source.0);
            matches!(source, Some(PassphraseSource::Text(_)))
        });
    let mut text = String::from("# The configuration in force; paths are absolute.\n");
    if has_secret {
        text.push_str("# A passphrase that was typed (--pass pass:TEXT) is left out.\n");
    }
    // Nothing in these types is something that TOML cannot say.
    text.push_str(&toml::to_string(&settings::file(settings)).unwrap_or_default());
    text
}
