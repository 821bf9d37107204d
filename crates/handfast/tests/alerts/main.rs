//! Every failure that is the peer's fault sends the right alert, and `alert_sent` reports it: unencrypted and encrypted,
//! in the handshake and after it, on either side.

mod peer;

use handfast::{Cause, Connection, PeerCause, TlsVersion};
use proptest::prelude::*;
use rustls::{AlertDescription, ContentType};

use self::peer::{Change, Pair};

const BOTH: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

/// The unencrypted alert at the end of `bytes`.
fn alert_in_clear(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [.., 21, 3, _, 0, 2, 2, code] => Some(*code),
        _ => None,
    }
}

fn sent(connection: &Connection) -> Option<u8> {
    connection.alert_sent().map(|alert| alert.code())
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, high, low][..], payload].concat()
}

/// Splits whole records.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let [_, _, _, high, low, ..] = bytes {
        let (one, rest) = bytes.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
        records.push(one);
        bytes = rest;
    }
    records
}

/// The change of a peer without faults.
fn nothing(_: u64, _: &mut ContentType, _: &mut Vec<u8>) {}

#[test]
fn a_first_record_of_a_wrong_type_is_unexpected() {
    for (kind, payload) in [
        (20, &b"\x01"[..]),
        (23, b"some application data"),
        (24, b"\x01\x00\x01x"),
        (22, b"\x14\x00\x00\x00"),
    ] {
        for is_client in [true, false] {
            let mut pair = Pair::new(TlsVersion::Tls13, is_client, nothing);
            let before = pair.ours.outgoing().len();
            pair.ours.receive(&record(kind, payload));
            let error = pair.ours.process().unwrap_err();
            let what = format!("{kind}, client: {is_client}: {error:?}");
            let violation = matches!(
                error.cause(),
                Cause::Peer(PeerCause::ProtocolViolation { .. })
            );
            assert!(violation, "{what}");
            assert_eq!(
                alert_in_clear(&pair.ours.outgoing()[before..]),
                Some(10),
                "{what}"
            );
            assert_eq!(sent(&pair.ours), Some(10), "{what}");
        }
    }
}

/// rustls sends no alert for some of these.
#[test]
fn an_invalid_hello_is_answered_by_an_alert() {
    let hello = || {
        let mut pair = Pair::new(TlsVersion::Tls13, false, nothing);
        (pair.take_theirs(), pair.ours)
    };
    let half = |hello: &[u8]| record(22, &hello[5..hello.len() / 2]);
    let warnings = record(21, &[1, 90]).repeat(6);
    let table: [(&str, u8, Vec<u8>); 8] = [
        (
            "an alert within a message",
            10,
            [half(&hello().0), record(21, &[1, 90])].concat(),
        ),
        (
            "data within a message",
            10,
            [half(&hello().0), record(23, b"data")].concat(),
        ),
        ("too many warnings", 10, warnings),
        ("a truncated warning", 50, record(21, &[1])),
        ("an alert of no level", 47, record(21, &[7, 40])),
        ("an empty message", 50, record(22, &[])),
        (
            "a message of 16 MiB",
            50,
            record(22, &[1, 0xff, 0xff, 0xff, 3, 3]),
        ),
        ("a record of 64 KiB", 22, [22, 3, 3, 0xff, 0xff].to_vec()),
    ];
    for (what, code, bytes) in table {
        let (_, mut server) = hello();
        server.receive(&bytes);
        let error = server.process().unwrap_err();
        assert!(matches!(error.cause(), Cause::Peer(_)), "{what}: {error:?}");
        assert_eq!(
            alert_in_clear(server.outgoing()),
            Some(code),
            "{what}: {error:?}"
        );
        assert_eq!(sent(&server), Some(code), "{what}");
        let (first, mut server) = hello();
        server.receive(&first);
        server.process().unwrap();
        assert!(!server.outgoing().is_empty(), "a valid hello is answered");
    }
}

