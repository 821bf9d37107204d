//! `handfast inspect`: examines a TLS endpoint, or a chain in a file.
//!
//! `live.rs` examines servers, `file.rs` files; both fill plain values (`findings.rs`), which `text.rs`
//! prints for users and `json.rs` for programs. After a failed verification, a second handshake without
//! verification is made, for diagnosis only.

mod fetch;
mod file;
mod findings;
mod json;
mod live;
mod probing;
mod route;
mod status;
mod text;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use handfast::{Explanation, SpkiSha256, certificates_to_pem};
use handfast_dial::StartTls;

use crate::failure::{Failure, code};
use crate::output::{self, Palette};
use crate::passphrase::PassphraseSource;
use crate::proxy_args::ProxyArgs;
use crate::trust_args::{IdentityArgs, TrustArgs};

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
    hosts: Vec<String>,
    /// Find out which protocol versions, cipher suites, groups and signature schemes the server accepts
    #[arg(long, conflicts_with = "file")]
    scan: bool,
    /// If the handshake fails, do not open further connections to find out why
    #[arg(long, conflicts_with = "scan")]
    no_probe: bool,
    /// Print only warnings and errors on stderr
    #[arg(short, long)]
    quiet: bool,
    /// Print JSON (described in docs/inspect-json.md)
    #[arg(long)]
    json: bool,
    /// Save the chain that the server sent to FILE
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pem: Option<PathBuf>,
    /// With --pem: add missing issuer certificates to the chain, fetched from the http URLs in the certificates
    ///
    /// For a file that the server can serve. Fetched certificates are not trusted, and the exit code is that
    /// of the chain as sent. They are fetched directly, not through --proxy.
    #[arg(long, requires = "pem", conflicts_with = "file")]
    fetch_missing: bool,
    /// Exit with 1 if a certificate of the chain expires within TIME: 12h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = words::span)]
    expires_within: Option<Duration>,
    /// Start in plain text and upgrade to TLS: smtp, imap, pop3, ftp, ldap, xmpp, postgres, mysql, sieve, nntp
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "file")]
    starttls: Option<StartTls>,
    /// Server name to send (SNI) and verify, instead of the host's
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    sni: Option<String>,
    /// Connect to this address instead of HOST:PORT
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "file")]
    connect_to: Option<String>,
    /// Application protocols to offer (ALPN), in order of preference, separated by commas [default: h2,http/1.1; none with --starttls]
    #[arg(
        long,
        value_name = "PROTOCOLS",
        value_delimiter = ',',
        conflicts_with = "file"
    )]
    alpn: Option<Vec<String>>,
    /// Time limit for each phase
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::trust_args::seconds)]
    timeout: Duration,
    #[command(flatten)]
    proxy: ProxyArgs,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    files: file::FileArgs,
}

/// As for other commands, save that `--key` goes with `--file`, too.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Trust and identity")]
struct Trust {
    /// Also trust the certificates in FILE (PEM, DER or PKCS#7)
    #[arg(long, value_name = "FILE")]
    cacert: Vec<PathBuf>,
    /// Trust only the certificates of --cacert
    #[arg(long, requires = "cacert")]
    only_cacert: bool,
    /// Require one of these public keys on the verified path
    #[arg(long, value_name = "sha256//BASE64")]
    pin: Vec<SpkiSha256>,
    /// Check certificates against the certificate revocation lists in FILE (repeatable)
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// What to do with an expired revocation list
    #[arg(long, value_name = "POLICY", default_value = "hard")]
    crl_expired: crate::trust_args::CrlExpired,
    /// Accept at most COUNT intermediates in a chain, 0 to 6 [default: 6]
    #[arg(long, value_name = "COUNT", value_parser = crate::trust_args::depth)]
    depth: Option<usize>,
    /// Certificate chain, sent if the peer requests one
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    cert: Option<PathBuf>,
    /// Private key, if it is not in the same file; with --file: check that it belongs to the chain
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "key")]
    pass: Option<PassphraseSource>,
}

impl Trust {
    fn as_shared(&self) -> TrustArgs {
        TrustArgs {
            insecure: false,
            cacert: self.cacert.clone(),
            only_cacert: self.only_cacert,
            pin: self.pin.clone(),
            crl: self.crl.clone(),
            crl_expired: self.crl_expired,
            depth: self.depth,
            identity: IdentityArgs {
                cert: self.cert.clone(),
                key: self.key.clone(),
                pass: self.pass.clone(),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PurposeArg {
    Server,
    Client,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.trust.key.is_some() && args.trust.cert.is_none() && args.files.file.is_none() {
        return Err(Failure::usage(
            "--key without the certificate that it belongs to",
            "add --cert FILE, or --file CHAIN to compare the two",
        ));
    }
    if args.pem.is_some() && args.hosts.len() > 1 {
        return Err(Failure::usage(
            "--pem with several hosts: their chains would overwrite each other",
            "inspect one host at a time",
        ));
    }
    let found = match &args.files.file {
        Some(chain) => vec![file::inspect(chain, &args)?],
        None => live::inspect_all(&args)?,
    };
    if let (Some(path), Some(first)) = (&args.pem, found.first()) {
        let completed = first.completed.as_ref().map(|completed| &completed.chain);
        let chain = completed.unwrap_or(&first.chain);
        std::fs::write(path, certificates_to_pem(chain)).map_err(|error| {
            let what = format!("{} cannot be written", path.display());
            let explanation = Explanation::new("file-unusable", what);
            Failure::new(code::WRITE, explanation.with_evidence(error.to_string()))
        })?;
    }
    let told = if args.json {
        json::document(&found)
    } else {
        let palette = Palette::stdout();
        let each: Vec<String> = found.iter().map(|one| text::page(one, palette)).collect();
        output::fit(&each.join("\n"))
    };
    if let Err(error) = io::stdout().lock().write_all(told.as_bytes())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let explanation = Explanation::new("file-unusable", "the report cannot be written");
        let explanation = explanation.with_evidence(error.to_string());
        return Err(Failure::new(code::WRITE, explanation));
    }
    let mut exit = code::SUCCESS;
    for failure in found.iter().filter_map(findings::Findings::failure) {
        if !args.json {
            output::failure(&failure);
        }
        // A failure takes precedence over a chain that expires soon.
        if exit == code::SUCCESS || exit == code::OTHER {
            exit = failure.code;
        }
    }
    Ok(ExitCode::from(exit))
}
