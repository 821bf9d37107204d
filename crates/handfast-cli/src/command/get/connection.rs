//! Where connections lead, and how long they may take: flags as curl has them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use handfast_https::client::{AddressFamily, ClientBuilder, LocalEnd};

use crate::trust_args::{Limit, limit};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// Connect to ADDR when the URL says HOST:PORT; HOST may be `*`; -HOST:PORT removes an entry
    #[arg(long, value_name = "HOST:PORT:ADDR", allow_hyphen_values = true)]
    resolve: Vec<Resolve>,
    /// Connect to HOST2:PORT2 when the URL says HOST1:PORT1; an empty HOST1 or PORT1 matches all, an empty HOST2 or PORT2 changes nothing
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2")]
    connect_to: Vec<ConnectTo>,
    /// Use IPv4 addresses only
    #[arg(short = '4', long, overrides_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 addresses only
    #[arg(short = '6', long, overrides_with = "ipv4")]
    ipv6: bool,
    /// Connect from this address of this machine, or through this device (Linux)
    #[arg(long, value_name = "ADDR|DEVICE")]
    interface: Option<Interface>,
    /// Connect from this local port, or the first free one of a range
    #[arg(long, value_name = "PORT[-PORT]")]
    local_port: Option<Ports>,
    /// Connect to this Unix socket, whatever the URL says
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,
    /// The same with a name of Linux's abstract namespace
    #[cfg(unix)]
    #[arg(long, value_name = "NAME", conflicts_with = "unix_socket")]
    abstract_unix_socket: Option<String>,
    /// Begin each connection with a line of the PROXY protocol (version 1), for servers behind load balancers
    #[arg(long)]
    haproxy_protocol: bool,
    /// Time limit for the whole transfer, 0 for none [default: 60 seconds without data]
    #[arg(short, long, value_name = "SECONDS", value_parser = limit)]
    pub(super) max_time: Option<Limit>,
    /// Time limit for connecting and the handshake, 0 for none [default: 10 for each step]
    #[arg(long, value_name = "SECONDS", value_parser = limit)]
    pub(super) connect_timeout: Option<Limit>,
    /// Use HTTP/1.1 only
    #[arg(long = "http1.1", overrides_with = "http2")]
    pub(super) http1_1: bool,
    /// Offer HTTP/2, then HTTP/1.1 (the default)
    #[arg(long, alias = "http2-prior-knowledge", overrides_with = "http1_1")]
    pub(super) http2: bool,
    /// If the handshake fails, do not open further connections to find out why
    #[arg(long)]
    pub(super) no_probe: bool,
    /// Append TLS session secrets to FILE, for a packet analyser; anyone with it can decrypt the traffic
    #[arg(long, value_name = "FILE", env = "SSLKEYLOGFILE", value_parser = crate::trust_args::key_log_file())]
    pub(super) key_log: Option<PathBuf>,
}

impl ConnectionArgs {
    /// The client that connects so.
    pub(super) fn apply(&self, mut client: ClientBuilder) -> ClientBuilder {
        for (host, port, addresses) in Resolve::in_force(&self.resolve) {
            for address in addresses {
                client = client.resolve(host, port, *address);
            }
        }
        for ConnectTo { asked, to } in &self.connect_to {
            client = client.connect_to((asked.0.as_deref(), asked.1), (to.0.as_deref(), to.1));
        }
        // As in curl: the last one counts. clap keeps no more than one of the two.
        if self.ipv4 {
            client = client.address_family(AddressFamily::V4);
        } else if self.ipv6 {
            client = client.address_family(AddressFamily::V6);
        }
        let mut local = LocalEnd::default();
        match &self.interface {
            Some(Interface::Address(address)) => local = local.with_address(*address),
            Some(Interface::Device(name)) => local = local.with_device(name),
            None => {}
        }
        if let Some(Ports(ports)) = &self.local_port {
            local = local.with_ports(ports.clone());
        }
        client = client
            .local_end(local)
            .announces_client(self.haproxy_protocol);
        #[cfg(unix)]
        if let Some(path) = &self.unix_socket {
            client = client.unix_socket(path);
        } else if let Some(name) = &self.abstract_unix_socket {
            client = client.unix_socket(format!("\0{name}"));
        }
        client
    }
}

/// One of `--resolve`: `[+]HOST:PORT:ADDR`, the addresses separated by commas; or `-HOST:PORT`, which takes an entry away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolve {
    host: String,
    port: u16,
    /// None: the entry is taken away.
    addresses: Vec<IpAddr>,
}

impl Resolve {
    /// The entries that are in force in the end: a later one takes the place of an earlier one.
    fn in_force(all: &[Self]) -> Vec<(&str, u16, &[IpAddr])> {
        let mut kept: Vec<&Self> = Vec::new();
        for entry in all {
            let is_same =
                |one: &&Self| one.port == entry.port && one.host.eq_ignore_ascii_case(&entry.host);
            kept.retain(|one| !is_same(one));
            kept.push(entry);
        }
        kept.into_iter()
            .map(|one| (one.host.as_str(), one.port, one.addresses.as_slice()))
            .collect()
    }
}

/// A host, perhaps in brackets, up to the colon behind it, and what follows.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':'),
    }
}

