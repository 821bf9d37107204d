//! Complete exchanges over real sockets, both ends ours: ends, closing, records, resumption, limits.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use handfast::{
    Cause, ClientAuth, ClientContext, CloseOutcome, ClosePolicy, Connection, Ending, Error,
    Identity, NetworkCause, Passphrase, PeerCause, Phase, ReadOutcome, RecordSizing, ServerContext,
    ServerContextBuilder, Stream, Timeouts, TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::{Issued, Pki};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
const WAIT: ClosePolicy = ClosePolicy::Wait(Duration::from_secs(5));

struct Ends {
    pki: Pki,
    server: ServerContext,
    client: ClientContext,
}

fn identity(issued: &Issued) -> Identity {
    let chain = issued.chain_pem(&[]);
    Identity::from_bytes(
        chain.as_bytes(),
        issued.key_pem().as_bytes(),
        Passphrase::none(),
    )
    .unwrap()
}

fn trust(pki: &Pki) -> TrustAnchors {
    TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap()
}

fn ends(version: TlsVersion) -> Ends {
    ends_with(version, |server| server)
}

fn ends_with(
    version: TlsVersion,
    configure: impl FnOnce(ServerContextBuilder) -> ServerContextBuilder,
) -> Ends {
    let pki = Pki::new();
    let server = ServerContext::builder().identity(identity(&pki.server(&["localhost"])));
    let server = configure(server).versions([version]).build().unwrap();
    let client = ClientContext::builder()
        .trust(trust(&pki))
        .versions([version])
        .build()
        .unwrap();
    Ends {
        pki,
        server,
        client,
    }
}

/// A client's stream and the result of `serve` for the server's, over loopback TCP.
fn over_tcp<R: Send + 'static>(
    ends: &Ends,
    serve: impl FnOnce(Stream<TcpStream>) -> R + Send + 'static,
) -> (Stream<TcpStream>, thread::JoinHandle<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = ends.server.clone();
    let handle = thread::spawn(move || serve(server.accept(listener.accept().unwrap().0).unwrap()));
    let stream = ends
        .client
        .secure("localhost", TcpStream::connect(address).unwrap())
        .unwrap();
    (stream, handle)
}

#[test]
fn both_ends_close_in_two_phases_and_report_it() {
    for version in VERSIONS {
        let ends = ends(version);
        let (mut stream, server) = over_tcp(&ends, |mut stream| {
            let mut request = [0; 5];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"reply").unwrap();
            (
                request,
                stream.close(ClosePolicy::default()),
                stream.ending(),
            )
        });
        stream.write_all(b"hello").unwrap();
        let (bytes, ending) = stream.read_to_ending().unwrap();
        assert_eq!(
            (&bytes[..], ending),
            (&b"reply"[..], Ending::CloseNotify),
            "{version:?}"
        );
        assert_eq!(stream.close(WAIT), CloseOutcome::Complete, "{version:?}");
        let (request, outcome, ending) = server.join().unwrap();
        assert_eq!(&request, b"hello");
        assert_eq!(
            (outcome, ending),
            (CloseOutcome::Complete, Some(Ending::CloseNotify))
        );
    }
}

#[test]
fn close_notify_fin_and_reset_are_three_different_ends() {
    for version in VERSIONS {
        for (how, expected) in [
            ("close_notify", Ending::CloseNotify),
            ("fin", Ending::Premature),
            ("reset", Ending::Reset),
        ] {
            let ends = ends(version);
            let (mut stream, server) = over_tcp(&ends, move |mut stream| {
                stream.write_all(&[7; 100_000]).unwrap();
                stream.flush().unwrap();
                let mut one = [0];
                stream.read_exact(&mut one).unwrap(); // the client has received everything
                match how {
                    "close_notify" => {
                        stream.finish().unwrap();
                    }
                    "fin" => stream.channel().shutdown(Shutdown::Write).unwrap(),
                    _ => {
                        let socket = socket2::SockRef::from(stream.channel());
                        socket.set_linger(Some(Duration::ZERO)).unwrap();
                    }
                }
                stream
            });
            let mut bytes = vec![0; 100_000];
            stream.read_exact(&mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 7));
            stream.write_all(b"!").unwrap();
            stream.flush().unwrap();
            drop(server.join().unwrap());
            let mut rest = [0; 16];
            let read = stream.read(&mut rest);
            match expected {
                Ending::CloseNotify => assert_eq!(read.unwrap(), 0),
                Ending::Premature => {
                    let error = read.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                    let ours = Error::from_io(&error).unwrap();
                    assert!(matches!(
                        ours.cause(),
                        Cause::Peer(PeerCause::PrematureEnd {
                            bytes_received: 100_000
                        })
                    ));
                }
                Ending::Reset => {
                    let error = read.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    let ours = Error::from_io(&error).unwrap();
                    assert!(matches!(ours.cause(), Cause::Network(NetworkCause::Reset)));
                }
            }
            assert_eq!(stream.ending(), Some(expected), "{version:?} {how}");
            // Later reads return the same.
            assert_eq!(
                stream.read_some(&mut rest).unwrap(),
                ReadOutcome::End(expected)
            );
        }
    }
}

