//! From `host:port` to a TLS stream, blocking and not: the phase in which it fails, and what is left behind.

use std::io::Write;
use std::net::TcpListener;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use handfast::{
    ClientContext, ClosePolicy, Ending, Identity, NetworkCause, Passphrase, Phase, ServerContext,
    Timeouts, TrustAnchors,
};
use handfast_dial::{Cause, ConnectError, connect, connect_async};
use handfast_testbed::pki::Pki;

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

const WAIT: ClosePolicy = ClosePolicy::Wait(Duration::from_secs(10));

fn dial_error(error: ConnectError) -> handfast_dial::Error {
    match error {
        ConnectError::Dial(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_and_a_port_lead_to_a_verified_stream() {
    let (client, server) = contexts();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
    let serving = std::thread::spawn(move || {
        let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.close(WAIT);
    });
    let mut stream = connect(&client, &authority).unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    assert_eq!((&bytes[..], ending), (&b"hello"[..], Ending::CloseNotify));
    stream.close(WAIT);
    serving.join().unwrap();
}

#[test]
fn every_failure_says_its_phase() {
    let (client, _) = contexts();
    let refused = dial_error(connect(&client, "127.0.0.1:1").unwrap_err());
    assert_eq!(refused.phase(), Phase::Connect);
    assert!(matches!(refused.cause(), Cause::Refused { .. }));
    assert_eq!(
        connect(&client, "no port").unwrap_err().phase(),
        Phase::Configure
    );
    let unresolved = connect(&client, "does-not-exist.invalid:443").unwrap_err();
    assert_eq!(unresolved.phase(), Phase::Resolve);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let impatient = client.with_timeouts(Timeouts::all(Duration::from_millis(50)));
    let ConnectError::Tls(error) = connect(&impatient, &silent).unwrap_err() else {
        panic!("a channel is there");
    };
    assert_eq!(error.phase(), Phase::Handshake);
    assert!(matches!(
        error.cause(),
        handfast::Cause::Network(NetworkCause::TimedOut { .. })
    ));
}

#[tokio::test]
async fn every_failure_says_its_phase_without_blocking() {
    let (client, _) = contexts();
    let refused = dial_error(connect_async(&client, "127.0.0.1:1").await.unwrap_err());
    assert_eq!(refused.phase(), Phase::Connect);
    assert!(matches!(refused.cause(), Cause::Refused { .. }));
    let nonsense = connect_async(&client, "no port").await.unwrap_err();
    assert_eq!(nonsense.phase(), Phase::Configure);
    let unresolved = connect_async(&client, "does-not-exist.invalid:443").await;
    assert_eq!(unresolved.unwrap_err().phase(), Phase::Resolve);
}

/// The future's output, if it is ready within so many polls.
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

#[tokio::test]
async fn connecting_that_is_dropped_leaves_no_connection() {
    let (client, server) = contexts();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
    for polls in [1, 2, 3] {
        let _ = at_most(polls, connect_async(&client, &authority)).await;
    }
    let accept = async {
        // Those that came about before they were dropped end without a handshake.
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = server.accept_async(socket).await {
                stream.close(WAIT).await;
                return;
            }
        }
    };
    let connecting = async {
        let mut stream = connect_async(&client, &authority).await.unwrap();
        assert_eq!(
            stream.read_to_ending(10).await.unwrap().1,
            Ending::CloseNotify
        );
        stream.close(WAIT).await;
    };
    tokio::join!(accept, connecting);
}
