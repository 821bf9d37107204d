//! Values by a server's DNS name, as certificates spell names.

use std::collections::HashMap;

/// Values by DNS name, in any case; `*.example.org` for each name that is one label longer than `example.org`.
#[derive(Debug)]
pub(crate) struct ByName<T>(HashMap<Box<str>, T>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> ByName<T> {
    pub(crate) fn entry_or_default(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        self.0.entry(key_of(name)).or_default()
    }

    pub(crate) fn insert(&mut self, name: &str, value: T) {
        self.0.insert(key_of(name), value);
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(&key_of(name)).is_some()
    }

    /// The value for a name as clients ask for it, in lower case: its own, or that of the wildcard. A client may send the root's dot,
    /// although it must not (RFC 6066, section 3); rustls-pki-types removes it since 1.16.
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        let name = without_root(name);
        self.0.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.0.get(format!("*.{parent}").as_str())
        })
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// The names and their values, in the order of the names.
    pub(crate) fn sorted(&self) -> Vec<(&str, &T)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| (&**name, value))
            .collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    /// As [`sorted`](Self::sorted).
    pub(crate) fn into_sorted(self) -> Vec<(Box<str>, T)> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// In lower case, without the root's dot.
pub(crate) fn key_of(name: &str) -> Box<str> {
    without_root(name).to_ascii_lowercase().into_boxed_str()
}

fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_the_dot_of_the_root() {
        let mut values = ByName::default();
        values.insert("Exact.Example.Org.", 1);
        values.insert("*.example.org", 2);
        for (name, expected) in [
            ("exact.example.org", Some(1)),
            ("exact.example.org.", Some(1)),
            ("a.example.org", Some(2)),
            ("a.example.org.", Some(2)),
            ("a.b.example.org.", None),
            ("example.org.", None),
            ("exact.example.org..", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(values.find(name).copied(), expected, "{name:?}");
        }
        assert!(values.remove("EXACT.example.org"));
    }
}
