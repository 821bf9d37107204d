//! Where connections come from and where they arrive: addresses of IP, Unix sockets, or unknown.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The address of a client.
///
/// As text it has no spaces: `192.0.2.1:50000`, `unix:uid=1000`, `unix:`, or `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// Of a TCP connection.
    Ip(SocketAddr),
    /// The client connected to a Unix socket: it has no address, but it runs on this machine, and the system tells as
    /// which user (`None` where it does not).
    Unix(Option<UnixPeer>),
    /// For a channel without addresses, such as a pipe.
    Unknown,
}

/// The process at the other end of a Unix socket, when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnixPeer {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its number, where the system tells it. It may be another process' by now: for logs, not for decisions.
    pub pid: Option<i32>,
}

impl PeerAddress {
    /// The IP address and port, if it has them.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Unknown => None,
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(Some(peer)) => write!(f, "unix:uid={}", peer.uid),
            Self::Unix(None) => f.write_str("unix:"),
            Self::Unknown => f.write_str("-"),
        }
    }
}

/// The address of this end of a connection, or of a listener.
///
/// As text: `192.0.2.1:443`, `unix:/run/handfast.sock`, or `-`. A path may have any character: escape it for a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LocalAddress {
    /// Of a TCP socket.
    Ip(SocketAddr),
    /// The path of a Unix socket; empty if it has none.
    Unix(Arc<Path>),
    /// For a channel without addresses.
    Unknown,
}

impl LocalAddress {
    /// The IP address and port, if it has them.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Unknown => None,
        }
    }

    /// The port; 0 if it has none.
    pub(super) fn port(&self) -> u16 {
        self.socket().map_or(0, |address| address.port())
    }
}

impl From<SocketAddr> for LocalAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unknown => f.write_str("-"),
        }
    }
}

/// Where a connection comes from, for handlers and observers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Addresses {
    /// The client's address.
    pub peer: PeerAddress,
    /// The address of this end of the connection, which is not the listener's if that listens on every address.
    pub local: LocalAddress,
}

impl Addresses {
    /// For a channel that has none, such as a pipe. Without a port plain HTTP cannot be redirected to https, and there
    /// are no limits per address.
    pub const NONE: Self = Self {
        peer: PeerAddress::Unknown,
        local: LocalAddress::Unknown,
    };

    /// Of both ends, in the order of the socket's `peer_addr` and `local_addr`.
    pub fn new(peer: impl Into<PeerAddress>, local: impl Into<LocalAddress>) -> Self {
        Self {
            peer: peer.into(),
            local: local.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelled_without_spaces() {
        let user = UnixPeer {
            uid: 1000,
            gid: 100,
            pid: Some(1),
        };
        let socket: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!(PeerAddress::from(socket).to_string(), "[2001:db8::1]:443");
        assert_eq!(PeerAddress::Unix(Some(user)).to_string(), "unix:uid=1000");
        assert_eq!(PeerAddress::Unix(None).to_string(), "unix:");
        assert_eq!(Addresses::NONE.peer.to_string(), "-");
        let path = LocalAddress::Unix(Path::new("/run/x.sock").into());
        assert_eq!(path.to_string(), "unix:/run/x.sock");
        assert_eq!((path.socket(), path.port()), (None, 0));
        assert_eq!(LocalAddress::from(socket).port(), 443);
    }
}
