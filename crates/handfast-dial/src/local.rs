//! The local end of a connection: which address, device and port it leaves from.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, Type};

/// Which of a name's addresses are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressFamily {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl AddressFamily {
    pub(crate) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Which address, device and port of this machine connections leave from. Default: what the operating system chooses.
///
/// ```
/// use handfast_dial::{Dialer, LocalEnd};
///
/// let local = LocalEnd::default()
///     .with_address("127.0.0.1".parse()?)
///     .with_ports(40000..=40099);
/// let dialer = Dialer::new().from_local(local);
/// # let _ = dialer;
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalEnd {
    address: Option<IpAddr>,
    device: Option<String>,
    ports: Option<RangeInclusive<u16>>,
}

impl LocalEnd {
    /// From this address of this machine.
    #[must_use]
    pub fn with_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Through this network device, on Linux.
    #[must_use]
    pub fn with_device(mut self, name: impl Into<String>) -> Self {
        self.device = Some(name.into());
        self
    }

    /// From the first of these ports that is free.
    #[must_use]
    pub fn with_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports = Some(ports);
        self
    }

    pub(crate) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// The only family that this end has an address of, if it has one.
    pub(crate) fn family(&self) -> Option<AddressFamily> {
        self.address.map(|address| match address {
            IpAddr::V4(_) => AddressFamily::V4,
            IpAddr::V6(_) => AddressFamily::V6,
        })
    }

    /// A socket that connects from here to an address of that kind.
    pub(crate) fn socket(&self, to: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        self.bind(&socket, to)
            .map_err(|source| io::Error::other(LocalEndProblem(self.clone(), source)))?;
        Ok(socket)
    }

    fn bind(&self, socket: &Socket, to: SocketAddr) -> io::Result<()> {
        if let Some(name) = &self.device {
            bind_to_device(socket, name)?;
        }
        if self.address.is_none() && self.ports.is_none() {
            return Ok(());
        }
        let address = match (self.address, to) {
            (Some(address), _) => address,
            (None, SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (None, SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in self.ports.clone().unwrap_or(0..=0) {
            match socket.bind(&SocketAddr::new(address, port).into()) {
                Ok(()) => return Ok(()),
                // The next port may be free.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

impl fmt::Display for LocalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(address) = self.address {
            parts.push(format!("the local address {address}"));
        }
        if let Some(device) = &self.device {
            parts.push(format!(
                "the network device {}",
                handfast::escape_control(device)
            ));
        }
        if let Some(ports) = &self.ports {
            parts.push(match ports.start() == ports.end() {
                true => format!("the local port {}", ports.start()),
                false => format!("the local ports {} to {}", ports.start(), ports.end()),
            });
        }
        f.write_str(&parts.join(" with "))
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
fn bind_to_device(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "fuchsia")))]
fn bind_to_device(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Why a local end cannot be used: inside an [`io::Error`], as attempts have no other.
#[derive(Debug)]
pub(crate) struct LocalEndProblem(pub(crate) LocalEnd, pub(crate) io::Error);

impl fmt::Display for LocalEndProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used: {}", self.0, self.1)
    }
}

impl std::error::Error for LocalEndProblem {}
