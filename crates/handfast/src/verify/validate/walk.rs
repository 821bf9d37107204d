//! One path, in the form that the rules use.

use std::cell::RefCell;

use pki_types::TrustAnchor;

use super::super::constraints::Budget;
use super::certificate::Certificate;
use super::paths::{End, Path, Paths, Trusted};
use super::question::Question;
use crate::trust::AnchorLimits;

/// One path and the inputs of its validation.
pub(super) struct Walk<'w, 'q> {
    pub(super) question: &'w Question<'q>,
    pub(super) paths: &'w Paths<'q>,
    pub(super) path: &'w Path,
    /// The path's certificates, end entity first, without the trusted one that it ends at.
    pub(super) certificates: Vec<&'w Certificate<'q>>,
    /// The remaining comparisons of names with constraints, for all paths together.
    pub(super) comparisons: &'w RefCell<Budget>,
}

impl<'w, 'q> Walk<'w, 'q> {
    pub(super) fn along(
        question: &'w Question<'q>,
        paths: &'w Paths<'q>,
        path: &'w Path,
        comparisons: &'w RefCell<Budget>,
    ) -> Self {
        let certificates = path
            .certificates
            .iter()
            .filter_map(|position| paths.sent.get(*position))
            .collect();
        Self {
            question,
            paths,
            path,
            certificates,
            comparisons,
        }
    }

    pub(super) fn end_entity(&self) -> Option<&'w Certificate<'q>> {
        self.certificates.first().copied()
    }

    /// The sent certificates that issued another one.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &'w Certificate<'q>> {
        self.certificates.iter().skip(1).copied()
    }

    pub(super) fn trusted(&self) -> Option<&'w Trusted<'q>> {
        match self.path.end {
            End::Trusted(position) => self.paths.trusted.get(position),
            End::Nowhere(_) => None,
        }
    }

    /// The certificate of the trust anchor that the path ends at.
    pub(super) fn anchor(&self) -> Option<&'w Certificate<'q>> {
        let trusted = self.trusted().filter(|trusted| trusted.is_anchor())?;
        Some(&trusted.certificate)
    }

    /// Its limits.
    pub(super) fn anchor_limits(&self) -> Option<&'q AnchorLimits> {
        self.trusted()?.limits
    }

    /// The trust anchor in webpki's form.
    pub(super) fn webpki_anchor(&self) -> Option<&'q TrustAnchor<'static>> {
        self.trusted()?.webpki
    }

    /// The number of intermediates below position `above`, without self-issued ones (RFC 5280, 6.1.4 l).
    pub(super) fn counted_below(&self, above: usize) -> usize {
        self.certificates
            .iter()
            .take(above)
            .skip(1)
            .filter(|certificate| !certificate.is_self_issued())
            .count()
    }
}
