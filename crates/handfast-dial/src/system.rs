//! What the operating system's answer to connecting means.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use handfast::Phase;

use crate::error::{Cause, Error};
use crate::local::LocalEndProblem;

/// The error of a connection that did not come about: `tried` are the addresses of `host`, `last` is
/// the operating system's last answer, none when there was no address.
///
/// When this machine has run out of descriptors or local ports, the error says so: the server may be
/// in the best of health.
pub fn connect_error(host: &str, tried: Vec<SocketAddr>, last: Option<io::Error>) -> Error {
    let Some(source) = last else {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return not_resolved(host, nothing);
    };
    let source = match source.downcast::<LocalEndProblem>() {
        Ok(LocalEndProblem(local, source)) => {
            return Error::new(Phase::Connect, Cause::LocalEnd { local, source });
        }
        Err(source) => source,
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

pub(crate) fn not_resolved(host: &str, source: io::Error) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        // The operating system's own limit, and not the caller's.
        assert_eq!(id(io::ErrorKind::TimedOut.into()), "unreachable");
        assert_eq!(
            connect_error("x", tried(), None).explain().id,
            "name-not-resolved"
        );
    }
}
