//! The input of an explanation: where a cause was seen, and its text.

use std::net::IpAddr;

use crate::error::Error;
use crate::explanation::Explanation;
use crate::offer::ClientOffer;
use crate::phase::Phase;
use crate::side::Side;
use crate::x509::escape_control;

/// Where a cause was seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<'e> {
    pub(super) side: Option<Side>,
    pub(super) phase: Option<Phase>,
    pub(super) server_name: Option<&'e str>,
    /// What the client offered, as far as it had arrived.
    pub(super) offer: Option<&'e ClientOffer>,
}

impl<'e> Seen<'e> {
    pub(super) fn of(error: &'e Error) -> Self {
        Self {
            side: error.side(),
            phase: Some(error.phase()),
            server_name: error.server_name(),
            offer: error.client_offer(),
        }
    }

    /// In a handshake, by its server: the client is named, and the advice is for the operator of the server.
    pub(super) fn by_server(&self) -> bool {
        self.side == Some(Side::Server) && self.phase == Some(Phase::Handshake)
    }

    /// Whether the server was asked for by its address, which is sent to it as no name.
    pub(super) fn asked_by_address(&self) -> bool {
        self.server_name
            .is_some_and(|name| name.parse::<IpAddr>().is_ok())
    }
}

/// The text for a cause.
pub(super) struct Text {
    id: &'static str,
    pub(super) what: String,
    evidence: Vec<String>,
    fix: Option<String>,
    /// It is a client's doing: the name that it asked for is evidence, not what failed.
    is_client_s: bool,
}

impl Text {
    pub(super) fn new(id: &'static str, what: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            evidence: Vec::new(),
            fix: None,
            is_client_s: false,
        }
    }

    /// As a server tells it of a client.
    pub(super) fn of_client(id: &'static str, what: impl Into<String>) -> Self {
        Self {
            is_client_s: true,
            ..Self::new(id, what)
        }
    }

    pub(super) fn evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same with the server's name, where it was seen.
    pub(super) fn finish(self, seen: &Seen<'_>) -> Explanation {
        let mut explanation = Explanation::new(self.id, self.what);
        explanation.evidence = self.evidence;
        explanation.fix.extend(self.fix);
        if !self.is_client_s {
            return match seen.server_name {
                Some(name) => explanation.about(name),
                None => explanation,
            };
        }
        let asked_for = seen.offer.and_then(|offer| offer.server_name.as_deref());
        match asked_for.or(seen.server_name) {
            Some(name) => {
                explanation.with_evidence(format!("it asked for {}", escape_control(name)))
            }
            None => explanation,
        }
    }
}
