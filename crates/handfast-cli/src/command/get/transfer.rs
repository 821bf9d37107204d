//! What is known of one transfer, from its first request to its end: what `-w`, the reports and the waterfall show.
//!
//! It is told the events of its exchange, and nothing else measures: each way of showing a transfer has the same figures.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use handfast::{Ending, Report};
use handfast_https::client::{ConnectionFacts, Error, Event, Framing, Response, Whole};
use http::{HeaderMap, Method, StatusCode, Version};

use super::watch;
use crate::failure::Failure;

/// A transfer that events are told to while it goes on.
#[derive(Debug, Clone)]
pub(super) struct Recorder(Arc<Mutex<Transfer>>);

impl Recorder {
    pub(super) fn new(url: &str, number: usize, method: &Method) -> Self {
        let transfer = Transfer::new(url.to_owned(), number, method.clone());
        Self(Arc::new(Mutex::new(transfer)))
    }

    /// It is tried again from the beginning: what is known of the last attempt is forgotten, as by curl.
    pub(super) fn restart(&self) {
        let mut transfer = self.transfer();
        let url = std::mem::take(&mut transfer.url);
        *transfer = Transfer::new(url, transfer.number, transfer.method.clone());
    }

    pub(super) fn transfer(&self) -> MutexGuard<'_, Transfer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One URL's transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    /// As it was typed.
    pub(super) url: String,
    /// Among the URLs of the command, counted from 0.
    pub(super) number: usize,
    /// Of the first request.
    pub(super) method: Method,
    began: Instant,
    pub(super) began_at: SystemTime,
    /// From its beginning to its end.
    pub(super) took: Duration,
    /// Its requests: more than one where a server redirects.
    pub(super) steps: Vec<Step>,
    /// The connection of the last response.
    pub(super) connection: Option<ConnectionFacts>,
    /// Bytes of the last body, as they came.
    pub(super) received: u64,
    /// The file that has the body.
    pub(super) file: Option<PathBuf>,
    /// In how many ranges it is fetched at once.
    pub(super) segments: usize,
    pub(super) end: End,
    /// Why it failed: exit code, id, sentence.
    pub(super) failure: Option<(u8, &'static str, String)>,
    /// The handshake that failed was one with the proxy.
    pub(super) is_proxys_failure: bool,
}

/// How the response ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// How the connection ended; `None` while it goes on.
    pub(super) connection: Option<Ending>,
    pub(super) trailers: Option<HeaderMap>,
    /// The request was not sent to its end.
    pub(super) request_cut_short: bool,
    pub(super) verdict: Verdict,
    /// Bytes that were announced.
    pub(super) expected: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Verdict {
    /// All of it came.
    Complete,
    /// It ended before its end.
    Truncated,
    /// There is no response, or it could not be used.
    #[default]
    Failed,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::Failed => "failed",
        }
    }
}

/// One request and its response. Times are counted from the beginning of the transfer.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) began: Duration,
    pub(super) resolved: Option<Duration>,
    pub(super) connected: Option<Duration>,
    pub(super) proxied: Option<Duration>,
    pub(super) secured: Option<Duration>,
    pub(super) requested: Option<Duration>,
    pub(super) responded: Option<Duration>,
    pub(super) completed: Option<Duration>,
    /// How many connections were made for it.
    pub(super) connections: u64,
    pub(super) report: Option<Box<Report>>,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) fields: HeaderMap,
    /// Bytes of the request's head.
    pub(super) head_sent: u64,
    /// Bytes of its body that went to the connection.
    pub(super) body_sent: u64,
    pub(super) response: Option<Head>,
    /// Bytes of the response's body.
    pub(super) body_received: u64,
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) framing: Framing,
    pub(super) bytes: u64,
}

impl Step {
    fn new(began: Duration, method: Method, url: String) -> Self {
        Self {
            began,
            resolved: None,
            connected: None,
            proxied: None,
            secured: None,
            requested: None,
            responded: None,
            completed: None,
            connections: 0,
            report: None,
            method,
            url,
            fields: HeaderMap::new(),
            head_sent: 0,
            body_sent: 0,
            response: None,
            body_received: 0,
        }
    }

    /// From its beginning until then.
    pub(super) fn until(&self, then: Option<Duration>) -> Duration {
        then.unwrap_or_default().saturating_sub(self.began)
    }
}

