//! Peers that mean no good: garbage at any moment, floods, forged records, drips. Nothing may panic,
//! hang, grow without bound, or be taken for what it is not (A15, A23, C2).

mod forger;

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{
    Cause, ClientContext, Connection, Ending, Error, Identity, NetworkCause, Passphrase, PeerCause,
    Plain, Read, ServerContext, Timeouts, TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use proptest::prelude::*;

use crate::forger::{ALERT, APPLICATION_DATA, Forger, HANDSHAKE};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

struct Ends {
    client: ClientContext,
    server: ServerContext,
}

fn ends(version: TlsVersion) -> Ends {
    let pki = Pki::new();
    let server = pki.server(&["localhost"]);
    let (chain, key) = (server.cert_pem(), server.key_pem());
    let identity =
        Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
    let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
    Ends {
        server: ServerContext::builder()
            .identity(identity)
            .versions([version])
            .build()
            .unwrap(),
        client: ClientContext::builder()
            .trust(trust.unwrap())
            .versions([version])
            .build()
            .unwrap(),
    }
}

thread_local! {
    /// Contexts are made once, also for thousands of cases.
    static ENDS: [Ends; 2] = VERSIONS.map(ends);
}

fn connections(version: usize) -> (Connection, Connection) {
    ENDS.with(|ends| {
        (
            ends[version].client.connection("localhost").unwrap(),
            ends[version].server.connection().unwrap(),
        )
    })
}

fn take_outgoing(connection: &mut Connection) -> Vec<u8> {
    let bytes = connection.outgoing().to_vec();
    connection.sent(bytes.len());
    bytes
}

/// Handshake in memory, to its end.
fn shake(client: &mut Connection, server: &mut Connection) {
    while client.is_handshaking() || server.is_handshaking() || !client.outgoing().is_empty() {
        server.receive(&take_outgoing(client));
        server.process().unwrap();
        client.receive(&take_outgoing(server));
        client.process().unwrap();
    }
}

/// Everything that can be read, and what stood behind it.
fn drain(connection: &mut Connection) -> (Vec<u8>, Result<Read, Error>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer) {
            Ok(Read::Data(count)) => bytes.extend_from_slice(&buffer[..count]),
            other => return (bytes, other),
        }
    }
}

