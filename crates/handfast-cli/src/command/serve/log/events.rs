//! Events other than requests, as a line of text each.

use std::fmt::{self, Display, Formatter, Write as _};
use std::io;
use std::time::Duration;

use handfast::{Explanation, escape_control};
use handfast_https::server::{
    AddressLimit, CloseEvent, CloseReason, ConnectionInfo, HandshakeEvent, LimitEvent,
    RedirectEvent,
};

use super::spell;

fn text(make: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut text = String::with_capacity(128);
    // Writing to a string does not fail.
    let _ = make(&mut text);
    text
}

pub(super) fn handshake_failed(event: &HandshakeEvent<'_>, explanation: &Explanation) -> String {
    text(|text| {
        write!(
            text,
            "{} handshake failed: {} [{}]",
            event.peer,
            escape_control(&explanation.what),
            explanation.id
        )?;
        if let Some(name) = event.server_name
            && !explanation.what.contains(name)
        {
            write!(text, " for {}", escape_control(name))?;
        }
        if let Some(status) = event.plain_http {
            write!(text, ", answered {} in plain HTTP", status.as_u16())?;
        }
        if let Some(alert) = event.alert_sent {
            write!(text, ", alert {} sent", alert.name())?;
        }
        if let Some(alert) = event.alert_received {
            write!(text, ", alert {} received", alert.name())?;
        }
        write!(text, " {}", Tenths(event.duration))
    })
}

/// With what the handshake agreed on.
pub(super) fn connection_opened(connection: &ConnectionInfo) -> String {
    let report = &connection.report;
    text(|text| {
        write!(
            text,
            "{} connection opened: {}, {}",
            connection.peer,
            report.version.name(),
            report.cipher_suite
        )?;
        if let Some(group) = report.group {
            write!(text, ", {group}")?;
        }
        text.push_str(match report.resumed {
            true => ", resumed",
            false => ", full handshake",
        });
        if let Some(alpn) = &report.alpn {
            write!(text, ", {}", alpn.escape_ascii())?;
        }
        if let Some(name) = &report.server_name {
            write!(text, ", for {}", escape_control(name))?;
        }
        if let Some(client) = connection.client() {
            write!(text, ", client {}", escape_control(client.subject()))?;
        }
        write!(text, " {}", Tenths(report.handshake))
    })
}

/// How a connection ended; nothing if that is not worth a line.
pub(super) fn connection_closed(event: &CloseEvent<'_>, verbose: bool) -> Option<String> {
    let reason = match &event.reason {
        CloseReason::HeadTimedOut => "no request head within the time limit".to_owned(),
        CloseReason::BadRequest(why) => format!("bad request: {why}"),
        CloseReason::Stalled => "the client took too little of its replies".to_owned(),
        CloseReason::BrokenOff(why) => format!("aborted: {why}"),
        CloseReason::Idle if verbose => "idle".to_owned(),
        CloseReason::MadeRoom if verbose => "idle, closed for another client".to_owned(),
        CloseReason::Finished if verbose => "finished".to_owned(),
        CloseReason::Stopped => "server stopped".to_owned(),
        _ => return None,
    };
    Some(text(|text| {
        let (peer, reason) = (event.connection.peer, escape_control(&reason));
        write!(text, "{peer} connection closed: {reason}")?;
        match event.outcome {
            Some(outcome) => write!(text, ", close {outcome}")?,
            None => text.push_str(", cut"),
        }
        if let Some(ending) = event.ending {
            write!(text, ", client ended with {ending}")?;
        }
        write!(
            text,
            ", {} requests, {} records out {}",
            event.requests,
            event.traffic.records_sent,
            Tenths(event.duration)
        )
    }))
}

pub(super) fn connections_full(connections_max: usize) -> String {
    format!("{connections_max} connections are open, the maximum: more wait until one ends")
}

pub(super) fn address_limited(event: &LimitEvent) -> String {
    let (limit, what, done) = match event.limit {
        AddressLimit::Connections => ("connections_per_address_max", "connection", "reset"),
        AddressLimit::Handshakes => ("handshakes_per_address", "connection", "reset"),
        AddressLimit::Requests => ("requests_per_address", "request", "answered with 429"),
        other => (other.name(), "connection or request", "refused"),
    };
    let plural = if event.count == 1 { "" } else { "s" };
    let whose = match event.address {
        Some(address) => address.to_string(),
        None => "other addresses".to_owned(),
    };
    format!(
        "limit {limit}: {} {what}{plural} from {whose} {done}",
        event.count
    )
}

/// What a listener for plain HTTP answered, as requests are logged.
pub(super) fn redirected(event: &RedirectEvent<'_>) -> String {
    text(|text| {
        // The beginning of a TLS record.
        if event.request_line.starts_with(&[0x16, 0x03]) {
            write!(text, "{} TLS on the plain HTTP port, answered ", event.peer)?;
        } else {
            let line = String::from_utf8_lossy(event.request_line);
            let line = escape_control(&line).replace('"', "\\\"");
            write!(text, "{} - \"{line}\" ", event.peer)?;
        }
        match event.status {
            Some(status) => write!(text, "{}", status.as_u16())?,
            None => text.push('-'),
        }
        if let Some(location) = event.location {
            write!(text, " to {}", escape_control(location))?;
        }
        write!(text, " {}", Tenths(event.duration))
    })
}

pub(super) fn accept_failed(error: &io::Error, pause: Duration) -> String {
    format!(
        "no connection can be accepted for {}: {error}",
        Tenths(pause)
    )
}

/// The line about lost ones before it.
pub(super) fn lines_lost(count: u64) -> String {
    format!("{count} lines were lost: this log is read too slowly, or its disk was full\n")
}

struct Tenths(Duration);

impl Display for Tenths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        spell::tenths(&mut out, self.0);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}
