//! Everything that was read is read again: when files change, and on SIGHUP.
//!
//! First all of it is read and built, then it is put in place, with two assignments: running connections and requests
//! keep what they began with. If anything cannot be used, what is in force stays, and the reason is shown, once for
//! each state of the files.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast::{ServerContext, format_utc};
use handfast_https::server::Running;
use handfast_site::Sites;

use super::args::Args;
use super::certificates::{Origin, Remarks, SiteIdentities};
use super::config::{self, Config};
use super::context::{self, Prepared, Template};
use super::held::Held;
use super::listen::{Listeners, Plan};
use super::log;
use super::names;
use super::numbers::{self, Numbers};
use super::once::is_pipe;
use super::sandbox;
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
    listeners: Listeners,
    /// The addresses of this machine when certificates were made.
    addresses: Vec<IpAddr>,
    asked: Instant,
    /// What was told of a renewal that failed, so that it is told once.
    renewal_failed: Option<String>,
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
    pub(super) addresses: Vec<IpAddr>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) status: Option<Arc<Running>>,
    pub(super) listeners: Listeners,
}

/// The configuration file, to be looked at before it is read.
pub(super) fn watch_configuration(args: &Args) -> Watch {
    let mut paths: Vec<PathBuf> = args.configuration.config.iter().cloned().collect();
    paths.retain(|path| !is_pipe(path));
    Watch::new(paths)
}

/// The files that the settings name, to be looked at before they are read.
pub(super) fn watched(settings: &Settings) -> Vec<PathBuf> {
    let mut paths = context::watched(settings);
    paths.retain(|path| !is_pipe(path));
    paths
}

/// What was read and built, and is not in force yet.
struct Next {
    config: Option<Config>,
    settings: Settings,
    prepared: Prepared,
    remarks: Remarks,
    addresses: Vec<IpAddr>,
    log: log::Common,
    listeners: Plan,
}

