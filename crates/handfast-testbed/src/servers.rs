//! Real HTTPS servers behind one interface: the same files, names and passwords on nginx, Caddy, h2o, Apache httpd and
//! Python's http.server, as far as each can.
//!
//! | path | what is there |
//! |---|---|
//! | a file of the directory | it, with ranges and conditions; `.html` also compressed |
//! | `/moved` | a redirect to `/a.txt` |
//! | `/locked/` | files for `al` with the password `s3cret`, by Basic authentication |
//! | `/digest/` | the same by Digest authentication |
//! | `/put/` | a directory that takes `PUT` |
//! | `/chunked` | `hello world` in chunks |
//!
//! A second listener serves the same to clients with certificates alone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::launch::{Program, Running, free_address, on_a_free_port};
use crate::peers;
use crate::proxies::{copy, readable, write};

/// The program that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
    /// h2o.
    H2o,
    /// Apache httpd.
    Apache,
    /// Python's `http.server`.
    Python,
}

/// What not every server can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// HTTP/2.
    Http2,
    /// `/locked/`.
    Basic,
    /// `/digest/`.
    Digest,
    /// `/put/`.
    Put,
    /// Responses to `POST /post`.
    Post,
    /// Client certificates.
    ClientCertificates,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Nginx,
        Self::Caddy,
        Self::H2o,
        Self::Apache,
        Self::Python,
    ];

    /// The program that is asked for.
    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::H2o => "h2o",
            Self::Apache => "apache2",
            Self::Python => "python3",
        }
    }

    /// Whether it can do this, as it is packaged and configured here.
    pub fn can(self, ability: Ability) -> bool {
        match ability {
            Ability::Http2 => self != Self::Python,
            Ability::Basic | Ability::ClientCertificates => self != Self::H2o,
            Ability::Digest => matches!(self, Self::Apache | Self::Python),
            Ability::Put => matches!(self, Self::Nginx | Self::Apache | Self::Python),
            Ability::Post => self != Self::H2o,
        }
    }
}

/// What a server serves.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// The directory with the files. Others than its owner may read it afterwards.
    pub root: &'a Path,
    /// The server's certificate chain.
    pub chain: &'a Path,
    /// Its key.
    pub key: &'a Path,
    /// What issued the certificates of clients.
    pub clients: &'a Path,
}

/// A running server.
#[derive(Debug)]
pub struct WebServer {
    kind: Kind,
    running: Running,
    address: SocketAddr,
    certified: SocketAddr,
}

impl WebServer {
    /// Starts it. `directory` is for its configuration and what else it writes.
    ///
    /// `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch(kind: Kind, directory: &Path, served: &Served<'_>) -> Option<Self> {
        let program = peers::require(kind.program())?;
        let own = directory.join(kind.program());
        let root = served.root;
        let put = root.join("put");
        for made in [&own, &put] {
            fs::create_dir_all(made).unwrap_or_else(|error| panic!("{}: {error}", made.display()));
        }
        for shown in [directory, &own, root] {
            readable(shown);
        }
        writable(&put);
        writable(&own);
        let files = Files {
            chain: copy(served.chain, &own, "chain.pem"),
            key: copy(served.key, &own, "key.pem"),
            clients: copy(served.clients, &own, "clients.pem"),
            root: root.to_owned(),
            own,
        };
        files.passwords()?;
        let mut certified = free_address();
        let (running, address) = on_a_free_port(|port| {
            certified = free_address();
            let mut command = Command::new(&program);
            match kind {
                Kind::Nginx => files.nginx(&mut command, port, certified.port()),
                Kind::Caddy => files.caddy(&mut command, port, certified.port()),
                Kind::H2o => files.h2o(&mut command, port),
                Kind::Apache => files.apache(&mut command, port, certified.port()),
                Kind::Python => files.python(&mut command, port, certified.port()),
            }
            Running::start(&mut command)
        });
        Some(Self {
            kind,
            running,
            address,
            certified,
        })
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The URL of a path for clients with certificates alone ([`Ability::ClientCertificates`]).
    pub fn certified_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.certified.port())
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// The files of a server.
struct Files {
    root: PathBuf,
    own: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    clients: PathBuf,
}

