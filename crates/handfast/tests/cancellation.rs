//! Calls of the asynchronous stream that are dropped after any number of polls and repeated: no received data is lost,
//! nothing is sent twice, and the ending is the same.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use handfast::{
    AsyncStream, Cause, ClientContext, CloseOutcome, ClosePolicy, Ending, Error, Identity,
    LingerLimits, LocalCause, Passphrase, PeerCause, Phase, ServerContext, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

const WAIT: ClosePolicy = ClosePolicy::Wait(Duration::from_secs(20));
/// More polls than any of these calls needs.
const POLLS_MAX: usize = 400;

fn contexts() -> (ClientContext, ServerContext) {
    let pki = Pki::new();
    let server = pki.server(&["localhost"]);
    let (chain, key) = (server.cert_pem(), server.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
    (
        ClientContext::builder()
            .trust(trust.unwrap())
            .build()
            .unwrap(),
        ServerContext::builder()
            .identity(identity.unwrap())
            .build()
            .unwrap(),
    )
}

/// A channel that transfers few bytes at a time and is not ready in between, so that every call is interrupted
/// wherever possible.
#[derive(Debug)]
struct Halting {
    inner: DuplexStream,
    piece: usize,
    halted: [bool; 2],
}

impl Halting {
    fn pair(piece: usize) -> (Self, DuplexStream) {
        let (near, far) = duplex(64 * 1024);
        let near = Self {
            inner: near,
            piece,
            halted: [false; 2],
        };
        (near, far)
    }

    fn halts(&mut self, direction: usize, cx: &Context<'_>) -> bool {
        self.halted[direction] = !self.halted[direction];
        if self.halted[direction] {
            cx.waker().wake_by_ref();
        }
        self.halted[direction]
    }
}

impl AsyncRead for Halting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.halts(0, cx) {
            return Poll::Pending;
        }
        let mut few = vec![0; self.piece.min(buffer.remaining())];
        let mut part = ReadBuf::new(&mut few);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        buffer.put_slice(part.filled());
        polled
    }
}

impl AsyncWrite for Halting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.halts(1, cx) {
            return Poll::Pending;
        }
        let few = &bytes[..bytes.len().min(self.piece)];
        Pin::new(&mut self.inner).poll_write(cx, few)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.halts(1, cx) {
            true => Poll::Pending,
            false => Pin::new(&mut self.inner).poll_shutdown(cx),
        }
    }
}

