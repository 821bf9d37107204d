//! The new process: it connects to the one that runs, and gets what that has; or there is none.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handfast::{ServerContext, escape_control};
use handfast_https::server::{Listener, Running};
use rustix::fs::Mode;
use zeroize::Zeroizing;

use super::messages::{self, DONE, HELLO, Offer, Ready};
use super::offer::{Control, ControlFile};
use super::{Key, Keys, failure};
use crate::failure::Failure;
use crate::output;

/// How long the running process has for each step: it looks at its control socket between other things, one process at a time.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What this process begins with.
#[derive(Default)]
pub(in crate::command::serve) struct Claim {
    control: Option<(UnixListener, ControlFile)>,
    predecessor: Option<Predecessor>,
    /// With their positions in the offer.
    sockets: Vec<(usize, Key, Listener)>,
    taken: usize,
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
            Ok(stream) => Self::from(path, stream).map_err(|error| {
                let error = match error.kind() {
                    io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                    _ => error,
                };
                failure(
                    format!("the process at {shown} does not hand over its sockets"),
                    error.to_string(),
                    "start the new process as the same user; if that does not help, stop the running one first",
                )
            }),
            Err(error) => Self::alone(path, &error).map_err(|error| {
                failure(
                    format!("the control socket {shown} cannot be used"),
                    error.to_string(),
                    "give a path in a directory that only this user can write to",
                )
            }),
        }
    }

    /// No process runs there.
    fn alone(path: &Path, error: &io::Error) -> io::Result<Self> {
        match error.kind() {
            io::ErrorKind::NotFound => {}
            // It was killed.
            io::ErrorKind::ConnectionRefused
                if fs::symlink_metadata(path)?.file_type().is_socket() =>
            {
                fs::remove_file(path)?;
            }
            kind => return Err(kind.into()),
        }
        // Only for this user, from the beginning. There is one thread, and nothing else makes files now.
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener?;
        Ok(Self {
            control: Some((listener, ControlFile::at(path)?)),
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
        io::Read::read_exact(&mut stream, &mut ticket_keys)?;
        let mut descriptors = messages::receive(&stream, count)?;
        let control = descriptors.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut descriptors = descriptors.into_iter();
        let mut sockets = Vec::new();
        for (position, offered) in offer.listeners.into_iter().enumerate() {
            let its = descriptors.by_ref().take(offered.sockets);
            // What systemd has made stays.
            let removes_file = offered.key.starts_with("unix:");
            for listener in Listener::from_fds(its)? {
                let listener = listener.removes_file(removes_file);
                sockets.push((position, offered.key.clone(), listener));
            }
        }
        let pid = offer.pid;
        let file = ControlFile::at(path)?;
        // Until this process serves, the other one has it.
        file.set_left(true);
        Ok(Self {
            control: Some((UnixListener::from(control), file)),
            predecessor: Some(Predecessor { stream, pid }),
            sockets,
            taken: 0,
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
        Some(self.sockets.remove(at).2)
    }

    /// This process serves, at these listeners: the other one accepts no more. From here on this one can be taken over.
    pub(in crate::command::serve) fn complete(
        self,
        keys: Keys,
        status: Option<(Key, Arc<Running>)>,
        context: &ServerContext,
        is_quiet: bool,
    ) -> Control {
        if let Some(mut predecessor) = self.predecessor {
            let unused = self.sockets.iter().map(|(position, ..)| *position);
            let unused = unused.collect();
            let pid = predecessor.pid;
            match predecessor.dismiss(&Ready { unused }) {
                Ok(()) if is_quiet => {}
                Ok(()) => output::note(format!(
                    "took over {} listeners from process {pid}, which answers what it has accepted",
                    self.taken
                )),
                // It has the sockets no longer, or is about to close them.
                Err(error) => output::warning(format!(
                    "process {pid}, whose listeners this one has taken over, ended before it was told: {error}"
                )),
            }
        }
        if let Some((_, file)) = &self.control {
            file.set_left(false);
        }
        Control::new(self.control, keys, status, context.ticket_keys())
    }
}

impl Predecessor {
    /// It stops to accept.
    fn dismiss(&mut self, ready: &Ready) -> io::Result<()> {
        messages::write(&self.stream, ready)?;
        let mut answer = [0; DONE.len()];
        io::Read::read_exact(&mut self.stream, &mut answer)
    }
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
