//! Trust anchors, from the platform, files, directories and memory (A5).
//!
//! Owns collecting the certificates that the *caller* trusts: authorities, which may vouch for others, and
//! end entities, which are trusted only as themselves; and naming what is neither. Which is which is
//! decided in `anchor`. Leaves the judgement of a peer's chain to `verify`.
//!
//! The sorting is what keeps an ordinary certificate that somebody trusted from vouching for the
//! whole world: webpki makes an issuer of whatever it is given as an anchor.

mod anchor;
mod lookup;
mod problem;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, fs, io};

use pki_types::pem::PemObject;
use pki_types::{CertificateDer, TrustAnchor};

pub(crate) use self::anchor::AnchorLimits;
use self::anchor::{Chosen, Entry, Standing};
use self::lookup::{Chain, Lookup};
pub use self::problem::{
    AnchorProblem, AnchorProblemKind, TrustError, TrustOrigin, TrustProblem, TrustSource,
};
use crate::x509::{self, Depth, escape_control};

/// A file of certificates larger than this is a mistake: the largest real bundles are under 1 MiB.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A set of certificates that the caller trusts. Cheap to clone; each `with_*` adds to the set.
///
/// [`platform`](Self::platform)`().with_file(..)` trusts a private authority *as well as* the
/// platform's; [`empty`](Self::empty)`().with_file(..)` trusts it *alone*.
///
/// An added certificate becomes a trust anchor if it is an authority: basic constraints with CA:TRUE. A root
/// without basic constraints (of version 1, or an old one of version 3) is one, too, when it issued
/// itself and says nothing that only an end entity says: a key usage without `keyCertSign`, or without
/// key usage a purpose or the name of a server. Not so in the platform's store, which nobody chose for this
/// one use. Any other certificate is trusted as exactly itself: a peer that presents the very same
/// bytes is believed, still subject to name, validity and purpose, and nothing that it signed is. A
/// self-signed authority that a server presents as its own certificate, which is what
/// `openssl req -x509` makes, is accepted in the same way.
///
/// What the certificate of an anchor limits (lifetime, path length, key usage, extended key usage, name
/// constraints) binds what it vouches for. What is no anchor is named, with the reason, in
/// [`TrustSource::problems`].
///
/// ```no_run
/// # use handfast::TrustAnchors;
/// let anchors = TrustAnchors::empty().with_file("company-root.pem")?;
/// for source in anchors.sources() {
///     println!("trusting {source}");
/// }
/// # Ok::<(), handfast::TrustError>(())
/// ```
#[derive(Clone)]
pub struct TrustAnchors {
    inner: Arc<Inner>,
}

impl TrustAnchors {
    /// The platform's own store: on Linux the distribution's CA bundle, on macOS and Windows the
    /// system's.
    ///
    /// It is read once, at the first verification or call of [`resolve`](Self::resolve), because a
    /// program that never verifies a peer should not pay for it; and while every peer can be verified,
    /// only those of its certificates are parsed that a peer's chain leads to. The environment variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it, as they do for OpenSSL: they belong to what
    /// "the platform's store" means, and nothing else in this library reads the environment.
    pub fn platform() -> Self {
        Self::new(true)
    }

    /// Trusts nobody, until certificates are added.
    pub fn empty() -> Self {
        Self::new(false)
    }

    /// Adds the certificates of a file: PEM with any number of them, or DER with one.
    ///
    /// # Errors
    /// When the file cannot be read, holds no certificate, holds one that is malformed or only ones
    /// that cannot be used, or has OpenSSL's private `TRUSTED CERTIFICATE` sections.
    pub fn with_file(self, path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let path = path.as_ref();
        let at = |problem| TrustError {
            path: Some(path.to_owned()),
            problem,
        };
        let bytes = read_bounded(path).map_err(at)?;
        let certificates = certificates_in(&bytes).map_err(at)?;
        self.with_all(
            TrustOrigin::File(path.to_owned()),
            certificates,
            Strictness::Every,
        )
        .map_err(at)
    }

