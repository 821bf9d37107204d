//! Where a command line runs: a directory with files, and the servers that it names.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use handfast_testbed::launch::{Nginx, Program};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step};
use handfast_testbed::pki::{Issued, Spec};

use super::site;
use crate::common::Fixture;

/// What all runs share.
pub(super) struct World {
    pub(super) fixture: Fixture,
    expired: Issued,
    misnamed: Issued,
    stranger: Issued,
    nginx: OnceLock<Option<Nginx>>,
    /// Words of the table, and the pins that they stand for.
    pins: Vec<(&'static str, String)>,
}

/// What `World` puts into each directory.
const MADE: [&str; 11] = [
    "ca.pem",
    "strangers.pem",
    "client.pem",
    "client.key",
    "locked.key",
    "a:b.pem",
    "both.p12",
    "own.pub",
    "own.pub.der",
    "root.pub",
    "root.pub.der",
];

/// The key of a certificate in two files, and its pin; `None` without OpenSSL.
fn pin(fixture: &Fixture, certificate: &Path, name: &str) -> Option<String> {
    let openssl = || Program::new("openssl");
    let key = openssl()?.args(["x509", "-noout", "-pubkey", "-in"]);
    let pem = fixture.write(name, key.arg(certificate).run().stdout);
    let der = fixture.path(&format!("{name}.der"));
    let made = openssl()?
        .args(["pkey", "-pubin", "-outform", "DER", "-in"])
        .arg(&pem)
        .arg("-out")
        .arg(&der)
        .run();
    assert!(made.succeeded(), "{made}");
    let hash = openssl()?
        .args(["dgst", "-sha256", "-binary"])
        .arg(&der)
        .run();
    let encoded = openssl()?.args(["base64"]).stdin(hash.stdout).run();
    Some(format!("sha256//{}", encoded.out().trim()))
}

/// The client's key, encrypted; with its certificate in one file; and both as PKCS#12.
fn lock(fixture: &Fixture) -> Option<()> {
    let (certificate, key) = (fixture.path("client.pem"), fixture.path("client.key"));
    let locked = fixture.encrypted_key(&key, "locked.key", "s3:cret")?;
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    fixture.write("a:b.pem", text(&certificate) + &text(&locked));
    let made = Program::new("openssl")?
        .args(["pkcs12", "-export", "-passout", "pass:s3:cret", "-in"])
        .arg(&certificate)
        .arg("-inkey")
        .arg(&key)
        .arg("-out")
        .arg(fixture.path("both.p12"))
        .run();
    assert!(made.succeeded(), "{made}");
    Some(())
}

impl World {
    pub(super) fn new() -> Self {
        let fixture = Fixture::new();
        let root = &fixture.pki.root;
        let strangers = Spec::authority("Strangers").self_signed();
        let client = fixture.files("ada", &fixture.pki.client("ada"));
        for (path, name) in [
            (client.chain_pem, "client.pem"),
            (client.key_pem, "client.key"),
        ] {
            fs::copy(path, fixture.path(name)).unwrap();
        }
        fixture.write("strangers.pem", strangers.cert_pem());
        lock(&fixture);
        let pins = [
            ("OWN-PIN", &fixture.chain, "own.pub"),
            ("ROOT-PIN", &fixture.ca, "root.pub"),
        ];
        let pins =
            pins.map(|(word, file, name)| (word, pin(&fixture, file, name).unwrap_or_default()));
        Self {
            expired: root.issue(Spec::server(&["localhost"]).expired()),
            misnamed: root.issue(Spec::server(&["other.example"])),
            stranger: strangers.issue(Spec::server(&["localhost"])),
            nginx: OnceLock::new(),
            pins: pins.into(),
            fixture,
        }
    }

