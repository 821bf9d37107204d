//! What was found out about one server or file: plain values, told by `text.rs` and `json.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use handfast::probe::{Survey, VersionSurvey, WireVersion};
use handfast::{
    CertificateDer, CertificateFacts, CloseOutcome, Ending, Error, Explanation, PeerCause, Report,
    StartTls, VerifiedPath, VerifyError, escape_control, format_utc,
};

use crate::failure::{Failure, code, exit_code};

/// Everything found out about one server, or about a chain in a file.
pub(super) struct Findings {
    /// As the user wrote it, escaped.
    pub(super) subject: String,
    /// The name that the chain was judged for.
    pub(super) name: Option<String>,
    /// When it was judged, in unix seconds.
    pub(super) now: i64,
    pub(super) live: Option<Live>,
    /// As sent, or as it stands in the file.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Whom we trust, a line for each source.
    pub(super) trust: Vec<String>,
    /// The verified path; `None` when there is none.
    pub(super) path: Option<VerifiedPath>,
    /// How many revocation lists were consulted.
    pub(super) crls: usize,
    /// The chain's own failing, without a connection to blame.
    pub(super) refused: Option<Box<VerifyError>>,
    /// What ended the exchange, the first of them.
    pub(super) error: Option<Error>,
    /// What the server would have spoken, where it did not speak with us.
    pub(super) would_speak: Vec<VersionSurvey>,
    /// Whether the key given belongs to the chain.
    pub(super) key: Option<Result<(), Error>>,
    /// How much longer the chain must last.
    pub(super) expires_within: Option<Duration>,
}

/// What only a connection shows.
#[derive(Default)]
pub(super) struct Live {
    pub(super) starttls: Option<StartTls>,
    pub(super) tried: Vec<Tried>,
    pub(super) resolved_in: Option<Duration>,
    pub(super) dialogue_in: Option<Duration>,
    pub(super) report: Option<Report>,
    /// The report is of a second handshake, that took whatever was shown.
    pub(super) report_is_unverified: bool,
    pub(super) resumption: Vec<(&'static str, Resumption)>,
    pub(super) closing: Option<Closing>,
    pub(super) survey: Option<Result<Survey, String>>,
}

/// An address that was tried.
pub(super) struct Tried {
    pub(super) address: SocketAddr,
    pub(super) took: Duration,
    /// Why it did not answer, escaped.
    pub(super) problem: Option<String>,
}

/// Whether a second connection took up the session of a first one.
pub(super) enum Resumption {
    Works,
    DoesNot,
    /// The version is not spoken, or a handshake failed: the id of why.
    Untried(&'static str),
}

impl Resumption {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::DoesNot => "full handshake again",
            Self::Untried(_) => "not spoken",
        }
    }
}

/// How the connection ended after we had said `close_notify`.
pub(super) struct Closing {
    pub(super) ending: Option<Ending>,
    pub(super) outcome: CloseOutcome,
    /// Plaintext that the server sent by itself.
    pub(super) unasked_bytes: u64,
}

impl Findings {
    pub(super) fn new(subject: &str, now: i64) -> Self {
        Self {
            subject: escape_control(subject).into_owned(),
            name: None,
            now,
            live: None,
            chain: Vec::new(),
            trust: Vec::new(),
            path: None,
            crls: 0,
            refused: None,
            error: None,
            would_speak: Vec::new(),
            key: None,
            expires_within: None,
        }
    }

    /// Why the chain was refused, if it was.
    pub(super) fn verify_error(&self) -> Option<&VerifyError> {
        if let Some(refused) = &self.refused {
            return Some(refused);
        }
        match self.error.as_ref().map(Error::cause) {
            Some(handfast::Cause::Peer(PeerCause::Certificate(refused))) => Some(refused),
            _ => None,
        }
    }

    /// The first end of validity in the chain, and whose it is.
    pub(super) fn first_to_expire(&self) -> Option<CertificateFacts> {
        self.chain
            .iter()
            .filter_map(|der| CertificateFacts::from_der(der).ok())
            .min_by_key(|facts| facts.not_after)
    }

