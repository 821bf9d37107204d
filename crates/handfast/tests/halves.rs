//! Streams as two halves: they read and write at once, whatever the peer does, and each closes what is its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{
    AsyncStream, Channel, ClientContext, CloseOutcome, ClosePolicy, Ending, Identity, Passphrase,
    ReadHalf, ServerContext, Stream, Timeouts, TlsVersion, TrustAnchors, WriteHalf,
};
use handfast_testbed::launch::{OpensslServer, Program};
use handfast_testbed::pki::Pki;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SOON: Duration = Duration::from_secs(30);
/// More than all buffers on the way hold.
const MUCH: usize = 16 << 20;
const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

fn contexts(version: TlsVersion) -> (ClientContext, ServerContext) {
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let (chain, key) = (issued.cert_pem(), issued.key_pem());
    let identity =
        Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let client = ClientContext::builder()
        .trust(trust)
        .versions([version])
        .timeouts(Timeouts::all(SOON));
    let server = ServerContext::builder()
        .identity(identity)
        .timeouts(Timeouts::all(SOON));
    (client.build().unwrap(), server.build().unwrap())
}

fn pair(version: TlsVersion) -> (Stream<TcpStream>, Stream<TcpStream>) {
    pair_over(version, |socket| socket)
}

/// The client's stream is over the channel that `wrap` makes of its socket.
fn pair_over<C: Channel + std::fmt::Debug>(
    version: TlsVersion,
    wrap: impl FnOnce(TcpStream) -> C,
) -> (Stream<C>, Stream<TcpStream>) {
    let (client, server) = contexts(version);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = thread::spawn(move || server.accept(listener.accept().unwrap().0).unwrap());
    let socket = TcpStream::connect(address).unwrap();
    let client = client.secure("localhost", wrap(socket)).unwrap();
    (client, accepted.join().unwrap())
}

fn halves(stream: Stream<TcpStream>) -> (ReadHalf<TcpStream>, WriteHalf<TcpStream>) {
    let again = stream.channel().try_clone().unwrap();
    stream.into_split(again)
}

/// Each end sends much before it has read anything: an end that waited for its writer would wait for ever.
#[test]
fn both_ends_write_and_read_at_once() {
    for version in VERSIONS {
        let (client, server) = pair(version);
        let ends = [client, server].map(|stream| {
            thread::spawn(move || {
                let (mut read, mut write) = halves(stream);
                let writer = thread::spawn(move || {
                    let piece = vec![7; 100_000];
                    let mut left = MUCH;
                    while left > 0 {
                        let count = left.min(piece.len());
                        write.write_all(&piece[..count]).unwrap();
                        left -= count;
                    }
                    write.finish().unwrap();
                    write
                });
                let mut bytes = Vec::new();
                read.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len(), MUCH);
                assert_eq!(read.ending(), Some(Ending::CloseNotify));
                let write = writer.join().unwrap();
                let mut whole = read.unsplit(write).unwrap();
                assert_eq!(whole.close(ClosePolicy::Wait(SOON)), CloseOutcome::Complete);
            })
        });
        ends.into_iter().for_each(|end| end.join().unwrap());
    }
}

#[test]
fn what_a_half_leaves_unfinished_looks_broken_off() {
    for version in VERSIONS {
        let (client, mut server) = pair(version);
        let (mut read, mut write) = halves(client);
        write.write_all(b"some").unwrap();
        write.flush().unwrap();
        drop(write);
        let (bytes, ending) = server.read_to_ending().unwrap();
        assert_eq!((&bytes[..], ending), (&b"some"[..], Ending::Premature));
        // The other direction is as it was.
        server.write_all(b"reply").unwrap();
        server.finish().unwrap();
        let mut reply = String::new();
        read.read_to_string(&mut reply).unwrap();
        assert_eq!(
            (reply.as_str(), read.ending()),
            ("reply", Some(Ending::CloseNotify))
        );
    }
}

