//! From settings to what serves: a context with every site's certificates and clients, and the sites' files.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use handfast::{
    ClientAuth, ClientPolicy, Explanation, Identities, Identity, KeyLog, ServerContext, TlsVersion,
};
use handfast_ca::Authority;
use handfast_files::Files;
use handfast_https::server::ALPN;
use handfast_site::{Guard, SiteTable};

use super::answers;
use super::certificates::{Remarks, Shown, SiteIdentities};
use super::config::choices::Demand;
use super::config::{At, Place, Problem};
use super::held::Held;
use super::identities::{self, Purpose, needs_name_for_status};
use super::judge;
use super::lists::{Lists, Look};
use super::settings::{Clients, Settings, Site};
use super::warnings::Warning;
use crate::data_dir;
use crate::failure::{Failure, code};
use crate::passphrase::PassphraseSource;
use crate::trust_args::trust_problems;

/// Everything that was read.
pub(super) struct Prepared {
    pub(super) context: ServerContext,
    /// That of the status listener.
    pub(super) of_status: ServerContext,
    /// The template for the next context, when a list has changed.
    pub(super) template: Template,
    pub(super) identities: SiteIdentities,
    pub(super) sites: SiteTable,
}

/// All inputs of a context.
pub(super) struct Template {
    identities: Identities,
    /// For clients that ask for another name, or for none.
    fallback: Option<Identity>,
    /// The same for the status listener, if the sites have none.
    of_status: Option<Identity>,
    versions: Vec<TlsVersion>,
    groups: Vec<Group>,
    key_log: Option<KeyLog>,
}

/// Sites that accept the same clients.
struct Group {
    clients: Clients,
    /// The names of these sites.
    names: Vec<String>,
    /// Whether the default site is one of them.
    is_default: bool,
    auth: ClientAuth,
    lists: Option<Rc<RefCell<Lists>>>,
}

impl Group {
    fn policy(&self) -> ClientPolicy {
        let mut policy = ClientPolicy::new(self.auth.clone());
        if let Some(lists) = &self.lists {
            policy = policy.with_revocation_lists(lists.borrow().in_use());
        }
        if let Some(depth) = self.clients.depth {
            policy = policy.with_chain_depth_max(depth);
        }
        policy
    }
}

impl Template {
    /// A context with the lists in use, which replaces another.
    pub(super) fn build(
        &self,
        predecessor: Option<&ServerContext>,
    ) -> Result<ServerContext, handfast::Error> {
        let default = self.groups.iter().find(|group| group.is_default);
        self.build_with(self.fallback.as_ref(), default, predecessor)
    }

    /// The context of the status listener beside that of the sites. It has an identity for every name that is asked for: whoever
    /// watches a server connects to its address, which no site may have among its names.
    pub(super) fn build_for_status(
        &self,
        sites: &ServerContext,
    ) -> Result<ServerContext, handfast::Error> {
        match &self.of_status {
            None => Ok(sites.clone()),
            // Otherwise this way in would be open to clients that the sites refuse.
            Some(identity) => self.build_with(Some(identity), self.groups.first(), Some(sites)),
        }
    }

    /// `default`: whose clients are accepted under names that no site has.
    fn build_with(
        &self,
        fallback: Option<&Identity>,
        default: Option<&Group>,
        predecessor: Option<&ServerContext>,
    ) -> Result<ServerContext, handfast::Error> {
        let mut builder = ServerContext::builder()
            .identities(&self.identities)
            .alpn(ALPN)
            .versions(self.versions.clone());
        if let Some(fallback) = fallback {
            builder = builder.identity(fallback.clone());
        }
        for group in &self.groups {
            if default.is_some_and(|default| std::ptr::eq(default, group)) {
                builder = builder.client_auth(group.auth.clone());
                if let Some(lists) = &group.lists {
                    builder = builder.revocation_lists(lists.borrow().in_use());
                }
                if let Some(depth) = group.clients.depth {
                    builder = builder.chain_depth_max(depth);
                }
            }
            for name in &group.names {
                builder = builder.client_policy_for(name, group.policy());
            }
        }
        if let Some(log) = &self.key_log {
            builder = builder.key_log(log.clone());
        }
        if let Some(predecessor) = predecessor {
            builder = builder.succeeding(predecessor);
        }
        builder.build()
    }

