//! Two connections, with a wire controlled by the test: bytes are cut off, delayed or repeated, or a bit is
//! flipped. Both ends agree on what was delivered, or the receiver reports an error.

use std::collections::VecDeque;
use std::io::IoSlice;

use handfast::{
    ClientContext, Connection, Ending, Identity, Passphrase, ReadOutcome, ServerContext,
    TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use proptest::prelude::*;

thread_local! {
    /// Contexts are made once, also for thousands of cases.
    static CONTEXTS: [(ClientContext, ServerContext); 2] =
        [TlsVersion::Tls12, TlsVersion::Tls13].map(contexts);
}

fn contexts(version: TlsVersion) -> (ClientContext, ServerContext) {
    let pki = Pki::new();
    let server = pki.server(&["localhost"]);
    let (chain, key) = (server.cert_pem(), server.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
    let client = ClientContext::builder().trust(trust.unwrap());
    let server = ServerContext::builder().identity(identity.unwrap());
    (
        client.versions([version]).build().unwrap(),
        server.versions([version]).build().unwrap(),
    )
}

/// One step.
#[derive(Debug, Clone)]
enum Act {
    Write {
        side: usize,
        length: usize,
    },
    Flush {
        side: usize,
    },
    /// This many bytes go from this end to the wire.
    Send {
        side: usize,
        count: usize,
    },
    /// This many bytes reach this end from the wire.
    Arrive {
        side: usize,
        count: usize,
    },
    Read {
        side: usize,
        room: usize,
    },
    Finish {
        side: usize,
    },
    Rest {
        side: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let side = || 0..2usize;
    let length = || prop_oneof![4 => 0..200usize, 2 => 0..20_000usize, 1 => 0..200_000usize];
    let act = prop_oneof![
        4 => (side(), length()).prop_map(|(side, length)| Act::Write { side, length }),
        2 => side().prop_map(|side| Act::Flush { side }),
        6 => (side(), length()).prop_map(|(side, count)| Act::Send { side, count }),
        6 => (side(), length()).prop_map(|(side, count)| Act::Arrive { side, count }),
        6 => (side(), length()).prop_map(|(side, room)| Act::Read { side, room }),
        1 => side().prop_map(|side| Act::Finish { side }),
        1 => side().prop_map(|side| Act::Rest { side }),
    ];
    prop::collection::vec(act, 0..60)
}

/// The fault of the wire in one direction.
#[derive(Debug, Clone)]
enum Wire {
    /// Only splitting and delays.
    Faultless,
    Flip {
        at: usize,
        bit: u32,
    },
    /// A range of bytes is delivered twice.
    Repeat {
        at: usize,
        length: usize,
    },
    /// The channel ends there.
    Cut {
        at: usize,
    },
    /// Two adjacent ranges are swapped.
    Swap {
        at: usize,
        length: usize,
    },
}

fn wire() -> impl Strategy<Value = Wire> {
    // The handshake's flights are some 1500 bytes each; half of the positions are in them.
    let at = || prop_oneof![0..2_000usize, 0..100_000usize];
    let length = || 1..2_000usize;
    prop_oneof![
        3 => Just(Wire::Faultless),
        4 => (at(), 0..8u32).prop_map(|(at, bit)| Wire::Flip { at, bit }),
        1 => (at(), length()).prop_map(|(at, length)| Wire::Repeat { at, length }),
        1 => at().prop_map(|at| Wire::Cut { at }),
        1 => (at(), length()).prop_map(|(at, length)| Wire::Swap { at, length }),
    ]
}

/// One direction of the wire.
struct Direction {
    wire: Wire,
    /// The number of bytes sent.
    sent: usize,
    /// Bytes to be delivered.
    queue: VecDeque<u8>,
    /// Bytes to be repeated or swapped.
    held: Vec<u8>,
    /// Whether the fault has happened.
    tampered: bool,
    ended: bool,
}

impl Direction {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            sent: 0,
            queue: VecDeque::new(),
            held: Vec::new(),
            tampered: false,
            ended: false,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let place = self.sent;
            self.sent += 1;
            if self.ended {
                continue;
            }
            match self.wire {
                Wire::Faultless => self.queue.push_back(*byte),
                Wire::Flip { at, bit } => {
                    let flips = place == at;
                    self.tampered |= flips;
                    self.queue.push_back(byte ^ (u8::from(flips) << bit));
                }
                Wire::Repeat { at, length } => {
                    self.queue.push_back(*byte);
                    if (at..at + length).contains(&place) {
                        self.held.push(*byte);
                    }
                    if place + 1 == at + length {
                        self.tampered = true;
                        self.queue.extend(self.held.drain(..));
                    }
                }
                Wire::Cut { at } if place >= at => {
                    self.tampered = true;
                    self.ended = true;
                }
                Wire::Cut { .. } => self.queue.push_back(*byte),
                Wire::Swap { at, length } => {
                    if (at..at + length).contains(&place) {
                        // From here on the other end may have missed bytes.
                        self.tampered = true;
                        self.held.push(*byte);
                    } else {
                        self.queue.push_back(*byte);
                    }
                    if place + 1 == at + 2 * length {
                        self.queue.extend(self.held.drain(..));
                    }
                }
            }
        }
    }

    /// Nothing more is sent: delivers held bytes.
    fn end(&mut self) {
        if !self.held.is_empty() && !matches!(self.wire, Wire::Repeat { .. }) {
            self.queue.extend(self.held.drain(..));
        }
        self.ended = true;
    }
}

struct End {
    connection: Connection,
    failed: bool,
    /// Bytes accepted for sending.
    written: Vec<u8>,
    finished: bool,
    /// Bytes read, and the ending.
    read: Vec<u8>,
    ending: Option<Ending>,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            failed: false,
            written: Vec::new(),
            finished: false,
            read: Vec::new(),
            ending: None,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Ok(count) = self.connection.write(&[IoSlice::new(bytes)]) {
            self.written.extend_from_slice(&bytes[..count]);
        }
    }

    fn finish(&mut self) {
        let may = !self.connection.is_handshaking() && !self.finished;
        if may && self.connection.send_close_notify().is_ok() {
            self.finished = true;
        }
    }

    /// Processes received bytes: up to `room` bytes of data, or the handshake.
    fn read(&mut self, room: usize) -> bool {
        if self.connection.is_handshaking() {
            self.failed |= self.connection.process().is_err();
            return false;
        }
        let mut buffer = vec![0; room.max(1)];
        match self.connection.read(&mut buffer) {
            Ok(ReadOutcome::Data(count)) => {
                assert!(self.ending.is_none(), "data after the end");
                self.read.extend_from_slice(&buffer[..count]);
                true
            }
            Ok(ReadOutcome::WouldBlock) => false,
            Ok(ReadOutcome::End(ending)) => {
                assert!(self.ending.is_none_or(|before| before == ending));
                self.ending = Some(ending);
                false
            }
            Err(_) => {
                self.failed = true;
                false
            }
        }
    }
}

