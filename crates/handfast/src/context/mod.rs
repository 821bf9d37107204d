//! Contexts: configuration, built once and shared by all connections.
//!
//! A context is immutable; cloning it is cheap. To change something while connections run, build
//! another and use it for new connections: existing ones keep theirs.

mod choices;
mod client;
mod clients;
mod ech;
mod identities;
mod own_offer;
mod server;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki_types::UnixTime;

use crate::record::{RECORD_MAX, RecordSizing};
use crate::verify::{ClientVerifier, ServerName, VerificationPolicy, VerifiedPath, VerifyError};

pub use choices::{cipher_suite_named, cipher_suite_names, group_names};
pub use client::{ClientContext, ClientContextBuilder, DangerousClient};
pub use clients::{ClientAuth, ClientPolicy};
pub use ech::EchConfigs;
pub use identities::Identities;
pub use own_offer::OwnOffer;
pub use server::{ServerContext, ServerContextBuilder};

/// How long each phase of an exchange may take in the stream layers.
///
/// `None` waits for ever. A [`Connection`](crate::Connection) without I/O has no time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Name resolution. Default 10 s: two rounds of a resolver's retries.
    pub resolve: Option<Duration>,
    /// Connecting to one of the addresses. Default 10 s: three retransmissions of a lost SYN.
    pub connect: Option<Duration>,
    /// The TLS handshake from its first byte to its last. Default 10 s: two or three round trips,
    /// some of them retransmitted.
    pub handshake: Option<Duration>,
    /// The longest silence while reading. Default 60 s.
    pub read: Option<Duration>,
    /// The longest time without progress while writing. Default 60 s.
    pub write: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Some(Duration::from_secs(10)),
            connect: Some(Duration::from_secs(10)),
            handshake: Some(Duration::from_secs(10)),
            read: Some(Duration::from_secs(60)),
            write: Some(Duration::from_secs(60)),
        }
    }
}

impl Timeouts {
    /// No limit on any phase.
    pub const NONE: Self = Self {
        resolve: None,
        connect: None,
        handshake: None,
        read: None,
        write: None,
    };

    /// The same limit for every phase.
    pub const fn all(limit: Duration) -> Self {
        let limit = Some(limit);
        Self {
            resolve: limit,
            connect: limit,
            handshake: limit,
            read: limit,
            write: limit,
        }
    }
}

/// The clock of a context, for the validity of certificates and tickets.
///
/// ```
/// # use handfast::Clock;
/// # use std::time::{Duration, UNIX_EPOCH};
/// // A fixed clock, for a test.
/// let clock = Clock::new(|| UNIX_EPOCH + Duration::from_secs(1_900_000_000));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that calls this function.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The operating system's clock.
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.now_unix()))
    }

    /// Seconds since 1970; 0 if the clock is before 1970.
    pub(crate) fn now_unix(&self) -> u64 {
        (self.0)()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A [`Clock`] for rustls.
#[derive(Debug)]
struct ClockOfRustls(Clock);

impl rustls::time_provider::TimeProvider for ClockOfRustls {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0.now())
    }
}

/// The settings of a context that are not in rustls' configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) record_sizing: RecordSizing,
    pub(crate) write_buffer_size: usize,
    /// Whether there is a client certificate.
    pub(crate) has_client_certificate: bool,
    /// Whether the ClientHello is encrypted (RFC 9849).
    pub(crate) encrypts_hello: bool,
    /// Whether our private key is a `RemoteKey`.
    pub(crate) has_remote_key: bool,
    /// Whether the peer is not verified.
    pub(crate) peer_unverified: bool,
    /// The verifier of clients, for resumed sessions.
    pub(crate) client_verifier: Option<(Arc<ClientVerifier>, Clock)>,
    /// What a server is asked whose session is resumed, where the caller has checks of its own.
    pub(crate) resumed_server: Option<Arc<ResumedServer>>,
}

