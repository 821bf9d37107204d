//! Measurements: plain data, combined from samples of a second each.

use std::collections::BTreeMap;
use std::time::Duration;

use handfast::{Ending, Explanation, Report, TlsVersion, Traffic};
use handfast_dial::ConnectError;
use hdrhistogram::Histogram;

use super::outcome::{Broken, Response};
use super::schedule::Nanos;

/// Significant decimal digits of distributions: an error of 0.1%.
const DIGITS: u8 = 3;

/// Statuses from here on are failures (RFC 9110, sections 15.5 and 15.6).
const FAILED_STATUS_MIN: u16 = 400;

/// A test never ends exactly at a second: a shorter rest is not a second of its
/// own unless something happened in it.
const LEFTOVER_MAX: Duration = Duration::from_millis(100);

/// How often each of many durations occurred, exact to three digits.
#[derive(Debug, Clone)]
pub struct Distribution(Histogram<u64>);

impl Default for Distribution {
    fn default() -> Self {
        #[allow(
            clippy::expect_used,
            reason = "three digits are within the crate's bounds"
        )]
        let mut histogram = Histogram::new(DIGITS).expect("0 to 5 digits are allowed");
        histogram.auto(true);
        Self(histogram)
    }
}

impl Distribution {
    pub(super) fn record(&mut self, nanos: Nanos) {
        // With automatic growth, it fails only without memory: then the value saturates.
        if self.0.record(nanos).is_err() {
            self.0.saturating_record(nanos);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        // Growing makes room for any value.
        let _ = self.0.add(&other.0);
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The duration that this percentage (0 to 100) does not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// The shortest.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(if self.0.is_empty() { 0 } else { self.0.min() })
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// The average.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    /// The standard deviation.
    pub fn deviation(&self) -> Duration {
        Duration::from_nanos(self.0.stdev() as u64)
    }

    /// How many are between the bounds, for a histogram: one more than the bounds, the first
    /// below the first bound, the last not below the last.
    pub fn counts_between(&self, bounds: &[Duration]) -> Vec<u64> {
        let mut counts = vec![0; bounds.len() + 1];
        for bucket in self.0.iter_recorded() {
            let value = Duration::from_nanos(bucket.value_iterated_to());
            let index = bounds.partition_point(|bound| *bound <= value);
            if let Some(count) = counts.get_mut(index) {
                *count += bucket.count_since_last_iteration();
            }
        }
        counts
    }
}

/// The results of the requests. They add up: `started` is the sum of `complete`, `truncated`,
/// `failed` and `unfinished`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// Requests started.
    pub started: u64,
    /// Requests with a complete response, and a status below 400.
    pub complete: u64,
    /// Requests with an incomplete response.
    pub truncated: u64,
    /// Requests without a response, or with a complete one and a status of 400 or
    /// more (RFC 9110, section 15).
    pub failed: u64,
    /// Those of `failed` with such a status.
    pub failed_by_status: u64,
    /// Requests without a result at the end of the test.
    pub unfinished: u64,
    /// Requests that a server had refused without processing them (GOAWAY, `REFUSED_STREAM`) and
    /// that were sent again: each counts once here for each time, and once in all as started.
    pub resent: u64,
    /// Open loop: requests never sent, because every connection was busy until the end.
    pub unsent: u64,
}

/// How the connections ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ends {
    /// The server sent `close_notify`.
    pub close_notify: u64,
    /// The server's FIN came without `close_notify`.
    pub premature: u64,
    /// A reset.
    pub reset: u64,
    /// We closed, and did not receive the server's end.
    pub ours: u64,
}

/// The negotiated parameters of handshakes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Agreed {
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite.
    pub cipher_suite: &'static str,
    /// The key exchange group, if any.
    pub group: Option<&'static str>,
    /// The application protocol, if any.
    pub alpn: Option<String>,
    /// Whether a session was resumed.
    pub resumed: bool,
}

/// One cause of failures.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The number of affected requests.
    pub count: u64,
    /// The first occurrence, explained.
    pub explanation: Explanation,
    /// The first occurrence as the library's error, if it was one.
    pub error: Option<ConnectError>,
}

