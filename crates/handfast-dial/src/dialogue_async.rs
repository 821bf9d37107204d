//! Runs a dialogue over a tokio channel: the asynchronous counterpart of `dialogue.rs`.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::dialogue::{Dialogue, is_end, timed_out};
use crate::error::Error;

/// How much is read at once; answers are shorter, and the buffer is part of the future.
const CHUNK: usize = 512;

/// Runs it to its end.
pub(crate) async fn run<C, D: Dialogue>(
    dialogue: D,
    channel: &mut C,
    limit: Option<Duration>,
) -> Result<(), Error>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let leading = without_limit(dialogue, channel);
    match limit {
        None => leading.await,
        Some(limit) => timeout(limit, leading)
            .await
            .unwrap_or_else(|_| Err(timed_out::<D>(limit))),
    }
}

async fn without_limit<C, D: Dialogue>(mut dialogue: D, channel: &mut C) -> Result<(), Error>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error| Error::new(D::PHASE, error);
    let mut chunk = [0; CHUNK];
    loop {
        while !dialogue.outgoing().is_empty() {
            let count = channel.write(dialogue.outgoing()).await.map_err(failed)?;
            if count == 0 {
                return Err(failed(std::io::ErrorKind::WriteZero.into()));
            }
            dialogue.sent(count);
        }
        channel.flush().await.map_err(failed)?;
        if dialogue.is_done() {
            return Ok(());
        }
        let rest = dialogue.rest_within();
        let room = dialogue.wanted().min(CHUNK);
        let reading = channel.read(chunk.get_mut(..room).unwrap_or_default());
        let read = match rest {
            Some(rest) => timeout(rest, reading).await.unwrap_or(Ok(0)),
            None => reading.await,
        };
        match read {
            Ok(0) => return Err(dialogue.received_end()),
            Ok(count) => dialogue.received(chunk.get(..count).unwrap_or_default())?,
            Err(error) if rest.is_some() || is_end::<D>(&error) => {
                return Err(dialogue.received_end());
            }
            Err(error) => return Err(failed(error)),
        }
    }
}
