//! Runs a STARTTLS dialogue over a channel, blocking and asynchronous.

use std::time::Duration;

use handfast::{Channel, Phase};

use super::dialogue::StartTlsDialogue;
use super::problem::StartTlsError;
use super::protocol::StartTls;
use crate::dialogue::{self, Dialogue};
use crate::error::{Cause, Error};

impl StartTls {
    /// Runs the dialogue over a blocking channel. Afterwards no time limit is set on the channel, and TLS can begin:
    /// [`ClientContext::secure`](handfast::ClientContext::secure).
    ///
    /// # Errors
    /// [`Cause::StartTls`] for all errors of the server, and time-outs and errors of
    /// the channel, all in [`Phase::StartTls`].
    pub fn negotiate<C: Channel>(
        self,
        channel: &mut C,
        server_name: &str,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        dialogue::run(self.dialogue(server_name), channel, limit)
    }

    /// As [`negotiate`](Self::negotiate), over a tokio channel.
    ///
    /// # Errors
    /// As [`negotiate`](Self::negotiate).
    #[cfg(feature = "tokio")]
    pub async fn negotiate_async<C>(
        self,
        channel: &mut C,
        server_name: &str,
        limit: Option<Duration>,
    ) -> Result<(), Error>
    where
        C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        crate::dialogue_async::run(self.dialogue(server_name), channel, limit).await
    }
}

impl Dialogue for StartTlsDialogue {
    const PHASE: Phase = Phase::StartTls;
    const RESET_IS_END: bool = false;

    fn outgoing(&self) -> &[u8] {
        self.outgoing()
    }

    fn sent(&mut self, count: usize) {
        self.sent(count);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    /// Everything: bytes after the last answer are detected as injected.
    fn wanted(&self) -> usize {
        usize::MAX
    }

    fn received(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.received(bytes)?)
    }

    fn received_end(&mut self) -> Error {
        self.received_end().into()
    }
}

impl From<StartTlsError> for Error {
    fn from(error: StartTlsError) -> Self {
        Self::new(Phase::StartTls, Cause::StartTls(Box::new(error)))
    }
}
