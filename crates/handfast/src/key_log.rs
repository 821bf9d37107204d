//! The secrets of sessions, written to a file for a packet analyser: the `SSLKEYLOGFILE` format.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{ConfigurationCause, Error, Phase};

/// Where the secrets of sessions are written to, in the format that packet analysers read.
///
/// Whoever reads the file reads the traffic: it is created readable by its owner only.
#[derive(Clone)]
pub struct KeyLog(Arc<Mutex<File>>);

impl KeyLog {
    /// Appends to this file, which is created if need be.
    ///
    /// # Errors
    /// [`ConfigurationCause::File`] when it cannot be opened for writing.
    pub fn to_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self(Arc::new(Mutex::new(file)))),
            Err(source) => {
                let cause = ConfigurationCause::File {
                    path: path.to_owned(),
                    source,
                };
                Err(Error::new(Phase::Configure, cause))
            }
        }
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLog")
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", Hex(client_random), Hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end the connection that is being watched.
        let _ = file.write_all(line.as_bytes());
    }
}

struct Hex<'h>(&'h [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
