//! Issuing: from a request to two files and a line in the ledger.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType, SerialNumber,
};
use zeroize::Zeroizing;

use crate::authority::{Authority, Signer, random_serial};
use crate::constraints::Constraints;
use crate::error::CaError;
use crate::files::{self, Readers, Staged};
use crate::key::{KeyType, PrivateKey};
use crate::ledger::{Event, IssuedRecord};
use crate::names::{COMMON_NAME_CHARS_MAX, Name};
use crate::{BACKDATE_SECS, DAY_SECS, date, hex, now, sha256};

/// How long a certificate is valid by default: a year and a month to renew it, within the 398 days
/// that browsers allow for public certificates.
pub const DAYS_DEFAULT: u32 = 397;

/// The longest lifetime: Apple's systems refuse server certificates of private authorities that are
/// valid for longer.
pub const DAYS_MAX: u32 = 825;

/// The organization in every subject, so that no subject is empty.
const ORGANIZATION: &str = "handfast local certificate";

/// A certificate to be issued.
///
/// ```
/// use handfast_ca::{IssueRequest, KeyType};
///
/// let mut request = IssueRequest::server(["db.internal", "10.0.0.7"]);
/// request.key_type = KeyType::Rsa3072;
/// request.days = 90;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct IssueRequest {
    /// The names to certify: host names, also with wildcards or internationalized, and IP addresses. For
    /// a client also, at most once, its owner: a user name, a full name or a mail address, which becomes
    /// the common name.
    pub names: Vec<String>,
    /// For a client rather than a server.
    pub client: bool,
    /// Its lifetime in days, 1 to [`DAYS_MAX`]. Default: [`DAYS_DEFAULT`]. It never ends after the
    /// authority's.
    pub days: u32,
    /// The directory for the files, which are named after the first name. Default: the authority's own
    /// directory for certificates, where the file names contain the serial number, too.
    pub out: Option<PathBuf>,
    /// The kind of key. Default: ECDSA on P-256.
    pub key_type: KeyType,
    /// Encrypts the key file. Default: not encrypted, protected by its mode only.
    pub passphrase: Option<Zeroizing<String>>,
    /// Replaces files of the same names. Default: `false`, which refuses.
    pub overwrite: bool,
}

impl IssueRequest {
    /// A server certificate for these names, with defaults for everything else.
    pub fn server<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            client: false,
            days: DAYS_DEFAULT,
            out: None,
            key_type: KeyType::default(),
            passphrase: None,
            overwrite: false,
        }
    }

    /// A client certificate for these names, with defaults for everything else.
    pub fn client<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self {
            client: true,
            ..Self::server(names)
        }
    }

    /// Checks whether an authority with these constraints would issue it, without reading the clock or
    /// a file.
    ///
    /// # Errors
    /// Those of [`Authority::issue`] about names, days and the passphrase.
    pub fn check(&self, constraints: &Constraints) -> Result<(), CaError> {
        for name in &self.read_names()? {
            constraints.check(name)?;
        }
        if !(1..=DAYS_MAX).contains(&self.days) {
            return Err(CaError::InvalidDays {
                days: self.days,
                days_max: DAYS_MAX,
            });
        }
        if self.passphrase.as_ref().is_some_and(|text| text.is_empty()) {
            return Err(CaError::EmptyPassphrase);
        }
        Ok(())
    }

    /// The names as they will appear in the certificate, without duplicates.
    fn read_names(&self) -> Result<Vec<Name>, CaError> {
        let mut names: Vec<Name> = Vec::with_capacity(self.names.len());
        for text in &self.names {
            let name = if self.client {
                Name::client(text)?
            } else {
                Name::server(text)?
            };
            if names.contains(&name) {
                continue;
            }
            if let Name::Person(second) = &name
                && let Some(first) = names.iter().find(|one| matches!(one, Name::Person(_)))
            {
                return Err(CaError::SeveralSubjects {
                    first: first.to_string(),
                    second: second.clone(),
                });
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(CaError::NoName);
        }
        Ok(names)
    }
}

/// Never the passphrase.
impl std::fmt::Debug for IssueRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssueRequest")
            .field("names", &self.names)
            .field("client", &self.client)
            .field("days", &self.days)
            .field("out", &self.out)
            .field("key_type", &self.key_type)
            .field("encrypted", &self.passphrase.is_some())
            .field("overwrite", &self.overwrite)
            .finish()
    }
}

/// A certificate that was issued, with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The end-entity certificate, PEM. Without the authority's: it is a trust anchor, and sending it to
    /// peers that do not trust it is useless.
    pub chain_file: PathBuf,
    /// Its private key, PKCS#8 in PEM.
    pub key_file: PathBuf,
    /// The serial number, 32 hexadecimal digits.
    pub serial: String,
    /// The names in the certificate.
    pub names: Vec<String>,
    /// The beginning of its validity, in Unix seconds.
    pub not_before: i64,
    /// The end of its validity, in Unix seconds.
    pub not_after: i64,
    /// Its fingerprint: SHA-256, hexadecimal.
    pub sha256: String,
    /// Whether it ends earlier than requested, because the authority does.
    pub shortened: bool,
}

