//! The findings as JSON. The schema is an interface, described in docs/inspect-json.md: fields may be
//! added.

use std::time::Duration;

use handfast::{
    CertificateDer, CertificateFacts, PathAnchor, SpkiSha256, StapleProblem, StapledResponse,
    StapledStatus, VerifiedPath, VerifyError, escape_control, format_utc,
};
use handfast_probe::{Answer, Judgement, Offer, Survey};
use serde_json::{Value, json};

use super::findings::{Findings, Live, Resumption};
use super::text::{hex, is_post_quantum};

/// The version of the schema: it changes only if a field changes its meaning.
const SCHEMA: &str = "handfast.inspect/1";

pub(super) fn document(found: &[Findings]) -> String {
    let document = json!({
        "schema": SCHEMA,
        "inspected": found.iter().map(one).collect::<Vec<_>>(),
    });
    // Strings, numbers and lists: nothing that JSON cannot hold.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn one(found: &Findings) -> Value {
    let refused = found.verify_error();
    json!({
        "target": found.subject,
        "name": found.name.as_deref().map(escape_control),
        "judged_at": format_utc(found.now),
        "ok": found.failure().is_none(),
        "failure": found.failure().map(|failure| json!({
            "id": failure.explanation.id,
            "what": failure.explanation.what,
            "evidence": failure.explanation.evidence,
            "fix": failure.explanation.fix,
            "exit_code": failure.code,
            "phase": found.error.as_ref().map(|error| error.phase().to_string()),
        })),
        "verified": found.path.is_some(),
        "refused": refused.map(self::refused),
        "anchor": found.path.as_ref().map(anchor),
        "path": found.path.as_ref().map(|path| {
            path.chain().iter().filter_map(|der| CertificateFacts::from_der(der).ok())
                .map(|facts| facts.subject).collect::<Vec<_>>()
        }),
        "path_ends": found.path.as_ref().map(|path| {
            format_utc(i64::try_from(path.not_after()).unwrap_or(i64::MAX))
        }),
        "trust": found.trust.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "trust_problems": found.trust.iter().flat_map(|source| &source.problems).map(|problem| json!({
            "file": problem.path.as_ref().map(|path| path.display().to_string()),
            "line": problem.line,
            "position": problem.index.map(|index| index.saturating_add(1)),
            "subject": problem.subject,
            "id": problem.kind.name(),
            "what": problem.kind.to_string(),
            "trusted_as_itself": problem.kind.is_trusted_as_itself(),
        })).collect::<Vec<_>>(),
        "revocation": {
            "lists": found.crls,
            "checked": found.passed_own_list() || (found.crls > 0 && found.path.is_some()),
            "must_staple": found.must_staple(),
            "staple": found.staple.as_ref().map(staple),
        },
        "timestamps": found.timestamps().iter().map(|(place, one)| json!({
            "place": place,
            "log_id": one.log_id,
            "time": format_utc(one.timestamp()),
        })).collect::<Vec<_>>(),
        "completed": found.completed.as_ref().map(|completed| json!({
            "chain": completed.chain.iter().map(certificate).collect::<Vec<_>>(),
            "fetched": completed.fetched.iter().map(|(url, outcome)| json!({
                "url": url,
                "problem": outcome.as_ref().err(),
            })).collect::<Vec<_>>(),
            "would_be_verified": completed.verdict.is_ok(),
        })),
        "chain": found.chain.iter().map(certificate).collect::<Vec<_>>(),
        "other_chains": found.others.iter().map(|other| {
            let refused = other.verdict.as_ref().err();
            let path = other.verdict.as_ref().ok();
            json!({
                "key": other.kind.to_string(),
                "verified": path.is_some(),
                "refused": refused.map(|error| self::refused(error)),
                "anchor": path.map(anchor),
                "chain": other.chain.iter().map(certificate).collect::<Vec<_>>(),
            })
        }).collect::<Vec<_>>(),
        "key_belongs": found.key.as_ref().map(Result::is_ok),
        "connection": found.live.as_ref().map(connection),
    })
}

fn refused(refused: &VerifyError) -> Value {
    json!({
        "id": refused.cause.id(),
        "what": refused.cause.to_string(),
        "at": refused.at_index,
    })
}

fn anchor(path: &VerifiedPath) -> String {
    match path.anchor() {
        PathAnchor::Authority { subject } => subject.clone(),
        _ => "itself".to_owned(),
    }
}

fn staple(staple: &Result<StapledResponse, StapleProblem>) -> Value {
    let response = match staple {
        Ok(response) => response,
        Err(problem) => return json!({ "counts": false, "problem": problem.to_string() }),
    };
    let (status, at, reason) = match &response.status {
        StapledStatus::Good => ("good", None, None),
        StapledStatus::Revoked { at, reason } => ("revoked", Some(format_utc(*at)), *reason),
        _ => ("unknown", None, None),
    };
    json!({
        "counts": true,
        "status": status,
        "revoked_at": at,
        "revocation_reason": reason,
        "produced_at": format_utc(response.produced_at),
        "this_update": format_utc(response.this_update),
        "next_update": response.next_update.map(format_utc),
        "responder": response.responder,
    })
}

