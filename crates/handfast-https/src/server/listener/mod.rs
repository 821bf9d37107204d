//! Where a server listens: values, and the sockets that they become.

mod redirect;
mod tcp;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::SockRef;

use super::address::LocalAddress;
pub use redirect::Redirect;
pub(super) use tcp::INHERITS_NODELAY;
#[cfg(unix)]
pub(super) use unix::SocketFile;

/// Who may connect to a Unix socket unless another mode is given: processes of the same user.
#[cfg(unix)]
const MODE: u32 = 0o600;

/// What to listen on: an address, a path, or sockets that listen already.
///
/// ```
/// # use handfast_https::server::{Listener, Redirect};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let https = Listener::address("[::]:443".parse()?);
/// let redirects = Listener::address("[::]:80".parse()?).redirecting(Redirect::to_port(443));
/// // As systemd or a predecessor has bound it.
/// let given = Listener::socket(std::net::TcpListener::bind("127.0.0.1:0")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Listener {
    place: Place,
    redirect: Option<Arc<Redirect>>,
}

#[derive(Debug, Clone)]
enum Place {
    Address {
        address: SocketAddr,
        beside: bool,
    },
    #[cfg(unix)]
    Path {
        path: PathBuf,
        mode: u32,
    },
    /// Of one address.
    Sockets {
        sockets: Vec<Arc<Socket>>,
        removes_file: bool,
    },
}

impl Listener {
    /// A TCP address. Port 0 takes a free one. An IPv6 address does not take IPv4 connections.
    ///
    /// Where the system spreads connections over several sockets of one address (`SO_REUSEPORT` on Linux), each serving
    /// thread has its own.
    pub fn address(address: SocketAddr) -> Self {
        Self::at(Place::Address {
            address,
            beside: false,
        })
    }

    /// The port of this address may be that of another listener of this user that a [`Server`](super::Server) has bound, as of `0.0.0.0:443`
    /// which takes the place of `127.0.0.1:443`. While both are there, the system gives connections to the one with the more
    /// special address. Where the system does not spread connections it is of no effect, and in use is in use.
    pub fn beside_own(mut self) -> Self {
        if let Place::Address { beside, .. } = &mut self.place {
            *beside = true;
        }
        self
    }

    /// A TCP socket that listens already, as from systemd.
    ///
    /// It is made non-blocking, which it then is for every process that has it. All serving threads accept from it. None of
    /// them gets a further socket of the same address: what waits in the queue of such a socket would be reset at our
    /// end, when others who have the given one could still accept it.
    pub fn socket(socket: TcpListener) -> Self {
        Self::sockets(vec![Arc::new(Socket::Tcp(socket))])
    }

