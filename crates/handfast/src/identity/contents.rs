//! The contents of a file: certificates, keys, and other things that users mistake for them.
//!
//! Owns reading and sorting. It does not decide which part belongs where, and decrypts nothing on its
//! own.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::der::{self, Kind};
use super::error::{IdentityError, IdentityPart, IdentityProblem};
use super::key::Key;
use super::passphrase::Passphrase;
#[cfg(feature = "pkcs12")]
use super::pkcs12;
use crate::certificates::before_settings;
use crate::{pem, pkcs7};

/// Far more than the longest chain with the largest keys; a mistyped path may name a huge file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The bytes, wiped because they may be a key, and where they come from.
pub(super) struct Input {
    pub(super) part: IdentityPart,
    pub(super) path: Option<PathBuf>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// The contents of one input.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Whether the certificates come from a format without order.
    pub(super) is_unordered: bool,
    pub(super) keys: Vec<Key>,
    others: Vec<Other>,
    pkcs12: Option<Zeroizing<Vec<u8>>>,
}

/// Something that is neither a certificate nor a private key.
struct Other {
    kind: Option<Kind>,
    text: String,
}

impl Input {
    /// Bytes from the caller.
    pub(super) fn from_bytes(part: IdentityPart, bytes: &[u8]) -> Self {
        Self {
            part,
            path: None,
            bytes: Zeroizing::new(bytes.to_vec()),
        }
    }

    pub(super) fn read(part: IdentityPart, path: &Path) -> Result<Self, IdentityError> {
        let fail = |problem| IdentityError {
            part,
            path: Some(path.to_owned()),
            problem,
        };
        match read_bounded(path) {
            Ok(bytes) if bytes.len() as u64 > FILE_BYTES_MAX => {
                Err(fail(IdentityProblem::TooLarge {
                    bytes_max: FILE_BYTES_MAX,
                }))
            }
            Ok(bytes) => Ok(Self {
                part,
                path: Some(path.to_owned()),
                bytes,
            }),
            Err(error) => Err(fail(IdentityProblem::Unreadable(error))),
        }
    }

    /// Makes the problem an error of this input.
    pub(super) fn error(&self, problem: IdentityProblem) -> IdentityError {
        IdentityError {
            part: self.part,
            path: self.path.clone(),
            problem,
        }
    }

    /// Parses it, PEM or DER.
    pub(super) fn contents(&self) -> Result<Contents, IdentityError> {
        sort(&self.bytes).map_err(|problem| self.error(problem))
    }
}

/// Reads into one allocation, so that no partial copy of a key is left in memory.
fn read_bounded(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let expected = file.metadata()?.len().clamp(64 * 1024, FILE_BYTES_MAX);
    let capacity = usize::try_from(expected).unwrap_or(64 * 1024);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity.saturating_add(64)));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sort(bytes: &[u8]) -> Result<Contents, IdentityProblem> {
    let mut contents = Contents::default();
    if bytes.trim_ascii().is_empty() {
        return Err(IdentityProblem::Empty);
    }
    if let Some(kind) = der::recognise(bytes) {
        contents.add(kind, bytes);
        return Ok(contents);
    }
    let sections = pem::sections(bytes);
    if sections.is_empty() {
        return Err(unrecognised(bytes));
    }
    for section in sections {
        contents.add_section(section.map_err(|broken| IdentityProblem::MalformedPem {
            line: broken.line,
            detail: broken.detail,
        })?)?;
    }
    Ok(contents)
}

impl Contents {
    fn add(&mut self, kind: Kind, bytes: &[u8]) {
        match kind {
            Kind::Certificate => self.certificates.push(bytes.to_vec().into()),
            Kind::Pkcs1 | Kind::Sec1 | Kind::Pkcs8 | Kind::EncryptedPkcs8 | Kind::DsaKey => {
                self.keys
                    .push(Key::plain(kind, Zeroizing::new(bytes.to_vec())));
            }
            Kind::Pkcs12 => self.pkcs12 = Some(Zeroizing::new(bytes.to_vec())),
            Kind::Pkcs7 if self.add_bundle(bytes) => {}
            Kind::Request
            | Kind::RevocationList
            | Kind::PublicKey
            | Kind::Pkcs7
            | Kind::Parameters => self.others.push(Other {
                kind: Some(kind),
                text: kind.describe().to_owned(),
            }),
        }
    }

    /// Adds the certificates of a PKCS#7 bundle, which has no order. Returns whether it is one.
    fn add_bundle(&mut self, der: &[u8]) -> bool {
        let Some(bundled) = pkcs7::certificates(der) else {
            return false;
        };
        self.is_unordered = true;
        self.certificates.extend(bundled);
        true
    }

