//! The authority: creating it, opening it, and its certificate.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pki_types::pem::PemObject;
use pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use crate::constraints::Constraints;
use crate::error::CaError;
use crate::files::{self, Lock, Readers, Staged};
use crate::key::{self, KeyType, PrivateKey};
use crate::ledger::{IssuedRecord, Ledger, UnrecordedRevocation};
use crate::{BACKDATE_SECS, DAY_SECS, date, hex, names, now, sha256};

/// How long an authority is valid by default: ten years.
///
/// A new authority has to be installed on every machine that trusts the old one; users who put that
/// off turn verification off. The risk of a long lifetime, a stolen key, is limited by the name
/// constraints.
pub const CA_DAYS_DEFAULT: u32 = 3650;

/// Longer than any machine is in use, and still before the year 9999, the last that certificates can
/// express.
const CA_DAYS_MAX: u32 = 36_500;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
const CRL: &str = "crl.pem";
const LEDGER: &str = "ledger.jsonl";
const LOCK: &str = "lock";
const CERTS: &str = "certs";

/// Options for a new authority.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InitOptions {
    /// Its name. Default: `handfast local CA` and the beginning of its key's identifier, so that two
    /// authorities never have the same one.
    pub common_name: Option<String>,
    /// What it may sign for besides local names and private addresses: domains (with everything
    /// below them), addresses, networks in CIDR notation. Default: nothing.
    pub permit: Vec<String>,
    /// Its lifetime in days. Default: [`CA_DAYS_DEFAULT`].
    pub days: u32,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            common_name: None,
            permit: Vec::new(),
            days: CA_DAYS_DEFAULT,
        }
    }
}

/// A certificate authority in its directory.
///
/// Holds the certificate only: the key is read for each signature and wiped after it.
#[derive(Clone, Debug)]
pub struct Authority {
    dir: PathBuf,
    certificate: CertificateDer<'static>,
    common_name: String,
    spki: Vec<u8>,
    not_before: i64,
    not_after: i64,
    constraints: Constraints,
}

impl Authority {
    /// Creates an authority in a directory. The directory is created if it does not exist, accessible
    /// to its owner only.
    ///
    /// # Errors
    /// If there is one already, the directory holds other files, an option is invalid, or the files
    /// cannot be written.
    pub fn init(dir: &Path, options: &InitOptions) -> Result<Self, CaError> {
        match Self::make(dir, options)? {
            (_, false) => Err(CaError::Exists {
                certificate_file: dir.join(CERTIFICATE),
            }),
            (authority, true) => Ok(authority),
        }
    }

