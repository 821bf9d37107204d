//! Values with the place that they were given at, and the forms of values that have a syntax of their own.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::passphrase::PassphraseSource;
use crate::span;

/// Where a value was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// By this option of the command line.
    Flag(&'static str),
    /// In the configuration file: the bytes from here to there.
    File(Range<usize>),
    /// Nowhere: a default.
    #[default]
    Unset,
}

/// A value, and where it was given. Two are equal if their values are.
#[derive(Debug, Clone, Default)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> At<T> {
    pub(crate) fn flag(flag: &'static str, value: T) -> Self {
        Self {
            value,
            place: Place::Flag(flag),
        }
    }

    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> At<U> {
        At {
            value,
            place: self.place.clone(),
        }
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let place = Place::File(spanned.span());
        Ok(Self {
            value: spanned.into_inner(),
            place,
        })
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A string that is parsed: what it looks like, its name in the schema, and examples for messages.
pub(crate) trait Form: FromStr<Err = String> + fmt::Display {
    /// The `format` in the schema, by which a file is checked.
    const FORMAT: &'static str;
}

macro_rules! as_string {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": Self::FORMAT })
            }
        }
    };
}

pub(super) use as_string;

/// A length of time: `"15s"`, `"1m 30s"`, `"500ms"`; a number alone is seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

/// As long as a limit can be: 30 years, so that clocks do not overflow.
const TIME_MAX: Duration = Duration::from_secs(1_000_000_000);

impl Form for Time {
    const FORMAT: &'static str = "duration";
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match span::parse(text) {
            Some(time) if time <= TIME_MAX => Ok(Self(time)),
            Some(_) => Err("expected at most 30 years".to_owned()),
            None => Err(span::EXPECTED.to_owned()),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(time) => write!(f, "{time:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

/// Of a string, or a number of seconds.
struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Time, E> {
        self.visit_str(&seconds.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Time, E> {
        self.visit_str(&seconds.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Time, E> {
        self.visit_str(&seconds.to_string())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "format": Self::FORMAT })
    }
}

/// A number of bytes: `"32KiB"`, `"4MiB"`, `"1500B"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// The units, the largest first. Those of a thousand are understood, and never written.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Form for Size {
    const FORMAT: &'static str = "size";
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = text.split_at_checked(digits)?;
            let unit = unit.trim_start();
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
            number.parse::<u64>().ok()?.checked_mul(*factor)
        };
        parse().map(Self).ok_or_else(|| {
            "expected a number of bytes with its unit, such as \"32KiB\", \"4MiB\" or \"1500B\""
                .to_owned()
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| {
                factor.is_power_of_two() && self.0.is_multiple_of(*factor) && self.0 > 0
            })
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

as_string!(Size);

/// How often something may happen: `"20/s"`, or with how many at once `"20/s, burst 100"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Often {
    pub(crate) per_second: NonZeroU32,
    /// As many as in a second, if not given.
    pub(crate) burst: u32,
}

impl Form for Often {
    const FORMAT: &'static str = "rate";
}

impl FromStr for Often {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (rate, burst) = match text.split_once(',') {
                Some((rate, burst)) => (rate, Some(burst.trim().strip_prefix("burst ")?.trim())),
                None => (text, None),
            };
            let per_second: NonZeroU32 = rate.trim().strip_suffix("/s")?.trim().parse().ok()?;
            let burst = match burst {
                Some(burst) => burst.parse().ok()?,
                None => per_second.get(),
            };
            Some(Self { per_second, burst })
        };
        parse().ok_or_else(|| {
            "expected how often a second, such as \"20/s\", or \"20/s, burst 100\"".to_owned()
        })
    }
}

impl fmt::Display for Often {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)?;
        match self.burst == self.per_second.get() {
            true => Ok(()),
            false => write!(f, ", burst {}", self.burst),
        }
    }
}

as_string!(Often);

/// Where the access log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum LogTarget {
    #[default]
    Stderr,
    File(PathBuf),
    /// systemd's journal: the system's own, or that behind this socket.
    Journal(Option<PathBuf>),
    Off,
}

impl Form for LogTarget {
    const FORMAT: &'static str = "log-target";
}

impl FromStr for LogTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" | "journal:" => return Err("expected a file, stderr, journal or off".to_owned()),
            "-" => {
                return Err(
                    "expected a file, stderr, journal or off; /dev/stdout is standard output"
                        .to_owned(),
                );
            }
            "stderr" => Self::Stderr,
            "off" => Self::Off,
            "journal" => Self::Journal(None),
            _ => match text.strip_prefix("journal:") {
                Some(socket) => Self::Journal(Some(socket.into())),
                None => Self::File(text.into()),
            },
        })
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::Off => f.write_str("off"),
            Self::Journal(None) => f.write_str("journal"),
            Self::Journal(Some(socket)) => write!(f, "journal:{}", socket.display()),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

