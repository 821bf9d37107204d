//! The running process: it waits at its control socket for one that takes over.

use std::cell::Cell;
use std::fs;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use handfast::TicketKeys;
use handfast_https::server::{ListenerId, Running};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::messages::{self, DONE, HELLO, Offer, Offered, Ready, TAKEN_BACK};
use super::{Key, Keys};
use crate::output;

/// How long the new process has for its first words and to take what it gets.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long it has, with the sockets in its hands, until it serves: it has read everything before.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a process that was told to stop waits for one that is about to take over: starting takes it less than a second.
const STOP_WAITS: Duration = Duration::from_secs(5);

/// After a control socket that cannot be accepted from, for want of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// How this process can be taken over.
pub(in crate::command::serve) struct Control {
    socket: Option<(ControlFile, UnixListener)>,
    /// Another process has the sockets, and does not serve yet.
    is_handing_over: Cell<bool>,
    /// Of the server's listeners.
    keys: Keys,
    status: Option<(Key, Arc<Running>)>,
    ticket_keys: TicketKeys,
}

/// Another process serves.
#[derive(Debug)]
pub(in crate::command::serve) struct Taken {
    pub(in crate::command::serve) pid: Option<u32>,
    /// What it does not listen on.
    unused: Vec<ListenerId>,
}

impl Control {
    pub(super) fn new(
        socket: Option<(ControlFile, UnixListener)>,
        keys: Keys,
        status: Option<(Key, Arc<Running>)>,
        ticket_keys: TicketKeys,
    ) -> Self {
        Self {
            socket,
            is_handing_over: Cell::new(false),
            keys,
            status,
            ticket_keys,
        }
    }

    /// Ready once another process has taken over; without a control socket never.
    pub(in crate::command::serve) async fn until_taken(&self, running: &Running) -> Taken {
        let Some((file, socket)) = &self.socket else {
            return pending().await;
        };
        let listener = socket
            .set_nonblocking(true)
            .and_then(|()| socket.try_clone())
            .and_then(tokio::net::UnixListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                output::warning(format!("no process can take over from this one: {error}"));
                return pending().await;
            }
        };
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            let pid = pid.and_then(|pid| u32::try_from(pid).ok());
            let mut conversation = Conversation::begin(self, file, running, stream);
            match conversation.run().await {
                Ok(unused) => {
                    conversation.is_done = true;
                    return Taken { pid, unused };
                }
                Err(error) => {
                    drop(conversation);
                    let who = match pid {
                        Some(pid) => format!("process {pid}"),
                        None => "the process".to_owned(),
                    };
                    let why = match error.kind() {
                        io::ErrorKind::UnexpectedEof => "it ended before it served".to_owned(),
                        _ => error.to_string(),
                    };
                    output::warning(format!(
                        "{who} that was to take over has not: {why}; this one goes on"
                    ));
                }
            }
        }
    }

    /// This process was told to stop: one that is about to take over has a moment for it, in which this one serves on. `None` if there is no
    /// such process, or it ends. What is to be called in place of waiting for `taken` any longer.
    pub(in crate::command::serve) async fn settle(
        &self,
        mut taken: Pin<&mut impl Future<Output = Taken>>,
    ) -> Option<Taken> {
        let settled = poll_fn(|context| match self.is_handing_over.get() {
            false => Poll::Ready(None),
            true => match taken.as_mut().poll(context) {
                Poll::Ready(taken) => Poll::Ready(Some(taken)),
                Poll::Pending if self.is_handing_over.get() => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            },
        });
        timeout(STOP_WAITS, settled).await.unwrap_or_default()
    }

    /// Stops to listen: the other process has all of it, and what it does not use is closed.
    pub(in crate::command::serve) fn leave(&self, taken: &Taken, running: &Running) {
        if !taken.unused.is_empty() {
            // Theirs are this process' files again, and what waits in their queues is served.
            self.take_back(running);
            for id in &taken.unused {
                running.stop_listening(*id);
            }
            drop(running.hand_over());
        }
        if let Some((_, status)) = &self.status {
            status.retire(ANSWER_WITHIN);
        }
    }

    /// Returns which listeners these are; those of the status page come behind them.
    async fn hand_over(
        &self,
        stream: &mut UnixStream,
        running: &Running,
    ) -> io::Result<Vec<ListenerId>> {
        let mut offered = Vec::new();
        let mut sockets: Vec<OwnedFd> = Vec::new();
        let ids: Vec<_> = running.listeners().iter().map(|one| one.id).collect();
        let own = ids.iter().map(|id| self.keys.borrow().get(id).cloned());
        let own: Vec<_> = own.zip(running.hand_over()).collect();
        let status = self.status.iter().flat_map(|(key, status)| {
            let listeners = status.hand_over().into_iter();
            listeners.map(|listener| (Some(key.clone()), listener))
        });
        for (key, listener) in own.into_iter().chain(status) {
            let these = listener.into_fds()?;
            offered.push(Offered {
                key: key.unwrap_or_default(),
                sockets: these.len(),
            });
            sockets.extend(these);
        }
        if let Some((_, control)) = &self.socket {
            sockets.push(control.try_clone()?.into());
        }
        let ticket_keys = self.ticket_keys.export();
        let offer = Offer {
            pid: std::process::id(),
            listeners: offered,
            ticket_keys: ticket_keys.len(),
        };
        stream.write_all(&messages::message(&offer)?).await?;
        stream.write_all(&ticket_keys).await?;
        messages::send(stream, &sockets).await?;
        Ok(ids)
    }

    /// There is no successor: the files of Unix sockets are this process' again.
    fn take_back(&self, running: &Running) {
        let status = self.status.iter().map(|(_, status)| &**status);
        for one in status.chain([running]) {
            if let Err(error) = one.accept_again() {
                output::warning(format!("a listener is lost: {error}"));
            }
        }
    }
}

