//! The program under test as a conversation, and in-process peers.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handfast::{ClientContext, Identity, Passphrase, ServerContext, TrustAnchors};

use crate::common::Fixture;

/// A machine under load is not the program's fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

impl Fixture {
    /// `handfast connect` that trusts the PKI alone.
    pub(crate) fn connect<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command("connect");
        command.args(self.trust()).args(args);
        command
    }

    /// `handfast connect --listen` with the server's identity.
    pub(crate) fn listen<S: AsRef<OsStr>>(
        &self,
        target: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.command("connect");
        command
            .args(["--listen", target, "--cert"])
            .arg(&self.chain);
        command.arg("--key").arg(&self.key).args(args);
        command
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_files(&self.chain, &self.key, Passphrase::none()).unwrap()
    }

    pub(crate) fn server_context(&self) -> ServerContext {
        ServerContext::builder()
            .identity(self.identity())
            .build()
            .unwrap()
    }

    pub(crate) fn client_context(&self) -> ClientContext {
        ClientContext::builder()
            .trust(TrustAnchors::empty().with_file(&self.ca).unwrap())
            .build()
            .unwrap()
    }
}

/// One connection served on a thread; what it returns is had by joining.
pub(crate) fn serve<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        serve(socket)
    });
    (address, handle)
}

/// The program while it runs. Dropping kills it.
pub(crate) struct Talk {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Collected>,
    stderr: Arc<Collected>,
}

/// The program's run.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Ended with this code, having said all of these things about it.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in says {
            assert!(self.stderr.contains(text), "{text:?} is missing: {self:#?}");
        }
        let printable = |c: char| c == '\n' || !c.is_control();
        assert!(self.stderr.chars().all(printable), "{self:?}");
        self
    }
}

impl Talk {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::with_stdout(command.stdout(Stdio::piped()))
    }

    /// With a standard output of the caller's.
    pub(crate) fn with_stdout(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: Collected::from(child.stdout.take()),
            stderr: Collected::from(child.stderr.take()),
            child,
        }
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits until its standard error says `text`; gives the rest of that line.
    #[track_caller]
    pub(crate) fn told(&self, text: &str) -> String {
        self.stderr.wait_for(text)
    }

    /// Waits until its standard output has `text` and a line's end behind it.
    #[track_caller]
    pub(crate) fn heard(&self, text: &str) -> String {
        self.stdout.wait_for(text)
    }

    /// Waits until its standard output has so many bytes.
    #[track_caller]
    pub(crate) fn heard_bytes(&self, count: usize) {
        let state = self.stdout.state.lock().unwrap();
        let (state, _) = self
            .stdout
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.1 && state.0.len() < count)
            .unwrap();
        assert!(state.0.len() >= count, "{} bytes came", state.0.len());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.told("listening on ").parse().unwrap()
    }

    /// Ends its input and waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        self.end_input();
        self.wait()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end, having said: {}",
                String::from_utf8_lossy(&self.stderr.bytes())
            );
            thread::sleep(Duration::from_millis(2));
        };
        Finished {
            code: status.code(),
            stdout: self.stdout.all(),
            stderr: String::from_utf8(self.stderr.all()).unwrap(),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end with this input.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Finished {
    let mut talk = Talk::start(command);
    // It may have ended before it took its input.
    let _ = talk.take_stdin().write_all(input);
    talk.wait()
}

#[derive(Default)]
struct Collected {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Collected {
    fn from(pipe: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let collected = Arc::new(Self::default());
        let writer = Arc::clone(&collected);
        thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            if let Some(mut pipe) = pipe {
                while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                    let mut state = writer.state.lock().unwrap();
                    state.0.extend_from_slice(&chunk[..count]);
                    writer.changed.notify_all();
                }
            }
            writer.state.lock().unwrap().1 = true;
            writer.changed.notify_all();
        });
        collected
    }

    fn bytes(&self) -> Vec<u8> {
        self.state.lock().unwrap().0.clone()
    }

    fn all(&self) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.1)
            .unwrap();
        assert!(state.1, "its output does not end");
        state.0.clone()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap();
        loop {
            let so_far = String::from_utf8_lossy(&state.0).into_owned();
            if let Some((_, rest)) = so_far.split_once(text)
                && let Some((line, _)) = rest.split_once('\n')
            {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!state.1 && !left.is_zero(), "{text:?} never came: {so_far}");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}
