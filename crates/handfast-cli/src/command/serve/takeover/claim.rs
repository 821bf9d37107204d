//! The new process: it connects to the one that runs, and gets what that has; or there is none.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use handfast::{ServerContext, escape_control};
use handfast_https::server::{Listener, Running};
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use zeroize::Zeroizing;

use super::messages::{self, DONE, HELLO, Offer, Ready, TAKEN_BACK};
use super::offer::{Control, ControlFile};
use super::{Key, Keys, failure};
use crate::command::serve::config::Address;
use crate::failure::Failure;
use crate::output;

/// How long the running process has for each step: it looks at its control socket between other things, one process at a time.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What this process begins with.
#[derive(Default)]
pub(in crate::command::serve) struct Claim {
    /// The file is removed before the socket is closed: until then no process takes it for a stale one.
    control: Option<(ControlFile, UnixListener)>,
    predecessor: Option<Predecessor>,
    /// With their positions in the offer.
    sockets: Vec<(usize, Key, Listener)>,
    /// The IP addresses of all that were handed over, whatever was configured (port 0).
    addresses: Vec<(Key, SocketAddr)>,
    taken: usize,
    /// The Unix sockets among those taken whose files the serving process removes at the end.
    files: Vec<Key>,
    ticket_keys: Zeroizing<Vec<u8>>,
}

struct Predecessor {
    stream: UnixStream,
    pid: u32,
}

impl Claim {
    /// Gets everything from the process that runs there, which goes on meanwhile; or makes the control socket, if none does.
    ///
    /// # Errors
    /// If the control socket cannot be made, or the process does not hand over.
    pub(in crate::command::serve) fn begin(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let shown = escape_control(&path.display().to_string()).into_owned();
        match UnixStream::connect(path) {
            Ok(stream) => return Self::handed_over(path, &shown, stream),
            Err(_) if is_another_file(path) => {
                return Err(failure(
                    format!("the control socket {shown} cannot be made"),
                    "there is a file of this name, which is not a socket".to_owned(),
                    "give another path, or remove the file",
                ));
            }
            Err(error) if is_free(&error) => {}
            Err(error) => return Err(unusable(&shown, &error)),
        }
        // Another process may be doing the same: looking, removing and binding are one step.
        let _lock = lock(path).map_err(|error| unusable(&shown, &error))?;
        match UnixStream::connect(path) {
            Ok(stream) => Self::handed_over(path, &shown, stream),
            Err(error) => Self::alone(path, &error).map_err(|error| unusable(&shown, &error)),
        }
    }

    /// Gets everything from the process at the other end.
    fn handed_over(path: &Path, shown: &str, stream: UnixStream) -> Result<Self, Failure> {
        Self::from(path, stream).map_err(|error| {
            let error = match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            };
            failure(
                format!("the process at {shown} does not hand over its sockets"),
                error.to_string(),
                "start the new process as the same user; if that does not help, stop the running one first",
            )
        })
    }

    /// No process runs there.
    fn alone(path: &Path, error: &io::Error) -> io::Result<Self> {
        match error.kind() {
            io::ErrorKind::NotFound => {}
            // It was killed.
            io::ErrorKind::ConnectionRefused => remove_stale(path)?,
            kind => return Err(kind.into()),
        }
        // Only for this user, from the beginning. There is one thread, and nothing else makes files now.
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener?;
        Ok(Self {
            control: Some((ControlFile::at(path)?, listener)),
            ..Self::default()
        })
    }

    fn from(path: &Path, mut stream: UnixStream) -> io::Result<Self> {
        check_user(&stream)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(HELLO)?;
        let offer: Offer = messages::read(&stream)?;
        let count = offer.descriptors()?;
        let mut ticket_keys = Zeroizing::new(vec![0; offer.ticket_keys]);
        stream.read_exact(&mut ticket_keys)?;
        let mut descriptors = messages::receive(&stream, count)?;
        let control = descriptors.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut descriptors = descriptors.into_iter();
        let (mut sockets, mut addresses) = (Vec::new(), Vec::new());
        for (position, offered) in offer.listeners.into_iter().enumerate() {
            let its: Vec<_> = descriptors.by_ref().take(offered.sockets).collect();
            addresses.extend(address(&its).map(|address| (offered.key.clone(), address)));
            for listener in Listener::from_fds(its)? {
                sockets.push((position, offered.key.clone(), listener));
            }
        }
        let pid = offer.pid;
        let file = ControlFile::at(path)?;
        // Until this process serves, the other one has it.
        file.set_left(true);
        Ok(Self {
            control: Some((file, UnixListener::from(control))),
            predecessor: Some(Predecessor { stream, pid }),
            sockets,
            addresses,
            taken: 0,
            files: Vec::new(),
            ticket_keys,
        })
    }

    /// The tickets that the running process has issued are accepted.
    pub(in crate::command::serve) fn give_tickets(&self, context: &ServerContext) {
        if !self.ticket_keys.is_empty() {
            // Of another form, its clients make full handshakes.
            let _ = context.ticket_keys().import(&self.ticket_keys);
        }
    }

    /// The running process' listener for this.
    pub(in crate::command::serve) fn take(&mut self, key: &str) -> Option<Listener> {
        let at = self.sockets.iter().position(|(_, its, _)| its == key)?;
        self.taken += 1;
        // What systemd has made stays.
        if key.starts_with("unix:") {
            self.files.push(key.to_owned());
        }
        Some(self.sockets.remove(at).2)
    }

    /// Can this address be listened on beside those of the running process that overlap with it? They are closed once this process serves:
    /// it listens on nothing of them.
    pub(in crate::command::serve) fn gives_way_to(
        &self,
        address: &Address,
        wanted: &[Key],
    ) -> bool {
        let addresses = self.addresses.iter();
        let overlapping = addresses.filter(|(_, its)| Address::Ip(*its).overlaps(address));
        let mut keys = overlapping.map(|(key, _)| key).peekable();
        keys.peek().is_some() && keys.all(|key| !wanted.contains(key))
    }

    /// The process from which this one takes over.
    pub(in crate::command::serve) fn predecessor(&self) -> Option<u32> {
        self.predecessor.as_ref().map(|predecessor| predecessor.pid)
    }

    /// Before this process accepts from the sockets: whether the other one has not taken them back meanwhile.
    ///
    /// # Errors
    /// If it has.
    pub(in crate::command::serve) fn check(&self) -> Result<(), Failure> {
        match &self.predecessor {
            Some(predecessor) if predecessor.has_taken_back() => Err(predecessor.late()),
            _ => Ok(()),
        }
    }

    /// This process serves, at these listeners: the other one accepts no more. From here on this one can be taken over.
    ///
    /// # Errors
    /// If the other one has taken back everything, and goes on: this process must end.
    pub(in crate::command::serve) fn complete(
        self,
        running: &Running,
        keys: Keys,
        status: Option<(Key, Arc<Running>)>,
        context: &ServerContext,
        is_quiet: bool,
    ) -> Result<Control, Failure> {
        if let Some(mut predecessor) = self.predecessor {
            let unused = self.sockets.iter().map(|(position, ..)| *position);
            let unused = unused.collect();
            let pid = predecessor.pid;
            match predecessor.dismiss(&Ready { unused }) {
                Ok(Answer::TakenBack) => return Err(predecessor.late()),
                Ok(Answer::Done) if is_quiet => {}
                Ok(Answer::Done) => output::note(format!(
                    "took over {} from process {pid}, which finishes its open connections, then ends",
                    match self.taken {
                        1 => "one listener".to_owned(),
                        count => format!("{count} listeners"),
                    }
                )),
                // It is stopped, and does so when it goes on: what it has been told waits for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    output::warning(format!(
                        "process {pid}, whose listeners this one has taken over, does not answer: it stops to accept once it goes on"
                    ))
                }
                // It has the sockets no longer, or is about to close them.
                Err(error) => output::warning(format!(
                    "process {pid}, whose listeners this one has taken over, ended before it was told: {error}"
                )),
            }
            for (id, key) in keys.borrow().iter() {
                if self.files.contains(key) {
                    running.set_removes_file(*id, true);
                }
            }
        }
        if let Some((file, _)) = &self.control {
            file.set_left(false);
        }
        Ok(Control::new(
            self.control,
            keys,
            status,
            context.ticket_keys(),
        ))
    }
}

