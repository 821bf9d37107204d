//! What a site answers besides plain files, built from its settings.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Read as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use handfast_site::{
    ClientName, Clients, Cors, Guard, Hsts, Passwords, Rule, RuleError, Site, UploadLimits, Uploads,
};

use super::config::answers::{
    BasicAuthTable, CorsTable, GuardTable, HstsTable, RuleTable, UploadTable,
};
use super::config::choices::Demand;
use super::config::problem::shown_path;
use super::config::{At, FilePath, Place, Problem};
use super::last_read::LastRead;
use super::once::Once;
use super::settings;

/// Maximum size of a password file, in bytes: more than the library accepts, so that it says so.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// The default status of a redirect: it is not kept by browsers, so that a mistake can be undone.
const REDIRECT: u16 = 302;

/// What goes on from one configuration to the next: which passwords were checked lately, and who has failed; how many uploads run.
#[derive(Debug)]
pub(super) struct Kept {
    once: Once,
    texts: Mutex<LastRead<String>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the first file, and the user of it.
    passwords: HashMap<(PathBuf, Option<String>), Passwords>,
    /// By the directory, and the path in URLs.
    uploads: HashMap<(PathBuf, Option<String>), Uploads>,
}

impl Kept {
    /// Nothing yet; pipes are read with this.
    pub(super) fn new(once: Once) -> Self {
        Self {
            once,
            texts: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Forgets what these sites do not have.
    pub(super) fn forget_unused(&self, sites: &[settings::Site]) {
        self.texts().forget_unused();
        let mut state = self.lock();
        let all = || sites.iter().map(|site| &site.answers);
        let users = all().flat_map(|answers| &answers.basic_auth);
        let users: HashSet<_> = users.map(|table| password_key(&table.value)).collect();
        state.passwords.retain(|key, _| users.contains(key));
        let uploads = all().flat_map(|answers| &answers.upload);
        let uploads: HashSet<_> = uploads.map(|table| upload_key(&table.value)).collect();
        state.uploads.retain(|key, _| uploads.contains(key));
    }

    /// What password files held.
    fn texts(&self) -> MutexGuard<'_, LastRead<String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of a password file.
    fn read(&self, path: &Path) -> io::Result<String> {
        if let Some(content) = self.once.content(path)? {
            let text = String::from_utf8(content.to_vec());
            return text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"));
        }
        self.texts().read(vec![path.to_owned()], || {
            let mut text = String::new();
            std::fs::File::open(path)?
                .take(FILE_MAX)
                .read_to_string(&mut text)?;
            Ok(text)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn password_key(table: &BasicAuthTable) -> (PathBuf, Option<String>) {
    let user = table.user.as_ref().map(|user| user.value.clone());
    (table.file.value.0.clone(), user)
}

fn upload_key(table: &UploadTable) -> (PathBuf, Option<String>) {
    let path = table.path.as_ref().map(|path| path.value.clone());
    (table.directory.value.0.clone(), path)
}

/// Users who have one guard together: those given by options have a file each.
type Group<'t> = (Option<&'t str>, &'t str, Vec<&'t At<BasicAuthTable>>);

/// A name of a client.
type MakeName = fn(String) -> ClientName;

/// A rule for a path that sets or adds a field.
type MakeField = fn(&str, &str, &str) -> Result<Rule, RuleError>;

/// Adds everything of the settings to a site.
pub(super) fn add(
    mut site: Site,
    settings: &settings::Site,
    wrong_passwords_max: NonZeroU32,
    kept: &Kept,
    problems: &mut Vec<Problem>,
) -> Site {
    let answers = &settings.answers;
    for table in &answers.guard {
        if settings.clients.demand == Demand::None {
            let what = "a guard by client certificates, and clients are not asked for any: every request is refused";
            problems.push(
                Problem::new(table.place.clone(), what).with_fix(
                    "add [site.client_auth] with demand = \"optional\" and ca = \"FILE\"",
                ),
            );
        }
        if let Some(guard) = taken(guard(&table.value), &table.value.path.place, problems) {
            site = site.with_guard(guard);
        }
    }
    for (realm, path, tables) in groups(&answers.basic_auth) {
        let Some(passwords) = passwords(&tables, kept, problems) else {
            continue;
        };
        let passwords = passwords.with_failures_max(wrong_passwords_max);
        let passwords = match realm {
            Some(realm) => passwords.with_realm(realm),
            None => passwords,
        };
        let place = tables.first().map(|table| table.place.clone());
        let guard = Guard::passwords(path, &passwords);
        if let Some(guard) = taken(guard, &place.unwrap_or_default(), problems) {
            site = site.with_guard(guard);
        }
    }
    for table in &answers.rule {
        for rule in rules(table, problems) {
            site = site.with_rule(rule);
        }
    }
    if let Some(table) = &answers.cors
        && let Some(cors) = taken(cors(&table.value), &table.place, problems)
    {
        site = site.with_cors(cors);
    }
    if let Some(table) = &answers.hsts
        && let Some(hsts) = taken(hsts(&table.value), &table.place, problems)
    {
        site = site.with_hsts(&hsts);
    }
    if let Some(fallback) = &answers.fallback {
        let with = site.clone().with_fallback(&fallback.value);
        site = taken(with, &fallback.place, problems).unwrap_or(site);
    }
    for table in &answers.error_page {
        let path = url_path(&table.value.file.value);
        let with = match &table.value.status {
            Some(status) => site.clone().with_error_page(status.value, &path),
            None => site.clone().with_error_page_for_others(&path),
        };
        site = taken(with, &table.value.file.place, problems).unwrap_or(site);
    }
    let root = settings.root.as_ref().map(|root| root.value.as_path());
    for table in &answers.upload {
        if let Some(uploads) = uploads(&table.value, root, kept, problems) {
            site = site.with_uploads(uploads);
        }
    }
    site
}

/// What clients store is theirs at each site that serves it. A site that serves the directory of another one's uploads and does not know of
/// them would serve a page in it as one of its own, and a compressed file in place of the file beside it.
pub(super) fn check_uploads(sites: &[settings::Site], problems: &mut Vec<Problem>) {
    for (at, site) in sites.iter().enumerate() {
        for table in &site.answers.upload {
            let directory = &table.value.directory;
            let others = sites.iter().enumerate().filter(|(other, _)| *other != at);
            for (_, other) in others {
                if let Some(problem) = stored_in(directory, site, other) {
                    problems.push(problem);
                    break;
                }
            }
        }
    }
}

/// What is wrong with another site's root beside a directory for uploads of this one.
fn stored_in(
    directory: &At<FilePath>,
    site: &settings::Site,
    other: &settings::Site,
) -> Option<Problem> {
    let root = &other.root.as_ref()?.value;
    let is_same = |one: &Path, other: &Path| beneath(one, other).as_deref() == Some("/");
    let is_own = |root: &Path| {
        let own = site.root.as_ref();
        own.is_some_and(|own| is_same(root, &own.value))
    };
    let name = match other.names.first() {
        Some(name) => format!("the site {}", name.value),
        None => "the default site".to_owned(),
    };
    let (what, fix) = match beneath(&directory.value.0, root) {
        Some(path) => {
            let mut known = other.answers.upload.iter();
            if known.any(|known| is_same(&known.value.directory.value.0, &directory.value.0)) {
                return None;
            }
            (
                format!(
                    "{name} serves this directory at {path}, and would serve what clients store as its own files"
                ),
                "take a directory that no other site serves, or add [[site.upload]] with this directory to that site, too",
            )
        }
        // Of its own root that was looked at.
        None if beneath(root, &directory.value.0).is_some() && !is_own(root) => (
            format!(
                "the root of {name} lies beneath the directory for uploads: clients could change that site"
            ),
            "take a directory beside the roots of all sites or beneath this site's",
        ),
        None => return None,
    };
    Some(Problem::new(directory.place.clone(), what).with_fix(fix))
}

/// The files that are read besides those of the sites' directories.
pub(super) fn watched(settings: &settings::Site) -> impl Iterator<Item = PathBuf> + '_ {
    let tables = settings.answers.basic_auth.iter();
    tables.map(|table| table.value.file.value.0.clone())
}

/// The value, or a problem at this place.
fn taken<T, E: fmt::Display>(
    result: Result<T, E>,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(Problem::new(place.clone(), error.to_string()));
            None
        }
    }
}

fn guard(table: &GuardTable) -> Result<Guard, RuleError> {
    let kinds: [(&Option<Vec<String>>, MakeName); 4] = [
        (&table.dns, ClientName::Dns),
        (&table.email, ClientName::Email),
        (&table.uri, ClientName::Uri),
        (&table.common_name, ClientName::CommonName),
    ];
    let mut clients = Clients::any();
    for (names, kind) in kinds {
        for name in names.iter().flatten() {
            clients = clients.with_name(kind(name.clone()));
        }
    }
    for issuer in table.issuer.iter().flatten() {
        clients = clients.with_issuer(issuer);
    }
    Guard::clients(&table.path.value, clients)
}

/// Tables of one path and realm: a request satisfies one of them, not all.
fn groups(tables: &[At<BasicAuthTable>]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for table in tables {
        let realm = table.value.realm.as_ref().map(|realm| realm.value.as_str());
        let path = table.value.path.as_ref().map_or("/", |path| &path.value);
        match groups
            .iter_mut()
            .find(|(of, at, _)| *of == realm && *at == path)
        {
            Some((.., group)) => group.push(table),
            None => groups.push((realm, path, vec![table])),
        }
    }
    groups
}

/// The users of all these tables.
fn passwords(
    tables: &[&At<BasicAuthTable>],
    kept: &Kept,
    problems: &mut Vec<Problem>,
) -> Option<Passwords> {
    let mut all = String::new();
    let first = tables.first()?;
    for table in tables {
        let file = &table.value.file;
        let text = match kept.read(&file.value.0) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("{} cannot be read: {error}", shown_path(&file.value.0));
                problems.push(Problem::new(file.place.clone(), what));
                return None;
            }
        };
        let user = table.value.user.as_ref();
        let lines = match user {
            Some(user) => lines_of(&text, &user.value),
            None => text,
        };
        // Each alone, so that the number of a line is that of the file.
        if let Err(error) = Passwords::parse(&lines) {
            let what = match user {
                Some(user) if lines.is_empty() => format!(
                    "{} has no user {}",
                    shown_path(&file.value.0),
                    handfast::escape_control(&user.value)
                ),
                _ => format!("{}: {error}", shown_path(&file.value.0)),
            };
            problems.push(Problem::new(file.place.clone(), what));
            return None;
        }
        all.push_str(&lines);
        all.push('\n');
    }
    let passwords = taken(Passwords::parse(&all), &first.place, problems)?;
    let key = password_key(&first.value);
    let known = &mut kept.lock().passwords;
    let passwords = match known.get(&key) {
        Some(previous) => passwords.succeeding(previous),
        None => passwords,
    };
    known.insert(key, passwords.clone());
    Some(passwords)
}

