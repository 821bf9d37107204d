//! A mail client up to where it would log in: connect, STARTTLS, TLS, EHLO, QUIT; and how it ended.
//!
//!     cargo run --example smtp -- mail.example:587 [CA.pem]

use std::error::Error;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use handfast::{ClientContext, ClosePolicy, Line, LineReader, Stream, TrustAnchors};
use handfast_dial::{ConnectError, StartTls, connect_tcp, split_authority};

/// The longest line of a reply (RFC 5321, section 4.5.3.1.5).
const LINE_MAX: usize = 512;
/// No server has more extensions than this.
const REPLY_LINES_MAX: usize = 100;

type Mail = LineReader<Stream<TcpStream>>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(authority) = args.next() else {
        eprintln!("usage: smtp HOST:PORT [CA.pem]");
        return ExitCode::from(2);
    };
    match run(&authority, args.next().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What happened, its id, the evidence, what to do.
            let of_stream = error.downcast_ref().and_then(handfast::Error::from_io);
            match (error.downcast_ref::<ConnectError>(), of_stream) {
                (Some(error), _) => eprintln!("{}", error.explain()),
                (_, Some(error)) => eprintln!("{}", error.explain()),
                _ => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(authority: &str, ca_file: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut builder = ClientContext::builder();
    if let Some(file) = ca_file {
        builder = builder.trust(TrustAnchors::empty().with_file(file)?);
    }
    let context = builder.build()?;

    let stream = begin(&context, authority)?;
    let report = stream.report();
    println!("secured: {}, {}", report.version, report.cipher_suite);

    let mut mail = LineReader::new(stream, LINE_MAX);
    // What the server said before TLS is forgotten, its extensions included (RFC 3207, section 4.2).
    let extensions = command(&mut mail, "EHLO client.example", "250")?;
    println!("offers: {}", extensions.join(", "));
    command(&mut mail, "QUIT", "221")?;

    let mut stream = mail.into_rest().into_inner();
    let outcome = stream.close(ClosePolicy::Wait(Duration::from_secs(2)));
    match stream.ending() {
        Some(ending) => println!("the server ended by {ending}; closed: {outcome}"),
        None => println!("closed: {outcome}"),
    }
    Ok(())
}

/// Name, addresses, TCP; the dialogue in plain text; the handshake.
fn begin(context: &ClientContext, authority: &str) -> Result<Stream<TcpStream>, ConnectError> {
    let (host, _) = split_authority(authority)?;
    let limits = context.timeouts();
    let mut socket = connect_tcp(authority, &limits)?;
    StartTls::Smtp
        .negotiate(&mut socket, host, limits.handshake)
        .map_err(|error| error.with_server_name(host))?;
    Ok(context.secure(host, socket)?)
}

/// Says something, and gives the lines of the reply behind their code.
fn command(mail: &mut Mail, text: &str, code: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let stream = mail.stream_mut();
    write!(stream, "{text}\r\n")?;
    stream.flush()?;
    let mut lines = Vec::new();
    while lines.len() < REPLY_LINES_MAX {
        let line = match mail.next_line()? {
            Line::Text(line) => String::from_utf8_lossy(&line).into_owned(),
            Line::Blank | Line::End => return Err("the server's reply is cut off".into()),
        };
        let shown = handfast::escape_control(&line);
        let Some(rest) = line.strip_prefix(code) else {
            return Err(format!("the server answers to {text}: {shown}").into());
        };
        lines.push(handfast::escape_control(rest.get(1..).unwrap_or_default()).into_owned());
        // `250-` goes on, `250 ` is the last.
        if !rest.starts_with('-') {
            return Ok(lines);
        }
    }
    Err("the server's reply does not end".into())
}
