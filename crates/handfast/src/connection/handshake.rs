//! What only a handshake needs: what rustls gets to see and when, its alert, its end.

use std::sync::Arc;

use rustls::ContentType;
use rustls::server::UnbufferedServerConnection;

use super::turn::{Target, Tls, Turn};
use super::{Connection, records};
use crate::error::{Alert, Error, PeerCause, Phase};
use crate::offer;
use crate::preference;
use crate::report::Report;
use crate::witness::Session;

/// The messages that rustls makes from one message of the peer, at most, before it meets an error.
const MESSAGES_BEFORE_ALERT_MAX: usize = 16;

impl Connection {
    /// Changes to the client's order of cipher suites where that is the better one. Only as long as
    /// rustls has seen nothing: later all is agreed on.
    pub(super) fn heed_preference(&mut self) {
        if self.other.is_none() {
            return;
        }
        let untouched = self.incoming.len() as u64 == self.facts.bytes_received;
        let prefers = preference::prefers_chacha(self.incoming.filled());
        if untouched && prefers.is_none() {
            return;
        }
        let other = self.other.take();
        if let (Some(other), true, Some(true)) = (other, untouched, prefers)
            && let Ok(tls) = UnbufferedServerConnection::new(other)
        {
            self.tls = Tls::Server(Box::new(tls));
        }
    }

    /// Says early and exactly that the peer does not speak TLS: rustls would say that a message
    /// is corrupt, and would wait for bytes that never come.
    pub(super) fn refuse_other_protocols(&mut self) -> Result<(), Error> {
        if self.traffic.records_received > 0 || looks_like_tls(&self.facts.first_bytes) {
            return Ok(());
        }
        let first_bytes = self.first_bytes().to_vec();
        Err(self.fail(Phase::Handshake, PeerCause::NotTls { first_bytes }))
    }

    /// Is there more to do when everything that was shown is used up? rustls sees one record after the other,
    /// so that when the handshake is done it has seen nothing that comes later: then it hands over. It keeps
    /// the connection of a client that offers early data, of which it may skip many records.
    pub(super) fn goes_on(&mut self) -> Result<bool, Error> {
        if self.tls.handshake().is_none() {
            return Ok(false);
        }
        if self.report.is_some() && self.shown == 0 && self.early_data != Some(true) {
            return match self.tls.take_over(&self.facts.session) {
                Ok(()) => Ok(true),
                Err(error) => self.failed(0, error).map(|_| false),
            };
        }
        let received = self.incoming.filled();
        let first_bytes = &self.facts.first_bytes;
        let is_data = received.get(self.shown) == Some(&u8::from(ContentType::ApplicationData));
        let early_data = is_data
            && *self
                .early_data
                .get_or_insert_with(|| offer::offers_early_data(first_bytes));
        let unseen = received.get(self.shown..).unwrap_or_default();
        let shown = match records::first_record(unseen) {
            Ok(None) => self.shown,
            // rustls would try it again with each one that follows, for nothing, where it skips early data.
            Ok(Some(length)) if records::is_too_short(unseen, length) => {
                return Err(self.fail(Phase::Handshake, PeerCause::BadRecord));
            }
            Ok(Some(_)) if early_data => received.len(),
            Ok(Some(length)) => self.shown + length,
            // rustls is to say what is wrong with it.
            Err(_) => received.len(),
        };
        Ok(std::mem::replace(&mut self.shown, shown) != shown)
    }

    /// After a failure rustls has an alert for the peer, and hands it out when asked once more, after
    /// the messages that it had made before it met the failure. Asked again, it would look at what else
    /// was received, and must not.
    pub(super) fn collect_alert(&mut self) {
        for _ in 0..MESSAGES_BEFORE_ALERT_MAX {
            let before = self.outgoing.len();
            let mut nowhere = Target::none();
            let mut turn = Turn::new(&mut self.outgoing, &mut self.plaintext, &mut nowhere, None);
            let incoming = self.incoming.filled_mut();
            let incoming = incoming.get_mut(..self.shown).unwrap_or_default();
            let _ = turn.call(&mut self.tls, incoming);
            // A handshake message or change_cipher_spec in the clear: the alert is still to come.
            let record = self.outgoing.filled().get(before..).unwrap_or_default();
            if !matches!(record.first(), Some(20 | 22)) {
                break;
            }
        }
    }

    /// The alert in the clear says what clients understand (RFC 8446, section 4.2.1), whatever rustls
    /// met first.
    pub(super) fn call_it_protocol_version(&mut self) {
        const PROTOCOL_VERSION: u8 = 70;
        if let [.., 21, 3, _, 0, 2, 2, code] = self.outgoing.filled_mut() {
            *code = PROTOCOL_VERSION;
            self.alert_sent = Some(Alert::new(PROTOCOL_VERSION));
        }
    }

    pub(super) fn finish_handshake(&mut self) -> Result<(), Error> {
        let Some(state) = self.tls.handshake() else {
            return Ok(());
        };
        if let Some((verifier, clock)) = self.client_verifier.take()
            && self.facts.session.path.is_none()
            && let Some(chain) = state.peer_certificates()
        {
            // A resumed session brings the client's chain along, as it was checked back then. The
            // policy demands that it holds now.
            match verifier.check(chain, clock.now()) {
                Ok(path) => self.facts.session = Session::of(path),
                Err(error) => {
                    let cause = PeerCause::Certificate(Box::new(error));
                    return Err(self.fail(Phase::Handshake, cause));
                }
            }
        }
        let handshake = self.started.elapsed();
        self.report = Some(Arc::new(Report::new(state, &self.facts, handshake)));
        self.facts.first_bytes = Vec::new();
        Ok(())
    }
}

/// A content type and a version that a first TLS record can have (RFC 8446, section 5.1): a
/// handshake message, or an alert of a peer that gives up at once.
fn looks_like_tls(first_bytes: &[u8]) -> bool {
    first_bytes
        .first()
        .is_none_or(|kind| matches!(kind, 0x15 | 0x16))
        && first_bytes.get(1).is_none_or(|major| *major == 3)
}
