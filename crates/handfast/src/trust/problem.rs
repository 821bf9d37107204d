//! Sources of trust, and their problems: typed, each with its reason.
//!
//! Nothing in a trust file is ignored silently. A file that cannot be used is a [`TrustError`]; a
//! certificate that is not an anchor is an [`AnchorProblem`] of its source.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use crate::x509::RSA_BITS;

/// A trusted certificate or file that is not a trust anchor, or not a usable one. `Display` is one line for
/// users.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnchorProblem {
    /// Its file, if any.
    pub path: Option<PathBuf>,
    /// Its position among the file's certificates, from 0; `None` for a problem of the whole file.
    pub index: Option<usize>,
    /// The line at which it begins, from 1, if the file has lines.
    pub line: Option<usize>,
    /// The subject of the certificate, escaped; empty if it cannot be parsed.
    pub subject: String,
    /// The problem.
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

/// Why a trusted certificate or file is not a trust anchor. `Display` is the reason, and how it is still
/// trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorProblemKind {
    /// A file or directory cannot be read.
    Unreadable {
        /// The operating system's error.
        detail: String,
    },
    /// PEM that cannot be decoded.
    Pem {
        /// The decoder's error.
        detail: String,
    },
    /// A certificate that cannot be parsed.
    Malformed {
        /// The parser's error.
        detail: String,
    },
    /// OpenSSL's `TRUSTED CERTIFICATE`, whose additional settings only OpenSSL supports.
    OpensslTrustedCertificate,
    /// X.509 version 1 or 2, which has no basic constraints.
    OldVersion {
        /// The version: 1 or 2.
        version: u32,
        /// Whether it is self-issued: then it is an anchor if it is given explicitly, but not in the platform's
        /// store.
        is_root: bool,
    },
    /// Basic constraints with CA:FALSE. It is trusted as an end-entity certificate.
    NotAnAuthority,
    /// Version 3 without basic constraints. It is trusted as an end-entity certificate.
    NoBasicConstraints {
        /// As for an old version.
        is_root: bool,
    },
    /// An authority whose key usage lacks keyCertSign.
    NoCertificateSigning {
        /// The usages that it has.
        presented: Vec<&'static str>,
    },
    /// An authority with a critical extension that is not processed: its limits are unknown.
    UnknownCriticalExtension {
        /// The extension's identifier, dotted.
        oid: String,
    },
    /// An authority whose key is not supported.
    UnusableKey {
        /// The kind of key.
        algorithm: String,
        /// Its size, if that is the problem.
        bits: Option<u32>,
    },
}

impl AnchorProblemKind {
    /// A stable name: part of the interface, for scripts. It is not an error id.
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

    /// Whether the certificate is still trusted as an end-entity certificate: a peer that presents it is accepted.
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
                "it is of X.509 version {version}, which is a root only if its file is given explicitly"
            ),
            Self::OldVersion {
                version,
                is_root: false,
            } => write!(
                f,
                "it is of X.509 version {version} and not self-signed, so it cannot be a root"
            ),
            Self::NotAnAuthority => {
                f.write_str("it is not a CA (CA:FALSE); trusted only as an end-entity certificate")
            }
            Self::NoBasicConstraints { is_root: true } => f.write_str(
                "it has no basic constraints, and is a root only if its file is given explicitly; \
                trusted only as an end-entity certificate",
            ),
            Self::NoBasicConstraints { is_root: false } => f.write_str(
                "it has no basic constraints and belongs to a server or client; trusted only as \
                an end-entity certificate",
            ),
            Self::NoCertificateSigning { presented } => write!(
                f,
                "its key usage ({}) lacks keyCertSign: certificates that it issued are not accepted",
                match presented.is_empty() {
                    true => "empty".to_owned(),
                    false => presented.join(", "),
                }
            ),
            Self::UnknownCriticalExtension { oid } => write!(
                f,
                "its critical extension {oid} is not supported: certificates that it issued are not \
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

/// One source of trust. `Display` is one line for users.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustSource {
    /// The origin.
    pub origin: TrustOrigin,
    /// The number of authorities: trust anchors.
    pub authorities: usize,
    /// The number of certificates that are trusted only as end-entity certificates.
    pub end_entities: usize,
    /// Certificates and files that are not anchors, or not usable ones, and why.
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
            write!(
                f,
                ", {} trusted only as end-entity certificates",
                self.end_entities
            )?;
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

    /// The problems of certificates that are not even trusted as end-entity certificates, and of files.
    pub fn unusable(&self) -> impl Iterator<Item = &AnchorProblem> {
        self.problems
            .iter()
            .filter(|problem| !problem.kind.is_trusted_as_itself())
    }
}

/// The kind of a source of trust.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustOrigin {
    /// The platform's store, or its replacement by `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    Platform,
    /// A file of PEM or DER.
    File(PathBuf),
    /// A directory of such files.
    Directory(PathBuf),
    /// Bytes from the program.
    Memory,
}

/// Trusted certificates could not be loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustError {
    /// The file or directory, if any.
    pub path: Option<PathBuf>,
    /// The problem.
    pub problem: TrustProblem,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(
                f,
                "cannot use the trusted certificates in {}",
                path.display()
            ),
            None => f.write_str("cannot use the given trusted certificates"),
        }
    }
}

impl std::error::Error for TrustError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// The problem of trusted certificates.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrustProblem {
    /// The file cannot be read.
    Unreadable(Arc<io::Error>),
    /// Larger than any certificate bundle.
    TooLarge {
        /// Size of the file.
        bytes: u64,
    },
    /// The file is empty.
    Empty,
    /// PEM whose sections are not certificates, or another known format.
    OtherPemSections {
        /// Labels of the sections found, or the format.
        labels: Vec<String>,
    },
    /// OpenSSL's `TRUSTED CERTIFICATE`, whose additional trust settings only OpenSSL supports.
    OpensslTrustedCertificate,
    /// PEM that cannot be decoded.
    Pem {
        /// The line at fault, from 1.
        line: usize,
        /// The decoder's error.
        detail: String,
    },
    /// Neither PEM nor a DER certificate.
    NoCertificate,
    /// A certificate that cannot be parsed.
    Malformed {
        /// Its position in the file, from 0.
        index: usize,
        /// Line of its beginning, from 1, in PEM.
        line: Option<usize>,
        /// The parser's error.
        detail: String,
    },
    /// None of the certificates can be used.
    NoneUsable {
        /// The problem of each.
        problems: Vec<AnchorProblem>,
    },
    /// No certificate is trusted after reading every source.
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
            Self::TooLarge { bytes } => write!(f, "{bytes} bytes exceed the limit for a CA bundle"),
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

/// More would fill the screen.
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
