//! Where trust came from, and what could not be taken from there: typed, each with its reason.
//!
//! Nothing in a trust file is dropped silently. A file that is wrong as a whole is a [`TrustError`]; a
//! certificate that is no anchor is an [`AnchorProblem`] of its source.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use crate::x509::RSA_BITS;

/// One certificate, or one file, among the trusted ones that is no trust anchor, or none that can
/// vouch for anybody. `Display` is a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnchorProblem {
    /// The file that it is in, where it came from a file.
    pub path: Option<PathBuf>,
    /// Which of the file's certificates it is, from 0; `None` when it is about the file as a whole.
    pub index: Option<usize>,
    /// Line of the file at which it begins, from 1, where the file has lines.
    pub line: Option<usize>,
    /// Whose certificate it is, escaped; empty where it cannot be read.
    pub subject: String,
    /// What is wrong.
    pub kind: AnchorProblemKind,
}

impl fmt::Display for AnchorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Vec::new();
        if let Some(path) = &self.path {
            place.push(crate::x509::escape_control(&path.display().to_string()).into_owned());
        }
        if let Some(line) = self.line {
            place.push(format!("line {line}"));
        }
        if let Some(index) = self.index {
            place.push(format!("certificate {}", index.saturating_add(1)));
        }
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        self.kind.fmt(f)
    }
}

/// Why something among the trusted certificates is no trust anchor. `Display` is the reason, and what
/// remains.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorProblemKind {
    /// A file or directory cannot be read.
    Unreadable {
        /// What the operating system said.
        detail: String,
    },
    /// PEM that cannot be decoded.
    Pem {
        /// What is wrong.
        detail: String,
    },
    /// A certificate that cannot be read.
    Malformed {
        /// What the parser stumbled over.
        detail: String,
    },
    /// OpenSSL's `TRUSTED CERTIFICATE`, whose additional settings only OpenSSL reads.
    OpensslTrustedCertificate,
    /// X.509 version 1 or 2, which has no place to say that this is an authority.
    OldVersion {
        /// The version, as people count it.
        version: u32,
        /// Whether it issued itself: then it is an anchor when it is named, and only the platform's store
        /// does not make it one.
        is_root: bool,
    },
    /// Basic constraints say that this is no authority. It is trusted as itself.
    NotAnAuthority,
    /// Version 3 without basic constraints. It is trusted as itself.
    NoBasicConstraints {
        /// As for an old version.
        is_root: bool,
    },
    /// An authority whose key usage leaves out the signing of certificates.
    NoCertificateSigning {
        /// The uses that it has.
        presented: Vec<&'static str>,
    },
    /// An authority with a critical extension that is not processed: what it limits is not known.
    UnknownCriticalExtension {
        /// The extension's identifier, dotted.
        oid: String,
    },
    /// An authority whose key cannot verify a signature here.
    UnusableKey {
        /// The kind of key.
        algorithm: String,
        /// Its size, where that is what is wrong.
        bits: Option<u32>,
    },
}

impl AnchorProblemKind {
    /// A stable name: part of the interface, for scripts. It is not the id of a failure.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Pem { .. } => "malformed-pem",
            Self::Malformed { .. } => "malformed-certificate",
            Self::OpensslTrustedCertificate => "openssl-trusted-certificate",
            Self::OldVersion { .. } => "old-version",
            Self::NotAnAuthority => "not-an-authority",
            Self::NoBasicConstraints { .. } => "no-basic-constraints",
            Self::NoCertificateSigning { .. } => "no-certificate-signing",
            Self::UnknownCriticalExtension { .. } => "unknown-critical-extension",
            Self::UnusableKey { .. } => "unusable-key",
        }
    }

    /// Whether the certificate is trusted as itself all the same: a peer that presents it is believed.
    pub fn is_trusted_as_itself(&self) -> bool {
        matches!(
            self,
            Self::NotAnAuthority
                | Self::NoBasicConstraints { .. }
                | Self::NoCertificateSigning { .. }
                | Self::UnknownCriticalExtension { .. }
                | Self::UnusableKey { .. }
        )
    }
}

