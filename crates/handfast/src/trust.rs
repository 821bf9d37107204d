//! Trust anchors, from the platform, files, directories and memory.
//!
//! Owns collecting the certificates that the *caller* trusts: authorities, which may issue others, and
//! end-entity certificates, which may not; and reporting those that are neither. `anchor` decides which is
//! which. `verify` verifies a peer's chain.
//!
//! Without this distinction a trusted server certificate could issue certificates for every name: webpki
//! treats every certificate that it is given as an anchor as an issuer.

mod anchor;
mod gather;
mod lookup;
mod platform;
mod problem;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use pki_types::{CertificateDer, TrustAnchor};

pub(crate) use self::anchor::AnchorLimits;
use self::anchor::{Chosen, Entry, Standing};
use self::gather::{Gathered, Given};
use self::lookup::{Chain, Lookup};
pub use self::problem::{
    AnchorProblem, AnchorProblemKind, TrustError, TrustOrigin, TrustProblem, TrustSource,
};
use crate::certificates::{self, Contents, Placed};
use crate::x509;

/// A set of certificates that the caller trusts. Cheap to clone; each `with_*` adds to the set.
///
/// [`platform`](Self::platform)`().with_file(..)` trusts a private authority *as well as* the
/// platform's; [`empty`](Self::empty)`().with_file(..)` trusts it *alone*.
///
/// An added certificate becomes a trust anchor if it is a CA certificate: basic constraints with CA:TRUE. A
/// root without basic constraints (of version 1, or an old one of version 3) is one, too, if it is self-issued
/// and has no property of an end entity: a key usage without `keyCertSign`, or, without key usage, a purpose or
/// the name of a server. This does not apply to the platform's store, whose certificates were not selected for
/// this use. Any other certificate is trusted only as an end-entity certificate: a peer that presents exactly
/// this certificate is accepted, subject to name, validity and purpose; certificates signed with its key are
/// not. A self-signed CA certificate that a server presents as its own, as made by `openssl req -x509`, is
/// accepted in the same way.
///
/// The limits of an anchor's certificate (validity, path length, key usage, extended key usage, name
/// constraints) apply to the certificates below it. Certificates that are not anchors are listed, with the
/// reason, in [`TrustSource::problems`].
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
    /// It is read once, at the first verification or call of [`resolve`](Self::resolve), so that programs that
    /// never verify a peer do not need the time; and as long as every peer is verified, only those certificates are
    /// parsed to which a peer's chain leads. The environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace
    /// it, as they do for OpenSSL; nothing else in this library reads the environment.
    pub fn platform() -> Self {
        Self::new(true)
    }

    /// An empty set: nothing is trusted until certificates are added.
    pub fn empty() -> Self {
        Self::new(false)
    }

    /// Adds the certificates of a file: DER, PEM with any number of them and other text, or a PKCS#7 bundle
    /// (`.p7b`).
    ///
    /// # Errors
    /// If the file cannot be read, holds no certificate, a malformed one or only unusable ones, or has OpenSSL's
    /// `TRUSTED CERTIFICATE` sections.
    pub fn with_file(self, path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let path = path.as_ref();
        let at = |problem| TrustError {
            path: Some(path.to_owned()),
            problem,
        };
        let contents = contents_of_file(path).map_err(at)?;
        self.with_contents(TrustOrigin::File(path.to_owned()), contents)
            .map_err(at)
    }

    /// Adds every certificate found in the files of a directory, such as one prepared by
    /// `openssl rehash`. Files without certificates are skipped, duplicates count once, and files that cannot
    /// be read are listed in [`TrustSource::problems`].
    ///
    /// # Errors
    /// If the directory cannot be read or no file in it holds a usable certificate.
    pub fn with_directory(self, path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let path = path.as_ref();
        let at = |problem| TrustError {
            path: Some(path.to_owned()),
            problem,
        };
        let mut gathered = Gathered::default();
        gathered
            .add_directory(path)
            .map_err(|error| at(TrustProblem::Unreadable(Arc::new(error))))?;
        let sorted = sort_gathered(TrustOrigin::Directory(path.to_owned()), gathered);
        if sorted.entries.is_empty() {
            return Err(at(match sorted.source.problems.is_empty() {
                true => TrustProblem::NoCertificate,
                false => TrustProblem::NoneUsable {
                    problems: sorted.source.problems,
                },
            }));
        }
        Ok(self.with(sorted))
    }

    /// Adds every certificate of a PEM text, or of another format that [`with_file`](Self::with_file) reads.
    ///
    /// # Errors
    /// As [`with_file`](Self::with_file), without a path.
    pub fn with_pem(self, pem: &[u8]) -> Result<Self, TrustError> {
        let at = |problem| TrustError {
            path: None,
            problem,
        };
        self.with_contents(TrustOrigin::Memory, Contents::of(pem))
            .map_err(at)
    }

    /// Adds one certificate.
    ///
    /// # Errors
    /// If it is malformed, or of version 1 and not a root.
    pub fn with_certificate_der(
        self,
        certificate: CertificateDer<'static>,
    ) -> Result<Self, TrustError> {
        let placed = Placed {
            der: certificate,
            line: None,
        };
        self.with_certificates(TrustOrigin::Memory, vec![placed])
            .map_err(|problem| TrustError {
                path: None,
                problem,
            })
    }

    /// Reads the platform's store now, if it is part of this set and was not read before.
    ///
    /// # Errors
    /// If the set is empty: no peer can be verified.
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

    /// The sources and how many certificates each has, in the order added, the platform first. Reads the
    /// platform's store if it was not read before.
    pub fn sources(&self) -> Vec<TrustSource> {
        let platform = self.resolved().platform_source.iter();
        platform.chain(&self.inner.sources).cloned().collect()
    }

    /// The sources that were added, without the platform's store, which is not read.
    pub fn added_sources(&self) -> &[TrustSource] {
        &self.inner.sources
    }

    /// How many authorities are trusted. Reads the platform's store if it was not read before.
    pub fn len(&self) -> usize {
        let resolved = self.resolved();
        resolved
            .anchors
            .len()
            .saturating_add(resolved.only_ours.len())
    }

    /// Whether no authority is trusted. Trusted end-entity certificates do not count.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn resolved(&self) -> &Resolved {
        self.inner.resolved.get_or_init(|| self.inner.resolve())
    }

    /// The trusted certificates that are relevant to this chain, if finding them is faster than reading the whole
    /// platform store. A chain that verifies with them verifies with the whole set, too; but a refusal needs the
    /// whole set ([`resolved`](Self::resolved)).
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
                unfit: Vec::new(),
                sources: Vec::new(),
                lookup: OnceLock::new(),
                resolved: OnceLock::new(),
            }),
        }
    }

    fn with_contents(self, origin: TrustOrigin, contents: Contents) -> Result<Self, TrustProblem> {
        self.with_certificates(origin, only_certificates(contents)?)
    }

    /// Adds certificates that the user named: a malformed one is an error.
    fn with_certificates(
        self,
        origin: TrustOrigin,
        certificates: Vec<Placed>,
    ) -> Result<Self, TrustProblem> {
        let path = match &origin {
            TrustOrigin::File(path) => Some(path.clone()),
            _ => None,
        };
        let sorted = sort_out(origin, Given::all_of(certificates, path.as_deref()));
        let malformed = sorted.source.problems.iter().find_map(|problem| {
            let AnchorProblemKind::Malformed { detail } = &problem.kind else {
                return None;
            };
            Some(TrustProblem::Malformed {
                index: problem.index.unwrap_or_default(),
                line: problem.line,
                detail: detail.clone(),
            })
        });
        match malformed {
            Some(problem) => Err(problem),
            None if sorted.entries.is_empty() => Err(TrustProblem::NoneUsable {
                problems: sorted.source.problems,
            }),
            None => Ok(self.with(sorted)),
        }
    }

    fn with(self, sorted: Sorted) -> Self {
        let old = &self.inner;
        Self {
            inner: Arc::new(Inner {
                with_platform: old.with_platform,
                entries: old.entries.iter().chain(&sorted.entries).cloned().collect(),
                unfit: old.unfit.iter().chain(&sorted.unfit).cloned().collect(),
                sources: old.sources.iter().cloned().chain([sorted.source]).collect(),
                lookup: OnceLock::new(),
                resolved: OnceLock::new(),
            }),
        }
    }
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Printing must not read the platform's store.
        f.debug_struct("TrustAnchors")
            .field("platform", &self.inner.with_platform)
            .field("sources", &self.inner.sources)
            .finish_non_exhaustive()
    }
}

