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

    /// The value for a name as clients ask for it, in lower case: its own, or that of the wildcard.
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
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
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase().into_boxed_str()
}
