//! Certificate chains and keys in any form: an error at worst, and one that can be told.
//!
//! Any file that holds a chain, a key or both is a seed as it is; where it is locked, with `x`.
#![no_main]

use handfast::{Error, Identity, Passphrase};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (chain, key) = bytes.split_at(bytes.len() / 2);
    for passphrase in [Passphrase::none, || Passphrase::from("x")] {
        for (chain, key) in [(bytes, bytes), (chain, key), (key, bytes)] {
            if let Err(error) = Identity::from_bytes(chain, key, passphrase()) {
                let told = Error::from(error).explain().to_string();
                assert!(
                    !told.chars().any(|c| c.is_control() && c != '\n'),
                    "{told:?}"
                );
            }
        }
    }
});
