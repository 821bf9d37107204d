//! What a proxy says to CONNECT, and over SOCKS5: no bytes may panic, be read without bound, or be told unescaped;
//! and where they are cut changes nothing.
#![no_main]

use handfast_dial::proxy::{ConnectDialogue, Credentials, ProxyError, Socks5Dialogue, Target};
use libfuzzer_sys::fuzz_target;

macro_rules! ask {
    ($dialogue:expr, $bytes:expr, $step:expr) => {{
        let (mut dialogue, mut used) = ($dialogue, 0);
        loop {
            dialogue.sent(usize::MAX);
            if dialogue.is_done() {
                break (None, used);
            }
            let rest: &[u8] = &$bytes[used..];
            let piece = &rest[..dialogue.wanted().min($step).min(rest.len())];
            if piece.is_empty() {
                break (Some(dialogue.received_end()), used);
            }
            used += piece.len();
            if let Err(error) = dialogue.received(piece) {
                break (Some(error), used);
            }
        }
    }};
}

fn target() -> Target {
    Target::new("proxy:3128", "shop.example", 443)
}

fn socks(named: bool) -> Socks5Dialogue {
    let credentials = named.then(|| Credentials::basic("al", "s3cret"));
    Socks5Dialogue::new(target(), None, credentials.as_ref()).expect("short texts")
}

fuzz_target!(|bytes: &[u8]| {
    let (kind, bytes) = bytes
        .split_first()
        .map_or((0, bytes), |(kind, rest)| (*kind, rest));
    let asked = |step: usize| -> (Option<ProxyError>, usize) {
        match kind % 3 {
            0 => ask!(ConnectDialogue::new(target(), None), bytes, step),
            kind => ask!(socks(kind == 2), bytes, step),
        }
    };
    let whole = asked(usize::MAX);
    assert_eq!(whole, asked(1));
    if let (Some(error), _) = whole {
        let told = handfast_dial::Error::from(error).explain().to_string();
        assert!(
            !told.chars().any(|c| c.is_control() && c != '\n'),
            "{told:?}"
        );
    }
});
