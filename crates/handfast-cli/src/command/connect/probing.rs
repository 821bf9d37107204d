//! After a failed handshake: probing the server over further channels. Only channels that can be opened again
//! without a side effect are used: no command is run twice, no serial line is opened again.

use std::time::Duration;

use handfast::{ClientContext, Error};
use handfast_dial::proxy::Proxy;
use handfast_dial::{StartTls, StartTlsError, connect_unix};
use handfast_probe as probe;

use super::channel::dial;
use super::target::{Target, authority};
use crate::tls_at_once;

/// The time limit for all probes together: the user is waiting for the message.
const WITHIN: Duration = Duration::from_secs(5);

/// The error if the server waits for TLS instead of this protocol.
pub(super) fn tls_at_once(
    target: &Target,
    context: &ClientContext,
    server_name: &str,
    protocol: StartTls,
    proxy: Option<&Proxy>,
) -> Option<StartTlsError> {
    let spoken = match target {
        Target::Tcp { host, port } => {
            let authority = authority(host, port.or(Some(protocol.default_port())));
            let mut channel = dial(&authority, context, proxy).ok()?;
            tls_at_once::is_spoken(&mut channel, server_name)
        }
        Target::Unix(path) => {
            let mut channel = connect_unix(path, context.timeouts().connect).ok()?;
            tls_at_once::is_spoken(&mut channel, server_name)
        }
        Target::Exec(_) | Target::Serial { .. } => false,
    };
    spoken.then(|| protocol.already_tls())
}

pub(super) fn clarify(
    error: Error,
    target: &Target,
    context: &ClientContext,
    server_name: &str,
    starttls: Option<StartTls>,
    proxy: Option<&Proxy>,
) -> Error {
    let begin = |channel| -> Result<_, handfast_dial::Error> {
        let mut channel = channel;
        if let Some(protocol) = starttls {
            protocol.negotiate(&mut channel, server_name, Some(WITHIN))?;
        }
        Ok(channel)
    };
    match target {
        Target::Tcp { host, port } => {
            let authority = authority(host, port.or(starttls.map(StartTls::default_port)));
            let again = || begin(dial(&authority, context, proxy)?);
            probe::clarify(error, context, server_name, WITHIN, again)
        }
        Target::Unix(path) if starttls.is_none() => {
            let again = || connect_unix(path, Some(WITHIN));
            probe::clarify(error, context, server_name, WITHIN, again)
        }
        _ => error,
    }
}
