//! Where to listen, as people write it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use handfast::escape_control;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Form, as_string};

/// The port where none is given.
pub(crate) const PORT_DEFAULT: u16 = 8443;

/// What to listen on: `127.0.0.1:8443`, `[::1]:8443`; `8443` and `localhost:8443`, `:8443` and `*:8443`; `unix:PATH`; `systemd` and
/// `systemd:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Ip(SocketAddr),
    /// This port of both loopback addresses, as far as this machine has them when it is listened on: clients resolve `localhost` to either.
    Loopback(u16),
    /// This port of all addresses of this machine.
    Everywhere(u16),
    /// A Unix socket of this path.
    Unix(PathBuf),
    /// Sockets that systemd hands over: of this name, or all that nothing else takes.
    Systemd(Option<String>),
}

impl Address {
    /// A port of `localhost`. A free port would be another one for each address, so that it is one of IPv4 alone.
    pub(crate) fn loopback(port: u16) -> Self {
        match port {
            0 => Self::Ip((Ipv4Addr::LOCALHOST, 0).into()),
            port => Self::Loopback(port),
        }
    }

    fn everywhere(port: u16) -> Self {
        match port {
            0 => Self::Ip((Ipv4Addr::UNSPECIFIED, 0).into()),
            port => Self::Everywhere(port),
        }
    }

    /// The IP addresses that it stands for, whether this machine has them or not; those of IPv4 first.
    pub(crate) fn ips(&self) -> Vec<SocketAddr> {
        match self {
            Self::Ip(address) => vec![*address],
            Self::Loopback(port) => vec![
                (Ipv4Addr::LOCALHOST, *port).into(),
                (Ipv6Addr::LOCALHOST, *port).into(),
            ],
            Self::Everywhere(port) => vec![
                (Ipv4Addr::UNSPECIFIED, *port).into(),
                (Ipv6Addr::UNSPECIFIED, *port).into(),
            ],
            Self::Unix(_) | Self::Systemd(_) => Vec::new(),
        }
    }

    /// Each address by itself; what comes after the first is for those machines that have it.
    pub(crate) fn parts(&self) -> Vec<Self> {
        match self {
            Self::Loopback(_) | Self::Everywhere(_) => {
                self.ips().into_iter().map(Self::Ip).collect()
            }
            Self::Ip(_) | Self::Unix(_) | Self::Systemd(_) => vec![self.clone()],
        }
    }

    /// Does listening on the one keep others from the other, because it is among all addresses of its family?
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (own, others) = (self.ips(), other.ips());
        let is_beside = |one: &SocketAddr, other: &SocketAddr| {
            one.port() == other.port()
                && one.is_ipv4() == other.is_ipv4()
                && one.ip().is_unspecified() != other.ip().is_unspecified()
        };
        own.iter()
            .any(|one| others.iter().any(|other| is_beside(one, other)))
    }

    /// The port, if it is known before anything listens.
    pub(crate) fn port(&self) -> Option<u16> {
        let port = self.ips().first().map(SocketAddr::port);
        port.filter(|port| *port != 0)
    }

    /// Can only one of the two be listened on?
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        let (own, others) = (self.ips(), other.ips());
        let is_taken = |one: &SocketAddr| one.port() != 0 && others.contains(one);
        (own.is_empty() && self == other) || own.iter().any(is_taken)
    }
}

impl Form for Address {
    const FORMAT: &'static str = "socket-address";
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => return Ok(Self::Unix(path.into())),
            Some(("systemd", name)) if !name.is_empty() => {
                return Ok(Self::Systemd(Some(name.to_owned())));
            }
            None if text == "systemd" => return Ok(Self::Systemd(None)),
            _ => {}
        }
        let in_brackets = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = in_brackets.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::Ip((address, PORT_DEFAULT).into()));
        }
        match text {
            "*" => return Ok(Self::everywhere(PORT_DEFAULT)),
            name if name.eq_ignore_ascii_case("localhost") => {
                return Ok(Self::loopback(PORT_DEFAULT));
            }
            _ => {}
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
        let Ok(port) = port.parse() else {
            return Err(format!(
                "\"{}\" is not a port; give ADDR:PORT, PORT for this machine alone, :PORT for all of its addresses, unix:PATH, systemd or systemd:NAME",
                escape_control(port)
            ));
        };
        match host {
            "" | "*" => Ok(Self::everywhere(port)),
            host if host.eq_ignore_ascii_case("localhost") => Ok(Self::loopback(port)),
            _ => Err(format!(
                "\"{}\" is not an IP address of this machine; names are given to the certificate, not to the listener",
                escape_control(host)
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Loopback(port) => write!(f, "localhost:{port}"),
            Self::Everywhere(port) => write!(f, "*:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

as_string!(Address);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_as_people_type_them() {
        let of = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        for (typed, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:2", "[::1]:2"),
            ("8443", "localhost:8443"),
            ("localhost:8443", "localhost:8443"),
            ("LOCALHOST:0", "127.0.0.1:0"),
            ("0.0.0.0", "0.0.0.0:8443"),
            ("::1", "[::1]:8443"),
            ("[::]", "[::]:8443"),
            ("localhost", "localhost:8443"),
            ("*", "*:8443"),
            (":8443", "*:8443"),
            ("*:8443", "*:8443"),
            (":0", "0.0.0.0:0"),
            ("unix:/run/s", "unix:/run/s"),
            ("systemd", "systemd"),
            ("systemd:https", "systemd:https"),
        ] {
            assert_eq!(of(typed).as_deref(), Ok(expected), "{typed}");
            let again = of(expected);
            assert_eq!(again.as_deref(), Ok(expected), "{typed}");
        }
        for (typed, told) in [
            ("", "is not a port"),
            ("x", "is not a port"),
            ("99999", "is not a port"),
            ("localhost:", "is not a port"),
            ("unix:", "is not a port"),
            ("systemd:", "is not a port"),
            ("example.org:8443", "is not an IP address"),
        ] {
            let error = of(typed).unwrap_err();
            assert!(error.contains(told), "{typed}: {error}");
        }
    }

    /// It stays what was typed: which addresses this machine has is found out when they are listened on.
    #[test]
    fn both_addresses_of_localhost_are_one_value() {
        let typed: Address = "8443".parse().unwrap();
        let ips = ["127.0.0.1:8443", "[::1]:8443"].map(|text| text.parse().unwrap());
        assert_eq!(typed.ips(), ips);
        assert_eq!(typed.port(), Some(8443));
    }

    #[test]
    fn one_address_is_among_all_of_its_family() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "0.0.0.0:2", false),
            ("127.0.0.1:1", "[::]:1", false),
            ("[::1]:1", ":1", true),
            ("0.0.0.0:1", "0.0.0.0:1", false),
            ("unix:/s", ":1", false),
        ] {
            let (one, other): (Address, Address) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.overlaps(&other), expected, "{one} {other}");
            assert_eq!(other.overlaps(&one), expected, "{one} {other}");
        }
    }

    #[test]
    fn two_listeners_cannot_have_one_address() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("[::1]:1", "1", true),
            ("1", "localhost:1", true),
            (":1", "0.0.0.0:1", true),
            ("unix:/s", "unix:/s", true),
            ("unix:/s", "unix:/t", false),
            ("systemd", "systemd", true),
            ("systemd", "systemd:a", false),
        ] {
            let (one, other): (Address, Address) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.excludes(&other), expected, "{one} {other}");
            assert_eq!(other.excludes(&one), expected, "{one} {other}");
        }
    }
}
