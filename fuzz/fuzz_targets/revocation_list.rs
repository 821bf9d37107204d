//! Revocation lists, by a key that passes for their issuer's: every entry is found, no certificate that is on a list
//! passes as good, and what is told of one is safe to print.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| handfast::fuzzing::revocation_list(bytes));
