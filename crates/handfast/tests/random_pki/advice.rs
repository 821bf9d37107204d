//! Follows the advice for each error, as far as a program can.
//!
//! Each explanation says what to do first. This is done with only the data in the error: the missing
//! certificate is sent, the root trusted, another name expected, the clock set, the limit raised, the list
//! replaced. The next verdict must again match the expected one, the same fault must not recur, and if it was
//! the only one, the chain must verify.

use std::collections::HashSet;

use handfast::{ServerName, VerifyCause, VerifyError};

use crate::judge::{compare, verify};
use crate::model::{DAY, General, Id, List, NOW, Pki};
use crate::oracle::{self, Expected, Judgement};

/// More than a recipe has faults.
const STEPS_MAX: usize = 12;

pub(crate) fn follow(pki: &Pki) -> Result<(), String> {
    let mut pki = pki.clone();
    let mut seen = HashSet::new();
    let mut steps: Vec<String> = Vec::new();
    let problem = |what: String, steps: &[String], pki: &Pki| {
        Err(format!("{what}\n  after {}\n{pki}", steps.join(", then ")))
    };
    for _ in 0..STEPS_MAX {
        let judgement = oracle::judge(&pki);
        let got = match compare(&judgement.expected, verify(&pki)) {
            Ok(got) => got,
            // Before the first step, the other property covers it.
            Err(_) if steps.is_empty() => return Ok(()),
            Err(disagreement) => return problem(disagreement.to_string(), &steps, &pki),
        };
        let Err(error) = got else {
            return Ok(());
        };
        let id = error.cause.id();
        let next = match carry_out(&pki, &error) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(what) => return problem(format!("{id}: {what}"), &steps, &pki),
        };
        if !seen.insert((id, error.at_index, error.cause.to_string())) {
            return problem(format!("{id} recurs"), &steps, &pki);
        }
        steps.push(format!("{id} ({})", error.cause));
        // Another clock may cause new faults, and so may a list that its issuer must not sign.
        if is_the_only_fault(&judgement)
            && next.now == pki.now
            && next.lists.len() == pki.lists.len()
            && matches!(oracle::judge(&next).expected, Expected::Refused(_))
        {
            return problem(
                format!("{id} was the only fault, and remains"),
                &steps,
                &next,
            );
        }
        pki = next;
    }
    problem("no end of advice".to_owned(), &steps, &pki)
}

fn is_the_only_fault(judgement: &Judgement) -> bool {
    matches!(&judgement.paths[..], [(_, faults)] if faults.len() == 1)
}

/// The PKI after following the advice; `None` if a program cannot follow it.
fn carry_out(pki: &Pki, error: &VerifyError) -> Result<Option<Pki>, String> {
    let culprit = error
        .at_index
        .and_then(|place| pki.sent.get(place).copied());
    let mut next = pki.clone();
    let is_clock_set = pki.now != NOW;
    match &error.cause {
        VerifyCause::UnknownIssuer { issuer, .. } => {
            let culprit = culprit.ok_or("no certificate has a missing issuer")?;
            let child = pki.certificate(culprit);
            if !is_about(issuer, &child.issuer.text()) {
                return Err(format!("{issuer} is not the issuer of {culprit}"));
            }
            let Some(missing) = (1..pki.certificates.len()).find(|id| {
                let one = pki.certificate(*id);
                one.subject.is(child.issuer) && one.key == child.signer && !pki.sent.contains(id)
            }) else {
                return Ok(None);
            };
            next.sent.push(missing);
        }
        VerifyCause::SelfSigned { .. } | VerifyCause::UntrustedRoot { .. } => {
            let culprit = culprit.ok_or("no certificate to trust")?;
            if !can_be_trusted(pki, culprit) {
                return Ok(None);
            }
            next.trusted.push(culprit);
        }
        VerifyCause::NameMismatch { presented, .. } => {
            let Some(name) = presented
                .iter()
                .find(|name| ServerName::parse(name).is_ok())
            else {
                return Err("the names in the certificate are not reported".to_owned());
            };
            next.name =
                certified(pki, name).ok_or("the certificate is not for the reported name")?;
        }
        VerifyCause::NotYetValid { not_before, .. } if !is_clock_set => next.now = *not_before,
        VerifyCause::Expired { not_after, .. } if !is_clock_set => next.now = *not_after,
        VerifyCause::DepthExceeded { depth, .. } => next.depth_max = *depth,
        VerifyCause::RevocationUnknown { issuer, .. } => {
            let culprit = culprit.ok_or("no certificate has an unknown status")?;
            let child = pki.certificate(culprit);
            if !is_about(issuer, &child.issuer.text()) {
                return Err(format!("{issuer} is not the issuer of {culprit}"));
            }
            next.lists.push(List {
                name: child.issuer,
                key: child.signer,
                this_update: pki.now - DAY,
                next_update: pki.now + DAY,
                number: 2,
                revoked: Vec::new(),
            });
        }
        VerifyCause::CrlExpired { .. } => {
            for list in &mut next.lists {
                if is_about(&error.cause.to_string(), &list.name.text()) {
                    list.this_update = pki.now - DAY;
                    list.next_update = pki.now + DAY;
                }
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(next))
}

/// Whether a described name has this common name, in any spelling.
fn is_about(described: &str, text: &str) -> bool {
    let plain = |text: &str| -> String {
        let lower = text.to_lowercase();
        lower.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    plain(described).contains(&plain(text))
}

fn can_be_trusted(pki: &Pki, id: Id) -> bool {
    !pki.certificate(id).unknown_critical
}

/// The name in the model.
fn certified(pki: &Pki, name: &str) -> Option<&'static str> {
    pki.certificate(0)
        .names
        .iter()
        .find_map(|known| match known {
            General::Dns(known) => (*known == name).then_some(*known),
            General::Ip([192, 0, 2, 7]) => (name == "192.0.2.7").then_some("192.0.2.7"),
            _ => None,
        })
}
