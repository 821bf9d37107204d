//! The record protocol after the handshake, against rustls' own: every suite, every length, key updates of
//! either side, with input split anywhere.

use std::io::{IoSlice, Read as _, Write as _};
use std::sync::Arc;

use handfast::{
    ClientContext, Connection, Ending, Identity, Passphrase, ReadOutcome, ServerContext,
    TrustAnchors,
};
use handfast_testbed::pki::Pki;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

const SUITES: [&str; 6] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Both ends after their handshake, ours as the client or as the server.
struct Pair {
    ours: Connection,
    theirs: rustls::Connection,
    /// Output is sent in pieces of this size.
    piece: usize,
    /// What they have received, and whether it is complete.
    received: (Vec<u8>, bool),
}

impl Pair {
    fn new(suite: &str, is_client: bool, piece: usize) -> Self {
        let mut pair = Self::prepared(&Pki::new(), suite, is_client, piece);
        while pair.ours.is_handshaking() || pair.theirs.is_handshaking() {
            pair.carry();
        }
        let agreed = pair.ours.report().unwrap().cipher_suite;
        assert!(
            agreed.ends_with(suite.trim_start_matches("TLS_")),
            "{agreed}"
        );
        pair
    }

    /// Before the handshake.
    fn prepared(pki: &Pki, suite: &str, is_client: bool, piece: usize) -> Self {
        let issued = pki.server(&["localhost"]);
        let (ours, theirs) = if is_client {
            let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
            let context = ClientContext::builder()
                .trust(trust.unwrap())
                .cipher_suites([suite])
                .build()
                .unwrap();
            let config = ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![issued.der.clone()], issued.key_der())
                .unwrap();
            let theirs = ServerConnection::new(Arc::new(config)).unwrap();
            (context.connection("localhost").unwrap(), theirs.into())
        } else {
            let (chain, key) = (issued.cert_pem(), issued.key_pem());
            let identity =
                Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
            let context = ServerContext::builder()
                .identity(identity)
                .cipher_suites([suite])
                .build()
                .unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(pki.root.der.clone()).unwrap();
            let config = ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            let theirs = ClientConnection::new(Arc::new(config), name).unwrap();
            (context.connection().unwrap(), theirs.into())
        };
        Self {
            ours,
            theirs,
            piece,
            received: (Vec::new(), false),
        }
    }

    /// Transfers the output of both ends.
    fn carry(&mut self) {
        for piece in self.ours.outgoing().chunks(self.piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                self.theirs.read_tls(&mut rest).unwrap();
                self.theirs.process_new_packets().unwrap();
                match self.theirs.reader().read_to_end(&mut self.received.0) {
                    Ok(_) => self.received.1 = true,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
            }
        }
        self.ours.sent(self.ours.outgoing().len());
        let mut theirs = Vec::new();
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut theirs).unwrap();
        }
        for piece in theirs.chunks(self.piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                let room = self.ours.receive_room();
                let (now, later) = rest.split_at(rest.len().min(room.len()));
                room[..now.len()].copy_from_slice(now);
                self.ours.received(now.len());
                rest = later;
            }
            if self.ours.is_handshaking() {
                self.ours.process().unwrap();
            }
        }
    }

    fn write_ours(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let count = self
                .ours
                .write(&[IoSlice::new(first), IoSlice::new(second)])
                .unwrap();
            bytes = &bytes[count..];
            self.carry();
        }
        self.ours.flush().unwrap();
    }

    fn read_ours(&mut self, step: usize) -> (Vec<u8>, Option<Ending>) {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; step]);
        loop {
            match self.ours.read(&mut buffer).unwrap() {
                ReadOutcome::Data(count) => bytes.extend_from_slice(&buffer[..count]),
                ReadOutcome::WouldBlock => return (bytes, None),
                ReadOutcome::End(ending) => return (bytes, Some(ending)),
            }
        }
    }

    fn read_theirs(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.received.0), self.received.1)
    }
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|place| (place as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}

