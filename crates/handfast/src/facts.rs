//! The state of a connection that rustls does not keep.

use crate::alert::Alert;
use crate::callback_data::{Evidence, SealedAlert, Session};
use crate::error::LongMessage;
use crate::exporter::ExporterSecret;
use crate::report::Ticket;
use crate::side::Side;
use crate::verify::{Staple, VerifyError};

/// The limit on tickets recorded for one connection. Servers send two; more
/// use no memory.
const TICKETS_MAX: usize = 16;

/// The state of a connection that rustls does not keep.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) side: Option<Side>,
    pub(crate) server_name: Option<String>,
    pub(crate) bytes_received: u64,
    pub(crate) first_bytes: Vec<u8>,
    pub(crate) certificate_request: Option<Vec<Vec<u8>>>,
    pub(crate) client_certificate_sent: bool,
    /// The ClientHello was encrypted: a handshake by which the server does not decrypt it fails.
    pub(crate) hello_encrypted: bool,
    pub(crate) staple: Option<Staple>,
    /// Why verification would have refused an unverified peer.
    pub(crate) objection: Option<Box<VerifyError>>,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) session: Session,
    /// What keying material is exported from, until the handshake is done.
    pub(crate) exporter: Option<ExporterSecret>,
    pub(crate) failure: Option<Box<VerifyError>>,
    /// The fatal alert that the peer ended with.
    pub(crate) alert_received: Option<Alert>,
    /// The fatal alert that rustls encrypted.
    pub(crate) alert_sealed: Option<SealedAlert>,
    /// The peer requested renegotiation, and was sent no_renegotiation.
    pub(crate) renegotiation_refused: bool,
    /// The message that is longer than accepted, where one was seen.
    pub(crate) message_too_large: Option<LongMessage>,
}

impl Facts {
    pub(crate) fn absorb(&mut self, evidence: Evidence) {
        let Evidence {
            failure,
            certificate_request,
            server_name,
            staple,
            objection,
            tickets,
            session,
            alert,
            exporter,
            ..
        } = evidence;
        self.failure = failure.or_else(|| self.failure.take());
        self.certificate_request = certificate_request.or_else(|| self.certificate_request.take());
        self.server_name = server_name.or_else(|| self.server_name.take());
        self.staple = staple.or_else(|| self.staple.take());
        self.objection = objection.or_else(|| self.objection.take());
        self.note_tickets(tickets);
        self.session = session;
        self.exporter = exporter.or_else(|| self.exporter.take());
        self.alert_sealed = alert.or(self.alert_sealed);
    }

    pub(crate) fn note_tickets(&mut self, tickets: Vec<Ticket>) {
        let room = TICKETS_MAX.saturating_sub(self.tickets.len());
        self.tickets.extend(tickets.into_iter().take(room));
    }
}