/// The lines of this user. A file with a hash alone is theirs.
fn lines_of(text: &str, user: &str) -> String {
    let is_entry = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut entries = text.lines().filter(is_entry);
    if let (Some(only), None) = (entries.next(), entries.next())
        && !only.contains(':')
    {
        return format!("{user}:{}", only.trim());
    }
    let of_user = |line: &&str| line.split_once(':').is_some_and(|(name, _)| name == user);
    text.lines().filter(of_user).collect::<Vec<_>>().join("\n")
}

fn rules(table: &At<RuleTable>, problems: &mut Vec<Problem>) -> Vec<Rule> {
    let place = &table.place;
    let table = &table.value;
    let path = table.path.value.as_str();
    let mut rules = Vec::new();
    match (&table.redirect, &table.rewrite, &table.status) {
        (Some(redirect), Some(_), _) => {
            let what = "a rule either redirects or rewrites";
            problems
                .push(Problem::new(redirect.place.clone(), what).with_fix("remove one of the two"));
        }
        (Some(to), None, status) => {
            let status_place = status.as_ref().map_or(&to.place, |status| &status.place);
            let status = status.as_ref().map_or(REDIRECT, |status| status.value);
            let rule = Rule::redirect(path, &to.value, status);
            let at = match &rule {
                Err(RuleError::RedirectStatus(_)) => status_place,
                Err(RuleError::Pattern { .. }) => &table.path.place,
                _ => &to.place,
            };
            rules.extend(taken(rule, at, problems));
        }
        (None, Some(to), status) => {
            if let Some(status) = status {
                let what = "a rewrite has no status: the answer is that of the other path";
                problems.push(Problem::new(status.place.clone(), what));
            }
            let rule = Rule::rewrite(path, &to.value);
            let at = at_pattern(&rule, &table.path.place, &to.place);
            rules.extend(taken(rule, at, problems));
        }
        (None, None, Some(status)) => {
            let rule = Rule::status(path, status.value);
            let at = at_pattern(&rule, &table.path.place, &status.place);
            rules.extend(taken(rule, at, problems));
        }
        (None, None, None) => {}
    }
    let fields: [(&Option<Vec<At<String>>>, MakeField); 2] = [
        (&table.headers, Rule::set_header),
        (&table.add_headers, Rule::add_header),
    ];
    for (fields, make) in fields {
        for field in fields.iter().flatten() {
            let Some((name, value)) = field.value.split_once(':') else {
                let what = "a header field is written as \"Name: value\"";
                problems.push(Problem::new(field.place.clone(), what));
                continue;
            };
            let rule = make(path, name.trim(), value);
            let at = at_pattern(&rule, &table.path.place, &field.place);
            rules.extend(taken(rule, at, problems));
        }
    }
    for name in table.remove_headers.iter().flatten() {
        let rule = Rule::remove_header(path, &name.value);
        let at = at_pattern(&rule, &table.path.place, &name.place);
        rules.extend(taken(rule, at, problems));
    }
    if let Some(value) = &table.cache_control {
        let rule = Rule::cache_control(path, &value.value);
        let at = at_pattern(&rule, &table.path.place, &value.place);
        rules.extend(taken(rule, at, problems));
    }
    if rules.is_empty() && problems.is_empty() {
        let what = "this rule does nothing";
        problems.push(Problem::new(place.clone(), what).with_fix(
            "add redirect, rewrite, status, headers, add_headers, remove_headers or cache_control",
        ));
    }
    rules
}

