//! What happened, for people and programs: the access log, with a line for each request, failed handshake and
//! abnormal end of a connection, and the audit file, with the failures alone.
//!
//! ```text
//!                +-> numbers (counters of the thread)
//! event -> Log --+-> request, events, values: text -> Output (sheet of the thread) -> writing thread -> Target
//!                +-> values: JSON of failures      -> Output                       -> writing thread -> audit file
//! ```
//!
//! Each output has a thread: a terminal that is stopped does not delay the audit file. What the program itself says on stderr is given to
//! such a thread, too, as long as the server runs.

mod events;
mod journal;
mod lines;
mod request;
mod spell;
mod target;
mod values;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use handfast::{Explanation, escape_control};
use handfast_https::server::{
    CloseEvent, ConnectionInfo, HandshakeEvent, LimitEvent, Observer, RedirectEvent, RequestEvent,
};
use serde_json::Value;

use self::request::Format;
use self::spell::Clock;
use self::target::{Target, ToFile, ToStderr};
use self::writer::{Output, Writer};
use super::config::LogTarget;
use super::config::choices::LogFormat;
use super::numbers::Numbers;
use super::settings::LogSettings;
use crate::advice::Advised as _;
use crate::failure::{Failure, code};
use crate::output;

/// How long a file is waited for when the server ends: a disk that is busy with other things.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long a terminal or a pipe is waited for: what is not read by then is not being read.
const LAST_LINES_OF_STDERR: Duration = Duration::from_millis(300);

/// All outputs, from the start to the end.
pub(super) struct Logs {
    access: Option<Output>,
    /// For events that the format of the access log cannot express.
    aside: Option<Output>,
    audit: Option<Output>,
    /// Stderr, for what the program itself says.
    messages: Option<Output>,
    /// Outputs that are open, and not written yet: threads begin once the process is confined.
    waiting: Vec<writer::Waiting>,
    writers: Vec<Writer>,
    format: Format,
    verbose: bool,
}

/// What a signal handler and the status page need of the logs.
#[derive(Clone)]
pub(super) struct Handle {
    access: Option<Output>,
    audit: Option<Output>,
}

impl Handle {
    /// Reopens files, after log rotation.
    pub(super) fn reopen(&self) {
        self.access
            .iter()
            .chain(&self.audit)
            .for_each(Output::reopen);
    }

    /// Lines that were lost since the start: of the access log, of the audit file.
    pub(super) fn lost(&self) -> [u64; 2] {
        [&self.access, &self.audit].map(|output| output.as_ref().map_or(0, Output::lost))
    }
}

impl Logs {
    /// Opens every output.
    ///
    /// # Errors
    /// If one cannot be written: a server that is to be logged does not run without.
    pub(super) fn open(settings: &LogSettings) -> Result<Self, Failure> {
        let mut logs = Self {
            access: None,
            aside: None,
            audit: None,
            messages: None,
            waiting: Vec::new(),
            writers: Vec::new(),
            format: match settings.format {
                _ if matches!(settings.to, LogTarget::Journal(_)) => Format::Journal,
                LogFormat::Handfast => Format::Handfast,
                LogFormat::Combined => Format::Combined,
                LogFormat::Json => Format::Json,
            },
            verbose: settings.is_verbose(),
        };
        let report = match logs.format {
            Format::Json => values::lines_lost,
            _ => events::lines_lost,
        };
        let stderr_report = match settings.to {
            LogTarget::Stderr => report,
            _ => events::lines_lost,
        };
        // The first, which ends last: others may report what they lost.
        let stderr = ToStderr::new(stderr_report);
        let stderr = logs.start("handfast-stderr", stderr, LAST_LINES_OF_STDERR);
        let access = match &settings.to {
            LogTarget::Off => None,
            LogTarget::Stderr if settings.is_quiet() => None,
            LogTarget::Stderr => Some(stderr.clone()),
            LogTarget::File(path) => {
                let file = ToFile::open(path, "the access log", report)
                    .map_err(|error| unusable("the access log", path, &error))?;
                Some(logs.start("handfast-log", file, LAST_LINES))
            }
            LogTarget::Journal(path) => Some(logs.journal(path.as_deref())?),
        };
        logs.aside = match (&access, logs.format) {
            (Some(_), Format::Combined) if !settings.is_quiet() => Some(stderr.clone()),
            _ => None,
        };
        logs.access = access;
        logs.messages = Some(stderr);
        if let Some(path) = &settings.audit {
            let file = ToFile::open(path, "the audit file", values::lines_lost)
                .map_err(|error| audit_unusable(path, &error))?;
            logs.audit = Some(logs.start("handfast-audit", file, LAST_LINES));
        }
        Ok(logs)
    }

