//! TCP sockets that listen: one for each thread on every address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that may wait to be accepted; the system may allow fewer (`somaxconn`).
pub(super) const BACKLOG: i32 = 4096;

/// Bytes that may wait in the system to be sent for the first time. Without it the system takes
/// megabytes at once and asks for more only when a third of them is gone: a slow client would seem not
/// to move for minutes, and each would hold as much of the kernel's memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOTSENT: u32 = 128 * 1024;

/// Can several sockets listen on one address, so that the system spreads connections over them?
const SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Do accepted connections inherit `TCP_NODELAY` from their listener?
pub(in crate::server) const INHERITS_NODELAY: bool = SPREADS;

/// Listens on an address with a socket for each thread; where the system does not spread connections, with one. `beside`: its port may be
/// that of another listener of ours.
pub(super) fn bind(
    address: SocketAddr,
    threads: usize,
    beside: bool,
) -> io::Result<Vec<TcpListener>> {
    if !SPREADS {
        return Ok(vec![listen(address, false)?]);
    }
    let mut address = address;
    if !beside {
        // Alone at first: sharing would also let another process of the same user take half of our
        // connections, or us take half of its, unnoticed.
        address = listen(address, false)?.local_addr()?;
    }
    // Also of a single thread, so that another listener can take its place.
    (0..threads.max(1)).map(|_| listen(address, true)).collect()
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
    prepare(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what connections inherit from the socket that they arrive at.
pub(super) fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    // Inherited by every connection where the system spreads them: one system call saved for each.
    // Records are sent whole; waiting to fill segments would only delay their tails.
    socket.set_tcp_nodelay(true)?;
    // Inherited as well.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(NOTSENT)?;
    socket.set_nonblocking(true)
}