/// The caller's own checks on a server, for sessions that are resumed.
#[derive(Debug)]
pub(crate) struct ResumedServer {
    pub(crate) policy: VerificationPolicy,
    /// What servers have to be, where that is not what the connection was made for.
    pub(crate) expected: Option<ServerName>,
    pub(crate) clock: Clock,
}

impl ResumedServer {
    pub(crate) fn verify(
        &self,
        path: &VerifiedPath,
        name: Option<&str>,
    ) -> Result<(), Box<VerifyError>> {
        let asked = name.and_then(|name| ServerName::parse(name).ok());
        let Some(name) = self.expected.as_ref().or(asked.as_ref()) else {
            return Ok(());
        };
        self.policy
            .check_resumed_server(path, name, self.clock.now())
            .map_err(Box::new)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            record_sizing: RecordSizing::default(),
            write_buffer_size: RECORD_MAX,
            has_client_certificate: false,
            encrypts_hello: false,
            has_remote_key: false,
            peer_unverified: false,
            client_verifier: None,
            resumed_server: None,
        }
    }
}

/// Methods of both builders.
macro_rules! common_settings {
    () => {
        /// The application protocols to offer or accept, in order of preference (RFC 7301).
        ///
        /// Default: none. ```builder.alpn(["h2", "http/1.1"])```
        pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
            self.alpn = protocols.into_iter().map(Into::into).collect();
            self
        }

        /// The protocol versions to allow. Default: TLS 1.2 and 1.3.
        pub fn versions(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
            self.choices.versions = versions.into_iter().collect();
            self
        }

        /// The cipher suites to allow, by IANA's name or OpenSSL's, in order of preference. Default: all that rustls
        /// considers secure; a server prefers AES-128-GCM, the fastest, unless the client prefers
        /// ChaCha20-Poly1305. See [`cipher_suite_names`](crate::cipher_suite_names).
        pub fn cipher_suites<N: Into<String>>(
            mut self,
            names: impl IntoIterator<Item = N>,
        ) -> Self {
            self.choices.cipher_suites = names.into_iter().map(Into::into).collect();
            self
        }

        /// The key exchange groups to allow, by IANA's name or OpenSSL's, in order of preference. Default: the hybrid
        /// post-quantum X25519MLKEM768, then X25519 and the NIST curves. See
        /// [`group_names`](crate::group_names).
        pub fn groups<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
            self.choices.groups = names.into_iter().map(Into::into).collect();
            self
        }

        /// Time limits per phase. Scope: the stream layers. Default: see [`Timeouts`].
        pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
            self.settings.timeouts = timeouts;
            self
        }

        /// How plaintext is split into records. Default: as few as possible.
        pub fn record_sizing(mut self, sizing: RecordSizing) -> Self {
            self.settings.record_sizing = sizing;
            self
        }

        /// How much plaintext is kept to fill a record, in bytes (1 to 16384).
        /// Default 16384. 1 makes every write a record of its own.
        pub fn write_buffer_size(mut self, bytes: usize) -> Self {
            self.settings.write_buffer_size = bytes;
            self
        }

        /// Whether sessions are stored and resumed. Default: yes.
        pub fn resumption(mut self, on: bool) -> Self {
            self.resumption = on;
            self
        }

        /// Writes the secrets of every session to this log. Default: none.
        pub fn key_log(mut self, log: KeyLog) -> Self {
            self.key_log = Some(log);
            self
        }

        /// Adds a check of every peer that passes all other checks: it can refuse a peer, but not accept one that was
        /// refused. May be called repeatedly: every check must accept the peer. It is not called for peers that are not verified:
        /// a client without a certificate, a server with verification off. Default: none.
        pub fn also_verify(mut self, check: impl AdditionalVerification + 'static) -> Self {
            self.additional.push(Arc::new(check));
            self
        }

        /// The clock. Default: the operating system's.
        pub fn clock(mut self, clock: Clock) -> Self {
            self.clock = clock;
            self
        }
    };
}
pub(crate) use common_settings;
