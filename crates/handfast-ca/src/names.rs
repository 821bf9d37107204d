//! Names that people ask certificates for, as they stand in a certificate.
//!
//! Owns reading them: host names in any script become A-labels, addresses lose their brackets, what
//! can be neither is, for a client, whom the certificate is for. Leaves it to `constraints` whether
//! the authority may sign for them.

use std::fmt;
use std::net::IpAddr;

use crate::error::CaError;

/// The longest common name that verifiers must take (`ub-common-name` of RFC 5280, appendix A.1).
pub(crate) const COMMON_NAME_CHARS_MAX: usize = 64;

/// A name as it stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A host name in lower-case A-labels, or a wildcard.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// Whom a client certificate is for: a word, a full name, a mail address.
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
    /// Addresses and names with dots are host names, because verifiers read them so: OpenSSL holds
    /// a common name that looks like a host name to the DNS constraints. All else is whom the
    /// certificate is for.
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

    /// The beginning of a file name that stands for this name: no separators, no leading dot or
    /// dash, nothing that a shell or Windows takes for something else.
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

/// Reads an address, with or without the brackets of a URI.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    match text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inside) => inside.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
}

/// Reads a host name, perhaps with a wildcard as its whole first label.
fn dns_name(text: &str) -> Result<String, CaError> {
    let Some(parent) = text.strip_prefix("*.") else {
        return host_name(text).map_err(|problem| invalid(text, problem));
    };
    let parent = host_name(parent).map_err(|problem| invalid(text, problem))?;
    if !parent.contains('.') {
        // webpki calls such a certificate malformed, OpenSSL never matches it.
        return Err(invalid(
            text,
            "a wildcard needs at least two labels after it, as in *.dev.localhost",
        ));
    }
    Ok(format!("*.{parent}"))
}

/// Reads a host name: lower-case A-labels, no dot at the end.
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
    let ascii = idna::domain_to_ascii(text).map_err(|_| "it is no host name")?;
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
        return Err("it is no host name");
    }
    let last_label = name.rsplit('.').next().unwrap_or(name);
    if last_label.bytes().all(|b| b.is_ascii_digit()) {
        // Else `10.0.0` would be certified as a host of the domain `0`.
        return Err("it is neither a whole IP address nor a host name");
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
    fn what_is_no_name_is_refused() {
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