/// With a process that takes over. Until that serves, dropping this takes everything back and says so.
struct Conversation<'a> {
    control: &'a Control,
    file: &'a ControlFile,
    running: &'a Running,
    stream: UnixStream,
    /// The other process speaks this protocol.
    is_known: bool,
    is_done: bool,
}

impl<'a> Conversation<'a> {
    fn begin(
        control: &'a Control,
        file: &'a ControlFile,
        running: &'a Running,
        stream: UnixStream,
    ) -> Self {
        file.set_left(true);
        control.is_handing_over.set(true);
        Self {
            control,
            file,
            running,
            stream,
            is_known: false,
            is_done: false,
        }
    }

    /// Hands everything over, and waits until the other process serves. Returns what it does not listen on.
    async fn run(&mut self) -> io::Result<Vec<ListenerId>> {
        let stream = &mut self.stream;
        check_user(stream)?;
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let mut hello = [0; HELLO.len()];
        timeout(ANSWER_WITHIN, stream.read_exact(&mut hello))
            .await
            .map_err(late)??;
        if hello != *HELLO {
            return Err(messages::invalid("it is of another version"));
        }
        self.is_known = true;
        let sent = timeout(ANSWER_WITHIN, self.control.hand_over(stream, self.running)).await;
        let ids = sent.map_err(late)??;
        let ready = timeout(READY_WITHIN, ready(stream)).await;
        let ready = ready.map_err(late)??;
        let unused = ready.unused.iter();
        let unused = unused.filter_map(|position| ids.get(*position).copied());
        // The connection ends when this is dropped, which the other one does not need to wait for.
        let _ = stream.write_all(&DONE).await;
        Ok(unused.collect())
    }
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        self.control.is_handing_over.set(false);
        if !self.is_done {
            self.control.take_back(self.running);
            self.file.set_left(false);
        }
        if self.is_known && !self.is_done {
            // There is room: what was sent before was read, or the other process has not got everything and ends for that.
            let _ = self.stream.try_write(&TAKEN_BACK);
        }
    }
}

async fn ready(stream: &mut UnixStream) -> io::Result<Ready> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut text = vec![0; messages::length(length)?];
    stream.read_exact(&mut text).await?;
    messages::parse(&text)
}

/// The mode of the control socket's file says the same; not every system looks at it.
fn check_user(stream: &UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    match peer == 0 || peer == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a process of another user",
        )),
    }
}

/// The file of the control socket. It is removed when this is dropped, unless another process has it.
#[derive(Debug)]
pub(super) struct ControlFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    is_left: Cell<bool>,
}

impl ControlFile {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
            is_left: Cell::new(false),
        })
    }

    pub(super) fn set_left(&self, is_left: bool) {
        self.is_left.set(is_left);
    }
}

impl Drop for ControlFile {
    fn drop(&mut self) {
        let is_same = |found: fs::Metadata| found.dev() == self.device && found.ino() == self.inode;
        if !self.is_left.get() && fs::symlink_metadata(&self.path).is_ok_and(is_same) {
            // What cannot be removed is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}
