//! Internal entry points for fuzz targets and tests: the record protocol with known keys, and the decryption of
//! tickets. Built only for tests and fuzzing.
//!
//! Each function takes any bytes, derives an attacker's actions from them, and panics if an invariant is violated.

mod chain;

use std::io::IoSlice;
use std::time::{Duration, UNIX_EPOCH};

use rustls::server::ProducesTickets;
use rustls::{ContentType, Error};
use zeroize::Zeroizing;

use crate::close::Ending;
use crate::connection::{Connection, ReadOutcome};
use crate::context::Clock;
use crate::protection::{Algorithm, HEADER, Keys, Opener, Scheme, Sealer};
use crate::record::RECORD_MAX;
use crate::resumption::{PolicyId, TicketKeys, Ticketer};
use crate::side::Side;
use crate::tls::{Established, Secrets};

pub use self::chain::chain;

/// The protection of records.
type Suite = (Algorithm, Scheme);

const SUITES: [Suite; 6] = [
    (Algorithm::Aes256Gcm, Scheme::Tls13),
    (Algorithm::ChaCha20Poly1305, Scheme::Tls13),
    (Algorithm::Aes256Gcm, Scheme::Tls12Gcm),
    (Algorithm::ChaCha20Poly1305, Scheme::Tls12ChaCha),
    (Algorithm::Aes128Gcm, Scheme::Tls13),
    (Algorithm::Aes128Gcm, Scheme::Tls12Gcm),
];

/// The limit on a connection's memory in addition to the input: its buffers, each once.
const MEMORY_MAX: usize = 1 << 20;

/// Known secrets.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    suite: Suite,
    is_client: bool,
    /// How often each direction's key was updated.
    sending: u64,
    receiving: u64,
}

impl Known {
    fn new(suite: Suite, is_client: bool) -> Self {
        Self {
            suite,
            is_client,
            sending: 0,
            receiving: 0,
        }
    }

    fn sending(&self) -> Keys {
        keys(self.suite, self.is_client, self.sending)
    }

    fn receiving(&self) -> Keys {
        keys(self.suite, !self.is_client, self.receiving)
    }

    fn next_sending(&mut self) -> Keys {
        self.sending += 1;
        self.sending()
    }

    fn next_receiving(&mut self) -> Keys {
        self.receiving += 1;
        self.receiving()
    }
}

impl Secrets for Known {
    fn next_sending(&mut self) -> Result<Keys, Error> {
        Ok(self.next_sending())
    }

    fn next_receiving(&mut self) -> Result<Keys, Error> {
        Ok(self.next_receiving())
    }

    /// Not used here.
    fn ticket(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

impl From<Known> for Established {
    fn from(known: Known) -> Self {
        Self {
            sending: known.sending(),
            receiving: known.receiving(),
            secrets: Box::new(known),
        }
    }
}

fn keys((algorithm, scheme): Suite, from_client: bool, generation: u64) -> Keys {
    let mut key = Zeroizing::new([u8::from(from_client); 32]);
    key[..8].copy_from_slice(&generation.to_be_bytes());
    Keys {
        algorithm,
        scheme,
        key,
        iv: [9; 12],
        sequence: 0,
        records_max: 1 << 24,
    }
}

/// Bytes that select the actions. After their end, all are zeros.
struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    fn take(&mut self, count: usize) -> &'i [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.u8(), self.u8()]))
    }

    fn short(&mut self) -> &'i [u8] {
        let count = usize::from(self.u8());
        self.take(count)
    }
}

/// An attacker with the peer's keys.
struct Peer {
    known: Known,
    sealer: Sealer,
    opener: Opener,
    /// Sealed and not sent.
    wire: Vec<u8>,
    /// Data that it has sealed.
    data: Vec<u8>,
    /// Whether it has sealed only valid data, tickets and key updates.
    is_innocent: bool,
    updates_in_a_row: usize,
    /// Received and not decrypted.
    received: Vec<u8>,
    /// Received data.
    heard: Vec<u8>,
    /// Key updates since the last data.
    updates_heard: usize,
    /// The alert or close_notify received.
    final_alert: Option<(u8, u8)>,
}