#[test]
fn a_finished_half_ends_once_and_takes_no_more() {
    let (client, mut server) = pair(TlsVersion::Tls13);
    let (read, mut write) = halves(client);
    write.write_all(b"held back until the end").unwrap();
    write.finish().unwrap();
    write.finish().unwrap();
    assert!(write.write(b"more").is_err());
    let (bytes, ending) = server.read_to_ending().unwrap();
    assert_eq!(bytes, b"held back until the end");
    assert_eq!(ending, Ending::CloseNotify);
    // Halves of other streams do not fit.
    let (other, _other_server) = pair(TlsVersion::Tls13);
    let (other_read, _other_write) = halves(other);
    let (other_read, write) = *other_read.unsplit(write).unwrap_err();
    drop(other_read);
    assert!(read.unsplit(write).is_ok());
}

#[test]
fn a_reader_meets_a_premature_end_and_a_broken_record_and_tells_the_peer() {
    let (client, server) = pair(TlsVersion::Tls13);
    let (mut read, _write) = halves(client);
    let (mut socket, _) = server.into_parts();
    socket.write_all(&[23, 3, 3, 0, 20]).unwrap();
    socket.write_all(&[0; 20]).unwrap();
    let error = handfast::Error::from_io(&read.read(&mut [0; 10]).unwrap_err())
        .unwrap()
        .explain();
    assert_eq!(error.id, "bad-record");
    let mut alert = Vec::new();
    socket.set_read_timeout(Some(SOON)).unwrap();
    drop((read, _write));
    let _ = socket.read_to_end(&mut alert);
    assert!(
        alert.len() > 5 && alert[0] == 23,
        "an alert, encrypted: {alert:?}"
    );

    let (client, server) = pair(TlsVersion::Tls13);
    let (mut read, _write) = halves(client);
    let (socket, _) = server.into_parts();
    socket.shutdown(Shutdown::Write).unwrap();
    let error = read.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(read.ending(), Some(Ending::Premature));
}

#[test]
fn a_reader_of_a_silent_peer_gives_up_in_time() {
    let (mut client, _server) = pair(TlsVersion::Tls13);
    client.set_timeouts(Timeouts::all(Duration::from_millis(200)));
    let (mut read, _write) = halves(client);
    let error = read.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_reader_reports_at_once_that_a_non_blocking_channel_has_nothing() {
    for version in VERSIONS {
        let (client, mut server) = pair(version);
        client.channel().set_nonblocking(true).unwrap();
        let (mut read, _write) = halves(client);
        let error = read.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        server.write_all(b"x").unwrap();
        server.flush().unwrap();
        let deadline = Instant::now() + SOON;
        let count = loop {
            match read.read(&mut [0; 10]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline);
                    thread::yield_now();
                }
                other => break other.unwrap(),
            }
        };
        assert_eq!(count, 1);
    }
}

#[test]
fn over_a_non_blocking_channel_a_writer_sends_everything_once() {
    for version in VERSIONS {
        let (client, mut server) = pair(version);
        client.channel().set_nonblocking(true).unwrap();
        let (_read, mut write) = halves(client);
        let (is_full, full) = mpsc::channel();
        let reader = thread::spawn(move || {
            full.recv_timeout(SOON).unwrap();
            server.read_to_ending().unwrap()
        });
        let sent: Vec<u8> = (0..MUCH / 4)
            .flat_map(|at| (at as u32).to_be_bytes())
            .collect();
        let wait = |error: &io::Error| {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            let _ = is_full.send(());
            thread::yield_now();
        };
        let mut rest = &sent[..];
        while let Some(piece) = rest
            .get(..10_000.min(rest.len()))
            .filter(|some| !some.is_empty())
        {
            match write.write(piece) {
                Ok(count) => rest = &rest[count..],
                Err(error) => wait(&error),
            }
        }
        while let Err(error) = write.finish() {
            wait(&error.into());
        }
        let (bytes, ending) = reader.join().unwrap();
        assert_eq!((bytes.len(), ending), (sent.len(), Ending::CloseNotify));
        assert!(bytes == sent, "{version:?}");
    }
}

