//! Errors of HTTP exchanges, and their explanations.

// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;

use std::fmt;
use std::io;
use std::path::PathBuf;

use handfast::{Ending, Explanation, escape_control};
use handfast_http::h2::frame::code;
use http::StatusCode;

use super::completeness::Framing;
use super::credentials::text_without_credentials;

/// Why an exchange failed.
///
/// [`fmt::Display`] prints one level, [`std::error::Error::source`] leads to the next, and
/// [`explain`](Self::explain) says what happened, what shows it and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server was not reached.
    Dial(handfast_dial::Error),
    /// TLS or the network below it, with the phase in which it happened.
    Connection(handfast::Error),
    /// The text is no URL that can be fetched.
    InvalidUrl {
        /// What was given, without credentials.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The proxy was reached, and TLS with it failed.
    ProxyTls {
        /// The proxy, as `host:port`.
        proxy: String,
        /// Why it failed.
        source: handfast::Error,
    },
    /// A URL without TLS: nothing here fetches over plain HTTP.
    PlainHttp {
        /// The URL.
        url: String,
        /// The URL that redirected there, if one did.
        redirected_from: Option<String>,
    },
    /// A URL of another scheme than https.
    UnsupportedScheme {
        /// The URL, without credentials.
        url: String,
        /// Its scheme.
        scheme: String,
        /// The URL that redirected there, if one did.
        redirected_from: Option<String>,
    },
    /// The request cannot be written down as HTTP.
    InvalidRequest {
        /// What is wrong with it.
        problem: String,
    },
    /// The request's body could not be read: its reader failed, it was aborted, or it has another length than
    /// announced. The exchange was broken off.
    Upload {
        /// What is wrong with it.
        source: io::Error,
    },
    /// More redirects than allowed.
    TooManyRedirects {
        /// How many are allowed.
        limit: usize,
        /// Where the last one led.
        next: String,
    },
    /// A redirect to something that is no URL.
    InvalidRedirect {
        /// The `Location` field.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A status of 400 or more, made an error by the caller's choice.
    Status {
        /// The status.
        status: StatusCode,
        /// Of which URL.
        url: String,
    },
    /// The server took the request and ended without a byte of response.
    EmptyReply {
        /// How the connection ended.
        ending: Option<Ending>,
    },
    /// The client was closed ([`Client::close`](super::Client::close)) before a response had begun.
    ClientClosed,
    /// The server ended the HTTP/2 stream before a response had begun (RFC 9113, section 6.4).
    StreamReset {
        /// The error code.
        code: u32,
    },
    /// The server ended the HTTP/2 connection before a response had begun (RFC 9113, section 6.8).
    GoAway {
        /// The error code.
        code: u32,
        /// What the server says about it.
        debug: String,
    },
    /// What the server sent is not HTTP as it should be.
    Malformed {
        /// What the parser said.
        problem: String,
    },
    /// The server sent a part of the file (206) that is not what was requested (RFC 9110, section 15.3.7).
    RangeNotSent {
        /// What was requested.
        asked: String,
        /// What it sent.
        sent: String,
    },
    /// The body has a content coding that is not decoded here.
    UnsupportedCoding {
        /// Its name.
        coding: String,
    },
    /// The body cannot be decoded, and was not cut off by the connection.
    BrokenCoding {
        /// Its content coding.
        coding: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The body decodes to far more than was received.
    DecompressionBomb {
        /// How many bytes were received.
        received: u64,
        /// How many were decoded from them.
        decoded: u64,
    },
    /// The body is larger than its caller allows.
    TooLarge {
        /// How many bytes are allowed.
        limit: u64,
        /// How many were announced; `None` when more came.
        announced: Option<u64>,
    },
    /// The response ended before its end.
    Truncated(Box<Truncation>),
    /// A file of ours cannot be used.
    File {
        /// Which one.
        path: PathBuf,
        /// What was to be done with it: "write", "rename".
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another download of the same name is running.
    DownloadRunning {
        /// Its file.
        part: PathBuf,
    },
}

/// What is known of a response that was cut off.
#[derive(Debug)]
#[non_exhaustive]
pub struct Truncation {
    /// How the end of the body would have been known; `None` when the head itself was cut off.
    pub framing: Option<Framing>,
    /// How many bytes of body should have come, where that was announced.
    pub expected: Option<u64>,
    /// How many came. Without a head: bytes of the head.
    pub received: u64,
    /// How the connection ended, if it was its end that cut the response off.
    pub ending: Option<Ending>,
    /// What HTTP had to say, where it was not the connection's end: a malformed chunk, a reset stream.
    pub problem: Option<String>,
    /// What TLS or the network had to say: a record that fails its check, an alert, a time limit.
    pub failure: Option<handfast::Error>,
}

impl Error {
    /// Whether the server wants HTTP/1.1 (RFC 9113, section 7: `HTTP_1_1_REQUIRED`).
    pub fn requires_http1(&self) -> bool {
        matches!(
            self,
            Self::StreamReset { code, .. } | Self::GoAway { code, .. } if *code == code::HTTP_1_1_REQUIRED
        )
    }

    /// The same with the name of the server that was asked for, where it is about connecting to it.
    pub(super) fn with_server_name(self, name: &str) -> Self {
        match self {
            Self::Dial(error) => Self::Dial(error.with_server_name(name)),
            Self::Connection(error) => Self::Connection(error.with_server_name(name)),
            other => other,
        }
    }

    /// What happened, the evidence for it, and what to do about it.
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Dial(error) => error.explain(),
            Self::Connection(error) => error.explain(),
            Self::ProxyTls { proxy, source } => {
                // It is the server of its connection; "the server" is the one behind it.
                let mut explanation = source.explain();
                explanation.what = explanation.what.replace("the server", "the proxy");
                let evidence = format!("in the handshake with the proxy {}", escape_control(proxy));
                explanation.with_evidence(evidence)
            }
            Self::InvalidUrl { text, problem } => Explanation::new(
                "invalid-url",
                format!("`{}` cannot be fetched: {problem}", escape_control(text)),
            )
            .with_fix("write it as https://example.org/path"),
            Self::PlainHttp {
                url,
                redirected_from,
            } => {
                let url = escape_control(url);
                match redirected_from {
                    None => {
                        let secure = url.replacen("http://", "https://", 1);
                        Explanation::new(
                            "plain-http",
                            format!("{url} would be fetched without TLS"),
                        )
                        .with_fix(format!("fetch {secure} instead"))
                    }
                    Some(from) => Explanation::new(
                        "redirect-to-plain-http",
                        format!("the server redirects to {url}, which is not secured"),
                    )
                    .with_evidence(format!("redirected from {}", escape_control(from)))
                    .with_fix("tell the server's administrator: a redirect must not leave HTTPS"),
                }
            }
            Self::UnsupportedScheme {
                url,
                scheme,
                redirected_from,
            } => {
                let scheme = escape_control(scheme);
                let what = match redirected_from {
                    None => format!(
                        "the scheme {scheme} is not supported: {}",
                        escape_control(url)
                    ),
                    Some(_) => format!(
                        "the server redirects to {}, and the scheme {scheme} is not supported",
                        escape_control(url)
                    ),
                };
                let explanation = Explanation::new("unsupported-scheme", what);
                match redirected_from {
                    None => explanation.with_fix("give a URL that begins with https://"),
                    Some(from) => explanation
                        .with_evidence(format!("redirected from {}", escape_control(from)))
                        .with_fix("tell the server's administrator: such a redirect leaves HTTPS"),
                }
            }
            Self::InvalidRequest { problem } => Explanation::new(
                "invalid-request",
                format!("the request cannot be sent: {}", escape_control(problem)),
            ),
            Self::Upload { source } => Explanation::new(
                "upload-failed",
                format!("the request's body could not be sent: {}", plain(source)),
            )
            .with_evidence(
                "the exchange was aborted, so that the server does not take a part for the whole",
            )
            .with_fix("check what the body is read from"),
            Self::TooManyRedirects { limit, next } => {
                Explanation::new("too-many-redirects", format!("more than {limit} redirects"))
                    .with_evidence(format!("the next would lead to {}", escape_control(next)))
                    .with_fix("look for a loop, or allow more redirects")
            }
            Self::InvalidRedirect { location, problem } => Explanation::new(
                "invalid-redirect",
                format!("the server redirects to an invalid URL: {problem}"),
            )
            .with_evidence(format!(
                "location: {}",
                escape_control(&text_without_credentials(location))
            )),
            Self::Status { status, url } => {
                Explanation::new("http-status", format!("the server answered {status}"))
                    .with_evidence(format!("for {}", escape_control(url)))
            }
            Self::EmptyReply { ending } => Explanation::new(
                "empty-reply",
                "the server accepted the request and sent no response",
            )
            .with_evidence(ended(*ending))
            .with_fix("see the server's log"),
            Self::ClientClosed => Explanation::new(
                "client-closed",
                "the client closed its connections before the server had answered",
            )
            .with_fix("wait for the running requests before the client is closed"),
            Self::StreamReset { code } => {
                let explanation =
                    Explanation::new("stream-reset", "the server reset the request's stream")
                        .with_evidence(format!("RST_STREAM with {}", code::name(*code)));
                match *code {
                    code::HTTP_1_1_REQUIRED => explanation.with_fix(HTTP1_ONLY),
                    _ => explanation,
                }
            }
            Self::GoAway { code, debug } => {
                let mut explanation = Explanation::new(
                    "go-away",
                    "the server closed the connection without an answer to the request",
                )
                .with_evidence(format!("GOAWAY with {}", code::name(*code)));
                if !debug.is_empty() {
                    let said = format!("the server says: {}", escape_control(debug));
                    explanation = explanation.with_evidence(said);
                }
                match *code {
                    code::HTTP_1_1_REQUIRED => explanation.with_fix(HTTP1_ONLY),
                    code::NO_ERROR => explanation.with_fix("try again: it is restarting"),
                    _ => explanation,
                }
            }
            Self::Malformed { problem } => Explanation::new(
                "malformed-response",
                format!(
                    "what the server sent is not HTTP: {}",
                    escape_control(problem)
                ),
            ),
            Self::RangeNotSent { asked, sent } => Explanation::new(
                "range-not-sent",
                format!("the server sent {sent}, and {asked} was requested"),
            )
            .with_evidence("its answer is 206 Partial Content")
            .with_fix("if a range was requested, request the whole file; if not, tell the server's administrator"),
            Self::UnsupportedCoding { coding } => Explanation::new(
                "unsupported-content-coding",
                format!(
                    "the response has the content coding {}, which cannot be decoded",
                    escape_control(coding)
                ),
            )
            .with_fix("request it without a content coding"),
            Self::BrokenCoding { coding, problem } => Explanation::new(
                "broken-content-coding",
                format!(
                    "the response cannot be decoded ({coding}): {}",
                    escape_control(problem)
                ),
            )
            .with_evidence("it was not truncated by the connection: the server sent it like this")
            .with_fix("request it without a content coding, and tell the server's administrator"),
            Self::DecompressionBomb { received, decoded } => Explanation::new(
                "decompression-bomb",
                format!(
                    "decoding was stopped: {} were decoded from {}",
                    bytes(*decoded),
                    bytes(*received)
                ),
            )
            .with_evidence("content made to fill memory or disks looks like this")
            .with_fix("if you expect that much, set a limit on the size"),
            Self::TooLarge { limit, announced } => Explanation::new(
                "response-too-large",
                match announced {
                    Some(announced) => format!(
                        "the response has {}, and {limit} are allowed",
                        bytes(*announced)
                    ),
                    None => format!("the response has more than the {} allowed", bytes(*limit)),
                },
            )
            .with_fix("allow a larger response"),
            Self::Truncated(truncation) => truncation.explain(),
            Self::File {
                path,
                action,
                source,
            } => Explanation::new(
                "file-unusable",
                format!(
                    "cannot {action} {}: {}",
                    escape_control(&path.display().to_string()),
                    plain(source)
                ),
            ),
            Self::DownloadRunning { part } => Explanation::new(
                "download-running",
                format!(
                    "another download is writing {}",
                    escape_control(&part.display().to_string())
                ),
            )
            .with_fix("wait for it, or choose another name"),
        }
    }
}

const HTTP1_ONLY: &str = "use HTTP/1.1 with this server";

impl Truncation {
    fn explain(&self) -> Explanation {
        let what = match (&self.framing, self.expected) {
            (None, _) => format!(
                "the response was cut off within its head, after {}",
                bytes(self.received)
            ),
            (Some(_), Some(expected)) => format!(
                "the response was cut off: {} of {} arrived",
                self.received,
                bytes(expected)
            ),
            (Some(Framing::UntilClose), None) => format!(
                "the response may have been cut off: {} arrived, and nothing shows that this was all",
                bytes(self.received)
            ),
            (Some(_), None) => format!("the response was cut off after {}", bytes(self.received)),
        };
        let mut explanation = Explanation::new("truncated", what);
        if let Some(framing) = self.framing {
            explanation =
                explanation.with_evidence(format!("the body's end is given by: {framing}"));
        }
        if let Some(problem) = &self.problem {
            explanation = explanation.with_evidence(format!("HTTP: {}", escape_control(problem)));
        }
        if let Some(failure) = &self.failure {
            let below = failure.explain();
            explanation = explanation.with_evidence(format!("{} [{}]", below.what, below.id));
        }
        if self.ending.is_some() || self.failure.is_none() && self.problem.is_none() {
            explanation = explanation.with_evidence(ended(self.ending));
        }
        match (self.framing, self.ending) {
            (Some(Framing::UntilClose), Some(Ending::Premature | Ending::Reset)) => explanation
                .with_fix(
                    "do not treat the data as complete: an attacker on the path can end a connection like this",
                )
                .with_fix(
                    "a server that always ends like this should announce lengths, or end with close_notify",
                ),
            _ => explanation.with_fix("fetch it again"),
        }
    }
}

fn ended(ending: Option<Ending>) -> String {
    match ending {
        Some(ending) => format!("the connection ended by {ending}"),
        None => "the connection itself goes on".to_owned(),
    }
}

fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    }
}

/// The operating system's words without the number that Rust adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Connection(error) => error.fmt(f),
            other => f.write_str(&other.explain().what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(error) => error.source(),
            Self::Connection(error) => error.source(),
            Self::ProxyTls { source, .. } => Some(source),
            Self::Truncated(truncation) => {
                let failure = truncation.failure.as_ref()?;
                Some(failure)
            }
            Self::File { source, .. } | Self::Upload { source } => Some(source),
            _ => None,
        }
    }
}

impl From<handfast_dial::Error> for Error {
    fn from(error: handfast_dial::Error) -> Self {
        Self::Dial(error)
    }
}

impl From<handfast::Error> for Error {
    fn from(error: handfast::Error) -> Self {
        Self::Connection(error)
    }
}
