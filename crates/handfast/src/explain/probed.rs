//! What a probe adds to an explanation: what the server would have taken.

use super::Explanation;
use crate::probe::{Finding, Grade, GroupId, Judgement, Probed, SchemeId, ServerHello};
use crate::x509::escape_control;

pub(super) fn add(explanation: &mut Explanation, probed: &Probed) {
    let is_another_cause = !matches!(probed.finding, Finding::NotTheOffer | Finding::RefusesAll);
    if is_another_cause && !explanation.what.ends_with(&probed.failed_with) {
        // Said again by the cause, where it is an alert.
        explanation
            .evidence
            .retain(|line| !line.starts_with("the peer's alert "));
        explanation
            .evidence
            .push(format!("the handshake itself: {}", probed.failed_with));
    }
    explanation.evidence.extend(lines(&probed.finding));
    if let Finding::CertificateKey { theirs } = &probed.finding {
        let ours = "the two ends have no signature scheme in common";
        let key = format!(
            "the key of the server's certificate is of a kind that is not supported here: {}",
            escape_control(theirs)
        );
        explanation.what = explanation.what.replace(ours, &key);
    }
    match &probed.finding {
        Finding::Versions { theirs, ours }
            if ours.iter().all(|version| *version < theirs.version) =>
        {
            explanation.fix = vec![format!("allow {}, which the server speaks", theirs.version)];
        }
        Finding::Versions { .. } => {
            explanation.fix = vec![
                "have the server speak TLS 1.2 or 1.3: what it speaks is broken or withdrawn"
                    .into(),
            ];
        }
        Finding::RefusesAll => {
            explanation.fix = vec![
                "see the server's log: it refuses every version and suite; perhaps it has no certificate \
                 for this name, or one whose kind of key it cannot use"
                    .into(),
            ];
        }
        Finding::NotTheOffer => {
            explanation.fix =
                vec!["see the other end's log: versions and suites are not the matter".into()];
        }
        _ => {}
    }
}

fn lines(finding: &Finding) -> Vec<String> {
    match finding {
        Finding::Versions { theirs, ours } => {
            let ours: Vec<&str> = ours.iter().map(|version| version.name()).collect();
            vec![
                format!(
                    "asked by a probe, the server would take: {}{}, with {}",
                    theirs.version,
                    remark(theirs.version.judgement()),
                    theirs.suite.name()
                ),
                format!("we offer: {}", ours.join(", ")),
            ]
        }
        Finding::Suites { theirs } => vec![format!(
            "asked by a probe, the server would take, under {}: {}{}",
            theirs.version,
            theirs.suite.name(),
            remark(theirs.suite.judgement())
        )],
        Finding::Groups { theirs, ours } => {
            let ours: Vec<String> = ours.iter().map(|group| group.name()).collect();
            let mut lines: Vec<String> = group(theirs).into_iter().collect();
            lines.push(format!("we offer: {}", ours.join(", ")));
            lines
        }
        Finding::Schemes { theirs } => {
            let names: Vec<String> = theirs
                .iter()
                .map(|scheme: &SchemeId| scheme.name())
                .collect();
            match names.is_empty() {
                true => vec!["asked by a probe, the server signs by none that we check".to_owned()],
                false => vec![format!(
                    "asked by a probe, the server would sign by: {}",
                    names.join(" or ")
                )],
            }
        }
        Finding::CertificateKey { theirs } => vec![format!(
            "asked by a probe, the server would go on with a key of the kind {}",
            escape_control(theirs)
        )],
        Finding::Name { .. } => vec![
            "asked by a probe that leaves the name out, the server goes on with the handshake"
                .to_owned(),
        ],
        Finding::NotTheOffer => vec![
            "asked by a probe, the server took the very same offer of versions, suites and groups"
                .to_owned(),
        ],
        Finding::RefusesAll => vec![
            "asked by a probe, the server refused everything from SSL 3 to TLS 1.3 as well"
                .to_owned(),
        ],
    }
}

fn group(theirs: &ServerHello) -> Option<String> {
    let group: GroupId = theirs.group?;
    Some(format!(
        "asked by a probe, the server would take: {}{}",
        group.name(),
        remark(group.judgement())
    ))
}

fn remark(judgement: Judgement) -> String {
    match judgement.grade {
        Grade::Fine => String::new(),
        _ => format!(" ({judgement})"),
    }
}
