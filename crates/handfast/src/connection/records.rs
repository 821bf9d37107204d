//! A connection after its handshake: the record protocol with the keys from rustls.
//!
//! Of the handshake protocol, only key updates and tickets remain (RFC 8446, section
//! 4.6), and in TLS 1.2 the request to renegotiate, which is refused. The secrets for later keys, and a
//! client's tickets, stay with rustls (`tls.rs`).

use rustls::{AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved};

use super::step::{Job, Next, Step};
use crate::alert::Alert;
use crate::buffers::Window;
use crate::callback_data::{self, Session};
use crate::classify::{self, HANDSHAKE_MESSAGE_MAX};
use crate::protection::{HEADER, Opener, PAYLOAD_MAX, Sealer, unexpected};
use crate::side::Side;
use crate::tls::{Established, Secrets};

/// Limits that correct peers do not exceed, as in BoringSSL and rustls.
const EMPTY_RECORDS_MAX: u8 = 32;
const KEY_UPDATES_MAX: u8 = 32;
const WARNINGS_MAX: u8 = 4;
const RENEGOTIATIONS_MAX: u8 = 1;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// A KeyUpdate with `update_not_requested`.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The record protocol in both directions.
pub(super) struct Records {
    secrets: Box<dyn Secrets>,
    side: Side,
    sealer: Sealer,
    opener: Opener,
    /// The session for which tickets are.
    session: Session,
    /// A partial handshake message.
    message: Vec<u8>,
    /// The peer has changed its key and requested an update.
    key_update_due: bool,
    /// It was answered, and no data was sent since: further requests wait for the next data, with one answer for
    /// all of them (RFC 8446, section 4.6.3).
    answered_in_silence: bool,
    close_notify_sent: bool,
    alert_sent: Option<Alert>,
    /// How many more of each type are accepted in a row.
    empty_records_left: u8,
    key_updates_left: u8,
    warnings_left: u8,
    renegotiations_left: u8,
}

/// Why receiving fails, and the alert for it.
struct Refusal {
    error: Error,
    alert: Option<Alert>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            alert: classify::alert_for(&error),
            error,
        }
    }
}

impl From<PeerMisbehaved> for Refusal {
    fn from(error: PeerMisbehaved) -> Self {
        Error::from(error).into()
    }
}

impl From<InvalidMessage> for Refusal {
    fn from(error: InvalidMessage) -> Self {
        Error::from(error).into()
    }
}

