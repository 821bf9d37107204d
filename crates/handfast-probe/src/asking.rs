//! Sends probes over blocking channels: a single one, or those of an inquiry.

use std::io;
use std::time::{Duration, Instant};

use handfast::{Channel, ClientContext, Error};

use crate::answer::{Answer, AnswerReader};
use crate::hello::ClientHello;
use crate::inquiry::Inquiry;

/// The time limit of an answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Determines why a handshake failed, and returns the error with the finding.
///
/// `connect` makes a new channel to the same server up to the point where TLS begins: through the same proxy,
/// after the same STARTTLS. It is called a few times at most, within `limit` in total, and needs a time limit itself: it
/// is not interrupted. If this finds nothing, the error is unchanged. Errors that no probe can clarify are returned
/// immediately ([`Inquiry::is_worthwhile`]), as are all errors of a context that encrypts its ClientHello: a probe would send
/// the name in the clear.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use handfast::ClientContext;
///
/// let client = ClientContext::builder().build()?;
/// let again = || TcpStream::connect("old.example:443");
/// if let Err(failure) = client.secure("old.example", again()?) {
///     let limit = Duration::from_secs(5);
///     let error = handfast_probe::clarify(failure.error, &client, "old.example", limit, again);
///     eprintln!("{}", error.explain()); // client and server have no TLS version in common [protocol-version]
/// }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn clarify<C: Channel, E>(
    error: Error,
    context: &ClientContext,
    server_name: &str,
    limit: Duration,
    mut connect: impl FnMut() -> Result<C, E>,
) -> Error {
    // Probes send the name in the clear.
    if context.encrypts_hello() || !Inquiry::is_worthwhile(&error) {
        return error;
    }
    // A limit that overflows is no limit.
    let deadline = Instant::now().checked_add(limit);
    let mut inquiry = Inquiry::new(context, server_name);
    while let Some(hello) = inquiry.question() {
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return error;
        }
        let Ok(mut channel) = connect() else {
            return error;
        };
        let until = deadline.unwrap_or_else(|| Instant::now() + ANSWER_WITHIN);
        match ask(&mut channel, &hello, until) {
            Answer::Silent => return error,
            answer => inquiry.answered(answer),
        }
    }
    inquiry.refine(error)
}

/// Sends a hello over a new channel, and reads the server's answer.
///
/// Errors of the channel are answers, too: [`Answer::Closed`], or [`Answer::Silent`] if the
/// server has not answered by the deadline, or within four seconds.
pub fn ask<C: Channel>(channel: &mut C, hello: &ClientHello, deadline: Instant) -> Answer {
    let deadline = deadline.min(Instant::now() + ANSWER_WITHIN);
    let mut reader = AnswerReader::new();
    let left = || deadline.saturating_duration_since(Instant::now());
    let sent = channel
        .limit_write(Some(left()))
        .and_then(|()| channel.write_all(&hello.encode()))
        .and_then(|()| channel.flush());
    // The server may have sent an alert before it closed.
    let _ = sent;
    let mut chunk = [0; 8192];
    loop {
        if left().is_zero() || channel.limit_read(Some(left())).is_err() {
            return reader.give_up();
        }
        match channel.read(&mut chunk) {
            Ok(0) => return reader.end(),
            Ok(count) => {
                if let Some(answer) = reader.push(chunk.get(..count).unwrap_or_default()) {
                    return answer;
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return reader.give_up(),
                _ => return reader.end(),
            },
        }
    }
}
