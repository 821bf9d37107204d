//! A client that is built once: several requests at once, an upload that is made while it is sent, and a download of which it
//! is known whether all of it has arrived.
//!
//!     cargo run --example client -- CA.pem https://localhost:8443 /a /b /c

use std::error::Error as StdError;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use handfast::{ClientContext, TrustAnchors};
use handfast_https::client::{ALPN, Client, Download, Error, Request, Upload};
use http::{Method, StatusCode};
use tokio::task::JoinSet;

/// How much of a response is taken into memory.
const BYTES_MAX: usize = 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [authority, server, paths @ ..] = &args[..] else {
        return Err("usage: client CA.pem https://HOST[:PORT] [PATH...]".into());
    };
    let client = build(TrustAnchors::empty().with_file(authority)?)?;
    let urls = paths.iter().map(|path| format!("{server}{path}"));
    for (url, outcome) in fetch_all(&client, urls).await {
        match outcome {
            Ok(body) => println!("{url}: {} bytes", body.len()),
            Err(error) => println!("{url}: {}", error.explain()),
        }
    }
    let lines = (0..1000).map(|number| format!("line {number}\n").into());
    let status = upload(&client, &format!("{server}/lines"), lines).await?;
    println!("the server answers the upload with {status}");
    println!(
        "{:?}",
        download(&client, server, Path::new("page.html")).await?
    );
    client.close().await;
    Ok(())
}

/// Builds the client of a program. Its clones share its connections.
pub fn build(trust: TrustAnchors) -> Result<Client, Box<dyn StdError>> {
    let context = ClientContext::builder().trust(trust).alpn(ALPN).build()?;
    Ok(Client::builder(context)
        .follow_redirects(true)
        .total_max(Some(Duration::from_secs(300)))
        .build())
}

/// Fetches them at once: over HTTP/2 all of one server's share a connection. Gives them in the order in which they end.
pub async fn fetch_all(
    client: &Client,
    urls: impl IntoIterator<Item = String>,
) -> Vec<(String, Result<Vec<u8>, Error>)> {
    let mut running = JoinSet::new();
    for url in urls {
        let client = client.clone();
        running.spawn(async move {
            let outcome = fetch(&client, &url).await;
            (url, outcome)
        });
    }
    running.join_all().await
}

async fn fetch(client: &Client, url: &str) -> Result<Vec<u8>, Error> {
    let mut response = client.send(Request::get(url)?).await?;
    response.error_for_status()?;
    let body = response.bytes(BYTES_MAX).await?;
    response.finish().await?;
    Ok(body)
}

/// Sends pieces while they are made. A server that reads slowly holds back who makes them.
pub async fn upload(
    client: &Client,
    url: &str,
    pieces: impl Iterator<Item = Bytes>,
) -> Result<StatusCode, Error> {
    let (mut sender, upload) = Upload::channel();
    let request = Request::new(Method::PUT, url)?.with_upload(upload);
    let making = async move {
        for piece in pieces {
            if sender.send(piece).await.is_err() {
                // The server wants no more: its answer says why.
                return;
            }
        }
        sender.finish();
    };
    let exchange = async {
        let response = client.send(request).await?;
        let status = response.status();
        response.finish().await?;
        Ok(status)
    };
    tokio::join!(making, exchange).1
}

/// How a download ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it has arrived, and the file has its name.
    Whole {
        /// How long it is.
        bytes: u64,
    },
    /// The rest is missing. What came is in the file whose name ends in `.part`.
    CutOff {
        /// How much came.
        received: u64,
        /// How much should have come, where the server said so.
        expected: Option<u64>,
    },
}

/// Writes a response to a file piece by piece, whatever its length.
pub async fn download(client: &Client, url: &str, target: &Path) -> Result<Ended, Error> {
    let mut response = client.send(Request::get(url)?).await?;
    response.error_for_status()?;
    let mut file = Download::create(target)?;
    let finished = async {
        while let Some(piece) = response.chunk().await? {
            file.write(&piece)?;
        }
        response.finish().await
    };
    match finished.await {
        Ok(finished) => {
            file.complete(&finished.whole)?;
            Ok(Ended::Whole {
                bytes: finished.whole.bytes(),
            })
        }
        Err(Error::Truncated(cut)) => Ok(Ended::CutOff {
            received: cut.received,
            expected: cut.expected,
        }),
        Err(error) => Err(error),
    }
}
