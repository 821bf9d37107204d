//! Why an identity cannot be used: typed, with the file at fault and what was found in it.
//!
//! `explain/identity.rs` has the advice for each.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::x509::escape_control;

/// A certificate chain and key that cannot be used, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct IdentityError {
    /// Which part of the identity is at fault.
    pub part: IdentityPart,
    /// The file at fault, if any.
    pub path: Option<PathBuf>,
    /// The problem.
    pub problem: IdentityProblem,
}

/// The parts of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityPart {
    /// The certificate chain.
    Chain,
    /// The private key.
    Key,
    /// Both, in one file.
    Both,
}

/// The problem of a certificate chain or key.
///
/// Names and labels from a file are escaped: they can be printed.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityProblem {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// Larger than any certificate chain or key.
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The file is empty.
    Empty,
    /// Neither PEM nor DER of a certificate or key.
    Unrecognised {
        /// What it looks like.
        found: String,
    },
    /// BER with indefinite lengths, which some programs use for PKCS#12: not DER.
    IndefiniteLengths,
    /// PEM that cannot be decoded.
    MalformedPem {
        /// The line at fault, from 1.
        line: usize,
        /// The problem.
        detail: String,
    },
    /// A certificate or key whose DER cannot be parsed.
    MalformedDer {
        /// The expected structure: `certificate 2`, `a private key`.
        what: String,
        /// The parser's error.
        detail: String,
    },
    /// No certificate in the file for the chain.
    NoCertificate {
        /// What was found instead.
        found: Vec<String>,
    },
    /// No private key in the file for the key.
    NoKey {
        /// What was found instead.
        found: Vec<String>,
    },
    /// The chain was given as the key, and the key as the chain.
    Swapped,
    /// A public key instead of the private key or the certificate.
    PublicKeyGiven,
    /// A certificate signing request instead of the certificate or the key.
    RequestGiven,
    /// Key parameters (of a curve, of Diffie-Hellman) without a key or a certificate.
    ParametersOnly {
        /// Which: `EC PARAMETERS`.
        found: String,
    },
    /// More than one private key: the right one is unknown.
    SeveralKeys {
        /// How many.
        count: usize,
    },
    /// The key is encrypted, and there is no passphrase.
    PassphraseNeeded {
        /// The encryption.
        encryption: String,
    },
    /// The key is encrypted, and the passphrase could not be read.
    PassphraseUnavailable(io::Error),
    /// The passphrase is wrong.
    WrongPassphrase {
        /// The encryption.
        encryption: String,
    },
    /// The encryption of the key is not supported.
    UnsupportedEncryption {
        /// The algorithm: its name, or its object identifier.
        encryption: String,
    },
    /// The format is supported by a feature of this crate that is off in this build.
    FormatLeftOut {
        /// The format: `a PKCS#12 file`.
        format: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A type of key that cannot sign in TLS or is not supported.
    UnsupportedKey {
        /// The algorithm: its name, or its object identifier.
        algorithm: String,
    },
    /// An RSA key of an unsupported size.
    KeySize {
        /// Its size.
        bits: u32,
        /// The smallest size that is accepted.
        bits_min: u32,
        /// The largest size that is accepted.
        bits_max: u32,
    },
    /// The key does not belong to the end-entity certificate.
    KeyMismatch {
        /// Subject of the certificate.
        subject: String,
        /// The certificate's key: `EC P-256, SHA-256 of the public key 0123...`.
        certificate_key: String,
        /// The same for the public half of the private key.
        private_key: String,
    },
    /// The end-entity certificate, to which the key belongs, is not the first of the chain.
    EndEntityNotFirst {
        /// Subject of the first certificate.
        first: String,
        /// Subject of the end-entity certificate.
        end_entity: String,
        /// Position of the end-entity certificate, from 0.
        at_index: usize,
    },
    /// A certificate is not followed by its issuer, which comes later in the chain.
    IssuerOutOfOrder {
        /// Subject of the certificate whose issuer should follow.
        subject: String,
        /// Position at which the issuer belongs, from 0.
        at_index: usize,
        /// Subject of the certificate at this position.
        found: String,
        /// Position at which the issuer was found, from 0.
        issuer_index: usize,
    },
    /// A certificate that issued none of those before it.
    UnrelatedCertificate {
        /// Its position, from 0.
        at_index: usize,
        /// Its subject.
        found: String,
        /// The issuer of the certificate before it.
        expected: String,
    },
    /// The same certificate twice.
    RepeatedCertificate {
        /// Position of the repetition, from 0.
        at_index: usize,
        /// Its subject.
        subject: String,
    },
}

impl IdentityError {
    /// A stable id in kebab-case: part of the interface.
    pub fn id(&self) -> &'static str {
        self.problem.id()
    }
}

