//! Probes after a failed handshake that determine its cause.
//!
//! An alert such as `handshake_failure` does not say which parameter is not in common. So the
//! server is probed, first with every parameter, then with fewer and fewer that this client does not
//! support: the first probe that it refuses shows which one. This module decides which probe follows from
//! which answers, and what they mean together; the caller or `asking.rs` sends them.

use std::net::IpAddr;

use handfast::registry::{SchemeId, WireVersion};
use handfast::{Cause, ClientContext, Error, Negotiated, OwnOffer, PeerCause, Phase};

use crate::answer::{Answer, ServerHello};
use crate::explain;
use crate::finding::{Finding, Probed};
use crate::hello::ClientHello;

/// Signature schemes by type of key: TLS 1.3 encrypts the server's choice.
const FAMILIES: [&[SchemeId]; 4] = [
    &[SchemeId(0x0808)],
    &[SchemeId(0x0809), SchemeId(0x080a), SchemeId(0x080b)],
    &[SchemeId(0x081a), SchemeId(0x081b), SchemeId(0x081c)],
    &[SchemeId(0x0904), SchemeId(0x0905), SchemeId(0x0906)],
];

/// The probes of a server after a failed handshake.
///
/// ```
/// use handfast_probe::{Answer, Inquiry};
/// use handfast::{ClientContext, Error};
///
/// fn explain(context: &ClientContext, error: Error, mut ask: impl FnMut(&[u8]) -> Answer) -> Error {
///     if !Inquiry::is_worthwhile(&error) {
///         return error;
///     }
///     let mut inquiry = Inquiry::new(context, "shop.example");
///     while let Some(hello) = inquiry.question() {
///         inquiry.answered(ask(&hello.encode())); // over a new connection each time
///     }
///     inquiry.refine(error)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Inquiry {
    ours: OwnOffer,
    server_name: String,
    answers: Vec<Answer>,
}

/// A probe without an answer yet.
struct Open(Box<ClientHello>);

impl Inquiry {
    /// Starts an inquiry of the server with this name, for the context's offer.
    pub fn new(context: &ClientContext, server_name: &str) -> Self {
        Self::about(context.own_offer(), server_name)
    }

    pub(crate) fn about(ours: OwnOffer, server_name: &str) -> Self {
        Self {
            ours,
            server_name: server_name.to_owned(),
            answers: Vec::new(),
        }
    }

    /// Whether this error may be caused by parameters that are not in common.
    pub fn is_worthwhile(error: &Error) -> bool {
        error.phase() == Phase::Handshake
            && !error.is_explained()
            && match error.cause() {
                Cause::Peer(PeerCause::Alert(alert)) => matches!(
                    alert.name(),
                    "handshake_failure"
                        | "illegal_parameter"
                        | "insufficient_security"
                        | "internal_error"
                        | "missing_extension"
                ),
                Cause::Peer(
                    PeerCause::ProtocolVersion { .. }
                    | PeerCause::NothingInCommon { .. }
                    | PeerCause::ClosedInHandshake { .. }
                    | PeerCause::ResetInHandshake { .. },
                ) => true,
                _ => false,
            }
    }

    /// The next probe; `None` once the cause is known. At most eight.
    pub fn question(&self) -> Option<ClientHello> {
        self.finding().err().map(|Open(hello)| *hello)
    }