/// Why everything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// By a signal.
    Asked,
    /// Files have changed.
    Files,
    /// A certificate of the local authority is old.
    Renewal,
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
            listeners: start.listeners,
            addresses: start.addresses,
            asked: Instant::now(),
            renewal_failed: None,
            given,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Another process serves from now on.
    pub(super) fn leave(&self) {
        self.listeners.leave();
    }

    /// Looks at the files, the lists and the clock; to be called once a second.
    pub(super) async fn look(&mut self, running: &Running) {
        match self.watch.look() {
            Change::Read => return self.read(running, Reason::Files).await,
            Change::Restored => {
                self.note("the files that were refused are gone; nothing has changed")
            }
            Change::None => {}
        }
        if self.is_renewal_due() {
            self.asked = Instant::now();
            return self.renew(running).await;
        }
        self.look_at_lists(running);
    }

    /// Reads everything now.
    pub(super) async fn ask(&mut self, running: &Running) {
        self.look_at_lists(running);
        self.read(running, Reason::Asked).await;
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
                let of_status = self.template.build_for_status(&context);
                self.replace_context(running, context, of_status.ok());
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

    fn replace_context(
        &mut self,
        running: &Running,
        context: ServerContext,
        of_status: Option<ServerContext>,
    ) {
        if let (Some(status), Some(context)) = (&self.status, of_status) {
            status.replace_context(context);
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
        let sites = self.identities.sites.iter().flatten();
        let local = sites.chain(&self.identities.status);
        let is_old = local
            .filter(|one| one.origin == Origin::Local)
            .map(|one| one.facts())
            .any(|facts| is_old(facts.not_before, facts.not_after, now));
        is_old || (self.identities.names_addresses && names::addresses() != self.addresses)
    }

    async fn read(&mut self, running: &Running, reason: Reason) {
        let mut before = watch_configuration(&self.args);
        match self.prepare(&mut before).await {
            Ok(next) => {
                self.put_in_place(running, next, reason);
                before.complete();
                self.watch.accept(before);
            }
            Err(failures) => {
                self.numbers.reloaded(false);
                output::warning("not reloaded, what was in force before stays in force:");
                for failure in failures {
                    output::failure(&sandbox::explained(failure, &self.settings));
                }
                self.watch.refuse(before);
            }
        }
    }

    /// Has the local authority issue what is due, by the settings in force: files that have changed are another matter.
    async fn renew(&mut self, running: &Running) {
        match self.build(self.config.clone(), self.settings.clone()).await {
            Ok(next) => self.put_in_place(running, next, Reason::Renewal),
            Err(failures) => {
                self.numbers.reloaded(false);
                if self.is_new_failure(&failures) {
                    output::warning("not renewed, what was in force before stays in force:");
                    for failure in failures {
                        output::failure(&sandbox::explained(failure, &self.settings));
                    }
                }
            }
        }
    }

    /// Whether the renewal before did not fail with the same.
    fn is_new_failure(&mut self, failures: &[Failure]) -> bool {
        let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
        let text = Some(texts.join("\n"));
        let is_new = self.renewal_failed != text;
        self.renewal_failed = text;
        is_new
    }

    /// Reads and builds everything. Changes nothing that is in force. Files are added to `before` before they are read.
    async fn prepare(&mut self, before: &mut Watch) -> Result<Next, Vec<Failure>> {
        let config = match &self.args.configuration.config {
            Some(path) if !is_pipe(path) => Some(Config::read(path)?),
            _ => self.config.clone(),
        };
        let text = config.as_ref().map(|config| &config.text);
        let settings = settings::resolve(&self.args, config.as_ref())
            .map_err(|problems| config::shown(problems, text))?;
        before.add(watched(&settings));
        self.build(config, settings).await
    }

    /// Reads what the settings name, and builds everything of it.
    async fn build(
        &mut self,
        config: Option<Config>,
        settings: Settings,
    ) -> Result<Next, Vec<Failure>> {
        let mut remarks = Remarks::default();
        let addresses = names::addresses();
        for path in self.held.logs.closed(&settings) {
            // Otherwise it is an error when it is opened.
            if let Some(file) = self.listeners.open_log(&path).await {
                self.held.logs.give(&path, file);
            }
        }
        let prepared = context::prepare(
            &settings,
            &mut self.held,
            self.open_files_max,
            Some(&self.context),
            &mut remarks,
        );
        let text = config.as_ref().map(|config| &config.text);
        let prepared = prepared.map_err(|problems| config::shown(problems, text))?;
        let log = self.held.logs.open_common(&settings.log);
        let log = log.map_err(|problem| config::shown(vec![*problem], text))?;
        // Last, because clients can connect from now on.
        let listeners = self.listeners.open(&settings).await;
        let listeners = listeners.map_err(|problems| config::shown(problems, text))?;
        Ok(Next {
            config,
            settings,
            prepared,
            remarks,
            addresses,
            log,
            listeners,
        })
    }

    fn put_in_place(&mut self, running: &Running, next: Next, reason: Reason) {
        let Next {
            config,
            settings,
            prepared,
            remarks,
            addresses,
            log,
            listeners,
        } = next;
        self.held.logs.replace_common(log);
        self.sites.replace(prepared.sites);
        self.replace_context(running, prepared.context, Some(prepared.of_status));
        // Not before: they are served by what is in force now.
        let listeners = self.listeners.put_in_place(listeners, running);
        self.numbers.reloaded(true);
        self.numbers
            .set_certificates(numbers::certificates(&prepared.identities));
        let changes = changes(&self.identities, &prepared.identities, &settings);
        let is_other = settings != self.settings;
        let needs_restart = settings::needs_restart(&self.first, &settings);
        self.settings = settings;
        self.template = prepared.template;
        self.identities = prepared.identities;
        self.addresses = addresses;
        self.config = config;
        self.renewal_failed = None;
        self.held.forget_unused(&self.settings);
        for change in changes.iter().chain(&listeners.notes) {
            self.note(change);
        }
        if is_other {
            self.note("reloaded: the configuration in force has changed");
        } else if reason == Reason::Asked || (reason == Reason::Files && changes.is_empty()) {
            self.note("reloaded");
        }
        if is_other && !needs_restart.is_empty() {
            output::warning(format!(
                "{} changed: this takes effect with the next start",
                needs_restart.join(", ")
            ));
        }
        for warning in &listeners.warnings {
            output::warning(warning);
        }
        let text = self.config.as_ref().map(|config| &config.text);
        for warning in remarks.shown(text) {
            if self.given.insert(warning.clone()) {
                output::warning(warning);
            }
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
    use clap::Parser as _;
    use handfast_https::server::{Server, ServerConfig};

    use super::super::listen::{Beginning, Opener};
    use super::super::takeover::Claim;
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Serve {
        #[command(flatten)]
        args: Args,
    }

    /// A server with a certificate of a local authority in `place`, and what reloads it.
    fn serving(place: &std::path::Path) -> (Running, Reload) {
        let text = |name: &str| place.join(name).display().to_string();
        std::fs::create_dir(place.join("public")).unwrap();
        let content = format!(
            "ca_dir = {:?}\n[log]\nevents = \"none\"\n[[site]]\nroot = {:?}\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\n",
            text("ca"),
            text("public")
        );
        std::fs::write(place.join("handfast.toml"), content).unwrap();
        let args = ["serve", "--config", &text("handfast.toml")];
        let args = Serve::try_parse_from(args).unwrap().args;
        let mut watch = watch_configuration(&args);
        let (settings, config) = super::super::reading::read(&args).unwrap();
        watch.add(watched(&settings));
        let (mut held, mut remarks) = (Held::default(), Remarks::default());
        let prepared = context::prepare(&settings, &mut held, 0, None, &mut remarks).unwrap();
        watch.complete();
        let sites = Sites::new(prepared.sites.clone());
        let beginning = Beginning::of(&settings, &mut Claim::default()).unwrap();
        let server =
            ServerConfig::new(prepared.context.clone()).threads(std::num::NonZero::<usize>::MIN);
        let server = beginning
            .listeners
            .into_iter()
            .fold(server, ServerConfig::listener);
        let running = Server::bind(server, sites.clone())
            .unwrap()
            .start()
            .unwrap();
        let start = Start {
            args,
            config,
            settings,
            held,
            open_files_max: 0,
            watch,
            addresses: Vec::new(),
            numbers: Numbers::new(),
            status: None,
            listeners: Listeners::new(beginning.counts, &running, Opener::Here(1)),
        };
        (running, Reload::new(start, prepared, sites, &remarks))
    }

    #[test]
    fn a_renewal_that_fails_is_told_once_and_is_no_matter_of_files() {
        let place = tempfile::tempdir().unwrap();
        let (running, mut reload) = serving(place.path());
        let serial = |reload: &Reload| {
            let shown = reload.identities.sites[0].first().unwrap();
            shown.facts().serial.clone()
        };
        let first = serial(&reload);
        // The authority that it has made is no change.
        assert_eq!(
            (reload.watch.look(), reload.watch.look()),
            (Change::None, Change::None)
        );
        let (key, aside) = (place.path().join("ca/ca.key"), place.path().join("key"));
        std::fs::rename(&key, &aside).unwrap();
        std::fs::remove_dir_all(place.path().join("ca/certs")).unwrap();
        let runtime = crate::runtime::current_thread().unwrap();
        let (config, settings) = (reload.config.clone(), reload.settings.clone());
        let failures = runtime.block_on(reload.build(config, settings));
        let failures = failures.err().unwrap();
        assert!(reload.is_new_failure(&failures));
        for _ in 0..2 {
            runtime.block_on(reload.renew(&running));
            assert!(!reload.is_new_failure(&failures));
            // Nothing was refused that could be restored.
            assert_eq!(reload.watch.look(), Change::None);
        }
        assert_eq!(serial(&reload), first);
        std::fs::rename(&aside, &key).unwrap();
        // A configuration that cannot be used keeps no certificate from being renewed.
        std::fs::write(place.path().join("handfast.toml"), "unknown = 1\n").unwrap();
        runtime.block_on(reload.renew(&running));
        assert_ne!(serial(&reload), first);
        assert!(reload.is_new_failure(&failures), "it is told again");
    }

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