/// Whatever happened: telling it works, and it stays as it is.
fn settled(connection: &mut Connection, error: &Error) {
    assert!(!error.explain().to_string().is_empty());
    let again = match connection.is_handshaking() {
        true => connection.process().unwrap_err(),
        false => connection.read(&mut [0; 10]).unwrap_err(),
    };
    assert_eq!(again.explain().id, error.explain().id);
    assert!(connection.write(&[IoSlice::new(b"x")]).is_err());
    assert!(
        connection.memory_held() < 1 << 20,
        "{}",
        connection.memory_held()
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Garbage from the first byte on, and garbage that looks like records.
    #[test]
    fn a15_any_bytes_are_refused_or_waited_for_and_end_with_the_channel(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2000),
            records(),
        ],
        step in 1..600usize,
        version in 0..2usize,
        to_client in any::<bool>(),
    ) {
        let (mut client, mut server) = connections(version);
        let victim = if to_client { &mut client } else { &mut server };
        let mut result = Ok(());
        for piece in bytes.chunks(step) {
            victim.receive(piece);
            result = victim.process();
            if result.is_err() {
                break;
            }
        }
        if result.is_ok() {
            victim.received_end();
            result = victim.process();
        }
        let error = result.unwrap_err();
        prop_assert!(matches!(error.cause(), Cause::Peer(_)), "{error:?}");
        settled(victim, &error);
    }

    /// A handshake in which one byte is changed, or from some byte on there is nothing, or something
    /// else: it fails or succeeds, but never hangs, and never believes what was tampered with.
    #[test]
    fn a15_a_handshake_that_is_tampered_with_never_hangs(
        at in 0..3500usize,
        how in tampering(),
        from_client in any::<bool>(),
        version in 0..2usize,
    ) {
        let (mut client, mut server) = connections(version);
        let mut passed = [0usize; 2];
        let (mut at_client, mut at_server) = (Ok(()), Ok(()));
        for _ in 0..10 {
            let mut bytes = take_outgoing(&mut client);
            if from_client {
                how.inflict(&mut bytes, at, passed[0]);
            }
            passed[0] += bytes.len();
            server.receive(&bytes);
            if at_server.is_ok() {
                at_server = server.process();
            }
            let mut bytes = take_outgoing(&mut server);
            if !from_client {
                how.inflict(&mut bytes, at, passed[1]);
            }
            passed[1] += bytes.len();
            client.receive(&bytes);
            if at_client.is_ok() {
                at_client = client.process();
            }
        }
        for (connection, result) in [(&mut client, at_client), (&mut server, at_server)] {
            connection.received_end();
            let result = result.and_then(|()| match connection.is_handshaking() {
                true => connection.process(),
                false => drain(connection).1.map(|_| ()),
            });
            match result {
                Err(error) => settled(connection, &error),
                Ok(()) => prop_assert!(!connection.is_handshaking()),
            }
        }
    }

    /// A stream of data in which something is changed: what is delivered is a prefix of what was
    /// sent, and what ends it is not `close_notify`.
    #[test]
    fn a16_data_that_is_tampered_with_is_cut_off_and_never_whole(
        at in 0..60_000usize,
        how in tampering(),
        version in 0..2usize,
        step in 1..20_000usize,
    ) {
        let (mut client, mut server) = connections(version);
        shake(&mut client, &mut server);
        drain(&mut client).1.unwrap();
        let body: Vec<u8> = (0..50_000).map(|index| index as u8).collect();
        server.write(&[IoSlice::new(&body)]).unwrap();
        server.send_close_notify().unwrap();
        let sent = take_outgoing(&mut server);
        let mut bytes = sent.clone();
        how.inflict(&mut bytes, at % sent.len(), 0);
        let whole = bytes.starts_with(&sent);
        let mut received = Vec::new();
        let mut end = Ok(Read::WouldBlock);
        for piece in bytes.chunks(step) {
            client.receive(piece);
            let (data, what) = drain(&mut client);
            received.extend(data);
            end = what;
        }
        if matches!(end, Ok(Read::WouldBlock)) {
            client.received_end();
            end = drain(&mut client).1;
        }
        prop_assert!(body.starts_with(&received));
        if !whole {
            // The version in a record's head is there for show: TLS forbids to look at it.
            let same = received == body && bytes.len() == sent.len();
            match end {
                Ok(Read::End(Ending::CloseNotify)) => prop_assert!(same, "taken for whole"),
                Ok(other) => prop_assert_eq!(other, Read::End(Ending::Premature)),
                Err(error) => settled(&mut client, &error),
            }
        }
    }
}

/// Bytes with the heads of records.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![20..=24u8, any::<u8>()];
    let body = prop::collection::vec(any::<u8>(), 0..300);
    let record =
        (kind, 0..=4u8, body, any::<prop::sample::Index>()).prop_map(|(kind, minor, body, lie)| {
            // Now and then the length is not that of the body.
            let length = if lie.index(5) == 0 {
                lie.index(20_000)
            } else {
                body.len()
            };
            let [.., high, low] = (length as u32).to_be_bytes();
            [&[kind, 3, minor, high, low][..], &body].concat()
        });
    prop::collection::vec(record, 1..8).prop_map(|records| records.concat())
}

#[derive(Debug, Clone)]
enum Tampering {
    Change { with: u8 },
    Cut,
    Remove,
    Insert { bytes: Vec<u8> },
    Replace { bytes: Vec<u8> },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..100);
    prop_oneof![
        3 => (1..=u8::MAX).prop_map(|with| Tampering::Change { with }),
        1 => Just(Tampering::Cut),
        1 => Just(Tampering::Remove),
        1 => bytes().prop_map(|bytes| Tampering::Insert { bytes }),
        1 => bytes().prop_map(|bytes| Tampering::Replace { bytes }),
    ]
}

