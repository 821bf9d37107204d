//! The report for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::measure::{Distribution, Measurements, per_second};
use super::super::plan::{Handshake, Pacing, Plan, Protocol};
use super::{About, PERCENTILES, log_bounds, millis, remarks};

/// Steps of a histogram.
const STEPS: usize = 200;

/// The whole report as JSON, indented.
///
/// `schema` is `handfast-bench/2`; fields may be added to it, never changed. (In 1, a complete response
/// was complete whatever its status.) Times are in
/// milliseconds where a name ends in `_ms` and in seconds where it ends in `_s`; a distribution has
/// `count`, `min_ms`, `mean_ms`, `deviation_ms`, `p50_ms`, `p75_ms`, `p90_ms`, `p99_ms`, `p99.9_ms`,
/// `max_ms` and `histogram`: a list of `[below_ms, count]`, where each entry counts what is below its
/// bound and not below that of the entry before.
///
/// | field | content |
/// |---|---|
/// | `started`, `host`, `versions` | when and where the test ran, and with what |
/// | `plan` | the plan: `url`, `method`, `protocol`, `handshake`, `rate` (null in the closed loop), `connections`, `streams`, `threads`, `requests`, `duration_s` |
/// | `elapsed_s`, `requests_per_second` | from the start of the clock to the last response |
/// | `requests` | `started` = `complete` + `truncated` + `failed` + `unfinished`; of `failed`, `failed_by_status` were answered by a status of 400 or more; `resent` counts requests sent again because the server had refused them without processing them; `unsent` were due and never sent |
/// | `statuses`, `status_classes` | complete responses by code and by class (`2xx`, ...) |
/// | `latency`, `service`, `failed_latency`, `connect`, `handshake` | distributions; `latency` counts from when a request was due, `service` from when it was sent, both for complete requests; `failed_latency` for those that failed by their status |
/// | `tls` | `full`, `resumed`, `resumed_share`, and `agreed`: a list with `version`, `cipher_suite`, `group`, `alpn`, `resumed`, `count` |
/// | `connections` | `tried`, `surplus`, and how they ended: `close_notify`, `premature`, `reset`, `ours` |
/// | `traffic` | bytes and records in both directions, `body_bytes` |
/// | `failures` | a list with `id` (see `handfast explain`), `count`, `what`, `evidence` |
/// | `seconds` | a list with `second`, `length_s`, `complete`, `failed`, `handshakes`, `bytes_received`, `requests_per_second`, `p50_ms`, `p90_ms`, `p99_ms`, `max_ms`, `waiting` |
/// | `generator` | `threads`, `cpu_s`, `requests_per_cpu_second`, `saturated`, `gave_up` |
/// | `remarks` | notes on the results, a sentence each |
pub fn json(plan: &Plan, measured: &Measurements, about: &About) -> String {
    format!("{:#}\n", value(plan, measured, about))
}

