//! Trust stores of this machine: the authority's certificate put in, and taken out again.
//!
//! A change is planned first, as [`Step`]s, from what a store holds; then the steps are done; then the store is read
//! again. So a dry run shows exactly what would happen, a change that is in effect already has no steps, and "done" is
//! what the store says, not what a tool's exit code says.
//!
//! Here: which stores, in which order. `store.rs` has what they have in common, and below is what each is like.

mod error;
mod java;
mod kind;
mod nss;
mod step;
mod store;
mod system;
mod tool;

pub use error::StoreError;
pub use kind::{Change, StoreKind};
pub use step::Step;
pub use store::{Outcome, Places, StoreReport};
pub use tool::{Tool, ToolProblem};

use crate::authority::Authority;
use store::Anchor;

/// How many digits of the fingerprint are in the name: 64 bits, so that two authorities never share it.
const NAME_DIGITS: usize = 16;

impl Authority {
    /// The name that the authority's certificate has in trust stores: `handfast-ca-` and the beginning of its
    /// fingerprint.
    pub fn store_name(&self) -> String {
        let digits: String = self.sha256().chars().take(NAME_DIGITS).collect();
        format!("handfast-ca-{digits}")
    }

    /// Puts the authority's certificate into trust stores of this machine, or takes it out: of these kinds, or of each
    /// that is found. Each store has its report; one that fails does not stop the others.
    ///
    /// A store is changed only as far as this very certificate is concerned, whatever its name there is. The tools that
    /// come with the stores do it; they inherit the environment, get no input and are killed at a deadline.
    ///
    /// With `dry_run`, nothing is changed: the stores are read, and the steps are reported.
    pub fn change_trust(
        &self,
        change: Change,
        kinds: &[StoreKind],
        places: &Places,
        dry_run: bool,
    ) -> Vec<StoreReport> {
        let anchor = self.anchor();
        // What is made from the system's store is fine as long as that one is changed, too.
        let follows = kinds.is_empty() || kinds.contains(&StoreKind::System);
        let mut reports = Vec::new();
        for kind in StoreKind::ALL {
            if !kinds.is_empty() && !kinds.contains(&kind) {
                continue;
            }
            let is_named = kinds.contains(&kind);
            let found = match kind {
                StoreKind::System => system::find(places),
                StoreKind::Nss => nss::find(places, is_named && change == Change::Trust),
                StoreKind::Java => java::find(places, change, follows),
            };
            match found {
                Ok(stores) => reports.extend(
                    stores
                        .iter()
                        .map(|store| store.report(change, &anchor, dry_run)),
                ),
                Err(report) => reports.push(*report),
            }
        }
        reports
    }

    fn anchor(&self) -> Anchor {
        Anchor {
            name: self.store_name(),
            der: self.certificate().clone(),
            file: self.certificate_file(),
        }
    }
}
