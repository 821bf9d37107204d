//! Reasons for which clients will reject a certificate, printed when the server starts. Nothing here
//! stops it: what cannot work at all is an error when the identity is read.

use handfast::{CertificateFacts, escape_control, format_utc};

use super::config::Place;
use super::config::problem::{Text, position, shown_path};

/// A warning, and where the thing that it is about was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warning {
    pub(super) place: Place,
    pub(super) text: String,
    /// Whether clients are refused, or refuse the server, because of it.
    pub(super) is_fatal: bool,
}

impl Warning {
    /// With the option, or the position in the file.
    pub(super) fn shown(&self, text: Option<&Text>) -> String {
        match (&self.place, text) {
            (Place::Flag(flag), _) => format!("{flag}: {}", self.text),
            (Place::File(bytes), Some(text)) => {
                let (line, column) = position(&text.content, bytes.start);
                format!("{}:{line}:{column}: {}", shown_path(&text.path), self.text)
            }
            _ => self.text.clone(),
        }
    }
}

/// Warn at least a day in advance.
const SOON_SECS: i64 = 7 * 24 * 60 * 60;

/// The most names in a warning.
const NAMES_MAX: usize = 3;

/// The problems of a server's certificate, and what to do. `chain_len` is the number of certificates in the chain,
/// `now` is in unix seconds.
pub(super) fn about(facts: &CertificateFacts, chain_len: usize, now: i64) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut add = |is_fatal, text: String| {
        warnings.push(Warning {
            place: Place::Unset,
            text,
            is_fatal,
        });
    };
    if facts.is_ca {
        add(
            true,
            "this is a CA certificate, which clients refuse for servers: have one issued for the \
            server (`handfast ca issue NAME`), and do not keep the authority's key on servers"
                .to_owned(),
        );
    }
    if facts.not_after < facts.not_before {
        let text = format!(
            "the certificate is never valid: it ends on {}, before it begins on {}: clients refuse it; have it issued again",
            format_utc(facts.not_after),
            format_utc(facts.not_before)
        );
        add(true, text);
    } else if now > facts.not_after {
        let text = format!(
            "the certificate expired on {}: clients refuse it; renew it",
            format_utc(facts.not_after)
        );
        add(true, text);
    } else if now < facts.not_before {
        let text = format!(
            "the certificate is not valid before {}: clients refuse it; check this machine's clock",
            format_utc(facts.not_before)
        );
        add(true, text);
    } else if facts.not_after - now < SOON_SECS {
        let text = format!(
            "the certificate expires on {}: renew it soon",
            format_utc(facts.not_after)
        );
        add(false, text);
    }
    if !facts.has_server_names() {
        add(
            true,
            "the certificate names no server (no DNS name and no IP address among its subject \
             alternative names): clients refuse it; have one issued for the names that they use"
                .to_owned(),
        );
    }
    let unusable = facts
        .names
        .iter()
        .filter_map(|name| Some((name, name.never_matches()?)));
    for (name, why) in unusable.take(NAMES_MAX) {
        let text = format!(
            "the name \"{name}\" in the certificate never matches: {why}; have it issued again"
        );
        add(false, text);
    }
    if let Some(purposes) = &facts.extended_key_usage
        && !purposes
            .iter()
            .any(|purpose| matches!(purpose.as_str(), "serverAuth" | "anyExtendedKeyUsage"))
    {
        let text = format!(
            "the certificate is for {}, not for servers (serverAuth): clients refuse it",
            escape_control(&purposes.join(", "))
        );
        add(true, text);
    }
    // Certificates of public authorities have the URL of the issuer's; their roots never issue for servers.
    if chain_len == 1
        && !facts.is_self_issued
        && let Some(url) = facts.ca_issuer_urls.first()
    {
        let text = format!(
            "the file has only the server's certificate: clients that do not have {} refuse it; \
             append the issuer's certificate, from {}",
            facts.issuer,
            escape_control(url)
        );
        add(true, text);
    }
    warnings
}
