//! From an HTTP proxy to a channel through it: CONNECT (RFC 9110, section 9.3.6).
//!
//! Owns what is said to the proxy and what is accepted as its answer, without I/O ([`ProxyDialogue`]),
//! and the waiting over a blocking channel ([`connect`]). What then runs through the tunnel is TLS with
//! the server itself: the proxy sees its name and the number of bytes, and vouches for nothing.
//!
//! The proxy's answer is read to the last byte of its head and not beyond: what follows is the
//! server's.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::TcpStream;
//! use std::time::Duration;
//! use handfast::ClientContext;
//! use handfast_dial::proxy;
//!
//! let mut socket = TcpStream::connect("proxy.internal:3128")?;
//! let target = proxy::Target::new("proxy.internal:3128", "example.org", 443);
//! proxy::connect(&mut socket, &target, None, Some(Duration::from_secs(10)))?;
//! let stream = ClientContext::builder().build()?.secure("example.org", socket)?;
//! # let _ = stream;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use handfast::{Channel, Phase, escape_control};

use crate::error::{Cause, Error};

/// More than any proxy's head; some send a page of policy in their fields.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How much of a refusal's body is kept as evidence.
const BODY_BYTES_MAX: usize = 512;
/// How much of what is no HTTP is kept as evidence.
const FIRST_BYTES_MAX: usize = 256;
/// A refusal is known once its head is there; its body is only waited for so long.
const BODY_WITHIN: Duration = Duration::from_millis(500);

/// Which proxy is asked, and for which server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The proxy as `host:port`, for messages.
    pub proxy: String,
    /// The server as `host:port`, as it is sent: an IPv6 address in brackets.
    pub authority: String,
}

impl Target {
    /// The proxy, for messages alone, and the server's host (a DNS name or an IP address) and port.
    pub fn new(proxy: impl Into<String>, host: &str, port: u16) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let authority = match bare.contains(':') {
            true => format!("[{bare}]:{port}"),
            false => format!("{bare}:{port}"),
        };
        Self {
            proxy: proxy.into(),
            authority,
        }
    }
}

/// A name and a password for a proxy (RFC 7617). Wiped from memory, shown by nothing.
#[derive(Clone)]
pub struct Credentials(Zeroizing<String>);

impl Credentials {
    /// These. The name must not hold a colon: what follows it would be taken for the password.
    pub fn basic(user: &str, password: &str) -> Self {
        let pair = Zeroizing::new(format!("{user}:{password}"));
        Self(Zeroizing::new(Base64::encode_string(pair.as_bytes())))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// Asks a proxy for a channel, over a blocking channel to the proxy. Afterwards TLS begins:
/// [`ClientContext::secure`](handfast::ClientContext::secure).
///
/// # Errors
/// [`Cause::Proxy`] for whatever the proxy did otherwise, and time-outs and failures of the
/// channel, all in [`Phase::Connect`].
pub fn connect<C: Channel>(
    channel: &mut C,
    target: &Target,
    credentials: Option<&Credentials>,
    limit: Option<Duration>,
) -> Result<(), Error> {
    let mut dialogue = ProxyDialogue::new(target.clone(), credentials);
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let failed = |error| Error::new(Phase::Connect, Cause::from(error));
    let timed_out = || {
        let limit = limit.unwrap_or_default();
        Error::new(Phase::Connect, Cause::TimedOut { limit })
    };
    let left = || match deadline {
        None => Ok(None),
        Some(at) => match at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(timed_out()),
            left => Ok(Some(left)),
        },
    };
    while !dialogue.outgoing().is_empty() {
        channel.limit_write(left()?).map_err(failed)?;
        match channel.write(dialogue.outgoing()) {
            Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
            Ok(count) => dialogue.sent(count),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(timed_out()),
                _ => return Err(failed(error)),
            },
        }
    }
    channel.flush().map_err(failed)?;
    let mut room = [0; BODY_BYTES_MAX];
    while !dialogue.is_done() {
        let patience = match dialogue.is_refused() {
            true => Some(left()?.map_or(BODY_WITHIN, |left| left.min(BODY_WITHIN))),
            false => left()?,
        };
        channel.limit_read(patience).map_err(failed)?;
        let wanted = dialogue.wanted().min(room.len());
        match channel.read(room.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) => return Err(dialogue.received_end().into()),
            Ok(count) => dialogue.received(room.get(..count).unwrap_or_default())?,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                _ if dialogue.is_refused() => return Err(dialogue.received_end().into()),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(timed_out()),
                io::ErrorKind::ConnectionReset => return Err(dialogue.received_end().into()),
                _ => return Err(failed(error)),
            },
        }
    }
    Ok(())
}

