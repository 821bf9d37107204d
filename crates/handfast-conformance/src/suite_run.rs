//! The inputs of a suite and its errors.

use std::fmt;
use std::path::{Path, PathBuf};

/// The inputs of a suite.
#[derive(Debug, Clone)]
pub struct Run {
    /// The suite's own runner or files.
    pub with: PathBuf,
    /// The program `handfast`, for the suites that test its server.
    pub program: PathBuf,
    /// The port on 127.0.0.1 of another server to be tested instead, with an RSA certificate.
    pub port: Option<u16>,
    /// The folder of ledgers.
    pub home: PathBuf,
    /// Only these tests, in the suite's own patterns.
    pub only: Option<String>,
}

/// Why a suite could not be run.
#[derive(Debug)]
pub struct SuiteError(pub String);

impl fmt::Display for SuiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SuiteError {}

impl SuiteError {
    /// A problem of a file.
    pub fn at(path: &Path, problem: impl fmt::Display) -> Self {
        Self(format!("{}: {problem}", path.display()))
    }
}