#[test]
fn data_before_a_premature_end_is_delivered_first() {
    let ends = ends(TlsVersion::Tls13);
    let (mut stream, server) = over_tcp(&ends, |mut stream| {
        stream.write_all(&[1; 50_000]).unwrap();
        stream.flush().unwrap();
        stream.channel().shutdown(Shutdown::Write).unwrap();
        stream
    });
    let _kept_open = server.join().unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    assert_eq!((bytes.len(), ending), (50_000, Ending::Premature));
}

#[test]
fn data_after_close_notify_is_ignored() {
    for version in VERSIONS {
        let ends = ends(version);
        let (mut client, mut server) = connected(&ends);
        write(&mut server, b"all");
        server.send_close_notify().unwrap();
        carry(&mut server, &mut client);
        client.receive(b"\x17\x03\x03\x00\x05GARBA garbage of any kind");
        assert_eq!(
            read(&mut client),
            (b"all".to_vec(), ReadOutcome::End(Ending::CloseNotify))
        );
        client.received_reset();
        assert_eq!(
            client.read(&mut [0; 9]).unwrap(),
            ReadOutcome::End(Ending::CloseNotify)
        );
        // Our own direction is still open: a half-closed connection.
        write(&mut client, b"thanks");
        client.flush().unwrap();
        carry(&mut client, &mut server);
        assert_eq!(
            read(&mut server),
            (b"thanks".to_vec(), ReadOutcome::WouldBlock),
            "{version:?}"
        );
    }
}

#[test]
fn a_reply_in_pieces_leaves_in_few_large_records() {
    for (sizing, buffer, expected) in [
        // 10 pieces of head (200 bytes in all) and 100 KiB: 102,600 bytes, 7 records of 16 KiB.
        (RecordSizing::Full, 16 * 1024, 7),
        // 48 of one segment, then (102,600 - 48 * 1390) / 16 KiB, rounded up.
        (RecordSizing::Adaptive, 16 * 1024, 48 + 3),
        (RecordSizing::Limited(4096), 16 * 1024, 26),
    ] {
        for version in VERSIONS {
            let ends = ends_with(version, |server| {
                server.record_sizing(sizing).write_buffer_size(buffer)
            });
            let (mut client, mut server) = connected(&ends);
            let before = server.traffic().records_sent;
            let body = vec![b'b'; 100 * 1024];
            let mut on_wire = Vec::new();
            for _ in 0..10 {
                write_through(&mut server, &mut client, &[b'h'; 20], &mut on_wire);
            }
            write_through(&mut server, &mut client, &body, &mut on_wire);
            server.flush().unwrap();
            on_wire.extend(carry(&mut server, &mut client));
            let records = data_records(&on_wire);
            if sizing == RecordSizing::Full {
                assert_eq!(
                    records.len(),
                    expected,
                    "{sizing:?} {version:?}: {records:?}"
                );
            } else {
                // A few more if the ends of the buffer and of a record differ.
                assert!(
                    records.len().abs_diff(expected) <= 2,
                    "{sizing:?}: {records:?}"
                );
            }
            assert_eq!(server.traffic().records_sent - before, records.len() as u64);
            let (bytes, _) = read(&mut client);
            assert_eq!(bytes.len(), 200 + body.len());
        }
    }
}

