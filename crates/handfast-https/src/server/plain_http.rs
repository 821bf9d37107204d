//! Plain HTTP, on the TLS port and on listeners for it: the response has the https URL.

use std::fmt::Write as _;
use std::time::Duration;

use handfast::LingerLimits;
use http::StatusCode;
use http::uri::{Authority, PathAndQuery};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::engine::Transport;
use super::listener::Redirect;
use super::service::PLAIN_FIELDS;

/// A head that does not show its Host within so many bytes gets a 400.
const HEAD_MAX: usize = 8 * 1024;

/// Header fields to look through for Host.
const FIELDS_MAX: usize = 64;

/// How long the client has to take the reply and leave: it fits one segment.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are discarded meanwhile: as many as of other clients that are turned away.
const DISCARD_MAX: u64 = LingerLimits::AFTER_REFUSAL.bytes_max;

/// What was answered to a client of a redirecting listener.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    /// What was read of the request.
    pub(super) head: Vec<u8>,
}

/// Answers one request on a listener for plain HTTP. `None`: no request came by the deadline or before the server stops, or
/// the client has gone.
///
/// Once it is answered the client is waited for no longer than until `leave` is ready.
///
/// A path below `/.well-known/acme-challenge/` is redirected as all are, which authorities follow (RFC 8555, section 8.3).
pub(super) async fn redirect<T: Transport>(
    channel: &mut T,
    redirect: &Redirect,
    deadline: Instant,
    stopping: impl Future<Output = ()>,
    leave: impl Future<Output = ()>,
) -> Option<Answered> {
    let mut head = Vec::new();
    let read = timeout_at(deadline, read_on(channel, &mut head, redirect.port));
    let target = tokio::select! {
        biased;
        () = stopping => return None,
        target = read => target.ok().flatten(),
    };
    if is_tls(&head) {
        let status = StatusCode::BAD_REQUEST;
        let sent = send(channel, &reply(status, None, NOT_TLS), leave).await;
        return sent.then_some(Answered {
            status,
            location: None,
            head,
        });
    }
    if !looks_like_http(&head) {
        return None;
    }
    let is_served = |target: &Target| {
        let hosts = redirect.hosts.as_ref();
        hosts.is_none_or(|is_served| is_served(&target.host))
    };
    let (status, location, reply) = match target {
        Some(target) if is_served(&target) => {
            let body = format!("see {}\n", target.url);
            let reply = reply(StatusCode::PERMANENT_REDIRECT, Some(&target.url), &body);
            (StatusCode::PERMANENT_REDIRECT, Some(target.url), reply)
        }
        Some(_) => {
            let reply = reply(StatusCode::MISDIRECTED_REQUEST, None, NOT_SERVED);
            (StatusCode::MISDIRECTED_REQUEST, None, reply)
        }
        None => {
            let reply = reply(StatusCode::BAD_REQUEST, None, NO_HOST);
            (StatusCode::BAD_REQUEST, None, reply)
        }
    };
    send(channel, &reply, leave).await.then_some(Answered {
        status,
        location,
        head,
    })
}

const NOT_SERVED: &str = "this server does not serve this host\n";
const NO_HOST: &str = "the request names no host that it could be redirected to\n";
const NOT_TLS: &str = "this port speaks plain HTTP, not TLS\n";
const NOT_HTTPS: &str = "this port speaks https; the request was not it\n";

/// Answers what began with `received`, if it looks like HTTP: 308 to the https URL on this port, or 400, also if the port
/// is not known, which is 0. Returns the status that was sent. The client is waited for no longer than until `leave` is ready.
pub(super) async fn answer<T: Transport>(
    channel: &mut T,
    received: &[u8],
    port: u16,
    deadline: Instant,
    leave: impl AsyncFn(),
) -> Option<StatusCode> {
    if !looks_like_http(received) {
        return None;
    }
    let mut head = received.to_vec();
    let mut target = https_target(&head, port);
    if target.is_none() && port != 0 {
        // Whatever keeps the rest of the head from coming, what is there is answered.
        target = tokio::select! {
            biased;
            target = timeout_at(deadline, read_on(channel, &mut head, port)) => target.ok().flatten(),
            () = leave() => None,
        };
    }
    let (status, reply) = match target {
        Some(Target { url, .. }) => {
            let body = format!("this port speaks https: {url}\n");
            let reply = reply(StatusCode::PERMANENT_REDIRECT, Some(&url), &body);
            (StatusCode::PERMANENT_REDIRECT, reply)
        }
        None => {
            let reply = reply(StatusCode::BAD_REQUEST, None, NOT_HTTPS);
            (StatusCode::BAD_REQUEST, reply)
        }
    };
    send(channel, &reply, leave()).await.then_some(status)
}