/// A second of the test.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Second {
    /// Its index, from 0.
    pub index: u64,
    /// Its length: the last one may be shorter.
    pub length: Duration,
    /// Complete responses.
    pub complete: u64,
    /// Truncated responses and failures.
    pub failed: u64,
    /// Handshakes finished.
    pub handshakes: u64,
    /// Bytes received from the sockets.
    pub bytes_received: u64,
    /// Latency that half of the responses did not exceed.
    pub p50: Duration,
    /// ... 90%.
    pub p90: Duration,
    /// ... 99%.
    pub p99: Duration,
    /// The longest latency.
    pub max: Duration,
    /// Open loop: requests due and waiting for a connection at the end of the second.
    pub waiting: u64,
}

/// All measurements.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Measurements {
    /// From the start of the clock to the last thread's end.
    pub elapsed: Duration,
    /// The results of the requests.
    pub requests: Requests,
    /// Complete responses by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Latency of complete requests: to the last byte, from when the request was due (open loop) or
    /// could be sent (closed loop). If every request has its own connection, it includes
    /// connecting and the handshake.
    pub latency: Distribution,
    /// The same from when the request was sent: in the open loop, the difference is the
    /// time spent waiting for a connection.
    pub service: Distribution,
    /// Latency of the requests that failed by their status. These are often faster: together with
    /// the others, they would improve the result.
    pub failed_latency: Distribution,
    /// From the call of `connect` to the connection's first byte sent.
    pub connect: Distribution,
    /// From there to the end of the handshake.
    pub handshake: Distribution,
    /// Attempted connections.
    pub connections: u64,
    /// The negotiated parameters, and the number of handshakes with each.
    pub agreed: BTreeMap<Agreed, u64>,
    /// How connections ended.
    pub ends: Ends,
    /// Bytes and records of all connections.
    pub traffic: Traffic,
    /// Bytes of the bodies of complete responses.
    pub body_bytes: u64,
    /// Connections with more data than the responses.
    pub surplus: u64,
    /// Causes of failures, by their stable id.
    pub failures: BTreeMap<&'static str, Failure>,
    /// The test by seconds.
    pub seconds: Vec<Second>,
    /// Processor time of the generator's threads, if the platform reports it.
    pub cpu: Option<Duration>,
    /// The number of threads.
    pub threads: usize,
    /// The test was aborted because no request succeeded.
    pub gave_up: bool,
}

impl Measurements {
    /// Complete requests per second.
    pub fn rate(&self) -> f64 {
        per_second(self.requests.complete, self.elapsed)
    }

    /// Complete requests per second of the generator's own processor time.
    pub fn per_cpu_second(&self) -> Option<f64> {
        self.cpu
            .filter(|cpu| !cpu.is_zero())
            .map(|cpu| self.requests.complete as f64 / cpu.as_secs_f64())
    }

    /// Whether the generator itself was the bottleneck: its threads were busy for more than 90% of
    /// the time: latencies then include its own queue.
    pub fn generator_saturated(&self) -> bool {
        let available = self.elapsed.as_secs_f64() * self.threads as f64;
        self.cpu
            .is_some_and(|cpu| available > 0.0 && cpu.as_secs_f64() > 0.9 * available)
    }

    /// Completed handshakes: full and resumed ones.
    pub fn handshakes(&self) -> (u64, u64) {
        let count = |resumed| {
            let these = self.agreed.iter().filter(|(one, _)| one.resumed == resumed);
            these.map(|(_, count)| count).sum()
        };
        (count(false), count(true))
    }

    /// Whether anything failed.
    pub fn any_failed(&self) -> bool {
        self.requests.failed + self.requests.truncated > 0
    }

    /// Complete responses by the class of their status, 1xx to 5xx, and others.
    pub fn status_classes(&self) -> [u64; 6] {
        let mut classes = [0; 6];
        for (status, count) in &self.statuses {
            let index = usize::from(status / 100).wrapping_sub(1).min(5);
            if let Some(class) = classes.get_mut(index) {
                *class += count;
            }
        }
        classes
    }