    /// What a monitor asked to hear of in time.
    pub(super) fn expires_soon(&self) -> Option<Explanation> {
        let limit = i64::try_from(self.expires_within?.as_secs()).unwrap_or(i64::MAX);
        let facts = self.first_to_expire()?;
        (facts.not_after < self.now.saturating_add(limit)).then(|| {
            let what = format!(
                "{}: the certificate of {} ends soon",
                self.subject, facts.subject
            );
            Explanation::new("certificate-expires-soon", what)
                .with_evidence(format!("valid until {}", format_utc(facts.not_after)))
                .with_fix("renew it, and see why it was not renewed by itself")
        })
    }

    /// What ends the program, and with which code. The chain is in the report already.
    pub(super) fn failure(&self) -> Option<Failure> {
        if let Some(error) = &self.error {
            let mut explanation = match self.lacks_in_common() {
                Some(cause) => {
                    let evidence = error.explain().what;
                    let mut told = Error::new(error.phase(), cause);
                    if let Some(name) = error.server_name() {
                        told = told.with_server_name(name);
                    }
                    told.explain().with_evidence(evidence)
                }
                None => error.explain(),
            };
            if let Some(refused) = self.verify_error() {
                leave_chain_out(&mut explanation, refused);
            }
            explanation.evidence.extend(self.would_speak_lines());
            return Some(Failure::new(exit_code(error), explanation));
        }
        if let Some(refused) = &self.refused {
            let error = Error::new(
                handfast::Phase::Configure,
                PeerCause::Certificate(refused.clone()),
            );
            let mut explanation = error.explain();
            explanation.what = format!("{}: {}", self.subject, refused.cause);
            leave_chain_out(&mut explanation, refused);
            return Some(Failure::new(code::PEER, explanation));
        }
        if let Some(Err(error)) = &self.key {
            return Some(Failure::new(exit_code(error), error.explain()));
        }
        self.expires_soon()
            .map(|explanation| Failure::new(code::OTHER, explanation))
    }

    /// What an alert that says little must have meant, by what a probe found the server to speak.
    fn lacks_in_common(&self) -> Option<PeerCause> {
        let handfast::Cause::Peer(PeerCause::Alert(alert)) = self.error.as_ref()?.cause() else {
            return None;
        };
        let offers: Vec<_> = self
            .would_speak
            .iter()
            .filter_map(|found| Some((found.version, found.offer.as_ref().ok()?)))
            .collect();
        if offers.is_empty() {
            return None;
        }
        let ours: Vec<_> = offers
            .iter()
            .filter(|(version, _)| *version >= WireVersion::Tls12)
            .collect();
        if ours.is_empty() {
            let alert = Some(*alert);
            return Some(PeerCause::ProtocolVersion { alert });
        }
        let (suites, groups) = (handfast::cipher_suite_names(), handfast::group_names());
        let with_suites: Vec<_> = ours
            .iter()
            .filter(|(_, offer)| {
                let mut theirs = offer.suites.iter();
                theirs.any(|suite| suites.contains(&suite.name().as_str()))
            })
            .collect();
        let has_group = with_suites.iter().any(|(_, offer)| {
            let mut theirs = offer.groups.iter();
            theirs.any(|group| groups.contains(&group.name().as_str()))
        });
        match (with_suites.is_empty(), has_group) {
            (true, _) => Some("cipher suite"),
            (false, false) => Some("key exchange group"),
            (false, true) => None,
        }
        .map(|what| PeerCause::NothingInCommon { what })
    }

    /// What a probe learned from a server that would not speak with us, a line each.
    fn would_speak_lines(&self) -> Vec<String> {
        self.would_speak
            .iter()
            .filter_map(|found| {
                let offer = found.offer.as_ref().ok()?;
                let names: Vec<String> = offer.suites.iter().map(|suite| suite.name()).collect();
                let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                let more = match names.len().saturating_sub(3) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                Some(format!(
                    "asked by a probe, the server speaks {} ({}): {shown}{more}",
                    found.version,
                    found.version.judgement().grade,
                ))
            })
            .collect()
    }
}

/// The report draws the chain in more detail than the evidence, which begins with a heading and a line
/// for each certificate of it. What else shows the cause stays.
fn leave_chain_out(explanation: &mut Explanation, refused: &VerifyError) {
    if !refused.chain.is_empty() {
        let lines = explanation.evidence.len().min(refused.chain.len() + 1);
        explanation.evidence.drain(..lines);
    }
}