    /// nginx, which speaks HTTP/2 and asks for a client certificate.
    fn nginx(&self) -> Option<SocketAddr> {
        let nginx = self.nginx.get_or_init(|| {
            let fixture = &self.fixture;
            let directory = fixture.path("nginx");
            fs::create_dir_all(directory.join("www")).unwrap();
            fs::write(directory.join("www/page.html"), "<p>hello</p>\n").unwrap();
            fs::write(directory.join("www/large"), "0123456789".repeat(30_000)).unwrap();
            Nginx::launch(&directory, |port| {
                format!(
                    "server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost;\
                     ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:prime256v1:secp384r1; ssl_certificate {};\
                     ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client optional;\
                     root {}; location /who {{ return 200 $ssl_client_s_dn; }}\
                     location /tls {{ return 200 $ssl_protocol,$ssl_cipher,$ssl_curve; }}\
                     location /old {{ return 301 https://$http_host/page.html; }}\
                     location /echo {{ return 200 $request_method,$content_length,$http_x_one; }} }}",
                    fixture.chain.display(),
                    fixture.key.display(),
                    fixture.ca.display(),
                    directory.join("www").display(),
                )
            })
        });
        nginx.as_ref().map(Nginx::address)
    }
}

/// The files that are there before.
const FILES: [(&str, &str); 16] = [
    ("data.txt", "one\r\ntwo & three\n"),
    ("page.html", "<p>\n"),
    ("body.json", "{\"a\": 1}\n"),
    ("a;b,c.bin", "odd\n"),
    ("fields", "X-One: 1\nX-Two: 2\n\n"),
    ("old", "old"),
    ("half", "12345"),
    ("whole", "1234567890"),
    (
        "netrc",
        "machine other login x password y\nmachine localhost login ann password \"p w\"\n",
    ),
    (".netrc", "machine localhost login home password s3cret\n"),
    (
        "netrc-lines",
        "machine\nlocalhost\nlogin\nann\npassword\nq\n",
    ),
    ("netrc-alone", "machine localhost\n"),
    (
        "jar",
        "localhost\tFALSE\t/\tTRUE\t4102444800\tkept\t1\n\
         localhost\tFALSE\t/\tFALSE\t0\tlast\t2\n\
         other.example\tFALSE\t/\tFALSE\t0\telsewhere\t3\n",
    ),
    (
        "jar-fields",
        "Set-Cookie: field=4; path=/deep; domain=localhost\n",
    ),
    ("tag.v1", "\"v1\"\n"),
    ("format", "%{http_code}\\n"),
];

/// The time of these, and of the files on the server.
fn of_1994() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// A server of one run.
struct Server {
    token: &'static str,
    port: u16,
    seen: Seen,
}

enum Seen {
    Tls(Served),
    Plain(Arc<Mutex<String>>),
    Nothing,
}

pub(super) struct Place<'a> {
    world: &'a World,
    pub(super) directory: tempfile::TempDir,
    servers: Vec<Server>,
    /// A port at which nothing is answered.
    silent: Option<TcpListener>,
}

/// The names of servers in the lines of the table, and what they stand for in the document.
pub(super) const SERVERS: [(&str, &str); 12] = [
    ("HOST", "a server with a certificate for its name"),
    ("OTHER", "another one, at another port"),
    ("EXPIRED", "its certificate has expired"),
    ("MISNAMED", "its certificate is for another name"),
    (
        "STRANGER",
        "its certificate is from an authority that is not trusted",
    ),
    ("TLS12", "speaks TLS 1.2 only"),
    ("PLAIN", "speaks HTTP without TLS"),
    ("REFUSED", "nothing listens there"),
    ("SILENT", "accepts connections, and says nothing"),
    ("PROXY", "an HTTP proxy"),
    ("LOCKED", "an HTTP proxy that demands a password"),
    ("NGINX", "nginx, with HTTP/2 and client certificates"),
];

impl<'a> Place<'a> {
    /// The servers that the line names, and the files; `None` without nginx where it is named.
    pub(super) fn new(world: &'a World, line: &str) -> Option<Self> {
        let directory = tempfile::tempdir_in(world.fixture.directory()).unwrap();
        for (name, text) in FILES {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(of_1994()).unwrap();
        }
        for name in MADE {
            // Some are missing without OpenSSL.
            let _ = fs::copy(world.fixture.path(name), directory.path().join(name));
        }
        let mut place = Self {
            world,
            directory,
            servers: Vec::new(),
            silent: None,
        };
        for (token, _) in SERVERS {
            let is_there =
                token == "HOST" && (line.contains("PORT") || line.contains("unix-socket"));
            if line.contains(token) || is_there {
                place.start(token)?;
            }
        }
        if line.contains("unix-socket") {
            place.lead(line.contains("abstract"));
        }
        if line.contains("TAKEN") {
            place.silent = TcpListener::bind("127.0.0.1:0").ok();
        }
        Some(place)
    }

