//! A server that says nothing where STARTTLS was expected may be waiting for TLS: found out over a
//! connection of its own, so that the session does not wait for a greeting that never comes.

use std::time::{Duration, Instant};

use handfast::Channel;
use handfast_dial::StartTls;
use handfast_probe::{self as probe, Answer, ClientHello};

/// A server that speaks first does so within a second, if it looks nothing up.
const SILENCE: Duration = Duration::from_secs(2);

/// On the port of mail transfer some let clients wait for 6 seconds, and block those that do not
/// (Postfix's `postscreen_greet_wait`).
const SILENCE_SMTP: Duration = Duration::from_secs(7);

const SMTP_PORT: u16 = 25;

/// How long the answer to a ClientHello may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long a server of this protocol may be silent until it is asked whether it speaks TLS.
pub(crate) fn silence(protocol: StartTls, port: Option<u16>) -> Duration {
    match port.unwrap_or_else(|| protocol.default_port()) {
        SMTP_PORT => SILENCE_SMTP,
        _ => SILENCE,
    }
}

/// Does the peer on this unused channel speak TLS?
pub(crate) fn is_spoken(channel: &mut impl Channel, server_name: &str) -> bool {
    let hello = ClientHello::of_all_versions().with_server_name(server_name);
    matches!(
        probe::ask(channel, &hello, Instant::now() + ANSWER_WITHIN),
        Answer::Hello(_) | Answer::Alert(_) | Answer::Malformed { .. }
    )
}
