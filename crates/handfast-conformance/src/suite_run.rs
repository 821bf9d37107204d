//! What a suite is run with, and what stops it.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a suite is run with.
#[derive(Debug, Clone)]
pub struct Run {
    /// What the suite needs of itself: its runner, its files.
    pub with: PathBuf,
    /// The program `handfast`, for the suites that test its server.
    pub program: PathBuf,
    /// Another server to be tested instead, on this port of 127.0.0.1, with an RSA certificate.
    pub port: Option<u16>,
    /// The folder of ledgers.
    pub home: PathBuf,
    /// Only these tests, in the suite's own patterns.
    pub only: Option<String>,
}

/// What kept a suite from being run to its end.
#[derive(Debug)]
pub struct SuiteError(pub String);

impl fmt::Display for SuiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SuiteError {}

impl SuiteError {
    /// Something about a file.
    pub fn at(path: &Path, problem: impl fmt::Display) -> Self {
        Self(format!("{}: {problem}", path.display()))
    }
}
