//! Suggestions for mistyped words.

use strsim::damerau_levenshtein;

/// Suggested only for a typo of one letter.
pub(crate) const DANGEROUS: [&str; 3] = ["insecure", "force", "revoke"];

/// The closest name: at most one letter in four wrong, or the only one with this prefix.
pub(crate) fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    const BEGINNING_MIN: usize = 3;
    let wrong = |name: &str| damerau_levenshtein(typed, name);
    let near = known
        .iter()
        .copied()
        .filter(|name| match DANGEROUS.contains(name) {
            true => wrong(name) <= 1,
            false => wrong(name) <= (name.len() / 4).max(1) && wrong(name) < typed.len(),
        })
        .min_by_key(|name| wrong(name));
    let begins = |name: &&&str| name.starts_with(typed) && !DANGEROUS.contains(name);
    near.or_else(|| {
        let mut found = known.iter().filter(begins);
        match (found.next(), found.next()) {
            (Some(one), None) if typed.len() >= BEGINNING_MIN => Some(*one),
            _ => None,
        }
    })
}
