//! Launchers for real peers: they are ready when the launcher returns, and end when they are dropped.
//!
//! Servers listen on a free port and are killed, as child processes only, when their value is dropped.
//! [`Program`] runs a client to its end within a time limit. Readiness is detected from the output, or by
//! connecting until it succeeds, never by sleeping.
//!
//! ```no_run
//! use handfast_testbed::launch::{OpensslServer, Program};
//!
//! let Some(server) = OpensslServer::launch(&["-cert", "chain.pem", "-key", "key.pem", "-www"]) else {
//!     return; // not installed, and line so
//! };
//! let address = server.address().to_string();
//! let Some(client) = Program::new("openssl") else { return };
//! let finished = client
//!     .args(["s_client", "-connect", &address, "-ign_eof"])
//!     .stdin("GET / HTTP/1.0\r\n\r\n")
//!     .run();
//! assert!(finished.succeeded(), "{finished}");
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::peers;

/// How long a server may take until it listens. Normally it takes less than a second; the rest is for
/// machines under load.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How long a client may run by default.
const RUN_WITHIN: Duration = Duration::from_secs(30);

/// Between two attempts to connect to a server that does not report when it listens.
const ATTEMPT_EVERY: Duration = Duration::from_millis(5);

/// Sometimes another process takes a port that was free; not this often in a row.
const PORTS_TRIED: usize = 10;

/// A child process, and what it has written. Dropping kills it and waits for its end.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Collected>,
    stderr: Arc<Collected>,
}

