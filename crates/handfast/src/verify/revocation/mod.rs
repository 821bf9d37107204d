//! Certificate revocation lists (RFC 5280, 5 and 6.3) and how strictly they are applied.
//!
//! Owns the lists and the rules. Lists come from the caller; fetching them is not done: a verification
//! reaches for nothing on the network. What a server staples is for `ocsp`.
//!
//! ```text
//!   file ---> list.rs: one list, read and made findable
//!                |  scope.rs: which certificates it is about
//!   path ---> check.rs: which lists count for each certificate, and what they say
//!                |
//!             good, or a cause with the list in short (summary.rs)
//! ```

mod check;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod list;
mod problem;
mod scope;
mod single;
mod summary;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use pki_types::{CertificateRevocationListDer, UnixTime};

pub(super) use self::check::Signer;
#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzzing::check_list;
use self::list::List;
pub(super) use self::list::{reason_name, same_number};
pub use self::problem::{CrlError, CrlProblem};
pub use self::summary::{CrlFault, CrlSummary, Uncounted, UncountedCrl};
use crate::der::{Element, SEQUENCE};
use crate::{pem, x500, x509};

/// A few of the largest lists, as PEM.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Revocation lists and the rules for using them. Cheap to clone.
///
/// As soon as there is one list, a certificate that no list covers is refused, and so is a list whose
/// successor is overdue; both can be relaxed. Without any list nothing is checked.
///
/// A list covers a certificate when it was issued by the certificate's issuer, or by the issuer that the
/// certificate's distribution points name; signed by a key of that issuer's on the verified path, or by
/// one that an authority of the path certified for signing lists; issued not later than now; and its
/// issuing distribution point fits (RFC 5280, 6.3.3). Of several lists of one scope the newest counts, by
/// time of issue and number, with the newest delta list to it; but what any of them revokes is revoked,
/// unless it was only on hold. Lists of version 1 have no extensions and are about all certificates of
/// their issuer. A list that does not say when the next is due counts for seven days.
///
/// A list takes as much memory as its DER, and four bytes for each entry. One with a million entries
/// (42 MB of DER) is read in 0.6 s and looked up in microseconds; its signature is checked once for each
/// key, which takes 0.05 s.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    lists: Vec<Arc<List>>,
    scope: RevocationScope,
    unknown: UnknownStatus,
    expired: ExpiredLists,
    /// Lists with rules of their own.
    also: Option<Arc<Self>>,
}

/// What becomes of a certificate that no list covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnknownStatus {
    Refuse,
    Accept,
}

/// Whether a list still counts when the next was due (RFC 5280, 5.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiredLists {
    /// It does not ("hard"): what it covers is refused.
    #[default]
    Refuse,
    /// It does ("soft"): what it revokes is refused, and nothing else. Revocations that are newer than
    /// the list are missed.
    Accept,
}

impl RevocationLists {
    /// No list: nothing is checked.
    pub fn none() -> Self {
        Self {
            lists: Vec::new(),
            scope: RevocationScope::Chain,
            unknown: UnknownStatus::Refuse,
            expired: ExpiredLists::Refuse,
            also: None,
        }
    }

    /// Adds the lists of a file: PEM with any number of them and text around, or DER.
    ///
    /// # Errors
    /// When the file cannot be read or holds no revocation list that can be used.
    pub fn with_file(self, path: impl AsRef<Path>) -> Result<Self, CrlError> {
        let path = path.as_ref();
        let at = |problem| CrlError {
            path: Some(path.to_owned()),
            problem,
        };
        let bytes =
            read_bounded(path).map_err(|error| at(CrlProblem::Unreadable(Arc::new(error))))?;
        let ders = lists_in(&bytes).map_err(at)?;
        self.with_all(ders, Some(path)).map_err(at)
    }

    /// Adds the lists of a PEM text (`X509 CRL`).
    ///
    /// # Errors
    /// When it holds no revocation list that can be used.
    pub fn with_pem(self, pem: &[u8]) -> Result<Self, CrlError> {
        let at = |problem| CrlError {
            path: None,
            problem,
        };
        lists_in(pem)
            .and_then(|ders| self.with_all(ders, None))
            .map_err(at)
    }

    /// Adds one list.
    ///
    /// # Errors
    /// When it cannot be read, is signed with an algorithm that is not supported, or has a critical
    /// extension that is not (RFC 5280, 5.2 and 5.3).
    pub fn with_der(self, der: CertificateRevocationListDer<'_>) -> Result<Self, CrlError> {
        self.with_all(vec![der.to_vec()], None)
            .map_err(|problem| CrlError {
                path: None,
                problem,
            })
    }

    /// Which certificates must not be revoked. Default: the whole chain.
    #[must_use]
    pub fn checking(mut self, scope: RevocationScope) -> Self {
        self.scope = scope;
        self
    }

