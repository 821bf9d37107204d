//! The certificates of each site: read from files, or made by the local authority; and whether they are fit for it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use handfast::{CertificateFacts, Identity, Passphrase, SubjectAltName};
use handfast_ca::{Authority, CaError, Constraints, InitOptions, IssueRequest, Issued};

use super::certificates::{Kept, Origin, Remarks, Shown, SiteIdentities, Trusted};
use super::config::choices::Kind;
use super::config::{Place, Problem};
use super::held::Held;
use super::judge;
use super::names::{OwnNames, own_names};
use super::settings::{Certificate, Settings, Site};
use super::warnings::{self, Warning};
use crate::clock::unix_now;
use crate::data_dir;
use crate::failure::Failure;

/// The most names of a certificate in a message.
const NAMES_SHOWN_MAX: usize = 5;

/// Whether something may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To serve: the local authority makes what is missing.
    Serve,
    /// To check: nothing is made.
    Check,
}

/// Whether the status listener needs a certificate besides those of the sites, all of which have names.
pub(super) fn needs_name_for_status(settings: &Settings) -> bool {
    settings.status.is_some() && settings.sites.iter().all(|site| !site.names.is_empty())
}

/// The certificates of every site. What is wrong is added to `problems`.
pub(super) fn gather(
    settings: &Settings,
    held: &mut Held,
    purpose: Purpose,
    problems: &mut Vec<Problem>,
    remarks: &mut Remarks,
) -> SiteIdentities {
    let mut all = SiteIdentities::default();
    let ca = data_dir::ca_dir(settings.ca_dir.clone()).ok();
    let ca = ca.as_deref();
    let common = read_all(&settings.certificates, held, ca, problems, remarks);
    let mut local = Local::default();
    for site in &settings.sites {
        let shown = if !site.certificates.is_empty() {
            let before = problems.len();
            let shown = read_all(&site.certificates, held, ca, problems, remarks);
            if problems.len() == before {
                check_names(site, shown.iter().collect(), problems);
            }
            shown
        } else if !settings.certificates.is_empty() {
            let fitting = check_names(site, common.iter().collect(), problems);
            fitting.into_iter().cloned().collect()
        } else if let Some(identity) = held.local.instead(settings, &site.names) {
            vec![Shown {
                identity,
                origin: Origin::LocalBefore,
            }]
        } else {
            match local.identity(settings, site, purpose, remarks) {
                Ok(Some(identity)) => {
                    let key = Kept::key(settings, &site.names);
                    held.local.0.insert(key, identity.clone());
                    vec![Shown {
                        identity,
                        origin: Origin::Local,
                    }]
                }
                Ok(None) => Vec::new(),
                Err(failure) => {
                    let place = site.names.first().map(|name| &name.place);
                    problems.push(Problem::of(place.unwrap_or(&Place::Unset), failure));
                    Vec::new()
                }
            }
        };
        all.sites.push(shown);
    }
    if let Some(status) = settings.status.filter(|_| needs_name_for_status(settings)) {
        let of_first = all.sites.iter().flatten().next().cloned();
        let own = local.for_status(settings, status.0, held, purpose, remarks);
        all.status = own.or(of_first);
    }
    all.authority = local.trusted;
    all.own_names = local.own_names;
    let listen = settings.addresses(Kind::Https);
    all.names_addresses = !all.own_names.permitted.is_empty()
        && listen.iter().any(|address| address.ip().is_unspecified());
    all
}

/// `ca`: the directory of the local authority.
fn read_all(
    certificates: &[Certificate],
    held: &mut Held,
    ca: Option<&Path>,
    problems: &mut Vec<Problem>,
    remarks: &mut Remarks,
) -> Vec<Shown> {
    let mut shown = Vec::new();
    for certificate in certificates {
        match held.identity(certificate) {
            Ok(identity) => {
                let length = identity.chain().len();
                let about = warnings::about(identity.facts(), length, unix_now());
                let at_place = about.into_iter().map(|warning| Warning {
                    place: certificate.chain.place.clone(),
                    ..warning
                });
                remarks.warnings.extend(at_place);
                let revoked = ca.and_then(|ca| judge::revoked(certificate, &identity, ca));
                remarks.warnings.extend(revoked);
                shown.push(Shown {
                    identity,
                    origin: Origin::Given(certificate.chain.value.clone()),
                });
            }
            Err(failure) => {
                let key = certificate.key.as_ref();
                let key = key.filter(|_| ABOUT_KEYS.contains(&failure.explanation.id));
                let place = key.map_or(&certificate.chain.place, |key| &key.place);
                problems.push(Problem::of(place, failure));
            }
        }
    }
    shown
}

