//! The secrets that rustls tells: written to a file for a packet analyser, in the `SSLKEYLOGFILE` format, and the one
//! that keying material is exported from.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::callback_data;
use crate::error::{ConfigurationCause, Error};
use crate::exporter::ExporterSecret;
use crate::hex;
use crate::phase::Phase;

/// A file for the secrets of sessions, in the format of packet analysers.
///
/// With this file the traffic can be decrypted: it is created readable only by its owner.
#[derive(Clone)]
pub struct KeyLog(Arc<Mutex<File>>);

impl KeyLog {
    /// Appends to this file, which is created if necessary.
    ///
    /// # Errors
    /// [`ConfigurationCause::File`] if it cannot be opened for writing.
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

impl KeyLog {
    fn write(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let (client_random, secret) = (hex::encode(client_random), hex::encode(secret));
        let line = format!("{label} {client_random} {secret}\n");
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end the connection.
        let _ = file.write_all(line.as_bytes());
    }
}

/// What rustls tells secrets to: the exporter's goes to the connection, all of them to the log, if there is one.
#[derive(Debug)]
pub(crate) struct Secrets(pub(crate) Option<KeyLog>);

/// rustls' name of the secret that keying material is exported from in TLS 1.3.
const EXPORTER_LABEL: &str = "EXPORTER_SECRET";

impl rustls::KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER_LABEL {
            callback_data::note_exporter(ExporterSecret::Tls13(secret.to_vec().into()));
        }
        if let Some(log) = &self.0 {
            log.write(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.0.is_some() || label == EXPORTER_LABEL
    }
}
