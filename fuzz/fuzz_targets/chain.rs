//! Chains of certificates, and trusted ones, judged by webpki and by our own path validation.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| handfast::fuzzing::chain(bytes));
