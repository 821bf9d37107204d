//! Hundreds of connections on one thread, without an async runtime: `mio` says which sockets are
//! ready, `Connection` turns bytes into bytes.
//!
//!     cargo run --example multiplexed_client -- 127.0.0.1:8443 localhost CA.pem [CONNECTIONS]

use std::error::Error;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::SocketAddr;

use handfast::{ClientContext, Connection, Ending, ReadOutcome, TrustAnchors};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, ca, rest @ ..] = &args[..] else {
        return Err("usage: multiplexed_client ADDRESS:PORT NAME CA.pem [CONNECTIONS]".into());
    };
    let address: SocketAddr = address.parse()?;
    let count = rest.first().map_or(Ok(300), |count| count.parse())?;
    let trust = TrustAnchors::empty().with_file(ca)?;
    let context = ClientContext::builder().trust(trust).build()?;

    let mut poll = Poll::new()?;
    let mut exchanges = Vec::with_capacity(count);
    for index in 0..count {
        let mut socket = TcpStream::connect(address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut socket, Token(index), interest)?;
        let connection = context.connection(name)?;
        exchanges.push(Some(Exchange {
            socket,
            connection,
            asked: false,
            bytes: 0,
        }));
    }

    let mut events = Events::with_capacity(256);
    let mut running = count;
    let mut endings = [0; 4];
    while running > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let slot = &mut exchanges[event.token().0];
            let Some(exchange) = slot else { continue };
            let kind = match exchange.advance(name) {
                Ok(None) => continue,
                Ok(Some(Ending::CloseNotify)) => 0,
                Ok(Some(Ending::Premature)) => 1,
                Ok(Some(Ending::Reset)) => 2,
                Err(error) => {
                    eprintln!("{}", error.explain());
                    3
                }
            };
            endings[kind] += 1;
            // Dropping deregisters and closes the socket.
            *slot = None;
            running -= 1;
        }
    }
    let [close_notify, premature, reset, failed] = endings;
    println!(
        "{count} connections: {close_notify} whole, {premature} cut off, {reset} reset, {failed} failed"
    );
    if close_notify == count {
        Ok(())
    } else {
        Err("not every exchange was whole".into())
    }
}

struct Exchange {
    socket: TcpStream,
    connection: Connection,
    asked: bool,
    bytes: usize,
}

impl Exchange {
    /// Does what the socket allows without waiting; gives the ending once there is one.
    fn advance(&mut self, name: &str) -> Result<Option<Ending>, handfast::Error> {
        loop {
            if self.asked
                && let Some(ending) = self.read()?
            {
                let _ = self.connection.send_close_notify();
                let _ = self.send();
                return Ok(Some(ending));
            }
            if !self.asked && !self.connection.is_handshaking() {
                let request = format!("GET / HTTP/1.0\r\nHost: {name}\r\n\r\n");
                self.connection.write(&[IoSlice::new(request.as_bytes())])?;
                self.connection.flush()?;
                self.asked = true;
            }
            let sent = self.send();
            match sent.and_then(|()| self.socket.read(self.connection.receive_room())) {
                Ok(0) => self.connection.received_end(),
                Ok(count) => self.connection.received(count),
                // The TCP connection is still being made, or has nothing for us now.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    self.connection.rest();
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.connection.received_reset(),
            }
            if let Err(error) = self.connection.process() {
                let _ = self.send(); // the alert
                return Err(error);
            }
        }
    }

    fn read(&mut self) -> Result<Option<Ending>, handfast::Error> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.connection.read(&mut buffer)? {
                ReadOutcome::Data(count) => self.bytes += count,
                ReadOutcome::End(ending) => return Ok(Some(ending)),
                ReadOutcome::WouldBlock => return Ok(None),
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            let count = self.socket.write(self.connection.outgoing())?;
            self.connection.sent(count);
        }
        Ok(())
    }
}
