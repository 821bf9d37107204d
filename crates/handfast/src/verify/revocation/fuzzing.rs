//! Properties that hold for any bytes as a list: built only for tests and fuzzing.

use std::sync::Arc;

use super::check::Signer;
use super::list::{List, Reason};
use super::lists::{ExpiredLists, RevocationLists, RevocationScope, UnknownStatus};
use crate::x509::{self, Depth};

/// `SubjectPublicKeyInfo` of a key on P-256 without a private key.
const KEY_ALGORITHM: [u8; 21] = [
    0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];
/// ecdsa-with-SHA256, `AlgorithmIdentifier`.
const SIGNATURE_ALGORITHM: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// cRLDistributionPoints.
const DISTRIBUTION_POINTS: [u8; 5] = [6, 3, 0x55, 0x1d, 31];

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut element = x509::wrap_sequence(&parts.concat());
    element[0] = tag;
    element
}

/// A certificate with this issuer and serial number, and these distribution points.
fn certificate(issuer: &[u8], serial: &[u8], key: &[u8], points: &[u8]) -> Vec<u8> {
    let time = element(0x17, &[b"260101000000Z"]);
    let validity = element(0x30, &[&time, &time]);
    let extension = element(0x30, &[&DISTRIBUTION_POINTS, &element(4, &[points])]);
    let extensions = match points.is_empty() {
        true => Vec::new(),
        false => element(0xa3, &[&element(0x30, &[&extension])]),
    };
    let body = element(
        0x30,
        &[
            &[0xa0, 3, 2, 1, 2],
            &element(2, &[serial]),
            &SIGNATURE_ALGORITHM,
            issuer,
            &validity,
            issuer,
            key,
            &extensions,
        ],
    );
    element(0x30, &[&body, &SIGNATURE_ALGORITHM, &[3, 1, 0]])
}

/// `points`: the value of a certificate's distribution points, or empty. All text is safe to print, every entry is
/// found, and no certificate on the list is accepted.
pub(crate) fn check_list(list: &[u8], points: &[u8]) {
    let list = match List::read(list.to_vec(), None) {
        Ok(list) => list,
        Err(detail) => {
            assert!(!detail.chars().any(char::is_control), "{detail:?}");
            return;
        }
    };
    let text = format!("{} {}", list.summary, list.summary.scope);
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let key = element(0x30, &[&KEY_ALGORITHM, &element(3, &[&[0, 4], &[7; 64]])]);
    let list = Arc::new(list);
    let lists = RevocationLists {
        lists: vec![Arc::clone(&list)],
        scope: RevocationScope::Chain,
        unknown: UnknownStatus::Refuse,
        expired: ExpiredLists::Refuse,
        also: None,
    };
    let signer = Signer {
        name: &list.issuer,
        key: &key,
        key_usage: None,
    };
    let mut entries = list.pretend_signed_by(&key);
    entries.push((&list.issuer, &[0x5a; 9]));
    for (issuer, serial) in entries.iter().rev().take(64) {
        let found = list.entry(issuer, serial);
        assert!(
            found.is_some() || *serial == [0x5a; 9],
            "an entry is not found"
        );
        let der = certificate(issuer, serial, &key, points);
        let Ok(certificate) = x509::parse(&der, Depth::Outline) else {
            continue;
        };
        let result = lists.check_path(&[&certificate], &signer, &[], list.this_update);
        if result.is_ok() {
            // In the form that the certificate's parser returns.
            let issuer = certificate.issuer().as_raw();
            let entry = list.entry(issuer, certificate.raw_serial());
            assert!(
                entry.is_none_or(|entry| entry.reason == Reason::Removed),
                "a revoked certificate is accepted: {entry:?}"
            );
        }
        if let Err((_, cause)) = result {
            assert!(!cause.to_string().chars().any(char::is_control), "{cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use handfast_testbed::crl::{
        Crl, certificate_issuer, crl_issuer, flag, id, point, points, reason_code, reasons,
        relative_point,
    };
    use handfast_testbed::pki::Pki;
    use proptest::prelude::*;

    use crate::fuzzing::{revocation_list, staple};

    const URL: &str = "http://a/1";

    /// Lists of every kind, each with the distribution points of a certificate before it.
    fn seeds() -> Vec<Vec<u8>> {
        let pki = Pki::new();
        let root = &pki.root;
        let list = || Crl::by(root).revoking(root).entry(&[1], &[reason_code(6)]);
        let of = |parts: &[Vec<u8>]| list().scope(parts);
        let point_of = |parts: &[Vec<u8>]| points(&[parts]);
        let split: [&[Vec<u8>]; 2] = [
            &[point(&[URL]), reasons(1, &[1])],
            &[point(&["http://a/2"]), reasons(1, &[2, 3, 4, 5, 6, 7, 8])],
        ];
        let rows: Vec<(Vec<u8>, Crl<'_>)> = vec![
            (Vec::new(), list()),
            (Vec::new(), list().version_1()),
            (Vec::new(), Crl::by(root).revoking(root).version_1()),
            (Vec::new(), list().delta_of(0)),
            (Vec::new(), of(&[flag(1)])),
            (Vec::new(), of(&[flag(2)])),
            (Vec::new(), of(&[reasons(3, &[1])])),
            (Vec::new(), list().without(id::NUMBER)),
            (point_of(&[point(&[URL])]), of(&[point(&[URL])])),
            (point_of(&[relative_point("a")]), of(&[relative_point("a")])),
            (points(&split), list()),
            (
                point_of(&[crl_issuer(root)]),
                of(&[flag(4)]).entry(&[2], &[certificate_issuer(root)]),
            ),
        ];
        rows.into_iter()
            .map(|(points, list)| {
                let length = u8::try_from(points.len()).expect("few distribution points");
                [&[length][..], &points, &list.der()].concat()
            })
            .collect()
    }

    /// With `HANDFAST_WRITE_SEEDS=DIR` the seeds are written to that directory.
    #[test]
    fn lists_of_every_kind_have_all_properties() {
        for (number, seed) in seeds().iter().enumerate() {
            revocation_list(seed);
            if let Some(directory) = std::env::var_os("HANDFAST_WRITE_SEEDS") {
                let directory = Path::new(&directory).join("revocation_list");
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(directory.join(format!("{number:02}")), seed).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changed_lists_have_all_properties(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..6),
        ) {
            thread_local! {
                static SEEDS: Vec<Vec<u8>> = seeds();
            }
            let mut bytes = SEEDS.with(|seeds| which.get(seeds).clone());
            for (place, kind, value) in changes {
                let place = place.index(bytes.len());
                match kind {
                    0 => bytes[place] = value,
                    1 => bytes[place] ^= 1 << (value % 8),
                    2 => bytes.insert(place, value),
                    _ if bytes.len() > 1 => drop(bytes.remove(place)),
                    _ => {}
                }
            }
            revocation_list(&bytes);
        }

        #[test]
        fn arbitrary_responses_have_all_properties(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            staple(&bytes);
        }
    }
}
