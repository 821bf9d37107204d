//! Revoking, and the list that tells verifiers (RFC 5280, section 5).

use std::fs;
use std::path::{Path, PathBuf};

use pki_types::pem::PemObject;
use pki_types::{CertificateDer, CertificateRevocationListDer};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use crate::authority::{Authority, Signer};
use crate::error::CaError;
use crate::files::{self, Readers};
use crate::ledger::{Event, State};
use crate::{BACKDATE_SECS, DAY_SECS, date, now, sha256};

/// How long a revocation list is good for. Long enough that a server which reads it at its start does
/// not refuse everybody after a holiday, short enough that an old copy is noticed.
const CRL_DAYS: i64 = 30;

/// Which certificate to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeTarget {
    /// By its serial number: hexadecimal, upper or lower case, with or without colons.
    Serial(String),
    /// By a file that holds it, PEM.
    File(PathBuf),
}

/// A certificate that is revoked now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// Its serial number, 32 hexadecimal digits.
    pub serial: String,
    /// Its names.
    pub names: Vec<String>,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: i64,
    /// Whether it had been revoked before.
    pub already_revoked: bool,
    /// The list that says so.
    pub list: RevocationList,
}

/// The authority's revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationList {
    /// Its file, PEM.
    pub file: PathBuf,
    /// Its number. Each list has a greater one than those before.
    pub number: u64,
    /// Until when verifiers take it, in Unix seconds.
    pub next_update: i64,
    /// Whether the file is that list and names all that is revoked. If it does not, a process was
    /// ended while it revoked something; whatever writes the list next repairs that.
    pub complete: bool,
}

impl Authority {
    /// Revokes a certificate and writes a new revocation list. Revoking twice is no error, the first
    /// time counts, and nothing is written for the second while the list is whole and fresh.
    ///
    /// # Errors
    /// When the certificate was not issued here, or the list cannot be written.
    pub fn revoke(&self, target: &RevokeTarget) -> Result<Revocation, CaError> {
        let now = now();
        let signer = self.signer()?;
        let _lock = self.lock()?;
        let state = self.ledger().read()?;
        let record = match target {
            RevokeTarget::Serial(text) => {
                let serial = normalized_serial(text)?;
                state
                    .find(&serial)
                    .ok_or(CaError::UnknownSerial { serial })?
            }
            RevokeTarget::File(path) => {
                let pem = fs::read(path).map_err(CaError::file("read", path))?;
                let certificate = CertificateDer::from_pem_slice(&pem)
                    .map_err(|_| CaError::malformed(path, "it holds no certificate in PEM form"))?;
                let fingerprint = sha256(&certificate);
                state
                    .issued
                    .iter()
                    .find(|record| record.sha256 == fingerprint)
                    .ok_or_else(|| CaError::ForeignCertificate { path: path.clone() })?
            }
        };
        let list = if record.revoked_at.is_none() {
            self.ledger().append(&Event::Revoked {
                serial: record.serial.clone(),
                at: now,
            })?;
            self.write_crl(&signer, now)?
        } else {
            // The list says so already: a new one only if that is not so, or it is getting old.
            self.keep_crl_fresh(&signer, now)?;
            self.crl()?
        };
        Ok(Revocation {
            serial: record.serial.clone(),
            names: record.names.clone(),
            revoked_at: record.revoked_at.unwrap_or(now),
            already_revoked: record.revoked_at.is_some(),
            list,
        })
    }

    /// Writes the revocation list anew, so that it is good for another 30 days.
    ///
    /// # Errors
    /// When the authority's key cannot be used or the list cannot be written.
    pub fn renew_crl(&self) -> Result<RevocationList, CaError> {
        let signer = self.signer()?;
        let _lock = self.lock()?;
        self.write_crl(&signer, now())
    }

    /// The latest revocation list.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn crl(&self) -> Result<RevocationList, CaError> {
        let state = self.ledger().read()?;
        let file = self.crl_file();
        Ok(RevocationList {
            number: state.crl_number,
            next_update: state.crl_next_update,
            complete: !state.crl_is_behind && number_in(&file) == Some(state.crl_number),
            file,
        })
    }

    /// Renews the list in passing, when half of its time is over or it does not say what it should.
    /// The caller holds the lock.
    pub(crate) fn keep_crl_fresh(&self, signer: &Signer, now: i64) -> Result<(), CaError> {
        let list = self.crl()?;
        if !list.complete || list.next_update - now < CRL_DAYS * DAY_SECS / 2 {
            self.write_crl(signer, now)?;
        }
        Ok(())
    }

    /// Writes the list of all that the ledger says is revoked. The caller holds the lock.
    pub(crate) fn write_crl(&self, signer: &Signer, now: i64) -> Result<RevocationList, CaError> {
        const DOING: &str = "sign the revocation list";
        let ledger = self.ledger();
        let state = ledger.read()?;
        let number = state.crl_number + 1;
        let next_update = now + CRL_DAYS * DAY_SECS;
        let list = CertificateRevocationListParams {
            this_update: date!(now - BACKDATE_SECS),
            next_update: date!(next_update),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked(&state),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list
            .signed_by(signer.issuer())
            .and_then(|list| list.pem())
            .map_err(CaError::crypto(DOING))?;
        // The number is spent before the list is seen: no two lists ever share one.
        ledger.append(&Event::RevocationList {
            number,
            next_update,
        })?;
        let file = self.crl_file();
        files::replace(&file, pem.as_bytes(), Readers::Everybody)?;
        Ok(RevocationList {
            file,
            number,
            next_update,
            complete: true,
        })
    }
}

/// The number of the list in a file.
fn number_in(file: &Path) -> Option<u64> {
    let der = CertificateRevocationListDer::from_pem_file(file).ok()?;
    let (_, list) = x509_parser::parse_x509_crl(&der).ok()?;
    list.crl_number()?.to_string().parse().ok()
}

fn revoked(state: &State) -> Vec<RevokedCertParams> {
    state
        .issued
        .iter()
        .filter_map(|record| {
            Some(RevokedCertParams {
                serial_number: SerialNumber::from(bytes_of_hex(&record.serial)?),
                revocation_time: date!(record.revoked_at?),
                reason_code: None,
                invalidity_date: None,
            })
        })
        .collect()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(
        pairs
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}

/// As the ledger has it, whichever program printed it.
fn normalized_serial(text: &str) -> Result<String, CaError> {
    let digits: String = text
        .trim()
        .trim_start_matches("0x")
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let is_serial =
        (1..=40).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
    if is_serial {
        Ok(digits)
    } else {
        Err(CaError::InvalidSerial {
            text: text.escape_debug().to_string(),
        })
    }
}
