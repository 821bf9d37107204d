//! The survey's questions over real sockets.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use handfast::StartTls;
use handfast::probe::{self, Answer, ClientHello, Survey, WireVersion, survey};

/// A survey that takes longer is given up: some hundred questions to a server at the other end of
/// the world.
const SURVEY_WITHIN: Duration = Duration::from_secs(90);
/// A server that takes one client after the other may refuse the next for a moment.
const ATTEMPTS: u32 = 4;

/// Where to ask, and how to get to TLS there.
pub(super) struct Place<'a> {
    pub(super) address: SocketAddr,
    pub(super) starttls: Option<StartTls>,
    pub(super) server_name: &'a str,
    pub(super) limit: Duration,
}

impl Place<'_> {
    /// All that the server accepts under these versions.
    pub(super) fn survey(&self, versions: &[WireVersion]) -> io::Result<Survey> {
        let deadline = Instant::now() + SURVEY_WITHIN;
        let base = |version| ClientHello::new(version).with_server_name(self.server_name);
        survey(versions, base, |hello| {
            if Instant::now() > deadline {
                let text = format!("given up after {} seconds", SURVEY_WITHIN.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.ask(hello)
        })
    }

    fn ask(&self, hello: &ClientHello) -> io::Result<Answer> {
        let deadline = Instant::now() + self.limit;
        Ok(probe::ask(&mut self.connect()?, hello, deadline))
    }

    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        let mut attempt = 0;
        let mut socket = loop {
            match TcpStream::connect_timeout(&self.address, self.limit) {
                Ok(socket) => break socket,
                Err(error) if attempt + 1 == ATTEMPTS => return Err(error),
                Err(_) => {
                    attempt += 1;
                    std::thread::sleep(Duration::from_millis(50 * u64::from(attempt)));
                }
            }
        };
        let _ = socket.set_nodelay(true);
        if let Some(protocol) = self.starttls {
            protocol
                .negotiate(&mut socket, self.server_name, Some(self.limit))
                .map_err(io::Error::from)?;
        }
        Ok(socket)
    }
}
