//! Parsing one revocation list (RFC 5280, section 5).
//!
//! Owns parsing, the index of serial numbers, and checking its signature. A list keeps its DER, since
//! its signature can be checked only when its issuer is known, and an index with four bytes for each
//! entry: the entry's position, in the order of the serial numbers.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pki_types::SubjectPublicKeyInfoDer;
use webpki::RawPublicKeyEntity;

use super::scope::{self, Scope};
use super::summary::CrlSummary;
use crate::der::{
    BIT_STRING, BOOLEAN, CONTEXT_0, ENUMERATED, Element, GENERALIZED_TIME, INTEGER,
    OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, UTC_TIME,
};
use crate::hex;
use crate::verify::keys::signature_algorithms;
use crate::{x500, x509};

/// The largest lists in use have some 50 MiB.
pub(super) const BYTES_MAX: usize = 256 * 1024 * 1024;
/// How far the clocks of an authority and of this machine may differ, as for OCSP responders. A list that was
/// issued later than this is ignored.
const CLOCK_SKEW_SECS: i64 = 300;
/// How long a list without nextUpdate is valid. RFC 5280, 5.1.2.5, requires nextUpdate; the CA/Browser Forum
/// requires a new list after at most seven days.
const LIFE_WITHOUT_NEXT_UPDATE_SECS: i64 = 7 * 24 * 60 * 60;
/// A list is checked with the keys of a path, and there are few paths: the results are cached for this many
/// keys.
const KEYS_CACHED_MAX: usize = 16;

/// id-ce, 2.5.29: the extensions of lists and of their entries, by their last number.
const ID_CE: [u8; 2] = [0x55, 0x1d];
const CRL_NUMBER: u8 = 20;
const REASON_CODE: u8 = 21;
const HOLD_INSTRUCTION: u8 = 23;
const INVALIDITY_DATE: u8 = 24;
const DELTA_CRL_INDICATOR: u8 = 27;
const ISSUING_DISTRIBUTION_POINT: u8 = 28;
const CERTIFICATE_ISSUER: u8 = 29;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;

/// A parsed list. Whether it applies depends on its signature and the time.
pub(super) struct List {
    der: Vec<u8>,
    /// The signed part.
    body: Range<usize>,
    /// AlgorithmIdentifier without its SEQUENCE.
    algorithm: Range<usize>,
    signature: Range<usize>,
    /// DER name, with its SEQUENCE.
    pub(super) issuer: Vec<u8>,
    pub(super) this_update: i64,
    /// When it expires.
    pub(super) next_update: i64,
    pub(super) number: Option<Number>,
    /// For a delta list: the number of its base list.
    pub(super) base: Option<Number>,
    pub(super) scope: Scope,
    key_id: Option<Vec<u8>>,
    /// The position of each entry, in the order of the serial numbers.
    entries: Vec<u32>,
    /// For an indirect list: positions from which on entries are for certificates of another issuer.
    issuers: Vec<(u32, Vec<u8>)>,
    pub(super) summary: Arc<CrlSummary>,
    /// The hash of the whole list.
    pub(super) sha256: [u8; 32],
    /// For hashes of keys: whether the key made the signature.
    known_keys: Mutex<Vec<([u8; 32], bool)>>,
}

/// Without the entries, of which there may be a million.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary.fmt(f)
    }
}

/// The entry for a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) at: i64,
    pub(super) reason: Reason,
}

/// CRLReason (RFC 5280, 5.3.1), as far as it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// On hold.
    Hold,
    /// removeFromCRL: the end of a hold.
    Removed,
    /// Permanent. The name, if a reason is given.
    Other(Option<&'static str>),
}

impl Reason {
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Hold => Some("certificateHold"),
            Self::Removed => Some("removeFromCRL"),
            Self::Other(name) => name,
        }
    }

    fn read(code: &[u8]) -> Self {
        match code {
            [6] => Self::Hold,
            [8] => Self::Removed,
            other => Self::Other(reason_name(other)),
        }
    }
}

/// The name of a CRLReason (RFC 5280, 5.3.1), from the content of its ENUMERATED.
pub(in crate::verify) fn reason_name(code: &[u8]) -> Option<&'static str> {
    Some(match code {
        [0] => "unspecified",
        [1] => "keyCompromise",
        [2] => "cACompromise",
        [3] => "affiliationChanged",
        [4] => "superseded",
        [5] => "cessationOfOperation",
        [6] => "certificateHold",
        [8] => "removeFromCRL",
        [9] => "privilegeWithdrawn",
        [10] => "aACompromise",
        _ => return None,
    })
}