    /// Checks the revocation lists again.
    pub(super) fn look_at_lists(&self) -> Look {
        let mut all = Look::default();
        for lists in self.groups.iter().filter_map(|group| group.lists.as_ref()) {
            let look = lists.borrow_mut().look();
            all.changed |= look.changed;
            all.notes.extend(look.notes);
            all.warnings.extend(look.warnings);
        }
        all
    }
}

/// Reads every file that the settings name.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn prepare(
    settings: &Settings,
    held: &mut Held,
    open_files_max: usize,
    predecessor: Option<&ServerContext>,
    remarks: &mut Remarks,
) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let read = read(
        settings,
        held,
        open_files_max,
        Purpose::Serve,
        &mut problems,
        remarks,
    );
    if !problems.is_empty() {
        return Err(problems);
    }
    let at_once = |error| vec![Problem::of(&Place::Unset, error)];
    let mut template = read.template;
    let mut context = template.build(predecessor).map_err(at_once)?;
    // Last: these create files.
    held.logs.open(settings).map_err(|problem| vec![*problem])?;
    if let Some(path) = &settings.key_log {
        let log = held.key_log(path);
        template.key_log = Some(log.map_err(|failure| vec![Problem::of(&path.place, failure)])?);
        context = template.build(predecessor).map_err(at_once)?;
    }
    let of_status = template.build_for_status(&context).map_err(at_once)?;
    Ok(Prepared {
        context,
        of_status,
        template,
        identities: read.identities,
        sites: read.sites,
    })
}

/// The same without making anything: what is wrong, and what else is to be said.
pub(super) fn check(settings: &Settings, held: &mut Held, remarks: &mut Remarks) -> Vec<Problem> {
    let mut problems = Vec::new();
    // No files are kept open.
    let read = read(settings, held, 0, Purpose::Check, &mut problems, remarks);
    // Certificates that the local authority would make are missing.
    let is_complete = read.identities.sites.iter().all(|shown| !shown.is_empty());
    if problems.is_empty()
        && is_complete
        && let Err(error) = read.template.build(None)
    {
        problems.push(Problem::of(&Place::Unset, error));
    }
    for At { value: path, place } in settings.log_files().iter().chain(&settings.key_log) {
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        if !directory.is_dir() {
            let what = format!(
                "{} cannot be written: its directory does not exist",
                super::config::problem::shown_path(path)
            );
            problems.push(Problem::new(place.clone(), what));
        }
    }
    problems
}

/// What was read, for either purpose.
struct Read {
    identities: SiteIdentities,
    /// Without the key log.
    template: Template,
    sites: SiteTable,
}

/// Reads everything. What is wrong is added to `problems`: then the rest is of no use but to find more of it.
fn read(
    settings: &Settings,
    held: &mut Held,
    open_files_max: usize,
    purpose: Purpose,
    problems: &mut Vec<Problem>,
    remarks: &mut Remarks,
) -> Read {
    let files = roots(settings, held, open_files_max, problems);
    let identities = identities::gather(settings, held, purpose, problems, remarks);
    let groups = groups(settings, held, purpose, problems, remarks);
    let sites = sites(settings, held, &groups, files, problems);
    let pages = settings.sites.iter().flat_map(judge::pages);
    remarks.warnings.extend(pages);
    let of_sites = settings.sites.iter().flat_map(|site| &site.certificates);
    let keys = settings.certificates.iter().chain(of_sites);
    remarks.warnings.extend(keys.filter_map(judge::key));
    if let Some(path) = &settings.key_log {
        remarks.warnings.push(Warning {
            place: path.place.clone(),
            text: "with this file, all traffic from now on can be decrypted".to_owned(),
            is_fatal: false,
        });
    }
    let (table, fallback) = table(settings, &identities);
    let template = Template {
        identities: table,
        fallback,
        of_status: identities.status.as_ref().map(|one| one.identity.clone()),
        versions: settings.tls_versions(),
        groups,
        key_log: None,
    };
    Read {
        identities,
        template,
        sites,
    }
}

/// Does the local authority sign for a site, or are its clients accepted? To be asked while its files can be read.
pub(super) fn has_local_authority(settings: &Settings) -> bool {
    let of_clients = |site: &Site| {
        let clients = &site.clients;
        let ca = clients.ca.as_ref();
        let ca = ca.filter(|_| clients.demand != Demand::None);
        // `local` is it, whether or not it can be opened.
        let own = ca.map(|ca| data_dir::own_authority(&ca.value, settings.ca_dir.clone()));
        own.is_some_and(|own| own.map_or(true, |own| own.is_some()))
    };
    let of_status = needs_name_for_status(settings)
        && data_dir::ca_dir(settings.ca_dir.clone())
            .is_ok_and(|directory| directory.join("ca.pem").exists());
    signs_locally(settings) || of_status || settings.sites.iter().any(of_clients)
}

