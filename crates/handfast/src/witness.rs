//! What rustls' callbacks saw while a connection let it process a message.
//!
//! rustls calls verifiers, certificate resolvers and session stores synchronously, on the thread
//! that processes the message, but its errors have no room for what they know. They deposit it
//! here; the connection, which has opened the record just before, collects it right after. Between
//! those two points no other connection can run on the thread.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::Alert;
use crate::exporter::ExporterSecret;
use crate::protection::TAG;
use crate::report::Ticket;
use crate::verify::{Staple, VerifiedPath, VerifyError};

/// What was seen during one call into rustls.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Why the peer's chain was refused, with the chain.
    pub(crate) failure: Option<Box<VerifyError>>,
    /// The issuers that a server's request for a client certificate names, as DER.
    pub(crate) certificate_request: Option<Vec<Vec<u8>>>,
    /// The name that a client asked for.
    pub(crate) server_name: Option<String>,
    /// What became of the OCSP response that a server stapled to its certificate.
    pub(crate) staple: Option<Staple>,
    /// Tickets that a server gave out.
    pub(crate) tickets: Vec<Ticket>,
    /// What the session at hand stands for.
    pub(crate) session: Session,
    /// The fatal alert that was sealed.
    pub(crate) alert: Option<SealedAlert>,
    /// What keying material is exported from.
    pub(crate) exporter: Option<ExporterSecret>,
    /// A record could not be opened. If that was no error, it was skipped: rejected early data.
    pub(crate) unopened: bool,
    /// What the next alert is to say, whatever rustls would have said.
    alert_wanted: Option<Alert>,
}

/// A fatal alert in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedAlert {
    pub(crate) alert: Alert,
    /// How the record ends: no other record does.
    pub(crate) tag: [u8; TAG],
}

/// What a session that is taken up later must not outlive.
#[derive(Debug, Default, Clone)]
pub(crate) struct Session {
    /// When the first certificate of the verified path expires, or the verdict may change for another
    /// reason, in seconds since 1970. The session is not taken up after that.
    pub(crate) not_after: Option<u64>,
    /// The path that was verified when the session was made, where that is still known.
    pub(crate) path: Option<Arc<VerifiedPath>>,
    /// TLS 1.2: is its master secret bound to the handshake that made it (RFC 7627)?
    pub(crate) extended_master_secret: bool,
}

impl Session {
    pub(crate) fn of(path: VerifiedPath) -> Self {
        Self {
            not_after: Some(path.not_after()),
            path: Some(Arc::new(path)),
            extended_master_secret: false,
        }
    }
}

thread_local! {
    static EVIDENCE: RefCell<Evidence> = RefCell::default();
}

/// Opens a clean record for a connection with this session.
pub(crate) fn begin(session: &Session) {
    EVIDENCE.with_borrow_mut(|evidence| {
        *evidence = Evidence {
            session: session.clone(),
            ..Evidence::default()
        };
    });
}

/// Closes the record and hands it over.
pub(crate) fn end() -> Evidence {
    EVIDENCE.take()
}

/// The peer's chain was refused.
pub(crate) fn deposit_failure(error: VerifyError) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.failure = Some(Box::new(error)));
}

/// The peer's chain was verified by this path; `until` the verdict may change before the path expires.
pub(crate) fn deposit_verified(path: VerifiedPath, until: Option<u64>) {
    let mut session = Session::of(path);
    session.not_after = session.not_after.into_iter().chain(until).min();
    session.extended_master_secret = self::session().extended_master_secret;
    set_session(session);
}

/// An earlier session is taken up.
pub(crate) fn set_session(session: Session) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.session = session);
}

/// The session at hand.
pub(crate) fn session() -> Session {
    EVIDENCE.with_borrow(|evidence| evidence.session.clone())
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

/// A server gave out a ticket.
pub(crate) fn note_ticket(ticket: Ticket) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.tickets.push(ticket));
}

/// A server asks for a client certificate by one of these issuers.
pub(crate) fn note_certificate_request(issuers: &[&[u8]]) {
    let issuers = issuers.iter().map(|issuer| issuer.to_vec()).collect();
    EVIDENCE.with_borrow_mut(|evidence| evidence.certificate_request = Some(issuers));
}

/// A client asked for this name.
pub(crate) fn note_server_name(name: Option<&str>) {
    let name = name.map(str::to_owned);
    EVIDENCE.with_borrow_mut(|evidence| evidence.server_name = name);
}

/// The next alert is to say this.
pub(crate) fn want_alert(alert: Option<Alert>) {
    EVIDENCE.with_borrow_mut(|evidence| evidence.alert_wanted = alert);
}

/// What the next alert is to say, if not what rustls would.
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

/// A record could not be opened.
pub(crate) fn note_unopened() {
    EVIDENCE.with_borrow_mut(|evidence| evidence.unopened = true);
}
