//! An axum application served by handfast: each request carries its connection as an extension, and that tells who the
//! client proved to be.
//!
//!     cargo run --features tower --example axum_application -- chain.pem key.pem [CLIENT-CA.pem]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::{get, post};
use handfast::{ClientAuth, Identity, Passphrase, ServerContext, TrustAnchors};
use handfast_https::server::{ALPN, ConnectionInfo, Running, Server, ServerConfig, tower};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key, rest @ ..] = &args[..] else {
        return Err("usage: axum_application CHAIN.pem KEY.pem [CLIENT-CA.pem]".into());
    };
    let identity = Identity::from_pem_files(chain, key, Passphrase::none())?;
    let mut context = ServerContext::builder().identity(identity).alpn(ALPN);
    if let Some(authority) = rest.first() {
        let anchors = TrustAnchors::empty().with_file(authority)?;
        context = context.client_auth(ClientAuth::Optional(anchors));
    }
    let running = serve(context.build()?, "127.0.0.1:8443".parse()?)?;
    println!("listening on {}", running.local_addrs()[0]);
    running.join();
    Ok(())
}

/// Serves the application on as many threads as there are cores.
pub fn serve(context: ServerContext, listen: SocketAddr) -> Result<Running, Box<dyn Error>> {
    let config = ServerConfig::new(context).listen(listen);
    Ok(Server::bind(config, tower(application()))?.start()?)
}

fn application() -> Router {
    Router::new()
        .route("/whoami", get(whoami))
        .route("/echo", post(async |body: Bytes| body))
}

async fn whoami(Extension(connection): Extension<Arc<ConnectionInfo>>) -> String {
    match connection.client() {
        Some(client) => format!("you are {}\n", client.subject()),
        None => "you showed no certificate\n".to_owned(),
    }
}