/// A peer may wait for the answer to its KeyUpdate before it goes on, while our writer has nothing to send.
#[test]
fn a_reader_answers_a_key_update_although_nothing_is_written() {
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.der.clone()], issued.key_der())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut socket = listener.accept().unwrap().0;
        socket.set_read_timeout(Some(SOON)).unwrap();
        tls.complete_io(&mut socket).unwrap();
        tls.refresh_traffic_keys().unwrap();
        while tls.wants_write() {
            tls.write_tls(&mut socket).unwrap();
        }
        assert!(tls.read_tls(&mut socket).unwrap() > 0, "the answer");
        tls.process_new_packets().unwrap();
        let mut stream = rustls::StreamOwned::new(tls, socket);
        stream.write_all(b"go on").unwrap();
        stream.flush().unwrap();
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).unwrap();
        reply
    });
    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let client = ClientContext::builder()
        .trust(trust)
        .timeouts(Timeouts::all(2 * SOON));
    let socket = TcpStream::connect(address).unwrap();
    let stream = client.build().unwrap().secure("localhost", socket).unwrap();
    let (mut read, mut write) = halves(stream);
    let mut bytes = [0; 5];
    read.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"go on");
    write.write_all(b"reply").unwrap();
    write.flush().unwrap();
    assert_eq!(&server.join().unwrap(), b"reply");
}

/// A socket with a limit that belongs to this value, as that of a pair of pipes or a serial line does, and which takes
/// little at a time once it is slow.
#[derive(Debug, Clone)]
struct Own {
    socket: Arc<TcpStream>,
    read_limit: Arc<Mutex<Option<Duration>>>,
    slow: Arc<Mutex<Option<Duration>>>,
}

impl Own {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket: Arc::new(socket),
            read_limit: Arc::default(),
            slow: Arc::default(),
        }
    }
}

impl Read for Own {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.socket).read(buffer)
    }
}

impl Write for Own {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match *self.slow.lock().unwrap() {
            Some(pause) => {
                thread::sleep(pause);
                (&*self.socket).write(&bytes[..bytes.len().min(4_000)])
            }
            None => (&*self.socket).write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for Own {
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        *self.read_limit.lock().unwrap() = limit;
        Ok(())
    }
}

#[test]
fn a_reader_sets_its_limit_on_its_own_channel() {
    let (mut client, mut server) = pair_over(TlsVersion::Tls13, Own::new);
    server.write_all(b"12").unwrap();
    server.flush().unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    let reading = Own {
        read_limit: Arc::default(),
        ..client.channel().clone()
    };
    let limit = Arc::clone(&reading.read_limit);
    let (mut read, _write) = client.into_split(reading);
    server.write_all(b"3").unwrap();
    server.flush().unwrap();
    read.read_exact(&mut [0; 2]).unwrap();
    assert!(limit.lock().unwrap().is_some());
}

/// As long as the peer takes something, writing may take longer than the limit in all.
#[test]
fn the_limit_of_writing_is_for_the_time_without_progress() {
    const LIMIT: Duration = Duration::from_secs(2);
    let ends = [false, true].map(|splits| {
        let (mut client, mut server) = pair_over(TlsVersion::Tls13, Own::new);
        client.set_timeouts(Timeouts::all(LIMIT));
        *client.channel().slow.lock().unwrap() = Some(LIMIT / 4);
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = server.read_to_end(&mut bytes);
            bytes.len()
        });
        thread::spawn(move || {
            let bytes = [7; 20_000];
            if splits {
                let reading = client.channel().clone();
                let (read, mut write) = client.into_split(reading);
                write.write_all(&bytes).unwrap();
                write.flush().unwrap();
                drop((read, write));
            } else {
                client.write_all(&bytes).unwrap();
                client.flush().unwrap();
                drop(client);
            }
            assert_eq!(reader.join().unwrap(), bytes.len());
        })
    });
    ends.into_iter().for_each(|end| end.join().unwrap());
}