impl Peer {
    fn new(suite: Suite, is_client: bool) -> Result<Self, Error> {
        let known = Known::new(suite, is_client);
        Ok(Self {
            sealer: Sealer::new(&known.sending())?,
            opener: Opener::new(&known.receiving())?,
            known,
            wire: Vec::new(),
            data: Vec::new(),
            is_innocent: true,
            updates_in_a_row: 0,
            received: Vec::new(),
            heard: Vec::new(),
            updates_heard: 0,
            final_alert: None,
        })
    }

    fn is_tls13(&self) -> bool {
        self.known.suite.1 == Scheme::Tls13
    }

    fn seal(&mut self, kind: u8, content: &[u8]) {
        let mut record = vec![0; content.len() + self.sealer.overhead()];
        let kind = ContentType::from(kind);
        if let Ok(length) = self.sealer.seal(kind, content, &mut record) {
            self.wire.extend_from_slice(&record[..length]);
        }
    }

    fn data(&mut self, content: &[u8]) {
        self.seal(23, content);
        self.data.extend_from_slice(content);
        match content.is_empty() {
            // The limit on accepted ones.
            true => self.is_innocent = false,
            false => self.updates_in_a_row = 0,
        }
    }

    fn update_key(&mut self, asks: bool) {
        self.seal(22, &[24, 0, 0, 1, u8::from(asks)]);
        self.updates_in_a_row += 1;
        self.is_innocent &= self.is_tls13() && self.updates_in_a_row <= 32;
        let next = self.known.next_sending();
        if let Ok(sealer) = Sealer::new(&next) {
            self.sealer = sealer;
        }
    }

