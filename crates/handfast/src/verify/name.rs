//! Server names, and matching them against certificates (RFC 9525).
//!
//! webpki matches DNS names with wildcards and IP addresses. This module adds parsing of what users
//! type (brackets, trailing dots, non-ASCII labels) and, as an option, the common name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use pki_types::{CertificateDer, DnsName};
use webpki::EndEntityCert;

use super::error::VerifyCause;
use crate::idn;
use crate::x509::{CertificateFacts, SubjectAltName, escape_control};

/// The reference identifier of a server (RFC 9525, 2.1): a DNS name or an IP address.
///
/// ```
/// # use handfast::ServerName;
/// assert_eq!(ServerName::parse("münchen.example")?.as_str(), "xn--mnchen-3ya.example");
/// assert_eq!(ServerName::parse("Shop.Example.")?.as_str(), "shop.example");
/// assert_eq!(ServerName::parse("[2001:DB8::1]")?.as_str(), "2001:db8::1");
/// # Ok::<(), handfast::InvalidServerName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName {
    inner: pki_types::ServerName<'static>,
    text: String,
}

impl ServerName {
    /// Parses a name in the forms that users and URIs use.
    ///
    /// Labels in other scripts become A-labels (IDNA, UTS 46 without transitional processing; refused in a
    /// build without the feature `idna`), upper
    /// case becomes lower, one trailing dot is removed: in TLS every name is fully qualified. IPv6
    /// addresses may be in brackets and may have a zone, which is local to this machine and so not
    /// part of the server's identity.
    ///
    /// # Errors
    /// [`InvalidServerName`] when the text is neither a DNS name nor an address.
    pub fn parse(text: &str) -> Result<Self, InvalidServerName> {
        let invalid = || InvalidServerName {
            text: escape_control(text).into_owned(),
        };
        let bracketed = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = bracketed.unwrap_or(text);
        let without_zone = address
            .split_once('%')
            .map_or(address, |(address, _)| address);
        if let Ok(address) = without_zone.parse::<IpAddr>()
            && (bracketed.is_none() || address.is_ipv6())
        {
            return Ok(Self::from(address));
        }
        if bracketed.is_some() {
            return Err(invalid());
        }
        let ascii = idn::to_ascii(text).ok_or_else(invalid)?;
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        // `DnsName` would remove a second one.
        if name.ends_with('.') {
            return Err(invalid());
        }
        let name = DnsName::try_from(name.to_owned()).map_err(|_| invalid())?;
        let text = name.as_ref().to_owned();
        Ok(Self {
            inner: pki_types::ServerName::DnsName(name),
            text,
        })
    }

    /// The name as it is sent: A-labels, lower case, no trailing dot.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, if that is how the server is named.
    pub fn ip_address(&self) -> Option<IpAddr> {
        match &self.inner {
            pki_types::ServerName::IpAddress(address) => Some((*address).into()),
            _ => None,
        }
    }

    /// The name with its A-labels converted to Unicode, for display only. Never compare it: it may contain
    /// characters that look like others.
    pub fn to_unicode(&self) -> String {
        if self.ip_address().is_some() {
            return self.text.clone();
        }
        escape_control(&idn::to_unicode(&self.text)).into_owned()
    }

    pub(crate) fn to_rustls(&self) -> pki_types::ServerName<'static> {
        self.inner.clone()
    }

    pub(crate) fn from_rustls(name: &pki_types::ServerName<'_>) -> Self {
        Self {
            text: name.to_str().to_ascii_lowercase(),
            inner: name.to_owned(),
        }
    }
}

impl From<IpAddr> for ServerName {
    fn from(address: IpAddr) -> Self {
        Self {
            inner: pki_types::ServerName::IpAddress(address.into()),
            text: address.to_string(),
        }
    }
}

impl FromStr for ServerName {
    type Err = InvalidServerName;

    fn from_str(text: &str) -> Result<Self, InvalidServerName> {
        Self::parse(text)
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Text that is not a server name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidServerName {
    /// The text, escaped.
    pub text: String,
}

impl fmt::Display for InvalidServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is neither a DNS name nor an IP address",
            self.text
        )
    }
}

impl std::error::Error for InvalidServerName {}

/// The part of a certificate that matched the expected name.
pub(super) enum MatchedBy {
    /// A subject alternative name.
    AlternativeName,
    /// The subject's common name, here escaped, by the legacy rule.
    CommonName(String),
}

