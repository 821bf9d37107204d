//! From `host:port` to a connected TCP socket, blocking, within limits.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use handfast::{Phase, Timeouts};

use crate::error::{Cause, Error};

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
            let cause = Cause::Address {
                text: authority.to_owned(),
            };
            Error::new(Phase::Configure, cause)
        })
}

/// The error of a connection that did not come about: `tried` are the addresses of `host`, `last` is
/// the operating system's last answer, none when there was no address.
///
/// What this machine has run out of, descriptors or local ports, is told as that: the server may be
/// in the best of health.
pub fn connect_error(host: &str, tried: Vec<SocketAddr>, last: Option<io::Error>) -> Error {
    let Some(source) = last else {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return not_resolved(host, nothing);
    };
    if out_of_descriptors(&source) {
        return Error::new(Phase::Connect, Cause::DescriptorsUsedUp { source });
    }
    Error::new(
        Phase::Connect,
        match (source.kind(), tried.last()) {
            (io::ErrorKind::ConnectionRefused, _) => Cause::Refused { addresses: tried },
            (io::ErrorKind::AddrNotAvailable, Some(address)) if has_way_to(*address) => {
                Cause::PortsUsedUp { address: *address }
            }
            _ => Cause::Unreachable {
                addresses: tried,
                source,
            },
        },
    )
}

fn not_resolved(host: &str, source: io::Error) -> Error {
    if out_of_descriptors(&source) {
        return Error::new(Phase::Resolve, Cause::DescriptorsUsedUp { source });
    }
    let host = host.to_owned();
    Error::new(Phase::Resolve, Cause::NotResolved { host, source })
}

/// `EMFILE` of the process and `ENFILE` of the whole system: Rust has no names for them, and on every
/// Unix they are these numbers.
fn out_of_descriptors(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Would this machine have an address to reach that one from? `EADDRNOTAVAIL` means that it has none
/// (IPv6 is switched off), or has no port left. UDP's ports are others, and connecting sends nothing.
fn has_way_to(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect(address).is_ok())
}

/// Refuses a host such as `8443`, `0x7f.1` or `127.1`: the C library, and URLs, read them as IPv4
/// addresses (`8443` is 0.0.32.251), which nobody means. No name ends in a number (RFC 3696, section 2).
///
/// # Errors
/// [`Cause::ServerName`].
pub fn refuse_number(host: &str) -> Result<(), Error> {
    let last = host.strip_suffix('.').unwrap_or(host);
    let last = last.rsplit('.').next().unwrap_or(last);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if !is_number || host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let cause = Cause::ServerName {
        text: host.to_owned(),
        problem: match host.parse::<u16>() {
            Ok(port) => {
                format!("it is a number: a port is written behind the host, as in localhost:{port}")
            }
            Err(_) => "it ends in a number and is no IP address; one is written as in 127.0.0.1"
                .to_owned(),
        },
    };
    Err(Error::new(Phase::Configure, cause))
}

/// [`refuse_number`] for the host of a URL as it was typed: a parser of URLs has made an address of it.
///
/// # Errors
/// [`Cause::ServerName`].
pub fn refuse_number_in_url(url: &str) -> Result<(), Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    match host.starts_with('[') {
        true => Ok(()),
        false => refuse_number(host.split(':').next().unwrap_or(host)),
    }
}

pub(crate) fn connect(host: &str, port: u16, timeouts: &Timeouts) -> Result<TcpStream, Error> {
    let addresses = resolve(host, port, timeouts.resolve)?;
    let deadline = timeouts
        .connect
        .and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let mut tried = Vec::new();
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        tried.push(*address);
        let attempt = match deadline {
            None => TcpStream::connect(address),
            Some((at, limit)) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Error::new(Phase::Connect, Cause::TimedOut { limit }));
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
            Err(Error::new(Phase::Connect, Cause::TimedOut { limit }))
        }
        (last, _) => Err(connect_error(host, tried, last)),
    }
}

/// The addresses of a host, as the operating system finds them; an IP address is its own.
///
/// The operating system's resolver cannot be interrupted: it runs on a thread that is left behind
/// when the limit passes, and ends by itself.
///
/// # Errors
/// [`Cause::NotResolved`], or [`Cause::TimedOut`] in [`Phase::Resolve`]; for a host that
/// is a number and no IP address, [`Cause::ServerName`].
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
    answer.map_err(|source| not_resolved(host, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolving_has_a_time_limit_and_a_phase_of_its_own() {
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
    fn a_host_that_is_a_number_is_refused_and_not_taken_for_an_address() {
        for host in [
            "8443",
            "0",
            "0x20fb",
            "0x",
            "127.1",
            "0x7f.1",
            "017700000001",
            "1.2.3.4.5",
            "a.8443",
            "127.0.0.1.",
            "256.1.1.1",
        ] {
            let error = resolve(host, 443, None).unwrap_err();
            assert_eq!(error.phase(), Phase::Configure, "{host}");
            assert_eq!(error.explain().id, "invalid-server-name", "{host}");
        }
        assert!(
            refuse_number("8443")
                .unwrap_err()
                .explain()
                .to_string()
                .contains("localhost:8443")
        );
        for (url, good) in [
            ("https://8443/", false),
            ("https://a:b@127.1:443/x", false),
            ("https://0x7f.1?x", false),
            ("https://127.0.0.1:8443/8443", true),
            ("https://[::1]:8443/", true),
            ("https://1:2@example.org/#1", true),
            ("localhost:8443", true),
        ] {
            assert_eq!(refuse_number_in_url(url).is_ok(), good, "{url}");
        }
        for host in [
            "127.0.0.1",
            "::1",
            "localhost",
            "8443.example",
            "a1",
            "1a",
            "x0x1f",
            "",
        ] {
            assert!(refuse_number(host).is_ok(), "{host}");
        }
    }

    #[test]
    fn what_this_machine_has_run_out_of_is_not_told_as_the_server_s() {
        let tried = || vec!["127.0.0.1:9".parse().unwrap()];
        let id = |error: io::Error| connect_error("x", tried(), Some(error)).explain().id;
        #[cfg(unix)]
        for number in [23, 24] {
            assert_eq!(
                id(io::Error::from_raw_os_error(number)),
                "too-many-open-files"
            );
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(not_resolved("x", error).explain().id, "too-many-open-files");
        }
        // Loopback can be reached, so that it can only be the ports.
        assert_eq!(
            id(io::ErrorKind::AddrNotAvailable.into()),
            "local-ports-used-up"
        );
        assert_eq!(
            id(io::ErrorKind::ConnectionRefused.into()),
            "connection-refused"
        );
        assert_eq!(id(io::ErrorKind::NetworkUnreachable.into()), "unreachable");
        assert_eq!(
            connect_error("x", tried(), None).explain().id,
            "name-not-resolved"
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
