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
    /// ClientHellos that browsers and libraries sent, as testssl.sh keeps them.
    Hellos,
    /// Conversations with a TLS server that are as none should be.
    Tlsfuzzer,
    /// Certificate chains, revocation lists and OCSP responses with the verdicts that are expected.
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

    /// What it goes by, on the command line and as the name of its ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bogo => "bogo",
            Self::H2spec => "h2spec",
            Self::Corpora => "corpora",
            Self::Hellos => "hellos",
            Self::Tlsfuzzer => "tlsfuzzer",
        }
    }

    /// What `--with` names.
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

    /// The suite that goes by this name.
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
    /// What kept it from being run to its end.
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
