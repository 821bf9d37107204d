//! Certificate policies along a path (RFC 5280, 4.2.1.4, 4.2.1.5, 4.2.1.11, 4.2.1.14 and 6.1).
//!
//! Owns the check that a policy is valid for every certificate of a path, if one of them requires it
//! (policy constraints with requireExplicitPolicy). Callers cannot require particular policies
//! (user-initial-policy-set is any-policy, and none of the initial flags is set), so a path without such a
//! requirement is always accepted. Path building and messages are left to other modules.
//!
//! RFC 5280 describes a tree, which a hostile path can make exponential; RFC 9618 replaces it by a graph. Since any
//! policy is sufficient, whether the graph is empty depends only on its lowest level, and on that level only on the set
//! of policies that the next certificate may assert. So only this set is kept: at most as many policies as the
//! path's certificates contain. A test compares it with the tree of RFC 5280.
//!
//! The extensions of a trust anchor apply, too, as do its name constraints (RFC 5937); an anchor without certificate
//! policies is valid for every policy.

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::extensions::X509Extension;

use crate::der::{Element, INTEGER, OBJECT_IDENTIFIER, Reader, SEQUENCE};
use crate::x500;

/// Content octets of object identifiers: extensions (2.5.29), ...
const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 32];
const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
const INHIBIT_ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
/// ... anyPolicy, ...
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 32, 0];
/// ... and the qualifiers of RFC 5280 (1.3.6.1.5.5.7.2): CPS pointer and user notice.
const KNOWN_QUALIFIERS: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 2, 1], &[0x2b, 6, 1, 5, 5, 7, 2, 2]];
/// Implicit tags of the two fields of policy constraints.
const REQUIRE_EXPLICIT_POLICY: u8 = 0x80;
const INHIBIT_POLICY_MAPPING: u8 = 0x81;

/// Why the policies of a path are not valid. `index` is a position in the path: 0 is the end entity, one past the last
/// certificate is the trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) enum PolicyProblem {
    /// The extensions of a certificate are malformed or not allowed.
    Malformed { index: usize, detail: String },
    /// Critical certificate policies with an unknown qualifier (RFC 5280, 4.2.1.4).
    UnknownQualifier { index: usize, oid: String },
    /// No policy is left at `index`, and `demanded_by` requires one.
    NoValidPolicy { index: usize, demanded_by: usize },
}

/// Whether `extension` is one of the four that this module processes.
pub(in crate::verify) fn is_policy_extension(oid: &Oid<'_>) -> bool {
    [
        CERTIFICATE_POLICIES,
        POLICY_MAPPINGS,
        POLICY_CONSTRAINTS,
        INHIBIT_ANY_POLICY,
    ]
    .contains(&oid.as_bytes())
}

/// Whether a certificate may require a valid policy. A path without such a certificate needs no check.
pub(in crate::verify) fn may_demand_policy(certificate: &X509Certificate<'_>) -> bool {
    certificate
        .extensions()
        .iter()
        .any(|extension| extension.oid.as_bytes() == POLICY_CONSTRAINTS)
}

/// Checks a path, end entity first, and the trust anchor if its certificate is known.
///
/// Extensions are parsed if they affect the verdict: all of them if a certificate may require a policy, otherwise
/// only critical ones, which must be processed (RFC 5280, 4.2).
pub(in crate::verify) fn check(
    path: &[&X509Certificate<'_>],
    anchor: Option<&X509Certificate<'_>>,
) -> Result<(), PolicyProblem> {
    let all = || path.iter().copied().chain(anchor);
    let demanded = all().any(may_demand_policy);
    let mut read = Vec::new();
    for (index, certificate) in all().enumerate() {
        let is_read = demanded
            || certificate
                .extensions()
                .iter()
                .any(|extension| extension.critical && is_policy_extension(&extension.oid));
        if is_read {
            read.push(PolicyExtensions::read(certificate, index)?);
        }
    }
    if !demanded {
        return Ok(());
    }
    let anchor = if anchor.is_some() { read.pop() } else { None };
    evaluate(&read, anchor.as_ref())
}

/// From a policy of the issuer's domain to one of the subject's.
type Mapping<'a> = (&'a [u8], &'a [u8]);

/// The policy extensions of one certificate. Policies are the content octets of their identifiers.
#[derive(Clone, Debug, Default)]
struct PolicyExtensions<'a> {
    /// `None` without the extension: the certificate asserts no policy.
    policies: Option<Policies<'a>>,
    mappings: Vec<Mapping<'a>>,
    require_explicit_policy: Option<usize>,
    inhibit_policy_mapping: Option<usize>,
    inhibit_any_policy: Option<usize>,
    is_self_issued: bool,
}

/// A set of policies; anyPolicy is a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Policies<'a> {
    any: bool,
    others: BTreeSet<&'a [u8]>,
}

impl Policies<'_> {
    fn is_empty(&self) -> bool {
        !self.any && self.others.is_empty()
    }

    fn allows(&self, policy: &[u8]) -> bool {
        self.any || self.others.contains(policy)
    }
}

