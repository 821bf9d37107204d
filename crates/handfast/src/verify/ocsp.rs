//! Stapled OCSP responses (RFC 6960; RFC 6066, section 8): what the issuer says of a certificate now,
//! handed over by the server itself.
//!
//! Owns reading and judging a response: is it about this certificate, signed by its issuer or by
//! somebody whom the issuer appointed for it, and of now? Fetching one is nobody's job here: a
//! verification reaches for nothing on the network. What follows from the verdict is for `policy`.

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
use crate::sct::SignedCertificateTimestamp;
use crate::x500;
use crate::x509::{self, Depth, format_utc};

/// How far the clocks of a responder and of this machine may differ: what other clients grant.
const CLOCK_SKEW_SECS: i64 = 300;
/// How old a response may be that does not say when the next is due (RFC 6960, 4.2.2.1: then there is
/// newer information at any time). Responders for public certificates say it; a day is what Firefox
/// grants to others.
const LIFE_WITHOUT_NEXT_UPDATE_SECS: i64 = 24 * 60 * 60;
/// A response about hundreds of certificates is no staple.
const RESPONSES_MAX: usize = 64;
/// Certificates of responders that are looked at: each may cost a signature.
const RESPONDERS_MAX: usize = 4;
/// Larger than any response that a server would put into each of its handshakes.
const BYTES_MAX: usize = 64 * 1024;

const BASIC_RESPONSE: &str = "1.3.6.1.5.5.7.48.1.1";
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.5";
/// id-kp-OCSPSigning, 1.3.6.1.5.5.7.3.9, as webpki wants it.
const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];

/// A response that may be believed: about this certificate, properly signed, and of now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StapledResponse {
    /// What it says of the certificate.
    pub status: StapledStatus,
    /// When it was made, in unix seconds.
    pub produced_at: i64,
    /// Since when it has been true.
    pub this_update: i64,
    /// When a newer one is due; `None`: at any time.
    pub next_update: Option<i64>,
    /// Who signed it, escaped: the issuer, or whom the issuer appointed.
    pub responder: String,
    /// Timestamps that came in the response (RFC 6962, 3.3). A broken list counts as none.
    pub timestamps: Vec<SignedCertificateTimestamp>,
}

/// `good, said by CN=Responder at 2026-11-25T13:26:58Z, valid until 2026-12-02T13:26:58Z`
impl fmt::Display for StapledResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            StapledStatus::Good => f.write_str("good")?,
            StapledStatus::Revoked { at, .. } => write!(f, "revoked since {}", format_utc(*at))?,
            StapledStatus::Unknown => f.write_str("unknown")?,
        }
        let said_at = format_utc(self.produced_at);
        write!(f, ", said by {} at {said_at}", self.responder)?;
        match self.next_update {
            Some(next_update) => write!(f, ", valid until {}", format_utc(next_update)),
            None => Ok(()),
        }
    }
}

/// What a response says of a certificate.
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
    /// A revocation that no newer response can take back (RFC 5280, 5.3.1: only a hold ends).
    fn is_for_ever(&self) -> bool {
        matches!(self, Self::Revoked { reason, .. } if *reason != Some("certificateHold"))
    }
}

/// Why a response is not believed. It counts as no response, then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapleProblem {
    /// It cannot be read.
    Malformed {
        /// Where reading ended.
        at: &'static str,
    },
    /// The responder did not answer the question.
    NotSuccessful {
        /// What it said instead, as RFC 6960 names it.
        status: &'static str,
    },
    /// It is about other certificates.
    OtherCertificate,
    /// The certificate of the issuer is not at hand.
    IssuerUnknown,
    /// Neither the issuer nor anybody whom the issuer appointed made the signature.
    Unauthorised,
    /// It is from the future.
    NotYetValid {
        /// Since when it is true.
        this_update: i64,
    },
    /// It was made later than now.
    NotYetProduced {
        /// When.
        produced_at: i64,
    },
    /// It was made earlier than what it says is true from.
    ProducedTooEarly {
        /// When it was made.
        produced_at: i64,
        /// Since when it is true.
        this_update: i64,
    },
    /// A newer one was due.
    Outdated {
        /// When.
        next_update: i64,
    },
    /// It says something that must be understood, and is not.
    CriticalExtension {
        /// The extension, dotted.
        oid: String,
    },
}

impl fmt::Display for StapleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at } => write!(f, "it cannot be read: its {at} is malformed"),
            Self::NotSuccessful { status } => write!(f, "the responder said {status}"),
            Self::OtherCertificate => f.write_str("it is about another certificate"),
            Self::IssuerUnknown => f.write_str("the certificate of the issuer is not known"),
            Self::Unauthorised => f.write_str(
                "it was signed neither by the issuer nor by a responder of the issuer's",
            ),
            Self::NotYetValid { this_update } => {
                write!(f, "it begins only at {}", format_utc(*this_update))
            }
            Self::NotYetProduced { produced_at } => {
                let produced_at = format_utc(*produced_at);
                write!(f, "it was made at {produced_at}, which is later than now")
            }
            Self::ProducedTooEarly {
                produced_at,
                this_update,
            } => write!(
                f,
                "it was made at {}, and says what is true from {} on",
                format_utc(*produced_at),
                format_utc(*this_update)
            ),
            Self::Outdated { next_update } => {
                write!(f, "a newer one was due at {}", format_utc(*next_update))
            }
            Self::CriticalExtension { oid } => {
                write!(f, "it has the critical extension {oid}, which is not known")
            }
        }
    }
}

