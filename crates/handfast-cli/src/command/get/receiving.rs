//! How much of a body is taken, and whether it is decoded: `--compressed`, `--max-filesize`; and how fast it comes.

use std::str::FromStr;
use std::time::Duration;

use handfast_https::client::{ClientBuilder, DecodingLimits, Error, Response};

use crate::trust_args::{Limit, limit};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(super) struct ReceivingArgs {
    /// Request a compressed response (deflate, gzip, br or zstd), and decode it
    #[arg(long)]
    pub(super) compressed: bool,
    /// Maximum size of the body, also after decoding, such as 500k or 2G
    #[arg(long, value_name = "BYTES")]
    max_filesize: Option<Size>,
    /// Maximum rate of each transfer, in bytes a second, such as 500k
    #[arg(long, value_name = "RATE")]
    limit_rate: Option<Size>,
    /// Give up below this rate, in bytes a second, for the time of -y [default: 1 with -y]
    #[arg(short = 'Y', long, value_name = "RATE")]
    speed_limit: Option<Size>,
    /// How long it may be below the rate of -Y [default: 30 with -Y]
    #[arg(short = 'y', long, value_name = "SECONDS", value_parser = limit)]
    speed_time: Option<Limit>,
}

/// As curl has it.
const SPEED_TIME: Duration = Duration::from_secs(30);

impl ReceivingArgs {
    /// The limits on the rate.
    pub(super) fn limit(&self, mut client: ClientBuilder) -> ClientBuilder {
        // As curl, 0 is none.
        let rate_max = self.limit_rate.filter(|Size(rate)| *rate > 0);
        client = client.rate_max(rate_max.map(|Size(rate)| rate));
        let (rate, time) = match (self.speed_limit, self.speed_time) {
            (None, None) => return client,
            (rate, time) => (
                rate.unwrap_or(Size(1)),
                time.unwrap_or(Limit(Some(SPEED_TIME))),
            ),
        };
        match (rate, time) {
            (Size(rate), Limit(Some(time))) if rate > 0 => client.speed_min(rate, time),
            _ => client,
        }
    }

    /// Sets up a response of which nothing has been read.
    pub(super) fn apply(&self, response: &mut Response) -> Result<(), Error> {
        let mut limits = DecodingLimits::new();
        if let Some(Size(limit)) = self.max_filesize {
            response.limit(limit)?;
            limits = limits.with_bytes_max(limit);
        }
        match self.compressed {
            true => response.decode(limits),
            false => Ok(()),
        }
    }
}

/// A number of bytes, as curl has it: with `k`, `M`, `G`, `T` or `P` for powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "expected a number of bytes, such as 1000, 500k, 1.5M or 2G".to_owned();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).ok_or_else(usage)?;
        let power = match unit {
            "" | "b" | "B" => 0,
            "k" | "K" => 1,
            "m" | "M" => 2,
            "g" | "G" => 3,
            "t" | "T" => 4,
            "p" | "P" => 5,
            _ => return Err(usage()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| usage())?;
        // Thousandths are more than anyone means.
        let digits = fraction.get(..fraction.len().min(3)).unwrap_or_default();
        let thousandths: u64 = match digits {
            "" if fraction.is_empty() => 0,
            digits => format!("{digits:0<3}").parse().map_err(|_| usage())?,
        };
        let unit = 1024_u64.pow(power);
        let bytes = whole.checked_mul(unit).and_then(|bytes| {
            bytes.checked_add(unit / 1000 * thousandths + unit % 1000 * thousandths / 1000)
        });
        bytes.map(Self).ok_or_else(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_curls_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("10b", 10),
            ("1k", 1024),
            ("2K", 2048),
            ("1.5M", 1_572_864),
            ("1.5k", 1536),
            ("0.0625k", 63),
            ("3G", 3 << 30),
            ("2T", 2 << 40),
            ("1P", 1 << 50),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in [
            "",
            "k",
            "-1",
            "1x",
            "1kk",
            "1.x",
            ".5",
            "1..5",
            "99999999P",
            "1\u{b5}",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
