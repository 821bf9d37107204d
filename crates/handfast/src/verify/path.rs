//! Finding a path from a peer's certificate to somebody we trust.
//!
//! webpki builds candidates and checks most of RFC 5280, 6.1; `Attempt` adds, on each candidate, the
//! rules that webpki leaves out, so that path building goes on with the next candidate when ours
//! refuse one. A chain that fails is handed to `diagnose`.

use std::cell::RefCell;
use std::sync::Arc;

use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use webpki::{EndEntityCert, VerifiedPath as WebpkiPath};
use x509_parser::certificate::X509Certificate;

use super::anchor;
use super::diagnose;
use super::error::VerifyCause;
use super::ocsp::Issuer;
use super::policy::Purpose;
use super::revocation::{RevocationLists, Signer};
use crate::trust::{AnchorLimits, Resolved};
use crate::x509::{self, CertificateFacts, Depth};

/// Real chains have up to five certificates and are under 16 KiB; some servers send a whole bundle.
/// Beyond these limits a peer only costs us time.
const CERTIFICATES_MAX: usize = 32;
/// See [`CERTIFICATES_MAX`].
const CHAIN_BYTES_MAX: usize = 256 * 1024;
/// CA/Browser Forum baseline since 2014, and what aws-lc verifies at least.
pub(super) const RSA_BITS_MIN: u32 = 2048;

/// Signature algorithms for certificates: what the cryptographic provider verifies.
pub(super) fn signature_algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// A chain that was verified: the peer's certificate, the intermediates that were used, in order, and
/// what it all rests on. Only verification makes one.
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
    /// End entity first, then the intermediates used; without the trust anchor. Certificates that the
    /// peer sent but nobody needed are left out.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// What the chain rests on.
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

    /// Who issued the peer's own certificate; `None` for one that is trusted as itself.
    pub(super) fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    /// The authorities of the path that are bound by name constraints, escaped.
    pub(super) fn constrained_by(&self) -> &[String] {
        &self.constrained_by
    }
}

/// What a verified path rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathAnchor {
    /// A trusted authority.
    Authority {
        /// Its name, escaped.
        subject: String,
    },
    /// Nothing but itself: the caller trusts this very certificate.
    Itself,
}

/// What was found wrong, and with which certificate of the chain as sent.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) cause: VerifyCause,
    pub(super) at_index: Option<usize>,
}

impl Finding {
    pub(super) fn at(index: usize, cause: VerifyCause) -> Self {
        Self {
            cause,
            at_index: Some(index),
        }
    }

    pub(super) fn anywhere(cause: VerifyCause) -> Self {
        Self {
            cause,
            at_index: None,
        }
    }
}

/// Refuses chains that no honest peer sends, before anything is parsed.
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

/// One judgement of one chain.
pub(super) struct Attempt<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) trust: &'a Resolved,
    pub(super) chain_depth_max: usize,
    pub(super) revocation: &'a RevocationLists,
    pub(super) purpose: Purpose,
    pub(super) now: UnixTime,
}

