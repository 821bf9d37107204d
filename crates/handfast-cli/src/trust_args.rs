//! Trust, identity and session flags that several commands share, and their conversion into a
//! context builder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use handfast::{
    ClientContext, ClientContextBuilder, Identity, KeyLog, Passphrase, TlsVersion, TrustAnchors,
};

use crate::failure::Failure;
use crate::output;
use crate::passphrase::{PassphraseSource, or_prompt};
use crate::verify_args::VerifyArgs;

pub(crate) use crate::verify_args::{
    CrlExpired, depth, lists_of, tell_trust_problems, trust_problems, with_files,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Trust and identity")]
pub(crate) struct TrustArgs {
    /// Do not verify the certificate: anyone on the network path can read and change all data
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IdentityArgs {
    /// Certificate chain, sent if the peer requests one
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key, if it is not in the same file as the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "cert")]
    pub(crate) pass: Option<PassphraseSource>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Session")]
pub(crate) struct SessionArgs {
    /// Application protocols to offer (ALPN), in order of preference, separated by commas
    #[arg(long, value_name = "PROTOCOLS", value_delimiter = ',')]
    pub(crate) alpn: Vec<String>,
    #[command(flatten)]
    pub(crate) versions: VersionArgs,
    /// Time limit for connecting and the handshake, 0 for none [default: 10 for each step]
    #[arg(long, value_name = "SECONDS", value_parser = limit)]
    connect_timeout: Option<Limit>,
    /// Append TLS session secrets to FILE, for a packet analyser; anyone with it can decrypt the traffic
    #[arg(long, value_name = "FILE", env = "SSLKEYLOGFILE", value_parser = key_log_file())]
    key_log: Option<PathBuf>,
}

impl SessionArgs {
    /// The limit that was asked for; none is so long that nothing reaches it.
    pub(crate) fn connect_limit(&self) -> Option<Duration> {
        let asked = self.connect_timeout?;
        Some(asked.0.unwrap_or(SECONDS_MAX).min(SECONDS_MAX))
    }
}

/// TLS versions: as in curl, and as a list.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// TLS versions to allow: 1.2, 1.3 [default: both]
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', value_parser = version)]
    tls: Vec<TlsVersion>,
    /// Allow TLS 1.2 and later (the default)
    #[arg(long = "tlsv1.2", conflicts_with = "tls")]
    tlsv1_2: bool,
    /// Allow only TLS 1.3 and later
    #[arg(long = "tlsv1.3", conflicts_with = "tls")]
    tlsv1_3: bool,
    /// Latest TLS version to allow
    #[arg(long, value_name = "VERSION", value_parser = ["1.2", "1.3"], conflicts_with_all = ["tls", "tlsv1_3"])]
    tls_max: Option<String>,
}

impl VersionArgs {
    /// The selected versions; `None` for the default.
    pub(crate) fn versions(&self) -> Vec<TlsVersion> {
        match self.tls_max.as_deref() {
            _ if self.tlsv1_3 => vec![TlsVersion::Tls13],
            Some("1.2") => vec![TlsVersion::Tls12],
            _ => self.tls.clone(),
        }
    }
}

impl TrustArgs {
    /// A client's context with all of this, and the session's choices.
    pub(crate) fn client(&self, session: &SessionArgs) -> Result<ClientContextBuilder, Failure> {
        let mut builder = self
            .builder()?
            .versions(session.versions.versions())
            .alpn(session.alpn.iter().map(String::as_bytes));
        if let Some(log) = session.key_log()? {
            builder = builder.key_log(log);
        }
        Ok(builder)
    }

    /// A client's context with all of this. Warns if verification is off, and about
    /// certificates in the files that cannot be trust anchors.
    pub(crate) fn builder(&self) -> Result<ClientContextBuilder, Failure> {
        self.builder_showing(tell_trust_problems)
    }

    /// The same; what is trusted is shown to `show`.
    pub(crate) fn builder_showing(
        &self,
        show: impl FnOnce(&TrustAnchors),
    ) -> Result<ClientContextBuilder, Failure> {
        let mut builder =
            ClientContext::builder().revocation_lists(self.verify.revocation_lists()?);
        if let Some(depth) = self.verify.depth {
            builder = builder.chain_depth_max(depth);
        }
        for pin in &self.verify.pin {
            builder = builder.pin(*pin);
        }
        if let Some(identity) = self.identity.read()? {
            builder = builder.identity(identity);
        }
        if self.insecure {
            output::warning(
                "--insecure: the server's certificate is NOT verified; anyone on the path can \
                 read and change what is sent",
            );
            Ok(builder.danger().accept_any_certificate())
        } else {
            let anchors = self.verify.anchors()?;
            show(&anchors);
            Ok(builder.trust(anchors))
        }
    }
}

impl IdentityArgs {
    pub(crate) fn read(&self) -> Result<Option<Identity>, Failure> {
        let Some(chain) = &self.cert else {
            return Ok(None);
        };
        let passphrase = match or_prompt(self.pass.clone()) {
            Some(source) => Passphrase::ask(move |request| source.read(&request.to_string())),
            None => Passphrase::none(),
        };
        let identity = match &self.key {
            Some(key) => Identity::from_files(chain, key, passphrase),
            None => Identity::from_file(chain, passphrase),
        };
        identity
            .map(Some)
            .map_err(|error| handfast::Error::from(error).into())
    }
}

impl SessionArgs {
    pub(crate) fn key_log(&self) -> Result<Option<KeyLog>, Failure> {
        key_log(self.key_log.as_deref())
    }
}

/// Opens the log of TLS secrets. An empty name is none: so the variable is switched off for one command.
pub(crate) fn key_log(file: Option<&Path>) -> Result<Option<KeyLog>, Failure> {
    let file = file.filter(|file| !file.as_os_str().is_empty());
    Ok(file.map(KeyLog::to_file).transpose()?)
}

/// Parses the name of that file, which may be empty.
pub(crate) fn key_log_file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The longest time limit, about 30 years, so that clocks do not overflow.
const SECONDS_MAX: Duration = Duration::from_secs(1_000_000_000);

/// Seconds, possibly with a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match limit(text) {
        Ok(Limit(Some(limit))) => Ok(limit.min(SECONDS_MAX)),
        _ => Err("expected a number of seconds above 0".to_owned()),
    }
}

/// A time limit from the arguments; `None` without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

/// A time limit in seconds, possibly with a fraction; 0 is no limit, and also very large values.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds >= 0.0);
    let seconds = seconds.ok_or("expected a number of seconds, or 0 for no limit")?;
    // A value above zero is not rounded to zero.
    let least = Duration::from_nanos(1);
    let limit = Duration::try_from_secs_f64(seconds).ok();
    Ok(Limit(match seconds {
        0.0 => None,
        _ => limit.map(|limit| limit.max(least)),
    }))
}

fn version(text: &str) -> Result<TlsVersion, String> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => Err("expected 1.2 or 1.3: older versions are broken".to_owned()),
    }
}
