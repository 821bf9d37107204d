//! What a peer's own word adds to an explanation. It is unproven, and labelled so: it may explain a
//! refusal, and never lifts one.

use handfast::{
    Cause, CertificateFacts, Error, Explanation, PeerCause, VerifyCause, VerifyError,
    escape_control, format_utc,
};

use crate::reply::UnverifiedReply;

/// Clocks that differ by less than this do not cause refusals for long.
const SKEW_MIN_SECS: i64 = 5 * 60;

/// The status of networks that want a login (RFC 6585, section 6).
const NETWORK_AUTHENTICATION_REQUIRED: u16 = 511;

/// Whether the peer's word could help to explain this error.
pub(crate) fn is_worthwhile(error: &Error) -> bool {
    refused(error).is_some_and(|refused| {
        matches!(
            refused.cause,
            VerifyCause::Expired { .. }
                | VerifyCause::NotYetValid { .. }
                | VerifyCause::CrlExpired { .. }
                | VerifyCause::NameMismatch { .. }
        )
    })
}

/// The error with what the peer's word turns its explanation into, or adds to it.
pub(crate) fn refine(error: Error, reply: &UnverifiedReply) -> Error {
    let Some(refused) = refused(&error) else {
        return error;
    };
    let mut explanation = error.explain();
    add(&mut explanation, refused, reply);
    error.with_explanation(explanation)
}

fn refused(error: &Error) -> Option<&VerifyError> {
    match error.cause() {
        Cause::Peer(PeerCause::Certificate(refused)) => Some(refused),
        _ => None,
    }
}

fn add(explanation: &mut Explanation, refused: &VerifyError, reply: &UnverifiedReply) {
    match &refused.cause {
        VerifyCause::Expired { now, .. }
        | VerifyCause::NotYetValid { now, .. }
        | VerifyCause::CrlExpired { now, .. } => {
            if let Some(date) = reply.date {
                clock(explanation, refused, *now, date);
            }
        }
        VerifyCause::NameMismatch {
            expected,
            presented,
        } => portal(explanation, reply, expected, presented),
        _ => {}
    }
}

fn clock(explanation: &mut Explanation, refused: &VerifyError, now: i64, date: i64) {
    explanation.evidence.push(format!(
        "the server's clock says {} (unproven)",
        format_utc(date)
    ));
    let apart = date.saturating_sub(now);
    if apart.abs() < SKEW_MIN_SECS || !is_valid_at(refused, date) {
        return;
    }
    let told = Explanation::new(
        "clock-skew",
        format!(
            "the peer's certificate is valid by the server's clock, but not by this machine's: they are {} apart",
            span(apart.unsigned_abs())
        ),
    );
    explanation.id = told.id;
    explanation.what = told.what;
    explanation.fix = vec![
        "set this machine's clock from a source that you trust; if it is right, the certificate is not valid and the server's clock is wrong"
            .to_owned(),
    ];
}

/// Whether everything that ends would have been valid then.
fn is_valid_at(refused: &VerifyError, date: i64) -> bool {
    if let VerifyCause::CrlExpired { next_update, .. } = refused.cause
        && date > next_update
    {
        return false;
    }
    !refused.chain.is_empty()
        && refused.chain.iter().all(|der| {
            CertificateFacts::from_der(der)
                .is_ok_and(|facts| facts.not_before <= date && date <= facts.not_after)
        })
}

fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    match count {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

fn portal(
    explanation: &mut Explanation,
    reply: &UnverifiedReply,
    expected: &str,
    presented: &[String],
) {
    let elsewhere = reply
        .redirects_to
        .as_deref()
        .filter(|host| !host.eq_ignore_ascii_case(expected));
    if let Some(host) = elsewhere {
        explanation.evidence.push(format!(
            "asked without verification, it redirects to {} (unproven)",
            escape_control(host)
        ));
    }
    let leads_home = |host: &str| {
        presented.iter().any(|name| covers(name, host)) && !are_related(host, expected)
    };
    if reply.status != NETWORK_AUTHENTICATION_REQUIRED && !elsewhere.is_some_and(leads_home) {
        return;
    }
    let told = Explanation::new(
        "captive-portal",
        "a network's login page answered instead of the server: its certificate is for another name",
    );
    explanation.id = told.id;
    explanation.what = format!("{expected}: {}", told.what);
    explanation.fix =
        vec!["open a page in a browser, log in to the network, and try again".to_owned()];
}

fn covers(name: &str, host: &str) -> bool {
    name.eq_ignore_ascii_case(host)
        || name.strip_prefix("*.").is_some_and(|parent| {
            host.split_once('.')
                .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        })
}

/// Whether two names probably have one owner: `example.org` and `www.example.org`.
fn are_related(one: &str, other: &str) -> bool {
    let domain = |name: &str| {
        let mut labels: Vec<String> = name
            .rsplit('.')
            .take(2)
            .map(str::to_ascii_lowercase)
            .collect();
        labels.reverse();
        labels.join(".")
    };
    domain(one) == domain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_relations() {
        assert_eq!(span(600), "10 minutes");
        assert_eq!(span(3 * 3600), "3 hours");
        assert_eq!(span(10 * 86_400), "10 days");
        assert!(are_related("example.org", "www.example.org"));
        assert!(!are_related("login.hotel.example", "shop.test"));
        assert!(covers("*.hotel.example", "login.hotel.example"));
        assert!(!covers("*.hotel.example", "hotel.example"));
    }
}
