//! A hyper service behind handfast, on the caller's own runtime and listener; beside it another protocol on the same port,
//! told apart by ALPN.
//!
//!     cargo run --example hyper_service -- chain.pem key.pem

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use handfast::{AsyncStream, ClosePolicy, Identity, Passphrase, ServerContext};
use handfast_https::server::{
    ALPN, Addresses, Body, ConnectionInfo, Connections, Request, RequestBody, Response,
    ServerConfig,
};
use hyper::service::{Service as _, service_fn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

/// The other protocol: what came until the end, sent back.
const ECHO: &[u8] = b"echo";

/// More than this it does not keep of one client, in bytes.
const ECHO_MAX: u64 = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key] = &args[..] else {
        return Err("usage: hyper_service CHAIN.pem KEY.pem".into());
    };
    let identity = Identity::from_pem_files(chain, key, Passphrase::none())?;
    let listener = TcpListener::bind("127.0.0.1:8443").await?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener, identity).await
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, identity: Identity) -> Result<(), Box<dyn Error>> {
    let protocols = ALPN.iter().map(|name| name.as_bytes()).chain([ECHO]);
    let context = ServerContext::builder()
        .identity(identity)
        .alpn(protocols)
        .build()?;
    let connections = Connections::new(ServerConfig::new(context.clone()), handler());
    let accepting = async {
        loop {
            let (socket, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The client has gone, or there are no descriptors left, for which time helps.
                    eprintln!("a connection was not accepted: {error}");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // Not the listener's: it may listen on every address.
            let Ok(local) = socket.local_addr() else {
                continue;
            };
            // While there is none, clients wait in the system's queue.
            let permit = connections.acquire().await;
            let (context, connections) = (context.clone(), connections.clone());
            spawn_local(async move {
                let stream = match context.accept_async(socket).await {
                    Ok(stream) => stream,
                    Err(failure) => return eprintln!("{peer}: {}", failure.error.explain().what),
                };
                if stream.report().alpn.as_deref() == Some(ECHO) {
                    let _ = echo(stream).await;
                    drop(permit);
                } else {
                    connections
                        .serve_connection(permit, stream, Addresses::new(peer, local))
                        .await;
                }
            });
        }
    };
    LocalSet::new().run_until(accepting).await
}

/// A hyper service as handfast's handler.
fn handler() -> impl Fn(Request, Arc<ConnectionInfo>) -> HandlerFuture + Send + Sync + 'static {
    |request, connection| {
        let service = service_fn(move |request: http::Request<RequestBody>| {
            let connection = Arc::clone(&connection);
            async move { hello(&request, &connection) }
        });
        Box::pin(async move {
            match service.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }
}

type HandlerFuture = std::pin::Pin<Box<dyn Future<Output = Response>>>;

fn hello(
    request: &http::Request<RequestBody>,
    connection: &ConnectionInfo,
) -> Result<Response, Infallible> {
    let text = format!("hello, {}, of {}\n", connection.peer, request.uri().path());
    Ok(Response::new(Body::from(text)))
}

async fn echo(mut stream: AsyncStream<TcpStream>) -> io::Result<()> {
    let mut text = Vec::new();
    (&mut stream).take(ECHO_MAX).read_to_end(&mut text).await?;
    stream.write_all(&text).await?;
    stream.close(ClosePolicy::default()).await;
    Ok(())
}
