//! Why a process could not be confined.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a process could not be confined.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfineError {
    /// It has so many threads; those that run already would not be confined.
    SeveralThreads(usize),
    /// A path that is to be kept cannot be opened.
    Path {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no user, or no group, of this name.
    NoAccount(String),
    /// The process may not become this user: only root may.
    Account {
        /// As given.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system refused to take capabilities from the process.
    Capabilities(io::Error),
    /// The system refused to confine files.
    Files(String),
    /// The system refused to confine system calls.
    SystemCalls(String),
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeveralThreads(count) => {
                write!(f, "the process has {count} threads already")
            }
            Self::Path { path, .. } => write!(f, "{} cannot be opened", path.display()),
            Self::NoAccount(name) => write!(f, "there is no user or group \"{name}\""),
            Self::Account { name, .. } => write!(f, "the process may not become {name}"),
            Self::Capabilities(_) => f.write_str("capabilities cannot be given up"),
            Self::Files(why) => write!(f, "files cannot be confined: {why}"),
            Self::SystemCalls(why) => write!(f, "system calls cannot be confined: {why}"),
        }
    }
}

impl std::error::Error for ConfineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Path { source, .. } | Self::Account { source, .. } => Some(source),
            Self::Capabilities(source) => Some(source),
            _ => None,
        }
    }
}
