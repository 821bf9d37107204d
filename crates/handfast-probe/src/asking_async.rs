//! Sends probes over tokio channels: the asynchronous counterpart of `asking.rs`.

use std::time::Duration;

use handfast::{ClientContext, Error};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::answer::{Answer, AnswerReader};
use crate::asking::ANSWER_WITHIN;
use crate::hello::ClientHello;
use crate::inquiry::Inquiry;

/// As [`clarify`](crate::clarify), without blocking the thread.
#[must_use]
pub async fn clarify_async<C, E, F>(
    error: Error,
    context: &ClientContext,
    server_name: &str,
    limit: Duration,
    mut connect: impl FnMut() -> F,
) -> Error
where
    C: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<C, E>>,
{
    // Probes send the name in the clear.
    if context.encrypts_hello() || !Inquiry::is_worthwhile(&error) {
        return error;
    }
    let asking = async {
        let mut inquiry = Inquiry::new(context, server_name);
        while let Some(hello) = inquiry.question() {
            let mut channel = connect().await.ok()?;
            match ask_async(&mut channel, &hello, ANSWER_WITHIN).await {
                Answer::Silent => return None,
                answer => inquiry.answered(answer),
            }
        }
        Some(inquiry)
    };
    match timeout(limit, asking).await {
        Ok(Some(inquiry)) => inquiry.refine(error),
        _ => error,
    }
}

/// As [`ask`](crate::ask), without blocking the thread; waits for the answer at most `limit`.
pub async fn ask_async<C>(channel: &mut C, hello: &ClientHello, limit: Duration) -> Answer
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = AnswerReader::new();
    let exchanging = async {
        // The server may have sent an alert before it closed.
        let _ = channel.write_all(&hello.encode()).await;
        let _ = channel.flush().await;
        let mut chunk = vec![0; 8192];
        loop {
            match channel.read(&mut chunk).await {
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
    match timeout(limit, exchanging).await {
        Ok(Some(answer)) => answer,
        Ok(None) => reader.end(),
        Err(_) => reader.give_up(),
    }
}