    /// Handles the server's answer to the last probe.
    pub fn answered(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// The error with the finding; unchanged if probes are left.
    #[must_use]
    pub fn refine(self, error: Error) -> Error {
        let Ok(finding) = self.finding() else {
            return error;
        };
        let alert = match error.cause() {
            Cause::Peer(PeerCause::Alert(alert)) => Some(*alert),
            Cause::Peer(PeerCause::ProtocolVersion { alert, .. }) => *alert,
            _ => None,
        };
        let lacking = |what| Some(PeerCause::NothingInCommon { what });
        let cause = match &finding {
            Finding::Versions { theirs, .. } => Some(PeerCause::ProtocolVersion {
                alert,
                theirs: Some(theirs.version),
            }),
            Finding::Suites { .. } => lacking(Negotiated::CipherSuite),
            Finding::Groups { .. } => lacking(Negotiated::KeyExchangeGroup),
            Finding::Schemes { .. } | Finding::CertificateKey { .. } => {
                lacking(Negotiated::SignatureScheme)
            }
            Finding::Name { .. } => Some(PeerCause::NameUnrecognised),
            // The alert is about the version, and every version is refused.
            Finding::RefusesAll => alert.map(PeerCause::Alert),
            Finding::NotTheOffer => None,
        };
        let probed = Probed {
            connections: self.answers.len(),
            finding,
            failed_with: error.cause().to_string(),
        };
        explain::refine(error, cause, &probed)
    }

    /// Replays the probes from the first, with the answers so far.
    fn finding(&self) -> Result<Finding, Open> {
        let mut answers = self.answers.iter();
        let mut ask = |hello: ClientHello| match answers.next() {
            Some(Answer::Hello(theirs)) => Ok(Some(theirs.clone())),
            Some(_) => Ok(None),
            None => Err(Open(Box::new(hello))),
        };
        let Some(theirs) = ask(self.everything())? else {
            return self.without_an_answer(ask);
        };
        let ours = &self.ours.versions;
        let theirs = match ours.iter().max() {
            // The server prefers a newer version than ours, and may also support ours.
            Some(newest) if theirs.version > *newest => {
                let older = self.named(ClientHello::new(*newest));
                match ask(older)? {
                    Some(older) => older,
                    None => theirs,
                }
            }
            _ => theirs,
        };
        if !ours.contains(&theirs.version) {
            return Ok(Finding::Versions {
                ours: ours.clone(),
                theirs,
            });
        }
        self.narrow(theirs, ask)
    }

    /// The version is in common: determines what is not.
    fn narrow(
        &self,
        mut theirs: ServerHello,
        mut ask: impl FnMut(ClientHello) -> Result<Option<ServerHello>, Open>,
    ) -> Result<Finding, Open> {
        let version = theirs.version;
        let is_tls13 = version == WireVersion::Tls13;
        let mut suites = self.ours.suites.clone();
        suites.retain(|suite| suite.is_tls13() == is_tls13);
        let hello = self.named(ClientHello::new(version)).with_key_shares();
        let schemes = |hello: ClientHello, schemes: &[SchemeId]| {
            hello.with_signature_schemes(schemes.iter().map(|scheme| scheme.0))
        };
        let own_suites = hello.with_suites(suites);
        let own_groups = own_suites.clone().with_groups(self.ours.groups.clone());
        if ask(schemes(own_groups.clone(), &self.ours.schemes))?.is_some() {
            return Ok(Finding::NotTheOffer);
        }
        match ask(own_suites)? {
            // Only this type of key can be used with the suite (RFC 5246, section 7.4.2).
            None if theirs.suite.name().contains("_DSS_") => {
                let theirs = "DSA".to_owned();
                return Ok(Finding::CertificateKey { theirs });
            }
            None => return Ok(Finding::Suites { theirs }),
            Some(next) => theirs = next,
        }
        let Some(signing) = ask(own_groups.clone())? else {
            let ours = self.ours.groups.clone();
            // The server accepts one of our groups, so another use of the groups fails.
            if let Some(key) = &theirs.certificate_key
                && key.is_ecdsa()
                && theirs.group.is_some_and(|group| ours.contains(&group))
            {
                let theirs = key.to_string();
                return Ok(Finding::CertificateKey { theirs });
            }
            return Ok(Finding::Groups { ours, theirs });
        };
        if let Some(scheme) = signing.scheme {
            return Ok(signed_by(vec![scheme]));
        }
        for family in FAMILIES {
            let foreign: Vec<SchemeId> = family
                .iter()
                .filter(|scheme| !self.ours.schemes.contains(scheme))
                .copied()
                .collect();
            if !foreign.is_empty() && ask(schemes(own_groups.clone(), &foreign))?.is_some() {
                return Ok(signed_by(foreign));
            }
        }
        Ok(Finding::Schemes { theirs: Vec::new() })
    }

    /// All versions together were refused: probes without the name, then as an old client.
    fn without_an_answer(
        &self,
        mut ask: impl FnMut(ClientHello) -> Result<Option<ServerHello>, Open>,
    ) -> Result<Finding, Open> {
        if self.server_name.parse::<IpAddr>().is_err()
            && let Some(theirs) = ask(ClientHello::of_all_versions())?
        {
            return Ok(Finding::Name { theirs });
        }
        for version in [WireVersion::Tls12, WireVersion::Ssl3] {
            let Some(theirs) = ask(self.named(ClientHello::new(version)))? else {
                continue;
            };
            if self.ours.versions.contains(&theirs.version) {
                return self.narrow(theirs, ask);
            }
            return Ok(Finding::Versions {
                ours: self.ours.versions.clone(),
                theirs,
            });
        }
        Ok(Finding::RefusesAll)
    }

    fn everything(&self) -> ClientHello {
        self.named(ClientHello::of_all_versions())
    }

    fn named(&self, hello: ClientHello) -> ClientHello {
        hello.with_server_name(&self.server_name)
    }
}

/// The finding for these signature schemes of the server.
fn signed_by(theirs: Vec<SchemeId>) -> Finding {
    let mut kinds = theirs.iter().map(|scheme| scheme.foreign_key());
    match kinds.next().flatten() {
        Some(kind) if kinds.all(|other| other == Some(kind)) => Finding::CertificateKey {
            theirs: kind.to_owned(),
        },
        _ => Finding::Schemes { theirs },
    }
}
