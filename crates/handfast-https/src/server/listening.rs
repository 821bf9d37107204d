//! The listeners of a running server: a set that changes while it serves.
//!
//! Each listening socket is here, and every serving thread has duplicates of its own that it accepts from. So threads can
//! stop to accept while the sockets stay open, and a successor can be given what is here.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::mpsc::UnboundedSender;

use super::accept::{Command, Role};
use super::address::LocalAddress;
use super::listener::{BindError, Bound, Listener, Redirect, Socket};

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
    /// Held during a change, which waits for the serving threads. Stopping and looking do not take it: they must be possible from
    /// a serving thread, as in a handler.
    changes: Mutex<()>,
    /// Never held while waiting.
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
            changes: Mutex::default(),
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
        let _change = self.change();
        let bound = listener.bind(self.threads.len())?;
        let address = Some(bound.address.clone());
        let id = self
            .add(bound)
            .map_err(|source| BindError { address, source })?;
        self.own_files(|added| added == id);
        Ok(id)
    }

    /// Adds all of these, which listen already, to a server that has none yet.
    pub(super) fn add_all(&self, bound: Vec<Bound>) -> io::Result<()> {
        let _change = self.change();
        for one in bound {
            self.add(one)?;
        }
        // Not before the last one: when it fails, a predecessor goes on with all of them.
        self.own_files(|_| true);
        Ok(())
    }

    /// During a change.
    fn add(&self, bound: Bound) -> io::Result<ListenerId> {
        let (id, paused) = {
            let mut state = self.lock();
            if state.stopped {
                return Err(stopping());
            }
            let id = ListenerId(state.ever);
            state.ever += 1;
            (id, state.paused)
        };
        if !paused && let Err(error) = self.accept_from(id, &bound) {
            self.stop(id, false);
            return Err(error);
        }
        let mut state = self.lock();
        if state.stopped {
            drop(state);
            return Err(stopping());
        }
        state.bound.push((id, bound));
        Ok(id)
    }

    /// Whether there was such a listener.
    pub(super) fn stop_listening(&self, id: ListenerId) -> bool {
        let _change = self.change();
        let removed = {
            let mut state = self.lock();
            let Some(at) = state.bound.iter().position(|(known, _)| *known == id) else {
                return false;
            };
            state.bound.remove(at)
        };
        // Its file first, so that no further connection is queued while the threads empty the queue.
        #[cfg(unix)]
        drop(removed.1.file);
        self.stop(id, true);
        #[cfg(not(unix))]
        drop(removed);
        true
    }

    /// Whether there was such a listener.
    pub(super) fn set_redirect(
        &self,
        id: ListenerId,
        redirect: Option<Arc<Redirect>>,
    ) -> io::Result<bool> {
        let _change = self.change();
        let (before, now) = {
            let mut state = self.lock();
            let State { bound, paused, .. } = &mut *state;
            let Some((_, bound)) = bound.iter_mut().find(|(known, _)| *known == id) else {
                return Ok(false);
            };
            if *paused {
                bound.redirect = redirect;
                return Ok(true);
            }
            // Duplicates are all that can be wanting; meanwhile clients wait in the queues.
            let before = self.spread(bound)?;
            let mut now = self.spread(bound)?;
            now.0.redirect.clone_from(&redirect);
            bound.redirect = redirect;
            (before, now)
        };
        self.stop(id, false);
        let Err(error) = self.have_accepted(id, now) else {
            return Ok(true);
        };
        self.stop(id, false);
        let mut state = self.lock();
        let mut bound = state.bound.iter_mut();
        if let Some((_, bound)) = bound.find(|(known, _)| *known == id) {
            bound.redirect.clone_from(&before.0.redirect);
        }
        drop(state);
        let _ = self.have_accepted(id, before);
        Err(error)
    }

    /// Duplicates of all, for a successor; the files of Unix sockets are left to it.
    pub(super) fn hand_over(&self) -> Vec<Listener> {
        let state = self.lock();
        let listeners = state.bound.iter().map(|(_, bound)| {
            let listener = bound.to_listener();
            #[cfg(unix)]
            if let Some(file) = &bound.file {
                file.set_left(true);
            }
            listener
        });
        listeners.collect()
    }

    /// Whether there is such a listener, and it has a file.
    #[cfg(unix)]
    pub(super) fn set_removes_file(&self, id: ListenerId, removes: bool) -> bool {
        let state = self.lock();
        let mut bound = state.bound.iter().filter(|(known, _)| *known == id);
        let file = bound.find_map(|(_, bound)| bound.file.as_ref());
        if let Some(file) = file {
            file.set_ours(removes);
        }
        file.is_some()
    }

    pub(super) fn pause(&self) {
        let _change = self.change();
        let ids: Vec<_> = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.paused, true) {
                return;
            }
            state.bound.iter().map(|(id, _)| *id).collect()
        };
        for id in ids {
            self.stop(id, false);
        }
    }

    pub(super) fn resume(&self) -> io::Result<()> {
        let _change = self.change();
        self.own_files(|_| true);
        let spread: Vec<_> = {
            let state = self.lock();
            if state.stopped || !state.paused {
                return Ok(());
            }
            let bound = state.bound.iter();
            let spread = bound.map(|(id, one)| Ok((*id, self.spread(one)?)));
            spread.collect::<io::Result<_>>()?
        };
        let ids: Vec<_> = spread.iter().map(|(id, _)| *id).collect();
        for (id, accepted) in spread {
            if let Err(error) = self.have_accepted(id, accepted) {
                for id in ids {
                    self.stop(id, false);
                }
                return Err(error);
            }
        }
        self.lock().paused = false;
        Ok(())
    }

    /// Closes all, and takes no more. Does not wait: neither for a thread nor for a change, which then fails.
    pub(super) fn close(&self) {
        let bound = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.bound)
        };
        drop(bound);
    }

    /// From now on this server removes the files of these Unix sockets at the end, unless they are to stay.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there are no files"))]
    fn own_files(&self, of: impl Fn(ListenerId) -> bool) {
        #[cfg(unix)]
        for (_, bound) in self.lock().bound.iter().filter(|(id, _)| of(*id)) {
            if let Some(file) = &bound.file {
                file.set_left(false);
            }
        }
    }

    /// Has every thread accept from it.
    fn accept_from(&self, id: ListenerId, bound: &Bound) -> io::Result<()> {
        self.have_accepted(id, self.spread(bound)?)
    }

    /// What each thread is to accept from.
    fn spread(&self, bound: &Bound) -> io::Result<(Role, Vec<Vec<Socket>>)> {
        let role = Role {
            local: bound.address.clone(),
            redirect: bound.redirect.clone(),
        };
        Ok((role, bound.spread(self.threads.len())?))
    }

    fn have_accepted(
        &self,
        id: ListenerId,
        (role, spread): (Role, Vec<Vec<Socket>>),
    ) -> io::Result<()> {
        let (done, all_done) = mpsc::channel();
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

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopping() -> io::Error {
    io::Error::other("the server is stopping")
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// Longer than anything takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// What `act` returns, if it returns while the serving thread does not answer.
    fn without_waiting<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = mpsc::channel();
        thread::spawn(move || sender.send(act()));
        result
            .recv_timeout(PATIENCE)
            .expect("it waits for the serving thread")
    }

    #[test]
    fn nothing_but_a_change_waits_for_a_serving_thread() {
        let (sender, mut commands) = unbounded_channel();
        let listeners = Arc::new(Listeners::new(vec![sender]));
        let listener = Listener::address("127.0.0.1:0".parse().unwrap());
        let changing = Arc::clone(&listeners);
        let change = thread::spawn(move || changing.listen(&listener));
        // Now the change waits, and goes on doing so as long as the command is not carried out.
        let command = commands.blocking_recv().unwrap();
        let looking = Arc::clone(&listeners);
        assert!(without_waiting(move || looking.list()).is_empty());
        let handing_over = Arc::clone(&listeners);
        assert!(without_waiting(move || handing_over.hand_over()).is_empty());
        let closing = Arc::clone(&listeners);
        without_waiting(move || closing.close());
        drop((command, commands));
        let error = change.join().unwrap().unwrap_err();
        assert_eq!(error.source.to_string(), stopping().to_string());
        assert!(listeners.list().is_empty());
    }
}
