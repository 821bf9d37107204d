//! Certificate revocation lists (RFC 5280, 5) and how strictly they are applied (A26).
//!
//! Lists come from the caller and are checked against the issuer's key each time one is used. Fetching
//! them is not done: a verification reaches for nothing on the network. What a server staples is for
//! `ocsp`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use pki_types::CertificateRevocationListDer;
use pki_types::pem::PemObject;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::x509;

/// Revocation lists and the rules for using them. Cheap to clone.
///
/// As soon as there is one list, a certificate that no list covers is refused, and so is a list whose
/// successor is overdue; both can be relaxed. Without any list nothing is checked.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    lists: Vec<Arc<List>>,
    scope: RevocationScope,
    unknown: UnknownStatusPolicy,
    expired: ExpirationPolicy,
}

impl RevocationLists {
    /// No list: nothing is checked.
    pub fn none() -> Self {
        Self {
            lists: Vec::new(),
            scope: RevocationScope::Chain,
            unknown: UnknownStatusPolicy::Deny,
            expired: ExpirationPolicy::Enforce,
        }
    }

    /// Adds the lists of a file: PEM with any number of them, or DER with one.
    ///
    /// # Errors
    /// When the file cannot be read or holds no revocation list that can be used.
    pub fn with_file(self, path: impl AsRef<Path>) -> Result<Self, CrlError> {
        let path = path.as_ref();
        let at = |problem| CrlError {
            path: Some(path.to_owned()),
            problem,
        };
        let bytes = fs::read(path).map_err(|error| at(CrlProblem::Unreadable(Arc::new(error))))?;
        let ders = if bytes.trim_ascii_start().starts_with(&[0x30]) {
            vec![CertificateRevocationListDer::from(bytes)]
        } else {
            from_pem(&bytes).map_err(at)?
        };
        self.with_all(ders).map_err(at)
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
        from_pem(pem)
            .and_then(|ders| self.with_all(ders))
            .map_err(at)
    }

    /// Adds one list.
    ///
    /// # Errors
    /// When it cannot be used: not version 2, without next update, a delta or an indirect list.
    pub fn with_der(self, der: CertificateRevocationListDer<'_>) -> Result<Self, CrlError> {
        self.with_all(vec![der]).map_err(|problem| CrlError {
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
        self.unknown = UnknownStatusPolicy::Allow;
        self
    }

    /// Believes a list whose successor is overdue. Default: it is refused.
    #[must_use]
    pub fn allowing_expired(mut self) -> Self {
        self.expired = ExpirationPolicy::Ignore;
        self
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is none, so that nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    pub(super) fn as_webpki(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().map(|list| &list.parsed).collect()
    }

    /// Stands for the lists and the rules: others have another fingerprint.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut text = format!("{:?} {:?} {:?}", self.scope, self.unknown, self.expired);
        for list in &self.lists {
            text.push_str(&format!(
                " {} {}",
                x509::hex(&list.issuer),
                list.next_update
            ));
            for serial in &list.serials {
                text.push(' ');
                text.push_str(&x509::hex(serial));
            }
        }
        x509::sha256(text.as_bytes())
    }

    pub(super) fn options<'a>(
        &self,
        lists: &'a [&'a CertRevocationList<'static>],
    ) -> Option<RevocationOptions<'a>> {
        let depth = match self.scope {
            RevocationScope::EndEntity => RevocationCheckDepth::EndEntity,
            RevocationScope::Chain => RevocationCheckDepth::Chain,
        };
        let builder = RevocationOptionsBuilder::new(lists).ok()?;
        Some(
            builder
                .with_depth(depth)
                .with_status_policy(self.unknown)
                .with_expiration_policy(self.expired)
                .build(),
        )
    }

    /// Whether a list of `issuer` (DER name) names `serial`; the signature is not looked at.
    pub(super) fn names(&self, issuer: &[u8], serial: &[u8]) -> bool {
        self.of_issuer(issuer)
            .any(|list| list.serials.iter().any(|listed| listed == serial))
    }