/// The result of checking a signature with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// The key made it.
    Valid,
    /// Another key made it.
    OtherKey,
    /// The list has the key's identifier, but the key did not make the signature.
    Invalid,
}

impl List {
    /// When it becomes valid.
    pub(super) fn valid_from(&self) -> i64 {
        self.this_update.saturating_sub(CLOCK_SKEW_SECS)
    }

    pub(super) fn read(whole: Vec<u8>, file: Option<&Path>) -> Result<Self, String> {
        let der = whole.as_slice();
        let malformed = |what: &str| format!("its {what} cannot be read");
        if der.len() > BYTES_MAX {
            return Err(format!("it is larger than {BYTES_MAX} bytes"));
        }
        let mut outer = Element::only_of(der, SEQUENCE)
            .ok_or_else(|| malformed("DER"))?
            .reader();
        let body = outer.take(SEQUENCE).ok_or_else(|| malformed("DER"))?;
        let algorithm = outer.take(SEQUENCE);
        let algorithm = algorithm.ok_or_else(|| malformed("signature algorithm"))?;
        let signature = outer.take(BIT_STRING).and_then(Element::bits);
        let signature = signature
            .filter(|_| outer.is_done())
            .ok_or_else(|| malformed("signature"))?;
        let mut fields = body.reader();
        let is_version_2 = match fields.take(INTEGER).map(|version| version.content) {
            None => false,
            Some([1]) => true,
            Some(_) => return Err("its version is neither 1 nor 2".to_owned()),
        };
        let inner = fields.take(SEQUENCE).map(|inner| inner.content);
        if inner != Some(algorithm.content) {
            return Err("its two signature algorithms differ".to_owned());
        }
        check_algorithm(algorithm)?;
        let issuer = fields.take(SEQUENCE).filter(is_name);
        let issuer = issuer.ok_or_else(|| malformed("issuer"))?.raw;
        const TIMES: [u8; 2] = [UTC_TIME, GENERALIZED_TIME];
        let this_update = fields.take_any(&TIMES).and_then(Element::any_time);
        let this_update = this_update.ok_or_else(|| malformed("time of issue"))?;
        let next_update = match fields.take_any(&TIMES) {
            Some(time) => Some(time.any_time().ok_or_else(|| malformed("next update"))?),
            None => None,
        };
        let revoked = fields.take(SEQUENCE);
        let mut extensions = Extensions::default();
        if let Some(list) = fields.take_wrapped(CONTEXT_0, SEQUENCE) {
            if !is_version_2 {
                return Err("it is of version 1 and has extensions".to_owned());
            }
            extensions = Extensions::read(list, issuer)?;
        }
        if !fields.is_done() {
            return Err("it has fields that are not in RFC 5280".to_owned());
        }
        let mut index = Index::default();
        if let Some(revoked) = revoked {
            index.read(der, revoked, is_version_2, extensions.scope.is_indirect)?;
        }
        let within = |part: &[u8]| within(der, part);
        let summary = Arc::new(CrlSummary {
            issuer: x509::describe_name_der(issuer),
            this_update,
            next_update,
            number: extensions.number.as_ref().map(Number::to_string),
            delta_of: extensions.base.as_ref().map(Number::to_string),
            scope: extensions.scope.to_string(),
            entries: index.entries.len(),
            file: file.map(Path::to_owned),
        });
        let issuer = issuer.to_vec();
        Ok(Self {
            body: within(body.raw),
            algorithm: within(algorithm.content),
            signature: within(signature),
            issuer,
            this_update,
            next_update: next_update
                .unwrap_or_else(|| this_update.saturating_add(LIFE_WITHOUT_NEXT_UPDATE_SECS)),
            number: extensions.number,
            base: extensions.base,
            scope: extensions.scope,
            key_id: extensions.key_id,
            entries: index.entries,
            issuers: index.issuers,
            summary,
            sha256: x509::sha256(der),
            known_keys: Mutex::default(),
            der: whole,
        })
    }

    /// The entry for the certificate of `issuer` (DER name) with this serial number: the worst, if there are
    /// several.
    pub(super) fn entry(&self, issuer: &[u8], serial: &[u8]) -> Option<Entry> {
        let serial = value(serial);
        let start = self
            .entries
            .partition_point(|at| compare(serial_at(&self.der, *at), serial) == Ordering::Less);
        let found = self.entries.get(start..)?.iter();
        found
            .take_while(|at| serial_at(&self.der, **at) == serial)
            .filter(|at| x500::equal(self.issuer_at(**at), issuer))
            .map(|at| entry_at(&self.der, *at))
            .min_by_key(|entry| match entry.reason {
                Reason::Other(_) => 0,
                Reason::Hold => 1,
                Reason::Removed => 2,
            })
    }

