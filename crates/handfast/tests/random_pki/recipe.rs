//! Generates a PKI: a chain, further certificates, harmless variations, faults.
//!
//! A recipe is a list of small steps, so that a failing one shrinks to the steps that matter; `build`
//! executes them. The oracle computes the expected verdict.

use proptest::prelude::*;
use proptest::sample::select;

/// The most certificates in a PKI.
pub(crate) const CERTIFICATES_MAX: usize = 8;

/// A step, its certificate, and a number for its other choices.
type Step<T> = (T, usize, usize);

#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) intermediates: usize,
    pub(crate) is_client: bool,
    pub(crate) twists: Vec<Step<Twist>>,
    pub(crate) extras: Vec<Step<Extra>>,
    pub(crate) faults: Vec<Step<Fault>>,
    pub(crate) order: u64,
}

/// Certificates outside of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Unrelated to the chain.
    Unrelated,
    /// The same certificate twice.
    Duplicate,
    /// An authority's name with another key, by the same issuer.
    Double,
    /// A root's name with another key, trusted as well.
    DoubleRoot,
    /// An authority's key under another name.
    Alias,
    /// An authority's name and key, by another root that is trusted.
    CrossSigned,
    /// An authority's name and key, by another root that is not trusted.
    CrossSignedUntrusted,
    /// An authority's name and key, by itself.
    SelfSigned,
    /// An authority's name and key, by an authority below it.
    Cycle,
    /// The root's old key certified by its new one, which is trusted.
    OldWithNew,
    /// The root's new key, which the chain hangs on, certified by the old one, which is trusted.
    NewWithOld,
}

/// Variations that do not change the verdict on a valid chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    RootSent,
    MoreNames,
    AskForAddress,
    KeyIdentifiers,
    Lists,
    SubjectSpelled,
    IssuerSpelled,
    NoUsage,
    Purposes,
    PathLen,
    Permitted,
    Excluded,
    Policies,
    PoliciesCritical,
    ExplicitPolicy,
    TrustedVersion1,
    TrustedWithoutBasic,
    TrustedAsItself,
    IntermediateTrusted,
    MisleadingIdentifier,
    DirectoryName,
    BornBefore1970,
}

/// Faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Expired,
    NotYetValid,
    Reversed,
    BrokenSignature,
    WeakSignature,
    WeakKey,
    Missing,
    Untrusted,
    RemadeRoot,
    OtherName,
    NoNames,
    NotAuthority,
    NotForCertificates,
    NotForHandshakes,
    AuthorityAsEndEntity,
    PathLen,
    OtherPurpose,
    Permitted,
    Excluded,
    UnknownCritical,
    Version1,
    ExplicitPolicy,
    NoPolicy,
    OtherPolicy,
    Revoked,
    ListExpired,
    ListMissing,
    ListOfTheFuture,
    RevokedInOlderList,
    NotForLists,
    Depth,
}

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    use Extra::{
        Alias, CrossSigned, CrossSignedUntrusted, Cycle, Double, DoubleRoot, Duplicate, NewWithOld,
        OldWithNew, SelfSigned, Unrelated,
    };
    let extras = vec![
        Unrelated,
        Duplicate,
        Double,
        DoubleRoot,
        Alias,
        CrossSigned,
        CrossSignedUntrusted,
        SelfSigned,
        Cycle,
        OldWithNew,
        NewWithOld,
    ];
    let twists = vec![
        Twist::RootSent,
        Twist::MoreNames,
        Twist::AskForAddress,
        Twist::KeyIdentifiers,
        Twist::Lists,
        Twist::SubjectSpelled,
        Twist::IssuerSpelled,
        Twist::NoUsage,
        Twist::Purposes,
        Twist::PathLen,
        Twist::Permitted,
        Twist::Excluded,
        Twist::Policies,
        Twist::PoliciesCritical,
        Twist::ExplicitPolicy,
        Twist::TrustedVersion1,
        Twist::TrustedWithoutBasic,
        Twist::TrustedAsItself,
        Twist::IntermediateTrusted,
        Twist::MisleadingIdentifier,
        Twist::DirectoryName,
        Twist::BornBefore1970,
    ];
    let faults = vec![
        Fault::Expired,
        Fault::NotYetValid,
        Fault::Reversed,
        Fault::BrokenSignature,
        Fault::WeakSignature,
        Fault::WeakKey,
        Fault::Missing,
        Fault::Untrusted,
        Fault::RemadeRoot,
        Fault::OtherName,
        Fault::NoNames,
        Fault::NotAuthority,
        Fault::NotForCertificates,
        Fault::NotForHandshakes,
        Fault::AuthorityAsEndEntity,
        Fault::PathLen,
        Fault::OtherPurpose,
        Fault::Permitted,
        Fault::Excluded,
        Fault::UnknownCritical,
        Fault::Version1,
        Fault::ExplicitPolicy,
        Fault::NoPolicy,
        Fault::OtherPolicy,
        Fault::Revoked,
        Fault::ListExpired,
        Fault::ListMissing,
        Fault::ListOfTheFuture,
        Fault::RevokedInOlderList,
        Fault::NotForLists,
        Fault::Depth,
    ];
    let step = |what: Vec<_>| (select(what), 0..CERTIFICATES_MAX, 0..60_usize);
    let twists = proptest::collection::vec(step(twists), 0..=4);
    let extras =
        proptest::collection::vec((select(extras), 0..CERTIFICATES_MAX, 0..60_usize), 0..=2);
    let faults =
        proptest::collection::vec((select(faults), 0..CERTIFICATES_MAX, 0..60_usize), 0..=2);
    (
        0..=4_usize,
        any::<bool>(),
        twists,
        extras,
        faults,
        0..12_u64,
    )
        .prop_map(
            |(intermediates, is_client, twists, extras, faults, order)| Recipe {
                intermediates,
                is_client,
                twists,
                extras,
                faults,
                order,
            },
        )
}
