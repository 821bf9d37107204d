//! A listening socket in a thread's event queue, and the connections that come of it.

use std::io;

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::address::PeerAddress;
#[cfg(unix)]
use super::address::UnixPeer;
use super::listener::{INHERITS_NODELAY, Socket};

/// Accepts connections. One of a Unix socket is a [`TcpStream`], too: what is called of it works for any stream socket,
/// and the code that serves connections is there once.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Acceptor {
    /// Within the runtime whose thread is to accept.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            #[cfg(unix)]
            Socket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, PeerAddress)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(of_tcp(stream, peer.into()))
            }
            #[cfg(unix)]
            Self::Unix(listener) => of_unix(listener.accept().await?.0),
        }
    }

    /// What is in the queue now, whether the event queue says so or not.
    pub(super) fn into_queue(self) -> io::Result<Queue> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(Socket::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => listener.into_std().map(Socket::Unix),
        }
        .map(Queue)
    }
}

/// The queue of a socket that is about to be closed.
#[derive(Debug)]
pub(super) struct Queue(Socket);

impl Queue {
    /// The next connection in the queue; an error of the kind `WouldBlock` if there is none.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, PeerAddress)> {
        match &self.0 {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(of_tcp(TcpStream::from_std(stream)?, peer.into()))
            }
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                of_unix(UnixStream::from_std(stream)?)
            }
        }
    }
}

fn of_tcp(stream: TcpStream, peer: PeerAddress) -> (TcpStream, PeerAddress) {
    if !INHERITS_NODELAY {
        let _ = stream.set_nodelay(true);
    }
    (stream, peer)
}

#[cfg(unix)]
fn of_unix(stream: UnixStream) -> io::Result<(TcpStream, PeerAddress)> {
    let peer = stream.peer_cred().ok().map(|peer| UnixPeer {
        uid: peer.uid(),
        gid: peer.gid(),
        pid: peer.pid(),
    });
    let descriptor = std::os::fd::OwnedFd::from(stream.into_std()?);
    let stream = TcpStream::from_std(std::net::TcpStream::from(descriptor))?;
    Ok((stream, PeerAddress::Unix(peer)))
}
