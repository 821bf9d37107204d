//! Stapled OCSP responses (RFC 6960; RFC 6066, section 8): the current status of a certificate, signed by
//! the issuer and sent by the server.
//!
//! Owns parsing and checking a response: whether it is about this certificate, signed by its issuer or by a
//! responder that the issuer authorized, and current. Responses are never fetched: verification does not use
//! the network. `policy` decides the consequences.

use std::fmt;

use aws_lc_rs::digest;
use pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, RawPublicKeyEntity};

use super::error::{RevokedBy, VerifyCause};
use super::keys::signature_algorithms;
use super::revocation::{reason_name, same_number};
use crate::der::{
    BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_1, CONTEXT_2, ENUMERATED, Element, GENERALIZED_TIME,
    INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE,
};
use crate::hex;
use crate::sct::SignedCertificateTimestamp;
use crate::x500;
use crate::x509::{self, Depth, format_utc};

/// How far the clocks of a responder and of this machine may differ: as in other clients.
const CLOCK_SKEW_SECS: i64 = 300;
/// How old a response without nextUpdate may be (RFC 6960, 4.2.2.1: newer information is available at any
/// time then). Responders for public certificates always include it; for others Firefox allows a day.
const LIFE_WITHOUT_NEXT_UPDATE_SECS: i64 = 24 * 60 * 60;
/// Stapled responses are about one certificate; this is far more than any needs.
const RESPONSES_MAX: usize = 64;
/// How many responders' certificates are checked: each may cost a signature verification.
const RESPONDERS_MAX: usize = 4;
/// Larger than any response that a server would send in each handshake.
const BYTES_MAX: usize = 64 * 1024;

const BASIC_RESPONSE: &str = "1.3.6.1.5.5.7.48.1.1";
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.5";
/// id-kp-OCSPSigning, 1.3.6.1.5.5.7.3.9, in webpki's form.
const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];

/// A valid response: about this certificate, properly signed, and current.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StapledResponse {
    /// The status of the certificate.
    pub status: StapledStatus,
    /// When it was made, in unix seconds.
    pub produced_at: i64,
    /// Since when the status is known to be correct.
    pub this_update: i64,
    /// When newer information is due; `None`: at any time.
    pub next_update: Option<i64>,
    /// The signer, escaped: the issuer, or a responder that the issuer authorized.
    pub responder: String,
    /// Certificate timestamps in the response (RFC 6962, 3.3). A malformed list is treated as empty.
    pub timestamps: Vec<SignedCertificateTimestamp>,
}

/// `good, signed by CN=Responder at 2026-11-25T13:26:58Z, valid until 2026-12-02T13:26:58Z`
impl fmt::Display for StapledResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            StapledStatus::Good => f.write_str("good")?,
            StapledStatus::Revoked { at, .. } => write!(f, "revoked since {}", format_utc(*at))?,
            StapledStatus::Unknown => f.write_str("unknown")?,
        }
        let signed_at = format_utc(self.produced_at);
        write!(f, ", signed by {} at {signed_at}", self.responder)?;
        match self.next_update {
            Some(next_update) => write!(f, ", valid until {}", format_utc(next_update)),
            None => Ok(()),
        }
    }
}

/// The status of a certificate in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapledStatus {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// Since when, in unix seconds.
        at: i64,
        /// Why, as RFC 5280, 5.3.1 names it.
        reason: Option<&'static str>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

impl StapledStatus {
    /// A revocation that is permanent (RFC 5280, 5.3.1: only a hold can end).
    fn is_permanent(&self) -> bool {
        matches!(self, Self::Revoked { reason, .. } if *reason != Some("certificateHold"))
    }
}

