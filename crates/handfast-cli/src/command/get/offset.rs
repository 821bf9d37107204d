//! Where a download goes on: `-C`.

use std::str::FromStr;

/// Where a download goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offset {
    WhereItStopped,
    At(u64),
}

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::WhereItStopped),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let at = digits.parse();
                at.map(Self::At)
                    .map_err(|_| "expected a number of bytes, or `-`".into())
            }
            _ => Err("expected a number of bytes, or `-`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_numbers_or_a_dash() {
        assert_eq!("-".parse(), Ok(Offset::WhereItStopped));
        assert_eq!("12".parse(), Ok(Offset::At(12)));
        for bad in ["", "-1", "+1", "x", "18446744073709551616"] {
            assert!(bad.parse::<Offset>().is_err(), "{bad}");
        }
    }
}