impl IdentityProblem {
    /// A stable id in kebab-case: part of the interface.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "identity-unreadable",
            Self::TooLarge { .. } => "identity-too-large",
            Self::Empty => "identity-empty",
            Self::Unrecognised { .. } => "identity-unrecognised",
            Self::IndefiniteLengths => "identity-indefinite-lengths",
            Self::MalformedPem { .. } => "identity-malformed-pem",
            Self::MalformedDer { .. } => "identity-malformed-der",
            Self::NoCertificate { .. } => "certificate-missing",
            Self::NoKey { .. } => "private-key-missing",
            Self::Swapped => "chain-and-key-swapped",
            Self::PublicKeyGiven => "public-key-given",
            Self::RequestGiven => "certificate-request-given",
            Self::ParametersOnly { .. } => "key-parameters-only",
            Self::SeveralKeys { .. } => "several-private-keys",
            Self::PassphraseNeeded { .. } => "passphrase-needed",
            Self::PassphraseUnavailable(_) => "passphrase-unavailable",
            Self::WrongPassphrase { .. } => "wrong-passphrase",
            Self::UnsupportedEncryption { .. } => "unsupported-key-encryption",
            Self::FormatLeftOut { .. } => "key-format-left-out",
            Self::UnsupportedKey { .. } => "unsupported-key-type",
            Self::KeySize { .. } => "key-size-refused",
            Self::KeyMismatch { .. } => "key-mismatch",
            Self::EndEntityNotFirst { .. }
            | Self::IssuerOutOfOrder { .. }
            | Self::RepeatedCertificate { .. } => "chain-out-of-order",
            Self::UnrelatedCertificate { .. } => "chain-unrelated-certificate",
        }
    }
}

impl fmt::Display for IdentityPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "certificate chain",
            Self::Key => "private key",
            Self::Both => "certificate chain and private key",
        })
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(
                f,
                "cannot use {} as {}",
                escape_control(&path.display().to_string()),
                self.part
            ),
            None => write!(f, "cannot use the given {}", self.part),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

impl fmt::Display for IdentityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => f.write_str("it cannot be read"),
            Self::TooLarge { bytes_max } => {
                write!(
                    f,
                    "it is larger than any chain or key: more than {bytes_max} bytes"
                )
            }
            Self::Empty => f.write_str("it is empty"),
            Self::Unrecognised { found } => {
                write!(f, "it is neither PEM nor DER, but {found}")
            }
            Self::IndefiniteLengths => {
                f.write_str("it is encoded with indefinite lengths (BER), which is not DER")
            }
            Self::MalformedPem { line, detail } => {
                write!(f, "its PEM cannot be decoded: line {line}: {detail}")
            }
            Self::MalformedDer { what, detail } => {
                write!(f, "{what} in it cannot be read: {detail}")
            }
            Self::NoCertificate { found } => {
                write!(f, "it holds no certificate")?;
                instead(f, found)
            }
            Self::NoKey { found } => {
                write!(f, "it holds no private key")?;
                instead(f, found)
            }
            Self::Swapped => {
                f.write_str("the chain was given as the key, and the key as the chain")
            }
            Self::PublicKeyGiven => f.write_str("it holds a public key only"),
            Self::RequestGiven => {
                f.write_str("it holds a certificate signing request, not a certificate")
            }
            Self::ParametersOnly { found } => {
                write!(f, "it holds key parameters only ({found})")
            }
            Self::SeveralKeys { count } => write!(f, "it holds {count} private keys"),
            Self::PassphraseNeeded { .. } => {
                f.write_str("the key is encrypted, and no passphrase was given")
            }
            Self::PassphraseUnavailable(_) => {
                f.write_str("the key is encrypted, and the passphrase could not be read")
            }
            Self::WrongPassphrase { .. } => f.write_str("the passphrase is wrong"),
            Self::UnsupportedEncryption { encryption } => write!(
                f,
                "the key is encrypted with an unsupported algorithm: {encryption}"
            ),
            Self::FormatLeftOut { format, feature } => write!(
                f,
                "it is {format}, which this program was built without (feature `{feature}` of the crate handfast)"
            ),
            Self::UnsupportedKey { algorithm } => {
                write!(f, "keys of this type are not supported: {algorithm}")
            }
            Self::KeySize {
                bits,
                bits_min,
                bits_max,
            } => write!(
                f,
                "RSA keys of {bits} bits are not supported: {bits_min} to {bits_max} are"
            ),
            Self::KeyMismatch { subject, .. } => {
                write!(f, "the key does not belong to the certificate of {subject}")
            }
            Self::EndEntityNotFirst {
                first,
                end_entity,
                at_index,
            } => write!(
                f,
                "the first certificate is that of {first}; it must be that of {end_entity}, \
                which is number {}",
                at_index.saturating_add(1)
            ),
            Self::IssuerOutOfOrder {
                subject,
                at_index,
                found,
                issuer_index,
            } => write!(
                f,
                "certificate {} is that of {found}; it must be the issuer of {subject}, which \
                is number {}",
                at_index.saturating_add(1),
                issuer_index.saturating_add(1)
            ),
            Self::UnrelatedCertificate {
                at_index,
                found,
                expected,
            } => write!(
                f,
                "certificate {}, that of {found}, issued none of those before it; expected: that of \
                {expected}",
                at_index.saturating_add(1)
            ),
            Self::RepeatedCertificate { at_index, subject } => write!(
                f,
                "certificate {} repeats that of {subject}",
                at_index.saturating_add(1)
            ),
        }
    }
}

fn instead(f: &mut fmt::Formatter<'_>, found: &[String]) -> fmt::Result {
    if found.is_empty() {
        return Ok(());
    }
    write!(f, "; found: {}", found.join(", "))
}

impl std::error::Error for IdentityProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) | Self::PassphraseUnavailable(error) => Some(error),
            _ => None,
        }
    }
}