/// What is wrong with a key, not with the chain.
const ABOUT_KEYS: [&str; 10] = [
    "private-key-missing",
    "public-key-given",
    "key-parameters-only",
    "several-private-keys",
    "passphrase-needed",
    "wrong-passphrase",
    "unsupported-key-encryption",
    "unsupported-key-type",
    "key-size-refused",
    "key-mismatch",
];

/// Every name of a site must be in a certificate. Gives the certificates that have one of them; all for a site without
/// names.
fn check_names<'s>(
    site: &Site,
    shown: Vec<&'s Shown>,
    problems: &mut Vec<Problem>,
) -> Vec<&'s Shown> {
    for name in &site.names {
        if shown.iter().any(|one| covers(one.facts(), &name.value)) {
            continue;
        }
        let mut names: Vec<String> = shown
            .iter()
            .flat_map(|one| &one.facts().names)
            .map(ToString::to_string)
            .collect();
        names.dedup();
        let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
        names.truncate(NAMES_SHOWN_MAX);
        let mut list = names.join(", ");
        if more > 0 {
            list.push_str(&format!(" and {more} more"));
        }
        let what = format!("no certificate of this site is for {}", name.value);
        let mut problem = Problem::new(name.place.clone(), what)
            .with_fix("have a certificate issued for the name, or remove the name from the site");
        if !list.is_empty() {
            let explanation = problem.failure.explanation;
            problem.failure.explanation =
                explanation.with_evidence(format!("its certificates are for {list}"));
        }
        problems.push(problem);
    }
    match site.names.is_empty() {
        true => shown,
        false => shown
            .into_iter()
            .filter(|one| {
                site.names
                    .iter()
                    .any(|name| covers(one.facts(), &name.value))
            })
            .collect(),
    }
}

/// Whether a certificate is for this name; for `*.example.org`, for all that it stands for.
fn covers(facts: &CertificateFacts, name: &str) -> bool {
    let address = name.parse::<IpAddr>().ok();
    facts.names.iter().any(|found| match (found, address) {
        (SubjectAltName::Ip(found), Some(address)) => *found == address,
        (SubjectAltName::Dns(found), None) => {
            let found = found.trim_end_matches('.').to_ascii_lowercase();
            let parent = name.split_once('.').map(|(_, parent)| parent);
            found == name
                || found
                    .strip_prefix("*.")
                    .is_some_and(|below| parent == Some(below))
        }
        _ => false,
    })
}

fn of_files(issued: &Issued) -> Result<Identity, Failure> {
    Identity::from_files(&issued.chain_file, &issued.key_file, Passphrase::none())
        .map_err(|error| Failure::from(handfast::Error::from(error)))
}

/// A site of other names than the authority may sign for usually lacks a certificate of another one.
fn not_signed(error: CaError, site: &Site) -> Failure {
    let refused = match &error {
        CaError::NotPermitted { name, .. } if !site.names.is_empty() => name.clone(),
        _ => return error.into(),
    };
    let mut failure = Failure::from(error);
    failure.explanation.what =
        format!("this site has no certificate, and the local authority may not sign for {refused}");
    failure.explanation.fix = vec![
        "add [[site.certificate]] with chain = \"FILE\" and key = \"FILE\" below this [[site]]"
            .to_owned(),
    ];
    failure
}

/// The local authority, opened when it is needed.
#[derive(Default)]
struct Local {
    authority: Option<Authority>,
    trusted: Option<Trusted>,
    own_names: OwnNames,
}

