//! `--json-report`: a line of JSON for each transfer. `--har`: an HTTP archive, version 1.2, of all of them. Both hide the
//! values of secret fields, and are written while the transfers go on, so that they take no memory.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use handfast::{Report, escape_control};
use http::header::{CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, Version};
use serde_json::{Map, Value, json};

use super::transfer::{Head, Step, Transfer};
use super::watch::shown_value;

/// Of the lines; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// A file of lines.
pub(super) struct Lines(Box<dyn Write>);

impl Lines {
    /// `-` is stdout.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        open(name).map(Self)
    }

    /// Errors are ignored, as for all that only describes transfers.
    pub(super) fn write(&mut self, transfer: &Transfer) {
        let line = format!("{}\n", line(transfer));
        let _ = self
            .0
            .write_all(line.as_bytes())
            .and_then(|()| self.0.flush());
    }
}

fn open(name: &str) -> io::Result<Box<dyn Write>> {
    Ok(match name {
        "-" => Box::new(io::stdout()),
        name => Box::new(File::create(name)?),
    })
}

fn line(transfer: &Transfer) -> Value {
    let response = transfer.response();
    let last = transfer.last();
    let failure = transfer.failure.as_ref();
    let connection = transfer.connection.as_ref();
    let report = connection
        .and_then(|facts| facts.report.as_deref())
        .or_else(|| last.and_then(|step| step.report.as_deref()));
    json!({
        "schema": SCHEMA,
        "time": time(transfer),
        "number": transfer.number,
        "url": escape_control(&transfer.url),
        "url_effective": escape_control(last.map_or(&transfer.url, |step| &step.url)),
        "verdict": transfer.end.verdict.name(),
        "exit_code": transfer.exit_code(),
        "cause": failure.map(|(_, id, _)| id),
        "what": failure.map(|(.., what)| what),
        "status": response.map(|head| head.status.as_u16()),
        "version": response.map(|head| version(head.version)),
        "fields": response.map(|head| by_name(&head.fields)),
        "trailers": transfer.end.trailers.as_ref().map(by_name),
        "bytes_expected": transfer.end.expected,
        "bytes_received": transfer.received,
        "framing": response.map(|head| head.framing.to_string()),
        "connection_end": transfer.end.connection.map(|end| end.to_string()),
        "request_cut_short": transfer.end.request_cut_short,
        "file": transfer.file.as_ref().map(|path| escape_control(&path.display().to_string()).into_owned()),
        "segments": transfer.segments,
        "connection": connection.map(|facts| json!({
            "number": facts.number,
            "exchanges_before": facts.exchanges_before,
            "remote": facts.peer_address.to_string(),
            "local": facts.local_address.map(|address| address.to_string()),
            "proxy": facts.proxy,
        })),
        "tls": report.map(tls),
        "requests": transfer.steps.iter().map(request).collect::<Vec<_>>(),
        "total_ms": millis(transfer.took),
    })
}

fn request(step: &Step) -> Value {
    let head = step.response.as_ref();
    let location = head.and_then(|head| head.fields.get(LOCATION));
    json!({
        "method": step.method.as_str(),
        "url": escape_control(&step.url),
        "status": head.map(|head| head.status.as_u16()),
        "location": location.map(|value| shown_value(&LOCATION, value)),
        "connections_made": step.connections,
        "head_bytes_sent": step.head_sent,
        "body_bytes_sent": step.body_sent,
        "head_bytes_received": head.map_or(0, |head| head.bytes),
        "body_bytes_received": step.body_received,
        "began_ms": millis(step.began),
        "resolved_ms": step.resolved.map(millis),
        "connected_ms": step.connected.map(millis),
        "proxied_ms": step.proxied.map(millis),
        "secured_ms": step.secured.map(millis),
        "requested_ms": step.requested.map(millis),
        "responded_ms": step.responded.map(millis),
        "completed_ms": step.completed.map(millis),
    })
}

fn tls(report: &Report) -> Value {
    let peer = report.peer.as_ref();
    json!({
        "verified": peer.is_some(),
        "version": report.version.to_string(),
        "cipher_suite": report.cipher_suite,
        "group": report.group,
        "alpn": report.alpn.as_deref().map(|name| {
            escape_control(&String::from_utf8_lossy(name)).into_owned()
        }),
        "resumed": report.resumed,
        "server_name": report.server_name.as_deref().map(escape_control),
        "encrypted_client_hello": report.encrypted_client_hello,
        "client_certificate_requested": report.client_certificate_requested,
        "handshake_ms": millis(report.handshake),
        "certificate": peer.map(|peer| {
            let facts = peer.facts();
            json!({
                "subject": peer.subject().to_string(),
                "names": peer.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
                "issuer": facts.issuer.to_string(),
                "not_before": handfast::format_utc(facts.not_before),
                "not_after": handfast::format_utc(facts.not_after),
                "key": facts.key_algorithm.to_string(),
                "spki_sha256": peer.spki_sha256().to_string(),
            })
        }),
    })
}

/// Each name once, with all of its values.
fn by_name(fields: &HeaderMap) -> Value {
    let named = fields.keys().map(|name| {
        let values = fields.get_all(name).iter();
        let values: Vec<_> = values.map(|value| shown_value(name, value)).collect();
        (name.to_string(), json!(values))
    });
    Value::Object(named.collect::<Map<_, _>>())
}