    /// A path for a Unix socket. A file there at which no process listens any more is replaced; at the end the file is
    /// removed.
    ///
    /// Clients speak TLS there as elsewhere. Their [`PeerAddress`](super::PeerAddress) is the user that they run as; limits per
    /// address do not concern them.
    #[cfg(unix)]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Path {
            path: path.into(),
            mode: MODE,
        })
    }

    /// The mode of the Unix socket's file: users who may write to it may connect. Default 0600, the same user. It is set
    /// before the socket listens. Of no effect for others.
    #[cfg(unix)]
    pub fn mode(mut self, bits: u32) -> Self {
        if let Place::Path { mode, .. } = &mut self.place {
            *mode = bits;
        }
        self
    }

    /// A Unix socket that listens already. Its file is left alone, unless that is [given up](Self::removes_file).
    #[cfg(unix)]
    pub fn unix_socket(socket: UnixListener) -> Self {
        Self::sockets(vec![Arc::new(Socket::Unix(socket))])
    }

    /// Whether the file of a given Unix socket is removed at the end: for a successor that takes over a socket, not for
    /// what systemd has made. A server that does not start leaves it to its predecessor.
    #[cfg(unix)]
    pub fn removes_file(mut self, removes: bool) -> Self {
        if let Place::Sockets { removes_file, .. } = &mut self.place {
            *removes_file = removes;
        }
        self
    }

    /// Listeners of the sockets that these descriptors are, in the order of their first ones: sockets of one address, of
    /// which a predecessor has one for each thread, are one listener.
    ///
    /// # Errors
    /// When one is no stream socket of TCP or Unix that listens.
    #[cfg(unix)]
    pub fn from_fds(descriptors: impl IntoIterator<Item = OwnedFd>) -> io::Result<Vec<Self>> {
        let mut found: Vec<(LocalAddress, Vec<Arc<Socket>>)> = Vec::new();
        for descriptor in descriptors {
            let socket = Socket::from_fd(descriptor)?;
            let address = socket.address()?;
            let socket = Arc::new(socket);
            let has_path = address != LocalAddress::Unix(Path::new("").into());
            match found.iter_mut().find(|one| one.0 == address && has_path) {
                Some((_, sockets)) => sockets.push(socket),
                None => found.push((address, vec![socket])),
            }
        }
        let listeners = found.into_iter();
        Ok(listeners.map(|(_, found)| Self::sockets(found)).collect())
    }

    /// The descriptors of sockets that listen already, to pass them to another process; duplicates where others have
    /// them, too. None of an address or a path.
    ///
    /// # Errors
    /// When there are no descriptors left for duplicates.
    #[cfg(unix)]
    pub fn into_fds(self) -> io::Result<Vec<OwnedFd>> {
        let Place::Sockets { sockets, .. } = self.place else {
            return Ok(Vec::new());
        };
        let owned = |socket: Arc<Socket>| match Arc::try_unwrap(socket) {
            Ok(socket) => Ok(socket),
            Err(shared) => shared.try_clone(),
        };
        let sockets = sockets.into_iter();
        sockets
            .map(|socket| owned(socket).map(OwnedFd::from))
            .collect()
    }

    /// Listens now, for so many serving threads, and accepts nothing yet: clients that connect wait. What comes of it is
    /// the same listener with sockets, for a server, or as [descriptors](Self::into_fds) for a process that may not listen itself.
    ///
    /// The file of a Unix socket is left to the server, which removes it at the end.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn open(&self, threads: usize) -> Result<Self, BindError> {
        let bound = self.bind(threads)?;
        let opened = bound.to_listener();
        #[cfg(unix)]
        if let Some(file) = &bound.file {
            file.set_left(true);
        }
        Ok(opened)
    }

    /// It does not speak TLS: clients that speak plain HTTP are redirected to https, and nothing else is answered.
    pub fn redirecting(mut self, redirect: Redirect) -> Self {
        self.redirect = Some(Arc::new(redirect));
        self
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            redirect: None,
        }
    }

    fn sockets(sockets: Vec<Arc<Socket>>) -> Self {
        Self::at(Place::Sockets {
            sockets,
            removes_file: false,
        })
    }

    /// Listens, for so many threads.
    pub(super) fn bind(&self, threads: usize) -> Result<Bound, BindError> {
        self.sockets_for(threads).map_err(|source| BindError {
            address: match &self.place {
                Place::Address { address, .. } => Some((*address).into()),
                #[cfg(unix)]
                Place::Path { path, .. } => Some(LocalAddress::Unix(path.as_path().into())),
                Place::Sockets { sockets, .. } => {
                    sockets.first().and_then(|socket| socket.address().ok())
                }
            },
            source,
        })
    }

    fn sockets_for(&self, threads: usize) -> io::Result<Bound> {
        let redirect = self.redirect.clone();
        match &self.place {
            Place::Address { address, beside } => {
                let sockets: Vec<_> = tcp::bind(*address, threads, *beside)?
                    .into_iter()
                    .map(|socket| Arc::new(Socket::Tcp(socket)))
                    .collect();
                Bound::new(sockets, redirect)
            }
            #[cfg(unix)]
            Place::Path { path, mode } => {
                let (socket, file) = unix::bind(path, *mode)?;
                let mut bound = Bound::new(vec![Arc::new(Socket::Unix(socket))], redirect)?;
                bound.file = Some(file);
                Ok(bound)
            }
            #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no file"))]
            Place::Sockets {
                sockets,
                removes_file,
            } => {
                for socket in sockets {
                    socket.prepare()?;
                }
                let bound = Bound::new(sockets.clone(), redirect)?;
                #[cfg(unix)]
                let bound = match &bound.address {
                    LocalAddress::Unix(path) if path.as_os_str() != "" => Bound {
                        file: SocketFile::given(path, *removes_file).ok(),
                        ..bound
                    },
                    _ => bound,
                };
                Ok(bound)
            }
        }
    }
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Self {
        Self::address(address)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("place", &self.place)
            .field("redirect", &self.redirect)
            .finish()
    }
}