    /// Adds every certificate found in the files of a directory, such as one prepared by
    /// `openssl rehash`. Files that hold no certificate are passed over, duplicates count once.
    ///
    /// # Errors
    /// When the directory cannot be read or no file in it holds a usable certificate.
    pub fn with_directory(self, path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let path = path.as_ref();
        let at = |problem| TrustError {
            path: Some(path.to_owned()),
            problem,
        };
        let unreadable = |error: io::Error| at(TrustProblem::Unreadable(Arc::new(error)));
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let is_hidden = file
                .file_name()
                .and_then(OsStr::to_str)
                .is_none_or(is_hidden_name);
            if !is_hidden && file.is_file() {
                files.push(file);
            }
        }
        // The order of a directory is arbitrary; that of the anchors should not be.
        files.sort();
        let certificates = files
            .iter()
            .filter_map(|file| {
                read_bounded(file)
                    .and_then(|bytes| certificates_in(&bytes))
                    .ok()
            })
            .flatten()
            .collect();
        self.with_all(
            TrustOrigin::Directory(path.to_owned()),
            certificates,
            Strictness::Any,
        )
        .map_err(at)
    }

    /// Adds every certificate of a PEM text.
    ///
    /// # Errors
    /// As [`with_file`](Self::with_file), without a path.
    pub fn with_pem(self, pem: &[u8]) -> Result<Self, TrustError> {
        let at = |problem| TrustError {
            path: None,
            problem,
        };
        let certificates = certificates_in(pem).map_err(at)?;
        self.with_all(TrustOrigin::Memory, certificates, Strictness::Every)
            .map_err(at)
    }

    /// Adds one certificate.
    ///
    /// # Errors
    /// When it is malformed, or of a version other than 3.
    pub fn with_certificate_der(
        self,
        certificate: CertificateDer<'static>,
    ) -> Result<Self, TrustError> {
        self.with_all(TrustOrigin::Memory, vec![certificate], Strictness::Every)
            .map_err(|problem| TrustError {
                path: None,
                problem,
            })
    }

    /// Reads the platform's store now, if it is part of this set and was not read yet.
    ///
    /// # Errors
    /// When nothing at all is trusted in the end: then no peer can ever be verified.
    pub fn resolve(&self) -> Result<(), TrustError> {
        let resolved = self.resolved();
        if resolved.certificates.is_empty() {
            let problems = self
                .sources()
                .into_iter()
                .flat_map(|source| source.problems)
                .collect();
            return Err(TrustError {
                path: None,
                problem: TrustProblem::NothingTrusted(problems),
            });
        }
        Ok(())
    }

    /// Where the trust comes from and how much of it came from each place, in the order added, the
    /// platform first. Reads the platform's store if that did not happen yet.
    pub fn sources(&self) -> Vec<TrustSource> {
        let platform = self.resolved().platform_source.iter();
        platform.chain(&self.inner.sources).cloned().collect()
    }

    /// How many authorities are trusted. Reads the platform's store if that did not happen yet.
    pub fn len(&self) -> usize {
        let resolved = self.resolved();
        resolved
            .anchors
            .len()
            .saturating_add(resolved.only_ours.len())
    }

    /// Whether no authority is trusted; an end entity trusted as itself does not count as one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn resolved(&self) -> &Resolved {
        self.inner.resolved.get_or_init(|| self.inner.resolve())
    }

    /// Of all that is trusted, what bears on this chain, where finding that costs less than reading
    /// the platform's whole store. Whom it verifies everything verifies, too; but to refuse somebody
    /// takes everything ([`resolved`](Self::resolved)).
    pub(crate) fn likely(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<Resolved> {
        if !self.inner.with_platform || self.inner.resolved.get().is_some() {
            return None;
        }
        let lookup = self.inner.lookup.get_or_init(Lookup::of_platform);
        let certificates = std::iter::once(end_entity).chain(intermediates);
        let chain = Chain::of(certificates.map(|der| &der[..]));
        let mut likely = Resolved::default();
        for entry in lookup.as_ref()?.matching(&chain) {
            likely.add(&entry);
        }
        for entry in &self.inner.entries {
            let concerns = match &entry.standing {
                Standing::Anchor {
                    webpki: Some(anchor),
                    ..
                } => chain.concerns(&anchor.subject),
                _ => false,
            };
            if concerns || entry.der == *end_entity {
                likely.add(entry);
            }
        }
        Some(likely)
    }

    fn new(with_platform: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                with_platform,
                entries: Vec::new(),
                sources: Vec::new(),
                lookup: OnceLock::new(),
                resolved: OnceLock::new(),
            }),
        }
    }

    fn with_all(
        self,
        origin: TrustOrigin,
        certificates: Vec<CertificateDer<'static>>,
        strictness: Strictness,
    ) -> Result<Self, TrustProblem> {
        if certificates.is_empty() {
            return Err(TrustProblem::NoCertificate);
        }
        let (entries, source) = sort_out(origin, certificates, strictness)?;
        let old = &self.inner;
        Ok(Self {
            inner: Arc::new(Inner {
                with_platform: old.with_platform,
                entries: old
                    .entries
                    .iter()
                    .cloned()
                    .chain(entries.into_iter().map(Arc::new))
                    .collect(),
                sources: old.sources.iter().cloned().chain([source]).collect(),
                lookup: OnceLock::new(),
                resolved: OnceLock::new(),
            }),
        })
    }
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Must not read the platform's store as a side effect of printing.
        f.debug_struct("TrustAnchors")
            .field("platform", &self.inner.with_platform)
            .field("sources", &self.inner.sources)
            .finish_non_exhaustive()
    }
}

