//! The caller's requirements on a peer's chain, and the order in which they are checked.

use std::sync::Arc;

use pki_types::{CertificateDer, UnixTime};

use super::additional::{Additional, AdditionalVerification, Candidate};
use super::error::{VerifyCause, VerifyError};
use super::finding::Finding;
use super::name::{self, MatchedBy, ServerName};
use super::ocsp::{StapleProblem, StapledResponse};
use super::path::{self, Attempt, VerifiedPath};
use super::pin::SpkiSha256;
use super::purpose::Purpose;
use super::revocation::RevocationLists;
use super::unfit;
use crate::trust::{Resolved, TrustAnchors};
use crate::x509;

/// The most intermediates that path building follows (rustls-webpki, mozilla::pkix and so Firefox).
pub const CHAIN_DEPTH_LIMIT: usize = 6;

/// The result of checking a stapled response.
pub(crate) type Staple = Result<StapledResponse, StapleProblem>;

/// The requirements on a peer's certificate chain. Immutable once built, cheap to clone.
///
/// Always checked: signatures up to a trust anchor, validity of every certificate and of the anchor,
/// basic constraints and path lengths, key usage, extended key usage, name constraints, key sizes,
/// and for servers the name. The methods add requirements; the one named `legacy` relaxes one.
///
/// ```
/// # use handfast::{ServerName, TrustAnchors, VerificationPolicy};
/// use handfast::UnixTime;
///
/// let policy = VerificationPolicy::new(TrustAnchors::empty()).with_chain_depth_max(2);
/// let name = ServerName::parse("shop.example")?;
/// let refused = policy.check_server_chain(&[], &name, UnixTime::now()).unwrap_err();
/// assert_eq!(refused.cause.id(), "no-certificate");
/// # Ok::<(), handfast::InvalidServerName>(())
/// ```
#[derive(Clone, Debug)]
pub struct VerificationPolicy {
    anchors: TrustAnchors,
    chain_depth_max: usize,
    pins: Vec<SpkiSha256>,
    own_key_pins: Vec<SpkiSha256>,
    legacy_common_name: bool,
    revocation: RevocationLists,
    additional: Additional,
}

impl VerificationPolicy {
    /// The largest number of intermediates; no higher limit can be set.
    pub const CHAIN_DEPTH_LIMIT: usize = CHAIN_DEPTH_LIMIT;

    /// The checks above, against `anchors`, with no pins and no revocation lists.
    pub fn new(anchors: TrustAnchors) -> Self {
        Self {
            anchors,
            chain_depth_max: CHAIN_DEPTH_LIMIT,
            pins: Vec::new(),
            own_key_pins: Vec::new(),
            legacy_common_name: false,
            revocation: RevocationLists::none(),
            additional: Additional::default(),
        }
    }

    /// Replaces the trust anchors.
    #[must_use]
    pub fn with_anchors(mut self, anchors: TrustAnchors) -> Self {
        self.anchors = anchors;
        self
    }

    /// The number of intermediates allowed between the end entity and the trust anchor: 0 means that
    /// an anchor itself must have issued the peer's certificate. Counted as a path length is (RFC 5280,
    /// 4.2.1.9): a self-issued intermediate, by which an authority changes its key, does not count.
    ///
    /// Default 6, which is also the maximum: public chains have one or two, cross-signed ones three, and
    /// the path builder follows no longer ones. A larger number is treated as 6.
    #[must_use]
    pub fn with_chain_depth_max(mut self, intermediates_max: usize) -> Self {
        self.chain_depth_max = intermediates_max.min(CHAIN_DEPTH_LIMIT);
        self
    }

    /// Requires a pinned key in the verified path: the peer's own, an intermediate's, or the anchor's (as
    /// RFC 7469, 2.6). One of several pins suffices. Pins are required in addition to all other checks.
    /// Default: none.
    #[must_use]
    pub fn with_pin(mut self, pin: SpkiSha256) -> Self {
        self.pins.push(pin);
        self
    }

    /// Requires this key to be the peer's own: that of an authority does not suffice. One of several pins suffices. Required
    /// in addition to all other checks, and to [`with_pin`](Self::with_pin). Default: none.
    #[must_use]
    pub fn with_own_key_pin(mut self, pin: SpkiSha256) -> Self {
        self.own_key_pins.push(pin);
        self
    }

    /// Whether the subject's common name is matched if the certificate has no subject alternative name of
    /// DNS or IP type. RFC 9525 forbids it, and certificates made since 2017 should not need it. It is
    /// never matched below an authority with name constraints, which would not apply to it. Default: no.
    #[must_use]
    pub fn with_legacy_common_name(mut self, allowed: bool) -> Self {
        self.legacy_common_name = allowed;
        self
    }

    /// Checks certificates against these revocation lists. Default: none, nothing is checked.
    #[must_use]
    pub fn with_revocation_lists(mut self, revocation: RevocationLists) -> Self {
        self.revocation = revocation;
        self
    }