fn signs_locally(settings: &Settings) -> bool {
    let is_local = |site: &Site| site.certificates.is_empty() && settings.certificates.is_empty();
    settings.sites.iter().any(is_local)
}

/// The files that the settings name, which are looked at for changes. Revocation lists are not among them: they are
/// looked at one by one.
pub(super) fn watched(settings: &Settings) -> Vec<PathBuf> {
    let own = settings.certificates.iter();
    let all = own.chain(settings.sites.iter().flat_map(|site| &site.certificates));
    let mut paths = Vec::new();
    for certificate in all {
        paths.push(certificate.chain.value.clone());
        paths.push(certificate.key_file().to_owned());
        let source = certificate.passphrase.as_ref().map(|source| &source.0);
        if let Some(PassphraseSource::File(path)) = source {
            paths.push(path.clone());
        }
    }
    if signs_locally(settings) || needs_name_for_status(settings) {
        let directory = data_dir::ca_dir(settings.ca_dir.clone());
        paths.extend(directory.map(|directory| directory.join("ca.pem")));
    }
    for site in &settings.sites {
        paths.extend(answers::watched(site));
        match &site.clients.ca {
            Some(ca) if ca.value.as_os_str() == data_dir::LOCAL => {
                let directory = data_dir::ca_dir(settings.ca_dir.clone());
                paths.extend(directory.map(|directory| directory.join("ca.pem")));
            }
            Some(ca) => paths.push(ca.value.clone()),
            None => {}
        }
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// What answers requests.
fn sites(
    settings: &Settings,
    held: &Held,
    groups: &[Group],
    files: Vec<Option<Files>>,
    problems: &mut Vec<Problem>,
) -> SiteTable {
    let mut table = SiteTable::new();
    answers::check_uploads(&settings.sites, problems);
    let default = groups.iter().find(|group| group.is_default);
    for (site, files) in settings.sites.iter().zip(files) {
        let place = match site.names.first() {
            Some(name) => &name.place,
            None => site.root_place(),
        };
        // Without a server name a handshake is done by the default site's rules.
        let differs = default.is_some_and(|group| group.clients != site.clients);
        let mut served = handfast_site::Site::new().with_server_name_needed(differs);
        if let Some(files) = files {
            served = served.with_files(files);
        }
        if let Some(log) = &site.log {
            served = served.with_label(held.logs.label(log));
        }
        let names = site.names.iter().map(|name| &name.value);
        match served.with_names(names) {
            Ok(named) => served = named,
            Err(error) => {
                problems.push(Problem::new(place.clone(), error.to_string()));
                continue;
            }
        }
        // Connections that began before clients had to show a certificate.
        if site.clients.demand == Demand::Required {
            match Guard::clients("/**", handfast_site::Clients::any()) {
                Ok(guard) => served = served.with_guard(guard),
                Err(error) => problems.push(Problem::new(place.clone(), error.to_string())),
            }
        }
        let served = answers::add(
            served,
            site,
            settings.wrong_passwords_max,
            &held.answers,
            problems,
        );
        let before = table.clone();
        let added = match site.names.is_empty() {
            true => table.with_default(served),
            false => table.with(served),
        };
        table = added.unwrap_or_else(|error| {
            problems.push(Problem::new(place.clone(), error.to_string()));
            before
        });
    }
    table
}

/// By name; and those of the default site for all others.
fn table(settings: &Settings, all: &SiteIdentities) -> (Identities, Option<Identity>) {
    let table = Identities::new();
    let mut fallback = None;
    // A site's own certificates are the last to be added: they take the place of others for its names.
    for (site, shown) in settings.sites.iter().zip(&all.sites) {
        if site.names.is_empty() {
            fallback = shown.first().map(|one| one.identity.clone());
            add(&table, shown);
        }
    }
    for (site, shown) in settings.sites.iter().zip(&all.sites) {
        if !site.names.is_empty() {
            add(&table, shown);
        }
    }
    (table, fallback)
}

fn add(table: &Identities, shown: &[Shown]) {
    for one in shown {
        table.add(one.identity.clone());
    }
}

/// Which clients each site accepts.
fn groups(
    settings: &Settings,
    held: &mut Held,
    purpose: Purpose,
    problems: &mut Vec<Problem>,
    remarks: &mut Remarks,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for site in &settings.sites {
        let is_same = |group: &Group| group.clients == site.clients;
        if !groups.iter().any(is_same) {
            match group(settings, site, held, purpose, remarks) {
                Ok(group) => groups.push(group),
                Err(problem) => problems.push(*problem),
            }
        }
        let Some(group) = groups.iter_mut().find(|group| is_same(group)) else {
            continue;
        };
        group.is_default |= site.names.is_empty();
        let names = site.names.iter().map(|name| name.value.clone());
        group.names.extend(names);
    }
    groups
}

fn group(
    settings: &Settings,
    site: &Site,
    held: &mut Held,
    purpose: Purpose,
    remarks: &mut Remarks,
) -> Result<Group, Box<Problem>> {
    let clients = site.clients.clone();
    let (demand, ca) = match (clients.demand, &clients.ca) {
        (Demand::None, _) | (_, None) => {
            return Ok(Group {
                clients,
                names: Vec::new(),
                is_default: false,
                auth: ClientAuth::None,
                lists: None,
            });
        }
        (demand, Some(ca)) => (demand, ca),
    };
    let own = data_dir::own_authority(&ca.value, settings.ca_dir.clone())
        .map_err(|failure| Box::new(Problem::of(&ca.place, failure)))?;
    let certificate = own.as_ref().map(Authority::certificate_file);
    let anchors = held
        .anchors(certificate.as_ref().unwrap_or(&ca.value))
        .map_err(|error| Box::new(Problem::of(&ca.place, error)))?;
    let told = trust_problems(anchors.added_sources()).into_iter();
    remarks
        .notes
        .extend(told.map(|problem| format!("trust: {problem}")));
    let auth = match demand {
        Demand::Optional => ClientAuth::Optional(anchors),
        _ => ClientAuth::Required(anchors),
    };
    let lists = match held.lists(&clients) {
        // They look after themselves: what cannot be used changes nothing.
        Some(lists) => Some(lists),
        None => {
            held.check_lists(&clients)?;
            let files = clients.crl.iter().map(|file| file.value.clone()).collect();
            // Its list is made, or renewed, when it is read.
            let own = own.filter(|_| purpose == Purpose::Serve);
            let read = Lists::read(files, own, clients.crl_expired.into());
            let (lists, look) = read.map_err(|(number, failure)| {
                let file = number.and_then(|number| clients.crl.get(number));
                Box::new(Problem::of(&file.unwrap_or(ca).place, failure))
            })?;
            let warning = |text| Warning {
                place: ca.place.clone(),
                text,
                is_fatal: look.refuses,
            };
            remarks
                .warnings
                .extend(look.warnings.into_iter().map(warning));
            (!lists.is_empty()).then(|| held.keep_lists(&clients, lists))
        }
    };
    Ok(Group {
        clients,
        names: Vec::new(),
        is_default: false,
        auth,
        lists,
    })
}

/// The directories of the sites, of those that have one.
fn roots(
    settings: &Settings,
    held: &mut Held,
    open_files_max: usize,
    problems: &mut Vec<Problem>,
) -> Vec<Option<Files>> {
    let mut roots = Vec::new();
    let uploads = settings.sites.iter().flat_map(|site| &site.answers.upload);
    let stored = uploads.map(|table| table.value.directory.value.0.clone());
    let stored: Vec<_> = stored.collect();
    for site in &settings.sites {
        let Some(root) = &site.root else {
            roots.push(None);
            continue;
        };
        match held.files(&root.value, site, open_files_max, &stored) {
            Ok(files) => roots.push(Some(files)),
            Err(error) => {
                roots.push(None);
                let failure = directory_failure(&root.value, &error);
                problems.push(Problem::of(&root.place, failure));
            }
        }
    }
    roots
}

fn directory_failure(directory: &Path, error: &io::Error) -> Failure {
    let directory = handfast::escape_control(&directory.display().to_string()).into_owned();
    let explanation = match error.kind() {
        io::ErrorKind::NotFound => Explanation::new(
            "no-directory",
            format!("directory {directory} does not exist"),
        )
        .with_fix("check the path, or make the directory"),
        io::ErrorKind::NotADirectory => {
            Explanation::new("no-directory", format!("{directory} is not a directory"))
                .with_fix("give the file's directory")
        }
        _ => Explanation::new("no-directory", format!("{directory} cannot be opened"))
            .with_fix("let this user read the directory and enter those above it"),
    };
    Failure::new(code::READ, explanation.with_evidence(error.to_string()))
}