/// One CONNECT without I/O.
///
/// Send what [`outgoing`](Self::outgoing) holds and report it by [`sent`](Self::sent). Then, until
/// [`is_done`](Self::is_done), read at most [`wanted`](Self::wanted) bytes at a time and hand them to
/// [`received`](Self::received).
pub struct ProxyDialogue {
    target: Target,
    had_credentials: bool,
    outgoing: Vec<u8>,
    head: Vec<u8>,
    answer: Option<Answer>,
    body: Vec<u8>,
}

/// What is sent may hold a password.
impl fmt::Debug for ProxyDialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyDialogue")
            .field("target", &self.target)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

/// What the head of the proxy's answer says.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    reason: String,
    schemes: Vec<String>,
    /// How many bytes of body are worth waiting for.
    body_wanted: usize,
}

impl ProxyDialogue {
    /// Begins it.
    pub fn new(target: Target, credentials: Option<&Credentials>) -> Self {
        // What is no authority would end the line early, and be another request.
        let authority: String = target
            .authority
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .collect();
        let mut outgoing =
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        if let Some(Credentials(pair)) = credentials {
            outgoing.extend_from_slice(b"Proxy-Authorization: Basic ");
            outgoing.extend_from_slice(pair.as_bytes());
            outgoing.extend_from_slice(b"\r\n");
        }
        outgoing.extend_from_slice(b"\r\n");
        Self {
            target,
            had_credentials: credentials.is_some(),
            outgoing,
            head: Vec::new(),
            answer: None,
            body: Vec::new(),
        }
    }

    /// Bytes to be sent to the proxy.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The first `count` bytes of [`outgoing`](Self::outgoing) have been sent.
    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    /// The tunnel is there: the next byte is the server's.
    pub fn is_done(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::is_success)
    }

    /// The proxy has refused, and only the rest of what it says is being waited for: not for long.
    pub fn is_refused(&self) -> bool {
        self.babbles()
            || self
                .answer
                .as_ref()
                .is_some_and(|answer| !answer.is_success())
    }

    /// What came is no HTTP: some more of it is kept as evidence.
    fn babbles(&self) -> bool {
        self.answer.is_none() && !is_http(&self.head)
    }

    /// How many bytes to read at most: no more than can belong to the proxy's answer.
    pub fn wanted(&self) -> usize {
        match &self.answer {
            Some(answer) => answer.body_wanted.saturating_sub(self.body.len()).max(1),
            None if self.babbles() => FIRST_BYTES_MAX.saturating_sub(self.head.len()).max(1),
            // The end of the head is a blank line: `\n\r\n`, or `\n\n`.
            None if self.head.ends_with(b"\n") || self.head.ends_with(b"\n\r") => 1,
            None => 2,
        }
    }

    /// The proxy said this.
    ///
    /// # Errors
    /// Why there will be no tunnel.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), ProxyError> {
        if self.answer.is_none() {
            self.head.extend_from_slice(bytes);
            return self.read_head();
        }
        self.body.extend_from_slice(bytes);
        match &self.answer {
            Some(answer) if self.body.len() >= answer.body_wanted => Err(self.refusal()),
            _ => Ok(()),
        }
    }

    /// The proxy's direction has ended, or the body of its refusal took too long: the error to report.
    pub fn received_end(&self) -> ProxyError {
        match (&self.answer, self.head.is_empty()) {
            (Some(_), _) => self.refusal(),
            (None, true) => self.error(ProxyProblem::Ended),
            (None, false) if is_http(&self.head) => self.error(ProxyProblem::Ended),
            (None, false) => self.not_http(),
        }
    }

    fn read_head(&mut self) -> Result<(), ProxyError> {
        if self.babbles() {
            return match self.head.len() >= FIRST_BYTES_MAX {
                true => Err(self.not_http()),
                false => Ok(()),
            };
        }
        if !(self.head.ends_with(b"\n\r\n") || self.head.ends_with(b"\n\n")) {
            return match self.head.len() > HEAD_BYTES_MAX {
                true => Err(self.not_http()),
                false => Ok(()),
            };
        }
        let Some(answer) = Answer::read(&self.head) else {
            return Err(self.not_http());
        };
        let is_over = !answer.is_success() && !answer.is_interim() && answer.body_wanted == 0;
        if answer.is_interim() {
            // 100 and its like announce the answer, and are none.
            self.head.clear();
            return Ok(());
        }
        self.answer = Some(answer);
        match is_over {
            true => Err(self.refusal()),
            false => Ok(()),
        }
    }

    fn refusal(&self) -> ProxyError {
        let Some(answer) = self.answer.clone() else {
            return self.error(ProxyProblem::Ended);
        };
        self.error(match answer.status {
            // 407; some answer 401, which is a server's, although no server was asked yet.
            401 | 407 => ProxyProblem::AuthenticationRequired {
                schemes: answer.schemes,
                was_sent: self.had_credentials,
            },
            status => ProxyProblem::Refused {
                status,
                reason: answer.reason,
                body: self.body.iter().copied().take(BODY_BYTES_MAX).collect(),
            },
        })
    }

    fn not_http(&self) -> ProxyError {
        let first_bytes = self.head.iter().copied().take(FIRST_BYTES_MAX).collect();
        self.error(ProxyProblem::NotHttp { first_bytes })
    }

    fn error(&self, problem: ProxyProblem) -> ProxyError {
        ProxyError {
            target: self.target.clone(),
            problem,
        }
    }
}

