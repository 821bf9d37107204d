//! Spells what log lines consist of, into bytes, without the machinery of `format!`: numbers, times, addresses, and
//! strangers' text made harmless.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast::{escape_control, format_utc};
use handfast_https::server::PeerAddress;

/// Decimal digits, as most numbers are short.
pub(super) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    // 2^64 has 20 digits.
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        used += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// Milliseconds with so many decimals, rounded: `12.3`.
fn milliseconds(out: &mut Vec<u8>, duration: Duration, decimals: u32) {
    let parts = 10_u64.pow(decimals);
    let unit = 1_000_000 / parts;
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let count = nanoseconds.saturating_add(unit / 2) / unit;
    decimal(out, count / parts);
    out.push(b'.');
    let mut part = count % parts;
    let mut place = parts;
    while place > 1 {
        place /= 10;
        out.push(b'0' + (part / place) as u8);
        part %= place;
    }
}

/// `12.3ms`
pub(super) fn tenths(out: &mut Vec<u8>, duration: Duration) {
    milliseconds(out, duration, 1);
    out.extend_from_slice(b"ms");
}

/// Milliseconds with three decimals, a number of JSON.
pub(super) fn thousandths(out: &mut Vec<u8>, duration: Duration) {
    milliseconds(out, duration, 3);
}

/// An address and a port: `127.0.0.1:4433`, `[::1]:4433`.
pub(super) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    host(out, address);
    out.push(b':');
    decimal(out, address.port().into());
}

/// A client's address and port, or what it has instead, in which nothing is to be escaped.
pub(super) fn peer(out: &mut Vec<u8>, peer: PeerAddress) {
    match peer {
        PeerAddress::Ip(one) => address(out, one),
        other => _ = write!(out, "{other}"),
    }
}

/// An address without its port; with brackets if it has colons.
fn host(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => four(out, address.ip().octets()),
        // Writing to a vector does not fail.
        SocketAddr::V6(address) => {
            let _ = match address.scope_id() {
                0 => write!(out, "[{}]", address.ip()),
                scope => write!(out, "[{}%{scope}]", address.ip()),
            };
        }
    }
}

/// An address without port and brackets, or what the client has instead.
pub(super) fn bare_host(out: &mut Vec<u8>, peer: PeerAddress) {
    match peer {
        PeerAddress::Ip(SocketAddr::V4(address)) => four(out, address.ip().octets()),
        PeerAddress::Ip(SocketAddr::V6(address)) => _ = write!(out, "{}", address.ip()),
        other => _ = write!(out, "{other}"),
    }
}

fn four(out: &mut Vec<u8>, [a, b, c, d]: [u8; 4]) {
    decimal(out, a.into());
    for part in [b, c, d] {
        out.push(b'.');
        decimal(out, part.into());
    }
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// `2026-11-30T05:41:21Z`
    Seconds,
    /// `2026-11-30T05:41:21.123Z`
    Milliseconds,
    /// `30/Nov/2026:05:41:21 +0000`
    Common,
}

/// A second as it was spelled last.
struct Second {
    unix: u64,
    iso: Vec<u8>,
    common: Vec<u8>,
}

thread_local! {
    static SECOND: RefCell<Second> = const {
        RefCell::new(Second { unix: u64::MAX, iso: Vec::new(), common: Vec::new() })
    };
}

/// A time, UTC. Each thread keeps the second that it spelled last: most lines are of the same one.
pub(super) fn time(out: &mut Vec<u8>, time: SystemTime, clock: Clock) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|second| {
        if second.unix != since.as_secs() {
            second.set(since.as_secs());
        }
        match clock {
            Clock::Seconds => out.extend_from_slice(&second.iso),
            Clock::Common => out.extend_from_slice(&second.common),
            Clock::Milliseconds => {
                out.extend_from_slice(second.iso.strip_suffix(b"Z").unwrap_or(&second.iso));
                let part = since.subsec_millis();
                let digits =
                    [part / 100, part / 10 % 10, part % 10].map(|digit| b'0' + digit as u8);
                out.push(b'.');
                out.extend_from_slice(&digits);
                out.push(b'Z');
            }
        }
    });
}

impl Second {
    fn set(&mut self, unix: u64) {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let iso = format_utc(i64::try_from(unix).unwrap_or(i64::MAX));
        let mut parts = iso.trim_end_matches('Z').splitn(2, 'T');
        let (date, clock) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let mut date = date.splitn(3, '-');
        let year = date.next().unwrap_or_default();
        let month = date.next().and_then(|month| month.parse::<usize>().ok());
        let day = date.next().unwrap_or_default();
        let month = month
            .and_then(|month| MONTHS.get(month.checked_sub(1)?))
            .unwrap_or(&"???");
        self.common = format!("{day}/{month}/{year}:{clock} +0000").into_bytes();
        self.iso = iso.into_bytes();
        self.unix = unix;
    }
}

/// Are these printable ASCII without what has a meaning in quotes? Nearly all text is.
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, byte| {
        plain & (*byte >= 0x20) & (*byte < 0x7f) & (*byte != b'"') & (*byte != b'\\')
    })
}

/// Text between quotes in our own format: on one line, quotes and backslashes escaped.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in escape_backslash(text).bytes() {
        out.push(byte);
    }
}

