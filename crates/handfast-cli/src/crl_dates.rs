//! What a server says of a revocation list that is out of date, or will be within a day.

use handfast::{CrlSummary, ExpiredLists, format_utc};

/// How long before it is out of date a list is told of.
const DAY_SECS: i64 = 86_400;

/// What is to be said of `list` at `now` (unix seconds), if anything.
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
