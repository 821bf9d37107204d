//! What the authority may sign for: the name constraints of RFC 5280, section 4.2.1.10.
//!
//! Owns choosing them, writing them into the authority's certificate, reading them back and checking
//! a name against them. They are kept only in the certificate, because that is what verifiers read.
//!
//! Which name forms are constrained follows from how common verifiers handle each:
//!
//! - `dNSName` without a leading dot covers the name and all subdomains in every verifier.
//! - `iPAddress` networks are supported by all; both families must be present, or the other one would
//!   be unconstrained.
//! - `rfc822Name` and `uniformResourceIdentifier` are blocked by permitting only `invalid`, which
//!   cannot be registered (RFC 6761). Excluding the empty string would mean the same, but OpenSSL
//!   then excludes only the empty host. webpki refuses any such name as soon as the form is
//!   constrained, so mail addresses of clients are in the common name.
//! - `directoryName` is not constrained: webpki refuses every certificate under an authority that has
//!   such a constraint. A subject could only evade the constraints through a common name read as a
//!   host name; OpenSSL and GnuTLS apply the DNS constraints to it, and webpki never reads it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::CustomExtension;
use x509_parser::extensions::{GeneralName, NameConstraints};

use crate::error::CaError;
use crate::names::{self, Name};

/// Domains for which no public certificate can be issued: RFC 6761 (`localhost`, `test`), RFC 6762
/// (`local`), RFC 8375 (`home.arpa`), ICANN's reservation of `internal`, and `lan`, which home
/// routers use and which is not in the public DNS.
const LOCAL_DOMAINS: [&str; 6] = ["localhost", "local", "internal", "test", "home.arpa", "lan"];

/// Loopback, private (RFC 1918), link-local (RFC 3927).
const LOCAL_NETWORKS_V4: [(Ipv4Addr, u8); 5] = [
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// Loopback, link-local (RFC 4291), unique local (RFC 4193).
const LOCAL_NETWORKS_V6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
];

/// A domain that cannot be registered (RFC 6761, section 6.4).
const UNREGISTRABLE: &str = "invalid";

/// A range of IP addresses; `Display` uses CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    /// Its lowest address.
    pub address: IpAddr,
    /// The length of the network prefix in bits.
    pub prefix_bits: u8,
}

impl IpNetwork {
    /// The network with this prefix length that contains an address.
    fn around(address: IpAddr, prefix_bits: u8) -> Option<Self> {
        let masked = match address {
            IpAddr::V4(v4) if prefix_bits <= 32 => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(prefix_bits))
                    .unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) if prefix_bits <= 128 => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(prefix_bits))
                    .unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Self {
            address: masked,
            prefix_bits,
        })
    }

    /// Whether an address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self::around(address, self.prefix_bits).as_ref() == Some(self)
    }

    /// Whether all of another network lies in this one.
    fn covers(&self, other: &Self) -> bool {
        self.prefix_bits <= other.prefix_bits && self.contains(other.address)
    }

    /// Address and mask, as in name constraints.
    fn to_bytes(self) -> Vec<u8> {
        let all_ones = |of: IpAddr| match of {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::BROADCAST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
        };
        let mask = Self::around(all_ones(self.address), self.prefix_bits);
        [Some(self), mask]
            .into_iter()
            .flatten()
            .flat_map(|network| octets(network.address))
            .collect()
    }

    /// Reads address and mask. `None` if the mask is not contiguous.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (address, mask): (IpAddr, IpAddr) = match bytes.len() {
            8 => {
                let (address, mask) = bytes.split_at(4);
                (
                    <[u8; 4]>::try_from(address).ok()?.into(),
                    <[u8; 4]>::try_from(mask).ok()?.into(),
                )
            }
            32 => {
                let (address, mask) = bytes.split_at(16);
                (
                    <[u8; 16]>::try_from(address).ok()?.into(),
                    <[u8; 16]>::try_from(mask).ok()?.into(),
                )
            }
            _ => return None,
        };
        let prefix_bits = match mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        };
        let network = Self::around(address, u8::try_from(prefix_bits).ok()?)?;
        (network.to_bytes() == bytes).then_some(network)
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix_bits == single {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix_bits)
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// What an authority may sign for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraints {
    domains: Vec<String>,
    networks: Vec<IpNetwork>,
}

impl Constraints {
    /// What an authority may sign for by default: local names and private addresses.
    pub fn local() -> Self {
        let v4 = LOCAL_NETWORKS_V4.map(|(address, bits)| (IpAddr::V4(address), bits));
        let v6 = LOCAL_NETWORKS_V6.map(|(address, bits)| (IpAddr::V6(address), bits));
        Self {
            domains: LOCAL_DOMAINS.map(str::to_owned).to_vec(),
            networks: v4
                .into_iter()
                .chain(v6)
                .filter_map(|(address, bits)| IpNetwork::around(address, bits))
                .collect(),
        }
    }

