//! Complete exchanges over the asynchronous stream: ends, closing, limits, cancellation. As `exchange.rs`.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use handfast::{
    AsyncStream, Cause, ClientContext, CloseOutcome, ClosePolicy, Ending, Error, Identity,
    LingerLimits, NetworkCause, Passphrase, PeerCause, Phase, ReadOutcome, ServerContext, Timeouts,
    TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use proptest::prelude::*;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
const WAIT: ClosePolicy = ClosePolicy::Wait(Duration::from_secs(5));
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

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

impl Ends {
    async fn over_tcp(&self) -> (AsyncStream<TcpStream>, AsyncStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (far, _) = listener.accept().await.unwrap();
        self.over(near, far).await
    }

    async fn over<A, B>(&self, near: A, far: B) -> (AsyncStream<A>, AsyncStream<B>)
    where
        A: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug,
        B: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug,
    {
        let (client, server) = tokio::join!(
            self.client.secure_async("localhost", near),
            self.server.accept_async(far)
        );
        (client.unwrap(), server.unwrap())
    }
}

fn ours(error: &io::Error) -> &Error {
    Error::from_io(error).expect("one of our errors")
}

#[tokio::test]
async fn the_tickets_of_the_server_are_noted() {
    for version in VERSIONS {
        let mut ends = ends(version);
        ends.client = ClientContext::builder()
            .trust(ends.client.policy().anchors().clone())
            .versions([version])
            .note_tickets(true)
            .build()
            .unwrap();
        let (mut client, mut server) = ends.over_tcp().await;
        server.write_all(b"reply").await.unwrap();
        server.flush().await.unwrap();
        client.read_exact(&mut [0; 5]).await.unwrap();
        assert!(!client.tickets().is_empty(), "{version:?}");
    }
}

#[tokio::test]
async fn both_ends_close_in_two_phases_and_report_it() {
    for version in VERSIONS {
        let (mut client, mut server) = ends(version).over_tcp().await;
        let serving = async {
            let mut request = [0; 5];
            server.read_exact(&mut request).await.unwrap();
            server.write_all(b"reply").await.unwrap();
            let outcome = server.close(ClosePolicy::default()).await;
            (request, outcome, server.ending())
        };
        let asking = async {
            client.write_all(b"hello").await.unwrap();
            let (bytes, ending) = client.read_to_ending(100).await.unwrap();
            assert_eq!((&bytes[..], ending), (&b"reply"[..], Ending::CloseNotify));
            client.close(WAIT).await
        };
        let ((request, outcome, ending), asked) = tokio::join!(serving, asking);
        assert_eq!(&request, b"hello");
        assert_eq!(asked, CloseOutcome::Complete, "{version:?}");
        assert_eq!(outcome, CloseOutcome::Complete, "{version:?}");
        assert_eq!(ending, Some(Ending::CloseNotify));
    }
}