/// What verification works with.
#[derive(Default)]
pub(crate) struct Resolved {
    /// Authorities, as webpki wants them.
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    /// For each of `anchors`, its certificate and what that says of its use.
    pub(crate) limits: Vec<Arc<AnchorLimits>>,
    /// Authorities that webpki cannot read: only our own validation can take them as anchors.
    pub(crate) only_ours: Vec<Arc<AnchorLimits>>,
    /// Every trusted certificate, to compare with what a peer presents as its own.
    pub(crate) certificates: HashSet<CertificateDer<'static>>,
    platform_source: Option<TrustSource>,
}

struct Inner {
    with_platform: bool,
    entries: Vec<Arc<Entry>>,
    sources: Vec<TrustSource>,
    lookup: OnceLock<Option<Lookup>>,
    resolved: OnceLock<Resolved>,
}

impl Inner {
    fn resolve(&self) -> Resolved {
        let mut resolved = Resolved::default();
        if self.with_platform {
            let (entries, source) = platform_entries();
            resolved.platform_source = Some(source);
            for entry in entries {
                resolved.add(&entry);
            }
        }
        for entry in &self.entries {
            resolved.add(entry);
        }
        resolved
    }
}

impl Resolved {
    /// The same certificate may be added more than once, and be an anchor in one place alone.
    fn add(&mut self, entry: &Entry) {
        let is_new = self.certificates.insert(entry.der.clone());
        let Standing::Anchor { webpki, limits } = &entry.standing else {
            return;
        };
        let is_known = |known: &Arc<AnchorLimits>| known.der == entry.der;
        if !is_new && (self.limits.iter().any(is_known) || self.only_ours.iter().any(is_known)) {
            return;
        }
        match webpki {
            Some(anchor) => {
                self.anchors.push(anchor.clone());
                self.limits.push(Arc::clone(limits));
            }
            None => self.only_ours.push(Arc::clone(limits)),
        }
    }
}

/// Whether one bad certificate spoils its source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Named by a person: anything malformed is a mistake that they want to hear of at once.
    Every,
    /// Collected by a machine: take what can be used.
    Any,
}

