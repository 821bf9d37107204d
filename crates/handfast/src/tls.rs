//! The interface to rustls' connections: a handshake that processes records, its
//! result, the keys, and later keys.
//!
//! The only file with the types of rustls' connections (`tests/boundaries.rs` checks that). Which records are
//! passed, and when, is decided in `connection/handshake.rs`.

use std::fmt;
use std::sync::Arc;

use pki_types::{CertificateDer, ServerName};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::internal::msgs::codec::Codec;
use rustls::internal::msgs::handshake::EchConfigPayload;
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{
    CipherSuite, CommonState, ConnectionTrafficSecrets, Error, ExtractedSecrets, HandshakeKind,
    NamedGroup, ProtocolVersion, SupportedCipherSuite,
};
use zeroize::Zeroizing;

use crate::buffers::Window;
use crate::protection::{Algorithm, Keys, Scheme};

/// The configuration of a client's handshakes.
pub(crate) type ClientConfig = Arc<rustls::ClientConfig>;
/// The configuration of a server's handshakes.
pub(crate) type ServerConfig = Arc<rustls::ServerConfig>;
/// The keys of one direction, from rustls' cipher suites.
pub(crate) type TrafficSecrets = ConnectionTrafficSecrets;

/// A handshake of either side.
pub(crate) enum Handshake {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// The result of one step of a handshake.
pub(crate) enum Progress {
    /// There may be more to process.
    More,
    /// More input is needed, or it is complete.
    Drained,
    /// The peer's `close_notify`.
    Ended,
    Failed(Error),
}

/// The negotiated parameters.
pub(crate) struct Agreed<'h> {
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) cipher_suite: Option<CipherSuite>,
    pub(crate) group: Option<NamedGroup>,
    pub(crate) alpn: Option<&'h [u8]>,
    pub(crate) resumed: bool,
    /// The peer's chain as it sent it; from the earlier session when resumed.
    pub(crate) peer_chain: Option<&'h [CertificateDer<'static>]>,
}

/// The keys at the end of a handshake.
pub(crate) struct Established {
    pub(crate) sending: Keys,
    pub(crate) receiving: Keys,
    pub(crate) secrets: Box<dyn Secrets>,
}

/// Later keys, and the handling of tickets.
pub(crate) trait Secrets: Send + Sync {
    /// The next keys of our direction (RFC 8446, section 7.2).
    fn next_sending(&mut self) -> Result<Keys, Error>;
    /// The next keys of the peer's direction.
    fn next_receiving(&mut self) -> Result<Keys, Error>;
    /// For a client: stores the content of a NewSessionTicket message (RFC 8446, section 4.6.1) in the context's store.
    fn ticket(&mut self, body: &[u8]) -> Result<(), Error>;
}

impl Handshake {
    /// A client's handshake, with its ClientHello.
    pub(crate) fn client(config: &ClientConfig, name: ServerName<'static>) -> Result<Self, Error> {
        UnbufferedClientConnection::new(Arc::clone(config), name).map(Self::Client)
    }

    /// A server's handshake, which expects a ClientHello.
    pub(crate) fn server(config: &ServerConfig) -> Result<Self, Error> {
        UnbufferedServerConnection::new(Arc::clone(config)).map(Self::Server)
    }

    /// Processes whole records, and appends records to send to `outgoing`. Returns how many bytes are consumed.
    pub(crate) fn step(&mut self, incoming: &mut [u8], outgoing: &mut Window) -> (usize, Progress) {
        match self {
            Self::Client(tls) => take(tls.process_tls_records(incoming), outgoing),
            Self::Server(tls) => take(tls.process_tls_records(incoming), outgoing),
        }
    }

    /// Whether the handshake is complete and the keys can be taken.
    pub(crate) fn is_done(&self) -> bool {
        !self.state().is_handshaking()
    }

    /// The parameters negotiated so far.
    pub(crate) fn agreed(&self) -> Agreed<'_> {
        let state = self.state();
        Agreed {
            version: state.protocol_version(),
            cipher_suite: state.negotiated_cipher_suite().map(|suite| suite.suite()),
            group: state
                .negotiated_key_exchange_group()
                .map(|group| group.name()),
            alpn: state.alpn_protocol(),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            peer_chain: state.peer_certificates(),
        }
    }

    /// Takes the keys. No data may be left to send or to process.
    pub(crate) fn finish(self) -> Result<Established, Error> {
        match self {
            Self::Client(tls) => {
                let (keys, kernel) = tls.dangerous_into_kernel_connection()?;
                let suite = kernel.negotiated_cipher_suite();
                Established::new(keys, suite, Kernel { suite, kernel })
            }
            Self::Server(tls) => {
                let (keys, kernel) = tls.dangerous_into_kernel_connection()?;
                let suite = kernel.negotiated_cipher_suite();
                Established::new(keys, suite, Kernel { suite, kernel })
            }
        }
    }

    fn state(&self) -> &CommonState {
        match self {
            Self::Client(tls) => tls,
            Self::Server(tls) => tls,
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "Client",
            Self::Server(_) => "Server",
        })
    }
}

