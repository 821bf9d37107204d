//! `-z`: fetched only if it was, or was not, modified after a certain time.

use std::fs;
use std::time::{Duration, SystemTime};

use handfast_https::client::{Request, Response};
use http::header::{HeaderName, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, LAST_MODIFIED};
use http::{HeaderValue, StatusCode};
use jiff::civil;
use jiff::tz::Offset;

use crate::output;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(super) struct ConditionArgs {
    /// Fetch only what was modified after TIME, a date or a file with its time; with -TIME, what was not
    #[arg(short = 'z', long, value_name = "TIME", allow_hyphen_values = true)]
    time_cond: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    /// What is fetched was modified later; otherwise, it was not.
    is_later: bool,
    time: SystemTime,
}

impl ConditionArgs {
    /// Text that is neither a date nor a file is no condition, as in curl: a copy that is missing has to be fetched.
    pub(super) fn condition(&self) -> Option<Condition> {
        let text = self.time_cond.as_deref()?;
        let (is_later, text) = match text.strip_prefix('-') {
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let time = date(text).or_else(|| fs::metadata(text).ok()?.modified().ok());
        if time.is_none() {
            output::warning(format!(
                "`{}` is neither a date nor a file: fetched without a condition",
                handfast::escape_control(text)
            ));
        }
        Some(Condition {
            is_later,
            time: time?,
        })
    }
}

impl Condition {
    /// Asks the server for it. A field that was given takes precedence.
    pub(super) fn put_into(self, request: &mut Request) {
        let name = self.field();
        let value = HeaderValue::try_from(httpdate::fmt_http_date(self.time));
        if let Ok(value) = value
            && !request.headers().contains_key(&name)
        {
            request.headers_mut().insert(name, value);
        }
    }

    fn field(self) -> HeaderName {
        match self.is_later {
            true => IF_MODIFIED_SINCE,
            false => IF_UNMODIFIED_SINCE,
        }
    }

    /// Whether the body is wanted, also of a server that does not know conditions.
    pub(super) fn is_met(self, response: &Response) -> bool {
        if response.status() != StatusCode::OK {
            return true;
        }
        let value = response.headers().get(LAST_MODIFIED);
        let Some(modified) = value
            .and_then(|value| value.to_str().ok())
            .and_then(|text| httpdate::parse_http_date(text).ok())
        else {
            return true;
        };
        match self.is_later {
            true => modified > self.time,
            false => modified < self.time,
        }
    }
}

/// A date in curl's formats (curl_getdate(3)): day, month and year in any order, the month as a name, or YYYYMMDD; perhaps a
/// time, a weekday and a zone; besides, YYYY-MM-DD. Without a zone it is UTC.
fn date(text: &str) -> Option<SystemTime> {
    if let Ok(date) = text.parse::<civil::Date>()
        && text.contains('-')
    {
        return in_zone(date, civil::Time::midnight(), 0);
    }
    let (mut day, mut month, mut year) = (None, None, None);
    let (mut time, mut offset) = (None, None);
    let is_separator = |char: char| char == ',' || char.is_whitespace();
    for word in text.split(is_separator).filter(|word| !word.is_empty()) {
        if word.contains(':') {
            time = Some(clock(word).filter(|_| time.is_none())?);
            continue;
        }
        let may_be_zone = time.is_some() || day.is_some() && year.is_some();
        if let Some(seconds) = numeric_zone(word).filter(|_| may_be_zone) {
            offset = Some(seconds);
            continue;
        }
        for part in word.split('-').filter(|part| !part.is_empty()) {
            if let Some(number) = month_of(part) {
                month = Some(number).filter(|_| month.is_none());
                month?;
            } else if is_weekday(part) {
            } else if let Some(seconds) = named_zone(part) {
                offset = Some(seconds);
            } else if part.len() == 8 && day.is_none() && year.is_none() {
                let number: i32 = part.parse().ok()?;
                year = Some(i16::try_from(number / 10_000).ok()?);
                month = Some(i8::try_from(number / 100 % 100).ok()?);
                day = Some(i8::try_from(number % 100).ok()?);
            } else {
                let number: i16 = part.parse().ok()?;
                match i8::try_from(number) {
                    Ok(small @ 1..=31) if day.is_none() => day = Some(small),
                    _ if year.is_none() => year = Some(full_year(number, part.len())?),
                    _ => return None,
                }
            }
        }
    }
    let date = civil::Date::new(year?, month?, day?).ok()?;
    in_zone(
        date,
        time.unwrap_or(civil::Time::midnight()),
        offset.unwrap_or(0),
    )
}

fn in_zone(date: civil::Date, time: civil::Time, offset_seconds: i32) -> Option<SystemTime> {
    let offset = Offset::from_seconds(offset_seconds).ok()?;
    let at = offset.to_timestamp(date.to_datetime(time)).ok()?;
    let since = Duration::from_secs(at.as_second().unsigned_abs());
    match at.as_second() < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(since),
        false => SystemTime::UNIX_EPOCH.checked_add(since),
    }
}