    /// Treats a key as the one that signed it; returns every entry's issuer and serial number.
    #[cfg(any(test, fuzzing))]
    pub(super) fn pretend_signed_by(&self, key: &[u8]) -> Vec<(&[u8], &[u8])> {
        let mut known = self
            .known_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.push((x509::sha256(key), true));
        let entries = self.entries.iter();
        entries
            .map(|place| (self.issuer_at(*place), serial_at(&self.der, *place)))
            .collect()
    }

    /// The issuer of the certificate of the entry at `place`.
    fn issuer_at(&self, place: u32) -> &[u8] {
        let begun = self.issuers.partition_point(|(from, _)| *from <= place);
        match begun.checked_sub(1).and_then(|last| self.issuers.get(last)) {
            Some((_, issuer)) => issuer,
            None => &self.issuer,
        }
    }

    /// Whether this key (SPKI, DER) made the signature. Cached for each key.
    pub(super) fn signature_by(&self, key: &[u8]) -> Signature {
        let hash = x509::sha256(key);
        let mut known = self
            .known_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_theirs = match known.iter().find(|(known, _)| *known == hash) {
            Some((_, is_theirs)) => *is_theirs,
            None => {
                let is_theirs = self.is_signed_by(key);
                if known.len() >= KEYS_CACHED_MAX {
                    known.remove(0);
                }
                known.push((hash, is_theirs));
                is_theirs
            }
        };
        drop(known);
        match is_theirs {
            true => Signature::Valid,
            false if self.names_key(key) => Signature::Invalid,
            false => Signature::OtherKey,
        }
    }

    fn is_signed_by(&self, key: &[u8]) -> bool {
        let part = |range: &Range<usize>| self.der.get(range.clone()).unwrap_or_default();
        let key = SubjectPublicKeyInfoDer::from(key);
        let Ok(key) = RawPublicKeyEntity::try_from(&key) else {
            return false;
        };
        signature_algorithms().all.iter().any(|algorithm| {
            algorithm.signature_alg_id().as_ref() == part(&self.algorithm)
                && key
                    .verify_signature(*algorithm, part(&self.body), part(&self.signature))
                    .is_ok()
        })
    }

    /// Whether its authority key identifier is that of `key` (RFC 5280, 4.2.1.2, and RFC 7093, 2).
    fn names_key(&self, key: &[u8]) -> bool {
        let Some(key_id) = &self.key_id else {
            return false;
        };
        let bits = Element::only_of(key, SEQUENCE)
            .and_then(|info| info.children().nth(1))
            .and_then(Element::bits);
        bits.is_some_and(|bits| {
            let sha1 = x509::sha1(bits);
            let sha256 = x509::sha256(bits);
            *key_id == sha1 || sha256.get(..20) == Some(key_id)
        })
    }
}

/// A CRL number (RFC 5280, 5.2.3): not negative, normally up to 20 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number(Vec<u8>);

impl Number {
    fn read(extension: &[u8]) -> Option<Self> {
        let content = Element::only_of(extension, INTEGER)?.content;
        let is_negative = content.first()? & 0x80 != 0;
        let zeros = content.iter().take_while(|octet| **octet == 0).count();
        (!is_negative).then(|| Self(content.get(zeros..).unwrap_or_default().to_vec()))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 16 {
            return write!(f, "0x{}", hex::encode(&self.0));
        }
        let number = self.0.iter();
        number
            .fold(0u128, |number, octet| (number << 8) | u128::from(*octet))
            .fmt(f)
    }
}

/// An arbitrary total order: shorter integers first.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Whether two INTEGERs (their content) are equal, regardless of leading zeros.
pub(in crate::verify) fn same_number(one: &[u8], other: &[u8]) -> bool {
    value(one) == value(other)
}

/// The content of an INTEGER without leading zeros.
fn value(mut content: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = content
        && let [second, ..] = rest
        && (*first == 0 && *second < 0x80 || *first == 0xff && *second >= 0x80)
    {
        content = rest;
    }
    content
}

