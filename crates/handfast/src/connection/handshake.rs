//! The handshake: what is passed to rustls and when, its alert, its end.

use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, PeerMisbehaved, ProtocolVersion};

use super::protocol::Tls;
use super::step::{Next, Step, Target};
use super::{Connection, records};
use crate::alert::Alert;
use crate::callback_data::{self, Session};
use crate::classify;
use crate::error::{Cause, Error, PeerCause};
use crate::exporter::Exporter;
use crate::facts::Facts;
use crate::names::{group_name, suite_name};
use crate::phase::Phase;
use crate::preference;
use crate::protection::HEADER;
use crate::report::Report;
use crate::side::Side;
use crate::suites;
use crate::tls::{Agreed, Handshake};
use crate::verify::VerifiedPeer;
use crate::version::TlsVersion;
use crate::x509;

/// How often rustls is called for its alert: at most a flight of messages, or tickets, comes first.
const MESSAGES_BEFORE_ALERT_MAX: usize = 16;

/// Rejected early data that is skipped, with the headers of its records. rustls skips 16 KiB, and counts no headers:
/// empty records would never end.
const SKIPPED_BYTES_MAX: usize = 32 * 1024;

impl Connection {
    /// Uses the client's order of cipher suites if that is better. Only as long as
    /// rustls has no input: later the suite is negotiated.
    pub(super) fn apply_preference(&mut self) {
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
            && let Ok(handshake) = Handshake::server(&other)
        {
            self.tls = Tls::Handshake(Box::new(handshake));
        }
    }

    /// Reports early and exactly that the peer does not speak TLS: rustls would report that a message
    /// is corrupt, and would wait for more bytes.
    pub(super) fn refuse_other_protocols(&mut self) -> Result<(), Error> {
        if self.traffic.records_received > 0 || looks_like_tls(&self.facts.first_bytes) {
            return Ok(());
        }
        let first_bytes = self.first_bytes().to_vec();
        Err(self.fail(Phase::Handshake, PeerCause::NotTls { first_bytes }))
    }

    /// Whether there is more to do when all bytes passed are used. rustls gets one record at a time,
    /// so that it has no later bytes when the handshake is complete: then `records.rs` takes over.
    pub(super) fn goes_on(&mut self) -> Result<bool, Error> {
        if self.tls.handshake().is_none() {
            return Ok(false);
        }
        let side = self.facts.side.unwrap_or(Side::Client);
        let refused = match (self.report.is_some(), self.shown) {
            (true, 0) => match self.tls.take_over(&self.facts.session, side) {
                Ok(()) => return Ok(true),
                Err(error) => error,
            },
            // It keeps the beginning of a message that follows the last one of the handshake in a record.
            (true, _) => PeerMisbehaved::KeyEpochWithPendingFragment.into(),
            (false, shown) => {
                let unseen = self.incoming.filled().get(shown..).unwrap_or_default();
                match records::first_record(unseen) {
                    Ok(None) => return Ok(false),
                    Ok(Some(length)) => {
                        self.shown += length;
                        return Ok(true);
                    }
                    Err(error) => error,
                }
            }
        };
        self.failed(0, refused).map(|_| false)
    }

    /// rustls could not decrypt the record, and that is not an error: it is early data that the client sent
    /// before it was rejected (RFC 8446, section 4.2.10). It would try again with each
    /// record that follows.
    pub(super) fn skip_shown(&mut self) -> Result<(), Error> {
        self.skipped += self.shown;
        self.incoming.consume(self.shown);
        self.shown = 0;
        match self.skipped > SKIPPED_BYTES_MAX {
            true => self.failed(0, rustls::Error::DecryptError).map(|_| ()),
            false => Ok(()),
        }
    }

    /// Puts the alert of this failure into `outgoing`, and returns it.
    ///
    /// rustls returns its alert in a further call, after the messages that it made before it failed.
    /// Some of its failures have none. Then it gets bytes that are not a record: it fails again
    /// with an alert, in which the description is replaced.
    pub(super) fn alert_of_failure(&mut self, error: &rustls::Error) -> Option<Alert> {
        const NO_RECORD: u8 = 0xff;
        let alert = classify::alert_for(error);
        let mut shown = match alert {
            // rustls keeps offsets into its input, and continues after them.
            Some(_) => vec![NO_RECORD; self.shown + HEADER],
            // An alert of the peer. rustls answers a malformed one.
            None => Vec::new(),
        };
        let mut is_ours = false;
        for _ in 0..MESSAGES_BEFORE_ALERT_MAX {
            let before = self.outgoing.len();
            let mut nowhere = Target::none();
            let mut step = Step::new(&mut self.outgoing, &mut self.plaintext, &mut nowhere, None);
            callback_data::begin(&self.facts.session);
            callback_data::want_alert(alert.filter(|_| self.facts.alert_sealed.is_none()));
            let (_, next) = self.tls.step(&mut step, &mut shown);
            self.facts.absorb(callback_data::end());
            is_ours |= matches!(next, Next::Failed(_));
            let made = self.outgoing.filled_mut();
            let made = made.get_mut(before..).unwrap_or_default();
            if let Some(sealed) = self.facts.alert_sealed {
                if made.ends_with(&sealed.tag) {
                    return Some(sealed.alert);
                }
            } else if let [21, 3, _, 0, 2, 2, code] = made {
                // In plaintext: level fatal, and the alert.
                if let Some(alert) = alert.filter(|_| is_ours) {
                    *code = alert.code();
                }
                return Some(Alert::new(*code));
            }
        }
        None
    }