fn certificate(der: &CertificateDer<'_>) -> Value {
    let Ok(facts) = CertificateFacts::from_der(der) else {
        return json!({ "readable": false, "bytes": der.len() });
    };
    json!({
        "readable": true,
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "version": facts.version,
        "names": facts.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "names_that_match_nothing": facts.names.iter().filter_map(|name| Some(json!({
            "name": name.to_string(),
            "why": name.never_matches()?,
        }))).collect::<Vec<_>>(),
        "not_before": format_utc(facts.not_before),
        "not_after": format_utc(facts.not_after),
        "key": facts.key_algorithm.to_string(),
        "key_bits": facts.key_bits,
        "signature": facts.signature_algorithm,
        "is_ca": facts.is_ca,
        "path_len": facts.path_len,
        "key_usage": facts.key_usage,
        "extended_key_usage": facts.extended_key_usage,
        "ca_issuer_urls": escaped(&facts.ca_issuer_urls),
        "ocsp_urls": escaped(&facts.ocsp_urls),
        "has_scts": facts.has_scts,
        "must_staple": facts.must_staple,
        "sha256": hex(&facts.sha256),
        "spki": SpkiSha256::from_bytes(facts.spki_sha256).to_string(),
    })
}

fn escaped(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .map(|text| escape_control(text).into_owned())
        .collect()
}

fn connection(live: &Live) -> Value {
    let resumption: serde_json::Map<String, Value> = live
        .resumption
        .iter()
        .map(|tried| {
            let mut entry = match tried.outcome {
                Resumption::Works => json!({ "spoken": true, "resumed": true }),
                Resumption::DoesNot => json!({ "spoken": true, "resumed": false }),
                Resumption::Untried(id) => json!({ "spoken": false, "failure": id }),
            };
            entry["tickets"] = tried
                .tickets
                .iter()
                .map(|ticket| {
                    json!({
                        "lifetime_s": ticket.lifetime.map(|lifetime| lifetime.as_secs()),
                        "early_data_bytes_max": ticket.early_data_bytes_max,
                    })
                })
                .collect();
            (tried.version.name().to_owned(), entry)
        })
        .collect();
    json!({
        "starttls": live.starttls.map(|protocol| protocol.name()),
        "addresses": live.tried.iter().map(|tried| json!({
            "address": tried.address.to_string(),
            "problem": tried.problem,
            "connect_ms": ms(tried.took),
        })).collect::<Vec<_>>(),
        "proxy": live.proxied_in.as_ref().map(|(proxy, _)| escape_control(proxy)),
        "timing": {
            "proxy_ms": live.proxied_in.as_ref().map(|(_, took)| ms(*took)),
            "resolve_ms": live.resolved_in.map(ms),
            "starttls_ms": live.dialogue_in.map(ms),
            "handshake_ms": live.report.as_ref().map(|report| ms(report.handshake)),
        },
        "session": live.report.as_ref().map(|report| json!({
            "for_diagnosis_only": live.report_is_unverified,
            "version": report.version.name(),
            "cipher_suite": report.cipher_suite,
            "group": report.group,
            "post_quantum": report.group.is_some_and(is_post_quantum),
            "alpn": report.alpn.as_ref().map(|alpn| {
                escape_control(&String::from_utf8_lossy(alpn)).into_owned()
            }),
            "server_name": report.server_name.as_deref().map(escape_control),
            "client_certificate_requested": report.client_certificate_requested,
            "acceptable_issuers": report.acceptable_issuers,
        })),
        "resumption": resumption,
        "closing": live.closing.as_ref().map(|closing| json!({
            "ending": closing.ending.map(|ending| ending.to_string()),
            "outcome": closing.outcome.to_string(),
            "unasked_bytes": closing.unasked_bytes,
        })),
        "scan": live.survey.as_ref().map(|survey| match survey {
            Ok(survey) => json!({ "complete": true, "versions": versions(survey) }),
            Err(problem) => json!({ "complete": false, "problem": problem }),
        }),
    })
}

fn ms(duration: Duration) -> f64 {
    // In microseconds: more digits would not be meaningful.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn versions(survey: &Survey) -> Vec<Value> {
    survey
        .versions
        .iter()
        .map(|found| match &found.offer {
            Ok(offer) => json!({
                "version": found.version.name(),
                "accepted": true,
                "judgement": judged(found.version.judgement()),
                "suites": offer.suites.iter().map(|suite| json!({
                    "name": suite.name(),
                    "number": suite.0,
                    "judgement": judged(suite.judgement()),
                })).collect::<Vec<_>>(),
                "suite_order": offer.suite_order.name(),
                "groups": groups(offer),
                "group_order": offer.group_order.name(),
                "schemes": offer.schemes.iter().map(|scheme| json!({
                    "name": scheme.name(),
                    "number": scheme.0,
                    "judgement": judged(scheme.judgement()),
                })).collect::<Vec<_>>(),
                "dh_bits": offer.dh_bits,
            }),
            Err(answer) => json!({
                "version": found.version.name(),
                "accepted": false,
                "refusal": refusal(answer),
            }),
        })
        .collect()
}

fn groups(offer: &Offer) -> Vec<Value> {
    offer
        .groups
        .iter()
        .map(|group| {
            json!({
                "name": group.name(),
                "number": group.0,
                "post_quantum": group.is_post_quantum(),
                "judgement": judged(group.judgement()),
            })
        })
        .collect()
}

fn judged(judgement: Judgement) -> Value {
    json!({ "grade": judgement.grade.to_string(), "reason": judgement.reason })
}

fn refusal(answer: &Answer) -> String {
    match answer {
        Answer::Alert(alert) => alert.name().to_owned(),
        Answer::Hello(hello) => format!("answered {}", hello.version),
        Answer::NotTls { .. } => "not-tls".to_owned(),
        Answer::Malformed { .. } => "malformed".to_owned(),
        Answer::Closed { .. } => "closed".to_owned(),
        _ => "silent".to_owned(),
    }
}
