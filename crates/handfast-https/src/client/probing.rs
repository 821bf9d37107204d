//! After a handshake that failed: asking the server what it would have taken, or for its clock.

use std::io;
use std::time::Duration;

use handfast::{Error, Phase};
use handfast_probe::{Inquiry, UnverifiedReply, clarify_async, with_unverified_reply_async};

use super::connect::reach;
use super::error as client;
use super::event::{Callbacks, Event};
use super::origin::Origin;
use super::patience::Patience;
use super::settings::Settings;

/// The time limit of all probes: the user waits for the message.
const WITHIN: Duration = Duration::from_secs(5);

/// The error with what the server says it would have taken, where that was the matter; or with what
/// its unauthenticated response, for errors about time or name.
pub(super) async fn clarify(
    settings: &Settings,
    origin: &Origin,
    callbacks: &Callbacks,
    error: Error,
    patience: Patience,
) -> Error {
    let is_about_offers = Inquiry::is_worthwhile(&error);
    // Whoever breaks a handshake off would otherwise see the name that it encrypts.
    if !settings.probes
        || settings.context.encrypts_hello()
        || !(is_about_offers || UnverifiedReply::is_worthwhile(&error))
    {
        return error;
    }
    callbacks.tell(&Event::Probing { error: &error });
    let quiet = Callbacks::default();
    let connect = || async {
        let reached = reach(settings, origin, &quiet, |_| {}).await;
        match reached {
            Ok((socket, _)) => Ok(socket),
            Err(client::Error::Dial(error)) => Err(error),
            Err(error) => Err(handfast_dial::Error::new(
                Phase::Connect,
                io::Error::other(error),
            )),
        }
    };
    let limit = patience.at_most(WITHIN);
    let host = &origin.host;
    match is_about_offers {
        true => clarify_async(error, &settings.context, host, limit, connect).await,
        false => with_unverified_reply_async(error, host, origin.port, limit, connect()).await,
    }
}
