//! Tickets that strangers bring: none opens but those that were made, unchanged and under their policy.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| handfast::fuzzing::ticket(bytes));
