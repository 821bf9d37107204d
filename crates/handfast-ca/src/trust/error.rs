//! Why a store was not changed, with evidence and what to do about it.

use std::fmt;
use std::path::PathBuf;

use super::kind::Change;
use super::tool::{Tool, ToolProblem};
use crate::error::CaError;

/// Why a trust store was not changed.
///
/// `Display` says what happened in one line; [`fix`](Self::fix) says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Only root may change it.
    NeedsRoot {
        /// The store.
        path: PathBuf,
    },
    /// It is another user's: files that are made in it would not be theirs.
    OtherOwner {
        /// The directory.
        path: PathBuf,
    },
    /// It is made from the system's store: what is put into it by hand is lost with the next update.
    MadeFromSystem {
        /// The store.
        path: PathBuf,
    },
    /// The program that changes it is not installed.
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// The store.
        path: PathBuf,
        /// The command that installs it here, or the names of its package.
        install: String,
    },
    /// The program that changes it failed.
    Tool {
        /// The program, as it was run.
        tool: Tool,
        /// How it ended.
        problem: ToolProblem,
        /// The end of what it wrote.
        message: String,
    },
    /// It is protected by a password that is not the usual one.
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// The entry that would be the authority's holds another certificate.
    AnotherCertificate {
        /// The store, or the file in it.
        path: PathBuf,
        /// The name of the entry.
        name: String,
    },
    /// The tools reported success, and the store says otherwise.
    NotInEffect {
        /// What was to be done.
        change: Change,
        /// The store.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    File(CaError),
}

impl StoreError {
    /// A stable name for the kind of error.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NeedsRoot { .. } => "trust-store-needs-root",
            Self::OtherOwner { .. } => "trust-store-other-owner",
            Self::MadeFromSystem { .. } => "trust-store-made-from-system",
            Self::ToolMissing { .. } => "trust-store-tool-missing",
            Self::Tool { .. } => "trust-store-tool-failed",
            Self::Locked { .. } => "trust-store-locked",
            Self::AnotherCertificate { .. } => "trust-store-name-taken",
            Self::NotInEffect { .. } => "trust-store-not-in-effect",
            Self::File(_) => "trust-store-file",
        }
    }

    /// What to do about it, if there is anything to do.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::NeedsRoot { .. } => "do it as root".to_owned(),
            Self::OtherOwner { .. } => "do it as the user whose home directory it is".to_owned(),
            Self::MadeFromSystem { .. } => "change the system's store".to_owned(),
            Self::ToolMissing { install, .. } => format!("install it: {install}"),
            Self::Tool {
                problem: ToolProblem::TimedOut { .. },
                ..
            } => "run the command by hand to see what it waits for".to_owned(),
            Self::Tool { .. } => "run the command by hand, and correct the problem that it reports".to_owned(),
            Self::Locked { .. } => {
                "import or delete the certificate in the program that the store belongs to: it asks for \
                 the password"
                    .to_owned()
            }
            Self::AnotherCertificate { .. } => {
                "find out who put it there; if it is not needed, remove it by hand".to_owned()
            }
            Self::NotInEffect {
                change: Change::Trust,
                ..
            } => "look whether the certificate is on a list of distrusted ones".to_owned(),
            Self::NotInEffect {
                change: Change::Untrust,
                ..
            } => "look for another copy of the certificate among the sources of the store".to_owned(),
            Self::File(error) => return error.fix(),
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsRoot { path } => write!(f, "only root may change {}", path.display()),
            Self::OtherOwner { path } => write!(f, "{} belongs to another user", path.display()),
            Self::MadeFromSystem { path } => write!(
                f,
                "{} is made from the system's trust store, which would overwrite the change",
                path.display()
            ),
            Self::ToolMissing { tool, path, .. } => write!(
                f,
                "{tool} is not installed, which is needed to change {}",
                path.display()
            ),
            Self::Tool { tool, problem, .. } => {
                let name = tool.program().file_name().unwrap_or_default();
                write!(f, "{} {problem}", name.display())
            }
            Self::Locked { path } => write!(f, "{} is protected by a password", path.display()),
            Self::AnotherCertificate { path, name } => write!(
                f,
                "{}: the entry {name} holds another certificate; it was not changed",
                path.display()
            ),
            Self::NotInEffect { change, path } => write!(
                f,
                "{} {} the certificate, although every step succeeded",
                path.display(),
                match change {
                    Change::Trust => "does not hold",
                    Change::Untrust => "still holds",
                }
            ),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => std::error::Error::source(error),
            Self::Tool {
                problem: ToolProblem::NotStarted(error),
                ..
            } => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for ToolProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(_) => f.write_str("cannot be started"),
            Self::Ended { code: Some(code) } => write!(f, "failed with exit code {code}"),
            Self::Ended { code: None } => f.write_str("was ended by a signal"),
            Self::TimedOut { seconds } => {
                write!(f, "did not end within {seconds} s and was killed")
            }
        }
    }
}
