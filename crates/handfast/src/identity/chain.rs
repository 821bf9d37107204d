//! The order of a chain, and whether the key belongs to it.
//!
//! RFC 8446, 4.4.2: the end-entity certificate comes first, and each that follows should certify one
//! before it. Whether a peer accepts the chain is not checked here; a chain that no peer could verify
//! is an error when it is loaded.

use pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::error::IdentityProblem;
use crate::hex;
use crate::x500;
use crate::x509::{self, CertificateFacts, Depth, escape_control};

/// One parsed certificate.
pub(super) struct Parsed<'a> {
    certificate: X509Certificate<'a>,
    pub(super) facts: CertificateFacts,
}

impl Parsed<'_> {
    /// The subject, or if it is empty, the first alternative name.
    fn name(&self) -> String {
        if !self.facts.subject.is_empty() {
            return self.facts.subject.clone();
        }
        match self.facts.names.first() {
            Some(name) => name.to_string(),
            None => format!("(no subject, serial number {})", self.facts.serial),
        }
    }

    fn issued(&self, other: &Self) -> bool {
        // Issuers that changed their key but not their name have another key identifier.
        let ids = (&self.facts.subject_key_id, &other.facts.authority_key_id);
        let ids_agree = !matches!(ids, (Some(ours), Some(theirs)) if ours != theirs);
        let (subject, issuer) = (self.certificate.subject(), other.certificate.issuer());
        ids_agree && x500::equal(subject.as_raw(), issuer.as_raw())
    }

    fn is_same(&self, other: &Self) -> bool {
        self.facts.sha256 == other.facts.sha256
    }
}

/// Parses every certificate of a chain.
pub(super) fn read<'a>(
    chain: &'a [CertificateDer<'_>],
) -> Result<Vec<Parsed<'a>>, IdentityProblem> {
    chain
        .iter()
        .enumerate()
        .map(|(index, der)| {
            let one = x509::parse(der, Depth::Outline).and_then(|certificate| {
                CertificateFacts::from_der(der).map(|facts| Parsed { certificate, facts })
            });
            one.map_err(|error| IdentityProblem::MalformedDer {
                what: format!("certificate {}", index.saturating_add(1)),
                detail: error.detail,
            })
        })
        .collect()
}

/// Checks that the chain is in order, and that the key with this public half belongs to it.
pub(super) fn check(parsed: &[Parsed<'_>], key: &PublicHalf) -> Result<(), IdentityProblem> {
    let Some((first, issuers)) = parsed.split_first() else {
        return Err(IdentityProblem::NoCertificate { found: Vec::new() });
    };
    if first.facts.spki_sha256 != key.spki_sha256 {
        return Err(wrong_first(first, issuers, key));
    }
    for (index, one) in parsed.iter().enumerate().skip(1) {
        let (before, after) = parsed.split_at(index);
        let Some(previous) = before.last() else {
            continue;
        };
        if before.iter().any(|earlier| earlier.is_same(one)) {
            return Err(IdentityProblem::RepeatedCertificate {
                at_index: index,
                subject: one.name(),
            });
        }
        if before.iter().any(|earlier| one.issued(earlier)) {
            continue;
        }
        let issuer = after.iter().position(|later| later.issued(previous));
        return Err(match issuer {
            Some(offset) if !previous.facts.is_self_issued => IdentityProblem::IssuerOutOfOrder {
                subject: previous.name(),
                at_index: index,
                found: one.name(),
                issuer_index: index.saturating_add(offset),
            },
            _ => IdentityProblem::UnrelatedCertificate {
                at_index: index,
                found: one.name(),
                expected: previous.facts.issuer.clone(),
            },
        });
    }
    Ok(())
}

/// The key belongs to another certificate of the chain, or to none.
fn wrong_first(first: &Parsed<'_>, issuers: &[Parsed<'_>], key: &PublicHalf) -> IdentityProblem {
    let matching = issuers
        .iter()
        .position(|one| one.facts.spki_sha256 == key.spki_sha256);
    if let Some((offset, end_entity)) =
        matching.and_then(|offset| Some((offset, issuers.get(offset)?)))
    {
        return IdentityProblem::EndEntityNotFirst {
            first: first.name(),
            end_entity: end_entity.name(),
            at_index: offset.saturating_add(1),
        };
    }
    IdentityProblem::KeyMismatch {
        subject: first.name(),
        certificate_key: describe_key(
            &first.facts.key_algorithm.to_string(),
            &first.facts.spki_sha256,
        ),
        private_key: describe_key(&key.algorithm, &key.spki_sha256),
    }
}

/// The order in which unordered certificates form a chain: the one of the key, its issuer, and so on,
/// without those of other chains. The original order if no certificate matches the key.
pub(super) fn arrange(parsed: &[Parsed<'_>], key: &PublicHalf) -> Vec<usize> {
    let end_entity = parsed
        .iter()
        .position(|one| one.facts.spki_sha256 == key.spki_sha256);
    let Some(end_entity) = end_entity else {
        return (0..parsed.len()).collect();
    };
    let mut order = vec![end_entity];
    let mut last = parsed.get(end_entity);
    while let Some(current) = last {
        let issuer = parsed
            .iter()
            .enumerate()
            .find(|(index, one)| !order.contains(index) && one.issued(current));
        if current.facts.is_self_issued {
            break;
        }
        order.extend(issuer.map(|(index, _)| index));
        last = issuer.map(|(_, one)| one);
    }
    order
}

/// The public half of a private key.
pub(super) struct PublicHalf {
    pub(super) algorithm: String,
    pub(super) spki_sha256: [u8; 32],
}

fn describe_key(algorithm: &str, spki_sha256: &[u8; 32]) -> String {
    format!(
        "{}, SHA-256 of the public key {}",
        escape_control(algorithm),
        hex::encode(spki_sha256)
    )
}