impl Issued {
    fn from_record(record: IssuedRecord, shortened: bool) -> Self {
        Self {
            chain_file: record.chain_file,
            key_file: record.key_file,
            serial: record.serial,
            names: record.names,
            not_before: record.not_before,
            not_after: record.not_after,
            sha256: record.sha256,
            shortened,
        }
    }
}

impl Authority {
    /// Issues a certificate: makes a key, signs, records it, writes both files.
    ///
    /// The files get their names only when complete, and only after the certificate is in the ledger,
    /// so that every certificate that exists can be revoked.
    ///
    /// # Errors
    /// If a name is invalid or not permitted (checked before anything is signed), a file exists already,
    /// the authority has expired, or its key cannot be used.
    pub fn issue(&self, request: &IssueRequest) -> Result<Issued, CaError> {
        self.issue_at(request, now())
    }

    /// Returns the latest certificate in the authority's directory for exactly these names, purpose and
    /// kind of key, if it is valid and at least a third of its lifetime remains; otherwise issues one.
    /// Returns also whether it was issued.
    ///
    /// Only for requests without `out` and `passphrase`; for any other, a certificate is issued.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_or_reuse(&self, request: &IssueRequest) -> Result<(Issued, bool), CaError> {
        self.issue_or_reuse_at(request, now())
    }

    fn issue_or_reuse_at(
        &self,
        request: &IssueRequest,
        now: i64,
    ) -> Result<(Issued, bool), CaError> {
        if request.out.is_none() && request.passphrase.is_none() {
            let names = request.read_names()?;
            let wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
            let certs = self.certs_dir();
            let usable = self.issued()?.into_iter().rev().find(|record| {
                record.revoked_at.is_none()
                    && record.client == request.client
                    && record.key_type == request.key_type
                    && record.names == wanted
                    // Not yet valid: issued while this machine's clock was ahead.
                    && record.not_before <= now
                    && (record.not_after - now) * 3 >= record.not_after - record.not_before
                    && record.chain_file.starts_with(&certs)
                    && record.chain_file.is_file()
                    && record.key_file.is_file()
            });
            if let Some(record) = usable {
                return Ok((Issued::from_record(record, false), false));
            }
        }
        self.issue_at(request, now).map(|issued| (issued, true))
    }

    fn issue_at(&self, request: &IssueRequest, now: i64) -> Result<Issued, CaError> {
        request.check(self.permitted())?;
        let names = request.read_names()?;
        if now > self.not_after() {
            return Err(CaError::Expired {
                not_after: self.not_after(),
            });
        }
        let serial = random_serial()?;
        let (chain_file, key_file) = self.output_files(request, &names, &serial)?;
        let signer = self.signer()?;

        let not_before = (now - BACKDATE_SECS).max(self.not_before());
        let wanted_end = not_before + i64::from(request.days) * DAY_SECS - 1;
        let not_after = wanted_end.min(self.not_after());
        let key = request.key_type.generate()?;
        let certificate = certify(
            request,
            &names,
            &serial,
            (not_before, not_after),
            &key,
            &signer,
        )?;
        let key_pem = key.to_pem(request.passphrase.as_ref())?;

        // Missing space or permissions cause a failure here, before anything is recorded.
        let staged_key = Staged::write(&key_file, key_pem.as_bytes(), Readers::Owner)?;
        let staged_chain = Staged::write(&chain_file, certificate.pem().as_bytes(), Readers::All)?;

        let record = IssuedRecord {
            serial: hex(&serial),
            names: names.iter().map(ToString::to_string).collect(),
            client: request.client,
            key_type: request.key_type,
            issued_at: now,
            not_before,
            not_after,
            sha256: sha256(certificate.der()),
            chain_file,
            key_file,
            revoked_at: None,
        };
        let lock = self.lock()?;
        self.ledger().append(&Event::Issued(record.clone()))?;
        self.freshen_crl(&signer, now)?;
        drop(lock);

        staged_key.publish(request.overwrite)?;
        if let Err(error) = staged_chain.publish(request.overwrite) {
            if !request.overwrite {
                // Written above, and useless without the certificate.
                let _ = fs::remove_file(&record.key_file);
            }
            return Err(error);
        }
        Ok(Issued::from_record(record, not_after < wanted_end))
    }

    /// The paths for the certificate and the key: not existing, or allowed to be replaced.
    fn output_files(
        &self,
        request: &IssueRequest,
        names: &[Name],
        serial: &[u8],
    ) -> Result<(PathBuf, PathBuf), CaError> {
        let stem = names.first().map(Name::file_stem).unwrap_or_default();
        let (dir, stem) = match &request.out {
            None => {
                let dir = self.certs_dir();
                files::create_private_dir(&dir)?;
                (dir, format!("{stem}-{}", hex(serial)))
            }
            Some(out) => {
                fs::create_dir_all(out).map_err(CaError::file("create", out))?;
                let out = std::path::absolute(out).map_err(CaError::file("find", out))?;
                if is_same_dir(&out, self.dir()) {
                    // A host named `ca` would replace the authority.
                    return Err(CaError::OutputIsAuthority { dir: out });
                }
                (out, stem)
            }
        };
        let chain_file = dir.join(format!("{stem}.pem"));
        let key_file = dir.join(format!("{stem}.key"));
        if !request.overwrite {
            for path in [&key_file, &chain_file] {
                if path.symlink_metadata().is_ok() {
                    return Err(CaError::FileExists { path: path.clone() });
                }
            }
        }
        Ok((chain_file, key_file))
    }
}