/// The set in the form that verification needs.
#[derive(Default)]
pub(crate) struct Resolved {
    /// Authorities, in webpki's form.
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    /// For each of `anchors`, its certificate and its limits.
    pub(crate) limits: Vec<Arc<AnchorLimits>>,
    /// Authorities that webpki cannot parse: only our own validation can use them as anchors.
    pub(crate) only_ours: Vec<Arc<AnchorLimits>>,
    /// Every trusted certificate, to compare with a peer's own certificate.
    pub(crate) certificates: HashSet<CertificateDer<'static>>,
    /// Trusted certificates that cannot be anchors: to explain a refusal.
    pub(crate) unfit: Vec<Arc<Unfit>>,
    platform_source: Option<TrustSource>,
}

/// A trusted certificate that cannot be an anchor.
pub(crate) struct Unfit {
    /// The certificate, if any.
    pub(crate) der: Option<CertificateDer<'static>>,
    pub(crate) problem: AnchorProblem,
}

struct Inner {
    with_platform: bool,
    entries: Vec<Arc<Entry>>,
    unfit: Vec<Arc<Unfit>>,
    sources: Vec<TrustSource>,
    lookup: OnceLock<Option<Lookup>>,
    resolved: OnceLock<Resolved>,
}

impl Inner {
    fn resolve(&self) -> Resolved {
        let mut resolved = Resolved::default();
        if self.with_platform {
            let sorted = sort_gathered(TrustOrigin::Platform, platform::read());
            resolved.platform_source = Some(sorted.source);
            resolved.unfit = sorted.unfit;
            for entry in sorted.entries {
                resolved.add(&entry);
            }
        }
        for entry in &self.entries {
            resolved.add(entry);
        }
        resolved.unfit.extend(self.unfit.iter().cloned());
        resolved
    }
}

