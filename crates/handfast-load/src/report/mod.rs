//! Reports of the measurements: as text, as JSON, as an HTML page.
//!
//! Only formatting: every number is from [`Measurements`], and nothing is printed here.

mod axis;
mod html;
mod json;
mod plot;
mod text;

pub use html::html;
pub use json::json;
pub use text::{second_line, text};

use std::time::Duration;

use super::measure::{Distribution, Measurements};
use super::plan::{Handshake, Pacing, Plan, Protocol};

/// The percentiles in every report.
const PERCENTILES: [(f64, &str); 5] = [
    (50.0, "p50"),
    (75.0, "p75"),
    (90.0, "p90"),
    (99.0, "p99"),
    (99.9, "p99.9"),
];

/// When and where a test ran, and with which software, to make results comparable.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct About {
    /// When it began, in seconds since 1970 (UTC).
    pub started: i64,
    /// The machine of the load tester.
    pub host: String,
    /// Programs and systems with their versions.
    pub versions: Vec<String>,
}

impl About {
    /// In one line.
    fn summary(&self) -> String {
        let mut parts = vec![
            handfast::format_utc(self.started),
            format!("from {}", handfast::escape_control(&self.host)),
        ];
        let versions = self.versions.iter();
        parts.extend(versions.map(|one| handfast::escape_control(one).into_owned()));
        parts.join(", ")
    }
}

/// The distributions that are not empty, with their names.
fn shown<'m>(plan: &Plan, measured: &'m Measurements) -> Vec<(&'static str, &'m Distribution)> {
    let open = plan.pacing != Pacing::Closed;
    let all = [
        ("latency", &measured.latency),
        ("service", &measured.service),
        ("failed", &measured.failed_latency),
        ("connect", &measured.connect),
        ("handshake", &measured.handshake),
    ];
    // In the closed loop a request is due when it is sent.
    all.into_iter()
        .filter(|(name, of)| !of.is_empty() && (open || *name != "service"))
        .collect()
}

/// Notes on the results.
fn remarks(plan: &Plan, measured: &Measurements) -> Vec<String> {
    let mut remarks = Vec::new();
    if measured.gave_up {
        remarks.push("aborted: no request succeeded".to_owned());
    }
    if measured.generator_saturated() {
        remarks.push(
            "the generator was busy all the time: latencies include its own queue, and the server \
             may be faster"
                .to_owned(),
        );
    }
    if measured.requests.unsent > 0 {
        remarks.push(format!(
            "the server did not keep up: {} requests were not sent, because every connection was \
             busy until the end; latencies are those of the others",
            measured.requests.unsent
        ));
    }
    if measured.ends.premature > 0 {
        remarks.push(format!(
            "{} connections ended without close_notify: responses that are complete by their framing \
             count as complete",
            measured.ends.premature
        ));
    }
    if measured.surplus > 0 {
        remarks.push(format!(
            "{} connections had data after the response, and were closed",
            measured.surplus
        ));
    }
    if plan.handshake == Handshake::Resumed
        && measured.handshakes().1 == 0
        && measured.handshakes().0 > 0
    {
        remarks.push("the server resumed no session".to_owned());
    }
    if plan.pacing == Pacing::Closed && !measured.latency.is_empty() {
        let longest = measured.latency.max();
        if longest > 20 * measured.latency.percentile(99.0) && longest > Duration::from_millis(50) {
            remarks.push(
                "closed loop: a stall delays the requests that it would affect, so the upper \
                 percentiles are too low; a fixed rate measures latency as users see it"
                    .to_owned(),
            );
        }
    }
    remarks
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Negotiated => "HTTP version negotiated",
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
    }
}

fn handshake_name(handshake: Handshake) -> &'static str {
    match handshake {
        Handshake::KeepAlive => "kept connections",
        Handshake::Full => "a full handshake for every request",
        Handshake::Resumed => "a resumed handshake for every request",
    }
}

fn pacing_name(pacing: Pacing) -> String {
    match pacing {
        Pacing::Closed => "closed loop".to_owned(),
        Pacing::Open { per_second } => format!("open loop at {per_second}/s"),
    }
}