    /// A second of all threads together. Says whether it is one to be told of: what is left over at
    /// the end is not, if nothing happened in it.
    pub(super) fn absorb(&mut self, second: u64, length: Duration, sample: Sample) -> bool {
        let seen = length >= LEFTOVER_MAX || !sample.is_empty();
        let told = Second {
            index: second,
            length,
            complete: sample.requests.complete,
            failed: sample.requests.truncated + sample.requests.failed,
            handshakes: sample.agreed.iter().map(|(_, count)| count).sum(),
            bytes_received: sample.bytes_received,
            p50: sample.latency.percentile(50.0),
            p90: sample.latency.percentile(90.0),
            p99: sample.latency.percentile(99.0),
            max: sample.latency.max(),
            waiting: sample.waiting,
        };
        if seen {
            self.seconds.push(told);
        }
        self.elapsed = self.elapsed.max(Duration::from_secs(second) + length);
        add_requests(&mut self.requests, &sample.requests);
        for (status, count) in sample.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.latency.add(&sample.latency);
        self.service.add(&sample.service);
        self.failed_latency.add(&sample.failed_latency);
        self.connect.add(&sample.connect);
        self.handshake.add(&sample.handshake);
        self.connections += sample.connections;
        for (agreed, count) in sample.agreed {
            *self.agreed.entry(agreed).or_default() += count;
        }
        add_ends(&mut self.ends, &sample.ends);
        add_traffic(&mut self.traffic, &sample.traffic);
        self.body_bytes += sample.body_bytes;
        self.surplus += sample.surplus;
        merge_failures(&mut self.failures, sample.failures);
        if let Some(failure) = failed_statuses(&self.statuses) {
            self.failures.insert(failure.explanation.id, failure);
        }
        if let Some(cpu) = sample.cpu {
            *self.cpu.get_or_insert_default() += cpu;
        }
        self.gave_up |= sample.gave_up;
        seen
    }
}

/// The failures by status.
fn failed_statuses(statuses: &BTreeMap<u16, u64>) -> Option<Failure> {
    let failed = || statuses.range(FAILED_STATUS_MIN..);
    let mut explanation = Explanation::new("http-status", "the response has an error status");
    for (status, count) in failed() {
        let reason = http::StatusCode::from_u16(*status)
            .ok()
            .and_then(|status| status.canonical_reason());
        explanation = explanation.with_evidence(match reason {
            Some(reason) => format!("{status} {reason}: {count}"),
            None => format!("{status}: {count}"),
        });
    }
    let count: u64 = failed().map(|(_, count)| count).sum();
    (count > 0).then_some(Failure {
        count,
        explanation,
        error: None,
    })
}

pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        return 0.0;
    }
    count as f64 / time.as_secs_f64()
}

fn add_requests(sum: &mut Requests, other: &Requests) {
    sum.started += other.started;
    sum.complete += other.complete;
    sum.truncated += other.truncated;
    sum.failed += other.failed;
    sum.failed_by_status += other.failed_by_status;
    sum.unfinished += other.unfinished;
    sum.resent += other.resent;
    sum.unsent += other.unsent;
}

fn add_ends(sum: &mut Ends, other: &Ends) {
    sum.close_notify += other.close_notify;
    sum.premature += other.premature;
    sum.reset += other.reset;
    sum.ours += other.ours;
}

fn add_traffic(sum: &mut Traffic, other: &Traffic) {
    sum.records_received += other.records_received;
    sum.records_sent += other.records_sent;
    sum.plaintext_received += other.plaintext_received;
    sum.plaintext_sent += other.plaintext_sent;
    sum.bytes_received += other.bytes_received;
    sum.bytes_sent += other.bytes_sent;
}