/// The place of what is wrong with a rule, which is its pattern or something else.
fn at_pattern<'p>(
    rule: &Result<Rule, RuleError>,
    pattern: &'p Place,
    other: &'p Place,
) -> &'p Place {
    match rule {
        Err(RuleError::Pattern { .. }) => pattern,
        _ => other,
    }
}

fn cors(table: &CorsTable) -> Result<Cors, handfast_site::CorsError> {
    let origins = &table.origins.value;
    let mut cors = match origins.iter().any(|origin| origin == "*") {
        true => Cors::any(),
        false => Cors::origins(origins)?,
    };
    if let Some(methods) = &table.methods {
        cors = cors.with_methods(&methods.value)?;
    }
    if let Some(names) = &table.headers {
        cors = cors.with_headers(&names.value)?;
    }
    if let Some(names) = &table.exposed_headers {
        cors = cors.with_exposed_headers(&names.value)?;
    }
    if let Some(max_age) = &table.max_age {
        cors = cors.with_max_age(max_age.value.0);
    }
    cors.with_credentials(table.credentials.as_ref().is_some_and(|on| on.value))
}

fn hsts(table: &HstsTable) -> Result<Hsts, handfast_site::PreloadError> {
    let on = |given: &Option<At<bool>>| given.as_ref().is_some_and(|on| on.value);
    let hsts = Hsts::new(table.max_age.value.0).with_subdomains(on(&table.subdomains));
    match on(&table.preload) {
        true => hsts.with_preload(),
        false => Ok(hsts),
    }
}

