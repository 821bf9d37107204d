//! The lists that a caller gives, and the rules for using them.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use pki_types::{CertificateRevocationListDer, UnixTime};

use super::list::List;
use super::problem::{CrlError, CrlProblem};
use super::summary::CrlSummary;
use crate::der::{Element, SEQUENCE};
use crate::{pem, x509};

/// Enough for several of the largest lists, as PEM.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Revocation lists and the rules for using them. Cheap to clone.
///
/// If there is at least one list, a certificate that no list covers is refused, and so is an out-of-date
/// list; both can be relaxed. Without any list nothing is checked.
///
/// A list covers a certificate if it was issued by the certificate's issuer, or by the issuer in the
/// certificate's distribution points; it was signed by a key of that issuer on the verified path, or by
/// one that an authority of the path certified for signing lists; its thisUpdate is not in the future; and
/// its issuing distribution point matches (RFC 5280, 6.3.3). Of several lists of one scope the newest
/// applies, by time of issue and number, with its newest delta list; but a certificate that any of them
/// revokes is revoked, unless it was only on hold. Lists of version 1 have no extensions and cover all
/// certificates of their issuer. A list without nextUpdate is valid for seven days.
///
/// A list takes as much memory as its DER, and four bytes for each entry. One with a million entries
/// (42 MB of DER) is parsed in 0.6 s and searched in microseconds; its signature is checked once for each
/// key, which takes 0.05 s.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    pub(super) lists: Vec<Arc<List>>,
    pub(super) scope: RevocationScope,
    pub(super) unknown: UnknownStatus,
    pub(super) expired: ExpiredLists,
    /// Further lists with their own rules.
    pub(super) also: Option<Arc<Self>>,
}

/// How a certificate is treated that no list covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnknownStatus {
    Refuse,
    Accept,
}

/// How an out-of-date list is treated, one whose nextUpdate has passed (RFC 5280, 5.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiredLists {
    /// Certificates that it covers are refused ("hard").
    #[default]
    Refuse,
    /// Only certificates that it revokes are refused ("soft"). Revocations that are newer than the list are
    /// missed.
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

    /// Adds the lists of a file: DER, or PEM with any number of lists and other text.
    ///
    /// # Errors
    /// If the file cannot be read or holds no usable revocation list.
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
    /// If it holds no usable revocation list.
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
    /// If it is malformed, is signed with an unsupported algorithm, or has an unsupported critical
    /// extension (RFC 5280, 5.2 and 5.3).
    pub fn with_der(self, der: CertificateRevocationListDer<'_>) -> Result<Self, CrlError> {
        self.with_all(vec![der.to_vec()], None)
            .map_err(|problem| CrlError {
                path: None,
                problem,
            })
    }

    /// Which certificates are checked. Default: the whole chain.
    #[must_use]
    pub fn checking(mut self, scope: RevocationScope) -> Self {
        self.scope = scope;
        self
    }

    /// Accepts certificates that no list covers. Default: they are refused.
    #[must_use]
    pub fn allowing_unknown(mut self) -> Self {
        self.unknown = UnknownStatus::Accept;
        self
    }

    /// Accepts out-of-date lists. Default: they are refused.
    #[must_use]
    pub fn allowing_expired(self) -> Self {
        self.with_expired(ExpiredLists::Accept)
    }

    /// How out-of-date lists are treated. Default: [`ExpiredLists::Refuse`].
    #[must_use]
    pub fn with_expired(mut self, expired: ExpiredLists) -> Self {
        self.expired = expired;
        self
    }

    /// Adds the lists of `other`, with the rules of `self`. Those that `other` got by [`and_also`](Self::and_also) keep
    /// their own rules.
    #[must_use]
    pub fn with_lists_of(mut self, other: &Self) -> Self {
        self.lists.extend(other.lists.iter().cloned());
        match other.also() {
            Some(also) => self.and_also(also.clone()),
            None => self,
        }
    }

    /// Checks certificates also against `other`, with the rules of `other`: a certificate has to pass
    /// both. May be called repeatedly: a certificate has to pass all of them. Use it, with
    /// [`allowing_unknown`](Self::allowing_unknown), for lists that need not cover every certificate, such as that of a
    /// local authority.
    #[must_use]
    pub fn and_also(mut self, other: Self) -> Self {
        if other.is_empty() {
            return self;
        }
        let all = match self.also.take() {
            Some(earlier) => Arc::unwrap_or_clone(earlier).and_also(other),
            None => other,
        };
        self.also = Some(Arc::new(all));
        self
    }

    /// The lists added first by [`and_also`](Self::and_also); their `also` are those added next.
    pub fn also(&self) -> Option<&Self> {
        self.also.as_deref()
    }

    /// The number of lists, without those added by [`and_also`](Self::and_also).
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there are none, so that nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.also.is_none()
    }

    /// A summary of each list, in the order in which they were added.
    pub fn summaries(&self) -> impl Iterator<Item = &CrlSummary> {
        self.lists.iter().map(|list| &*list.summary)
    }

    /// The first time after `now`, in unix seconds, at which a list expires or becomes valid: the verdict may
    /// change then.
    pub(in crate::verify) fn changes_at(&self, now: UnixTime) -> Option<u64> {
        let ends = self.lists.iter().map(|list| list.next_update);
        let ends = ends.filter(|_| self.expired == ExpiredLists::Refuse);
        let begins = self.lists.iter().map(|list| list.valid_from());
        let times = ends
            .chain(begins)
            .filter_map(|time| u64::try_from(time).ok());
        let own = times.filter(|time| *time >= now.as_secs());
        let also = self.also().and_then(|also| also.changes_at(now));
        own.chain(also).min()
    }

    /// A fingerprint of the lists and the rules.
    pub(in crate::verify) fn fingerprint(&self) -> [u8; 32] {
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

/// Which certificates of a chain are checked against revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationScope {
    /// The peer's own certificate.
    EndEntity,
    /// The peer's own certificate and every intermediate.
    Chain,
}

/// Reads a file of lists up to a limit.
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
    // Some programs append a line end.
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
