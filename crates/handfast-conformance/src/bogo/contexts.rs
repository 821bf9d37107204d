//! From flags to contexts, through the public interface only.
//!
//! A client has a context for each set of options: if those of the later connections differ, sessions
//! cannot be transferred, and the test is refused. A server's context can replace another.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use handfast::registry::{GroupId, SuiteId};
use handfast::{
    ClientAuth, ClientContext, Clock, Connection, EchConfigs, Error, Identity, IdentityProblem,
    Passphrase, RecordSizing, ServerContext, ServerName, TlsVersion, TrustAnchors, group_names,
};

use handfast_testbed::pki::Spec;

use super::flags::{ContextOptions, Refused};

/// The name in all of the runner's certificates.
const CERTIFICATE_NAME: &str = "test";

/// A name that none of them has.
const OTHER_NAME: &str = "another.invalid";

/// The address that a client uses when it is to send no name: addresses are not sent (RFC 6066, section 3).
const ADDRESS: &str = "127.0.0.1";

/// The context of either side.
#[derive(Debug, Clone)]
pub enum Context {
    /// A client's, and the name it connects to.
    Client(ClientContext, String),
    /// A server's.
    Server(ServerContext),
}

/// Why there is no context.
#[derive(Debug)]
pub enum ContextFailure {
    /// The options need what our interface does not support.
    Refused(Refused),
    /// The context could not be built.
    Failed(Error),
}

impl From<Error> for ContextFailure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn refused(flag: &str, reason: &'static str) -> ContextFailure {
    ContextFailure::Refused(Refused {
        flag: flag.to_owned(),
        reason,
    })
}

/// A clock that the shim can advance.
#[derive(Debug, Clone, Default)]
pub struct SetForward(Arc<AtomicU64>);

impl SetForward {
    /// Advances the clock by seconds.
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let offset = Arc::clone(&self.0);
        Clock::new(move || SystemTime::now() + Duration::from_secs(offset.load(Ordering::SeqCst)))
    }
}

impl Context {
    /// The context for these options.
    ///
    /// # Errors
    /// Options that our interface does not support, or files that cannot be used.
    pub fn new(options: &ContextOptions, clock: &SetForward) -> Result<Self, ContextFailure> {
        if options.server {
            server(options, clock, None).map(Self::Server)
        } else {
            client(options, clock)
        }
    }

