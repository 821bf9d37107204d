//! Finding a path from a peer's certificate to a trust anchor.
//!
//! First webpki builds candidates and checks most of RFC 5280, 6.1; `Attempt` adds, on each candidate, the
//! rules that webpki lacks, so that path building continues with the next candidate if they fail. Chains
//! that webpki refuses are passed to `validate`, which returns the verdict and the reason.

use std::sync::Arc;

use pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, VerifiedPath as WebpkiPath};
use x509_parser::certificate::X509Certificate;

use super::anchor;
use super::error::VerifyCause;
use super::finding::Finding;
use super::keys::{signature_algorithms, unsupported_key, weak_key};
use super::ocsp::Issuer;
use super::pin::{self, SpkiSha256};
use super::policies;
use super::purpose::Purpose;
use super::revocation::{RevocationLists, Signer};
use super::validate::{self, Accepted, Question, REFUSED_BY_US, check_lifetime};
use crate::trust::{AnchorLimits, Resolved};
use crate::x500;
use crate::x509::{self, CertificateFacts, Depth};

/// Real chains have up to five certificates and less than 16 KiB; some servers send a whole bundle.
/// Larger chains would only cost time.
const CERTIFICATES_MAX: usize = 32;
/// See [`CERTIFICATES_MAX`].
const CHAIN_BYTES_MAX: usize = 256 * 1024;
/// A verified chain: the peer's certificate, the intermediates that were used, in order, and the trust
/// anchor. Only verification creates one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPath {
    chain: Vec<CertificateDer<'static>>,
    anchor: PathAnchor,
    not_after: u64,
    spki_sha256s: Vec<[u8; 32]>,
    constrained_by: Vec<String>,
    issuer: Option<Issuer>,
}

impl VerifiedPath {
    /// End entity first, then the intermediates used; without the trust anchor and without certificates that
    /// were sent but not needed.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The trust anchor.
    pub fn anchor(&self) -> &PathAnchor {
        &self.anchor
    }

    /// The earliest `notAfter` of the path, anchor included, in unix seconds.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// SHA-256 of every subject public key info of the path, end entity first, anchor last.
    pub(super) fn spki_sha256s(&self) -> &[[u8; 32]] {
        &self.spki_sha256s
    }

    /// The issuer of the peer's own certificate; `None` if it is trusted as an end-entity certificate.
    pub(super) fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    /// The authorities of the path with name constraints, escaped.
    pub(super) fn constrained_by(&self) -> &[String] {
        &self.constrained_by
    }
}

/// The trust anchor of a verified path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathAnchor {
    /// A trusted authority.
    Authority {
        /// Its name, escaped.
        subject: String,
    },
    /// The peer's own certificate, which the caller trusts.
    Itself,
}

/// Refuses chains that are too large, before anything is parsed.
pub(super) fn check_size(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(), Finding> {
    let certificates = intermediates.len().saturating_add(1);
    let bytes = intermediates
        .iter()
        .fold(end_entity.len(), |sum, der| sum.saturating_add(der.len()));
    if certificates > CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX {
        return Err(Finding::anywhere(VerifyCause::ChainTooLarge {
            certificates,
            bytes,
        }));
    }
    Ok(())
}

/// One verification of one chain.
pub(super) struct Attempt<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) trust: &'a Resolved,
    pub(super) chain_depth_max: usize,
    pub(super) revocation: &'a RevocationLists,
    pub(super) pins: &'a [SpkiSha256],
    pub(super) purpose: Purpose,
    pub(super) now: UnixTime,
}

