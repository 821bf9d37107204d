//! The client's context and its builder.

use std::fmt;
use std::sync::Arc;

use pki_types::CertificateDer;
use rustls::client::Resumption;

use super::choices::{Choices, nothing_left};
use super::ech::{Ech, EchConfigs};
use super::own_offer::OwnOffer;
use super::{Clock, ClockOfRustls, ResumedServer, Settings, Timeouts, common_settings};
use crate::callback_data::{self, Session};
use crate::connection::Connection;
use crate::error::{ConfigurationCause, Error, LocalCause};
use crate::identity::Identity;
use crate::key_algorithm::KeyKind;
use crate::key_log::{KeyLog, Secrets};
use crate::phase::Phase;
use crate::record::RecordSizing;
use crate::registry::{GroupId, SchemeId, SuiteId, WireVersion};
use crate::resumption::ClientSessions;
use crate::tls::Handshake;
use crate::trust::TrustAnchors;
use crate::verify::{
    AcceptAny, Additional, AdditionalVerification, RevocationLists, ServerName, ServerVerifier,
    SpkiSha256, VerificationPolicy,
};
use crate::version::TlsVersion;
use crate::x500;
use crate::x509::{self, Depth};

/// The configuration that a client's connections share.
///
/// Immutable, cheap to clone, safe to share between threads.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use handfast::{ClientContext, ClosePolicy};
///
/// let client = ClientContext::builder().build()?; // platform trust store, verification on
/// let socket = TcpStream::connect("example.org:443")?; // or any other channel
/// let mut stream = client.secure("example.org", socket)?; // handshake, chain and name checked
/// stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
/// let (bytes, ending) = stream.read_to_ending()?;
/// let outcome = stream.close(ClosePolicy::Wait(Duration::from_secs(2)));
/// println!("{} bytes, ended by {ending}, closed: {outcome}", bytes.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientContext(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    tls: Arc<rustls::ClientConfig>,
    settings: Settings,
    policy: VerificationPolicy,
    versions: Vec<TlsVersion>,
}

impl ClientContext {
    /// Builds a context. Defaults: platform trust store, verification on, TLS 1.2 and 1.3.
    pub fn builder() -> ClientContextBuilder {
        ClientContextBuilder::default()
    }

    /// A connection without I/O to the server with this name.
    ///
    /// The name is a DNS name, in Unicode or not, or an IP address; it is what the server's
    /// certificate must be valid for (RFC 9525).
    ///
    /// # Errors
    /// [`ConfigurationCause::ServerName`] if it is neither.
    pub fn connection(&self, server_name: &str) -> Result<Connection, Error> {
        let name = ServerName::parse(server_name).map_err(|problem| {
            let cause = ConfigurationCause::ServerName {
                text: server_name.to_owned(),
                problem: problem.to_string(),
            };
            Error::new(Phase::Configure, cause)
        })?;
        let text = name.to_string();
        // This makes the ClientHello, and selects a session to resume.
        callback_data::begin(&Session::default());
        let handshake = Handshake::client(&self.0.tls, name.to_rustls());
        let seen = callback_data::end();
        let handshake = handshake.map_err(|error| {
            Error::new(Phase::Handshake, LocalCause::Internal(error.to_string()))
        })?;
        let mut connection = Connection::client(handshake, &self.0.settings, &text, seen);
        connection.process()?;
        Ok(connection)
    }

    /// May a handshake have to wait for a signature that is made elsewhere?
    #[cfg(feature = "tokio")]
    pub(crate) fn signs_elsewhere(&self) -> bool {
        self.0.settings.has_remote_key
    }

    /// The time limits of this context's streams.
    pub fn timeouts(&self) -> Timeouts {
        self.0.settings.timeouts
    }

