//! What can be typed after `handfast serve`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use super::config::Address;
use super::config::choices::{Close, Demand, LogFormat, Version};
use super::config::{LogTarget, StatusAddress, Time};
use crate::passphrase::PassphraseSource;

const EXAMPLES: &str = "\
Examples:
  handfast serve ./public                          at https://localhost:8443/
  handfast serve --listen :8443 ./public           for the whole network
  handfast serve --cert chain.pem --key key.pem .  with your own certificate
  handfast serve --client-ca local .               for clients of your authority
  handfast serve --listen 127.0.0.1:0 --quiet .    on a free port, without a log
  handfast serve --spa --cors ./dist               an application that others may read
  handfast serve --basic-auth ann:file:hash .      with a password
  handfast serve --upload ./incoming ./public      files from clients, at /upload/
  handfast serve --log access.log --status 9443 .  log to a file, numbers at https://localhost:9443/
  handfast serve --config handfast.toml --check    check a configuration

Every option has a key in the configuration file, and overrides it: docs/configuration.md";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory to serve; files outside it are never served, nor names that begin with a dot, except /.well-known/
    #[arg(value_name = "DIR", required_unless_present_any = ["config", "schema"], value_parser = directory)]
    pub(super) directory: Option<PathBuf>,
    /// Address to listen on (repeatable): PORT or localhost:PORT for this machine alone, :PORT for all of its addresses, 0.0.0.0 for
    /// those of IPv4; port 0 picks a free one [default: 8443]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Vec<Address>,
    /// Port to listen on, for this machine alone
    #[arg(short, long, value_name = "PORT", conflicts_with = "listen")]
    pub(super) port: Option<u16>,
    /// Once it listens, print the address for other machines as a QR code, for a phone's camera
    #[arg(long)]
    pub(super) qr: bool,
    /// Once it listens, open the address in the browser
    #[arg(long)]
    pub(super) open: bool,
    /// Do not list directories that have no index.html
    #[arg(long)]
    pub(super) no_listing: bool,
    #[command(flatten)]
    pub(super) answers: AnswersArgs,
    #[command(flatten)]
    pub(super) configuration: Configuration,
    #[command(flatten)]
    pub(super) identity: Identity,
    #[command(flatten)]
    pub(super) clients: Clients,
    #[command(flatten)]
    pub(super) running: RunningArgs,
    #[command(flatten)]
    pub(super) tls: Tls,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Responses")]
pub(super) struct AnswersArgs {
    /// File to serve for a directory (repeatable); the first that exists [default: index.html]
    #[arg(long, value_name = "FILE")]
    pub(super) index: Vec<String>,
    /// Do not compress files while they are sent; those that are compressed already, beside the file, are used
    #[arg(long)]
    pub(super) no_compression: bool,
    /// Follow symbolic links out of DIR, to whatever this user may read
    #[arg(long)]
    pub(super) follow_links: bool,
    /// For single-page applications: send /index.html for paths that do not exist; to browsers that navigate, for any path; to
    /// other clients, for paths without an extension
    #[arg(long)]
    pub(super) spa: bool,
    /// Allow other origins to read (CORS): any, or only ORIGIN (repeatable)
    #[arg(
        long,
        value_name = "ORIGIN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "*"
    )]
    pub(super) cors: Vec<String>,
    /// Page in DIR for paths that do not exist (status 404), such as 404.html
    #[arg(long = "404", value_name = "FILE")]
    pub(super) not_found: Option<String>,
    /// Header field of every response (repeatable)
    #[arg(long, value_name = "NAME: VALUE")]
    pub(super) add_header: Vec<String>,
    /// Strict transport security: browsers use HTTPS alone for this long after a visit, such as 24h
    #[arg(long, value_name = "TIME")]
    pub(super) hsts: Option<Time>,
    /// Ask for a password (repeatable); PATH has its hash, as `htpasswd -B` makes it
    #[arg(long, value_name = "USER:file:PATH")]
    pub(super) basic_auth: Vec<User>,
    /// Store files from clients in DIR: by PUT, or with a form
    #[arg(long, value_name = "DIR")]
    pub(super) upload: Option<PathBuf>,
}