    fn add_section(&mut self, section: pem::Section) -> Result<(), IdentityProblem> {
        let label = section.label.as_str();
        let kind = match label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => {
                if self.add_bundle(&section.body) {
                    return Ok(());
                }
                if label.contains("CERTIFICATE") {
                    self.certificates.push(section.body.to_vec().into());
                    return Ok(());
                }
                Some(Kind::Pkcs7)
            }
            "TRUSTED CERTIFICATE" => {
                let certificate = before_settings(&section.body);
                self.certificates.push(certificate.to_vec().into());
                return Ok(());
            }
            "PRIVATE KEY"
            | "ENCRYPTED PRIVATE KEY"
            | "RSA PRIVATE KEY"
            | "EC PRIVATE KEY"
            | "DSA PRIVATE KEY" => return self.add_key_section(section),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(Kind::PublicKey),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(Kind::Request),
            "X509 CRL" => Some(Kind::RevocationList),
            _ if label.ends_with(" PARAMETERS") => Some(Kind::Parameters),
            _ => None,
        };
        let text = match kind {
            Some(Kind::Parameters) | None => format!("a PEM section {label}"),
            Some(kind) => kind.describe().to_owned(),
        };
        self.others.push(Other { kind, text });
        Ok(())
    }

    fn add_key_section(&mut self, section: pem::Section) -> Result<(), IdentityProblem> {
        let (kind, legacy_encryption) = if section.is_encrypted {
            // Its kind is known when it is decrypted.
            (Kind::EncryptedPkcs8, Some(section.dek_info))
        } else {
            match der::recognise(&section.body) {
                Some(
                    kind @ (Kind::Pkcs1
                    | Kind::Sec1
                    | Kind::Pkcs8
                    | Kind::EncryptedPkcs8
                    | Kind::DsaKey),
                ) => (kind, None),
                other => {
                    let detail = other.map_or_else(
                        || der::complaint(&section.body).to_owned(),
                        |kind| format!("it is {}", kind.describe()),
                    );
                    return Err(IdentityProblem::MalformedDer {
                        what: format!("the {} of line {}", section.label, section.line),
                        detail,
                    });
                }
            }
        };
        self.keys
            .push(Key::of_pem(kind, section.body, legacy_encryption));
        Ok(())
    }

    /// Decrypts a PKCS#12 file, if this is one, and adds its certificates and keys.
    pub(super) fn open(
        &mut self,
        path: Option<&Path>,
        passphrase: &mut Passphrase,
    ) -> Result<(), IdentityProblem> {
        let Some(der) = self.pkcs12.take() else {
            return Ok(());
        };
        #[cfg(feature = "pkcs12")]
        {
            let opened = pkcs12::open(&der, path, passphrase)?;
            self.is_unordered = true;
            self.certificates = opened.certificates;
            self.keys = opened.keys;
            Ok(())
        }
        #[cfg(not(feature = "pkcs12"))]
        {
            let _ = (der, path, passphrase);
            Err(IdentityProblem::FormatLeftOut {
                format: "a PKCS#12 file",
                feature: "pkcs12",
            })
        }
    }

    pub(super) fn is_pkcs12(&self) -> bool {
        self.pkcs12.is_some()
    }

    /// The error if a required certificate or key is missing.
    pub(super) fn lacks(&self, part: IdentityPart) -> IdentityProblem {
        let other = |kind| self.others.iter().find(|other| other.kind == Some(kind));
        if other(Kind::Request).is_some() {
            IdentityProblem::RequestGiven
        } else if other(Kind::PublicKey).is_some() && self.keys.is_empty() {
            IdentityProblem::PublicKeyGiven
        } else if let Some(parameters) = other(Kind::Parameters)
            && self.keys.is_empty()
            && self.certificates.is_empty()
        {
            IdentityProblem::ParametersOnly {
                found: parameters.text.clone(),
            }
        } else if part == IdentityPart::Key {
            IdentityProblem::NoKey {
                found: self.describe(),
            }
        } else {
            IdentityProblem::NoCertificate {
                found: self.describe(),
            }
        }
    }

    /// A description for messages.
    pub(super) fn describe(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self.certificates.len() {
            0 => {}
            1 => found.push("a certificate".to_owned()),
            count => found.push(format!("{count} certificates")),
        }
        found.extend(self.keys.iter().map(|key| key.describe().to_owned()));
        if self.is_pkcs12() {
            found.push(Kind::Pkcs12.describe().to_owned());
        }
        found.extend(self.others.iter().map(|other| other.text.clone()));
        found.dedup();
        found.truncate(5);
        found
    }
}

fn unrecognised(bytes: &[u8]) -> IdentityProblem {
    if der::is_indefinite(bytes) {
        return IdentityProblem::IndefiniteLengths;
    }
    if bytes.first() == Some(&0x30) {
        return IdentityProblem::MalformedDer {
            what: "the DER".to_owned(),
            detail: der::complaint(bytes).to_owned(),
        };
    }
    let found = if let Some(found) = pem::near_miss(bytes) {
        found
    } else if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        "UTF-16 text without a PEM section".to_owned()
    } else if bytes.starts_with(b"ssh-") || bytes.starts_with(b"ecdsa-sha2-") {
        "an SSH public key".to_owned()
    } else if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')) {
        "text without a PEM section".to_owned()
    } else {
        "bytes of an unknown format".to_owned()
    };
    IdentityProblem::Unrecognised { found }
}