/// A file beneath the root, as the path of a URL.
fn url_path(file: &str) -> String {
    format!("/{}", file.trim_start_matches(['.', '/']))
}

fn uploads(
    table: &UploadTable,
    root: Option<&Path>,
    kept: &Kept,
    problems: &mut Vec<Problem>,
) -> Option<Uploads> {
    let directory = &table.directory;
    let opened = Uploads::new(&directory.value.0).map_err(|error| {
        format!(
            "{} cannot be uploaded to: {error}",
            shown_path(&directory.value.0)
        )
    });
    let mut uploads = taken(opened, &directory.place, problems)?;
    let served = root.and_then(|root| beneath(&directory.value.0, root));
    let holds_root = root.and_then(|root| beneath(root, &directory.value.0));
    if served.is_none() && holds_root.is_some() {
        let what =
            "the site's root lies beneath the directory for uploads: clients could change the site";
        let fix = "take a directory beside the root or beneath it";
        problems.push(Problem::new(directory.place.clone(), what).with_fix(fix));
        return None;
    }
    let place = table
        .path
        .as_ref()
        .map_or(&directory.place, |path| &path.place);
    let path = table.path.as_ref().map(|path| path.value.as_str());
    uploads = taken(at_path(uploads, served.as_deref(), path), place, problems)?;
    let mut limits = UploadLimits::default();
    if let Some(size) = &table.file_bytes_max {
        limits.file_bytes_max = size.value.0;
    }
    if let Some(size) = &table.request_bytes_max {
        limits.request_bytes_max = size.value.0;
    }
    if let Some(count) = &table.files_max {
        limits.files_max = count.value.get();
    }
    if let Some(count) = &table.uploads_max {
        limits.uploads_max = count.value.get();
    }
    if let Some(size) = &table.free_bytes_min {
        limits.free_bytes_min = size.value.0;
    }
    if let Some(time) = &table.time_max {
        limits.duration_max = time.value.0;
    }
    let replace = table.replace.as_ref().is_some_and(|on| on.value);
    let uploads = uploads.with_limits(limits).with_replacing(replace);
    let key = upload_key(table);
    let known = &mut kept.lock().uploads;
    let uploads = match known.get(&key) {
        Some(previous) => uploads.succeeding(previous),
        None => uploads,
    };
    known.insert(key, uploads.clone());
    Some(uploads)
}

