//! The classic client: a context once, then connect, handshake, request, read to the end, judge the
//! end, close in two phases.
//!
//!     cargo run --example simple_client -- localhost:8443 [CA.pem]

use std::error::Error;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use handfast::{ClientContext, ClosePolicy, Ending, TrustAnchors};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(authority) = args.next() else {
        eprintln!("usage: simple_client HOST:PORT [CA.pem]");
        return ExitCode::from(2);
    };
    match run(&authority, args.next().as_deref()) {
        Ok(Ending::CloseNotify) => ExitCode::SUCCESS,
        Ok(ending) => {
            eprintln!("the reply may have been cut off: it ended by {ending}");
            ExitCode::from(56)
        }
        Err(error) => {
            match error.downcast_ref::<handfast::Error>() {
                Some(error) => eprintln!("{}", error.explain()),
                None => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(authority: &str, ca_file: Option<&str>) -> Result<Ending, Box<dyn Error>> {
    // Once, at start: everything that connections have in common.
    let mut builder = ClientContext::builder();
    if let Some(file) = ca_file {
        builder = builder.trust(TrustAnchors::empty().with_file(file)?);
    }
    let context = builder.build()?;

    // TCP, handshake; the server's chain and name are checked, or there is no stream.
    let (host, _) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let socket = TcpStream::connect(authority)?;
    let mut stream = context
        .secure(host, socket)
        .map_err(|failure| failure.error)?;
    let report = stream.report();
    eprintln!(
        "{}, {}, resumed: {}",
        report.version, report.cipher_suite, report.resumed
    );

    write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n")?;

    let (bytes, ending) = stream.read_to_ending()?;
    std::io::stdout().write_all(&bytes)?;

    let outcome = stream.close(ClosePolicy::Wait(Duration::from_secs(2)));
    eprintln!(
        "{} bytes, ended by {ending}; closed: {outcome}",
        bytes.len()
    );
    Ok(ending)
}
