//! What only the inside of a client can show: connections that grow old.

use std::time::{Duration, Instant};

use handfast::{ClientContext, TrustAnchors};
use handfast_testbed::misbehaving::{Misbehaving, Step, http2};
use handfast_testbed::pki::Pki;

use super::{ALPN, Client, Request};

#[tokio::test]
async fn kept_connections_expire() {
    let pki = Pki::new();
    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let context = ClientContext::builder().trust(trust).alpn(ALPN);
    let context = context.build().unwrap();
    let stream = [http2::headers(1, &[], false), http2::data(1, b"ok", true)];
    for (alpn, script) in [
        (
            "http/1.1",
            vec![
                Step::ReadHead,
                Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            ],
        ),
        (
            "h2",
            vec![
                Step::send(http2::settings()),
                Step::ReadHttp2Request,
                Step::send(stream.concat()),
            ],
        ),
    ] {
        let server = Misbehaving::new(&pki.server(&["localhost"]), &[]);
        let server = server.alpn(&[alpn]).serve(script);
        let client = Client::new(context.clone());
        let request = Request::get(&server.url("/")).unwrap();
        let response = client.send(request).await.unwrap();
        let now = Instant::now();
        if alpn == "h2" {
            // In use, it is never too old.
            let (expired, next) = client.0.pool.expire(now + Duration::from_secs(3600));
            assert!(expired.is_empty() && next.is_some());
        }
        response.finish().await.unwrap();
        let (expired, next) = client.0.pool.expire(now);
        assert!(expired.is_empty(), "{alpn}");
        let next = next.unwrap();
        assert!(next > now + Duration::from_secs(50), "{alpn}");
        let (expired, next) = client.0.pool.expire(next);
        assert_eq!((expired.len(), next), (1, None), "{alpn}");
        assert!(client.close().await.is_empty());
    }
}
