//! The Date field (RFC 9110, section 6.6.1), spelled once a second for each thread.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const LENGTH: usize = 29;

thread_local! {
    static SPELLED: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [0; LENGTH])) };
}

/// The present time as the field's value.
pub(super) fn now() -> [u8; LENGTH] {
    let now = SystemTime::now();
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (spelled, mut text) = SPELLED.get();
    if spelled != second {
        text = <[u8; LENGTH]>::try_from(httpdate::fmt_http_date(now).as_bytes()).unwrap_or(text);
        SPELLED.set((second, text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_now() {
        let text = now();
        let parsed = httpdate::parse_http_date(std::str::from_utf8(&text).unwrap()).unwrap();
        let age = SystemTime::now().duration_since(parsed).unwrap();
        assert!(age.as_secs() < 3, "{age:?}");
    }
}
