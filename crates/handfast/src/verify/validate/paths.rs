//! Finding every path that the sent certificates and the trusted ones allow, within bounds.
//!
//! A link of a path is a signature, not a name: of several authorities of one name only the one whose key
//! signed is followed. If the signature cannot be verified, all that may have made it are followed. Owns the
//! search; `rules` checks whether a path is valid.

use std::collections::HashSet;

use pki_types::{CertificateDer, TrustAnchor};

use super::bounds::{Budget, Exhausted};
use super::certificate::{self, Certificate};
use super::signature::{self, Signature};
use crate::trust::{AnchorLimits, Resolved};

/// A trusted certificate with the name of an issuer in the chain.
pub(super) struct Trusted<'q> {
    pub(super) certificate: Certificate<'q>,
    /// Its limits; `None` for a trusted end-entity certificate.
    pub(super) limits: Option<&'q AnchorLimits>,
    /// The anchor in webpki's form; `None` if webpki does not accept this certificate.
    pub(super) webpki: Option<&'q TrustAnchor<'static>>,
}

impl Trusted<'_> {
    /// Whether it is a trust anchor.
    pub(super) fn is_anchor(&self) -> bool {
        self.limits.is_some()
    }
}

/// A path from the end entity upwards.
pub(super) struct Path {
    /// Positions in [`Paths::sent`], the end entity's first.
    pub(super) certificates: Vec<usize>,
    /// The result of each signature check; not for the last certificate of a dead end.
    pub(super) signatures: Vec<Signature>,
    pub(super) end: End,
}

/// The end of a path.
pub(super) enum End {
    /// At a trusted certificate: its position in [`Paths::trusted`].
    Trusted(usize),
    /// At the last certificate, because its issuer is not available.
    Nowhere(DeadEnd),
}

/// Why a path has no trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeadEnd {
    /// No certificate has the issuer's name.
    NoIssuer,
    /// It is self-signed.
    SelfSigned,
    /// Certificates have the issuer's name, but none of their keys made the signature.
    OtherKeys(Vec<Issuer>),
    /// Its issuer is on the path already.
    Cycle(usize),
}

/// A candidate issuer of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    /// A position in [`Paths::trusted`].
    Trusted(usize),
    /// A position in [`Paths::sent`].
    Sent(usize),
}

/// The issuers of one certificate.
#[derive(Clone, Default)]
struct Issuers {
    /// Those whose key signed; if the signature cannot be verified with any, those that may have.
    found: Vec<(Issuer, Signature)>,
    /// Those with the name whose key did not sign.
    namesakes: Vec<Issuer>,
    /// Whether the certificate's own key signed it, or may have if that cannot be verified.
    is_self_signed: bool,
}

/// The certificates of one validation, and the paths through them.
pub(super) struct Paths<'q> {
    /// The end entity's, then the others that can be parsed, without duplicates.
    pub(super) sent: Vec<Certificate<'q>>,
    pub(super) trusted: Vec<Trusted<'q>>,
    pub(super) found: Vec<Path>,
    /// Whether the search ended at a bound.
    pub(super) is_cut_short: bool,
}

impl<'q> Paths<'q> {
    /// Finds the paths from the end entity. `None` if not even its names can be parsed.
    pub(super) fn find(
        end_entity: &'q CertificateDer<'q>,
        intermediates: &'q [CertificateDer<'q>],
        trust: &'q Resolved,
    ) -> Option<Self> {
        let mut sent = vec![Certificate::read(Some(0), end_entity)?];
        let mut seen: HashSet<&[u8]> = HashSet::from([end_entity.as_ref()]);
        for (position, der) in intermediates.iter().enumerate() {
            if seen.insert(der)
                && let Some(certificate) = Certificate::read(position.checked_add(1), der)
            {
                sent.push(certificate);
            }
        }
        let trusted = trusted(&sent, trust);
        let mut search = Search {
            issuers: vec![None; sent.len()],
            sent: &sent,
            trusted: &trusted,
            budget: Budget::new(),
            found: Vec::new(),
        };
        let is_cut_short = search.follow(&mut vec![0], &mut Vec::new()).is_err();
        let found = search.found;
        Some(Self {
            found,
            is_cut_short,
            sent,
            trusted,
        })
    }

    pub(super) fn issuer(&self, issuer: Issuer) -> Option<&Certificate<'q>> {
        match issuer {
            Issuer::Trusted(position) => self.trusted.get(position).map(|one| &one.certificate),
            Issuer::Sent(position) => self.sent.get(position),
        }
    }
}