#[test]
fn reading_byte_by_byte_needs_no_more_reads_of_the_channel() {
    #[derive(Debug)]
    struct Counting {
        socket: TcpStream,
        reads: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    }
    impl std::io::Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.reads
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.socket.read(buffer)
        }
    }
    impl std::io::Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.socket.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl handfast::Channel for Counting {}

    let reads_for = |step: usize| {
        let ends = ends(TlsVersion::Tls13);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = ends.server.clone();
        let handle = thread::spawn(move || {
            let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
            // Wait until the client reads, so that the result does not depend on timing.
            let mut go = [0];
            stream.read_exact(&mut go).unwrap();
            stream.write_all(&vec![9; 1_000_000]).unwrap();
            stream.close(ClosePolicy::default())
        });
        let reads = std::sync::Arc::default();
        let socket = TcpStream::connect(address).unwrap();
        let channel = Counting {
            socket,
            reads: std::sync::Arc::clone(&reads),
        };
        let mut stream = ends.client.secure("localhost", channel).unwrap();
        stream.write_all(b"!").unwrap();
        stream.flush().unwrap();
        let mut buffer = vec![0; step];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, 1_000_000);
        stream.close(ClosePolicy::Send);
        handle.join().unwrap();
        reads.load(std::sync::atomic::Ordering::Relaxed)
    };
    let (bytewise, chunked) = (reads_for(1), reads_for(16 * 1024));
    // 1 MB is 62 records; every read of the channel returns at least one, for any step of the caller.
    assert!(
        bytewise <= 2 * chunked.max(62) + 16,
        "{bytewise} reads against {chunked}"
    );
}

/// Setting a limit costs a system call, as sending a record does.
#[test]
fn an_unchanged_limit_is_not_set_again() {
    #[derive(Debug, Default)]
    struct Limits {
        reads: usize,
        writes: usize,
    }
    #[derive(Debug)]
    struct Counting<'l> {
        socket: TcpStream,
        limits: &'l std::cell::RefCell<Limits>,
    }
    impl std::io::Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.socket.read(buffer)
        }
    }
    impl std::io::Write for Counting<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.socket.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl handfast::Channel for Counting<'_> {
        fn limit_read(&mut self, limit: Option<Duration>) -> std::io::Result<()> {
            self.limits.borrow_mut().reads += 1;
            self.socket.limit_read(limit)
        }
        fn limit_write(&mut self, limit: Option<Duration>) -> std::io::Result<()> {
            self.limits.borrow_mut().writes += 1;
            self.socket.limit_write(limit)
        }
    }

    let ends = ends(TlsVersion::Tls13);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = ends.server.clone();
    let handle = thread::spawn(move || {
        let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
        let mut question = [0; 1];
        for _ in 0..200 {
            stream.read_exact(&mut question).unwrap();
            stream.write_all(&question).unwrap();
            stream.flush().unwrap();
        }
    });
    let limits = std::cell::RefCell::default();
    let channel = Counting {
        socket: TcpStream::connect(address).unwrap(),
        limits: &limits,
    };
    let mut stream = ends.client.secure("localhost", channel).unwrap();
    for _ in 0..200 {
        stream.write_all(b"?").unwrap();
        stream.flush().unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    handle.join().unwrap();
    // A few in the handshake, whose limit decreases; then almost none.
    let limits = limits.borrow();
    assert!(limits.reads < 20 && limits.writes < 20, "{limits:?}");
}

#[test]
fn sessions_are_resumed_in_both_versions_and_after_a_reload() {
    for version in VERSIONS {
        let ends = ends(version);
        let exchange = |server: &ServerContext| {
            let mut client = ends.client.connection("localhost").unwrap();
            let mut server = server.connection().unwrap();
            shake(&mut client, &mut server);
            // TLS 1.3 sends its tickets after the handshake.
            write(&mut server, b"x");
            server.flush().unwrap();
            carry(&mut server, &mut client);
            read(&mut client);
            let (client, server) = (
                client.report().unwrap().clone(),
                server.report().unwrap().clone(),
            );
            assert_eq!(client.resumed, server.resumed);
            assert!(
                client.peer.is_some(),
                "a resumed session has the server's identity"
            );
            client.resumed
        };
        assert!(
            !exchange(&ends.server),
            "{version:?}: the first is a full handshake"
        );
        assert!(exchange(&ends.server), "{version:?}: the second is resumed");
        let reloaded = ServerContext::builder()
            .identity(identity(&ends.pki.server(&["localhost"])))
            .versions([version])
            .succeeding(&ends.server)
            .build()
            .unwrap();
        assert!(
            exchange(&reloaded),
            "{version:?}: the new context accepts the tickets"
        );
        let stranger = ServerContext::builder()
            .identity(identity(&ends.pki.server(&["localhost"])))
            .versions([version])
            .build()
            .unwrap();
        assert!(
            !exchange(&stranger),
            "{version:?}: another service does not accept them"
        );
    }
}

