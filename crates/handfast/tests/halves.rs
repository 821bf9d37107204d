//! Streams as two halves: they read and write at once, whatever the peer does, and each closes what is its own.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use handfast::{
    AsyncStream, ClientContext, CloseOutcome, ClosePolicy, Ending, Identity, Passphrase, ReadHalf,
    ServerContext, Stream, Timeouts, TlsVersion, TrustAnchors, WriteHalf,
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
    let (client, server) = contexts(version);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = thread::spawn(move || server.accept(listener.accept().unwrap().0).unwrap());
    let socket = TcpStream::connect(address).unwrap();
    let client = client.secure("localhost", socket).unwrap();
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
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(read.ending(), Some(Ending::Premature));
}

#[test]
fn a_reader_of_a_silent_peer_gives_up_in_time() {
    let (mut client, _server) = pair(TlsVersion::Tls13);
    client.set_timeouts(Timeouts::all(Duration::from_millis(200)));
    let (mut read, _write) = halves(client);
    let error = read.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
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