    /// Lets certificates pass that no list covers. Default: they are refused.
    #[must_use]
    pub fn allowing_unknown(mut self) -> Self {
        self.unknown = UnknownStatus::Accept;
        self
    }

    /// Believes a list whose successor is overdue. Default: it is refused.
    #[must_use]
    pub fn allowing_expired(self) -> Self {
        self.with_expired(ExpiredLists::Accept)
    }

    /// Whether a list counts whose successor is overdue. Default: [`ExpiredLists::Refuse`].
    #[must_use]
    pub fn with_expired(mut self, expired: ExpiredLists) -> Self {
        self.expired = expired;
        self
    }

    /// Adds the lists of `other`, to be used by the rules of these.
    #[must_use]
    pub fn with_lists_of(mut self, other: &Self) -> Self {
        self.lists.extend(other.lists.iter().cloned());
        self
    }

    /// Looks certificates up in `other` as well, by the rules that `other` has: a certificate has to pass
    /// both. Lists whose coverage is not required, such as that of one's own authority, are given like this,
    /// with [`allowing_unknown`](Self::allowing_unknown).
    #[must_use]
    pub fn and_also(mut self, other: Self) -> Self {
        self.also = (!other.is_empty()).then(|| Arc::new(other));
        self
    }

    /// The lists that were [`and_also`](Self::and_also) given.
    pub fn also(&self) -> Option<&Self> {
        self.also.as_deref()
    }

    /// How many lists there are, without those [`and_also`](Self::and_also) given.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is none, so that nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.also.is_none()
    }

    /// Each list in short, in the order in which they were given.
    pub fn summaries(&self) -> impl Iterator<Item = &CrlSummary> {
        self.lists.iter().map(|list| &*list.summary)
    }

    /// The first time after `now`, in unix seconds, at which a list stops to count, or begins to: what
    /// was verified may have to be refused then.
    pub(super) fn changes_at(&self, now: UnixTime) -> Option<u64> {
        let ends = self.lists.iter().map(|list| list.next_update);
        let ends = ends.filter(|_| self.expired == ExpiredLists::Refuse);
        let begins = self.lists.iter().map(|list| check::counts_from(list));
        let times = ends
            .chain(begins)
            .filter_map(|time| u64::try_from(time).ok());
        times.filter(|time| *time >= now.as_secs()).min()
    }

    /// Stands for the lists and the rules: others have another fingerprint.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let rules = format!("{:?} {:?} {:?}", self.scope, self.unknown, self.expired);
        let mut lists: Vec<[u8; 32]> = self.lists.iter().map(|list| list.sha256).collect();
        lists.sort_unstable();
        if let Some(also) = &self.also {
            lists.push(also.fingerprint());
        }
        x509::sha256(&[rules.as_bytes(), lists.as_flattened()].concat())
    }

    fn with_all(self, ders: Vec<Vec<u8>>, file: Option<&Path>) -> Result<Self, CrlProblem> {
        if ders.is_empty() {
            return Err(CrlProblem::NoList);
        }
        let mut lists = self.lists;
        for (index, der) in ders.into_iter().enumerate() {
            let list =
                List::read(der, file).map_err(|detail| CrlProblem::Unusable { index, detail })?;
            lists.push(Arc::new(list));
        }
        Ok(Self { lists, ..self })
    }
}

/// How much of a chain is looked up in revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationScope {
    /// The peer's own certificate.
    EndEntity,
    /// The peer's own certificate and every intermediate.
    Chain,
}

/// A file of lists, if it is not too large to be one.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {FILE_BYTES_MAX} bytes"),
        )),
        false => Ok(bytes),
    }
}

/// The lists of PEM, or of DER.
fn lists_in(bytes: &[u8]) -> Result<Vec<Vec<u8>>, CrlProblem> {
    let mut lists = Vec::new();
    let mut rest = bytes;
    while let Some((element, after)) = Element::first(rest).filter(|(one, _)| one.tag == SEQUENCE) {
        lists.push(element.raw.to_vec());
        rest = after;
    }
    // Some programs write a line end behind it.
    if !lists.is_empty() && rest.trim_ascii().is_empty() {
        return Ok(lists);
    }
    lists.clear();
    let sections = pem::sections(bytes);
    if sections.is_empty() {
        let detail = pem::near_miss(bytes).map(|found| format!("it is {found}"));
        return Err(detail.map_or(CrlProblem::NoList, |detail| CrlProblem::Pem { detail }));
    }
    for section in sections {
        let section = section.map_err(|broken| CrlProblem::Pem {
            detail: broken.to_string(),
        })?;
        if matches!(section.label.as_str(), "X509 CRL" | "CRL") {
            lists.push(section.body.to_vec());
        }
    }
    Ok(lists)
}

/// Whether two names (DER, with their SEQUENCE) are the same (RFC 5280, 7.1).
fn same_name(one: &[u8], other: &[u8]) -> bool {
    x500::equal(one, other)
}
