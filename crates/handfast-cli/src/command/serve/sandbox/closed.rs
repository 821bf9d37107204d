//! What is closed to the user that the server becomes.

use std::collections::BTreeSet;
use std::path::Path;

use handfast::format_utc;

use super::holders::OF_THE_SYSTEM;
use super::kept::read_again;
use super::words::{list, shown};
use crate::command::serve::args::Args;
use crate::command::serve::certificates::{Origin, SiteIdentities};
use crate::command::serve::config::Place;
use crate::command::serve::last_read::is_closed;
use crate::command::serve::settings::Settings;
use crate::command::serve::warnings::Warning;
use crate::data_dir;

/// What is closed to the user that this process has become. `identities`: of a server.
pub(super) fn closed_to(
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
