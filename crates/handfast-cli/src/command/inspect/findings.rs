//! The findings about one server or file: plain values, printed by `text.rs` and `json.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast::{
    CertificateDer, CertificateFacts, CloseOutcome, Ending, Error, Explanation, KeyKind,
    PathAnchor, PeerCause, Report, RevocationLists, SignedCertificateTimestamp, StapleProblem,
    StapledResponse, Ticket, TlsVersion, TrustSource, VerifiedPath, VerifyCause, VerifyError,
    escape_control, format_utc,
};
use handfast_dial::{ConnectError, StartTls};
use handfast_probe::Survey;

use super::fetch::Completed;
use crate::advice::Advised as _;
use crate::failure::{Failure, code, exit_code, exit_code_of_connect};

/// All findings about one server, or about a chain in a file.
pub(super) struct Findings {
    /// As the user wrote it, escaped.
    pub(super) subject: String,
    /// The name for which the chain was verified.
    pub(super) name: Option<String>,
    /// Whether a chain in a file was verified as a server's, not as a client's.
    pub(super) is_of_server: bool,
    /// When it was verified, in unix seconds.
    pub(super) now: i64,
    /// The user gave this time.
    pub(super) is_as_of: bool,
    pub(super) live: Option<Live>,
    /// As sent, or as in the file.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Chains that the server sends to clients that support only other kinds of keys.
    pub(super) others: Vec<OtherChain>,
    /// The trust anchors.
    pub(super) trust: Vec<TrustSource>,
    /// The verified path; `None` when there is none.
    pub(super) path: Option<VerifiedPath>,
    /// How many revocation lists were used.
    pub(super) crls: usize,
    /// The name of the local authority whose list was used in addition.
    pub(super) own_list_of: Option<String>,
    /// The result of checking the stapled OCSP response.
    pub(super) staple: Option<Result<StapledResponse, StapleProblem>>,
    /// The completed chain, if requested.
    pub(super) completed: Option<Completed>,
    /// The verification error of a chain without a connection.
    pub(super) refused: Option<Box<VerifyError>>,
    /// The first error of the exchange.
    pub(super) error: Option<ConnectError>,
    /// Whether the key given belongs to the chain.
    pub(super) key: Option<Result<(), Error>>,
    /// How much longer the chain must be valid.
    pub(super) expires_within: Option<Duration>,
}

/// Another chain of the server for the name, as sent, with its verdict.
pub(super) struct OtherChain {
    /// The kind of the certificate's key.
    pub(super) kind: KeyKind,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) verdict: Result<VerifiedPath, Box<VerifyError>>,
}

/// Findings of a connection.
#[derive(Default)]
pub(super) struct Live {
    pub(super) starttls: Option<StartTls>,
    pub(super) tried: Vec<Tried>,
    pub(super) resolved_in: Option<Duration>,
    /// The proxy, and how long it took.
    pub(super) proxied_in: Option<(String, Duration)>,
    pub(super) dialogue_in: Option<Duration>,
    pub(super) report: Option<Arc<Report>>,
    /// The report is from a second handshake without verification.
    pub(super) report_is_unverified: bool,
    pub(super) resumption: Vec<VersionTried>,
    /// Timestamps that the server added to a handshake of TLS 1.2.
    pub(super) timestamps: Vec<SignedCertificateTimestamp>,
    pub(super) closing: Option<Closing>,
    pub(super) survey: Option<Result<Survey, String>>,
}

/// An address that was tried.
pub(super) struct Tried {
    pub(super) address: SocketAddr,
    pub(super) took: Duration,
    /// Why connecting failed, escaped.
    pub(super) problem: Option<String>,
}

/// Two connections with one version.
pub(super) struct VersionTried {
    pub(super) version: TlsVersion,
    pub(super) outcome: Resumption,
    /// The tickets of the first connection.
    pub(super) tickets: Vec<Ticket>,
}

/// Whether the second connection resumed the session of the first.
pub(super) enum Resumption {
    Works,
    DoesNot,
    /// The version is not supported, or a handshake failed, with its id.
    Untried(&'static str),
}

/// How the connection ended after our `close_notify`.
pub(super) struct Closing {
    pub(super) ending: Option<Ending>,
    pub(super) outcome: CloseOutcome,
    /// Unsolicited plaintext from the server.
    pub(super) unasked_bytes: u64,
}

impl Findings {
    pub(super) fn new(subject: &str, now: i64) -> Self {
        Self {
            subject: escape_control(subject).into_owned(),
            name: None,
            now,
            is_of_server: false,
            is_as_of: false,
            live: None,
            chain: Vec::new(),
            others: Vec::new(),
            trust: Vec::new(),
            path: None,
            crls: 0,
            own_list_of: None,
            staple: None,
            completed: None,
            refused: None,
            error: None,
            key: None,
            expires_within: None,
        }
    }

    /// Why the chain was refused, if it was.
    pub(super) fn verify_error(&self) -> Option<&VerifyError> {
        if let Some(refused) = &self.refused {
            return Some(refused);
        }
        match self
            .error
            .as_ref()
            .and_then(ConnectError::tls)
            .map(Error::cause)
        {
            Some(handfast::Cause::Peer(PeerCause::Certificate(refused))) => Some(refused),
            _ => None,
        }
    }

