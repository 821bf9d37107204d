//! Computes the expected verdict on a PKI from the model: every path, every rule, one after another.
//!
//! It is neither bounded nor fast, and does not parse certificates. The rules are in `rules`.

use crate::model::{Id, Pki, Signature};
use crate::rules::{Fault, Path, fault, faults_of, may_be_anchor, own_faults, trusted_as_itself};

/// The expected verdict.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Accepted,
    /// One of these is the reason: several if they are equivalent.
    Refused(Vec<Fault>),
}

pub(crate) struct Judgement {
    pub(crate) expected: Expected,
    /// Complete paths, with the rules that fail on each.
    pub(crate) paths: Vec<(Path, Vec<Fault>)>,
}

pub(crate) fn judge(pki: &Pki) -> Judgement {
    if pki.trusted.contains(&0) {
        let faults = trusted_as_itself(pki);
        let expected = if faults.is_empty() {
            Expected::Accepted
        } else {
            Expected::Refused(faults)
        };
        return Judgement {
            expected,
            paths: Vec::new(),
        };
    }
    if pki.anchors().next().is_none() {
        let mut one = fault(pki, &["no-trust-anchors"], 0);
        one.culprit = None;
        return Judgement {
            expected: Expected::Refused(vec![one]),
            paths: Vec::new(),
        };
    }
    let mut walk = Walk {
        pki,
        paths: Vec::new(),
        ends: Vec::new(),
    };
    walk.from(&mut vec![0]);
    let paths: Vec<(Path, Vec<Fault>)> = walk
        .paths
        .into_iter()
        .map(|path| {
            let faults = faults_of(pki, &path);
            (path, faults)
        })
        .collect();
    let expected = if paths.iter().any(|(_, faults)| faults.is_empty()) {
        Expected::Accepted
    } else if paths.is_empty() {
        Expected::Refused(walk.ends)
    } else {
        Expected::Refused(
            paths
                .iter()
                .flat_map(|(_, faults)| faults.clone())
                .collect(),
        )
    };
    Judgement { expected, paths }
}

/// Every path without a repeated authority (RFC 4158, 5.2: the same name and key twice is unnecessary, since
/// the higher of the two could replace the lower).
struct Walk<'a> {
    pki: &'a Pki,
    paths: Vec<Path>,
    /// The faults of paths without an anchor.
    ends: Vec<Fault>,
}

impl Walk<'_> {
    fn from(&mut self, path: &mut Vec<Id>) {
        let Some(last) = path.last().copied() else {
            return;
        };
        let pki = self.pki;
        let certificate = pki.certificate(last);
        // The signer of a broken signature is unknown.
        let is_broken =
            certificate.signature == Signature::Broken && !pki.is_weak(certificate.signer);
        let made_it = |id: Id| {
            let issuer = pki.certificate(id);
            let is_name = issuer.subject.is(certificate.issuer);
            is_name && issuer.key == certificate.signer && !is_broken
        };
        let is_on = |path: &[Id], id: Id| {
            let one = pki.certificate(id);
            path.iter().any(|met| {
                let met = pki.certificate(*met);
                met.subject.is(one.subject) && met.key == one.key
            })
        };
        let mut goes_on = false;
        let mut cycle = Vec::new();
        for anchor in pki.anchors().filter(|id| made_it(**id)) {
            if !may_be_anchor(pki.certificate(*anchor)) {
                // Trusted as an end-entity certificate, which must not issue.
                self.ends.push(fault(pki, &["issuer-not-a-ca"], *anchor));
                self.ends
                    .push(fault(pki, &["trusted-issuer-unusable"], last));
                continue;
            }
            goes_on = true;
            if !is_on(path, *anchor) {
                self.paths.push(Path {
                    certificates: path.clone(),
                    anchor: *anchor,
                });
            }
        }
        let mut sent = pki.sent.clone();
        sent.sort_unstable();
        sent.dedup();
        for issuer in sent.into_iter().filter(|id| *id != 0 && made_it(*id)) {
            if is_on(path, issuer) {
                cycle.push(issuer);
            } else {
                goes_on = true;
                path.push(issuer);
                self.from(path);
                path.pop();
            }
        }
        if !goes_on {
            self.end(path, last, &cycle);
        }
    }

    /// The last certificate of this path has no issuer in the PKI, except in a cycle.
    fn end(&mut self, path: &[Id], last: Id, cycle: &[Id]) {
        let pki = self.pki;
        let certificate = pki.certificate(last);
        let is_issuers = |id: &&Id| pki.certificate(**id).subject.is(certificate.issuer);
        let namesakes = || {
            let all = pki.sent.iter().chain(pki.anchors());
            all.filter(is_issuers).filter(|id| **id != last)
        };
        let is_broken = certificate.signature == Signature::Broken;
        let root_ids: &[&str] = match last {
            0 => &["self-signed"],
            _ => &["untrusted-root"],
        };
        let mut add = |ids, id| self.ends.push(fault(pki, ids, id));
        let is_own = certificate.is_self_issued() && certificate.key == certificate.signer;
        if is_own && !is_broken {
            add(root_ids, last);
        } else {
            // If the signature cannot be verified, a link from one root to the next looks like a root.
            let is_verified =
                certificate.signature != Signature::Sha1 && !pki.is_weak(certificate.signer);
            if is_own || (certificate.is_self_issued() && !is_verified) {
                add(root_ids, last);
            }
            let is_meant = |id: &Id| pki.certificate(*id).key == certificate.signer;
            // By the identifiers none of them signed it, or there are no identifiers.
            let is_other = |id: &Id| {
                let namesake = pki.certificate(*id);
                match certificate.misleading_identifier && !certificate.key_identifiers {
                    true => namesake.key_identifiers,
                    false => {
                        let both = namesake.key_identifiers && certificate.key_identifiers;
                        both && !is_meant(id)
                    }
                }
            };
            if namesakes().all(is_other) {
                add(&["unknown-issuer", "missing-intermediate"], last);
            } else if is_broken && namesakes().any(is_meant) {
                add(&["bad-signature"], last);
            } else {
                add(
                    &["bad-signature", "unknown-issuer", "missing-intermediate"],
                    last,
                );
            }
        }
        // They certify each other: trusting one of them would help.
        for id in path.iter().filter(|_| !cycle.is_empty()).chain(cycle) {
            add(&["untrusted-root"], *id);
        }
        for (position, id) in path.iter().enumerate() {
            own_faults(pki, *id, position, &mut self.ends);
        }
    }
}
