//! Checking whether a certificate of a path was revoked (RFC 5280, 6.3).
//!
//! Owns which lists apply to a certificate, which of several, and the result. RFC 5280 does not define
//! the result if lists contradict each other; here a certificate is revoked if any list revokes it, and
//! only a hold can end.

use std::cmp::Reverse;
use std::sync::Arc;

use pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::KeyUsage;
use x509_parser::oid_registry as oids;

use super::list::{Entry, List, Number, Reason, Signature};
use super::lists::{ExpiredLists, RevocationLists, RevocationScope, UnknownStatus};
use super::scope::{Point, Reasons, Target};
use super::summary::{CrlFault, Uncounted, UncountedCrl};
use crate::hex;
use crate::verify::error::{RevokedBy, VerifyCause};
use crate::verify::issued;
use crate::x500;
use crate::x509::{self, Depth};

/// Certificates outside of the path that may sign lists: each may cost a signature verification. One is usual.
const DELEGATES_MAX: usize = 4;

/// A possible signer of a list: an authority of the path, or a delegate that one of them issued.
#[derive(Clone, Copy)]
pub(in crate::verify) struct Signer<'a> {
    /// DER, with its SEQUENCE.
    pub(in crate::verify) name: &'a [u8],
    /// SPKI, DER.
    pub(in crate::verify) key: &'a [u8],
    /// The key usage of its certificate, if known and present.
    pub(in crate::verify) key_usage: Option<KeyUsage>,
}

impl<'a> Signer<'a> {
    fn of(certificate: &'a X509Certificate<'_>) -> Self {
        Self {
            name: certificate.subject().as_raw(),
            key: certificate.public_key().raw,
            key_usage: x509::key_usage(certificate),
        }
    }

    /// RFC 5280, 6.3.3, f: a key usage, if present, must allow this.
    fn may_sign_lists(&self) -> bool {
        self.key_usage.as_ref().is_none_or(KeyUsage::crl_sign)
    }
}

/// The status of one certificate according to the lists.
enum Status {
    Good,
    Revoked(VerifyCause),
    Undecided(VerifyCause),
}

/// A list that applies to the certificate and is properly signed.
struct Usable<'a> {
    list: &'a List,
    /// The position of the signer.
    signer: usize,
    reasons: Reasons,
}

