//! What is known of the certificates that are served: each with where it is from, and what was remarked on the way.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;

use handfast::{CertificateFacts, Identity, ServerName, SubjectAltName};

use super::config::{At, Text};
use super::names::OwnNames;
use super::settings::Settings;
use super::warnings::Warning;
use crate::data_dir;

/// A site's certificate, and where it is from.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) identity: Identity,
    pub(super) origin: Origin,
}

impl Shown {
    pub(super) fn facts(&self) -> &CertificateFacts {
        self.identity.facts()
    }
}

/// A name that a server's certificate is for; of a wildcard, one that it matches.
pub(super) fn any_name(facts: &CertificateFacts) -> Option<ServerName> {
    let names = facts.names.iter();
    let mut names = names.filter(|name| name.never_matches().is_none());
    names.find_map(|name| match name {
        SubjectAltName::Dns(name) => ServerName::parse(&name.replacen('*', "www", 1)).ok(),
        SubjectAltName::Ip(address) => ServerName::parse(&address.to_string()).ok(),
        _ => None,
    })
}

/// Where a certificate is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// This file.
    Given(PathBuf),
    /// The local authority.
    Local,
    /// The local authority, when this process could still use it.
    LocalBefore,
}

/// What the local authority issued, by what it was issued for.
#[derive(Default)]
pub(super) struct Kept(pub(super) HashMap<IssuedFor, Identity>);

#[derive(PartialEq, Eq, Hash)]
pub(super) struct IssuedFor {
    directory: Option<PathBuf>,
    site: Vec<String>,
    further: Vec<String>,
}

impl Kept {
    /// `names`: those of a site, if it has some.
    pub(super) fn key(settings: &Settings, names: &[At<String>]) -> IssuedFor {
        let names = names.iter().map(|name| name.value.clone());
        IssuedFor {
            directory: settings.ca_dir.clone(),
            site: names.collect(),
            further: settings.certificate_names.clone(),
        }
    }

    /// The identity from before, if this process became a user that may not use the authority: it is good until it expires, and
    /// other changes are not held up.
    pub(super) fn instead(&self, settings: &Settings, names: &[At<String>]) -> Option<Identity> {
        let directory = data_dir::ca_dir(settings.ca_dir.clone()).ok()?;
        let opened = File::open(directory.join("ca.pem"));
        let is_refused = opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        let kept = self.0.get(&Self::key(settings, names));
        kept.filter(|_| is_refused).cloned()
    }
}

/// The certificates of all sites, in the order of the settings.
#[derive(Default)]
pub(super) struct SiteIdentities {
    pub(super) sites: Vec<Vec<Shown>>,
    /// For those who ask the status listener for a name that no site has, if all sites have names.
    pub(super) status: Option<Shown>,
    /// The local authority, if it issued one of them.
    pub(super) authority: Option<Trusted>,
    /// Those of this machine that the local certificate of the default site names.
    pub(super) own_names: OwnNames,
    /// Whether it names addresses that this machine may lose.
    pub(super) names_addresses: bool,
}

/// The local authority's certificate.
pub(super) struct Trusted {
    pub(super) file: PathBuf,
    /// Whether `handfast get` trusts it by default.
    pub(super) is_default: bool,
}

/// What was found besides what is wrong.
#[derive(Default)]
pub(super) struct Remarks {
    pub(super) warnings: Vec<Warning>,
    pub(super) notes: Vec<String>,
}

impl Remarks {
    /// The warnings, with their places.
    pub(super) fn shown(&self, text: Option<&Text>) -> Vec<String> {
        let warnings = self.warnings.iter();
        warnings.map(|warning| warning.shown(text)).collect()
    }
}