#[test]
fn a_session_without_client_certificate_is_not_resumed_where_one_is_required() {
    for version in VERSIONS {
        let ends = ends(version);
        let (mut client, mut server) = connected(&ends);
        write(&mut server, b"x");
        server.flush().unwrap();
        carry(&mut server, &mut client);
        read(&mut client);
        let strict = ServerContext::builder()
            .identity(identity(&ends.pki.server(&["localhost"])))
            .client_auth(ClientAuth::Required(trust(&ends.pki)))
            .versions([version])
            .succeeding(&ends.server)
            .build()
            .unwrap();
        let mut client = ends.client.connection("localhost").unwrap();
        let mut server = strict.connection().unwrap();
        let error = try_shake(&mut client, &mut server).1.unwrap_err();
        assert!(
            matches!(
                error.cause(),
                Cause::Peer(PeerCause::ClientCertificateMissing)
            ),
            "{version:?}: {error:?}"
        );
    }
}

#[test]
fn the_verified_client_is_reported_in_full_and_resumed_handshakes() {
    for version in VERSIONS {
        let ends = ends(version);
        let server = ServerContext::builder()
            .identity(identity(&ends.pki.server(&["localhost"])))
            .client_auth(ClientAuth::Required(trust(&ends.pki)))
            .versions([version])
            .build()
            .unwrap();
        let client = ClientContext::builder()
            .trust(trust(&ends.pki))
            .identity(identity(&ends.pki.client("alice")))
            .versions([version])
            .build()
            .unwrap();
        for resumed in [false, true] {
            let mut client = client.connection("localhost").unwrap();
            let mut server = server.connection().unwrap();
            shake(&mut client, &mut server);
            write(&mut server, b"x");
            server.flush().unwrap();
            carry(&mut server, &mut client);
            read(&mut client);
            let report = server.report().unwrap();
            assert_eq!(report.resumed, resumed, "{version:?}");
            assert_eq!(
                report.peer.as_ref().and_then(|peer| peer.common_name()),
                Some("alice")
            );
        }
    }
}

#[test]
fn client_certificate_required_is_the_same_error_in_both_versions() {
    for version in VERSIONS {
        let ends = ends(version);
        let server = ServerContext::builder()
            .identity(identity(&ends.pki.server(&["localhost"])))
            .client_auth(ClientAuth::Required(trust(&ends.pki)))
            .versions([version])
            .build()
            .unwrap();
        let mut client = ends.client.connection("localhost").unwrap();
        let mut server = server.connection().unwrap();
        let (client_result, _) = try_shake(&mut client, &mut server);
        let error = match client_result {
            Err(error) => error,
            // TLS 1.3: the server verifies after the client's handshake is complete.
            Ok(()) => client.read(&mut [0; 10]).unwrap_err(),
        };
        match error.cause() {
            Cause::Peer(PeerCause::ClientCertificateRequired {
                acceptable_issuers, ..
            }) => {
                assert_eq!(acceptable_issuers.len(), 1);
            }
            other => panic!("{version:?}: {other:?}"),
        }
    }
}

#[test]
fn a_handshake_without_answer_reports_its_phase() {
    let ends = ends(TlsVersion::Tls13);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let impatient = ClientContext::builder()
        .trust(trust(&ends.pki))
        .timeouts(Timeouts::all(Duration::from_millis(50)))
        .build()
        .unwrap();
    let socket = TcpStream::connect(silent).unwrap();
    let error = impatient.secure("localhost", socket).unwrap_err().error;
    assert_eq!(error.phase(), Phase::Handshake);
    assert!(
        matches!(error.cause(), Cause::Network(NetworkCause::TimedOut { .. })),
        "{error:?}"
    );
    assert_eq!(error.explain().id, "timed-out");
}

