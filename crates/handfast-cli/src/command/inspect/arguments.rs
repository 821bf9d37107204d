//! The arguments of `handfast inspect`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use handfast_dial::StartTls;

use crate::identity_args::IdentityArgs;
use crate::passphrase::PassphraseSource;
use crate::proxy_args::ProxyArgs;
use crate::trust_args::TrustArgs;
use crate::verify_args::VerifyArgs;

const EXAMPLES: &str = "\
Examples:
  handfast inspect example.org                       session, chain, trust, resumption, close
  handfast inspect --scan mail.example:993           versions, suites and groups, each rated
  handfast inspect --starttls smtp mail.example      STARTTLS
  handfast inspect --pem full.pem --fetch-missing a.example   the complete chain
  handfast inspect --expires-within 30d a.org b.org  exit code 1 if one expires within 30 days
  handfast inspect --file chain.pem --key key.pem --name a.example   files, offline";

/// Examine a TLS server, or a certificate chain in a file.
///
/// Goes on after a failed verification, for diagnosis only, and exits with the failure's code.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Servers, as HOST or HOST:PORT; the default port is 443, or that of the --starttls protocol
    #[arg(
        value_name = "HOST[:PORT]",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    pub(super) hosts: Vec<String>,
    /// Find out which protocol versions, cipher suites, groups and signature schemes the server accepts
    #[arg(long, conflicts_with = "file")]
    pub(super) scan: bool,
    /// If the handshake fails, do not open further connections to find out why
    #[arg(long, conflicts_with = "scan")]
    pub(super) no_probe: bool,
    /// Print only warnings and errors on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Print JSON (described in docs/inspect-json.md)
    #[arg(long)]
    pub(super) json: bool,
    /// Save the chain that the server sent to FILE
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(super) pem: Option<PathBuf>,
    /// With --pem: add missing issuer certificates to the chain, fetched from the http URLs in the certificates
    ///
    /// For a file that the server can serve. Fetched certificates are not trusted, and the exit code is that
    /// of the chain as sent. They are fetched directly, not through --proxy.
    #[arg(long, requires = "pem", conflicts_with = "file")]
    pub(super) fetch_missing: bool,
    /// Exit with 1 if a certificate of the chain expires within TIME: 12h, 30d, 8w; a number alone is seconds
    #[arg(long, value_name = "TIME", value_parser = within)]
    pub(super) expires_within: Option<Duration>,
    /// Start in plain text and upgrade to TLS: smtp, imap, pop3, ftp, ldap, xmpp, postgres, mysql, sieve, nntp
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "file")]
    pub(super) starttls: Option<StartTls>,
    /// Server name to send (SNI) and verify, instead of the host's
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(super) sni: Option<String>,
    /// Connect to this address instead of HOST:PORT
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "file")]
    pub(super) connect_to: Option<String>,
    /// Application protocols to offer (ALPN), in order of preference, separated by commas [default: h2,http/1.1; none with --starttls]
    #[arg(
        long,
        value_name = "PROTOCOLS",
        value_delimiter = ',',
        conflicts_with = "file"
    )]
    pub(super) alpn: Option<Vec<String>>,
    /// Time limit for each phase
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::trust_args::seconds)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) proxy: ProxyArgs,
    #[command(flatten)]
    pub(super) trust: Trust,
    #[command(flatten)]
    pub(super) files: FileArgs,
}

/// As for other commands, save that `--key` goes with `--file`, too.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Trust and identity")]
pub(super) struct Trust {
    #[command(flatten)]
    pub(super) verify: VerifyArgs,
    /// Certificate chain, sent if the peer requests one
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(super) cert: Option<PathBuf>,
    /// Private key, if it is not in the same file; with --file: check that it belongs to the chain
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "key")]
    pub(super) pass: Option<PassphraseSource>,
}

impl Trust {
    pub(super) fn as_shared(&self) -> TrustArgs {
        TrustArgs {
            insecure: false,
            verify: self.verify.clone(),
            identity: IdentityArgs::of_files(
                self.cert.clone(),
                self.key.clone(),
                self.pass.clone(),
            ),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PurposeArg {
    Server,
    Client,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Files instead of a server")]
pub(super) struct FileArgs {
    /// Examine the chain in FILE, offline
    #[arg(long, value_name = "CHAIN")]
    pub(super) file: Option<PathBuf>,
    /// Server name to verify [default: the first in the certificate]
    #[arg(long, value_name = "NAME", requires = "file")]
    pub(super) name: Option<String>,
    /// Verify as of this time, such as 2027-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", requires = "file", value_parser = time)]
    pub(super) at: Option<i64>,
    /// Purpose to verify it for
    #[arg(
        long,
        value_name = "PURPOSE",
        requires = "file",
        default_value = "server"
    )]
    pub(super) purpose: PurposeArg,
}

fn within(text: &str) -> Result<Duration, String> {
    crate::span::parse(text).ok_or_else(|| crate::span::EXPECTED.to_owned())
}

fn time(text: &str) -> Result<i64, String> {
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_second)
        .map_err(|_| "expected a time such as 2027-01-31T12:00:00Z".to_owned())
}