impl Answer {
    fn read(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines();
        let status_line = lines.next()?;
        let mut words = status_line.splitn(3, ' ');
        words.next()?;
        let status = words.next()?;
        let status = Some(status)
            .filter(|status| status.len() == 3)?
            .parse()
            .ok()?;
        let reason = words.next().unwrap_or_default().trim().to_owned();
        let mut schemes = Vec::new();
        let mut body_wanted = BODY_BYTES_MAX;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("proxy-authenticate")
                || name.eq_ignore_ascii_case("www-authenticate")
            {
                schemes.extend(value.split_whitespace().next().map(str::to_owned));
            } else if name.eq_ignore_ascii_case("content-length")
                && let Ok(length) = value.parse::<usize>()
            {
                body_wanted = length.min(BODY_BYTES_MAX);
            }
        }
        Some(Self {
            status,
            reason,
            schemes,
            body_wanted,
        })
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }
}

/// Whether these bytes may be the beginning of an HTTP/1 answer.
fn is_http(bytes: &[u8]) -> bool {
    const OPENING: &[u8] = b"HTTP/1.";
    bytes.iter().zip(OPENING).all(|(one, other)| one == other)
}

/// Why a proxy gave no tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyError {
    /// Which proxy was asked, and for what.
    pub target: Target,
    /// What happened.
    pub problem: ProxyProblem,
}

impl ProxyError {
    /// The proxy itself was not reached; `cause` says why.
    pub fn unreachable(target: Target, cause: Cause) -> Self {
        let problem = match &cause {
            Cause::NotResolved { .. } => ProxyProblem::NotResolved,
            Cause::Refused { .. } => ProxyProblem::Unreachable {
                why: "the connection was refused".to_owned(),
            },
            Cause::Unreachable { source, .. } => ProxyProblem::Unreachable {
                why: handfast::plain_io_error(source),
            },
            _ => ProxyProblem::Unreachable {
                why: crate::explain::what(&cause),
            },
        };
        Self { target, problem }
    }
}

/// What a proxy did instead of opening a tunnel. Text and bytes are as it sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// Its name has no address.
    NotResolved,
    /// It could not be reached.
    Unreachable {
        /// Why, in words.
        why: String,
    },
    /// It wants a name and a password, or others than it got.
    AuthenticationRequired {
        /// The schemes that it would take.
        schemes: Vec<String>,
        /// Whether any were sent.
        was_sent: bool,
    },
    /// It answered with another status.
    Refused {
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// How the body began, at most 512 bytes.
        body: Vec<u8>,
    },
    /// It does not speak HTTP.
    NotHttp {
        /// What it sent, at most 256 bytes.
        first_bytes: Vec<u8>,
    },
    /// It ended the connection without an answer.
    Ended,
}

impl ProxyProblem {
    /// A stable id in kebab-case.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NotResolved => "proxy-not-resolved",
            Self::Unreachable { .. } => "proxy-unreachable",
            Self::AuthenticationRequired { .. } => "proxy-authentication-required",
            Self::Refused { .. } => "proxy-refused",
            Self::NotHttp { .. } => "proxy-not-http",
            Self::Ended => "proxy-ended",
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = escape_control(&self.target.proxy);
        let server = escape_control(&self.target.authority);
        match &self.problem {
            ProxyProblem::NotResolved => {
                write!(f, "the name of the proxy {proxy} could not be resolved")
            }
            ProxyProblem::Unreachable { why } => {
                write!(f, "the proxy {proxy} could not be reached: {why}")
            }
            ProxyProblem::AuthenticationRequired {
                was_sent: false, ..
            } => {
                write!(f, "the proxy {proxy} requires a user name and password")
            }
            ProxyProblem::AuthenticationRequired { .. } => {
                write!(
                    f,
                    "the proxy {proxy} did not accept the user name and password"
                )
            }
            ProxyProblem::Refused { status, reason, .. } => {
                let reason = escape_control(reason);
                let gap = if reason.is_empty() { "" } else { " " };
                write!(
                    f,
                    "the proxy {proxy} refused to connect to {server}: {status}{gap}{reason}"
                )
            }
            ProxyProblem::NotHttp { .. } => {
                write!(
                    f,
                    "{proxy} does not speak HTTP, so it cannot be a proxy for {server}"
                )
            }
            ProxyProblem::Ended => {
                write!(
                    f,
                    "the proxy {proxy} closed the connection instead of connecting to {server}"
                )
            }
        }
    }
}

