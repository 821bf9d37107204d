//! Which certificates are trusted, and how peers are verified: flags that every command that verifies servers shares.
//!
//! As in curl, `--cacert` and `--capath` replace the platform's trust store: an authority of the store that was
//! forgotten there does not pass. `--add-cacert` adds to whatever is trusted.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use handfast::{
    ClientContextBuilder, ExpiredLists, Explanation, InvalidPin, RevocationLists, SpkiSha256,
    TrustAnchors, TrustSource, VerificationPolicy, escape_control,
};

use crate::advice::Advised as _;
use crate::data_dir::{is_local_ca, local_ca_certificate, local_ca_list};
use crate::failure::{Failure, code, plain};
use crate::output;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Trust only the certificates in FILE (PEM, DER or PKCS#7), in place of the platform's (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Vec<PathBuf>,
    /// Trust only the certificates in the files of DIR, in place of the platform's (repeatable)
    #[arg(long, value_name = "DIR")]
    capath: Vec<PathBuf>,
    /// Also trust the certificates in FILE, beside the platform's or those of --cacert (repeatable)
    #[arg(long, value_name = "FILE")]
    add_cacert: Vec<PathBuf>,
    /// What --cacert means by itself: accepted, and of no further effect
    #[arg(long, requires = "cacert", hide = true)]
    only_cacert: bool,
    /// Require one of these public keys on the verified path
    #[arg(long, value_name = "sha256//BASE64")]
    pin: Vec<SpkiSha256>,
    /// Require one of these to be the server's own public key: hashes joined by `;`, or a file with the key (PEM or DER)
    #[arg(long, value_name = "sha256//BASE64|FILE")]
    pinnedpubkey: Option<String>,
    /// Check certificates against the certificate revocation lists in FILE (repeatable)
    #[arg(long, alias = "crlfile", value_name = "FILE")]
    pub(crate) crl: Vec<PathBuf>,
    /// What to do with an expired revocation list
    #[arg(long, value_name = "POLICY", default_value = "hard")]
    pub(crate) crl_expired: CrlExpired,
    /// Accept at most COUNT intermediates in a chain, 0 to 6 [default: 6]
    #[arg(long, value_name = "COUNT", value_parser = depth)]
    pub(crate) depth: Option<usize>,
}

/// How a certificate is handled if the list that covers it is out of date.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CrlExpired {
    /// Refuse certificates that it covers
    #[default]
    Hard,
    /// Refuse only certificates that it revokes
    Soft,
}

impl From<CrlExpired> for ExpiredLists {
    fn from(policy: CrlExpired) -> Self {
        match policy {
            CrlExpired::Hard => Self::Refuse,
            CrlExpired::Soft => Self::Accept,
        }
    }
}

/// The lists of these files.
pub(crate) fn lists_of(files: &[PathBuf], expired: CrlExpired) -> Result<RevocationLists, Failure> {
    let mut lists = RevocationLists::none().with_expired(expired.into());
    for file in files {
        lists = lists.with_file(file)?;
    }
    Ok(lists)
}

impl VerifyArgs {
    /// Of another peer than the server, with options of its own for these.
    pub(crate) fn of_other(
        (cacert, capath): (Vec<PathBuf>, Vec<PathBuf>),
        pinnedpubkey: Option<String>,
        crl: Vec<PathBuf>,
    ) -> Self {
        Self {
            cacert,
            capath,
            add_cacert: Vec::new(),
            only_cacert: false,
            pin: Vec::new(),
            pinnedpubkey,
            crl,
            crl_expired: CrlExpired::default(),
            depth: None,
        }
    }

    /// The anchors: those of `--cacert` and `--capath`, else the platform's and the local authority's; and those added.
    pub(crate) fn anchors(&self) -> Result<TrustAnchors, Failure> {
        let mut anchors = match self.replaces_the_store() {
            true => TrustAnchors::empty(),
            false => with_local_ca(TrustAnchors::platform()),
        };
        for directory in &self.capath {
            anchors = anchors
                .with_directory(directory)
                .map_err(handfast::Error::from)?;
        }
        with_files(with_files(anchors, &self.cacert)?, &self.add_cacert)
    }

    pub(crate) fn revocation_lists(&self) -> Result<RevocationLists, Failure> {
        let lists = lists_of(&self.crl, self.crl_expired)?;
        let mut files = self.cacert.iter().chain(&self.add_cacert);
        Ok(
            match self.replaces_the_store() && !files.any(|file| is_local_ca(file)) {
                true => lists,
                false => with_local_list(lists),
            },
        )
    }

    /// The policy, for chains that are not a connection's.
    pub(crate) fn policy(&self) -> Result<VerificationPolicy, Failure> {
        let mut policy = VerificationPolicy::new(self.anchors()?)
            .with_revocation_lists(self.revocation_lists()?)
            .with_chain_depth_max(self.depth.unwrap_or(VerificationPolicy::CHAIN_DEPTH_LIMIT));
        for pin in &self.pin {
            policy = policy.with_pin(*pin);
        }
        for pin in self.own_key_pins()? {
            policy = policy.with_own_key_pin(pin);
        }
        Ok(policy)
    }