/// A user, and the file with the hash of their password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("", _)) => Err("the user's name is missing"),
            Some((name, source)) => match source.strip_prefix("file:") {
                Some("") => Err("the path of the file is missing"),
                Some(path) => Ok(Self {
                    name: name.to_owned(),
                    file: path.into(),
                }),
                // Options are seen by everyone on this machine.
                None => Err(
                    "the hash of the password belongs in a file: USER:file:PATH (`htpasswd -nB USER` prints it)",
                ),
            },
            None => Err("expected USER:file:PATH"),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct Configuration {
    /// Read the configuration from FILE; it is read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Check configuration, files and certificates, and exit: 0 if nothing is wrong
    #[arg(long, conflicts_with_all = ["print_config", "schema"])]
    pub(super) check: bool,
    /// Print the configuration in force, as a configuration file, and exit
    #[arg(long, conflicts_with = "schema")]
    pub(super) print_config: bool,
    /// Print the JSON schema of configuration files, for editors, and exit
    #[arg(long)]
    pub(super) schema: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Identity")]
pub(super) struct Identity {
    /// Certificate chain, end-entity certificate first [default: one from the local authority]
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// Private key, if it is not in the same file as the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "cert")]
    pub(super) pass: Option<PassphraseSource>,
    /// Another name or address for the certificate of the local authority (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "cert")]
    pub(super) name: Vec<String>,
    /// Directory of the local authority [default: HANDFAST_CA_DIR, or the platform's data directory]
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    pub(super) ca_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Clients")]
pub(super) struct Clients {
    /// Request a client certificate issued by a CA in FILE; `local` is your own authority
    #[arg(long, value_name = "FILE")]
    pub(super) client_ca: Option<PathBuf>,
    /// Client certificate [default: required]
    #[arg(long, value_name = "DEMAND", requires = "client_ca")]
    pub(super) client_auth: Option<Demand>,
    /// Check certificates against the certificate revocation lists in FILE (of clients; repeatable)
    #[arg(long, value_name = "FILE", requires = "client_ca")]
    pub(super) crl: Vec<PathBuf>,
    /// What to do with an expired revocation list [default: hard]
    #[arg(long, value_name = "POLICY", requires = "client_ca")]
    pub(super) crl_expired: Option<crate::trust_args::CrlExpired>,
    /// Accept at most COUNT intermediates in a chain, 0 to 6; of clients [default: 6]
    #[arg(long, value_name = "COUNT", requires = "client_ca", value_parser = crate::trust_args::depth)]
    pub(super) depth: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Running")]
pub(super) struct RunningArgs {
    /// After SIGINT, SIGTERM or SIGQUIT, time for running replies to finish, such as 30s; a second signal stops at once [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub(super) grace: Option<Time>,
    /// Take over from the server with this control socket, without a refused connection; make the socket if there is none
    #[arg(long, value_name = "PATH")]
    pub(super) takeover: Option<PathBuf>,
    /// How to close connections [default: linger]
    #[arg(long, value_name = "POLICY")]
    pub(super) close: Option<Close>,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroUsize>)]
    pub(super) threads: Option<NonZeroUsize>,
    /// Run as USER once everything is open (for root); logs are then reopened and certificates read as USER
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
    /// Keep access to all files, connections and programs; the default keeps what serving needs
    #[arg(long)]
    pub(super) no_sandbox: bool,
    /// Maximum number of connections; more wait until one ends [default: 8192]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroUsize>)]
    pub(super) connections_max: Option<NonZeroUsize>,
    /// Different wrong passwords of one address that are checked in a minute [default: 10]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(super) wrong_passwords_max: Option<NonZeroU32>,
    /// Access log: stderr, journal, off, or a file to append to, which SIGHUP reopens [default: stderr]
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<LogTarget>,
    /// How the access log is written; the journal has fields instead [default: handfast]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// Status page and /metrics, over TLS with the same certificate; PORT and, unlike for --listen, :PORT are of this machine alone
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) status: Option<StatusAddress>,
    /// Append failed handshakes and connections to FILE, a line of JSON each; SIGHUP reopens it
    #[arg(long, value_name = "FILE")]
    pub(super) audit: Option<PathBuf>,
    /// Print only warnings and errors on stderr: no log there
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Also log how every connection began and ended
    #[arg(short, long)]
    pub(super) verbose: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct Tls {
    /// Allow only TLS 1.3 and later
    #[arg(long = "tlsv1.3")]
    pub(super) tlsv1_3: bool,
    /// Latest TLS version to allow
    #[arg(long, value_name = "VERSION", value_parser = ["1.2", "1.3"], conflicts_with = "tlsv1_3")]
    pub(super) tls_max: Option<String>,
    /// Append TLS session secrets to FILE, for a packet analyser; anyone with it can decrypt the traffic
    #[arg(long, value_name = "FILE")]
    pub(super) key_log: Option<PathBuf>,
}

fn count<T: FromStr>(text: &str) -> Result<T, String> {
    let expected = |_| "expected a number of 1 or more".to_owned();
    text.parse().map_err(expected)
}

/// A directory. An origin in its place belongs to the option before it.
fn directory(text: &str) -> Result<PathBuf, String> {
    match text.starts_with("https://") || text.starts_with("http://") {
        true => Err(format!(
            "this is an origin, not a directory; to allow it to read, use --cors={text}"
        )),
        false => Ok(text.into()),
    }
}

impl Tls {
    /// The versions that were selected, and by which option.
    pub(super) fn versions(&self) -> Option<(&'static str, Vec<Version>)> {
        const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];
        match self.tls_max.as_deref() {
            _ if self.tlsv1_3 => Some(("--tlsv1.3", vec![Version::Tls13])),
            Some("1.2") => Some(("--tls-max", vec![Version::Tls12])),
            Some(_) => Some(("--tls-max", BOTH.to_vec())),
            None => None,
        }
    }
}
