//! The classic server: a context once; for each client a handshake, the head read line by line, a
//! reply in one record, and a close that does not lose it.
//!
//!     cargo run --example simple_server -- chain.pem key.pem [NUMBER OF CLIENTS]

use std::error::Error;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;

use handfast::{ClosePolicy, Identity, Line, LineReader, Passphrase, ServerContext};

/// Longer lines than this are no request of a client that means well.
const LINE_MAX: usize = 8 * 1024;
/// A head has this many lines at most.
const LINES_MAX: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key, rest @ ..] = &args[..] else {
        return Err("usage: simple_server CHAIN.pem KEY.pem [NUMBER OF CLIENTS]".into());
    };
    let clients = rest.first().map_or(Ok(usize::MAX), |count| count.parse())?;

    // Once, at start. A locked key asks for its passphrase in the environment.
    let passphrase = Passphrase::from(std::env::var("PASSPHRASE").ok());
    let identity = Identity::from_pem_files(chain, key, passphrase)?;
    let context = ServerContext::builder().identity(identity).build()?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    thread::scope(|scope| {
        for socket in listener.incoming().take(clients) {
            let context = context.clone();
            // A thread each: a slow client, or a failing one, does not delay the others.
            scope.spawn(move || {
                match socket.map_err(Into::into).and_then(|s| serve(&context, s)) {
                    Ok(line) => println!("{line}"),
                    Err(error) => match error.downcast_ref::<handfast::Error>() {
                        Some(error) => println!("{}", error.explain().one_line(error.phase())),
                        None => println!("failed: {error}"),
                    },
                }
            });
        }
    });
    Ok(())
}

fn serve(context: &ServerContext, socket: TcpStream) -> Result<String, Box<dyn Error>> {
    let mut stream = context.accept(socket).map_err(handfast::Error::from)?;

    let mut lines = LineReader::new(&mut stream, LINE_MAX);
    let mut head = Vec::new();
    loop {
        match lines.next_line()? {
            Line::Text(line) if head.len() < LINES_MAX => head.push(line),
            Line::Text(_) => return Err("a head of too many lines".into()),
            Line::Blank => break,
            Line::End => return Err("the client ended before its request was whole".into()),
        }
    }
    drop(lines);
    let request = head.first().map_or_else(String::new, |line| {
        String::from_utf8_lossy(line).escape_debug().collect()
    });

    // Written in pieces; leaves in one record.
    let body = format!("You asked: {request}\n");
    write!(stream, "HTTP/1.0 200 OK\r\n")?;
    write!(stream, "Content-Type: text/plain\r\n")?;
    write!(stream, "Content-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body.as_bytes())?;

    // Flush, close_notify, FIN; then wait for the client's end, so that nothing of this is lost.
    let outcome = stream.close(ClosePolicy::default());
    let traffic = stream.traffic();
    Ok(format!(
        "{request}: {} records sent, closed: {outcome}",
        traffic.records_sent
    ))
}
