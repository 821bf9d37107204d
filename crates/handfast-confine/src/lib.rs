//! A process permanently gives up rights that it no longer needs: files outside the given paths, connections, other programs, its user's
//! rights.
//!
//! ```no_run
//! use handfast_confine::Confinement;
//!
//! # fn main() -> Result<(), handfast_confine::ConfineError> {
//! // First what needs rights: listeners, keys, logs. Then, while there is one thread:
//! let confined = Confinement::new().read("/srv/www").write("/var/log/site").apply()?;
//! println!("{confined}");
//! # Ok(())
//! # }
//! ```
//!
//! It is a second wall: a service that resolves paths safely stays within its directory without it. It holds when that fails: a
//! request that makes a handler open `/etc/shadow`, connect to the database next door or run a shell gets an error instead.
//!
//! # What is given up
//!
//! - **Files** (Landlock; Linux 5.13 and later): reading and writing except beneath the given paths. Open descriptors stay as they are.
//! - **Connections**: TCP connections and new listeners (Landlock, Linux 6.7; seccomp), other sockets than local datagrams and netlink
//!   (seccomp). Listeners that are open accept as before.
//! - **Programs and processes** (seccomp): executing, forking, tracing, mounting, loading modules and kernels, ports of devices, io_uring.
//! - **Rights**: no new privileges, as by set-user-ID programs; [another user](Confinement::user).
//!
//! Refused system calls fail with `EPERM`, which the program can handle. A call of another architecture ends the process: 32-bit calls
//! in a 64-bit program, which no program makes that is not under attack. Those of x32 are refused.
//!
//! # The public interface is
//!
//! - [`Confinement`], with [`Account`]; [`Confined`], with [`Enforcement`]; [`ConfineError`].

#[cfg(unix)]
mod account;
#[cfg(target_os = "linux")]
mod capabilities;
mod enforcement;
mod error;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod system_calls;

use std::fmt;
use std::path::PathBuf;

#[cfg(unix)]
pub use account::Account;
pub use enforcement::Enforcement;
pub use error::ConfineError;

/// What a process keeps.
#[derive(Debug, Default)]
#[must_use]
pub struct Confinement {
    /// Everything: only the user changes.
    unrestricted: bool,
    /// Stream sockets.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    listens: bool,
    /// Of the capabilities, those that binding needs.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    binds_only: bool,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
    harmless: Vec<String>,
    #[cfg(unix)]
    account: Option<Account>,
}

impl Confinement {
    /// Nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything is kept; what is left to do is to become another [user](Self::user).
    pub fn unrestricted() -> Self {
        Self {
            unrestricted: true,
            ..Self::default()
        }
    }

    /// For a process that opens listeners for another one: sockets for TCP and Unix streams can be made and bound, those of Unix in the
    /// directories given with [`sockets`](Self::sockets). Given up are TCP connections, other sockets, programs, processes and signals to them, owners and
    /// modes of files, and all capabilities that [binding](Self::binds_only) does not need.
    pub fn listening() -> Self {
        Self {
            listens: true,
            binds_only: true,
            ..Self::default()
        }
    }

    /// Of root's capabilities, the process keeps those to bind privileged ports, and to make sockets in directories of other users.
    pub fn binds_only(mut self) -> Self {
        self.binds_only = true;
        self
    }

    /// Beneath `path`, a process that [listens](Self::listening) may make Unix sockets, and remove files, because a socket that a killed server has left is in
    /// the way of another one.
    pub fn sockets(mut self, path: impl Into<PathBuf>) -> Self {
        self.sockets.push(path.into());
        self
    }

    /// Files and directories beneath `path`, or the file itself, may be read. It is the directory that the path leads to when this
    /// is [applied](Self::apply): another one in its place later is beneath its parent alone. What has no place in a directory, such as a pipe
    /// that `/dev/stdin` leads to, may be read and written anyway.
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Beneath `path`, files may be read, created, written, renamed and removed.
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.write.push(path.into());
        self
    }

    /// Threads of this name may run already: those of an allocator, which run nothing of the program's. System calls are refused to
    /// them, too; files are not.
    pub fn with_harmless_threads(mut self, name: impl Into<String>) -> Self {
        self.harmless.push(name.into());
        self
    }

    /// The process becomes this user's.
    #[cfg(unix)]
    pub fn user(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// Confines this process; this cannot be undone.
    ///
    /// # Errors
    /// If the process has several threads: those that run would not be confined. If a path cannot be opened, the user cannot be
    /// changed to, or the system refuses what it says it supports; then part of it may be in force. What the system does not
    /// support is no error: [`Confined`] tells.
    pub fn apply(&self) -> Result<Confined, ConfineError> {
        let threads = threads(&self.harmless);
        if threads > 1 {
            return Err(ConfineError::SeveralThreads(threads));
        }
        #[cfg(target_os = "linux")]
        let files = match self.unrestricted {
            true => Enforcement::Unwanted,
            false => {
                let paths = files::Paths {
                    read: &self.read,
                    write: &self.write,
                    sockets: &self.sockets,
                };
                files::restrict(&paths, self.listens)?
            }
        };
        // Not before: paths may be closed to that user.
        #[cfg(unix)]
        if let Some(account) = &self.account {
            account.become_it()?;
        }
        #[cfg(target_os = "linux")]
        if self.binds_only {
            capabilities::keep_those_for_binding()?;
        }
        #[cfg(target_os = "linux")]
        let system_calls = match self.unrestricted {
            true => Enforcement::Unwanted,
            false => system_calls::restrict(self.listens)?,
        };
        #[cfg(not(target_os = "linux"))]
        let (files, system_calls) = match self.unrestricted {
            true => (Enforcement::Unwanted, Enforcement::Unwanted),
            false => (Enforcement::Unsupported, Enforcement::Unsupported),
        };
        Ok(Confined {
            files,
            system_calls,
            #[cfg(unix)]
            account: self.account.clone(),
        })
    }
}

/// What is in force.
#[derive(Debug)]
#[non_exhaustive]
pub struct Confined {
    /// Files outside the given paths, and TCP connections.
    pub files: Enforcement,
    /// Programs, processes, sockets.
    pub system_calls: Enforcement,
    /// The user that the process now belongs to, if it was changed.
    #[cfg(unix)]
    pub account: Option<Account>,
}

impl Confined {
    /// Is all in force that was asked for?
    pub fn is_complete(&self) -> bool {
        self.files == Enforcement::Full && self.system_calls == Enforcement::Full
    }
}

/// In words: what the process can still do, and what it could not give up.
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.files {
            Enforcement::Full => "files: only those given",
            Enforcement::Partial => {
                "files: only those given, as far as this kernel can (it is old)"
            }
            Enforcement::Unsupported => "files: not confined (this system has no Landlock)",
            Enforcement::Unwanted => "files: all",
        })?;
        f.write_str(match self.system_calls {
            Enforcement::Unsupported => "; programs and connections: not confined",
            Enforcement::Unwanted => "; programs and connections: all",
            _ => "; no programs, no connections to others",
        })?;
        #[cfg(unix)]
        if let Some(account) = &self.account {
            write!(f, "; user {account}")?;
        }
        Ok(())
    }
}

/// How many threads the process has that are not harmless; 1 where that cannot be known.
fn threads(harmless: &[String]) -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 1;
    };
    let is_harmless = |thread: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| harmless.iter().any(|one| one == name.trim_end()))
    };
    threads
        .flatten()
        .filter(|thread| !is_harmless(thread))
        .count()
}