    /// The same context with other time limits. Both share their sessions.
    #[must_use]
    pub fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        self.altered(|inner| inner.settings.timeouts = timeouts)
    }

    /// The same context that offers these application protocols instead (ALPN, RFC 7301). Both share their
    /// sessions.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(&self, protocols: impl IntoIterator<Item = P>) -> Self {
        let protocols = protocols.into_iter().map(Into::into).collect();
        self.altered(|inner| Arc::make_mut(&mut inner.tls).alpn_protocols = protocols)
    }

    /// The same context without its client certificate, if it has one. They share no sessions: those of the other may have been
    /// established with the certificate.
    #[must_use]
    pub fn without_identity(&self) -> Option<Self> {
        self.0.settings.has_client_certificate.then(|| {
            self.altered(|inner| {
                let tls = Arc::make_mut(&mut inner.tls);
                tls.client_auth_cert_resolver = Arc::new(ClientIdentities(Vec::new()));
                tls.resumption = Resumption::disabled();
                inner.settings.has_client_certificate = false;
                inner.settings.has_remote_key = false;
            })
        })
    }

    fn altered(&self, alter: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = self.0.clone();
        alter(Arc::make_mut(&mut inner));
        Self(inner)
    }

    /// Whether the ClientHello is encrypted ([`ClientContextBuilder::encrypted_client_hello`]): then no other connection may
    /// send the name in the clear.
    pub fn encrypts_hello(&self) -> bool {
        self.0.settings.encrypts_hello
    }

    /// What is offered to servers, by number, for probes (`handfast-probe`).
    pub fn own_offer(&self) -> OwnOffer {
        let provider = self.0.tls.crypto_provider();
        let versions = &self.0.versions;
        let is_of_a_version = |suite: &&rustls::SupportedCipherSuite| match suite {
            rustls::SupportedCipherSuite::Tls12(_) => versions.contains(&TlsVersion::Tls12),
            rustls::SupportedCipherSuite::Tls13(_) => versions.contains(&TlsVersion::Tls13),
        };
        OwnOffer {
            versions: versions
                .iter()
                .map(|version| match version {
                    TlsVersion::Tls12 => WireVersion::Tls12,
                    TlsVersion::Tls13 => WireVersion::Tls13,
                })
                .collect(),
            suites: provider
                .cipher_suites
                .iter()
                .filter(is_of_a_version)
                .map(|suite| SuiteId(suite.suite().into()))
                .collect(),
            groups: provider
                .kx_groups
                .iter()
                .map(|group| GroupId(group.name().into()))
                .collect(),
            schemes: provider
                .signature_verification_algorithms
                .supported_schemes()
                .into_iter()
                .map(|scheme| SchemeId(scheme.into()))
                .collect(),
        }
    }

    /// What peers are verified against. Not used if verification is off.
    pub fn policy(&self) -> &VerificationPolicy {
        &self.0.policy
    }

    /// Whether peers are verified. `false` only after [`DangerousClient::accept_any_certificate`].
    pub fn verifies(&self) -> bool {
        !self.0.settings.peer_unverified
    }
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// Builds a [`ClientContext`].
#[derive(Debug)]
#[must_use]
pub struct ClientContextBuilder {
    policy: VerificationPolicy,
    additional: Additional,
    expected_name: Option<ServerName>,
    identities: Vec<Identity>,
    alpn: Vec<Vec<u8>>,
    choices: Choices,
    settings: Settings,
    resumption: bool,
    reports_tickets: bool,
    /// The type of key to request from an unverified server.
    key_kind: Option<KeyKind>,
    /// The verdict on an unverified server is noted.
    judges: bool,
    key_log: Option<KeyLog>,
    clock: Clock,
    ech: Ech,
}

impl Default for ClientContextBuilder {
    fn default() -> Self {
        Self {
            policy: VerificationPolicy::new(TrustAnchors::platform()),
            additional: Additional::default(),
            expected_name: None,
            identities: Vec::new(),
            alpn: Vec::new(),
            choices: Choices::default(),
            settings: Settings::default(),
            resumption: true,
            reports_tickets: false,
            key_kind: None,
            judges: false,
            key_log: None,
            clock: Clock::system(),
            ech: Ech::Nothing,
        }
    }
}

impl ClientContextBuilder {
    common_settings!();

    /// The trust anchors that a server's chain must lead to. Default: the platform's.
    pub fn trust(mut self, anchors: TrustAnchors) -> Self {
        self.policy = self.policy.with_anchors(anchors);
        self
    }

    /// The whole verification policy at once; replaces what was set before.
    pub fn policy(mut self, policy: VerificationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How many intermediates there may be between the server's certificate and the trust anchor.
    /// Default: see [`VerificationPolicy`].
    pub fn chain_depth_max(mut self, intermediates: usize) -> Self {
        self.policy = self.policy.with_chain_depth_max(intermediates);
        self
    }

    /// Pins a key: one of the pinned keys must be on the verified path. May be called repeatedly.
    pub fn pin(mut self, spki: SpkiSha256) -> Self {
        self.policy = self.policy.with_pin(spki);
        self
    }

    /// Pins the server's own key: that of an authority does not suffice. May be called repeatedly: it has to be one of
    /// them.
    pub fn own_key_pin(mut self, spki: SpkiSha256) -> Self {
        self.policy = self.policy.with_own_key_pin(spki);
        self
    }

    /// Accepts the subject's common name where a certificate has no subject alternative names: a
    /// rule that RFC 9525 removed, for old servers. Default: off.
    pub fn legacy_common_name(mut self, on: bool) -> Self {
        self.policy = self.policy.with_legacy_common_name(on);
        self
    }

    /// Revocation lists to check the server's chain against. Default: none.
    pub fn revocation_lists(mut self, lists: RevocationLists) -> Self {
        self.policy = self.policy.with_revocation_lists(lists);
        self
    }

    /// The name that the server's certificate must be valid for, if that is not the name that the
    /// connection is made with and that is sent to the server (SNI, RFC 6066). Scope: every
    /// connection of the context. Default: the same name.
    pub fn expected_name(mut self, name: ServerName) -> Self {
        self.expected_name = Some(name);
        self
    }

    /// The client certificate and key, for servers that request them. Default: none.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities = vec![identity];
        self
    }

