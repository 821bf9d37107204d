//! What stands in `examples/client.rs`, run against servers.

#![cfg(all(feature = "client", feature = "server"))]

mod client_common;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/client.rs"]
mod example;

use bytes::Bytes;
use client_common::{Fixture, anchors};
use example::Ended;
use handfast_testbed::misbehaving::{Misbehaving, Step};
use http::StatusCode;

#[tokio::test]
async fn requests_run_at_once_over_one_connection() {
    let fixture = Fixture::new();
    let client = example::build(anchors(&fixture.pki)).unwrap();
    let urls = (0..10).map(|number| fixture.url(&format!("/slow/{number}")));
    let nowhere = "https://localhost:1/".to_owned();
    let fetching = example::fetch_all(&client, urls.chain([nowhere]));
    let at_once = async {
        while fixture.seen.most.load(std::sync::atomic::Ordering::SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
        fixture.seen.gate.add_permits(10);
    };
    let (mut all, ()) = tokio::join!(fetching, at_once);
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let (fetched, failed): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, it)| it.is_ok());
    assert_eq!(fetched.len(), 10);
    for (url, body) in fetched {
        assert_eq!(body.unwrap(), b"0 0 none", "{url}");
    }
    assert_eq!(failed.len(), 1);
    assert_eq!(fixture.running.connections(), 1);
    client.close().await;
}

#[tokio::test]
async fn an_upload_is_sent_while_it_is_made() {
    let fixture = Fixture::new();
    fixture.seen.gate.add_permits(1);
    let client = example::build(anchors(&fixture.pki)).unwrap();
    let pieces = (0..100).map(|_| Bytes::from(vec![0; 10_000]));
    let status = example::upload(&client, &fixture.url("/count"), pieces).await;
    assert_eq!(status.unwrap(), StatusCode::OK);
    assert_eq!(
        fixture.seen.whole.load(std::sync::atomic::Ordering::SeqCst),
        1
    );
    client.close().await;

    // A server that refuses it ends its making.
    let server = Misbehaving::new(&fixture.pki.server(&["localhost"]), &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let endless = std::iter::repeat_with(|| Bytes::from(vec![0; 10_000]));
    let status = example::upload(&client, &server.url("/"), endless).await;
    assert_eq!(status.unwrap(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_download_says_whether_all_of_it_has_arrived() {
    let fixture = Fixture::new();
    let client = example::build(anchors(&fixture.pki)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("page");
    let part = directory.path().join("page.part");
    let bytes = 32 << 20;
    let cut = Misbehaving::new(&fixture.pki.server(&["localhost"]), &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!"),
        Step::CloseNotify,
        Step::Fin,
    ]);
    let ended = example::download(&client, &cut.url("/"), &target).await;
    let (received, expected) = (5, Some(10));
    assert_eq!(ended.unwrap(), Ended::CutOff { received, expected });
    assert!(part.exists() && !target.exists());
    let ended = example::download(&client, &fixture.url("/large"), &target).await;
    assert_eq!(ended.unwrap(), Ended::Whole { bytes });
    assert_eq!(target.metadata().unwrap().len(), bytes);
    assert!(!part.exists());
    client.close().await;
}
