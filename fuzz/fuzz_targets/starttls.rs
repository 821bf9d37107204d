//! What a server says before TLS: no bytes may panic any of the dialogues, or be told unescaped; and where they are
//! cut changes nothing.
#![no_main]

use handfast_dial::{StartTls, StartTlsError};
use libfuzzer_sys::fuzz_target;

fn play(protocol: StartTls, bytes: &[u8], step: usize) -> (bool, Option<StartTlsError>) {
    let mut dialogue = protocol.dialogue("mail.example");
    for piece in bytes.chunks(step) {
        dialogue.sent(usize::MAX);
        if let Err(error) = dialogue.received(piece) {
            return (false, Some(error));
        }
    }
    dialogue.sent(usize::MAX);
    (dialogue.is_done(), None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let protocol = StartTls::ALL[usize::from(*kind) % StartTls::ALL.len()];
    let whole = play(protocol, bytes, usize::MAX);
    // Evidence is what had come by then; how it ends is the same.
    let pieces = play(protocol, bytes, 1);
    assert_eq!(whole.0, pieces.0);
    for error in [whole.1, pieces.1].into_iter().flatten() {
        let told = handfast_dial::Error::from(error).explain().to_string();
        assert!(
            !told.chars().any(|c| c.is_control() && c != '\n'),
            "{told:?}"
        );
    }
});