#[derive(Debug, Clone)]
enum Act {
    WeWrite(usize),
    TheyWrite(usize),
    TheyRenew,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let length = || prop_oneof![3 => 0..2_000usize, 1 => 16_380..16_390usize, 1 => 0..50_000usize];
    let act = prop_oneof![
        3 => length().prop_map(Act::WeWrite),
        3 => length().prop_map(Act::TheyWrite),
        1 => Just(Act::TheyRenew),
    ];
    prop::collection::vec(act, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_record_protocols_interoperate(
        acts in acts(),
        suite in 0..SUITES.len(),
        is_client: bool,
        piece in prop_oneof![1 => 1..40usize, 3 => 100..16_000usize],
        step in prop_oneof![1 => 1..50usize, 2 => 1_000..40_000usize],
    ) {
        let mut pair = Pair::new(SUITES[suite], is_client, piece);
        let mut answered = false;
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                Act::WeWrite(length) => {
                    let sent = noise(length, number as u8);
                    pair.write_ours(&sent);
                    answered &= sent.is_empty();
                    pair.carry();
                    prop_assert_eq!(pair.read_theirs(), (sent, false));
                }
                Act::TheyWrite(length) => {
                    let sent = noise(length, number as u8);
                    pair.theirs.writer().write_all(&sent).unwrap();
                    pair.carry();
                    prop_assert_eq!(pair.read_ours(step), (sent, None));
                }
                // TLS 1.2 has no key updates.
                Act::TheyRenew if suite < 3 => {
                    pair.theirs.refresh_traffic_keys().unwrap();
                    pair.carry();
                    prop_assert_eq!(pair.read_ours(step), (Vec::new(), None));
                    // Our updates precede other output, but only once while there is none.
                    pair.ours.flush().unwrap();
                    prop_assert_eq!(pair.ours.outgoing().is_empty(), answered);
                    answered = true;
                    pair.carry();
                }
                Act::TheyRenew => {}
            }
        }
        pair.theirs.send_close_notify();
        pair.carry();
        prop_assert_eq!(pair.read_ours(step), (Vec::new(), Some(Ending::CloseNotify)));
        // The other direction stays open.
        pair.write_ours(b"last words");
        pair.ours.send_close_notify().unwrap();
        pair.carry();
        prop_assert_eq!(pair.read_theirs(), (b"last words".to_vec(), true));
    }
}

/// A long transfer in one direction with repeated key updates: the silent end answers once, and again before its next
/// data, once for all requests in between (RFC 8446, section 4.6.3). Peers count consecutive updates.
#[test]
fn key_updates_while_we_are_silent_are_answered_once_and_once_before_the_next_data() {
    // Header, message, content type, tag.
    const KEY_UPDATE: usize = 5 + 5 + 1 + 16;
    for is_client in [true, false] {
        let mut pair = Pair::new(SUITES[0], is_client, usize::MAX);
        for round in 0..3 {
            let mut answers = 0;
            for _ in 0..60 {
                pair.theirs.writer().write_all(b"piece").unwrap();
                pair.theirs.refresh_traffic_keys().unwrap();
                pair.carry();
                assert_eq!(pair.read_ours(100), (b"piece".to_vec(), None));
                pair.ours.flush().unwrap();
                answers += pair.ours.outgoing().len();
                pair.carry();
            }
            assert_eq!(answers, KEY_UPDATE, "round {round}, client: {is_client}");
            pair.ours.write(&[IoSlice::new(b"data")]).unwrap();
            pair.ours.flush().unwrap();
            let sent = pair.ours.outgoing().len();
            assert_eq!(
                sent,
                KEY_UPDATE + 5 + 4 + 1 + 16,
                "the keys before the data"
            );
            pair.carry();
            assert_eq!(pair.read_theirs(), (b"data".to_vec(), false));
        }
        // The end is sent without an update.
        pair.theirs.refresh_traffic_keys().unwrap();
        pair.carry();
        assert_eq!(pair.read_ours(100), (Vec::new(), None));
        pair.ours.send_close_notify().unwrap();
        pair.carry();
        assert_eq!(pair.read_theirs(), (Vec::new(), true));
    }
}

/// Records that arrive together with the end of the handshake are not given to rustls: data, key updates, the end.
#[test]
fn records_directly_after_the_handshake_are_not_lost() {
    for (number, suite) in SUITES.into_iter().enumerate() {
        for is_client in [true, false] {
            let pki = Pki::new();
            let mut pair = Pair::prepared(&pki, suite, is_client, usize::MAX);
            let mut wrote = false;
            for _ in 0..10 {
                // Their complete output is sent as early as possible, in one piece.
                if !wrote && !pair.theirs.is_handshaking() {
                    pair.theirs.writer().write_all(b"first").unwrap();
                    if number < 3 {
                        pair.theirs.refresh_traffic_keys().unwrap();
                    }
                    pair.theirs.writer().write_all(b" and last").unwrap();
                    pair.theirs.send_close_notify();
                    wrote = true;
                }
                pair.carry();
            }
            let (bytes, ending) = pair.read_ours(100);
            assert_eq!(bytes, b"first and last", "{suite}, client: {is_client}");
            assert_eq!(ending, Some(Ending::CloseNotify));
        }
    }
}
