//! Trusted certificates and revocation lists in any file: an error at worst, one that can be told, and the same
//! certificates whatever is around them.
#![no_main]

use handfast::{Error, RevocationLists, TrustAnchors, certificates_from_bytes};
use libfuzzer_sys::fuzz_target;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fuzz_target!(|bytes: &[u8]| {
    let printable = |told: String| {
        assert!(
            !told.chars().any(|c| c.is_control() && c != '\n'),
            "{told:?}"
        );
    };
    match TrustAnchors::empty().with_pem(bytes) {
        Ok(anchors) => {
            for source in anchors.sources() {
                printable(source.to_string());
                source
                    .problems
                    .iter()
                    .for_each(|problem| printable(problem.to_string()));
            }
        }
        Err(error) => printable(Error::from(error).explain().to_string()),
    }
    if let Err(error) = RevocationLists::none().with_pem(bytes) {
        printable(error.problem.to_string());
    }
    let Ok(certificates) = certificates_from_bytes(bytes) else {
        return;
    };
    let held: usize = certificates.iter().map(|one| one.len()).sum();
    assert!(held <= bytes.len());
    // What begins like text stays text behind a mark and lines that are none of its own.
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    if bytes.first() != Some(&0x30) && is_text {
        let decorated = [
            BYTE_ORDER_MARK,
            b"a: b\r\n\t\r\n",
            bytes,
            b"\r\n\r\nthe end",
        ]
        .concat();
        assert_eq!(certificates_from_bytes(&decorated).unwrap(), certificates);
    }
});
