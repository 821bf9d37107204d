//! Hand-written probes over real sockets: the survey, and what only a ServerHello shows.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use handfast::SignedCertificateTimestamp;
use handfast_probe::{self as probe, Answer, ClientHello, Survey, WireVersion};

use super::route::Route;
use crate::output;

/// The time limit of a survey: about a hundred probes of a server at the other end of
/// the world.
const SURVEY_WITHIN: Duration = Duration::from_secs(90);

/// Pauses for a server that has stopped responding, before further attempts: servers that limit connections do so
/// per second.
const PATIENCE: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// How often the progress line of a scan is updated.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Shows the progress of scans on a terminal. Several servers share one line.
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

    /// Counts a probe.
    fn asked(&self) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.on {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            *shown = Some(Instant::now());
            output::progress(&format!("scanning: {asked} of about 100 probes sent"));
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

/// Everything that the server accepts with these versions; `spoken` is one of them that it is known to
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

/// If a server closes the connection, sends an accepted hello again to find out whether it refuses only this one.
///
/// # Errors
/// If it no longer accepts any: the result would be incomplete.
fn ask_again(route: &Route<'_>, hello: &ClientHello, good: &ClientHello) -> io::Result<Answer> {
    for pause in PATIENCE {
        if matches!(ask(route, good), Ok(Answer::Hello(_)))
            && let Ok(answer) = ask(route, hello)
        {
            // It accepts the other hello, so the refusal is final.
            if !matches!(answer, Answer::Closed { .. } | Answer::Silent)
                || matches!(ask(route, good), Ok(Answer::Hello(_)))
            {
                return Ok(answer);
            }
        }
        std::thread::sleep(pause);
    }
    let text = "the server has stopped responding, perhaps to limit connections";
    Err(io::Error::other(text))
}

/// The certificate timestamps in the server's handshake. In TLS 1.3 they would be encrypted, and
/// rustls does not request them.
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