impl Attempt<'_> {
    /// Verifies as fast as possible: an accepted chain is valid, a refused one may still be valid, and the
    /// reason is not determined.
    pub(super) fn run_fast(&self) -> Result<VerifiedPath, Finding> {
        self.run_with(|_, _| Err(Finding::anywhere(VerifyCause::PathTooComplex)))
    }

    /// Verifies, and determines the reason of a refusal.
    pub(super) fn run(&self) -> Result<VerifiedPath, Finding> {
        self.run_with(|refusal, outline| self.run_validation(refusal, outline))
    }

    fn run_with(
        &self,
        otherwise: impl FnOnce(&webpki::Error, &X509Certificate<'_>) -> Result<VerifiedPath, Finding>,
    ) -> Result<VerifiedPath, Finding> {
        let outline = x509::parse(self.end_entity, Depth::Outline).map_err(|malformed| {
            let detail = malformed.detail;
            Finding::at(0, VerifyCause::Malformed { detail })
        })?;
        let path = if self.trust.certificates.contains(self.end_entity) {
            self.run_trusted_as_itself(&outline)?
        } else if self.trust.certificates.is_empty() {
            return Err(Finding::at(0, VerifyCause::NoTrustAnchors));
        } else {
            match self.run_webpki(&outline) {
                Ok(path) => path,
                Err(refusal) => otherwise(&refusal, &outline)?,
            }
        };
        self.check_own_key(&outline)?;
        Ok(path)
    }

    /// The caller trusts exactly this certificate: it needs no issuer, but must be valid now and for this
    /// purpose.
    ///
    /// The revocation status of a trust anchor is not required (as in RFC 5280, 6.1), but a list that
    /// contains the certificate is respected.
    fn run_trusted_as_itself(
        &self,
        outline: &X509Certificate<'_>,
    ) -> Result<VerifiedPath, Finding> {
        if let Some(cause) = validate::fault(self.end_entity) {
            return Err(Finding::at(0, cause));
        }
        let facts = CertificateFacts::from_der(self.end_entity).map_err(|error| {
            Finding::at(
                0,
                VerifyCause::Malformed {
                    detail: error.detail,
                },
            )
        })?;
        let subject = &facts.subject;
        let named = || subject.clone();
        check_lifetime(facts.not_before, facts.not_after, signed(self.now), named)
            .map_err(|cause| Finding::at(0, cause))?;
        if let Some(presented) = &facts.extended_key_usage
            && !presented
                .iter()
                .any(|purpose| purpose == self.purpose.name())
        {
            return Err(Finding::at(
                0,
                VerifyCause::ExtendedKeyUsage {
                    subject: subject.clone(),
                    required: self.purpose.name(),
                    presented: presented.clone(),
                },
            ));
        }
        self.revocation
            .check_itself(outline, signed(self.now))
            .map_err(|cause| Finding::at(0, cause))?;
        Ok(VerifiedPath {
            chain: vec![self.end_entity.clone().into_owned()],
            anchor: PathAnchor::Itself,
            not_after: unsigned(facts.not_after),
            spki_sha256s: vec![facts.spki_sha256],
            constrained_by: Vec::new(),
            issuer: None,
        })
    }

    fn run_webpki(&self, outline: &X509Certificate<'_>) -> Result<VerifiedPath, webpki::Error> {
        let end_entity = EndEntityCert::try_from(self.end_entity)?;
        let check = |candidate: &WebpkiPath<'_>| self.check_candidate(outline, candidate);
        let verified =
            self.ask_webpki(&end_entity, &self.trust.anchors, self.intermediates, &check)?;
        let intermediates: Vec<CertificateDer<'_>> = verified
            .intermediate_certificates()
            .map(|intermediate| intermediate.der())
            .collect();
        let anchor = verified.anchor();
        let described = self.describe(
            outline,
            &intermediates,
            &Anchor {
                subject: x509::wrap_sequence(&anchor.subject),
                key: webpki::spki_for_anchor(anchor).to_vec(),
                not_after: self.limits_of(&verified).map(|limits| limits.not_after),
                is_constrained: anchor.name_constraints.is_some(),
            },
        );
        // Both parsers have parsed all of them before.
        described.map_err(|_| webpki::Error::BadDer)
    }

    fn ask_webpki<'p>(
        &self,
        end_entity: &'p EndEntityCert<'p>,
        anchors: &'p [TrustAnchor<'p>],
        intermediates: &'p [CertificateDer<'p>],
        check: &dyn Fn(&WebpkiPath<'_>) -> Result<(), webpki::Error>,
    ) -> Result<WebpkiPath<'p>, webpki::Error> {
        let algorithms: &[&dyn SignatureVerificationAlgorithm] = signature_algorithms().all;
        end_entity.verify_for_usage(
            algorithms,
            anchors,
            intermediates,
            self.now,
            self.purpose.key_usage(),
            None,
            Some(check),
        )
    }

    /// webpki's result for one path only.
    fn opinion(
        &self,
        outline: &X509Certificate<'_>,
        anchor: &TrustAnchor<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), webpki::Error> {
        let end_entity = EndEntityCert::try_from(self.end_entity)?;
        let check = |candidate: &WebpkiPath<'_>| self.check_candidate(outline, candidate);
        let anchors = std::slice::from_ref(anchor);
        self.ask_webpki(&end_entity, anchors, intermediates, &check)
            .map(|_| ())
    }

    /// Our own validation, after webpki's refusal.
    fn run_validation(
        &self,
        refusal: &webpki::Error,
        outline: &X509Certificate<'_>,
    ) -> Result<VerifiedPath, Finding> {
        let question = Question {
            end_entity: self.end_entity,
            intermediates: self.intermediates,
            trust: self.trust,
            chain_depth_max: self.chain_depth_max,
            revocation: self.revocation,
            pins: self.pins,
            purpose: self.purpose,
            now: self.now,
        };
        let Accepted {
            intermediates,
            anchor,
            ..
        } = validate::validate(&question, refusal, &|anchor, intermediates| {
            self.opinion(outline, anchor, intermediates)
        })?;
        let malformed = |malformed: x509::MalformedCertificate| {
            Finding::anywhere(VerifyCause::Malformed {
                detail: malformed.detail,
            })
        };
        let trusted = x509::parse(&anchor, Depth::Outline).map_err(malformed)?;
        let anchor = Anchor {
            subject: trusted.subject().as_raw().to_vec(),
            key: trusted.public_key().raw.to_vec(),
            not_after: Some(trusted.validity().not_after.timestamp()),
            is_constrained: x509::has_name_constraints(&trusted),
        };
        self.describe(outline, &intermediates, &anchor)
            .map_err(malformed)
    }

    /// webpki's result for a chain, and that of our own validation alone; `None` for a chain that needs no
    /// path.
    #[cfg(any(test, fuzzing))]
    pub(super) fn opinions(&self) -> Option<(bool, Result<(), Finding>)> {
        let outline = x509::parse(self.end_entity, Depth::Outline).ok()?;
        if self.trust.certificates.contains(self.end_entity) || self.trust.certificates.is_empty() {
            return None;
        }
        let validated = self.run_validation(&webpki::Error::UnknownIssuer, &outline);
        Some((self.run_webpki(&outline).is_ok(), validated.map(|_| ())))
    }

    /// Checks our rules on a path that webpki would accept. `validate` determines the reason.
    fn check_candidate(
        &self,
        own: &X509Certificate<'_>,
        candidate: &WebpkiPath<'_>,
    ) -> Result<(), webpki::Error> {
        let ders: Vec<CertificateDer<'_>> = candidate
            .intermediate_certificates()
            .map(|intermediate| intermediate.der())
            .collect();
        let intermediates = ders
            .iter()
            .map(|der| x509::parse(der, Depth::Outline))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| REFUSED_BY_US)?;
        // webpki ignores key usage and checks only basic constraints.
        let may_sign = |issuer| x509::key_usage(issuer).is_none_or(|usage| usage.key_cert_sign());
        if !intermediates.iter().all(may_sign) {
            return Err(REFUSED_BY_US);
        }
        let path: Vec<&X509Certificate<'_>> = std::iter::once(own).chain(&intermediates).collect();
        let limits = self.limits_of(candidate);
        let depth = self.depth(&intermediates, limits);
        if depth > self.chain_depth_max {
            return Err(REFUSED_BY_US);
        }
        if let Some(limits) = limits {
            anchor::check(limits, self.purpose, depth, self.now).map_err(|_| REFUSED_BY_US)?;
        }
        if path.iter().any(|one| policies::may_demand_policy(one))
            || limits.is_some_and(|limits| limits.may_demand_policy)
        {
            let anchor = limits.map(|limits| x509::parse(&limits.der, Depth::Outline));
            let anchor = anchor.transpose().map_err(|_| REFUSED_BY_US)?;
            policies::check(&path, anchor.as_ref()).map_err(|_| REFUSED_BY_US)?;
        }
        if !self.pins.is_empty() {
            let keys = path.iter().map(|one| one.public_key().raw);
            let anchor = webpki::spki_for_anchor(candidate.anchor());
            let keys: Vec<_> = keys.chain([anchor.as_ref()]).map(x509::sha256).collect();
            if !pin::hold(self.pins, &keys) {
                return Err(REFUSED_BY_US);
            }
        }
        if self.revocation.is_empty() {
            return Ok(());
        }
        // webpki is given no lists: they are evaluated here.
        let anchor = Signer {
            name: &x509::wrap_sequence(&candidate.anchor().subject),
            key: &webpki::spki_for_anchor(candidate.anchor()),
            key_usage: limits.and_then(|limits| limits.key_usage),
        };
        self.revocation
            .check_path(&path, &anchor, self.intermediates, signed(self.now))
            .map_err(|_| REFUSED_BY_US)
    }

    /// The number of intermediates, without self-issued ones (RFC 5280, 6.1.4 l). Names are compared fully only
    /// if that may change the verdict, because it is expensive.
    fn depth(&self, intermediates: &[X509Certificate<'_>], limits: Option<&AnchorLimits>) -> usize {
        let count = |is_same: fn(&[u8], &[u8]) -> bool| {
            let counted = intermediates
                .iter()
                .filter(|one| !is_same(one.subject().as_raw(), one.issuer().as_raw()));
            counted.count()
        };
        let depth = count(|subject, issuer| subject == issuer);
        let path_len = limits.and_then(|limits| limits.path_len);
        match depth > self.chain_depth_max
            || path_len.is_some_and(|path_len| (path_len as usize) < depth)
        {
            true => count(x500::equal),
            false => depth,
        }
    }

    fn describe(
        &self,
        outline: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        anchor: &Anchor,
    ) -> Result<VerifiedPath, x509::MalformedCertificate> {
        let mut chain = vec![self.end_entity.clone().into_owned()];
        let mut spki_sha256s = vec![x509::sha256(outline.public_key().raw)];
        let mut not_after = outline.validity().not_after.timestamp();
        let mut constrained_by = Vec::new();
        let mut issuer = None;
        for der in intermediates {
            let outline = x509::parse(der, Depth::Outline)?;
            let key = outline.public_key().raw;
            issuer.get_or_insert_with(|| Issuer {
                name: outline.subject().as_raw().to_vec(),
                key: key.to_vec(),
            });
            spki_sha256s.push(x509::sha256(key));
            not_after = not_after.min(outline.validity().not_after.timestamp());
            if x509::has_name_constraints(&outline) {
                constrained_by.push(x509::describe_name(outline.subject()));
            }
            chain.push(der.clone().into_owned());
        }
        if let Some(last) = anchor.not_after {
            not_after = not_after.min(last);
        }
        spki_sha256s.push(x509::sha256(&anchor.key));
        let subject = x509::describe_name_der(&anchor.subject);
        if anchor.is_constrained {
            constrained_by.push(subject.clone());
        }
        let issuer = issuer.unwrap_or_else(|| Issuer {
            name: anchor.subject.clone(),
            key: anchor.key.clone(),
        });
        Ok(VerifiedPath {
            chain,
            anchor: PathAnchor::Authority { subject },
            not_after: unsigned(not_after),
            spki_sha256s,
            constrained_by,
            issuer: Some(issuer),
        })
    }

    /// The peer's own key signs the handshake, so it must be strong enough, of a supported kind, and allowed to sign
    /// (RFC 8446, 4.4.2.2: digitalSignature must be set if key usage is present).
    fn check_own_key(&self, outline: &X509Certificate<'_>) -> Result<(), Finding> {
        let subject = || x509::describe_name(outline.subject());
        if let Some(cause) = weak_key(outline).or_else(|| unsupported_key(outline)) {
            return Err(Finding::at(0, cause));
        }
        if let Some(usage) = x509::key_usage(outline)
            && !usage.digital_signature()
        {
            let presented = x509::describe_key_usage(&usage);
            let required = "digitalSignature";
            let subject = subject();
            return Err(Finding::at(
                0,
                VerifyCause::KeyUsage {
                    subject,
                    required,
                    presented,
                },
            ));
        }
        Ok(())
    }

    fn limits_of(&self, path: &WebpkiPath<'_>) -> Option<&AnchorLimits> {
        let index = self
            .trust
            .anchors
            .iter()
            .position(|anchor| std::ptr::eq(anchor, path.anchor()))?;
        self.trust.limits.get(index).map(Arc::as_ref)
    }
}

/// The trust anchor's data in the description of a verified path.
struct Anchor {
    /// DER name, with its SEQUENCE.
    subject: Vec<u8>,
    /// DER subject public key info.
    key: Vec<u8>,
    /// The last second of its validity, unix, if known.
    not_after: Option<i64>,
    is_constrained: bool,
}

fn signed(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn unsigned(unix_seconds: i64) -> u64 {
    u64::try_from(unix_seconds).unwrap_or(0)
}