fn merge_failures(
    sum: &mut BTreeMap<&'static str, Failure>,
    other: BTreeMap<&'static str, Failure>,
) {
    for (id, failure) in other {
        match sum.get_mut(id) {
            Some(known) => known.count += failure.count,
            None => {
                sum.insert(id, failure);
            }
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Fault {
    Connection(ConnectError),
    Http(Broken),
}

impl Fault {
    pub(super) fn dial(error: handfast_dial::Error) -> Self {
        Self::Connection(error.into())
    }

    pub(super) fn tls(error: handfast::Error) -> Self {
        Self::Connection(error.into())
    }
}

/// The measurements of one thread since its last sample. Recording is the hot path: no map is searched for
/// repeated values.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) requests: Requests,
    statuses: Vec<(u16, u64)>,
    latency: Distribution,
    service: Distribution,
    failed_latency: Distribution,
    pub(super) connect: Distribution,
    pub(super) handshake: Distribution,
    pub(super) connections: u64,
    agreed: Vec<(Agreed, u64)>,
    ends: Ends,
    traffic: Traffic,
    pub(super) bytes_received: u64,
    body_bytes: u64,
    pub(super) surplus: u64,
    failures: BTreeMap<&'static str, Failure>,
    pub(super) waiting: u64,
    pub(super) cpu: Option<Duration>,
    pub(super) gave_up: bool,
}

impl Sample {
    /// Whether it has no results.
    fn is_empty(&self) -> bool {
        let requests = &self.requests;
        requests.complete + requests.truncated + requests.failed == 0 && self.agreed.is_empty()
    }

    pub(super) fn complete(&mut self, latency: Nanos, service: Nanos, response: Response) {
        if response.status >= FAILED_STATUS_MIN {
            self.requests.failed += 1;
            self.requests.failed_by_status += 1;
            self.failed_latency.record(latency);
        } else {
            self.requests.complete += 1;
            self.latency.record(latency);
            self.service.record(service);
        }
        self.body_bytes += response.body_bytes;
        match self
            .statuses
            .iter_mut()
            .find(|(status, _)| *status == response.status)
        {
            Some((_, count)) => *count += 1,
            None => self.statuses.push((response.status, 1)),
        }
    }

    /// Counts requests that failed before and after a response began, for one reason.
    pub(super) fn fail(&mut self, waiting: u64, begun: u64, fault: Fault) {
        self.requests.failed += waiting;
        self.requests.truncated += begun;
        let (explanation, error) = match fault {
            Fault::Connection(error) => (error.explain(), Some(error)),
            Fault::Http(broken) => (broken.explain(), None),
        };
        self.failures
            .entry(explanation.id)
            .or_insert(Failure {
                count: 0,
                explanation,
                error,
            })
            .count += waiting + begun;
    }

    pub(super) fn agreed(&mut self, report: &Report) {
        let known = self.agreed.iter_mut().find(|(one, _)| {
            one.resumed == report.resumed
                && one.cipher_suite == report.cipher_suite
                && one.version == report.version
                && one.group == report.group
                && one.alpn.as_deref().map(str::as_bytes) == report.alpn.as_deref()
        });
        match known {
            Some((_, count)) => *count += 1,
            None => {
                let alpn = report.alpn.as_deref();
                let agreed = Agreed {
                    version: report.version,
                    cipher_suite: report.cipher_suite,
                    group: report.group,
                    alpn: alpn.map(|name| String::from_utf8_lossy(name).into_owned()),
                    resumed: report.resumed,
                };
                self.agreed.push((agreed, 1));
            }
        }
    }

    /// A connection has ended; `None` if the server's end was not received.
    pub(super) fn ended(&mut self, ending: Option<Ending>, traffic: &Traffic) {
        match ending {
            Some(Ending::CloseNotify) => self.ends.close_notify += 1,
            Some(Ending::Premature) => self.ends.premature += 1,
            Some(Ending::Reset) => self.ends.reset += 1,
            None => self.ends.ours += 1,
        }
        add_traffic(&mut self.traffic, traffic);
    }

    /// Another thread's sample of the same second.
    pub(super) fn merge(&mut self, other: Self) {
        add_requests(&mut self.requests, &other.requests);
        for (status, count) in other.statuses {
            match self.statuses.iter_mut().find(|(known, _)| *known == status) {
                Some((_, sum)) => *sum += count,
                None => self.statuses.push((status, count)),
            }
        }
        self.latency.add(&other.latency);
        self.service.add(&other.service);
        self.failed_latency.add(&other.failed_latency);
        self.connect.add(&other.connect);
        self.handshake.add(&other.handshake);
        self.connections += other.connections;
        for (agreed, count) in other.agreed {
            match self.agreed.iter_mut().find(|(known, _)| *known == agreed) {
                Some((_, sum)) => *sum += count,
                None => self.agreed.push((agreed, count)),
            }
        }
        add_ends(&mut self.ends, &other.ends);
        add_traffic(&mut self.traffic, &other.traffic);
        self.bytes_received += other.bytes_received;
        self.body_bytes += other.body_bytes;
        self.surplus += other.surplus;
        merge_failures(&mut self.failures, other.failures);
        self.waiting += other.waiting;
        if let Some(cpu) = other.cpu {
            *self.cpu.get_or_insert_default() += cpu;
        }
        self.gave_up |= other.gave_up;
    }
}