impl FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "expected HOST:PORT:ADDR, such as example.org:443:127.0.0.1".to_owned();
        if let Some(gone) = text.strip_prefix('-') {
            let (host, port) = split_host(gone).ok_or_else(usage)?;
            return Ok(Self {
                host: host.to_owned(),
                port: port.parse().map_err(|_| usage())?,
                addresses: Vec::new(),
            });
        }
        // For curl, `+` lets the entry expire: not within one run.
        let text = text.strip_prefix('+').unwrap_or(text);
        let (host, rest) = split_host(text).ok_or_else(usage)?;
        let (port, addresses) = rest.split_once(':').ok_or_else(usage)?;
        let address = |text: &str| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            bare.parse()
                .map_err(|_| format!("`{text}` is not an IP address"))
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| usage())?,
            addresses: addresses
                .split(',')
                .map(address)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// One of `--connect-to`: `HOST1:PORT1:HOST2:PORT2`, each of which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConnectTo {
    asked: (Option<String>, Option<u16>),
    to: (Option<String>, Option<u16>),
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "expected HOST1:PORT1:HOST2:PORT2, such as ::127.0.0.1:8443".to_owned();
        let host = |host: &str| (!host.is_empty()).then(|| host.to_owned());
        let port = |port: &str| match port {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| usage()),
        };
        let (host1, rest) = split_host(text).ok_or_else(usage)?;
        let (port1, rest) = rest.split_once(':').ok_or_else(usage)?;
        let (host2, port2) = split_host(rest).ok_or_else(usage)?;
        Ok(Self {
            asked: (host(host1), port(port1)?),
            to: (host(host2), port(port2)?),
        })
    }
}

/// `--interface`: an address of this machine, or a device.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interface {
    Address(IpAddr),
    Device(String),
}

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix("host!") {
            let address = address.parse();
            return address
                .map(Self::Address)
                .map_err(|_| "expected an IP address behind host!".to_owned());
        }
        let name = text.strip_prefix("if!");
        match (name, text.parse()) {
            (None, Ok(address)) => Ok(Self::Address(address)),
            _ if text.is_empty() => Err("expected an address or a device".to_owned()),
            _ => Ok(Self::Device(name.unwrap_or(text).to_owned())),
        }
    }
}

/// `--local-port`: `PORT` or `FIRST-LAST`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ports(RangeInclusive<u16>);

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
        let ports = match text.split_once('-') {
            Some((first, last)) => port(first).zip(port(last)),
            None => port(text).map(|port| (port, port)),
        };
        ports
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| Self(first..=last))
            .ok_or_else(|| "expected a port or a range such as 40000-40100".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_curls_syntax() {
        let one: Resolve = "example.org:443:127.0.0.1,[::1]".parse().unwrap();
        assert_eq!(
            (one.host.as_str(), one.port, one.addresses.len()),
            ("example.org", 443, 2)
        );
        let two: Resolve = "[::1]:8443:::1".parse().unwrap();
        assert_eq!(
            (two.host.as_str(), two.port, two.addresses.len()),
            ("::1", 8443, 1)
        );
        let expiring: Resolve = "+example.org:443:::1".parse().unwrap();
        assert_eq!(expiring.host, "example.org");
        for bad in [
            "",
            "a:b",
            "a:1",
            "a:x:127.0.0.1",
            "a:1:nowhere",
            "-a",
            "-a:x",
        ] {
            assert!(bad.parse::<Resolve>().is_err(), "{bad}");
        }
        let entries =
            ["a:1:::1", "b:1:::2", "-A:1", "B:1:::3", "a:2:::4"].map(|text| text.parse().unwrap());
        let kept = Resolve::in_force(&entries);
        let kept: Vec<_> = kept
            .iter()
            .map(|(host, port, addresses)| (*host, *port, addresses.len()))
            .collect();
        assert_eq!(kept, [("A", 1, 0), ("B", 1, 1), ("a", 2, 1)]);
    }

    #[test]
    fn other_places_have_curls_syntax() {
        let some = |text: &str| Some(text.to_owned());
        for (text, asked, to) in [
            ("a:1:b:2", (some("a"), Some(1)), (some("b"), Some(2))),
            ("::b:", (None, None), (some("b"), None)),
            (":1::2", (None, Some(1)), (None, Some(2))),
            (
                "[::1]:1:[::2]:2",
                (some("::1"), Some(1)),
                (some("::2"), Some(2)),
            ),
        ] {
            assert_eq!(text.parse(), Ok(ConnectTo { asked, to }), "{text}");
        }
        for bad in ["", "a", "a:1", "a:1:b", "a:x:b:1", "a:1:b:x"] {
            assert!(bad.parse::<ConnectTo>().is_err(), "{bad}");
        }
        for (text, expected) in [
            ("127.0.0.1", Some(Interface::Address([127, 0, 0, 1].into()))),
            (
                "host!127.0.0.1",
                Some(Interface::Address([127, 0, 0, 1].into())),
            ),
            ("eth0", Some(Interface::Device("eth0".to_owned()))),
            (
                "if!127.0.0.1",
                Some(Interface::Device("127.0.0.1".to_owned())),
            ),
            ("", None),
            ("host!eth0", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("7", Some(7..=7)),
            ("7-9", Some(7..=9)),
            ("9-7", None),
            ("0", None),
            ("70000", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(Ports), "{text}");
        }
    }
}