impl Transfer {
    fn new(url: String, number: usize, method: Method) -> Self {
        Self {
            url,
            number,
            method,
            began: Instant::now(),
            began_at: SystemTime::now(),
            took: Duration::ZERO,
            steps: Vec::new(),
            connection: None,
            received: 0,
            file: None,
            segments: 1,
            end: End::default(),
            failure: None,
            is_proxys_failure: false,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The request that is being made.
    fn step(&mut self) -> &mut Step {
        if self.steps.is_empty() {
            let first = Step::new(Duration::ZERO, self.method.clone(), self.url.clone());
            self.steps.push(first);
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    pub(super) fn last(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// The last response.
    pub(super) fn response(&self) -> Option<&Head> {
        self.last()?.response.as_ref()
    }

    pub(super) fn observe(&mut self, event: &Event<'_>) {
        let now = self.now();
        match event {
            Event::Resolved { .. } => self.step().resolved = Some(now),
            Event::Connected { .. } => self.step().connected = Some(now),
            Event::Proxied { .. } => self.step().proxied = Some(now),
            Event::Secured { report } => {
                let step = self.step();
                step.secured = Some(now);
                step.connections += 1;
                step.report = Some(Box::new(Report::clone(report)));
            }
            Event::Requesting {
                method,
                url,
                version,
                headers,
                body_bytes,
            } => {
                if self.step().response.is_some() {
                    // Answered with 417: it is sent once more.
                    self.steps
                        .push(Step::new(now, Method::clone(method), (*url).to_owned()));
                }
                let step = self.step();
                step.requested = Some(now);
                step.method = Method::clone(method);
                step.url = (*url).to_owned();
                step.head_sent += head_bytes(method, url, *version, headers, *body_bytes);
                step.fields = HeaderMap::clone(headers);
            }
            Event::Uploading { piece } => self.step().body_sent += piece.len() as u64,
            Event::Responding {
                version,
                status,
                headers,
                framing,
            } => {
                let step = self.step();
                step.responded = Some(now);
                step.response = Some(Head {
                    version: *version,
                    status: *status,
                    fields: HeaderMap::clone(headers),
                    framing: *framing,
                    bytes: watch::head_text(*version, *status, headers, false).len() as u64,
                });
            }
            Event::Redirecting { url, method } => {
                self.received = 0;
                self.end = End::default();
                self.steps
                    .push(Step::new(now, Method::clone(method), (*url).to_owned()));
            }
            Event::Completed {
                whole,
                trailers,
                ending,
                request_cut_short,
                ..
            } => {
                let step = self.step();
                step.completed = Some(now);
                step.body_received = whole.bytes();
                self.received = whole.bytes();
                self.end.connection = *ending;
                self.end.trailers = trailers.cloned();
                self.end.request_cut_short = *request_cut_short;
                self.end.verdict = Verdict::Complete;
            }
            _ => {}
        }
    }

    /// A body that was in memory went out with the request.
    pub(super) fn sent(&mut self, body: u64) {
        let step = self.step();
        step.body_sent = step.body_sent.max(body);
    }

    pub(super) fn responding(&mut self, response: &Response) {
        self.connection = Some(response.connection().clone());
        self.end.expected = response.framing().expected();
    }

    /// Another connection was made for a part of the last response's file.
    pub(super) fn another_connection(&mut self) {
        self.step().connections += 1;
    }

    /// All of the file has come, in so many ranges.
    pub(super) fn came_in_ranges(&mut self, count: usize, whole: &Whole) {
        let now = self.now();
        let step = self.step();
        step.completed = Some(now);
        step.body_received = whole.bytes();
        self.received = whole.bytes();
        self.segments = count;
        self.end.connection = None;
        self.end.expected = Some(whole.bytes());
        self.end.verdict = Verdict::Complete;
    }

    /// The exchange failed; what that says of the body.
    pub(super) fn broken(&mut self, error: &Error) {
        self.is_proxys_failure = matches!(error, Error::ProxyTls { .. });
        if let Error::Truncated(truncation) = error {
            self.end.verdict = Verdict::Truncated;
            self.end.connection = truncation.ending;
            if truncation.framing.is_some() {
                self.received = truncation.received;
            }
        }
    }

    /// It is over.
    pub(super) fn over(&mut self, result: Result<(), &Failure>) {
        self.took = self.now();
        if let Err(failure) = result {
            let explanation = &failure.explanation;
            self.failure = Some((failure.code, explanation.id, explanation.what.clone()));
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        self.failure.as_ref().map_or(0, |(code, ..)| *code)
    }
}

/// How many bytes the head of a request has, written as HTTP/1.1 writes it: over HTTP/2 it is sent as fewer.
fn head_bytes(
    method: &Method,
    url: &str,
    version: Version,
    fields: &HeaderMap,
    body: Option<u64>,
) -> u64 {
    let target = url::Url::parse(url).map_or(1, |url| {
        url[url::Position::BeforePath..url::Position::AfterQuery].len()
    });
    let line = method.as_str().len() + 1 + target + " HTTP/1.1\r\n".len();
    let listed = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + 2 + value.len() + 2);
    let has_length = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    let framing = match body {
        Some(0) if !has_length => 0,
        Some(length) => format!("content-length: {length}\r\n").len(),
        None if version < Version::HTTP_2 => "transfer-encoding: chunked\r\n".len(),
        None => 0,
    };
    (line + listed.sum::<usize>() + framing + 2) as u64
}