impl Refusal {
    fn with(error: impl Into<Error>, alert: AlertDescription) -> Self {
        Self {
            error: error.into(),
            alert: Some(Alert::new(alert.into())),
        }
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

/// The effect of a record without data.
enum Heard {
    Nothing,
    CloseNotify,
}

impl Records {
    /// Continues after the handshake.
    pub(super) fn new(
        established: Established,
        side: Side,
        session: Session,
    ) -> Result<Self, Error> {
        let Established {
            sending,
            receiving,
            secrets,
        } = established;
        Ok(Self {
            secrets,
            side,
            sealer: Sealer::new(&sending)?,
            opener: Opener::new(&receiving)?,
            session,
            message: Vec::new(),
            key_update_due: false,
            answered_in_silence: false,
            close_notify_sent: false,
            alert_sent: None,
            empty_records_left: EMPTY_RECORDS_MAX,
            key_updates_left: KEY_UPDATES_MAX,
            warnings_left: WARNINGS_MAX,
            renegotiations_left: RENEGOTIATIONS_MAX,
        })
    }

    /// The fatal alert of a failure.
    pub(super) fn alert_sent(&self) -> Option<Alert> {
        self.alert_sent
    }

    /// Memory held for partial messages, in bytes.
    pub(super) fn memory_held(&self) -> usize {
        self.message.capacity()
    }

    /// Does the job, or processes received records until the target is full. Returns how many bytes of
    /// `incoming` are used up, and what to do next.
    pub(super) fn step(
        &mut self,
        step: &mut Step<'_, '_, '_>,
        incoming: &mut [u8],
    ) -> (usize, Next) {
        if let Some(job) = step.job.take() {
            // Writing ignores received data: reading handles it.
            return match self.perform(&job, step.outgoing) {
                Ok(()) => (0, Next::JobDone),
                Err(error) => (0, Next::Failed(error)),
            };
        }
        let mut used = 0;
        loop {
            if step.target.is_full() {
                return (used, Next::More);
            }
            let rest = incoming.get_mut(used..).unwrap_or_default();
            let heard = match first_record(rest) {
                Ok(None) => return (used, Next::Drained),
                Ok(Some(length)) => {
                    used += length;
                    self.receive(&mut rest[..length], step)
                }
                Err(refused) => Err(refused.into()),
            };
            match heard {
                Ok(Heard::Nothing) => {}
                Ok(Heard::CloseNotify) => return (used, Next::Ended),
                Err(refusal) => {
                    self.tell(refusal.alert, step.outgoing);
                    return (used, Next::Failed(refusal.error));
                }
            }
        }
    }

    /// Whether the key has reached its limit and cannot be updated (TLS 1.2). One record is left,
    /// for `close_notify`.
    pub(super) fn is_worn_out(&self) -> bool {
        self.sealer.is_worn() && !self.sealer.is_tls13()
    }

    /// Updates the key if the peer has requested it, once until there is data to send; otherwise does nothing.
    pub(super) fn answer_key_update(&mut self, outgoing: &mut Window) -> Result<(), Error> {
        if self.key_update_due && !self.answered_in_silence && !self.close_notify_sent {
            self.update_key(outgoing)?;
            self.answered_in_silence = true;
        }
        Ok(())
    }

    fn perform(&mut self, job: &Job<'_>, outgoing: &mut Window) -> Result<(), Error> {
        match job {
            Job::Record(plaintext) => {
                if self.key_update_due || self.sealer.is_worn() {
                    self.update_key(outgoing)?;
                }
                self.answered_in_silence = false;
                self.seal(ContentType::ApplicationData, plaintext, outgoing)
            }
            Job::CloseNotify => {
                self.close_notify_sent = true;
                let alert = [WARNING, AlertDescription::CloseNotify.into()];
                self.seal(ContentType::Alert, &alert, outgoing)
            }
        }
    }

    fn seal(
        &mut self,
        content_type: ContentType,
        plaintext: &[u8],
        outgoing: &mut Window,
    ) -> Result<(), Error> {
        let room = outgoing.room(plaintext.len() + self.sealer.overhead());
        let length = self.sealer.seal(content_type, plaintext, room)?;
        outgoing.fill(length);
        Ok(())
    }

    fn update_key(&mut self, outgoing: &mut Window) -> Result<(), Error> {
        self.seal(ContentType::Handshake, &KEY_UPDATE, outgoing)?;
        self.sealer = Sealer::new(&self.secrets.next_sending()?)?;
        self.key_update_due = false;
        Ok(())
    }

    fn tell(&mut self, alert: Option<Alert>, outgoing: &mut Window) {
        // Nothing may follow close_notify (RFC 8446, section 6.1).
        let alert = alert.filter(|_| !self.close_notify_sent);
        if let Some(alert) = alert
            && self
                .seal(ContentType::Alert, &[FATAL, alert.code()], outgoing)
                .is_ok()
        {
            self.alert_sent = Some(alert);
        }
    }

    /// Decrypts and handles a whole record.
    fn receive(
        &mut self,
        record: &mut [u8],
        step: &mut Step<'_, '_, '_>,
    ) -> Result<Heard, Refusal> {
        let (content_type, content) = self.opener.open(record)?;
        if content.is_empty() {
            count(
                &mut self.empty_records_left,
                PeerMisbehaved::TooManyEmptyFragments,
            )?;
        } else {
            self.empty_records_left = EMPTY_RECORDS_MAX;
        }
        if content_type != ContentType::Handshake && !self.message.is_empty() {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match content_type {
            // RFC 8446, section 5.4.
            ContentType::Alert | ContentType::Handshake if content.is_empty() => {
                Err(unexpected(content_type).into())
            }
            ContentType::ApplicationData => {
                if !content.is_empty() {
                    self.key_updates_left = KEY_UPDATES_MAX;
                }
                step.deliver(content);
                Ok(Heard::Nothing)
            }
            ContentType::Alert => self.alert(content),
            ContentType::Handshake => {
                self.message.extend_from_slice(content);
                self.messages(step)?;
                Ok(Heard::Nothing)
            }
            other => Err(unexpected(other).into()),
        }
    }

    fn alert(&mut self, content: &[u8]) -> Result<Heard, Refusal> {
        let [level, code] = content else {
            return Err(InvalidMessage::MissingData("alert").into());
        };
        let alert = AlertDescription::from(*code);
        let received = Error::AlertReceived(alert);
        match (*level, alert) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => Ok(Heard::CloseNotify),
            (WARNING, _) => {
                count(
                    &mut self.warnings_left,
                    PeerMisbehaved::TooManyWarningAlertsReceived,
                )?;
                // TLS 1.3 has only these two warnings.
                match self.sealer.is_tls13() && alert != AlertDescription::UserCanceled {
                    true => Err(Refusal::with(received, AlertDescription::DecodeError)),
                    false => Ok(Heard::Nothing),
                }
            }
            (FATAL, _) => Err(received.into()),
            _ => Err(Refusal::with(received, AlertDescription::IllegalParameter)),
        }
    }

    /// Handles the complete handshake messages.
    fn messages(&mut self, step: &mut Step<'_, '_, '_>) -> Result<(), Refusal> {
        while let [kind, high, middle, low, rest @ ..] = self.message.as_slice() {
            let kind = HandshakeType::from(*kind);
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if length > HANDSHAKE_MESSAGE_MAX {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let Some(body) = rest.get(..length) else {
                return Ok(());
            };
            let is_last = rest.len() == length;
            let body = body.to_vec();
            self.handle(kind, &body, is_last, step)?;
            self.message.drain(..4 + length);
        }
        if self.message.is_empty() {
            // An idle connection holds no memory for it.
            self.message = Vec::new();
        }
        Ok(())
    }

    fn handle(
        &mut self,
        kind: HandshakeType,
        body: &[u8],
        is_last: bool,
        step: &mut Step<'_, '_, '_>,
    ) -> Result<(), Refusal> {
        let is_client = self.side == Side::Client;
        match (kind, self.sealer.is_tls13()) {
            (HandshakeType::KeyUpdate, true) => self.key_update(body, is_last),
            (HandshakeType::NewSessionTicket, true) if is_client => self.ticket(body, step),
            (HandshakeType::HelloRequest, false) if is_client => self.refuse_renegotiation(step),
            (HandshakeType::ClientHello, false) if !is_client => self.refuse_renegotiation(step),
            (got_type, _) => Err(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate],
                got_type,
            }
            .into()),
        }
    }

    fn ticket(&mut self, body: &[u8], step: &mut Step<'_, '_, '_>) -> Result<(), Refusal> {
        // rustls calls our session store, which records the tickets.
        callback_data::begin(&self.session);
        let handled = self.secrets.ticket(body);
        step.tickets.extend(callback_data::end().tickets);
        Ok(handled?)
    }

    /// RFC 8446, section 4.6.3.
    fn key_update(&mut self, body: &[u8], is_last: bool) -> Result<(), Refusal> {
        count(
            &mut self.key_updates_left,
            PeerMisbehaved::TooManyKeyUpdateRequests,
        )?;
        let asked = match body {
            [0] => false,
            [1] => true,
            [_] => {
                let error = InvalidMessage::InvalidKeyUpdate;
                return Err(Refusal::with(error, AlertDescription::IllegalParameter));
            }
            _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
        };
        if !is_last {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        self.opener = Opener::new(&self.secrets.next_receiving()?)?;
        self.key_update_due |= asked;
        Ok(())
    }

    fn refuse_renegotiation(&mut self, step: &mut Step<'_, '_, '_>) -> Result<(), Refusal> {
        step.renegotiation_refused = true;
        count(
            &mut self.renegotiations_left,
            PeerMisbehaved::TooManyRenegotiationRequests,
        )?;
        if !self.close_notify_sent {
            let alert = [WARNING, AlertDescription::NoRenegotiation.into()];
            self.seal(ContentType::Alert, &alert, step.outgoing)?;
        }
        Ok(())
    }
}

/// Counts one more of a limited type.
fn count(left: &mut u8, too_many: PeerMisbehaved) -> Result<(), Refusal> {
    *left = left.checked_sub(1).ok_or(too_many)?;
    Ok(())
}

/// The length of the first record in `bytes`, if it is complete.
///
/// # Errors
/// The header is not that of a record (RFC 8446, section 5.1).
pub(super) fn first_record(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let [kind, major, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    let kind = ContentType::from(*kind);
    let payload = usize::from(u16::from_be_bytes([*high, *low]));
    if matches!(kind, ContentType::Unknown(_) | ContentType::Heartbeat) {
        return Err(InvalidMessage::InvalidContentType.into());
    }
    if *major != 3 {
        return Err(InvalidMessage::UnknownProtocolVersion.into());
    }
    if payload == 0 && kind != ContentType::ApplicationData {
        return Err(InvalidMessage::InvalidEmptyPayload.into());
    }
    if payload >= PAYLOAD_MAX {
        return Err(Error::PeerSentOversizedRecord);
    }
    let length = HEADER + payload;
    Ok((bytes.len() >= length).then_some(length))
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use handfast_testbed::pki::Pki;

    use super::super::{Connection, ReadOutcome, Tls};
    use crate::{
        ClientContext, Ending, Identity, Passphrase, ServerContext, TlsVersion, TrustAnchors,
    };

    /// Both sides after their handshake.
    fn pair(version: TlsVersion) -> (Connection, Connection) {
        let pki = Pki::new();
        let issued = pki.server(&["localhost"]);
        let (chain, key) = (issued.cert_pem(), issued.key_pem());
        let identity =
            Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
        let server = ServerContext::builder()
            .identity(identity)
            .versions([version])
            .build()
            .unwrap();
        let trust = TrustAnchors::empty()
            .with_certificate_der(pki.root.der.clone())
            .unwrap();
        let client = ClientContext::builder().trust(trust).build().unwrap();
        let mut client = client.connection("localhost").unwrap();
        let mut server = server.connection().unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            carry(&mut client, &mut server);
            server.process().unwrap();
            carry(&mut server, &mut client);
            client.process().unwrap();
        }
        (client, server)
    }

    fn carry(from: &mut Connection, to: &mut Connection) {
        let bytes = from.outgoing().to_vec();
        to.receive_room()[..bytes.len()].copy_from_slice(&bytes);
        to.received(bytes.len());
        from.sent(bytes.len());
    }

    /// Sets the number of records that this side's key may still protect.
    fn wears_out_after(connection: &mut Connection, count: u64) {
        let Tls::Records(records) = &mut connection.tls else {
            panic!("after the handshake the record protocol is ours");
        };
        records.sealer.limit_to(count);
    }

    fn send(from: &mut Connection, to: &mut Connection, text: &[u8]) -> Result<(), crate::Error> {
        from.write(&[IoSlice::new(text)])?;
        from.flush()?;
        carry(from, to);
        let mut buffer = [0; 100];
        assert_eq!(to.read(&mut buffer).unwrap(), ReadOutcome::Data(text.len()));
        assert_eq!(&buffer[..text.len()], text);
        Ok(())
    }

    #[test]
    fn a_worn_key_is_renewed_in_time() {
        let (mut client, mut server) = pair(TlsVersion::Tls13);
        for _ in 0..5 {
            wears_out_after(&mut client, 4);
            for _ in 0..20 {
                send(&mut client, &mut server, b"request").unwrap();
                send(&mut server, &mut client, b"reply").unwrap();
            }
        }
    }

    #[test]
    fn a_key_without_update_ends_in_order() {
        let (mut client, mut server) = pair(TlsVersion::Tls12);
        wears_out_after(&mut client, 10);
        let sent = (0..20)
            .take_while(|_| send(&mut client, &mut server, b"request").is_ok())
            .count();
        // One is kept for close_notify.
        assert_eq!(sent, 9);
        let error = send(&mut client, &mut server, b"more").unwrap_err();
        assert!(matches!(
            error.cause(),
            crate::Cause::Local(crate::LocalCause::KeyWornOut)
        ));
        // The other direction has its own key, and the end is in order.
        send(&mut server, &mut client, b"reply").unwrap();
        client.send_close_notify().unwrap();
        carry(&mut client, &mut server);
        let end = server.read(&mut [0; 10]).unwrap();
        assert_eq!(end, ReadOutcome::End(Ending::CloseNotify));
    }

    #[test]
    fn no_key_update_is_sent_with_the_end() {
        let (mut client, mut server) = pair(TlsVersion::Tls13);
        wears_out_after(&mut server, 3);
        for _ in 0..3 {
            send(&mut server, &mut client, b"reply").unwrap();
        }
        client.send_close_notify().unwrap();
        carry(&mut client, &mut server);
        assert_eq!(
            server.read(&mut [0; 10]).unwrap(),
            ReadOutcome::End(Ending::CloseNotify)
        );
    }
}
