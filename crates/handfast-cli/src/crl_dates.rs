//! The server's warning about a revocation list that is out of date, or will be within a day.

use handfast::{CrlSummary, ExpiredLists, format_utc};

/// How long before its end a list causes a warning.
const DAY_SECS: i64 = 86_400;

/// The warning about `list` at `now` (unix seconds), if any.
pub(crate) fn remark(list: &CrlSummary, expired: ExpiredLists, now: i64) -> Option<String> {
    let next_update = list.next_update?;
    match next_update.saturating_sub(now) {
        ..0 => Some(match expired {
            ExpiredLists::Accept => {
                "out of date: certificates that were revoked since are accepted \
                                     (--crl-expired soft)"
                    .to_owned()
            }
            _ => {
                "out of date: clients whose certificates it covers are refused (--crl-expired hard)"
                    .to_owned()
            }
        }),
        0..DAY_SECS => Some(format!("out of date from {}", format_utc(next_update))),
        _ => None,
    }
}
