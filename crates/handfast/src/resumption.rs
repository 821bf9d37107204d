//! Session resumption (RFC 8446, section 2.2; RFC 5077): ticket keys and their rotation, the
//! server's cache, the client's store.
//!
//! In addition to the defaults of rustls, a session is bound to the policy under which it was
//! established, expires with the first certificate that it is based on, and all stores are bounded.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use pki_types::{CertificateDer, ServerName};
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::{ProducesTickets, StoresServerSessions};
use zeroize::Zeroizing;

use crate::callback_data::{self, Reverified, Session};
use crate::context::Clock;
use crate::report::Ticket;
use crate::verify::ClientVerifier;
use crate::wire::Reader;

/// How long a ticket key encrypts tickets: short enough that a stolen key decrypts little, long enough
/// that most tickets can be decrypted.
const ROTATION: Duration = Duration::from_secs(6 * 60 * 60);

/// How many earlier keys still decrypt tickets: with the current one, a ticket is accepted for at least
/// twelve hours.
const KEYS_BEFORE: usize = 2;

/// Sessions that the server caches for clients without ticket support. About 200 bytes each.
const SERVER_SESSIONS_MAX: usize = 4096;

/// Servers in a client's store.
const CLIENT_SERVERS_MAX: usize = 256;

/// Tickets that a client keeps for one server. TLS 1.3 tickets are used once, so this is how many
/// connections can be resumed at the same time.
const CLIENT_TICKETS_MAX: usize = 8;

const KEY_NAME_LEN: usize = 16;
const SECRET_LEN: usize = 32;

/// The form of exported keys: this byte; for each key, the newest first, its name, when it was made (8 bytes) and its secret.
const EXPORTED: u8 = 1;
const EXPORTED_LEN: usize = KEY_NAME_LEN + 8 + SECRET_LEN;
const NONCE_LEN: usize = 12;

/// Identifies the verification policy under which a session was established. Sessions are never resumed
/// under another policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyId([u8; 32]);

impl PolicyId {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        for part in parts {
            // Lengths distinguish ("ab", "c") from ("a", "bc").
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }
}

/// The keys for encrypting session tickets: the current one and those before it.
///
/// Shared between the contexts of one service, so that a new context, or the one on another core,
/// decrypts tickets of the others. A new key is generated every six hours; tickets of the two keys before
/// it are still accepted.
#[derive(Clone)]
pub struct TicketKeys(Arc<Ring>);

struct Ring {
    /// The current key first. Locked only to change the keys, and by threads that have not seen a change.
    keys: Mutex<VecDeque<Arc<TicketKey>>>,
    /// Counts changes.
    changes: AtomicU64,
}

struct TicketKey {
    name: [u8; KEY_NAME_LEN],
    key: RandomizedNonceKey,
    /// What the key is made of, for [`TicketKeys::export`].
    secret: Zeroizing<[u8; SECRET_LEN]>,
    made: u64,
}

/// A thread's copy of a ring, so that threads do not contend for a lock.
struct Seen {
    /// Prevents reuse of the ring's address, which identifies it.
    of: Weak<Ring>,
    changes: u64,
    keys: Vec<Arc<TicketKey>>,
}

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

impl TicketKeys {
    /// New random keys.
    pub fn new() -> Self {
        Self(Arc::new(Ring {
            keys: Mutex::default(),
            changes: AtomicU64::new(0),
        }))
    }

