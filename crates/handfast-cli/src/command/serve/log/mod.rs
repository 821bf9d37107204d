//! What happened, for people and programs: the access log, with a line for each request, failed handshake and
//! abnormal end of a connection, and the audit file, with the failures alone.
//!
//! ```text
//!                +-> numbers (counters of the thread)
//! event -> Log --+-> request, events, values: text -> Output (sheet of the thread) -> writing thread -> Target
//!                +-> request, to the log of its site (sites)  -> Output              -> writing thread -> Target
//!                +-> values: JSON of failures      -> Output                       -> writing thread -> audit file
//! ```
//!
//! Each output has a thread: a terminal that is stopped does not delay the audit file. What the program itself says on stderr is given to
//! such a thread, too, as long as the server runs.

mod common;
mod events;
mod journal;
mod lines;
mod outputs;
mod request;
mod sites;
mod spell;
mod target;
mod values;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use handfast_https::server::{
    CloseEvent, ConnectionInfo, HandshakeEvent, LimitEvent, Observer, RedirectEvent, RequestEvent,
};
use handfast_site::Sites;

pub(super) use self::common::Common;
use self::outputs::Outputs;
use self::request::Format;
pub(super) use self::sites::SiteLogs;
use self::sites::State;
use self::spell::Clock;
#[cfg(target_os = "linux")]
pub(super) use self::target::appending;
use self::writer::Output;
use super::config::{Place, Problem};
use super::numbers::Numbers;
use super::settings::LogSettings;
use crate::advice::Advised as _;
use crate::failure::Failure;
use crate::output;

/// All logs, from the start to the end.
pub(super) struct Logs {
    /// Stderr, for what the program itself says.
    messages: Output,
    of_sites: SiteLogs,
}

/// What a signal handler and the status page need of the logs.
#[derive(Clone)]
pub(super) struct Handle {
    outputs: Outputs,
}

impl Handle {
    /// Reopens files, after log rotation.
    pub(super) fn reopen(&self) {
        self.outputs.reopen();
    }

    /// Lines that were lost since the start: of access logs, of the audit file.
    pub(super) fn lost(&self) -> [u64; 2] {
        self.outputs.lost()
    }
}

impl Logs {
    /// Opens every output; those of sites are open.
    ///
    /// # Errors
    /// If one cannot be written: a server that is to be logged does not run without.
    pub(super) fn open(settings: &LogSettings, of_sites: SiteLogs) -> Result<Self, Box<Problem>> {
        let common = of_sites.open_common(settings)?;
        of_sites.replace_common(common);
        let messages = of_sites.outputs.stderr(events::lines_lost);
        let messages = messages.map_err(|failure| Box::new(Problem::of(&Place::Unset, failure)))?;
        Ok(Self { messages, of_sites })
    }

    /// Starts to write what was logged since, and what will be.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        self.of_sites.outputs.begin()?;
        let (stderr, of_sites) = (self.messages.clone(), self.of_sites.clone());
        output::divert(Some(Box::new(move |lines| {
            let has_times = of_sites.common().has_times_on_stderr();
            stderr.put(|out| {
                if has_times {
                    spell::time(out, SystemTime::now(), Clock::Seconds);
                    out.push(b' ');
                }
                out.extend_from_slice(lines.as_bytes());
            });
        })));
        Ok(())
    }

    /// Receives the events of a server of these sites.
    pub(super) fn observer(&self, numbers: Arc<Numbers>, sites: Sites) -> Log {
        Log {
            of_sites: self.of_sites.clone(),
            sites,
            numbers,
        }
    }

    pub(super) fn handle(&self) -> Handle {
        Handle {
            outputs: self.of_sites.outputs.clone(),
        }
    }

    /// Writes queued lines and ends, within limits.
    pub(super) fn finish(self) {
        drop(self);
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.of_sites.outputs.finish();
    }
}