impl Attempt<'_> {
    pub(super) fn run(&self) -> Result<VerifiedPath, Finding> {
        let end_entity = EndEntityCert::try_from(self.end_entity)
            .map_err(|error| diagnose::unreadable(0, self.end_entity, &error))?;
        let outline = x509::parse(self.end_entity, Depth::Outline).map_err(|malformed| {
            Finding::at(
                0,
                VerifyCause::Malformed {
                    detail: malformed.detail,
                },
            )
        })?;
        let path = if self.trust.certificates.contains(self.end_entity) {
            self.run_trusted_as_itself(&outline)?
        } else {
            self.run_to_anchor(&end_entity, &outline)?
        };
        self.check_own_key(&outline)?;
        Ok(path)
    }

    /// The caller trusts these very bytes: nobody has to vouch for them, but they must still be valid
    /// now and made for this purpose.
    ///
    /// A trust anchor's revocation status is nobody's to say (as in RFC 5280, 6.1), so none is
    /// demanded; a list that names the certificate is believed all the same.
    fn run_trusted_as_itself(
        &self,
        outline: &X509Certificate<'_>,
    ) -> Result<VerifiedPath, Finding> {
        let facts = CertificateFacts::from_der(self.end_entity).map_err(|error| {
            Finding::at(
                0,
                VerifyCause::Malformed {
                    detail: error.detail,
                },
            )
        })?;
        let subject = &facts.subject;
        check_lifetime(facts.not_before, facts.not_after, self.now, subject)
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
            .check_itself(outline, seconds(self.now))
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

    fn run_to_anchor(
        &self,
        end_entity: &EndEntityCert<'_>,
        outline: &X509Certificate<'_>,
    ) -> Result<VerifiedPath, Finding> {
        if self.trust.anchors.is_empty() && self.trust.only_ours.is_empty() {
            return Err(if self.trust.certificates.is_empty() {
                Finding::at(0, VerifyCause::NoTrustAnchors)
            } else {
                diagnose::explain(self, outline, webpki::Error::UnknownIssuer)
            });
        }
        // A path that webpki accepts and our rules do not: the best explanation there can be, because
        // it is the only thing that stood in the way.
        let refused_by_us: RefCell<Option<Finding>> = RefCell::new(None);
        let judge = |candidate: &WebpkiPath<'_>| {
            self.judge(candidate, outline).map_err(|finding| {
                refused_by_us.borrow_mut().get_or_insert(finding);
                // Any error that lets webpki try the next path; ours is the one that is reported.
                webpki::Error::MaximumPathDepthExceeded
            })
        };
        let algorithms: &[&dyn SignatureVerificationAlgorithm] = signature_algorithms().all;
        let verified = end_entity.verify_for_usage(
            algorithms,
            &self.trust.anchors,
            self.intermediates,
            self.now,
            self.purpose.key_usage(),
            None,
            Some(&judge),
        );
        match verified {
            Ok(path) => self.describe(&path, outline),
            Err(error) => Err(refused_by_us
                .into_inner()
                .unwrap_or_else(|| diagnose::explain(self, outline, error))),
        }
    }

    /// Our rules for a path that webpki would accept.
    fn judge(
        &self,
        candidate: &WebpkiPath<'_>,
        end_entity: &X509Certificate<'_>,
    ) -> Result<(), Finding> {
        let depth = candidate.intermediate_certificates().count();
        if depth > self.chain_depth_max {
            let depth_max = self.chain_depth_max;
            return Err(Finding::anywhere(VerifyCause::DepthExceeded {
                depth,
                depth_max,
            }));
        }
        for intermediate in candidate.intermediate_certificates() {
            let der = intermediate.der();
            let index = self.index_of(&der);
            let outline = x509::parse(&der, Depth::Outline).map_err(|malformed| Finding {
                cause: VerifyCause::Malformed {
                    detail: malformed.detail,
                },
                at_index: index,
            })?;
            // webpki leaves key usage out, trusting basic constraints alone.
            if let Some(usage) = x509::key_usage(&outline)
                && !usage.key_cert_sign()
            {
                let cause = VerifyCause::KeyUsage {
                    subject: x509::describe_name(outline.subject()),
                    required: "keyCertSign",
                    presented: x509::describe_key_usage(&usage),
                };
                return Err(Finding {
                    cause,
                    at_index: index,
                });
            }
        }
        if let Some(limits) = self.limits_of(candidate) {
            let below = candidate
                .intermediate_certificates()
                .filter(|one| one.subject() != one.issuer())
                .count();
            anchor::check(limits, self.purpose, below, self.now).map_err(Finding::anywhere)?;
        }
        self.check_revocation(candidate, end_entity)
    }

    /// webpki is given no lists: what counts, and why, is judged here.
    fn check_revocation(
        &self,
        candidate: &WebpkiPath<'_>,
        end_entity: &X509Certificate<'_>,
    ) -> Result<(), Finding> {
        if self.revocation.is_empty() {
            return Ok(());
        }
        let ders: Vec<CertificateDer<'_>> = candidate
            .intermediate_certificates()
            .map(|intermediate| intermediate.der())
            .collect();
        let mut intermediates = Vec::with_capacity(ders.len());
        for der in &ders {
            intermediates.push(x509::parse(der, Depth::Outline).map_err(|malformed| {
                Finding::anywhere(VerifyCause::Malformed {
                    detail: malformed.detail,
                })
            })?);
        }
        let path: Vec<&X509Certificate<'_>> =
            std::iter::once(end_entity).chain(&intermediates).collect();
        let anchor = candidate.anchor();
        let anchor = Signer {
            name: &x509::wrap_sequence(&anchor.subject),
            key: &webpki::spki_for_anchor(anchor),
            key_usage: self
                .limits_of(candidate)
                .and_then(|limits| limits.key_usage),
        };
        self.revocation
            .check_path(&path, &anchor, self.intermediates, seconds(self.now))
            .map_err(|(position, cause)| Finding {
                cause,
                at_index: match position.checked_sub(1) {
                    None => Some(0),
                    Some(above) => ders.get(above).and_then(|der| self.index_of(der)),
                },
            })
    }

    fn describe(
        &self,
        path: &WebpkiPath<'_>,
        outline: &X509Certificate<'_>,
    ) -> Result<VerifiedPath, Finding> {
        let mut chain = vec![self.end_entity.clone().into_owned()];
        let mut spki_sha256s = vec![x509::sha256(outline.public_key().raw)];
        let mut not_after = outline.validity().not_after.timestamp();
        let mut constrained_by = Vec::new();
        for intermediate in path.intermediate_certificates() {
            let der = intermediate.der();
            spki_sha256s.push(x509::sha256(&intermediate.subject_public_key_info()));
            let outline = x509::parse(&der, Depth::Outline).map_err(|malformed| {
                Finding::anywhere(VerifyCause::Malformed {
                    detail: malformed.detail,
                })
            })?;
            not_after = not_after.min(outline.validity().not_after.timestamp());
            if x509::has_name_constraints(&outline) {
                constrained_by.push(x509::describe_name(outline.subject()));
            }
            chain.push(der.into_owned());
        }
        if let Some(limits) = self.limits_of(path) {
            not_after = not_after.min(limits.not_after);
        }
        let anchor_key = webpki::spki_for_anchor(path.anchor());
        let issuer = match path.intermediate_certificates().next() {
            Some(issuer) => Issuer {
                name: x509::wrap_sequence(issuer.subject()),
                key: issuer.subject_public_key_info().to_vec(),
            },
            None => Issuer {
                name: x509::wrap_sequence(&path.anchor().subject),
                key: anchor_key.to_vec(),
            },
        };
        spki_sha256s.push(x509::sha256(&anchor_key));
        let subject = x509::describe_name_content(&path.anchor().subject);
        if path.anchor().name_constraints.is_some() {
            constrained_by.push(subject.clone());
        }
        Ok(VerifiedPath {
            chain,
            anchor: PathAnchor::Authority { subject },
            not_after: unsigned(not_after),
            spki_sha256s,
            constrained_by,
            issuer: Some(issuer),
        })
    }

    /// The peer's own key signs the handshake, so it must be strong enough and allowed to sign
    /// (RFC 8446, 4.4.2.2: digitalSignature must be set if key usage is present).
    fn check_own_key(&self, outline: &X509Certificate<'_>) -> Result<(), Finding> {
        let subject = || x509::describe_name(outline.subject());
        if let Some(cause) = weak_key(outline) {
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

    pub(super) fn index_of(&self, der: &CertificateDer<'_>) -> Option<usize> {
        self.intermediates
            .iter()
            .position(|sent| sent.as_ref() == der.as_ref())
            .and_then(|position| position.checked_add(1))
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

/// Whether `now` lies within a lifetime, both ends included.
pub(super) fn check_lifetime(
    not_before: i64,
    not_after: i64,
    now: UnixTime,
    subject: &str,
) -> Result<(), VerifyCause> {
    let now = seconds(now);
    let subject = subject.to_owned();
    if now > not_after {
        Err(VerifyCause::Expired {
            subject,
            not_after,
            now,
        })
    } else if now < not_before {
        Err(VerifyCause::NotYetValid {
            subject,
            not_before,
            now,
        })
    } else {
        Ok(())
    }
}

/// Says so if a certificate's key is too small to mean anything.
pub(super) fn weak_key(outline: &X509Certificate<'_>) -> Option<VerifyCause> {
    let (algorithm, bits) = x509::describe_key(outline.public_key());
    let bits = bits.filter(|bits| algorithm == "RSA" && *bits < RSA_BITS_MIN)?;
    let subject = x509::describe_name(outline.subject());
    Some(VerifyCause::WeakKey {
        subject,
        algorithm,
        bits,
        bits_min: RSA_BITS_MIN,
    })
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn unsigned(unix_seconds: i64) -> u64 {
    u64::try_from(unix_seconds).unwrap_or(0)
}
