//! The setup of the demonstration: a temporary authority, its certificates, and three servers, of which
//! two are faulty.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handfast::{
    ClientAuth, Identity, Line, LineReader, Passphrase, ServerContext, TrustAnchors, escape_control,
};
use handfast_ca::{Authority, InitOptions, IssueRequest, Issued};
use handfast_files::Files;
use handfast_https::server::{
    ALPN, CloseEvent, HandshakeEvent, Observer, RequestEvent, Running, Server, ServerConfig,
    TransferEnd,
};
use tempfile::TempDir;

use super::words::{agreed, cannot};
use crate::advice::Advised as _;
use crate::failure::Failure;

/// The name in the client certificate.
pub(super) const CLIENT_NAME: &str = "alice";

/// The announced and the sent length of the truncating server.
const ANNOUNCED: usize = 100_000;
const SENT: usize = 40_000;

/// How long a server may take to report a connection; loopback needs milliseconds.
const REPORT_MAX: Duration = Duration::from_secs(5);

const PAGE: &str = "\
<!doctype html>
<html lang=\"en\">
<title>handfast</title>
<h1>Both ends met</h1>
<p>This page came over HTTPS, from a server that knows that all of it arrived.</p>
</html>
";

/// Everything that the exchanges need; removed when dropped.
pub(super) struct Stage {
    dir: TempDir,
    authority: Authority,
    server: DemoServer,
}

impl Stage {
    pub(super) fn set() -> Result<Self, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("handfast-demo-")
            .tempdir()
            .map_err(|error| cannot("make a temporary directory", &error))?;
        let authority = Authority::init(&dir.path().join("ca"), &InitOptions::default())?;
        let site = dir.path().join("site");
        write_site(&site).map_err(|error| cannot("write its page", &error))?;
        let issued = issue(
            &authority,
            &dir,
            &IssueRequest::server(["localhost", "127.0.0.1"]),
        )?;
        let files = Files::new(&site).map_err(|error| cannot("open its page", &error))?;
        let trust = TrustAnchors::empty()
            .with_file(authority.certificate_file())
            .map_err(handfast::Error::from)?;
        let context = ServerContext::builder()
            .identity(load(&issued)?)
            .client_auth(ClientAuth::Optional(trust))
            .alpn(ALPN)
            .build()?;
        let server = DemoServer::serve(context, files)?;
        Ok(Self {
            dir,
            authority,
            server,
        })
    }

    /// The temporary directory with all files.
    pub(super) fn directory(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.authority.certificate_file()
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port
    }

    /// The working server's view of the last connection.
    pub(super) fn server_saw(&self) -> Vec<String> {
        self.server.saw()
    }

    pub(super) fn download_target(&self) -> PathBuf {
        self.dir.path().join("archive.tar")
    }

    pub(super) fn client_identity(&self) -> Result<Identity, Failure> {
        load(&issue(
            &self.authority,
            &self.dir,
            &IssueRequest::client([CLIENT_NAME]),
        )?)
    }

    /// A server whose certificate is for another name.
    pub(super) fn misnamed_server(&self) -> Result<DemoServer, Failure> {
        let request = IssueRequest::server(["elsewhere.internal"]);
        let identity = load(&issue(&self.authority, &self.dir, &request)?)?;
        let files = Files::new(self.dir.path().join("site"))
            .map_err(|error| cannot("open its page", &error))?;
        DemoServer::serve(
            ServerContext::builder()
                .identity(identity)
                .alpn(ALPN)
                .build()?,
            files,
        )
    }

    /// A server that announces more than it sends, and closes without `close_notify`.
    pub(super) fn cutting_server(&self) -> Result<DemoServer, Failure> {
        let issued = issue(
            &self.authority,
            &self.dir,
            &IssueRequest::server(["localhost"]),
        )?;
        let context = ServerContext::builder().identity(load(&issued)?).build()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(|error| cannot("listen on loopback", &error))?;
        let port = listener
            .local_addr()
            .map_err(|error| cannot("listen on loopback", &error))?
            .port();
        let (diary, pages) = channel();
        let thread = thread::spawn(move || {
            let events =
                cut_short(&context, &listener).unwrap_or_else(|error| vec![error.to_string()]);
            for line in events {
                let _ = diary.send(Entry::Line(line));
            }
            let _ = diary.send(Entry::End);
        });
        Ok(DemoServer {
            port,
            pages: Mutex::new(pages),
            _running: Kept::Thread(thread),
        })
    }
}

/// A server and its view.
pub(super) struct DemoServer {
    port: u16,
    pages: Mutex<Receiver<Entry>>,
    _running: Kept,
}