impl std::error::Error for ProxyError {}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::new(Phase::Connect, Cause::Proxy(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(answer: &[u8]) -> (Result<(), ProxyProblem>, usize) {
        ask_in_pieces(answer, usize::MAX)
    }

    fn ask_in_pieces(answer: &[u8], most: usize) -> (Result<(), ProxyProblem>, usize) {
        let target = Target::new("proxy:3128", "shop.example", 443);
        let mut dialogue = ProxyDialogue::new(target, None);
        dialogue.sent(usize::MAX);
        let mut used = 0;
        while !dialogue.is_done() {
            let rest = &answer[used..];
            if rest.is_empty() {
                return (Err(dialogue.received_end().problem), used);
            }
            let piece = &rest[..dialogue.wanted().min(most).min(rest.len())];
            used += piece.len();
            if let Err(error) = dialogue.received(piece) {
                return (Err(error.problem), used);
            }
        }
        (Ok(()), used)
    }

    #[test]
    fn a_proxy_s_answers_are_told_apart() {
        let refused = |status, reason: &str, body: &str| ProxyProblem::Refused {
            status,
            reason: reason.to_owned(),
            body: body.as_bytes().to_vec(),
        };
        let wants = |schemes: &[&str]| ProxyProblem::AuthenticationRequired {
            schemes: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
            was_sent: false,
        };
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(())),
            ("HTTP/1.0 200\n\n", Ok(())),
            (
                "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nVia: x\r\n\r\n",
                Ok(()),
            ),
            (
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno! and more",
                Err(refused(403, "Forbidden", "no! ")),
            ),
            ("HTTP/1.1 503 \r\n\r\nbusy", Err(refused(503, "", "busy"))),
            (
                "HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n",
                Err(refused(502, "Bad", "")),
            ),
            (
                "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\nproxy-authenticate: \
                 Negotiate\r\nContent-Length: 0\r\n\r\n",
                Err(wants(&["Basic", "Negotiate"])),
            ),
            ("", Err(ProxyProblem::Ended)),
            ("HTTP/1.1 200 OK\r\n", Err(ProxyProblem::Ended)),
        ] {
            assert_eq!(ask(answer.as_bytes()).0, expected, "{answer:?}");
        }
        for answer in [
            "SSH-2.0-x\r\n",
            "\x05\x00",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            let problem = ask(answer.as_bytes()).0;
            assert!(
                matches!(problem, Err(ProxyProblem::NotHttp { .. })),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn what_follows_the_head_is_left_to_the_server() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 x\nA: b\n\n",
            "HTTP/1.1 200\r\nA: \r\n\r\n",
        ] {
            let both = format!("{head}220 mail.example ESMTP\r\n");
            assert_eq!(ask(both.as_bytes()), (Ok(()), head.len()), "{head:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_of_a_proxy_panics_or_is_told_raw(
            start in "(HTTP/1\\.[01] [1-5][0-9]{0,2} ?[ -~\\x00-\\x1f]{0,20}\r?\n)?",
            rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..700),
        ) {
            let mut bytes = start.into_bytes();
            bytes.extend(rest);
            let (outcome, used) = ask(&bytes);
            proptest::prop_assert!(used <= bytes.len());
            proptest::prop_assert_eq!(ask_in_pieces(&bytes, 1), (outcome.clone(), used));
            if let Err(problem) = outcome {
                let target = Target::new("p:1", "shop.example", 443);
                let told = Error::from(ProxyError { target, problem }).explain().to_string();
                let bad = |c: char| c.is_control() && c != '\n';
                proptest::prop_assert!(!told.chars().any(bad), "{:?}", told);
            }
        }
    }

    #[test]
    fn what_is_sent() {
        let credentials = Credentials::basic("al", "s3cret");
        let dialogue = ProxyDialogue::new(Target::new("p:1", "::1", 8443), Some(&credentials));
        let sent = String::from_utf8(dialogue.outgoing().to_vec()).unwrap();
        assert_eq!(
            sent,
            "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\
             Proxy-Authorization: Basic YWw6czNjcmV0\r\n\r\n"
        );
        assert!(!format!("{credentials:?}").contains("YWw6"));
        let target = Target::new("p:1", "a\r\nEvil: x", 1);
        let split = ProxyDialogue::new(target, None);
        assert!(!String::from_utf8_lossy(split.outgoing()).contains("\nEvil"));
    }
}
