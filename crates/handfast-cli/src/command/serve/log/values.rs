//! Events as values: what lines of JSON say of everything that is not a request, in the audit file and in a log of
//! JSON, and what the journal has as fields. The schema is docs/audit-json.md; tests compare the two.

use std::io;
use std::time::{Duration, SystemTime};

use handfast::{Alert, ClientOffer, Explanation, escape_control};
use handfast_https::server::{
    CloseEvent, CloseReason, ConnectionInfo, HandshakeEvent, LimitEvent, RedirectEvent,
};
use serde_json::{Value, json};

/// The version of the lines' schema: incremented when a field is removed or its meaning changes.
pub(super) const SCHEMA: u32 = 1;

/// A value as a line.
pub(super) fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// The line with the number of lines lost before it.
pub(super) fn lines_lost(count: u64) -> String {
    let value = json!({ "event": "lines-lost", "count": count });
    line(&finished(value, SystemTime::now()))
}

pub(super) fn handshake_failed(event: &HandshakeEvent<'_>, explanation: &Explanation) -> Value {
    let value = json!({
        "event": "handshake-failed",
        "peer": event.peer.to_string(),
        "local": event.local.to_string(),
        "server_name": event.server_name.map(escape_control),
        "cause": explanation.id,
        "what": explanation.what,
        "evidence": explanation.evidence,
        "fix": explanation.fix,
        "alert_sent": event.alert_sent.map(alert),
        "alert_received": event.alert_received.map(alert),
        "offered": event.offer.map(offered),
        "bytes_received": event.bytes_received,
        "first_bytes": (!event.first_bytes.is_empty())
            .then(|| event.first_bytes.escape_ascii().to_string()),
        "plain_http_status": event.plain_http.map(|status| status.as_u16()),
        "duration_ms": milliseconds(event.duration),
    });
    finished(value, event.time)
}

/// A connection that begins to be served.
pub(super) fn connection_opened(connection: &ConnectionInfo, time: SystemTime) -> Value {
    let mut value = of_connection(connection);
    set(&mut value, "event", "connection-opened".into());
    set(
        &mut value,
        "handshake_ms",
        milliseconds(connection.report.handshake).into(),
    );
    finished(value, time)
}

/// A connection that has ended, normally or not.
pub(super) fn connection_closed(event: &CloseEvent<'_>) -> Value {
    let (cause, what) = match &event.reason {
        CloseReason::HeadTimedOut => ("head-timed-out", None),
        CloseReason::Stalled => ("stalled", None),
        CloseReason::BadRequest(what) => ("bad-request", Some(what)),
        CloseReason::BrokenOff(what) => ("broken-off", Some(what)),
        CloseReason::Finished => ("finished", None),
        CloseReason::Idle => ("idle", None),
        CloseReason::MadeRoom => ("made-room", None),
        CloseReason::Stopped => ("stopped", None),
        _ => ("other", None),
    };
    let name = match is_failure(&event.reason) {
        true => "connection-failed",
        false => "connection-closed",
    };
    let mut value = of_connection(event.connection);
    for (member, said) in [
        ("event", json!(name)),
        ("cause", json!(cause)),
        ("what", json!(what.map(|what| escape_control(what)))),
        (
            "close",
            json!(event.outcome.map(|outcome| outcome.to_string())),
        ),
        (
            "client_ended",
            json!(event.ending.map(|ending| ending.to_string())),
        ),
        ("requests", json!(event.requests)),
        ("bytes_received", json!(event.traffic.bytes_received)),
        ("bytes_sent", json!(event.traffic.bytes_sent)),
        ("duration_ms", json!(milliseconds(event.duration))),
    ] {
        set(&mut value, member, said);
    }
    finished(value, event.time)
}

/// Did the connection end abnormally, by the client's doing or its silence?
pub(super) fn is_failure(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::HeadTimedOut
            | CloseReason::Stalled
            | CloseReason::BadRequest(_)
            | CloseReason::BrokenOff(_)
    )
}

pub(super) fn connections_full(connections_max: usize, time: SystemTime) -> Value {
    let value = json!({ "event": "connections-full", "connections_max": connections_max });
    finished(value, time)
}

pub(super) fn address_limited(event: &LimitEvent) -> Value {
    let value = json!({
        "event": "address-limited",
        "limit": event.limit.name(),
        "address": event.address.map(|address| address.to_string()),
        "count": event.count,
    });
    finished(value, event.time)
}

/// What a listener for plain HTTP answered.
pub(super) fn redirected(event: &RedirectEvent<'_>) -> Value {
    let value = json!({
        "event": "redirected",
        "peer": event.peer.to_string(),
        "local": event.local.to_string(),
        "request_line": text_of(event.request_line),
        "status": event.status.map(|status| status.as_u16()),
        "location": event.location.map(escape_control),
        "duration_ms": milliseconds(event.duration),
    });
    finished(value, event.time)
}

fn text_of(bytes: &[u8]) -> String {
    escape_control(&String::from_utf8_lossy(bytes)).into_owned()
}

pub(super) fn accept_failed(error: &io::Error, pause: Duration, time: SystemTime) -> Value {
    let value = json!({
        "event": "accept-failed",
        "what": error.to_string(),
        "pause_ms": milliseconds(pause),
    });
    finished(value, time)
}

/// What is known of a connection once its handshake has succeeded.
fn of_connection(connection: &ConnectionInfo) -> Value {
    let report = &connection.report;
    json!({
        "connection": connection.number,
        "peer": connection.peer.to_string(),
        "local": connection.local.to_string(),
        "server_name": report.server_name.as_deref().map(escape_control),
        "client": connection.client().map(|client| escape_control(client.subject())),
        "version": report.version.name(),
        "cipher_suite": report.cipher_suite,
        "group": report.group,
        "alpn": report.alpn.as_deref().map(|alpn| alpn.escape_ascii().to_string()),
        "resumed": report.resumed,
    })
}

fn set(value: &mut Value, member: &str, said: Value) {
    if let Value::Object(members) = value {
        members.insert(member.into(), said);
    }
}

fn finished(mut value: Value, time: SystemTime) -> Value {
    let time = jiff::Timestamp::try_from(time).map(|time| format!("{time:.3}"));
    set(&mut value, "schema", SCHEMA.into());
    set(&mut value, "time", time.ok().into());
    value
}

fn alert(alert: Alert) -> Value {
    json!({ "name": alert.name(), "code": alert.code() })
}

fn offered(offer: &ClientOffer) -> Value {
    json!({
        "complete": offer.complete,
        "versions": offer.version_names(),
        "cipher_suites": offer.cipher_suite_names(),
        "groups": offer.group_names(),
        "signature_schemes": offer.signature_scheme_names(),
        "alpn": offer.alpn_names(),
    })
}

/// In milliseconds, with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