impl Resolved {
    /// The same certificate may be added more than once, and be an anchor in only one source.
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

/// The certificates of one source, classified.
struct Sorted {
    entries: Vec<Arc<Entry>>,
    unfit: Vec<Arc<Unfit>>,
    source: TrustSource,
}

impl Sorted {
    fn add_unfit(&mut self, der: Option<CertificateDer<'static>>, problem: AnchorProblem) {
        self.source.problems.push(problem.clone());
        self.unfit.push(Arc::new(Unfit { der, problem }));
    }
}

/// Classifies the certificates of many files, and lists the files that could not be read.
fn sort_gathered(origin: TrustOrigin, gathered: Gathered) -> Sorted {
    let mut sorted = sort_out(origin, gathered.given);
    for given in gathered.unfit {
        let subject = x509::subject_of(&given.placed.der);
        let problem = given.problem(subject, AnchorProblemKind::OpensslTrustedCertificate);
        sorted.add_unfit(Some(given.placed.der), problem);
    }
    for problem in gathered.problems {
        sorted.add_unfit(None, problem);
    }
    sorted
}

/// Classifies certificates as authorities or end entities, with the reason for the latter.
fn sort_out(origin: TrustOrigin, certificates: Vec<Given>) -> Sorted {
    let chosen = match origin {
        TrustOrigin::Platform => Chosen::InStore,
        _ => Chosen::ByName,
    };
    let mut sorted = Sorted {
        entries: Vec::with_capacity(certificates.len()),
        unfit: Vec::new(),
        source: TrustSource::empty(origin),
    };
    let mut seen = HashSet::new();
    for given in certificates {
        if !seen.insert(given.placed.der.clone()) {
            continue;
        }
        let (subject, kind) = match anchor::read(given.placed.der.clone(), chosen) {
            Ok(entry) => {
                let problem = entry.problem();
                sorted.entries.push(Arc::new(entry));
                let Some(problem) = problem else {
                    sorted.source.authorities += 1;
                    continue;
                };
                sorted.source.end_entities += 1;
                problem
            }
            Err(problem) => problem,
        };
        let problem = given.problem(subject, kind);
        sorted.add_unfit(Some(given.placed.der), problem);
    }
    sorted
}

/// The contents of one file.
pub(crate) fn contents_of_file(path: &Path) -> Result<Contents, TrustProblem> {
    match certificates::read_file(path) {
        Ok(Ok(bytes)) if bytes.iter().all(u8::is_ascii_whitespace) => Err(TrustProblem::Empty),
        Ok(Ok(bytes)) => Ok(Contents::of(&bytes)),
        Ok(Err(bytes)) => Err(TrustProblem::TooLarge { bytes }),
        Err(error) => Err(TrustProblem::Unreadable(Arc::new(error))),
    }
}

/// The certificates of contents without malformed ones.
pub(crate) fn only_certificates(contents: Contents) -> Result<Vec<Placed>, TrustProblem> {
    if let Some(broken) = contents.broken.into_iter().next() {
        let (line, detail) = (broken.line, broken.detail);
        return Err(TrustProblem::Pem { line, detail });
    }
    if !contents.openssl_trusted.is_empty() {
        return Err(TrustProblem::OpensslTrustedCertificate);
    }
    if contents.trailing > 0 && !contents.certificates.is_empty() {
        return Err(TrustProblem::Malformed {
            index: contents.certificates.len().saturating_sub(1),
            line: None,
            detail: format!("it has {} trailing bytes", contents.trailing),
        });
    }
    match (contents.certificates.is_empty(), contents.others.is_empty()) {
        (false, _) => Ok(contents.certificates),
        (true, false) => Err(TrustProblem::OtherPemSections {
            labels: contents.others,
        }),
        (true, true) => Err(TrustProblem::NoCertificate),
    }
}
