//! What many exchanges leave behind: nothing.

#![cfg(all(feature = "client", feature = "server"))]
#![cfg(target_os = "linux")]

use std::sync::Arc;

use handfast::{ClientContext, Identity, Passphrase, ServerContext, TrustAnchors};
use handfast_https::client::{ALPN, Client, Request};
use handfast_https::server::{self, Body, ConnectionInfo, Response, Server, ServerConfig};
use handfast_testbed::pki::Pki;

/// The memory that this process has in use, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn twenty_thousand_exchanges_leave_no_task_and_no_memory() {
    const SIZE: usize = 100;
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let identity = Identity::from_bytes(
        issued.cert_pem().as_bytes(),
        issued.key_pem().as_bytes(),
        Passphrase::none(),
    );
    let context = ServerContext::builder()
        .identity(identity.unwrap())
        .alpn(server::ALPN);
    // Without an observer: what it remembers would grow.
    let config = ServerConfig::new(context.build().unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
        .threads(1.try_into().unwrap());
    let small = |_request: server::Request, _client: Arc<ConnectionInfo>| async {
        Response::new(Body::from(vec![b'x'; SIZE]))
    };
    let server = Server::bind(config, small).unwrap();
    let url = format!(
        "https://localhost:{}/small.txt",
        server.local_addrs()[0].port()
    );
    let running = server.start().unwrap();

    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let context = ClientContext::builder().trust(trust).alpn(ALPN);
    let client = Client::new(context.build().unwrap());
    let fetch = async |count: usize| {
        for _ in 0..count {
            let request = Request::get(&url).unwrap();
            let mut response = client.send(request).await.unwrap();
            assert_eq!(response.bytes(SIZE).await.unwrap().len(), SIZE);
            response.finish().await.unwrap();
        }
    };
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    fetch(2_000).await;
    let before = (tasks(), resident());
    fetch(18_000).await;
    // That of the connection, and that which closes what has been idle for too long.
    assert_eq!((tasks(), before.0), (2, 2));
    let grown = resident().saturating_sub(before.1);
    // A hundred bytes for each would be 1.8 MB. Client and server are in here.
    assert!(grown < 1_000_000, "{grown} bytes more");
    assert_eq!(client.close().await.len(), 1);
    drop(running);
}
