//! The numbers as OpenMetrics text (version 1.0.0).

use std::fmt::{Display, Write as _};

use super::super::numbers::{CLASSES, DURATIONS_MS, ENDS, PROTOCOLS, TLS_VERSIONS};
use super::snapshot::Snapshot;
use crate::version;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A day, in seconds.
const DAY: f64 = 86_400.0;

/// Everything, with the mark of its end.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut text = Text(String::with_capacity(8 * 1024));
    text.server(snapshot);
    text.connections(snapshot);
    text.requests(snapshot);
    text.upkeep(snapshot);
    text.0.push_str("# EOF\n");
    text.0
}

/// OpenMetrics text that is being written. Writing to a string does not fail.
struct Text(String);

impl Text {
    /// What a family of samples is. `unit`: what its name ends with, or nothing.
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (number, (label, value)) in labels.iter().enumerate() {
            self.0.push(if number == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\n' => self.0.push_str("\\n"),
                    '"' | '\\' => self.0.extend(['\\', character]),
                    _ => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one gauge.
    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", unit, help);
        self.sample(name, &[], value);
    }

    /// A family of one counter.
    fn counter(&mut self, name: &str, unit: &str, help: &str, value: u64) {
        self.family(name, "counter", unit, help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    fn server(&mut self, snapshot: &Snapshot) {
        self.family("handfast_build", "info", "", "What is running.");
        let build = version::build();
        self.sample("handfast_build_info", &build, 1);
        self.gauge(
            "handfast_start_time_seconds",
            "seconds",
            "When the server started, in unix seconds.",
            format_args!("{:.3}", snapshot.started),
        );
        self.gauge(
            "handfast_uptime_seconds",
            "seconds",
            "For how long it has been running.",
            format_args!("{:.3}", snapshot.uptime),
        );
    }

    fn connections(&mut self, snapshot: &Snapshot) {
        let sums = &snapshot.sums;
        self.gauge(
            "handfast_connections",
            "",
            "Connections that are open, those in their handshake included.",
            snapshot.connections,
        );
        self.gauge(
            "handfast_connections_limit",
            "",
            "How many may be open.",
            snapshot.connections_max,
        );
        self.counter(
            "handfast_connections_full",
            "",
            "How often the limit was reached.",
            sums.full,
        );
        self.counter(
            "handfast_accept_failures",
            "",
            "Refusals of the system to hand out a connection.",
            sums.accept_failures,
        );
        let name = "handfast_connections_closed";
        let help = "Connections that have ended after their handshake, by reason.";
        self.family(name, "counter", "", help);
        for (reason, count) in ENDS.iter().zip(sums.ends) {
            self.sample(
                "handfast_connections_closed_total",
                &[("reason", reason)],
                count,
            );
        }
        let help = "Handshakes that have succeeded, by version of TLS.";
        self.family("handfast_handshakes", "counter", "", help);
        for (version, [full, resumed]) in TLS_VERSIONS.iter().zip(sums.handshakes) {
            for (is_resumed, count) in [("false", full), ("true", resumed)] {
                let labels = [("version", *version), ("resumed", is_resumed)];
                self.sample("handfast_handshakes_total", &labels, count);
            }
        }
        let help = "Handshakes that have failed, by the id of the cause (handfast explain ID).";
        self.family("handfast_handshake_failures", "counter", "", help);
        for (cause, count) in &sums.failures {
            self.sample(
                "handfast_handshake_failures_total",
                &[("cause", cause)],
                count,
            );
        }
        let help = "Bytes on the wire of connections that have ended.";
        self.family("handfast_wire_bytes", "counter", "bytes", help);
        for (direction, count) in ["received", "sent"].iter().zip(sums.wire) {
            self.sample(
                "handfast_wire_bytes_total",
                &[("direction", direction)],
                count,
            );
        }
    }

    fn requests(&mut self, snapshot: &Snapshot) {
        let sums = &snapshot.sums;
        let help = "Requests, by version of HTTP and class of the status; none: the client went away before.";
        self.family("handfast_requests", "counter", "", help);
        for (protocol, counts) in PROTOCOLS.iter().zip(sums.requests) {
            for (class, count) in CLASSES.iter().zip(counts) {
                let labels = [("protocol", *protocol), ("status", *class)];
                self.sample("handfast_requests_total", &labels, count);
            }
        }
        self.counter(
            "handfast_requests_aborted",
            "",
            "Requests whose reply broke off.",
            sums.aborted,
        );
        self.counter(
            "handfast_response_body_bytes",
            "bytes",
            "Bytes of bodies of replies, counted when a reply ends.",
            sums.bytes,
        );
        let name = "handfast_request_duration_seconds";
        let help = "From the arrival of a request's head to the end of its reply.";
        self.family(name, "histogram", "seconds", help);
        let (bucket, mut count) = ("handfast_request_duration_seconds_bucket", 0);
        for (bound, more) in DURATIONS_MS.iter().zip(sums.durations) {
            count += more;
            // `{:?}` has a decimal point, as canonical numbers do.
            let bound = format!("{:?}", *bound as f64 / 1000.0);
            self.sample(bucket, &[("le", &bound)], count);
        }
        let all: u64 = sums.durations.iter().sum();
        self.sample(bucket, &[("le", "+Inf")], all);
        self.sample("handfast_request_duration_seconds_count", &[], all);
        let seconds = sums.microseconds as f64 / 1e6;
        self.sample(
            "handfast_request_duration_seconds_sum",
            &[],
            format_args!("{seconds:.6}"),
        );
        self.gauge(
            "handfast_held_bytes",
            "bytes",
            "Bytes of replies that clients do not take yet.",
            snapshot.held,
        );
        self.gauge(
            "handfast_held_limit_bytes",
            "bytes",
            "How many may be held.",
            snapshot.held_max,
        );
    }

    fn upkeep(&mut self, snapshot: &Snapshot) {
        let help = "What had changed and was read again: used, or kept as it was because it cannot be used.";
        self.family("handfast_reloads", "counter", "", help);
        for (result, count) in ["success", "failure"].iter().zip(snapshot.sums.reloads) {
            self.sample("handfast_reloads_total", &[("result", result)], count);
        }
        let help =
            "Lines that could not be written, because the disk or the reader was too slow or full.";
        self.family("handfast_log_lines_lost", "counter", "", help);
        for (log, count) in ["access", "audit"].iter().zip(snapshot.lines_lost) {
            self.sample("handfast_log_lines_lost_total", &[("log", log)], count);
        }
        let families = [
            (
                "handfast_certificate_not_after_seconds",
                "seconds",
                "When a certificate expires, in unix seconds.",
            ),
            (
                "handfast_certificate_left_days",
                "days",
                "Days until a certificate expires; negative if it has.",
            ),
        ];
        for (name, unit, help) in families {
            self.family(name, "gauge", unit, help);
            for certificate in &snapshot.certificates {
                let first = certificate.names.first().map_or("", String::as_str);
                let labels = [
                    ("name", first),
                    ("issuer", &certificate.issuer),
                    ("serial", &certificate.serial),
                ];
                match unit {
                    "seconds" => self.sample(name, &labels, certificate.not_after),
                    _ => {
                        let left = (certificate.not_after as f64 - snapshot.now) / DAY;
                        self.sample(name, &labels, format_args!("{left:.3}"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::snapshot::tests::example;
    use super::*;

    /// Reads OpenMetrics text as strictly as its specification demands of those who write it.
    fn read(text: &str) -> BTreeMap<String, f64> {
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        let mut samples = BTreeMap::new();
        let (mut seen, mut family, mut kind) = (BTreeSet::new(), String::new(), String::new());
        for line in body.lines() {
            assert!(!line.is_empty() && line.trim() == line, "{line:?}");
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (what, name, rest) = (
                    words.next().unwrap(),
                    words.next().unwrap(),
                    words.next().unwrap(),
                );
                match what {
                    "TYPE" => {
                        assert!(seen.insert(name.to_owned()), "{name} comes twice");
                        (family, kind) = (name.to_owned(), rest.to_owned());
                        assert!(matches!(rest, "counter" | "gauge" | "info" | "histogram"));
                        assert!(!name.ends_with("_total") && !name.ends_with("_info"));
                    }
                    "UNIT" => assert!(name == family && name.ends_with(&format!("_{rest}"))),
                    "HELP" => assert!(name == family && !rest.contains(['"', '\\'])),
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffix = name.strip_prefix(&family).expect(line);
            let good = match kind.as_str() {
                "counter" => suffix == "_total",
                "info" => suffix == "_info" && value == "1",
                "histogram" => matches!(suffix, "_bucket" | "_count" | "_sum"),
                _ => suffix.is_empty(),
            };
            assert!(good, "{line}");
            labels(sample.strip_prefix(name).unwrap());
            let value = value.parse().expect(line);
            assert!(
                samples.insert(sample.to_owned(), value).is_none(),
                "{line} comes twice"
            );
        }
        samples
    }

    /// `{name="value",...}`, or nothing.
    fn labels(text: &str) {
        if text.is_empty() {
            return;
        }
        let mut rest = text.strip_prefix('{').unwrap();
        loop {
            let (name, more) = rest.split_once("=\"").expect(text);
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{text}"
            );
            let mut characters = more.char_indices();
            let end = loop {
                match characters.next().expect(text) {
                    (at, '"') => break at,
                    (_, '\\') => assert!(matches!(characters.next(), Some((_, '\\' | '"' | 'n')))),
                    _ => {}
                }
            };
            match &more[end + 1..] {
                "}" => return,
                next => rest = next.strip_prefix(',').expect(text),
            }
        }
    }

    #[test]
    fn the_text_is_open_metrics_and_has_every_number() {
        let text = text(&example());
        let samples = read(&text);
        for (sample, value) in [
            ("handfast_connections", 17.0),
            ("handfast_connections_limit", 8192.0),
            ("handfast_connections_full_total", 3.0),
            ("handfast_accept_failures_total", 4.0),
            (
                r#"handfast_connections_closed_total{reason="broken-off"}"#,
                6.0,
            ),
            (
                r#"handfast_handshakes_total{version="1.2",resumed="true"}"#,
                3.0,
            ),
            (
                r#"handfast_handshakes_total{version="1.3",resumed="false"}"#,
                200.0,
            ),
            (
                r#"handfast_handshake_failures_total{cause="not-tls"}"#,
                12.0,
            ),
            (r#"handfast_wire_bytes_total{direction="sent"}"#, 6000.0),
            (
                r#"handfast_requests_total{protocol="1.1",status="2xx"}"#,
                900.0,
            ),
            (r#"handfast_requests_total{protocol="2",status="4xx"}"#, 5.0),
            (
                r#"handfast_requests_total{protocol="1.1",status="none"}"#,
                2.0,
            ),
            ("handfast_requests_aborted_total", 7.0),
            ("handfast_response_body_bytes_total", 123_456_789.0),
            (
                r#"handfast_request_duration_seconds_bucket{le="0.005"}"#,
                8900.0,
            ),
            (
                r#"handfast_request_duration_seconds_bucket{le="+Inf"}"#,
                8998.0,
            ),
            ("handfast_request_duration_seconds_count", 8998.0),
            ("handfast_request_duration_seconds_sum", 9.0),
            ("handfast_held_bytes", 1_048_576.0),
            (r#"handfast_reloads_total{result="failure"}"#, 2.0),
            (r#"handfast_log_lines_lost_total{log="audit"}"#, 9.0),
            ("handfast_uptime_seconds", 100_000.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample}\n{text}");
        }
        let left = samples.iter().find(|(sample, _)| {
            sample.starts_with("handfast_certificate_left_days{name=\"over.test\"")
        });
        assert_eq!(left.map(|(_, days)| *days), Some(-11.107));
        assert!(text.contains(r#"issuer="CN=\"a\\b\"<&>""#));
    }
}
