//! The names and addresses that a certificate for this machine should have.

use std::net::{IpAddr, SocketAddr};

use handfast_ca::Constraints;

/// What a local certificate names, and what it does not because the authority may not sign for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OwnNames {
    pub(super) permitted: Vec<String>,
    pub(super) refused: Vec<String>,
}

/// `localhost`, what is wanted besides, the addresses that are listened on, and if these are all addresses: those of this machine, and its
/// name.
pub(super) fn own_names(
    listen: &[SocketAddr],
    wanted: &[String],
    constraints: &Constraints,
) -> OwnNames {
    let mut names = OwnNames {
        permitted: ["localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec(),
        refused: Vec::new(),
    };
    for name in wanted {
        match name.parse() {
            Ok(address) => names.add_address(address, constraints),
            Err(_) => names.add(name.clone(), constraints.permits_domain(name)),
        }
    }
    for address in listen {
        if !address.ip().is_unspecified() {
            names.add_address(address.ip(), constraints);
        }
    }
    let everywhere = |is_family: fn(&SocketAddr) -> bool| {
        listen
            .iter()
            .any(|address| address.ip().is_unspecified() && is_family(address))
    };
    let (v4, v6) = (
        everywhere(SocketAddr::is_ipv4),
        everywhere(SocketAddr::is_ipv6),
    );
    if v4 || v6 {
        for address in addresses() {
            // A socket that listens on [::] also gets connections to IPv4 addresses, on most systems.
            if address.is_ipv4() || v6 {
                names.add_address(address, constraints);
            }
        }
        if let Some(name) = host_name() {
            names.add_host(&name, constraints);
        }
    }
    names
}

impl OwnNames {
    fn add_address(&mut self, address: IpAddr, constraints: &Constraints) {
        self.add(address.to_string(), constraints.permits_address(address));
    }

    /// A machine's name, and the one by which others on the network find it without a name server (RFC 6762).
    fn add_host(&mut self, name: &str, constraints: &Constraints) {
        self.add(name.to_owned(), constraints.permits_domain(name));
        let label = name.split('.').next().unwrap_or(name);
        let local = format!("{label}.local");
        if constraints.permits_domain(&local) {
            self.add(local, true);
        }
    }

    fn add(&mut self, name: String, is_permitted: bool) {
        let list = match is_permitted {
            true => &mut self.permitted,
            false => &mut self.refused,
        };
        if !list.contains(&name) {
            list.push(name);
        }
    }
}

/// The addresses of this machine, without those that other machines cannot use: loopback, and link-local ones, which
/// need the interface in addition. In order, so that the same addresses make the same certificate.
pub(super) fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|address| {
            let link_local = match address {
                IpAddr::V4(address) => address.is_link_local(),
                IpAddr::V6(address) => address.is_unicast_link_local(),
            };
            !address.is_loopback() && !address.is_unspecified() && !link_local
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    found
}

/// A machine with containers has dozens of addresses; a certificate with hundreds would cost each handshake.
const ADDRESSES_MAX: usize = 32;

/// This machine's name, if it is one that clients can use.
fn host_name() -> Option<String> {
    #[cfg(unix)]
    {
        let name = rustix::system::uname();
        let name = name.nodename().to_str().ok()?.to_ascii_lowercase();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        (!name.is_empty() && name != "localhost" && name.chars().all(is_plain)).then_some(name)
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_listened_on_are_named_if_the_authority_may_sign_for_them() {
        let constraints = Constraints::local();
        let listen = ["10.0.0.7:1", "192.0.2.1:1", "127.0.0.1:1", "10.0.0.7:2"];
        let listen = listen.map(|text| text.parse().unwrap());
        let names = own_names(
            &listen,
            &["dev.localhost".to_owned(), "example.org".to_owned()],
            &constraints,
        );
        assert_eq!(
            names.permitted,
            ["localhost", "127.0.0.1", "::1", "dev.localhost", "10.0.0.7"]
        );
        assert_eq!(names.refused, ["example.org", "192.0.2.1"]);
    }

    #[test]
    fn a_machine_is_named_as_others_find_it_and_what_may_not_be_signed_is_told() {
        let constraints = Constraints::local();
        for (name, permitted, refused) in [
            ("box", &["box.local"][..], &["box"][..]),
            ("box.local", &["box.local"], &[]),
            ("box.lan", &["box.lan", "box.local"], &[]),
            ("www.example.org", &["www.local"], &["www.example.org"]),
        ] {
            let mut names = OwnNames::default();
            names.add_host(name, &constraints);
            assert_eq!(names.permitted, permitted, "{name}");
            assert_eq!(names.refused, refused, "{name}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_named_by_each() {
        let constraints = Constraints::local();
        let names = own_names(&["0.0.0.0:1".parse().unwrap()], &[], &constraints);
        for address in addresses().into_iter().filter(IpAddr::is_ipv4) {
            let name = address.to_string();
            let is_there = names.permitted.contains(&name) || names.refused.contains(&name);
            assert!(is_there, "{names:?} without {name}");
        }
    }
}
