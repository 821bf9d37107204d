//! What the stores have in common: where they are looked for, what is planned for one, done and reported.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pki_types::CertificateDer;
use pki_types::pem::PemObject;

use super::error::StoreError;
use super::kind::{Change, StoreKind};
use super::step::Step;
use crate::{hex, sha256};

/// Collecting 150 authorities takes a second, and some systems make a Java store of them. The rest is for small
/// machines, and for a person who confirms the change in a dialogue.
pub(super) const SYSTEM_LIMIT: Duration = Duration::from_secs(180);

/// Where stores and the tools that change them are looked for.
///
/// A library reads nothing from the environment: a program fills in what it knows of its user.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Places {
    /// The root of the file system, beneath which the system's store and its tools are. Another one than `/` is for
    /// tests and for images of other systems.
    pub root: PathBuf,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, if it is set.
    pub config_home: Option<PathBuf>,
    /// `XDG_DATA_HOME`, if it is set.
    pub data_home: Option<PathBuf>,
    /// `JAVA_HOME`, if it is set.
    pub java_home: Option<PathBuf>,
    /// The directories of `PATH`. Relative ones are not searched.
    pub search_path: Vec<PathBuf>,
    /// Windows' own directory (`SystemRoot`).
    pub windows: Option<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            home: None,
            config_home: None,
            data_home: None,
            java_home: None,
            search_path: Vec::new(),
            windows: None,
        }
    }
}

/// What was done to one store.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoreReport {
    /// Its kind.
    pub kind: StoreKind,
    /// Whose it is: `Chromium`, `Firefox`, `Debian`...
    pub owner: String,
    /// Its file or directory, if there is one.
    pub path: Option<PathBuf>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of one store.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was changed, and says so.
    Done,
    /// Nothing had to be done.
    Already,
    /// A dry run: what would be done.
    Planned {
        /// The steps, in their order.
        steps: Vec<Step>,
        /// Whether this user may do them. If not, root may.
        needs_root: bool,
    },
    /// There is no such store on this machine.
    NotFound {
        /// What was looked for.
        reason: String,
    },
    /// It is made from the system's store, and changes with it.
    FollowsSystem,
    /// It was not changed.
    Failed(StoreError),
}

/// The certificate that stores are to trust.
#[derive(Debug)]
pub(super) struct Anchor {
    /// Its name in stores.
    pub(super) name: String,
    pub(super) der: CertificateDer<'static>,
    /// The authority's own file with it.
    pub(super) file: PathBuf,
}

impl Anchor {
    /// Whether this PEM text holds this certificate.
    pub(super) fn is_in(&self, pem: &[u8]) -> bool {
        certificates(pem).any(|der| der == self.der)
    }

    /// Whether this PEM text holds this certificate and no other.
    pub(super) fn is_alone_in(&self, pem: &[u8]) -> bool {
        let mut found = certificates(pem);
        found.next().is_some_and(|der| der == self.der) && found.next().is_none()
    }

    pub(super) fn sha256(&self) -> String {
        sha256(&self.der)
    }

    /// The name that Windows' store has for it.
    pub(super) fn sha1(&self) -> String {
        let algorithm = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
        hex(aws_lc_rs::digest::digest(algorithm, &self.der).as_ref())
    }
}

fn certificates(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).flatten()
}

impl StoreReport {
    pub(super) fn not_found(kind: StoreKind, owner: &str, reason: impl Into<String>) -> Box<Self> {
        let reason = reason.into();
        Self::without_store(kind, owner, None, Outcome::NotFound { reason })
    }

    pub(super) fn failed(
        kind: StoreKind,
        owner: &str,
        path: PathBuf,
        error: StoreError,
    ) -> Box<Self> {
        Self::without_store(kind, owner, Some(path), Outcome::Failed(error))
    }

    pub(super) fn without_store(
        kind: StoreKind,
        owner: &str,
        path: Option<PathBuf>,
        outcome: Outcome,
    ) -> Box<Self> {
        Box::new(Self {
            kind,
            owner: owner.to_owned(),
            path,
            outcome,
        })
    }
}

/// What has to be done to a store. Without steps, nothing.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What is done if a step fails, so that nothing is left half done.
    pub(super) undo: Vec<Step>,
    pub(super) needs_root: bool,
}

/// A store that exists.
pub(super) trait Store: std::fmt::Debug {
    fn kind(&self) -> StoreKind;
    fn owner(&self) -> String;
    fn path(&self) -> PathBuf;
    /// Reads the store: what has to be done for the change.
    fn plan(&self, change: Change, anchor: &Anchor) -> Result<Plan, StoreError>;
    /// What a failure means in this store, where its tool's message says so.
    fn interpret(&self, error: StoreError) -> StoreError {
        error
    }
}

impl dyn Store + '_ {
    pub(super) fn report(&self, change: Change, anchor: &Anchor, dry_run: bool) -> StoreReport {
        StoreReport {
            kind: self.kind(),
            owner: self.owner(),
            path: Some(self.path()),
            outcome: self
                .change(change, anchor, dry_run)
                .unwrap_or_else(|error| Outcome::Failed(self.interpret(error))),
        }
    }

    pub(super) fn change(
        &self,
        change: Change,
        anchor: &Anchor,
        dry_run: bool,
    ) -> Result<Outcome, StoreError> {
        let plan = self.plan(change, anchor)?;
        if plan.steps.is_empty() {
            return Ok(Outcome::Already);
        }
        if dry_run {
            return Ok(Outcome::Planned {
                steps: plan.steps,
                needs_root: plan.needs_root,
            });
        }
        if plan.needs_root {
            return Err(StoreError::NeedsRoot { path: self.path() });
        }
        for step in &plan.steps {
            if let Err(error) = step.execute() {
                // The first failure is the one to report.
                for step in &plan.undo {
                    let _ = step.execute();
                }
                return Err(error);
            }
        }
        // The store has the last word.
        if self.plan(change, anchor)?.steps.is_empty() {
            Ok(Outcome::Done)
        } else {
            Err(StoreError::NotInEffect {
                change,
                path: self.path(),
            })
        }
    }
}

/// The stores of a kind; or why there are none.
pub(super) type Found = Result<Vec<Box<dyn Store>>, Box<StoreReport>>;

/// Whether only root may create, rename and remove files in this directory. A read-only file system is an error: not
/// even root may.
pub(super) fn needs_root(directory: &Path) -> Result<bool, StoreError> {
    #[cfg(unix)]
    {
        use crate::error::CaError;
        use rustix::fs::{Access, access};
        use rustix::io::Errno;
        match access(directory, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => Ok(false),
            Err(Errno::ACCESS | Errno::PERM) => Ok(true),
            Err(error) => Err(StoreError::File(CaError::file("change", directory)(
                error.into(),
            ))),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = directory;
        Ok(false)
    }
}

/// Whether this is root.
pub(super) fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    false
}
