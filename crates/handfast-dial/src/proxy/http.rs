//! CONNECT, without I/O (RFC 9110, section 9.3.6).
//!
//! The proxy's response is read up to the last byte of its head and no further: what follows is the
//! server's.

use std::fmt;

use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::problem::{ProxyError, ProxyProblem};
use super::target::Target;

/// More than any proxy's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How much of a refusal's body is kept as evidence.
const BODY_BYTES_MAX: usize = 512;
/// How much of a response that is not HTTP is kept as evidence.
const FIRST_BYTES_MAX: usize = 256;

const AUTHORIZATION: &[u8] = b"Proxy-Authorization: ";

/// One CONNECT without I/O.
///
/// Send [`outgoing`](Self::outgoing) and report it by [`sent`](Self::sent). Then, until
/// [`is_done`](Self::is_done), read at most [`wanted`](Self::wanted) bytes at a time and pass them to
/// [`received`](Self::received).
pub struct ConnectDialogue {
    target: Target,
    had_credentials: bool,
    outgoing: Zeroizing<Vec<u8>>,
    head: Vec<u8>,
    answer: Option<Answer>,
    body: Vec<u8>,
}

/// Without the outgoing bytes, which may contain a password.
impl fmt::Debug for ConnectDialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectDialogue")
            .field("target", &self.target)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

/// The head of the proxy's response.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    reason: String,
    challenges: Vec<String>,
    /// How many bytes of body to wait for.
    body_wanted: usize,
}

impl ConnectDialogue {
    /// Starts the dialogue.
    pub fn new(target: Target, credentials: Option<&Credentials>) -> Self {
        let basic = credentials.map(Credentials::to_basic);
        Self::with_fields(target, basic.as_ref(), &[])
    }

    /// With these header fields, which must not have a character that ends a line.
    pub(super) fn with_fields(
        target: Target,
        authorization: Option<&Zeroizing<String>>,
        fields: &[(String, String)],
    ) -> Self {
        // Other characters could end the line early and inject a request.
        let authority: String = target
            .authority()
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .collect();
        let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let parts: &[&[u8]] = match authorization {
            Some(value) => &[
                head.as_bytes(),
                AUTHORIZATION,
                value.as_bytes(),
                b"\r\n\r\n",
            ],
            None => &[head.as_bytes(), b"\r\n"],
        };
        // Growing would leave copies of the password behind.
        let length = parts.iter().map(|part| part.len()).sum();
        let mut outgoing = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            outgoing.extend_from_slice(part);
        }
        Self {
            target,
            had_credentials: authorization.is_some(),
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
        let count = count.min(self.outgoing.len());
        self.outgoing.drain(..count);
    }