    /// Several of them, in order of preference. A server gets the first that it accepts: by its signature schemes, and by
    /// the issuers that it names, if it names any. If none is from one of these issuers, it gets the first whose key it can
    /// verify.
    pub fn identities(mut self, identities: impl IntoIterator<Item = Identity>) -> Self {
        self.identities = identities.into_iter().collect();
        self
    }

    /// Whether connections record a server's tickets
    /// ([`Connection::tickets`](crate::Connection::tickets)). It costs a little for each ticket: for
    /// reports, not for traffic. Default: no.
    pub fn note_tickets(mut self, on: bool) -> Self {
        self.reports_tickets = on;
        self
    }

    /// Encrypts the ClientHello to a server with these configurations (RFC 9849): an observer of the network sees the
    /// public name of the server, not the requested one. Only TLS 1.3 is offered. A
    /// server that cannot decrypt it ends the handshake with [`PeerCause::EchRejected`](crate::PeerCause::EchRejected),
    /// after its certificate was verified for the public name; there is no fallback without encryption. Scope:
    /// every connection of the context, which is for one server. Default: none.
    ///
    /// ```no_run
    /// # fn list_from_dns() -> Vec<u8> { Vec::new() }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use handfast::{ClientContext, EchConfigs};
    ///
    /// let client = ClientContext::builder()
    ///     .encrypted_client_hello(EchConfigs::from_bytes(list_from_dns()))
    ///     .build()?;
    /// let socket = std::net::TcpStream::connect("secret.example:443")?;
    /// let stream = client.secure("secret.example", socket)?;
    /// assert!(stream.report().encrypted_client_hello);
    /// # Ok(())
    /// # }
    /// ```
    pub fn encrypted_client_hello(mut self, configs: EchConfigs) -> Self {
        self.ech = Ech::Offer(configs);
        self
    }

    /// Sends GREASE instead of an encrypted ClientHello (RFC 9849, section 6.2), so that connections
    /// with and without one look alike. Only TLS 1.3 is offered. Replaces
    /// [`encrypted_client_hello`](Self::encrypted_client_hello). Default: not sent.
    pub fn ech_grease(mut self) -> Self {
        self.ech = Ech::Grease;
        self
    }

    /// Options that turn off security; programs should warn when they use them.
    pub fn danger(self) -> DangerousClient {
        DangerousClient(self)
    }

