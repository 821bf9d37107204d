//! Where connections lead, and how long they may take: flags as curl has them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::trust_args::{Limit, limit};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// Connect to ADDR when the URL says HOST:PORT
    #[arg(long, value_name = "HOST:PORT:ADDR")]
    pub(super) resolve: Vec<Resolve>,
    /// Time limit for the whole transfer, 0 for none [default: 60 seconds without data]
    #[arg(short, long, value_name = "SECONDS", value_parser = limit)]
    pub(super) max_time: Option<Limit>,
    /// Time limit for connecting and the handshake, 0 for none [default: 10 for each step]
    #[arg(long, value_name = "SECONDS", value_parser = limit)]
    pub(super) connect_timeout: Option<Limit>,
    /// Use HTTP/1.1 only
    #[arg(long = "http1.1")]
    pub(super) http1_1: bool,
    /// Offer HTTP/2, then HTTP/1.1 (the default)
    #[arg(long, conflicts_with = "http1_1")]
    pub(super) http2: bool,
    /// If the handshake fails, do not open further connections to find out why
    #[arg(long)]
    pub(super) no_probe: bool,
    /// Append TLS session secrets to FILE, for a packet analyser; anyone with it can decrypt the traffic
    #[arg(long, value_name = "FILE", env = "SSLKEYLOGFILE", value_parser = crate::trust_args::key_log_file())]
    pub(super) key_log: Option<PathBuf>,
}

/// One of `--resolve`: `HOST:PORT:ADDR`, the addresses separated by commas.
#[derive(Debug, Clone)]
pub(super) struct Resolve {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) addresses: Vec<IpAddr>,
}

impl FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "expected HOST:PORT:ADDR, such as example.org:443:127.0.0.1".to_owned();
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or_else(usage)?,
            None => text.split_once(':').ok_or_else(usage)?,
        };
        let (port, addresses) = rest.split_once(':').ok_or_else(usage)?;
        let address = |text: &str| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            bare.parse()
                .map_err(|_| format!("`{text}` is not an IP address"))
        };
        Ok(Self {
            // For curl, `+` lets the entry expire: not within one run.
            host: host.strip_prefix('+').unwrap_or(host).to_owned(),
            port: port.parse().map_err(|_| usage())?,
            addresses: addresses
                .split(',')
                .map(address)
                .collect::<Result<_, _>>()?,
        })
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
        for bad in ["", "a:b", "a:1", "a:x:127.0.0.1", "a:1:nowhere"] {
            assert!(bad.parse::<Resolve>().is_err(), "{bad}");
        }
    }
}
