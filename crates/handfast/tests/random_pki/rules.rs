//! The rules for a path, each with its section of RFC 5280, or as a policy of this library.

use handfast::Purpose;

use crate::model::{
    Basic, Certificate, Constraints, General, Id, Key, List, ORGANIZATION, Pki, Policy, Signature,
    Usage,
};

/// A failed rule, and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The ids that the reason may have.
    pub(crate) ids: &'static [&'static str],
    /// The positions in the chain as sent that may be reported; `None` for a fault of the trust anchor or of
    /// the path as a whole.
    pub(crate) places: Vec<Option<usize>>,
    /// The certificate.
    pub(crate) culprit: Option<Id>,
}

/// From the peer's certificate to a trust anchor, by the keys that made the signatures.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// The peer's own first, without the anchor.
    pub(crate) certificates: Vec<Id>,
    pub(crate) anchor: Id,
}

pub(crate) fn fault(pki: &Pki, ids: &'static [&'static str], culprit: Id) -> Fault {
    let mut places: Vec<Option<usize>> = pki
        .sent
        .iter()
        .enumerate()
        .filter(|(_, id)| **id == culprit)
        .map(|(place, _)| Some(place))
        .collect();
    if pki.trusted.contains(&culprit) || places.is_empty() {
        places.push(None);
    }
    Fault {
        ids,
        places,
        culprit: Some(culprit),
    }
}

/// Faults that depend only on the certificate and its position.
pub(crate) fn own_faults(pki: &Pki, id: Id, position: usize, faults: &mut Vec<Fault>) {
    let certificate = pki.certificate(id);
    let mut add = |ids| faults.push(fault(pki, ids, id));
    // 6.1.3 (a) (2)
    lifetime(certificate, pki.now, &mut add);
    // 6.1.3 (a) (1)
    match certificate.signature {
        Signature::Good => {}
        // Paths end there.
        Signature::Broken => {}
        Signature::Sha1 => add(&["weak-signature"]),
    }
    // 4.1.2.1, 6.1.4 (k)
    if certificate.version != 3 {
        add(&["unsupported-certificate-version"]);
    }
    // 6.1.4 (o), 6.1.5 (f)
    if certificate.version == 3 && certificate.unknown_critical {
        add(&["unknown-critical-extension"]);
    }
    // Policy: no RSA key below 2048 bits.
    if certificate.shows_weak_key {
        add(&["weak-key"]);
    }
    purposes(pki, certificate, &mut add);
    if position == 0 {
        own_key(certificate, &mut add);
        // Policy: a CA certificate is not one of a server or client.
        if certificate.is_authority() {
            add(&["ca-used-as-end-entity"]);
        }
        name(pki, certificate, &mut add);
    } else {
        // 6.1.4 (k)
        if !certificate.is_authority() {
            add(&["issuer-not-a-ca"]);
        }
        certificate_signing(certificate, &mut add);
    }
}

fn lifetime(certificate: &Certificate, now: i64, add: &mut impl FnMut(&'static [&'static str])) {
    if certificate.not_before > certificate.not_after {
        add(&[
            "certificate-validity-reversed",
            "certificate-expired",
            "certificate-not-yet-valid",
        ]);
    } else if now > certificate.not_after {
        add(&["certificate-expired"]);
    } else if now < certificate.not_before {
        add(&["certificate-not-yet-valid"]);
    }
}

/// 4.2.1.12. Policy: the purposes of authorities limit those below, as in other implementations.
fn purposes(pki: &Pki, certificate: &Certificate, add: &mut impl FnMut(&'static [&'static str])) {
    let is_extended = certificate.version == 3 && !certificate.purposes.is_empty();
    if is_extended && !certificate.purposes.contains(&pki.purpose_number()) {
        add(&["wrong-purpose"]);
    }
}

/// 4.2.1.3; RFC 8446, 4.4.2.2: the key signs the handshake.
fn own_key(certificate: &Certificate, add: &mut impl FnMut(&'static [&'static str])) {
    if certificate.version == 3 && !certificate.usage.may_sign_handshakes() {
        add(&["wrong-key-usage"]);
    }
}

/// 6.1.4 (n)
fn certificate_signing(certificate: &Certificate, add: &mut impl FnMut(&'static [&'static str])) {
    if certificate.version == 3 && !certificate.usage.may_sign_certificates() {
        add(&["wrong-key-usage"]);
    }
}

