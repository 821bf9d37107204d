//! The access logs of sites that have one of their own.
//!
//! A site knows its log by a label, which stays the same as long as the server runs: a table of sites can be built before its logs
//! are opened.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};

use super::common::Common;
use super::outputs::{Outputs, next_number};
use super::request::Format;
use super::writer::Output;
use crate::command::serve::config::choices::LogFormat;
use crate::command::serve::config::{LogTarget, Problem};
use crate::command::serve::once::is_pipe;
use crate::command::serve::settings::{LogSettings, Settings, SiteLog};

/// The logs of a server's sites, with all of its outputs. Clones are the same.
#[derive(Clone, Default)]
pub(in crate::command::serve) struct SiteLogs {
    pub(super) outputs: Outputs,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By label. Read for every request, without a lock.
    all: ArcSwap<Vec<OwnLog>>,
    /// Whether there are any.
    any: AtomicBool,
    /// For what has no log of its own. Read for every event, without a lock.
    common: ArcSwap<Common>,
}

/// A log of one or several sites.
#[derive(Clone)]
pub(super) struct OwnLog {
    to: LogTarget,
    chosen: LogFormat,
    pub(super) format: Format,
    /// Distinguishes logs in what each thread keeps.
    pub(super) number: u64,
    pub(super) state: State,
}

#[derive(Clone)]
pub(super) enum State {
    /// No site has it.
    Unused,
    /// Nothing is written.
    Off,
    Open(Output),
}

impl SiteLogs {
    /// The label of the sites with this log.
    pub(in crate::command::serve) fn label(&self, log: &SiteLog) -> u32 {
        let mut all = Vec::clone(&self.shared.all.load());
        let is_same = |one: &OwnLog| one.to == log.to.value && one.chosen == log.format;
        let at = all.iter().position(is_same).unwrap_or_else(|| {
            all.push(OwnLog {
                to: log.to.value.clone(),
                chosen: log.format,
                format: Format::of(&log.to.value, log.format),
                number: next_number(),
                state: State::Unused,
            });
            all.len() - 1
        });
        self.shared.all.store(Arc::new(all));
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Opens the logs of these sites that are not open.
    ///
    /// # Errors
    /// The first that cannot be written.
    pub(in crate::command::serve) fn open(&self, settings: &Settings) -> Result<(), Box<Problem>> {
        for log in settings.sites.iter().filter_map(|site| site.log.as_ref()) {
            let label = self.label(log);
            let format = Format::of(&log.to.value, log.format);
            let state = match &log.to.value {
                LogTarget::Stderr if settings.log.is_quiet() => State::Off,
                to => {
                    let output = self.outputs.access(to, format, false);
                    let output =
                        output.map_err(|failure| Box::new(Problem::of(&log.to.place, failure)))?;
                    output.map_or(State::Off, State::Open)
                }
            };
            self.set(label, &state);
        }
        Ok(())
    }

    fn set(&self, label: u32, state: &State) {
        let mut all = Vec::clone(&self.shared.all.load());
        let at = usize::try_from(label).ok();
        if let Some(one) = at.and_then(|at| all.get_mut(at)) {
            one.state = state.clone();
        }
        self.shared.all.store(Arc::new(all));
        self.shared.any.store(true, Ordering::Release);
    }

    /// Ends the logs that none of these sites has.
    pub(in crate::command::serve) fn forget_unused(&self, settings: &Settings) {
        let of_sites = || settings.sites.iter().filter_map(|site| site.log.as_ref());
        let mut all = Vec::clone(&self.shared.all.load());
        for one in &mut all {
            let is_same = |log: &SiteLog| one.to == log.to.value && one.chosen == log.format;
            if !of_sites().any(is_same) {
                one.state = State::Unused;
            }
        }
        self.shared.all.store(Arc::new(all));
        let used = of_sites().map(|log| &log.to.value);
        let common = self.common();
        let used: Vec<_> = used.chain([&common.to]).collect();
        let audit = common.audit.as_ref().map(|(path, _)| &**path);
        self.outputs.retain(&used, audit);
    }

    /// Opens the common log that these settings have. It is not in use yet.
    ///
    /// # Errors
    /// What cannot be written.
    pub(in crate::command::serve) fn open_common(
        &self,
        settings: &LogSettings,
    ) -> Result<Common, Box<Problem>> {
        Common::open(&self.outputs, settings)
    }

    /// From now on this is the common log. What the one before has written to ends when it is [not used](Self::forget_unused).
    pub(in crate::command::serve) fn replace_common(&self, common: Common) {
        self.shared.common.store(Arc::new(common));
    }

    /// Those of these files that no log is written to yet, and that this process cannot open.
    pub(in crate::command::serve) fn closed(&self, settings: &Settings) -> Vec<PathBuf> {
        let files = settings.log_files().into_iter().map(|log| log.value);
        let is_closed = |path: &PathBuf| {
            let opened = || super::target::appending().open(path);
            let refused = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
            // Opening a pipe blocks until a process reads from it.
            !self.outputs.has(path) && !is_pipe(path) && opened().is_err_and(refused)
        };
        files.filter(is_closed).collect()
    }

    /// A log to this path is written to this file.
    pub(in crate::command::serve) fn give(&self, path: &Path, file: File) {
        self.outputs.give(path, file);
    }

    pub(super) fn common(&self) -> Guard<Arc<Common>> {
        self.shared.common.load()
    }

    /// Whether any site has a log of its own.
    pub(super) fn has_any(&self) -> bool {
        self.shared.any.load(Ordering::Acquire)
    }

    /// By their labels.
    pub(super) fn all(&self) -> Guard<Arc<Vec<OwnLog>>> {
        self.shared.all.load()
    }
}