/// `escape_control` writes `\u{1b}`, whose backslash is no text of the peer.
fn escape_backslash(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for piece in text.split_inclusive(['"', '\\']) {
        let (plain, special) = match piece.strip_suffix(['"', '\\']) {
            Some(plain) => (plain, piece.get(plain.len()..)),
            None => (piece, None),
        };
        escaped.push_str(&escape_control(plain));
        if let Some(special) = special {
            escaped.push('\\');
            escaped.push_str(special);
        }
    }
    escaped
}

/// Text in the combined format, as Apache httpd escapes it: `\"`, `\\`, and `\x1b` for whatever is not printable
/// ASCII. `in_quotes`: spaces stay.
pub(super) fn combined(out: &mut Vec<u8>, text: &[u8], in_quotes: bool) {
    if is_plain(text) && (in_quotes || !text.contains(&b' ')) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' ' if in_quotes => out.push(b' '),
            0x21..=0x7e => out.push(*byte),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'?');
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// A string of JSON, with its quotes. Control characters are escaped as everywhere, so that the value has none; bytes
/// that are not UTF-8 are written as `\x80`.
pub(super) fn json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        for byte in harmless(text).bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

/// A field of the journal: `NAME=value`, on a line of its own.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        out.extend_from_slice(harmless(value).as_bytes());
    }
    out.push(b'\n');
}

/// Text without control characters.
fn harmless(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => escape_control(text).into_owned(),
        Err(_) => text.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(spell: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        spell(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_in_each_way() {
        let at = |seconds, milliseconds| {
            UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(milliseconds)
        };
        for (time_, clock, expected) in [
            (at(1_795_959_681, 7), Clock::Seconds, "2026-11-29T13:41:21Z"),
            (
                at(1_795_959_681, 7),
                Clock::Milliseconds,
                "2026-11-29T13:41:21.007Z",
            ),
            (
                at(1_795_959_681, 7),
                Clock::Common,
                "29/Nov/2026:13:41:21 +0000",
            ),
            (at(0, 999), Clock::Milliseconds, "1970-01-01T00:00:00.999Z"),
            (
                at(951_782_400, 0),
                Clock::Common,
                "29/Feb/2000:00:00:00 +0000",
            ),
        ] {
            assert_eq!(spelled(|out| time(out, time_, clock)), expected);
        }
    }

    #[test]
    fn durations_are_rounded() {
        for (nanoseconds, tenth, thousandth) in [
            (0, "0.0ms", "0.000"),
            (49_999, "0.0ms", "0.050"),
            (50_000, "0.1ms", "0.050"),
            (999_949_999, "999.9ms", "999.950"),
            (999_950_000, "1000.0ms", "999.950"),
            (61_000_000_000, "61000.0ms", "61000.000"),
        ] {
            let duration = Duration::from_nanos(nanoseconds);
            assert_eq!(spelled(|out| tenths(out, duration)), tenth);
            assert_eq!(spelled(|out| thousandths(out, duration)), thousandth);
        }
    }

    #[test]
    fn untrusted_text_is_escaped_for_its_place() {
        let text = b"a \"b\\\x1b[2J\n\xe2\x82\xac";
        let own = spelled(|out| quoted(out, std::str::from_utf8(text).unwrap()));
        assert_eq!(own, "a \\\"b\\\\\\u{1b}[2J\\u{a}\u{20ac}");
        let combined_ = spelled(|out| combined(out, text, true));
        assert_eq!(combined_, r#"a \"b\\\x1b[2J\x0a\xe2\x82\xac"#);
        let unquoted = spelled(|out| combined(out, b"alice b", false));
        assert_eq!(unquoted, r"alice\x20b");
    }

    proptest! {
        #[test]
        fn numbers_and_addresses_are_what_display_says(number: u64, port: u16, four: u32, six: u128) {
            prop_assert_eq!(spelled(|out| decimal(out, number)), number.to_string());
            let four = SocketAddr::from((std::net::Ipv4Addr::from(four), port));
            let six = SocketAddr::from((std::net::Ipv6Addr::from(six), port));
            for one in [four, six] {
                prop_assert_eq!(spelled(|out| address(out, one)), one.to_string());
                prop_assert_eq!(spelled(|out| bare_host(out, one.into())), one.ip().to_string());
            }
        }

        #[test]
        fn text_stays_on_its_line_and_within_its_quotes(text: Vec<u8>) {
            let whole = spelled(|out| json(out, &text));
            let value: String = serde_json::from_str(&whole).unwrap();
            prop_assert!(!value.chars().any(char::is_control));
            if let Ok(text) = std::str::from_utf8(&text) {
                prop_assert_eq!(value, escape_control(text));
                let own = spelled(|out| quoted(out, text));
                prop_assert!(!own.chars().any(char::is_control));
                prop_assert!(!own.replace("\\\\", "").replace("\\\"", "").contains('"'));
            }
            let line = spelled(|out| combined(out, &text, false));
            prop_assert!(line.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
            prop_assert!(!line.replace("\\\\", "").replace("\\\"", "").contains('"'));
            let entry = spelled(|out| field(out, "NAME", &text));
            prop_assert_eq!(entry.matches('\n').count(), 1);
        }
    }
}