/// RFC 9525, 6: only alternative names are names.
fn name(pki: &Pki, certificate: &Certificate, add: &mut impl FnMut(&'static [&'static str])) {
    if pki.purpose != Purpose::ServerAuth {
        return;
    }
    let names = || {
        let has_extensions = certificate.version == 3;
        certificate.names.iter().filter(move |_| has_extensions)
    };
    let is_for = names().any(|name| match name {
        General::Dns(name) => *name == pki.name,
        General::Ip([a, b, c, d]) => format!("{a}.{b}.{c}.{d}") == pki.name,
        _ => false,
    });
    let is_for_a_server = names().any(|name| matches!(name, General::Dns(_) | General::Ip(_)));
    if !is_for_a_server {
        add(&["no-subject-alt-name"]);
    } else if !is_for {
        add(&["name-mismatch", "ip-address-not-listed"]);
    }
}

/// A trusted end-entity certificate needs no issuer; its own properties are checked (policy).
pub(crate) fn trusted_as_itself(pki: &Pki) -> Vec<Fault> {
    let certificate = pki.certificate(0);
    let mut faults = Vec::new();
    let mut add = |ids| faults.push(fault(pki, ids, 0));
    lifetime(certificate, pki.now, &mut add);
    purposes(pki, certificate, &mut add);
    own_key(certificate, &mut add);
    name(pki, certificate, &mut add);
    if certificate.version != 3 {
        add(&["unsupported-certificate-version"]);
    }
    if certificate.version == 3 && certificate.unknown_critical {
        add(&["unknown-critical-extension"]);
    }
    if certificate.shows_weak_key {
        add(&["weak-key"]);
    }
    // A list that contains it applies, although the certificate is trusted.
    let lists = pki
        .lists
        .iter()
        .filter(|list| list.key == certificate.signer);
    if lists.into_iter().any(|list| list.revoked.contains(&0)) {
        add(&["certificate-revoked"]);
    }
    faults
}

pub(crate) fn faults_of(pki: &Pki, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (position, id) in path.certificates.iter().enumerate() {
        own_faults(pki, *id, position, &mut faults);
    }
    anchor_faults(pki, path, &mut faults);
    path_lengths(pki, path, &mut faults);
    name_constraints(pki, path, &mut faults);
    explicit_policy(pki, path, &mut faults);
    revocation(pki, path, &mut faults);
    // Policy: the limit on intermediates, counted as for path lengths.
    if counted(pki, &path.certificates[1..]) > pki.depth_max {
        faults.push(Fault {
            ids: &["chain-too-deep"],
            places: vec![None],
            culprit: None,
        });
    }
    faults
}

/// Policy: the limits of a trust anchor apply to the certificates below it.
fn anchor_faults(pki: &Pki, path: &Path, faults: &mut Vec<Fault>) {
    let anchor = pki.certificate(path.anchor);
    let mut add = |ids| faults.push(fault(pki, ids, path.anchor));
    if anchor.version == 3 && anchor.unknown_critical {
        add(&["unknown-critical-extension"]);
    }
    lifetime(anchor, pki.now, &mut add);
    purposes(pki, anchor, &mut add);
    certificate_signing(anchor, &mut add);
    if anchor.shows_weak_key {
        add(&["weak-key"]);
    }
}

/// Policy: a CA certificate; or a root without basic constraints whose key usage and purposes are not those of an
/// end entity.
pub(crate) fn may_be_anchor(certificate: &Certificate) -> bool {
    match (certificate.version, certificate.basic) {
        (3, Basic::Authority(_)) => true,
        (3, Basic::EndEntity) => false,
        (3, Basic::Absent) => {
            let is_for_certificates = match certificate.usage {
                Usage::Absent => certificate.purposes.is_empty() && certificate.names.is_empty(),
                usage => usage.may_sign_certificates(),
            };
            certificate.is_self_issued() && is_for_certificates
        }
        _ => certificate.is_self_issued(),
    }
}

/// The issuers of a path from the lowest, the anchor last.
fn issuers(path: &Path) -> Vec<Id> {
    path.certificates
        .iter()
        .skip(1)
        .chain([&path.anchor])
        .copied()
        .collect()
}

/// 6.1.4 (l) and (m): self-issued certificates do not count.
fn path_lengths(pki: &Pki, path: &Path, faults: &mut Vec<Fault>) {
    for (position, id) in issuers(path).into_iter().enumerate() {
        let certificate = pki.certificate(id);
        let below = counted(pki, &path.certificates[1..=position]);
        if certificate.version == 3
            && let Basic::Authority(Some(most)) = certificate.basic
            && below > usize::from(most)
        {
            faults.push(fault(pki, &["path-too-long"], id));
        }
    }
}

