//! A process that listens, and opens logs, for a server that may not: one that is confined, or has become another user.
//!
//! It begins before the server gives up its rights, and only if a configuration file could name other listeners while the server
//! runs. It decides for itself: it reads the configuration file, whose path it was given at its start, and opens what that names,
//! and nothing else. So a server that is out of control gets from it what its operator listens on anyway. It is confined itself, for what a
//! request could make of it, and ends with the server. Then it removes the files of the Unix sockets that it has made, which the server may not.
//!
//! Over a socket pair: a [`Request`] in a line, and a [`Reply`] with the sockets. The server waits for it beside everything else.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use handfast_confine::Confinement;
use handfast_https::server::{BindError, Listener, LocalAddress};
use rustix::fs::{Mode, RawMode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::descriptors::{DESCRIPTORS_MAX, receive, send};
use super::open::open;
use crate::command::serve::config::{Address, Config};
use crate::command::serve::once::is_pipe;
use crate::command::serve::{log, sandbox, settings};
use crate::failure::Failure;

/// The command; it is not for people.
pub(super) const NAME: &str = "open-listeners";

/// How long the server waits for it: it reads a file and makes some system calls.
const PATIENCE: Duration = Duration::from_secs(10);

/// That of [`Listener::path`]: processes of the same user may connect.
const SOCKET_MODE: RawMode = 0o600;

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

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Listen on this.
    Open { address: String, beside: bool },
    /// Remove the file of this Unix socket, if it is one that was opened. There is no reply.
    Remove { path: PathBuf },
    /// Open this log.
    Log { path: PathBuf },
    /// Another server has the Unix sockets: their files stay. There is no reply.
    Leave,
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
    pub(super) async fn open(
        &mut self,
        address: &Address,
        beside: bool,
    ) -> Result<Vec<Listener>, BindError> {
        let request = Request::Open {
            address: address.to_string(),
            beside,
        };
        let opened = self.ask(request).await.and_then(|descriptors| {
            let removing = |one: Listener| one.removes_file(true);
            let listeners = Listener::from_fds(descriptors)?;
            Ok(listeners.into_iter().map(removing).collect())
        });
        opened.map_err(|error| BindError::new(place(address), error))
    }

    /// Opens a file that the configuration logs to.
    pub(super) async fn log(&mut self, path: &Path) -> io::Result<File> {
        let path = path.to_owned();
        let opened = self.ask(Request::Log { path }).await?;
        let file = opened.into_iter().next();
        Ok(file.ok_or(io::ErrorKind::InvalidData)?.into())
    }

    async fn ask(&mut self, request: Request) -> io::Result<Vec<OwnedFd>> {
        // Whatever comes after an answer that did not come in time is the answer to something else: then it is not put back.
        let asked = match self.socket.take() {
            None => Err(io::ErrorKind::NotConnected.into()),
            Some(socket) => {
                let asking = tokio::task::spawn_blocking(move || {
                    let reply = ask(&socket, &request);
                    reply.map(|reply| (socket, reply))
                });
                asking.await.unwrap_or_else(|error| Err(error.into()))
            }
        };
        match asked {
            Ok((socket, reply)) => {
                self.socket = Some(socket);
                reply
            }
            Err(error) => {
                let _ = self.process.try_wait();
                let what = "the process that listens for the confined server does not answer";
                Err(io::Error::other(format!("{what} ({error}): restart")))
            }
        }
    }

    /// The file of a Unix socket is not needed any more.
    pub(super) fn remove(&self, path: &Path) {
        self.tell(&Request::Remove {
            path: path.to_owned(),
        });
    }

    /// The files of Unix sockets are those of another server from now on.
    pub(super) fn leave(&self) {
        self.tell(&Request::Leave);
    }

    /// Errors are those of a process that has gone.
    fn tell(&self, request: &Request) {
        if let (Some(socket), Ok(line)) = (&self.socket, serde_json::to_string(request)) {
            let _ = send(socket, &line, &[]);
        }
    }
}

