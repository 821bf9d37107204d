//! From `host:port` to a connected TCP socket, blocking, within limits.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::context::Timeouts;
use crate::error::{ConfigurationCause, Error, NetworkCause, Phase};

/// Splits `host:port`, an IPv6 host in brackets. Gives the host without them.
pub(crate) fn split_authority(authority: &str) -> Result<(&str, u16), Error> {
    let split = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => authority
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':')),
    };
    split
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or_else(|| {
            let cause = ConfigurationCause::Address {
                text: authority.to_owned(),
            };
            Error::new(Phase::Configure, cause)
        })
}

/// What "no address, or all of them refused" becomes.
pub(crate) fn unreachable(tried: Vec<SocketAddr>, host: &str, last: Option<io::Error>) -> Error {
    let cause = match last {
        None => NetworkCause::NotResolved {
            host: host.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        },
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            NetworkCause::Refused { addresses: tried }
        }
        Some(source) => NetworkCause::Unreachable {
            addresses: tried,
            source,
        },
    };
    let phase = match cause {
        NetworkCause::NotResolved { .. } => Phase::Resolve,
        _ => Phase::Connect,
    };
    Error::new(phase, cause)
}

pub(crate) fn connect(host: &str, port: u16, timeouts: &Timeouts) -> Result<TcpStream, Error> {
    let addresses = resolve(host, port, timeouts.resolve)?;
    let deadline = timeouts
        .connect
        .map(|limit| (Instant::now() + limit, limit));
    let mut tried = Vec::new();
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        tried.push(*address);
        let attempt = match deadline {
            None => TcpStream::connect(address),
            Some((at, limit)) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Error::new(Phase::Connect, NetworkCause::TimedOut { limit }));
                }
                // An address that swallows packets must leave time for those after it.
                let share = left / u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
                TcpStream::connect_timeout(address, share.max(Duration::from_millis(1)))
            }
        };
        match attempt {
            Ok(socket) => {
                // Records are sent whole: waiting to fill segments only delays their tails.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => last = Some(error),
        }
    }
    match (last, deadline) {
        (Some(error), Some((_, limit))) if error.kind() == io::ErrorKind::TimedOut => {
            Err(Error::new(Phase::Connect, NetworkCause::TimedOut { limit }))
        }
        (last, _) => Err(unreachable(tried, host, last)),
    }
}

/// The addresses of a host, as the operating system finds them; an IP address is its own.
///
/// The operating system's resolver cannot be interrupted: it runs on a thread that is left behind
/// when the limit passes, and ends by itself.
///
/// # Errors
/// [`NetworkCause::NotResolved`], or [`NetworkCause::TimedOut`] in [`Phase::Resolve`].
///
/// ```
/// let addresses = handfast::resolve("127.0.0.1", 443, None)?;
/// assert_eq!(addresses, ["127.0.0.1:443".parse().unwrap()]);
/// # Ok::<(), handfast::Error>(())
/// ```
pub fn resolve(host: &str, port: u16, limit: Option<Duration>) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
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
                    .map_err(|_| Error::new(Phase::Resolve, NetworkCause::TimedOut { limit }))?,
            }
        }
    };
    answer.map_err(|source| {
        Error::new(
            Phase::Resolve,
            NetworkCause::NotResolved {
                host: host.to_owned(),
                source,
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a9_resolving_has_a_time_limit_and_a_phase_of_its_own() {
        // A resolver may be quicker than no time at all, though hardly every time.
        let error = (0..100)
            .find_map(|_| resolve("localhost", 443, Some(Duration::ZERO)).err())
            .unwrap();
        assert_eq!(error.phase(), Phase::Resolve);
        let told = error.explain();
        assert_eq!(told.id, "timed-out");
        assert!(
            told.what.ends_with("during the name resolution"),
            "{}",
            told.what
        );
    }

    #[test]
    fn authorities_are_split_or_refused() {
        for (text, expected) in [
            ("example.org:443", Some(("example.org", 443))),
            ("127.0.0.1:8443", Some(("127.0.0.1", 8443))),
            ("[::1]:443", Some(("::1", 443))),
            ("::1:443", None),
            ("example.org", None),
            ("example.org:", None),
            ("example.org:70000", None),
            (":443", None),
            ("[]:443", None),
            ("[::1]", None),
        ] {
            assert_eq!(split_authority(text).ok(), expected, "{text}");
        }
    }
}