/// Why a response is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapleProblem {
    /// It cannot be parsed.
    Malformed {
        /// The malformed part.
        at: &'static str,
    },
    /// The responder returned an error.
    NotSuccessful {
        /// Its status, as named in RFC 6960.
        status: &'static str,
    },
    /// It is about other certificates.
    OtherCertificate,
    /// The certificate of the issuer is not available.
    IssuerUnknown,
    /// It was signed neither by the issuer nor by a responder that the issuer authorized.
    Unauthorised,
    /// Its thisUpdate is in the future.
    NotYetValid {
        /// Its thisUpdate.
        this_update: i64,
    },
    /// Its producedAt is in the future.
    NotYetProduced {
        /// When.
        produced_at: i64,
    },
    /// Its producedAt is before its thisUpdate.
    ProducedTooEarly {
        /// When it was made.
        produced_at: i64,
        /// Its thisUpdate.
        this_update: i64,
    },
    /// Its nextUpdate has passed.
    Outdated {
        /// When.
        next_update: i64,
    },
    /// It has a critical extension that is not supported.
    CriticalExtension {
        /// The extension, dotted.
        oid: String,
    },
}

impl fmt::Display for StapleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at } => write!(f, "it cannot be read: its {at} is malformed"),
            Self::NotSuccessful { status } => write!(f, "the responder's status is {status}"),
            Self::OtherCertificate => f.write_str("it is about another certificate"),
            Self::IssuerUnknown => f.write_str("the certificate of the issuer is not known"),
            Self::Unauthorised => f.write_str(
                "it was signed neither by the issuer nor by a responder that the issuer authorized",
            ),
            Self::NotYetValid { this_update } => {
                write!(f, "it is not valid before {}", format_utc(*this_update))
            }
            Self::NotYetProduced { produced_at } => {
                let produced_at = format_utc(*produced_at);
                write!(f, "it was made at {produced_at}, which is in the future")
            }
            Self::ProducedTooEarly {
                produced_at,
                this_update,
            } => write!(
                f,
                "it was made at {}, before its thisUpdate {}",
                format_utc(*produced_at),
                format_utc(*this_update)
            ),
            Self::Outdated { next_update } => {
                write!(f, "a newer one was due at {}", format_utc(*next_update))
            }
            Self::CriticalExtension { oid } => {
                write!(
                    f,
                    "it has the critical extension {oid}, which is not supported"
                )
            }
        }
    }
}

impl std::error::Error for StapleProblem {}

impl StapledResponse {
    /// Checks a response about `certificate`, which `issuer` has issued, at `now`.
    ///
    /// Whether the issuer is trusted is not checked.
    ///
    /// # Errors
    /// [`StapleProblem`]: the response must be ignored.
    ///
    /// ```
    /// use handfast::{CertificateDer, StapleProblem, StapledResponse, UnixTime};
    /// let nothing = CertificateDer::from(Vec::new());
    /// let checked = StapledResponse::check(&[0x30, 0], &nothing, &nothing, UnixTime::now());
    /// assert!(matches!(checked, Err(StapleProblem::Malformed { .. })));
    /// ```
    pub fn check(
        response: &[u8],
        certificate: &CertificateDer<'_>,
        issuer: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<Self, StapleProblem> {
        let parsed = Parsed::read(response)?;
        let issuer = Issuer::of(issuer).ok_or(StapleProblem::IssuerUnknown)?;
        parsed.check_for(certificate, &issuer, now)
    }

    /// The cause for refusing the certificate, if it is revoked.
    pub(super) fn revokes(&self, certificate: &CertificateDer<'_>) -> Option<VerifyCause> {
        let StapledStatus::Revoked { at, reason } = self.status else {
            return None;
        };
        let outline = x509::parse(certificate, Depth::Outline).ok()?;
        Some(VerifyCause::Revoked {
            subject: x509::describe_name(outline.subject()),
            serial: hex::encode(outline.raw_serial()),
            by: RevokedBy::StapledResponse {
                at,
                reason,
                produced_at: self.produced_at,
            },
        })
    }

    /// As [`check`](Self::check), with an issuer that may be an anchor without a certificate.
    pub(super) fn check_by(
        response: &[u8],
        certificate: &CertificateDer<'_>,
        issuer: Option<&Issuer>,
        now: UnixTime,
    ) -> Result<Self, StapleProblem> {
        let parsed = Parsed::read(response)?;
        let issuer = issuer.ok_or(StapleProblem::IssuerUnknown)?;
        parsed.check_for(certificate, issuer, now)
    }

    /// As [`check`](Self::check), with the first of `candidates` that has the issuer's name: for unverified
    /// chains.
    pub(super) fn check_unverified(
        response: &[u8],
        certificate: &CertificateDer<'_>,
        candidates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Self, StapleProblem> {
        let name = x509::parse(certificate, Depth::Outline)
            .map(|outline| outline.issuer().as_raw().to_vec())
            .unwrap_or_default();
        let issuer = candidates
            .iter()
            .filter_map(Issuer::of)
            .find(|issuer| x500::equal(&issuer.name, &name));
        Self::check_by(response, certificate, issuer.as_ref(), now)
    }
}

/// The issuer of a certificate, as far as responses need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    /// DER, with its SEQUENCE.
    pub(super) name: Vec<u8>,
    /// DER, with its SEQUENCE.
    pub(super) key: Vec<u8>,
}

impl Issuer {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let outline = x509::parse(certificate, Depth::Outline).ok()?;
        Some(Self {
            name: outline.subject().as_raw().to_vec(),
            key: outline.public_key().raw.to_vec(),
        })
    }