    /// The keys, for a process that succeeds this one. They are secret: who has them can decrypt recorded tickets, and with those the
    /// traffic of TLS 1.2 sessions that were resumed. Resumed TLS 1.3 sessions agree on a new key.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let ring = self.0.lock();
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + ring.len() * EXPORTED_LEN));
        bytes.push(EXPORTED);
        for key in &*ring {
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&key.made.to_be_bytes());
            bytes.extend_from_slice(&*key.secret);
        }
        bytes
    }

    /// Adds what a predecessor has [exported](Self::export): its tickets are accepted, and its current key is used until it is due.
    /// `false`: it is of another form, and nothing was changed.
    pub fn import(&self, exported: &[u8]) -> bool {
        let Some((&EXPORTED, keys)) = exported.split_first() else {
            return false;
        };
        let keys = keys.chunks(EXPORTED_LEN).map(TicketKey::imported);
        let Some(keys) = keys.collect::<Option<Vec<_>>>() else {
            return false;
        };
        let mut ring = self.0.lock();
        for key in keys {
            if ring.iter().all(|known| known.name != key.name) {
                ring.push_back(Arc::new(key));
            }
        }
        ring.make_contiguous()
            .sort_by_key(|key| std::cmp::Reverse(key.made));
        ring.truncate(1 + KEYS_BEFORE);
        self.0.changes.fetch_add(1, Ordering::Release);
        true
    }

    /// Calls `look` with the keys, the current one first.
    fn look<R>(&self, look: impl FnOnce(&[Arc<TicketKey>]) -> R) -> R {
        SEEN.with_borrow_mut(|seen| {
            let changes = self.0.changes.load(Ordering::Acquire);
            let is_fresh = |seen: &&mut Seen| {
                seen.changes == changes && std::ptr::eq(seen.of.as_ptr(), &raw const *self.0)
            };
            let keys = match seen.as_mut().filter(is_fresh) {
                Some(seen) => &seen.keys,
                None => {
                    let ring = self.0.lock();
                    let fresh = Seen {
                        of: Arc::downgrade(&self.0),
                        changes: self.0.changes.load(Ordering::Acquire),
                        keys: ring.iter().map(Arc::clone).collect(),
                    };
                    &seen.insert(fresh).keys
                }
            };
            look(keys)
        })
    }

    /// Uses the current key; generates a new one when due.
    fn with_current<R>(&self, now: u64, mut of: impl FnMut(&TicketKey) -> R) -> Option<R> {
        let is_young = |key: &&Arc<TicketKey>| now.saturating_sub(key.made) < ROTATION.as_secs();
        let used = self.look(|keys| keys.first().filter(is_young).map(|key| of(key)));
        if used.is_some() {
            return used;
        }
        {
            let mut ring = self.0.lock();
            if ring.front().filter(is_young).is_none() {
                ring.push_front(Arc::new(TicketKey::draw(now)?));
                ring.truncate(1 + KEYS_BEFORE);
                self.0.changes.fetch_add(1, Ordering::Release);
            }
        }
        self.look(|keys| keys.first().map(|key| of(key)))
    }

    /// Uses the key with this name, if it may still decrypt tickets.
    fn with_named<R>(
        &self,
        name: &[u8],
        now: u64,
        of: impl FnOnce(&TicketKey) -> Option<R>,
    ) -> Option<R> {
        let oldest = ROTATION.as_secs() * (1 + KEYS_BEFORE as u64);
        self.look(|keys| {
            keys.iter()
                .find(|key| key.name == name && now.saturating_sub(key.made) < oldest)
                .and_then(|key| of(key))
        })
    }
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<TicketKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TicketKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl TicketKey {
    fn draw(now: u64) -> Option<Self> {
        let random = SystemRandom::new();
        let mut name = [0; KEY_NAME_LEN];
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        random.fill(&mut name).ok()?;
        random.fill(secret.as_mut()).ok()?;
        Self::of(name, secret, now)
    }

    fn imported(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk()?;
        let (made, rest) = rest.split_first_chunk()?;
        let secret = Zeroizing::new(rest.try_into().ok()?);
        Self::of(*name, secret, u64::from_be_bytes(*made))
    }

    fn of(
        name: [u8; KEY_NAME_LEN],
        secret: Zeroizing<[u8; SECRET_LEN]>,
        made: u64,
    ) -> Option<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, secret.as_ref()).ok()?;
        Some(Self {
            name,
            key,
            secret,
            made,
        })
    }
}

/// Encrypts and decrypts tickets for one policy.
pub(crate) struct Ticketer {
    keys: TicketKeys,
    policy: PolicyId,
    clock: Clock,
    clients: Option<Arc<ClientVerifier>>,
}

impl Ticketer {
    /// With a verifier, sessions of clients that it would now refuse are not resumed.
    pub(crate) fn new(
        keys: TicketKeys,
        policy: PolicyId,
        clock: Clock,
        clients: Option<Arc<ClientVerifier>>,
    ) -> Self {
        Self {
            keys,
            policy,
            clock,
            clients,
        }
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        (ROTATION.as_secs() * KEYS_BEFORE as u64)
            .try_into()
            .unwrap_or(u32::MAX)
    }