    /// The domains, each with everything below it, in lower-case A-labels.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// The networks.
    pub fn networks(&self) -> &[IpNetwork] {
        &self.networks
    }

    /// Whether a host name, or every name that a wildcard matches, is in one of the domains.
    pub fn permits_domain(&self, name: &str) -> bool {
        let name = name.strip_prefix("*.").unwrap_or(name);
        self.domains.iter().any(|domain| {
            name.strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Whether an address is in one of the networks.
    pub fn permits_address(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Domains, then networks, as text.
    pub fn to_words(&self) -> Vec<String> {
        let networks = self.networks.iter().map(ToString::to_string);
        self.domains.iter().cloned().chain(networks).collect()
    }

    /// The first of these domains, addresses and networks that is not permitted, or cannot be read.
    pub fn first_missing<'a>(&self, permit: &'a [String]) -> Option<&'a str> {
        permit.iter().map(String::as_str).find(|text| {
            let asked = Self::local_and(&[(*text).to_owned()]);
            !asked.is_ok_and(|asked| {
                let domains = asked.domains.iter().all(|name| self.permits_domain(name));
                domains
                    && asked
                        .networks
                        .iter()
                        .all(|network| self.networks.iter().any(|own| own.covers(network)))
            })
        })
    }

    /// The local ones, and whatever else is explicitly permitted: domains, addresses, networks.
    pub(crate) fn local_and(permit: &[String]) -> Result<Self, CaError> {
        let mut constraints = Self::local();
        for text in permit {
            constraints.widen(text)?;
        }
        Ok(constraints)
    }

    fn widen(&mut self, text: &str) -> Result<(), CaError> {
        let invalid = |problem| CaError::InvalidPermit {
            text: text.escape_debug().to_string(),
            problem,
        };
        let network = match text.split_once('/') {
            Some((address, bits)) => {
                let network = names::address(address)
                    .zip(bits.parse().ok())
                    .and_then(|(address, bits)| IpNetwork::around(address, bits));
                Some(network.ok_or_else(|| invalid("it is not a network in CIDR notation"))?)
            }
            None => names::address(text).and_then(|address| {
                IpNetwork::around(address, if address.is_ipv4() { 32 } else { 128 })
            }),
        };
        if let Some(network) = network {
            if !self.networks.contains(&network) {
                self.networks.push(network);
            }
            return Ok(());
        }
        if text.starts_with("*.") {
            return Err(invalid(
                "a domain includes everything below it, so give it without the wildcard",
            ));
        }
        let domain = names::host_name(text).map_err(invalid)?;
        if !self.permits_domain(&domain) {
            self.domains.push(domain);
        }
        Ok(())
    }

    /// Refuses a name that verifiers would refuse in a certificate of this authority.
    pub(crate) fn check(&self, name: &Name) -> Result<(), CaError> {
        let permitted = match name {
            Name::Dns(name) => self.permits_domain(name),
            Name::Ip(address) => self.permits_address(*address),
            // No verifier constrains it: it is in the common name and does not look like a host name.
            Name::Person(_) => true,
        };
        if permitted {
            return Ok(());
        }
        Err(CaError::NotPermitted {
            name: name.to_string(),
            permitted: self.to_words(),
        })
    }

    /// The certificate extension. Critical, so that a verifier that does not support it rejects the
    /// certificate.
    pub(crate) fn to_extension(&self) -> CustomExtension {
        const OID: [u64; 4] = [2, 5, 29, 30];
        const RFC822_NAME: u8 = 0x81;
        const DNS_NAME: u8 = 0x82;
        const URI: u8 = 0x86;
        const IP_ADDRESS: u8 = 0x87;
        const SEQUENCE: u8 = 0x30;
        const PERMITTED_SUBTREES: u8 = 0xa0;

        let domains = self
            .domains
            .iter()
            .map(|name| tlv(DNS_NAME, name.as_bytes()));
        let networks = self
            .networks
            .iter()
            .map(|network| tlv(IP_ADDRESS, &network.to_bytes()));
        let shut = [
            tlv(RFC822_NAME, UNREGISTRABLE.as_bytes()),
            tlv(URI, UNREGISTRABLE.as_bytes()),
        ];
        let subtrees: Vec<u8> = domains
            .chain(networks)
            .chain(shut)
            .flat_map(|base| tlv(SEQUENCE, &base))
            .collect();
        let content = tlv(SEQUENCE, &tlv(PERMITTED_SUBTREES, &subtrees));
        let mut extension = CustomExtension::from_oid_content(&OID, content);
        extension.set_criticality(true);
        extension
    }

    /// Reads them from an authority's certificate. `None` if host names or addresses are unconstrained,
    /// or if it has constraints that this reader does not support.
    pub(crate) fn from_certificate(constraints: &NameConstraints<'_>) -> Option<Self> {
        let mut read = Self {
            domains: Vec::new(),
            networks: Vec::new(),
        };
        if constraints.excluded_subtrees.is_some() {
            return None;
        }
        for subtree in constraints.permitted_subtrees.iter().flatten() {
            match &subtree.base {
                GeneralName::DNSName(name) => read.domains.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => {
                    read.networks.push(IpNetwork::from_bytes(bytes)?);
                }
                _ => {}
            }
        }
        let has = |v4: bool| read.networks.iter().any(|one| one.address.is_ipv4() == v4);
        let complete = !read.domains.is_empty()
            && read.domains.iter().all(|domain| !domain.is_empty())
            && has(true)
            && has(false);
        complete.then_some(read)
    }
}

/// One DER element: tag, length, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    match u8::try_from(value.len()) {
        Ok(length @ 0..0x80) => element.push(length),
        _ => {
            let length = value.len().to_be_bytes();
            let significant = length.iter().skip_while(|&&byte| byte == 0);
            // At most eight bytes of length: the count fits below the long form's flag.
            element.push(0x80 | u8::try_from(significant.clone().count()).unwrap_or(8));
            element.extend(significant);
        }
    }
    element.extend_from_slice(value);
    element
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::FromDer;

