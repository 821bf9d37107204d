//! `handfast serve` for the suites that test servers: with a test certificate and an empty directory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handfast_testbed::launch::Running;
use handfast_testbed::pki::{Pki, Spec};

use crate::suite_run::SuiteError;

/// How long a server may take until it listens, on a loaded machine.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

/// The output of each server before its port.
const ANNOUNCED: &str = "https://127.0.0.1:";

/// A running server. Dropping ends it, if it was started here.
#[derive(Debug)]
pub struct Serving {
    _own: Option<(Running, tempfile::TempDir)>,
    port: u16,
}

impl Serving {
    /// Another server, which already runs on a port of 127.0.0.1, for comparison.
    pub fn elsewhere(port: u16) -> Self {
        Self { _own: None, port }
    }

    /// Starts the program on a free port of 127.0.0.1, with a certificate for `localhost` and further
    /// options.
    ///
    /// # Errors
    /// A server that does not listen.
    pub fn start(program: &Path, options: &[&str]) -> Result<Self, SuiteError> {
        Self::with_certificate(program, Spec::server(&["localhost", "127.0.0.1"]), options)
    }

    /// The same with another certificate.
    ///
    /// # Errors
    /// As `start`.
    pub fn with_certificate(
        program: &Path,
        certificate: Spec,
        options: &[&str],
    ) -> Result<Self, SuiteError> {
        let place = tempfile::tempdir().map_err(|error| SuiteError(error.to_string()))?;
        let files = Pki::new()
            .root
            .issue(certificate)
            .write(place.path(), "server", &[]);
        // It is empty, so that each response is short and sent in one record.
        let served = place.path().join("served");
        std::fs::create_dir(&served).map_err(|error| SuiteError::at(&served, error))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--no-listing", "--listen", "127.0.0.1:0", "--cert"])
            .arg(&files.chain_pem)
            .arg("--key")
            .arg(&files.key_pem)
            .args(options)
            .arg(&served);
        let process = Running::start(&mut command);
        let port = process.wait_until(LISTENS_WITHIN, |text| {
            let after = text.split(ANNOUNCED).nth(1)?;
            after.split_once('/')?.0.parse().ok()
        });
        match port {
            Some(port) => Ok(Self {
                _own: Some((process, place)),
                port,
            }),
            None => Err(SuiteError(format!("no server: {}", process.output()))),
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
