//! Everything that was read is read again: when files change, and on SIGHUP.
//!
//! First all of it is read and built, then it is put in place, with two assignments: running connections and requests
//! keep what they began with. If anything cannot be used, what is in force stays, and the reason is shown, once for
//! each state of the files.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast::{ServerContext, format_utc};
use handfast_https::server::Running;
use handfast_site::Sites;

use super::args::Args;
use super::config::{self, Config, Problem, Text};
use super::context::{self, Prepared, Template};
use super::held::{Held, is_pipe};
use super::identities::{Origin, Remarks, SiteIdentities};
use super::names;
use super::numbers::{self, Numbers};
use super::settings::{self, Settings};
use super::watch::{Change, Watch};
use crate::clock::unix_now;
use crate::failure::Failure;
use crate::output;

/// How often the addresses of this machine are looked at, and a renewal that failed is tried again.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// What is in force, and how it was made.
pub(super) struct Reload {
    args: Args,
    /// Not read again if it is a pipe.
    config: Option<Config>,
    settings: Settings,
    /// Those that the server began with, some of which cannot change.
    first: Settings,
    held: Held,
    open_files_max: usize,
    template: Template,
    context: ServerContext,
    identities: SiteIdentities,
    sites: Sites,
    watch: Watch,
    numbers: Arc<Numbers>,
    /// The status listener, which has the same context.
    status: Option<Arc<Running>>,
    /// The addresses of this machine when certificates were made.
    addresses: Vec<std::net::IpAddr>,
    asked: Instant,
    /// Warnings that were already given.
    given: HashSet<String>,
}

/// What a server begins with.
pub(super) struct Start {
    pub(super) args: Args,
    pub(super) config: Option<Config>,
    pub(super) settings: Settings,
    pub(super) held: Held,
    pub(super) open_files_max: usize,
    /// From before the files were read.
    pub(super) watch: Watch,
    pub(super) numbers: Arc<Numbers>,
    pub(super) status: Option<Arc<Running>>,
}

/// All files that were read: of the configuration, and those that it names.
pub(super) fn watch(args: &Args, settings: &Settings) -> Watch {
    let mut paths: Vec<PathBuf> = args.configuration.config.iter().cloned().collect();
    paths.extend(context::watched(settings));
    paths.retain(|path| !is_pipe(path));
    Watch::new(paths)
}