    /// Adds a check of every peer that passes all other checks. It can refuse a peer, but not accept one that was refused.
    /// May be called repeatedly: every check must accept the peer. Default: none.
    #[must_use]
    pub fn with_additional(mut self, check: impl AdditionalVerification + 'static) -> Self {
        self.additional.push(Arc::new(check));
        self
    }

    /// As [`with_additional`](Self::with_additional), for those of a builder.
    pub(crate) fn with_all_additional(mut self, checks: Additional) -> Self {
        self.additional.extend(checks);
        self
    }

    /// The policy for the server of an ECH public name. Pins and additional checks are about the server that was asked
    /// for, which is another one. Nothing but the rejection of the encrypted hello is accepted from this one.
    pub(crate) fn for_ech_public_name(&self) -> Self {
        Self {
            pins: Vec::new(),
            own_key_pins: Vec::new(),
            additional: Additional::default(),
            ..self.clone()
        }
    }

    /// Whether there are additional checks.
    pub(crate) fn has_additional(&self) -> bool {
        !self.additional.is_empty()
    }

    /// The trust anchors.
    pub fn anchors(&self) -> &TrustAnchors {
        &self.anchors
    }

    /// The number of intermediates allowed.
    pub fn chain_depth_max(&self) -> usize {
        self.chain_depth_max
    }

    /// The pinned keys.
    pub fn pins(&self) -> &[SpkiSha256] {
        &self.pins
    }

    /// The keys of which one has to be the peer's own.
    pub fn own_key_pins(&self) -> &[SpkiSha256] {
        &self.own_key_pins
    }

    /// The revocation lists.
    pub fn revocation_lists(&self) -> &RevocationLists {
        &self.revocation
    }

    /// Verifies `chain`, end entity first, followed by the other certificates that a server sent, for `name` at
    /// `now`.
    ///
    /// A client does this during a handshake; this method is for chains from elsewhere.
    ///
    /// # Errors
    /// [`VerifyError`], with the chain in it.
    pub fn check_server_chain(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName,
        now: UnixTime,
    ) -> Result<VerifiedPath, VerifyError> {
        match chain.split_first() {
            Some((end_entity, rest)) => self
                .check_server(end_entity, rest, name, &[], now)
                .map(|(path, _)| path),
            None => Err(no_certificate(Purpose::ServerAuth, Some(name), now)),
        }
    }

