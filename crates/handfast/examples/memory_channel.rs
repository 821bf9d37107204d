//! Two connections without any I/O: this program carries the bytes between them by hand.
//!
//!     cargo run --example memory_channel -- chain.pem key.pem CA.pem

use std::error::Error;
use std::io::IoSlice;

use handfast::{
    ClientContext, Connection, Ending, Identity, Passphrase, ReadOutcome, ServerContext,
    TrustAnchors,
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key, ca] = &args[..] else {
        return Err("usage: memory_channel CHAIN.pem KEY.pem CA.pem".into());
    };
    let identity = Identity::from_pem_files(chain, key, Passphrase::none())?;
    let server = ServerContext::builder().identity(identity).build()?;
    let trust = TrustAnchors::empty().with_file(ca)?;
    let client = ClientContext::builder().trust(trust).build()?;

    let mut client = client.connection("localhost")?;
    let mut server = server.connection()?;
    let mut flights = 0;
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server);
        server.process()?;
        carry(&mut server, &mut client);
        client.process()?;
        flights += 1;
    }
    println!("shook hands in {flights} round trips");

    client.write(&[IoSlice::new(b"hello, "), IoSlice::new(b"server")])?;
    client.send_close_notify()?;
    carry(&mut client, &mut server);
    println!("server read {:?}", read_all(&mut server)?);

    server.write(&[IoSlice::new(b"hello, client")])?;
    server.send_close_notify()?;
    carry(&mut server, &mut client);
    println!("client read {:?}", read_all(&mut client)?);
    Ok(())
}

/// The channel: what one has to send, the other receives.
fn carry(from: &mut Connection, to: &mut Connection) {
    let bytes = from.outgoing().to_vec();
    to.receive(&bytes);
    from.sent(bytes.len());
}

fn read_all(connection: &mut Connection) -> Result<String, Box<dyn Error>> {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match connection.read(&mut buffer)? {
            ReadOutcome::Data(count) => text.extend_from_slice(&buffer[..count]),
            ReadOutcome::End(Ending::CloseNotify) => return Ok(String::from_utf8(text)?),
            ReadOutcome::End(ending) => return Err(format!("cut off: {ending}").into()),
            ReadOutcome::WouldBlock => return Err("the other end has not finished".into()),
        }
    }
}