/// Polls at most this many times; then drops the call and returns `None`.
async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        let Some(after) = left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        left = after;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Our end, whose calls are cancelled, and the peer's.
async fn ends(piece: usize) -> (AsyncStream<Halting>, AsyncStream<DuplexStream>) {
    let (client, server) = contexts();
    let (near, far) = Halting::pair(piece);
    let (near, far) = tokio::join!(
        client.secure_async("localhost", near),
        server.accept_async(far)
    );
    (near.unwrap(), far.unwrap())
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn reading_to_the_end_can_be_dropped_without_loss() {
    for polls in [1, 2, 3, 5, 8, 13, 21, 34] {
        let (mut near, mut far) = ends(3_000).await;
        let sent = noise(100_000);
        let body = sent.clone();
        let peer = tokio::spawn(async move {
            for piece in body.chunks(7_000) {
                far.write_all(piece).await.unwrap();
                far.flush().await.unwrap();
            }
            far.close(WAIT).await
        });
        // Sometimes another read happens in between.
        let (mut before, mut small) = (Vec::new(), [0; 100]);
        let (rest, ending) = loop {
            if let Some(read) = at_most(polls, near.read_to_ending(1 << 20)).await {
                break read.unwrap();
            }
            if let Some(count) = at_most(1, near.read(&mut small)).await {
                before.extend_from_slice(&small[..count.unwrap()]);
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(ending, Ending::CloseNotify);
        assert!([before, rest].concat() == sent, "{polls} polls at a time");
        assert_eq!(near.close(WAIT).await, CloseOutcome::Complete);
        assert_eq!(peer.await.unwrap(), CloseOutcome::Complete);
    }
}

#[tokio::test]
async fn data_received_before_an_error_can_still_be_read() {
    let (mut near, mut far) = ends(3_000).await;
    let sent = noise(50_000);
    far.write_all(&sent).await.unwrap();
    far.flush().await.unwrap();
    drop(far);
    for limit in [0, 1, 10_000, 49_999] {
        let error = near.read_to_ending(limit).await.unwrap_err();
        assert!(error.to_string().contains("response"), "{error:?}");
    }
    let mut first = [0; 1_000];
    near.read_exact(&mut first).await.unwrap();
    assert_eq!(first, sent[..1_000]);
    let (rest, ending) = near.read_to_ending(49_000).await.unwrap();
    assert_eq!(
        (rest.as_slice(), ending),
        (&sent[1_000..], Ending::Premature)
    );
}

#[tokio::test]
async fn written_bytes_arrive_once_although_writes_and_flushes_are_dropped() {
    for polls in 1..12 {
        let (mut near, mut far) = ends(2_000).await;
        let peer = tokio::spawn(async move {
            let read = far.read_to_ending(1 << 24).await.unwrap();
            far.close(WAIT).await;
            read
        });
        let (source, mut written) = (noise(300_000), 0);
        while written < source.len() {
            let end = source.len().min(written + 20_000);
            if let Some(count) = at_most(polls, near.write(&source[written..end])).await {
                written += count.unwrap();
            }
            let _ = at_most(polls, near.flush()).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(near.close(WAIT).await, CloseOutcome::Complete);
        let (received, ending) = peer.await.unwrap();
        assert_eq!(ending, Ending::CloseNotify);
        assert!(received == source, "{polls} polls at a time");
    }
}

#[tokio::test]
async fn a_dropped_close_or_shutdown_continues() {
    for polls in 1..30 {
        for shuts_down in [true, false] {
            let (mut near, mut far) = ends(500).await;
            near.write_all(&noise(5_000)).await.unwrap();
            let peer = tokio::spawn(async move {
                let read = far.read_to_ending(1 << 20).await.unwrap();
                far.write_all(b"late").await.unwrap();
                (read, far.close(WAIT).await)
            });
            if shuts_down {
                while at_most(polls, near.shutdown()).await.is_none() {
                    tokio::task::yield_now().await;
                }
                let (late, ending) = near.read_to_ending(100).await.unwrap();
                assert_eq!(
                    (late.as_slice(), ending),
                    (&b"late"[..], Ending::CloseNotify)
                );
            }
            let outcome = loop {
                if let Some(outcome) = at_most(polls, near.close(WAIT)).await {
                    break outcome;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(outcome, CloseOutcome::Complete, "{polls} polls at a time");
            let ((received, ending), outcome) = peer.await.unwrap();
            assert!(received == noise(5_000));
            assert_eq!(ending, Ending::CloseNotify);
            assert_eq!(outcome, CloseOutcome::Complete);
        }
    }
}

/// A dropped handshake closes its channel, and the peer's handshake fails; one that reaches its limit reports its
/// phase.
#[tokio::test]
async fn a_dropped_handshake_or_one_at_its_limit_fails_at_the_peer() {
    let (client, server) = contexts();
    let mut finished = 0;
    for polls in 0..POLLS_MAX {
        for as_server in [true, false] {
            let (near, far) = Halting::pair(300);
            let peer = match as_server {
                true => {
                    let client = client.clone();
                    tokio::spawn(async move { client.secure_async("localhost", far).await })
                }
                false => {
                    let server = server.clone();
                    tokio::spawn(async move { server.accept_async(far).await })
                }
            };
            let done = match as_server {
                true => at_most(polls, server.accept_async(near)).await,
                false => at_most(polls, client.secure_async("localhost", near)).await,
            };
            finished += usize::from(done.is_some());
            let ours_done = done.is_some();
            drop(done);
            match peer.await.unwrap() {
                Ok(mut stream) => {
                    // Its handshake was complete before ours was dropped: there is no orderly end.
                    let (bytes, ending) = stream.read_to_ending(100).await.unwrap();
                    assert!(bytes.is_empty());
                    assert_ne!(ending, Ending::CloseNotify);
                }
                // It was sending tickets to our closed channel.
                Err(failure) if ours_done => {
                    assert!(
                        matches!(failure.error.cause(), Cause::Network(_)),
                        "{failure:?}"
                    );
                }
                Err(failure) => {
                    let broken_off = matches!(
                        failure.error.cause(),
                        Cause::Peer(
                            PeerCause::ClosedInHandshake { .. }
                                | PeerCause::ResetInHandshake { .. }
                        ) | Cause::Network(_)
                    );
                    assert!(broken_off, "{failure:?}");
                }
            }
        }
        if finished >= 2 {
            break;
        }
    }
    assert!(finished >= 2, "the last ones complete");

    let (near, mut far) = duplex(1 << 16);
    far.write_all(&[22, 3, 1]).await.unwrap();
    let mut handshake = server.handshake_async(near).unwrap();
    tokio::select! {
        biased;
        done = &mut handshake => panic!("{done:?}"),
        () = tokio::task::yield_now() => {}
    }
    let reason = Error::new(Phase::Handshake, LocalCause::Stopping);
    let failure = handshake.give_up(reason).unwrap();
    assert_eq!(failure.bytes_received(), 3);
    assert_eq!(failure.alert_sent(), None);
}

/// The close of a failed handshake sends its alert, even if it is dropped and called again.
#[tokio::test]
async fn a_dropped_close_of_a_failed_handshake_still_sends_the_alert() {
    let (_, server) = contexts();
    let limits = LingerLimits::AFTER_REFUSAL;
    for polls in 1..20 {
        let (near, mut far) = Halting::pair(2);
        // A record of a wrong type.
        far.write_all(&[23, 3, 3, 0, 4, 1, 2, 3, 4]).await.unwrap();
        let mut failure = server.accept_async(near).await.unwrap_err();
        assert_eq!(failure.alert_sent().unwrap().name(), "unexpected_message");
        let peer = tokio::spawn(async move {
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            received
        });
        let outcome = loop {
            if let Some(outcome) = at_most(polls, failure.close_async(limits)).await {
                break outcome;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(outcome, CloseOutcome::AlertSent);
        assert_eq!(
            peer.await.unwrap(),
            [21, 3, 3, 0, 2, 2, 10],
            "{polls} polls at a time"
        );
    }
}