impl Local {
    /// A certificate of the local authority for a site.
    fn identity(
        &mut self,
        settings: &Settings,
        site: &Site,
        purpose: Purpose,
        remarks: &mut Remarks,
    ) -> Result<Option<Identity>, Failure> {
        let directory = data_dir::ca_dir(settings.ca_dir.clone())?;
        if purpose == Purpose::Check && !directory.join("ca.pem").exists() {
            let names = self.names(settings, site, &Constraints::local());
            let made = "there is no local authority yet: the first start makes it";
            remarks
                .notes
                .push(format!("{made}, in {}", directory.display()));
            let checked = IssueRequest::server(names).check(&Constraints::local());
            checked.map_err(|error| not_signed(error, site))?;
            return Ok(None);
        }
        if self.authority.is_none() {
            let authority = match purpose {
                Purpose::Check => Authority::open(&directory)?,
                Purpose::Serve => {
                    let options = InitOptions::default();
                    let (authority, made) = Authority::open_or_init(&directory, &options)?;
                    if made {
                        remarks.notes.push(format!(
                            "created a local certificate authority in {}: it can sign only for local names",
                            directory.display()
                        ));
                    }
                    authority
                }
            };
            self.trusted = Some(Trusted {
                file: authority.certificate_file(),
                is_default: settings.ca_dir.is_none(),
            });
            self.authority = Some(authority);
        }
        let Some(authority) = self.authority.take() else {
            return Ok(None);
        };
        let names = self.names(settings, site, authority.permitted());
        let request = IssueRequest::server(names);
        let issued = match purpose {
            Purpose::Check => request.check(authority.permitted()).map(|()| None),
            Purpose::Serve => authority
                .issue_or_reuse(&request)
                .map(|(issued, _)| Some(issued)),
        };
        self.authority = Some(authority);
        let Some(issued) = issued.map_err(|error| not_signed(error, site))? else {
            return Ok(None);
        };
        of_files(&issued).map(Some)
    }

    /// A certificate for the address of the status listener, if there is an authority: none is made for that.
    fn for_status(
        &mut self,
        settings: &Settings,
        address: SocketAddr,
        held: &mut Held,
        purpose: Purpose,
        remarks: &mut Remarks,
    ) -> Option<Shown> {
        if let Some(identity) = held.local.instead(settings, &[]) {
            let origin = Origin::LocalBefore;
            return Some(Shown { identity, origin });
        }
        let directory = data_dir::ca_dir(settings.ca_dir.clone()).ok()?;
        if purpose == Purpose::Check || !directory.join("ca.pem").exists() {
            return None;
        }
        match self.issue_for_status(settings, address, &directory) {
            Ok(identity) => {
                let key = Kept::key(settings, &[]);
                held.local.0.insert(key, identity.clone());
                let origin = Origin::Local;
                Some(Shown { identity, origin })
            }
            // The sites do not need it.
            Err(failure) => {
                remarks.warnings.push(Warning {
                    place: Place::Unset,
                    text: format!(
                        "the status page has a certificate of a site, not one for localhost: {}",
                        failure.explanation.what
                    ),
                    is_fatal: false,
                });
                None
            }
        }
    }

    fn issue_for_status(
        &mut self,
        settings: &Settings,
        address: SocketAddr,
        directory: &Path,
    ) -> Result<Identity, Failure> {
        let authority = match self.authority.take() {
            Some(authority) => authority,
            None => Authority::open(directory)?,
        };
        let names = own_names(
            &[address],
            &settings.certificate_names,
            authority.permitted(),
        );
        let issued = authority.issue_or_reuse(&IssueRequest::server(names.permitted));
        self.authority = Some(authority);
        of_files(&issued?.0)
    }

    fn names(
        &mut self,
        settings: &Settings,
        site: &Site,
        constraints: &Constraints,
    ) -> Vec<String> {
        if !site.names.is_empty() {
            return site.names.iter().map(|name| name.value.clone()).collect();
        }
        let listen: Vec<SocketAddr> = settings.addresses(Kind::Https);
        self.own_names = own_names(&listen, &settings.certificate_names, constraints);
        self.own_names.permitted.clone()
    }
}
