//! Once everything is open, the process gives up what serving does not need: the second wall behind the safe resolution of
//! paths.
//!
//! It keeps what it reads again: the roots, certificates and the configuration, each with the directory that holds it, because
//! a directory that is built again, or a link that is switched, leads to something new in there. A holder that holds much more than
//! that (`/`, `/etc`, a home directory) is not kept. What this means for a file in such a directory is shown at the start: the file is
//! kept, another one in its place is not. Roots are built again as a matter of course, so what holds one is kept also if it holds
//! other sites or other files that are not the system's (`/srv`, the user's own home), and that is shown.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{Explanation, format_utc};
use handfast_confine::{ConfineError, Confined, Confinement, Enforcement};

use super::args::Args;
use super::certificates::{Origin, Remarks, SiteIdentities};
use super::config::{Address, At, Place};
use super::context;
use super::last_read::is_closed;
use super::settings::Settings;
use super::warnings::Warning;
use crate::data_dir;
use crate::failure::{Failure, code};
use crate::output;

/// Directories that hold far more than what is served from them, or logged to.
const BROAD: [&str; 22] = [
    "/",
    "/dev",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/usr/local/etc",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// Those of them in which a root lies that is built again: what holds it is kept for that.
const HOLDS_ROOTS: [&str; 9] = [
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    "/tmp",
    "/usr/local",
    "/usr/share",
    "/var/lib",
    "/var/tmp",
];

/// In these, names stand for devices and open descriptors (`/dev/stdout`, `/proc/self/fd/3`): another file never takes their place.
const OF_THE_SYSTEM: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The most paths in a message.
const PATHS_SHOWN_MAX: usize = 5;

/// Threads of the allocator, which begin with the process and run nothing of ours.
const ALLOCATOR: &str = "jemalloc_bg_thd";

/// How long a thread that is about to end is waited for: one that gathers random bits takes some 30 ms.
const ENDING: Duration = Duration::from_secs(2);

/// Confines the process, before it has threads that serve.
pub(super) fn enter(
    args: &Args,
    settings: &Settings,
    identities: &SiteIdentities,
) -> Result<(), Failure> {
    // Looked at while everything can be read.
    let has_authority = context::has_local_authority(settings);
    let mut beside = BTreeSet::new();
    let confinement = match settings.sandbox {
        true => {
            let kept = Kept::of(args, settings);
            kept.tell(settings);
            beside = kept.beside();
            kept.confinement()
        }
        false => Confinement::unrestricted(),
    };
    if !settings.sandbox && settings.user.is_none() {
        return Ok(());
    }
    let confined = apply(with_user(confinement, settings)?);
    let confined = confined.map_err(|error| failure(&error))?;
    tell(settings, &confined, &beside);
    if let Some(user) = &settings.user {
        let all = closed_to(user, has_authority, args, settings, Some(identities));
        for warning in all {
            output::warning(warning.text);
        }
    }
    Ok(())
}

/// Applies it once threads that are about to end have ended.
pub(super) fn apply(confinement: Confinement) -> Result<Confined, ConfineError> {
    let confinement = confinement.with_harmless_threads(ALLOCATOR);
    let deadline = Instant::now() + ENDING;
    loop {
        match confinement.apply() {
            Err(ConfineError::SeveralThreads(_)) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

/// Judges as the user that the server is to become. This process becomes it for that: nothing else can be read afterwards.
pub(super) fn check(
    args: &Args,
    settings: &Settings,
    remarks: &mut Remarks,
) -> Result<(), Failure> {
    let Some(user) = &settings.user else {
        return Ok(());
    };
    let has_authority = context::has_local_authority(settings);
    let confinement = with_user(Confinement::unrestricted(), settings)?;
    if !is_root() {
        let user = handfast::escape_control(user);
        let note = format!("what {user} can read was not checked: only root can become {user}");
        remarks.notes.push(note);
        return Ok(());
    }
    apply(confinement).map_err(|error| failure(&error))?;
    let all = closed_to(user, has_authority, args, settings, None);
    remarks.warnings.extend(all);
    Ok(())
}

/// A failure to read something again, with what it may be due to.
pub(super) fn explained(mut failure: Failure, settings: &Settings) -> Failure {
    let is_refused = |line: &String| line.contains("ermission denied");
    let explanation = &failure.explanation;
    if !is_refused(&explanation.what) && !explanation.evidence.iter().any(is_refused) {
        return failure;
    }
    if let Some(user) = &settings.user {
        let fix = format!("since its start the server is {user}, who must be able to read it");
        failure.explanation = failure.explanation.with_fix(fix);
    }
    if settings.sandbox {
        failure.explanation = failure.explanation.with_fix(
            "since its start the server can read only what it read then, and what is beside that: restart it, or use --no-sandbox",
        );
    }
    failure
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

#[cfg(unix)]
fn is_root() -> bool {
    handfast_confine::Account::is_possible()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(not(unix))]
fn with_user(confinement: Confinement, settings: &Settings) -> Result<Confinement, Failure> {
    match &settings.user {
        None => Ok(confinement),
        Some(name) => Err(failure(&ConfineError::NoAccount(name.clone()))),
    }
}

/// What the server reads and writes as long as it runs.
#[derive(Debug, Default)]
struct Kept {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
    /// Those of `read` that hold what is read.
    holders: BTreeSet<PathBuf>,
    /// Directories that hold much else and can be read because of a root in them, which comes second.
    broad: Vec<(PathBuf, PathBuf)>,
    /// What is read again, while another one in its place could not be.
    fixed: BTreeSet<PathBuf>,
    /// Logs that could not be opened again.
    fixed_logs: BTreeSet<PathBuf>,
    /// Unix sockets whose file cannot be removed.
    fixed_sockets: BTreeSet<PathBuf>,
}

impl Kept {
    fn of(args: &Args, settings: &Settings) -> Self {
        let mut kept = Self::default();
        for site in &settings.sites {
            if site.files.follow_links {
                kept.read.insert(PathBuf::from("/"));
            }
            let Some(At { value: root, .. }) = &site.root else {
                continue;
            };
            kept.reads(root);
            // Otherwise a root that is built again could not be served.
            for holder in holders(root)
                .broad
                .into_iter()
                .filter(|one| holds_roots(one))
            {
                kept.read.insert(holder.clone());
                kept.broad.push((holder, root.clone()));
            }
        }
        for path in read_again(args, settings) {
            kept.reads(&path);
        }
        for path in settings.log_files().into_iter().map(|log| log.value) {
            kept.write.insert(path.clone());
            // For rotation: the file is opened again after it was renamed.
            let holders = holders(&path);
            kept.write.extend(holders.kept);
            if !holders.broad.is_empty() {
                kept.fixed_logs.insert(path);
            }
        }
        if let Some(path) = &settings.key_log {
            kept.write.insert(path.value.clone());
        }
        // Certificates and lists of the local authority are renewed.
        if context::has_local_authority(settings)
            && let Ok(directory) = data_dir::ca_dir(settings.ca_dir.clone())
        {
            kept.write.insert(directory);
        }
        // The file of a Unix socket is removed at the end.
        let listeners = settings.listeners.iter();
        let listeners = listeners.filter_map(|listener| match &listener.address.value {
            Address::Unix(path) => Some(path),
            _ => None,
        });
        for path in listeners.chain(&settings.takeover) {
            let holders = holders(path);
            kept.write.extend(holders.kept);
            if !holders.broad.is_empty() {
                kept.fixed_sockets.insert(path.clone());
            }
        }
        let uploads = settings.sites.iter().flat_map(|site| &site.answers.upload);
        let uploads = uploads.map(|table| table.value.directory.value.0.clone());
        kept.write.extend(uploads);
        // What holds them may be kept for something else.
        let is_kept = |path: &Path, by: &BTreeSet<PathBuf>| {
            let holder = std::path::absolute(path).ok();
            let holder = holder.and_then(|path| path.parent()?.canonicalize().ok());
            holder.is_some_and(|holder| by.iter().any(|kept| is_in(&holder, kept)))
        };
        let Self { read, write, .. } = &kept;
        let (read, write) = (read.clone(), write.clone());
        kept.fixed
            .retain(|path| !is_kept(path, &read) && !is_kept(path, &write));
        kept.fixed_logs.retain(|path| !is_kept(path, &write));
        kept.fixed_sockets.retain(|path| !is_kept(path, &write));
        kept
    }

    fn reads(&mut self, path: &Path) {
        let holders = holders(path);
        self.read.insert(path.to_owned());
        self.holders.extend(holders.kept.iter().cloned());
        self.read.extend(holders.kept);
        if !holders.broad.is_empty() {
            self.fixed.insert(path.to_owned());
        }
    }

    /// The directories that can be read because of what they hold; not those in others of them.
    fn beside(&self) -> BTreeSet<PathBuf> {
        let all = || self.read.iter().chain(&self.write);
        let beside = self.holders.iter();
        let beside = beside.filter(|one| !all().any(|kept| kept != *one && is_in(one, kept)));
        beside.cloned().collect()
    }

    fn confinement(self) -> Confinement {
        let exists = |path: &PathBuf| path.exists();
        let read = self.read.into_iter().filter(exists);
        let confinement = read.fold(Confinement::new(), Confinement::read);
        let write = self.write.into_iter().filter(exists);
        write.fold(confinement, Confinement::write)
    }

    /// What the operator would not expect of a server.
    fn tell(&self, settings: &Settings) {
        if !self.fixed_logs.is_empty() {
            output::warning(format!(
                "after log rotation the server cannot create its log again: {}; log to a file in a directory that holds little else, or use --no-sandbox",
                list(&self.fixed_logs)
            ));
        }
        if settings.log.is_quiet() {
            return;
        }
        for (holder, root) in &self.broad {
            output::note(format!(
                "the server can read all of {}, which holds {}: in a directory of its own it is confined to that",
                shown(holder),
                shown(root)
            ));
        }
        if !self.fixed.is_empty() {
            output::note(format!(
                "if one of these is replaced while the server runs, the new one cannot be read: {}; keep them in a directory that holds little else, or use --no-sandbox",
                list(&self.fixed)
            ));
        }
        if !self.fixed_sockets.is_empty() {
            output::note(format!(
                "the server cannot remove its socket when it ends: {}; keep it in a directory that holds little else, or use --no-sandbox",
                list(&self.fixed_sockets)
            ));
        }
    }
}

/// What is read again by its name, besides the roots.
fn read_again(args: &Args, settings: &Settings) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<_> = context::watched(settings).into_iter().collect();
    paths.extend(args.configuration.config.iter().cloned());
    for site in &settings.sites {
        paths.extend(site.clients.crl.iter().map(|list| list.value.clone()));
    }
    paths
}

fn shown(path: &Path) -> String {
    handfast::escape_control(&path.display().to_string()).into_owned()
}

fn list(paths: &BTreeSet<PathBuf>) -> String {
    let mut text = paths.iter().take(PATHS_SHOWN_MAX).map(|path| shown(path));
    let text = text.by_ref().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(PATHS_SHOWN_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn is_in(path: &Path, directory: &Path) -> bool {
    let directory = directory.canonicalize();
    directory.is_ok_and(|directory| path.starts_with(directory))
}

/// Whether a directory that holds much else is kept because of a root in it: not one of the system's.
fn holds_roots(directory: &Path) -> bool {
    let is = |found: Option<PathBuf>| {
        let found = found.and_then(|found| found.canonicalize().ok());
        found.is_some_and(|found| found == directory && found.parent().is_some())
    };
    is(std::env::home_dir())
        || is(Some(std::env::temp_dir()))
        || HOLDS_ROOTS
            .iter()
            .any(|known| directory == Path::new(known))
}

/// The directories that hold what a path names, and what it leads to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Holders {
    kept: Vec<PathBuf>,
    /// Those that hold much else, and are not kept.
    broad: Vec<PathBuf>,
}

fn holders(path: &Path) -> Holders {
    let mut found = Holders::default();
    // "." and "/" are in nothing that could hold another of the name.
    if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
        return found;
    }
    let Ok(absolute) = std::path::absolute(path) else {
        return found;
    };
    if OF_THE_SYSTEM.iter().any(|root| absolute.starts_with(root)) {
        return found;
    }
    let target = path.canonicalize().ok();
    let target = target.filter(|target| !OF_THE_SYSTEM.iter().any(|root| target.starts_with(root)));
    for path in [Some(absolute), target].into_iter().flatten() {
        let Some(holder) = path.parent().and_then(|holder| holder.canonicalize().ok()) else {
            continue;
        };
        let list = match is_broad(&holder) {
            true => &mut found.broad,
            false => &mut found.kept,
        };
        if !list.contains(&holder) {
            list.push(holder);
        }
    }
    found
}

fn is_broad(directory: &Path) -> bool {
    let home = std::env::home_dir();
    let is_home = directory.parent() == Some(Path::new("/home"));
    let is_own = home.is_some_and(|home| home.starts_with(directory));
    let temporary = std::env::temp_dir().canonicalize();
    is_home
        || is_own
        || temporary.is_ok_and(|temporary| temporary == directory)
        || BROAD.iter().any(|broad| directory == Path::new(broad))
}

/// What is closed to the user that this process has become. `identities`: of a server.
fn closed_to(
    user: &str,
    has_authority: bool,
    args: &Args,
    settings: &Settings,
    identities: Option<&SiteIdentities>,
) -> Vec<Warning> {
    let user = handfast::escape_control(user);
    let mut warnings = Vec::new();
    let mut add = |is_fatal, text| {
        warnings.push(Warning {
            place: Place::Unset,
            text,
            is_fatal,
        });
    };
    let authority = data_dir::ca_dir(settings.ca_dir.clone()).ok();
    let authority = authority.filter(|_| has_authority);
    if let Some(directory) = authority.as_ref().filter(|directory| is_closed(directory)) {
        let local = identities
            .into_iter()
            .flat_map(|all| all.sites.iter().flatten().chain(&all.status));
        let local = local.filter(|one| one.origin == Origin::Local);
        let until = local.map(|one| one.facts().not_after).min();
        let what = match until {
            Some(until) => format!(
                "the server's certificate, which expires on {},",
                format_utc(until)
            ),
            None => "what it has issued".to_owned(),
        };
        let text = format!(
            "{user} cannot read the local authority in {}: {what} is not renewed while the server runs; restart it in time, or let {user} read and write there",
            shown(directory)
        );
        add(false, text);
    }
    let roots = settings.roots().filter(|root| is_closed(root));
    let roots: BTreeSet<_> = roots.cloned().collect();
    if !roots.is_empty() {
        let text = format!(
            "{user} cannot read {}: nothing is found there; let {user} read these directories",
            list(&roots)
        );
        add(true, text);
    }
    let certificate = authority.map(|directory| directory.join("ca.pem"));
    let is_for_clients = settings.sites.iter().any(|site| site.clients.ca.is_some());
    let closed: BTreeSet<_> = read_again(args, settings)
        .into_iter()
        .filter(|path| is_for_clients || certificate.as_ref() != Some(path))
        .filter(|path| is_closed(path))
        .collect();
    let config = args.configuration.config.as_ref();
    let (config, files): (BTreeSet<_>, BTreeSet<_>) =
        closed.into_iter().partition(|path| config == Some(path));
    if !config.is_empty() {
        let text = format!(
            "{user} cannot read {}: nothing can be read again while the server runs; let {user} read this file",
            list(&config)
        );
        add(true, text);
    }
    if !files.is_empty() {
        let text = format!(
            "{user} cannot read {}: what they hold stays in use, and once one of them has changed, nothing is read again before the server is restarted; let {user} read these files, or restart the server when they change",
            list(&files)
        );
        add(true, text);
    }
    let logs = settings.log_files().into_iter().map(|log| log.value);
    let logs = logs.filter(|log| {
        let is_of_system = OF_THE_SYSTEM.iter().any(|root| log.starts_with(root));
        let holder = log.parent().filter(|holder| !holder.as_os_str().is_empty());
        !is_of_system && !may_create_in(holder.unwrap_or_else(|| Path::new(".")))
    });
    let logs: BTreeSet<_> = logs.collect();
    if !logs.is_empty() {
        let text = format!(
            "{user} cannot create {} again once it was renamed, as log rotation does: let the rotation create it for {user} (logrotate: create, or copytruncate), or log to a directory in which {user} may write",
            list(&logs)
        );
        add(false, text);
    }
    warnings
}

/// May this process create files in the directory?
#[cfg(unix)]
fn may_create_in(directory: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn may_create_in(_: &Path) -> bool {
    true
}

/// `beside`: the directories that can be read because of what they hold.
fn tell(settings: &Settings, confined: &Confined, beside: &BTreeSet<PathBuf>) {
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
        _ => {
            output::note(format!("confined: {confined}"));
            if !beside.is_empty() && confined.files != Enforcement::Unsupported {
                output::note(format!(
                    "beside the given files it can read everything in {}, so that it finds those that take their place",
                    list(beside)
                ));
            }
        }
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

#[cfg(all(test, target_os = "linux"))]
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
        let found = holders(&current);
        assert_eq!(found.kept, [place.join("site"), place.join("releases")]);
        assert!(found.broad.is_empty());
        let home = std::env::home_dir().unwrap().join("public");
        let temporary = std::env::temp_dir().join("public");
        for broad in [
            "/etc/passwd",
            "/srv/www",
            "/home/someone/public",
            "/tmp/site",
            "/var/log/access.log",
            "/var/lib/site",
            "/opt/site",
            home.to_str().unwrap(),
            temporary.to_str().unwrap(),
        ] {
            let path = Path::new(broad);
            let found = holders(path);
            assert!(found.kept.is_empty(), "{broad}: {found:?}");
            let exists = path.parent().unwrap().exists();
            assert_eq!(!found.broad.is_empty(), exists, "{broad}");
        }
        for (directory, expected) in [
            ("/srv", true),
            ("/var/lib", true),
            ("/opt", true),
            ("/", false),
            ("/etc", false),
            ("/home", false),
            ("/home/someone", false),
        ] {
            let directory = Path::new(directory);
            let is_own = std::env::home_dir().is_some_and(|home| home == directory);
            assert!(is_broad(directory));
            assert_eq!(holds_roots(directory), expected || is_own, "{directory:?}");
        }
        for alone in ["/", ".", "/dev/stdout", "/dev/fd/0", "/proc/self/fd/0"] {
            assert_eq!(holders(Path::new(alone)), Holders::default(), "{alone}");
        }
        // A link to a device is replaced where it is.
        std::os::unix::fs::symlink("/dev/full", place.join("full")).unwrap();
        assert_eq!(holders(&place.join("full")).kept, [place]);
    }

    /// What is kept of a server with these arguments, which has its authority there.
    fn kept(arguments: &[&str], authority: &Path) -> Kept {
        #[derive(Debug, clap::Parser)]
        struct Serve {
            #[command(flatten)]
            args: Args,
        }
        let arguments = ["serve"].iter().chain(arguments);
        let args = <Serve as clap::Parser>::parse_from(arguments).args;
        let mut settings = crate::command::serve::settings::resolve(&args, None).unwrap();
        settings.ca_dir = Some(authority.to_owned());
        Kept::of(&args, &settings)
    }

    #[test]
    fn the_local_authority_can_renew_its_list_however_it_was_named() {
        let place = tempfile::tempdir().unwrap();
        let (authority, root) = (place.path().join("ca"), place.path().join("public"));
        std::fs::create_dir(&root).unwrap();
        let options = handfast_ca::InitOptions::default();
        handfast_ca::Authority::init(&authority, &options).unwrap();
        let (certificate, copy) = (authority.join("ca.pem"), place.path().join("copy.pem"));
        std::fs::copy(&certificate, &copy).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (certificate, copy, root) = (text(&certificate), text(&copy), text(&root));
        for (client_ca, demand, expected) in [
            ("local", "required", true),
            (&*certificate, "optional", true),
            (&*certificate, "none", false),
            (&*copy, "required", false),
        ] {
            let clients = ["--client-ca", client_ca, "--client-auth", demand];
            let arguments = [&["--cert", &*copy, &*root], &clients[..]].concat();
            let kept = kept(&arguments, &authority);
            assert_eq!(kept.write.contains(&authority), expected, "{arguments:?}");
        }
        assert!(kept(&[&root], &authority).write.contains(&authority));
    }

    #[test]
    fn what_another_file_may_take_the_place_of_unseen_is_told() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("public");
        std::fs::create_dir(&root).unwrap();
        let root = root.to_str().unwrap();
        let arguments = [
            root,
            "--cert",
            "/etc/chain.pem",
            "--key",
            "/etc/keys/key.pem",
            "--log",
            "/var/log/access.log",
            "--audit",
            "/dev/stdout",
            "--listen",
            "unix:/run/handfast",
        ];
        let kept = kept(&arguments, place.path());
        let paths = |set: &BTreeSet<PathBuf>| {
            let exists = set.iter().filter(|path| path.parent().unwrap().exists());
            exists.map(|path| shown(path)).collect::<Vec<_>>()
        };
        assert_eq!(paths(&kept.fixed), ["/etc/chain.pem"]);
        assert_eq!(paths(&kept.fixed_logs), ["/var/log/access.log"]);
        assert_eq!(paths(&kept.fixed_sockets), ["/run/handfast"]);
        assert!(kept.read.contains(place.path()), "the holder of the root");
        for broad in ["/dev", "/etc", "/run", "/var/log"].map(PathBuf::from) {
            assert!(!kept.read.contains(&broad) && !kept.write.contains(&broad));
        }
    }
}
