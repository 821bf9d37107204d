//! TLS's numbers by name, and what to think of each: versions, cipher suites, groups, signature schemes.
//!
//! Owns the tables of IANA's registries, as far as what they list was deployed, and the judgement on each entry.
//! What is read off the wire by hand, from a client's offer to a probe's answer, is told by these names.
//!
//! ```
//! use handfast::registry::{Grade, GroupId, SuiteId, WireVersion};
//! assert_eq!(SuiteId(0x1301).name(), "TLS_AES_128_GCM_SHA256");
//! assert_eq!(GroupId(29).name(), "x25519");
//! assert_eq!(WireVersion::Tls10.judgement().grade, Grade::Weak);
//! ```

mod groups;
mod judgement;
mod schemes;
mod suites;
mod version;

pub use groups::GroupId;
pub use judgement::{Grade, Judgement};
pub use schemes::SchemeId;
pub use suites::SuiteId;
pub use version::WireVersion;
