//! From an address to sockets that listen.

use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::path::{Path, PathBuf};

use handfast_https::server::{BindError, Listener};

use crate::command::serve::config::Address;

/// Listens here and now.
pub(super) fn open(
    address: &Address,
    beside: bool,
    threads: usize,
) -> Result<Vec<Listener>, BindError> {
    let unopened = unopened(address).into_iter();
    let opened = unopened.map(|listener| match beside {
        true => listener.beside_own().open(threads),
        false => listener.open(threads),
    });
    opened.collect()
}

/// What will listen there; nothing for addresses that stand for others.
pub(super) fn unopened(address: &Address) -> Option<Listener> {
    match address {
        Address::Ip(address) => Some(Listener::address(*address)),
        #[cfg(unix)]
        Address::Unix(path) => Some(Listener::path(absolute(path))),
        #[cfg(not(unix))]
        Address::Unix(_) => None,
        Address::Loopback(_) | Address::Everywhere(_) | Address::Systemd(_) => None,
    }
}

/// A successor in another directory removes the file by this path. As it is if a socket could not have the longer one.
#[cfg(unix)]
fn absolute(path: &Path) -> PathBuf {
    /// What every system has room for in a socket's address, in bytes.
    const PATH_MAX: usize = 100;
    let absolute = std::path::absolute(path).ok();
    let fits = |path: &PathBuf| path.as_os_str().len() <= PATH_MAX;
    absolute.filter(fits).unwrap_or_else(|| path.to_owned())
}

/// Whether this user may have the address, as far as that can be known without listening there.
#[cfg(unix)]
pub(super) fn is_refused(address: &SocketAddr) -> Option<io::Error> {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::STREAM, None).ok()?;
    let error = io::Error::from(bind(&socket, address).err()?);
    (error.kind() == io::ErrorKind::PermissionDenied).then_some(error)
}

#[cfg(not(unix))]
pub(super) fn is_refused(_: &SocketAddr) -> Option<io::Error> {
    None
}

/// Whether this machine has the address, of which another port is free.
pub(super) fn is_here(address: &Address) -> bool {
    match address {
        Address::Ip(address) => TcpListener::bind((address.ip(), 0)).is_ok(),
        _ => true,
    }
}

/// Whether this machine does not have the address, or its family.
pub(super) fn is_unavailable(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::AddrNotAvailable
}
