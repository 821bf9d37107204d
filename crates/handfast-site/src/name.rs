//! The names of sites, and of what a request is for.
//!
//! Names are compared in one form: A-labels (IDNA), lower case, no trailing dot; addresses in their canonical text, without
//! brackets.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use handfast::{ServerName, escape_control};

/// The name of a site is neither a DNS name, nor `*.` and a DNS name, nor an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameError {
    /// The name, escaped.
    pub name: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not a DNS name, an IP address or *. and a DNS name",
            self.name
        )
    }
}

impl std::error::Error for NameError {}

/// The name of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SiteName {
    /// This one.
    Exact(Box<str>),
    /// Every name with one label before this one.
    Beneath(Box<str>),
}

impl SiteName {
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let invalid = || NameError {
            name: escape_control(text).into_owned(),
        };
        let (beneath, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = ServerName::parse(rest).map_err(|_| invalid())?;
        match (beneath, name.ip_address()) {
            (true, Some(_)) => Err(invalid()),
            (true, None) => Ok(Self::Beneath(name.as_str().into())),
            (false, Some(address)) => Ok(Self::Exact(address.to_string().into())),
            (false, None) => Ok(Self::Exact(name.as_str().into())),
        }
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Beneath(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// The host of an authority in the form that names are compared in. The port says nothing about the site.
pub(crate) fn host_of(authority: &str) -> Cow<'_, str> {
    if let Some((literal, _port)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return match literal.parse::<Ipv6Addr>() {
            Ok(address) => Cow::Owned(address.to_string()),
            Err(_) => Cow::Borrowed(literal),
        };
    }
    let host = authority
        .split_once(':')
        .map_or(authority, |(host, _port)| host);
    plain(host)
}

/// A server name as the client sent it (RFC 6066), in the form that names are compared in.
pub(crate) fn plain(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sites_have_one_form() {
        for (text, expected) in [
            ("example.org", Some("example.org")),
            ("EXAMPLE.org.", Some("example.org")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("*.Bücher.example", Some("*.xn--bcher-kva.example")),
            ("localhost", Some("localhost")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("::1")),
            ("0:0:0:0:0:0:0:1", Some("::1")),
            ("*.127.0.0.1", None),
            ("*", None),
            ("*.*.example", None),
            ("a.*.example", None),
            ("example.org:8443", None),
            ("example.org..", None),
            ("", None),
            ("a b", None),
            ("a/b", None),
        ] {
            let name = SiteName::parse(text).map(|name| name.to_string());
            assert_eq!(name.ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn hosts_have_the_form_of_names() {
        for (authority, expected) in [
            ("example.org", "example.org"),
            ("Example.ORG.:8443", "example.org"),
            ("example.org:", "example.org"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[0:0:0:0:0:0:0:1]:8443", "::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(host_of(authority), expected);
        }
    }
}
