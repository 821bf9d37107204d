//! Fine, weak or broken, and why.

use std::fmt;

/// How much protection something gives today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing better is known to be needed.
    Fine,
    /// It still holds, with less margin than it should have: replace it.
    Weak,
    /// It does not hold.
    Broken,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "fine",
            Self::Weak => "weak",
            Self::Broken => "broken",
        })
    }
}

/// A grade and the reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Judgement {
    /// How much protection it gives.
    pub grade: Grade,
    /// Why, in a few words.
    pub reason: &'static str,
}

impl Judgement {
    pub(super) const fn fine(reason: &'static str) -> Self {
        Self {
            grade: Grade::Fine,
            reason,
        }
    }

    pub(super) const fn weak(reason: &'static str) -> Self {
        Self {
            grade: Grade::Weak,
            reason,
        }
    }

    pub(super) const fn broken(reason: &'static str) -> Self {
        Self {
            grade: Grade::Broken,
            reason,
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.grade, self.reason)
    }
}