impl Files {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.own.join(name);
        write(&file, text);
        readable(&file);
        file
    }

    /// `None` when there is no program to hash them.
    fn passwords(&self) -> Option<()> {
        let made = Program::new("htpasswd")?
            .args(["-nbB", "-C", "4", "al", "s3cret"])
            .run();
        self.write("passwords", made.out().trim());
        // `md5("al:here:s3cret")`.
        self.write("digests", "al:here:f788e35070413b9311b5714445a7d40e\n");
        Some(())
    }

    fn nginx(&self, command: &mut Command, port: u16, certified: u16) {
        let own = self.own.display();
        let listener = |port: u16, clients: &str| {
            format!(
                "server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost;\n\
                 ssl_certificate {}; ssl_certificate_key {}; {clients}\n\
                 root {}; gzip on; gzip_min_length 10;\n\
                 location = /moved {{ return 302 /a.txt; }}\n\
                 location = /post {{ return 200 $request_method; }}\n\
                 location /locked/ {{ auth_basic here; auth_basic_user_file {own}/passwords; }}\n\
                 location /put/ {{ dav_methods PUT; client_max_body_size 100m; }}\n\
                 location = /chunked {{ default_type text/html; return 200 'hello world'; }} }}\n",
                self.chain.display(),
                self.key.display(),
                self.root.display(),
            )
        };
        let clients = format!(
            "ssl_client_certificate {}; ssl_verify_client on;",
            self.clients.display()
        );
        // One process in the foreground: with a master, killing it would leave the workers behind.
        let text = format!(
            "daemon off;\nmaster_process off;\npid {own}/nginx.pid;\nerror_log stderr;\n\
             events {{ }}\nhttp {{\naccess_log off;\ninclude /etc/nginx/mime.types;\n\
             client_body_temp_path {own}/body;\nproxy_temp_path {own}/proxy;\n\
             fastcgi_temp_path {own}/fastcgi;\nuwsgi_temp_path {own}/uwsgi;\n\
             scgi_temp_path {own}/scgi;\n{}{}}}\n",
            listener(port, ""),
            listener(certified, &clients)
        );
        let file = self.write("nginx.conf", &text);
        command.args(["-e", "stderr", "-p"]).arg(&self.own);
        command.arg("-c").arg(file);
    }

    fn caddy(&self, command: &mut Command, port: u16, certified: u16) {
        let hashed = fs::read_to_string(self.own.join("passwords")).unwrap_or_default();
        let hashed = hashed
            .trim()
            .trim_start_matches("al:")
            .replace("$2y$", "$2a$");
        let encoded = base64(hashed.as_bytes());
        let site = |port: u16, clients: &str| {
            format!(
                "https://localhost:{port} {{\n  bind 127.0.0.1\n  tls {} {} {{\n{clients}\n  }}\n\
                 root * {}\n  encode gzip\n  redir /moved /a.txt 302\n\
                 respond /post \"{{method}}\" 200\n  respond /chunked \"hello world\" 200\n\
                 basicauth /locked/* {{\n    al {encoded}\n  }}\n  file_server\n}}\n",
                self.chain.display(),
                self.key.display(),
                self.root.display(),
            )
        };
        let clients = format!(
            "client_auth {{\n      mode require_and_verify\n      trusted_ca_cert_file {}\n    }}",
            self.clients.display()
        );
        let text = format!(
            "{{\n  admin off\n  auto_https off\n  log {{\n    output stderr\n    level ERROR\n  }}\n}}\n{}{}",
            site(port, "protocols tls1.2"),
            site(certified, &clients)
        );
        let file = self.write("Caddyfile", &text);
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(file);
        command
            .env("HOME", &self.own)
            .env("XDG_DATA_HOME", &self.own);
        command.env("XDG_CONFIG_HOME", &self.own);
    }

    fn h2o(&self, command: &mut Command, port: u16) {
        let text = format!(
            "num-threads: 1\nerror-log: /dev/stderr\ncompress: ON\ncompress-minimum-size: 10\n\
             listen:\n  host: 127.0.0.1\n  port: {port}\n  ssl:\n    certificate-file: {}\n\
             \x20   key-file: {}\n    ocsp-update-interval: 0\n\
             hosts:\n  \"localhost\":\n    paths:\n      \"/moved\":\n        redirect:\n\
             \x20         status: 302\n          url: /a.txt\n      \"/\":\n        file.dir: {}\n",
            self.chain.display(),
            self.key.display(),
            self.root.display(),
        );
        // As root it would look for a user to become.
        let file = self.write("h2o.conf", &text);
        command.arg("-c").arg(file);
    }

    fn apache(&self, command: &mut Command, port: u16, certified: u16) {
        const MODULES: [&str; 17] = [
            "mpm_event",
            "ssl",
            "http2",
            "authz_core",
            "authn_core",
            "authn_file",
            "authz_user",
            "auth_basic",
            "auth_digest",
            "dav",
            "dav_fs",
            "alias",
            "dir",
            "mime",
            "filter",
            "deflate",
            "env",
        ];
        let modules: String = MODULES
            .iter()
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .collect();
        let own = self.own.display();
        let root = self.root.display();
        let site = |port: u16, clients: &str| {
            format!(
                "<VirtualHost 127.0.0.1:{port}>\nSSLEngine on\nSSLCertificateFile {}\n\
                 SSLCertificateKeyFile {}\n{clients}\n</VirtualHost>\n",
                self.chain.display(),
                self.key.display()
            )
        };
        let clients = format!(
            "SSLVerifyClient require\nSSLCACertificateFile {}",
            self.clients.display()
        );
        let text = format!(
            "ServerRoot {own}\nDefaultRuntimeDir {own}\nPidFile {own}/apache.pid\n\
             ServerName localhost\n{modules}TypesConfig /etc/mime.types\nErrorLog {own}/error.log\n\
             User www-data\nGroup www-data\nListen 127.0.0.1:{port}\nListen 127.0.0.1:{certified}\n\
             Protocols h2 http/1.1\nSSLSessionCache none\nMutex pthread\nDocumentRoot {root}\n\
             DavLockDB {own}/locks\nThreadsPerChild 16\nThreadLimit 16\nServerLimit 1\n\
             StartServers 1\nMaxRequestWorkers 16\nAddOutputFilterByType DEFLATE text/html\n\
             Redirect 302 /moved /a.txt\nAlias /post {root}/a.txt\n\
             <Directory {root}>\nRequire all granted\n</Directory>\n\
             <Location /locked>\nAuthType Basic\nAuthName here\nAuthUserFile {own}/passwords\n\
             Require valid-user\n</Location>\n\
             <Location /digest>\nAuthType Digest\nAuthName here\nAuthDigestProvider file\n\
             AuthUserFile {own}/digests\nRequire valid-user\n</Location>\n\
             <Location /put>\nDav On\n</Location>\n{}{}",
            site(port, ""),
            site(certified, &clients)
        );
        let file = self.write("apache.conf", &text);
        // One process in the foreground.
        command.args(["-X", "-f"]).arg(file);
    }

    fn python(&self, command: &mut Command, port: u16, certified: u16) {
        let script = self.write("server.py", include_str!("servers/server.py"));
        command
            .arg(script)
            .args([port.to_string(), certified.to_string()]);
        command
            .arg(&self.root)
            .args([&self.chain, &self.key, &self.clients]);
    }
}

/// A directory that servers of another user write into.
fn writable(directory: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o777));
    }
    #[cfg(not(unix))]
    let _ = directory;
}

/// As Caddy 2.6 has hashes in its configuration.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = 0_usize;
        for place in 0..3 {
            word = word << 8 | usize::from(chunk.get(place).copied().unwrap_or_default());
        }
        for place in 0..4 {
            let index = word >> (18 - 6 * place) & 63;
            let is_padding = place > chunk.len();
            text.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET[index])
            });
        }
    }
    text
}
