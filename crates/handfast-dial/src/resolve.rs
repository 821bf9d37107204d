//! Resolves a name by the operating system, within a time limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use handfast::Phase;

use crate::address::refuse_number;
use crate::error::{Cause, Error};
use crate::system::not_resolved;

/// Resolves a host by the operating system; an IP address resolves to itself, a name below `localhost` to the loopback addresses
/// (RFC 6761, section 6.3), which not every system does.
///
/// The operating system's resolver cannot be interrupted: it runs on a thread that is detached
/// when the limit passes, and ends later.
///
/// # Errors
/// [`Cause::NotResolved`], or [`Cause::TimedOut`] in [`Phase::Resolve`]; for a host that
/// is a number and not an IP address, [`Cause::ServerName`].
///
/// ```
/// let addresses = handfast_dial::resolve("127.0.0.1", 443, None)?;
/// assert_eq!(addresses, ["127.0.0.1:443".parse().unwrap()]);
/// # Ok::<(), handfast_dial::Error>(())
/// ```
pub fn resolve(host: &str, port: u16, limit: Option<Duration>) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    refuse_number(host)?;
    if is_below_localhost(host) {
        return Ok(loopback(port));
    }
    let name = host.to_owned();
    let answer = match limit {
        None => (name.as_str(), port).to_socket_addrs().map(Vec::from_iter),
        Some(limit) => {
            let (sender, receiver) = mpsc::channel();
            let spawned = thread::Builder::new()
                .name("resolve".into())
                .spawn(move || {
                    let _ =
                        sender.send((name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
                });
            match spawned {
                Err(error) => Err(error),
                Ok(_) => receiver
                    .recv_timeout(limit)
                    .map_err(|_| Error::new(Phase::Resolve, Cause::TimedOut { limit }))?,
            }
        }
    };
    found(host, answer)
}

/// As [`resolve`], without blocking the thread: on tokio's threads for work that blocks.
///
/// # Errors
/// As [`resolve`].
#[cfg(feature = "tokio")]
pub async fn resolve_async(
    host: &str,
    port: u16,
    limit: Option<Duration>,
) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    refuse_number(host)?;
    if is_below_localhost(host) {
        return Ok(loopback(port));
    }
    let lookup = tokio::net::lookup_host((host, port));
    let answer = match limit {
        None => lookup.await,
        Some(limit) => tokio::time::timeout(limit, lookup)
            .await
            .map_err(|_| Error::new(Phase::Resolve, Cause::TimedOut { limit }))?,
    };
    found(host, answer.map(Vec::from_iter))
}

/// Such as `dev.localhost`. `localhost` itself is known everywhere.
fn is_below_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit_once('.')
        .is_some_and(|(below, last)| !below.is_empty() && last.eq_ignore_ascii_case("localhost"))
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![
        (Ipv6Addr::LOCALHOST, port).into(),
        (Ipv4Addr::LOCALHOST, port).into(),
    ]
}

fn found(host: &str, answer: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, Error> {
    match answer {
        Ok(addresses) if addresses.is_empty() => {
            let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(not_resolved(host, nothing))
        }
        Ok(addresses) => Ok(addresses),
        Err(source) => Err(not_resolved(host, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_this_machine() {
        for host in ["dev.localhost", "a.dev.LOCALHOST", "dev.localhost."] {
            let addresses = resolve(host, 8443, None).unwrap();
            assert_eq!(addresses, loopback(8443), "{host}");
        }
        for host in [
            "localhost",
            ".localhost",
            "localhost.example",
            "mylocalhost",
            "a.b",
        ] {
            assert!(!is_below_localhost(host), "{host}");
        }
    }

    #[test]
    fn resolving_has_a_time_limit_and_a_phase_of_its_own() {
        // A resolver may respond within zero time, but not in every attempt.
        let error = (0..100)
            .find_map(|_| resolve("localhost", 443, Some(Duration::ZERO)).err())
            .unwrap();
        assert_eq!(error.phase(), Phase::Resolve);
        let explanation = error.explain();
        assert_eq!(explanation.id, "timed-out");
        assert!(
            explanation.what.ends_with("during the name resolution"),
            "{}",
            explanation.what
        );
    }
}
