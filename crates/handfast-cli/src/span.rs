//! Lengths of time, as they are typed in options and written in `handfast.toml`: one way to write them everywhere.

use std::time::Duration;

use jiff::SignedDuration;

/// What is expected in place of what was typed.
pub(crate) const EXPECTED: &str =
    "expected a length of time such as 30s, 500ms, 2m or 1h 30m; a number alone is seconds";

/// `30`, `0.5`, `30s`, `500ms`, `1m 30s`, `2h`, `30d`, `8w`: a number alone is seconds. `None` if it is none of these, or negative.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let is_bare = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_bare {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok();
    }
    // Of days and weeks the other parser does not know how long they are.
    let days = |unit: char, days: u64| {
        let count: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(Duration::from_secs(count.checked_mul(days * 86_400)?))
    };
    let other = || Duration::try_from(text.parse::<SignedDuration>().ok()?).ok();
    days('d', 1).or_else(|| days('w', 7)).or_else(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_seconds_and_others_have_their_unit() {
        for (text, millis) in [
            ("30", Some(30_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("1m 30s", Some(90_000)),
            ("1.5m", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("30d", Some(30 * 86_400_000)),
            ("8w", Some(56 * 86_400_000)),
            ("", None),
            (".", None),
            ("-1", None),
            ("-1d", None),
            ("-15s", None),
            ("d", None),
            ("30\u{e4}", None),
            ("soon", None),
            ("inf", None),
            ("99999999999999999999", None),
            ("99999999999999999999w", None),
        ] {
            let millis = millis.map(Duration::from_millis);
            assert_eq!(parse(text), millis, "{text}");
        }
    }
}
