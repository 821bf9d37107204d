//! After a handshake that failed: asking the server what it would have taken, or for its clock.

use std::time::Duration;

use handfast::Error;
use handfast_probe::{Answer, AnswerReader, ClientHello, Hearsay, Inquiry, hear};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connect::{Origin, reach};
use super::event::Event;
use super::patience::Patience;
use super::settings::Settings;

/// What all questions together may take: somebody waits for the message.
const WITHIN: Duration = Duration::from_secs(5);
/// A server that has not answered a hello by then is not going to.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The error with what the server says it would have taken, where that was the matter; or with what
/// it says when nobody verifies it, where time or name was.
pub(super) async fn clarify(
    settings: &Settings,
    origin: &Origin,
    error: Error,
    patience: Patience,
) -> Error {
    let is_about_offers = Inquiry::is_worthwhile(&error);
    if !settings.probes || !(is_about_offers || Hearsay::is_worthwhile(&error)) {
        return error;
    }
    settings.tell(&Event::Probing { error: &error });
    let quiet = settings.without_observer();
    if !is_about_offers {
        let limit = patience.at_most(WITHIN);
        let hearing = async {
            let (socket, _) = reach(&quiet, origin, |_| {}).await.ok()?;
            hear(&origin.host, origin.port, limit, socket).await
        };
        return match timeout(limit, hearing).await {
            Ok(Some(hearsay)) => hearsay.refine(error),
            _ => error,
        };
    }
    let asking = async {
        let mut inquiry = Inquiry::new(&settings.context, &origin.host);
        while let Some(hello) = inquiry.question() {
            match ask(&quiet, origin, &hello).await? {
                Answer::Silent => return None,
                answer => inquiry.answered(answer),
            }
        }
        Some(inquiry)
    };
    match timeout(patience.at_most(WITHIN), asking).await {
        Ok(Some(inquiry)) => inquiry.refine(error),
        _ => error,
    }
}

async fn ask(settings: &Settings, origin: &Origin, hello: &ClientHello) -> Option<Answer> {
    let (mut socket, _) = reach(settings, origin, |_| {}).await.ok()?;
    let mut reader = AnswerReader::new();
    // A server may have said why before it closed.
    let _ = socket.write_all(&hello.encode()).await;
    let reading = async {
        let mut chunk = vec![0; 8192];
        loop {
            match socket.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => {
                    let answer = reader.push(chunk.get(..count).unwrap_or_default());
                    if answer.is_some() {
                        return answer;
                    }
                }
            }
        }
    };
    Some(match timeout(ANSWER_WITHIN, reading).await {
        Ok(Some(answer)) => answer,
        Ok(None) => reader.end(),
        Err(_) => reader.give_up(),
    })
}
