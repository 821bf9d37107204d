//! Where lines end: a file, stderr, or systemd's journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Stderr};
use std::path::{Path, PathBuf};

use super::lines::Lines;
use crate::output;

/// Takes complete lines, on the writing thread. It may block.
pub(super) trait Target: Send + 'static {
    /// Writes lines; before them it reports `dropped` ones, which never came here. Gives how many of the lines were
    /// lost.
    fn write(&mut self, text: &[u8], dropped: u64) -> u64;

    /// Opens the place again, after log rotation.
    fn reopen(&mut self);

    /// There will be no more lines.
    fn end(&mut self, dropped: u64);
}

/// The line that reports lost ones, without its line feed.
pub(super) type Report = fn(u64) -> String;

/// Appends lines to a file.
pub(super) struct ToFile {
    lines: Lines<File>,
    path: PathBuf,
    /// `the access log`, for messages.
    what: String,
    report: Report,
    warned: Warned,
}

impl ToFile {
    /// Lines are appended. A new file is readable by its owner only, because it contains clients' addresses and
    /// names; one that exists keeps its mode, so that who rotates files decides who reads them.
    ///
    /// `given`: the file, if another process has opened it.
    pub(super) fn open(
        path: &Path,
        given: Option<File>,
        what: impl Into<String>,
        report: Report,
    ) -> io::Result<Self> {
        let (file, torn) = match given {
            Some(file) => {
                let torn = ends_within_line(&file).unwrap_or(false);
                (file, torn)
            }
            None => append_to(path)?,
        };
        Ok(Self {
            lines: Lines::new(file, torn),
            path: path.to_owned(),
            what: what.into(),
            report,
            warned: Warned::default(),
        })
    }
}

impl Target for ToFile {
    fn write(&mut self, text: &[u8], dropped: u64) -> u64 {
        let unreported = self.lines.lost();
        let before = self.lines.lost_ever();
        match self.lines.write(text, dropped, self.report) {
            Ok(()) => self.warned.succeeded(&self.what, unreported + dropped),
            Err(error) => self.warned.failed(&self.what, &error),
        }
        self.lines.lost_ever() - before - dropped
    }

    fn reopen(&mut self) {
        match append_to(&self.path) {
            Ok((file, torn)) => self.lines.replace(file, torn),
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; the server may have given up the right to create it (--user, --no-sandbox)"
                    }
                    _ => "",
                };
                output::warning(format!(
                    "{} cannot be reopened, the old file is still used: {error}{why}",
                    self.what
                ));
            }
        }
    }

    fn end(&mut self, dropped: u64) {
        let lost = self.lines.lost() + dropped;
        if lost > 0 {
            output::warning(format!("{lost} lines of {} were lost", self.what));
        }
    }
}

/// The file, and whether it ends with a partial line, from a server that was killed or whose disk was full.
fn append_to(path: &Path) -> io::Result<(File, bool)> {
    let file = appending().open(path)?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let ends_within_line = || ends_within_line(&File::open(path)?);
    Ok((file, is_file && ends_within_line().unwrap_or(false)))
}

/// How a log is opened.
pub(in crate::command::serve) fn appending() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn ends_within_line(mut file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Writes lines to stderr.
pub(super) struct ToStderr {
    lines: Lines<Stderr>,
    report: Report,
}

impl ToStderr {
    pub(super) fn new(report: Report) -> Self {
        Self {
            lines: Lines::new(io::stderr(), false),
            report,
        }
    }
}

impl Target for ToStderr {
    fn write(&mut self, text: &[u8], dropped: u64) -> u64 {
        let before = self.lines.lost_ever();
        // Ignore errors: there is nowhere left to report them. What is lost is counted, and told once there is
        // room again.
        let _ = self.lines.write(text, dropped, self.report);
        self.lines.lost_ever() - before - dropped
    }

    fn reopen(&mut self) {}

    fn end(&mut self, dropped: u64) {
        let _ = self.lines.write(b"", dropped, self.report);
    }
}

/// Sends entries to systemd's journal by its native protocol: a datagram for each, with a line for each field.
#[cfg(unix)]
pub(super) struct ToJournal {
    socket: std::os::unix::net::UnixDatagram,
    path: PathBuf,
    /// Entries that were lost and are not reported yet.
    lost: u64,
    warned: Warned,
}

#[cfg(unix)]
impl ToJournal {
    /// Where the system's journal listens.
    pub(super) const DEFAULT: &str = "/run/systemd/journal/socket";

    /// So large a datagram must be possible: an entry has a request's target and a few of its fields, all of which
    /// have at most 32 KiB, some of it escaped.
    const ENTRY_MAX: usize = 1024 * 1024;

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        // The journal is there, or this fails. Each entry names the address again: the journal may be restarted.
        match socket.connect(path) {
            // A confined process connects to nothing, and sends to it all the same.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {}
            result => result?,
        }
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, Self::ENTRY_MAX);
        Ok(Self {
            socket,
            path: path.to_owned(),
            lost: 0,
            warned: Warned::default(),
        })
    }

    fn send(&self, entry: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send_to(entry, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
    }
}

#[cfg(unix)]
impl Target for ToJournal {
    /// Entries end with an empty line each.
    fn write(&mut self, text: &[u8], dropped: u64) -> u64 {
        const WHAT: &str = "the journal";
        self.lost += dropped;
        let (mut lost, mut rest) = (0, text);
        while !rest.is_empty() {
            let end = memchr::memmem::find(rest, b"\n\n").map_or(rest.len(), |at| at + 1);
            let (entry, next) = rest.split_at(end);
            rest = next.strip_prefix(b"\n").unwrap_or(next);
            if self.lost > 0 {
                let report = super::journal::lines_lost(self.lost);
                if self.send(&report).is_ok() {
                    self.warned.succeeded(WHAT, self.lost);
                    self.lost = 0;
                }
            }
            if let Err(error) = self.send(entry) {
                self.warned.failed(WHAT, &error);
                self.lost += 1;
                lost += 1;
            }
        }
        lost
    }

    fn reopen(&mut self) {}

    fn end(&mut self, dropped: u64) {
        let lost = self.lost + dropped;
        if lost > 0 {
            output::warning(format!("{lost} entries of the journal were lost"));
        }
    }
}

/// Warns once for each series of failures, so that a full disk does not flood the terminal.
#[derive(Default)]
struct Warned(bool);

impl Warned {
    fn failed(&mut self, what: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.0, true) {
            output::warning(format!(
                "{what} cannot be written, lines are lost until it can: {error}"
            ));
        }
    }

    fn succeeded(&mut self, what: &str, lost: u64) {
        if std::mem::take(&mut self.0) {
            output::warning(format!("{what} is writable again: {lost} lines were lost"));
        }
    }
}