    /// The bits of the key, which responses hash.
    fn key_bits(&self) -> Option<&[u8]> {
        let mut info = Element::only_of(&self.key, SEQUENCE)?.reader();
        info.take(SEQUENCE)?;
        info.take(BIT_STRING)?.bits()
    }

    fn as_anchor(&self) -> Option<TrustAnchor<'_>> {
        Some(TrustAnchor {
            subject: Element::only(&self.name)?.content.into(),
            subject_public_key_info: Element::only(&self.key)?.content.into(),
            name_constraints: None,
        })
    }
}

/// A parsed, unverified response.
struct Parsed<'a> {
    /// The signed part.
    data: &'a [u8],
    /// AlgorithmIdentifier without its SEQUENCE.
    algorithm: &'a [u8],
    signature: &'a [u8],
    responder: Responder<'a>,
    produced_at: i64,
    responses: Vec<Single<'a>>,
    certificates: Vec<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Responder<'a> {
    /// DER, with its SEQUENCE.
    Name(&'a [u8]),
    /// SHA-1 of the key's bits.
    Key(&'a [u8]),
}

impl Responder<'_> {
    fn is(self, identity: &Issuer) -> bool {
        match self {
            Self::Name(name) => x500::equal(&identity.name, name),
            Self::Key(hash) => identity
                .key_bits()
                .is_some_and(|bits| x509::sha1(bits) == hash),
        }
    }
}

struct Single<'a> {
    hash: String,
    name_hash: &'a [u8],
    key_hash: &'a [u8],
    serial: &'a [u8],
    status: StapledStatus,
    this_update: i64,
    next_update: Option<i64>,
    timestamps: Vec<SignedCertificateTimestamp>,
}

