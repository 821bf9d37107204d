//! Questions by hand over real sockets: the survey, and what only a plain ServerHello shows.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use handfast::SignedCertificateTimestamp;
use handfast_probe::{self as probe, Answer, ClientHello, Survey, WireVersion};

use super::route::Route;
use crate::output;

/// A survey that takes longer is given up: some hundred questions to a server at the other end of
/// the world.
const SURVEY_WITHIN: Duration = Duration::from_secs(90);

/// How often, and how long in all, a server that has stopped answering is given time to begin again:
/// those that limit connections do it by the second.
const PATIENCE: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// How often the line about a scan is written anew: as often as somebody can read it.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Shows on a terminal that a scan goes on. Several servers share one line.
pub(super) struct Progress {
    on: bool,
    asked: AtomicUsize,
    shown: Mutex<Option<Instant>>,
}

impl Progress {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            asked: AtomicUsize::new(0),
            shown: Mutex::new(None),
        }
    }

    /// Another question is asked.
    fn asked(&self) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.on {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            *shown = Some(Instant::now());
            output::progress(&format!(
                "scanning: {asked} questions asked, of some hundred"
            ));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_some() {
            output::progress("");
        }
    }
}

/// All that the server accepts under these versions; `spoken` is one of them that it is known to
/// accept.
pub(super) fn survey(
    route: &Route<'_>,
    versions: &[WireVersion],
    spoken: Option<WireVersion>,
    progress: &Progress,
) -> io::Result<Survey> {
    let deadline = Instant::now() + SURVEY_WITHIN;
    let base = |version| ClientHello::new(version).with_server_name(&route.target.server_name);
    let mut good = spoken.map(base);
    probe::survey(versions, base, |hello| {
        if Instant::now() > deadline {
            let text = format!("given up after {} seconds", SURVEY_WITHIN.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        progress.asked();
        let answer = ask(route, hello);
        match (&answer, &good) {
            (Ok(Answer::Hello(_)), _) => good = Some(hello.clone()),
            (Ok(Answer::Closed { .. } | Answer::Silent) | Err(_), Some(good)) => {
                return ask_again(route, hello, good);
            }
            _ => {}
        }
        answer
    })
}

/// A server that hung up may mean that hello, or any: what it has taken before tells.
///
/// # Errors
/// When it takes nothing any more: what was found so far would pass for all that there is.
fn ask_again(route: &Route<'_>, hello: &ClientHello, good: &ClientHello) -> io::Result<Answer> {
    for pause in PATIENCE {
        if matches!(ask(route, good), Ok(Answer::Hello(_)))
            && let Ok(answer) = ask(route, hello)
        {
            // Asked in between, it answers: it means what it says.
            if !matches!(answer, Answer::Closed { .. } | Answer::Silent)
                || matches!(ask(route, good), Ok(Answer::Hello(_)))
            {
                return Ok(answer);
            }
        }
        std::thread::sleep(pause);
    }
    let text = "the server has stopped answering, perhaps to limit connections";
    Err(io::Error::other(text))
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
