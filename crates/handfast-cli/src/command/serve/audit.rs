//! The audit file: a line of JSON for each failed handshake and each connection that ended abnormally.
//! Its schema is docs/audit-json.md; a test compares the two.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use handfast::{Alert, ClientOffer, Explanation, escape_control};
use handfast_https::server::{CloseEvent, CloseReason, HandshakeEvent};
use serde_json::{Value, json};

use super::lines::Lines;
use crate::advice::Advised as _;
use crate::failure::{Failure, code};
use crate::output;

/// The version of the lines' schema: incremented when a field is removed or its meaning changes.
const SCHEMA: u32 = 1;

/// The limit on queued lines. Further lines are counted, and the count is written.
const LINES_WAITING_MAX: usize = 4096;

/// How long to wait for the last lines when the server ends.
const LAST_LINES: Duration = Duration::from_secs(2);

enum Message {
    Line(String),
    Reopen,
}

/// Receives events; clones write to the same file.
#[derive(Clone)]
pub(super) struct Audit {
    messages: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// The writing thread, so that a slow disk does not delay the server.
pub(super) struct AuditWriter {
    thread: JoinHandle<()>,
}

/// Opens the file and starts to write. Lines are appended; a new file is readable by its owner only, because it
/// contains clients' addresses.
pub(super) fn open(path: &Path) -> Result<(Audit, AuditWriter), Failure> {
    let unusable = |error: io::Error| {
        let name = escape_control(&path.display().to_string()).into_owned();
        let what = format!("the audit file {name} cannot be opened for writing");
        let explanation = Explanation::new("audit-file-unusable", what)
            .with_evidence(error.to_string())
            .with_fix("give a file in a directory that exists and that this user may write to");
        Failure::new(code::WRITE, explanation)
    };
    let (file, torn) = append_to(path).map_err(unusable)?;
    let lines = Lines::new(file, torn);
    let (messages, receiver) = sync_channel(LINES_WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let (counter, path) = (Arc::clone(&lost), path.to_owned());
    let thread = thread::Builder::new()
        .name("handfast-audit".into())
        .spawn(move || write(&receiver, lines, &path, &counter))
        .map_err(unusable)?;
    Ok((Audit { messages, lost }, AuditWriter { thread }))
}

/// The file, and whether it ends with a partial line, from a server that was killed or whose disk was full.
fn append_to(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    Ok((file, is_file && ends_within_line(path).unwrap_or(false)))
}

fn ends_within_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl AuditWriter {
    /// Writes queued lines and ends. Every [`Audit`] must have been dropped, or this waits until its limit.
    pub(super) fn finish(self) {
        let deadline = Instant::now() + LAST_LINES;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn write(messages: &Receiver<Message>, mut lines: Lines<File>, path: &Path, lost: &AtomicU64) {
    let mut failed = false;
    while let Ok(message) = messages.recv() {
        let text = match message {
            Message::Line(line) => line,
            Message::Reopen => {
                match append_to(path) {
                    Ok((fresh, torn)) => lines.replace(fresh, torn),
                    Err(error) => output::warning(format!(
                        "the audit file cannot be reopened, the old one is still used: {error}"
                    )),
                }
                continue;
            }
        };
        let lost_before = lines.lost();
        match lines.write(&text, lost.swap(0, Ordering::Relaxed), lines_lost) {
            Ok(()) if failed => {
                failed = false;
                output::warning(format!(
                    "the audit file is writable again: {lost_before} lines were lost"
                ));
            }
            Ok(()) => {}
            // Once for each series of failures, so that a full disk does not flood the terminal.
            Err(error) if !failed => {
                failed = true;
                output::warning(format!(
                    "the audit file cannot be written, lines are lost until it can: {error}"
                ));
            }
            Err(_) => {}
        }
    }
    let lost = lines.lost() + lost.load(Ordering::Relaxed);
    if lost > 0 {
        output::warning(format!("{lost} lines of the audit file were lost"));
    }
}

/// The line with the number of lines lost before it.
fn lines_lost(count: u64) -> String {
    let mut line = json!({ "event": "lines-lost", "count": count });
    finished(&mut line, SystemTime::now())
}

impl Audit {
    /// Reopens the file after log rotation.
    pub(super) fn reopen(&self) {
        let _ = self.messages.send(Message::Reopen);
    }

    fn line(&self, mut line: Value, time: SystemTime) {
        let message = Message::Line(finished(&mut line, time));
        if self.messages.try_send(message).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        let explanation = event.error.advise();
        let line = json!({
            "event": "handshake-failed",
            "peer": event.peer.to_string(),
            "local": event.local.to_string(),
            "server_name": event.server_name.map(escape_control),
            "cause": explanation.id,
            "what": explanation.what,
            "evidence": explanation.evidence,
            "fix": explanation.fix,
            "alert_sent": event.alert_sent.map(alert),
            "alert_received": event.alert_received.map(alert),
            "offered": event.offer.map(offered),
            "bytes_received": event.bytes_received,
            "first_bytes": (!event.first_bytes.is_empty())
                .then(|| event.first_bytes.escape_ascii().to_string()),
            "plain_http_status": event.plain_http.map(|status| status.as_u16()),
            "duration_ms": milliseconds(event.duration),
        });
        self.line(line, event.time);
    }

    pub(super) fn connection_closed(&self, event: &CloseEvent<'_>) {
        let (cause, what) = match &event.reason {
            CloseReason::HeadTimedOut => ("head-timed-out", None),
            CloseReason::Stalled => ("stalled", None),
            CloseReason::BadRequest(what) => ("bad-request", Some(what)),
            CloseReason::BrokenOff(what) => ("broken-off", Some(what)),
            _ => return,
        };
        let report = &event.connection.report;
        let line = json!({
            "event": "connection-failed",
            "peer": event.connection.peer.to_string(),
            "local": event.connection.local.to_string(),
            "server_name": report.server_name.as_deref().map(escape_control),
            "client": event.connection.client().map(|client| escape_control(client.subject()).into_owned()),
            "version": report.version.name(),
            "cipher_suite": report.cipher_suite,
            "cause": cause,
            "what": what.map(|what| escape_control(what).into_owned()),
            "close": event.outcome.map(|outcome| outcome.to_string()),
            "client_ended": event.ending.map(|ending| ending.to_string()),
            "requests": event.requests,
            "bytes_received": event.traffic.bytes_received,
            "bytes_sent": event.traffic.bytes_sent,
            "duration_ms": milliseconds(event.duration),
        });
        self.line(line, event.time);
    }

    pub(super) fn connections_full(&self, connections_max: usize) {
        let line = json!({ "event": "connections-full", "connections_max": connections_max });
        self.line(line, SystemTime::now());
    }

    pub(super) fn accept_failed(&self, error: &io::Error, pause: Duration) {
        let line = json!({
            "event": "accept-failed",
            "what": error.to_string(),
            "pause_ms": milliseconds(pause),
        });
        self.line(line, SystemTime::now());
    }
}

fn finished(line: &mut Value, time: SystemTime) -> String {
    if let Value::Object(fields) = line {
        fields.insert("schema".into(), SCHEMA.into());
        let time = jiff::Timestamp::try_from(time).map(|time| format!("{time:.3}"));
        fields.insert("time".into(), time.ok().into());
    }
    format!("{line}\n")
}

fn alert(alert: Alert) -> Value {
    json!({ "name": alert.name(), "code": alert.code() })
}

fn offered(offer: &ClientOffer) -> Value {
    json!({
        "complete": offer.complete,
        "versions": offer.version_names(),
        "cipher_suites": offer.cipher_suite_names(),
        "groups": offer.group_names(),
        "signature_schemes": offer.signature_scheme_names(),
        "alpn": offer.alpn_names(),
    })
}

/// In milliseconds, with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