/// `s_server -rev` sends every line back, reversed.
#[test]
fn halves_talk_with_openssl_until_its_close_notify() {
    let pki = Pki::new();
    let directory = tempfile::tempdir().unwrap();
    let files = pki
        .server(&["localhost"])
        .write(directory.path(), "server", &[]);
    if Program::new("openssl").is_none() {
        return;
    }
    let arguments = [
        "-rev".as_ref(),
        "-cert".as_ref(),
        files.chain_pem.as_os_str(),
        "-key".as_ref(),
        files.key_pem.as_os_str(),
    ];
    let Some(server) = OpensslServer::launch(&arguments) else {
        return;
    };
    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let client = ClientContext::builder()
        .trust(trust)
        .timeouts(Timeouts::all(SOON));
    let socket = TcpStream::connect(server.address()).unwrap();
    let stream = client.build().unwrap().secure("localhost", socket).unwrap();
    let (mut read, mut write) = halves(stream);
    let reader = thread::spawn(move || {
        let mut bytes = [0; 4_000];
        read.read_exact(&mut bytes).unwrap();
        (bytes, read)
    });
    for _ in 0..1_000 {
        write.write_all(b"abc\n").unwrap();
    }
    write.flush().unwrap();
    let (bytes, mut read) = reader.join().unwrap();
    assert!(bytes.chunks(4).all(|line| line == b"cba\n"));
    write.finish().unwrap();
    let mut rest = Vec::new();
    let _ = read.read_to_end(&mut rest);
    assert!(rest.is_empty() && read.ending().is_some());
}

async fn pair_async(
    version: TlsVersion,
) -> (
    AsyncStream<tokio::net::TcpStream>,
    AsyncStream<tokio::net::TcpStream>,
) {
    let (client, server) = contexts(version);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        server
            .accept_async(listener.accept().await.unwrap().0)
            .await
    };
    let connect = async {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        client.secure_async("localhost", socket).await
    };
    let (server, client) = tokio::join!(accept, connect);
    (client.unwrap(), server.unwrap())
}

#[tokio::test]
async fn asynchronous_halves_write_and_read_at_once() {
    for version in VERSIONS {
        let (client, server) = pair_async(version).await;
        let end = |stream: AsyncStream<tokio::net::TcpStream>| async move {
            let (mut read, mut write) = stream.into_split();
            let writer = tokio::spawn(async move {
                write.write_all(&vec![7; MUCH]).await.unwrap();
                write.shutdown().await.unwrap();
                write
            });
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes.len(), MUCH);
            assert_eq!(read.ending(), Some(Ending::CloseNotify));
            let mut whole = read.unsplit(writer.await.unwrap()).unwrap();
            let closed = whole.close(ClosePolicy::Wait(SOON)).await;
            assert_eq!(closed, CloseOutcome::Complete);
        };
        let (one, other) = (tokio::spawn(end(client)), tokio::spawn(end(server)));
        one.await.unwrap();
        other.await.unwrap();
    }
}

#[tokio::test]
async fn what_an_asynchronous_half_leaves_unfinished_looks_broken_off() {
    for version in VERSIONS {
        let (client, mut server) = pair_async(version).await;
        let (mut read, mut write) = client.into_split();
        write.write_all(b"some").await.unwrap();
        write.flush().await.unwrap();
        drop(write);
        let (bytes, ending) = server.read_to_ending(1_000).await.unwrap();
        assert_eq!((&bytes[..], ending), (&b"some"[..], Ending::Premature));
        server.write_all(b"reply").await.unwrap();
        server.shutdown().await.unwrap();
        let mut reply = String::new();
        read.read_to_string(&mut reply).await.unwrap();
        assert_eq!(
            (reply.as_str(), read.ending()),
            ("reply", Some(Ending::CloseNotify))
        );
    }
}
