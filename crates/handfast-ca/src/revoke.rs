//! Revoking, and the certificate revocation list (RFC 5280, section 5).

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, CertificateRevocationListDer};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::{Authority, Signer};
use crate::error::CaError;
use crate::files::{self, Readers};
use crate::ledger::{Event, IssuedRecord, State};
use crate::{BACKDATE_SECS, DAY_SECS, date, hex, now, sha256};

/// How long a revocation list is valid. Long enough that a server that reads it only at start does
/// not refuse all clients after a few weeks, short enough that an old copy is noticed.
const CRL_DAYS: i64 = 30;

/// Which certificate to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokeTarget {
    /// By its serial number: hexadecimal, upper or lower case, with or without colons.
    Serial(String),
    /// By its serial number, even if it is not in the ledger: for when both the ledger and the
    /// certificate's file were lost. A list may contain any serial number (RFC 5280, section 5.1.2.6),
    /// so a mistyped one is not detected.
    LostSerial(String),
    /// By a file that holds it, PEM. A certificate that is not in the ledger is revoked if this
    /// authority signed it.
    File(PathBuf),
}

/// A certificate that is revoked now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// Its serial number, hexadecimal; 32 digits, unless it was made elsewhere with the same key.
    pub serial: String,
    /// Its names, as far as they are known.
    pub names: Vec<String>,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: i64,
    /// Whether it had been revoked before.
    pub already_revoked: bool,
    /// Whether its issue is in the ledger.
    pub recorded: bool,
    /// The list that contains it.
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
    /// Until when verifiers accept it, in Unix seconds.
    pub next_update: i64,
    /// Whether the file is that list and contains every revoked certificate. If not, a process ended
    /// while it revoked one; the next write of the list repairs that.
    pub complete: bool,
}

impl RevocationList {
    fn is_fresh(&self, now: i64) -> bool {
        self.complete && self.next_update - now >= CRL_DAYS * DAY_SECS / 2
    }
}

/// What is known about a certificate that is to be revoked.
struct Found {
    serial: String,
    names: Vec<String>,
    revoked_at: Option<i64>,
    recorded: bool,
}

impl Found {
    fn of(record: &IssuedRecord) -> Self {
        Self {
            serial: record.serial.clone(),
            names: record.names.clone(),
            revoked_at: record.revoked_at,
            recorded: true,
        }
    }

    fn in_ledger(state: &State, serial: &str) -> Option<Self> {
        let unrecorded = || {
            let one = state.find_unrecorded(serial)?;
            Some(Self {
                serial: one.serial.clone(),
                names: one.names.clone(),
                revoked_at: Some(one.revoked_at),
                recorded: false,
            })
        };
        state.find(serial).map(Self::of).or_else(unrecorded)
    }
}

impl Authority {
    /// Revokes a certificate and writes a new revocation list. Revoking a certificate again is no error
    /// and does not change its revocation time; the list is written again only if it is incomplete or old.
    ///
    /// # Errors
    /// If the certificate was not issued here, or the list cannot be written.
    pub fn revoke(&self, target: &RevokeTarget) -> Result<Revocation, CaError> {
        let now = now();
        let signer = self.signer()?;
        let _lock = self.lock()?;
        let state = self.ledger().read()?;
        let found = self.find(&state, target)?;
        let list = if found.revoked_at.is_none() {
            self.ledger().append(&Event::Revoked {
                serial: found.serial.clone(),
                at: now,
                names: match found.recorded {
                    true => Vec::new(),
                    false => found.names.clone(),
                },
            })?;
            self.write_crl(&signer, now)?
        } else {
            // The list should contain it already: a new one only if it does not, or is old.
            self.freshen_crl(&signer, now)?;
            self.crl()?
        };
        Ok(Revocation {
            revoked_at: found.revoked_at.unwrap_or(now),
            already_revoked: found.revoked_at.is_some(),
            serial: found.serial,
            names: found.names,
            recorded: found.recorded,
            list,
        })
    }

    /// The certificate's data from the ledger, or else from the certificate.
    fn find(&self, state: &State, target: &RevokeTarget) -> Result<Found, CaError> {
        match target {
            RevokeTarget::Serial(text) => {
                let serial = normalized_serial(text)?;
                let found = Found::in_ledger(state, &serial);
                found.ok_or(CaError::UnknownSerial { serial })
            }
            RevokeTarget::LostSerial(text) => {
                let serial = normalized_serial(text)?;
                Ok(Found::in_ledger(state, &serial).unwrap_or(Found {
                    serial,
                    names: Vec::new(),
                    revoked_at: None,
                    recorded: false,
                }))
            }
            RevokeTarget::File(path) => {
                let pem = fs::read(path).map_err(CaError::file("read", path))?;
                let certificate = CertificateDer::from_pem_slice(&pem)
                    .map_err(|_| CaError::malformed(path, "it holds no certificate in PEM form"))?;
                if certificate == *self.certificate() {
                    return Err(CaError::OwnCertificate { path: path.clone() });
                }
                let fingerprint = sha256(&certificate);
                let record = state
                    .issued
                    .iter()
                    .find(|record| record.sha256 == fingerprint);
                if let Some(record) = record {
                    return Ok(Found::of(record));
                }
                let (serial, names) = self
                    .signed_here(&certificate)
                    .ok_or_else(|| CaError::ForeignCertificate { path: path.clone() })?;
                Ok(Found {
                    revoked_at: state.find_unrecorded(&serial).map(|one| one.revoked_at),
                    serial,
                    names,
                    recorded: false,
                })
            }
        }
    }

