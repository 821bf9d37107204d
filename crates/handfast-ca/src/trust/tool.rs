//! Other people's programs: found in trusted directories, run with a deadline, their output limited.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// A whole Java store in PEM form, 150 authorities, is 300 KB. What a program writes beyond this is
/// read and dropped.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// How much of a program's message is kept: its end, where errors are.
const MESSAGE_BYTES_MAX: usize = 2_000;

const POLL: Duration = Duration::from_millis(5);

/// A program that ended closes its pipes, unless it left another one behind. That one is not waited for.
const PIPES_WAIT: Duration = Duration::from_millis(500);

/// A program to be run: its file, its arguments, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    program: PathBuf,
    arguments: Vec<OsString>,
    limit: Duration,
}

/// Why running a program did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ToolProblem {
    /// It could not be started.
    NotStarted(io::Error),
    /// It ended with this exit code, or by a signal if there is none.
    Ended {
        /// The exit code.
        code: Option<i32>,
    },
    /// It did not end in time and was killed.
    TimedOut {
        /// How long it was given.
        seconds: u64,
    },
}

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The end of all that it wrote, for people.
    pub(crate) message: String,
    pub(crate) problem: Option<ToolProblem>,
}

impl Tool {
    /// A program that is given no argument yet.
    pub fn new(program: impl Into<PathBuf>, limit: Duration) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            limit,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        let arguments = arguments.into_iter();
        self.arguments
            .extend(arguments.map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Its file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Runs it to its end, or kills it with everything that it started when its time is up.
    pub(crate) fn run(&self) -> Finished {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            // Messages in the language in which they are searched for.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own: the programs that a script started end with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Finished::without_output(ToolProblem::NotStarted(error)),
        };
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let problem = wait(&mut child, self.limit);
        let stdout = stdout.recv_timeout(PIPES_WAIT).unwrap_or_default();
        let stderr = stderr.recv_timeout(PIPES_WAIT).unwrap_or_default();
        let all = [&stderr[..], &stdout[..]].concat();
        let end = all.get(all.len().saturating_sub(MESSAGE_BYTES_MAX)..);
        Finished {
            message: String::from_utf8_lossy(end.unwrap_or_default())
                .trim()
                .to_owned(),
            stdout,
            stderr,
            problem,
        }
    }
}

impl Finished {
    fn without_output(problem: ToolProblem) -> Self {
        Self {
            stdout: Vec::new(),
            stderr: Vec::new(),
            message: String::new(),
            problem: Some(problem),
        }
    }
}

/// `None` for exit code 0.
fn wait(child: &mut Child, limit: Duration) -> Option<ToolProblem> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return None,
            Ok(Some(status)) => {
                return Some(ToolProblem::Ended {
                    code: status.code(),
                });
            }
            Ok(None) if started.elapsed() < limit => thread::sleep(POLL),
            Ok(None) => {
                kill(child);
                return Some(ToolProblem::TimedOut {
                    seconds: limit.as_secs(),
                });
            }
            Err(error) => {
                kill(child);
                return Some(ToolProblem::NotStarted(error));
            }
        }
    }
}

/// Errors mean that it has ended already.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads a pipe to its end on a thread, so that the program is never held up.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            let limit = OUTPUT_BYTES_MAX as u64;
            let _ = pipe.by_ref().take(limit).read_to_end(&mut kept);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        // The receiver may be gone.
        let _ = send.send(kept);
    });
    receive
}

/// The first of these directories that has the program. Relative directories are not searched: what lies where a
/// user happens to be is not run.
pub(crate) fn find<'p>(
    directories: impl IntoIterator<Item = &'p PathBuf>,
    program: &str,
) -> Option<PathBuf> {
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    directories
        .into_iter()
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(&name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        file.is_file() && access(file, Access::EXEC_OK).is_ok()
    }
    #[cfg(not(unix))]
    file.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Finished {
        Tool::new("/bin/sh", limit).args(["-c", script]).run()
    }

    #[test]
    fn a_program_ends_with_its_code_and_its_output() {
        let finished = shell("echo out; echo wrong >&2; exit 3", Duration::from_secs(60));
        assert_eq!(finished.stdout, b"out\n");
        assert_eq!(finished.message, "wrong\nout");
        assert!(matches!(
            finished.problem,
            Some(ToolProblem::Ended { code: Some(3) })
        ));
        assert!(shell("exit 0", Duration::from_secs(60)).problem.is_none());
        let missing = Tool::new("/no/such/program", Duration::from_secs(1)).run();
        assert!(matches!(missing.problem, Some(ToolProblem::NotStarted(_))));
    }

    /// The limit is far below what the sleeping program would take, and that one was started by a script.
    #[test]
    fn a_program_that_hangs_is_killed_with_what_it_started() {
        let started = Instant::now();
        let script = "sleep 1000 & echo $!; wait";
        let finished = shell(script, Duration::from_millis(300));
        assert!(matches!(
            finished.problem,
            Some(ToolProblem::TimedOut { .. })
        ));
        assert!(started.elapsed() < Duration::from_secs(500));
        // The pipe ended with the process that held it.
        let id = String::from_utf8(finished.stdout).unwrap();
        let id = id
            .trim()
            .parse()
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_gone = |id| match std::fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let id = id.expect("an id").as_raw_nonzero();
        while !is_gone(id) {
            assert!(Instant::now() < deadline, "{id} lives");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn more_output_than_is_kept_does_not_stop_a_program() {
        let script = format!("head -c {} /dev/zero", OUTPUT_BYTES_MAX + 100_000);
        let finished = shell(&script, Duration::from_secs(60));
        assert!(finished.problem.is_none());
        assert_eq!(finished.stdout.len(), OUTPUT_BYTES_MAX);
        assert!(finished.message.len() <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn relative_directories_are_not_searched() {
        let directories = [PathBuf::from("."), PathBuf::from("bin"), "/bin".into()];
        assert_eq!(find(&directories, "sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find(&directories[..2], "sh"), None);
        assert_eq!(find(&directories, "no-such-program"), None);
    }
}
