//! `handfast inspect`: everything about a TLS endpoint, or about a chain in a file.
//!
//! `live.rs` finds things out over the network, `file.rs` without it; both fill plain values
//! (`findings.rs`), which `text.rs` tells a person and `json.rs` a program. A failed verification ends
//! nothing here: for diagnosis alone, a second handshake takes whatever the server shows.

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
  handfast inspect --scan mail.example:993           versions, suites and groups, each judged
  handfast inspect --starttls smtp mail.example      TLS that begins inside another protocol
  handfast inspect --pem full.pem --fetch-missing a.example   the chain as it should have been sent
  handfast inspect --expires-within 30d a.org b.org  exit code 1 when a chain ends within 30 days
  handfast inspect --file chain.pem --key key.pem --name a.example   files, offline";

/// Say everything about a TLS server, verified; or judge a chain in a file.
///
/// Goes on after a failed verification, for diagnosis only, and exits with the failure's code.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The servers, each as HOST or HOST:PORT; the port is 443 unless --starttls implies another
    #[arg(
        value_name = "HOST[:PORT]",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    hosts: Vec<String>,
    /// Try out the protocol versions, cipher suites, groups and signature schemes that the server accepts
    #[arg(long, conflicts_with = "file")]
    scan: bool,
    /// When the handshake fails, do not use further connections to find out what the server accepts, or its clock
    #[arg(long, conflicts_with = "scan")]
    no_probe: bool,
    /// Say nothing on stderr but warnings and failures
    #[arg(short, long)]
    quiet: bool,
    /// Print JSON (docs/inspect-json.md says what is in it)
    #[arg(long)]
    json: bool,
    /// Save the chain as the server sent it to this file
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pem: Option<PathBuf>,
    /// With --pem: complete the chain by the issuers' certificates, fetched from the http URLs in those sent
    ///
    /// For a file that the server can serve. Nothing that was fetched is trusted, and the exit code is that
    /// of the chain as sent. Asked directly, not through --proxy.
    #[arg(long, requires = "pem", conflicts_with = "file")]
    fetch_missing: bool,
    /// Exit with 1 when a certificate of the chain ends within this time: 12h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = words::span)]
    expires_within: Option<Duration>,
    /// Begin in plain text, then TLS: smtp, imap, pop3, ftp, ldap, xmpp, postgres, mysql, sieve, nntp
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "file")]
    starttls: Option<StartTls>,
    /// Ask for this server name (SNI), and verify it, instead of the host's
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    sni: Option<String>,
    /// Connect to this place instead of HOST:PORT
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "file")]
    connect_to: Option<String>,
    /// Offer these application protocols, the preferred first, separated by commas [default: h2,http/1.1; none with --starttls]
    #[arg(
        long,
        value_name = "PROTOCOLS",
        value_delimiter = ',',
        conflicts_with = "file"
    )]
    alpn: Option<Vec<String>>,
    /// Give up on each phase after this many seconds
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
    /// Trust the certificates of this file, too: PEM, DER or PKCS#7
    #[arg(long, value_name = "FILE")]
    cacert: Vec<PathBuf>,
    /// Trust those of --cacert alone
    #[arg(long, requires = "cacert")]
    only_cacert: bool,
    /// Demand that one of these keys is on the verified path
    #[arg(long, value_name = "sha256//BASE64")]
    pin: Vec<SpkiSha256>,
    /// Refuse what these revocation lists revoke
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// When a list is out of date: hard refuses what it covers, soft goes on using it
    #[arg(long, value_name = "POLICY", default_value = "hard")]
    crl_expired: crate::trust_args::CrlExpired,
    /// Follow at most so many intermediates between a certificate and a trust anchor, 0 to 6 [default: 6]
    #[arg(long, value_name = "COUNT", value_parser = crate::trust_args::depth)]
    depth: Option<usize>,
    /// Our certificate chain, for a peer that asks for it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    cert: Option<PathBuf>,
    /// Its private key; with --file: does this key belong to the chain?
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where the key's passphrase comes from: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
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
        // What is broken now is worse than what will end soon.
        if exit == code::SUCCESS || exit == code::OTHER {
            exit = failure.code;
        }
    }
    Ok(ExitCode::from(exit))
}
