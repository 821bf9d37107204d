//! What a client offers in its handshake: protocol versions, cipher suites, groups, an encrypted hello. Flags and syntax
//! are curl's.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handfast::{ClientContextBuilder, EchConfigs, Explanation, cipher_suite_named};

use crate::failure::{Failure, code};
use crate::output;
use crate::trust_args::VersionRange;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct OfferArgs {
    #[command(flatten)]
    versions: VersionRange,
    /// TLS 1.2 cipher suites to offer, in order of preference, joined by `:`, by OpenSSL's names or IANA's
    #[arg(long, value_name = "NAMES")]
    ciphers: Option<String>,
    /// TLS 1.3 cipher suites to offer, likewise
    #[arg(long, value_name = "NAMES")]
    tls13_ciphers: Option<String>,
    /// Key exchange groups to offer, in order of preference, joined by `:`, such as X25519:P-256
    #[arg(long, value_name = "NAMES")]
    curves: Option<String>,
    /// Encrypted Client Hello, TLS 1.3 only: ecl:BASE64 with the server's configurations (implies --no-probe), grease, false
    #[arg(long, value_name = "CONFIG", value_parser = ech)]
    ech: Option<Ech>,
}

#[derive(Debug, Clone)]
enum Ech {
    Off,
    Grease,
    Configs(EchConfigs),
}

impl OfferArgs {
    pub(super) fn apply(
        &self,
        builder: ClientContextBuilder,
    ) -> Result<ClientContextBuilder, Failure> {
        let mut builder = builder.versions(self.versions.versions());
        let suites = suites(
            ("--ciphers", self.ciphers.as_deref()),
            ("--tls13-ciphers", self.tls13_ciphers.as_deref()),
        )?;
        if !suites.is_empty() {
            builder = builder.cipher_suites(suites);
        }
        if let Some(curves) = &self.curves {
            let names: Vec<_> = words(curves).collect();
            if names.is_empty() {
                return Err(nothing_of("--curves", curves));
            }
            builder = builder.groups(names);
        }
        Ok(match &self.ech {
            None | Some(Ech::Off) => builder,
            Some(Ech::Grease) => builder.ech_grease(),
            Some(Ech::Configs(configs)) => builder.encrypted_client_hello(configs.clone()),
        })
    }
}

/// The cipher suites that these options choose, of TLS 1.2 and of TLS 1.3; empty for the defaults. A choice for one version
/// leaves the other its defaults.
pub(super) fn suites(
    older: (&str, Option<&str>),
    newer: (&str, Option<&str>),
) -> Result<Vec<&'static str>, Failure> {
    if older.1.is_none() && newer.1.is_none() {
        return Ok(Vec::new());
    }
    let newer = of_version(newer.0, newer.1, true)?;
    let older = of_version(older.0, older.1, false)?;
    Ok(newer.into_iter().chain(older).collect())
}

/// The suites of one version. Names that are not spoken are left out and told, as lists are written for many programs.
fn of_version(
    option: &str,
    list: Option<&str>,
    is_tls13: bool,
) -> Result<Vec<&'static str>, Failure> {
    let is_of_version = |name: &&str| name.contains("_WITH_") != is_tls13;
    let Some(list) = list else {
        let all = handfast::cipher_suite_names().into_iter();
        return Ok(all.filter(is_of_version).collect());
    };
    let mut chosen = Vec::new();
    let mut unknown = Vec::new();
    for word in words(list) {
        match cipher_suite_named(word).filter(is_of_version) {
            Some(name) => chosen.push(name),
            None => unknown.push(word),
        }
    }
    if chosen.is_empty() {
        return Err(nothing_of(option, list));
    }
    if !unknown.is_empty() {
        output::note(format!(
            "{option}: not supported, left out: {}",
            handfast::escape_control(&unknown.join(", "))
        ));
    }
    Ok(chosen)
}

fn nothing_of(option: &str, list: &str) -> Failure {
    let what = format!(
        "{option}: nothing in `{}` is supported",
        handfast::escape_control(list)
    );
    let supported = match option {
        "--curves" => handfast::group_names(),
        _ => handfast::cipher_suite_names(),
    };
    let explanation = Explanation::new("unknown-name", what)
        .with_evidence(format!("supported: {}", supported.join(", ")))
        .with_fix("choose some of these; those without forward secrecy or with CBC are not spoken");
    Failure::new(code::CIPHER, explanation)
}

/// The names of a list: curl's separators are those of OpenSSL.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ']).filter(|word| !word.is_empty())
}

fn ech(text: &str) -> Result<Ech, String> {
    if let Some(list) = text.strip_prefix("ecl:") {
        let bytes = BASE64_STANDARD
            .decode(list)
            .map_err(|error| format!("ecl: takes base64: {error}"))?;
        return Ok(Ech::Configs(EchConfigs::from_bytes(bytes)));
    }
    match text {
        "false" => Ok(Ech::Off),
        "grease" => Ok(Ech::Grease),
        "true" | "hard" => Err(
            "the DNS is not asked for configurations here: give those of the server's HTTPS record, ecl:BASE64"
                .to_owned(),
        ),
        _ => Err("expected ecl:BASE64, grease or false".to_owned()),
    }
}
