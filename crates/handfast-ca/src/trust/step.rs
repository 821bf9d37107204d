//! Steps: what is written, removed and run. Planned first, so that they can be shown without being done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::tool::Tool;
use crate::error::CaError;
use crate::files::{self, Readers};

/// One step of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A file is written, whole or not at all, readable for every user.
    Write {
        /// The file.
        path: PathBuf,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// A file is removed.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// A directory is created, with its parents, for its owner only.
    CreateDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A program is run.
    Run(Tool),
    /// A program changes a copy of a file, given as its last argument; then the copy replaces the file. For programs
    /// that would write into the file itself and leave half of it when they are killed.
    RunOnCopy {
        /// The program, without its last argument.
        tool: Tool,
        /// The file.
        path: PathBuf,
    },
}

impl Step {
    pub(super) fn execute(&self) -> Result<(), StoreError> {
        match self {
            Self::Write { path, bytes } => {
                files::replace(path, bytes, Readers::Everybody).map_err(StoreError::File)
            }
            Self::Remove { path } => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(StoreError::File(CaError::file("remove", path)(error)))
                }
                _ => Ok(()),
            },
            Self::CreateDirectory { path } => {
                files::create_private_dir(path).map_err(StoreError::File)
            }
            Self::Run(tool) => run(tool),
            Self::RunOnCopy { tool, path } => run_on_copy(tool, path),
        }
    }
}

/// Runs a program that is to succeed.
fn run(tool: &Tool) -> Result<(), StoreError> {
    let finished = tool.run();
    match finished.problem {
        None => Ok(()),
        Some(problem) => Err(StoreError::Tool {
            tool: tool.clone(),
            problem,
            message: finished.message,
        }),
    }
}

/// What a program that is to succeed wrote to its standard output.
pub(super) fn output(tool: &Tool) -> Result<Vec<u8>, StoreError> {
    let finished = tool.run();
    match finished.problem {
        None => Ok(finished.stdout),
        Some(problem) => Err(StoreError::Tool {
            tool: tool.clone(),
            problem,
            message: finished.message,
        }),
    }
}

fn run_on_copy(tool: &Tool, path: &Path) -> Result<(), StoreError> {
    let failed = |doing| {
        let error = CaError::file(doing, path);
        move |source| StoreError::File(error(source))
    };
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let copy = tempfile::Builder::new()
        .prefix(files::UNFINISHED_PREFIX)
        .tempfile_in(directory)
        .map_err(failed("create a file beside"))?;
    // Its permissions come last: the file itself may be read-only.
    let bytes = fs::read(path).map_err(failed("read"))?;
    fs::write(copy.path(), bytes).map_err(failed("copy"))?;
    run(&tool.clone().arg(copy.path()))?;
    // The tool may have put another file in place of the copy.
    let written = fs::File::open(copy.path()).map_err(failed("write"))?;
    let metadata = fs::metadata(path).map_err(failed("read"))?;
    written
        .set_permissions(metadata.permissions())
        .map_err(failed("protect"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // Root changes a store of another user: it stays that user's.
        let now = written.metadata().map_err(failed("read"))?;
        if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
            std::os::unix::fs::fchown(&written, Some(metadata.uid()), Some(metadata.gid()))
                .map_err(failed("protect"))?;
        }
    }
    written.sync_all().map_err(failed("write"))?;
    copy.persist(path)
        .map_err(|error| failed("write")(error.error))?;
    files::sync_dir(directory).map_err(StoreError::File)
}