fn time(transfer: &Transfer) -> String {
    jiff::Timestamp::try_from(transfer.began_at)
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> Value {
    json!(time.as_micros() as f64 / 1000.0)
}

fn version(version: Version) -> String {
    match version {
        Version::HTTP_2 => "HTTP/2".to_owned(),
        other => format!("{other:?}"),
    }
}

/// An HTTP archive. It is whole when it was dropped.
pub(super) struct Archive {
    out: Box<dyn Write>,
    is_empty: bool,
}

impl Archive {
    /// `-` is stdout.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let mut out = open(name)?;
        let creator = json!({ "name": "handfast", "version": env!("CARGO_PKG_VERSION") });
        write!(
            out,
            "{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":["
        )?;
        Ok(Self {
            out,
            is_empty: true,
        })
    }

    pub(super) fn write(&mut self, transfer: &Transfer) {
        for (number, step) in transfer.steps.iter().enumerate() {
            let is_last = number + 1 == transfer.steps.len();
            let separator = match std::mem::replace(&mut self.is_empty, false) {
                true => "\n",
                false => ",\n",
            };
            let _ = write!(self.out, "{separator}{}", entry(transfer, step, is_last));
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = self
            .out
            .write_all(b"\n]}}\n")
            .and_then(|()| self.out.flush());
    }
}

fn entry(transfer: &Transfer, step: &Step, is_last: bool) -> Value {
    let over = match is_last {
        true => transfer.took,
        false => step.completed.unwrap_or(step.began),
    };
    let began = transfer.began_at + step.began;
    let began = jiff::Timestamp::try_from(began).map(|time| format!("{time:.3}"));
    // What did not happen has -1, as the format has it.
    let between = |from: Option<Duration>, to: Option<Duration>| match to {
        Some(to) => millis(to.saturating_sub(from.unwrap_or(step.began))),
        None => json!(-1),
    };
    let ready = step
        .secured
        .or(step.proxied)
        .or(step.connected)
        .or(step.resolved);
    let connect_end = step.secured.or(step.connected);
    let mut entry = json!({
        "startedDateTime": began.unwrap_or_default(),
        "time": millis(over.saturating_sub(step.began)),
        "request": {
            "method": step.method.as_str(),
            "url": step.url,
            "httpVersion": step.response.as_ref().map_or_else(|| "HTTP/1.1".to_owned(), |head| version(head.version)),
            "cookies": [],
            "headers": listed(&step.fields),
            "queryString": query(&step.url),
            "headersSize": step.head_sent,
            "bodySize": step.body_sent,
        },
        "response": response(transfer, step, is_last),
        "cache": {},
        "timings": {
            "blocked": -1,
            "dns": between(None, step.resolved),
            "connect": between(step.resolved, connect_end),
            "ssl": between(step.proxied.or(step.connected), step.secured),
            "send": between(ready, step.requested),
            "wait": between(step.requested, step.responded),
            "receive": match step.responded {
                Some(responded) => millis(step.completed.unwrap_or(over).saturating_sub(responded)),
                None => json!(-1),
            },
        },
    });
    if is_last
        && let Some(facts) = &transfer.connection
        && let Some(entry) = entry.as_object_mut()
    {
        let address = facts.peer_address.ip().to_string();
        entry.insert("serverIPAddress".to_owned(), json!(address));
        entry.insert("connection".to_owned(), json!(facts.number.to_string()));
    }
    entry
}

fn response(transfer: &Transfer, step: &Step, is_last: bool) -> Value {
    let Some(head) = &step.response else {
        let what = transfer.failure.as_ref().map(|(.., what)| what);
        return json!({
            "status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [],
            "content": { "size": 0, "mimeType": "" }, "redirectURL": "", "headersSize": -1, "bodySize": -1,
            "_error": what,
        });
    };
    let text = |name: HeaderName| {
        let value = head.fields.get(&name);
        value
            .map(|value| shown_value(&name, value))
            .unwrap_or_default()
    };
    let received = match is_last {
        true => transfer.received,
        false => step.body_received,
    };
    json!({
        "status": head.status.as_u16(),
        "statusText": reason(head),
        "httpVersion": version(head.version),
        "cookies": [],
        "headers": listed(&head.fields),
        "content": { "size": received, "mimeType": text(CONTENT_TYPE) },
        "redirectURL": text(LOCATION),
        "headersSize": head.bytes,
        "bodySize": received,
        "_error": transfer.failure.as_ref().filter(|_| is_last).map(|(.., what)| what),
    })
}

fn reason(head: &Head) -> &'static str {
    head.status.canonical_reason().unwrap_or_default()
}

fn listed(fields: &HeaderMap) -> Vec<Value> {
    let fields = fields
        .iter()
        .map(|(name, value)| json!({ "name": name.as_str(), "value": shown_value(name, value) }));
    fields.collect()
}

fn query(url: &str) -> Vec<Value> {
    let Ok(url) = url::Url::parse(url) else {
        return Vec::new();
    };
    let pairs = url.query_pairs();
    pairs
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}
