//! A proxy that ends TLS: by the name that a client asks for it picks the certificate to show and the server to pass plain
//! text on to. Clients that ask for another name are refused.
//!
//!     cargo run --example sni_proxy -- a.pem a.key 127.0.0.1:8001 b.pem b.key 127.0.0.1:8002

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use handfast::{ClosePolicy, Identities, Identity, Passphrase, ServerContext, SubjectAltName};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let identities = Identities::new();
    // Of certificates' names; one with a wildcard would need more than this.
    let mut upstreams = HashMap::new();
    for site in args.chunks(3) {
        let [chain, key, upstream] = site else {
            return Err("usage: sni_proxy [CHAIN.pem KEY.pem ADDRESS:PORT]...".into());
        };
        let identity = Identity::from_pem_files(chain, key, Passphrase::none())?;
        for name in &identity.facts().names {
            if let SubjectAltName::Dns(name) = name {
                upstreams.insert(name.to_ascii_lowercase(), upstream.clone());
            }
        }
        identities.add(identity);
    }
    let context = ServerContext::builder().identities(&identities).build()?;
    let upstreams = Arc::new(upstreams);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (socket, peer) = listener.accept().await?;
        let (context, upstreams) = (context.clone(), Arc::clone(&upstreams));
        tokio::spawn(async move {
            match pass_on(&context, &upstreams, socket).await {
                Ok(name) => println!("{peer}: {name}"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

/// Serves one client, and tells which name it asked for.
async fn pass_on(
    context: &ServerContext,
    upstreams: &HashMap<String, String>,
    socket: TcpStream,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut stream = context
        .accept_async(socket)
        .await
        .map_err(|failure| failure.error.explain().what)?;
    let name = stream.report().server_name.clone().unwrap_or_default();
    let upstream = upstreams.get(&name).ok_or("a name without a server")?;
    let mut upstream = TcpStream::connect(upstream).await?;
    // A client that is cut off is an error here, and not passed on as an end.
    copy_bidirectional(&mut stream, &mut upstream).await?;
    stream.close(ClosePolicy::default()).await;
    Ok(name)
}
