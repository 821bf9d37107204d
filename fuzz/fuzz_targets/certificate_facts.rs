//! Certificates from strangers: facts or an error, and nothing in them that a terminal would obey.
#![no_main]

use handfast::CertificateFacts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    match CertificateFacts::from_der(der) {
        Ok(facts) => {
            let names = facts.names.iter().map(ToString::to_string);
            for text in names.chain([facts.subject, facts.issuer]) {
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
});
