//! Which of a server's identities a client gets: by the name that it asks for, and by the signatures that it can verify.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::by_name::{ByName, key_of};
use crate::callback_data;
use crate::identity::Identity;
use crate::x509::SubjectAltName;

/// A server's identities, each for the DNS names of its certificate (RFC 6066, section 3).
///
/// A clone is the same set: what is [added](Self::add) later counts for the next handshake of every context that was built
/// with it. So a certificate is renewed while connections run, and those for other names stay as they are.
///
/// A name may have several, of different kinds of key: a client gets the first, in the order Ed25519, ECDSA, RSA, whose
/// signatures it can verify. For names that none is for, and clients that ask for none, there is
/// [`ServerContextBuilder::identity`](crate::ServerContextBuilder::identity); without it they are refused, by the alert
/// `unrecognized_name`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use handfast::{Identities, Identity, Passphrase, ServerContext};
///
/// let load = |name: &str| Identity::from_file(format!("{name}.pem"), Passphrase::none());
/// let identities = Identities::new();
/// identities.add(load("a.example")?);
/// identities.add(load("b.example")?);
/// let server = ServerContext::builder().identities(&identities).build()?;
/// // ... and when that of a.example was renewed:
/// identities.add(load("a.example")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Identities(Arc<RwLock<Table>>);

#[derive(Default)]
struct Table {
    names: ByName<Vec<Identity>>,
    has_remote_key: bool,
}

impl Identities {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an identity for each DNS name of its certificate, in place of those before it that have the name and the same
    /// kind of key (Ed25519, ECDSA, RSA). Gives how many names that were: one without a DNS name is never shown.
    pub fn add(&self, identity: Identity) -> usize {
        let mut names: Vec<Box<str>> = identity
            .facts()
            .names
            .iter()
            .filter_map(|name| match name {
                SubjectAltName::Dns(name) => Some(key_of(name)),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        let count = names.len();
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.has_remote_key |= identity.is_remote();
        for name in names {
            let of_name = table.names.entry_or_default(&name);
            of_name.retain(|other| rank(other) != rank(&identity));
            of_name.push(identity.clone());
            of_name.sort_by_key(rank);
        }
        count
    }

    /// Removes every identity of this name, as certificates spell it; true if there was one. Those that have other names stay
    /// with these.
    pub fn remove(&self, name: &str) -> bool {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.names.remove(name)
    }

    /// The names that there are identities for, in order.
    pub fn names(&self) -> Vec<String> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = table.names.sorted().into_iter();
        named.map(|(name, _)| name.to_owned()).collect()
    }

    /// Does one of them sign elsewhere?
    // Blocking handshakes may wait for any key.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(super) fn has_remote_key(&self) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .has_remote_key
    }

    fn find(&self, name: &str, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of_name = table.names.find(name)?;
        let fitting = of_name
            .iter()
            .find(|identity| identity.key_fits(schemes))
            // None fits: the handshake fails for that reason, and not for the name.
            .or_else(|| of_name.first())?;
        Some(fitting.certified_key())
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_map().entries(table.names.sorted()).finish()
    }
}

/// The order among identities of a name: what costs a handshake less comes first.
fn rank(identity: &Identity) -> u8 {
    use rustls::SignatureAlgorithm as A;
    match identity.certified_key().key.algorithm() {
        A::ED25519 => 0,
        A::ECDSA => 1,
        A::RSA => 2,
        _ => 3,
    }
}

/// What rustls asks for the certificate to show; notes the name that was asked for.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) identities: Option<Identities>,
    /// For everybody else.
    pub(super) fallback: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        callback_data::note_server_name(name);
        self.identities
            .as_ref()
            .zip(name)
            .and_then(|(identities, name)| identities.find(name, hello.signature_schemes()))
            .or_else(|| self.fallback.clone())
    }
}
