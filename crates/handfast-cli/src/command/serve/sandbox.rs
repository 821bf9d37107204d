//! Once everything is open, the process gives up what serving does not need: the second wall behind the safe resolution of
//! paths.
//!
//! It keeps what it reads again: the roots, certificates and the configuration, each with the directory that holds it, because
//! a directory that is built again, or a link that is switched, leads to something new in there. A holder that holds much more than
//! that (`/`, `/etc`, a home directory) is not kept, but for the user's own home if a root lies directly in it: that is told.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use handfast::Explanation;
use handfast_confine::{ConfineError, Confined, Confinement, Enforcement};

use super::args::Args;
use super::config::{Address, LogTarget};
use super::context;
use super::settings::Settings;
use crate::data_dir;
use crate::failure::{Failure, code};
use crate::output;

/// Directories that hold far more than what is served from them.
const BROAD: [&str; 9] = [
    "/", "/etc", "/home", "/media", "/mnt", "/root", "/srv", "/usr", "/var",
];

/// Threads of the allocator, which begin with the process and run nothing of ours.
const ALLOCATOR: &str = "jemalloc_bg_thd";

/// How long a thread that is about to end is waited for: one that gathers random bits takes some 30 ms.
const ENDING: Duration = Duration::from_secs(2);

/// Confines the process, before it has threads that serve.
pub(super) fn enter(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let confinement = match settings.sandbox {
        true => kept(args, settings),
        false => Confinement::unrestricted(),
    };
    if !settings.sandbox && settings.user.is_none() {
        return Ok(());
    }
    let confinement = with_user(confinement.with_harmless_threads(ALLOCATOR), settings)?;
    let deadline = Instant::now() + ENDING;
    let confined = loop {
        match confinement.apply() {
            Err(ConfineError::SeveralThreads(_)) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            result => break result.map_err(|error| failure(&error))?,
        }
    };
    tell(settings, &confined);
    Ok(())
}

#[cfg(unix)]
fn with_user(confinement: Confinement, settings: &Settings) -> Result<Confinement, Failure> {
    use handfast_confine::Account;
    let Some(name) = &settings.user else {
        return Ok(confinement);
    };
    let account = Account::find(name).map_err(|error| failure(&error))?;
    Ok(confinement.user(account))
}

#[cfg(not(unix))]
fn with_user(confinement: Confinement, settings: &Settings) -> Result<Confinement, Failure> {
    match &settings.user {
        None => Ok(confinement),
        Some(name) => Err(failure(&ConfineError::NoAccount(name.clone()))),
    }
}

/// What the server reads and writes as long as it runs.
fn kept(args: &Args, settings: &Settings) -> Confinement {
    let mut read = BTreeSet::new();
    for site in &settings.sites {
        if site.files.follow_links {
            read.insert(PathBuf::from("/"));
        }
        add_with_holders(&mut read, &site.root.value);
        // Otherwise a root that is built again could not be served.
        if let Some(home) = home_that_holds(&site.root.value) {
            if !settings.log.is_quiet() {
                output::note(format!(
                    "the server can read all of {}, which holds {}: in a directory of its own it is confined to that",
                    handfast::escape_control(&home.display().to_string()),
                    handfast::escape_control(&site.root.value.display().to_string())
                ));
            }
            read.insert(home);
        }
    }
    for path in context::watched(settings)
        .iter()
        .chain(&args.configuration.config)
    {
        add_with_holders(&mut read, path);
    }
    for site in &settings.sites {
        for list in &site.clients.crl {
            add_with_holders(&mut read, &list.value);
        }
    }
    let mut write = BTreeSet::new();
    // For rotation: the file is opened again after it was renamed.
    let logs = match &settings.log.to {
        LogTarget::File(path) => Some(path),
        _ => None,
    };
    let key_log = settings.key_log.as_ref().map(|path| &path.value);
    for path in logs.into_iter().chain(&settings.log.audit).chain(key_log) {
        write.insert(path.clone());
        write.extend(holders(path));
    }
    // Certificates and lists of the local authority are renewed.
    if context::has_local_authority(settings)
        && let Ok(directory) = data_dir::ca_dir(settings.ca_dir.clone())
    {
        write.insert(directory);
    }
    // The file of a Unix socket is removed at the end.
    for listener in &settings.listeners {
        if let Address::Unix(path) = &listener.address.value {
            write.extend(holders(path));
        }
    }
    let uploads = settings.sites.iter().flat_map(|site| &site.answers.upload);
    write.extend(uploads.map(|table| table.value.directory.value.0.clone()));
    let exists = |path: &PathBuf| path.exists();
    let read = read.into_iter().filter(exists);
    let confinement = read.fold(Confinement::new(), Confinement::read);
    let write = write.into_iter().filter(exists);
    write.fold(confinement, Confinement::write)
}

