//! Compares OpenSSL's verdict with the library's.
//!
//! A path that the library accepts is passed to OpenSSL without the other certificates, because OpenSSL
//! does not try another issuer after one that fails. OpenSSL must accept it. A PKI that the library refuses
//! must be refused by OpenSSL, too.
//!
//! Differences by policy:
//!
//! | rule | here | OpenSSL 3 |
//! |---|---|---|
//! | a CA certificate as the peer's own | refused | accepted |
//! | a server's name only in the common name | refused (RFC 9525) | accepted |
//! | key usage without digitalSignature, with keyEncipherment | refused (RFC 8446, 4.4.2.2) | accepted |
//! | a peer's certificate of version 1 | refused | accepted |
//! | validity that ends before it begins | reported as such | the half that fails |
//! | an authority without basic constraints, with keyCertSign | refused, unless it is a trusted root | accepted |
//! | a trust anchor without basic constraints and key usage | accepted if given explicitly | refused |
//! | a trust anchor's own policies | apply, if it has any | apply, differently |
//! | self-issued certificates in the limit on depth | not counted | counted |
//! | revocation of the trust anchor itself | not checked | checked, with a list |
//! | a list by another key of the issuer's name in a rollover | accepted | by the identifiers |
//! | a policy that is required and present | accepted | refused in about one case of 300, for an unknown reason |
//! | an identifier of a key other than the issuer's | ignored for the verdict | refused |
//! | a revocation in an older list that is still current | applies | the newest list applies |
//! | common name and name constraints, without alternative names | not a name | compared |

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use handfast::{CertificateDer, Purpose};
use handfast_testbed::peers;
use handfast_testbed::pki::pem;

use crate::judge::verify_signed;
use crate::model::{Basic, Pki, Usage};
use crate::oracle;
use crate::rules::{Fault, may_be_anchor};

/// The program; `None` if it is not installed and not required.
pub(crate) fn program() -> Option<&'static PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| peers::require("openssl")).as_ref()
}

pub(crate) fn compare(openssl: &PathBuf, pki: &Pki) -> Result<(), String> {
    let signed = pki.sign();
    match verify_signed(pki, &signed) {
        Ok(path) => {
            let used = path.chain();
            let chain: Vec<usize> = (0..signed.len())
                .filter(|id| used.contains(&signed[*id]))
                .collect();
            if !is_comparable(pki) || is_stricter(pki) || has_namesakes(pki, &chain) {
                return Ok(());
            }
            let word = ask(openssl, pki, &signed, &used[1..]);
            word.map_err(|word| format!("refuses what we accept: {}\n{pki}", last_line(&word)))
        }
        Err(error) => {
            if !is_comparable(pki) || is_laxer(pki) {
                return Ok(());
            }
            let sent: Vec<_> = pki.sent[1..].iter().map(|id| signed[*id].clone()).collect();
            match ask(openssl, pki, &signed, &sent) {
                Ok(()) => Err(format!(
                    "accepts what we refuse for {}\n  {}\n{pki}",
                    error.cause.id(),
                    error.cause
                )),
                Err(_) => Ok(()),
            }
        }
    }
}

/// OpenSSL checks trusted end-entity certificates differently, and lists need a self-signed anchor.
fn is_comparable(pki: &Pki) -> bool {
    let is_root = |id: &usize| {
        let one = pki.certificate(*id);
        one.is_self_issued() && one.key == one.signer
    };
    let mut anchors = pki.trusted.iter();
    !pki.trusted.contains(&0)
        && anchors.all(|id| may_be_anchor(pki.certificate(*id)))
        && (pki.lists.is_empty() || pki.trusted.iter().all(is_root))
}

/// Accepted by us, and refused by OpenSSL's rules: see the table.
fn is_stricter(pki: &Pki) -> bool {
    let is_misled = pki.certificates.iter().any(|one| one.misleading_identifier);
    // The unknown reason in the table.
    let mut all = pki.certificates.iter();
    let demands_policy = all.any(|one| one.explicit_policy_after.is_some());
    is_misled
        || demands_policy
        || pki.trusted.iter().any(|id| {
            let anchor = pki.certificate(*id);
            let has_no_basic = anchor.version == 3 && anchor.basic == Basic::Absent;
            (has_no_basic && anchor.usage == Usage::Absent)
                || pki.lists.iter().any(|list| list.revoked.contains(id))
                || anchor.explicit_policy_after.is_some()
                || !anchor.policies.is_empty()
        })
}

