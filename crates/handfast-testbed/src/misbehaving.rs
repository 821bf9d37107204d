//! Servers that complete the handshake and then follow a script: truncate, reset, send byte by byte, send
//! after `close_notify`.
//!
//! ```no_run
//! use handfast_testbed::misbehaving::{Misbehaving, Step};
//! use handfast_testbed::pki::Pki;
//!
//! let server = Misbehaving::new(&Pki::new().server(&["localhost"]), &[]).serve([
//!     Step::ReadHead,
//!     Step::send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive "),
//!     Step::Fin, // no close_notify, and half of the body missing
//! ]);
//! println!("https://localhost:{}/", server.address().port());
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::pki::Issued;

/// A client that sends nothing for this long hangs: the test fails.
const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(20);

/// A step of a script. After the last step the server waits for the client to end, then closes.
#[derive(Debug, Clone)]
pub enum Step {
    /// Read up to the blank line that ends the head of an HTTP/1.1 request.
    ReadHead,
    /// Read an HTTP/1.1 request with its body. A client that asks whether it may send it (`Expect`) may.
    ReadRequest,
    /// Read this many bytes of plaintext.
    Read(usize),
    /// Read an HTTP/2 client's preface and frames, up to the end of its first or next request.
    ReadHttp2Request,
    /// Read the head of an HTTP/1.1 request, and go on with what this makes of it; it is in lower case.
    AnswerHead(fn(&str) -> Vec<Self>),
    /// Read until the client ends.
    ReadToEnd,
    /// Read requests of HTTP/1.1 until the client ends; after each, the steps that this function has for its text and for
    /// the number of requests that the server has had before.
    Answer(fn(&str, usize) -> Vec<Self>),
    /// Send these bytes in as few records as possible.
    Send(Vec<u8>),
    /// Send each byte in a separate record, with a pause after each.
    ByteByByte(Vec<u8>, Duration),
    /// Send these bytes repeatedly until the client closes.
    Forever(Vec<u8>),
    /// Send bytes that are not TLS records.
    Raw(Vec<u8>),
    /// Do nothing for a while.
    Pause(Duration),
    /// Let those go on that wait for this.
    Signal,
    /// Wait until another client's script has come to [`Step::Signal`].
    AwaitSignal,
    /// Send `close_notify`.
    CloseNotify,
    /// Send FIN.
    Fin,
    /// Reset the connection. The last step.
    Reset,
}

impl Step {
    /// [`Step::Send`].
    pub fn send(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Send(bytes.into())
    }
}

/// A server before it is started.
#[derive(Debug)]
pub struct Misbehaving {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Misbehaving {
    /// It presents this certificate, followed by `issuers`.
    pub fn new(identity: &Issued, issuers: &[&Issued]) -> Self {
        Self {
            chain: identity.chain_with(issuers),
            key: identity.key_der(),
            alpn: Vec::new(),
            versions: rustls::ALL_VERSIONS.to_vec(),
        }
    }

    /// The application protocols that it accepts. Default: it ignores ALPN.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols
            .iter()
            .map(|one| one.as_bytes().to_vec())
            .collect();
        self
    }

    /// Speaks TLS 1.2 only. Default: 1.3 as well.
    #[must_use]
    pub fn tls12(mut self) -> Self {
        self.versions = vec![&rustls::version::TLS12];
        self
    }

    /// Listens on loopback and runs the same script with every client, each on its own thread.
    ///
    /// # Panics
    /// When loopback has no port left or the identity cannot be used.
    pub fn serve(self, script: impl IntoIterator<Item = Step>) -> Served {
        self.serve_each([script.into_iter().collect()])
    }

