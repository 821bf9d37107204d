//! What goes wrong around the program: no descriptor is left, the disk is full, files change while they are served,
//! a peer is stopped, the program is killed, the clock is set.

mod clock;
mod descriptors;
mod disk;
mod durable;
mod files;
mod killed;
mod randomness;
mod stopped;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use handfast::{ClientContext, ReadOutcome, Stream, TrustAnchors};
use handfast_testbed::launch::{Finished, Program, Running};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::Fixture;

const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

/// Longer than anything takes, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A PKI, and a directory to serve.
struct Place {
    fixture: Fixture,
}

impl Place {
    fn new() -> Self {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path("public")).unwrap();
        Self { fixture }
    }

    /// Where a served file is.
    fn public(&self, name: &str) -> PathBuf {
        self.fixture.path("public").join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.public(name), content).unwrap();
    }

    /// `serve`, started as it is.
    fn serve(&self, more: &[&str]) -> Serving {
        self.serve_by(&[], more)
    }

    /// `serve`, started by a shell that has run this before.
    fn serve_after(&self, script: &str, more: &[&str]) -> Serving {
        let script = format!("{script}; exec \"$@\"");
        self.serve_by(&["sh", "-c", &script, "sh"], more)
    }

    /// `serve`, started by this program with these arguments.
    fn serve_by(&self, launcher: &[&str], more: &[&str]) -> Serving {
        let (running, port) = self.start_by(launcher, more);
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        Serving { running, port }
    }

    /// The same, if it starts.
    fn try_serve_by(&self, launcher: &[&str], more: &[&str]) -> Option<Serving> {
        let (running, port) = self.start_by(launcher, more);
        let is_forbidden = running.output().contains("Operation not permitted");
        assert!(port.is_some() || is_forbidden, "{}", running.output());
        port.map(|port| Serving { running, port })
    }

    fn start_by(&self, launcher: &[&str], more: &[&str]) -> (Running, Option<u16>) {
        let mut words: Vec<OsString> = launcher.iter().map(OsString::from).collect();
        words.extend([HANDFAST, "serve", "--listen", "127.0.0.1:0"].map(OsString::from));
        words.extend(["--cert".into(), self.fixture.chain.clone().into()]);
        words.extend(["--key".into(), self.fixture.key.clone().into()]);
        words.extend(more.iter().map(OsString::from));
        words.push(self.fixture.path("public").into());
        let running = Program::at(words.remove(0))
            .args(words)
            .env("HANDFAST_CA_DIR", self.fixture.path("no-such-ca"))
            .start();
        let port = running.wait_until(PATIENCE, |output| {
            let (_, rest) = output.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        });
        (running, port)
    }

    /// `get` with these arguments, started by a shell that has run this before.
    fn get_after(&self, script: &str, arguments: &[&OsStr]) -> Finished {
        let script = format!("{script}; exec \"$@\"");
        let finished = Program::at("sh")
            .args(["-c", &script, "sh", HANDFAST, "get", "--no-probe"])
            .args(self.fixture.trust())
            .args(arguments)
            .env("HANDFAST_CA_DIR", self.fixture.path("no-such-ca"))
            .run();
        assert!(!finished.timed_out, "{finished}");
        finished
    }

    fn client(&self) -> ClientContext {
        let root = self.fixture.pki.root.cert_pem();
        let anchors = TrustAnchors::empty().with_pem(root.as_bytes()).unwrap();
        ClientContext::builder().trust(anchors).build().unwrap()
    }
}

/// `serve`, until it is dropped.
struct Serving {
    running: Running,
    port: u16,
}

impl Serving {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// A connection without TLS.
    fn raw(&self) -> TcpStream {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn connect(&self, client: &ClientContext) -> Stream<TcpStream> {
        client.secure("localhost", self.raw()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        send(self.running.id(), signal);
    }

    /// Waits until its output contains this.
    fn wait_for(&self, text: &str) {
        self.running.expect_output(text, PATIENCE);
    }
}

fn send(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.try_into().unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

fn wait_until(what: &str, mut good: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !good() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One request on a connection that is kept: the reply's head and body, which has a length.
fn ask(stream: &mut Stream<TcpStream>, path: &str) -> (String, Vec<u8>) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream.flush().unwrap();
    let mut got = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read_some(&mut buffer).unwrap() {
            ReadOutcome::Data(count) => got.extend_from_slice(&buffer[..count]),
            ReadOutcome::End(ending) => {
                panic!("{ending:?} after {:?}", String::from_utf8_lossy(&got))
            }
            ReadOutcome::WouldBlock => {}
        }
        let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&got[..end]).into_owned();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no length: {head}"));
        if got.len() >= end + 4 + length {
            return (head, got[end + 4..].to_vec());
        }
    }
}

/// Bytes that differ from place to place.
fn content(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

/// Reads so many bytes of a program's output.
fn take(output: &mut impl std::io::Read, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    output.take(count as u64).read_to_end(&mut got).unwrap();
    got
}