    /// Records which lists are used.
    pub(super) fn consults(&mut self, lists: &RevocationLists) {
        self.crls = lists.len();
        let own = lists.also().and_then(|own| own.summaries().next());
        self.own_list_of = own.map(|list| list.issuer.clone());
    }

    /// Whether the verified chain was issued by the local authority, whose list does not revoke it.
    pub(super) fn passed_own_list(&self) -> bool {
        match self.path.as_ref().map(VerifiedPath::anchor) {
            Some(PathAnchor::Authority { subject }) => self.own_list_of.as_ref() == Some(subject),
            _ => false,
        }
    }

    /// The certificate of the chain that expires first. Certificates outside of the verified path do not
    /// count.
    pub(super) fn first_to_expire(&self) -> Option<CertificateFacts> {
        let path = self.path.as_ref().map(VerifiedPath::chain);
        let others = self
            .others
            .iter()
            .filter_map(|other| other.verdict.as_ref().ok());
        path.unwrap_or(&self.chain)
            .iter()
            .chain(others.flat_map(VerifiedPath::chain))
            .filter_map(|der| CertificateFacts::from_der(der).ok())
            .min_by_key(|facts| facts.not_after)
    }

    /// Every signed certificate timestamp, and its source.
    pub(super) fn timestamps(&self) -> Vec<(&'static str, SignedCertificateTimestamp)> {
        let own = self.chain.first();
        let own = own.and_then(|der| CertificateFacts::from_der(der).ok());
        let embedded = own.map(|facts| facts.timestamps).unwrap_or_default();
        let stapled = match &self.staple {
            Some(Ok(response)) => response.timestamps.clone(),
            _ => Vec::new(),
        };
        let live = self.live.as_ref();
        let sent = live.map(|live| live.timestamps.clone()).unwrap_or_default();
        [
            ("certificate", embedded),
            ("OCSP response", stapled),
            ("handshake", sent),
        ]
        .into_iter()
        .flat_map(|(place, list)| list.into_iter().map(move |one| (place, one)))
        .collect()
    }

    /// Whether the server's certificate requires a stapled OCSP response.
    pub(super) fn must_staple(&self) -> bool {
        let own = self.chain.first();
        own.and_then(|der| CertificateFacts::from_der(der).ok())
            .is_some_and(|facts| facts.must_staple)
    }

    /// The warning of `--expires-within`.
    pub(super) fn expires_soon(&self) -> Option<Explanation> {
        let limit = i64::try_from(self.expires_within?.as_secs()).unwrap_or(i64::MAX);
        let facts = self.first_to_expire()?;
        (facts.not_after < self.now.saturating_add(limit)).then(|| {
            let what = format!(
                "{}: the certificate of {} expires soon",
                self.subject, facts.subject
            );
            Explanation::new("certificate-expires-soon", what)
                .with_evidence(format!("valid until {}", format_utc(facts.not_after)))
                .with_fix("renew it, and check why it was not renewed automatically")
        })
    }

    /// The failure and its exit code. The chain is in the report already.
    pub(super) fn failure(&self) -> Option<Failure> {
        if let Some(error) = &self.error {
            let mut explanation = error.advise();
            if let Some(refused) = self.verify_error() {
                leave_chain_out(&mut explanation, refused);
            }
            return Some(Failure::new(exit_code_of_connect(error), explanation));
        }
        if let Some(refused) = &self.refused {
            let error = Error::new(
                handfast::Phase::Configure,
                PeerCause::Certificate(refused.clone()),
            );
            let mut explanation = error.advise();
            explanation.what = format!("{}: {}", self.subject, refused.cause);
            let is_of_time = matches!(
                refused.cause,
                VerifyCause::Expired { .. }
                    | VerifyCause::NotYetValid { .. }
                    | VerifyCause::CrlExpired { .. }
            );
            if is_of_time && !self.is_as_of {
                let line = "this is the time by this machine's clock";
                explanation.evidence.push(line.to_owned());
            }
            leave_chain_out(&mut explanation, refused);
            return Some(Failure::new(code::PEER, explanation));
        }
        let refused = self
            .others
            .iter()
            .find_map(|other| Some((other.kind, other.verdict.as_ref().err()?)));
        if let Some((kind, refused)) = refused {
            let cause = PeerCause::Certificate(refused.clone());
            let mut explanation = Error::new(handfast::Phase::Handshake, cause).advise();
            explanation.what = format!(
                "{}: the server's other certificate, with an {kind} key: {}",
                self.subject, refused.cause
            );
            leave_chain_out(&mut explanation, refused);
            return Some(Failure::new(code::PEER, explanation));
        }
        if let Some(Err(error)) = &self.key {
            return Some(Failure::new(exit_code(error), error.advise()));
        }
        self.expires_soon()
            .map(|explanation| Failure::new(code::OTHER, explanation))
    }
}

/// Removes the chain from the evidence (a heading and a line for each certificate), because the report shows it
/// in more detail. Other evidence is kept.
fn leave_chain_out(explanation: &mut Explanation, refused: &VerifyError) {
    if !refused.chain.is_empty() {
        let lines = explanation.evidence.len().min(refused.chain.len() + 1);
        explanation.evidence.drain(..lines);
    }
}
