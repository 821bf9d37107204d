//! What a server demands of its clients, for all of them and by server name.

use crate::by_name::ByName;
use crate::error::Error;
use crate::resumption::PolicyId;
use crate::trust::TrustAnchors;
use crate::verify::{Additional, ClientVerifier, Demand, RevocationLists, VerificationPolicy};

/// Whether a server requests client certificates.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// No certificate is requested.
    #[default]
    None,
    /// A certificate is requested. Clients without one are accepted; those with an invalid one are not.
    Optional(TrustAnchors),
    /// A certificate is required. Clients without a valid one are not accepted.
    Required(TrustAnchors),
}

/// What clients have to present: for
/// [`ServerContextBuilder::client_policy_for`](crate::ServerContextBuilder::client_policy_for).
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientPolicy {
    pub(super) auth: ClientAuth,
    pub(super) revocation_lists: RevocationLists,
    pub(super) chain_depth_max: Option<usize>,
}

impl ClientPolicy {
    /// With this demand, no revocation lists, and chains of the default depth.
    pub fn new(auth: ClientAuth) -> Self {
        Self {
            auth,
            revocation_lists: RevocationLists::none(),
            chain_depth_max: None,
        }
    }

    /// Revocation lists to check clients' chains against. Default: none.
    pub fn with_revocation_lists(mut self, lists: RevocationLists) -> Self {
        self.revocation_lists = lists;
        self
    }

    /// How many intermediates there may be between a client's certificate and the trust anchor.
    pub fn with_chain_depth_max(mut self, intermediates: usize) -> Self {
        self.chain_depth_max = Some(intermediates);
        self
    }

    /// Adds what distinguishes it from others to `parts`.
    fn demand(
        self,
        additional: &Additional,
        parts: &mut Vec<Vec<u8>>,
    ) -> Result<Option<Demand>, Error> {
        let (anchors, required) = match self.auth {
            ClientAuth::None => {
                parts.push(b"no client authentication".to_vec());
                return Ok(None);
            }
            ClientAuth::Optional(anchors) => (anchors, false),
            ClientAuth::Required(anchors) => (anchors, true),
        };
        anchors.resolve()?;
        let mut policy = VerificationPolicy::new(anchors)
            .with_revocation_lists(self.revocation_lists)
            .with_all_additional(additional.clone());
        if let Some(depth) = self.chain_depth_max {
            policy = policy.with_chain_depth_max(depth);
        }
        parts.push(if required { b"required" } else { b"optional" }.to_vec());
        parts.push(policy.fingerprint().to_vec());
        Ok(Some(Demand::new(policy, required)))
    }
}

/// The verifier, unless no client is asked for a certificate, and what distinguishes its policies from others: sessions are
/// resumed only under the ones that they were made under.
pub(super) fn verifier(
    others: ClientPolicy,
    named: ByName<ClientPolicy>,
    additional: &Additional,
) -> Result<(Option<ClientVerifier>, PolicyId), Error> {
    let mut parts = Vec::new();
    let others = others.demand(additional, &mut parts)?;
    let mut demands = ByName::default();
    for (name, policy) in named.into_sorted() {
        parts.push(name.as_bytes().to_vec());
        demands.insert(&name, policy.demand(additional, &mut parts)?);
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let verifier = ClientVerifier::new(others, demands);
    let verifier = verifier.requests_any().then_some(verifier);
    Ok((verifier, PolicyId::of(&parts)))
}