    fn start(&mut self, token: &'static str) -> Option<()> {
        let site = |server: Misbehaving| {
            let served = server.serve([Step::Answer(site::answer)]);
            (served.address().port(), Seen::Tls(served))
        };
        let with = |identity: &Issued| site(Misbehaving::new(identity, &[]));
        let world = self.world;
        let (port, seen) = match token {
            "EXPIRED" => with(&world.expired),
            "MISNAMED" => with(&world.misnamed),
            "STRANGER" => with(&world.stranger),
            "TLS12" => site(world.fixture.misbehaving().tls12()),
            "REFUSED" => (1, Seen::Nothing),
            "SILENT" => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let port = listener.local_addr().unwrap().port();
                self.silent = Some(listener);
                (port, Seen::Nothing)
            }
            "NGINX" => (world.nginx()?.port(), Seen::Nothing),
            "PLAIN" => plain(|stream, _| {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nplain\n")
            }),
            "PROXY" => plain(tunnel),
            "LOCKED" => plain(|stream, head| {
                if head
                    .to_lowercase()
                    .contains("\r\nproxy-authorization: basic ywxpy2u6cznjcmv0")
                {
                    return tunnel(stream, head);
                }
                stream.write_all(
                    b"HTTP/1.1 407 X\r\nproxy-authenticate: Basic realm=\"p\"\r\ncontent-length: 0\r\n\r\n",
                )
            }),
            _ => site(world.fixture.misbehaving()),
        };
        self.servers.push(Server { token, port, seen });
        Some(())
    }

    /// A Unix socket in the directory that leads to the first server.
    fn lead(&self, is_abstract: bool) {
        let path = self.directory.path().join("socket");
        #[cfg(target_os = "linux")]
        let address = match is_abstract {
            true => unix::net::SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes()),
            false => unix::net::SocketAddr::from_pathname(&path),
        };
        #[cfg(not(target_os = "linux"))]
        let (_, address) = (is_abstract, unix::net::SocketAddr::from_pathname(&path));
        let listener = UnixListener::bind_addr(&address.unwrap()).unwrap();
        let port = self.servers.first().map_or(1, |server| server.port);
        thread::spawn(move || {
            for here in listener.incoming().flatten().take(2) {
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else {
                    return;
                };
                let (mut in_here, mut in_there) =
                    (here.try_clone().unwrap(), there.try_clone().unwrap());
                let (mut here, mut there) = (here, there);
                thread::spawn(move || {
                    let _ = io::copy(&mut in_here, &mut there);
                    let _ = there.shutdown(Shutdown::Write);
                });
                let _ = io::copy(&mut in_there, &mut here);
                let _ = here.shutdown(Shutdown::Write);
            }
        });
    }

    /// The word with the servers' addresses and the pins in it.
    pub(super) fn filled(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for (name, pin) in &self.world.pins {
            word = word.replace(name, pin);
        }
        word = word.replace(
            "SOCKET",
            &self.directory.path().join("socket").to_string_lossy(),
        );
        if let Some(taken) = self.silent.as_ref().and_then(|one| one.local_addr().ok()) {
            word = word.replace("TAKEN", &taken.port().to_string());
        }
        for Server { token, port, .. } in &self.servers {
            word = word.replace(token, &format!("localhost:{port}"));
            if *token == "HOST" {
                word = word.replace("PORT", &port.to_string());
            }
        }
        word
    }

    /// The reverse.
    pub(super) fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for Server { token, port, .. } in &self.servers {
            text = text.replace(&format!("localhost:{port}"), token);
            if *port != 1 {
                text = text.replace(&format!(":{port}"), ":PORT");
            }
        }
        text
    }

    /// Everything that the servers have received, each for itself.
    pub(super) fn received(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.servers.iter().map(|server| {
            let text = match &server.seen {
                Seen::Tls(served) => served.received_text(),
                Seen::Plain(seen) => seen.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                Seen::Nothing => String::new(),
            };
            (server.token, text)
        })
    }

    /// Every file beneath the directory with its content.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        collect(self.directory.path(), "", &mut found);
        found
    }
}

fn collect(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = format!("{prefix}{name}");
        if !path.is_file() && !path.is_dir() {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let mut text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(binary) => format!("{:x?}", binary.as_bytes()),
        };
        if name.contains("jar") {
            text = cookies(&text);
        }
        if path.metadata().unwrap().modified().unwrap() == of_1994() {
            text.push_str(" (of 1994)");
        }
        found.insert(name, text);
    }
}

/// The cookies of a file, sorted.
fn cookies(text: &str) -> String {
    let is_cookie = |line: &&str| line.starts_with("#HttpOnly_") || !line.starts_with('#');
    let mut lines: Vec<_> = text
        .lines()
        .filter(is_cookie)
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A server without TLS that reads a head, and then does this with each connection.
fn plain(
    serve: impl Fn(&mut TcpStream, &str) -> io::Result<()> + Send + Sync + 'static,
) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(String::new()));
    let serve = Arc::new(serve);
    let heads = Arc::clone(&seen);
    thread::spawn(move || {
        // curl and `get` make no more connections than this in one run.
        for socket in listener.incoming().take(8) {
            let Ok(mut socket) = socket else { continue };
            let (serve, heads) = (Arc::clone(&serve), Arc::clone(&heads));
            thread::spawn(move || -> io::Result<()> {
                socket.set_read_timeout(Some(Duration::from_secs(20)))?;
                loop {
                    let mut first = [0];
                    if socket.peek(&mut first)? == 0 {
                        return Ok(());
                    }
                    if first == *b"\x16" {
                        // A ClientHello.
                        let _ = socket.read(&mut [0; 4096]);
                        return socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                    }
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        socket.read_exact(&mut byte)?;
                        head.extend(byte);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    heads
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_str(&head);
                    serve(&mut socket, &head)?;
                }
            });
        }
    });
    (port, Seen::Plain(seen))
}

/// What a proxy does for CONNECT.
fn tunnel(here: &mut TcpStream, head: &str) -> io::Result<()> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let target = target.replace("localhost", "127.0.0.1");
    let there = TcpStream::connect(target);
    let Ok(there) = there else {
        return here.write_all(b"HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n");
    };
    here.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let (mut in_here, mut in_there) = (here.try_clone()?, there.try_clone()?);
    let mut out = there;
    thread::spawn(move || {
        let _ = io::copy(&mut in_here, &mut out);
        let _ = out.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut in_there, here);
    here.shutdown(Shutdown::Write)
}