impl<'a> PolicyExtensions<'a> {
    fn read(certificate: &X509Certificate<'a>, index: usize) -> Result<Self, PolicyProblem> {
        let malformed = |what: &str| PolicyProblem::Malformed {
            index,
            detail: what.to_owned(),
        };
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut read = Self {
            is_self_issued: x500::equal(
                certificate.subject().as_raw(),
                certificate.issuer().as_raw(),
            ),
            ..Self::default()
        };
        for extension in certificate.extensions() {
            if !is_policy_extension(&extension.oid) {
                continue;
            }
            let oid = extension.oid.as_bytes();
            if seen.contains(&oid) {
                return Err(malformed("an extension for policies appears twice"));
            }
            seen.push(oid);
            match oid {
                CERTIFICATE_POLICIES => read.policies = Some(policies(extension, index)?),
                POLICY_MAPPINGS => {
                    read.mappings = mappings(extension.value).map_err(malformed)?;
                }
                POLICY_CONSTRAINTS => {
                    (read.require_explicit_policy, read.inhibit_policy_mapping) =
                        constraints(extension.value)
                            .ok_or_else(|| malformed("its policy constraints are malformed"))?;
                }
                _ => {
                    let skip = Element::only_of(extension.value, INTEGER)
                        .and_then(|number| skip_certificates(number.content));
                    read.inhibit_any_policy = Some(
                        skip.ok_or_else(|| malformed("its inhibitAnyPolicy is not a number"))?,
                    );
                }
            }
        }
        Ok(read)
    }
}

/// Certificate policies (RFC 5280, 4.2.1.4).
fn policies<'a>(
    extension: &X509Extension<'a>,
    index: usize,
) -> Result<Policies<'a>, PolicyProblem> {
    let malformed = |what: &str| PolicyProblem::Malformed {
        index,
        detail: what.to_owned(),
    };
    let unreadable = || malformed("its certificate policies are malformed");
    let mut policies = Policies::default();
    let mut list = list(extension.value).ok_or_else(unreadable)?;
    while !list.is_done() {
        let mut information = list.take(SEQUENCE).ok_or_else(unreadable)?.reader();
        let policy = information.take(OBJECT_IDENTIFIER).ok_or_else(unreadable)?;
        if !information.is_done() {
            let qualifiers = information.take(SEQUENCE).ok_or_else(unreadable)?;
            if !information.is_done() || qualifiers.content.is_empty() {
                return Err(unreadable());
            }
            let mut qualifiers = qualifiers.reader();
            while !qualifiers.is_done() {
                let qualifier = qualifiers.take(SEQUENCE).ok_or_else(unreadable)?;
                let id = qualifier.reader().take(OBJECT_IDENTIFIER);
                let id = id.ok_or_else(unreadable)?;
                if extension.critical && !KNOWN_QUALIFIERS.contains(&id.content) {
                    return Err(PolicyProblem::UnknownQualifier {
                        index,
                        oid: id.oid().unwrap_or_default(),
                    });
                }
            }
        }
        let is_new = match policy.content {
            ANY_POLICY => !std::mem::replace(&mut policies.any, true),
            other => policies.others.insert(other),
        };
        if !is_new {
            return Err(malformed("its certificate policies name one policy twice"));
        }
    }
    Ok(policies)
}

/// Policy mappings (RFC 5280, 4.2.1.5), none of them from or to any policy.
fn mappings(value: &[u8]) -> Result<Vec<Mapping<'_>>, &'static str> {
    const MALFORMED: &str = "its policy mappings are malformed";
    let mut list = list(value).ok_or(MALFORMED)?;
    let mut mappings = Vec::new();
    while !list.is_done() {
        let mut pair = list.take(SEQUENCE).ok_or(MALFORMED)?.reader();
        let from = pair.take(OBJECT_IDENTIFIER).ok_or(MALFORMED)?.content;
        let to = pair.take(OBJECT_IDENTIFIER).ok_or(MALFORMED)?.content;
        if !pair.is_done() {
            return Err(MALFORMED);
        }
        if from == ANY_POLICY || to == ANY_POLICY {
            return Err("its policy mappings contain anyPolicy, which cannot be mapped");
        }
        mappings.push((from, to));
    }
    Ok(mappings)
}

/// Policy constraints (RFC 5280, 4.2.1.11): requireExplicitPolicy and inhibitPolicyMapping, at least one of them.
fn constraints(value: &[u8]) -> Option<(Option<usize>, Option<usize>)> {
    let mut fields = list(value)?;
    let mut field = |tag| match fields.take(tag) {
        Some(number) => skip_certificates(number.content).map(Some),
        None => Some(None),
    };
    let read = (
        field(REQUIRE_EXPLICIT_POLICY)?,
        field(INHIBIT_POLICY_MAPPING)?,
    );
    fields.is_done().then_some(read)
}