/// Sends a reply and waits a moment until the client has taken it, or until `leave` is ready. Whether it was sent.
async fn send<T: Transport>(channel: &mut T, reply: &str, leave: impl Future<Output = ()>) -> bool {
    let deadline = Instant::now() + LINGER;
    let sent = timeout_at(deadline, async {
        channel.write_all(reply.as_bytes()).await?;
        channel.shutdown().await
    });
    if !matches!(sent.await, Ok(Ok(()))) {
        return false;
    }
    // Unread bytes would turn the close into a reset that destroys the reply. What has come already is read in any case.
    let mut discarded = [0; 1024];
    let mut rest = channel.take(DISCARD_MAX);
    let discard = timeout_at(deadline, async {
        while matches!(rest.read(&mut discarded).await, Ok(count) if count > 0) {}
    });
    tokio::select! {
        biased;
        _ = discard => {}
        () = leave => {}
    }
    true
}

fn reply(status: StatusCode, location: Option<&str>, body: &str) -> String {
    let mut reply = format!("HTTP/1.1 {status}\r\n");
    if let Some(url) = location {
        let _ = write!(reply, "Location: {url}\r\n");
    }
    for (name, value) in PLAIN_FIELDS {
        let _ = write!(reply, "{name}: {value}\r\n");
    }
    let length = body.len();
    let _ = write!(
        reply,
        "Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    reply
}

/// The beginning of a TLS record with a handshake message (RFC 8446, section 5.1), whatever version it names.
fn is_tls(bytes: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const MAJOR: u8 = 3;
    bytes.starts_with(&[HANDSHAKE, MAJOR])
}

/// A method, a space, a target.
fn looks_like_http(bytes: &[u8]) -> bool {
    let method = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    (3..=16).contains(&method)
        && match bytes.get(method) {
            Some(b' ') => matches!(
                bytes.get(method + 1),
                None | Some(b'/' | b'*' | b'h' | b'H')
            ),
            Some(_) => false,
            None => true,
        }
}

/// Reads until the head has the URL, or ends without it, or cannot be one.
async fn read_on<T: Transport>(channel: &mut T, head: &mut Vec<u8>, port: u16) -> Option<Target> {
    let mut chunk = [0; 1024];
    while memchr::memmem::find(head, b"\r\n\r\n").is_none()
        && memchr::memmem::find(head, b"\n\n").is_none()
        && head.len() < HEAD_MAX
    {
        let count = channel.read(&mut chunk).await.ok()?;
        if count == 0 {
            break;
        }
        let fresh = chunk.get(..count).unwrap_or_default();
        head.extend_from_slice(fresh);
        // Two bytes tell a TLS record. A request may come byte by byte.
        if head.len() >= 2 && !head.first().is_some_and(u8::is_ascii_uppercase) {
            return None;
        }
        // A field is known at the end of its line.
        if memchr::memchr(b'\n', fresh).is_some()
            && let Some(target) = https_target(head, port)
        {
            return Some(target);
        }
    }
    https_target(head, port)
}

/// What a request is for.
struct Target {
    /// In lower case, without a port.
    host: String,
    url: String,
}

/// The URL to go to: the same host and target, by https, on this port. `None` when the head does not
/// tell, or not in a form that could be sent back, or when the port is 0.
fn https_target(head: &[u8], port: u16) -> Option<Target> {
    if port == 0 {
        return None;
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    // Complete or partial: the fields that were parsed are there either way.
    request.parse(head).ok()?;
    let target = request.path?;
    // `http` has checked what it parsed: no control characters, nothing that ends a field.
    let target: PathAndQuery = match target.strip_prefix('/') {
        Some(_) => target.parse().ok()?,
        None => target
            .parse::<http::Uri>()
            .ok()
            .filter(|uri| uri.scheme_str() == Some("http"))?
            .path_and_query()
            .cloned()?,
    };
    let mut hosts = request
        .headers
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("host"));
    let host = std::str::from_utf8(hosts.next()?.value).ok()?;
    if hosts.next().is_some() {
        return None;
    }
    let authority: Authority = host.parse().ok()?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let mut url = format!("https://{}", authority.host());
    if port != 443 {
        let _ = write!(url, ":{port}");
    }
    // Without a path, as in `http://host?query`, it would run on from the host.
    if !target.as_str().starts_with('/') {
        url.push('/');
    }
    url.push_str(target.as_str());
    let host = authority.host().to_ascii_lowercase();
    Some(Target { host, url })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::io;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// A client that takes every reply and never stops to send, up to so many bytes.
    struct Sends {
        sent: u64,
        max: u64,
    }

    impl AsyncRead for Sends {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.sent >= self.max {
                return Poll::Pending;
            }
            let count = buffer.remaining().min(1000);
            buffer.put_slice(&[b'x'; 1000][..count]);
            self.sent += count as u64;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Sends {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_client_sends_after_its_reply_is_discarded_up_to_a_limit() {
        let (sent, max) = (0, 4 * DISCARD_MAX);
        let mut client = Sends { sent, max };
        assert!(send(&mut client, "reply", pending()).await);
        assert_eq!(client.sent, DISCARD_MAX);
    }

    #[tokio::test]
    async fn a_client_that_stays_is_not_waited_for_when_its_place_is_wanted() {
        // What it has sent already is read first: left unread, it would make the close a reset.
        let mut client = Sends { sent: 0, max: 5000 };
        let is_sent = {
            let mut sending = pin!(send(&mut client, "reply", ready(())));
            let mut context = Context::from_waker(Waker::noop());
            sending.as_mut().poll(&mut context)
        };
        assert_eq!(is_sent, Poll::Ready(true));
        assert!(client.sent >= 5000);
    }

    #[test]
    fn plain_http_is_told_apart_from_other_things_that_are_not_tls() {
        assert!(looks_like_http(b"GET / HTTP/1.1\r\n"));
        assert!(looks_like_http(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(looks_like_http(b"POST http://h/ HTTP/1.1\r\n"));
        assert!(looks_like_http(b"GET"));
        assert!(!looks_like_http(b"SSH-2.0-OpenSSH_9.2\r\n"));
        assert!(!looks_like_http(b"EHLO example.org\r\n"));
        assert!(!looks_like_http(b""));
        assert!(!looks_like_http(b"\x16\x03\x01"));
    }

    #[test]
    fn the_https_url_has_the_same_host_and_target() {
        let url = |head: &str, port| https_target(head.as_bytes(), port).map(|target| target.url);
        let head = "GET /a?b=%0d HTTP/1.1\r\nAccept: */*\r\nHost: files.test:80\r\n\r\n";
        let cases = [
            (head, 8443, Some("https://files.test:8443/a?b=%0d")),
            (head, 443, Some("https://files.test/a?b=%0d")),
            (head, 0, None),
            (
                "GET http://x/y HTTP/1.1\r\nHost: [::1]\r\n\r\n",
                9,
                Some("https://[::1]:9/y"),
            ),
            (
                "GET http://x?q HTTP/1.1\r\nHost: a\r\n\r\n",
                443,
                Some("https://a/?q"),
            ),
            // The host stays the one that was asked for.
            (
                "GET //evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n",
                443,
                Some("https://a//evil.test/"),
            ),
            ("GET @evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n", 443, None),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nHost: b\r\n\r\n",
                443,
                Some("https://a/"),
            ),
            // Still without its end.
            ("GET / HTTP/1.1\r\nHost: a\r\nX: ", 443, Some("https://a/")),
            ("GET / HTTP/1.1\r\n\r\n", 443, None),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 443, None),
            ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 443, None),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 443, None),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 443, None),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 443, None),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 443, None),
            ("GET /\r\n", 443, None),
        ];
        for (head, port, expected) in cases {
            assert_eq!(url(head, port).as_deref(), expected, "{head:?}");
        }
    }
}