impl Tampering {
    /// Happens at byte `at` of a direction of which `passed` bytes went before `bytes`.
    fn inflict(&self, bytes: &mut Vec<u8>, at: usize, passed: usize) {
        if matches!(self, Self::Cut) && passed > at {
            bytes.clear();
        }
        let Some(place) = at.checked_sub(passed).filter(|place| *place < bytes.len()) else {
            return;
        };
        match self {
            Self::Change { with } => bytes[place] ^= with,
            Self::Cut => bytes.truncate(place),
            Self::Remove => drop(bytes.remove(place)),
            Self::Insert { bytes: new } => drop(bytes.splice(place..place, new.iter().copied())),
            Self::Replace { bytes: new } => {
                bytes.truncate(place);
                bytes.extend(new);
            }
        }
    }
}

/// Every cut of a real ClientHello, then FIN: one cause, with the number of bytes, and told by what had come.
#[test]
fn c2_a_flight_cut_anywhere_is_a_close_in_the_handshake() {
    for version in 0..2 {
        let (mut client, _) = connections(version);
        let hello = take_outgoing(&mut client);
        for cut in 0..hello.len() {
            let (_, mut server) = connections(version);
            server.receive(&hello[..cut]);
            server.process().unwrap();
            server.received_end();
            let error = server.process().unwrap_err();
            let Cause::Peer(PeerCause::ClosedInHandshake { bytes_received }) = error.cause() else {
                panic!("{cut}: {error:?}");
            };
            assert_eq!(*bytes_received, cut as u64);
            let id = match cut {
                0 => "closed-without-a-byte",
                _ => "closed-in-hello",
            };
            assert_eq!(error.explain().id, id, "{cut}");
        }
    }
}

/// The client's end of a real TLS 1.3 connection, and somebody who holds the server's keys.
fn forged() -> (Connection, Forger) {
    Forger::new(&Pki::new())
}

#[test]
fn a15_what_a_forger_can_send_is_the_peers_fault_and_told_by_an_alert() {
    let finished = [&[20, 0, 0, 32][..], &[7; 32]].concat();
    let (too_long, illegal, decode, unexpected) = (Some(22), Some(47), Some(50), Some(10));
    let table: [(&str, u8, Vec<u8>, Option<u8>); 11] = [
        (
            "a record longer than allowed",
            APPLICATION_DATA,
            vec![0; 16 * 1024 + 1],
            too_long,
        ),
        ("a record of padding alone", 0, vec![0; 100], unexpected),
        ("an unknown content type", 99, vec![1, 2, 3], unexpected),
        (
            "a ClientHello cut short",
            HANDSHAKE,
            vec![1, 0, 0, 2, 3, 3],
            unexpected,
        ),
        (
            "a Finished after the handshake",
            HANDSHAKE,
            finished,
            unexpected,
        ),
        (
            "a key update that says neither",
            HANDSHAKE,
            vec![24, 0, 0, 1, 7],
            illegal,
        ),
        (
            "a key update with more behind it",
            HANDSHAKE,
            vec![24, 0, 0, 1, 0, 24],
            unexpected,
        ),
        (
            "data within a handshake message",
            HANDSHAKE,
            vec![4, 0, 0, 9, 1],
            unexpected,
        ),
        ("an encrypted change_cipher_spec", 20, vec![1], unexpected),
        ("an alert cut short", ALERT, vec![2], decode),
        ("an empty alert", ALERT, Vec::new(), unexpected),
    ];
    for (what, kind, content, expected) in table {
        let (mut client, mut forger) = forged();
        client.receive(&forger.record(APPLICATION_DATA, b"before"));
        client.receive(&forger.record(kind, &content));
        client.receive(&forger.record(APPLICATION_DATA, b"after"));
        let (bytes, end) = drain(&mut client);
        assert_eq!(
            bytes, b"before",
            "{what}: what came before is delivered, and nothing else"
        );
        let error = end.unwrap_err();
        assert!(
            matches!(
                error.cause(),
                Cause::Peer(PeerCause::ProtocolViolation { .. })
            ),
            "{what}: {error:?}"
        );
        assert_eq!(
            forger.alert_in(&take_outgoing(&mut client)),
            expected,
            "{what}"
        );
        settled(&mut client, &error);
    }
}

