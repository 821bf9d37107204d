//! What a server says to a ClientHello by hand: parsed, and told of without control characters.
#![no_main]

use handfast::{Error, PeerCause, Phase};
use handfast_probe::AnswerReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = AnswerReader::new();
    let _ = reader.push(bytes).unwrap_or_else(|| reader.end());
    let cause = PeerCause::NotTls {
        first_bytes: bytes.iter().copied().take(256).collect(),
    };
    let told = Error::new(Phase::Handshake, cause).explain().to_string();
    assert!(
        !told.chars().any(|c| c.is_control() && c != '\n'),
        "{told:?}"
    );
});
