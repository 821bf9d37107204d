//! Every change to a valid chain is detected without a panic.

use handfast::{CertificateDer, Error, PeerCause, Phase, ServerName, UnixTime, VerificationPolicy};
use handfast_testbed::pki::{Pki, Spec};
use proptest::prelude::*;

use crate::case::{NAME, trust};

/// A change of one byte, or of the length.
#[derive(Debug, Clone)]
enum Mutation {
    Flip {
        place: prop::sample::Index,
        with: u8,
    },
    Insert {
        place: prop::sample::Index,
        byte: u8,
    },
    Remove {
        place: prop::sample::Index,
    },
    CutAt {
        place: prop::sample::Index,
    },
    Append {
        byte: u8,
    },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        6 => (place(), 1..=u8::MAX).prop_map(|(place, with)| Mutation::Flip { place, with }),
        1 => (place(), any::<u8>()).prop_map(|(place, byte)| Mutation::Insert { place, byte }),
        1 => place().prop_map(|place| Mutation::Remove { place }),
        1 => place().prop_map(|place| Mutation::CutAt { place }),
        1 => any::<u8>().prop_map(|byte| Mutation::Append { byte }),
    ]
}

impl Mutation {
    fn inflict(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Flip { place, with } => bytes[place.index(length)] ^= with,
            Self::Insert { place, byte } => bytes.insert(place.index(length), *byte),
            Self::Remove { place } => drop(bytes.remove(place.index(length))),
            Self::CutAt { place } => bytes.truncate(place.index(length)),
            Self::Append { byte } => bytes.push(*byte),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_chain_that_was_tampered_with_is_verified(
        changes in prop::collection::vec((0..3usize, mutation()), 1..5),
        trusted_as_itself in any::<bool>(),
    ) {
        thread_local! {
            static GOOD: (Pki, Vec<CertificateDer<'static>>) = {
                let pki = Pki::new();
                let authorities = pki.intermediates(2);
                let end_entity = authorities[1].issue(Spec::server(&[NAME]));
                let chain = end_entity.chain_with(&[&authorities[1], &authorities[0]]);
                (pki, chain)
            };
        }
        GOOD.with(|(pki, good)| {
            let mut chain: Vec<Vec<u8>> = good.iter().map(|der| der.to_vec()).collect();
            for (which, change) in &changes {
                change.inflict(&mut chain[*which]);
            }
            let chain: Vec<CertificateDer<'static>> =
                chain.into_iter().map(CertificateDer::from).collect();
            prop_assume!(&chain != good);
            let mut anchors = trust(&[&pki.root]);
            if trusted_as_itself && chain[0] != good[0] {
                // The original is trusted, the changed one is not.
                anchors = anchors.with_certificate_der(good[0].clone()).unwrap();
            }
            let policy = VerificationPolicy::new(anchors).with_legacy_common_name(true);
            let name = ServerName::parse(NAME).unwrap();
            let result = policy.check_server_chain(&chain, &name, UnixTime::now());
            let refused = result.err();
            prop_assert!(refused.is_some(), "verified after {changes:?}");
            let refused = refused.unwrap();
            prop_assert_eq!(&refused.chain, &chain);
            // Explaining the error must not fail either.
            let error = Error::new(
                Phase::Handshake,
                PeerCause::Certificate(Box::new(refused)),
            );
            prop_assert!(!error.explain().to_string().is_empty());
            Ok(())
        })?;
    }
}
