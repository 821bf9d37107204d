//! What only the inside of a connection can show: a channel that is full at the wrong moment, and who waits for what.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use handfast::{AsyncStream, ClientContext, Identity, Passphrase, ServerContext, TrustAnchors};
use handfast_http::h2::{Event, Limits, Requests};
use handfast_testbed::pki::Pki;
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::super::origin::Origin;
use super::super::places::{Places, PoolLimits};
use super::super::request::Request;
use super::super::tls_stream::Channel;
use super::*;

/// A test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection over a channel that holds so many bytes in each direction.
async fn connection(holds: usize) -> (Shared, AsyncStream<DuplexStream>) {
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let (chain, key) = (issued.chain_pem(&[]), issued.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let server = ServerContext::builder().identity(identity.unwrap());
    let server = server.alpn(["h2"]).build().unwrap();
    let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
    let client = ClientContext::builder().trust(trust.unwrap()).alpn(["h2"]);
    let client = client.build().unwrap();
    let (near, far) = tokio::io::duplex(holds);
    let near: Box<dyn Channel> = Box::new(near);
    let (near, far) = tokio::join!(
        client.secure_async("localhost", near),
        server.accept_async(far)
    );
    let mut near = near.map_err(|failure| failure.error).unwrap();
    near.set_flush_on_read(false);
    let origin = Origin {
        host: "localhost".to_owned(),
        port: 443,
        is_plain: false,
        zone: None,
        is_anonymous: false,
    };
    let place = Places::new(&PoolLimits::default()).take(&origin);
    let place = place.map_err(|_| "no place").unwrap();
    (Shared::start(near, place, || {}), far.unwrap())
}

/// Answers requests with 204 when they are whole.
async fn serve(mut stream: AsyncStream<DuplexStream>) {
    let mut core = h2::Connection::<Requests, ()>::new(Limits::default(), Instant::now());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let output = core.output();
        stream.write_all(output.as_slice()).await.unwrap();
        stream.flush().await.unwrap();
        let count = output.len();
        output.sent(count);
        let Ok(count @ 1..) = stream.read(&mut buffer).await else {
            return;
        };
        let mut rest = buffer.get(..count).unwrap();
        let now = Instant::now();
        while let Some(event) = core.receive(&mut rest, now) {
            let whole = match event {
                Event::Head { stream, end, .. } => end.then_some(stream),
                Event::Data { stream, end, body } => {
                    core.release(stream, body.len() as u32);
                    end.then_some(stream)
                }
                _ => None,
            };
            if let Some(stream) = whole {
                let none = HeaderMap::new();
                core.put_head(stream, StatusCode::NO_CONTENT, &none, None, None, true);
            }
        }
    }
}

#[tokio::test]
async fn what_a_full_channel_did_not_take_is_sent_when_it_has_room() {
    // The stream takes all of a request at once, and the channel a small part of it.
    for holds in [100, 5000] {
        let (shared, far) = connection(holds).await;
        let serving = tokio::spawn(serve(far));
        for size in [1, 10_000, 1_000_000] {
            let body = Bytes::from(vec![1; size]);
            let request = Request::new(Method::PUT, "https://localhost/").unwrap();
            let request = request.with_body(body.clone());
            let target = request.target().unwrap();
            let open =
                poll_fn(|cx| shared.poll_open(cx, &target, request.method(), &body, &mut None));
            let exchange = open.await.map_err(|failed| failed.error).unwrap();
            let head = timeout(PATIENCE, poll_fn(|cx| exchange.poll_head(cx))).await;
            let head = head.unwrap_or_else(|_| panic!("{size} bytes never arrive"));
            let head = head.map_err(|failed| failed.error).unwrap();
            assert_eq!(head.status, StatusCode::NO_CONTENT);
        }
        drop(shared);
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn an_exchange_that_waits_for_a_stream_is_woken_when_there_is_room() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (shared, far) = connection(64 * 1024).await;
    let request = Request::get("https://localhost/").unwrap();
    let target = request.target().unwrap();
    let open = |waker: &Waker| {
        let cx = Context::from_waker(waker);
        shared.poll_open(&cx, &target, &Method::GET, &Bytes::new(), &mut None)
    };
    let mut exchanges = Vec::new();
    while let Poll::Ready(exchange) = open(Waker::noop()) {
        exchanges.push(exchange.map_err(|failed| failed.error).unwrap());
    }
    let counts: [_; 3] = std::array::from_fn(|_| Arc::new(Count(AtomicUsize::new(0))));
    for _ in 0..100 {
        for count in &counts {
            assert!(open(&Waker::from(Arc::clone(count))).is_pending());
        }
    }
    assert_eq!(shared.state().waiting.len(), 1 + counts.len());
    let serving = tokio::spawn(serve(far));
    for exchange in &exchanges {
        let head = timeout(PATIENCE, poll_fn(|cx| exchange.poll_head(cx))).await;
        head.unwrap().map_err(|failed| failed.error).unwrap();
    }
    for count in &counts {
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
    assert!(shared.state().waiting.is_empty());
    drop(exchanges);
    drop(shared);
    serving.await.unwrap();
}
