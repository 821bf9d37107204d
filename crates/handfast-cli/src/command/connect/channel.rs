//! The channel of a session: opened or accepted, read and written without blocking, closed in order.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{ClientContext, Explanation};
use handfast_dial::proxy::Proxy;
use handfast_dial::{Dialer, Error, StartTls, connect_unix, refuse_number, split_authority};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::serial::SerialLine;
use super::signals::{Signals, set_nonblocking};
use super::target::{Target, authority};
use crate::failure::{Failure, code, plain};
use crate::output;
use crate::poll;

/// How long a command may take to end after its input has ended, before it is killed.
const CHILD_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Between two checks whether the command has ended.
const CHILD_LOOK_EVERY: Duration = Duration::from_millis(5);

/// A bidirectional byte channel whose operations do not block.
#[derive(Debug)]
pub(super) struct PolledChannel {
    ends: Ends,
    leads_to: String,
}

#[derive(Debug)]
enum Ends {
    Tcp(TcpStream),
    Unix(UnixStream),
    Child {
        child: Child,
        stdin: Option<ChildStdin>,
        stdout: Option<ChildStdout>,
    },
    Serial(SerialLine),
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    Bytes(usize),
    Nothing,
    End,
    Reset,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Bytes(usize),
    Nothing,
    /// The peer no longer reads.
    Gone,
}

/// Connects to this server, through the proxy if there is one.
pub(super) fn dial(
    authority: &str,
    context: &ClientContext,
    proxy: Option<&Proxy>,
) -> Result<TcpStream, Error> {
    let (host, port) = split_authority(authority)?;
    let dialer = Dialer::within(&context.timeouts()).with_proxy(proxy.cloned());
    let dialled = dialer.dial(host, port);
    Ok(dialled
        .map_err(|error| error.with_server_name(host))?
        .channel)
}

impl PolledChannel {
    /// Opens the channel to a server.
    pub(super) fn connect(
        target: &Target,
        context: &ClientContext,
        starttls: Option<StartTls>,
        proxy: Option<&Proxy>,
    ) -> Result<Self, Failure> {
        let (ends, leads_to) = match target {
            Target::Tcp { host, port } => {
                let port = port.or(starttls.map(StartTls::default_port));
                let socket = dial(&authority(host, port), context, proxy)?;
                let address = socket.peer_addr().map(|address| address.to_string());
                (Ends::Tcp(socket), address.unwrap_or_default())
            }
            Target::Unix(path) => {
                let socket = connect_unix(path, context.timeouts().connect)?;
                (Ends::Unix(socket), target.to_string())
            }
            Target::Exec(_) | Target::Serial { .. } => return Self::open(target),
        };
        Self::new(ends, leads_to).map_err(|error| unusable(target, &error))
    }

    /// Channels that are the same for clients and servers.
    fn open(target: &Target) -> Result<Self, Failure> {
        let failed = |error: io::Error| unusable(target, &error);
        let ends = match target {
            Target::Serial { device, speed } => {
                Ends::Serial(SerialLine::open(device, *speed).map_err(failed)?)
            }
            Target::Exec(command) => {
                let mut child = Command::new("/bin/sh")
                    .arg("-c")
                    .arg(command)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .map_err(failed)?;
                Ends::Child {
                    stdin: child.stdin.take(),
                    stdout: child.stdout.take(),
                    child,
                }
            }
            Target::Tcp { .. } | Target::Unix(_) => {
                return Err(failed(io::ErrorKind::Unsupported.into()));
            }
        };
        let leads_to = match &ends {
            Ends::Serial(line) => match line.speed() {
                Some(speed) => format!("{target} at {speed} bit/s"),
                None => target.to_string(),
            },
            _ => target.to_string(),
        };
        Self::new(ends, leads_to).map_err(failed)
    }

    fn new(ends: Ends, leads_to: String) -> io::Result<Self> {
        let channel = Self { ends, leads_to };
        for fd in [channel.reader(), channel.writer()].into_iter().flatten() {
            set_nonblocking(fd)?;
        }
        Ok(channel)
    }

    /// A description of its target, safe to print.
    pub(super) fn leads_to(&self) -> &str {
        &self.leads_to
    }

