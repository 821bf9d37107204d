//! Unauthenticated data of a rejected server: its clock, and its redirect.
//!
//! One HTTP request and the parsing of its response, which an attacker may have written.

use std::time::SystemTime;

use url::Url;

/// The limit on the response's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The HTTP response of a server that was not verified. It is a hint and never trusted.
///
/// After an error that may be caused by a wrong clock on this machine, or by a captive portal,
/// the server's response is a hint. It is unauthenticated, so it never changes the result of verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UnverifiedReply {
    /// The status of its response.
    pub status: u16,
    /// Its clock, by the `Date` field, in unix seconds.
    pub date: Option<i64>,
    /// The host that it redirects to.
    pub redirects_to: Option<String>,
}

impl UnverifiedReply {
    /// A response with only this status.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }
}

pub(crate) fn question(host: &str, port: u16) -> String {
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let authority = match port {
        443 => host,
        port => format!("{host}:{port}"),
    };
    format!("HEAD / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
}

pub(crate) fn is_over(head: &[u8]) -> bool {
    head.len() > HEAD_BYTES_MAX
        || head.windows(4).any(|end| end == b"\r\n\r\n")
        || head.windows(2).any(|end| end == b"\n\n")
}

/// Parses a response's head.
pub(crate) fn answer(head: &[u8]) -> Option<UnverifiedReply> {
    let text = String::from_utf8_lossy(head.get(..HEAD_BYTES_MAX.min(head.len()))?);
    let mut lines = text.lines();
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.")?
        .get(2..5)?
        .parse()
        .ok()?;
    let mut reply = UnverifiedReply::new(status);
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("date") {
            reply.date = httpdate::parse_http_date(value.trim())
                .ok()
                .and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok())
                .and_then(|since| i64::try_from(since.as_secs()).ok());
        } else if name.eq_ignore_ascii_case("location") && (300..400).contains(&status) {
            reply.redirects_to = Url::parse(value.trim())
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned));
        }
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_reply_panics(
            bytes in "(HTTP/1.1 [0-9]{3}\r\n)?((date|location): [\\x00-\\x7fé\u{9b}]{0,40}\r\n){0,3}[\\x00-\\x7fé]{0,40}",
        ) {
            let heard = answer(bytes.as_bytes());
            let host = heard.and_then(|heard| heard.redirects_to).unwrap_or_default();
            proptest::prop_assert!(!host.chars().any(char::is_control));
        }
    }

    #[test]
    fn replies_are_read_and_bounded() {
        let heard = |text: &str| {
            answer(text.as_bytes())
                .map(|response| (response.status, response.date, response.redirects_to))
        };
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
        for (text, expected) in [
            (
                format!("HTTP/1.1 200 OK\r\n{date}\r\n\r\n"),
                Some((200, Some(784_111_777), None)),
            ),
            (
                "HTTP/1.0 302 Found\nLocation: https://Login.example/x\n\n".to_owned(),
                Some((302, None, Some("login.example".to_owned()))),
            ),
            (
                "HTTP/1.1 200 OK\r\nDate: never\r\nLocation: x\r\n\r\n".to_owned(),
                Some((200, None, None)),
            ),
            (
                format!("HTTP/1.1 511 x\r\n\r\n{date}\r\n"),
                Some((511, None, None)),
            ),
            ("SSH-2.0".to_owned(), None),
            ("HTTP/1.1".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(heard(&text), expected, "{text}");
        }
        assert!(is_over(&vec![b'x'; HEAD_BYTES_MAX + 1]));
        assert_eq!(
            question("::1", 8443),
            "HEAD / HTTP/1.1\r\nHost: [::1]:8443\r\nConnection: close\r\n\r\n"
        );
    }
}
