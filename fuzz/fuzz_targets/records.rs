//! The record protocol of a connection whose keys a stranger holds: whatever it encrypts, cuts and changes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| handfast::fuzzing::records(bytes));