fn run(version: usize, acts: &[Act], wires: [Wire; 2]) -> Result<(), TestCaseError> {
    let (client, server) = CONTEXTS.with(|contexts| contexts[version].clone());
    let mut ends = [
        End::new(client.connection("localhost").unwrap()),
        End::new(server.connection().unwrap()),
    ];
    // From the client, and from the server.
    let mut directions = wires.map(Direction::new);
    let mut number = 0u8;
    for act in acts {
        match *act {
            Act::Write { side, length } => {
                number = number.wrapping_add(1);
                let bytes: Vec<u8> = (0..length).map(|at| (at as u8) ^ number).collect();
                ends[side].write(&bytes);
            }
            Act::Flush { side } => drop(ends[side].connection.flush()),
            Act::Send { side, count } => {
                let waiting = ends[side].connection.outgoing();
                let bytes = waiting[..count.min(waiting.len())].to_vec();
                ends[side].connection.sent(bytes.len());
                directions[side].put(&bytes);
            }
            Act::Arrive { side, count } => {
                let queue = &mut directions[1 - side].queue;
                let bytes: Vec<u8> = queue.drain(..count.min(queue.len())).collect();
                ends[side].connection.receive(&bytes);
            }
            Act::Read { side, room } => drop(ends[side].read(room)),
            Act::Finish { side } => ends[side].finish(),
            Act::Rest { side } => ends[side].connection.rest(),
        }
    }
    // Everything in flight is delivered, both ends finish, and the channels end.
    for round in 0..12 {
        for side in 0..2 {
            if round >= 6 {
                ends[side].finish();
            }
            let _ = ends[side].connection.flush();
            let bytes = ends[side].connection.outgoing().to_vec();
            ends[side].connection.sent(bytes.len());
            directions[side].put(&bytes);
            if round == 10 {
                directions[side].end();
            }
            let bytes: Vec<u8> = directions[side].queue.drain(..).collect();
            let peer = &mut ends[1 - side];
            peer.connection.receive(&bytes);
            if directions[side].ended && round > 10 {
                peer.connection.received_end();
            }
            while peer.read(50_000) {}
        }
    }

    for side in 0..2 {
        let (sender, receiver) = (&ends[side], &ends[1 - side]);
        let what = format!(
            "from {side}, {} of {}",
            receiver.read.len(),
            sender.written.len()
        );
        prop_assert!(
            sender.written.starts_with(&receiver.read),
            "{what}: other data"
        );
        // A receiver without an error has received everything.
        let complete = !receiver.failed && receiver.ending == Some(Ending::CloseNotify);
        prop_assert!(
            !complete || (receiver.read == sender.written && sender.finished),
            "{what}: accepted as complete"
        );
        prop_assert!(
            receiver.failed || receiver.ending.is_some(),
            "{what}: not accepted as complete"
        );
        if !directions.iter().any(|direction| direction.tampered) {
            prop_assert!(complete, "{what}: {:?}, without a fault", receiver.ending);
        }
        prop_assert!(receiver.connection.memory_held() < 4 << 20);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_ends_agree_on_what_was_delivered_or_the_receiver_fails(
        version in 0..2usize,
        acts in acts(),
        from_client in wire(),
        from_server in wire(),
    ) {
        run(version, &acts, [from_client, from_server])?;
    }
}

/// Bits of a whole exchange, one at a time.
#[test]
fn every_single_flipped_bit_is_detected() {
    let acts = [
        Act::Write {
            side: 0,
            length: 40,
        },
        Act::Flush { side: 0 },
        Act::Write {
            side: 1,
            length: 100,
        },
    ];
    for version in 0..2 {
        // In every third byte another bit, so that each bit position is tested.
        for at in (0..3_000).step_by(3) {
            for side in 0..2 {
                let bit = (at / 3 % 8) as u32;
                let mut wires = [Wire::Faultless, Wire::Faultless];
                wires[side] = Wire::Flip { at, bit };
                run(version, &acts, wires).unwrap_or_else(|error| {
                    panic!("byte {at}, bit {bit}, from {side}, version {version}: {error}")
                });
            }
        }
    }
}
