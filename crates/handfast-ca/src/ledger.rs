//! The log of what the authority did: one JSON object per line, append-only.
//!
//! A line is valid once its newline is on disk, and no certificate or list is published before its
//! line is valid. So a partial line, left by a crash, stands for something that did not happen: readers
//! ignore it, the next writer removes it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CaError;
use crate::files;
use crate::key::KeyType;

/// One certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IssuedRecord {
    /// The serial number, 32 hexadecimal digits.
    pub serial: String,
    /// The names certified.
    pub names: Vec<String>,
    /// Whether it is for a client.
    pub client: bool,
    /// The kind of its key.
    pub key_type: KeyType,
    /// When it was issued, in Unix seconds.
    pub issued_at: i64,
    /// The beginning of its validity, in Unix seconds.
    pub not_before: i64,
    /// The end of its validity, in Unix seconds.
    pub not_after: i64,
    /// Fingerprint of the certificate: SHA-256, hexadecimal.
    pub sha256: String,
    /// Where the certificate was written.
    pub chain_file: PathBuf,
    /// Where its key was written.
    pub key_file: PathBuf,
    /// When it was revoked, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<i64>,
}

/// A revoked certificate whose issue is not in the ledger: the ledger was replaced by an older one, or
/// the certificate was signed elsewhere with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnrecordedRevocation {
    /// The serial number, hexadecimal.
    pub serial: String,
    /// The names in it, as far as they are known.
    pub names: Vec<String>,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    Issued(IssuedRecord),
    Revoked {
        serial: String,
        at: i64,
        /// For a certificate that is not in the ledger.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
    RevocationList {
        number: u64,
        next_update: i64,
    },
}

/// The content of the ledger.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// In the order of issue.
    pub(crate) issued: Vec<IssuedRecord>,
    /// Certificates of which only the revocation is known, in that order.
    pub(crate) unrecorded: Vec<UnrecordedRevocation>,
    /// The number of the latest revocation list; 0 if there is none.
    pub(crate) crl_number: u64,
    /// When the next list is due.
    pub(crate) crl_next_update: i64,
    /// Whether a certificate was revoked after that list: the process ended in between.
    pub(crate) crl_is_behind: bool,
}

impl State {
    pub(crate) fn find(&self, serial: &str) -> Option<&IssuedRecord> {
        self.issued.iter().find(|record| record.serial == serial)
    }

    pub(crate) fn find_unrecorded(&self, serial: &str) -> Option<&UnrecordedRevocation> {
        self.unrecorded.iter().find(|one| one.serial == serial)
    }
}

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads all of it. Needs no lock: a line that another process is writing has no newline yet.
    pub(crate) fn read(&self) -> Result<State, CaError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(CaError::file("read", &self.path)(error)),
        };
        let mut state = State::default();
        let mut by_serial: HashMap<String, usize> = HashMap::new();
        let whole = text.split_inclusive(|&byte| byte == b'\n');
        for (index, line) in whole.enumerate() {
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            let event = serde_json::from_slice(line).map_err(|error| {
                CaError::malformed(&self.path, format!("line {}: {error}", index + 1))
            })?;
            match event {
                Event::Issued(record) => {
                    by_serial.insert(record.serial.clone(), state.issued.len());
                    state.issued.push(record);
                }
                Event::Revoked { serial, at, names } => {
                    let record = by_serial
                        .get(&serial)
                        .and_then(|&position| state.issued.get_mut(position));
                    if let Some(record) = record {
                        record.revoked_at.get_or_insert(at);
                    } else if state.find_unrecorded(&serial).is_none() {
                        state.unrecorded.push(UnrecordedRevocation {
                            serial,
                            names,
                            revoked_at: at,
                        });
                    }
                    state.crl_is_behind = true;
                }
                Event::RevocationList {
                    number,
                    next_update,
                } => {
                    state.crl_number = state.crl_number.max(number);
                    state.crl_next_update = next_update;
                    state.crl_is_behind = false;
                }
            }
        }
        Ok(state)
    }

    /// Appends one event; when this returns, it is on disk. The caller holds the lock.
    pub(crate) fn append(&self, event: &Event) -> Result<(), CaError> {
        let mut line = serde_json::to_vec(event).map_err(|error| CaError::File {
            doing: "write",
            path: self.path.clone(),
            source: error.into(),
        })?;
        line.push(b'\n');
        let is_new = !self.path.exists();
        files::open_for_append(&self.path)
            .and_then(|mut file| {
                cut_torn_line(&mut file)?;
                file.write_all(&line)?;
                file.sync_all()
            })
            .map_err(CaError::file("write", &self.path))?;
        if is_new {
            files::sync_dir(self.path.parent().unwrap_or_else(|| Path::new(".")))?;
        }
        Ok(())
    }
}