    fn with(permit: &[&str]) -> Result<Constraints, CaError> {
        let permit: Vec<String> = permit.iter().map(|&text| text.to_owned()).collect();
        Constraints::local_and(&permit)
    }

    #[test]
    fn only_local_names_and_private_addresses_by_default() {
        let local = with(&[]).unwrap();
        let wide = with(&[
            "corp.example",
            "192.0.2.9",
            "198.51.100.77/24",
            "2001:db8::/32",
        ])
        .unwrap();
        for (name, by_local, by_wide) in [
            ("localhost", true, true),
            ("a.b.localhost", true, true),
            ("printer.local", true, true),
            ("router.home.arpa", true, true),
            ("arpa", false, false),
            ("notlocalhost", false, false),
            ("localhost.example", false, false),
            ("corp.example", false, true),
            ("*.corp.example", false, true),
            ("evilcorp.example", false, false),
            ("*.example", false, false),
            ("example", false, false),
        ] {
            assert_eq!(local.permits_domain(name), by_local, "{name}");
            assert_eq!(wide.permits_domain(name), by_wide, "{name}");
        }
        for (address, by_local, by_wide) in [
            ("127.8.9.1", true, true),
            ("10.255.255.255", true, true),
            ("11.0.0.0", false, false),
            ("172.31.0.1", true, true),
            ("172.32.0.1", false, false),
            ("192.168.0.1", true, true),
            ("169.254.169.254", true, true),
            ("::1", true, true),
            ("::2", false, false),
            ("febf::1", true, true),
            ("fec0::1", false, false),
            ("fdff::1", true, true),
            ("::ffff:10.0.0.1", false, false),
            ("192.0.2.9", false, true),
            ("192.0.2.10", false, false),
            ("198.51.100.1", false, true),
            ("2001:db8:1::1", false, true),
            ("2001:db9::1", false, false),
        ] {
            let parsed = address.parse().unwrap();
            assert_eq!(local.permits_address(parsed), by_local, "{address}");
            assert_eq!(wide.permits_address(parsed), by_wide, "{address}");
        }
        assert!(wide.to_words().contains(&"198.51.100.0/24".to_owned()));
    }

    #[test]
    fn invalid_permits_are_refused() {
        for text in [
            "",
            ".",
            "*.corp.example",
            "*",
            "1.2.3.4/33",
            "::/129",
            "x/8",
            "10.0.0",
            "https://a.b",
        ] {
            let refused = with(&[text]);
            assert!(
                matches!(refused, Err(CaError::InvalidPermit { .. })),
                "{text:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn the_extension_contains_the_constraints() {
        let many: Vec<String> = (0..40).map(|n| format!("host-{n}.corp.example")).collect();
        for permit in [&[][..], &["0.0.0.0/0".to_owned(), "::/0".to_owned()], &many] {
            let constraints = Constraints::local_and(permit).unwrap();
            let extension = constraints.to_extension();
            assert!(extension.criticality());
            let (rest, parsed) = NameConstraints::from_der(extension.content()).unwrap();
            assert!(rest.is_empty());
            assert_eq!(Constraints::from_certificate(&parsed), Some(constraints));
        }
    }
}