impl fmt::Display for AnchorProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { detail } => write!(f, "it cannot be read: {detail}"),
            Self::Pem { detail } => write!(f, "its PEM cannot be decoded: {detail}"),
            Self::Malformed { detail } => write!(f, "the certificate cannot be read: {detail}"),
            Self::OpensslTrustedCertificate => f.write_str(
                "it is OpenSSL's TRUSTED CERTIFICATE, with settings that only OpenSSL reads",
            ),
            Self::OldVersion {
                version,
                is_root: true,
            } => write!(
                f,
                "it is of X.509 version {version}, which is taken as a root only from a file that is named"
            ),
            Self::OldVersion {
                version,
                is_root: false,
            } => write!(
                f,
                "it is of X.509 version {version} and not self-signed, so it cannot be a root"
            ),
            Self::NotAnAuthority => {
                f.write_str("it is not a CA (CA:FALSE): trusted only as itself")
            }
            Self::NoBasicConstraints { is_root: true } => f.write_str(
                "it has no basic constraints, and is taken as a root only from a file that is named: \
                 trusted only as itself",
            ),
            Self::NoBasicConstraints { is_root: false } => f.write_str(
                "it has no basic constraints, and is a server's or client's certificate: trusted \
                 only as itself",
            ),
            Self::NoCertificateSigning { presented } => write!(
                f,
                "its key usage ({}) lacks keyCertSign: no certificate that it signed is accepted",
                match presented.is_empty() {
                    true => "empty".to_owned(),
                    false => presented.join(", "),
                }
            ),
            Self::UnknownCriticalExtension { oid } => write!(
                f,
                "its critical extension {oid} is not supported: no certificate that it signed is \
                 accepted"
            ),
            Self::UnusableKey {
                algorithm,
                bits: Some(bits),
            } => write!(
                f,
                "its {algorithm} key has {bits} bits, {} to {} are supported",
                RSA_BITS.start(),
                RSA_BITS.end()
            ),
            Self::UnusableKey {
                algorithm,
                bits: None,
            } => write!(f, "its key is of a type that is not supported: {algorithm}"),
        }
    }
}

/// One place that trust came from. `Display` is a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustSource {
    /// The place.
    pub origin: TrustOrigin,
    /// Authorities found there: trust anchors.
    pub authorities: usize,
    /// Certificates found there that cannot issue for others: each is trusted only as itself.
    pub end_entities: usize,
    /// What is no anchor there, or none that can vouch for anybody, and why: nothing is dropped silently.
    pub problems: Vec<AnchorProblem>,
}

impl fmt::Display for TrustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            TrustOrigin::Platform => f.write_str("the platform's store")?,
            TrustOrigin::File(path) => write!(f, "file {}", path.display())?,
            TrustOrigin::Directory(path) => write!(f, "directory {}", path.display())?,
            TrustOrigin::Memory => f.write_str("given certificates")?,
        }
        let plural = if self.authorities == 1 { "y" } else { "ies" };
        write!(f, ": {} authorit{plural}", self.authorities)?;
        if self.end_entities > 0 {
            write!(f, ", {} trusted only as itself", self.end_entities)?;
        }
        let unusable = self.unusable().count();
        if unusable > 0 {
            write!(f, ", {unusable} unusable")?;
        }
        Ok(())
    }
}

impl TrustSource {
    pub(super) fn empty(origin: TrustOrigin) -> Self {
        Self {
            origin,
            authorities: 0,
            end_entities: 0,
            problems: Vec::new(),
        }
    }

    /// The problems of what is not even trusted as itself.
    pub fn unusable(&self) -> impl Iterator<Item = &AnchorProblem> {
        self.problems
            .iter()
            .filter(|problem| !problem.kind.is_trusted_as_itself())
    }
}

/// The kind of place that trust came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustOrigin {
    /// The platform's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` put in its place.
    Platform,
    /// A file of PEM or DER.
    File(PathBuf),
    /// A directory of such files.
    Directory(PathBuf),
    /// Bytes that the program handed over.
    Memory,
}