fn counted(pki: &Pki, intermediates: &[Id]) -> usize {
    let is_self_issued = |id: &&Id| pki.certificate(**id).is_self_issued();
    intermediates.len() - intermediates.iter().filter(is_self_issued).count()
}

/// 6.1.3 (b) and (c)
fn name_constraints(pki: &Pki, path: &Path, faults: &mut Vec<Fault>) {
    for (position, issuer) in issuers(path).into_iter().enumerate() {
        let constraints = &pki.certificate(issuer).constraints;
        if pki.certificate(issuer).version != 3 {
            continue;
        }
        for (below, id) in path.certificates.iter().enumerate().take(position + 1) {
            let certificate = pki.certificate(*id);
            if below > 0 && certificate.is_self_issued() {
                continue;
            }
            if !is_within(constraints, certificate) {
                let mut one = fault(pki, &["name-constraint"], *id);
                one.places.extend(fault(pki, &[], issuer).places);
                faults.push(one);
            }
        }
    }
}

fn is_within(constraints: &Constraints, certificate: &Certificate) -> bool {
    let mut names = vec![General::Directory(certificate.subject)];
    if certificate.version == 3 {
        names.extend(certificate.names.iter().cloned());
    }
    names.iter().all(|name| {
        let bases = |list: &[General]| -> Vec<bool> {
            list.iter().filter_map(|base| is_in(name, base)).collect()
        };
        let permitted = bases(&constraints.permitted);
        let is_excluded = bases(&constraints.excluded).contains(&true);
        !is_excluded && (permitted.is_empty() || permitted.contains(&true))
    })
}

/// 4.2.1.10; `None` if the two have different forms.
fn is_in(name: &General, base: &General) -> Option<bool> {
    let is_below = |host: &str, base: &str| host.ends_with(&format!(".{base}"));
    // A host in an email address or a URI: this host, or with a leading dot any subdomain.
    let is_host = |host: &str, base: &str| match base.strip_prefix('.') {
        Some(domain) => is_below(host, domain),
        None => host == base,
    };
    Some(match (name, base) {
        (General::Dns(name), General::Dns(base)) => name == base || is_below(name, base),
        (General::Ip(address), General::Network(network, mask)) => {
            (0..4).all(|at| address[at] & mask[at] == network[at] & mask[at])
        }
        (General::Email(name), General::Email(base)) => match base.contains('@') {
            true => name == base,
            false => is_host(name.rsplit('@').next()?, base),
        },
        (General::Uri(name), General::Uri(base)) => {
            is_host(name.split("//").nth(1)?.split('/').next()?, base)
        }
        (General::Directory(_), General::Organization(base)) => *base == ORGANIZATION,
        (General::Directory(name), General::Directory(base)) => name.is(*base),
        _ => return None,
    })
}

/// 6.1.3 (d) to (f), 6.1.4 (h) and (i), 6.1.5 (a) and (b); without mappings and inhibitions, the tree
/// is the set of the policies that every certificate so far has.
fn explicit_policy(pki: &Pki, path: &Path, faults: &mut Vec<Fault>) {
    let anchor = pki.certificate(path.anchor);
    // None represents any policy.
    let mut valid: Option<Vec<Policy>> = None;
    let mut explicit = path.certificates.len() + 1;
    // Policy: those of the anchor apply, too (RFC 5937), if it has any.
    if anchor.version == 3 {
        if !anchor.policies.is_empty() && !anchor.policies.contains(&Policy::Any) {
            valid = Some(anchor.policies.clone());
        }
        if let Some(after) = anchor.explicit_policy_after {
            explicit = explicit.min(usize::from(after));
        }
    }
    for (depth, id) in path.certificates.iter().rev().enumerate() {
        let is_last = depth + 1 == path.certificates.len();
        let certificate = pki.certificate(*id);
        let (policies, required) = match certificate.version {
            3 => (&certificate.policies[..], certificate.explicit_policy_after),
            _ => (&[][..], None),
        };
        if !policies.contains(&Policy::Any) || valid.is_some() {
            valid = Some(match valid {
                None => policies.to_vec(),
                Some(valid) if policies.contains(&Policy::Any) => valid,
                Some(valid) => valid
                    .into_iter()
                    .filter(|policy| policies.contains(policy))
                    .collect(),
            });
        }
        let is_empty = valid.as_ref().is_some_and(Vec::is_empty);
        if explicit == 0 && is_empty {
            add_policy(pki, path, faults);
            return;
        }
        let counts = is_last || !certificate.is_self_issued();
        if counts {
            explicit = explicit.saturating_sub(1);
        }
        if let Some(after) = required
            && (!is_last || after == 0)
        {
            explicit = explicit.min(usize::from(after));
        }
        if is_last && explicit == 0 && is_empty {
            add_policy(pki, path, faults);
        }
    }
}

