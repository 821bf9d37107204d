//! Invalid DNS names in certificates: they never match (RFC 5280, section 4.2.1.6;
//! RFC 9525, sections 6.3 and 6.4), and the certificate has to be issued again.

use std::net::IpAddr;

use pki_types::DnsName;

use crate::idn;

/// Why a DNS name of a certificate never matches; `None` for a valid name, and
/// for a wildcard that covers something.
pub(crate) fn never_matches(name: &str) -> Option<String> {
    let (is_wildcard, rest) = match name.strip_prefix("*.") {
        Some(parent) => (true, parent),
        None => (false, name),
    };
    // A valid name; a wildcard covers one label above at least two.
    let is_usable = !name.ends_with('.')
        && DnsName::try_from(rest).is_ok()
        && (!is_wildcard || (rest.contains('.') && !rest.contains('*')));
    (!is_usable).then(|| why(name, rest))
}

fn why(name: &str, rest: &str) -> String {
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    if name.is_empty() {
        return "a DNS name cannot be empty".into();
    }
    if address.parse::<IpAddr>().is_ok() {
        return "an IP address entered as a DNS name names no address".into();
    }
    if name.contains("://") {
        return "a URL is not a DNS name".into();
    }
    if name.contains('@') {
        return "an email address is not a DNS name".into();
    }
    if name.contains(char::is_whitespace) {
        return "a DNS name has no blanks".into();
    }
    if has_port(name) {
        return "a DNS name has no port".into();
    }
    if name.contains('/') {
        return "a DNS name has no slash".into();
    }
    if name == "*" {
        return "a wildcard alone covers nothing".into();
    }
    if name.starts_with('.') {
        return "a DNS name does not begin with a dot".into();
    }
    if name.ends_with('.') {
        return "a DNS name in a certificate does not end with a dot".into();
    }
    if rest.contains('*') {
        return "a wildcard must be the whole first label".into();
    }
    if rest.len() < name.len() && !rest.contains('.') {
        return "a wildcard directly below a top-level name covers nothing".into();
    }
    if !name.is_ascii() {
        return match idn::to_ascii(name) {
            Some(ascii) => format!("in a certificate it is written {ascii}"),
            None => "a DNS name in a certificate is ASCII".into(),
        };
    }
    if rest.split('.').any(str::is_empty) {
        return "a DNS name has no empty label".into();
    }
    if rest.len() > 253 || rest.split('.').any(|label| label.len() > 63) {
        return "it is longer than a DNS name can be".into();
    }
    if let Some(other) = rest
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
    {
        return format!("a DNS name has no {other:?}");
    }
    if rest
        .split('.')
        .any(|label| label.starts_with('-') || label.ends_with('-'))
    {
        return "no label of a DNS name begins or ends with a hyphen".into();
    }
    "its last label is a number, as in an IP address".into()
}

fn has_port(name: &str) -> bool {
    name.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether this name was intended as `expected`: a URL of it, with a port, a dot or a space
/// added.
pub(crate) fn means(name: &str, expected: &str) -> bool {
    let name = meant(name);
    name.eq_ignore_ascii_case(expected)
        || idn::to_ascii(name).is_some_and(|ascii| ascii.eq_ignore_ascii_case(expected))
}

/// The name without the invalid parts.
pub(crate) fn meant(name: &str) -> &str {
    let name = name.trim();
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let name = name.split(['/', '?', '#']).next().unwrap_or(name);
    let name = match has_port(name) && name.parse::<IpAddr>().is_err() {
        true => name.rsplit_once(':').map_or(name, |(host, _)| host),
        false => name,
    };
    name.trim_matches(['.', '[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_never_match_have_a_reason() {
        let label = "a".repeat(64);
        for (name, reason) in [
            ("", "empty"),
            ("192.0.2.1", "IP address"),
            ("[2001:db8::1]", "IP address"),
            ("2001:db8::1", "IP address"),
            ("https://shop.example.com", "URL"),
            ("me@shop.example", "email"),
            (" shop.example.com", "blanks"),
            ("shop.example.com:443", "port"),
            ("10.0.0.0/8", "slash"),
            ("*", "alone"),
            (".example.com", "begin with a dot"),
            ("shop.example.com.", "end with a dot"),
            ("*.example.com.", "end with a dot"),
            ("a*.example.com", "whole first label"),
            ("www.*.example.com", "whole first label"),
            ("*.*.example.com", "whole first label"),
            ("*.com", "top-level"),
            ("*.localhost", "top-level"),
            ("m\u{fc}nchen.example", "xn--mnchen-3ya.example"),
            ("shop..example", "empty label"),
            ("*..example", "empty label"),
            (label.as_str(), "longer"),
            ("shop(1).example", "'('"),
            ("a\0b.example", "'\\0'"),
            ("-shop.example", "hyphen"),
            ("shop-.example", "hyphen"),
            ("1.2.3", "number"),
        ] {
            let told = never_matches(name);
            assert!(
                told.as_ref().is_some_and(|told| told.contains(reason)),
                "{name:?}: {told:?}"
            );
        }
        for name in [
            "shop.example",
            "localhost",
            "SHOP.example",
            "*.shop.example",
            "under_score.example",
            "_dmarc.example",
            "xn--mnchen-3ya.example",
            "3com.example",
            "a--b.example",
        ] {
            assert_eq!(never_matches(name), None, "{name}");
        }
    }

    #[test]
    fn the_intended_name_is_recognized() {
        for name in [
            "https://shop.example:8443/path",
            "shop.example:443",
            " shop.example",
            "shop.example.",
            ".shop.example",
            "Shop.Example/",
        ] {
            assert!(means(name, "shop.example"), "{name}");
        }
        assert!(means("192.0.2.1", "192.0.2.1") && means("[2001:db8::1]", "2001:db8::1"));
        assert!(means("2001:db8::1", "2001:db8::1"));
        assert!(means("m\u{fc}nchen.example", "xn--mnchen-3ya.example"));
        for name in ["other.example", "shop.example.net", "a*.shop.example", ""] {
            assert!(!means(name, "shop.example"), "{name}");
        }
    }
}
