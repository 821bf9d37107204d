//! The platform's own store: its location, and reading all of it.
//!
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it, as for OpenSSL.

use super::gather::Gathered;

#[cfg(all(unix, not(target_os = "macos")))]
pub(super) use files::{bundle, read};
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(super) use system::{bundle, read};

/// Systems whose store consists of files.
#[cfg(all(unix, not(target_os = "macos")))]
mod files {
    use std::env;
    use std::path::{Path, PathBuf};

    use super::Gathered;
    use crate::trust::gather::unreadable;

    /// The whole store.
    pub(in crate::trust) fn read() -> Gathered {
        let mut gathered = Gathered::default();
        let (file, directories) = places();
        if let Some(file) = file {
            gathered.add_file(&file);
        }
        for directory in directories {
            if let Err(error) = gathered.add_directory(&directory) {
                gathered.complain(&directory, None, unreadable(&error));
            }
        }
        gathered
    }

    /// The file that holds most or all of the store.
    pub(in crate::trust) fn bundle() -> Option<PathBuf> {
        places().0
    }

    fn places() -> (Option<PathBuf>, Vec<PathBuf>) {
        let file = env::var_os(openssl_probe::ENV_CERT_FILE).map(PathBuf::from);
        let directories: Vec<PathBuf> = env::var_os(openssl_probe::ENV_CERT_DIR)
            .map(|paths| env::split_paths(&paths).collect())
            .unwrap_or_default();
        let directories: Vec<PathBuf> = directories
            .into_iter()
            .filter(|path| is_some(path))
            .collect();
        if file.is_some() || !directories.is_empty() {
            return (file, directories);
        }
        let found = openssl_probe::probe();
        (found.cert_file, found.cert_dir)
    }

    fn is_some(path: &Path) -> bool {
        !path.as_os_str().is_empty()
    }
}

/// Systems whose store has its own API.
#[cfg(not(all(unix, not(target_os = "macos"))))]
mod system {
    use std::path::PathBuf;

    use super::Gathered;
    use crate::certificates::Placed;
    use crate::trust::gather::{Given, unreadable};
    use crate::trust::problem::AnchorProblem;

    /// The whole store.
    pub(in crate::trust) fn read() -> Gathered {
        let found = rustls_native_certs::load_native_certs();
        let placed = found
            .certs
            .into_iter()
            .map(|der| Placed { der, line: None })
            .collect();
        let mut gathered = Gathered::default();
        gathered.given = Given::all_of(placed, None);
        gathered.problems = found
            .errors
            .iter()
            .map(|error| AnchorProblem {
                path: None,
                index: None,
                line: None,
                subject: String::new(),
                kind: unreadable(error),
            })
            .collect();
        gathered
    }

    /// There is no file to search.
    pub(in crate::trust) fn bundle() -> Option<PathBuf> {
        None
    }
}
