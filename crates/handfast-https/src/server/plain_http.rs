//! Plain HTTP on the TLS port: the response has the https URL.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use http::uri::{Authority, PathAndQuery};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::engine::Transport;

/// A head that does not show its Host within so many bytes gets a 400.
const HEAD_MAX: usize = 8 * 1024;

/// Header fields to look through for Host.
const FIELDS_MAX: usize = 64;

/// How long the client has to take the reply and leave: it fits one segment.
const LINGER: Duration = Duration::from_secs(2);

/// Answers what began with `received`, if it looks like HTTP: 308 to the https URL on this port, or 400, also if the port
/// is not known, which is 0. Returns the status that was sent.
pub(super) async fn answer<T: Transport>(
    channel: &mut T,
    received: &[u8],
    port: u16,
    deadline: Instant,
) -> Option<StatusCode> {
    if !looks_like_http(received) {
        return None;
    }
    let mut head = received.to_vec();
    let mut url = https_url(&head, port);
    if url.is_none() && port != 0 {
        // Whatever keeps the rest of the head from coming, what is there is answered.
        url = timeout_at(deadline, read_on(channel, &mut head, port))
            .await
            .ok()
            .flatten();
    }
    let (status, reply) = match url {
        Some(url) => (StatusCode::PERMANENT_REDIRECT, redirect(&url)),
        None => (StatusCode::BAD_REQUEST, BAD_REQUEST.to_owned()),
    };
    let sent = timeout(LINGER, async {
        channel.write_all(reply.as_bytes()).await?;
        channel.shutdown().await
    });
    if !matches!(sent.await, Ok(Ok(()))) {
        return None;
    }
    // Unread bytes would turn the close into a reset that destroys the reply.
    let mut discarded = [0; 1024];
    let _ = timeout(LINGER, async {
        while matches!(channel.read(&mut discarded).await, Ok(count) if count > 0) {}
    })
    .await;
    Some(status)
}

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 47\r\n\
    Connection: close\r\n\
    \r\n\
    this port speaks https; the request was not it\n";

fn redirect(url: &str) -> String {
    let body = format!("this port speaks https: {url}\n");
    format!(
        "HTTP/1.1 308 Permanent Redirect\r\n\
         Location: {url}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\
         \r\n\
         {body}",
        body.len()
    )
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

/// Reads until the head has the URL, or ends without it.
async fn read_on<T: Transport>(channel: &mut T, head: &mut Vec<u8>, port: u16) -> Option<String> {
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
        // A field is known at the end of its line.
        if memchr::memchr(b'\n', fresh).is_some()
            && let Some(url) = https_url(head, port)
        {
            return Some(url);
        }
    }
    https_url(head, port)
}

/// The URL to go to: the same host and target, by https, on this port. `None` when the head does not
/// tell, or not in a form that could be sent back, or when the port is 0.
fn https_url(head: &[u8], port: u16) -> Option<String> {
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
    url.push_str(target.as_str());
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let url = |head: &str, port| https_url(head.as_bytes(), port);
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

    #[test]
    fn the_length_of_the_bad_request_is_right() {
        let (head, body) = BAD_REQUEST.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