/// In the middle of the handshake, where records are encrypted: the peer reads our alert.
#[test]
fn undecryptable_records_in_a_handshake_are_bad_records_of_any_length() {
    let junk = [
        record(23, &[]),
        record(23, &[1, 2, 3, 4, 5]),
        record(23, &[0; 16]),
        record(23, &[7; 40]),
    ];
    for junk in junk {
        // In place of the client's Finished.
        let mut pair = Pair::new(TlsVersion::Tls13, false, nothing);
        let hello = pair.take_theirs();
        pair.ours.receive(&hello);
        pair.ours.process().unwrap();
        pair.carry_ours();
        pair.ours.receive(&junk);
        let error = pair.ours.process().unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Peer(PeerCause::BadRecord)),
            "{error:?}"
        );
        assert_eq!(sent(&pair.ours), Some(20));
        pair.carry_ours();
        assert_eq!(pair.alert_at_theirs(), Some(AlertDescription::BadRecordMac));

        // After the ServerHello.
        let mut pair = Pair::new(TlsVersion::Tls13, true, nothing);
        pair.carry_ours();
        let flight = pair.take_theirs();
        pair.ours.receive(records(&flight)[0]);
        pair.ours.receive(&junk);
        let error = pair.ours.process().unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Peer(PeerCause::BadRecord)),
            "{error:?}"
        );
        assert_eq!(sent(&pair.ours), Some(20));
        pair.carry_ours();
        assert_eq!(pair.alert_at_theirs(), Some(AlertDescription::BadRecordMac));
    }
}