    #[cfg(unix)]
    fn journal(&mut self, path: Option<&Path>) -> Result<Output, Failure> {
        let path = path.unwrap_or_else(|| Path::new(target::ToJournal::DEFAULT));
        let journal =
            target::ToJournal::open(path).map_err(|error| unusable("the journal", path, &error))?;
        Ok(self.start("handfast-log", journal, LAST_LINES))
    }

    // As on Unix, where it is used mutably.
    #[cfg(not(unix))]
    #[allow(clippy::needless_pass_by_ref_mut)]
    fn journal(&mut self, path: Option<&Path>) -> Result<Output, Failure> {
        let path = path.unwrap_or_else(|| Path::new("journal"));
        Err(unusable(
            "the journal",
            path,
            &io::ErrorKind::Unsupported.into(),
        ))
    }

    fn start(&mut self, name: &str, target: impl Target, patience: Duration) -> Output {
        let (output, writer) = writer::prepare(name, target, patience);
        self.waiting.push(writer);
        output
    }

    /// Starts to write what was logged since, and what will be.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        for writer in self.waiting.drain(..) {
            let writer = writer.start().map_err(|error| {
                let what = "the log cannot be written: the system gives no thread";
                Failure::new(
                    code::OTHER,
                    Explanation::new("log-unusable", what).with_evidence(error.to_string()),
                )
            })?;
            self.writers.push(writer);
        }
        if let Some(stderr) = self.messages.clone() {
            output::divert(Some(Box::new(move |lines| {
                stderr.put(|out| out.extend_from_slice(lines.as_bytes()));
            })));
        }
        Ok(())
    }

    /// Receives a server's events.
    pub(super) fn observer(&self, numbers: Arc<Numbers>) -> Log {
        static LOGS: AtomicU64 = AtomicU64::new(1);
        Log {
            access: self.access.clone(),
            aside: self.aside.clone(),
            audit: self.audit.clone(),
            format: self.format,
            verbose: self.verbose,
            number: LOGS.fetch_add(1, Ordering::Relaxed),
            numbers,
        }
    }

    pub(super) fn handle(&self) -> Handle {
        Handle {
            access: self.access.clone(),
            audit: self.audit.clone(),
        }
    }

    /// Writes queued lines and ends, within limits.
    pub(super) fn finish(self) {
        drop(self);
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let stderr = (!self.writers.is_empty()).then(|| self.writers.remove(0));
        self.writers.drain(..).for_each(Writer::finish);
        output::divert(None);
        if let Some(stderr) = stderr {
            stderr.finish();
        }
    }
}

fn unusable(what: &str, path: &Path, error: &io::Error) -> Failure {
    let name = escape_control(&path.display().to_string()).into_owned();
    let explanation = Explanation::new("log-unusable", format!("{what} {name} cannot be written"))
        .with_evidence(error.to_string());
    Failure::new(
        code::WRITE,
        match what {
            "the journal" => explanation
                .with_fix("log to stderr, which systemd's services have in the journal anyway"),
            _ => explanation
                .with_fix("give a file in a directory that exists and that this user may write to"),
        },
    )
}

fn audit_unusable(path: &Path, error: &io::Error) -> Failure {
    let name = escape_control(&path.display().to_string()).into_owned();
    let what = format!("the audit file {name} cannot be opened for writing");
    let explanation = Explanation::new("audit-file-unusable", what)
        .with_evidence(error.to_string())
        .with_fix("give a file in a directory that exists and that this user may write to");
    Failure::new(code::WRITE, explanation)
}