/// Keeps a server running as long as its [`DemoServer`].
enum Kept {
    Server(#[expect(dead_code, reason = "dropping it stops the server")] Running),
    Thread(#[expect(dead_code, reason = "it ends with its one connection")] JoinHandle<()>),
}

impl DemoServer {
    fn serve(context: ServerContext, files: Files) -> Result<Self, Failure> {
        let (diary, pages) = channel();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = ServerConfig::new(context)
            .listen(address)
            .threads(NonZeroUsize::MIN)
            .observer(Log(diary));
        let server = Server::bind(config, files)
            .map_err(|error| cannot("listen on loopback", &io::Error::other(error)))?;
        let port = server.local_addrs().first().map_or(0, SocketAddr::port);
        let running = server
            .start()
            .map_err(|error| cannot("start its server", &error))?;
        Ok(Self {
            port,
            pages: Mutex::new(pages),
            _running: Kept::Server(running),
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Everything up to the end of one connection.
    pub(super) fn saw(&self) -> Vec<String> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + REPORT_MAX;
        let mut lines = Vec::new();
        loop {
            match pages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Entry::Line(line)) => lines.push(escape_control(&line).into_owned()),
                Ok(Entry::End) => return lines,
                Err(_) => {
                    lines.push("no report within the time limit".to_owned());
                    return lines;
                }
            }
        }
    }
}

/// A server's log entry.
enum Entry {
    Line(String),
    /// The connection is over.
    End,
}

struct Log(Sender<Entry>);

impl Log {
    fn write(&self, line: String) {
        let _ = self.0.send(Entry::Line(line));
    }
}

impl Observer for Log {
    fn request(&self, event: &RequestEvent<'_>) {
        let client = match event.client() {
            Some(peer) => format!(
                "{}, verified",
                peer.common_name().unwrap_or_else(|| peer.subject())
            ),
            None => "not identified: no client certificate".to_owned(),
        };
        self.write(agreed(&event.connection.report));
        self.write(format!("the client is {client}"));
        let status = event.status.map_or(0, |status| status.as_u16());
        let end = match event.end {
            TransferEnd::Complete => "sent completely",
            TransferEnd::Aborted => "aborted",
        };
        self.write(format!(
            "{} {}: {status}, {} bytes, {end}",
            event.method,
            event.target.path(),
            event.bytes
        ));
    }

    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        let explanation = event.error.advise();
        self.write(format!("{} [{}]", explanation.what, explanation.id));
        for line in explanation.evidence.into_iter().chain(explanation.fix) {
            self.write(line);
        }
        let _ = self.0.send(Entry::End);
    }

    fn connection_closed(&self, event: &CloseEvent<'_>) {
        if let Some(ending) = event.ending {
            self.write(format!("the client ended by {ending}"));
        }
        if let Some(outcome) = event.outcome {
            self.write(format!("closed in two phases: {outcome}"));
        }
        let _ = self.0.send(Entry::End);
    }
}

/// Sends a truncated reply to one client.
fn cut_short(
    context: &ServerContext,
    listener: &TcpListener,
) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
    let (socket, _) = listener.accept()?;
    let mut stream = context.accept(socket).map_err(handfast::Error::from)?;
    let mut lines = vec![agreed(stream.report())];
    let mut reader = LineReader::new(&mut stream, 8 * 1024);
    while let Line::Text(_) = reader.next_line()? {}
    drop(reader);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {ANNOUNCED}\r\n\r\n"
    )?;
    stream.write_all(&[b'x'; SENT])?;
    stream.flush()?;
    lines.push(format!("announced {ANNOUNCED} bytes, sent {SENT}"));
    // Dropped, not closed: the client receives a FIN without close_notify.
    drop(stream);
    lines.push(
        "closed the connection without close_notify, as after a crash or an attack".to_owned(),
    );
    Ok(lines)
}

fn write_site(site: &std::path::Path) -> io::Result<()> {
    fs::create_dir(site)?;
    fs::write(site.join("index.html"), PAGE)?;
    let mut table = String::from("second,celsius\n");
    for second in 0..5_000 {
        table.push_str(&format!("{second},{}.{}\n", 20 + second % 7, second % 10));
    }
    fs::write(site.join("measurements.csv"), table)
}

fn issue(authority: &Authority, dir: &TempDir, request: &IssueRequest) -> Result<Issued, Failure> {
    let mut request = request.clone();
    let out = tempfile::Builder::new()
        .prefix("issued-")
        .tempdir_in(dir.path())
        .map_err(|error| cannot("make a temporary directory", &error))?;
    // Removed with the whole stage.
    request.out = Some(out.keep());
    Ok(authority.issue(&request)?)
}

fn load(issued: &Issued) -> Result<Identity, Failure> {
    Identity::from_files(&issued.chain_file, &issued.key_file, Passphrase::none())
        .map_err(|error| handfast::Error::from(error).into())
}
