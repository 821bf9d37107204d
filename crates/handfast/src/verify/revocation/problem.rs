//! Errors of loading a revocation list.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

/// A revocation list could not be loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CrlError {
    /// The file, if any.
    pub path: Option<PathBuf>,
    /// The problem.
    pub problem: CrlProblem,
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "cannot use the revocation lists in {}", path.display()),
            None => f.write_str("cannot use the given revocation lists"),
        }
    }
}

impl std::error::Error for CrlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// The problem of a revocation list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CrlProblem {
    /// The file cannot be read.
    Unreadable(Arc<io::Error>),
    /// PEM that cannot be decoded.
    Pem {
        /// The decoder's error.
        detail: String,
    },
    /// No `X509 CRL` in it.
    NoList,
    /// A list that is malformed or not supported.
    Unusable {
        /// Its position in the file, from 0.
        index: usize,
        /// The reason.
        detail: String,
    },
}

impl CrlProblem {
    /// A stable identifier: part of the interface, for scripts and documentation.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "crl-file-unreadable",
            Self::Pem { .. } => "crl-file-malformed",
            Self::NoList => "crl-file-without-list",
            Self::Unusable { .. } => "crl-file-unusable",
        }
    }
}

impl fmt::Display for CrlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => f.write_str("it cannot be read"),
            Self::Pem { detail } => write!(f, "its PEM cannot be decoded: {detail}"),
            Self::NoList => f.write_str("it holds no revocation list, neither PEM nor DER"),
            Self::Unusable { index, detail } => {
                let number = index.saturating_add(1);
                write!(f, "list {number} in it cannot be used: {detail}")
            }
        }
    }
}

impl std::error::Error for CrlProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(&**error),
            _ => None,
        }
    }
}
