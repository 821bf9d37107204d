//! The outputs of a server: each is opened once, however many sites write to it, and has a thread.

use std::fs::File;
use std::io;
#[cfg(not(unix))]
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handfast::{Explanation, escape_control};

use super::events;
use super::request::Format;
use super::target::{self, ToFile, ToStderr};
use super::values;
use super::writer::{self, Output, Waiting, Writer};
use crate::command::serve::config::LogTarget;
use crate::command::serve::config::problem::shown_path;
use crate::failure::{Failure, code};
use crate::output;

/// How long a file is waited for when the server ends: a disk that is busy with other things.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long a terminal or a pipe is waited for: what is not read by then is not being read.
const LAST_LINES_OF_STDERR: Duration = Duration::from_secs(1);

/// Opened for a server, and shared by its logs. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Outputs {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    /// Threads begin once the process is confined.
    has_begun: bool,
    /// Lines that were lost by logs that have ended: access logs, audit files.
    lost_before: [u64; 2],
    /// Files that another process has opened, which this one may not.
    given: Vec<(PathBuf, File)>,
}

struct Open {
    key: Key,
    output: Output,
    thread: Thread,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Stderr,
    Access(LogTarget),
    Audit(PathBuf),
}

enum Thread {
    ToBegin(Waiting),
    Runs(Writer),
    /// It could not be started, or has ended.
    None,
}

impl Outputs {
    /// Stderr; `report` is how lost lines are reported there, if it is not open yet.
    pub(super) fn stderr(&self, report: target::Report) -> Result<Output, Failure> {
        self.get(Key::Stderr, |_| {
            let stderr = ToStderr::new(report);
            Ok(writer::prepare(
                "handfast-stderr",
                stderr,
                LAST_LINES_OF_STDERR,
            ))
        })
    }

    /// Where an access log goes, the common one or that of a site; nothing if it is off.
    pub(super) fn access(
        &self,
        to: &LogTarget,
        format: Format,
        is_common: bool,
    ) -> Result<Option<Output>, Failure> {
        let report = report(format);
        let key = Key::Access(to.clone());
        let output = match to {
            LogTarget::Off => return Ok(None),
            LogTarget::Stderr => self.stderr(report),
            LogTarget::File(path) => self.get(key, |given| {
                let what = match is_common {
                    true => "the access log".to_owned(),
                    false => format!("the access log {}", shown_path(path)),
                };
                let file = ToFile::open(path, given, what, report);
                let file = file.map_err(|error| unusable("the access log", path, &error))?;
                Ok(writer::prepare("handfast-log", file, LAST_LINES))
            }),
            LogTarget::Journal(path) => self.get(key, |_| journal(path.as_deref())),
        };
        output.map(Some)
    }

    pub(super) fn audit(&self, path: &Path) -> Result<Output, Failure> {
        self.get(Key::Audit(path.to_owned()), |given| {
            let file = ToFile::open(path, given, "the audit file", values::lines_lost);
            let file = file.map_err(|error| audit_unusable(path, &error))?;
            Ok(writer::prepare("handfast-audit", file, LAST_LINES))
        })
    }

    fn get(
        &self,
        key: Key,
        open: impl FnOnce(Option<File>) -> Result<(Output, Waiting), Failure>,
    ) -> Result<Output, Failure> {
        let mut state = self.lock();
        if let Some(known) = state.open.iter().find(|one| one.key == key) {
            return Ok(known.output.clone());
        }
        let path = match &key {
            Key::Access(LogTarget::File(path)) | Key::Audit(path) => Some(path),
            _ => None,
        };
        let is_it = |given: &(PathBuf, File)| Some(&given.0) == path;
        let given = state.given.iter().position(is_it);
        let given = given.map(|at| state.given.swap_remove(at).1);
        let (output, waiting) = open(given)?;
        let thread = match state.has_begun {
            true => Thread::Runs(begin(waiting)?),
            false => Thread::ToBegin(waiting),
        };
        state.open.push(Open {
            key,
            output: output.clone(),
            thread,
        });
        Ok(output)
    }