/// Configurations for Encrypted Client Hello as they were on the wire. rustls has them taken apart, and hands out no
/// other form.
pub(crate) fn ech_config_list(configs: &[EchConfigPayload]) -> Vec<u8> {
    let mut list = Vec::new();
    configs.iter().for_each(|config| config.encode(&mut list));
    // They came in a list whose length has two bytes.
    let length = u16::try_from(list.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], &list].concat()
}

fn take<D>(status: UnbufferedStatus<'_, '_, D>, outgoing: &mut Window) -> (usize, Progress) {
    let UnbufferedStatus { discard, state } = status;
    let progress = match state {
        Err(error) => Progress::Failed(error),
        Ok(ConnectionState::EncodeTlsData(mut encode)) => {
            // Encoding into an empty buffer returns the needed size.
            let needed = match encode.encode(&mut []) {
                Err(EncodeError::InsufficientSize(size)) => size.required_size,
                _ => 0,
            };
            match encode.encode(outgoing.room(needed)) {
                Ok(count) => {
                    outgoing.fill(count);
                    Progress::More
                }
                Err(error) => Progress::Failed(Error::General(error.to_string())),
            }
        }
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            // `outgoing` keeps the order; the caller sends it.
            transmit.done();
            Progress::More
        }
        Ok(ConnectionState::PeerClosed) => Progress::Ended,
        Ok(
            ConnectionState::WriteTraffic(_)
            | ConnectionState::BlockedHandshake
            | ConnectionState::Closed,
        ) => Progress::Drained,
        // There is no data: early data is never enabled, and no record is passed after the last of the handshake.
        // Unknown variants of a later rustls.
        Ok(_) => Progress::Failed(Error::General("an unknown state".into())),
    };
    (discard, progress)
}

impl Established {
    fn new(
        keys: ExtractedSecrets,
        suite: SupportedCipherSuite,
        secrets: impl Secrets + 'static,
    ) -> Result<Self, Error> {
        Ok(Self {
            sending: keys_of(keys.tx, suite)?,
            receiving: keys_of(keys.rx, suite)?,
            secrets: Box::new(secrets),
        })
    }
}

/// rustls keeps the secrets for later keys, and a client's tickets.
struct Kernel<D> {
    suite: SupportedCipherSuite,
    kernel: KernelConnection<D>,
}

impl Secrets for Kernel<ClientConnectionData> {
    fn next_sending(&mut self) -> Result<Keys, Error> {
        keys_of(self.kernel.update_tx_secret()?, self.suite)
    }

    fn next_receiving(&mut self) -> Result<Keys, Error> {
        keys_of(self.kernel.update_rx_secret()?, self.suite)
    }

    fn ticket(&mut self, body: &[u8]) -> Result<(), Error> {
        self.kernel.handle_new_session_ticket(body)
    }
}

impl Secrets for Kernel<ServerConnectionData> {
    fn next_sending(&mut self) -> Result<Keys, Error> {
        keys_of(self.kernel.update_tx_secret()?, self.suite)
    }

    fn next_receiving(&mut self) -> Result<Keys, Error> {
        keys_of(self.kernel.update_rx_secret()?, self.suite)
    }

    /// Clients send no tickets: the record protocol rejects the message.
    fn ticket(&mut self, _: &[u8]) -> Result<(), Error> {
        Err(Error::HandshakeNotComplete)
    }
}

/// The record protection with these keys of this suite.
fn keys_of(
    (sequence, secrets): (u64, TrafficSecrets),
    suite: SupportedCipherSuite,
) -> Result<Keys, Error> {
    let (algorithm, key, iv) = match &secrets {
        TrafficSecrets::Aes128Gcm { key, iv } => (Algorithm::Aes128Gcm, key, iv),
        TrafficSecrets::Aes256Gcm { key, iv } => (Algorithm::Aes256Gcm, key, iv),
        TrafficSecrets::Chacha20Poly1305 { key, iv } => (Algorithm::ChaCha20Poly1305, key, iv),
        _ => return Err(Error::General("a suite that is not known here".into())),
    };
    let (scheme, common) = match suite {
        SupportedCipherSuite::Tls13(suite) => (Scheme::Tls13, &suite.common),
        SupportedCipherSuite::Tls12(suite) => (Scheme::of_tls12(algorithm), &suite.common),
    };
    let mut bytes = Zeroizing::new([0; 32]);
    let (Some(place), Ok(iv)) = (bytes.get_mut(..key.as_ref().len()), iv.as_ref().try_into())
    else {
        return Err(Error::General(
            "a key of a length that is not known here".into(),
        ));
    };
    place.copy_from_slice(key.as_ref());
    Ok(Keys {
        algorithm,
        scheme,
        key: bytes,
        iv,
        sequence,
        records_max: common.confidentiality_limit,
    })
}