/// Whether the certificate is for `name`.
pub(super) fn check(
    end_entity: &CertificateDer<'_>,
    name: &ServerName,
    legacy_common_name: bool,
) -> Result<MatchedBy, VerifyCause> {
    let certificate = EndEntityCert::try_from(end_entity);
    let is_matched = certificate.as_ref().is_ok_and(|certificate| {
        certificate
            .verify_is_valid_for_subject_name(&name.inner)
            .is_ok()
    });
    if is_matched {
        return Ok(MatchedBy::AlternativeName);
    }
    let facts =
        CertificateFacts::from_der(end_entity).map_err(|malformed| VerifyCause::Malformed {
            detail: malformed.detail,
        })?;
    // webpki does not parse certificates with a critical extension about policies, which path validation
    // processes.
    if certificate.is_err() && facts.names.iter().any(|presented| matches(presented, name)) {
        return Ok(MatchedBy::AlternativeName);
    }
    let expected = name.as_str().to_owned();
    if facts.has_server_names() {
        let presented = server_names(&facts);
        return Err(VerifyCause::NameMismatch {
            expected,
            presented,
        });
    }
    let common_name = facts
        .common_name
        .map(|name| escape_control(&name).into_owned());
    if legacy_common_name
        && let Some(pattern) = &common_name
        && name.ip_address().is_none()
        && dns_name_matches(pattern, name.as_str())
    {
        return Ok(MatchedBy::CommonName(pattern.clone()));
    }
    Err(VerifyCause::NoSubjectAltName {
        expected,
        common_name,
    })
}

/// The DNS names and addresses that a certificate is for, escaped.
pub(super) fn server_names(facts: &CertificateFacts) -> Vec<String> {
    facts
        .names
        .iter()
        .filter(|name| matches!(name, SubjectAltName::Dns(_) | SubjectAltName::Ip(_)))
        .map(ToString::to_string)
        .collect()
}

/// Whether a subject alternative name is that of the server (RFC 9525, 6.3 to 6.5).
fn matches(presented: &SubjectAltName, name: &ServerName) -> bool {
    match (presented, name.ip_address()) {
        (SubjectAltName::Ip(presented), Some(address)) => *presented == address,
        (SubjectAltName::Dns(presented), None) => dns_name_matches(presented, name.as_str()),
        _ => false,
    }
}

/// The rule of RFC 9525, 6.3, with wildcards only as the whole left-most label, followed by at least two
/// labels.
fn dns_name_matches(pattern: &str, reference: &str) -> bool {
    let is_dns_name = |text: &str| DnsName::try_from(text).is_ok();
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            let rest = reference.split_once('.').map(|(_, rest)| rest);
            is_dns_name(parent)
                && parent.contains('.')
                && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
        }
        None => is_dns_name(pattern) && pattern.eq_ignore_ascii_case(reference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_in_the_forms_that_users_write() {
        for (text, expected) in [
            ("shop.example", "shop.example"),
            ("SHOP.example", "shop.example"),
            ("shop.example.", "shop.example"),
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
            ("faß.example", "xn--fa-hia.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("bücher。example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("under_score.example", "under_score.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[fe80::1%eth0]", "fe80::1"),
            ("2001:0DB8::0001", "2001:db8::1"),
        ] {
            let name = ServerName::parse(text);
            assert_eq!(
                name.as_ref().map(ServerName::as_str),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn other_text_is_refused() {
        let too_long = "a.".repeat(200);
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "shop.example..",
            "*.example",
            "sp ace.example",
            "-dash.example",
            "[127.0.0.1]",
            "[::1",
            "[]",
            "1.2.3",
            "256.1.1.1",
            "a\u{0}b.example",
            "user@shop.example",
            "https://shop.example",
            "shop.example:443",
            too_long.as_str(),
        ] {
            assert!(ServerName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn legacy_common_names_match_by_the_same_rules() {
        for (pattern, reference, matches) in [
            ("shop.example", "shop.example", true),
            ("Shop.Example", "shop.example", true),
            ("*.shop.example", "www.shop.example", true),
            ("*.shop.example", "shop.example", false),
            ("*.shop.example", "a.b.shop.example", false),
            ("*.example", "shop.example", false),
            ("*", "shop.example", false),
            ("w*.shop.example", "www.shop.example", false),
            ("shop.example ", "shop.example", false),
        ] {
            assert_eq!(
                dns_name_matches(pattern, reference),
                matches,
                "{pattern} {reference}"
            );
        }
    }
}
