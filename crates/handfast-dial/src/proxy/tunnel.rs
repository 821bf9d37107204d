//! Makes a tunnel through a proxy over a channel to it, blocking and asynchronous.

use std::net::SocketAddr;
use std::time::Duration;

use handfast::{Channel, Phase};

use super::choice::{Proxy, ProxyProtocol};
use super::http::ConnectDialogue;
use super::problem::ProxyError;
use super::socks4::Socks4Dialogue;
use super::socks5::Socks5Dialogue;
use crate::dialogue::{self, Dialogue};
use crate::error::{Cause, Error};
use crate::resolve::resolve;

/// How long to wait for the rest of a refusal, which is only evidence.
const REST_WITHIN: Duration = Duration::from_millis(500);

impl Proxy {
    /// Makes the proxy at the other end of this channel connect to a server. Afterwards the channel leads to the
    /// server itself, no time limit is set on it, and TLS can begin:
    /// [`ClientContext::secure`](handfast::ClientContext::secure).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    /// use handfast::ClientContext;
    /// use handfast_dial::proxy::Proxy;
    ///
    /// let proxy = Proxy::parse("socks5h://proxy.internal:1080")?;
    /// let mut socket = TcpStream::connect((proxy.host(), proxy.port()))?;
    /// proxy.tunnel(&mut socket, "example.org", 443, Some(Duration::from_secs(10)))?;
    /// let stream = ClientContext::builder().build()?.secure("example.org", socket)?;
    /// # let _ = stream;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Cause::Proxy`] for all errors of the proxy, and time-outs and errors of the
    /// channel, all in [`Phase::Connect`]; after a challenge that is answered
    /// ([`is_answering_error`](Self::is_answering_error)), ask again over another channel; with protocols that take addresses the errors of [`resolve`].
    pub fn tunnel<C: Channel>(
        &self,
        channel: &mut C,
        host: &str,
        port: u16,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let address = match self.takes_address() {
            true => self.choose(&resolve(host, port, limit)?),
            false => None,
        };
        self.tunnel_to(channel, (host, port), address, limit)
    }

    /// As [`tunnel`](Self::tunnel), to a server with this address, if the proxy [takes one](Self::takes_address).
    pub(crate) fn tunnel_to<C: Channel>(
        &self,
        channel: &mut C,
        (host, port): (&str, u16),
        address: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        match self.begin(host, port, address)? {
            TunnelDialogue::Http(dialogue) => dialogue::run(dialogue, channel, limit),
            TunnelDialogue::Socks5(dialogue) => dialogue::run(dialogue, channel, limit),
            TunnelDialogue::Socks4(dialogue) => dialogue::run(dialogue, channel, limit),
        }
    }

    /// Whether names of servers are resolved here.
    pub(crate) fn takes_address(&self) -> bool {
        matches!(
            self.protocol(),
            ProxyProtocol::Socks5 | ProxyProtocol::Socks4
        )
    }

    /// The address of these that the proxy is given. SOCKS4 has IPv4 alone; where there is none, the dialogue says so.
    pub(crate) fn choose(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let fits =
            |address: &&SocketAddr| self.protocol() != ProxyProtocol::Socks4 || address.is_ipv4();
        let fitting = addresses.iter().find(fits);
        fitting.or_else(|| addresses.first()).copied()
    }

    /// As [`tunnel`](Self::tunnel), over a tokio channel.
    ///
    /// # Errors
    /// As [`tunnel`](Self::tunnel).
    #[cfg(feature = "tokio")]
    pub async fn tunnel_async<C>(
        &self,
        channel: &mut C,
        host: &str,
        port: u16,
        limit: Option<Duration>,
    ) -> Result<(), Error>
    where
        C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let address = match self.takes_address() {
            true => {
                let found = crate::resolve::resolve_async(host, port, limit).await?;
                self.choose(&found)
            }
            false => None,
        };
        self.tunnel_to_async(channel, (host, port), address, limit)
            .await
    }

    /// As [`tunnel_to`](Self::tunnel_to), over a tokio channel.
    #[cfg(feature = "tokio")]
    pub(crate) async fn tunnel_to_async<C>(
        &self,
        channel: &mut C,
        (host, port): (&str, u16),
        address: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Result<(), Error>
    where
        C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        match self.begin(host, port, address)? {
            TunnelDialogue::Http(dialogue) => {
                crate::dialogue_async::run(dialogue, channel, limit).await
            }
            TunnelDialogue::Socks5(dialogue) => {
                crate::dialogue_async::run(dialogue, channel, limit).await
            }
            TunnelDialogue::Socks4(dialogue) => {
                crate::dialogue_async::run(dialogue, channel, limit).await
            }
        }
    }

    fn begin(
        &self,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
    ) -> Result<TunnelDialogue, Error> {
        let (target, credentials) = (self.target(host, port), self.credentials());
        Ok(match self.protocol() {
            ProxyProtocol::Http | ProxyProtocol::Https => {
                let authorization = self.authorization("CONNECT", &target.authority());
                let fields = self.fields();
                TunnelDialogue::Http(ConnectDialogue::with_fields(
                    target,
                    authorization.as_ref(),
                    fields,
                ))
            }
            ProxyProtocol::Socks5 | ProxyProtocol::Socks5h => {
                TunnelDialogue::Socks5(Socks5Dialogue::new(target, address, credentials)?)
            }
            ProxyProtocol::Socks4 | ProxyProtocol::Socks4a => {
                TunnelDialogue::Socks4(Socks4Dialogue::new(target, address, credentials)?)
            }
        })
    }
}

enum TunnelDialogue {
    Http(ConnectDialogue),
    Socks5(Socks5Dialogue),
    Socks4(Socks4Dialogue),
}

macro_rules! dialogue_with_a_proxy {
    ($dialogue:ty) => {
        impl Dialogue for $dialogue {
            const PHASE: Phase = Phase::Connect;
            const RESET_IS_END: bool = true;

            fn outgoing(&self) -> &[u8] {
                self.outgoing()
            }
            fn sent(&mut self, count: usize) {
                self.sent(count);
            }
            fn is_done(&self) -> bool {
                self.is_done()
            }
            fn wanted(&self) -> usize {
                self.wanted()
            }
            fn received(&mut self, bytes: &[u8]) -> Result<(), Error> {
                Ok(self.received(bytes)?)
            }
            fn received_end(&mut self) -> Error {
                Self::received_end(self).into()
            }
            fn rest_within(&self) -> Option<Duration> {
                self.is_refused().then_some(REST_WITHIN)
            }
        }
    };
}

dialogue_with_a_proxy!(ConnectDialogue);
dialogue_with_a_proxy!(Socks5Dialogue);
dialogue_with_a_proxy!(Socks4Dialogue);

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::new(Phase::Connect, Cause::Proxy(Box::new(error)))
    }
}
