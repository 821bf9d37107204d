//! The suites that can be run, and what they have in common.

pub mod bogo;
pub mod corpora;
pub mod h2spec;
pub mod hellos;
pub mod tlsfuzzer;

use std::path::{Path, PathBuf};

use crate::ledger::Results;
pub use crate::suite_run::{Run, SuiteError};

/// The suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// BoringSSL's tests for TLS.
    Bogo,
    /// Tests for HTTP/2 servers.
    H2spec,
    /// Recorded ClientHellos of browsers and libraries, from testssl.sh.
    Hellos,
    /// Malformed conversations with a TLS server.
    Tlsfuzzer,
    /// Certificate chains, revocation lists and OCSP responses with expected verdicts.
    Corpora,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Bogo,
        Self::Corpora,
        Self::H2spec,
        Self::Hellos,
        Self::Tlsfuzzer,
    ];

    /// Its name on the command line and of its ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bogo => "bogo",
            Self::H2spec => "h2spec",
            Self::Corpora => "corpora",
            Self::Hellos => "hellos",
            Self::Tlsfuzzer => "tlsfuzzer",
        }
    }

    /// The meaning of `--with`.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Bogo => "its runner, built: `go test -c` in BoringSSL's ssl/test/runner",
            Self::H2spec => "its program",
            Self::Corpora => {
                "the folder of chains.jsonl.gz, crl.jsonl.gz, limbo.jsonl.gz, ocsp.jsonl.gz, pkits.jsonl.gz"
            }
            Self::Hellos => "testssl.sh's etc/client-simulation.txt",
            Self::Tlsfuzzer => {
                "its checkout; the variable PYTHON names a Python that has tlslite-ng"
            }
        }
    }

    /// The suite with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Its ledger.
    pub fn ledger(self, home: &Path) -> PathBuf {
        home.join("ledgers").join(format!("{}.tsv", self.name()))
    }

    /// Runs it.
    ///
    /// # Errors
    /// Why it could not be run.
    pub fn run(self, run: &Run) -> Result<Results, SuiteError> {
        match self {
            Self::Bogo => bogo::run(run),
            Self::H2spec => h2spec::run(run),
            Self::Corpora => corpora::run(run),
            Self::Hellos => hellos::run(run),
            Self::Tlsfuzzer => tlsfuzzer::run(run),
        }
    }
}
