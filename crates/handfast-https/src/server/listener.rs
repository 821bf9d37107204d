//! Listening sockets: one for each thread on every address.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the system may allow fewer (`somaxconn`).
const BACKLOG: i32 = 4096;

/// Bytes that may wait in the system to be sent for the first time. Without it the system takes
/// megabytes at once and asks for more only when a third of them is gone: a slow client would seem not
/// to move for minutes, and each would hold as much of the kernel's memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOTSENT: u32 = 128 * 1024;

/// Can several sockets listen on one address, so that the system spreads connections over them?
const SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// An address that could not be listened on.
#[derive(Debug)]
#[non_exhaustive]
pub struct BindError {
    /// Which address; `None` when none was given.
    pub address: Option<SocketAddr>,
    /// The operating system's answer.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "cannot listen on {address}"),
            None => f.write_str("there is no address to listen on"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The sockets of one address, one for each thread.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<TcpListener>,
}

/// Listens on every address, `threads` times.
pub(super) fn bind(addresses: &[SocketAddr], threads: usize) -> Result<Vec<Listening>, BindError> {
    if addresses.is_empty() {
        return Err(BindError {
            address: None,
            source: io::ErrorKind::InvalidInput.into(),
        });
    }
    addresses
        .iter()
        .map(|&address| {
            bind_one(address, threads).map_err(|source| BindError {
                address: Some(address),
                source,
            })
        })
        .collect()
}

fn bind_one(address: SocketAddr, threads: usize) -> io::Result<Listening> {
    // Alone at first: sharing would also let another process of the same user take half of our
    // connections, or us take half of its, unnoticed.
    let first = listen(address, false)?;
    let address = first.local_addr()?;
    if threads <= 1 {
        let sockets = vec![first];
        return Ok(Listening { address, sockets });
    }
    let sockets = if SPREADS {
        drop(first);
        (0..threads)
            .map(|_| listen(address, true))
            .collect::<io::Result<_>>()?
    } else {
        let mut sockets = (1..threads)
            .map(|_| first.try_clone())
            .collect::<io::Result<Vec<_>>>()?;
        sockets.push(first);
        sockets
    };
    Ok(Listening { address, sockets })
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // Each family is listened on by itself: "::" taking IPv4 too would collide with "0.0.0.0".
        socket.set_only_v6(true)?;
    }
    // Connections of a server before us that are still closing must not keep us out. (Elsewhere than
    // on Unix this option means something else.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(unix))]
    let _ = shared;
    // Inherited by every connection where the system spreads them: one system call saved for each.
    // Records are sent whole; waiting to fill segments would only delay their tails.
    socket.set_tcp_nodelay(true)?;
    // Inherited as well.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(NOTSENT)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Do accepted connections inherit `TCP_NODELAY` from their listener?
pub(super) const INHERITS_NODELAY: bool = SPREADS;