    /// The context for later connections, where their options differ.
    ///
    /// # Errors
    /// As `new`, and for every client.
    pub fn succeeded_by(
        &self,
        options: &ContextOptions,
        clock: &SetForward,
    ) -> Result<Self, ContextFailure> {
        match self {
            Self::Client(..) => Err(refused(
                "-on-resume",
                "a client's sessions cannot be transferred to another context",
            )),
            Self::Server(before) => server(options, clock, Some(before)).map(Self::Server),
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// A name that no connection can be made to.
    pub fn connection(&self) -> Result<Connection, Error> {
        match self {
            Self::Client(context, name) => context.connection(name),
            Self::Server(context) => context.connection(),
        }
    }
}

fn client(options: &ContextOptions, clock: &SetForward) -> Result<Context, ContextFailure> {
    let name = match &options.server_name {
        _ if options.verify_fails => OTHER_NAME,
        Some(name) => name,
        None => CERTIFICATE_NAME,
    };
    let expected = ServerName::parse(name).map_err(|_| refused("-host-name", "no name"))?;
    let mut builder = ClientContext::builder()
        .trust(anchors(options)?)
        .expected_name(expected)
        .versions(versions(options)?)
        .groups(groups(options)?)
        .alpn(options.alpn.iter().cloned())
        .record_sizing(sizing(options))
        .note_tickets(true)
        .clock(clock.clock());
    if let Some(identity) = identity(options)? {
        builder = builder.identity(identity);
    }
    if let Some(configs) = &options.ech_configs {
        builder = builder.encrypted_client_hello(EchConfigs::from_bytes(configs.clone()));
    } else if options.ech_grease {
        builder = builder.ech_grease();
    }
    let name = options.server_name.as_deref().unwrap_or(ADDRESS);
    Ok(Context::Client(builder.build()?, name.to_owned()))
}

fn server(
    options: &ContextOptions,
    clock: &SetForward,
    before: Option<&ServerContext>,
) -> Result<ServerContext, ContextFailure> {
    let Some(identity) = identity(options)? else {
        return Err(refused("-server", "a server has a certificate"));
    };
    let demand = if options.requires_client {
        ClientAuth::Required(client_anchors(options)?)
    } else if options.asks_client {
        ClientAuth::Optional(client_anchors(options)?)
    } else {
        ClientAuth::None
    };
    let mut builder = ServerContext::builder()
        .identity(identity)
        .client_auth(demand)
        .versions(versions(options)?)
        .groups(groups(options)?)
        .alpn(options.alpn.iter().cloned())
        .record_sizing(sizing(options))
        .clock(clock.clock());
    if let Some(before) = before {
        builder = builder.succeeding(before);
    }
    Ok(builder.build()?)
}

fn anchors(options: &ContextOptions) -> Result<TrustAnchors, ContextFailure> {
    let empty = TrustAnchors::empty();
    match &options.trust {
        Some(path) => with_file(empty, path),
        None => Ok(empty),
    }
}

/// The trust anchors of a server. It needs one, even if the runner sends no certificate or is to be refused.
fn client_anchors(options: &ContextOptions) -> Result<TrustAnchors, ContextFailure> {
    match &options.trust {
        Some(path) if !options.verify_fails => with_file(TrustAnchors::empty(), path),
        _ => {
            let other = Spec::authority("another authority").self_signed();
            TrustAnchors::empty()
                .with_certificate_der(other.der)
                .map_err(|error| ContextFailure::Failed(error.into()))
        }
    }
}

fn with_file(anchors: TrustAnchors, path: &Path) -> Result<TrustAnchors, ContextFailure> {
    anchors
        .with_file(path)
        .map_err(|_| refused("-trust-cert", "a certificate that cannot be a trust anchor"))
}

fn identity(options: &ContextOptions) -> Result<Option<Identity>, ContextFailure> {
    let one = match options.credentials.as_slice() {
        [] => return Ok(None),
        [one] => one,
        _ => {
            return Err(refused(
                "-new-x509-credential",
                "a context has one identity",
            ));
        }
    };
    if let Some(additional) = options.expects_additional
        && additional != one.is_additional
    {
        return Err(refused(
            "-expect-selected-credential",
            "a context has one identity",
        ));
    }
    Identity::from_pem_files(&one.chain, &one.key, Passphrase::none())
        .map(Some)
        .map_err(|error| match error.problem {
            IdentityProblem::KeySize { .. } | IdentityProblem::UnsupportedKey { .. } => {
                refused("-key-file", "an unsupported kind or size of key")
            }
            _ => ContextFailure::Failed(error.into()),
        })
}

fn versions(options: &ContextOptions) -> Result<Vec<TlsVersion>, ContextFailure> {
    let lowest = options.version_min.unwrap_or(0);
    let highest = options.version_max.filter(|max| *max != 0);
    let allowed: Vec<_> = [(0x0303, TlsVersion::Tls12), (0x0304, TlsVersion::Tls13)]
        .into_iter()
        .filter(|(number, _)| {
            *number >= lowest
                && highest.is_none_or(|highest| *number <= highest)
                && !options.versions_refused.contains(number)
        })
        .map(|(_, version)| version)
        .collect();
    if allowed.is_empty() {
        return Err(refused("-max-version", "neither TLS 1.2 nor 1.3 is left"));
    }
    Ok(allowed)
}

fn groups(options: &ContextOptions) -> Result<Vec<String>, ContextFailure> {
    let known = group_names();
    let names: Vec<_> = options
        .groups
        .iter()
        .map(|number| GroupId(*number).name())
        .collect();
    if names.iter().any(|name| !known.contains(&name.as_str())) {
        return Err(refused("-curves", "a group that is not implemented"));
    }
    // A client sends a share for its preferred group.
    let preferred = options.groups.first();
    if !options.key_shares.is_empty()
        && (options.key_shares.len() > 1 || options.key_shares.first() != preferred)
    {
        return Err(refused(
            "-key-shares",
            "the interface has no setting for it",
        ));
    }
    Ok(names)
}

fn sizing(options: &ContextOptions) -> RecordSizing {
    match options.record_max {
        Some(most) => RecordSizing::Limited(most),
        None => RecordSizing::Full,
    }
}

/// The name of a cipher suite in reports.
pub fn suite_name(number: u16) -> String {
    SuiteId(number).name()
}

/// The name of a group in reports.
pub fn group_name(number: u16) -> String {
    GroupId(number).name()
}