    /// Checks that the connection's records can be decrypted, are valid, and that none follows its alert.
    fn hear(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while let [_, _, _, high, low, ..] = self.received[..] {
            let length = HEADER + usize::from(u16::from_be_bytes([high, low]));
            if self.received.len() < length {
                return;
            }
            let mut record: Vec<u8> = self.received.drain(..length).collect();
            let (kind, content) = self.opener.open(&mut record).expect("ours can be opened");
            assert_eq!(self.final_alert, None, "something after the last word");
            match (kind, &*content) {
                (ContentType::ApplicationData, data) => {
                    assert!(!data.is_empty(), "an empty record");
                    self.heard.extend_from_slice(data);
                    self.updates_heard = 0;
                }
                (ContentType::Handshake, [24, 0, 0, 1, 0]) => {
                    self.updates_heard += 1;
                    // One while it sends no data, and one before its next data.
                    assert!(self.updates_heard <= 2, "updates in a row");
                    let next = self.known.next_receiving();
                    self.opener = Opener::new(&next).expect("the next key");
                }
                (ContentType::Alert, [1, 100]) => {
                    assert!(!self.is_tls13(), "TLS 1.3 knows no renegotiation");
                }
                (ContentType::Alert, [level, code]) => self.final_alert = Some((*level, *code)),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The record protocol of a connection, against an attacker with its keys.
pub fn records(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.u8();
    let is_client = choice & 1 == 0;
    let side = match is_client {
        true => Side::Client,
        false => Side::Server,
    };
    let suite = SUITES[usize::from(choice >> 1) % SUITES.len()];
    let (Ok(mut peer), Ok(mut ours)) = (
        Peer::new(suite, !is_client),
        Connection::with_known_keys(side, Known::new(suite, is_client)),
    ) else {
        panic!("the keys are good");
    };
    let mut read = Vec::new();
    let mut written = Vec::new();
    let mut delivered = 0;
    let mut failed = false;
    let mut channel_ended = false;
    while !input.0.is_empty() {
        match input.u8() % 16 {
            0 => {
                let content = input.short();
                peer.data(content);
            }
            1 => {
                let (kind, content) = (input.u8(), input.short());
                peer.is_innocent = false;
                peer.seal(kind, content);
                match (kind, without_zeros(content)) {
                    (23, _) => peer.data.extend_from_slice(content),
                    // Not a content type, but padding after another (RFC 8446, section 5.4).
                    (0, [data @ .., 23]) if peer.is_tls13() => peer.data.extend_from_slice(data),
                    _ => {}
                }
            }
            2 => {
                let asks = input.u8() & 1 == 1;
                peer.update_key(asks);
            }
            3 => {
                let raw = input.short();
                peer.is_innocent &= raw.is_empty();
                peer.wire.extend_from_slice(raw);
            }
            4 => {
                let (place, bit) = (input.u16(), input.u8() % 8);
                let count = peer.wire.len().max(1);
                if let Some(byte) = peer.wire.get_mut(place % count) {
                    peer.is_innocent = false;
                    *byte ^= 1 << bit;
                }
            }
            5 if !channel_ended => {
                let count = input.u16().min(peer.wire.len());
                delivered += count;
                let bytes: Vec<u8> = peer.wire.drain(..count).collect();
                ours.receive(&bytes);
            }
            6 => {
                let mut buffer = vec![0; input.u16().max(1)];
                match ours.read(&mut buffer) {
                    Ok(ReadOutcome::Data(count)) => read.extend_from_slice(&buffer[..count]),
                    Ok(_) => {}
                    Err(_) => failed = true,
                }
            }
            7 => {
                let limit = input.u16().max(1);
                let before = read.len();
                let result = ours.read_with(limit, &mut |piece| read.extend_from_slice(piece));
                match result {
                    Ok(ReadOutcome::Data(count)) => assert!((1..=limit).contains(&count)),
                    Ok(_) => assert_eq!(read.len(), before),
                    Err(_) => failed = true,
                }
            }
            8 => {
                let bytes = vec![written.len() as u8; input.u16() % 40_000];
                let (first, second) = bytes.split_at(bytes.len() / 3);
                if let Ok(count) = ours.write(&[IoSlice::new(first), IoSlice::new(second)]) {
                    written.extend_from_slice(&bytes[..count]);
                }
            }
            9 => drop(ours.flush()),
            10 => drop(ours.send_close_notify()),
            11 => ours.rest(),
            12 => {
                let count = input.u16().min(ours.outgoing().len());
                peer.hear(&ours.outgoing()[..count]);
                ours.sent(count);
            }
            13 => {
                channel_ended = true;
                match input.u8() & 1 {
                    0 => ours.received_end(),
                    _ => ours.received_reset(),
                }
            }
            14 => {
                let content = vec![peer.data.len() as u8; input.u16() % (RECORD_MAX + 1)];
                peer.data(&content);
            }
            15 => {
                let (kind, body) = (input.u8(), input.short());
                let [.., high, low] = (body.len() + usize::from(input.u8() & 1)).to_be_bytes();
                let message = [&[kind, 0, high, low][..], body].concat();
                // Sometimes in two records.
                let cut = usize::from(input.u8()).min(message.len());
                peer.is_innocent = false;
                for part in [&message[..cut], &message[cut..]] {
                    if !part.is_empty() {
                        peer.seal(22, part);
                    }
                }
            }
            _ => {}
        }
        assert!(peer.data.starts_with(&read), "what was not sent");
        let held = ours.memory_held();
        assert!(
            held <= 2 * delivered + MEMORY_MAX,
            "{held} after {delivered}"
        );
        assert_eq!(
            failed,
            failed && ours.read(&mut [0; 1]).is_err(),
            "a failure stays"
        );
    }
    finish(ours, peer, &mut read, &written, channel_ended);
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    end.map_or(&[], |end| &bytes[..=end])
}

/// Delivers everything in flight, and ends both directions.
fn finish(
    mut ours: Connection,
    mut peer: Peer,
    read: &mut Vec<u8>,
    written: &[u8],
    channel_ended: bool,
) {
    if !channel_ended {
        let rest = std::mem::take(&mut peer.wire);
        ours.receive(&rest);
        ours.received_end();
    }
    let mut buffer = [0; 5_000];
    let end = loop {
        match ours.read(&mut buffer) {
            Ok(ReadOutcome::Data(count)) => read.extend_from_slice(&buffer[..count]),
            Ok(ReadOutcome::WouldBlock) => panic!("in doubt behind the end of the channel"),
            Ok(ReadOutcome::End(ending)) => break Some(ending),
            Err(_) => break None,
        }
    };
    assert!(peer.data.starts_with(read), "what was not sent");
    if peer.is_innocent {
        assert!(end.is_some(), "an honest peer is refused");
        assert!(
            channel_ended || *read == peer.data,
            "a correct peer's data is lost"
        );
        assert_ne!(end, Some(Ending::CloseNotify), "an end that nobody made");
    }
    let whole = ours.flush().is_ok();
    peer.hear(ours.outgoing());
    ours.sent(ours.outgoing().len());
    assert!(written.starts_with(&peer.heard), "what was not written");
    if whole && end.is_some() {
        assert_eq!(peer.heard.len(), written.len(), "written and never sent");
    }
    let alert = ours.alert_sent().map(|alert| (2, alert.code()));
    let told = peer.final_alert.filter(|(level, _)| *level == 2);
    assert_eq!(alert, told, "another alert than was told");
}

/// Tickets from an attacker.
pub fn ticket(input: &[u8]) {
    let mut input = Input(input);
    let clock = Clock::new(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let ticketer = |policy: &[u8]| {
        let keys = TicketKeys::new();
        Ticketer::new(keys, PolicyId::of(&[policy]), clock.clone(), None)
    };
    let ours = ticketer(b"ours");
    let choice = input.u8();
    let session = input.short();
    let Some(made) = ours.encrypt(session) else {
        panic!("no ticket");
    };
    match choice % 5 {
        // Any bytes, and any bytes after the name of an existing key.
        0 => assert_eq!(ours.decrypt(input.0), None),
        1 => {
            let forged = [&made[..16], input.0].concat();
            let opened = ours.decrypt(&forged);
            assert!(opened.is_none() || forged == made);
        }
        // A valid one, with changed, removed or added bytes.
        2 => {
            let mut changed = made.clone();
            for mask in input.0.chunks_exact(3) {
                let place = usize::from(u16::from_be_bytes([mask[0], mask[1]]));
                let count = changed.len();
                changed[place % count] ^= mask[2];
            }
            let expected = (changed == made).then(|| session.to_vec());
            assert_eq!(ours.decrypt(&changed), expected);
        }
        3 => {
            let cut = input.u16() % made.len();
            assert_eq!(ours.decrypt(&made[..cut]), None);
            let longer = [&made[..], &[input.u8()]].concat();
            assert_eq!(ours.decrypt(&longer), None);
        }
        // One of another server.
        _ => {
            let theirs = ticketer(b"theirs");
            assert_eq!(theirs.decrypt(&made), None);
            assert_eq!(ours.decrypt(&made), Some(session.to_vec()));
        }
    }
}

/// Revocation lists: the first bytes say how long the distribution points of the certificate are that is looked for.
pub fn revocation_list(input: &[u8]) {
    let mut input = Input(input);
    let points = input.short();
    crate::verify::check_list(input.0, points);
}

/// OCSP responses at a time that the first bytes choose, in steps of a day.
pub fn staple(input: &[u8]) {
    let mut input = Input(input);
    let now = 1_700_000_000 + i64::try_from(input.u16()).unwrap_or_default() * 86_400;
    crate::verify::check_worst(input.0, now);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{chain, records, ticket};

    /// Seeds for a fuzzer: each kind of step, in a useful order.
    fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
        const DELIVER: [u8; 3] = [5, 0xff, 0xff];
        const READ: [u8; 3] = [6, 0x10, 0];
        const TAKE: [u8; 3] = [12, 0xff, 0xff];
        let data = [&[0, 5][..], b"hello"].concat();
        let exchange = [&data[..], &DELIVER, &READ, &[8, 0, 9, 9], &TAKE].concat();
        let updates = [
            &[2, 1][..],
            &data,
            &DELIVER,
            &READ,
            &[9],
            &[2, 1],
            &DELIVER,
            &READ,
        ];
        let updates = [&updates.concat()[..], &[9, 8, 1, 0, 9], &TAKE].concat();
        let close = [
            &exchange[..],
            &[1, 21, 2, 1, 0],
            &DELIVER,
            &READ,
            &[10],
            &TAKE,
        ]
        .concat();
        let large = [
            &[14, 0x40, 0][..],
            &DELIVER,
            &[7, 0x10, 0, 7, 0x7f, 0, 8, 0x60, 0],
            &TAKE,
        ];
        let message = [&[15, 4, 3, 1, 2, 3, 0, 2][..], &DELIVER, &READ].concat();
        let hello_request = [&[15, 0, 0, 0, 0][..], &DELIVER, &READ, &TAKE].concat();
        let flipped = [&data[..], &[4, 0, 7, 3], &DELIVER, &READ, &TAKE].concat();
        let raw = [&[3, 6, 23, 3, 3, 0, 1, 9][..], &DELIVER, &READ, &TAKE].concat();
        let padded = [&[1, 0, 4, b'a', 23, 0, 0][..], &DELIVER, &READ].concat();
        let ends = [&data[..], &DELIVER, &[11, 13, 0], &READ, &READ].concat();
        let mut all = Vec::new();
        for (name, steps) in [
            ("exchange", exchange),
            ("updates", updates),
            ("close", close),
            ("large", large.concat()),
            ("message", message),
            ("hello-request", hello_request),
            ("flipped", flipped),
            ("raw", raw),
            ("padded", padded),
            ("ends", ends),
        ] {
            for choice in 0..12u8 {
                all.push(("records", name, [&[choice][..], &steps].concat()));
            }
        }
        for (name, bytes) in [
            ("any", &[0, 3, 1, 2, 3, 9, 9, 9][..]),
            ("forged", &[1, 3, 1, 2, 3, 9, 9, 9]),
            ("changed", &[2, 3, 1, 2, 3, 0, 20, 1]),
            ("unchanged", &[2, 3, 1, 2, 3]),
            ("cut", &[3, 3, 1, 2, 3, 0, 30, 7]),
            ("of-others", &[4, 3, 1, 2, 3]),
        ] {
            all.push(("ticket", name, bytes.to_vec()));
        }
        all
    }

    /// With `HANDFAST_WRITE_SEEDS=DIR` they are written below it, a directory for each target.
    #[test]
    fn the_seeds_of_the_fuzz_targets_pass() {
        let directory = std::env::var_os("HANDFAST_WRITE_SEEDS");
        for (target, name, bytes) in seeds() {
            match target {
                "records" => records(&bytes),
                "chain" => chain(&bytes),
                _ => ticket(&bytes),
            }
            // A client and a server, TLS 1.3 and 1.2, of ciphers one: a fuzzer finds the others at once.
            if let Some(directory) = &directory
                && (target != "records" || matches!(bytes[0], 0 | 1 | 4 | 7))
            {
                let directory = Path::new(directory).join(target);
                std::fs::create_dir_all(&directory).unwrap();
                let name = format!("{name}-{}", bytes[0]);
                std::fs::write(directory.join(name), bytes).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_steps_violate_the_record_protocol(
            choice in 0..12u8,
            steps in prop::collection::vec((0..16u8, prop::collection::vec(any::<u8>(), 0..12)), 0..40),
        ) {
            let steps = steps.into_iter().flat_map(|(step, bytes)| std::iter::once(step).chain(bytes));
            records(&std::iter::once(choice).chain(steps).collect::<Vec<u8>>());
        }

        #[test]
        fn only_issued_tickets_are_accepted(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            ticket(&bytes);
        }
    }
}