    /// Verifies the chain of a client at `now`: as for a server, without a name.
    ///
    /// # Errors
    /// [`VerifyError`], with the chain in it.
    pub fn check_client_chain(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VerifiedPath, VerifyError> {
        match chain.split_first() {
            Some((end_entity, rest)) => self.check_client(end_entity, rest, now),
            None => Err(no_certificate(Purpose::ClientAuth, None, now)),
        }
    }

    /// [`check_server_chain`](Self::check_server_chain) for a chain in the two parts that rustls
    /// passes, with the stapled OCSP response, or an empty one.
    ///
    /// A valid response with the status "revoked" is always respected. Any other response changes nothing,
    /// because a server need not send one.
    pub(crate) fn check_server(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<(VerifiedPath, Option<Staple>), VerifyError> {
        self.check(
            end_entity,
            intermediates,
            Purpose::ServerAuth,
            Some(name),
            staple,
            now,
        )
    }

    /// [`check_client_chain`](Self::check_client_chain), likewise.
    pub(crate) fn check_client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VerifiedPath, VerifyError> {
        self.check(
            end_entity,
            intermediates,
            Purpose::ClientAuth,
            None,
            &[],
            now,
        )
        .map(|(path, _)| path)
    }

    /// Runs the additional checks again for a resumed session: its chain was verified in the original
    /// handshake.
    pub(crate) fn check_resumed_server(
        &self,
        path: &VerifiedPath,
        name: &ServerName,
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        self.objection(path, Some(name))
            .map_err(|finding| VerifyError {
                cause: finding.cause,
                at_index: finding.at_index,
                chain: path.chain().to_vec(),
                trust_problems: Vec::new(),
                purpose: Purpose::ServerAuth,
                name: Some(name.as_str().to_owned()),
                now: now.as_secs(),
            })
    }

    fn objection(&self, path: &VerifiedPath, name: Option<&ServerName>) -> Result<(), Finding> {
        let candidate = Candidate {
            server_name: name,
            path,
        };
        self.additional.verify(&candidate).map_err(|objection| {
            let reason = objection.reason().to_owned();
            Finding::at(0, VerifyCause::RefusedByApplication { reason })
        })
    }

    /// The result of webpki with our rules for a chain, and that of our own validation alone.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn opinions(
        &self,
        chain: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Option<(bool, Result<(), VerifyCause>)> {
        let (end_entity, intermediates) = chain.split_first()?;
        path::check_size(end_entity, intermediates).ok()?;
        let attempt = Attempt {
            end_entity,
            intermediates,
            trust: self.anchors.resolved(),
            chain_depth_max: self.chain_depth_max,
            revocation: &self.revocation,
            pins: &self.pins,
            purpose,
            now,
        };
        let (fast, validated) = attempt.opinions()?;
        Some((fast, validated.map_err(|finding| finding.cause)))
    }

    /// A fingerprint of the whole policy: different policies have different fingerprints.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let trust = self.anchors.resolved();
        let mut parts: Vec<Vec<u8>> = trust
            .anchors
            .iter()
            .map(|anchor| {
                [
                    anchor.subject.as_ref(),
                    anchor.subject_public_key_info.as_ref(),
                    anchor.name_constraints.as_deref().unwrap_or_default(),
                ]
                .concat()
            })
            .chain(trust.only_ours.iter().map(|limits| limits.der.to_vec()))
            .chain(
                trust
                    .certificates
                    .iter()
                    .map(|certificate| certificate.to_vec()),
            )
            .collect();
        parts.sort_unstable();
        parts.push(
            format!(
                "{} {:?} {:?}",
                self.chain_depth_max, self.pins, self.own_key_pins
            )
            .into_bytes(),
        );
        parts.push(self.revocation.fingerprint().to_vec());
        let digests: Vec<u8> = parts.iter().flat_map(|part| x509::sha256(part)).collect();
        x509::sha256(&digests)
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        name: Option<&ServerName>,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<(VerifiedPath, Option<Staple>), VerifyError> {
        let verify = |trust: &Resolved, way: Way| {
            let attempt = Attempt {
                end_entity,
                intermediates,
                trust,
                chain_depth_max: self.chain_depth_max,
                revocation: &self.revocation,
                pins: &self.pins,
                purpose,
                now,
            };
            let verified = match way {
                Way::Fast => attempt.run_fast(),
                Way::Whole => attempt.run(),
            }?;
            if let Some(name) = name {
                let matched = name::check(end_entity, name, self.legacy_common_name)
                    .map_err(|cause| Finding::at(0, cause))?;
                // Constraints apply to alternative names. If the common name were accepted, a
                // constrained authority could evade its constraints.
                if let MatchedBy::CommonName(common_name) = matched
                    && !verified.constrained_by().is_empty()
                {
                    return Err(Finding::at(
                        0,
                        VerifyCause::NameConstraint {
                            subject: x509::subject_of(end_entity),
                            name: common_name,
                            constrained_by: verified.constrained_by().join(", "),
                            constraint: "a common name cannot be compared with its constraints"
                                .to_owned(),
                        },
                    ));
                }
            }
            // For a trusted end-entity certificate; the keys of a path were checked with the path.
            VerifyCause::check_pins(&self.pins, verified.spki_sha256s())
                .map_err(Finding::anywhere)?;
            VerifyCause::check_own_key(&self.own_key_pins, end_entity)
                .map_err(|cause| Finding::at(0, cause))?;
            let staple = (!staple.is_empty())
                .then(|| StapledResponse::check_by(staple, end_entity, verified.issuer(), now));
            if let Some(Ok(response)) = &staple
                && let Some(cause) = response.revokes(end_entity)
            {
                return Err(Finding::at(0, cause));
            }
            Ok((verified, staple))
        };
        // Some of the anchors may be enough to accept; a refusal, and its reason, needs all of them.
        let result = path::check_size(end_entity, intermediates).and_then(|()| {
            let likely = self.anchors.likely(end_entity, intermediates);
            match likely.map(|likely| verify(&likely, Way::Fast)) {
                Some(Ok(verified)) => Ok(verified),
                Some(Err(_)) | None => verify(self.anchors.resolved(), Way::Whole),
            }
        });
        let result = result.and_then(|(verified, staple)| {
            self.objection(&verified, name)?;
            Ok((verified, staple))
        });
        result.map_err(|finding: Finding| {
            let chain: Vec<_> = std::iter::once(end_entity)
                .chain(intermediates)
                .map(|der| der.clone().into_owned())
                .collect();
            let (finding, trust_problems) =
                unfit::explain(finding, &chain, self.anchors.resolved());
            VerifyError {
                cause: finding.cause,
                at_index: finding.at_index,
                chain,
                trust_problems,
                purpose,
                name: name.map(|name| name.as_str().to_owned()),
                now: now.as_secs(),
            }
        })
    }
}

/// How much work is done to find a path.
#[derive(Clone, Copy)]
enum Way {
    /// Little: a refusal is not final.
    Fast,
    /// Everything, including the reason of a refusal.
    Whole,
}

fn no_certificate(purpose: Purpose, name: Option<&ServerName>, now: UnixTime) -> VerifyError {
    VerifyError {
        cause: VerifyCause::NoCertificate,
        at_index: None,
        chain: Vec::new(),
        trust_problems: Vec::new(),
        purpose,
        name: name.map(|name| name.as_str().to_owned()),
        now: now.as_secs(),
    }
}
