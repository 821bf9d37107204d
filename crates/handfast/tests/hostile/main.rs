//! Hostile peers: garbage at any moment, floods, forged records, slow input. Nothing may panic, hang, grow
//! without bound, or be accepted although it is invalid.

mod forged;
mod forger;

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{
    Cause, ClientContext, Connection, Ending, Error, Identity, NetworkCause, Passphrase, PeerCause,
    Plain, ReadOutcome, ServerContext, Timeouts, TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use proptest::prelude::*;

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

/// Everything that can be read, and the final result.
fn drain(connection: &mut Connection) -> (Vec<u8>, Result<ReadOutcome, Error>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer) {
            Ok(ReadOutcome::Data(count)) => bytes.extend_from_slice(&buffer[..count]),
            other => return (bytes, other),
        }
    }
}

/// The error can be explained, and later calls return the same.
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

    /// Garbage from the first byte on, and garbage in the form of records.
    #[test]
    fn arbitrary_bytes_fail_or_wait_for_more_and_end_with_the_channel(
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

    /// A handshake in which one byte is changed, or that is truncated or replaced from some byte on, fails or
    /// succeeds, but never hangs, and tampered data is never accepted.
    #[test]
    fn a_handshake_that_is_tampered_with_never_hangs(
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

    /// If a stream of data is changed, a prefix of the sent data is delivered, and the ending is not `close_notify`.
    #[test]
    fn tampered_data_is_truncated_and_never_complete(
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
        let mut end = Ok(ReadOutcome::WouldBlock);
        for piece in bytes.chunks(step) {
            client.receive(piece);
            let (data, what) = drain(&mut client);
            received.extend(data);
            end = what;
        }
        if matches!(end, Ok(ReadOutcome::WouldBlock)) {
            client.received_end();
            end = drain(&mut client).1;
        }
        prop_assert!(body.starts_with(&received));
        if !whole {
            // The version in a record header must be ignored.
            let same = received == body && bytes.len() == sent.len();
            match end {
                Ok(ReadOutcome::End(Ending::CloseNotify)) => prop_assert!(same, "accepted as complete"),
                Ok(other) => prop_assert_eq!(other, ReadOutcome::End(Ending::Premature)),
                Err(error) => settled(&mut client, &error),
            }
        }
    }
}

/// Bytes with record headers.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![20..=24u8, any::<u8>()];
    let body = prop::collection::vec(any::<u8>(), 0..300);
    let record =
        (kind, 0..=4u8, body, any::<prop::sample::Index>()).prop_map(|(kind, minor, body, lie)| {
            // Sometimes the length is wrong.
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
    /// Applies at byte `at` of a direction in which `passed` bytes preceded `bytes`.
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

/// Every truncation of a real ClientHello, then FIN: the same cause, with the number of bytes.
#[test]
fn a_truncated_flight_is_a_close_in_the_handshake() {
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

/// The number of undecryptable records is limited (RFC 8446, section 4.2.10, requires servers to skip rejected early
/// data).
#[test]
fn a_flood_within_the_handshake_is_refused_early() {
    // A hello that offers early data; otherwise nothing is skipped.
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
    for (what, record) in [
        ("empty", vec![23, 3, 3, 0, 0]),
        ("too short", [&[23, 3, 3, 0, 16][..], &[7; 16]].concat()),
        ("early data", [&[23, 3, 3, 0, 40][..], &[7; 40]].concat()),
    ] {
        let (_, mut server) = connections(1);
        server.receive(&hello);
        let few = record.repeat(20);
        server.receive(&few);
        let first = server.process();
        assert!(first.is_ok(), "{what}: {first:?}");
        assert!(server.memory_held() < 1 << 20);
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
        assert_eq!(server.alert_sent().unwrap().name(), "bad_record_mac");
        settled(&mut server, &error);
    }
}

#[test]
fn an_endless_first_message_is_refused() {
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
        assert!(given_up, "3 MiB of ClientHello were buffered");
    }
}

// Over the blocking stream.

/// Returns these bytes, then ends.
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
    fn streams_survive_any_bytes(
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

/// Single bytes without a complete record do not extend the limit on reading, nor that on the
/// handshake.
#[test]
fn a_peer_that_sends_byte_by_byte_reaches_the_limit() {
    let limit = Duration::from_millis(300);
    let send_slowly = |mut socket: TcpStream, bytes: Vec<u8>| {
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
    let sending = thread::spawn(move || {
        let stream = server.accept(listener.accept().unwrap().0).unwrap();
        let (socket, mut connection) = stream.into_parts();
        connection.write(&[IoSlice::new(&[7; 1000])]).unwrap();
        connection.flush().unwrap();
        let record = take_outgoing(&mut connection);
        send_slowly(socket, record);
    });
    let mut stream = ends
        .client
        .secure("localhost", TcpStream::connect(address).unwrap())
        .unwrap();
    stream.set_timeouts(Timeouts::all(limit));
    let began = Instant::now();
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() < 30 * limit, "{:?}", began.elapsed());
    drop(stream);
    sending.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut client, _) = connections(1);
    let hello = take_outgoing(&mut client);
    let sending = thread::spawn(move || send_slowly(TcpStream::connect(address).unwrap(), hello));
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
    assert!(began.elapsed() < 30 * limit, "{:?}", began.elapsed());
    drop(failure);
    sending.join().unwrap();
}

/// Only blocking channels can wait: over another, a handshake fails at once instead of spinning.
#[test]
fn a_blocking_handshake_does_not_spin_over_a_channel_that_does_not_block() {
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

/// Buffers are reused by other connections: the public interface never shows another connection's data.
#[test]
fn room_to_receive_contains_no_data_of_other_connections() {
    for version in 0..2 {
        for round in 0..20 {
            let (mut client, mut server) = connections(version);
            for connection in [&mut client, &mut server] {
                let room = connection.receive_room();
                assert!(room.iter().all(|byte| *byte == 0), "round {round}");
                connection.rest();
            }
            shake(&mut client, &mut server);
            // Every kind of buffer has plaintext or records: partly read, partly written, partly sent.
            let secret = vec![0xa5; 40_000];
            server.write(&[IoSlice::new(&secret)]).unwrap();
            server.write(&[IoSlice::new(&secret[..100])]).unwrap();
            client.receive(server.outgoing());
            let half = server.outgoing().len() / 2;
            server.sent(half);
            client.read(&mut [0; 1_000]).unwrap();
            if round % 2 == 0 {
                client.rest();
                server.rest();
            }
        }
    }
}

/// Room that a socket fills directly is not shown to the caller, so it is not cleared; room shown afterwards is.
#[cfg(unix)]
#[test]
fn room_shown_after_reading_from_a_socket_is_cleared() {
    let (mut other, mut other_end) = connections(1);
    shake(&mut other, &mut other_end);
    other_end.write(&[IoSlice::new(&[b'x'; 9_000])]).unwrap();
    other_end.flush().unwrap();
    other.receive(&take_outgoing(&mut other_end));
    drain(&mut other).1.unwrap();
    other.rest();

    let (mut client, mut server) = connections(1);
    shake(&mut client, &mut server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    server.write(&[IoSlice::new(b"hello")]).unwrap();
    server.flush().unwrap();
    let sent = take_outgoing(&mut server);
    far.write_all(&sent).unwrap();
    drop(far);
    let mut count = 0;
    while count < sent.len() {
        let received = client.receive_from(&near).unwrap();
        assert!(received.count > 0 && !received.is_full);
        count += received.count;
    }
    assert!(client.receive_room().iter().all(|byte| *byte == 0));
    assert_eq!(drain(&mut client).0, b"hello");
    assert_eq!(client.receive_from(&near).unwrap().count, 0);
    let (_, end) = drain(&mut client);
    assert_eq!(end.unwrap(), ReadOutcome::End(Ending::Premature));
}

#[test]
fn input_after_the_end_takes_no_memory() {
    for version in 0..2 {
        for fails in [true, false] {
            let (mut client, mut server) = connections(version);
            shake(&mut client, &mut server);
            drain(&mut client).1.unwrap();
            server.write(&[IoSlice::new(b"last words")]).unwrap();
            server.send_close_notify().unwrap();
            if fails {
                client.receive(&[23, 3, 3, 0, 40]);
                client.receive(&[9; 40]);
                client.read(&mut [0; 10]).unwrap_err();
                take_outgoing(&mut client);
            }
            client.receive(&take_outgoing(&mut server));
            client.receive(b"and what is this?");
            if !fails {
                let (bytes, end) = drain(&mut client);
                assert_eq!(bytes, b"last words");
                assert_eq!(end.unwrap(), ReadOutcome::End(Ending::CloseNotify));
            }
            let before = client.traffic().bytes_received;
            for _ in 0..100 {
                client.receive(&[0x17; 10_000]);
                let room = client.receive_room();
                room.fill(0x17);
                let count = room.len();
                client.received(count);
                assert!(client.memory_held() < 1 << 19, "{}", client.memory_held());
            }
            client.rest();
            assert_eq!(client.memory_held(), 0);
            let (mut other, _) = connections(version);
            assert!(other.receive_room().iter().all(|byte| *byte == 0));
            assert!(client.traffic().bytes_received > before + 1_000_000);
            assert!(!client.has_plaintext());
            match drain(&mut client) {
                (bytes, Err(_)) if fails => assert!(bytes.is_empty()),
                (bytes, end) => {
                    assert!(bytes.is_empty() && !fails);
                    assert_eq!(end.unwrap(), ReadOutcome::End(Ending::CloseNotify));
                }
            }
            // The other direction stays open after the peer's end.
            assert_eq!(client.write(&[IoSlice::new(b"answer")]).is_ok(), !fails);
        }
    }
}