    /// Makes the context; later no files are read.
    ///
    /// # Errors
    /// Invalid choices ([`ConfigurationCause`]), or a machine without randomness
    /// ([`LocalCause::RandomUnavailable`]).
    pub fn build(self) -> Result<ClientContext, Error> {
        let Self {
            policy,
            additional,
            expected_name,
            identities,
            alpn,
            choices,
            mut settings,
            resumption,
            reports_tickets,
            key_kind,
            judges,
            key_log,
            clock,
            ech,
        } = self;
        let policy = policy.with_all_additional(additional);
        let provider = choices.provider()?;
        let mut versions = choices.allowed();
        let builder = rustls::ClientConfig::builder_with_details(
            Arc::clone(&provider),
            Arc::new(ClockOfRustls(clock.clone())),
        );
        let builder = match ech.mode()? {
            None => builder.with_protocol_versions(&choices.versions()),
            Some(mode) if versions.contains(&TlsVersion::Tls13) => {
                versions = vec![TlsVersion::Tls13];
                builder.with_ech(mode)
            }
            Some(_) => {
                let what = "allowed protocol version with Encrypted Client Hello (TLS 1.3)";
                let cause = ConfigurationCause::NothingLeft { what };
                return Err(Error::new(Phase::Configure, cause));
            }
        };
        let builder = builder.map_err(nothing_left)?.dangerous();
        let builder = if settings.peer_unverified {
            builder.with_custom_certificate_verifier(Arc::new(AcceptAny::new(
                key_kind,
                policy.clone(),
                expected_name,
                judges,
            )))
        } else {
            if policy.has_additional() {
                settings.resumed_server = Some(Arc::new(ResumedServer {
                    policy: policy.clone(),
                    expected: expected_name.clone(),
                    clock: clock.clone(),
                }));
            }
            let verifier = ServerVerifier::new(policy.clone(), expected_name);
            builder.with_custom_certificate_verifier(Arc::new(verifier))
        };
        settings.encrypts_hello = ech.is_offer();
        settings.has_client_certificate = !identities.is_empty();
        settings.has_remote_key = identities.iter().any(Identity::is_remote);
        let identities = identities.iter().map(OwnIdentity::new).collect();
        let mut tls = builder.with_client_cert_resolver(Arc::new(ClientIdentities(identities)));
        tls.alpn_protocols = alpn;
        // `connection/records.rs` uses the keys.
        tls.enable_secret_extraction = true;
        // Another crate of the program may switch compression on in rustls; ARCHITECTURE.md says why it stays off.
        tls.cert_compressors = Vec::new();
        tls.cert_decompressors = Vec::new();
        tls.resumption = if resumption {
            Resumption::store(Arc::new(ClientSessions::new(clock, reports_tickets)))
        } else {
            Resumption::disabled()
        };
        tls.key_log = Arc::new(Secrets(key_log));
        Ok(ClientContext(Arc::new(Inner {
            tls: Arc::new(tls),
            settings,
            policy,
            versions,
        })))
    }
}

/// Options that turn off security, only through [`ClientContextBuilder::danger`], so that
/// they can be searched for.
#[derive(Debug)]
#[must_use]
pub struct DangerousClient(ClientContextBuilder);

impl DangerousClient {
    /// Accepts any certificate for any name: an attacker on the path can read
    /// and change everything. The connection's report then has no verified peer. Pinned keys are still
    /// required, and have to be the server's own.
    pub fn accept_any_certificate(mut self) -> ClientContextBuilder {
        self.0.settings.peer_unverified = true;
        self.0
    }

    /// The same, and what verification would have refused the server for is in the connection's report
    /// ([`Report::objection`](crate::Report::objection)).
    pub fn accept_any_certificate_but_judge(mut self) -> ClientContextBuilder {
        self.0.judges = true;
        self.accept_any_certificate()
    }

    /// The same, and offers only the signature schemes of one type of key: a server that has a certificate
    /// for such a key sends it, and others refuse. Only for inspection.
    pub fn accept_any_certificate_for(mut self, key: KeyKind) -> ClientContextBuilder {
        self.0.key_kind = Some(key);
        self.accept_any_certificate()
    }
}

/// An identity, and the names of those who issued its chain.
#[derive(Debug)]
struct OwnIdentity {
    key: Arc<rustls::sign::CertifiedKey>,
    issuers: Vec<Vec<u8>>,
}

impl OwnIdentity {
    fn new(identity: &Identity) -> Self {
        let issuer = |der: &CertificateDer<'_>| {
            let outline = x509::parse(der, Depth::Outline).ok()?;
            x500::canonical(outline.issuer().as_raw())
        };
        Self {
            key: identity.certified_key(),
            issuers: identity.chain().iter().filter_map(issuer).collect(),
        }
    }

    /// Whether a certificate of its chain was issued by one of these, in canonical form.
    fn is_of(&self, issuers: &[Vec<u8>]) -> bool {
        self.issuers.iter().any(|issuer| issuers.contains(issuer))
    }
}

/// Answers a server's certificate request, and records it.
#[derive(Debug)]
struct ClientIdentities(Vec<OwnIdentity>);

impl rustls::client::ResolvesClientCert for ClientIdentities {
    fn resolve(
        &self,
        acceptable_issuers: &[&[u8]],
        schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        callback_data::note_certificate_request(acceptable_issuers);
        let usable = |own: &&OwnIdentity| own.key.key.choose_scheme(schemes).is_some();
        let chosen = match self.0.as_slice() {
            // Only one can be sent: the server judges it.
            [only] => Some(only).filter(usable),
            several => {
                let issuers: Vec<_> = acceptable_issuers
                    .iter()
                    .filter_map(|issuer| x500::canonical(issuer))
                    .collect();
                let mut usable = several.iter().filter(usable);
                let first = usable.clone().next();
                usable.find(|own| own.is_of(&issuers)).or(first)
            }
        };
        chosen.map(|own| Arc::clone(&own.key))
    }

    /// Always `true`, to record the request also without a certificate.
    fn has_certs(&self) -> bool {
        true
    }
}