impl Reload {
    /// What was prepared is in force now.
    pub(super) fn new(start: Start, prepared: Prepared, sites: Sites, remarks: &Remarks) -> Self {
        let text = start.config.as_ref().map(|config| &config.text);
        let given = remarks.shown(text).into_iter().collect();
        let mut held = start.held;
        held.runs();
        Self {
            args: start.args,
            config: start.config,
            first: start.settings.clone(),
            settings: start.settings,
            held,
            open_files_max: start.open_files_max,
            template: prepared.template,
            context: prepared.context,
            identities: prepared.identities,
            sites,
            watch: start.watch,
            numbers: start.numbers,
            status: start.status,
            addresses: names::addresses(),
            asked: Instant::now(),
            given,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Looks at the files, the lists and the clock; to be called once a second.
    pub(super) fn look(&mut self, running: &Running) {
        match self.watch.look() {
            Change::Read => return self.read(running, false),
            Change::Restored => {
                self.note("the files that were refused are gone; nothing has changed")
            }
            Change::None => {}
        }
        if self.is_renewal_due() {
            self.asked = Instant::now();
            return self.read(running, false);
        }
        self.look_at_lists(running);
    }

    /// Reads everything now.
    pub(super) fn ask(&mut self, running: &Running) {
        self.look_at_lists(running);
        self.read(running, true);
    }

    fn look_at_lists(&mut self, running: &Running) {
        let look = self.template.look_at_lists();
        for warning in &look.warnings {
            output::warning(warning);
        }
        if !look.changed {
            return;
        }
        match self.template.build(Some(&self.context)) {
            Ok(context) => {
                self.numbers.reloaded(true);
                self.replace_context(running, context);
                look.notes.iter().for_each(|note| self.note(note));
            }
            Err(error) => {
                self.numbers.reloaded(false);
                output::warning(format!(
                    "the changed revocation lists cannot be used: {}",
                    error.explain().what
                ));
            }
        }
    }

    fn replace_context(&mut self, running: &Running, context: ServerContext) {
        if let Some(status) = &self.status {
            status.replace_context(context.clone());
        }
        running.replace_context(context.clone());
        self.context = context;
    }

    /// Whether a certificate of the local authority has less than a third of its time left, or this machine has other
    /// addresses than it names.
    fn is_renewal_due(&self) -> bool {
        if self.asked.elapsed() < RENEW_EVERY {
            return false;
        }
        let now = unix_now();
        let local = self.identities.sites.iter().flatten();
        let is_old = local
            .filter(|one| one.origin == Origin::Local)
            .map(|one| one.facts())
            .any(|facts| is_old(facts.not_before, facts.not_after, now));
        is_old || (self.identities.names_addresses && names::addresses() != self.addresses)
    }

    fn read(&mut self, running: &Running, was_asked: bool) {
        let mut before = None;
        match self.prepare(&mut before) {
            Ok((config, settings, prepared, remarks)) => {
                let before = before.unwrap_or_else(|| watch(&self.args, &settings));
                self.put_in_place(running, settings, prepared, was_asked);
                self.config = config;
                self.watch.accept(before);
                let text = self.config.as_ref().map(|config| &config.text);
                for warning in remarks.shown(text) {
                    if self.given.insert(warning.clone()) {
                        output::warning(warning);
                    }
                }
            }
            Err(failures) => {
                self.numbers.reloaded(false);
                output::warning("not reloaded, what was in force before stays in force:");
                for failure in &failures {
                    output::failure(failure);
                }
                let before = before.unwrap_or_else(|| watch(&self.args, &self.settings));
                self.watch.refuse(before);
            }
        }
    }

    /// Reads and builds everything. Changes nothing that is in force.
    #[allow(clippy::type_complexity)]
    fn prepare(
        &mut self,
        before: &mut Option<Watch>,
    ) -> Result<(Option<Config>, Settings, Prepared, Remarks), Vec<Failure>> {
        let config = match &self.args.configuration.config {
            Some(path) if !is_pipe(path) => Some(Config::read(path)?),
            _ => self.config.clone(),
        };
        let text = config.as_ref().map(|config| &config.text);
        let shown = |problems: Vec<Problem>, text: Option<&Text>| config::shown(problems, text);
        let settings = settings::resolve(&self.args, config.as_ref())
            .map_err(|problems| shown(problems, text))?;
        *before = Some(watch(&self.args, &settings));
        let mut remarks = Remarks::default();
        let prepared = context::prepare(
            &settings,
            &mut self.held,
            self.open_files_max,
            Some(&self.context),
            &mut remarks,
        )
        .map_err(|problems| shown(problems, text))?;
        Ok((config, settings, prepared, remarks))
    }

    fn put_in_place(
        &mut self,
        running: &Running,
        settings: Settings,
        prepared: Prepared,
        was_asked: bool,
    ) {
        self.sites.replace(prepared.sites);
        self.replace_context(running, prepared.context);
        self.numbers.reloaded(true);
        self.numbers
            .set_certificates(numbers::certificates(&prepared.identities));
        let changes = changes(&self.identities, &prepared.identities, &settings);
        let is_other = settings != self.settings;
        let needs_restart = settings::needs_restart(&self.first, &settings);
        self.settings = settings;
        self.template = prepared.template;
        self.identities = prepared.identities;
        self.addresses = names::addresses();
        self.held.forget_unused(&self.settings);
        for change in &changes {
            self.note(change);
        }
        if is_other {
            self.note("reloaded: the configuration in force has changed");
        } else if was_asked || changes.is_empty() {
            self.note("reloaded");
        }
        if is_other && !needs_restart.is_empty() {
            output::warning(format!(
                "{} changed: this takes effect with the next start",
                needs_restart.join(", ")
            ));
        }
    }

    fn note(&self, text: impl AsRef<str>) {
        if !self.settings.log.is_quiet() {
            output::note(text);
        }
    }
}

/// Whether less than a third of a certificate's time is left: then the authority issues another one.
fn is_old(not_before: i64, not_after: i64, now: i64) -> bool {
    not_after.saturating_sub(now).saturating_mul(3) < not_after.saturating_sub(not_before)
}

/// Which certificates are others.
fn changes(before: &SiteIdentities, now: &SiteIdentities, settings: &Settings) -> Vec<String> {
    let known: HashSet<[u8; 32]> = before
        .sites
        .iter()
        .flatten()
        .map(|one| one.facts().sha256)
        .collect();
    let mut told = HashSet::new();
    let mut lines = Vec::new();
    for (site, shown) in settings.sites.iter().zip(&now.sites) {
        for facts in shown.iter().map(|one| one.facts()) {
            if known.contains(&facts.sha256) || !told.insert(facts.sha256) {
                continue;
            }
            let name = match site.names.first() {
                Some(name) => name.value.clone(),
                None => facts
                    .names
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            };
            lines.push(format!(
                "certificate for {name}: in use now, valid until {}",
                format_utc(facts.not_after)
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_less_than_a_third_of_its_time_is_left() {
        for (now, expected) in [
            (0, false),
            (200, false),
            (201, true),
            (300, true),
            (999, true),
        ] {
            assert_eq!(is_old(0, 300, now), expected, "{now}");
        }
        assert!(!is_old(i64::MIN, i64::MAX, 0));
    }
}