fn check_algorithm(algorithm: Element<'_>) -> Result<(), String> {
    let is_supported = signature_algorithms()
        .all
        .iter()
        .any(|known| known.signature_alg_id().as_ref() == algorithm.content);
    if is_supported {
        return Ok(());
    }
    let oid = algorithm.children().next();
    let name = oid
        .filter(|oid| oid.tag == OBJECT_IDENTIFIER)
        .map(|oid| {
            x509::describe_signature_algorithm(&x509_parser::der_parser::Oid::new(
                oid.content.into(),
            ))
        })
        .unwrap_or_default();
    Err(format!(
        "it is signed with {name}, which is not accepted: SHA-256 or better, with ECDSA, Ed25519 or RSA, is"
    ))
}

fn is_name(element: &Element<'_>) -> bool {
    use x509_parser::prelude::FromDer as _;
    x509_parser::x509::X509Name::from_der(element.raw).is_ok_and(|(rest, _)| rest.is_empty())
}

/// The range of `part`, a subslice, in `whole`.
fn within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

/// Calls `read` with each extension's last arc, if it is in id-ce, whether it is critical, and its
/// value. Returns an error for a critical one that `read` does not process, and for duplicates.
fn each_extension(
    list: Element<'_>,
    of: &str,
    mut read: impl FnMut(Option<u8>, bool, &[u8]) -> Result<bool, String>,
) -> Result<(), String> {
    let malformed = || format!("the extensions of {of} cannot be read");
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut extensions = list.reader();
    while !extensions.is_done() {
        let extension = extensions.take(SEQUENCE).ok_or_else(malformed)?;
        let mut fields = extension.reader();
        let oid = fields.take(OBJECT_IDENTIFIER).ok_or_else(malformed)?;
        let is_critical = match fields.take(BOOLEAN) {
            Some(flag) => flag.boolean().ok_or_else(malformed)?,
            None => false,
        };
        let value = fields.take(OCTET_STRING).filter(|_| fields.is_done());
        let value = value.ok_or_else(malformed)?.content;
        let id = || oid.oid().unwrap_or_default();
        if seen.contains(&oid.content) {
            return Err(format!("{of} has the extension {} twice", id()));
        }
        seen.push(oid.content);
        let number = match oid.content {
            [first, second, number] if [*first, *second] == ID_CE => Some(*number),
            _ => None,
        };
        // RFC 5280, 5.2 and 5.3: the list must not be used.
        if !read(number, is_critical, value)? && is_critical {
            return Err(format!(
                "{of} has the critical extension {}, which is not supported",
                id()
            ));
        }
    }
    match seen.is_empty() {
        true => Err(malformed()),
        false => Ok(()),
    }
}

/// The extensions of a list that are needed.
#[derive(Default)]
struct Extensions {
    number: Option<Number>,
    base: Option<Number>,
    scope: Scope,
    key_id: Option<Vec<u8>>,
}