impl RevocationLists {
    /// Looks up every certificate of `path`, end entity first, in the lists, as far as the policy requires it.
    /// `anchor` is the trust anchor of the path. A certificate of `sent` that an authority of the path issued
    /// for signing lists may have signed one.
    ///
    /// # Errors
    /// The position in the path, and the cause. A revocation takes precedence.
    pub(in crate::verify) fn check_path(
        &self,
        path: &[&X509Certificate<'_>],
        anchor: &Signer<'_>,
        sent: &[CertificateDer<'_>],
        now: i64,
    ) -> Result<(), (usize, VerifyCause)> {
        let own = self.check_own(path, anchor, sent, now);
        let Some(also) = &self.also else {
            return own;
        };
        match (own, also.check_path(path, anchor, sent, now)) {
            (Ok(()), also) => also,
            (Err(_), Err((position, cause @ VerifyCause::Revoked { .. }))) => {
                Err((position, cause))
            }
            (own, _) => own,
        }
    }

    /// Checks only its own lists.
    fn check_own(
        &self,
        path: &[&X509Certificate<'_>],
        anchor: &Signer<'_>,
        sent: &[CertificateDer<'_>],
        now: i64,
    ) -> Result<(), (usize, VerifyCause)> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let count = match self.scope {
            RevocationScope::EndEntity => 1,
            RevocationScope::Chain => path.len(),
        };
        let beside: Vec<X509Certificate<'_>> = self.beside(path, sent).collect();
        let mut undecided = None;
        for (position, certificate) in path.iter().take(count).enumerate() {
            // A certificate cannot sign its own status: only the keys above it can.
            let above = path.get(position.saturating_add(1)..).unwrap_or_default();
            let mut signers: Vec<Signer<'_>> = above.iter().map(|one| Signer::of(one)).collect();
            signers.push(*anchor);
            self.add_delegates(&mut signers, &beside, now);
            match self.status(certificate, &signers, now) {
                Status::Good => {}
                Status::Revoked(cause) => return Err((position, cause)),
                Status::Undecided(cause) => {
                    undecided.get_or_insert((position, cause));
                }
            }
        }
        undecided.map_or(Ok(()), Err)
    }

    /// Whether a list revokes the certificate, with any signer: for a trusted end-entity certificate, whose
    /// issuer is not known.
    pub(in crate::verify) fn check_itself(
        &self,
        certificate: &X509Certificate<'_>,
        now: i64,
    ) -> Result<(), VerifyCause> {
        if let Some(also) = &self.also {
            also.check_itself(certificate, now)?;
        }
        let issuer = certificate.issuer().as_raw();
        for list in &self.lists {
            let is_about = self.target(certificate).may_be_on_list_of(&list.issuer);
            if !is_about || is_from_the_future(list, now) {
                continue;
            }
            if let Some(entry) = list.entry(issuer, certificate.raw_serial())
                && entry.reason != Reason::Removed
            {
                return Err(revoked(certificate, list, entry));
            }
        }
        Ok(())
    }

    /// Certificates that were sent, are not on the path, and have the name of a list's issuer.
    fn beside<'s>(
        &self,
        path: &[&X509Certificate<'_>],
        sent: &'s [CertificateDer<'_>],
    ) -> impl Iterator<Item = X509Certificate<'s>> {
        sent.iter()
            .filter(|der| EndEntityCert::try_from(*der).is_ok())
            .filter_map(|der| x509::parse(der, Depth::Outline).ok())
            .filter(|certificate| {
                let is_on_path = path.iter().any(|one| {
                    one.tbs_certificate.as_ref() == certificate.tbs_certificate.as_ref()
                });
                let name = certificate.subject().as_raw();
                let is_issuer = self
                    .lists
                    .iter()
                    .any(|list| x500::equal(&list.issuer, name));
                // A key usage is required here, since nothing else authorizes this certificate to sign lists.
                let may_sign = x509::key_usage(certificate).is_some_and(|usage| usage.crl_sign());
                !is_on_path && is_issuer && may_sign
            })
            .take(DELEGATES_MAX)
    }

    /// Adds those that one of the signers has issued and not revoked.
    fn add_delegates<'a>(
        &self,
        signers: &mut Vec<Signer<'a>>,
        beside: &'a [X509Certificate<'a>],
        now: i64,
    ) {
        let delegates: Vec<Signer<'a>> = beside
            .iter()
            .filter(|one| {
                let validity = one.validity();
                let is_current =
                    validity.not_before.timestamp() <= now && now <= validity.not_after.timestamp();
                let is_issued = signers.iter().any(|signer| {
                    x500::equal(signer.name, one.issuer().as_raw())
                        && issued::is_signed_by(one, &SubjectPublicKeyInfoDer::from(signer.key))
                });
                is_current
                    && is_issued
                    && !matches!(self.status(one, signers, now), Status::Revoked(_))
            })
            .map(Signer::of)
            .collect();
        signers.extend(delegates);
    }

    fn target<'a>(&self, certificate: &'a X509Certificate<'_>) -> Target<'a> {
        let issuer = certificate.issuer().as_raw();
        let points = certificate
            .get_extension_unique(&oids::OID_X509_EXT_CRL_DISTRIBUTION_POINTS)
            .map(|extension| match extension {
                Some(extension) => Point::read_all(extension.value, issuer),
                None => Some(Vec::new()),
            });
        Target {
            issuer,
            is_authority: x509::is_authority(certificate),
            points: points.ok().flatten(),
        }
    }

    fn status(
        &self,
        certificate: &X509Certificate<'_>,
        signers: &[Signer<'_>],
        now: i64,
    ) -> Status {
        let target = self.target(certificate);
        let mut usable: Vec<Usable<'_>> = Vec::new();
        let mut uncounted: Vec<UncountedCrl> = Vec::new();
        let mut unusable = None;
        for list in &self.lists {
            if !target.may_be_on_list_of(&list.issuer) {
                continue;
            }
            let mut pass_over = |reason| {
                let list = Arc::clone(&list.summary);
                uncounted.push(UncountedCrl { list, reason });
            };
            if is_from_the_future(list, now) {
                pass_over(Uncounted::FromTheFuture { now });
                continue;
            }
            let reasons = match list.scope.covers(&list.issuer, &target) {
                Ok(reasons) => reasons,
                Err(detail) => {
                    pass_over(Uncounted::OtherScope { detail });
                    continue;
                }
            };
            match signer_of(list, signers) {
                Ok(signer) => usable.push(Usable {
                    list,
                    signer,
                    reasons,
                }),
                Err(None) => pass_over(Uncounted::OtherKey),
                Err(Some(fault)) => {
                    unusable.get_or_insert_with(|| VerifyCause::CrlUnusable {
                        list: Arc::clone(&list.summary),
                        fault,
                    });
                }
            }
        }
        let mut covered = Reasons::NONE;
        let mut expired: Option<&List> = None;
        for group in groups(&usable) {
            let issuer = certificate.issuer().as_raw();
            let state = State::of(&group);
            if let Some((list, entry)) = state.revocation(&group, issuer, certificate.raw_serial())
            {
                return Status::Revoked(revoked(certificate, list, entry));
            }
            let Some(newest) = state.newest else {
                for one in &group {
                    uncounted.push(UncountedCrl {
                        list: Arc::clone(&one.list.summary),
                        reason: Uncounted::WithoutBase,
                    });
                }
                continue;
            };
            if now <= state.next_update || self.expired == ExpiredLists::Accept {
                let reasons = newest.reasons;
                covered = covered.or(reasons);
            } else if expired.is_none_or(|known| known.next_update < state.next_update) {
                expired = Some(newest.list);
            }
        }
        if covered == Reasons::ALL {
            return Status::Good;
        }
        if let Some(unusable) = unusable {
            return Status::Undecided(unusable);
        }
        if let Some(list) = expired {
            return Status::Undecided(VerifyCause::CrlExpired {
                list: Arc::clone(&list.summary),
                next_update: list.next_update,
                now,
            });
        }
        if self.unknown == UnknownStatus::Accept {
            return Status::Good;
        }
        let missing = Reasons::ALL.without(covered);
        let complete = usable.iter().filter(|one| one.list.base.is_none());
        uncounted.extend(complete.map(|one| UncountedCrl {
            list: Arc::clone(&one.list.summary),
            reason: match one.reasons == Reasons::NONE {
                true => Uncounted::OtherScope {
                    detail:
                        "according to the certificate, lists of other issuers cover it".to_owned(),
                },
                false => Uncounted::SomeReasons {
                    missing: missing.to_string(),
                },
            },
        }));
        Status::Undecided(VerifyCause::RevocationUnknown {
            subject: x509::describe_name(certificate.subject()),
            issuer: x509::describe_name(certificate.issuer()),
            uncounted,
        })
    }
}