/// Turns events into lines, and counts them.
pub(super) struct Log {
    access: Option<Output>,
    aside: Option<Output>,
    audit: Option<Output>,
    format: Format,
    verbose: bool,
    /// Distinguishes logs in what each thread keeps.
    number: u64,
    numbers: Arc<Numbers>,
}

impl Log {
    /// Writes an event that is no request to the access log, in its format.
    fn event(
        &self,
        time: SystemTime,
        text: impl FnOnce() -> String,
        value: impl FnOnce() -> Value,
    ) {
        let output = match self.format {
            Format::Combined => &self.aside,
            _ => &self.access,
        };
        let Some(output) = output else { return };
        match self.format {
            Format::Json => {
                let line = values::line(&value());
                output.put(|out| out.extend_from_slice(line.as_bytes()));
            }
            Format::Journal => {
                let (text, value) = (text(), value());
                output.put(|out| journal::put(out, &text, &value));
            }
            Format::Handfast | Format::Combined => {
                let text = text();
                output.put(|out| {
                    spell::time(out, time, Clock::Seconds);
                    out.push(b' ');
                    out.extend_from_slice(text.as_bytes());
                    out.push(b'\n');
                });
            }
        }
    }

    fn audit(&self, value: impl FnOnce() -> Value) {
        if let Some(audit) = &self.audit {
            let line = values::line(&value());
            audit.put(|out| out.extend_from_slice(line.as_bytes()));
        }
    }
}

impl Observer for Log {
    fn wants_fields(&self) -> bool {
        self.access.is_some() && self.format != Format::Handfast
    }

    fn request(&self, event: &RequestEvent<'_>) {
        self.numbers.request(event);
        if let Some(access) = &self.access {
            access.put(|out| request::put(out, self.format, self.number, event));
        }
    }

    fn connection_opened(&self, connection: &ConnectionInfo) {
        self.numbers.connection_opened(connection);
        if self.verbose {
            let now = SystemTime::now();
            self.event(
                now,
                || events::connection_opened(connection),
                || values::connection_opened(connection, now),
            );
        }
    }

    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        let explanation = event.error.advise();
        self.numbers.handshake_failed(explanation.id);
        self.audit(|| values::handshake_failed(event, &explanation));
        self.event(
            event.time,
            || events::handshake_failed(event, &explanation),
            || values::handshake_failed(event, &explanation),
        );
    }

    fn connection_closed(&self, event: &CloseEvent<'_>) {
        self.numbers.connection_closed(event);
        let is_failure = values::is_failure(&event.reason);
        if is_failure {
            self.audit(|| values::connection_closed(event));
        }
        match self.format {
            Format::Json if is_failure || self.verbose => {
                self.event(event.time, String::new, || values::connection_closed(event));
            }
            Format::Json => {}
            _ => {
                if let Some(text) = events::connection_closed(event, self.verbose) {
                    self.event(event.time, || text, || values::connection_closed(event));
                }
            }
        }
    }

    fn connections_full(&self, connections_max: usize) {
        self.numbers.connections_full();
        let now = SystemTime::now();
        let value = || values::connections_full(connections_max, now);
        self.audit(value);
        self.event(now, || events::connections_full(connections_max), value);
    }

    fn address_limited(&self, event: &LimitEvent) {
        let value = || values::address_limited(event);
        self.audit(value);
        self.event(event.time, || events::address_limited(event), value);
    }

    fn redirected(&self, event: &RedirectEvent<'_>) {
        // A port that was opened and closed is no request.
        if event.status.is_none() && event.request_line.is_empty() && !self.verbose {
            return;
        }
        self.event(
            event.time,
            || events::redirected(event),
            || values::redirected(event),
        );
    }

    fn accept_failed(&self, error: &io::Error, pause: Duration) {
        self.numbers.accept_failed();
        let now = SystemTime::now();
        let value = || values::accept_failed(error, pause, now);
        self.audit(value);
        self.event(now, || events::accept_failed(error, pause), value);
    }
}
