//! URLs that stand for many, as in curl: `{one,two}`, `[1-100]`, `[001-100:10]`, `[a-z]`; and `#1` in the name of a file, which
//! has what the first of them stands for.
//!
//! It uses nothing else of this crate: a fuzz target includes this file.

/// A URL with what varies in it. It is expanded one by one: a range may have more than fit into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    parts: Vec<Part>,
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Set(Vec<String>),
    /// With leading zeros to this width.
    Numbers {
        from: u64,
        step: u64,
        count: u64,
        width: usize,
    },
    Letters {
        from: u8,
        step: u8,
        count: u8,
    },
}

/// Why a URL stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) problem: &'static str,
    /// In bytes, from 1.
    pub(super) position: usize,
}

/// The most digits that a range keeps leading zeros for: as many as its numbers can have without any.
const DIGITS_MAX: usize = 20;

/// One URL, and what each varying part of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) url: String,
    pub(super) parts: Vec<String>,
}

impl Part {
    fn count(&self) -> u64 {
        match self {
            Self::Text(_) => 1,
            Self::Set(words) => words.len() as u64,
            Self::Numbers { count, .. } => *count,
            Self::Letters { count, .. } => (*count).into(),
        }
    }

    fn get(&self, index: u64) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Set(words) => usize::try_from(index)
                .ok()
                .and_then(|index| words.get(index).cloned())
                .unwrap_or_default(),
            Self::Numbers {
                from, step, width, ..
            } => {
                let number = from.saturating_add(step.saturating_mul(index));
                format!("{number:0width$}")
            }
            Self::Letters { from, step, .. } => {
                let index = u8::try_from(index).unwrap_or(u8::MAX);
                char::from(from.saturating_add(step.saturating_mul(index))).to_string()
            }
        }
    }
}

impl Glob {
    /// What stands for itself alone: `-g`.
    pub(super) fn plain(url: &str) -> Self {
        Self {
            parts: vec![Part::Text(url.to_owned())],
            count: 1,
        }
    }

    /// # Errors
    /// If what varies in it is malformed, or too much.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let behind = rest.get(first.len_utf8()..).unwrap_or_default();
            let position = text.len() - rest.len() + 1;
            let bad = |problem| Err(Malformed { problem, position });
            match first {
                // As in curl: what stands for itself.
                '\\' if behind.starts_with(['{', '}', '[', ']']) => {
                    literal.push_str(behind.get(..1).unwrap_or_default());
                    rest = behind.get(1..).unwrap_or_default();
                }
                '[' if is_address(behind) => {
                    literal.push(first);
                    rest = behind;
                }
                '{' | '[' => {
                    let close = if first == '{' { '}' } else { ']' };
                    let Some((inside, after)) = behind.split_once(close) else {
                        return bad("it has no end");
                    };
                    if inside.contains(['{', '[']) {
                        return bad("it has another one inside");
                    }
                    let part = match first {
                        '{' => Some(Part::Set(inside.split(',').map(str::to_owned).collect())),
                        _ => range(inside),
                    };
                    let Some(part) = part else {
                        return bad("it is no range such as 1-9, 01-10:2 or a-z");
                    };
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                    parts.push(part);
                    rest = after;
                }
                '}' => return bad("it has no beginning"),
                // A lone `]` ends an address.
                other => {
                    literal.push(other);
                    rest = behind;
                }
            }
        }
        parts.push(Part::Text(literal));
        let mut counts = parts.iter().map(Part::count);
        let count = counts.try_fold(1_u64, u64::checked_mul);
        match count {
            Some(count) => Ok(Self { parts, count }),
            None => Err(Malformed {
                problem: "it stands for too many URLs",
                position: 1,
            }),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The URL with this number. The last part varies first.
    pub(super) fn get(&self, number: u64) -> Expanded {
        let mut left = number;
        let mut texts = Vec::with_capacity(self.parts.len());
        for part in self.parts.iter().rev() {
            let count = part.count().max(1);
            texts.push(part.get(left % count));
            left /= count;
        }
        texts.reverse();
        let varying = self.parts.iter().zip(&texts);
        let varying = varying.filter(|(part, _)| !matches!(part, Part::Text(_)));
        Expanded {
            parts: varying.map(|(_, text)| text.clone()).collect(),
            url: texts.concat(),
        }
    }
}