/// At their path in URLs. What is beneath the root is served at one path: clients store files at no other, where they would not be known
/// as theirs, and be served without a sandbox.
fn at_path(
    mut uploads: Uploads,
    served: Option<&str>,
    path: Option<&str>,
) -> Result<Uploads, String> {
    if let Some(served) = served {
        uploads = uploads.with_reading(true);
        uploads = uploads
            .with_path(served)
            .map_err(|error| error.to_string())?;
    }
    let Some(path) = path else {
        return Ok(uploads);
    };
    let page = uploads.page();
    uploads = uploads.with_path(path).map_err(|error| error.to_string())?;
    match served {
        Some(served) if uploads.page() != page => Err(format!(
            "the directory is beneath the root and served at {served}: uploads to it have the same path"
        )),
        _ => Ok(uploads),
    }
}

/// The path in URLs of a directory that is beneath the root.
fn beneath(directory: &Path, root: &Path) -> Option<String> {
    let (directory, root) = (directory.canonicalize().ok()?, root.canonicalize().ok()?);
    let names = directory.strip_prefix(root).ok()?;
    let mut path = "/".to_owned();
    for name in names {
        let name = name.to_str()?;
        // Such names are not served.
        if name.starts_with('.') && name != ".well-known" {
            return None;
        }
        path.push_str(
            &percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
                .to_string(),
        );
        path.push('/');
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_hash_alone_is_its_users() {
        for (text, expected) in [
            ("$2y$hash\n", "ann:$2y$hash"),
            ("# of ann\n\n$2y$hash", "ann:$2y$hash"),
            ("bob:x\nann:y\n", "ann:y"),
            ("bob:x\n", ""),
            ("", ""),
        ] {
            assert_eq!(lines_of(text, "ann"), expected, "{text:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_served_is_uploaded_at_the_same_path() {
        for (served, path, expected) in [
            (None, None, Ok("/upload/")),
            (None, Some("/drop"), Ok("/drop/")),
            (Some("/in/"), None, Ok("/in/?upload")),
            (Some("/in/"), Some("/in"), Ok("/in/?upload")),
            (Some("/a%20b/"), Some("/a b/"), Ok("/a%20b/?upload")),
            (Some("/in/"), Some("/drop/"), Err("served at /in/")),
            (Some("/"), Some("/upload/"), Err("served at /")),
        ] {
            let uploads = Uploads::new(".").unwrap();
            match (at_path(uploads, served, path), expected) {
                (Ok(uploads), Ok(page)) => assert_eq!(uploads.page(), page),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                other => panic!("{served:?} {path:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_directory_beneath_the_root_has_its_path() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("public");
        for name in [
            "public/in/a b",
            "public/.hidden",
            "public/.well-known",
            "other",
        ] {
            std::fs::create_dir_all(base.path().join(name)).unwrap();
        }
        let of = |name: &str| beneath(&base.path().join(name), &root);
        assert_eq!(of("public").as_deref(), Some("/"));
        assert_eq!(of("public/in/a b").as_deref(), Some("/in/a%20b/"));
        assert_eq!(of("public/../public/in").as_deref(), Some("/in/"));
        assert_eq!(of("public/.hidden"), None);
        assert_eq!(
            of("public/.well-known").as_deref(),
            Some("/%2Ewell%2Dknown/")
        );
        assert_eq!(of("other"), None);
        assert_eq!(of("none"), None);
    }
}