fn value(plan: &Plan, measured: &Measurements, about: &About) -> Value {
    let requests = &measured.requests;
    let (full, resumed) = measured.handshakes();
    let statuses: Map<String, Value> = measured
        .statuses
        .iter()
        .map(|(status, count)| (status.to_string(), json!(count)))
        .collect();
    let classes: Map<String, Value> = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"]
        .into_iter()
        .zip(measured.status_classes())
        .map(|(class, count)| (class.to_owned(), json!(count)))
        .collect();
    json!({
        "schema": "handfast-bench/2",
        "started": handfast::format_utc(about.started),
        "host": about.host,
        "versions": about.versions,
        "plan": plan_json(plan),
        "elapsed_s": measured.elapsed.as_secs_f64(),
        "requests_per_second": measured.rate(),
        "requests": {
            "started": requests.started,
            "complete": requests.complete,
            "truncated": requests.truncated,
            "failed": requests.failed,
            "failed_by_status": requests.failed_by_status,
            "unfinished": requests.unfinished,
            "resent": requests.resent,
            "unsent": requests.unsent,
        },
        "statuses": statuses,
        "status_classes": classes,
        "latency": distribution(&measured.latency),
        "service": distribution(&measured.service),
        "failed_latency": distribution(&measured.failed_latency),
        "connect": distribution(&measured.connect),
        "handshake": distribution(&measured.handshake),
        "tls": {
            "full": full,
            "resumed": resumed,
            "resumed_share": if full + resumed == 0 { 0.0 } else { resumed as f64 / (full + resumed) as f64 },
            "agreed": measured.agreed.iter().map(|(agreed, count)| json!({
                "version": agreed.version.name(),
                "cipher_suite": agreed.cipher_suite,
                "group": agreed.group,
                "alpn": agreed.alpn,
                "resumed": agreed.resumed,
                "count": count,
            })).collect::<Vec<_>>(),
        },
        "connections": {
            "tried": measured.connections,
            "surplus": measured.surplus,
            "close_notify": measured.ends.close_notify,
            "premature": measured.ends.premature,
            "reset": measured.ends.reset,
            "ours": measured.ends.ours,
        },
        "traffic": {
            "bytes_received": measured.traffic.bytes_received,
            "bytes_sent": measured.traffic.bytes_sent,
            "records_received": measured.traffic.records_received,
            "records_sent": measured.traffic.records_sent,
            "plaintext_received": measured.traffic.plaintext_received,
            "plaintext_sent": measured.traffic.plaintext_sent,
            "body_bytes": measured.body_bytes,
        },
        "failures": measured.failures.iter().map(|(id, failure)| json!({
            "id": id,
            "count": failure.count,
            "what": failure.explanation.what,
            "evidence": failure.explanation.evidence,
        })).collect::<Vec<_>>(),
        "seconds": measured.seconds.iter().map(|second| json!({
            "second": second.index,
            "length_s": second.length.as_secs_f64(),
            "complete": second.complete,
            "failed": second.failed,
            "handshakes": second.handshakes,
            "bytes_received": second.bytes_received,
            "requests_per_second": per_second(second.complete, second.length),
            "p50_ms": millis(second.p50),
            "p90_ms": millis(second.p90),
            "p99_ms": millis(second.p99),
            "max_ms": millis(second.max),
            "waiting": second.waiting,
        })).collect::<Vec<_>>(),
        "generator": {
            "threads": measured.threads,
            "cpu_s": measured.cpu.map(|cpu| cpu.as_secs_f64()),
            "requests_per_cpu_second": measured.per_cpu_second(),
            "saturated": measured.generator_saturated(),
            "gave_up": measured.gave_up,
        },
        "remarks": remarks(plan, measured),
    })
}

fn plan_json(plan: &Plan) -> Value {
    json!({
        "url": plan.target.to_string(),
        "method": plan.request.method.as_str(),
        "protocol": match plan.protocol {
            Protocol::Negotiated => "negotiated",
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        },
        "handshake": match plan.handshake {
            Handshake::KeepAlive => "keepalive",
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
        },
        "rate": match plan.pacing {
            Pacing::Closed => None,
            Pacing::Open { per_second } => Some(per_second),
        },
        "connections": plan.connections,
        "streams": plan.streams,
        "threads": plan.threads,
        "requests": plan.requests,
        "duration_s": plan.duration.map(|duration| duration.as_secs_f64()),
    })
}

fn distribution(of: &Distribution) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("count", json!(of.count()));
    put("min_ms", json!(millis(of.min())));
    put("mean_ms", json!(millis(of.mean())));
    put("deviation_ms", json!(millis(of.deviation())));
    for (percent, label) in PERCENTILES {
        put(
            &format!("{label}_ms"),
            json!(millis(of.percentile(percent))),
        );
    }
    put("max_ms", json!(millis(of.max())));
    put("histogram", histogram(of));
    Value::Object(fields)
}

/// Empty steps are included only next to one that is not empty.
fn histogram(of: &Distribution) -> Value {
    if of.is_empty() {
        return json!([]);
    }
    let mut bounds = log_bounds(of, STEPS);
    // What is not below the last bound must have one, too; values are exact to a thousandth.
    bounds.push(of.max() + of.max() / 500 + Duration::from_micros(1));
    let counts = of.counts_between(&bounds);
    let steps = bounds.iter().zip(&counts).enumerate();
    steps
        .filter(|(index, (_, count))| {
            **count > 0 || counts.get(index + 1).is_some_and(|next| *next > 0)
        })
        .map(|(_, (bound, count))| json!([millis(*bound), count]))
        .collect()
}