/// The peer's handshake is correct except for the first record that it encrypts.
#[test]
fn invalid_content_in_an_encrypted_handshake_causes_its_alert() {
    use AlertDescription as A;
    type Row = (&'static str, Change, A);
    const AFTER_FINISHED: [Row; 2] = [
        (
            "the beginning of a message after the last one",
            |sequence, kind, content| {
                if sequence == 0 && *kind == ContentType::Handshake {
                    content.extend([24, 0]);
                }
            },
            A::UnexpectedMessage,
        ),
        (
            "the header of a message after the last one",
            |sequence, kind, content| {
                if sequence == 0 && *kind == ContentType::Handshake {
                    content.extend([0, 0, 0, 9, 1]);
                }
            },
            A::UnexpectedMessage,
        ),
    ];
    const TLS13: [Row; 5] = [
        (
            "a complete message after the last one",
            |sequence, kind, content| {
                if sequence == 0 && *kind == ContentType::Handshake {
                    content.extend([24, 0, 0, 1, 0]);
                }
            },
            A::UnexpectedMessage,
        ),
        (
            "a warning",
            |sequence, kind, content| {
                if sequence == 0 {
                    *kind = ContentType::Alert;
                    *content = vec![1, 10];
                }
            },
            A::DecodeError,
        ),
        (
            "an alert of no level",
            |sequence, kind, content| {
                if sequence == 0 {
                    *kind = ContentType::Alert;
                    *content = vec![9, 40];
                }
            },
            A::IllegalParameter,
        ),
        (
            "data",
            |sequence, kind, content| {
                if sequence == 0 {
                    *kind = ContentType::ApplicationData;
                    *content = vec![1, 2, 3];
                }
            },
            A::UnexpectedMessage,
        ),
        (
            "a message of 16 MiB",
            |sequence, kind, content| {
                if sequence == 0 && *kind == ContentType::Handshake {
                    *content = vec![11, 0xff, 0xff, 0xff, 0, 0, 0];
                }
            },
            A::DecodeError,
        ),
    ];
    for version in BOTH {
        let mut rows = AFTER_FINISHED.to_vec();
        if version == TlsVersion::Tls13 {
            rows.extend(TLS13);
        }
        for (what, change, alert) in rows {
            for is_client in [true, false] {
                let what = format!("{what}, {version:?}, client: {is_client}");
                let mut pair = Pair::new(version, is_client, change);
                let error = pair.run().expect_err(&what);
                assert!(matches!(error.cause(), Cause::Peer(_)), "{what}: {error:?}");
                let code = sent(&pair.ours);
                assert_eq!(code, Some(u8::from(alert)), "{what}: {error:?}");
                assert_eq!(
                    pair.alert_at_theirs(),
                    Some(alert),
                    "{what}: {:?}",
                    pair.failed
                );
            }
        }
    }
}

/// rustls reports these as general errors, but they are the client's fault.
#[test]
fn unusable_offers_are_the_clients_fault() {
    // No scheme for our key, which is on P-256.
    let mut pair = Pair::new(TlsVersion::Tls12, false, nothing);
    let mut hello = pair.take_theirs();
    // After headers, version and random, which may have any value.
    let mut pairs = hello[43..].windows(2);
    let at = 43 + pairs.position(|pair| pair == [4, 3]).unwrap();
    hello[at] = 0x7f;
    pair.ours.receive(&hello);
    let error = pair.ours.process().unwrap_err();
    assert_eq!(
        error.explain().id,
        "no-shared-signature-scheme",
        "{error:?}"
    );
    assert_eq!(sent(&pair.ours), Some(40));
    pair.carry_ours();
    assert_eq!(
        pair.alert_at_theirs(),
        Some(AlertDescription::HandshakeFailure)
    );

    // A key share of X25519MLKEM768 whose coefficients are not reduced (FIPS 203, section 7.2).
    let mut pair = Pair::new(TlsVersion::Tls13, false, nothing);
    let mut hello = pair.take_theirs();
    let share = hello
        .windows(4)
        .position(|bytes| bytes == [0x11, 0xec, 0x04, 0xc0])
        .expect("it begins with that share");
    hello[share + 4..share + 4 + 1184].fill(0xff);
    pair.ours.receive(&hello);
    let error = pair.ours.process().unwrap_err();
    assert_eq!(error.explain().id, "protocol-violation", "{error:?}");
    assert_eq!(sent(&pair.ours), Some(47));
}

#[test]
fn a_certificate_message_of_more_than_64_kib_is_a_chain_too_large_in_both_versions() {
    const LONG: [u8; 3] = [2, 0, 0];
    // Encrypted: the flight begins with EncryptedExtensions, and the chain follows.
    let change: Change = |sequence, kind, content| {
        if sequence == 0 && *kind == ContentType::Handshake {
            let extensions = 4 + usize::from(content[3]);
            content[extensions + 1..extensions + 4].copy_from_slice(&LONG);
        }
    };
    let mut encrypted = Pair::new(TlsVersion::Tls13, true, change);
    encrypted.carry_ours();
    let mut clear = Pair::new(TlsVersion::Tls12, true, nothing);
    clear.carry_ours();
    for (mut pair, is_clear) in [(encrypted, false), (clear, true)] {
        let mut flight = pair.take_theirs();
        if is_clear {
            // All messages are in one record: the chain follows ServerHello.
            let hello = 4 + usize::from(u16::from_be_bytes([flight[7], flight[8]]));
            assert_eq!(flight[5 + hello], 11);
            flight[5 + hello + 1..5 + hello + 4].copy_from_slice(&LONG);
        }
        pair.ours.receive(&flight);
        let error = pair.ours.process().unwrap_err();
        assert_eq!(error.explain().id, "chain-too-large", "{error:?}");
        assert_eq!(sent(&pair.ours), Some(50));
        if !is_clear {
            pair.carry_ours();
            assert_eq!(pair.alert_at_theirs(), Some(AlertDescription::DecodeError));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any bit of any flight: if it causes an error of the peer, an alert is sent, and if the peer can decrypt it, it
    /// is the one in `alert_sent`.
    #[test]
    fn a_flipped_bit_in_a_handshake_causes_the_alert_that_is_reported(
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
        flight in 0..2usize,
        version in 0..2usize,
        is_client: bool,
    ) {
        let mut pair = Pair::new(BOTH[version], is_client, nothing);
        let mut result = Ok(());
        for number in 0..4 {
            let mut bytes = pair.take_theirs();
            if number == flight + usize::from(is_client) && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            pair.ours.receive(&bytes);
            result = result.and_then(|()| pair.ours.process());
            pair.carry_ours();
        }
        let Err(error) = result else {
            prop_assert_eq!(sent(&pair.ours), None);
            return Ok(());
        };
        match error.cause() {
            // The peer would not understand an alert.
            Cause::Peer(PeerCause::NotTls { .. }) => prop_assert_eq!(sent(&pair.ours), None),
            // Theirs was first.
            Cause::Peer(_) if pair.ours.alert_received().is_some() => {}
            Cause::Peer(_) => prop_assert!(sent(&pair.ours).is_some(), "{error:?}"),
            _ => prop_assert!(false, "{error:?}"),
        }
        if let Some(read) = pair.alert_at_theirs() {
            prop_assert_eq!(Some(u8::from(read)), sent(&pair.ours), "{:?}", error);
        }
    }
}