/// What a peer that holds the keys can put into records: often like messages, now and then anything.
fn contents() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let message = (
        prop_oneof![Just(4u8), Just(24), any::<u8>()],
        0..4u8,
        bytes(),
    );
    let message = message.prop_map(|(kind, lie, body)| {
        let length = (body.len() as u8).wrapping_add(lie / 3);
        [&[kind, 0, 0, length][..], &body].concat()
    });
    let content = prop_oneof![
        3 => bytes().prop_map(|bytes| (APPLICATION_DATA, bytes)),
        2 => message.prop_map(|message| (HANDSHAKE, message)),
        1 => bytes().prop_map(|bytes| (HANDSHAKE, bytes)),
        1 => (0..4u8, any::<u8>()).prop_map(|(level, code)| (ALERT, vec![level, code])),
        1 => (any::<u8>(), bytes()),
    ];
    prop::collection::vec(content, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever it is, only data is delivered, all of it up to the first thing that is wrong.
    #[test]
    fn a15_nothing_that_is_encrypted_rightly_does_harm(contents in contents(), step in 1..200usize) {
        let (mut client, mut forger) = forged();
        let mut sent = Vec::new();
        for (kind, content) in &contents {
            client.receive(&forger.record(*kind, content));
            if *kind == APPLICATION_DATA {
                sent.extend_from_slice(content);
            }
        }
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; step]);
        let end = loop {
            match client.read(&mut buffer) {
                Ok(Read::Data(count)) => bytes.extend_from_slice(&buffer[..count]),
                other => break other,
            }
        };
        prop_assert!(sent.starts_with(&bytes));
        match end {
            Ok(Read::WouldBlock) => prop_assert_eq!(bytes, sent),
            Ok(Read::End(ending)) => prop_assert_eq!(ending, Ending::CloseNotify),
            Ok(Read::Data(_)) => prop_assert!(false, "it was drained"),
            Err(error) => {
                prop_assert!(matches!(error.cause(), Cause::Peer(_)), "{error:?}");
                settled(&mut client, &error);
            }
        }
    }
}

/// RFC 8446, 5.1, forbids handshake records without content; they do no harm, and end nothing.
#[test]
fn a15_a_handshake_record_without_content_is_no_end() {
    let (mut client, mut forger) = forged();
    client.receive(&forger.record(HANDSHAKE, b""));
    client.receive(&forger.record(APPLICATION_DATA, b"data"));
    match drain(&mut client) {
        (bytes, Ok(Read::WouldBlock)) => assert_eq!(bytes, b"data"),
        (bytes, Err(_)) => assert!(bytes.is_empty()),
        (_, Ok(other)) => panic!("{other:?}"),
    }
}

#[test]
fn a15_alerts_of_the_peer_are_told_by_their_number() {
    for code in [0u8, 10, 40, 48, 80, 90, 112, 200] {
        let (mut client, mut forger) = forged();
        client.receive(&forger.record(APPLICATION_DATA, b"data"));
        client.receive(&forger.record(ALERT, &[2, code]));
        let (bytes, end) = drain(&mut client);
        assert_eq!(bytes, b"data");
        match (code, end) {
            (0, end) => assert_eq!(end.unwrap(), Read::End(Ending::CloseNotify)),
            // RFC 8446, 6.1: user_canceled only announces a close_notify.
            (90, Ok(Read::WouldBlock)) => {}
            (112, Err(error)) => {
                assert!(matches!(
                    error.cause(),
                    Cause::Peer(PeerCause::NameUnrecognised)
                ));
            }
            (_, Err(error)) => {
                let Cause::Peer(PeerCause::Alert(alert)) = error.cause() else {
                    panic!("{code}: {error:?}");
                };
                assert_eq!(alert.code(), code);
            }
            (_, Ok(found)) => panic!("{code}: {found:?}"),
        }
    }
}