    /// name | nonce | AES-256-GCM(deadline | session), with the policy as associated data.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.with_current(self.clock.now_unix(), |key| {
            let mut sealed = deadline_prefixed(plain);
            let nonce = key
                .key
                .seal_in_place_append_tag(Aad::from(self.policy.0), &mut sealed)
                .ok()?;
            let mut ticket = Vec::with_capacity(KEY_NAME_LEN + NONCE_LEN + sealed.len());
            ticket.extend_from_slice(&key.name);
            ticket.extend_from_slice(nonce.as_ref());
            ticket.extend_from_slice(&sealed);
            Some(ticket)
        })?
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now = self.clock.now_unix();
        let (name, rest) = ticket.split_at_checked(KEY_NAME_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let length = self.keys.with_named(name, now, |key| {
            let policy = Aad::from(self.policy.0);
            let opened = key.key.open_in_place(nonce, policy, &mut sealed);
            opened.ok().map(|plain| plain.len())
        })?;
        resume(sealed.get(..length)?, &self.clock, self.clients.as_deref())
    }
}

/// The server's sessions for clients without tickets (TLS 1.2 session ids), bounded; the oldest is removed
/// first. Shared like [`TicketKeys`].
#[derive(Clone, Default)]
pub(crate) struct ServerSessions(Arc<Mutex<SessionMap>>);

/// Sessions by their policy and id.
type SessionMap = Bounded<(PolicyId, Vec<u8>), Vec<u8>>;

impl ServerSessions {
    fn lock(&self) -> MutexGuard<'_, SessionMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct PolicySessions {
    sessions: ServerSessions,
    policy: PolicyId,
    clock: Clock,
    clients: Option<Arc<ClientVerifier>>,
}

impl PolicySessions {
    /// As [`Ticketer::new`].
    pub(crate) fn new(
        sessions: ServerSessions,
        policy: PolicyId,
        clock: Clock,
        clients: Option<Arc<ClientVerifier>>,
    ) -> Self {
        Self {
            sessions,
            policy,
            clock,
            clients,
        }
    }
}

impl fmt::Debug for PolicySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySessions")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl StoresServerSessions for PolicySessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let value = deadline_prefixed(&value);
        self.sessions
            .lock()
            .insert((self.policy, key), value, SERVER_SESSIONS_MAX);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let value = self
            .sessions
            .lock()
            .get(&(self.policy, key.to_vec()))
            .cloned()?;
        resume(&value, &self.clock, self.clients.as_deref())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let value = self.sessions.lock().remove(&(self.policy, key.to_vec()))?;
        resume(&value, &self.clock, self.clients.as_deref())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The cache of a server without resumption.
#[derive(Debug)]
pub(crate) struct NoSessions;

impl StoresServerSessions for NoSessions {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        false
    }
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn can_cache(&self) -> bool {
        false
    }
}

/// The session, preceded by its expiry (8 bytes, big-endian; all ones for never).
fn deadline_prefixed(session: &[u8]) -> Vec<u8> {
    let deadline = callback_data::session().not_after.unwrap_or(u64::MAX);
    let mut bytes = Vec::with_capacity(8 + session.len() + 16);
    bytes.extend_from_slice(&deadline.to_be_bytes());
    bytes.extend_from_slice(session);
    bytes
}

/// The session, if it may still be resumed.
///
/// A client whose chain would now be refused gets a full handshake instead: it may present a valid one,
/// and is otherwise refused with the right alert. The connection verifies the chain of a resumed session unless it is
/// the one that was verified here.
fn resume(bytes: &[u8], clock: &Clock, clients: Option<&ClientVerifier>) -> Option<Vec<u8>> {
    let (deadline, session) = bytes.split_first_chunk::<8>()?;
    let deadline = u64::from_be_bytes(*deadline);
    if clock.now_unix() > deadline {
        return None;
    }
    let mut candidate = None;
    if let Some(verifier) = clients
        && let Some(chain) = client_chain(session)
    {
        let check = |name: Option<&str>| verifier.check(name, &chain, clock.now());
        let path = callback_data::with_server_name(check)?.ok()?;
        let chain = chain.into_iter().map(CertificateDer::into_owned).collect();
        candidate = Some(Arc::new(Reverified { chain, path }));
    }
    let not_after = (deadline != u64::MAX).then_some(deadline);
    callback_data::set_session(Session {
        not_after,
        path: None,
        candidate,
        extended_master_secret: has_extended_master_secret(session).unwrap_or(false),
    });
    Some(session.to_vec())
}