    /// The tunnel is established: the next byte is the server's.
    pub fn is_done(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::is_success)
    }

    /// The proxy has refused, and only the rest of its response is outstanding: do not wait long.
    pub fn is_refused(&self) -> bool {
        self.is_not_http()
            || self
                .answer
                .as_ref()
                .is_some_and(|answer| !answer.is_success())
    }

    /// The response is not HTTP: some more of it is kept as evidence.
    fn is_not_http(&self) -> bool {
        self.answer.is_none() && !is_http(&self.head)
    }

    /// How many bytes to read at most: no more than can belong to the proxy's response.
    pub fn wanted(&self) -> usize {
        match &self.answer {
            Some(answer) => answer.body_wanted.saturating_sub(self.body.len()).max(1),
            None if self.is_not_http() => FIRST_BYTES_MAX.saturating_sub(self.head.len()).max(1),
            // The end of the head is a blank line: `\n\r\n`, or `\n\n`.
            None if self.head.ends_with(b"\n") || self.head.ends_with(b"\n\r") => 1,
            None => 2,
        }
    }

    /// Handles received bytes.
    ///
    /// # Errors
    /// Why no tunnel is made.
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

    /// The proxy closed the connection, or the body of its refusal took too long: the error to report.
    pub fn received_end(&self) -> ProxyError {
        match (&self.answer, self.head.is_empty()) {
            (Some(_), _) => self.refusal(),
            (None, true) => self.error(ProxyProblem::Ended),
            (None, false) if is_http(&self.head) => self.error(ProxyProblem::Ended),
            (None, false) => self.not_http(),
        }
    }

    fn read_head(&mut self) -> Result<(), ProxyError> {
        if self.is_not_http() {
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
            // 1xx responses are interim.
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
            // 407; some proxies wrongly send 401.
            401 | 407 => ProxyProblem::AuthenticationRequired {
                schemes: answer.schemes(),
                challenges: answer.challenges,
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
        let mut challenges = Vec::new();
        let mut body_wanted = BODY_BYTES_MAX;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("proxy-authenticate")
                || name.eq_ignore_ascii_case("www-authenticate")
            {
                challenges.push(value.to_owned());
            } else if name.eq_ignore_ascii_case("content-length")
                && let Ok(length) = value.parse::<usize>()
            {
                body_wanted = length.min(BODY_BYTES_MAX);
            }
        }
        Some(Self {
            status,
            reason,
            challenges,
            body_wanted,
        })
    }

    fn schemes(&self) -> Vec<String> {
        let words = self.challenges.iter();
        let words = words.filter_map(|value| value.split_whitespace().next());
        words.map(str::to_owned).collect()
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }
}

/// Whether these bytes can be the beginning of an HTTP/1 response.
fn is_http(bytes: &[u8]) -> bool {
    const OPENING: &[u8] = b"HTTP/1.";
    bytes.iter().zip(OPENING).all(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::super::played;
    use super::*;
    use crate::error::Error;

    fn ask(answer: &[u8]) -> (Result<(), ProxyProblem>, usize) {
        ask_in_pieces(answer, usize::MAX)
    }

    fn ask_in_pieces(answer: &[u8], most: usize) -> (Result<(), ProxyProblem>, usize) {
        let target = Target::new("proxy:3128", "shop.example", 443);
        let (_, outcome, used) = played::play(ConnectDialogue::new(target, None), answer, most);
        (outcome, used)
    }

    #[test]
    fn responses_of_a_proxy_are_distinguished() {
        let refused = |status, reason: &str, body: &str| ProxyProblem::Refused {
            status,
            reason: reason.to_owned(),
            body: body.as_bytes().to_vec(),
        };
        let required =
            |schemes: &[&str], challenges: &[&str]| ProxyProblem::AuthenticationRequired {
                schemes: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
                challenges: challenges.iter().map(|it| (*it).to_owned()).collect(),
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
                Err(required(
                    &["Basic", "Negotiate"],
                    &["Basic realm=\"x\"", "Negotiate"],
                )),
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
        fn no_response_causes_a_panic_or_is_printed_raw(
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
                let text = Error::from(ProxyError { target, problem }).explain().to_string();
                let bad = |c: char| c.is_control() && c != '\n';
                proptest::prop_assert!(!text.chars().any(bad), "{:?}", text);
            }
        }
    }

    #[test]
    fn request_is_encoded() {
        let credentials = Credentials::basic("al", "s3cret");
        let dialogue = ConnectDialogue::new(Target::new("p:1", "::1", 8443), Some(&credentials));
        let sent = String::from_utf8(dialogue.outgoing().to_vec()).unwrap();
        assert_eq!(
            sent,
            "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\
             Proxy-Authorization: Basic YWw6czNjcmV0\r\n\r\n"
        );
        // It is written in one place, which is wiped.
        let wiped: &Zeroizing<Vec<u8>> = &dialogue.outgoing;
        assert_eq!(wiped.capacity(), sent.len());
        assert!(!format!("{credentials:?}").contains("YWw6"));
        let target = Target::new("p:1", "a\r\nEvil: x", 1);
        let split = ConnectDialogue::new(target, None);
        assert!(!String::from_utf8_lossy(split.outgoing()).contains("\nEvil"));
    }
}
