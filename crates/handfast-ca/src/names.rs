//! Names in requests, converted to the form that certificates use.
//!
//! Owns parsing them: internationalized host names become A-labels, addresses lose their brackets, and
//! for a client any other text is the name of its owner. `constraints` decides whether the authority
//! may sign for them.

use std::fmt;
use std::net::IpAddr;

use crate::error::CaError;

/// The longest common name that verifiers must accept (`ub-common-name` of RFC 5280, appendix A.1).
pub(crate) const COMMON_NAME_CHARS_MAX: usize = 64;

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A host name in lower-case A-labels, or a wildcard.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// The owner of a client certificate: a user name, a full name, a mail address.
    Person(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Person(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl Name {
    /// Reads a name for a server: a host name or an address.
    pub(crate) fn server(text: &str) -> Result<Self, CaError> {
        match address(text) {
            Some(address) => Ok(Self::Ip(address)),
            None => dns_name(text).map(Self::Dns),
        }
    }

    /// Reads a name for a client.
    ///
    /// Addresses and names with dots are host names, as they are for verifiers: OpenSSL applies the DNS
    /// constraints to a common name that looks like a host name. Any other text is the name of the
    /// owner.
    pub(crate) fn client(text: &str) -> Result<Self, CaError> {
        let text = text.trim();
        let is_host = address(text).is_some()
            || text == "localhost"
            || (text.contains('.') && !text.contains(['@', ' ']));
        if is_host {
            return Self::server(text);
        }
        let problem = if text.is_empty() {
            Some("it is empty")
        } else if text.chars().count() > COMMON_NAME_CHARS_MAX {
            Some("it has more than 64 characters")
        } else if text.chars().any(char::is_control) {
            Some("it has control characters")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(invalid(text, problem)),
            None => Ok(Self::Person(text.to_owned())),
        }
    }

    /// A file name, without extension, for this name: no separators, no leading dot or dash, no
    /// character that is special to a shell or Windows.
    pub(crate) fn file_stem(&self) -> String {
        let text = self.to_string();
        let text = text
            .strip_prefix("*.")
            .map_or_else(|| text.clone(), |rest| format!("_wildcard.{rest}"));
        let mut stem: String = text
            .chars()
            .map(|c| match c {
                '.' | '-' | '_' | '@' => c,
                c if c.is_alphanumeric() => c,
                _ => '_',
            })
            .collect();
        if stem.starts_with(['.', '-']) {
            stem.insert(0, '_');
        }
        stem
    }
}

/// Parses an address, with or without the brackets of a URI.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    match text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inside) => inside.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
}

/// Parses a host name; its first label may be a wildcard.
fn dns_name(text: &str) -> Result<String, CaError> {
    let Some(parent) = text.strip_prefix("*.") else {
        return host_name(text).map_err(|problem| invalid(text, problem));
    };
    let parent = host_name(parent).map_err(|problem| invalid(text, problem))?;
    if !parent.contains('.') {
        // webpki rejects such a certificate as malformed, OpenSSL never matches it.
        return Err(invalid(
            text,
            "a wildcard needs at least two labels after it, as in *.dev.localhost",
        ));
    }
    Ok(format!("*.{parent}"))
}

/// Parses a host name to lower-case A-labels without trailing dot.
pub(crate) fn host_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.contains("://") {
        return Err("it is a URL; only its host is certified");
    }
    if text.contains('*') {
        return Err("a wildcard stands for the whole first label, as in *.dev.localhost");
    }
    let ascii = idna::domain_to_ascii(text).map_err(|_| "it is not a host name")?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !name.split('.').all(is_label) {
        return Err("it is not a host name");
    }
    let last_label = name.rsplit('.').next().unwrap_or(name);
    if last_label.bytes().all(|b| b.is_ascii_digit()) {
        // Otherwise `10.0.0` would be certified as a host of the domain `0`.
        return Err("it is neither a complete IP address nor a host name");
    }
    Ok(name.to_ascii_lowercase())
}

fn invalid(text: &str, problem: &'static str) -> CaError {
    CaError::InvalidName {
        text: text.escape_debug().to_string(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_are_read_as_people_write_them() {
        for (text, expected, stem) in [
            ("localhost", "localhost", "localhost"),
            ("Db.Internal.", "db.internal", "db.internal"),
            ("münchen.test", "xn--mnchen-3ya.test", "xn--mnchen-3ya.test"),
            (
                "*.dev.localhost",
                "*.dev.localhost",
                "_wildcard.dev.localhost",
            ),
            (
                "*.bücher.test",
                "*.xn--bcher-kva.test",
                "_wildcard.xn--bcher-kva.test",
            ),
            ("under_score.lan", "under_score.lan", "under_score.lan"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1", "__1"),
            ("FE80::1", "fe80::1", "fe80__1"),
        ] {
            let name = Name::server(text).unwrap();
            assert_eq!(name.to_string(), expected, "{text}");
            assert_eq!(name.file_stem(), stem, "{text}");
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        let too_long = "a.".repeat(130);
        for text in [
            "",
            ".",
            "a..b",
            "*",
            "*.local",
            "a.*.local",
            "*a.dev.local",
            "1.2.3",
            "256.1.1.1",
            "[127.0.0.1]",
            "[::1",
            "https://localhost",
            "localhost:8443",
            "user@localhost",
            "sp ace.local",
            "-dash.local",
            "a\0b.local",
            "../etc",
            &too_long,
        ] {
            assert!(Name::server(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn clients_are_people_or_hosts() {
        for (text, expected) in [
            ("alice", Name::Person("alice".to_owned())),
            ("Alice B. Smith", Name::Person("Alice B. Smith".to_owned())),
            (
                "alice@corp.example",
                Name::Person("alice@corp.example".to_owned()),
            ),
            ("zoë", Name::Person("zoë".to_owned())),
            ("db.internal", Name::Dns("db.internal".to_owned())),
            ("localhost", Name::Dns("localhost".to_owned())),
            ("10.0.0.7", Name::Ip("10.0.0.7".parse().unwrap())),
        ] {
            assert_eq!(Name::client(text).unwrap(), expected, "{text}");
        }
        for text in ["", "  ", "a\nb", &"x".repeat(65)] {
            assert!(Name::client(text).is_err(), "{text:?}");
        }
        assert_eq!(Name::Person("../a/b".into()).file_stem(), "_.._a_b");
        assert_eq!(Name::Person("-rf".into()).file_stem(), "_-rf");
    }
}