    /// As [`serve`](Self::serve), with a script for each client; the last one serves all further clients.
    ///
    /// # Panics
    /// As [`serve`](Self::serve), and without any script.
    pub fn serve_each(self, scripts: impl IntoIterator<Item = Vec<Step>>) -> Served {
        let scripts: Vec<Arc<Vec<Step>>> = scripts.into_iter().map(Arc::new).collect();
        assert!(!scripts.is_empty(), "a script is required");
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut config = ServerConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&self.versions)
            .expect("the versions are supported")
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .expect("a certificate and its key");
        config.alpn_protocols = self.alpn;
        let config = Arc::new(config);

        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                if server.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let number = server.connections.fetch_add(1, Ordering::Relaxed);
                let script = scripts.get(number).or_else(|| scripts.last()).cloned();
                let tls = ServerConnection::new(Arc::clone(&config));
                let server = Arc::clone(&server);
                thread::spawn(move || {
                    if let (Some(script), Ok(tls)) = (script, tls) {
                        // Some tests expect the client to close early.
                        let _ = play(socket, tls, &script, &server);
                    }
                });
            }
        });
        Served { address, shared }
    }
}

/// A running server. Dropping it stops it listening.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    connections: AtomicUsize,
    answered: AtomicUsize,
    signalled: AtomicBool,
    received: Mutex<Vec<u8>>,
}

impl Served {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of this path under the name `localhost`.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// How many clients have connected so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Everything that the steps have read so far.
    pub fn received(&self) -> Vec<u8> {
        let received = &self.shared.received;
        received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The same as text.
    pub fn received_text(&self) -> String {
        String::from_utf8_lossy(&self.received()).into_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener; fails if it has ended already.
        let _ = TcpStream::connect(self.address);
    }
}

fn play(
    mut socket: TcpStream,
    mut tls: ServerConnection,
    script: &[Step],
    shared: &Shared,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(CLIENT_SILENCE_MAX))?;
    socket.set_write_timeout(Some(CLIENT_SILENCE_MAX))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    // Tickets and other pending output of the handshake.
    send(&mut socket, &mut tls)?;
    let mut player = Player {
        socket,
        tls,
        pending: Vec::new(),
        preface_read: false,
        shared,
    };
    script.iter().try_for_each(|step| player.step(step))?;
    if !script.iter().any(|step| matches!(step, Step::Reset)) {
        // Closing with unread bytes would reset the connection, which only `Reset` should.
        let mut discarded = [0; 4096];
        while player.socket.read(&mut discarded)? > 0 {}
    }
    Ok(())
}