/// Whether several certificates have an issuer's name, so that OpenSSL might select the wrong one: without
/// key identifiers it selects the first, and does not backtrack.
fn has_namesakes(pki: &Pki, chain: &[usize]) -> bool {
    // For lists it searches all sent certificates.
    let sent: &[usize] = if pki.lists.is_empty() { &[] } else { &pki.sent };
    let mut all: Vec<usize> = [chain, &pki.trusted, sent].concat();
    all.sort_unstable();
    all.dedup();
    all.iter().any(|id| {
        let subject = pki.certificate(*id).subject;
        let is_namesake = |other: &&usize| pki.certificate(**other).subject.is(subject);
        all.iter().filter(is_namesake).count() > 1
    })
}

/// Refused by us, and perhaps accepted by OpenSSL: each path fails only by rules in the table.
fn is_laxer(pki: &Pki) -> bool {
    oracle::judge(pki)
        .paths
        .iter()
        .any(|(_, faults)| faults.iter().all(|fault| is_ours_alone(pki, fault)))
}

fn is_ours_alone(pki: &Pki, fault: &Fault) -> bool {
    let is_peers = fault.culprit == Some(0);
    fault.ids.iter().any(|id| match *id {
        "ca-used-as-end-entity" | "no-subject-alt-name" => true,
        "issuer-not-a-ca" => fault
            .culprit
            .is_some_and(|id| pki.certificate(id).basic == Basic::Absent),
        "no-valid-policy" => pki.trusted.iter().any(|id| {
            let anchor = pki.certificate(*id);
            anchor.explicit_policy_after.is_some() || !anchor.policies.is_empty()
        }),
        "wrong-key-usage" => is_peers && pki.certificate(0).usage == Usage::KeyEncipherment,
        "unsupported-certificate-version" => is_peers,
        // It counts the certificates that were sent, not those on the path.
        "chain-too-deep" => pki
            .sent
            .iter()
            .any(|id| pki.certificate(*id).is_self_issued()),
        "certificate-revoked" => pki.lists.iter().any(|list| list.number == 0),
        _ => false,
    })
}

fn ask(
    openssl: &PathBuf,
    pki: &Pki,
    signed: &[CertificateDer<'_>],
    others: &[CertificateDer<'_>],
) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let all = |ders: &[CertificateDer<'_>]| -> String {
        ders.iter().map(|der| pem("CERTIFICATE", der)).collect()
    };
    let trusted: Vec<_> = pki.trusted.iter().map(|id| signed[*id].clone()).collect();
    let is_self_issued = |id: &&usize| pki.certificate(**id).is_self_issued();
    let depth = pki.depth_max + pki.sent.iter().filter(is_self_issued).count();
    let mut command = Command::new(openssl);
    command.arg("verify").arg("-CAfile");
    command.arg(file("trusted.pem", all(&trusted)));
    command.args([
        "-no-CApath",
        "-no-CAstore",
        "-partial_chain",
        "-policy_check",
    ]);
    command.args(["-auth_level", "2", "-attime", &pki.now.to_string()]);
    command.args(["-verify_depth", &depth.to_string()]);
    if !others.is_empty() {
        command.arg("-untrusted").arg(file("sent.pem", all(others)));
    }
    if !pki.lists.is_empty() {
        let lists = pki.lists.iter().map(|list| pem("X509 CRL", &list.der()));
        command.arg("-crl_check_all").arg("-CRLfile");
        command.arg(file("lists.pem", lists.collect()));
    }
    match pki.purpose {
        Purpose::ServerAuth => {
            let is_address = pki.name.parse::<std::net::IpAddr>().is_ok();
            let by = if is_address {
                "-verify_ip"
            } else {
                "-verify_hostname"
            };
            command.args(["-purpose", "sslserver", by, pki.name]);
        }
        _ => {
            command.args(["-purpose", "sslclient"]);
        }
    }
    command.arg(file("peer.pem", pem("CERTIFICATE", &signed[0])));
    let output = command.output().expect("openssl can be run");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn last_line(text: &str) -> &str {
    text.lines()
        .find(|line| line.contains("error "))
        .unwrap_or(text)
}
