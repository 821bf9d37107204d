//! Data from rustls' callbacks during the processing of a message.
//!
//! rustls calls verifiers, certificate resolvers and session stores synchronously, on the thread
//! that processes the message, but its errors cannot carry their details. The callbacks store them
//! here; the connection, which has reset the storage before, collects them after. Between
//! those two points no other connection can run on the thread.

use std::cell::RefCell;
use std::sync::Arc;

use pki_types::CertificateDer;

use crate::alert::Alert;
use crate::exporter::ExporterSecret;
use crate::protection::TAG;
use crate::report::Ticket;
use crate::verify::{Staple, VerifiedPath, VerifyError};

/// The data of one call into rustls.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Why the peer's chain was rejected, with the chain.
    pub(crate) failure: Option<Box<VerifyError>>,
    /// The issuers in a server's certificate request, as DER.
    pub(crate) certificate_request: Option<Vec<Vec<u8>>>,
    /// The server name from a client.
    pub(crate) server_name: Option<String>,
    /// A client's hello was read, with a server name or without.
    hello_seen: bool,
    /// Why verification would have refused an unverified peer.
    pub(crate) objection: Option<Box<VerifyError>>,
    /// The result for the OCSP response that a server stapled to its certificate.
    pub(crate) staple: Option<Staple>,
    /// Tickets from a server.
    pub(crate) tickets: Vec<Ticket>,
    /// The current session.
    pub(crate) session: Session,
    /// The fatal alert that was sealed.
    pub(crate) alert: Option<SealedAlert>,
    /// The server that the connection is for, where its hello is encrypted.
    encrypted_for: Option<String>,
    /// What keying material is exported from.
    pub(crate) exporter: Option<ExporterSecret>,
    /// A record could not be decrypted. If that was not an error, it was skipped: rejected early data.
    pub(crate) unopened: bool,
    /// Replaces the description of the next alert.
    alert_wanted: Option<Alert>,
}

/// A fatal alert in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedAlert {
    pub(crate) alert: Alert,
    /// The record's tag, which identifies it.
    pub(crate) tag: [u8; TAG],
}

/// The limits of a session for resumption.
#[derive(Debug, Default, Clone)]
pub(crate) struct Session {
    /// When the first certificate of the verified path expires, or the result may change for another
    /// reason, in seconds since 1970. The session is not resumed after that.
    pub(crate) not_after: Option<u64>,
    /// The path verified in the original handshake, if still known.
    pub(crate) path: Option<Arc<VerifiedPath>>,
    /// A client's chain in a session that may be resumed, verified again when its ticket was read. It is no peer's chain before
    /// the handshake has ended with that session: rustls may reject it and continue with a full handshake.
    pub(crate) candidate: Option<Arc<Reverified>>,
    /// TLS 1.2: is its master secret bound to the handshake that made it (RFC 7627)?
    pub(crate) extended_master_secret: bool,
}

/// A chain as a session has it, and the path that was found for it.
#[derive(Debug)]
pub(crate) struct Reverified {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) path: VerifiedPath,
}

impl Session {
    pub(crate) fn of(path: VerifiedPath) -> Self {
        Self {
            not_after: Some(path.not_after()),
            path: Some(Arc::new(path)),
            candidate: None,
            extended_master_secret: false,
        }
    }
}

thread_local! {
    static EVIDENCE: RefCell<Evidence> = RefCell::default();
}

/// Resets the data, for a connection with this session.
pub(crate) fn begin(session: &Session) {
    EVIDENCE.with_borrow_mut(|evidence| {
        *evidence = Evidence {
            session: session.clone(),
            ..Evidence::default()
        };
    });
}

/// Takes the data.
pub(crate) fn end() -> Evidence {
    EVIDENCE.take()
}

/// The peer's chain was rejected.
pub(crate) fn deposit_failure(error: VerifyError) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.failure = Some(Box::new(error)));
}