/// Removes a partial line that a crash left.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    /// Longer than any line.
    const CHUNK: u64 = 64 * 1024;
    let mut end = file.seek(SeekFrom::End(0))?;
    let length = end;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        let mut chunk = Vec::new();
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut chunk)?;
        if let Some(position) = chunk.iter().rposition(|&byte| byte == b'\n') {
            end = start + position as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(serial: &str) -> IssuedRecord {
        IssuedRecord {
            serial: serial.to_owned(),
            names: vec!["localhost".to_owned()],
            client: false,
            key_type: KeyType::EcdsaP256,
            issued_at: 1,
            not_before: 1,
            not_after: 2,
            sha256: String::new(),
            chain_file: "a.pem".into(),
            key_file: "a.key".into(),
            revoked_at: None,
        }
    }

    #[test]
    fn a_partial_line_is_ignored_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let ledger = Ledger::at(path.clone());
        assert!(ledger.read().unwrap().issued.is_empty());
        ledger.append(&Event::Issued(record("aa"))).unwrap();
        let whole = fs::read(&path).unwrap();
        ledger.append(&Event::Issued(record("bb"))).unwrap();
        let both = fs::read(&path).unwrap();

        for torn_at in whole.len()..both.len() {
            fs::write(&path, &both[..torn_at]).unwrap();
            assert_eq!(ledger.read().unwrap().issued, [record("aa")], "{torn_at}");
            ledger.append(&Event::Issued(record("cc"))).unwrap();
            let serials: Vec<_> = ledger.read().unwrap().issued;
            assert_eq!(serials, [record("aa"), record("cc")], "{torn_at}");
        }
        fs::write(&path, vec![b'x'; 200_000]).unwrap();
        ledger.append(&Event::Issued(record("dd"))).unwrap();
        assert_eq!(ledger.read().unwrap().issued, [record("dd")]);
    }

    #[test]
    fn a_damaged_line_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let ledger = Ledger::at(path.clone());
        ledger.append(&Event::Issued(record("aa"))).unwrap();
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"event\":\"revo\n");
        fs::write(&path, text).unwrap();
        let error = ledger.read().unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn the_first_revocation_counts_and_numbers_only_grow() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(dir.path().join("ledger.jsonl"));
        for event in [
            Event::Issued(record("aa")),
            Event::Revoked {
                serial: "aa".into(),
                at: 7,
                names: Vec::new(),
            },
            Event::Revoked {
                serial: "aa".into(),
                at: 9,
                names: Vec::new(),
            },
            Event::RevocationList {
                number: 4,
                next_update: 40,
            },
            Event::RevocationList {
                number: 3,
                next_update: 50,
            },
        ] {
            ledger.append(&event).unwrap();
        }
        let state = ledger.read().unwrap();
        assert_eq!(state.find("aa").unwrap().revoked_at, Some(7));
        assert_eq!((state.crl_number, state.crl_next_update), (4, 50));
        assert!(!state.crl_is_behind);
        let late = Event::Revoked {
            serial: "aa".into(),
            at: 60,
            names: Vec::new(),
        };
        ledger.append(&late).unwrap();
        assert!(ledger.read().unwrap().crl_is_behind);
    }
}
