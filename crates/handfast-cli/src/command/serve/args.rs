//! What can be typed after `handfast serve`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use handfast::ClosePolicy;

use crate::passphrase::PassphraseSource;

/// With `--close wait`: how long to wait for the client's `close_notify`.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  handfast serve ./public                          at https://localhost:8443/
  handfast serve --listen 0.0.0.0:8443 ./public    for the whole network
  handfast serve --cert chain.pem --key key.pem .  with your own certificate
  handfast serve --client-ca local .               for clients of your authority
  handfast serve --listen 127.0.0.1:0 --quiet .    on a free port, without a log";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory to serve; files outside it and names that begin with a dot are never served
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Address to listen on (repeatable); port 0 picks a free one [default: 127.0.0.1:8443 and [::1]:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Vec<SocketAddr>,
    /// Do not list directories that have no index.html
    #[arg(long)]
    pub(super) no_listing: bool,
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
    /// Client certificate
    #[arg(
        long,
        value_name = "DEMAND",
        requires = "client_ca",
        default_value = "required"
    )]
    pub(super) client_auth: Demand,
    /// Check certificates against the certificate revocation lists in FILE (of clients; repeatable)
    #[arg(long, value_name = "FILE", requires = "client_ca")]
    pub(super) crl: Vec<PathBuf>,
    /// What to do with an expired revocation list
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "hard",
        requires = "client_ca"
    )]
    pub(super) crl_expired: crate::trust_args::CrlExpired,
    /// Accept at most COUNT intermediates in a chain, 0 to 6; of clients [default: 6]
    #[arg(long, value_name = "COUNT", requires = "client_ca", value_parser = crate::trust_args::depth)]
    pub(super) depth: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Demand {
    /// Clients without one are served, too
    Optional,
    /// Clients without one are refused
    Required,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Running")]
pub(super) struct RunningArgs {
    /// After SIGINT or SIGTERM, time for running replies to finish; a second signal stops at once
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(super) grace: u64,
    /// How to close connections
    #[arg(long, value_name = "POLICY", default_value = "linger")]
    pub(super) close: Close,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<NonZeroUsize>,
    /// Maximum number of connections; more wait until one ends [default: 8192]
    #[arg(long, value_name = "N")]
    pub(super) connections_max: Option<NonZeroUsize>,
    /// Append failed handshakes and connections to FILE, a line of JSON each; SIGHUP reopens it
    #[arg(long, value_name = "FILE")]
    pub(super) audit: Option<PathBuf>,
    /// Print only warnings and errors on stderr: no log
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Also log how every connection ended
    #[arg(short, long)]
    pub(super) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Close {
    /// Send close_notify and FIN, do not wait
    Send,
    /// Then read until the client ends, within limits, so that the last reply is not lost
    Linger,
    /// Wait for the client's close_notify
    Wait,
}

impl From<Close> for ClosePolicy {
    fn from(close: Close) -> Self {
        match close {
            Close::Send => Self::Send,
            Close::Linger => Self::default(),
            Close::Wait => Self::Wait(CLOSE_WAIT),
        }
    }
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
