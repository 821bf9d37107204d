//! Certificates out of many files, of a directory or of the platform's store, of which some may be unfit.
//!
//! Owns which files are read, and naming what cannot be: a file that holds no certificate is passed
//! over, one that is meant to and cannot be read is told.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use pki_types::CertificateDer;

use super::problem::{AnchorProblem, AnchorProblemKind};
use crate::certificates::{self, Contents, Placed};
use crate::x509::escape_control;

/// One certificate, and where it was.
pub(super) struct Given {
    /// The file, where it came from one.
    pub(super) path: Option<PathBuf>,
    /// Which of the file's certificates it is, from 0.
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

/// What many files hold.
#[derive(Default)]
pub(super) struct Gathered {
    /// Each certificate once, where it was first.
    pub(super) given: Vec<Given>,
    /// What is in OpenSSL's own form.
    pub(super) unfit: Vec<Given>,
    /// What is wrong with files as a whole, or with parts that are no certificates.
    pub(super) problems: Vec<AnchorProblem>,
    /// Files that were read, wherever links to them are.
    read: HashSet<PathBuf>,
    seen: HashSet<CertificateDer<'static>>,
}

impl Gathered {
    /// Adds what the file holds.
    pub(super) fn add_file(&mut self, path: &Path) {
        // A directory made by `openssl rehash` has a link or two for each certificate.
        if fs::canonicalize(path).is_ok_and(|target| !self.read.insert(target)) {
            return;
        }
        let bytes = match certificates::read_file(path) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(bytes)) => {
                let detail = format!("{bytes} bytes are too many for a CA bundle");
                return self.complain(path, None, AnchorProblemKind::Unreadable { detail });
            }
            // What a link that leads nowhere once led to was taken away: nothing is lost.
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

    /// Adds what the files of the directory hold.
    ///
    /// # Errors
    /// When the directory cannot be listed.
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
        // a certificate is told by the name of its file and not by that of a hash.
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