    /// The serial number and the names of a certificate with this authority's name and signature; `None`
    /// for any other.
    fn signed_here(&self, certificate: &CertificateDer<'_>) -> Option<(String, Vec<String>)> {
        let (_, own) = X509Certificate::from_der(self.certificate()).ok()?;
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        if parsed.issuer().as_raw() != own.subject().as_raw() {
            return None;
        }
        let key = &own.public_key().subject_public_key.data;
        let message = parsed.tbs_certificate.as_ref();
        let made = &parsed.signature_value.data;
        // The signature algorithms of the kinds of keys that an authority can have.
        let algorithms: [&dyn VerificationAlgorithm; 4] = [
            &ECDSA_P256_SHA256_ASN1,
            &ECDSA_P384_SHA384_ASN1,
            &ED25519,
            &RSA_PKCS1_2048_8192_SHA256,
        ];
        algorithms
            .into_iter()
            .any(|algorithm| {
                UnparsedPublicKey::new(algorithm, key)
                    .verify(message, made)
                    .is_ok()
            })
            .then(|| (minimal(&hex(parsed.raw_serial())), names_in(&parsed)))
    }

    /// Writes the revocation list again, valid for another 30 days.
    ///
    /// # Errors
    /// If the authority's key cannot be used or the list cannot be written.
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

    /// Renews the list if half of its validity is over or it is incomplete. Issuing and revoking do this,
    /// too.
    ///
    /// # Errors
    /// If a new list is due, and the authority's key cannot be used or the list cannot be written.
    pub fn keep_crl_fresh(&self) -> Result<RevocationList, CaError> {
        let now = now();
        let list = self.crl()?;
        if list.is_fresh(now) {
            return Ok(list);
        }
        let signer = self.signer()?;
        let _lock = self.lock()?;
        self.freshen_crl(&signer, now)?;
        self.crl()
    }

    /// As [`keep_crl_fresh`](Self::keep_crl_fresh). The caller holds the lock.
    pub(crate) fn freshen_crl(&self, signer: &Signer, now: i64) -> Result<(), CaError> {
        if !self.crl()?.is_fresh(now) {
            self.write_crl(signer, now)?;
        }
        Ok(())
    }

    /// Writes the list of all certificates that the ledger records as revoked. The caller holds the lock.
    pub(crate) fn write_crl(&self, signer: &Signer, now: i64) -> Result<RevocationList, CaError> {
        const DOING: &str = "sign the revocation list";
        let ledger = self.ledger();
        let state = ledger.read()?;
        // If the ledger was replaced by an older one, the list may have the larger number.
        let number_before = number_in(&self.crl_file()).unwrap_or(0);
        let number = state.crl_number.max(number_before).saturating_add(1);
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
        // The number is recorded before the list is written, so that no two lists have the same one.
        ledger.append(&Event::RevocationList {
            number,
            next_update,
        })?;
        let file = self.crl_file();
        files::replace(&file, pem.as_bytes(), Readers::All)?;
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
    let recorded = state
        .issued
        .iter()
        .filter_map(|record| Some((record.serial.as_str(), record.revoked_at?)));
    let unrecorded = state
        .unrecorded
        .iter()
        .map(|one| (one.serial.as_str(), one.revoked_at));
    recorded
        .chain(unrecorded)
        .filter_map(|(serial, at)| {
            Some(RevokedCertParams {
                serial_number: SerialNumber::from(bytes_of_hex(serial)?),
                revocation_time: date!(at),
                reason_code: None,
                invalidity_date: None,
            })
        })
        .collect()
}

/// The names that a certificate was issued for, in the form used in the ledger.
fn names_in(certificate: &X509Certificate<'_>) -> Vec<String> {
    let listed = certificate.subject_alternative_name().ok().flatten();
    let listed = listed.map(|extension| extension.value.general_names.as_slice());
    let mut names: Vec<String> = listed
        .unwrap_or_default()
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) | GeneralName::RFC822Name(text) => Some((*text).to_owned()),
            GeneralName::IPAddress([a, b, c, d]) => {
                Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string())
            }
            GeneralName::IPAddress(octets) => <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().next();
        names.extend(common.and_then(|name| name.as_str().ok().map(str::to_owned)));
    }
    names
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

/// A serial number, in any program's notation, in the form used in the ledger.
fn normalized_serial(text: &str) -> Result<String, CaError> {
    let digits: String = text
        .trim()
        .trim_start_matches("0x")
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
    let digits = minimal(&digits);
    // At most 20 octets (RFC 5280, section 4.1.2.2), and never zero.
    if is_number && digits.len() <= 40 && digits != "00" {
        Ok(digits)
    } else {
        Err(CaError::InvalidSerial {
            text: text.escape_debug().to_string(),
        })
    }
}

/// Whole octets, without leading zeros.
fn minimal(digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    match digits.len() {
        0 => "00".to_owned(),
        count if count % 2 == 1 => format!("0{digits}"),
        _ => digits.to_owned(),
    }
}
