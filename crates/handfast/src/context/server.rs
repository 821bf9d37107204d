//! The server's context and its builder.

use std::fmt;
use std::sync::Arc;

use super::choices::{Choices, nothing_left};
use super::clients::{ClientAuth, ClientPolicy, verifier};
use super::identities::{Identities, Resolver};
use super::{Clock, ClockOfRustls, Settings, Timeouts, common_settings};
use crate::by_name::ByName;
use crate::connection::Connection;
use crate::error::{ConfigurationCause, Error, LocalCause};
use crate::identity::Identity;
use crate::key_log::{KeyLog, Secrets};
use crate::phase::Phase;
use crate::preference;
use crate::record::RecordSizing;
use crate::resumption::{NoSessions, PolicySessions, ServerSessions, TicketKeys, Ticketer};
use crate::tls::Handshake;
use crate::verify::{Additional, AdditionalVerification, RevocationLists};
use crate::version::TlsVersion;

/// The configuration that a server's connections share.
///
/// Immutable, cheap to clone, safe to share between threads.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Write;
/// use handfast::{ClosePolicy, Identity, Passphrase, ServerContext};
///
/// let identity = Identity::from_pem_files("chain.pem", "key.pem", Passphrase::none())?;
/// let server = ServerContext::builder().identity(identity).build()?;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let (socket, _) = listener.accept()?;
/// let mut stream = server.accept(socket)?;
/// stream.write_all(b"hello\n")?;
/// stream.close(ClosePolicy::default());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerContext(Arc<Inner>);

struct Inner {
    tls: Arc<rustls::ServerConfig>,
    /// For clients that prefer ChaCha20-Poly1305: the same, but with the client's order of suites.
    tls_as_client_likes: Option<Arc<rustls::ServerConfig>>,
    settings: Settings,
    // Blocking handshakes may wait for any key.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    identities: Option<Identities>,
    tickets: TicketKeys,
    sessions: ServerSessions,
}

impl ServerContext {
    /// Builds a context. Defaults: TLS 1.2 and 1.3, resumption on, no client authentication. The
    /// [identity](ServerContextBuilder::identity) is required.
    pub fn builder() -> ServerContextBuilder {
        ServerContextBuilder::default()
    }

    /// The keys for session tickets: of this context, and of those that it [succeeds](ServerContextBuilder::succeeding).
    pub fn ticket_keys(&self) -> TicketKeys {
        self.0.tickets.clone()
    }

    /// A connection without I/O to a client.
    ///
    /// # Errors
    /// [`LocalCause::Internal`], never seen.
    pub fn connection(&self) -> Result<Connection, Error> {
        Handshake::server(&self.0.tls)
            .map(|handshake| {
                let other = self.0.tls_as_client_likes.clone();
                Connection::server(handshake, other, &self.0.settings)
            })
            .map_err(|error| Error::new(Phase::Handshake, LocalCause::Internal(error.to_string())))
    }

    /// May a handshake have to wait for a signature that is made elsewhere?
    #[cfg(feature = "tokio")]
    pub(crate) fn signs_elsewhere(&self) -> bool {
        let several = self.0.identities.as_ref();
        self.0.settings.has_remote_key || several.is_some_and(Identities::has_remote_key)
    }

    /// The time limits of this context's streams.
    pub fn timeouts(&self) -> Timeouts {
        self.0.settings.timeouts
    }
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// Builds a [`ServerContext`].
#[derive(Debug)]
#[must_use]
pub struct ServerContextBuilder {
    identity: Option<Identity>,
    identities: Option<Identities>,
    clients: ClientPolicy,
    named_clients: ByName<ClientPolicy>,
    additional: Additional,
    alpn: Vec<Vec<u8>>,
    choices: Choices,
    settings: Settings,
    resumption: bool,
    tickets: TicketKeys,
    predecessor: Option<ServerContext>,
    key_log: Option<KeyLog>,
    clock: Clock,
}

impl Default for ServerContextBuilder {
    fn default() -> Self {
        Self {
            identity: None,
            identities: None,
            clients: ClientPolicy::new(ClientAuth::None),
            named_clients: ByName::default(),
            additional: Additional::default(),
            alpn: Vec::new(),
            choices: Choices::default(),
            settings: Settings::default(),
            resumption: true,
            tickets: TicketKeys::new(),
            predecessor: None,
            key_log: None,
            clock: Clock::system(),
        }
    }
}

impl ServerContextBuilder {
    common_settings!();

    /// The certificate chain and key of the server. Required.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Identities by server name. Clients with another name, or none, get [`identity`](Self::identity); without it they
    /// are rejected (alert `unrecognized_name`).
    pub fn identities(mut self, identities: &Identities) -> Self {
        self.identities = Some(identities.clone());
        self
    }

    /// Client authentication. Default: none.
    pub fn client_auth(mut self, demand: ClientAuth) -> Self {
        self.clients.auth = demand;
        self
    }