/// Groups lists by scope and key; the newest of a group applies.
fn groups<'a>(usable: &'a [Usable<'a>]) -> Vec<Vec<&'a Usable<'a>>> {
    let mut groups: Vec<Vec<&Usable<'_>>> = Vec::new();
    for one in usable {
        let group = groups.iter_mut().find(|group| {
            group.first().is_some_and(|first| {
                first.signer == one.signer && first.list.scope == one.list.scope
            })
        });
        match group {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

/// The newest complete list of a group, until when it is valid, and its delta lists.
struct State<'a> {
    newest: Option<&'a Usable<'a>>,
    next_update: i64,
}

impl<'a> State<'a> {
    fn of(group: &[&'a Usable<'a>]) -> Self {
        let complete = group.iter().filter(|one| one.list.base.is_none());
        let newest = complete.max_by_key(|one| age(one.list)).copied();
        // RFC 5280, 5.2.4: a delta list goes with any complete list that is not older than its base.
        let number = newest.and_then(|newest| newest.list.number.as_ref());
        let deltas = group.iter().filter(|one| {
            let base = one.list.base.as_ref();
            base.is_some() && base <= number && one.list.number.as_ref() > number
        });
        let lists = deltas.copied().chain(newest);
        let next_update = lists.map(|one| one.list.next_update).max();
        Self {
            newest,
            next_update: next_update.unwrap_or(i64::MIN),
        }
    }

    /// A permanent revocation in any of the lists applies. A hold applies if it is the newest entry for the
    /// certificate, in the newest complete list or in a newer delta list.
    fn revocation(
        &self,
        group: &[&'a Usable<'a>],
        issuer: &[u8],
        serial: &[u8],
    ) -> Option<(&'a List, Entry)> {
        let mut entries: Vec<(&List, Entry)> = group
            .iter()
            .filter_map(|one| Some((one.list, one.list.entry(issuer, serial)?)))
            .collect();
        entries.sort_by_key(|(list, _)| Reverse(age(list)));
        let for_ever = entries
            .iter()
            .find(|(_, entry)| matches!(entry.reason, Reason::Other(_)));
        let newest = self.newest.map(|newest| age(newest.list));
        let newest_word = entries.iter().find(|(list, _)| Some(age(list)) >= newest);
        let held = newest_word.filter(|(_, entry)| entry.reason == Reason::Hold);
        for_ever.or(held).copied()
    }
}

/// The order of lists by age (RFC 5280, 5.1.2.4 and 5.2.3); with the same time, a list without a number is
/// older than one with a number.
fn age(list: &List) -> (i64, Option<&Number>) {
    (list.this_update, list.number.as_ref())
}

/// Which of the signers signed the list; otherwise the fault of the signature or its signer, if any.
fn signer_of(list: &List, signers: &[Signer<'_>]) -> Result<usize, Option<CrlFault>> {
    let mut problem = None;
    for (position, signer) in signers.iter().enumerate() {
        if !x500::equal(signer.name, &list.issuer) {
            continue;
        }
        match list.signature_by(signer.key) {
            Signature::Valid if signer.may_sign_lists() => return Ok(position),
            Signature::Valid => {
                problem = Some(CrlFault::MayNotSign);
            }
            Signature::Invalid => {
                problem.get_or_insert(CrlFault::WrongSignature);
            }
            Signature::OtherKey => {}
        }
    }
    Err(problem)
}

fn is_from_the_future(list: &List, now: i64) -> bool {
    now < list.valid_from()
}

fn revoked(certificate: &X509Certificate<'_>, list: &List, entry: Entry) -> VerifyCause {
    VerifyCause::Revoked {
        subject: x509::describe_name(certificate.subject()),
        serial: hex::encode(certificate.raw_serial()),
        by: RevokedBy::List {
            list: Arc::clone(&list.summary),
            at: entry.at,
            reason: entry.reason.name(),
        },
    }
}