impl<'a> Parsed<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, StapleProblem> {
        let malformed = |at| move || StapleProblem::Malformed { at };
        if bytes.len() > BYTES_MAX {
            return Err(malformed("length")());
        }
        let mut outer = Element::only_of(bytes, SEQUENCE)
            .ok_or_else(malformed("frame"))?
            .reader();
        let status = outer.take(ENUMERATED).map(|status| status.content);
        match status.ok_or_else(malformed("status"))? {
            [0] => {}
            other => {
                let status = status_name(other);
                return Err(StapleProblem::NotSuccessful { status });
            }
        }
        let mut typed = outer
            .take_wrapped(CONTEXT_0, SEQUENCE)
            .filter(|_| outer.is_done())
            .ok_or_else(malformed("frame"))?
            .reader();
        let kind = typed.take(OBJECT_IDENTIFIER).and_then(Element::oid);
        if kind.as_deref() != Some(BASIC_RESPONSE) {
            return Err(malformed("type")());
        }
        let body = typed.take(OCTET_STRING).filter(|_| typed.is_done());
        let body = body.ok_or_else(malformed("frame"))?.content;
        let mut basic = Element::only_of(body, SEQUENCE)
            .ok_or_else(malformed("body"))?
            .reader();
        let data = basic.take(SEQUENCE).ok_or_else(malformed("body"))?;
        let algorithm = basic.take(SEQUENCE).ok_or_else(malformed("signature"))?;
        let signature = basic.take(BIT_STRING).and_then(Element::bits);
        let signature = signature.ok_or_else(malformed("signature"))?;
        let certificates = basic
            .take_wrapped(CONTEXT_0, SEQUENCE)
            .into_iter()
            .flat_map(Element::children)
            .take(RESPONDERS_MAX)
            .map(|one| one.raw)
            .collect();
        if !basic.is_done() {
            return Err(malformed("list of certificates")());
        }
        let mut fields = data.reader();
        // Only the default version is supported.
        if let Some(version) = fields.take(CONTEXT_0)
            && version.content != [INTEGER, 1, 0]
        {
            return Err(malformed("version")());
        }
        let responder = fields
            .take_any(&[CONTEXT_1, CONTEXT_2])
            .and_then(|choice| match choice.tag {
                CONTEXT_1 => {
                    Element::only_of(choice.content, SEQUENCE).map(|name| Responder::Name(name.raw))
                }
                _ => Element::only_of(choice.content, OCTET_STRING)
                    .map(|hash| Responder::Key(hash.content)),
            })
            .ok_or_else(malformed("responder"))?;
        let produced_at = fields.take(GENERALIZED_TIME).and_then(Element::time);
        let produced_at = produced_at.ok_or_else(malformed("time"))?;
        let list = fields.take(SEQUENCE).ok_or_else(malformed("list"))?;
        let mut responses = Vec::new();
        let mut each = list.reader();
        while !each.is_done() {
            let one = each
                .take(SEQUENCE)
                .filter(|_| responses.len() < RESPONSES_MAX);
            let one = one.ok_or_else(malformed("list"))?;
            responses.push(Single::read(one)?);
        }
        extensions(&mut fields, |_, _| false)?;
        Ok(Self {
            data: data.raw,
            algorithm: algorithm.content,
            signature,
            responder,
            produced_at,
            responses,
            certificates,
        })
    }

    /// Of several entries for the certificate the worst applies (RFC 6960, 4.2.1, allows several without
    /// precedence).
    fn check_for(
        &self,
        certificate: &CertificateDer<'_>,
        issuer: &Issuer,
        now: UnixTime,
    ) -> Result<StapledResponse, StapleProblem> {
        let outline = x509::parse(certificate, Depth::Outline)
            .map_err(|_| StapleProblem::OtherCertificate)?;
        // The hash is of the name as encoded in the certificate (RFC 6960, 4.1.1).
        let name = outline.issuer().as_raw();
        let answers: Vec<&Single<'_>> = self
            .responses
            .iter()
            .filter(|single| {
                same_number(single.serial, outline.raw_serial()) && single.is_by(name, issuer)
            })
            .collect();
        if answers.is_empty() {
            return Err(StapleProblem::OtherCertificate);
        }
        let responder = self
            .signer(issuer, now)
            .ok_or(StapleProblem::Unauthorised)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let answer = self.worst(&answers, now)?;
        Ok(StapledResponse {
            status: answer.status.clone(),
            produced_at: self.produced_at,
            this_update: answer.this_update,
            next_update: answer.next_update,
            responder: x509::describe_name_der(&responder.name),
            timestamps: answer.timestamps.clone(),
        })
    }

    /// The worst of the entries that are current.
    fn worst<'s>(
        &self,
        answers: &[&'s Single<'a>],
        now: i64,
    ) -> Result<&'s Single<'a>, StapleProblem> {
        if self.produced_at > now.saturating_add(CLOCK_SKEW_SECS) {
            let produced_at = self.produced_at;
            return Err(StapleProblem::NotYetProduced { produced_at });
        }
        let mut problem = StapleProblem::OtherCertificate;
        let mut worst: Option<&Single<'_>> = None;
        for answer in answers.iter().rev() {
            match self.check_time(answer, now) {
                Ok(()) if worst.is_none_or(|worst| worst.severity() <= answer.severity()) => {
                    worst = Some(answer);
                }
                Ok(()) => {}
                Err(fault) => problem = fault,
            }
        }
        worst.ok_or(problem)
    }

    /// Whether an entry is current.
    fn check_time(&self, answer: &Single<'_>, now: i64) -> Result<(), StapleProblem> {
        let this_update = answer.this_update;
        if this_update > now.saturating_add(CLOCK_SKEW_SECS) {
            return Err(StapleProblem::NotYetValid { this_update });
        }
        if self.produced_at < this_update.saturating_sub(CLOCK_SKEW_SECS) {
            return Err(StapleProblem::ProducedTooEarly {
                produced_at: self.produced_at,
                this_update,
            });
        }
        let next_update = answer
            .next_update
            .unwrap_or_else(|| this_update.saturating_add(LIFE_WITHOUT_NEXT_UPDATE_SECS));
        // A revocation is permanent unless it is a hold.
        if next_update < now.saturating_sub(CLOCK_SKEW_SECS) && !answer.status.is_permanent() {
            return Err(StapleProblem::Outdated { next_update });
        }
        Ok(())
    }

    /// The authorized signer (RFC 6960, 4.2.2.2): the issuer, or a responder with a certificate that the
    /// issuer itself issued for signing responses.
    fn signer(&self, issuer: &Issuer, now: UnixTime) -> Option<Issuer> {
        if self.responder.is(issuer) && self.is_signed_by(&issuer.key) {
            return Some(issuer.clone());
        }
        let anchor = issuer.as_anchor()?;
        self.certificates.iter().find_map(|der| {
            let der = CertificateDer::from(*der);
            let responder = Issuer::of(&der).filter(|responder| self.responder.is(responder))?;
            let delegate = EndEntityCert::try_from(&der).ok()?;
            // RFC 5280, 4.2.1.12, lists the key usages that are consistent with this purpose.
            let usage = x509::key_usage(&x509::parse(&der, Depth::Outline).ok()?);
            if usage.is_some_and(|usage| !usage.digital_signature() && !usage.non_repudiation()) {
                return None;
            }
            delegate
                .verify_for_usage(
                    signature_algorithms().all,
                    std::slice::from_ref(&anchor),
                    &[],
                    now,
                    webpki::KeyUsage::required(OCSP_SIGNING),
                    None,
                    None,
                )
                .ok()?;
            self.is_signed_by(&responder.key).then_some(responder)
        })
    }

    fn is_signed_by(&self, key: &[u8]) -> bool {
        let key = SubjectPublicKeyInfoDer::from(key);
        let Ok(key) = RawPublicKeyEntity::try_from(&key) else {
            return false;
        };
        signature_algorithms().all.iter().any(|algorithm| {
            algorithm.signature_alg_id().as_ref() == self.algorithm
                && key
                    .verify_signature(*algorithm, self.data, self.signature)
                    .is_ok()
        })
    }
}