/// Trusted certificates could not be taken in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustError {
    /// The file or directory, where there is one.
    pub path: Option<PathBuf>,
    /// What was wrong with it.
    pub problem: TrustProblem,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "cannot trust the certificates of {}", path.display()),
            None => f.write_str("cannot trust the given certificates"),
        }
    }
}

impl std::error::Error for TrustError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// What was wrong with certificates to be trusted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrustProblem {
    /// The operating system would not give the bytes.
    Unreadable(Arc<io::Error>),
    /// Larger than any certificate bundle.
    TooLarge {
        /// Size of the file.
        bytes: u64,
    },
    /// Nothing in it.
    Empty,
    /// PEM whose sections are not certificates, or something else that is known.
    OtherPemSections {
        /// Labels of the sections found, or what it is.
        labels: Vec<String>,
    },
    /// OpenSSL's `TRUSTED CERTIFICATE`, whose additional trust settings only OpenSSL reads.
    OpensslTrustedCertificate,
    /// PEM that cannot be decoded.
    Pem {
        /// The line at fault, from 1.
        line: usize,
        /// What is wrong there.
        detail: String,
    },
    /// Neither PEM nor a DER certificate.
    NoCertificate,
    /// A certificate that cannot be read.
    Malformed {
        /// Its position in the file, from 0.
        index: usize,
        /// Line of its beginning, from 1, in PEM.
        line: Option<usize>,
        /// What the parser stumbled over.
        detail: String,
    },
    /// Every certificate was of a kind that cannot be used.
    NoneUsable {
        /// Why, each.
        problems: Vec<AnchorProblem>,
    },
    /// Not one certificate is trusted after reading every source.
    NothingTrusted(Vec<AnchorProblem>),
}

impl TrustProblem {
    /// A stable identifier: part of the interface, for scripts and documentation.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::TooLarge { .. } => "trust-file-unreadable",
            Self::Empty | Self::NoCertificate => "trust-file-without-certificate",
            Self::OtherPemSections { .. } => "trust-file-holds-something-else",
            Self::OpensslTrustedCertificate => "trust-file-openssl-trusted",
            Self::Pem { .. } | Self::Malformed { .. } => "trust-file-malformed",
            Self::NoneUsable { .. } => "trust-file-unusable",
            Self::NothingTrusted(_) => "no-trust-anchors",
        }
    }
}

impl fmt::Display for TrustProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => f.write_str("it cannot be read"),
            Self::TooLarge { bytes } => write!(f, "{bytes} bytes are too many for a CA bundle"),
            Self::Empty => f.write_str("it is empty"),
            Self::OtherPemSections { labels } => {
                write!(f, "it holds no certificate; found: {}", labels.join(", "))
            }
            Self::OpensslTrustedCertificate => f.write_str(
                "it holds an OpenSSL TRUSTED CERTIFICATE, whose settings only OpenSSL reads",
            ),
            Self::Pem { line, detail } => {
                write!(f, "its PEM cannot be decoded: line {line}: {detail}")
            }
            Self::NoCertificate => f.write_str("it holds no certificate, neither PEM nor DER"),
            Self::Malformed {
                index,
                line,
                detail,
            } => {
                let place = line.map_or_else(String::new, |line| format!(" (line {line})"));
                write!(
                    f,
                    "certificate {} in it{place} cannot be read: {detail}",
                    index.saturating_add(1)
                )
            }
            Self::NoneUsable { problems } => {
                write!(f, "no certificate in it can be used: {}", list(problems))
            }
            Self::NothingTrusted(problems) if problems.is_empty() => {
                f.write_str("no certificate is trusted")
            }
            Self::NothingTrusted(problems) => {
                write!(f, "no certificate is trusted: {}", list(problems))
            }
        }
    }
}

impl std::error::Error for TrustProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(&**error),
            _ => None,
        }
    }
}

/// More would push what matters off the screen.
const SHOWN_MAX: usize = 4;

fn list(problems: &[AnchorProblem]) -> String {
    let mut shown: Vec<String> = problems
        .iter()
        .take(SHOWN_MAX)
        .map(ToString::to_string)
        .collect();
    if problems.len() > SHOWN_MAX {
        shown.push(format!("and {} more", problems.len() - SHOWN_MAX));
    }
    shown.join("; ")
}