/// Records that cannot be decrypted: of another key, replayed, in another order, in the clear.
#[test]
fn a15_records_of_somebody_else_are_bad_records() {
    type Forge = fn(&mut Forger) -> Vec<u8>;
    let ways: [(&str, Forge); 5] = [
        ("skipped", |forger| {
            forger.record(APPLICATION_DATA, b"lost");
            forger.record(APPLICATION_DATA, b"found")
        }),
        ("replayed", |forger| {
            let record = forger.record(APPLICATION_DATA, b"once");
            [record.clone(), record].concat()
        }),
        ("flipped", |forger| {
            let mut record = forger.record(APPLICATION_DATA, b"data");
            *record.last_mut().unwrap() ^= 1;
            record
        }),
        ("shorter than its tag", |_| vec![23, 3, 3, 0, 3, 1, 2, 3]),
        ("empty", |_| vec![23, 3, 3, 0, 0]),
    ];
    for (what, forge) in ways {
        let (mut client, mut forger) = forged();
        let bytes = forge(&mut forger);
        client.receive(&bytes);
        let (_, end) = drain(&mut client);
        let error = end.unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Peer(PeerCause::BadRecord)),
            "{what}: {error:?}"
        );
    }
    // In the clear, now that everything is encrypted: data, an alert that ends it all.
    for record in [
        &b"\x17\x03\x03\x00\x04text"[..],
        b"\x15\x03\x03\x00\x02\x01\x00",
    ] {
        let (mut client, _) = forged();
        client.receive(record);
        client.received_end();
        let (bytes, end) = drain(&mut client);
        assert!(bytes.is_empty());
        assert!(
            !matches!(end, Ok(Read::End(Ending::CloseNotify))),
            "an end that anybody on the path could have made"
        );
    }
}

#[test]
fn a15_a_flood_of_empty_records_yields_nothing_and_costs_no_memory() {
    let (mut client, mut forger) = forged();
    for _ in 0..20_000 {
        client.receive(&forger.record(APPLICATION_DATA, b""));
        match client.read(&mut [0; 10]) {
            Ok(Read::WouldBlock) => {}
            // To give up on such a peer is fine, too.
            Err(_) => return,
            other => panic!("{other:?}"),
        }
        client.rest();
    }
    assert_eq!(client.memory_held(), 0);
    client.receive(&forger.record(APPLICATION_DATA, b"at last"));
    assert_eq!(drain(&mut client).0, b"at last");
}

#[test]
fn a15_padding_is_not_data() {
    let (mut client, mut forger) = forged();
    client.receive(&forger.padded(APPLICATION_DATA, b"text", 10_000));
    assert_eq!(drain(&mut client).0, b"text");
}

#[test]
fn a15_a_flood_of_key_updates_is_ended() {
    let (mut client, mut forger) = forged();
    let mut answered = 0;
    for update in 0..1000 {
        client.receive(&forger.key_update(true));
        match client.read(&mut [0; 10]) {
            Ok(Read::WouldBlock) => {}
            Err(error) => {
                assert!(update > 10, "an honest peer may renew its keys: {error:?}");
                assert!(matches!(
                    error.cause(),
                    Cause::Peer(PeerCause::ProtocolViolation { .. })
                ));
                settled(&mut client, &error);
                return;
            }
            other => panic!("{other:?}"),
        }
        answered += client.outgoing().len();
        assert!(client.memory_held() < 1 << 20);
    }
    panic!("1000 key updates, answered by {answered} bytes");
}