    /// Starts to write what was logged since, and what will be.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        state.has_begun = true;
        for one in &mut state.open {
            if let Thread::ToBegin(waiting) = std::mem::replace(&mut one.thread, Thread::None) {
                one.thread = Thread::Runs(begin(waiting)?);
            }
        }
        Ok(())
    }

    /// Reopens files, after log rotation.
    pub(super) fn reopen(&self) {
        self.lock().open.iter().for_each(|one| one.output.reopen());
    }

    /// Lines that were lost since the start: of access logs, of the audit file.
    pub(super) fn lost(&self) -> [u64; 2] {
        let state = self.lock();
        let mut lost = state.lost_before;
        for one in &state.open {
            one.add_lost(&mut lost);
        }
        lost
    }

    /// Ends the access logs that go to none of these places, and other audit files, once what was logged is written.
    pub(super) fn retain(&self, used: &[&LogTarget], audit: Option<&Path>) {
        let State {
            open,
            lost_before,
            given,
            ..
        } = &mut *self.lock();
        given.clear();
        open.retain_mut(|one| {
            let is_used = match &one.key {
                Key::Stderr => true,
                Key::Access(to) => used.contains(&to),
                Key::Audit(path) => audit == Some(path.as_path()),
            };
            if !is_used {
                one.add_lost(lost_before);
                if let Thread::Runs(writer) = std::mem::replace(&mut one.thread, Thread::None) {
                    writer.ask_to_end();
                }
            }
            is_used
        });
    }

    /// Is a log written to this file?
    pub(super) fn has(&self, path: &Path) -> bool {
        self.lock().open.iter().any(|one| match &one.key {
            Key::Access(LogTarget::File(open)) | Key::Audit(open) => open == path,
            _ => false,
        })
    }

    /// A log to this path is written to this file, which is open for it.
    pub(super) fn give(&self, path: &Path, file: File) {
        self.lock().given.push((path.to_owned(), file));
    }

    /// Writes queued lines and ends, within limits.
    pub(super) fn finish(&self) {
        let open = std::mem::take(&mut self.lock().open);
        // Others may report on stderr what they lost.
        let (stderr, others): (Vec<_>, _) =
            open.into_iter().partition(|one| one.key == Key::Stderr);
        let began = Instant::now();
        for one in &others {
            if let Thread::Runs(writer) = &one.thread {
                writer.ask_to_end();
            }
        }
        others.into_iter().for_each(|one| one.finish(began));
        output::divert(None);
        stderr
            .into_iter()
            .for_each(|one| one.finish(Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn add_lost(&self, lost: &mut [u64; 2]) {
        let place = usize::from(matches!(self.key, Key::Audit(_)));
        if let Some(sum) = lost.get_mut(place) {
            *sum += self.output.lost();
        }
    }

    /// Waits until it has ended, since then.
    fn finish(self, began: Instant) {
        if let Thread::Runs(writer) = self.thread {
            writer.finish(began);
        }
    }
}

fn begin(waiting: Waiting) -> Result<Writer, Failure> {
    waiting.start().map_err(|error| {
        let what = "the log cannot be written: the system gives no thread";
        Failure::new(
            code::OTHER,
            Explanation::new("log-unusable", what).with_evidence(error.to_string()),
        )
    })
}

#[cfg(unix)]
fn journal(path: Option<&Path>) -> Result<(Output, Waiting), Failure> {
    let path = path.unwrap_or_else(|| Path::new(target::ToJournal::DEFAULT));
    let journal =
        target::ToJournal::open(path).map_err(|error| unusable("the journal", path, &error))?;
    Ok(writer::prepare("handfast-log", journal, LAST_LINES))
}

#[cfg(not(unix))]
fn journal(path: Option<&Path>) -> Result<(Output, Waiting), Failure> {
    let path = path.unwrap_or_else(|| Path::new("journal"));
    Err(unusable(
        "the journal",
        path,
        &ErrorKind::Unsupported.into(),
    ))
}

/// How a log reports lines that were lost.
fn report(format: Format) -> target::Report {
    match format {
        Format::Json => values::lines_lost,
        _ => events::lines_lost,
    }
}

/// A number that no other log has.
pub(super) fn next_number() -> u64 {
    static LOGS: AtomicU64 = AtomicU64::new(1);
    LOGS.fetch_add(1, Ordering::Relaxed)
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
