//! A server under test, its observer, and clients that misbehave.

#![allow(dead_code, unreachable_pub, missing_docs)]

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use handfast::{
    ClientContext, ClientContextBuilder, CloseOutcome, ClosePolicy, Ending, Identity, Passphrase,
    ServerContext, ServerContextBuilder, Stream, TrustAnchors,
};
use handfast_https::server::{
    ALPN, AbortReason, AddressLimit, Body, CloseEvent, CloseReason, ConnectionInfo, Handler,
    HandshakeEvent, LimitEvent, Limits, Observer, PeerAddress, RedirectEvent, Request,
    RequestEvent, Response, Running, Server, ServerConfig, TransferEnd, plain,
};
use handfast_testbed::pki::{Issued, Pki};
use http::{Method, StatusCode};

/// Longer than anything takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What an observer was told of a request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub status: Option<u16>,
    pub bytes: u64,
    pub end: TransferEnd,
    pub abort: Option<AbortReason>,
    pub client: Option<String>,
    pub user: Option<String>,
    /// Host, Referer and User-Agent.
    pub fields: [Option<String>; 3],
    pub connection: u64,
}

#[derive(Debug, Clone)]
pub struct SeenHandshake {
    pub id: &'static str,
    pub server_name: Option<String>,
    pub plain_http: Option<u16>,
    pub alert_sent: Option<u8>,
    pub alert_received: Option<u8>,
    pub versions: Vec<String>,
    pub text: String,
    pub peer: PeerAddress,
    pub local: String,
}

/// What an observer was told of a client of plain HTTP.
#[derive(Debug, Clone)]
pub struct SeenRedirect {
    pub status: Option<u16>,
    pub location: Option<String>,
    pub line: String,
}

#[derive(Debug, Clone)]
pub struct SeenClose {
    pub reason: CloseReason,
    pub outcome: Option<CloseOutcome>,
    pub ending: Option<Ending>,
    pub records_sent: u64,
    pub requests: u64,
    pub duration: Duration,
}

#[derive(Debug, Default, Clone)]
pub struct Events {
    pub requests: Vec<Seen>,
    pub handshakes: Vec<SeenHandshake>,
    pub redirects: Vec<SeenRedirect>,
    /// What was cut, of which address, and how often.
    pub limited: Vec<(AddressLimit, Option<IpAddr>, u64)>,
    pub closes: Vec<SeenClose>,
    /// The number of connections that were allowed, each time that it was reached.
    pub full: Vec<usize>,
    /// The numbers of connections whose handshakes have succeeded.
    pub opened: Vec<u64>,
}

/// Remembers all events; tests wait for them.
#[derive(Debug, Default, Clone)]
pub struct Witness(Arc<(Mutex<Events>, Condvar)>);

impl Witness {
    fn note(&self, change: impl FnOnce(&mut Events)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    pub fn events(&self) -> Events {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until the events are as they should be.
    pub fn wait(&self, what: &str, good: impl Fn(&Events) -> bool) -> Events {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.0.0.lock().unwrap();
        while !good(&events) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}: {events:#?}");
            events = self.0.1.wait_timeout(events, left).unwrap().0;
        }
        events.clone()
    }
}

impl Observer for Witness {
    fn wants_fields(&self) -> bool {
        true
    }

    fn connection_opened(&self, connection: &ConnectionInfo) {
        self.note(|events| events.opened.push(connection.number));
    }

    fn request(&self, event: &RequestEvent<'_>) {
        let fields = event.fields.unwrap();
        let text = |value: &Option<http::HeaderValue>| {
            let value = value.as_ref()?;
            Some(value.to_str().unwrap().to_owned())
        };
        let seen = Seen {
            line: format!("{} {} {:?}", event.method, event.target, event.version),
            status: event.status.map(|status| status.as_u16()),
            bytes: event.bytes,
            end: event.end,
            abort: event.abort,
            fields: [&fields.host, &fields.referer, &fields.user_agent].map(text),
            connection: event.connection.number,
            client: event.client().map(|peer| peer.subject().to_owned()),
            user: event.user.map(str::to_owned),
        };
        self.note(|events| events.requests.push(seen));
    }

    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        let explanation = event.error.explain();
        let seen = SeenHandshake {
            id: explanation.id,
            server_name: event.server_name.map(str::to_owned),
            plain_http: event.plain_http.map(|status| status.as_u16()),
            alert_sent: event.alert_sent.map(handfast::Alert::code),
            alert_received: event.alert_received.map(handfast::Alert::code),
            versions: event
                .offer
                .map_or_else(Vec::new, handfast::ClientOffer::version_names),
            text: explanation.to_string(),
            peer: event.peer,
            local: event.local.to_string(),
        };
        self.note(|events| events.handshakes.push(seen));
    }

    fn redirected(&self, event: &RedirectEvent<'_>) {
        let seen = SeenRedirect {
            status: event.status.map(|status| status.as_u16()),
            location: event.location.map(str::to_owned),
            line: String::from_utf8_lossy(event.request_line).into_owned(),
        };
        self.note(|events| events.redirects.push(seen));
    }

    fn address_limited(&self, event: &LimitEvent) {
        let seen = (event.limit, event.address, event.count);
        self.note(|events| events.limited.push(seen));
    }

    fn connections_full(&self, connections_max: usize) {
        self.note(|events| events.full.push(connections_max));
    }

