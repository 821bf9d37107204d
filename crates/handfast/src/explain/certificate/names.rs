//! The names of a certificate compared with the requested one: near misses, and unusable
//! names.

use std::net::IpAddr;

use crate::presented;
use crate::verify::{VerifyCause, VerifyError};
use crate::x509::{CertificateFacts, SubjectAltName, escape_control};

/// The names of a certificate with a name mismatch.
pub(super) struct Names {
    /// How many of them are usable.
    pub(super) usable: usize,
    /// The DNS names that never match, and why.
    pub(super) unusable: Vec<(String, String)>,
}

impl Names {
    /// Whether an unusable name was intended as this name.
    pub(super) fn means(&self, expected: &str) -> bool {
        self.unusable
            .iter()
            .any(|(name, _)| presented::means(name, expected))
    }
}

impl VerifyError {
    /// Of one that was refused for its names: whether it has a name that could be asked for instead. Otherwise it is
    /// badly made.
    pub fn goes_by_another_name(&self) -> bool {
        match &self.cause {
            VerifyCause::NameMismatch { expected, .. } => {
                let names = of(self);
                names.usable > 0 && !names.means(expected)
            }
            _ => false,
        }
    }
}

/// As they stand in the certificate, which tells DNS names from addresses; as they were told when it is
/// not there.
pub(super) fn of(refused: &VerifyError) -> Names {
    let own = refused.chain.first();
    let mut names = own
        .and_then(|der| CertificateFacts::from_der(der).ok())
        .map(|facts| facts.names)
        .unwrap_or_default();
    let told = match &refused.cause {
        VerifyCause::NameMismatch { presented, .. } => presented.as_slice(),
        _ => &[],
    };
    let is_told = |name: &SubjectAltName| told.contains(&name.to_string());
    names.retain(is_told);
    if names.is_empty() {
        names = told
            .iter()
            .map(|text| match text.parse::<IpAddr>() {
                Ok(address) => SubjectAltName::Ip(address),
                Err(_) => SubjectAltName::Dns(text.clone()),
            })
            .collect();
    }
    let mut found = Names {
        usable: 0,
        unusable: Vec::new(),
    };
    for name in names {
        match (name.never_matches(), name) {
            (Some(why), SubjectAltName::Dns(name)) => found.unusable.push((name, why)),
            (_, SubjectAltName::Dns(_) | SubjectAltName::Ip(_)) => found.usable += 1,
            _ => {}
        }
    }
    found
}

/// Describes a near miss.
pub(super) fn near_miss(expected: &str, presented: &[String]) -> Option<String> {
    if expected.parse::<IpAddr>().is_ok() {
        return Some(match presented.iter().any(|name| name == expected) {
            true => format!("{expected} stands in it as a DNS name, which names no address"),
            false => "an IP address must be in the certificate as an IP address, not as a DNS name"
                .to_owned(),
        });
    }
    presented.iter().find_map(|name| {
        if let Some(parent) = name.strip_prefix("*.") {
            if expected == parent {
                return Some(format!("{name} does not cover {parent} itself"));
            }
            let front = expected.strip_suffix(parent)?.strip_suffix('.')?;
            return front
                .contains('.')
                .then(|| format!("{name} covers one label, and {front} are several"));
        }
        if expected.strip_prefix("www.") == Some(name.as_str()) {
            return Some(format!("it is for {name}, without www."));
        }
        if name.strip_prefix("www.") == Some(expected) {
            return Some(format!("it is for {name}, with www."));
        }
        is_one_letter_off(expected, name)
            .then(|| format!("{expected} is one letter off {}", escape_control(name)))
    })
}

/// Whether one letter is changed, missing, added, or exchanged with its neighbour.
fn is_one_letter_off(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let (short, long) = if one.len() <= other.len() {
        (one, other)
    } else {
        (other, one)
    };
    if long.len() - short.len() > 1 || one == other {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short_rest, long_rest) = (&short[same..], &long[same..]);
    if short.len() < long.len() {
        return short_rest == &long_rest[1..];
    }
    short_rest[1..] == long_rest[1..]
        || matches!((short_rest, long_rest), ([a, b, rest @ ..], [c, d, other @ ..])
            if a == d && b == c && rest == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_named() {
        for (expected, presented, says) in [
            ("www.shop.example", "shop.example", "without www."),
            ("shop.example", "www.shop.example", "with www."),
            (
                "shop.example",
                "*.shop.example",
                "does not cover shop.example itself",
            ),
            (
                "a.b.shop.example",
                "*.shop.example",
                "covers one label, and a.b are several",
            ),
            ("shop.exmaple", "shop.example", "one letter off"),
            ("shp.example", "shop.example", "one letter off"),
            ("shopp.example", "shop.example", "one letter off"),
            ("shap.example", "shop.example", "one letter off"),
            ("10.0.0.1", "shop.example", "as an IP address"),
            ("10.0.0.1", "10.0.0.1", "as a DNS name"),
        ] {
            let told = near_miss(expected, &[presented.to_owned()]);
            assert!(
                told.as_ref().is_some_and(|told| told.contains(says)),
                "{expected} {presented} {told:?}"
            );
        }
        for (expected, presented) in [
            ("shop.example", "other.example"),
            ("shop.example", "*.other.example"),
            ("xshop.example", "*.shop.example"),
            ("a", "abc"),
            ("ab", "cd"),
        ] {
            assert_eq!(
                near_miss(expected, &[presented.to_owned()]),
                None,
                "{expected}"
            );
        }
    }
}
