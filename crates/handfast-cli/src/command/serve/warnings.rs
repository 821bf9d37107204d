//! Reasons for which clients will reject a certificate, printed when the server starts. Nothing here
//! is an error: what cannot work at all is an error when the identity is read.

use handfast::{CertificateFacts, escape_control, format_utc};

/// Warn at least a day in advance.
const SOON_SECS: i64 = 7 * 24 * 60 * 60;

/// The most names in a warning.
const NAMES_MAX: usize = 3;

/// The problems of a server's certificate, and what to do, a line each. `chain_len` is the number of
/// certificates in the chain, `now` is in unix seconds.
pub(super) fn about(facts: &CertificateFacts, chain_len: usize, now: i64) -> Vec<String> {
    let mut warnings = Vec::new();
    if facts.is_ca {
        warnings.push(
            "--cert: this is a CA certificate, which clients refuse for servers: have one issued for the \
            server (`handfast ca issue NAME`), and do not keep the authority's key on servers"
                .to_owned(),
        );
    }
    if now > facts.not_after {
        warnings.push(format!(
            "--cert: the certificate expired on {}: clients refuse it; renew it",
            format_utc(facts.not_after)
        ));
    } else if now < facts.not_before {
        warnings.push(format!(
            "--cert: the certificate is not valid before {}: clients refuse it; check this machine's clock",
            format_utc(facts.not_before)
        ));
    } else if facts.not_after - now < SOON_SECS {
        warnings.push(format!(
            "--cert: the certificate expires on {}: renew it soon",
            format_utc(facts.not_after)
        ));
    }
    if !facts.has_server_names() {
        warnings.push(
            "--cert: the certificate names no server (no DNS name and no IP address among its subject \
             alternative names): clients refuse it; have one issued for the names that they use"
                .to_owned(),
        );
    }
    let unusable = facts
        .names
        .iter()
        .filter_map(|name| Some((name, name.never_matches()?)));
    for (name, why) in unusable.take(NAMES_MAX) {
        warnings.push(format!(
            "--cert: the name \"{name}\" in the certificate never matches: {why}; have it issued again"
        ));
    }
    if let Some(purposes) = &facts.extended_key_usage
        && !purposes
            .iter()
            .any(|purpose| matches!(purpose.as_str(), "serverAuth" | "anyExtendedKeyUsage"))
    {
        warnings.push(format!(
            "--cert: the certificate is for {}, not for servers (serverAuth): clients refuse it",
            escape_control(&purposes.join(", "))
        ));
    }
    // Certificates of public authorities have the URL of the issuer's; their roots never issue for servers.
    if chain_len == 1
        && !facts.is_self_issued
        && let Some(url) = facts.ca_issuer_urls.first()
    {
        warnings.push(format!(
            "--cert: the file has only the server's certificate: clients that do not have {} refuse it; \
             append the issuer's certificate, from {}",
            facts.issuer,
            escape_control(url)
        ));
    }
    warnings
}
