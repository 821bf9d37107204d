//! What a proxy says to CONNECT: no bytes may panic, be read without bound, or be told unescaped; and
//! where they are cut changes nothing.
#![no_main]

use handfast_dial::proxy::{ProxyDialogue, ProxyError, Target};
use libfuzzer_sys::fuzz_target;

fn ask(bytes: &[u8], step: usize) -> (Option<ProxyError>, usize) {
    let mut dialogue = ProxyDialogue::new(Target::new("proxy:3128", "shop.example", 443), None);
    dialogue.sent(usize::MAX);
    let mut used = 0;
    while !dialogue.is_done() {
        let rest = &bytes[used..];
        let piece = &rest[..dialogue.wanted().min(step).min(rest.len())];
        if piece.is_empty() {
            return (Some(dialogue.received_end()), used);
        }
        used += piece.len();
        if let Err(error) = dialogue.received(piece) {
            return (Some(error), used);
        }
    }
    (None, used)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = ask(bytes, usize::MAX);
    assert_eq!(whole, ask(bytes, 1));
    if let (Some(error), _) = whole {
        let told = handfast_dial::Error::from(error).explain().to_string();
        assert!(
            !told.chars().any(|c| c.is_control() && c != '\n'),
            "{told:?}"
        );
    }
});
