//! A connection to a listener for plain HTTP: one request, which is redirected to https, within the time for a head.

use std::rc::Rc;
use std::time::SystemTime;

use super::engine::Transport;
use super::handler::Handler;
use super::handshake::Accepted;
use super::listener::Redirect;
use super::observer::RedirectEvent;
use super::plain_http;
use super::worker::Worker;

/// Bytes of a request line that an event has.
const LINE_MAX: usize = 256;

/// Answers one request, and reports it.
pub(super) async fn run<H: Handler, T: Transport>(
    worker: Rc<Worker<H>>,
    mut channel: T,
    accepted: Accepted,
    redirect: &Redirect,
) {
    let deadline = accepted.at + worker.shared.limits.head;
    let stopping = worker.stopping();
    let leave = worker.until_wanted_away();
    let answered =
        plain_http::redirect(&mut channel, redirect, deadline.into(), stopping, leave).await;
    // Closed before it is reported: an observer may take its time.
    drop(channel);
    let line = answered.as_ref().map_or(&[][..], |one| line(&one.head));
    worker.shared.observer.redirected(&RedirectEvent {
        time: SystemTime::now(),
        peer: accepted.peer,
        local: &accepted.local,
        status: answered.as_ref().map(|one| one.status),
        location: answered.as_ref().and_then(|one| one.location.as_deref()),
        request_line: line,
        duration: accepted.at.elapsed(),
    });
}

fn line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let line = head.get(..end.min(LINE_MAX)).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_first_line_only() {
        assert_eq!(line(b"GET / HTTP/1.1\r\nHost: a\r\n"), b"GET / HTTP/1.1");
        assert_eq!(line(b"GET / HT"), b"GET / HT");
        assert_eq!(line(&[b'a'; 300]).len(), LINE_MAX);
        assert_eq!(line(b""), b"");
    }
}
