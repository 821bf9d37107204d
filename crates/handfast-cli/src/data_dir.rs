//! The directory of the local certificate authority.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use handfast::{CertificateFacts, Explanation};
use handfast_ca::Authority;

use crate::failure::{Failure, code};
use crate::output;

/// Overrides the platform's directory for the local authority.
pub(crate) const CA_DIR_VARIABLE: &str = "HANDFAST_CA_DIR";

/// The value of `--client-ca` for the local authority.
pub(crate) const LOCAL: &str = "local";

/// The local authority, if a value of `--client-ca` selects it: by `local`, or by the path of its certificate.
pub(crate) fn own_authority(
    client_ca: &Path,
    ca_dir: Option<PathBuf>,
) -> Result<Option<Authority>, Failure> {
    let directory = self::ca_dir(ca_dir);
    if client_ca.as_os_str() == LOCAL {
        // It must exist.
        return Ok(Some(Authority::open(&directory?)?));
    }
    Ok(directory
        .ok()
        .filter(|directory| is_certificate_of(client_ca, directory))
        .and_then(|directory| Authority::open(&directory).ok()))
}

/// The list of a local authority, renewed if due; with a warning if that failed.
pub(crate) fn fresh_list(authority: &Authority) -> Result<(PathBuf, Option<String>), Failure> {
    let file = authority.crl_file();
    match authority.keep_crl_fresh() {
        Ok(_) => Ok((file, None)),
        Err(error) if file.exists() => {
            let warning = format!(
                "{}: the local authority's list cannot be renewed: {error}",
                file.display()
            );
            Ok((file, Some(warning)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The authority's directory: the one given, else `HANDFAST_CA_DIR`, else under the platform's data
/// directory.
pub(crate) fn ca_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    given.or_else(default_ca_dir).ok_or_else(|| {
        let explanation = Explanation::new(
            "no-data-directory",
            "no directory for the local certificate authority: this user has no home directory",
        )
        .with_fix(format!("give one with --ca-dir DIR or {CA_DIR_VARIABLE}"));
        Failure::new(code::OTHER, explanation)
    })
}

/// The certificate of the local authority, if there is one: `get` trusts it for the names that it may
/// sign for.
pub(crate) fn local_ca_certificate() -> Option<PathBuf> {
    default_ca_dir()
        .map(|dir| dir.join("ca.pem"))
        .filter(|file| !is_absent(file))
}

/// The revocation list of the local authority, if there is one.
pub(crate) fn local_ca_list() -> Option<PathBuf> {
    local_ca_certificate()
        .map(|file| file.with_file_name("crl.pem"))
        .filter(|file| !is_absent(file))
}

/// Whether this file is the certificate of the authority in this directory.
fn is_certificate_of(file: &Path, directory: &Path) -> bool {
    let own = directory.join("ca.pem").canonicalize();
    own.is_ok_and(|own| file.canonicalize().is_ok_and(|file| file == own))
}

/// Whether this file is the certificate of the local authority.
pub(crate) fn is_local_ca(file: &Path) -> bool {
    default_ca_dir().is_some_and(|directory| is_certificate_of(file, &directory))
}

/// The certificate of the local authority, if it is the one that issued this certificate, by its name.
pub(crate) fn local_ca_that_issued(facts: &CertificateFacts) -> Option<PathBuf> {
    let file = local_ca_certificate()?;
    let authority = handfast::certificates_from_file(&file).ok()?;
    let authority = CertificateFacts::from_der(authority.first()?).ok()?;
    (authority.subject == facts.issuer).then_some(file)
}

/// Whether there is certainly none. If the file cannot be accessed, reading it reports the error.
fn is_absent(file: &Path) -> bool {
    match file.metadata() {
        Ok(found) => !found.is_file(),
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}

fn default_ca_dir() -> Option<PathBuf> {
    env::var_os(CA_DIR_VARIABLE)
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(platform_ca_dir)
}

/// Whether clients find the authority in this directory without an option.
pub(crate) fn is_default(dir: &Path) -> bool {
    default_ca_dir().is_some_and(|default| default == dir)
}

fn platform_ca_dir() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "handfast").map(|dirs| dirs.data_dir().join("ca"))
}

/// The option with which a command uses the authority in this directory, behind a space; nothing for that of the platform, which
/// commands use without one. The variable may be set for a single command: then the next one needs the option.
pub(crate) fn option_for(dir: &Path) -> String {
    match platform_ca_dir().is_some_and(|platform| platform == dir) {
        true => String::new(),
        false => format!(" --ca-dir {}", output::shell_path(dir)),
    }
}
