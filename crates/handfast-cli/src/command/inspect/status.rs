//! Text about revocation, signed certificate timestamps, resumption, and the certificates that were
//! fetched to complete a chain.

use std::time::Duration;

use handfast::{
    CertificateFacts, RevokedBy, StapledResponse, StapledStatus, Ticket, VerifyCause,
    escape_control, format_utc,
};

use super::fetch::Completed;
use super::findings::{Findings, Resumption, VersionTried};
use super::words::{plural, span_words};

/// The revocation status, a line for each source.
pub(super) fn revocation(found: &Findings) -> Vec<String> {
    let mut lines: Vec<String> = revoked_by_list(found).into_iter().collect();
    match (found.crls, &found.path) {
        (0, _) => {}
        _ if !lines.is_empty() => {}
        (count, Some(_)) => lines.push(format!("not revoked, by {count} list{}", plural(count))),
        (count, None) => lines.push(format!("{count} list{} given", plural(count))),
    }
    if found.passed_own_list() {
        lines.push("not revoked, by the local authority's list".to_owned());
    }
    let refused_by_staple = match found.verify_error().map(|refused| &refused.cause) {
        Some(VerifyCause::Revoked {
            by:
                RevokedBy::StapledResponse {
                    at,
                    reason,
                    produced_at,
                },
            ..
        }) => Some(format!(
            "{} by the stapled OCSP response, produced {}",
            revoked(*at, *reason),
            format_utc(*produced_at)
        )),
        _ => None,
    };
    match (refused_by_staple, &found.staple) {
        (Some(revoked), _) => lines.push(revoked),
        (None, Some(Ok(response))) => lines.push(stapled(response)),
        (None, Some(Err(problem))) => {
            lines.push(format!("the stapled OCSP response is invalid: {problem}"));
        }
        (None, None) if found.must_staple() && found.live.is_some() => lines
            .push("the certificate requires a stapled OCSP response, and none was sent".to_owned()),
        (None, None) => {}
    }
    if lines.is_empty() {
        lines.push(match found.live {
            Some(_) => "not checked: no list given, no OCSP response stapled".to_owned(),
            None => "not checked: no list given".to_owned(),
        });
    }
    lines
}

/// If a list was the reason to refuse the chain: the local authority's, or one that was given.
fn revoked_by_list(found: &Findings) -> Option<String> {
    let VerifyCause::Revoked {
        by: RevokedBy::List { list, at, reason },
        ..
    } = &found.verify_error()?.cause
    else {
        return None;
    };
    let which = match &list.file {
        _ if found.own_list_of.as_ref() == Some(&list.issuer) => {
            "the local authority's list".to_owned()
        }
        Some(file) => escape_control(&file.display().to_string()).into_owned(),
        None => format!("a list of {}", list.issuer),
    };
    Some(format!("{}, by {which}", revoked(*at, *reason)))
}

fn stapled(response: &StapledResponse) -> String {
    let status = match &response.status {
        StapledStatus::Good => "good by".to_owned(),
        StapledStatus::Revoked { at, reason } => format!("{} by", revoked(*at, *reason)),
        _ => "unknown to".to_owned(),
    };
    let until = match response.next_update {
        Some(next) => format!("valid until {}", format_utc(next)),
        None => "without nextUpdate".to_owned(),
    };
    format!(
        "{status} the stapled OCSP response, produced {}, {until}, signed by {}",
        format_utc(response.produced_at),
        response.responder
    )
}

fn revoked(at: i64, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("REVOKED since {}{reason}", format_utc(at))
}

/// The number of timestamps of each source, then a line for each timestamp. Empty if there are none.
pub(super) fn timestamps(found: &Findings) -> Vec<String> {
    let all = found.timestamps();
    let mut places: Vec<(&str, usize)> = Vec::new();
    for (place, _) in &all {
        match places.last_mut() {
            Some((last, count)) if last == place => *count += 1,
            _ => places.push((place, 1)),
        }
    }
    let counts: Vec<String> = places
        .iter()
        .map(|(place, count)| format!("{count} in the {place}"))
        .collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let heading = format!("{}; signatures not verified", counts.join(", "));
    std::iter::once(heading)
        .chain(
            all.iter()
                .map(|(_, one)| format!("  {} by log {}", format_utc(one.timestamp()), one.log_id)),
        )
        .collect()
}

/// The result of resumption, a line for each version.
pub(super) fn resumption(tried: &VersionTried) -> String {
    let VersionTried {
        version,
        outcome,
        tickets,
    } = tried;
    match outcome {
        Resumption::Untried("protocol-version") => format!("{version} not supported"),
        Resumption::Untried(id) => format!("{version} not tried: {id}"),
        Resumption::DoesNot if tickets.is_empty() => {
            format!("{version} full handshake again, no tickets")
        }
        Resumption::DoesNot => {
            format!(
                "{version} full handshake again, in spite of {}",
                describe(tickets)
            )
        }
        Resumption::Works => format!("{version} works, {}", describe(tickets)),
    }
}

fn describe(tickets: &[Ticket]) -> String {
    let count = tickets.len();
    let lifetime = tickets.iter().filter_map(|ticket| ticket.lifetime).min();
    let lifetime = match lifetime {
        None | Some(Duration::ZERO) => String::new(),
        Some(lifetime) => {
            let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
            format!(" for {}", span_words(seconds))
        }
    };
    let early = tickets.iter().map(|ticket| ticket.early_data_bytes_max);
    let early = match early.max().unwrap_or(0) {
        0 => String::new(),
        u32::MAX => ", early data offered without limit".to_owned(),
        bytes => format!(", early data of up to {bytes} bytes offered"),
    };
    match count {
        1 => format!("1 session given{lifetime}{early}"),
        _ => format!("{count} tickets given{lifetime}{early}"),
    }
}

/// The fetched certificates, and whether the completed chain would be verified.
pub(super) fn completed(completed: &Completed) -> Vec<String> {
    let mut lines: Vec<String> = completed
        .fetched
        .iter()
        .map(|(url, outcome)| match outcome {
            Ok(()) => format!("the issuer's certificate from {url}"),
            Err(problem) => format!("nothing from {url}: {problem}"),
        })
        .collect();
    if lines.is_empty() {
        lines.push("nothing: no certificate of the chain has the URL of its issuer's".to_owned());
        if completed.verdict.is_ok() {
            lines = vec!["nothing: nothing is missing".to_owned()];
        }
    }
    let names: Vec<String> = completed
        .chain
        .iter()
        .filter_map(|der| CertificateFacts::from_der(der).ok())
        .map(|facts| facts.subject)
        .collect();
    let worth = match &completed.verdict {
        Ok(()) => "would be verified".to_owned(),
        Err(refused) => format!("would be refused, too: {}", refused.cause),
    };
    lines.push(format!("the chain {} {worth}", names.join(" <- ")));
    lines
}
