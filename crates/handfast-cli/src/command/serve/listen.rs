//! Where to listen, as people type it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use super::config::Address;

/// Addresses to listen on: `127.0.0.1:8443`, `[::1]:8443`; `8443` and `localhost:8443` on both loopback addresses; `:8443` and
/// `*:8443` on all addresses of this machine; `unix:PATH`; `systemd` and `systemd:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen(pub(super) Vec<Address>);

impl Listen {
    /// Both loopback addresses, as far as this machine has them: clients resolve `localhost` to either.
    pub(super) fn loopback(port: u16) -> Self {
        Self::both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, port)
    }

    fn everywhere(port: u16) -> Self {
        Self::both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, port)
    }

    fn both(v4: Ipv4Addr, v6: Ipv6Addr, port: u16) -> Self {
        let mut addresses = vec![Address::Ip(SocketAddr::from((v4, port)))];
        // A free port would be another one for each.
        if port != 0 && TcpListener::bind((v6, 0)).is_ok() {
            addresses.push(Address::Ip(SocketAddr::from((v6, port))));
        }
        Self(addresses)
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(vec![Address::Ip(address)]));
        }
        if text.starts_with("unix:") || text.starts_with("systemd") {
            return text.parse().map(|address| Self(vec![address]));
        }
        if text.parse::<IpAddr>().is_ok() {
            let host = if text.contains(':') {
                format!("[{text}]")
            } else {
                text.to_owned()
            };
            return Err(format!("a port is missing: {host}:8443"));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
        let Ok(port) = port.parse() else {
            return Err(format!(
                "\"{port}\" is not a port; give ADDR:PORT, PORT for this machine alone, or :PORT for all of its addresses"
            ));
        };
        match host {
            "" | "*" => Ok(Self::everywhere(port)),
            host if host.eq_ignore_ascii_case("localhost") => Ok(Self::loopback(port)),
            _ => Err(format!(
                "\"{host}\" is not an IP address of this machine; names are given to the certificate, not to the listener"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_as_people_type_them() {
        let v4 = |text: &str| text.parse::<Listen>().map(|listen| listen.0[0].to_string());
        for (typed, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:2", "[::1]:2"),
            ("8443", "127.0.0.1:8443"),
            ("localhost:8443", "127.0.0.1:8443"),
            ("LOCALHOST:0", "127.0.0.1:0"),
            (":8443", "0.0.0.0:8443"),
            ("*:8443", "0.0.0.0:8443"),
        ] {
            assert_eq!(v4(typed).as_deref(), Ok(expected), "{typed}");
        }
        for (typed, told) in [
            ("127.0.0.1", "127.0.0.1:8443"),
            ("::1", "[::1]:8443"),
            ("", "is not a port"),
            ("x", "is not a port"),
            ("99999", "is not a port"),
            ("localhost:", "is not a port"),
            ("example.org:8443", "is not an IP address"),
        ] {
            let error = v4(typed).unwrap_err();
            assert!(error.contains(told), "{typed}: {error}");
        }
        let both: Listen = "8443".parse().unwrap();
        assert!(both.0.iter().all(|address| address.port() == Some(8443)));
        for text in ["unix:/run/s", "systemd", "systemd:https"] {
            assert_eq!(v4(text).as_deref(), Ok(text));
        }
    }
}
