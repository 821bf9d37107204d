//! ClientHellos from strangers: what is read is bounded by what came, and nothing in it reaches a log raw.
#![no_main]

use handfast::ClientOffer;
use libfuzzer_sys::fuzz_target;

fn check(bytes: &[u8]) {
    let Some(offer) = ClientOffer::parse(bytes) else {
        return;
    };
    let numbers = offer.cipher_suites.len() + offer.groups.len() + offer.signature_schemes.len();
    assert!(2 * (numbers + offer.supported_versions.len()) <= bytes.len());
    for names in [
        offer.version_names(),
        offer.cipher_suite_names(),
        offer.group_names(),
        offer.signature_scheme_names(),
        offer.alpn_names(),
    ] {
        for name in names {
            assert!(!name.chars().any(char::is_control), "{name:?}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // As the body of one message in one record, which random bytes hardly ever are.
    let Ok(length) = u16::try_from(bytes.len() + 4) else {
        return;
    };
    let mut framed = vec![22, 3, 1];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&[1, 0]);
    framed.extend_from_slice(&(length - 4).to_be_bytes());
    framed.extend_from_slice(bytes);
    check(&framed);
});