impl<'a> Single<'a> {
    fn read(element: Element<'a>) -> Result<Self, StapleProblem> {
        let malformed = |at| move || StapleProblem::Malformed { at };
        let mut fields = element.reader();
        let id = fields.take(SEQUENCE);
        let mut id = id.ok_or_else(malformed("certificate id"))?.reader();
        let hash = id
            .take(SEQUENCE)
            .and_then(|algorithm| algorithm.children().next()?.oid());
        let hash = hash.ok_or_else(malformed("certificate id"))?;
        let mut field = |tag| {
            let field = id.take(tag).map(|field| field.content);
            field.ok_or_else(malformed("certificate id"))
        };
        let name_hash = field(OCTET_STRING)?;
        let key_hash = field(OCTET_STRING)?;
        let serial = field(INTEGER)?;
        let status = fields.take_any(&[0x80, CONTEXT_1, 0x82]);
        let status = status.ok_or_else(malformed("status"))?;
        let status = match status.tag {
            0x80 => StapledStatus::Good,
            CONTEXT_1 => revoked(status).ok_or_else(malformed("status"))?,
            _ => StapledStatus::Unknown,
        };
        let this_update = fields.take(GENERALIZED_TIME).and_then(Element::time);
        let this_update = this_update.ok_or_else(malformed("time"))?;
        let next_update = match fields.take_wrapped(CONTEXT_0, GENERALIZED_TIME) {
            None => None,
            Some(time) => Some(time.time().ok_or_else(malformed("time"))?),
        };
        let mut timestamps = Vec::new();
        extensions(&mut fields, |oid, value| {
            let is_list = oid == SCT_LIST;
            if is_list && let Ok(list) = SignedCertificateTimestamp::list_from_extension(value) {
                timestamps = list;
            }
            is_list
        })?;
        Ok(Self {
            hash,
            name_hash,
            key_hash,
            serial,
            status,
            this_update,
            next_update,
            timestamps,
        })
    }

