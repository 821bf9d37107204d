//! A process that listens for a server that may not: one that is confined, or has become another user.
//!
//! It begins before the server gives up its rights, and only if a configuration file could name other listeners while the server
//! runs. It decides for itself: it reads the configuration file, whose path it was given at its start, and opens what that names,
//! and nothing else. So a server that is out of control gets from it what its operator listens on anyway. It gives up connections and
//! programs itself, and ends with the server.
//!
//! Over a socket pair: a [`Request`] in a line, and a [`Reply`] with the sockets.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use handfast_confine::Confinement;
use handfast_https::server::{BindError, Listener, LocalAddress};
use serde::{Deserialize, Serialize};

use super::descriptors::{DESCRIPTORS_MAX, receive, send};
use super::open::open;
use crate::command::serve::config::{Address, Config};
use crate::command::serve::{sandbox, settings};
use crate::failure::Failure;

/// The command; it is not for people.
pub(super) const NAME: &str = "open-listeners";

/// How long the server waits for it: it reads a file and makes some system calls.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listen for a server that may not: started by `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file
    config: PathBuf,
    /// How many threads serve
    threads: NonZeroUsize,
    /// Give up nothing, as the server
    #[arg(long)]
    unconfined: bool,
}

/// Listen on this.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    address: String,
    beside: bool,
}

/// No error: with the sockets.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Reply {
    /// The system's error.
    number: Option<i32>,
    /// Another error.
    text: Option<String>,
}

/// The server's end.
pub(in crate::command::serve) struct Helper {
    /// `None` once it has not answered as it should.
    socket: Option<UnixStream>,
    process: Child,
}

impl Helper {
    /// Starts the process.
    pub(in crate::command::serve) fn start(
        config: &Path,
        threads: usize,
        confines: bool,
    ) -> io::Result<Self> {
        let (ours, its) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let threads = threads.clamp(1, DESCRIPTORS_MAX).to_string();
        // The very program that runs, wherever it was moved to.
        let process = Command::new("/proc/self/exe")
            .arg0("handfast")
            .arg(NAME)
            .args((!confines).then_some("--unconfined"))
            .arg("--")
            .arg(config)
            .arg(threads)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What a terminal sends is the server's business.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            socket: Some(ours),
            process,
        })
    }

    /// Listens on an address that the configuration file names.
    pub(super) fn open(
        &mut self,
        address: &Address,
        beside: bool,
    ) -> Result<Vec<Listener>, BindError> {
        let asked = self.ask(address, beside);
        if asked.is_err() {
            // Whatever comes from it now is the answer to something else.
            self.socket = None;
            let _ = self.process.try_wait();
        }
        let result = asked.unwrap_or_else(|error| {
            let what = "the process that listens for the confined server does not answer";
            Err(io::Error::other(format!("{what} ({error}): restart")))
        });
        result.map_err(|error| BindError::new(place(address), error))
    }

    fn ask(&self, address: &Address, beside: bool) -> io::Result<io::Result<Vec<Listener>>> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let request = Request {
            address: address.to_string(),
            beside,
        };
        send(socket, &serde_json::to_string(&request)?, &[])?;
        let (line, descriptors) = receive(socket)?;
        let reply: Reply = serde_json::from_str(&line)?;
        Ok(match (reply.number, reply.text) {
            (Some(number), _) => Err(io::Error::from_raw_os_error(number)),
            (None, Some(text)) => Err(io::Error::other(text)),
            (None, None) => Listener::from_fds(descriptors).map(|listeners| {
                let removing = |one: Listener| one.removes_file(true);
                listeners.into_iter().map(removing).collect()
            }),
        })
    }
}

fn place(address: &Address) -> Option<LocalAddress> {
    match address {
        Address::Ip(address) => Some((*address).into()),
        Address::Unix(path) => Some(LocalAddress::Unix(path.as_path().into())),
        _ => None,
    }
}

/// The process: answers until the server is gone.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    // What is wrong here is told by the server, which gets no answer.
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return Ok(ExitCode::FAILURE);
    };
    let socket = UnixStream::from(socket);
    if !args.unconfined && sandbox::apply(Confinement::listening()).is_err() {
        return Ok(ExitCode::FAILURE);
    }
    while let Ok((line, _)) = receive(&socket) {
        let Ok(request) = serde_json::from_str(&line) else {
            break;
        };
        let (reply, descriptors) = match answer(args, &request) {
            Ok(descriptors) => (Reply::default(), descriptors),
            Err(reply) => (reply, Vec::new()),
        };
        let Ok(reply) = serde_json::to_string(&reply) else {
            break;
        };
        if send(&socket, &reply, &descriptors).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The sockets of an address, if the configuration names it.
fn answer(args: &Args, request: &Request) -> Result<Vec<OwnedFd>, Reply> {
    let text = |text: String| Reply {
        text: Some(text),
        ..Reply::default()
    };
    let config = Config::read(&args.config).map_err(|failures| {
        let first = failures.first().map(ToString::to_string);
        text(first.unwrap_or_default())
    })?;
    let named = settings::listener_addresses(&config);
    let named = named
        .into_iter()
        .find(|one| one.to_string() == request.address);
    let Some(address) = named else {
        return Err(text(format!("{} does not name it", args.config.display())));
    };
    let failed = |error: &io::Error| match (error.raw_os_error(), error.kind()) {
        (None, io::ErrorKind::AlreadyExists) => Reply {
            number: Some(rustix::io::Errno::EXIST.raw_os_error()),
            text: None,
        },
        (None, io::ErrorKind::AddrInUse) => Reply {
            number: Some(rustix::io::Errno::ADDRINUSE.raw_os_error()),
            text: None,
        },
        (number, _) => Reply {
            number,
            text: Some(error.to_string()),
        },
    };
    let opened = open(&address, request.beside, args.threads.get());
    let mut descriptors = Vec::new();
    for listener in opened.map_err(|error| failed(&error.source))? {
        descriptors.extend(listener.into_fds().map_err(|error| failed(&error))?);
    }
    Ok(descriptors)
}