    /// The context with everything but the anchors.
    pub(crate) fn limit(
        &self,
        builder: ClientContextBuilder,
    ) -> Result<ClientContextBuilder, Failure> {
        let mut builder = builder.revocation_lists(self.revocation_lists()?);
        if let Some(depth) = self.depth {
            builder = builder.chain_depth_max(depth);
        }
        for pin in &self.pin {
            builder = builder.pin(*pin);
        }
        for pin in self.own_key_pins()? {
            builder = builder.own_key_pin(pin);
        }
        Ok(builder)
    }

    fn own_key_pins(&self) -> Result<Vec<SpkiSha256>, Failure> {
        match self.pinnedpubkey.as_deref() {
            None => Ok(Vec::new()),
            Some(hashes) if hashes.starts_with("sha256//") => hashes
                .split(';')
                .filter(|hash| !hash.trim().is_empty())
                .map(|hash| {
                    hash.parse().map_err(|error: InvalidPin| {
                        Failure::usage(
                            format!("--pinnedpubkey: {error}"),
                            "join several by `;`: sha256//BASE64;sha256//BASE64",
                        )
                    })
                })
                .collect(),
            Some(file) => key_of(Path::new(file)).map(|pin| vec![pin]),
        }
    }

    fn replaces_the_store(&self) -> bool {
        !(self.cacert.is_empty() && self.capath.is_empty())
    }
}

/// More than any public key: what is larger is another file.
const KEY_BYTES_MAX: u64 = 1024 * 1024;

/// The pin of the public key in this file. Without it no server can be accepted: as for curl, none has the pinned key.
fn key_of(path: &Path) -> Result<SpkiSha256, Failure> {
    let failed = |why: String| {
        let shown = path.display().to_string();
        let what = format!(
            "--pinnedpubkey: no public key in {}",
            escape_control(&shown)
        );
        let explanation = Explanation::new("file-unusable", what)
            .with_evidence(why)
            .with_fix("make the file by: openssl x509 -in CERTIFICATE -noout -pubkey");
        Failure::new(code::PINNED_KEY, explanation)
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(KEY_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| failed(plain(&error)))?;
    SpkiSha256::of_public_key(&bytes).map_err(|error| failed(error.detail))
}

/// Problems shown of each source; a directory can have hundreds.
const PROBLEMS_SHOWN_MAX: usize = 8;

/// The certificates of these sources that cannot be trust anchors, a line each.
pub(crate) fn trust_problems(sources: &[TrustSource]) -> Vec<String> {
    let mut lines = Vec::new();
    for source in sources {
        let shown = source.problems.iter().take(PROBLEMS_SHOWN_MAX);
        lines.extend(shown.map(ToString::to_string));
        let more = source.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        if more > 0 {
            lines.push(format!("{more} more of {source}"));
        }
    }
    lines
}

/// Prints on stderr which certificates of the given files cannot be trust anchors.
pub(crate) fn tell_trust_problems(anchors: &TrustAnchors) {
    for problem in trust_problems(anchors.added_sources()) {
        output::note(format!("trust: {problem}"));
    }
}

/// These anchors and those of the files.
pub(crate) fn with_files(
    mut anchors: TrustAnchors,
    files: &[PathBuf],
) -> Result<TrustAnchors, Failure> {
    for file in files {
        anchors = anchors.with_file(file).map_err(handfast::Error::from)?;
    }
    Ok(anchors)
}

/// The local authority has name constraints: trusting it does not affect other names.
fn with_local_ca(anchors: TrustAnchors) -> TrustAnchors {
    let Some(file) = local_ca_certificate() else {
        return anchors;
    };
    match anchors.clone().with_file(&file) {
        Ok(more) => more,
        Err(error) => {
            let why = handfast::Error::from(error).advise();
            output::warning(format!("the local authority is not trusted: {}", why.what));
            anchors
        }
    }
}

/// Certificates that the local authority revoked are refused, too. Its list was not requested: if there is none, or an
/// old one, there is no error.
fn with_local_list(lists: RevocationLists) -> RevocationLists {
    let Some(file) = local_ca_list() else {
        return lists;
    };
    match RevocationLists::none().with_file(&file) {
        Ok(own) => lists.and_also(own.allowing_unknown().allowing_expired()),
        Err(error) => {
            output::warning(format!(
                "what the local authority revoked is not known: {}",
                Failure::from(error).explanation.what
            ));
            lists
        }
    }
}

/// Parses the limit on intermediates, within the library's limit.
pub(crate) fn depth(text: &str) -> Result<usize, String> {
    const MAX: usize = VerificationPolicy::CHAIN_DEPTH_LIMIT;
    text.parse()
        .ok()
        .filter(|depth| *depth <= MAX)
        .ok_or_else(|| format!("expected a number of intermediates from 0 to {MAX}"))
}