    fn connection_closed(&self, event: &CloseEvent<'_>) {
        let seen = SeenClose {
            reason: event.reason.clone(),
            outcome: event.outcome,
            ending: event.ending,
            records_sent: event.traffic.records_sent,
            requests: event.requests,
            duration: event.duration,
        };
        self.note(|events| events.closes.push(seen));
    }
}

/// A server on loopback with a certificate for `localhost` and `127.0.0.1`, and its PKI.
pub struct Fixture {
    pub pki: Pki,
    pub issued: Issued,
    pub directory: tempfile::TempDir,
    pub witness: Witness,
    pub running: Option<Running>,
    pub address: SocketAddr,
    pub ca_file: PathBuf,
}

pub struct Setup {
    pub limits: Limits,
    pub close: ClosePolicy,
    pub threads: usize,
    pub context: Adjust,
}

/// A change to the server's context before it is built.
type Adjust = Box<dyn FnOnce(&Pki, ServerContextBuilder) -> ServerContextBuilder>;

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            close: ClosePolicy::default(),
            threads: 2,
            context: Box::new(|_, builder| builder),
        }
    }
}

impl Fixture {
    /// A server for what is [put](Self::put).
    pub fn shelf() -> Self {
        Self::shelf_with(Setup::default())
    }

    pub fn shelf_with(setup: Setup) -> Self {
        Self::start(setup, |directory| Shelf::new(directory.join("public")))
    }

    pub fn start<H: Handler>(setup: Setup, handler: impl FnOnce(&Path) -> H) -> Self {
        let pki = Pki::new();
        let issued = pki.server(&["localhost", "127.0.0.1"]);
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("root.pem");
        fs::write(&ca_file, pki.root.cert_pem()).unwrap();
        let identity = identity(&issued);
        let builder = ServerContext::builder().identity(identity).alpn(ALPN);
        let context = (setup.context)(&pki, builder).build().unwrap();
        let witness = Witness::default();
        let config = ServerConfig::new(context)
            .listen("127.0.0.1:0".parse().unwrap())
            .threads(setup.threads.try_into().unwrap())
            .limits(setup.limits)
            .close_policy(setup.close)
            .observer(witness.clone());
        let server = Server::bind(config, handler(directory.path())).unwrap();
        let address = server.local_addrs()[0];
        let running = Some(server.start().unwrap());
        Self {
            pki,
            issued,
            directory,
            witness,
            running,
            address,
            ca_file,
        }
    }

    /// Writes a file into the served directory.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.directory.path().join("public").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn public(&self) -> PathBuf {
        self.directory.path().join("public")
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn client(&self) -> ClientContext {
        self.client_builder().build().unwrap()
    }

    pub fn client_builder(&self) -> ClientContextBuilder {
        let anchors = TrustAnchors::empty()
            .with_pem(self.pki.root.cert_pem().as_bytes())
            .unwrap();
        ClientContext::builder().trust(anchors)
    }

    /// A TLS connection that speaks HTTP/1.1.
    pub fn connect(&self) -> Stream<TcpStream> {
        self.connect_with(&self.client())
    }

    pub fn connect_with(&self, client: &ClientContext) -> Stream<TcpStream> {
        let socket = TcpStream::connect(self.address).unwrap();
        client.secure("localhost", socket).unwrap()
    }

    /// One request with these lines on a connection of its own, which the server closes.
    pub fn ask(&self, head: &str) -> Reply {
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        let (bytes, ending) = stream.read_to_ending().unwrap();
        let reply = Reply::parse(&bytes, ending);
        stream.close(ClosePolicy::Send);
        reply
    }

    pub fn get(&self, target: &str) -> Reply {
        self.get_with(target, "")
    }

    /// `fields` end with CRLF each.
    pub fn get_with(&self, target: &str, fields: &str) -> Reply {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
        ))
    }

    /// Waits until no connection is left.
    pub fn wait_idle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.running().connections() > 0 {
            assert!(
                Instant::now() < deadline,
                "{} connections are left",
                self.running().connections()
            );
            std::thread::yield_now();
        }
    }
}

/// What lies in a directory, by the names of requests. Read once for each state of a file: many may ask for a large one.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    read: Mutex<HashMap<(PathBuf, SystemTime), Bytes>>,
}

impl Shelf {
    pub fn new(directory: PathBuf) -> Self {
        fs::create_dir(&directory).unwrap();
        Self {
            directory,
            read: Mutex::default(),
        }
    }

    fn find(&self, name: &str) -> std::io::Result<Bytes> {
        let path = self.directory.join(name);
        let key = (path.clone(), fs::metadata(&path)?.modified()?);
        let mut read = self.read.lock().unwrap();
        if !read.contains_key(&key) {
            read.insert(key.clone(), fs::read(&path)?.into());
        }
        Ok(read[&key].clone())
    }
}

impl Handler for Shelf {
    async fn handle(&self, request: Request, _connection: &Arc<ConnectionInfo>) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD\n");
        }
        match self.find(request.uri().path().trim_start_matches('/')) {
            Ok(content) => Response::new(Body::from(content)),
            Err(_) => plain(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

pub fn identity(issued: &Issued) -> Identity {
    Identity::from_bytes(
        issued.cert_pem().as_bytes(),
        issued.key_pem().as_bytes(),
        Passphrase::none(),
    )
    .unwrap()
}

/// A reply as it came.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    pub ending: Ending,
}

impl Reply {
    pub fn parse(bytes: &[u8], ending: Ending) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end + 2].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
            ending,
        }
    }

    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads what comes in the clear until the end.
pub fn read_plain(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    let _ = socket.set_read_timeout(Some(PATIENCE));
    let _ = socket.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