fn is_same_dir(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn certify(
    request: &IssueRequest,
    names: &[Name],
    serial: &[u8],
    (not_before, not_after): (i64, i64),
    key: &PrivateKey,
    signer: &Signer,
) -> Result<rcgen::Certificate, CaError> {
    const DOING: &str = "sign the certificate";
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(names);
    for name in names {
        params.subject_alt_names.push(match name {
            Name::Dns(name) => {
                SanType::DnsName(name.as_str().try_into().map_err(CaError::crypto(DOING))?)
            }
            Name::Ip(address) => SanType::IpAddress(*address),
            Name::Person(_) => continue,
        });
    }
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.not_before = date!(not_before);
    params.not_after = date!(not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![if request.client {
        ExtendedKeyUsagePurpose::ClientAuth
    } else {
        ExtendedKeyUsagePurpose::ServerAuth
    }];
    if request.key_type.is_rsa() && !request.client {
        // The RSA key exchange of TLS 1.2, for other servers that still need it.
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params
        .signed_by(key, signer.issuer())
        .map_err(CaError::crypto(DOING))
}

/// The common name is for users who look at lists of certificates, and for servers that identify
/// clients by it.
fn subject(names: &[Name]) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, ORGANIZATION);
    let person = names.iter().find(|name| matches!(name, Name::Person(_)));
    // Never an address: OpenSSL takes an address in the common name for a host name and applies the
    // DNS constraints to it if there is no other host name.
    let host = || names.iter().find(|name| matches!(name, Name::Dns(_)));
    let common_name = person
        .or_else(host)
        .map(ToString::to_string)
        .filter(|name| name.chars().count() <= COMMON_NAME_CHARS_MAX);
    if let Some(common_name) = common_name {
        subject.push(DnType::CommonName, common_name);
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InitOptions;

    fn authority() -> (tempfile::TempDir, Authority) {
        let temp = tempfile::tempdir().unwrap();
        let authority = Authority::init(&temp.path().join("ca"), &InitOptions::default()).unwrap();
        (temp, authority)
    }

    #[test]
    fn in_its_last_third_a_certificate_is_replaced() {
        let (_temp, authority) = authority();
        let request = IssueRequest::server(["localhost"]);
        let start = now();
        let (first, _) = authority.issue_or_reuse_at(&request, start).unwrap();
        for (day, reused) in [(1, true), (264, true), (265, false)] {
            let then = start + day * DAY_SECS;
            let (issued, made) = authority.issue_or_reuse_at(&request, then).unwrap();
            assert_eq!(issued.serial == first.serial, reused, "day {day}");
            assert_eq!(made, !reused, "day {day}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_not_reused() {
        let (_temp, authority) = authority();
        let request = IssueRequest::server(["localhost"]);
        let start = now();
        // The clock was three days ahead, and was then corrected.
        let ahead = start + 3 * DAY_SECS;
        let (early, _) = authority.issue_or_reuse_at(&request, ahead).unwrap();
        let (issued, made) = authority.issue_or_reuse_at(&request, start).unwrap();
        assert!(made && issued.serial != early.serial);
        assert!(issued.not_before <= start);
        let (again, made) = authority.issue_or_reuse_at(&request, start).unwrap();
        assert!(!made && again.serial == issued.serial);
        // It is reused from its first second on.
        let (later, made) = authority
            .issue_or_reuse_at(&request, early.not_before)
            .unwrap();
        assert!(!made, "{later:?}");
    }

    #[test]
    fn an_expired_authority_issues_nothing() {
        let (_temp, authority) = authority();
        let request = IssueRequest::server(["localhost"]);
        let last = authority.issue_at(&request, authority.not_after()).unwrap();
        assert_eq!(last.not_after, authority.not_after());
        let late = authority.issue_at(&request, authority.not_after() + 1);
        assert!(matches!(late, Err(CaError::Expired { .. })), "{late:?}");
    }

    #[test]
    fn issuing_renews_an_old_revocation_list() {
        let (_temp, authority) = authority();
        let request = IssueRequest::server(["localhost"]);
        let start = now();
        for (day, number) in [(0, 1), (14, 1), (16, 2), (17, 2), (100, 3)] {
            authority
                .issue_at(&request, start + day * DAY_SECS)
                .unwrap();
            assert_eq!(authority.crl().unwrap().number, number, "day {day}");
        }
    }
}
