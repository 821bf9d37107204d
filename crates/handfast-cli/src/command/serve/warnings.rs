//! What clients will have to say against a certificate, told when the server starts. Nothing in here
//! refuses anything: what cannot work at all is refused where the identity is read.

use handfast::{CertificateFacts, escape_control, format_utc};

/// A day before it is too late is too late.
const SOON_SECS: i64 = 7 * 24 * 60 * 60;

/// More names than this say no more than the first ones.
const NAMES_MAX: usize = 3;

/// What is wrong with a server's certificate, and what to do, a line each. `chain_len` counts the
/// certificates that are served, `now` is in unix seconds.
pub(super) fn about(facts: &CertificateFacts, chain_len: usize, now: i64) -> Vec<String> {
    let mut warnings = Vec::new();
    if facts.is_ca {
        warnings.push(
            "--cert: this is the certificate of an authority, which clients refuse as a server's: have it \
             issue one for the server (`handfast ca issue NAME`), and keep its key off servers"
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
            "--cert: the name \"{name}\" in the certificate matches nothing: {why}; have it issued again"
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
    // Public authorities say where the issuer's certificate is; their roots never issue for servers.
    if chain_len == 1
        && !facts.is_self_issued
        && let Some(url) = facts.ca_issuer_urls.first()
    {
        warnings.push(format!(
            "--cert: the file has the server's certificate alone: clients that do not know {} refuse it; \
             append the issuer's certificate, from {}",
            facts.issuer,
            escape_control(url)
        ));
    }
    warnings
}
