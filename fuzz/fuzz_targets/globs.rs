//! URLs that stand for many: the same ones as a second, simple expansion has, and never more text than was typed for each; and the
//! names of files that are made of them.
#![no_main]

use handfast_fuzz::Input;
use libfuzzer_sys::fuzz_target;

// The binary is no library; this file of it uses nothing else of it.
#[path = "../../crates/handfast-cli/src/command/get/globs.rs"]
mod globs;

use globs::{Expanded, Glob};

/// More are not compared one by one.
const COUNT_MAX: u64 = 500;

/// A set or a range without its brackets; `None` for what is none, or has too many.
fn choices(inside: &str, is_set: bool) -> Option<Vec<String>> {
    if is_set {
        return Some(inside.split(',').map(str::to_owned).collect());
    }
    let (ends, step) = inside.split_once(':').unwrap_or((inside, "1"));
    let step: usize = step.parse().ok()?;
    let (from, to) = ends.split_once('-')?;
    let letter = |text: &str| {
        let mut chars = text.chars();
        let first = chars.next().filter(char::is_ascii_alphabetic);
        first.filter(|_| chars.next().is_none())
    };
    if let (Some(from), Some(to)) = (letter(from), letter(to)) {
        return Some((from..=to).step_by(step).map(String::from).collect());
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
    if to.saturating_sub(from) / step as u64 > COUNT_MAX {
        return None;
    }
    let numbers = (from..=to).step_by(step);
    Some(numbers.map(|number| format!("{number:0width$}")).collect())
}

/// What a text stands for, if it has no backslashes and no addresses: the first brackets, then the rest of it.
fn expand(text: &str) -> Option<Vec<String>> {
    let Some(open) = text.find(['{', '[']) else {
        return Some(vec![text.to_owned()]);
    };
    let (before, from) = text.split_at(open);
    let is_set = from.starts_with('{');
    let (inside, after) = from[1..].split_once(if is_set { '}' } else { ']' })?;
    let rests = expand(after)?;
    let choices = choices(inside, is_set)?;
    if rests.len() * choices.len() > COUNT_MAX as usize {
        return None;
    }
    let with = |choice: &String| {
        let front = format!("{before}{choice}");
        rests
            .iter()
            .map(move |rest| format!("{front}{rest}"))
            .collect::<Vec<_>>()
    };
    Some(choices.iter().flat_map(with).collect())
}

/// Every `#` with a number, replaced.
fn name(pattern: &str, parts: &[String]) -> String {
    let mut name = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..count].parse::<usize>().ok().filter(|_| first == '#');
        match number.filter(|number| (1..=parts.len()).contains(number)) {
            Some(number) => {
                name.push_str(&parts[number - 1]);
                rest = &rest[count..];
            }
            None => name.push(first),
        }
    }
    name
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let number = u64::from(input.short());
    let pattern = String::from_utf8_lossy(input.string()).into_owned();
    let text = String::from_utf8_lossy(input.0).into_owned();
    let glob = match Glob::parse(&text) {
        Ok(glob) => glob,
        Err(malformed) => {
            assert!((1..=text.len().max(1)).contains(&malformed.position));
            assert!(!malformed.problem.is_empty());
            return;
        }
    };
    let count = glob.count();
    assert!(count >= 1);
    for number in [0, number % count, count - 1] {
        let Expanded { url, parts } = glob.get(number);
        // A number in place of its range has at most as many digits as the end of that.
        assert!(url.len() <= text.len(), "{url}");
        assert!(parts.iter().all(|part| url.contains(part.as_str())));
        let named = glob.get(number).name(&pattern);
        assert_eq!(named, name(&pattern, &parts));
    }
    assert_eq!(Glob::plain(&text).get(0).url, text);
    if count <= COUNT_MAX
        && !text.contains(['\\', '%', '+'])
        && !text.contains("::")
        && let Some(expected) = expand(&text)
    {
        let all: Vec<_> = (0..count).map(|number| glob.get(number).url).collect();
        assert_eq!(all, expected);
    }
});
