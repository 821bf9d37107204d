//! How far a system goes along.

/// How far the system can do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Enforcement {
    /// All of it.
    Full,
    /// The system is too old for a part of it.
    Partial,
    /// The system cannot do it.
    Unsupported,
    /// It was not asked for.
    Unwanted,
}