/// The plan in one line.
fn summary(plan: &Plan) -> String {
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let mut parts = vec![
        plan.request.method.to_string(),
        protocol_name(plan.protocol).to_owned(),
        handshake_name(plan.handshake).to_owned(),
        pacing_name(plan.pacing),
        plural(plan.connections, "connection"),
    ];
    if plan.streams > 1 {
        parts.push(format!("up to {} streams each", plan.streams));
    }
    parts.push(plural(plan.threads, "thread"));
    parts.join(", ")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A duration with three digits and a suitable unit.
fn short(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    let (value, unit) = match duration.as_nanos() {
        0..1_000_000 => (secs * 1e6, "us"),
        1_000_000..1_000_000_000 => (secs * 1e3, "ms"),
        _ => (secs, "s"),
    };
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A number of bytes with a suitable unit.
fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", UNITS.get(unit).unwrap_or(&"B"))
}

/// Bounds for a histogram with logarithmic steps that covers most of a distribution.
fn log_bounds(distribution: &Distribution, steps: usize) -> Vec<Duration> {
    let low = distribution.min().as_nanos().max(1000) as f64;
    let high = (distribution.max().as_nanos() as f64).max(low * 1.5);
    let ratio = (high / low).powf(1.0 / steps as f64);
    (0..=steps)
        .map(|step| Duration::from_nanos((low * ratio.powi(step as i32)) as u64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::outcome::Response;
    use crate::plan::Target;

    /// Measurements made by hand: a slow second and a fast one.
    fn measured() -> (Plan, Measurements) {
        let plan = Plan::new(Target::parse("https://localhost/<script>?a=\"b\"").unwrap());
        let mut measured = Measurements {
            threads: 2,
            ..Measurements::default()
        };
        for second in 0..3 {
            let mut sample = Sample::default();
            for request in 0..100u64 {
                let response = Response {
                    status: if request == 0 { 503 } else { 200 },
                    body_bytes: 10,
                };
                sample.requests.started += 1;
                let nanos = (request + 1) * 1_000_000 * (second + 1);
                sample.complete(nanos, nanos / 2, response);
            }
            sample.cpu = Some(Duration::from_millis(10));
            measured.absorb(second, Duration::from_secs(1), sample);
        }
        (plan, measured)
    }

    fn about() -> About {
        About {
            started: 1_700_000_000,
            host: "host <b>".to_owned(),
            versions: vec!["handfast 9.9".to_owned()],
        }
    }

    /// A test of two seconds that ends three milliseconds later has two seconds.
    #[test]
    fn what_is_left_over_is_a_second_only_if_something_happened() {
        let mut measured = Measurements::default();
        let moment = Duration::from_millis(3);
        assert!(measured.absorb(0, Duration::from_secs(1), Sample::default()));
        assert!(!measured.absorb(1, moment, Sample::default()));
        assert_eq!(measured.seconds.len(), 1);
        assert_eq!(measured.elapsed, Duration::from_secs(1) + moment);
        let mut sample = Sample::default();
        sample.complete(1000, 1000, Response::default());
        assert!(measured.absorb(1, moment, sample));
    }

    #[test]
    fn text_json_and_page_tell_the_same() {
        let (plan, measured) = measured();
        let text = text(&plan, &measured);
        assert!(text.contains("297 complete"), "{text}");
        assert!(text.contains("3 failed"), "{text}");
        assert!(text.contains("503 Service Unavailable: 3"), "{text}");
        assert!(text.contains("99/s"), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&json(&plan, &measured, &about())).unwrap();
        assert_eq!(json["requests"]["complete"], 297);
        assert_eq!(json["requests"]["failed"], 3);
        assert_eq!(json["requests"]["failed_by_status"], 3);
        assert_eq!(json["failures"][0]["id"], "http-status");
        assert_eq!(json["failed_latency"]["count"], 3);
        assert_eq!(json["statuses"]["503"], 3);
        assert_eq!(json["status_classes"]["2xx"], 297);
        assert_eq!(json["seconds"].as_array().map(Vec::len), Some(3));
        let histogram = json["latency"]["histogram"].as_array().unwrap();
        let counted: u64 = histogram.iter().filter_map(|step| step[1].as_u64()).sum();
        assert_eq!(counted, 297, "{histogram:?}");
        let bounds: Vec<f64> = histogram
            .iter()
            .filter_map(|step| step[0].as_f64())
            .collect();
        assert!(bounds.is_sorted() && *bounds.last().unwrap() > 300.0);
        // Up to 100 ms: a hundred of the first second, half of the second, a third of the third.
        let below: u64 = histogram
            .iter()
            .take_while(|step| step[0].as_f64() <= Some(100.0))
            .filter_map(|step| step[1].as_u64())
            .sum();
        assert!((170..=184).contains(&below), "{below}");
        let p50 = json["latency"]["p50_ms"].as_f64().unwrap();
        assert!((60.0..100.0).contains(&p50), "{p50}");
        assert_eq!(json["generator"]["cpu_s"], 0.03);
        assert_eq!(json["generator"]["requests_per_cpu_second"], 9_900.0);
    }

    #[test]
    fn the_page_is_whole_and_loads_nothing() {
        let (plan, measured) = measured();
        let page = html(&plan, &measured, &about());
        assert!(
            page.contains("2023-11-14T22:13:20Z, from host &lt;b&gt;, handfast 9.9"),
            "{page}"
        );
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        // What the user typed is text, not markup; nothing is loaded and nothing runs.
        assert!(!page.contains("<script"));
        for loads in [" src=", " href=", "@import", "url("] {
            assert!(!page.contains(loads), "{loads}");
        }
        assert!(page.contains("%3Cscript%3E") || page.contains("&lt;script&gt;"));
    }

    #[test]
    fn an_empty_test_can_be_told() {
        let plan = Plan::new(Target::parse("localhost").unwrap());
        let measured = Measurements::default();
        assert!(text(&plan, &measured).contains("0 complete"));
        assert!(html(&plan, &measured, &About::default()).contains("</html>"));
        let json: serde_json::Value =
            serde_json::from_str(&json(&plan, &measured, &about())).unwrap();
        assert_eq!(json["requests"]["complete"], 0);
    }

    #[test]
    fn units_fit() {
        assert_eq!(short(Duration::from_nanos(1_234)), "1.23 us");
        assert_eq!(short(Duration::from_micros(45_600)), "45.6 ms");
        assert_eq!(short(Duration::from_secs(123)), "123 s");
        assert_eq!(bytes(1023.0), "1023 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(1e12), "931 GiB");
    }
}