/// The trusted certificates with the name of an issuer in the chain; anchors first.
fn trusted<'q>(sent: &[Certificate<'q>], trust: &'q Resolved) -> Vec<Trusted<'q>> {
    let names: HashSet<&[u8]> = sent
        .iter()
        .map(|certificate| certificate.issuer_form.as_slice())
        .collect();
    let read = |der: &'q [u8]| {
        let is_named = names.contains(certificate::subject_form(der)?.as_slice());
        is_named.then(|| Certificate::read(None, der)).flatten()
    };
    let of_webpki = trust.anchors.iter().map(Some).zip(&trust.limits);
    let anchors = of_webpki.chain(trust.only_ours.iter().map(|limits| (None, limits)));
    let mut found: Vec<Trusted<'q>> = anchors
        .filter_map(|(webpki, limits)| {
            Some(Trusted {
                certificate: read(&limits.der)?,
                limits: Some(limits),
                webpki,
            })
        })
        .collect();
    let is_anchor: HashSet<&[u8]> = found.iter().map(|one| one.certificate.der).collect();
    let mut itself: Vec<Trusted<'q>> = trust
        .certificates
        .iter()
        .map(AsRef::as_ref)
        // A trusted end-entity certificate that was sent is on the path as it was sent.
        .filter(|der: &&[u8]| !is_anchor.contains(der) && !sent.iter().any(|one| one.der == *der))
        .filter_map(|der| {
            Some(Trusted {
                certificate: read(der)?,
                limits: None,
                webpki: None,
            })
        })
        .collect();
    // A set has no order, and messages must not differ between runs.
    itself.sort_by_key(|one| one.certificate.der);
    found.extend(itself);
    found
}

struct Search<'s, 'q> {
    sent: &'s [Certificate<'q>],
    trusted: &'s [Trusted<'q>],
    /// The issuers of each of `sent`, once determined.
    issuers: Vec<Option<Issuers>>,
    budget: Budget,
    found: Vec<Path>,
}

impl<'s, 'q> Search<'s, 'q> {
    /// Continues from the last certificate of `path`.
    fn follow(
        &mut self,
        path: &mut Vec<usize>,
        signatures: &mut Vec<Signature>,
    ) -> Result<(), Exhausted> {
        self.budget.take_step()?;
        let Some(&last) = path.last() else {
            return Ok(());
        };
        let issuers = self.issuers_of(last)?;
        let mut is_continued = false;
        let mut cycle = None;
        for (issuer, signature) in &issuers.found {
            let Some(certificate) = self.certificate(*issuer) else {
                continue;
            };
            signatures.push(signature.clone());
            match *issuer {
                Issuer::Trusted(position) => {
                    is_continued = true;
                    self.finish(path, signatures, End::Trusted(position))?;
                }
                Issuer::Sent(position) => {
                    // RFC 4158, 5.2: an authority must not be on a path twice.
                    let met = path.iter().copied().find(|position| {
                        self.sent.get(*position).is_some_and(|met| {
                            met.is_same_authority(&certificate.subject_form, certificate.key)
                        })
                    });
                    if met.is_some() {
                        cycle = cycle.or(met);
                    } else {
                        is_continued = true;
                        path.push(position);
                        self.follow(path, signatures)?;
                        path.pop();
                    }
                }
            }
            signatures.pop();
        }
        if is_continued {
            return Ok(());
        }
        let dead_end = match cycle {
            _ if issuers.is_self_signed => DeadEnd::SelfSigned,
            Some(position) => DeadEnd::Cycle(position),
            None if issuers.namesakes.is_empty() => DeadEnd::NoIssuer,
            None => DeadEnd::OtherKeys(issuers.namesakes),
        };
        self.finish(path, signatures, End::Nowhere(dead_end))
    }

