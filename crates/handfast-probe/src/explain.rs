//! What a probe adds to an explanation: what the server accepts.

use handfast::registry::{Grade, GroupId, Judgement, SchemeId, WireVersion};
use handfast::{Cause, Error, Explanation, PeerCause, escape_control};

use crate::answer::ServerHello;
use crate::finding::{Finding, Probed};

/// The error with the finding, and the cause that it proves.
pub(crate) fn refine(mut error: Error, cause: Option<PeerCause>, probed: &Probed) -> Error {
    let Some(cause) = cause else {
        let mut explanation = error.explain();
        add(&mut explanation, probed);
        return error.with_explanation(explanation);
    };
    let shows_failure = is_another(error.cause(), &cause)
        && !matches!(probed.finding, Finding::NotTheOffer | Finding::RefusesAll);
    let mut explanation = match &cause {
        // Its alert is part of how the handshake failed.
        PeerCause::ProtocolVersion { .. } if shows_failure => {
            error = error.with_cause(PeerCause::ProtocolVersion {
                alert: None,
                theirs: None,
            });
            let explanation = error.explain();
            error = error.with_cause(cause);
            explanation
        }
        _ => {
            error = error.with_cause(cause);
            error.explain()
        }
    };
    if shows_failure {
        let line = format!("in the handshake: {}", probed.failed_with);
        explanation.evidence.push(line);
    }
    add(&mut explanation, probed);
    error.with_explanation(explanation)
}

/// Whether the probes proved another cause than the handshake's error has.
fn is_another(failed: &Cause, proven: &PeerCause) -> bool {
    match (failed, proven) {
        (
            Cause::Peer(PeerCause::NothingInCommon { what: failed }),
            PeerCause::NothingInCommon { what: proven },
        ) => failed != proven,
        (Cause::Peer(failed), proven) => {
            std::mem::discriminant(failed) != std::mem::discriminant(proven)
        }
        _ => true,
    }
}

fn add(explanation: &mut Explanation, probed: &Probed) {
    explanation.evidence.extend(lines(&probed.finding));
    if let Finding::CertificateKey { theirs } = &probed.finding {
        let ours = "client and server have no signature scheme in common";
        let key = format!(
            "the type of the key in the server's certificate is not supported: {}",
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
        // An earlier one than ours, and secure.
        Finding::Versions { theirs, .. } if theirs.version >= WireVersion::Tls12 => {
            explanation.fix = vec![format!(
                "enable a later version on the server, or allow {}, which the server speaks",
                theirs.version
            )];
        }
        Finding::Versions { .. } => {
            explanation.fix = vec![
                "enable TLS 1.2 or 1.3 on the server: the versions it accepts are insecure".into(),
            ];
        }
        Finding::RefusesAll => {
            explanation.fix = vec![
                "see the server's log: it refuses every version and suite; perhaps it has no certificate \
                 for this name, or one with a key that it cannot use"
                    .into(),
            ];
        }
        Finding::NotTheOffer => {
            explanation.fix =
                vec!["see the server's log: versions and cipher suites are not the cause".into()];
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
                    "a probe found that the server accepts: {}{}, with {}",
                    theirs.version,
                    remark(theirs.version.judgement()),
                    theirs.suite.name()
                ),
                format!("we offer: {}", ours.join(", ")),
            ]
        }
        Finding::Suites { theirs } => vec![format!(
            "a probe found that the server accepts, with {}: {}{}",
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
                true => vec![
                    "a probe found no signature scheme of the server that is supported here"
                        .to_owned(),
                ],
                false => vec![format!(
                    "a probe found that the server signs with: {}",
                    names.join(" or ")
                )],
            }
        }
        Finding::CertificateKey { theirs } => vec![format!(
            "a probe found that the server's certificate has a key of type {}",
            escape_control(theirs)
        )],
        Finding::Name { .. } => vec!["a probe without the server name was accepted".to_owned()],
        Finding::NotTheOffer => {
            vec!["a probe with the same versions, suites and groups was accepted".to_owned()]
        }
        Finding::RefusesAll => {
            vec!["probes with each version from SSL 3 to TLS 1.3 were refused as well".to_owned()]
        }
    }
}

fn group(theirs: &ServerHello) -> Option<String> {
    let group: GroupId = theirs.group?;
    Some(format!(
        "a probe found that the server accepts: {}{}",
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