    /// For polling for input.
    pub(super) fn reader(&self) -> Option<BorrowedFd<'_>> {
        match &self.ends {
            Ends::Tcp(socket) => Some(socket.as_fd()),
            Ends::Unix(socket) => Some(socket.as_fd()),
            Ends::Child { stdout, .. } => stdout.as_ref().map(AsFd::as_fd),
            Ends::Serial(line) => Some(line.file().as_fd()),
        }
    }

    /// For polling for room; `None` once our direction has ended.
    pub(super) fn writer(&self) -> Option<BorrowedFd<'_>> {
        match &self.ends {
            Ends::Tcp(socket) => Some(socket.as_fd()),
            Ends::Unix(socket) => Some(socket.as_fd()),
            Ends::Child { stdin, .. } => stdin.as_ref().map(AsFd::as_fd),
            Ends::Serial(line) => Some(line.file().as_fd()),
        }
    }

    pub(super) fn receive(&self, room: &mut [u8]) -> io::Result<Received> {
        let Some(reader) = self.reader() else {
            return Ok(Received::End);
        };
        match rustix::io::read(reader, room) {
            Ok(0) => Ok(Received::End),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
            Err(Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => Ok(Received::Reset),
            // A line whose other end was closed or disconnected.
            Err(Errno::IO) if matches!(self.ends, Ends::Serial(_)) => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<Sent> {
        let Some(writer) = self.writer() else {
            return Ok(Sent::Gone);
        };
        match rustix::io::write(writer, bytes) {
            Ok(0) => Ok(Sent::Nothing),
            Ok(count) => Ok(Sent::Bytes(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Sent::Nothing),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNABORTED | Errno::IO) => Ok(Sent::Gone),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends our direction, if the channel supports it.
    pub(super) fn half_close(&mut self) {
        match &mut self.ends {
            // Fails if the peer has closed, which is no error here.
            Ends::Tcp(socket) => drop(socket.shutdown(std::net::Shutdown::Write)),
            Ends::Unix(socket) => drop(socket.shutdown(std::net::Shutdown::Write)),
            Ends::Child { stdin, .. } => *stdin = None,
            Ends::Serial(_) => {}
        }
    }

    /// Closes the channel: waits for a command, restores a line's settings. Returns how a command failed.
    pub(super) fn finish(self) -> Option<CommandFailed> {
        let Ends::Child {
            mut child,
            stdin,
            stdout,
        } = self.ends
        else {
            return None;
        };
        drop((stdin, stdout));
        let deadline = Instant::now() + CHILD_ENDS_WITHIN;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return None,
                Ok(Some(status)) => return Some(CommandFailed::Ended(status)),
                Ok(None) if Instant::now() < deadline => thread::sleep(CHILD_LOOK_EVERY),
                Ok(None) | Err(_) => break,
            }
        }
        // Both fail only if it has ended in the meantime.
        let _ = child.kill();
        let _ = child.wait();
        Some(CommandFailed::Killed)
    }
}

/// How the command of a channel failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandFailed {
    /// By itself.
    Ended(ExitStatus),
    /// It did not end in time.
    Killed,
}

impl std::fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(status) => write!(f, "the command ended with {status}"),
            Self::Killed => f.write_str("the command did not end and was killed"),
        }
    }
}

/// A listener for clients.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(OwnSocket, String),
    /// A channel with one client.
    Open(Option<PolledChannel>),
}

impl Listener {
    /// Starts to listen, and prints the address.
    pub(super) fn bind(target: &Target) -> Result<Self, Failure> {
        let failed = |error: io::Error| unusable(target, &error);
        Ok(match target {
            Target::Tcp { host, port } => {
                let Some(port) = *port else {
                    return Err(Failure::usage(
                        "an address to listen on needs a port",
                        "write it as 127.0.0.1:8443; port 0 selects a free port",
                    ));
                };
                refuse_number(host)?;
                let listener = TcpListener::bind((host.as_str(), port)).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                output::note(format!("listening on {address}"));
                Self::Tcp(listener)
            }
            Target::Unix(path) => {
                let listener = OwnSocket::bind(path).map_err(failed)?;
                output::note(format!("listening on {target}"));
                Self::Unix(listener, target.to_string())
            }
            Target::Exec(_) | Target::Serial { .. } => {
                let channel = PolledChannel::open(target)?;
                output::note(format!("listening on {target}"));
                Self::Open(Some(channel))
            }
        })
    }

    /// Whether another client can connect after a port scan.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self, Self::Open(_))
    }

    /// Waits for a client; `None` if a signal arrived first.
    pub(super) fn accept(
        &mut self,
        target: &Target,
        signals: &Signals,
    ) -> Result<Option<PolledChannel>, Failure> {
        let failed = |error: io::Error| unusable(target, &error);
        let (ends, leads_to) = match self {
            Self::Tcp(listener) => {
                let accept = || listener.accept();
                let Some((socket, address)) =
                    next_client(listener, signals, accept).map_err(failed)?
                else {
                    return Ok(None);
                };
                // Complete records are sent, so waiting to fill segments would only delay their ends.
                let _ = socket.set_nodelay(true);
                (Ends::Tcp(socket), address.to_string())
            }
            Self::Unix(listener, name) => {
                let accept = || listener.socket.accept();
                let Some((socket, _)) =
                    next_client(&listener.socket, signals, accept).map_err(failed)?
                else {
                    return Ok(None);
                };
                (Ends::Unix(socket), name.clone())
            }
            Self::Open(channel) => return Ok(channel.take()),
        };
        PolledChannel::new(ends, leads_to).map(Some).map_err(failed)
    }
}

/// A listening Unix socket; its path is removed when it is dropped.
#[derive(Debug)]
pub(super) struct OwnSocket {
    socket: UnixListener,
    path: PathBuf,
}

impl OwnSocket {
    fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// `None` if a signal arrived first. A client that closed before it was accepted is ignored.
fn next_client<T>(
    listener: &impl AsFd,
    signals: &Signals,
    accept: impl Fn() -> io::Result<T>,
) -> io::Result<Option<T>> {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), signals.poll_fd()];
        poll::wait(&mut fds, None)?;
        if poll::is_ready(&fds[1]) {
            return Ok(None);
        }
        match accept() {
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset => {}
                _ => return Err(error),
            },
            accepted => return accepted.map(Some),
        }
    }
}

fn unusable(target: &Target, error: &io::Error) -> Failure {
    let what = format!("{target} cannot be used as a channel: {}", plain(error));
    let explanation = Explanation::new("channel-unusable", what);
    let explanation = match (error.kind(), target) {
        (io::ErrorKind::AddrInUse, Target::Unix(_)) => explanation
            .with_fix("remove the socket if no process listens on it, or choose another path"),
        (io::ErrorKind::AddrInUse, _) => explanation.with_fix("choose another port, or 0 for any"),
        _ => match Errno::from_io_error(error) {
            Some(Errno::NOTTY) => explanation.with_fix("give the device of a serial line"),
            _ => explanation,
        },
    };
    Failure::new(code::CONNECT, explanation)
}
