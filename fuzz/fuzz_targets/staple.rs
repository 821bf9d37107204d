//! OCSP responses that servers staple: nothing but a signature makes one count, what is told of one that
//! does not is safe to print, and of several answers the worst counts.
#![no_main]

use handfast::{CertificateDer, StapledResponse, UnixTime};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|response: &[u8]| {
    let nothing = CertificateDer::from(Vec::new());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    match StapledResponse::check(response, &nothing, &nothing, now) {
        Ok(told) => panic!("{told:?}"),
        Err(problem) => assert!(!problem.to_string().chars().any(char::is_control)),
    }
    handfast::fuzzing::staple(response);
});