    /// Opens the authority of a directory.
    ///
    /// # Errors
    /// If there is none, or its certificate cannot be read, is malformed, is not a CA certificate
    /// or does not constrain names.
    pub fn open(dir: &Path) -> Result<Self, CaError> {
        let path = dir.join(CERTIFICATE);
        let pem = match fs::read(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CaError::Missing {
                    dir: dir.to_owned(),
                });
            }
            Err(error) => return Err(CaError::file("read", &path)(error)),
        };
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|_| CaError::malformed(&path, "it holds no certificate in PEM form"))?;
        Self::from_certificate(dir, certificate)
    }

    /// Opens the authority of a directory, or creates it. Returns whether it was created.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`init`](Self::init), except that an existing authority is no error.
    pub fn open_or_init(dir: &Path, options: &InitOptions) -> Result<(Self, bool), CaError> {
        match Self::open(dir) {
            Err(CaError::Missing { .. }) => Self::make(dir, options),
            opened => opened.map(|authority| (authority, false)),
        }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of its certificate, for clients to trust.
    pub fn certificate_file(&self) -> PathBuf {
        self.dir.join(CERTIFICATE)
    }

    /// The file of its key.
    pub fn key_file(&self) -> PathBuf {
        self.dir.join(KEY)
    }

    /// The file of its revocation list.
    pub fn crl_file(&self) -> PathBuf {
        self.dir.join(CRL)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its name.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The beginning of its validity, in Unix seconds.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The end of its validity, in Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The fingerprint of its certificate: SHA-256, hexadecimal.
    pub fn sha256(&self) -> String {
        sha256(&self.certificate)
    }

    /// What it may sign for.
    pub fn permitted(&self) -> &Constraints {
        &self.constraints
    }

    /// The certificates it issued, in that order, including revoked and expired ones.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn issued(&self) -> Result<Vec<IssuedRecord>, CaError> {
        self.ledger().read().map(|state| state.issued)
    }

    /// Revoked certificates whose issue is not in the ledger, in the order of revocation.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn revoked_unrecorded(&self) -> Result<Vec<UnrecordedRevocation>, CaError> {
        self.ledger().read().map(|state| state.unrecorded)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::at(self.dir.join(LEDGER))
    }

    /// The directory for certificates that are requested without an output directory.
    pub(crate) fn certs_dir(&self) -> PathBuf {
        self.dir.join(CERTS)
    }

    pub(crate) fn lock(&self) -> Result<Lock, CaError> {
        Lock::acquire(&self.dir.join(LOCK))
    }

    /// Reads the key, and checks that it belongs to the certificate and that only its owner can read it.
    pub(crate) fn signer(&self) -> Result<Signer, CaError> {
        let path = self.key_file();
        let key = read_key(&path)?;
        if key.subject_public_key_info() != self.spki {
            return Err(CaError::KeyMismatch { path });
        }
        Signer::new(&self.certificate, key)
    }

    /// Creates the authority unless there is one, and returns whether it did.
    fn make(dir: &Path, options: &InitOptions) -> Result<(Self, bool), CaError> {
        if !(1..=CA_DAYS_MAX).contains(&options.days) {
            return Err(CaError::InvalidDays {
                days: options.days,
                days_max: CA_DAYS_MAX,
            });
        }
        let constraints = Constraints::local_and(&options.permit)?;
        if let Some(name) = &options.common_name {
            check_common_name(name)?;
        }

        if dir.join(CERTIFICATE).exists() {
            return Self::open(dir).map(|authority| (authority, false));
        }
        let dir = std::path::absolute(dir).map_err(CaError::file("find", dir))?;
        files::create_private_dir(&dir)?;
        require_only_ours(&dir)?;
        files::make_private(&dir)?;
        let _lock = Lock::acquire(&dir.join(LOCK))?;
        if dir.join(CERTIFICATE).exists() {
            // Another process has created it in the meantime.
            return Self::open(&dir).map(|authority| (authority, false));
        }

        let key_path = dir.join(KEY);
        let key = if key_path.exists() {
            // An earlier attempt ended between the two files. A key is never deleted.
            read_key(&key_path)?
        } else {
            let key = KeyType::EcdsaP256.generate()?;
            let pem = key.to_pem(None)?;
            Staged::write(&key_path, pem.as_bytes(), Readers::Owner)?.publish(false)?;
            files::require_private(&key_path)?;
            key
        };
        let certificate = certify_self(options, &constraints, &key)?;
        let authority = Self::from_certificate(&dir, certificate.der().clone())?;
        // The list first: the authority exists as soon as its certificate does.
        authority.write_crl(&Signer::new(&authority.certificate, key)?, now())?;
        let pem = certificate.pem();
        Staged::write(&dir.join(CERTIFICATE), pem.as_bytes(), Readers::All)?.publish(false)?;
        Ok((authority, true))
    }

    fn from_certificate(dir: &Path, certificate: CertificateDer<'static>) -> Result<Self, CaError> {
        let dir = std::path::absolute(dir).map_err(CaError::file("find", dir))?;
        let malformed = |problem| CaError::malformed(&dir.join(CERTIFICATE), problem);
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| malformed("the certificate is malformed"))?;
        if !parsed.is_ca() {
            return Err(malformed("the certificate is not a CA certificate"));
        }
        let constraints = parsed
            .name_constraints()
            .ok()
            .flatten()
            .filter(|extension| extension.critical)
            .and_then(|extension| Constraints::from_certificate(extension.value))
            .ok_or_else(|| {
                malformed("it has no critical name constraints for all names and addresses, so it is not for local use")
            })?;
        let common_name = parsed
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or("(no name)")
            .to_owned();
        let authority = Self {
            common_name,
            spki: parsed.public_key().raw.to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            constraints,
            certificate: certificate.clone(),
            dir,
        };
        Ok(authority)
    }
}