    fn severity(&self) -> u8 {
        match &self.status {
            StapledStatus::Good => 0,
            StapledStatus::Unknown => 1,
            StapledStatus::Revoked { .. } if !self.status.is_permanent() => 2,
            StapledStatus::Revoked { .. } => 3,
        }
    }

    /// Whether it is about a certificate of `issuer`, in which the issuer's name is encoded as `name`.
    fn is_by(&self, name: &[u8], issuer: &Issuer) -> bool {
        let algorithm = match self.hash.as_str() {
            "1.3.14.3.2.26" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
            "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
            "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
            _ => return false,
        };
        let is = |bytes: &[u8], hash: &[u8]| digest::digest(algorithm, bytes).as_ref() == hash;
        is(name, self.name_hash)
            && issuer
                .key_bits()
                .is_some_and(|bits| is(bits, self.key_hash))
    }
}

/// For any bytes as a response: no entry that is current at `now` is worse than the selected one.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_worst(response: &[u8], now: i64) {
    let Ok(parsed) = Parsed::read(response) else {
        return;
    };
    let answers: Vec<&Single<'_>> = parsed.responses.iter().collect();
    let is_now = parsed.produced_at <= now.saturating_add(CLOCK_SKEW_SECS);
    let current = answers
        .iter()
        .filter(|one| is_now && parsed.check_time(one, now).is_ok());
    let expected = current.map(|one| one.severity()).max();
    let found = parsed.worst(&answers, now).map(Single::severity).ok();
    assert_eq!(
        found, expected,
        "an entry other than the worst was selected"
    );
}

/// RevokedInfo, implicitly tagged.
fn revoked(element: Element<'_>) -> Option<StapledStatus> {
    let mut fields = element.reader();
    let at = fields.take(GENERALIZED_TIME)?.time()?;
    let reason = fields.take_wrapped(CONTEXT_0, ENUMERATED);
    fields.is_done().then(|| StapledStatus::Revoked {
        at,
        reason: reason.and_then(|reason| reason_name(reason.content)),
    })
}

/// The rest of a structure: extensions. Critical ones must be supported according to `supports`.
fn extensions(
    fields: &mut Reader<'_>,
    mut supports: impl FnMut(&str, &[u8]) -> bool,
) -> Result<(), StapleProblem> {
    let malformed = || StapleProblem::Malformed { at: "extensions" };
    if fields.is_done() {
        return Ok(());
    }
    let list = fields.take_wrapped(CONTEXT_1, SEQUENCE);
    let mut list = list
        .filter(|_| fields.is_done())
        .ok_or_else(malformed)?
        .reader();
    while !list.is_done() {
        let mut extension = list.take(SEQUENCE).ok_or_else(malformed)?.reader();
        let oid = extension.take(OBJECT_IDENTIFIER).and_then(Element::oid);
        let oid = oid.ok_or_else(malformed)?;
        let is_critical = extension
            .take(BOOLEAN)
            .is_some_and(|flag| flag.content != [0]);
        let value = extension.take(OCTET_STRING).ok_or_else(malformed)?;
        if !supports(&oid, value.content) && is_critical {
            return Err(StapleProblem::CriticalExtension { oid });
        }
    }
    Ok(())
}

/// OCSPResponseStatus (RFC 6960, 4.2.1).
fn status_name(status: &[u8]) -> &'static str {
    match status {
        [1] => "malformedRequest",
        [2] => "internalError",
        [3] => "tryLater",
        [5] => "sigRequired",
        [6] => "unauthorized",
        _ => "an unassigned status",
    }
}
