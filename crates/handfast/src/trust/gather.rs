//! Collecting certificates from many files, of a directory or of the platform's store; some may be unusable.
//!
//! Owns which files are read, and reporting problems: a file without certificates is skipped, a malformed
//! or unreadable one is reported.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use pki_types::CertificateDer;

use super::problem::{AnchorProblem, AnchorProblemKind};
use crate::certificates::{self, Contents, Placed};
use crate::x509::escape_control;

/// One certificate, and its location.
pub(super) struct Given {
    /// The file, if any.
    pub(super) path: Option<PathBuf>,
    /// Its position among the file's certificates, from 0.
    pub(super) index: usize,
    pub(super) placed: Placed,
}

impl Given {
    /// The certificates of one file, or of bytes.
    pub(super) fn all_of(placed: Vec<Placed>, path: Option<&Path>) -> Vec<Self> {
        placed
            .into_iter()
            .enumerate()
            .map(|(index, placed)| Self {
                path: path.map(Path::to_owned),
                index,
                placed,
            })
            .collect()
    }

    /// The problem of this certificate.
    pub(super) fn problem(&self, subject: String, kind: AnchorProblemKind) -> AnchorProblem {
        AnchorProblem {
            path: self.path.clone(),
            index: Some(self.index),
            line: self.placed.line,
            subject,
            kind,
        }
    }
}

/// The contents of many files.
#[derive(Default)]
pub(super) struct Gathered {
    /// Each certificate once, at its first location.
    pub(super) given: Vec<Given>,
    /// Certificates in OpenSSL's own format.
    pub(super) unfit: Vec<Given>,
    /// Problems of whole files, or of parts that are not certificates.
    pub(super) problems: Vec<AnchorProblem>,
    /// Files that were read, by their canonical paths.
    read: HashSet<PathBuf>,
    seen: HashSet<CertificateDer<'static>>,
}

impl Gathered {
    /// Adds the contents of a file.
    pub(super) fn add_file(&mut self, path: &Path) {
        // A directory made by `openssl rehash` has a link or two for each certificate.
        if fs::canonicalize(path).is_ok_and(|target| !self.read.insert(target)) {
            return;
        }
        let bytes = match certificates::read_file(path) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(bytes)) => {
                let detail = format!("{bytes} bytes exceed the limit for a CA bundle");
                return self.complain(path, None, AnchorProblemKind::Unreadable { detail });
            }
            // A dangling link: its target was removed on purpose.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => return,
            Err(error) => return self.complain(path, None, unreadable(&error)),
        };
        let contents = Contents::of(&bytes);
        for broken in contents.broken {
            let detail = broken.detail;
            self.complain(path, Some(broken.line), AnchorProblemKind::Pem { detail });
        }
        self.unfit
            .extend(Given::all_of(contents.openssl_trusted, Some(path)));
        for given in Given::all_of(contents.certificates, Some(path)) {
            if self.seen.insert(given.placed.der.clone()) {
                self.given.push(given);
            }
        }
    }

    /// Adds the contents of the files of a directory.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub(super) fn add_directory(&mut self, path: &Path) -> io::Result<()> {
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            let is_hidden = file
                .file_name()
                .and_then(OsStr::to_str)
                .is_none_or(|name| name.starts_with('.'));
            if !is_hidden && !file.is_dir() {
                files.push(file);
            }
        }
        // The order of a directory is arbitrary; that of the anchors should not be. Links come last, so that
        // a certificate is reported with the name of its file and not with that of a hash.
        files.sort_by_cached_key(|file| (file.is_symlink(), file.clone()));
        for file in files {
            self.add_file(&file);
        }
        Ok(())
    }

    pub(super) fn complain(&mut self, path: &Path, line: Option<usize>, kind: AnchorProblemKind) {
        self.problems.push(AnchorProblem {
            path: Some(path.to_owned()),
            index: None,
            line,
            subject: String::new(),
            kind,
        });
    }
}

pub(super) fn unreadable(error: &dyn std::error::Error) -> AnchorProblemKind {
    let detail = escape_control(&error.to_string()).into_owned();
    AnchorProblemKind::Unreadable { detail }
}