fn platform_entries() -> (Vec<Entry>, TrustSource) {
    let found = rustls_native_certs::load_native_certs();
    let errors = found.errors.iter().map(|error| AnchorProblem {
        path: None,
        index: None,
        line: None,
        subject: String::new(),
        kind: AnchorProblemKind::Unreadable {
            detail: escape_control(&error.to_string()).into_owned(),
        },
    });
    let (entries, mut source) = sort_out(TrustOrigin::Platform, found.certs, Strictness::Any)
        .unwrap_or_else(|_| (Vec::new(), TrustSource::empty(TrustOrigin::Platform)));
    source.problems.extend(errors);
    (entries, source)
}

/// Sorts certificates into authorities and end entities, and names what is neither.
fn sort_out(
    origin: TrustOrigin,
    certificates: Vec<CertificateDer<'static>>,
    strictness: Strictness,
) -> Result<(Vec<Entry>, TrustSource), TrustProblem> {
    let chosen = match origin {
        TrustOrigin::Platform => Chosen::InStore,
        _ => Chosen::ByName,
    };
    let mut source = TrustSource::empty(origin);
    let mut entries = Vec::with_capacity(certificates.len());
    for (index, der) in certificates.into_iter().enumerate() {
        let (subject, kind) = match anchor::read(der, chosen) {
            Ok(entry) => {
                let problem = entry.problem();
                entries.push(entry);
                let Some(problem) = problem else {
                    source.authorities += 1;
                    continue;
                };
                source.end_entities += 1;
                problem
            }
            Err((_, AnchorProblemKind::Malformed { detail }))
                if strictness == Strictness::Every =>
            {
                return Err(TrustProblem::Malformed { index, detail });
            }
            Err(problem) => problem,
        };
        source.problems.push(AnchorProblem {
            path: None,
            index: Some(index),
            line: None,
            subject,
            kind,
        });
    }
    if entries.is_empty() && source.origin != TrustOrigin::Platform {
        return Err(TrustProblem::NoneUsable {
            problems: source.problems,
        });
    }
    Ok((entries, source))
}

/// The certificates of a PEM text or of DER bytes.
pub(crate) fn certificates_in(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustProblem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(TrustProblem::Empty);
    }
    // DER begins with the tag of a SEQUENCE, which a PEM file's preamble may do too ('0').
    if bytes.starts_with(&[0x30]) && x509::parse(bytes, Depth::Outline).is_ok() {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let labels = pem_labels(bytes);
    if labels.iter().any(|label| label == "TRUSTED CERTIFICATE") {
        return Err(TrustProblem::OpensslTrustedCertificate);
    }
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TrustProblem::Pem {
            detail: error.to_string(),
        })?;
    match (certificates.is_empty(), labels.is_empty()) {
        (false, _) => Ok(certificates),
        (true, false) => Err(TrustProblem::OtherPemSections { labels }),
        (true, true) => Err(TrustProblem::NoCertificate),
    }
}

/// The certificates of a file, trusted or not.
pub(crate) fn certificates_of_file(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TrustProblem> {
    certificates_in(&read_bounded(path)?)
}

/// Labels of the PEM sections, each once, in order.
fn pem_labels(bytes: &[u8]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let label = line
            .trim_ascii()
            .strip_prefix(b"-----BEGIN ")
            .and_then(|rest| rest.strip_suffix(b"-----"))
            .map(|label| escape_control(&String::from_utf8_lossy(label)).into_owned());
        if let Some(label) = label
            && !labels.contains(&label)
        {
            labels.push(label);
        }
    }
    labels
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, TrustProblem> {
    let unreadable = |error: io::Error| TrustProblem::Unreadable(Arc::new(error));
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(TrustProblem::TooLarge { bytes });
    }
    fs::read(path).map_err(unreadable)
}

fn is_hidden_name(name: &str) -> bool {
    name.starts_with('.')
}
