//! Handshakes and connections that ended, or went on for too long.

use std::time::Duration;

use super::text::{Seen, Text};
use crate::offer::ClientOffer;
use crate::phase::Phase;

const LEFT_FIX: &str =
    "see the client's log: a client that rejects the certificate may close without an alert";

pub(super) fn closed_in_handshake(bytes_received: u64, seen: &Seen<'_>) -> Text {
    match (seen.by_server(), bytes_received) {
        (true, 0) => Text::of_client(
            "closed-without-a-byte",
            "the client connected and closed without sending anything: a port scan or a health check",
        )
        .fix("none needed"),
        (true, _) => {
            let id = match seen.offer {
                Some(offer) if offer.complete => "closed-in-handshake",
                _ => "closed-in-hello",
            };
            left(id, "closed the connection", bytes_received, seen.offer)
        }
        (false, 0) => Text::new(
            "closed-without-a-byte",
            "the peer closed the connection without sending any data",
        )
        .fix("check the port, and see the server's log; a middlebox that filters by name also causes this"),
        (false, _) => Text::new(
            "closed-in-handshake",
            "the peer closed the connection during the handshake",
        )
        .evidence([after(bytes_received)])
        .fix("see the peer's log; a middlebox that filters by name also causes this"),
    }
}

pub(super) fn reset_in_handshake(bytes_received: u64, seen: &Seen<'_>) -> Text {
    const ID: &str = "reset-in-handshake";
    match seen.by_server() {
        true => left(ID, "reset the connection", bytes_received, seen.offer),
        false => Text::new(ID, "the connection was reset during the handshake")
            .evidence([after(bytes_received)])
            .fix("see the peer's log; a firewall, a limit on connections from one address, or a crashed process causes this"),
    }
}

pub(super) fn timed_out(limit: Duration, seen: &Seen<'_>) -> Text {
    const ID: &str = "timed-out";
    if seen.by_server() {
        return Text::of_client(
            ID,
            format!("the client did not finish its handshake within {limit:?}"),
        )
        .evidence([progress(seen.offer)])
        .fix("none needed for a few of these: slow clients and scanners cause them");
    }
    let what = format!("the time limit of {limit:?} passed");
    let Some(phase) = seen.phase else {
        return Text::new(ID, what);
    };
    Text::new(ID, format!("{what} during the {phase}")).fix(match phase {
        Phase::Resolve => "check this machine's DNS",
        Phase::Connect => {
            "check the address and the port; a firewall that drops packets causes this"
        }
        Phase::StartTls => {
            "check that this port is for this protocol: the server accepts connections but sends nothing"
        }
        Phase::Handshake => {
            "check that this port is for TLS: the server accepts connections but sends nothing"
        }
        _ => "see the peer's log, or allow more time",
    })
}

pub(super) fn reset(seen: &Seen<'_>) -> Text {
    const ID: &str = "reset";
    match seen.by_server() {
        true => Text::of_client(ID, "the client reset the connection during the handshake")
            .evidence([progress(seen.offer)])
            .fix(LEFT_FIX),
        false => Text::new(ID, "the connection was reset")
            .fix("try again; if it persists, see the peer's log: its process may have crashed"),
    }
}

/// A client that went away in a handshake.
fn left(id: &'static str, ended: &str, bytes_received: u64, offer: Option<&ClientOffer>) -> Text {
    let what = match offer {
        None => format!("the client {ended} before it sent a ClientHello"),
        Some(offer) if !offer.complete => {
            format!("the client {ended} in the middle of its ClientHello")
        }
        Some(_) => format!("the client {ended} after our answer, without saying why"),
    };
    let is_no_hello = offer.is_none() && bytes_received > 0;
    Text::of_client(id, what)
        .evidence([after(bytes_received)])
        .evidence(is_no_hello.then(|| "these are not the start of a ClientHello".to_owned()))
        .fix(match offer {
            Some(offer) if offer.complete => LEFT_FIX,
            _ => "none needed for a few of these: scanners and broken networks cause them",
        })
}

fn after(bytes_received: u64) -> String {
    match bytes_received {
        0 => "it sent no bytes".to_owned(),
        count => format!("after {count} bytes from it"),
    }
}

/// How far a client came that did not go on.
fn progress(offer: Option<&ClientOffer>) -> String {
    match offer {
        None => "it sent no ClientHello".to_owned(),
        Some(offer) if !offer.complete => "its ClientHello was incomplete".to_owned(),
        Some(_) => "its ClientHello was answered".to_owned(),
    }
}