/// The certificate without the policy, or the one that requires it: any certificate of the path.
fn add_policy(pki: &Pki, path: &Path, faults: &mut Vec<Fault>) {
    for id in path.certificates.iter().chain([&path.anchor]) {
        faults.push(fault(pki, POLICY_IDS, *id));
    }
}

const POLICY_IDS: &[&str] = &["no-valid-policy"];

/// 6.3.3, with complete lists. Policy: a list from the future does not apply, and of those of one signer the
/// newest determines until when they apply. A list has the issuer's name, and is signed by a key of that name
/// above on the path, or by one that an authority above on the path has certified for it.
fn revocation(pki: &Pki, path: &Path, faults: &mut Vec<Fault>) {
    if pki.lists.is_empty() {
        return;
    }
    let issuers = issuers(path);
    for (position, id) in path.certificates.iter().enumerate() {
        let certificate = pki.certificate(*id);
        let mut signers = issuers[position..].to_vec();
        signers.extend(delegates(pki, path, &signers));
        let lists: Vec<&List> = pki
            .lists
            .iter()
            .filter(|list| list.this_update <= pki.now && list.name.is(certificate.issuer))
            .filter(|list| signers.iter().any(|signer| made(pki, *signer, list)))
            .collect();
        let may_sign = |list: &&List| {
            signers.iter().any(|signer| {
                let one = pki.certificate(*signer);
                made(pki, *signer, list) && (one.version != 3 || one.usage.may_sign_lists())
            })
        };
        let (lists, unusable): (Vec<_>, Vec<_>) = lists.into_iter().partition(may_sign);
        let newest_of = |key: Key| {
            let of_key = lists.iter().filter(|list| list.key == key);
            of_key.max_by_key(|list| list.this_update)
        };
        let is_current =
            |list: &&&List| newest_of(list.key).is_some_and(|list| list.next_update >= pki.now);
        let has_current = lists.iter().any(|list| is_current(&list));
        let mut revoking = lists.iter().filter(|list| list.revoked.contains(id));
        let mut add = |ids| {
            let mut one = fault(pki, ids, *id);
            one.places.push(None);
            faults.push(one);
        };
        match revoking.next() {
            Some(_) => add(&["certificate-revoked"]),
            None if has_current => {}
            None if !unusable.is_empty() => add(&["crl-unusable", "crl-expired"]),
            None if lists.is_empty() => add(&["revocation-unknown"]),
            None => add(&["crl-expired"]),
        }
    }
}

fn made(pki: &Pki, signer: Id, list: &List) -> bool {
    let one = pki.certificate(signer);
    one.subject.is(list.name) && one.key == list.key
}

/// Certificates outside of the path whose key may sign lists, issued by one of `signers`.
fn delegates(pki: &Pki, path: &Path, signers: &[Id]) -> Vec<Id> {
    let is_delegate = |id: &Id| {
        let one = pki.certificate(*id);
        let is_understood = !one.unknown_critical
            && one.explicit_policy_after.is_none()
            && (one.policies.is_empty() || !one.policies_critical);
        let is_certified = one.signature == Signature::Good
            && signers.iter().any(|signer| {
                let signer = pki.certificate(*signer);
                signer.subject.is(one.issuer) && signer.key == one.signer
            });
        let is_revoked = pki.lists.iter().any(|list| {
            list.revoked.contains(id) && signers.iter().any(|signer| made(pki, *signer, list))
        });
        let is_current = one.not_before <= pki.now && pki.now <= one.not_after;
        let may_sign = one.version == 3 && matches!(one.usage, Usage::Authority | Usage::CrlSign);
        may_sign && is_understood && is_certified && is_current && !is_revoked
    };
    pki.sent
        .iter()
        .filter(|id| !path.certificates.contains(id) && is_delegate(id))
        .copied()
        .collect()
}