impl Running {
    /// Starts a program; its input is a pipe that stays open, its output is collected.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name,
            stdin: child.stdin.take(),
            stdout: Collected::from(child.stdout.take()),
            stderr: Collected::from(child.stderr.take()),
            child,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.lock().bytes.clone()
    }

    /// What it has written so far, standard output first, as text.
    pub fn output(&self) -> String {
        let mut bytes = self.stdout();
        bytes.extend_from_slice(&self.stderr.lock().bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes to its standard input, and leaves it open.
    ///
    /// # Errors
    /// As the pipe: the process may have ended.
    pub fn write(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(text.as_ref())?;
        stdin.flush()
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits until its standard output contains `text`, and returns everything up to the end of that line.
    /// `None` if the output ends or `limit` passes before.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Option<String> {
        self.wait_until(limit, |so_far| {
            let place = so_far.find(text)?;
            let end = so_far[place..].find('\n')?;
            Some(so_far[..place + end].to_owned())
        })
    }

    /// Waits until `find` returns a value for the standard output so far. `None` if the output ends or `limit`
    /// passes before.
    pub fn wait_until<R>(&self, limit: Duration, find: impl Fn(&str) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + limit;
        let mut state = self.stdout.lock();
        loop {
            if let Some(found) = find(&String::from_utf8_lossy(&state.bytes)) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if state.ended {
                return None;
            }
            state = self
                .stdout
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until its output, on either stream, contains `text`.
    ///
    /// # Panics
    /// If `limit` passes before.
    pub fn expect_output(&self, text: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.output().contains(text) {
            let output = self.output();
            assert!(Instant::now() < deadline, "no {text:?} in:\n{output}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end; `None` when `limit` passes before. All output is collected then.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        // Wait for the ends of the output streams; the exit follows immediately.
        for collected in [&self.stdout, &self.stderr] {
            let mut state = collected.lock();
            while !state.ended {
                let left = deadline.checked_duration_since(Instant::now())?;
                state = collected
                    .changed
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        }
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            deadline.checked_duration_since(Instant::now())?;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if the process has ended already, which is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} had written:\n{}---", self.name, self.output());
        }
    }
}

/// Bytes from a pipe, collected by a thread so that the writer never blocks.
#[derive(Debug, Default)]
struct Collected {
    state: Mutex<CollectedState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct CollectedState {
    bytes: Vec<u8>,
    ended: bool,
}

impl Collected {
    fn from(pipe: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let collected = Arc::new(Self::default());
        let writer = Arc::clone(&collected);
        thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            if let Some(mut pipe) = pipe {
                while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                    writer.lock().bytes.extend_from_slice(&chunk[..count]);
                    writer.changed.notify_all();
                }
            }
            writer.lock().ended = true;
            writer.changed.notify_all();
        });
        collected
    }

    fn lock(&self) -> MutexGuard<'_, CollectedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `openssl s_server` on a free port.
#[derive(Debug)]
pub struct OpensslServer {
    running: Running,
    address: SocketAddr,
}

impl OpensslServer {
    /// Starts it with these arguments besides the address. With `-www` it serves HTTP; without, it
    /// copies between the connection and its standard input and output, and executes commands
    /// such as `Q` and `R` at the start of a line of its input.
    ///
    /// `None` when OpenSSL is not installed (see [`peers::require`]).
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch<S: AsRef<OsStr>>(args: &[S]) -> Option<Self> {
        let program = peers::require("openssl")?;
        let mut command = Command::new(program);
        command.args(["s_server", "-accept", "127.0.0.1:0"]);
        let running = Running::start(command.args(args));
        // It prints the port that it was given: `ACCEPT 127.0.0.1:40123`.
        let line = running.wait_for("ACCEPT ", READY_WITHIN);
        let address = line
            .as_deref()
            .and_then(|text| text.rsplit("ACCEPT ").next())
            .and_then(|address| address.trim().parse().ok());
        let Some(address) = address else {
            panic!(
                "openssl s_server does not listen: {line:?} {}",
                running.output()
            );
        };
        Some(Self { running, address })
    }

    /// Starts it with a certificate for localhost that `openssl req` makes for a key of a kind that [`crate::pki`] does
    /// not make: `algorithm` are its options for that. The files are in `directory`.
    ///
    /// # Panics
    /// When the certificate cannot be made, and as [`launch`](Self::launch).
    pub fn with_unusual_key(directory: &Path, algorithm: &[&str]) -> Option<Self> {
        let chain = directory.join("chain.pem");
        let key = directory.join("key.pem");
        let made = Program::new("openssl")?
            .args(["req", "-x509", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(algorithm)
            .args(["-keyout".as_ref(), key.as_os_str()])
            .args(["-out".as_ref(), chain.as_os_str()])
            .run();
        assert!(made.succeeded(), "{made:?}");
        let arguments: [&OsStr; 6] = [
            "-cert".as_ref(),
            chain.as_os_str(),
            "-key".as_ref(),
            key.as_os_str(),
            "-cipher".as_ref(),
            "ALL:@SECLEVEL=0".as_ref(),
        ];
        Self::launch(&arguments)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// `gnutls-serv` on a free port.
#[derive(Debug)]
pub struct GnutlsServer {
    running: Running,
    address: SocketAddr,
}

impl GnutlsServer {
    /// Starts it with these arguments besides the port, such as `--http` or `--echo`.
    ///
    /// `None` when GnuTLS' programs are not installed.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch<S: AsRef<OsStr>>(args: &[S]) -> Option<Self> {
        let program = peers::require("gnutls-serv")?;
        let (running, address) = on_a_free_port(|port| {
            let mut command = Command::new(&program);
            command.arg("--port").arg(port.to_string()).args(args);
            Running::start(&mut command)
        });
        Some(Self { running, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// nginx in one process, which writes only into a directory of the caller's.
#[derive(Debug)]
pub struct Nginx {
    running: Running,
    address: SocketAddr,
}

impl Nginx {
    /// Starts it. `server` is given the port and makes the text of the `http` block: one or more
    /// `server { listen 127.0.0.1:PORT ssl; ... }`. The access log and all temporary files go into
    /// `directory`; error messages are collected with the output.
    ///
    /// `None` when nginx is not installed.
    ///
    /// # Panics
    /// When it does not listen: the message contains its errors about the configuration.
    pub fn launch(directory: &Path, server: impl Fn(u16) -> String) -> Option<Self> {
        let program = peers::require("nginx")?;
        let (running, address) = on_a_free_port(|port| {
            let file = directory.join("nginx.conf");
            fs::write(&file, nginx_configuration(directory, &server(port)))
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut command = Command::new(&program);
            // `-e` applies before the configuration is read: the default log is not writable.
            command.args(["-e", "stderr", "-p"]).arg(directory);
            command.arg("-c").arg(&file);
            Running::start(&mut command)
        });
        Some(Self { running, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// One process in the foreground: with a master, killing it would leave the workers behind.
fn nginx_configuration(directory: &Path, http: &str) -> String {
    let directory = directory.display();
    format!(
        "daemon off;\n\
         master_process off;\n\
         pid {directory}/nginx.pid;\n\
         error_log stderr;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log {directory}/access.log;\n\
         client_body_temp_path {directory}/client_body;\n\
         proxy_temp_path {directory}/proxy;\n\
         fastcgi_temp_path {directory}/fastcgi;\n\
         uwsgi_temp_path {directory}/uwsgi;\n\
         scgi_temp_path {directory}/scgi;\n\
         {http}\n\
         }}\n"
    )
}

/// tinyproxy: an HTTP proxy that connects to any address.
#[derive(Debug)]
pub struct Tinyproxy {
    running: Running,
    address: SocketAddr,
}

impl Tinyproxy {
    /// Starts it with these lines added to its configuration, which is written into `directory`.
    ///
    /// `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch(directory: &Path, settings: &str) -> Option<Self> {
        let program = peers::require("tinyproxy")?;
        let (running, address) = on_a_free_port(|port| {
            let file = directory.join("tinyproxy.conf");
            let text = format!(
                "Listen 127.0.0.1\nPort {port}\nTimeout 20\nLogLevel Connect\n{settings}\n"
            );
            fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut command = Command::new(&program);
            command.arg("-d").arg("-c").arg(&file);
            Running::start(&mut command)
        });
        Some(Self { running, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process; its log is its output.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// microsocks: a SOCKS5 proxy that connects to any address.
#[derive(Debug)]
pub struct Microsocks {
    running: Running,
    address: SocketAddr,
}

impl Microsocks {
    /// Starts it, without authentication or with this user name and password.
    ///
    /// `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch(credentials: Option<(&str, &str)>) -> Option<Self> {
        let program = peers::require("microsocks")?;
        let (running, address) = on_a_free_port(|port| {
            let mut command = Command::new(&program);
            command
                .args(["-i", "127.0.0.1", "-p"])
                .arg(port.to_string());
            if let Some((user, password)) = credentials {
                command.args(["-u", user, "-P", password]);
            }
            Running::start(&mut command)
        });
        Some(Self { running, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process; its log is its output.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// Starts a server that needs its port as an argument, with another free port until it listens.
pub(crate) fn on_a_free_port(mut start: impl FnMut(u16) -> Running) -> (Running, SocketAddr) {
    let mut complaints = String::new();
    for _ in 0..PORTS_TRIED {
        let address = free_address();
        let mut running = start(address.port());
        if accepts(address, &mut running) {
            return (running, address);
        }
        complaints = running.output();
    }
    panic!("the server does not listen: {complaints}");
}

/// An address on which no process listens at this moment.
///
/// # Panics
/// When loopback has no port left.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|error| panic!("no free port: {error}"))
}

/// Tries to connect until that succeeds, the process has ended or the time is up.
fn accepts(address: SocketAddr, running: &mut Running) -> bool {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if running.has_ended() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            // If another process were listening, ours would have failed to bind and ended.
            return !running.has_ended();
        }
        thread::sleep(ATTEMPT_EVERY);
    }
    false
}

/// A real client.
#[derive(Debug)]
#[must_use]
pub struct Program {
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Program {
    /// An installed program: `openssl`, `gnutls-cli`, `curl`, `wget`, `python3`. Its environment is
    /// ours without variables that would change its TLS settings or its proxy.
    ///
    /// `None` when it is not installed (see [`peers::require`]).
    pub fn new(name: &str) -> Option<Self> {
        peers::require(name).map(Self::at)
    }

    /// The program in this file.
    pub fn at(path: impl Into<OsString>) -> Self {
        let mut command = Command::new(path.into());
        for variable in [
            "SSLKEYLOGFILE",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "CURL_CA_BUNDLE",
            "OPENSSL_CONF",
            "http_proxy",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(variable);
        }
        Self {
            command,
            stdin: Vec::new(),
            limit: RUN_WITHIN,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// In this directory.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its standard input, which ends after this.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may run. Default: 30 s.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end, or kills it when the limit has passed.
    pub fn run(mut self) -> Finished {
        let mut running = Running::start(&mut self.command);
        // A program that ends early does not read the rest.
        let _ = running.write(&self.stdin);
        running.end_input();
        let status = running.wait(self.limit);
        let (stdout, stderr) = (running.stdout(), running.stderr.lock().bytes.clone());
        Finished {
            code: status.and_then(|status| status.code()),
            timed_out: status.is_none(),
            stdout,
            stderr,
        }
    }

    /// Starts it, for interactive use. The limit does not apply.
    pub fn start(mut self) -> Running {
        let mut running = Running::start(&mut self.command);
        if !self.stdin.is_empty() {
            let _ = running.write(&self.stdin);
        }
        running
    }
}

/// A client's run.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// It was killed because its time was up.
    pub timed_out: bool,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Exit code 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Whether its output contains `text`.
    pub fn printed(&self, text: &str) -> bool {
        self.out().contains(text) || self.err().contains(text)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            _ if self.timed_out => writeln!(f, "killed after its time limit")?,
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        writeln!(f, "--- standard output\n{}", self.out())?;
        write!(f, "--- standard error\n{}", self.err())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Pki;

    #[test]
    fn a_program_runs_to_its_end_or_its_limit() {
        let Some(shell) = Program::new("sh") else {
            return;
        };
        let finished = shell.args(["-c", "cat; exit 3"]).stdin("text").run();
        assert_eq!(finished.code, Some(3));
        assert_eq!(finished.out(), "text");
        let endless = Program::new("sleep").map(|sleep| sleep.arg("1000"));
        let finished = endless.map(|sleep| sleep.limit(Duration::from_millis(50)).run());
        assert!(finished.is_some_and(|finished| finished.timed_out));
    }

    #[test]
    fn servers_listen_once_launched_and_end_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let files = Pki::new()
            .server(&["localhost"])
            .write(directory.path(), "server", &[]);
        let (chain, key) = (files.chain_pem, files.key_pem);
        let mut addresses = Vec::new();
        if let Some(server) = OpensslServer::launch(&[
            OsStr::new("-www"),
            OsStr::new("-cert"),
            chain.as_os_str(),
            OsStr::new("-key"),
            key.as_os_str(),
        ]) {
            TcpStream::connect(server.address()).unwrap();
            addresses.push(server.address());
        }
        if let Some(server) = GnutlsServer::launch(&[
            OsStr::new("--http"),
            OsStr::new("--x509certfile"),
            chain.as_os_str(),
            OsStr::new("--x509keyfile"),
            key.as_os_str(),
        ]) {
            TcpStream::connect(server.address()).unwrap();
            addresses.push(server.address());
        }
        if let Some(server) = Nginx::launch(directory.path(), |port| {
            format!(
                "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; \
                 ssl_certificate_key {}; return 200 hello; }}",
                chain.display(),
                key.display()
            )
        }) {
            TcpStream::connect(server.address()).unwrap();
            addresses.push(server.address());
        }
        for address in addresses {
            assert!(
                TcpStream::connect(address).is_err(),
                "{address} still accepts connections"
            );
        }
    }
}