/// The elements of a SEQUENCE that must not be empty.
fn list(value: &[u8]) -> Option<Reader<'_>> {
    let list = Element::only_of(value, SEQUENCE)?;
    (!list.content.is_empty()).then(|| list.reader())
}

/// The content of an INTEGER that counts certificates. Larger numbers than a path can have are cut.
fn skip_certificates(content: &[u8]) -> Option<usize> {
    match content {
        [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => None,
        _ => Some(content.iter().fold(0usize, |number, octet| {
            number
                .saturating_mul(256)
                .saturating_add(usize::from(*octet))
        })),
    }
}

/// The number of certificates after which a requirement applies, and the certificate that sets it.
struct Countdown {
    left: usize,
    set_by: usize,
}

impl Countdown {
    fn limit(&mut self, left: Option<usize>, set_by: usize) {
        if let Some(left) = left.filter(|left| *left < self.left) {
            *self = Self { left, set_by };
        }
    }

    fn step(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// RFC 5280, 6.1.2 to 6.1.5, for policies.
fn evaluate(
    path: &[PolicyExtensions<'_>],
    anchor: Option<&PolicyExtensions<'_>>,
) -> Result<(), PolicyProblem> {
    // 6.1.2 (a), (d), (e), (f).
    let beyond_path = || Countdown {
        left: path.len().saturating_add(1),
        set_by: path.len(),
    };
    let mut state = State {
        expected: Policies {
            any: true,
            others: BTreeSet::new(),
        },
        lost_at: None,
        explicit_policy: beyond_path(),
        policy_mapping: beyond_path(),
        inhibit_any_policy: beyond_path(),
    };
    if let Some(anchor) = anchor {
        if let Some(policies) = &anchor.policies {
            state.expected = policies.clone();
        }
        state.map(anchor, path.len());
        state.constrain(anchor, path.len());
    }
    for (index, certificate) in path.iter().enumerate().rev() {
        state.assert(certificate, index);
        state.check()?;
        if index > 0 {
            state.map(certificate, index);
            if !certificate.is_self_issued {
                state.explicit_policy.step();
                state.policy_mapping.step();
                state.inhibit_any_policy.step();
            }
            state.constrain(certificate, index);
        } else {
            // 6.1.5 (a), (b).
            state.explicit_policy.step();
            let demand = certificate.require_explicit_policy;
            state
                .explicit_policy
                .limit(demand.filter(|skip| *skip == 0), index);
            state.check()?;
        }
    }
    Ok(())
}

struct State<'a> {
    /// The policies that the next certificate may assert: the expected policies of the graph's lowest level.
    expected: Policies<'a>,
    /// The certificate at which the set became empty.
    lost_at: Option<usize>,
    explicit_policy: Countdown,
    policy_mapping: Countdown,
    inhibit_any_policy: Countdown,
}

impl<'a> State<'a> {
    /// 6.1.3 (d), (e): the expected policies that the certificate asserts.
    fn assert(&mut self, certificate: &PolicyExtensions<'a>, index: usize) {
        let expected = std::mem::take(&mut self.expected);
        let Some(asserted) = &certificate.policies else {
            return self.note_loss(index);
        };
        let any_counts = asserted.any
            && (!self.inhibit_any_policy.is_over() || (index > 0 && certificate.is_self_issued));
        self.expected.any = any_counts && expected.any;
        self.expected.others = asserted
            .others
            .iter()
            .copied()
            .filter(|policy| expected.allows(policy))
            .collect();
        if any_counts {
            self.expected.others.extend(expected.others);
        }
        self.note_loss(index);
    }

    fn note_loss(&mut self, index: usize) {
        if self.expected.is_empty() {
            self.lost_at.get_or_insert(index);
        }
    }

    /// 6.1.3 (f) and 6.1.5 (g).
    fn check(&self) -> Result<(), PolicyProblem> {
        match self.lost_at {
            Some(index) if self.explicit_policy.is_over() => Err(PolicyProblem::NoValidPolicy {
                index,
                demanded_by: self.explicit_policy.set_by,
            }),
            _ => Ok(()),
        }
    }

    /// 6.1.4 (b): policies of the issuer's domain are replaced by those of the subject's domain, or removed.
    fn map(&mut self, certificate: &PolicyExtensions<'a>, index: usize) {
        let before = self.expected.clone();
        for (from, _) in &certificate.mappings {
            self.expected.others.remove(from);
        }
        if !self.policy_mapping.is_over() {
            for (from, to) in &certificate.mappings {
                if before.allows(from) {
                    self.expected.others.insert(to);
                }
            }
        }
        self.note_loss(index);
    }

    /// 6.1.4 (i), (j).
    fn constrain(&mut self, certificate: &PolicyExtensions<'_>, index: usize) {
        self.explicit_policy
            .limit(certificate.require_explicit_policy, index);
        self.policy_mapping
            .limit(certificate.inhibit_policy_mapping, index);
        self.inhibit_any_policy
            .limit(certificate.inhibit_any_policy, index);
    }
}

#[cfg(test)]
mod tests;