/// The client's chain in rustls' encoding of a session. `None` if there is none, or if the encoding has
/// changed: a test detects that, and the connection still verifies the chain.
fn client_chain(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut reader = after_secret(session)?;
    reader.u8()?; // extended master secret
    if reader.u8()? != 1 {
        return None;
    }
    let mut list = Reader::new(reader.vector::<3>()?);
    let mut chain = Vec::new();
    while !list.is_empty() {
        chain.push(CertificateDer::from(list.vector::<3>()?));
    }
    (!chain.is_empty()).then_some(chain)
}

/// Whether a session serialized by rustls has the extended master secret. `None` if the format is unknown.
fn has_extended_master_secret(session: &[u8]) -> Option<bool> {
    after_secret(session)?.u8().map(|written| written == 1)
}

fn after_secret(session: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(session);
    if reader.u8()? == 1 {
        reader.vector::<1>()?; // server name
    }
    reader.take(2 + 2)?; // version, cipher suite
    reader.vector::<1>()?; // secret
    Some(reader)
}

/// A client's store: for each server, sessions and the key exchange group that it chose.
pub(crate) struct ClientSessions {
    /// Whether received tickets are reported to connections.
    reports_tickets: bool,
    servers: Mutex<Bounded<ServerName<'static>, Remembered>>,
    clock: Clock,
}

#[derive(Default)]
struct Remembered {
    group: Option<NamedGroup>,
    tls12: Option<(Session, Tls12ClientSessionValue)>,
    tls13: VecDeque<(Session, Tls13ClientSessionValue)>,
}

impl ClientSessions {
    pub(crate) fn new(clock: Clock, reports_tickets: bool) -> Self {
        Self {
            reports_tickets,
            servers: Mutex::default(),
            clock,
        }
    }

    fn with<R>(&self, name: &ServerName<'_>, f: impl FnOnce(&mut Remembered) -> R) -> R {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        f(servers.get_or_default(name.to_owned(), CLIENT_SERVERS_MAX))
    }

    /// Whether this session may still be resumed. If so, deposits it for the connection.
    fn resume(&self, session: Session) -> bool {
        let valid = session
            .not_after
            .is_none_or(|deadline| self.clock.now_unix() <= deadline);
        if valid {
            callback_data::set_session(session);
        }
        valid
    }
}

impl fmt::Debug for ClientSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSessions").finish_non_exhaustive()
    }
}

impl ClientSessionStore for ClientSessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.with(&name, |server| server.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(name, |server| server.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if self.reports_tickets {
            callback_data::note_ticket(Ticket {
                lifetime: lifetime(&value),
                early_data_bytes_max: 0,
            });
        }
        let session = callback_data::session();
        self.with(&name, |server| server.tls12 = Some((session, value)));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let (session, value) = self.with(name, |server| server.tls12.clone())?;
        self.resume(session).then_some(value)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(name, |server| server.tls12 = None);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if self.reports_tickets {
            callback_data::note_ticket(Ticket {
                lifetime: lifetime(&value),
                early_data_bytes_max: value.max_early_data_size(),
            });
        }
        let session = callback_data::session();
        self.with(&name, |server| {
            server.tls13.push_back((session, value));
            if server.tls13.len() > CLIENT_TICKETS_MAX {
                server.tls13.pop_front();
            }
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // The newest first: it is the one most likely to be accepted.
        let (session, value) = self.with(name, |server| server.tls13.pop_back())?;
        self.resume(session).then_some(value)
    }
}

/// The lifetime of a server's ticket. rustls has no accessor for it, so it is parsed from the `Debug`
/// output; a test detects if that changes.
fn lifetime(session: &impl fmt::Debug) -> Option<Duration> {
    let text = format!("{session:?}");
    let (_, after) = text.split_once("lifetime_secs: ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(Duration::from_secs)
}

/// A map that removes the oldest entry when it is full.
struct Bounded<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: std::hash::Hash + Eq + Clone, V> Bounded<K, V> {
    fn insert(&mut self, key: K, value: V, limit: usize) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
            self.shrink_to(limit);
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    fn get_or_default(&mut self, key: K, limit: usize) -> &mut V
    where
        V: Default,
    {
        if !self.entries.contains_key(&key) {
            self.insert(key.clone(), V::default(), limit);
        }
        self.entries.entry(key).or_default()
    }

    fn shrink_to(&mut self, limit: usize) {
        // Removed keys stay in `order`: they are skipped here, and count for its bound.
        while self.entries.len() > limit || self.order.len() > 2 * limit {
            match self.order.pop_front() {
                Some(oldest) => self.entries.remove(&oldest),
                None => break,
            };
        }
    }
}

#[cfg(test)]
mod tests;