fn add_with_holders(paths: &mut BTreeSet<PathBuf>, path: &Path) {
    paths.insert(path.to_owned());
    paths.extend(holders(path));
}

/// This user's home directory, if the path lies directly in it.
fn home_that_holds(path: &Path) -> Option<PathBuf> {
    let home = std::env::home_dir()?.canonicalize().ok()?;
    let is_name = matches!(path.components().next_back(), Some(Component::Normal(_)));
    let absolute = std::path::absolute(path).ok()?;
    let holder = absolute.parent()?.canonicalize().ok()?;
    (is_name && holder == home && home.parent().is_some()).then_some(home)
}

/// The directories that hold what a path names, and what it leads to.
fn holders(path: &Path) -> Vec<PathBuf> {
    // "." and "/" are in nothing that could hold another of the name.
    if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
        return Vec::new();
    }
    let absolute = std::path::absolute(path).ok();
    let target = path.canonicalize().ok();
    let home = std::env::home_dir();
    let holders = absolute.into_iter().chain(target);
    let holders = holders.filter_map(|path| path.parent()?.canonicalize().ok());
    holders
        .filter(|holder| {
            let is_home = holder.parent() == Some(Path::new("/home"));
            let is_own = home.as_ref().is_some_and(|home| home.starts_with(holder));
            !is_home && !is_own && !BROAD.iter().any(|broad| holder == Path::new(broad))
        })
        .collect()
}

fn tell(settings: &Settings, confined: &Confined) {
    let is_quiet = settings.log.is_quiet();
    match confined.files {
        // Other systems have nothing of the kind.
        Enforcement::Unsupported if !cfg!(target_os = "linux") => {}
        _ if settings.sandbox && !confined.is_complete() => {
            output::warning(format!(
                "the server is less confined than it could be: {confined}"
            ));
        }
        _ if is_quiet => {}
        _ => output::note(format!("confined: {confined}")),
    }
}

fn failure(error: &ConfineError) -> Failure {
    let explanation = Explanation::new("not-confined", format!("{error}"));
    let explanation = match error {
        ConfineError::NoAccount(_) => explanation
            .with_fix("give a user of this system, USER or USER:GROUP, by name or number"),
        ConfineError::Account { source, .. } => explanation
            .with_evidence(source.to_string())
            .with_fix("start as root, or leave out --user"),
        ConfineError::Path { source, .. } => explanation.with_evidence(source.to_string()),
        _ => explanation.with_fix("--no-sandbox serves without this protection"),
    };
    Failure::new(code::OTHER, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_path_is_kept_unless_it_holds_much_more() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        for directory in ["releases/1", "site"] {
            std::fs::create_dir_all(place.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink(place.join("releases/1"), place.join("site/current")).unwrap();
        let current = place.join("site/current");
        assert_eq!(
            holders(&current),
            [place.join("site"), place.join("releases")]
        );
        for broad in ["/etc/passwd", "/", ".", "/srv/www", "/home/someone/public"] {
            assert!(holders(Path::new(broad)).is_empty(), "{broad}");
        }
        let home = std::env::home_dir().unwrap();
        assert!(holders(&home.join("public")).is_empty());
    }
}
