//! What stands behind a certificate's URL for its issuer, and lists of certificate timestamps.
#![no_main]

use handfast::{
    CertificateFacts, SignedCertificateTimestamp, certificates_from_bytes, certificates_to_pem,
    is_issued_by,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = SignedCertificateTimestamp::list_from_bytes(bytes) {
        assert!(
            list.iter()
                .all(|one| one.log_id.len() == 64 && one.timestamp() >= 0)
        );
    }
    let Ok(certificates) = certificates_from_bytes(bytes) else {
        return;
    };
    assert!(!certificates.is_empty());
    for certificate in &certificates {
        let _ = CertificateFacts::from_der(certificate);
        let _ = is_issued_by(certificate, certificate);
    }
    // What was read can be written, and reads the same.
    let again = certificates_from_bytes(certificates_to_pem(&certificates).as_bytes());
    assert_eq!(again.unwrap(), certificates);
});