/// What the running process says at the end.
enum Answer {
    Done,
    TakenBack,
}

impl Predecessor {
    /// It stops to accept, unless it has taken everything back.
    fn dismiss(&mut self, ready: &Ready) -> io::Result<Answer> {
        // If it does not read any more, what it has said before is here still.
        let told = messages::write(&self.stream, ready);
        let mut answer = [0; DONE.len()];
        match self.stream.read_exact(&mut answer) {
            Ok(()) if answer == TAKEN_BACK => Ok(Answer::TakenBack),
            Ok(()) => told.map(|()| Answer::Done),
            Err(error) => Err(error),
        }
    }

    fn has_taken_back(&self) -> bool {
        let mut said = [0; TAKEN_BACK.len()];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(&self.stream, &mut said, flags).is_ok() && said == TAKEN_BACK
    }

    fn late(&self) -> Failure {
        failure(
            format!("process {} has taken back its listeners", self.pid),
            "this process was not ready in time, or the other one was stopped meanwhile".to_owned(),
            "start the new process again",
        )
    }
}

fn unusable(shown: &str, error: &io::Error) -> Failure {
    failure(
        format!("the control socket {shown} cannot be used"),
        error.to_string(),
        "give a path in a directory that only this user can write to",
    )
}

/// Of sockets of one listener.
fn address(sockets: &[OwnedFd]) -> Option<SocketAddr> {
    let socket = sockets.first()?.try_clone().ok()?;
    TcpListener::from(socket).local_addr().ok()
}

/// No process listens there, as far as this says.
fn is_free(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// Held while a control socket is made in this directory. Every user who may read the directory can hold it, so it is
/// not waited for longer than other processes need.
fn lock(path: &Path) -> io::Result<File> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(10);
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = File::open(directory)?;
    for _ in 0..TRIES {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            _ => break,
        }
    }
    Ok(directory)
}

/// Removes the file of a socket at which no process listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let stale = fs::symlink_metadata(path)?;
    if !stale.file_type().is_socket() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // Of this very file, if the lock was not to be had.
    let is_stale = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let is_refused = UnixStream::connect(path).err().is_some_and(is_stale);
    let now = fs::symlink_metadata(path)?;
    match is_refused && (now.dev(), now.ino()) == (stale.dev(), stale.ino()) {
        true => fs::remove_file(path),
        false => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Whether something else than a socket is there.
fn is_another_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket())
}

/// Sockets of a stranger are not served.
fn check_user(stream: &UnixStream) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    let own = rustix::process::geteuid();
    match peer.uid == own || peer.uid.is_root() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a process of another user",
        )),
    }
}