struct Player<'s> {
    socket: TcpStream,
    tls: ServerConnection,
    /// Plaintext that was read and not yet consumed by a step.
    pending: Vec<u8>,
    preface_read: bool,
    shared: &'s Shared,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::ReadHead => self.read_head().map(drop),
            Step::ReadRequest => self.read_request().map(drop),
            Step::Read(count) => self.read(*count).map(drop),
            Step::AnswerHead(answer) => {
                let head = self.read_head()?;
                answer(&head).iter().try_for_each(|step| self.step(step))
            }
            Step::ReadHttp2Request => self.read_http2_request(),
            Step::ReadToEnd => {
                while self.more().is_ok() {}
                self.take(self.pending.len());
                Ok(())
            }
            Step::Answer(steps) => loop {
                let request = self.read_request()?;
                let number = self.shared.answered.fetch_add(1, Ordering::Relaxed);
                let steps = steps(&request, number);
                steps.iter().try_for_each(|step| self.step(step))?;
                if steps.iter().any(|step| matches!(step, Step::Reset)) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                if steps.iter().any(|step| matches!(step, Step::Fin)) {
                    return Ok(());
                }
            },
            Step::Send(bytes) => self.send_plaintext(bytes),
            Step::ByteByByte(bytes, pause) => bytes.iter().try_for_each(|byte| {
                self.send_plaintext(&[*byte])?;
                thread::sleep(*pause);
                Ok(())
            }),
            Step::Forever(bytes) => loop {
                self.send_plaintext(bytes)?;
            },
            Step::Raw(bytes) => self.socket.write_all(bytes),
            Step::Pause(pause) => {
                thread::sleep(*pause);
                Ok(())
            }
            Step::Signal => {
                self.shared.signalled.store(true, Ordering::Release);
                Ok(())
            }
            Step::AwaitSignal => {
                let deadline = Instant::now() + CLIENT_SILENCE_MAX;
                while !self.shared.signalled.load(Ordering::Acquire) && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(2));
                }
                Ok(())
            }
            Step::CloseNotify => {
                self.tls.send_close_notify();
                send(&mut self.socket, &mut self.tls)
            }
            Step::Fin => self.socket.shutdown(Shutdown::Write),
            Step::Reset => {
                socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))?;
                // Sent when the socket closes after the script.
                Ok(())
            }
        }
    }

    fn read(&mut self, count: usize) -> io::Result<String> {
        while self.pending.len() < count {
            self.more()?;
        }
        Ok(self.take(count))
    }

    /// Reads a head, and returns it in lower case.
    fn read_head(&mut self) -> io::Result<String> {
        loop {
            let end = self.pending.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&self.pending[..end + 4]).to_lowercase();
                self.take(end + 4);
                return Ok(head);
            }
            self.more()?;
        }
    }

    /// Reads a request, and returns it: its head in lower case.
    fn read_request(&mut self) -> io::Result<String> {
        let head = self.read_head()?;
        if head.contains("\r\nexpect: 100-continue\r\n") {
            self.send_plaintext(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            // No test sends a chunk that ends so.
            while !self.pending.ends_with(b"0\r\n\r\n") {
                self.more()?;
            }
            return Ok(head + &self.take(self.pending.len()));
        }
        let length = head.split("\r\ncontent-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        Ok(head + &self.read(length.unwrap_or(0))?)
    }

    fn send_plaintext(&mut self, bytes: &[u8]) -> io::Result<()> {
        // In portions that fit the connection's own buffer.
        for portion in bytes.chunks(32 * 1024) {
            self.tls.writer().write_all(portion)?;
            send(&mut self.socket, &mut self.tls)?;
        }
        Ok(())
    }

    /// Consumes what was read, and returns it as text.
    fn take(&mut self, count: usize) -> String {
        let taken: Vec<u8> = self.pending.drain(..count).collect();
        let received = &self.shared.received;
        received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(&taken);
        String::from_utf8_lossy(&taken).into_owned()
    }

    /// Reads some more plaintext; an error when there is none.
    fn more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.tls.reader().read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.pending.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tls.read_tls(&mut self.socket)?;
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn read_http2_request(&mut self) -> io::Result<()> {
        if !self.preface_read {
            self.preface_read = true;
            self.step(&Step::Read(http2::PREFACE.len()))?;
        }
        loop {
            while self.pending.len() < 9 {
                self.more()?;
            }
            let length = self.pending[..3]
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (kind, flags) = (self.pending[3], self.pending[4]);
            self.step(&Step::Read(9 + length))?;
            // END_STREAM of HEADERS or DATA.
            if kind <= 1 && flags & 1 != 0 {
                return Ok(());
            }
        }
    }
}

fn send(socket: &mut TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

/// HTTP/2 frames (RFC 9113), for scripts.
pub mod http2 {
    /// The client's connection preface.
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// A frame.
    pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short payload");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// Our settings, all of them the defaults, and the acknowledgement of the client's.
    pub fn settings() -> Vec<u8> {
        [frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()
    }

    /// `:status: 200` and these fields on stream `stream`.
    pub fn headers(stream: u32, fields: &[(&str, &str)], end_stream: bool) -> Vec<u8> {
        let mut block = vec![0x88];
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("short text"));
                block.extend(text.as_bytes());
            }
        }
        frame(1, 4 | u8::from(end_stream), stream, &block)
    }

    /// Bytes of a body on stream `stream`.
    pub fn data(stream: u32, bytes: &[u8], end_stream: bool) -> Vec<u8> {
        frame(0, u8::from(end_stream), stream, bytes)
    }

    /// Ends stream `stream` with an error code: 0 NO_ERROR, 2 INTERNAL_ERROR, 8 CANCEL.
    pub fn reset(stream: u32, code: u32) -> Vec<u8> {
        frame(3, 0, stream, &code.to_be_bytes())
    }

    /// No more streams after `last`, with an error code.
    pub fn go_away(last: u32, code: u32) -> Vec<u8> {
        frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
    }
}