/// An address that could not be listened on.
#[derive(Debug)]
#[non_exhaustive]
pub struct BindError {
    /// Which address; `None` when none was given.
    pub address: Option<LocalAddress>,
    /// The operating system's answer.
    pub source: io::Error,
}

impl BindError {
    /// For those who bind otherwise, or have others bind.
    pub fn new(address: Option<LocalAddress>, source: io::Error) -> Self {
        Self { address, source }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
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

/// A listener that listens.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) address: LocalAddress,
    pub(super) redirect: Option<Arc<Redirect>>,
    sockets: Vec<Arc<Socket>>,
    #[cfg(unix)]
    pub(super) file: Option<SocketFile>,
}

impl Bound {
    fn new(sockets: Vec<Arc<Socket>>, redirect: Option<Arc<Redirect>>) -> io::Result<Self> {
        let first = sockets.first().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            address: first.address()?,
            redirect,
            sockets,
            #[cfg(unix)]
            file: None,
        })
    }

    /// Duplicates of its sockets for each of so many threads: every socket is for one thread at least, and every thread
    /// has at least one.
    pub(super) fn spread(&self, threads: usize) -> io::Result<Vec<Vec<Socket>>> {
        let mut spread: Vec<Vec<Socket>> = (0..threads).map(|_| Vec::new()).collect();
        let sockets = self.sockets.iter().cycle();
        let rounds = self.sockets.len().max(threads);
        for (number, socket) in sockets.take(rounds).enumerate() {
            if let Some(mine) = spread.get_mut(number % threads.max(1)) {
                mine.push(socket.try_clone()?);
            }
        }
        Ok(spread)
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn replace_socket(&mut self, number: usize, by: TcpListener) {
        self.sockets[number] = Arc::new(Socket::Tcp(by));
    }

    /// The same sockets, for a successor.
    pub(super) fn to_listener(&self) -> Listener {
        #[cfg(unix)]
        let removes_file = self.file.as_ref().is_some_and(SocketFile::is_ours);
        #[cfg(not(unix))]
        let removes_file = false;
        Listener {
            place: Place::Sockets {
                sockets: self.sockets.clone(),
                removes_file,
            },
            redirect: self.redirect.clone(),
        }
    }
}

/// Listens on all of them.
pub(super) fn bind(listeners: &[Listener], threads: usize) -> Result<Vec<Bound>, BindError> {
    if listeners.is_empty() {
        return Err(BindError {
            address: None,
            source: io::ErrorKind::InvalidInput.into(),
        });
    }
    listeners.iter().map(|one| one.bind(threads)).collect()
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Socket {
    #[cfg(unix)]
    fn from_fd(descriptor: OwnedFd) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let socket = socket2::Socket::from(descriptor);
        if socket.r#type()? != socket2::Type::STREAM {
            return Err(invalid("the socket is not a stream socket"));
        }
        let address = socket.local_addr()?;
        if address.is_unix() {
            Ok(Self::Unix(socket.into()))
        } else if address.as_socket().is_some() {
            Ok(Self::Tcp(socket.into()))
        } else {
            Err(invalid("the socket is neither TCP nor Unix"))
        }
    }

    /// Makes ready a socket that another has bound.
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => {
                let socket = SockRef::from(socket);
                check_listens(&socket)?;
                tcp::prepare(&socket)
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                check_listens(&SockRef::from(socket))?;
                socket.set_nonblocking(true)
            }
        }
    }

    fn address(&self) -> io::Result<LocalAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(LocalAddress::Ip),
            #[cfg(unix)]
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().unwrap_or_else(|| Path::new(""));
                Ok(LocalAddress::Unix(path.into()))
            }
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            #[cfg(unix)]
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }
}

#[cfg(unix)]
impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        match socket {
            Socket::Tcp(socket) => socket.into(),
            Socket::Unix(socket) => socket.into(),
        }
    }
}

fn check_listens(socket: &SockRef<'_>) -> io::Result<()> {
    // Elsewhere accepting shows it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if !socket.is_listener()? {
        let what = "the socket does not listen";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let _ = socket;
    Ok(())
}
