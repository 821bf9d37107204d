//! Once everything is open, the process gives up what serving does not need: the second wall behind the safe resolution of
//! paths.
//!
//! It keeps what it reads again: the roots, certificates and the configuration, each with the directory that holds it, because
//! a directory that is built again, or a link that is switched, leads to something new in there. A holder that holds much more than
//! that (`/`, `/etc`, a home directory) is not kept. What this means for a file in such a directory is shown at the start: the file is
//! kept, another one in its place is not. Roots are built again as a matter of course, so what holds one is kept also if it holds
//! other sites or other files that are not the system's (`/srv`, the user's own home), and that is shown.

mod closed;
mod holders;
mod kept;
#[cfg(target_os = "linux")]
mod listening;
mod words;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use handfast::Explanation;
use handfast_confine::{ConfineError, Confined, Confinement, Enforcement};

use self::closed::closed_to;
use self::kept::Kept;
#[cfg(target_os = "linux")]
pub(super) use self::listening::listening;
use self::words::list;
use super::args::Args;
use super::certificates::{Remarks, SiteIdentities};
use super::context;
use super::settings::Settings;
use crate::failure::{Failure, code};
use crate::output;

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
            let reads_beside = match confined.files {
                Enforcement::Full | Enforcement::Partial if !beside.is_empty() => {
                    format!(
                        "; all of {} can be read, to notice replaced files",
                        list(beside)
                    )
                }
                _ => String::new(),
            };
            output::note(format!("sandbox: {confined}{reads_beside}"));
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
