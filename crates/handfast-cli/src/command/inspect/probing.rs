//! Questions by hand over real sockets: the survey, and what only a plain ServerHello shows.

use std::io;
use std::time::{Duration, Instant};

use handfast::SignedCertificateTimestamp;
use handfast::probe::{self, Answer, ClientHello, Survey, WireVersion};

use super::route::Route;

/// A survey that takes longer is given up: some hundred questions to a server at the other end of
/// the world.
const SURVEY_WITHIN: Duration = Duration::from_secs(90);

/// All that the server accepts under these versions.
pub(super) fn survey(route: &Route<'_>, versions: &[WireVersion]) -> io::Result<Survey> {
    let deadline = Instant::now() + SURVEY_WITHIN;
    let base = |version| ClientHello::new(version).with_server_name(&route.target.server_name);
    probe::survey(versions, base, |hello| {
        if Instant::now() > deadline {
            let text = format!("given up after {} seconds", SURVEY_WITHIN.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        ask(route, hello)
    })
}

/// The timestamps that the server adds to its handshake. In TLS 1.3 they would be encrypted, and
/// rustls does not ask for them.
pub(super) fn timestamps(route: &Route<'_>) -> Vec<SignedCertificateTimestamp> {
    let hello = ClientHello::new(WireVersion::Tls12)
        .with_server_name(&route.target.server_name)
        .asking_for_timestamps();
    match ask(route, &hello) {
        Ok(Answer::Hello(hello)) => hello.timestamps,
        _ => Vec::new(),
    }
}

fn ask(route: &Route<'_>, hello: &ClientHello) -> io::Result<Answer> {
    let mut socket = route.open().map_err(io::Error::from)?;
    let deadline = Instant::now() + route.target.limit;
    Ok(probe::ask(&mut socket, hello, deadline))
}