impl Expanded {
    /// A file's name, with `#1` replaced by the first varying part; a number that there is no part for stays.
    pub(super) fn name(&self, pattern: &str) -> String {
        let mut name = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some((before, behind)) = rest.split_once('#') {
            name.push_str(before);
            let end = behind
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(behind.len());
            let (digits, after) = behind.split_at(end);
            let number = digits.parse::<usize>().ok();
            let part = number.and_then(|number| self.parts.get(number.checked_sub(1)?));
            match part {
                Some(part) => name.push_str(part),
                None => {
                    name.push('#');
                    name.push_str(digits);
                }
            }
            rest = after;
        }
        name.push_str(rest);
        name
    }
}

/// Is this the rest of an address of IPv6 in brackets, with or without a zone?
fn is_address(behind: &str) -> bool {
    let inside = behind.split_once(']').map(|(inside, _)| inside);
    let address = inside.and_then(|inside| inside.split('%').next());
    address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn range(text: &str) -> Option<Part> {
    let (ends, step) = match text.split_once(':') {
        Some((ends, step)) => (ends, step.parse::<u64>().ok().filter(|step| *step > 0)?),
        None => (text, 1),
    };
    let (from, to) = ends.split_once('-')?;
    if let ([from], [to]) = (from.as_bytes(), to.as_bytes())
        && from.is_ascii_alphabetic()
        && to.is_ascii_alphabetic()
    {
        let span = to.checked_sub(*from)?;
        let step = u8::try_from(step).ok()?;
        return Some(Part::Letters {
            from: *from,
            step,
            count: span / step + 1,
        });
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(from) || !is_number(to) {
        return None;
    }
    if from.len() > DIGITS_MAX {
        return None;
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
    Some(Part::Numbers {
        from,
        step,
        count: (to.checked_sub(from)? / step).checked_add(1)?,
        width,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn urls(text: &str) -> Vec<String> {
        let glob = Glob::parse(text).unwrap();
        (0..glob.count())
            .map(|number| glob.get(number).url)
            .collect()
    }

    #[test]
    fn urls_are_expanded_as_by_curl() {
        for (text, expected) in [
            ("h/a", &["h/a"][..]),
            ("h/{a,b}", &["h/a", "h/b"]),
            ("h/{a,}", &["h/a", "h/"]),
            ("h/[1-3]", &["h/1", "h/2", "h/3"]),
            ("h/[08-10]", &["h/08", "h/09", "h/10"]),
            ("h/[001-010:4]", &["h/001", "h/005", "h/009"]),
            ("h/[a-e:2]", &["h/a", "h/c", "h/e"]),
            ("{a,b}/[1-2]", &["a/1", "a/2", "b/1", "b/2"]),
            ("h/\\{a\\}", &["h/{a}"]),
            ("[::1]:8443/[1-2]", &["[::1]:8443/1", "[::1]:8443/2"]),
            ("[fe80::1%25eth0]/", &["[fe80::1%25eth0]/"]),
        ] {
            assert_eq!(urls(text), expected, "{text}");
        }
        for bad in [
            "{a",
            "[1-",
            "[x]",
            "[3-1]",
            "[z-a]",
            "[1-2:0]",
            "{a,{b}}",
            "a}",
            "[1-9][0-18446744073709551615]",
            "[a-2]",
        ] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_with_very_many_leading_zeros_are_refused() {
        for digits in [21, 70_000] {
            let zeros = "0".repeat(digits);
            assert!(Glob::parse(&format!("h/[{zeros}-{zeros}]")).is_err());
        }
        let most = "0".repeat(20);
        assert_eq!(urls(&format!("[{most}-1]")).len(), 2);
    }

    #[test]
    fn names_have_what_varies() {
        let one = Glob::parse("h/{a,b}/[01-20]").unwrap().get(20);
        for (pattern, expected) in [
            ("#1_#2.html", "b_01.html"),
            ("#2#1", "01b"),
            ("#3#0#", "#3#0#"),
            ("plain", "plain"),
        ] {
            assert_eq!(one.name(pattern), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_expanded_or_refused(text in "[a-c0-9{}\\[\\],:#\\\\-]{0,16}") {
            if let Ok(glob) = Glob::parse(&text) {
                prop_assert!(glob.count() >= 1);
                let last = glob.get(glob.count() - 1);
                let _ = last.name(&text);
            }
        }
    }
}