/// `HH:MM` or `HH:MM:SS`.
fn clock(text: &str) -> Option<civil::Time> {
    let mut parts = text.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        // A leap second is the one before.
        Some(second) => second?.min(59),
        None => 0,
    };
    match parts.next() {
        Some(_) => None,
        None => civil::Time::new(hour, minute, second, 0).ok(),
    }
}

/// Two digits are a year from 1971 to 2070, as in curl.
fn full_year(number: i16, digits: usize) -> Option<i16> {
    match digits {
        1 | 2 if number > 70 => Some(number + 1900),
        1 | 2 => Some(number + 2000),
        4 => Some(number),
        _ => None,
    }
}

fn month_of(word: &str) -> Option<i8> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let word = word.to_ascii_lowercase();
    let found = NAMES
        .iter()
        .position(|name| word == *name || Some(&*word) == name.get(..3))?;
    i8::try_from(found + 1).ok()
}

fn is_weekday(word: &str) -> bool {
    const NAMES: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let word = word.to_ascii_lowercase();
    NAMES
        .iter()
        .any(|name| word == *name || Some(&*word) == name.get(..3))
}

/// `+0200`, as seconds.
fn numeric_zone(word: &str) -> Option<i32> {
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number: i32 = Some(digits)
        .filter(|digits| digits.len() == 4)?
        .parse()
        .ok()?;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

/// The zones whose names are not ambiguous.
fn named_zone(word: &str) -> Option<i32> {
    const HOURS: [(&str, i32); 13] = [
        ("GMT", 0),
        ("UTC", 0),
        ("Z", 0),
        ("WET", 0),
        ("CET", 1),
        ("CEST", 2),
        ("EET", 2),
        ("EST", -5),
        ("EDT", -4),
        ("MST", -7),
        ("MDT", -6),
        ("PST", -8),
        ("PDT", -7),
    ];
    let found = HOURS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, hours)| hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let since = date(text)?.duration_since(SystemTime::UNIX_EPOCH);
        Some(since.unwrap().as_secs())
    }

    #[test]
    fn dates_have_curls_formats() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "06 Nov 1994 08:49:37 GMT",
            "06-Nov-94 08:49:37 GMT",
            "Nov  6 08:49:37 1994",
            "1994 6 nov 08:49:37",
            "GMT 08:49:37 06-Nov-94 Sunday",
            "94 6 Nov 8:49:37",
            "19941106 08:49:37",
            "Sun, 06 Nov 1994 10:49:37 +0200",
            "06 November 1994 03:49:37 EST",
        ] {
            assert_eq!(seconds(text), Some(784_111_777), "{text}");
        }
        for text in [
            "1994 6 Nov",
            "06-Nov-94",
            "19941106",
            "1994-11-06",
            "20 Nov 1994",
        ] {
            let day = if text.starts_with("20") { 14 } else { 0 };
            assert_eq!(seconds(text), Some(784_080_000 + day * 86_400), "{text}");
        }
        assert_eq!(seconds("20040911 +0200"), Some(1_094_853_600));
        for bad in [
            "",
            "index.html",
            "yesterday",
            "32 Nov 1994",
            "6 Nov",
            "1994",
            "6 Nov 1994 25:00",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
