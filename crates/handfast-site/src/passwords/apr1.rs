//! `$apr1$`: Apache's variant of MD5-crypt. Weak, and in many files.
//!
//! MD5 itself is a crate's; no crate that is kept has the thousand rounds around it.

use aws_lc_rs::constant_time;
use md5::{Digest as _, Md5};

const PREFIX: &str = "$apr1$";

const ROUNDS: usize = 1000;

/// The digits of crypt(3)'s numbers to base 64.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A digit of crypt(3)'s numbers to base 64.
pub(super) fn is_crypt_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

/// The salt and the hash.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (salt, hash) = text.strip_prefix(PREFIX)?.split_once('$')?;
    let is_whole = salt.len() <= 8 && hash.len() == 22 && hash.bytes().all(is_crypt_digit);
    is_whole.then_some((salt, hash))
}

pub(super) fn verify(password: &[u8], text: &str) -> bool {
    split(text).is_some_and(|(salt, hash)| {
        let made = encode(&rounds(password, salt.as_bytes()));
        constant_time::verify_slices_are_equal(&made, hash.as_bytes()).is_ok()
    })
}

fn rounds(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new()
        .chain_update(password)
        .chain_update(PREFIX)
        .chain_update(salt);
    // As many bytes as the password has, over and over.
    for at in (0..password.len()).step_by(inner.len()) {
        let count = (password.len() - at).min(inner.len());
        first.update(inner.get(..count).unwrap_or_default());
    }
    let mut length = password.len();
    while length > 0 {
        if length & 1 == 1 {
            first.update([0]);
        } else {
            first.update(password.get(..1).unwrap_or_default());
        }
        length >>= 1;
    }
    let mut state: [u8; 16] = first.finalize().into();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        if round % 2 == 1 {
            next.update(password);
        } else {
            next.update(state);
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if round % 2 == 1 {
            next.update(state);
        } else {
            next.update(password);
        }
        state = next.finalize().into();
    }
    state
}

/// The bytes in their peculiar order, three to four digits.
fn encode(state: &[u8; 16]) -> Vec<u8> {
    const GROUPS: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let byte = |at: usize| u32::from(state.get(at).copied().unwrap_or_default());
    let mut digits = Vec::with_capacity(22);
    let mut push = |mut number: u32, count: usize| {
        for _ in 0..count {
            digits.push(DIGITS[(number & 0x3f) as usize]);
            number >>= 6;
        }
    };
    for [high, middle, low] in GROUPS {
        push(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    push(byte(11), 2);
    digits
}
