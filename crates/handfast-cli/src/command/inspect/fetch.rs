//! `--fetch-missing`: fetches certificates that the server should have sent, from the URLs in those that it
//! sent (authority information access, RFC 5280, 4.2.2.1).
//!
//! For a file that the server can then serve, never for trust: the chain is verified as sent, and the fetched
//! certificates only show whether the completed chain would be verified. The URLs are untrusted: only plain
//! http (the certificates are signed, and https might need them first), one request each without redirects,
//! bounded in size, time and number.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handfast::{
    CertificateDer, CertificateFacts, ServerName, UnixTime, VerificationPolicy, VerifyError,
    certificates_from_bytes, escape_control, is_issued_by,
};
use handfast_dial::resolve;
use url::Url;

use crate::failure::plain;

/// Chains on the public web lack at most one or two.
const FETCHED_MAX: usize = 4;
/// Bundles have some tens of KiB.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// URLs of one certificate that are tried.
const URLS_MAX: usize = 3;

/// A completed chain.
pub(super) struct Completed {
    /// The sent certificates in the order of issuance, and the fetched ones.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The URLs, escaped, and the results.
    pub(super) fetched: Vec<(String, Result<(), String>)>,
    /// Whether the completed chain would be verified.
    pub(super) verdict: Result<(), Box<VerifyError>>,
}

/// Completes a chain up to a trust anchor, or until no further issuer is found.
pub(super) fn complete(
    sent: &[CertificateDer<'static>],
    policy: &VerificationPolicy,
    name: &str,
    now: i64,
    limit: Duration,
) -> Completed {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let judge = |chain: &[CertificateDer<'static>]| match ServerName::parse(name) {
        Ok(name) => policy
            .check_server_chain(chain, &name, now)
            .map(|_| ())
            .map_err(Box::new),
        // Cannot fail: the handshake has used the name.
        Err(_) => Ok(()),
    };
    let mut chain = in_order(sent);
    let mut fetched = Vec::new();
    while fetched.len() < FETCHED_MAX && judge(&chain).is_err() {
        let Some(last) = chain.last() else { break };
        let Ok(facts) = CertificateFacts::from_der(last) else {
            break;
        };
        if facts.is_self_issued {
            break;
        }
        let mut found = None;
        for url in facts.ca_issuer_urls.iter().take(URLS_MAX) {
            let answer = get(url, limit).and_then(|bytes| {
                let all =
                    certificates_from_bytes(&bytes).map_err(|error| error.problem.to_string())?;
                all.into_iter()
                    .find(|issuer| is_issued_by(last, issuer))
                    .ok_or_else(|| "it is not the issuer's certificate".to_owned())
            });
            let outcome = answer.map(|issuer| found = Some(issuer));
            fetched.push((escape_control(url).into_owned(), outcome));
            if found.is_some() {
                break;
            }
        }
        // A self-signed issuer belongs in trust stores, not in chains.
        let is_root = |issuer: &CertificateDer<'_>| {
            CertificateFacts::from_der(issuer).is_ok_and(|facts| facts.is_self_issued)
        };
        match found.filter(|issuer| !is_root(issuer)) {
            Some(issuer) => chain.push(issuer),
            None => break,
        }
    }
    let verdict = judge(&chain);
    Completed {
        chain,
        fetched,
        verdict,
    }
}

/// The server's own certificate, its issuer and so on, without unrelated certificates.
fn in_order(sent: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let mut chain: Vec<CertificateDer<'static>> = sent.first().cloned().into_iter().collect();
    while let Some(last) = chain.last() {
        let next = sent
            .iter()
            .find(|next| !chain.contains(next) && is_issued_by(last, next));
        match next.cloned() {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    chain
}

/// Fetches a URL.
fn get(url: &str, limit: Duration) -> Result<Vec<u8>, String> {
    let parsed = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    if parsed.scheme() != "http" {
        return Err(format!(
            "{} is not supported, only http",
            escape_control(parsed.scheme())
        ));
    }
    let host = parsed.host_str().ok_or("a URL without a host")?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = resolve(bare, port, Some(limit)).map_err(|error| error.explain().what)?;
    let deadline = Instant::now() + limit;
    let problem = |error: io::Error| plain(&error);
    let mut last = "the name has no address".to_owned();
    let mut socket = None;
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
            Ok(connected) => {
                socket = Some(connected);
                break;
            }
            Err(error) => last = problem(error),
        }
    }
    let mut socket = socket.ok_or(last)?;
    let path = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &parsed[url::Position::BeforeHost..url::Position::AfterPort];
    let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nAccept: */*\r\n\r\n");
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Some(left.max(Duration::from_millis(1)));
    socket.set_write_timeout(left).map_err(problem)?;
    socket.write_all(request.as_bytes()).map_err(problem)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("the time limit of {limit:?} passed"));
        }
        socket.set_read_timeout(Some(left)).map_err(problem)?;
        match socket.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {}
                _ => return Err(problem(error)),
            },
        }
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(format!("it is larger than {} KiB", ANSWER_BYTES_MAX / 1024));
        }
    }
    body_of(&answer)
}

/// The body of a successful and complete response to an HTTP/1.0 request.
fn body_of(answer: &[u8]) -> Result<Vec<u8>, String> {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("not an HTTP response")?;
    let (head, body) = answer.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut status = lines.next().unwrap_or_default().splitn(3, ' ');
    match (status.next(), status.next()) {
        (Some("HTTP/1.0" | "HTTP/1.1"), Some("200")) => {}
        (Some("HTTP/1.0" | "HTTP/1.1"), Some(status)) => {
            return Err(format!(
                "the response has status {}",
                escape_control(status)
            ));
        }
        _ => return Err("not an HTTP response".to_owned()),
    }
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "content-length" if value.parse() != Ok(body.len()) => {
                return Err(format!(
                    "{} of {} bytes arrived",
                    body.len(),
                    escape_control(value)
                ));
            }
            "transfer-encoding" => {
                return Err("a chunked response to an HTTP/1.0 request".to_owned());
            }
            _ => {}
        }
    }
    Ok(body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_responses_are_accepted() {
        for (answer, expected) in [
            ("HTTP/1.0 200 OK\r\n\r\nabc", Ok("abc")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Ok("abc")),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
                Err("3 of 4 bytes arrived"),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
                Err("3 of x bytes arrived"),
            ),
            (
                "HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
                Err("the response has status 301"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err("a chunked response to an HTTP/1.0 request"),
            ),
            ("SSH-2.0-x\r\n\r\n", Err("not an HTTP response")),
            ("HTTP/1.1 200 OK\r\n", Err("not an HTTP response")),
            ("", Err("not an HTTP response")),
        ] {
            let read = body_of(answer.as_bytes());
            let read = read.as_deref().map_err(String::as_str);
            assert_eq!(read, expected.map(str::as_bytes), "{answer}");
        }
    }

    #[test]
    fn only_http_is_supported() {
        let second = Duration::from_secs(1);
        for url in [
            "https://127.0.0.1:1/x",
            "ldap://127.0.0.1:1/x",
            "file:///etc/passwd",
            "x",
        ] {
            assert!(get(url, second).is_err(), "{url}");
        }
    }
}