/// Turns events into lines, and counts them.
pub(super) struct Log {
    of_sites: SiteLogs,
    /// By which a request's site is known.
    sites: Sites,
    numbers: Arc<Numbers>,
}

impl Log {
    /// Writes a request to the log of its site. Has that one of its own?
    fn put_to_site(&self, event: &RequestEvent<'_>) -> bool {
        let host = request::host(event).and_then(|host| str::from_utf8(host).ok());
        let server_name = event.connection.report.server_name.as_deref();
        let Some(label) = self.sites.label(host, server_name) else {
            return false;
        };
        let all = self.of_sites.all();
        let Some(log) = usize::try_from(label).ok().and_then(|at| all.get(at)) else {
            return false;
        };
        match &log.state {
            State::Unused => return false,
            State::Off => {}
            State::Open(output) => {
                output.put(|out| request::put(out, log.format, log.number, event));
            }
        }
        true
    }
}

impl Observer for Log {
    fn wants_fields(&self) -> bool {
        // The site of a request is known by its host.
        let common = self.of_sites.common();
        (common.access.is_some() && common.format != Format::Handfast) || self.of_sites.has_any()
    }

    fn request(&self, event: &RequestEvent<'_>) {
        self.numbers.request(event);
        if self.of_sites.has_any() && self.put_to_site(event) {
            return;
        }
        let common = self.of_sites.common();
        if let Some(access) = &common.access {
            access.put(|out| request::put(out, common.format, common.number, event));
        }
    }

    fn connection_opened(&self, connection: &ConnectionInfo) {
        self.numbers.connection_opened(connection);
        let common = self.of_sites.common();
        if common.verbose {
            let now = SystemTime::now();
            common.event(
                now,
                || events::connection_opened(connection),
                || values::connection_opened(connection, now),
            );
        }
    }

    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        let explanation = event.error.advise();
        self.numbers.handshake_failed(explanation.id);
        let common = self.of_sites.common();
        common.audit(|| values::handshake_failed(event, &explanation));
        common.event(
            event.time,
            || events::handshake_failed(event, &explanation),
            || values::handshake_failed(event, &explanation),
        );
    }

    fn connection_closed(&self, event: &CloseEvent<'_>) {
        self.numbers.connection_closed(event);
        let common = self.of_sites.common();
        let is_failure = values::is_failure(&event.reason);
        if is_failure {
            common.audit(|| values::connection_closed(event));
        }
        match common.format {
            Format::Json if is_failure || common.verbose => {
                common.event(event.time, String::new, || values::connection_closed(event));
            }
            Format::Json => {}
            _ => {
                if let Some(text) = events::connection_closed(event, common.verbose) {
                    common.event(event.time, || text, || values::connection_closed(event));
                }
            }
        }
    }

    fn connections_full(&self, connections_max: usize) {
        self.numbers.connections_full();
        let now = SystemTime::now();
        let value = || values::connections_full(connections_max, now);
        let common = self.of_sites.common();
        common.audit(value);
        common.event(now, || events::connections_full(connections_max), value);
    }

    fn address_limited(&self, event: &LimitEvent) {
        let value = || values::address_limited(event);
        let common = self.of_sites.common();
        common.audit(value);
        common.event(event.time, || events::address_limited(event), value);
    }

    fn redirected(&self, event: &RedirectEvent<'_>) {
        // A port that was opened and closed is no request.
        let common = self.of_sites.common();
        if event.status.is_none() && event.request_line.is_empty() && !common.verbose {
            return;
        }
        common.event(
            event.time,
            || events::redirected(event),
            || values::redirected(event),
        );
    }

    fn accept_failed(&self, error: &io::Error, pause: Duration) {
        self.numbers.accept_failed();
        let now = SystemTime::now();
        let value = || values::accept_failed(error, pause, now);
        let common = self.of_sites.common();
        common.audit(value);
        common.event(now, || events::accept_failed(error, pause), value);
    }
}
