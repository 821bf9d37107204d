//! Compares the library's verdict on a PKI with the expected one.

use std::fmt;
use std::time::Duration;

use handfast::{
    CertificateDer, Purpose, RevocationLists, ServerName, TrustAnchors, UnixTime,
    VerificationPolicy, VerifiedPath, VerifyError,
};

use crate::model::Pki;
use crate::oracle::Expected;
use crate::rules::Fault;

/// The library's verdict.
#[allow(clippy::result_large_err)] // as the library has it
pub(crate) fn verify(pki: &Pki) -> Result<VerifiedPath, VerifyError> {
    verify_signed(pki, &pki.sign())
}

/// The library's verdict on these certificates.
#[allow(clippy::result_large_err)]
pub(crate) fn verify_signed(
    pki: &Pki,
    signed: &[CertificateDer<'static>],
) -> Result<VerifiedPath, VerifyError> {
    let chain: Vec<_> = pki.sent.iter().map(|id| signed[*id].clone()).collect();
    let policy = policy(pki, signed);
    let now = at(pki.now);
    match pki.purpose {
        Purpose::ServerAuth => {
            let name = ServerName::parse(pki.name).expect("a name of ours");
            policy.check_server_chain(&chain, &name, now)
        }
        _ => policy.check_client_chain(&chain, now),
    }
}

fn policy(pki: &Pki, signed: &[CertificateDer<'static>]) -> VerificationPolicy {
    let mut anchors = TrustAnchors::empty();
    for id in &pki.trusted {
        // Anchors that are refused are omitted: the verdict shows it if it matters.
        if let Ok(more) = anchors.clone().with_certificate_der(signed[*id].clone()) {
            anchors = more;
        }
    }
    let lists = pki
        .lists
        .iter()
        .fold(RevocationLists::none(), |lists, list| {
            lists.with_der(list.der()).expect("a list of ours")
        });
    VerificationPolicy::new(anchors)
        .with_chain_depth_max(pki.depth_max)
        .with_revocation_lists(lists)
}

fn at(unix: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix.try_into().unwrap_or(0)))
}

/// A difference between the two.
pub(crate) struct Disagreement {
    pub(crate) expected: Expected,
    pub(crate) got: Result<(), VerifyError>,
}

/// Returns the library's verdict if it matches the expected one.
#[allow(clippy::result_large_err)]
pub(crate) fn compare(
    expected: &Expected,
    got: Result<VerifiedPath, VerifyError>,
) -> Result<Result<VerifiedPath, VerifyError>, Disagreement> {
    let agrees = match (expected, &got) {
        (Expected::Accepted, Ok(_)) => true,
        (Expected::Refused(faults), Err(error)) => faults.iter().any(|fault| fits(fault, error)),
        _ => false,
    };
    if agrees {
        Ok(got)
    } else {
        Err(Disagreement {
            expected: expected.clone(),
            got: got.map(|_| ()),
        })
    }
}

fn fits(fault: &Fault, error: &VerifyError) -> bool {
    fault.ids.contains(&error.cause.id()) && fault.places.contains(&error.at_index)
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            Expected::Accepted => f.write_str("should be accepted")?,
            Expected::Refused(faults) => {
                f.write_str("should be refused for")?;
                for (number, fault) in faults.iter().enumerate() {
                    let or = if number > 0 { "; or" } else { "" };
                    write!(f, "{or} {} at ", fault.ids.join("/"))?;
                    let places: Vec<String> = fault.places.iter().map(place).collect();
                    f.write_str(&places.join("/"))?;
                }
            }
        }
        match &self.got {
            Ok(()) => f.write_str("; is ACCEPTED"),
            Err(error) => write!(
                f,
                "; is refused for {} at {} ({})",
                error.cause.id(),
                place(&error.at_index),
                error.cause
            ),
        }
    }
}

fn place(place: &Option<usize>) -> String {
    place.map_or_else(|| "none".to_owned(), |place| format!("place {place}"))
}

impl Disagreement {
    /// The kind of disagreement, for a list.
    pub(crate) fn kind(&self) -> String {
        let expected = match &self.expected {
            Expected::Accepted => "accepted".to_owned(),
            Expected::Refused(faults) => {
                let mut ids: Vec<String> = faults.iter().map(|one| one.ids.join("/")).collect();
                ids.sort_unstable();
                ids.dedup();
                ids.join(", ")
            }
        };
        let got = match &self.got {
            Ok(()) => "ACCEPTED".to_owned(),
            Err(error) => error.cause.id().to_owned(),
        };
        format!("{got} in place of {expected}")
    }
}
