//! Times and spans as text.

use std::time::Duration;

const DAY: i64 = 86_400;

/// How long something took: `0.4 ms`, `12 ms`, `1.2 s`.
pub(super) fn took(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// The position of `now` in a validity: `89 days left`, `expired 2 days ago`, `begins in 3 hours`.
pub(super) fn validity(not_before: i64, not_after: i64, now: i64) -> String {
    if not_after < not_before {
        "never valid: it ends before it begins".to_owned()
    } else if now < not_before {
        format!("begins in {}", span_words(not_before.saturating_sub(now)))
    } else if now > not_after {
        format!("expired {} ago", span_words(now.saturating_sub(not_after)))
    } else {
        format!("{} left", span_words(not_after.saturating_sub(now)))
    }
}

/// A span: `2 hours`, `89 days`, in the largest unit with a count of at least two.
pub(super) fn span_words(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The plural ending for a count.
pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_printed() {
        for (at, words) in [
            (-DAY, "begins in 24 hours"),
            (0, "100 days left"),
            (99 * DAY, "24 hours left"),
            (100 * DAY - 1, "1 second left"),
            (103 * DAY, "expired 3 days ago"),
        ] {
            assert_eq!(validity(0, 100 * DAY, at), words);
        }
        for now in [0, 2 * DAY, 4 * DAY] {
            let words = validity(3 * DAY, DAY, now);
            assert_eq!(words, "never valid: it ends before it begins");
        }
        assert_eq!(took(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(took(Duration::from_millis(42)), "42 ms");
        assert_eq!(took(Duration::from_millis(4200)), "4.2 s");
    }
}
