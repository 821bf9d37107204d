//! Arbitrary records, forged with the connection's keys.

use std::io::IoSlice;

use handfast::{Cause, Connection, Ending, PeerCause, ReadOutcome};
use handfast_testbed::pki::Pki;
use proptest::prelude::*;

use crate::forger::{ALERT, APPLICATION_DATA, Forger, HANDSHAKE};
use crate::{drain, settled, take_outgoing};

/// The client's end of a real TLS 1.3 connection, and a forger with the server's keys.
fn forged() -> (Connection, Forger) {
    Forger::new(&Pki::new())
}

#[test]
fn forged_records_are_the_peers_fault_and_cause_an_alert() {
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
            "a truncated ClientHello",
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
            "a key update with an invalid value",
            HANDSHAKE,
            vec![24, 0, 0, 1, 7],
            illegal,
        ),
        (
            "a key update with trailing bytes",
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
        ("a truncated alert", ALERT, vec![2], decode),
        ("an empty alert", ALERT, Vec::new(), unexpected),
    ];
    for (what, kind, content, expected) in table {
        let (mut client, mut forger) = forged();
        client.receive(&forger.record(APPLICATION_DATA, b"before"));
        client.receive(&forger.record(kind, &content));
        client.receive(&forger.record(APPLICATION_DATA, b"after"));
        let (bytes, end) = drain(&mut client);
        assert_eq!(bytes, b"before", "{what}: only earlier data is delivered");
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

/// Arbitrary contents of records, often similar to messages.
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

    /// Only data is delivered, all of it up to the first error.
    #[test]
    fn arbitrary_contents_of_encrypted_records_are_harmless(contents in contents(), step in 1..200usize) {
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
                Ok(ReadOutcome::Data(count)) => bytes.extend_from_slice(&buffer[..count]),
                other => break other,
            }
        };
        prop_assert!(sent.starts_with(&bytes));
        match end {
            Ok(ReadOutcome::WouldBlock) => prop_assert_eq!(bytes, sent),
            Ok(ReadOutcome::End(ending)) => prop_assert_eq!(ending, Ending::CloseNotify),
            Ok(ReadOutcome::Data(_)) => prop_assert!(false, "it was drained"),
            Err(error) => {
                prop_assert!(matches!(error.cause(), Cause::Peer(_)), "{error:?}");
                settled(&mut client, &error);
            }
        }
    }
}

/// RFC 8446, 5.1, forbids handshake records without content; they are ignored.
#[test]
fn a_handshake_record_without_content_is_ignored() {
    let (mut client, mut forger) = forged();
    client.receive(&forger.record(HANDSHAKE, b""));
    client.receive(&forger.record(APPLICATION_DATA, b"data"));
    match drain(&mut client) {
        (bytes, Ok(ReadOutcome::WouldBlock)) => assert_eq!(bytes, b"data"),
        (bytes, Err(_)) => assert!(bytes.is_empty()),
        (_, Ok(other)) => panic!("{other:?}"),
    }
}

#[test]
fn alerts_of_the_peer_are_reported_by_their_number() {
    for code in [0u8, 10, 40, 48, 80, 90, 112, 200] {
        let (mut client, mut forger) = forged();
        client.receive(&forger.record(APPLICATION_DATA, b"data"));
        client.receive(&forger.record(ALERT, &[2, code]));
        let (bytes, end) = drain(&mut client);
        assert_eq!(bytes, b"data");
        match (code, end) {
            (0, end) => assert_eq!(end.unwrap(), ReadOutcome::End(Ending::CloseNotify)),
            // RFC 8446, 6.1: user_canceled only announces a close_notify.
            (90, Ok(ReadOutcome::WouldBlock)) => {}
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

/// Records of another key, replayed, reordered, unencrypted.
#[test]
fn records_that_cannot_be_decrypted_are_bad_records() {
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
    // Unencrypted after the handshake: data, a close_notify.
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
            !matches!(end, Ok(ReadOutcome::End(Ending::CloseNotify))),
            "a close_notify that an attacker on the path could forge"
        );
    }
}

#[test]
fn a_flood_of_empty_records_takes_no_memory() {
    let (mut client, mut forger) = forged();
    for _ in 0..20_000 {
        client.receive(&forger.record(APPLICATION_DATA, b""));
        match client.read(&mut [0; 10]) {
            Ok(ReadOutcome::WouldBlock) => {}
            // Closing the connection is correct, too.
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
fn padding_is_not_data() {
    let (mut client, mut forger) = forged();
    client.receive(&forger.padded(APPLICATION_DATA, b"text", 10_000));
    assert_eq!(drain(&mut client).0, b"text");
}

#[test]
fn a_flood_of_key_updates_is_ended() {
    let (mut client, mut forger) = forged();
    let mut answered = 0;
    for update in 0..1000 {
        client.receive(&forger.key_update(true));
        match client.read(&mut [0; 10]) {
            Ok(ReadOutcome::WouldBlock) => {}
            Err(error) => {
                assert!(
                    update > 10,
                    "a well-behaved peer may update its keys: {error:?}"
                );
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

/// Otherwise a peer that requests key updates and reads nothing could make our output grow.
#[test]
fn many_requests_for_a_key_update_are_answered_once() {
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
fn nothing_follows_a_fatal_alert() {
    let (mut client, mut forger) = forged();
    client.receive(&forger.key_update(true));
    client.receive(&forger.record(99, b"what is this?"));
    assert!(drain(&mut client).1.is_err());
    let alert = client.outgoing().len();
    let _ = client.flush();
    assert_eq!(client.outgoing().len(), alert);
}

#[test]
fn key_updates_between_data_are_applied() {
    let (mut client, mut forger) = forged();
    for round in 0..200u32 {
        client.receive(&forger.key_update(round % 2 == 0));
        let text = format!("round {round}");
        client.receive(&forger.record(APPLICATION_DATA, text.as_bytes()));
        let (bytes, end) = drain(&mut client);
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(end.unwrap(), ReadOutcome::WouldBlock);
        // The client's answer is sent with its next data.
        client.write(&[IoSlice::new(b"reply")]).unwrap();
        client.flush().unwrap();
        take_outgoing(&mut client);
    }
}

/// The connection fails before an endless message fills the memory.
#[test]
fn an_endless_message_is_refused() {
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
    panic!("16 MiB of one message were buffered");
}