    /// Whether there is a list of `issuer` (DER name).
    pub(super) fn covers(&self, issuer: &[u8]) -> bool {
        self.of_issuer(issuer).next().is_some()
    }

    /// The name, escaped, of the issuer whose list was due to be replaced at `next_update`.
    pub(super) fn issuer_of_expired(&self, next_update: i64) -> Option<String> {
        let list = self
            .lists
            .iter()
            .find(|list| list.next_update == next_update)?;
        Some(list.issuer_text.clone())
    }

    fn of_issuer<'a>(&'a self, issuer: &'a [u8]) -> impl Iterator<Item = &'a List> {
        self.lists
            .iter()
            .map(Arc::as_ref)
            .filter(move |list| list.issuer == issuer)
    }

    fn with_all(self, ders: Vec<CertificateRevocationListDer<'_>>) -> Result<Self, CrlProblem> {
        if ders.is_empty() {
            return Err(CrlProblem::NoList);
        }
        let mut lists = self.lists;
        for (index, der) in ders.iter().enumerate() {
            let list = List::read(der).map_err(|detail| CrlProblem::Unusable { index, detail })?;
            lists.push(Arc::new(list));
        }
        // Of several lists of one issuer webpki takes the first: let that be the newest.
        lists.sort_by_key(|list| std::cmp::Reverse(list.next_update));
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

/// A revocation list could not be taken in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CrlError {
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// What was wrong with it.
    pub problem: CrlProblem,
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "cannot use the revocation lists of {}", path.display()),
            None => f.write_str("cannot use the given revocation lists"),
        }
    }
}

impl std::error::Error for CrlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// What was wrong with a revocation list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CrlProblem {
    /// The operating system would not give the bytes.
    Unreadable(Arc<io::Error>),
    /// PEM that cannot be decoded.
    Pem {
        /// What the decoder stumbled over.
        detail: String,
    },
    /// No `X509 CRL` in it.
    NoList,
    /// A list of a kind that cannot be used.
    Unusable {
        /// Its position in the file, from 0.
        index: usize,
        /// Why not.
        detail: String,
    },
}

impl CrlProblem {
    /// A stable identifier: part of the interface, for scripts and documentation.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "crl-file-unreadable",
            Self::Pem { .. } => "crl-file-malformed",
            Self::NoList => "crl-file-without-list",
            Self::Unusable { .. } => "crl-file-unusable",
        }
    }
}

impl fmt::Display for CrlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => f.write_str("it cannot be read"),
            Self::Pem { detail } => write!(f, "its PEM cannot be decoded: {detail}"),
            Self::NoList => f.write_str("it holds no revocation list, neither PEM nor DER"),
            Self::Unusable { index, detail } => {
                write!(
                    f,
                    "list {} in it cannot be used: {detail}",
                    index.saturating_add(1)
                )
            }
        }
    }
}

impl std::error::Error for CrlProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(&**error),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct List {
    parsed: CertRevocationList<'static>,
    /// DER name, with its SEQUENCE.
    issuer: Vec<u8>,
    issuer_text: String,
    serials: Vec<Vec<u8>>,
    next_update: i64,
}

impl List {
    fn read(der: &[u8]) -> Result<Self, String> {
        let parsed = OwnedCertRevocationList::from_der(der).map_err(|error| error.to_string())?;
        let (_, outline) = CertificateRevocationList::from_der(der)
            .map_err(|error| x509::escape_control(&error.to_string()).into_owned())?;
        let next_update = outline
            .next_update()
            .map_or(i64::MAX, |time| time.timestamp());
        Ok(Self {
            parsed: parsed.into(),
            issuer: outline.issuer().as_raw().to_vec(),
            issuer_text: x509::describe_name(outline.issuer()),
            serials: outline
                .iter_revoked_certificates()
                .map(|revoked| revoked.raw_serial().to_vec())
                .collect(),
            next_update,
        })
    }
}

fn from_pem(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, CrlProblem> {
    CertificateRevocationListDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CrlProblem::Pem {
            detail: error.to_string(),
        })
}