impl Extensions {
    fn read(list: Element<'_>, issuer: &[u8]) -> Result<Self, String> {
        let mut read = Self::default();
        each_extension(list, "the list", |number, is_critical, value| {
            let malformed = |what: &str| format!("its {what} cannot be read");
            match number {
                Some(CRL_NUMBER) if is_critical => {
                    return Err("its CRL number is critical, which RFC 5280 forbids".to_owned());
                }
                Some(CRL_NUMBER) => {
                    let number = Number::read(value);
                    read.number = Some(number.ok_or_else(|| malformed("CRL number"))?);
                }
                Some(DELTA_CRL_INDICATOR) => {
                    let number = Number::read(value);
                    read.base = Some(number.ok_or_else(|| malformed("delta CRL indicator"))?);
                }
                Some(ISSUING_DISTRIBUTION_POINT) => {
                    let scope = Scope::read(value, issuer);
                    read.scope = scope.ok_or_else(|| malformed("issuing distribution point"))?;
                }
                Some(AUTHORITY_KEY_IDENTIFIER) => {
                    // keyIdentifier, [0] IMPLICIT OCTET STRING. Only for messages.
                    let fields = Element::only_of(value, SEQUENCE).map(Element::reader);
                    let key_id = fields.and_then(|mut fields| fields.take(0x80));
                    read.key_id = key_id.map(|id| id.content.to_vec());
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if read.base.is_some() && read.number.is_none() {
            return Err("it is a delta list without a CRL number".to_owned());
        }
        Ok(read)
    }
}

/// Builds the index of a list's entries.
#[derive(Default)]
struct Index {
    entries: Vec<u32>,
    issuers: Vec<(u32, Vec<u8>)>,
}

impl Index {
    fn read(
        &mut self,
        der: &[u8],
        revoked: Element<'_>,
        is_version_2: bool,
        is_indirect: bool,
    ) -> Result<(), String> {
        let mut reader = revoked.reader();
        if reader.is_done() {
            return Err("its list of entries is present but empty".to_owned());
        }
        // Most serial numbers differ within their first seven octets.
        let mut order: Vec<(u64, u32)> = Vec::new();
        while !reader.is_done() {
            let number = order.len().saturating_add(1);
            let malformed = || format!("its entry {number} cannot be read");
            let entry = reader.take(SEQUENCE).ok_or_else(malformed)?;
            let place = u32::try_from(within(der, entry.raw).start).map_err(|_| malformed())?;
            let (serial, issuer) = check_entry(entry, number, is_version_2, is_indirect)?;
            order.push((beginning(serial), place));
            if let Some(issuer) = issuer {
                self.issuers.push((place, issuer));
            }
        }
        order.sort_unstable_by(|one, other| {
            one.0.cmp(&other.0).then_with(|| {
                compare(serial_at(der, one.1), serial_at(der, other.1))
                    .then_with(|| one.1.cmp(&other.1))
            })
        });
        self.entries = order.into_iter().map(|(_, place)| place).collect();
        Ok(())
    }
}

/// Length and first octets of a serial number, in the order of [`compare`].
fn beginning(serial: &[u8]) -> u64 {
    let length = match u8::try_from(serial.len()) {
        Ok(length) if length < u8::MAX => length,
        // The rest decides.
        _ => return u64::MAX,
    };
    let octets = std::iter::once(length).chain(serial.iter().copied());
    let padded = octets.chain(std::iter::repeat(0)).take(8);
    padded.fold(0, |number, octet| (number << 8) | u64::from(octet))
}

/// Validates an entry; returns its serial number, and the issuer of the certificate, if present.
fn check_entry<'a>(
    entry: Element<'a>,
    number: usize,
    is_version_2: bool,
    is_indirect: bool,
) -> Result<(&'a [u8], Option<Vec<u8>>), String> {
    let malformed = || format!("its entry {number} cannot be read");
    let mut fields = entry.reader();
    let serial = fields
        .take(INTEGER)
        .map(|serial| serial.content)
        .filter(|serial| !serial.is_empty())
        .ok_or_else(malformed)?;
    fields
        .take_any(&[UTC_TIME, GENERALIZED_TIME])
        .and_then(Element::any_time)
        .ok_or_else(malformed)?;
    let mut issuer = None;
    if let Some(extensions) = fields.take(SEQUENCE) {
        if !is_version_2 {
            return Err("it is of version 1, and its entries have extensions".to_owned());
        }
        let of = format!("its entry {number}");
        each_extension(extensions, &of, |id, _, value| {
            match id {
                Some(REASON_CODE) => {
                    Element::only_of(value, ENUMERATED).ok_or_else(malformed)?;
                }
                Some(CERTIFICATE_ISSUER) if is_indirect => {
                    issuer = Some(scope::directory_name(value).ok_or_else(malformed)?);
                }
                Some(HOLD_INSTRUCTION | INVALIDITY_DATE) => {}
                _ => return Ok(false),
            }
            Ok(true)
        })?;
    }
    match fields.is_done() {
        true => Ok((value(serial), issuer)),
        false => Err(malformed()),
    }
}

/// The fields of the entry at `place`, which was validated before.
fn fields_at(der: &[u8], place: u32) -> Reader<'_> {
    let from = usize::try_from(place).unwrap_or(usize::MAX);
    match der.get(from..).and_then(Element::first) {
        Some((entry, _)) => entry.reader(),
        None => Reader::new(&[]),
    }
}

fn serial_at(der: &[u8], place: u32) -> &[u8] {
    let serial = fields_at(der, place).take(INTEGER);
    value(serial.map_or(&[], |serial| serial.content))
}

fn entry_at(der: &[u8], place: u32) -> Entry {
    let mut fields = fields_at(der, place);
    let _serial = fields.take(INTEGER);
    let at = fields.take_next().and_then(Element::any_time);
    let mut reason = Reason::Other(None);
    if let Some(extensions) = fields.take(SEQUENCE) {
        // Cannot fail: it was validated before.
        let _ = each_extension(extensions, "", |id, _, value| {
            if id == Some(REASON_CODE)
                && let Some(code) = Element::only_of(value, ENUMERATED)
            {
                reason = Reason::read(code.content);
            }
            Ok(true)
        });
    }
    Entry {
        at: at.unwrap_or_default(),
        reason,
    }
}