    /// How many intermediates there may be between a client's certificate and the trust anchor.
    pub fn chain_depth_max(mut self, intermediates: usize) -> Self {
        self.clients.chain_depth_max = Some(intermediates);
        self
    }

    /// Revocation lists to check clients' chains against. Default: none.
    pub fn revocation_lists(mut self, lists: RevocationLists) -> Self {
        self.clients.revocation_lists = lists;
        self
    }

    /// What clients have to present that ask for this server name (RFC 6066, section 3), in place of what is set for all.
    /// `*.example.org` is each name that is one label longer than `example.org`; an exact name comes first. A later policy for a
    /// name replaces an earlier one.
    ///
    /// It is the name that the client asks for in its ClientHello. What it asks for afterwards, by `Host` in HTTP, has to be
    /// compared with [`Report::server_name`](crate::Report::server_name): otherwise a client enters by a name with a weaker policy.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use handfast::{ClientAuth, ClientPolicy, Identity, Passphrase, ServerContext, TrustAnchors};
    ///
    /// let staff = TrustAnchors::empty().with_file("staff-ca.pem")?;
    /// let server = ServerContext::builder()
    ///     .identity(Identity::from_file("server.pem", Passphrase::none())?)
    ///     .client_policy_for("intern.example.org", ClientPolicy::new(ClientAuth::Required(staff)))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_policy_for(mut self, name: &str, policy: ClientPolicy) -> Self {
        self.named_clients.insert(name, policy);
        self
    }

    /// The keys for session tickets, to share them between contexts that serve the same clients.
    /// Default: new ones.
    pub fn ticket_keys(mut self, keys: TicketKeys) -> Self {
        self.tickets = keys;
        self
    }

    /// This context will replace that one: tickets and sessions of the previous one remain
    /// valid, as long as the policy for clients is the same.
    pub fn succeeding(mut self, predecessor: &ServerContext) -> Self {
        self.predecessor = Some(predecessor.clone());
        self
    }

    /// Makes the context; later no files are read.
    ///
    /// # Errors
    /// Invalid choices ([`ConfigurationCause`]), or a machine without randomness
    /// ([`LocalCause::RandomUnavailable`]).
    pub fn build(self) -> Result<ServerContext, Error> {
        if self.identity.is_none() && self.identities.is_none() {
            return Err(Error::new(
                Phase::Configure,
                ConfigurationCause::IdentityMissing,
            ));
        }
        let chosen = !self.choices.cipher_suites.is_empty();
        let mut provider = self.choices.provider()?;
        if !chosen {
            preference::order(&mut Arc::make_mut(&mut provider).cipher_suites);
        }
        let builder = rustls::ServerConfig::builder_with_details(
            Arc::clone(&provider),
            Arc::new(ClockOfRustls(self.clock.clone())),
        )
        .with_protocol_versions(&self.choices.versions())
        .map_err(nothing_left)?;
        let mut settings = self.settings;
        let (verifier, policy_id) = verifier(self.clients, self.named_clients, &self.additional)?;
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => {
                let verifier = Arc::new(verifier);
                settings.client_verifier = Some((Arc::clone(&verifier), self.clock.clone()));
                builder.with_client_cert_verifier(verifier)
            }
        };
        settings.has_remote_key = self.identity.as_ref().is_some_and(Identity::is_remote);
        let resolver = Resolver {
            identities: self.identities.clone(),
            fallback: self.identity.as_ref().map(Identity::certified_key),
        };
        let mut tls = builder.with_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = self.alpn;
        // `connection/records.rs` uses the keys.
        tls.enable_secret_extraction = true;
        tls.key_log = Arc::new(Secrets(self.key_log));
        // As the client's.
        tls.cert_compressors = Vec::new();
        tls.cert_decompressors = Vec::new();
        let (tickets, sessions) = match &self.predecessor {
            Some(before) => (before.0.tickets.clone(), before.0.sessions.clone()),
            None => (self.tickets, ServerSessions::default()),
        };
        if self.resumption {
            let clock = self.clock;
            let clients = settings.client_verifier.as_ref();
            let clients = clients.map(|(verifier, _)| Arc::clone(verifier));
            tls.ticketer = Arc::new(Ticketer::new(
                tickets.clone(),
                policy_id,
                clock.clone(),
                clients.clone(),
            ));
            tls.session_storage = Arc::new(PolicySessions::new(
                sessions.clone(),
                policy_id,
                clock,
                clients,
            ));
        } else {
            tls.session_storage = Arc::new(NoSessions);
            tls.send_tls13_tickets = 0;
        }
        // The order of explicitly selected suites is the server's preference.
        let tls_as_client_likes = (!chosen).then(|| Arc::new(tls.clone()));
        tls.ignore_client_order = true;
        let inner = Inner {
            tls: Arc::new(tls),
            tls_as_client_likes,
            settings,
            identities: self.identities,
            tickets,
            sessions,
        };
        Ok(ServerContext(Arc::new(inner)))
    }
}