/// What the process answers.
fn ask(socket: &UnixStream, request: &Request) -> io::Result<io::Result<Vec<OwnedFd>>> {
    send(socket, &serde_json::to_string(request)?, &[])?;
    let (line, descriptors) = receive(socket)?;
    let reply: Reply = serde_json::from_str(&line)?;
    Ok(match (reply.number, reply.text) {
        (Some(number), _) => Err(io::Error::from_raw_os_error(number)),
        (None, Some(text)) => Err(io::Error::other(text)),
        (None, None) => Ok(descriptors),
    })
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
    // The mode that the sockets shall have is theirs from the beginning: a confined process changes none.
    rustix::process::umask(Mode::from_raw_mode(!SOCKET_MODE & 0o777));
    let confinement = match args.unconfined {
        true => Confinement::unrestricted().binds_only(),
        false => {
            let config = configuration(args);
            let logs = config.map_or_else(|_| Vec::new(), |config| settings::log_paths(&config));
            sandbox::listening(&args.config, &logs)
        }
    };
    if sandbox::apply(confinement).is_err() {
        return Ok(ExitCode::FAILURE);
    }
    let mut files = SocketFiles::default();
    while let Ok((line, _)) = receive(&socket) {
        let Ok(request) = serde_json::from_str(&line) else {
            break;
        };
        let answer = match request {
            Request::Remove { path } => {
                files.remove(&path);
                continue;
            }
            Request::Leave => {
                files.0.clear();
                continue;
            }
            Request::Open { address, beside } => listen(args, &address, beside, &mut files),
            Request::Log { path } => open_log(args, &path),
        };
        let (reply, descriptors) = match answer {
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
    files.remove_all();
    Ok(ExitCode::SUCCESS)
}

/// The files of Unix sockets that were made here, by device and inode.
#[derive(Debug, Default)]
struct SocketFiles(HashMap<PathBuf, (u64, u64)>);

impl SocketFiles {
    /// A socket was made at this path.
    fn add(&mut self, path: &Path) {
        if let Some(made) = identity(path) {
            self.0.insert(path.to_owned(), made);
        }
    }

    fn remove(&mut self, path: &Path) {
        if let Some(made) = self.0.remove(path)
            && identity(path) == Some(made)
        {
            // What cannot be removed is replaced by the next server.
            let _ = std::fs::remove_file(path);
        }
    }

    fn remove_all(&mut self) {
        let paths: Vec<_> = self.0.keys().cloned().collect();
        paths.iter().for_each(|path| self.remove(path));
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.symlink_metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Reply {
    fn text(text: String) -> Self {
        Self {
            text: Some(text),
            ..Self::default()
        }
    }

    fn error(error: &io::Error) -> Self {
        let number = match (error.raw_os_error(), error.kind()) {
            (None, io::ErrorKind::AlreadyExists) => Some(Errno::EXIST.raw_os_error()),
            (None, io::ErrorKind::AddrInUse) => Some(Errno::ADDRINUSE.raw_os_error()),
            (number, _) => number,
        };
        Self {
            number,
            text: Some(error.to_string()),
        }
    }
}

/// What the configuration says now.
fn configuration(args: &Args) -> Result<Config, Reply> {
    // Opening a pipe blocks until a process writes to it.
    if is_pipe(&args.config) {
        let config = args.config.display();
        return Err(Reply::text(format!(
            "{config} is not a regular file any more"
        )));
    }
    Config::read(&args.config).map_err(|failures| {
        let first = failures.first().map(ToString::to_string);
        Reply::text(first.unwrap_or_default())
    })
}

fn does_not_name_it(args: &Args) -> Reply {
    Reply::text(format!("{} does not name it", args.config.display()))
}

/// The sockets of an address, if the configuration names it.
fn listen(
    args: &Args,
    address: &str,
    beside: bool,
    files: &mut SocketFiles,
) -> Result<Vec<OwnedFd>, Reply> {
    let mut named = settings::listener_addresses(&configuration(args)?).into_iter();
    let address = named.find(|one| one.to_string() == address);
    let address = address.ok_or_else(|| does_not_name_it(args))?;
    let opened = open(&address, beside, args.threads.get());
    let opened = opened.map_err(|error| Reply::error(&error.source))?;
    if let Address::Unix(path) = &address {
        files.add(path);
    }
    let mut descriptors = Vec::new();
    for listener in opened {
        descriptors.extend(listener.into_fds().map_err(|error| Reply::error(&error))?);
    }
    Ok(descriptors)
}

/// A log that the configuration names; the server looks how it ends.
fn open_log(args: &Args, path: &Path) -> Result<Vec<OwnedFd>, Reply> {
    let named = settings::log_paths(&configuration(args)?);
    let path = named.iter().find(|one| *one == path);
    let path = path.ok_or_else(|| does_not_name_it(args))?;
    if is_pipe(path) {
        return Err(Reply::text("it is not a regular file".to_owned()));
    }
    let file = log::appending().read(true).open(path);
    let file = file.map_err(|error| Reply::error(&error))?;
    Ok(vec![file.into()])
}
