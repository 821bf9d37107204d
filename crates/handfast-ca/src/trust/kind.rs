//! Which store, and what is to be done to it.

/// A kind of trust store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// The operating system's.
    System,
    /// NSS databases: those of Chromium and of Firefox.
    Nss,
    /// Java's.
    Java,
}

impl StoreKind {
    /// All of them, in the order in which they are changed: on some systems Java's is made from the system's.
    pub const ALL: [Self; 3] = [Self::System, Self::Nss, Self::Java];

    /// Its name: `system`, `nss`, `java`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Nss => "nss",
            Self::Java => "java",
        }
    }
}

/// What is to be done to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The authority's certificate is to be trusted.
    Trust,
    /// The authority's certificate is not to be trusted any longer.
    Untrust,
}
