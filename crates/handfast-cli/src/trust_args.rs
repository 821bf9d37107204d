//! Trust, identity and session flags that several commands share, and their conversion into a
//! context builder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use handfast::{
    ClientContext, ClientContextBuilder, Error, KeyLog, PeerCause, Phase, Report, TlsVersion,
    TrustAnchors,
};

use crate::failure::Failure;
use crate::identity_args::IdentityArgs;
use crate::output;
use crate::verify_args::VerifyArgs;

pub(crate) use crate::verify_args::{CrlExpired, depth, tell_trust_problems, trust_problems};

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
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', value_parser = version, conflicts_with_all = ["tlsv1", "tlsv1_2", "tlsv1_3", "tls_max"])]
    tls: Vec<TlsVersion>,
    #[command(flatten)]
    range: VersionRange,
}

/// TLS versions as in curl: the earliest and the latest.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionRange {
    /// Allow TLS 1.0 and later: the earliest that is spoken is 1.2
    #[arg(short = '1', long, hide = true, aliases = ["tlsv1.0", "tlsv1.1"])]
    tlsv1: bool,
    /// Allow TLS 1.2 and later (the default)
    #[arg(long = "tlsv1.2")]
    tlsv1_2: bool,
    /// Allow only TLS 1.3 and later
    #[arg(long = "tlsv1.3")]
    tlsv1_3: bool,
    /// Latest TLS version to allow: 1.2, 1.3
    #[arg(long, value_name = "VERSION", value_parser = latest, conflicts_with = "tlsv1_3")]
    tls_max: Option<TlsVersion>,
}

impl VersionRange {
    /// The selected versions; empty for the default.
    pub(crate) fn versions(&self) -> Vec<TlsVersion> {
        // As in curl, the last word is that of the option for less.
        let earliest_is_1_3 = self.tlsv1_3 && !self.tlsv1_2 && !self.tlsv1;
        match self.tls_max {
            Some(TlsVersion::Tls12) => vec![TlsVersion::Tls12],
            _ if earliest_is_1_3 => vec![TlsVersion::Tls13],
            _ => Vec::new(),
        }
    }
}

impl VersionArgs {
    /// The selected versions; `None` for the default.
    pub(crate) fn versions(&self) -> Vec<TlsVersion> {
        match self.tls.as_slice() {
            [] => self.range.versions(),
            given => given.to_vec(),
        }
    }
}

impl TrustArgs {
    /// A client's context with all of this, and the session's choices.
    pub(crate) fn client(&self, session: &SessionArgs) -> Result<ClientContextBuilder, Failure> {
        if self.insecure {
            warn_of_insecure();
        }
        let mut builder = self
            .judging_builder(tell_trust_problems)?
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
        let builder = self.unverified_builder()?;
        if self.insecure {
            warn_of_insecure();
            return Ok(builder.danger().accept_any_certificate());
        }
        let anchors = self.verify.anchors()?;
        tell_trust_problems(&anchors);
        Ok(builder.trust(anchors))
    }

    /// The same; what is trusted is shown to `show`. With `--insecure` nothing is shown here, and reports say what
    /// verification would have refused the server for.
    pub(crate) fn judging_builder(
        &self,
        show: impl FnOnce(&TrustAnchors),
    ) -> Result<ClientContextBuilder, Failure> {
        let builder = self.unverified_builder()?;
        if !self.insecure {
            let anchors = self.verify.anchors()?;
            show(&anchors);
            return Ok(builder.trust(anchors));
        }
        Ok(match self.verify.anchors() {
            Ok(anchors) => builder
                .trust(anchors)
                .danger()
                .accept_any_certificate_but_judge(),
            // What cannot be read is not needed.
            Err(_) => builder.danger().accept_any_certificate(),
        })
    }

    /// Everything but the trust.
    fn unverified_builder(&self) -> Result<ClientContextBuilder, Failure> {
        let builder = ClientContext::builder().identities(self.identity.read()?);
        self.verify.limit(builder)
    }
}

/// What verification would have refused an unverified server for, in one line.
pub(crate) fn objection(report: &Report) -> Option<String> {
    let cause = PeerCause::Certificate(report.objection.clone()?);
    let explanation = Error::new(Phase::Handshake, cause).explain();
    Some(format!("{} [{}]", explanation.what, explanation.id))
}

/// Before anything is sent to a server that is not verified.
pub(crate) fn warn_of_insecure() {
    output::warning(
        "--insecure: the server's certificate is NOT verified; anyone on the path can \
         read and change what is sent",
    );
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

/// Seconds, possibly with a fraction, or a time with its unit.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match limit(text) {
        Ok(Limit(Some(limit))) => Ok(limit.min(SECONDS_MAX)),
        _ => Err("expected a number of seconds above 0".to_owned()),
    }
}

/// A time limit from the arguments; `None` without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

/// A time limit in seconds, possibly with a fraction, or with a unit; 0 is no limit, and also very large values.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds >= 0.0);
    let seconds = seconds.or_else(|| crate::span::parse(text).map(|time| time.as_secs_f64()));
    let seconds = seconds.ok_or("expected a number of seconds, or 0 for no limit")?;
    // A value above zero is not rounded to zero.
    let least = Duration::from_nanos(1);
    let limit = Duration::try_from_secs_f64(seconds).ok();
    Ok(Limit(match seconds {
        0.0 => None,
        _ => limit.map(|limit| limit.max(least)),
    }))
}

/// curl's `default` is the latest.
fn latest(text: &str) -> Result<TlsVersion, String> {
    match text {
        "default" => Ok(TlsVersion::Tls13),
        other => version(other),
    }
}

fn version(text: &str) -> Result<TlsVersion, String> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => Err("expected 1.2 or 1.3: older versions are broken, and not spoken".to_owned()),
    }
}
