//! The listeners of a running server: a set that changes while it serves.
//!
//! Each listening socket is here, and every serving thread has duplicates of its own that it accepts from. So threads can
//! stop to accept while the sockets stay open, and a successor can be given what is here.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::mpsc::UnboundedSender;

use super::accept::{Command, Role};
use super::address::LocalAddress;
use super::listener::{BindError, Bound, Listener};

/// One listener among those of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(u64);

/// A listener of a server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listening {
    /// What to [stop](super::Running::stop_listening) it by.
    pub id: ListenerId,
    /// Its address, with its real port.
    pub address: LocalAddress,
    /// It [redirects](super::Redirect) plain HTTP, and does not speak TLS.
    pub redirects: bool,
}

/// The set of them.
#[derive(Debug)]
pub(super) struct Listeners {
    threads: Vec<UnboundedSender<Command>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bound: Vec<(ListenerId, Bound)>,
    ever: u64,
    /// The threads do not accept, and the sockets stay open.
    paused: bool,
    stopped: bool,
}

impl Listeners {
    /// Of threads that take these commands.
    pub(super) fn new(threads: Vec<UnboundedSender<Command>>) -> Self {
        Self {
            threads,
            state: Mutex::default(),
        }
    }

    pub(super) fn list(&self) -> Vec<Listening> {
        let listening = |(id, bound): &(ListenerId, Bound)| Listening {
            id: *id,
            address: bound.address.clone(),
            redirects: bound.redirect.is_some(),
        };
        self.lock().bound.iter().map(listening).collect()
    }

    pub(super) fn listen(&self, listener: &Listener) -> Result<ListenerId, BindError> {
        let mut state = self.lock();
        let bound = listener.bind(self.threads.len())?;
        let address = Some(bound.address.clone());
        self.add(&mut state, bound)
            .map_err(|source| BindError { address, source })
    }

    /// Adds what listens already.
    pub(super) fn add_bound(&self, bound: Bound) -> io::Result<ListenerId> {
        self.add(&mut self.lock(), bound)
    }

    fn add(&self, state: &mut State, bound: Bound) -> io::Result<ListenerId> {
        if state.stopped {
            return Err(io::Error::other("the server is stopping"));
        }
        let id = ListenerId(state.ever);
        state.ever += 1;
        if !state.paused
            && let Err(error) = self.accept_from(id, &bound)
        {
            self.stop(id, false);
            return Err(error);
        }
        state.bound.push((id, bound));
        Ok(id)
    }

    /// Whether there was such a listener.
    pub(super) fn stop_listening(&self, id: ListenerId) -> bool {
        let mut state = self.lock();
        let Some(at) = state.bound.iter().position(|(known, _)| *known == id) else {
            return false;
        };
        // Its file first, so that no further connection is queued while the threads empty the queue.
        let removed = state.bound.remove(at);
        #[cfg(unix)]
        drop(removed.1.file);
        self.stop(id, true);
        #[cfg(not(unix))]
        drop(removed);
        true
    }

    /// Duplicates of all, for a successor; the files of Unix sockets are left to it.
    pub(super) fn hand_over(&self) -> Vec<Listener> {
        let state = self.lock();
        let listeners = state.bound.iter().map(|(_, bound)| {
            let listener = bound.to_listener();
            #[cfg(unix)]
            if let Some(file) = &bound.file {
                file.set_handed_over(true);
            }
            listener
        });
        listeners.collect()
    }

    pub(super) fn pause(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.paused, true) {
            for (id, _) in &state.bound {
                self.stop(*id, false);
            }
        }
    }

    pub(super) fn resume(&self) -> io::Result<()> {
        let mut state = self.lock();
        #[cfg(unix)]
        for file in state.bound.iter().filter_map(|(_, one)| one.file.as_ref()) {
            file.set_handed_over(false);
        }
        if state.stopped || !state.paused {
            return Ok(());
        }
        for (id, bound) in &state.bound {
            if let Err(error) = self.accept_from(*id, bound) {
                for (id, _) in &state.bound {
                    self.stop(*id, false);
                }
                return Err(error);
            }
        }
        state.paused = false;
        Ok(())
    }

    /// Closes all, and takes no more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.bound.clear();
    }

    /// Has every thread accept from it.
    fn accept_from(&self, id: ListenerId, bound: &Bound) -> io::Result<()> {
        let role = Role {
            local: bound.address.clone(),
            redirect: bound.redirect.clone(),
        };
        let (done, all_done) = mpsc::channel();
        let spread = bound.spread(self.threads.len())?;
        for (thread, sockets) in self.threads.iter().zip(spread) {
            let command = Command::Accept {
                id: id.0,
                sockets,
                role: role.clone(),
                done: done.clone(),
            };
            thread
                .send(command)
                .map_err(|_| io::Error::other("a serving thread has ended"))?;
        }
        drop(done);
        all_done.iter().collect()
    }

    /// Has no thread accept from it; ready when none does.
    fn stop(&self, id: ListenerId, drains: bool) {
        let (done, all_done) = mpsc::channel();
        for thread in &self.threads {
            let _ = thread.send(Command::Stop {
                id: id.0,
                drains,
                done: done.clone(),
            });
        }
        drop(done);
        // Each that has stopped drops its sender.
        let _ = all_done.recv();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