#[test]
fn a_silent_peer_reaches_the_read_limit() {
    let ends = ends(TlsVersion::Tls13);
    let (mut stream, server) = over_tcp(&ends, |stream| stream);
    let _silent = server.join().unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.read = Some(Duration::from_millis(50));
    stream.set_timeouts(timeouts);
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(Error::from_io(&error).unwrap().phase(), Phase::Response);
}

#[test]
fn a_peer_that_does_not_speak_tls_is_quoted_and_can_be_answered() {
    let ends = ends(TlsVersion::Tls13);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let browser = thread::spawn(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply
    });
    let mut failure = ends
        .server
        .accept(listener.accept().unwrap().0)
        .unwrap_err();
    assert!(
        failure.received.starts_with(b"GET / HTTP/1.1\r\n"),
        "{:?}",
        failure.received
    );
    assert!(matches!(
        failure.error.cause(),
        Cause::Peer(PeerCause::NotTls { .. })
    ));
    failure.channel.write_all(b"HTTP/1.1 400 \r\n\r\n").unwrap();
    drop(failure);
    assert!(browser.join().unwrap().ends_with("HTTP/1.1 400 \r\n\r\n"));
}

#[test]
fn wait_gives_up_on_a_peer_that_never_ends() {
    let ends = ends(TlsVersion::Tls13);
    let (mut stream, server) = over_tcp(&ends, |stream| stream);
    let _silent = server.join().unwrap();
    assert_eq!(
        stream.close(ClosePolicy::Wait(Duration::from_millis(50))),
        CloseOutcome::SentOnly
    );
}

#[test]
fn nothing_is_held_while_idle() {
    let ends = ends(TlsVersion::Tls13);
    let (mut client, mut server) = connected(&ends);
    write(&mut server, &[1; 40_000]);
    server.flush().unwrap();
    carry(&mut server, &mut client);
    assert_eq!(read(&mut client).0.len(), 40_000);
    for connection in [&mut client, &mut server] {
        connection.rest();
        assert_eq!(connection.memory_held(), 0);
    }
}

// Two connections in memory.

fn connected(ends: &Ends) -> (Connection, Connection) {
    let mut client = ends.client.connection("localhost").unwrap();
    let mut server = ends.server.connection().unwrap();
    shake(&mut client, &mut server);
    (client, server)
}

fn shake(client: &mut Connection, server: &mut Connection) {
    let (client, server) = try_shake(client, server);
    client.unwrap();
    server.unwrap();
}

/// Transfers bytes until neither end has output; returns the result of each end.
fn try_shake(
    client: &mut Connection,
    server: &mut Connection,
) -> (Result<(), Error>, Result<(), Error>) {
    let (mut at_client, mut at_server) = (Ok(()), Ok(()));
    for _ in 0..10 {
        carry(client, server);
        if at_server.is_ok() {
            at_server = server.process();
        }
        carry(server, client);
        if at_client.is_ok() {
            at_client = client.process();
        }
    }
    (at_client, at_server)
}

fn carry(from: &mut Connection, to: &mut Connection) -> Vec<u8> {
    let bytes = from.outgoing().to_vec();
    to.receive(&bytes);
    from.sent(bytes.len());
    bytes
}

fn write(connection: &mut Connection, bytes: &[u8]) {
    assert_eq!(
        connection.write(&[IoSlice::new(bytes)]).unwrap(),
        bytes.len()
    );
}

/// Writes everything, transferring when required, and records the bytes on the wire.
fn write_through(from: &mut Connection, to: &mut Connection, mut bytes: &[u8], wire: &mut Vec<u8>) {
    while !bytes.is_empty() {
        let count = from.write(&[IoSlice::new(bytes)]).unwrap();
        bytes = &bytes[count..];
        wire.extend(carry(from, to));
    }
}

fn read(connection: &mut Connection) -> (Vec<u8>, ReadOutcome) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match connection.read(&mut buffer).unwrap() {
            ReadOutcome::Data(count) => bytes.extend_from_slice(&buffer[..count]),
            end => return (bytes, end),
        }
    }
}

/// The lengths of the application data records in these bytes.
fn data_records(mut wire: &[u8]) -> Vec<usize> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = wire {
        let length = usize::from(*high) << 8 | usize::from(*low);
        if *kind == 23 {
            records.push(length);
        }
        wire = &rest[length..];
    }
    records
}