    fn finish(
        &mut self,
        path: &[usize],
        signatures: &[Signature],
        end: End,
    ) -> Result<(), Exhausted> {
        self.budget.take_path()?;
        self.found.push(Path {
            certificates: path.to_vec(),
            signatures: signatures.to_vec(),
            end,
        });
        Ok(())
    }

    fn certificate(&self, issuer: Issuer) -> Option<&'s Certificate<'q>> {
        match issuer {
            Issuer::Trusted(position) => self.trusted.get(position).map(|one| &one.certificate),
            Issuer::Sent(position) => self.sent.get(position),
        }
    }

    fn issuers_of(&mut self, position: usize) -> Result<Issuers, Exhausted> {
        if let Some(Some(known)) = self.issuers.get(position) {
            return Ok(known.clone());
        }
        let issuers = self.look_for_issuers(position)?;
        if let Some(slot) = self.issuers.get_mut(position) {
            *slot = Some(issuers.clone());
        }
        Ok(issuers)
    }

    fn look_for_issuers(&mut self, position: usize) -> Result<Issuers, Exhausted> {
        let Some(child) = self.sent.get(position) else {
            return Ok(Issuers::default());
        };
        let trusted = (0..self.trusted.len()).map(Issuer::Trusted);
        // The end entity is not an issuer: other verifiers do not accept such a path either.
        let sent = (1..self.sent.len())
            .filter(|other| *other != position)
            .map(Issuer::Sent);
        let mut candidates: Vec<(Issuer, &Certificate<'_>)> = trusted
            .chain(sent)
            .filter_map(|issuer| Some((issuer, self.certificate(issuer)?)))
            .filter(|(_, certificate)| certificate.subject_form == child.issuer_form)
            .collect();
        // Candidates whose key identifiers match first, so that usually one signature is verified
        // instead of several. The sort is stable.
        candidates.sort_by_key(|(_, issuer)| child.names_another_key_than(issuer));
        let mut made_by: Option<&[u8]> = None;
        let mut is_self_signed = false;
        if child.is_self_issued() {
            // A root is self-issued, and so is a certificate that links an authority's old key to its new
            // one: the signature distinguishes them.
            is_self_signed = match signature::check(child, child, &mut self.budget)? {
                Signature::Made => {
                    made_by = Some(child.key);
                    true
                }
                Signature::NotMade => false,
                Signature::Unsupported(_) | Signature::KeyUnusable(_) => {
                    !child.names_another_key_than(child)
                }
            };
        }
        let mut made = Vec::new();
        let mut unverifiable = Vec::new();
        let mut namesakes = Vec::new();
        for (issuer, certificate) in candidates {
            let signature = match made_by {
                // One key made it, so the others did not.
                Some(key) if key == certificate.key => Signature::Made,
                Some(_) => Signature::NotMade,
                None => signature::check(child, certificate, &mut self.budget)?,
            };
            match signature {
                Signature::Made => {
                    made_by = Some(certificate.key);
                    made.push((issuer, signature));
                }
                Signature::NotMade => namesakes.push(issuer),
                _ if child.names_another_key_than(certificate) => namesakes.push(issuer),
                _ => unverifiable.push((issuer, signature)),
            }
        }
        // The search order: trusted certificates first, then in the order sent.
        made.sort_by_key(|(issuer, _)| order(*issuer));
        let found = if made.is_empty() { unverifiable } else { made };
        Ok(Issuers {
            found,
            namesakes,
            is_self_signed,
        })
    }
}

fn order(issuer: Issuer) -> (bool, usize) {
    match issuer {
        Issuer::Trusted(position) => (false, position),
        Issuer::Sent(position) => (true, position),
    }
}