#[tokio::test]
async fn close_notify_fin_and_reset_are_three_different_ends() {
    for version in VERSIONS {
        for (how, expected) in [
            ("close_notify", Ending::CloseNotify),
            ("fin", Ending::Premature),
            ("reset", Ending::Reset),
        ] {
            let (mut client, mut server) = ends(version).over_tcp().await;
            let (_, received) = tokio::join!(
                async {
                    server.write_all(&[7; 100_000]).await.unwrap();
                    server.flush().await.unwrap();
                },
                async {
                    let mut bytes = vec![0; 100_000];
                    client.read_exact(&mut bytes).await.unwrap();
                    bytes
                }
            );
            assert!(received.iter().all(|byte| *byte == 7));
            match how {
                "close_notify" => server.shutdown().await.unwrap(),
                "fin" => {}
                _ => {
                    let socket = socket2::SockRef::from(server.channel());
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
            drop(server);
            let mut rest = [0; 16];
            let read = client.read(&mut rest).await;
            match expected {
                Ending::CloseNotify => assert_eq!(read.unwrap(), 0),
                Ending::Premature => {
                    let error = read.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                    assert!(matches!(
                        ours(&error).cause(),
                        Cause::Peer(PeerCause::PrematureEnd {
                            bytes_received: 100_000
                        })
                    ));
                }
                Ending::Reset => {
                    let error = read.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    assert!(matches!(
                        ours(&error).cause(),
                        Cause::Network(NetworkCause::Reset)
                    ));
                }
            }
            assert_eq!(client.ending(), Some(expected), "{version:?} {how}");
            // Later reads return the same.
            let again = client.read_to_ending(100).await.unwrap();
            assert_eq!(again, (Vec::new(), expected), "{version:?} {how}");
        }
    }
}

#[tokio::test]
async fn data_before_a_premature_end_is_delivered_first() {
    for version in VERSIONS {
        let (mut client, mut server) = ends(version).over_tcp().await;
        server.write_all(&[1; 50_000]).await.unwrap();
        server.flush().await.unwrap();
        // FIN without close_notify, the socket itself kept open.
        let (mut socket, _) = server.into_parts();
        AsyncWriteExt::shutdown(&mut socket).await.unwrap();
        let (bytes, ending) = client.read_to_ending(100_000).await.unwrap();
        assert_eq!((bytes.len(), ending), (50_000, Ending::Premature));
    }
}

#[tokio::test]
async fn a_direction_that_has_ended_leaves_the_other_open() {
    for version in VERSIONS {
        let (mut client, mut server) = ends(version).over_tcp().await;
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        let (request, ending) = server.read_to_ending(100).await.unwrap();
        assert_eq!(
            (&request[..], ending),
            (&b"request"[..], Ending::CloseNotify)
        );
        server.write_all(&[5; 200_000]).await.unwrap();
        let (outcome, reply) = tokio::join!(server.close(WAIT), client.read_to_ending(1 << 20));
        let (reply, ending) = reply.unwrap();
        assert_eq!((reply.len(), ending), (200_000, Ending::CloseNotify));
        assert_eq!(outcome, CloseOutcome::Complete);
        // Ours has ended: writing is an error, not a panic.
        assert!(client.write_all(b"more").await.is_err());
    }
}

#[tokio::test]
async fn lingering_gives_up_on_a_peer_that_never_ends() {
    let (mut client, _server) = ends(TlsVersion::Tls13).over_tcp().await;
    assert_eq!(
        client.close(ClosePolicy::Wait(SHORT)).await,
        CloseOutcome::SentOnly
    );
    let (_client, mut server) = ends(TlsVersion::Tls13).over_tcp().await;
    let mut limits = LingerLimits::default();
    limits.silence = SHORT;
    assert_eq!(
        server.close(ClosePolicy::Linger(limits)).await,
        CloseOutcome::SentOnly
    );
}

#[tokio::test]
async fn every_phase_has_its_limit() {
    let ends = ends(TlsVersion::Tls13);
    let timed_out = |error: &Error, phase| {
        assert_eq!(error.phase(), phase, "{error:?}");
        let cause = error.cause();
        assert!(
            matches!(cause, Cause::Network(NetworkCause::TimedOut { limit }) if *limit == SHORT),
            "{error:?}"
        );
    };
    // A server that accepts and sends nothing; a client that connects and sends nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pki = Pki::new();
    let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
    let impatient = ClientContext::builder()
        .trust(trust.unwrap())
        .timeouts(Timeouts::all(SHORT))
        .build()
        .unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let failure = impatient.secure_async("localhost", socket).await;
    timed_out(&failure.unwrap_err().error, Phase::Handshake);
    let identity = {
        let server = pki.server(&["localhost"]);
        let (chain, key) = (server.cert_pem(), server.key_pem());
        Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap()
    };
    let impatient = ServerContext::builder()
        .identity(identity)
        .timeouts(Timeouts::all(SHORT))
        .build()
        .unwrap();
    let (near, _far) = duplex(1024);
    let failure = impatient.accept_async(near).await.unwrap_err();
    timed_out(&failure.error, Phase::Handshake);
    // A peer that sends nothing; one that reads nothing.
    let (near, far) = duplex(4096);
    let (mut client, _server) = ends.over(near, far).await;
    client.set_timeouts(&Timeouts::all(SHORT));
    let error = client.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    timed_out(ours(&error), Phase::Response);
    let error = client.write_all(&vec![0; 1 << 20]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    timed_out(ours(&error), Phase::Request);
    // It does not delay our close either.
    let closing = timeout(LONG, client.close(WAIT)).await;
    assert_eq!(closing.expect("a bounded close"), CloseOutcome::PeerGone);
}

#[tokio::test]
async fn a_peer_that_sends_a_record_byte_by_byte_reaches_the_read_limit() {
    let (near, far) = duplex(4096);
    let (mut client, mut server) = ends(TlsVersion::Tls13).over(near, far).await;
    client.set_timeouts(&Timeouts::all(Duration::from_millis(200)));
    server.write_all(&[0; 1000]).await.unwrap();
    let (mut channel, connection) = {
        let (channel, mut connection) = server.into_parts();
        connection.flush().unwrap();
        (channel, connection)
    };
    let record = connection.outgoing().to_vec();
    let sending_slowly = async {
        for byte in &record[..record.len() - 1] {
            if channel.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reading = async {
        let error = client.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    };
    tokio::select! {
        () = sending_slowly => panic!("the reader waits as long as bytes arrive"),
        () = reading => {}
    }
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_quoted_and_can_be_answered() {
    let ends = ends(TlsVersion::Tls13);
    let (mut browser, far) = duplex(4096);
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut failure = ends.server.accept_async(far).await.unwrap_err();
    assert!(failure.received.starts_with(b"GET / HTTP/1.1\r\n"));
    assert!(matches!(
        failure.error.cause(),
        Cause::Peer(PeerCause::NotTls { .. })
    ));
    failure
        .channel
        .write_all(b"HTTP/1.1 400 \r\n\r\n")
        .await
        .unwrap();
    drop(failure);
    let mut reply = String::new();
    browser.read_to_string(&mut reply).await.unwrap();
    assert!(reply.ends_with("HTTP/1.1 400 \r\n\r\n"));
}

/// Counts the calls of a channel.
#[derive(Debug)]
struct Counting<C> {
    inner: C,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl<C> Counting<C> {
    fn new(inner: C) -> Self {
        Self {
            inner,
            reads: Arc::default(),
            writes: Arc::default(),
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counting<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counting<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_million_reads_of_one_byte_need_few_reads_of_the_channel() {
    const TOTAL: usize = 1_000_000;
    async fn reads_for(step: usize) -> usize {
        // Room for everything, so that the result does not depend on scheduling.
        let (near, far) = duplex(2 * TOTAL);
        let near = Counting::new(near);
        let reads = Arc::clone(&near.reads);
        let (mut client, mut server) = ends(TlsVersion::Tls13).over(near, far).await;
        server.write_all(&vec![9; TOTAL]).await.unwrap();
        server.shutdown().await.unwrap();
        reads.store(0, Ordering::Relaxed);
        let mut buffer = vec![0; step];
        let mut total = 0;
        loop {
            match client.read(&mut buffer).await.unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, TOTAL);
        reads.load(Ordering::Relaxed)
    }
    let (bytewise, chunked) = (reads_for(1).await, reads_for(16 * 1024).await);
    // Eight records fit into one read; 62 records are 1 MB.
    assert!(bytewise <= 16, "{bytewise} reads, {chunked} by 16 KiB");
    assert!(chunked <= 16, "{chunked} reads");
}

/// If a client sends its request together with the end of its handshake, tickets, answer and `close_notify`
/// are sent with one write.
#[tokio::test]
async fn output_that_is_ready_together_is_sent_with_one_write() {
    for version in VERSIONS {
        let (mut near, far) = duplex(1 << 20);
        let far = Counting::new(far);
        let writes = Arc::clone(&far.writes);
        let Ends { client, server } = ends(version);
        let asking = async move {
            let mut client = client.connection("localhost").unwrap();
            while client.is_handshaking() {
                let flight = client.outgoing().to_vec();
                near.write_all(&flight).await.unwrap();
                client.sent(flight.len());
                let count = near.read(client.receive_room()).await.unwrap();
                client.received(count);
                client.process().unwrap();
            }
            client.write(&[io::IoSlice::new(b"hello")]).unwrap();
            client.flush().unwrap();
            near.write_all(client.outgoing()).await.unwrap();
            client.sent(client.outgoing().len());
            let mut answer = Vec::new();
            loop {
                let mut buffer = [0; 100];
                match client.read(&mut buffer).unwrap() {
                    ReadOutcome::Data(count) => answer.extend_from_slice(&buffer[..count]),
                    ReadOutcome::WouldBlock => {
                        let count = near.read(client.receive_room()).await.unwrap();
                        client.received(count);
                    }
                    ReadOutcome::End(ending) => return (answer, ending),
                }
            }
        };
        let serving = async move {
            let mut stream = server.accept_async(far).await.unwrap();
            stream.set_send_at(64 * 1024);
            let tickets = stream.traffic().records_sent;
            let handshake = writes.load(Ordering::Relaxed);
            assert!(stream.has_plaintext() || version == TlsVersion::Tls12);
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"hello");
            let before = writes.load(Ordering::Relaxed);
            assert_eq!((before, tickets), (handshake, 0), "{version:?}");
            stream.write_all(b"answer").await.unwrap();
            poll_fn(|cx| stream.poll_finish(cx)).await.unwrap();
            writes.load(Ordering::Relaxed) - before
        };
        let ((answer, ending), written) = tokio::join!(asking, serving);
        assert_eq!((&answer[..], ending), (&b"answer"[..], Ending::CloseNotify));
        assert_eq!(written, 1, "{version:?}");
    }
}

/// A channel with short reads and short writes that is randomly not ready.
#[derive(Debug)]
struct Erratic {
    inner: DuplexStream,
    dice: Dice,
}

/// xorshift64: reproducible from the seed that proptest reports.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

impl Erratic {
    fn is_not_ready(&mut self, cx: &Context<'_>) -> bool {
        let is_not_ready = self.dice.below(3) == 0;
        if is_not_ready {
            cx.waker().wake_by_ref();
        }
        is_not_ready
    }
}

impl AsyncRead for Erratic {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_not_ready(cx) {
            return Poll::Pending;
        }
        let limit = 1 + self.dice.below(3000);
        let mut part = buffer.take(limit);
        let result = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let filled = part.filled().len();
        // `part` borrows the same memory, which is initialized as far as it was filled.
        buffer.initialize_unfilled_to(filled);
        buffer.advance(filled);
        result
    }
}

impl AsyncWrite for Erratic {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_not_ready(cx) {
            return Poll::Pending;
        }
        let limit = (1 + self.dice.below(3000)).min(bytes.len());
        Pin::new(&mut self.inner).poll_write(cx, &bytes[..limit])
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_not_ready(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_not_ready(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Polls a future this often, then drops it: a cancellation at an arbitrary await.
async fn polled_at_most<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Sends `bytes` in pieces, cancelling and retrying; counts only what was reported as written.
async fn send<W: AsyncWrite + Unpin>(stream: &mut W, bytes: &[u8], mut dice: Dice) {
    let mut sent = 0;
    while sent < bytes.len() {
        let end = (sent + 1 + dice.below(40_000)).min(bytes.len());
        let writing = stream.write(&bytes[sent..end]);
        if let Some(count) = polled_at_most(writing, dice.below(4)).await {
            sent += count.unwrap();
        }
        if dice.below(4) == 0 {
            // The result must not depend on whether it completed.
            let _ = polled_at_most(stream.flush(), dice.below(3)).await;
        }
        tokio::task::yield_now().await;
    }
    while polled_at_most(stream.shutdown(), dice.below(3))
        .await
        .is_none()
    {
        tokio::task::yield_now().await;
    }
}

async fn receive<R: AsyncRead + Unpin>(stream: &mut R, mut dice: Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 30_000];
    loop {
        let limit = 1 + dice.below(buffer.len());
        let reading = stream.read(&mut buffer[..limit]);
        match polled_at_most(reading, dice.below(4)).await {
            Some(Ok(0)) => return bytes,
            Some(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
            Some(Err(error)) => panic!("{error:?}"),
            None => tokio::task::yield_now().await,
        }
    }
}

fn noise(length: usize, dice: &mut Dice) -> Vec<u8> {
    (0..length).map(|_| dice.below(256) as u8).collect()
}

fn in_time<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { timeout(LONG, future).await.expect("it ends in time") })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any cancellation: bytes reported as sent arrive once, bytes reported as read were sent, and the ends
    /// are orderly. One task per end, as in HTTP.
    #[test]
    fn cancelling_loses_and_repeats_nothing(
        seed in any::<u64>(),
        length in 1..200_000usize,
        pipe in 500..50_000usize,
        tls13 in any::<bool>(),
    ) {
        let mut dice = Dice::new(seed);
        let ends = ends(VERSIONS[usize::from(tls13)]);
        let (there, back) = (noise(length, &mut dice), noise(length / 2, &mut dice));
        let (near, far) = duplex(pipe);
        let near = Erratic { inner: near, dice: Dice::new(seed ^ 1 << 20) };
        let far = Erratic { inner: far, dice: Dice::new(seed ^ 1 << 40) };
        let (arrived, returned) = in_time(async {
            let (mut client, mut server) = ends.over(near, far).await;
            tokio::join!(
                async {
                    let arrived = receive(&mut server, Dice::new(seed ^ 3)).await;
                    send(&mut server, &back, Dice::new(seed ^ 7)).await;
                    arrived
                },
                async {
                    send(&mut client, &there, Dice::new(seed ^ 5)).await;
                    receive(&mut client, Dice::new(seed ^ 9)).await
                },
            )
        });
        prop_assert!(arrived == there, "{} of {} bytes", arrived.len(), there.len());
        prop_assert!(returned == back, "{} of {} bytes", returned.len(), back.len());
    }

    /// The same with both directions at once, each half of a stream in its own task.
    #[test]
    fn halves_in_separate_tasks_wake_each_other(
        seed in any::<u64>(),
        length in 1..200_000usize,
        pipe in 500..50_000usize,
    ) {
        let mut dice = Dice::new(seed);
        let ends = ends(TlsVersion::Tls13);
        let (there, back) = (noise(length, &mut dice), noise(length / 2, &mut dice));
        let (near, far) = duplex(pipe);
        let near = Erratic { inner: near, dice: Dice::new(seed ^ 1 << 20) };
        let far = Erratic { inner: far, dice: Dice::new(seed ^ 1 << 40) };
        let expected = (there.clone(), back.clone());
        let received = in_time(async {
            let (client, server) = ends.over(near, far).await;
            let (mut client_read, mut client_write) = tokio::io::split(client);
            let (mut server_read, mut server_write) = tokio::io::split(server);
            let d = |salt: u64| Dice::new(seed ^ salt);
            let (d1, d2, d3, d4) = (d(3), d(5), d(7), d(9));
            let sending = tokio::spawn(async move { send(&mut client_write, &there, d1).await });
            let replying = tokio::spawn(async move { send(&mut server_write, &back, d2).await });
            let arriving = tokio::spawn(async move { receive(&mut server_read, d3).await });
            let returning = tokio::spawn(async move { receive(&mut client_read, d4).await });
            let (sent, replied, arrived, returned) =
                tokio::join!(sending, replying, arriving, returning);
            sent.unwrap();
            replied.unwrap();
            (arrived.unwrap(), returned.unwrap())
        });
        prop_assert!(received == expected);
    }
}

/// A reader that starts to wait while a writer waits for the channel must not replace its waker.
#[tokio::test]
async fn a_waiting_reader_does_not_displace_a_waiting_writer() {
    let (near, far) = duplex(1000);
    let (client, mut server) = ends(TlsVersion::Tls13).over(near, far).await;
    let (mut reader, mut writer) = tokio::io::split(client);
    let writing = tokio::spawn(async move {
        writer.write_all(&vec![1; 500_000]).await.unwrap();
        writer.flush().await.unwrap();
        writer
    });
    // Let the writer run into the full pipe, then the reader.
    tokio::task::yield_now().await;
    let reading = tokio::spawn(async move {
        let mut reply = [0; 5];
        reader.read_exact(&mut reply).await.unwrap();
        reply
    });
    tokio::task::yield_now().await;
    let mut request = vec![0; 500_000];
    let read = timeout(LONG, server.read_exact(&mut request)).await;
    read.expect("the writer is woken").unwrap();
    let _writer = writing.await.unwrap();
    server.write_all(b"reply").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(&reading.await.unwrap(), b"reply");
}

/// Bytes that the channel accepts are progress, for any caller: the limit of a cancelled flush does not apply to
/// a later one.
#[tokio::test]
async fn the_write_limit_counts_from_the_last_progress_of_any_caller() {
    let limit = Duration::from_millis(1500);
    for by_reader in [true, false] {
        let (near, far) = duplex(1000);
        let (mut client, server) = ends(TlsVersion::Tls13).over(near, far).await;
        let (mut far, _) = server.into_parts();
        let mut timeouts = Timeouts::NONE;
        timeouts.write = Some(limit);
        client.set_timeouts(&timeouts);
        client.write_all(&[1; 15_000]).await.unwrap();
        timeout(SHORT, client.flush()).await.unwrap_err();
        // Before the limit the peer reads some bytes, and another caller's write makes progress.
        tokio::time::sleep(limit * 2 / 3).await;
        far.read_exact(&mut [0; 500]).await.unwrap();
        if by_reader {
            timeout(SHORT, client.read_u8()).await.unwrap_err();
        } else {
            client.write_all(&[2; 20_000]).await.unwrap();
        }
        // The limit from the first flush passes, and then the one from the progress.
        timeout(limit * 2 / 3, client.flush())
            .await
            .expect_err("it keeps waiting");
        let error = client.flush().await.unwrap_err();
        assert!(matches!(
            ours(&error).cause(),
            Cause::Network(NetworkCause::TimedOut { .. })
        ));
    }
}
