//! The server's log: a line for each event on stderr, written by a thread, so that a stopped terminal
//! or a full pipe does not delay the server.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::audit::Audit;
use super::lines::Lines;
use handfast::{escape_control, format_utc};
use handfast_https::server::{
    CloseEvent, CloseReason, HandshakeEvent, Observer, RequestEvent, TransferEnd,
};

use crate::advice::Advised as _;

/// The limit on queued lines. Further lines are counted and dropped.
const LINES_WAITING_MAX: usize = 4096;

/// How long to wait for the last lines when the server ends.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Writes lines to stderr.
pub(super) struct Writer {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start() -> Self {
        let (lines, receiver) = sync_channel(LINES_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let thread = thread::Builder::new()
            .name("handfast-log".into())
            .spawn(move || write(&receiver, &counter))
            .ok();
        Self {
            lines,
            lost,
            thread,
        }
    }

    /// Writes queued lines and ends. Every [`Log`] must have been dropped, or this waits until its limit.
    pub(super) fn finish(self) {
        drop(self.lines);
        let Some(thread) = self.thread else { return };
        let deadline = std::time::Instant::now() + LAST_LINES;
        while !thread.is_finished() && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn write(lines: &Receiver<String>, lost: &AtomicU64) {
    let mut out = Lines::new(io::stderr(), false);
    while let Ok(mut text) = lines.recv() {
        // All queued lines in one system call.
        while text.len() < 64 * 1024
            && let Ok(more) = lines.try_recv()
        {
            text.push_str(&more);
        }
        // Ignore errors: there is nowhere left to report them. What is lost is counted, and told once there is
        // room again.
        let _ = out.write(&text, lost.swap(0, Ordering::Relaxed), |count| {
            format!("{count} lines were lost: this log is read too slowly, or its disk was full\n")
        });
    }
}

/// Turns events into lines.
pub(super) struct Log {
    lines: Option<SyncSender<String>>,
    lost: Arc<AtomicU64>,
    verbose: bool,
    audit: Option<Audit>,
}

impl Log {
    pub(super) fn new(writer: &Writer, quiet: bool, verbose: bool, audit: Option<Audit>) -> Self {
        Self {
            lines: (!quiet).then(|| writer.lines.clone()),
            lost: Arc::clone(&writer.lost),
            verbose,
            audit,
        }
    }

    fn line(&self, time: SystemTime, make: impl FnOnce(&mut String) -> std::fmt::Result) {
        let Some(lines) = &self.lines else { return };
        let mut text = String::with_capacity(128);
        text.push_str(&format_utc(unix_seconds(time)));
        text.push(' ');
        // Writing to a string does not fail.
        let _ = make(&mut text);
        text.push('\n');
        if lines.try_send(text).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Log {
    fn request(&self, event: &RequestEvent<'_>) {
        self.line(event.time, |text| {
            // Over HTTP/2 the target has a scheme and an authority.
            let target = match event.target.path_and_query() {
                Some(path) => path.to_string(),
                None => event.target.to_string(),
            };
            write!(text, "{} ", event.connection.peer)?;
            match event.client() {
                Some(client) => write!(text, "\"{}\" ", quoted(client.subject()))?,
                None => text.push_str("- "),
            }
            write!(
                text,
                "\"{} {} {:?}\" ",
                event.method,
                quoted(&target),
                event.version
            )?;
            match event.status {
                Some(status) => write!(text, "{} ", status.as_u16())?,
                None => text.push_str("- "),
            }
            write!(text, "{} {}", event.bytes, Milliseconds(event.duration))?;
            if event.end == TransferEnd::Aborted {
                text.push_str(" ABORTED");
            }
            Ok(())
        });
    }

    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        if let Some(audit) = &self.audit {
            audit.handshake_failed(event);
        }
        self.line(event.time, |text| {
            let explanation = event.error.advise();
            write!(
                text,
                "{} handshake failed: {} [{}]",
                event.peer,
                one_line(&explanation.what),
                explanation.id
            )?;
            if let Some(name) = event.server_name
                && !explanation.what.contains(name)
            {
                write!(text, " for {}", escape_control(name))?;
            }
            if let Some(status) = event.plain_http {
                write!(text, ", answered {} in plain HTTP", status.as_u16())?;
            }
            if let Some(alert) = event.alert_sent {
                write!(text, ", alert {} sent", alert.name())?;
            }
            if let Some(alert) = event.alert_received {
                write!(text, ", alert {} received", alert.name())?;
            }
            write!(text, " {}", Milliseconds(event.duration))
        });
    }

    fn connection_closed(&self, event: &CloseEvent<'_>) {
        if let Some(audit) = &self.audit {
            audit.connection_closed(event);
        }
        let reason = match &event.reason {
            CloseReason::HeadTimedOut => "no request head within the time limit".to_owned(),
            CloseReason::BadRequest(why) => format!("bad request: {why}"),
            // The request's own line already says that it was aborted.
            CloseReason::Stalled if self.verbose || event.requests == 0 => "stalled".to_owned(),
            CloseReason::BrokenOff(why) if self.verbose || event.requests == 0 => {
                format!("aborted: {why}")
            }
            CloseReason::Idle if self.verbose => "idle".to_owned(),
            CloseReason::MadeRoom if self.verbose => "idle, closed for another client".to_owned(),
            CloseReason::Finished if self.verbose => "finished".to_owned(),
            CloseReason::Stopped if self.verbose => "server stopped".to_owned(),
            _ => return,
        };
        self.line(event.time, |text| {
            write!(
                text,
                "{} connection closed: {}",
                event.connection.peer,
                one_line(&reason)
            )?;
            match event.outcome {
                Some(outcome) => write!(text, ", close {outcome}")?,
                None => text.push_str(", cut"),
            }
            if let Some(ending) = event.ending {
                write!(text, ", client ended with {ending}")?;
            }
            write!(
                text,
                ", {} requests, {} records out {}",
                event.requests,
                event.traffic.records_sent,
                Milliseconds(event.duration)
            )
        });
    }

    fn connections_full(&self, connections_max: usize) {
        if let Some(audit) = &self.audit {
            audit.connections_full(connections_max);
        }
        self.line(SystemTime::now(), |text| {
            write!(
                text,
                "{connections_max} connections are open, the maximum: more wait until one ends"
            )
        });
    }

    fn accept_failed(&self, error: &io::Error, pause: Duration) {
        if let Some(audit) = &self.audit {
            audit.accept_failed(error, pause);
        }
        self.line(SystemTime::now(), |text| {
            let pause = Milliseconds(pause);
            write!(text, "no connection can be accepted for {pause}: {error}")
        });
    }
}

/// Escaped for quotes on one line.
fn quoted(text: &str) -> String {
    one_line(text).replace('"', "\\\"")
}

fn one_line(text: &str) -> String {
    escape_control(text).into_owned()
}

struct Milliseconds(Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1}ms", self.0.as_secs_f64() * 1000.0)
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}