impl std::error::Error for StapleProblem {}

impl StapledResponse {
    /// Judges a response about `certificate`, which `issuer` has issued, at `now`.
    ///
    /// Whether the issuer may be believed is not asked here.
    ///
    /// # Errors
    /// [`StapleProblem`]: then the response says nothing.
    ///
    /// ```
    /// use handfast::{CertificateDer, StapleProblem, StapledResponse, UnixTime};
    /// let nothing = CertificateDer::from(Vec::new());
    /// let judged = StapledResponse::check(&[0x30, 0], &nothing, &nothing, UnixTime::now());
    /// assert!(matches!(judged, Err(StapleProblem::Malformed { .. })));
    /// ```
    pub fn check(
        response: &[u8],
        certificate: &CertificateDer<'_>,
        issuer: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<Self, StapleProblem> {
        let parsed = Parsed::read(response)?;
        let issuer = Issuer::of(issuer).ok_or(StapleProblem::IssuerUnknown)?;
        parsed.judge(certificate, &issuer, now)
    }

    /// What follows for the certificate that was judged, if it is revoked.
    pub(super) fn revokes(&self, certificate: &CertificateDer<'_>) -> Option<VerifyCause> {
        let StapledStatus::Revoked { at, reason } = self.status else {
            return None;
        };
        let outline = x509::parse(certificate, Depth::Outline).ok()?;
        Some(VerifyCause::Revoked {
            subject: x509::describe_name(outline.subject()),
            serial: x509::hex(outline.raw_serial()),
            by: RevokedBy::StapledResponse {
                at,
                reason,
                produced_at: self.produced_at,
            },
        })
    }

    /// The same, by an issuer that may be an anchor without a certificate.
    pub(super) fn check_by(
        response: &[u8],
        certificate: &CertificateDer<'_>,
        issuer: Option<&Issuer>,
        now: UnixTime,
    ) -> Result<Self, StapleProblem> {
        let parsed = Parsed::read(response)?;
        let issuer = issuer.ok_or(StapleProblem::IssuerUnknown)?;
        parsed.judge(certificate, issuer, now)
    }

    /// The same, by the first of `candidates` that bears the issuer's name: for chains that nobody has
    /// verified.
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

/// Who issued a certificate: all that a response is compared with.
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

    /// The bits of the key, which is what responses hash.
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

/// A response taken apart, nothing of it believed.
struct Parsed<'a> {
    /// What is signed.
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
        // A version that is not the default would be a later one.
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

    /// Of several answers about the certificate the worst counts (RFC 6960, 4.2.1, allows several and
    /// gives none of them precedence).
    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        issuer: &Issuer,
        now: UnixTime,
    ) -> Result<StapledResponse, StapleProblem> {
        let outline = x509::parse(certificate, Depth::Outline)
            .map_err(|_| StapleProblem::OtherCertificate)?;
        // What is hashed is the name as the certificate writes it (RFC 6960, 4.1.1).
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

    /// The worst of those answers that are true now.
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

    /// Whether an answer is true now.
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
        // A revocation does not end, unless it was only a hold.
        if next_update < now.saturating_sub(CLOCK_SKEW_SECS) && !answer.status.is_for_ever() {
            return Err(StapleProblem::Outdated { next_update });
        }
        Ok(())
    }

    /// Who signed this with the right to (RFC 6960, 4.2.2.2): the issuer, or the holder of a
    /// certificate that the issuer itself made for signing responses.
    fn signer(&self, issuer: &Issuer, now: UnixTime) -> Option<Issuer> {
        if self.responder.is(issuer) && self.is_signed_by(&issuer.key) {
            return Some(issuer.clone());
        }
        let anchor = issuer.as_anchor()?;
        self.certificates.iter().find_map(|der| {
            let der = CertificateDer::from(*der);
            let responder = Issuer::of(&der).filter(|responder| self.responder.is(responder))?;
            let delegate = EndEntityCert::try_from(&der).ok()?;
            // RFC 5280, 4.2.1.12, names the key usages that go with this purpose.
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
            StapledStatus::Revoked { .. } if !self.status.is_for_ever() => 2,
            StapledStatus::Revoked { .. } => 3,
        }
    }

    /// Whether it is about a certificate of `issuer`, which writes the issuer's name in this way.
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

/// Any bytes as a response: of the answers in it that are true at `now`, none is worse than the one that counts.
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
    assert_eq!(found, expected, "another answer counts than the worst");
}

/// RevokedInfo, which its tag stands in for.
fn revoked(element: Element<'_>) -> Option<StapledStatus> {
    let mut fields = element.reader();
    let at = fields.take(GENERALIZED_TIME)?.time()?;
    let reason = fields.take_wrapped(CONTEXT_0, ENUMERATED);
    fields.is_done().then(|| StapledStatus::Revoked {
        at,
        reason: reason.and_then(|reason| reason_name(reason.content)),
    })
}

/// What is left of a structure: extensions, of which those that `knows` does not must not be critical.
fn extensions(
    fields: &mut Reader<'_>,
    mut knows: impl FnMut(&str, &[u8]) -> bool,
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
        if !knows(&oid, value.content) && is_critical {
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
        _ => "a status that nobody knows",
    }
}