as_string!(LogTarget);

/// Where the status is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusAddress(pub(crate) std::net::SocketAddr);

impl Form for StatusAddress {
    const FORMAT: &'static str = "status-address";
}

impl FromStr for StatusAddress {
    type Err = String;

    /// `ADDR:PORT`; a port alone is one of loopback.
    fn from_str(text: &str) -> Result<Self, String> {
        let port = match text.strip_prefix("localhost:") {
            Some(port) => port,
            None => text.strip_prefix(':').unwrap_or(text),
        };
        if let Ok(port) = port.parse() {
            return Ok(Self((std::net::Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse().map(Self).map_err(|_| {
            "expected an IP address and a port, such as \"127.0.0.1:9443\", or a port of loopback alone"
                .to_owned()
        })
    }
}

impl fmt::Display for StatusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

as_string!(StatusAddress);

/// Where a passphrase comes from. Not the passphrase itself: configuration files are copied, shown and kept in
/// version control.
#[derive(Debug, Clone)]
pub(crate) struct Source(pub(crate) PassphraseSource);

impl Form for Source {
    const FORMAT: &'static str = "passphrase-source";
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected env:VAR, file:PATH, fd:N, stdin or prompt";
        match text.parse() {
            Ok(PassphraseSource::Text(_)) => Err(
                "a passphrase does not belong in a configuration file: put it into a file of its own, \
                 and give \"file:PATH\""
                    .to_owned(),
            ),
            Ok(source) => Ok(Self(source)),
            Err(_) => Err(EXPECTED.to_owned()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe())
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (PassphraseSource::Text(one), PassphraseSource::Text(other)) => **one == **other,
            (one, other) => one.describe() == other.describe(),
        }
    }
}

as_string!(Source);

/// A path in the file system, relative to the directory of the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FilePath(pub(crate) PathBuf);

impl JsonSchema for FilePath {
    fn schema_name() -> Cow<'static, str> {
        "FilePath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "path", "minLength": 1 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_log_goes_to_a_file_unless_it_is_a_word() {
        for (text, target) in [
            ("stderr", LogTarget::Stderr),
            ("off", LogTarget::Off),
            ("journal", LogTarget::Journal(None)),
            ("journal:/s", LogTarget::Journal(Some("/s".into()))),
            ("./stderr", LogTarget::File("./stderr".into())),
        ] {
            assert_eq!(text.parse::<LogTarget>().unwrap(), target);
            assert_eq!(target.to_string(), text);
        }
        assert!("".parse::<LogTarget>().is_err());
    }

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        for text in ["9443", ":9443", "localhost:9443", "127.0.0.1:9443"] {
            let address: StatusAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), "127.0.0.1:9443", "{text}");
        }
        for text in ["", "localhost", "x:1", "127.0.0.1", "65536"] {
            assert!(text.parse::<StatusAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_of_time_have_units() {
        for (text, milliseconds) in [
            ("15s", 15_000),
            ("500ms", 500),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("0s", 0),
        ] {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.0, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
        }
        for text in ["", "-15", "-1s", "s", "15 parsecs", "99999999999s"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        assert_eq!(Time(Duration::from_secs(60)).to_string(), "1m");
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes, again) in [
            ("32KiB", 32 << 10, "32KiB"),
            ("4 MiB", 4 << 20, "4MiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("1500B", 1500, "1500B"),
            ("2kB", 2000, "2000B"),
            ("0B", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(
                (size.0, size.to_string().as_str()),
                (bytes, again),
                "{text}"
            );
        }
        for text in ["32", "KiB", "", "-1B", "1.5KiB", "32kib", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(bytes: u64, nanoseconds in 0..1_000_000_000_000_000_u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let time = Time(Duration::from_nanos(nanoseconds));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn rates_are_for_a_second() {
        for (text, expected) in [
            ("20/s", Some((20, 20))),
            ("20/s, burst 100", Some((20, 100))),
            ("20/s,burst 0", Some((20, 0))),
            ("0/s", None),
            ("20", None),
            ("20/m", None),
            ("20/s, 100", None),
        ] {
            let often = text.parse::<Often>().ok();
            let found = often.map(|often| (often.per_second.get(), often.burst));
            assert_eq!(found, expected, "{text}");
            if let Some(often) = often {
                assert_eq!(often.to_string().parse(), Ok(often));
            }
        }
    }

    #[test]
    fn a_passphrase_itself_is_refused() {
        assert!("file:secret".parse::<Source>().is_ok());
        let refused = "pass:hunter2".parse::<Source>().unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
