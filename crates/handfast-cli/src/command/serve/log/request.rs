//! A request's line: in our own format, combined as Apache httpd and nginx define it, as JSON, and as an entry of the
//! journal. What is the same for all requests of a connection is spelled once and kept.

use std::cell::RefCell;

use handfast_https::server::{AbortReason, ConnectionInfo, LocalAddress, RequestEvent};
use http::Version;

use super::spell::{self, Clock};
use super::values;
use crate::command::serve::config::LogTarget;
use crate::command::serve::config::choices::LogFormat;

/// How requests are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Handfast,
    Combined,
    Json,
    Journal,
}

impl Format {
    /// That of a log which goes there.
    pub(super) fn of(to: &LogTarget, chosen: LogFormat) -> Self {
        match chosen {
            _ if matches!(to, LogTarget::Journal(_)) => Self::Journal,
            LogFormat::Handfast => Self::Handfast,
            LogFormat::Combined => Self::Combined,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Connections whose part of a line a thread keeps: those that are busy at the same moment. A kept part has up to
/// some 300 bytes.
const KEPT: usize = 64;

/// The beginning of a line of JSON, up to its time.
const JSON_BEGIN: &str = "{\"schema\":1,\"time\":\"";
const _: () = assert!(values::SCHEMA == 1);

/// What a connection's requests have in common, spelled.
#[derive(Clone, Default)]
struct Common {
    /// The number of the log, and that of the connection.
    of: (u64, u64),
    text: Vec<u8>,
}

thread_local! {
    static COMMON: RefCell<Vec<Common>> = const { RefCell::new(Vec::new()) };
}

/// Appends a request's line. `log`: a number that no log with another format has.
pub(super) fn put(out: &mut Vec<u8>, format: Format, log: u64, event: &RequestEvent<'_>) {
    match format {
        Format::Handfast => {
            spell::time(out, event.time, Clock::Seconds);
            out.push(b' ');
            put_common(out, format, log, event.connection);
            put_own(out, event);
        }
        Format::Combined => put_combined(out, log, event),
        Format::Json => put_json(out, log, event),
        Format::Journal => put_entry(out, log, event),
    }
    out.push(b'\n');
}

fn put_common(out: &mut Vec<u8>, format: Format, log: u64, connection: &ConnectionInfo) {
    let of = (log, connection.number);
    COMMON.with_borrow_mut(|kept| {
        if kept.is_empty() {
            kept.resize(KEPT, Common::default());
        }
        let slot = usize::try_from(connection.number).unwrap_or_default() % KEPT;
        let Some(common) = kept.get_mut(slot) else {
            return;
        };
        if common.of != of {
            common.of = of;
            common.text.clear();
            match format {
                Format::Handfast => own_common(&mut common.text, connection),
                Format::Combined => spell::bare_host(&mut common.text, connection.peer),
                Format::Json => json_common(&mut common.text, connection),
                Format::Journal => entry_common(&mut common.text, connection),
            }
        }
        out.extend_from_slice(&common.text);
    });
}

/// `127.0.0.1:4433 - "`
fn own_common(out: &mut Vec<u8>, connection: &ConnectionInfo) {
    spell::peer(out, connection.peer);
    match connection.client() {
        Some(client) => {
            out.extend_from_slice(b" \"");
            spell::quoted(out, client.subject());
            out.extend_from_slice(b"\" \"");
        }
        None => out.extend_from_slice(b" - \""),
    }
}

fn put_own(out: &mut Vec<u8>, event: &RequestEvent<'_>) {
    out.extend_from_slice(event.method.as_str().as_bytes());
    out.push(b' ');
    put_target(event, |target| spell::quoted(out, target));
    out.push(b' ');
    out.extend_from_slice(protocol(event.version).as_bytes());
    out.extend_from_slice(b"\" ");
    match &event.status {
        Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
        None => out.push(b'-'),
    }
    out.push(b' ');
    spell::decimal(out, event.bytes);
    out.push(b' ');
    spell::tenths(out, event.duration);
    if let Some(reason) = event.abort {
        out.extend_from_slice(b" ABORTED");
        // Of that the connection's own line, which follows, has the reason.
        if reason != AbortReason::Connection {
            out.extend_from_slice(b": ");
            out.extend_from_slice(reason.to_string().as_bytes());
        }
    }
    if let Some(user) = event.user {
        out.extend_from_slice(b" user \"");
        spell::quoted(out, user);
        out.push(b'"');
    }
}

/// `host - user [time] "GET / HTTP/1.1" 200 1234 "referer" "user agent"`
fn put_combined(out: &mut Vec<u8>, log: u64, event: &RequestEvent<'_>) {
    put_common(out, Format::Combined, log, event.connection);
    out.extend_from_slice(b" - ");
    match (event.user, event.client()) {
        (Some(user), _) => spell::combined(out, user.as_bytes(), false),
        (None, Some(client)) => spell::combined(out, client.subject().as_bytes(), false),
        (None, None) => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    spell::time(out, event.time, Clock::Common);
    out.extend_from_slice(b"] \"");
    out.extend_from_slice(event.method.as_str().as_bytes());
    out.push(b' ');
    put_target(event, |target| {
        spell::combined(out, target.as_bytes(), true)
    });
    out.push(b' ');
    out.extend_from_slice(protocol(event.version).as_bytes());
    out.extend_from_slice(b"\" ");
    match &event.status {
        Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
        // As in nginx' log: the client went before there was a status.
        None => out.extend_from_slice(b"499"),
    }
    out.push(b' ');
    spell::decimal(out, event.bytes);
    for value in [
        event.fields.and_then(|fields| fields.referer.as_ref()),
        event.fields.and_then(|fields| fields.user_agent.as_ref()),
    ] {
        out.extend_from_slice(b" \"");
        match value {
            Some(value) => spell::combined(out, value.as_bytes(), true),
            None => out.push(b'-'),
        }
        out.push(b'"');
    }
}

fn json_common(out: &mut Vec<u8>, connection: &ConnectionInfo) {
    let report = &connection.report;
    out.extend_from_slice(b"\"connection\":");
    spell::decimal(out, connection.number);
    out.extend_from_slice(b",\"peer\":\"");
    spell::peer(out, connection.peer);
    out.extend_from_slice(b"\",\"local\":");
    match &connection.local {
        LocalAddress::Ip(address) => {
            out.push(b'"');
            spell::address(out, *address);
            out.push(b'"');
        }
        other => spell::json(out, other.to_string().as_bytes()),
    }
    for (name, value) in [
        (
            ",\"server_name\":",
            report.server_name.as_deref().map(str::as_bytes),
        ),
        (
            ",\"client\":",
            connection
                .client()
                .map(|client| client.subject().as_bytes()),
        ),
        (",\"version\":", Some(report.version.name().as_bytes())),
        (",\"cipher_suite\":", Some(report.cipher_suite.as_bytes())),
        (",\"group\":", report.group.map(str::as_bytes)),
        (",\"alpn\":", report.alpn.as_deref()),
    ] {
        member(out, name, value);
    }
    out.extend_from_slice(match report.resumed {
        true => b",\"resumed\":true,",
        false => b",\"resumed\":false,",
    });
}

/// A member of an object, with the comma before it and its colon in `name`: `,"name":`.
fn member(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    out.extend_from_slice(name.as_bytes());
    match value {
        Some(value) => spell::json(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn put_json(out: &mut Vec<u8>, log: u64, event: &RequestEvent<'_>) {
    out.extend_from_slice(JSON_BEGIN.as_bytes());
    spell::time(out, event.time, Clock::Milliseconds);
    out.extend_from_slice(b"\",\"event\":\"request\",");
    put_common(out, Format::Json, log, event.connection);
    // A method is a token (RFC 9110, section 9.1): there is nothing to escape.
    out.extend_from_slice(b"\"method\":\"");
    out.extend_from_slice(event.method.as_str().as_bytes());
    out.extend_from_slice(b"\",\"target\":");
    put_target(event, |target| spell::json(out, target.as_bytes()));
    let fields = event.fields;
    member(out, ",\"host\":", host(event));
    out.extend_from_slice(b",\"protocol\":\"");
    out.extend_from_slice(protocol(event.version).as_bytes());
    out.extend_from_slice(b"\",\"status\":");
    match &event.status {
        Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"bytes\":");
    spell::decimal(out, event.bytes);
    out.extend_from_slice(b",\"duration_ms\":");
    spell::thousandths(out, event.duration);
    match event.abort {
        None => out.extend_from_slice(b",\"end\":\"complete\",\"abort\":null"),
        Some(reason) => {
            out.extend_from_slice(b",\"end\":\"aborted\"");
            member(out, ",\"abort\":", Some(reason.name().as_bytes()));
            if let AbortReason::Reset(code) = reason {
                out.extend_from_slice(b",\"reset_code\":");
                spell::decimal(out, code.into());
            }
        }
    }
    member(out, ",\"user\":", event.user.map(str::as_bytes));
    member(
        out,
        ",\"referer\":",
        fields.and_then(|fields| Some(fields.referer.as_ref()?.as_bytes())),
    );
    member(
        out,
        ",\"user_agent\":",
        fields.and_then(|fields| Some(fields.user_agent.as_ref()?.as_bytes())),
    );
    out.push(b'}');
}

fn entry_common(out: &mut Vec<u8>, connection: &ConnectionInfo) {
    let report = &connection.report;
    out.extend_from_slice(b"PRIORITY=6\nSYSLOG_IDENTIFIER=handfast\nHANDFAST_EVENT=request\n");
    out.extend_from_slice(b"HANDFAST_CONNECTION=");
    spell::decimal(out, connection.number);
    out.extend_from_slice(b"\nHANDFAST_PEER=");
    spell::peer(out, connection.peer);
    out.push(b'\n');
    spell::field(
        out,
        "HANDFAST_LOCAL",
        connection.local.to_string().as_bytes(),
    );
    let optional = [
        (
            "HANDFAST_SERVER_NAME",
            report.server_name.as_deref().map(str::as_bytes),
        ),
        (
            "HANDFAST_CLIENT",
            connection
                .client()
                .map(|client| client.subject().as_bytes()),
        ),
        ("HANDFAST_VERSION", Some(report.version.name().as_bytes())),
        (
            "HANDFAST_CIPHER_SUITE",
            Some(report.cipher_suite.as_bytes()),
        ),
        ("HANDFAST_GROUP", report.group.map(str::as_bytes)),
        ("HANDFAST_ALPN", report.alpn.as_deref()),
        (
            "HANDFAST_RESUMED",
            Some(if report.resumed { b"true" } else { b"false" }),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            spell::field(out, name, value);
        }
    }
}

/// Field by field; the caller's line feed makes the empty line at its end.
fn put_entry(out: &mut Vec<u8>, log: u64, event: &RequestEvent<'_>) {
    put_common(out, Format::Journal, log, event.connection);
    out.extend_from_slice(b"MESSAGE=");
    own_common(out, event.connection);
    put_own(out, event);
    out.extend_from_slice(b"\nHANDFAST_TIME=");
    spell::time(out, event.time, Clock::Milliseconds);
    out.extend_from_slice(b"\nHANDFAST_METHOD=");
    out.extend_from_slice(event.method.as_str().as_bytes());
    out.push(b'\n');
    put_target(event, |target| {
        spell::field(out, "HANDFAST_TARGET", target.as_bytes())
    });
    spell::field(out, "HANDFAST_PROTOCOL", protocol(event.version).as_bytes());
    out.extend_from_slice(b"HANDFAST_BYTES=");
    spell::decimal(out, event.bytes);
    out.extend_from_slice(b"\nHANDFAST_DURATION_MS=");
    spell::thousandths(out, event.duration);
    out.push(b'\n');
    let end = if event.abort.is_none() {
        "complete"
    } else {
        "aborted"
    };
    let fields = event.fields;
    for (name, value) in [
        ("HANDFAST_HOST", host(event)),
        (
            "HANDFAST_STATUS",
            event
                .status
                .as_ref()
                .map(|status| status.as_str().as_bytes()),
        ),
        ("HANDFAST_END", Some(end.as_bytes())),
        (
            "HANDFAST_ABORT",
            event.abort.map(|reason| reason.name().as_bytes()),
        ),
        ("HANDFAST_USER", event.user.map(str::as_bytes)),
        (
            "HANDFAST_REFERER",
            fields.and_then(|fields| Some(fields.referer.as_ref()?.as_bytes())),
        ),
        (
            "HANDFAST_USER_AGENT",
            fields.and_then(|fields| Some(fields.user_agent.as_ref()?.as_bytes())),
        ),
    ] {
        if let Some(value) = value {
            spell::field(out, name, value);
        }
    }
}

/// The target without scheme and authority, which it has over HTTP/2.
fn put_target(event: &RequestEvent<'_>, put: impl FnOnce(&str)) {
    match event.target.path_and_query() {
        Some(path) => put(path.as_str()),
        None => put(&event.target.to_string()),
    }
}

/// The authority that was asked for.
pub(super) fn host<'e>(event: &'e RequestEvent<'_>) -> Option<&'e [u8]> {
    let of_target = event
        .target
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    of_target.or_else(|| Some(event.fields?.host.as_ref()?.as_bytes()))
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/3.0",
    }
}