/// Somebody who asks for new keys for ever and reads nothing is owed one answer, not one for each time.
#[test]
fn a15_a_peer_that_reads_nothing_is_owed_one_answer() {
    for data in [&b"data"[..], b""] {
        let (mut client, mut forger) = forged();
        for _ in 0..200 {
            client.receive(&forger.key_update(true));
            client.receive(&forger.record(APPLICATION_DATA, data));
            if drain(&mut client).1.is_err() {
                break;
            }
            client.flush().unwrap();
            assert!(client.outgoing().len() < 100, "{}", client.outgoing().len());
        }
        assert!(!client.outgoing().is_empty());
    }
}

#[test]
fn a15_nothing_follows_a_fatal_alert() {
    let (mut client, mut forger) = forged();
    client.receive(&forger.key_update(true));
    client.receive(&forger.record(99, b"what is this?"));
    assert!(drain(&mut client).1.is_err());
    let alert = client.outgoing().len();
    let _ = client.flush();
    assert_eq!(client.outgoing().len(), alert);
}

/// Records that cannot be what they say cost no more than their number (RFC 8446, section 4.2.10, has servers skip
/// early data that they do not take).
#[test]
fn a23_a_flood_within_the_handshake_is_ended_early() {
    // A hello that offers early data, without which nothing is skipped.
    let hello = {
        let (mut client, _) = connections(1);
        let mut hello = take_outgoing(&mut client);
        hello.extend([0, 42, 0, 0]);
        let grown = |bytes: &mut [u8], more: u16| {
            let length = u16::from_be_bytes([bytes[0], bytes[1]]) + more;
            bytes[..2].copy_from_slice(&length.to_be_bytes());
        };
        grown(&mut hello[3..5], 4); // the record
        grown(&mut hello[7..9], 4); // the message
        let session = usize::from(hello[43]);
        let suites = 44 + session;
        let count = usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
        let extensions = suites + 2 + count + 2;
        grown(&mut hello[extensions..extensions + 2], 4);
        hello
    };
    for (what, record, spared) in [
        ("empty", vec![23, 3, 3, 0, 0], false),
        (
            "too short",
            [&[23, 3, 3, 0, 16][..], &[7; 16]].concat(),
            false,
        ),
        (
            "early data",
            [&[23, 3, 3, 0, 40][..], &[7; 40]].concat(),
            true,
        ),
    ] {
        let (_, mut server) = connections(1);
        server.receive(&hello);
        let few = record.repeat(20);
        server.receive(&few);
        let first = server.process();
        assert_eq!(first.is_ok(), spared, "{what}: {first:?}");
        for _ in 0..100 {
            server.receive(&record.repeat(200));
            if server.process().is_err() {
                break;
            }
        }
        let error = server.process().unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Peer(PeerCause::BadRecord)),
            "{what}: {error:?}"
        );
    }
}

#[test]
fn a15_key_updates_between_data_are_honoured() {
    let (mut client, mut forger) = forged();
    for round in 0..200u32 {
        client.receive(&forger.key_update(round % 2 == 0));
        let text = format!("round {round}");
        client.receive(&forger.record(APPLICATION_DATA, text.as_bytes()));
        let (bytes, end) = drain(&mut client);
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(end.unwrap(), Read::WouldBlock);
        // What the client answers is sent along with what it writes.
        client.write(&[IoSlice::new(b"reply")]).unwrap();
        client.flush().unwrap();
        take_outgoing(&mut client);
    }
}

/// A message that is never finished is given up before it fills the memory.
#[test]
fn a15_a_message_without_end_is_not_collected_for_ever() {
    let (mut client, mut forger) = forged();
    // NewSessionTicket of 16 MiB, in full records.
    let mut content = vec![4, 0xff, 0xff, 0xff];
    for _ in 0..1000 {
        content.resize(16 * 1024, 0);
        client.receive(&forger.record(HANDSHAKE, &content));
        content.clear();
        if let Err(error) = client.read(&mut [0; 10]) {
            assert!(matches!(error.cause(), Cause::Peer(_)), "{error:?}");
            settled(&mut client, &error);
            return;
        }
        assert!(client.memory_held() < 2 << 20, "{}", client.memory_held());
    }
    panic!("16 MiB of one message were collected");
}

