//! Probes a server repeatedly to find everything that it accepts.
//!
//! A server answers each hello with its choice. The choice is omitted from the next hello, until
//! the server refuses: the sequence of choices is what it accepts, in its order of preference.

use handfast::registry::{GroupId, SchemeId, SuiteId, WireVersion};

use crate::answer::{Answer, ServerHello};
use crate::hello::ClientHello;

/// Everything that a server accepts, the oldest version first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// One entry for each requested version.
    pub versions: Vec<VersionSurvey>,
}

/// The result for a single version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionSurvey {
    /// The version.
    pub version: WireVersion,
    /// What the server accepts with it, or how it refused.
    pub offer: Result<Offer, Answer>,
}

/// What a server accepts with one version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// Cipher suites, in the order of choice.
    pub suites: Vec<SuiteId>,
    /// Which end determines the order of the suites.
    pub suite_order: Order,
    /// Key exchange groups, in the order of choice.
    pub groups: Vec<GroupId>,
    /// Which end determines the order of the groups.
    pub group_order: Order,
    /// Signature schemes of the handshake, in the order of choice, if they are
    /// visible: in TLS 1.2. TLS 1.3 encrypts them, and older versions have no choice.
    pub schemes: Vec<SchemeId>,
    /// The size of the server's own Diffie-Hellman prime, in bits, if a suite uses one.
    pub dh_bits: Option<u32>,
}

/// Which end selects among the common parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The server has an order of its own.
    Server,
    /// The server takes the client's first choice.
    Client,
    /// There is nothing to choose among.
    Single,
}

impl Order {
    /// `server`, `client` or `single`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Single => "single",
        }
    }
}

/// Finds out which versions a server speaks, and for each its suites and groups.
///
/// `ask` sends a hello over a connection of its own and gives the answer. `base` makes the hello for
/// a version: there the name of the server and the application protocols are added.
///
/// # Errors
/// The first error of `ask`, which ends the survey.
pub fn survey<E>(
    versions: &[WireVersion],
    base: impl Fn(WireVersion) -> ClientHello,
    mut ask: impl FnMut(&ClientHello) -> Result<Answer, E>,
) -> Result<Survey, E> {
    let versions = versions
        .iter()
        .map(|version| {
            let hello = base(*version);
            Ok(VersionSurvey {
                version: *version,
                offer: survey_version(&hello, &mut ask)?,
            })
        })
        .collect::<Result<_, E>>()?;
    Ok(Survey { versions })
}

fn survey_version<E>(
    hello: &ClientHello,
    ask: &mut impl FnMut(&ClientHello) -> Result<Answer, E>,
) -> Result<Result<Offer, Answer>, E> {
    let chosen = match ask(hello)? {
        Answer::Hello(chosen) if chosen.version == hello.version => chosen,
        refusal => return Ok(Err(refusal)),
    };
    let mut dh_bits: Option<u32> = None;
    let mut pick = |hello: &ClientHello| -> Result<Option<ServerHello>, E> {
        Ok(match ask(hello)? {
            Answer::Hello(chosen) if chosen.version == hello.version => {
                // The smallest that it shows counts.
                dh_bits = match (dh_bits, chosen.dh_bits) {
                    (Some(known), Some(shown)) => Some(known.min(shown)),
                    (known, shown) => known.or(shown),
                };
                Some(chosen)
            }
            _ => None,
        })
    };
    let suites = exhaust(&hello.suites, chosen.suite, |left, _| {
        Ok(pick(&hello.clone().with_suites(left))?.map(|chosen| chosen.suite))
    })?;
    let suite_order = order(&suites, |reversed| {
        Ok(pick(&hello.clone().with_suites(reversed))?.map(|chosen| chosen.suite))
    })?;
    let with_groups: Vec<SuiteId> = suites
        .iter()
        .copied()
        .filter(|suite| suite.has_group())
        .collect();
    let hello = hello.clone().with_suites(with_groups.clone());
    let mut pick_group = |groups: Vec<GroupId>| -> Result<Option<GroupId>, E> {
        Ok(pick(&hello.clone().with_groups(groups))?.and_then(|chosen| chosen.group))
    };
    let first = match with_groups.is_empty() {
        true => None,
        false => pick_group(hello.groups.clone())?,
    };
    let groups = match first {
        None => Vec::new(),
        Some(first) => exhaust(&hello.groups, first, |left, found| {
            if let Some(group) = pick_group(left.clone())? {
                return Ok(Some(group));
            }
            // Before TLS 1.3 the curve of the server's own certificate must be among those offered:
            // it may be one of those found already.
            if hello.version == WireVersion::Tls13 {
                return Ok(None);
            }
            let all = left.iter().chain(found).copied().collect();
            Ok(pick_group(all)?.filter(|group| !found.contains(group)))
        })?,
    };
    let group_order = order(&groups, |mut reversed| {
        // For the curve of the certificate, as above; the server takes none of the others.
        let others = hello.groups.iter().filter(|group| !groups.contains(group));
        reversed.extend(others);
        pick_group(reversed)
    })?;
    let mut pick_scheme = |schemes: Vec<SchemeId>| -> Result<Option<SchemeId>, E> {
        let numbers = schemes.into_iter().map(|scheme| scheme.0);
        let hello = hello.clone().with_signature_schemes(numbers);
        Ok(pick(&hello)?.and_then(|chosen| chosen.scheme))
    };
    let offered = hello.signature_schemes();
    let first = match hello.version == WireVersion::Tls12 && !with_groups.is_empty() {
        true => pick_scheme(offered.clone())?,
        false => None,
    };
    let schemes = match first {
        Some(first) => exhaust(&offered, first, |left, _| pick_scheme(left))?,
        None => Vec::new(),
    };
    Ok(Ok(Offer {
        suites,
        suite_order,
        groups,
        group_order,
        schemes,
        dh_bits,
    }))
}

/// Asks for what is left until nothing more is chosen. A choice that was not offered ends it: then
/// the server ignores the offer, and the questions would never end.
fn exhaust<T: Copy + PartialEq, E>(
    offered: &[T],
    first: T,
    mut pick: impl FnMut(Vec<T>, &[T]) -> Result<Option<T>, E>,
) -> Result<Vec<T>, E> {
    let mut left = offered.to_vec();
    let mut found = Vec::new();
    let mut next = Some(first);
    while let Some(chosen) = next {
        let Some(position) = left.iter().position(|item| *item == chosen) else {
            break;
        };
        left.remove(position);
        found.push(chosen);
        if left.is_empty() {
            break;
        }
        next = pick(left.clone(), &found)?;
    }
    Ok(found)
}

/// Offers everything in reverse: a server that still makes the same first choice has its own order.
fn order<T: Copy + PartialEq, E>(
    found: &[T],
    mut pick: impl FnMut(Vec<T>) -> Result<Option<T>, E>,
) -> Result<Order, E> {
    let (Some(first), true) = (found.first(), found.len() > 1) else {
        return Ok(Order::Single);
    };
    let reversed = found.iter().rev().copied().collect();
    Ok(if pick(reversed)? == Some(*first) {
        Order::Server
    } else {
        Order::Client
    })
}