/// The authority's key, ready to sign; wiped when dropped.
pub(crate) struct Signer {
    issuer: Issuer<'static, PrivateKey>,
}

impl Signer {
    fn new(certificate: &CertificateDer<'_>, key: PrivateKey) -> Result<Self, CaError> {
        let issuer = Issuer::from_ca_cert_der(certificate, key)
            .map_err(CaError::crypto("use the authority's key"))?;
        Ok(Self { issuer })
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, PrivateKey> {
        &self.issuer
    }
}

fn read_key(path: &Path) -> Result<PrivateKey, CaError> {
    files::require_private(path)?;
    let pem = fs::read(path)
        .map(Zeroizing::new)
        .map_err(CaError::file("read", path))?;
    let mut der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(|_| CaError::malformed(path, "it holds no private key (PKCS#8, PEM)"))?;
    let key = PrivateKey::from_pkcs8(&der)
        .map_err(|_| CaError::malformed(path, "the private key is malformed"));
    der.zeroize();
    key
}

/// 126 random bits, positive, without leading zero octets, so all serial numbers have the same length.
pub(crate) fn random_serial() -> Result<[u8; 16], CaError> {
    let mut serial = key::random::<16>()?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(serial)
}

fn certify_self(
    options: &InitOptions,
    constraints: &Constraints,
    key: &PrivateKey,
) -> Result<rcgen::Certificate, CaError> {
    let mut params = CertificateParams::default();
    let identifier = hex(&params.key_identifier(key));
    let common_name = options.common_name.clone().unwrap_or_else(|| {
        format!(
            "handfast local CA {}",
            identifier.get(..8).unwrap_or(&identifier)
        )
    });
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    let not_before = now() - BACKDATE_SECS;
    // `notAfter` is inclusive (RFC 5280, section 4.1.2.5).
    let not_after = not_before + i64::from(options.days) * DAY_SECS - 1;

    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    params.not_before = date!(not_before);
    params.not_after = date!(not_after);
    // It issues end-entity certificates only, no intermediates.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // For TLS only: OpenSSL, NSS and Windows apply an issuer's extended key usage to what it issued,
    // so mail and code cannot be signed under this authority.
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![constraints.to_extension()];
    params
        .self_signed(key)
        .map_err(CaError::crypto("sign the authority's certificate"))
}

fn check_common_name(name: &str) -> Result<(), CaError> {
    let problem = if name.trim().is_empty() {
        "it is empty"
    } else if name.chars().count() > names::COMMON_NAME_CHARS_MAX {
        "it has more than 64 characters"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(CaError::InvalidName {
        text: name.escape_debug().to_string(),
        problem,
    })
}

/// Refuses a directory that holds other files, because its mode is about to be changed to 0700.
fn require_only_ours(dir: &Path) -> Result<(), CaError> {
    // An empty volume contains `lost+found`.
    const OURS: [&str; 6] = [KEY, CRL, LEDGER, LOCK, CERTS, "lost+found"];
    for entry in fs::read_dir(dir).map_err(CaError::file("read", dir))? {
        let name = entry.map_err(CaError::file("read", dir))?.file_name();
        let is_unfinished = name
            .to_str()
            .is_some_and(|name| name.starts_with(files::UNFINISHED_PREFIX));
        // The certificate may just have been written by another process.
        let is_ours = OURS
            .iter()
            .chain(&[CERTIFICATE])
            .any(|ours| name == OsStr::new(ours));
        if !is_ours && !is_unfinished {
            return Err(CaError::DirectoryInUse {
                dir: dir.to_owned(),
                found: name.to_string_lossy().escape_debug().to_string(),
            });
        }
    }
    Ok(())
}