#[test]
fn a23_an_endless_first_message_is_not_collected_for_ever() {
    for version in 0..2 {
        let (_, mut server) = connections(version);
        // ClientHello of 16 MiB, in full records.
        let mut body = vec![1, 0xff, 0xff, 0xff];
        let mut given_up = false;
        for _ in 0..200 {
            body.resize(16 * 1024, 0);
            server.receive(&[&[22, 3, 1, 0x40, 0][..], &body].concat());
            body.clear();
            if server.process().is_err() {
                given_up = true;
                break;
            }
            assert!(server.memory_held() < 1 << 20);
        }
        assert!(given_up, "3 MiB of ClientHello were collected");
    }
}

// By the blocking stream.

/// Gives these bytes, then ends.
#[derive(Debug)]
struct Script {
    input: io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl io::Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl io::Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a15_streams_survive_any_bytes(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..2000), records()],
        version in 0..2usize,
    ) {
        ENDS.with(|ends| {
            let script = || Plain(Script { input: io::Cursor::new(bytes.clone()), output: Vec::new() });
            let failure = ends[version].server.accept(script()).unwrap_err();
            prop_assert!(matches!(failure.error.cause(), Cause::Peer(_)), "{:?}", failure.error);
            let failure = ends[version].client.secure("localhost", script()).unwrap_err();
            prop_assert!(matches!(failure.error.cause(), Cause::Peer(_)), "{:?}", failure.error);
            Ok(())
        })?;
    }
}

/// Dripped bytes that never make a record do not extend the limit on reading, nor that on the
/// handshake.
#[test]
fn a27_a_peer_that_drips_meets_the_limit() {
    let limit = Duration::from_millis(300);
    let drip = |mut socket: TcpStream, bytes: Vec<u8>| {
        for byte in bytes {
            if socket.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    };
    let ends = ends(TlsVersion::Tls13);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();

    let server = ends.server.clone();
    let dripping = thread::spawn(move || {
        let stream = server.accept(listener.accept().unwrap().0).unwrap();
        let (socket, mut connection) = stream.into_parts();
        connection.write(&[IoSlice::new(&[7; 1000])]).unwrap();
        connection.flush().unwrap();
        let record = take_outgoing(&mut connection);
        drip(socket, record);
    });
    let mut stream = ends
        .client
        .secure("localhost", TcpStream::connect(address).unwrap())
        .unwrap();
    stream.set_timeouts(Timeouts::all(limit));
    let began = Instant::now();
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() < 10 * limit, "{:?}", began.elapsed());
    drop(stream);
    dripping.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut client, _) = connections(1);
    let hello = take_outgoing(&mut client);
    let dripping = thread::spawn(move || drip(TcpStream::connect(address).unwrap(), hello));
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let (chain, key) = (issued.cert_pem(), issued.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let impatient = ServerContext::builder()
        .identity(identity.unwrap())
        .timeouts(Timeouts::all(limit))
        .build()
        .unwrap();
    let began = Instant::now();
    let failure = impatient.accept(listener.accept().unwrap().0).unwrap_err();
    let cause = failure.error.cause();
    assert!(
        matches!(cause, Cause::Network(NetworkCause::TimedOut { .. })),
        "{cause:?}"
    );
    assert!(began.elapsed() < 10 * limit, "{:?}", began.elapsed());
    drop(failure);
    dripping.join().unwrap();
}

/// Only blocking channels can wait: over another, a handshake fails at once instead of spinning.
#[test]
fn a8_a_blocking_handshake_does_not_spin_over_a_channel_that_does_not_block() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let failure = ends(TlsVersion::Tls13)
        .client
        .secure("localhost", socket)
        .unwrap_err();
    let error = io::Error::from(failure);
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