/// The peer's chain was verified by this path; the result may change at `until`, before the path expires.
pub(crate) fn deposit_verified(path: VerifiedPath, until: Option<u64>) {
    let mut session = Session::of(path);
    session.not_after = session.not_after.into_iter().chain(until).min();
    session.extended_master_secret = self::session().extended_master_secret;
    set_session(session);
}

/// A session is resumed.
pub(crate) fn set_session(session: Session) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.session = session);
}

/// The current session.
pub(crate) fn session() -> Session {
    EVIDENCE.with_borrow(|evidence| evidence.session.clone())
}

/// The hello that asks for this name is encrypted.
pub(crate) fn set_encrypted_for(name: Option<String>) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.encrypted_for = name);
}

/// Is the server asked to prove another name than the one in the encrypted hello? So it is when it could not decrypt it:
/// it has to be the server of the public name (RFC 9849, section 6.1.7).
pub(crate) fn is_asked_for_public_name(name: &str) -> bool {
    EVIDENCE.with_borrow(|evidence| {
        let asked = evidence.encrypted_for.as_deref();
        asked.is_some_and(|asked| !asked.eq_ignore_ascii_case(name))
    })
}

/// What keying material is exported from.
pub(crate) fn note_exporter(secret: ExporterSecret) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.exporter = Some(secret));
}

/// The master secret is made, by this label.
pub(crate) fn note_master_secret(label: &[u8]) {
    let extended = label == b"extended master secret";
    EVIDENCE.with_borrow_mut(|evidence| evidence.session.extended_master_secret = extended);
}

/// A server stapled this to its certificate, or nothing.
pub(crate) fn note_staple(staple: Option<Staple>) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.staple = staple);
}

/// An unverified peer would have been refused for this, or accepted.
pub(crate) fn note_objection(objection: Option<VerifyError>) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.objection = objection.map(Box::new));
}

/// A server sent a ticket.
pub(crate) fn note_ticket(ticket: Ticket) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.tickets.push(ticket));
}

/// A server requests a client certificate by one of these issuers.
pub(crate) fn note_certificate_request(issuers: &[&[u8]]) {
    let issuers = issuers.iter().map(|issuer| issuer.to_vec()).collect();
    EVIDENCE.with_borrow_mut(|evidence| evidence.certificate_request = Some(issuers));
}

/// A client sent this server name.
pub(crate) fn note_server_name(name: Option<&str>) {
    let name = name.map(str::to_owned);
    EVIDENCE.with_borrow_mut(|evidence| {
        evidence.server_name = name;
        evidence.hello_seen = true;
    });
}

/// The server name that the client of this connection asked for, in lower case.
pub(crate) fn with_server_name<T>(f: impl FnOnce(Option<&str>) -> T) -> T {
    EVIDENCE.with_borrow(|evidence| f(evidence.server_name.as_deref()))
}

/// Was the client's hello read, in this call into rustls or before it?
pub(crate) fn has_seen_hello() -> bool {
    EVIDENCE.with_borrow(|evidence| evidence.hello_seen)
}

/// Replaces the description of the next alert.
pub(crate) fn want_alert(alert: Option<Alert>) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.alert_wanted = alert);
}

/// The replacement for the description of the next alert.
pub(crate) fn alert_wanted() -> Option<Alert> {
    EVIDENCE.with_borrow(|evidence| evidence.alert_wanted)
}

/// An alert was sealed: its content, and its record's payload.
pub(crate) fn note_alert(content: &[u8], payload: &[u8]) {
    const FATAL: u8 = 2;
    if let ([FATAL, code], Some(tag)) = (content, payload.last_chunk()) {
        let alert = SealedAlert {
            alert: Alert::new(*code),
            tag: *tag,
        };
        EVIDENCE.with_borrow_mut(|evidence| evidence.alert = Some(alert));
    }
}

/// A record could not be decrypted.
pub(crate) fn note_unopened() {
    EVIDENCE.with_borrow_mut(|evidence| evidence.unopened = true);
}