    /// Corrects the plaintext alert if rustls found another error first: `protocol_version` (RFC 8446, section 4.2.1), or
    /// `unrecognized_name` without a certificate for the requested name (RFC 6066, section 3).
    pub(super) fn correct_alert(&mut self, cause: &Cause) {
        let wanted = match cause {
            Cause::Peer(PeerCause::ProtocolVersion { .. }) => AlertDescription::ProtocolVersion,
            Cause::Peer(PeerCause::NameUnrecognised) => AlertDescription::UnrecognisedName,
            _ => return,
        };
        if let [.., 21, 3, _, 0, 2, 2, code] = self.outgoing.filled_mut() {
            *code = wanted.into();
            self.alert_sent = Some(Alert::new(*code));
        }
    }

    pub(super) fn finish_handshake(&mut self) -> Result<(), Error> {
        let Some(handshake) = self.tls.handshake() else {
            return Ok(());
        };
        let agreed = handshake.agreed();
        let candidate = self.facts.session.candidate.take();
        if let Some((verifier, clock)) = self.client_verifier.take()
            && self.facts.session.path.is_none()
            && let Some(chain) = agreed.peer_chain
            && let name = self.facts.server_name.as_deref()
            && let Some(checked) = match candidate {
                // When the ticket was read, this handshake's policy accepted the same chain.
                Some(known) if agreed.resumed && known.chain == chain => {
                    Some(Ok(known.path.clone()))
                }
                _ => verifier.check(name, chain, clock.now()),
            }
        {
            // A resumed session has the client's chain, as verified in the original handshake. The
            // policy requires that it is valid now.
            match checked {
                Ok(path) => {
                    self.facts.session = Session {
                        extended_master_secret: self.facts.session.extended_master_secret,
                        ..Session::of(path)
                    };
                }
                Err(error) => {
                    let converted = error.to_rustls();
                    self.facts.failure = Some(Box::new(error));
                    return self.failed(0, converted).map(|_| ());
                }
            }
        }
        if agreed.resumed
            && let Some(check) = self.resumed_server.take()
            && let Some(path) = &self.facts.session.path
            && let Err(error) = check.verify(path, self.facts.server_name.as_deref())
        {
            let told = error.to_rustls();
            self.facts.failure = Some(error);
            return self.failed(0, told).map(|_| ());
        }
        let is_extended = self.facts.session.extended_master_secret;
        let secret = self.facts.exporter.take();
        self.exporter = agreed
            .cipher_suite
            .and_then(suites::find)
            .zip(secret)
            .and_then(|(suite, secret)| Exporter::new(secret, suite, is_extended))
            .map(Box::new);
        let took = self.started.elapsed();
        self.report = Some(Arc::new(report(&agreed, &self.facts, took)));
        self.facts.first_bytes = Vec::new();
        Ok(())
    }
}

/// The negotiated parameters, from the connection and rustls.
fn report(agreed: &Agreed<'_>, facts: &Facts, handshake: Duration) -> Report {
    let peer_chain = agreed.peer_chain.unwrap_or_default().to_vec();
    let peer = facts
        .session
        .path
        .as_deref()
        .cloned()
        .map(VerifiedPeer::new)
        .transpose()
        .ok()
        .flatten();
    Report {
        side: facts.side.unwrap_or(Side::Client),
        version: match agreed.version {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            // No other is enabled.
            _ => TlsVersion::Tls13,
        },
        cipher_suite: agreed.cipher_suite.map_or("unknown", suite_name),
        group: agreed.group.map(group_name),
        alpn: agreed.alpn.map(<[u8]>::to_vec),
        server_name: facts.server_name.clone(),
        resumed: agreed.resumed,
        peer_chain,
        peer,
        client_certificate_requested: facts.certificate_request.is_some(),
        acceptable_issuers: facts
            .certificate_request
            .iter()
            .flatten()
            .map(|issuer| x509::describe_name_der(issuer))
            .collect(),
        objection: facts.objection.clone(),
        staple: facts.staple.clone(),
        encrypted_client_hello: facts.hello_encrypted,
        handshake,
    }
}

/// Whether content type and version are those of a TLS record (RFC 8446, section 5.1). A record of the wrong type is
/// answered with an alert.
fn looks_like_tls(first_bytes: &[u8]) -> bool {
    first_bytes
        .first()
        .is_none_or(|kind| (20..=24).contains(kind))
        && first_bytes.get(1).is_none_or(|major| *major == 3)
}
