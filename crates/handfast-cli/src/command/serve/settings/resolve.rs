//! From what is written to what is meant, and whether it fits together. No file is read here.

use std::collections::HashMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_https::server::{Limits, Rate};

use super::answers;
use super::flags::override_by;
use super::types::{
    Certificate, Clients, FileLimits, FileSettings, Listener, LogSettings, Settings, Site, SiteLog,
};
use crate::command::serve::args::Args;
use crate::command::serve::config::answers::RuleTable;
use crate::command::serve::config::choices::{Close, Demand, Events, Kind, LogFormat, Version};
use crate::command::serve::config::file::{
    CertificateTable, ClientAuthTable, File, LimitsTable, ListenerTable, SiteLogTable, SiteTable,
};
use crate::command::serve::config::{
    Address, At, Config, FilePath, LogTarget, Often, PORT_DEFAULT, Place, Problem, Size, Source,
    Time,
};
use crate::data_dir::LOCAL;
use crate::passphrase::PassphraseSource;
use crate::trust_args::CrlExpired;

/// How long replies may run on after a signal, by default.
const GRACE_DEFAULT: Duration = Duration::from_secs(10);

/// As the library has it.
const WRONG_PASSWORDS_DEFAULT: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// From what was typed, and what the file says.
///
/// # Errors
/// Everything that does not fit together.
pub(in crate::command::serve) fn resolve(
    args: &Args,
    config: Option<&Config>,
) -> Result<Settings, Vec<Problem>> {
    match resolve_partly(args, config) {
        (Some(settings), problems) if problems.is_empty() => Ok(settings),
        (_, problems) => Err(problems),
    }
}

/// What does not fit together comes second; nothing comes first if it cannot be judged any further.
pub(in crate::command::serve) fn resolve_partly(
    args: &Args,
    config: Option<&Config>,
) -> (Option<Settings>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut file = config.map_or_else(File::default, |config| config.file.clone());
    let directory = config.map_or_else(PathBuf::new, Config::directory);
    override_by(args, &mut file, &mut problems);
    let resolve = Resolve {
        directory: &directory,
    };
    let settings = resolve.all(&file, &mut problems);
    (settings, problems)
}

#[cfg(target_os = "linux")]
/// What a file names to listen on, each address by itself.
pub(in crate::command::serve) fn listener_addresses(config: &Config) -> Vec<Address> {
    let directory = config.directory();
    let resolve = Resolve {
        directory: &directory,
    };
    let tables = config.file.listener.iter();
    let addresses = tables.map(|table| resolve.address(&table.value.address).value);
    addresses.flat_map(|address| address.parts()).collect()
}

/// The files that a configuration logs to, whatever else may be wrong with it.
#[cfg(target_os = "linux")]
pub(in crate::command::serve) fn log_paths(config: &Config) -> Vec<PathBuf> {
    let directory = config.directory();
    let of_sites = config.file.site.iter();
    let of_sites = of_sites.filter_map(|site| site.value.log.as_ref()?.value.to.as_ref());
    let to = of_sites.chain(&config.file.log.to);
    let files = to.filter_map(|to| match &to.value {
        LogTarget::File(path) => Some(path),
        _ => None,
    });
    let audit = config.file.log.audit.iter().map(|path| &path.value.0);
    files
        .chain(audit)
        .map(|path| directory.join(path))
        .collect()
}

/// Everything is relative to the directory of the configuration file.
struct Resolve<'d> {
    directory: &'d Path,
}

impl Resolve<'_> {
    fn all(&self, file: &File, problems: &mut Vec<Problem>) -> Option<Settings> {
        let listeners = self.listeners(&file.listener, problems);
        let log = LogSettings {
            to: At {
                value: self.log_target(&file.log.to, &file.log.format, problems),
                place: file
                    .log
                    .to
                    .as_ref()
                    .map_or(Place::Unset, |to| to.place.clone()),
            },
            format: or(&file.log.format, LogFormat::default()),
            events: or(&file.log.events, Events::default()),
            audit: file.log.audit.as_ref().map(|path| self.path(path)),
        };
        let file_limits = file_limits(&file.limits);
        let sites: Vec<Site> = file
            .site
            .iter()
            .map(|site| self.site(site, &log, file_limits, problems))
            .collect();
        names_are_unique(&sites, problems);
        let versions = match &file.tls.versions {
            Some(given) if given.value.is_empty() => {
                problems.push(Problem::new(
                    given.place.clone(),
                    "without a TLS version there is no connection",
                ));
                return None;
            }
            Some(given) => ascending(&given.value),
            None => vec![Version::Tls12, Version::Tls13],
        };
        Some(Settings {
            listeners,
            sites,
            certificates: self.certificates(&file.tls.certificate),
            versions,
            key_log: file.tls.key_log.as_ref().map(|path| self.path(path)),
            ca_dir: file.ca_dir.as_ref().map(|path| self.path(path).value),
            certificate_names: certificate_names(&file.certificate_names, problems),
            user: file.user.as_ref().map(|user| user.value.clone()),
            sandbox: or(&file.sandbox, true),
            limits: limits(&file.limits, problems),
            file_limits,
            wrong_passwords_max: or(&file.limits.wrong_passwords_max, WRONG_PASSWORDS_DEFAULT),
            threads: file.threads.as_ref().map(|count| count.value),
            grace: or(&file.grace, Time(GRACE_DEFAULT)).0,
            close: or(&file.close, Close::default()),
            takeover: file.takeover.as_ref().map(|path| self.path(path).value),
            status: file.status.address.as_ref().map(|address| address.value),
            log,
        })
    }

    /// The listeners, each address once; without any, both loopback addresses.
    fn listeners(
        &self,
        tables: &[At<ListenerTable>],
        problems: &mut Vec<Problem>,
    ) -> Vec<Listener> {
        if tables.is_empty() {
            let address = At {
                value: Address::loopback(PORT_DEFAULT),
                place: Place::Unset,
            };
            return vec![Listener {
                address,
                kind: Kind::Https,
            }];
        }
        let mut listeners: Vec<Listener> = Vec::new();
        for table in tables {
            let address = self.address(&table.value.address);
            let is_taken = |other: &Listener| other.address.value.excludes(&address.value);
            if listeners.iter().any(is_taken) {
                let what = format!("{} is listened on twice", address.value);
                problems.push(
                    Problem::new(address.place.clone(), what).with_fix("remove one of the two"),
                );
            }
            let is_beside = |other: &&Listener| other.address.value.overlaps(&address.value);
            if let Some(other) = listeners.iter().find(is_beside) {
                let what = format!(
                    "{} and {} cannot both be listened on: one is among all addresses, which the other stands for",
                    other.address.value, address.value
                );
                problems.push(
                    Problem::new(address.place.clone(), what).with_fix("remove one of the two"),
                );
            }
            listeners.push(Listener {
                address,
                kind: or(&table.value.kind, Kind::default()),
            });
        }
        let https = listeners.iter().find(|one| one.kind == Kind::Https);
        let redirects = listeners.iter().any(|one| one.kind == Kind::Redirect);
        if let Some(https) = https.filter(|https| redirects && https.address.value.port().is_none())
        {
            let what = "plain HTTP cannot be redirected to a port that is not known before";
            problems.push(
                Problem::new(https.address.place.clone(), what)
                    .with_fix("give the first listener for HTTPS a port"),
            );
        }
        if https.is_none()
            && let Some(first) = tables.first()
        {
            let what = "there is no listener for HTTPS, to which plain HTTP could be redirected";
            problems.push(
                Problem::new(first.place.clone(), what)
                    .with_fix("add a [[listener]] with address = \"0.0.0.0:443\""),
            );
        }
        listeners
    }

    fn address(&self, address: &At<Address>) -> At<Address> {
        match &address.value {
            Address::Unix(path) => {
                let path = self.path(&address.with(FilePath(path.clone())));
                address.with(Address::Unix(path.value))
            }
            other => address.with(other.clone()),
        }
    }

    /// Relative to the file's directory if it is from there.
    fn path(&self, path: &At<FilePath>) -> At<PathBuf> {
        let given = &path.value.0;
        path.with(match path.place {
            Place::File(_) => self.directory.join(given),
            _ => given.clone(),
        })
    }

    fn log_target(
        &self,
        given: &Option<At<LogTarget>>,
        format: &Option<At<LogFormat>>,
        problems: &mut Vec<Problem>,
    ) -> LogTarget {
        let to = or(given, LogTarget::default());
        if let (LogTarget::Journal(_), Some(format)) = (&to, format) {
            let what = "the journal has fields, and no format";
            problems.push(
                Problem::new(format.place.clone(), what)
                    .with_fix("leave out the format, or log to a file"),
            );
        }
        match (to, given.as_ref().map(|to| &to.place)) {
            (LogTarget::File(path), Some(Place::File(_))) => {
                LogTarget::File(self.directory.join(path))
            }
            (to, _) => to,
        }
    }

    /// What is not given is as in the common log.
    fn site_log(
        &self,
        table: &At<SiteLogTable>,
        common: &LogSettings,
        problems: &mut Vec<Problem>,
    ) -> SiteLog {
        let (place, table) = (&table.place, &table.value);
        let to = match &table.to {
            Some(given) => given.with(self.log_target(&table.to, &table.format, problems)),
            None => At {
                value: common.to.value.clone(),
                place: place.clone(),
            },
        };
        SiteLog {
            to,
            format: or(&table.format, common.format),
        }
    }

    fn site(
        &self,
        table: &At<SiteTable>,
        log: &LogSettings,
        limits: FileLimits,
        problems: &mut Vec<Problem>,
    ) -> Site {
        let site = &table.value;
        let names = site.names.iter().flatten();
        let names = names.filter_map(|name| match host_name(&name.value) {
            Ok(valid) => Some(name.with(valid)),
            Err(why) => {
                problems.push(Problem::new(
                    name.place.clone(),
                    format!(
                        "\"{}\" is not a host name: {why}",
                        handfast::escape_control(&name.value)
                    ),
                ));
                None
            }
        });
        let names = names.collect();
        if site.root.is_none() {
            needs_no_root(table, problems);
        }
        for table in &site.upload {
            let refused = "too small: every upload would be refused";
            not_zero(&table.value.file_bytes_max, refused, problems);
            not_zero(&table.value.request_bytes_max, refused, problems);
            let cut = "too short: every upload would be cut off";
            not_zero(&table.value.time_max, cut, problems);
        }
        Site {
            names,
            table: table.with(()),
            root: site.root.as_ref().map(|root| self.path(root)),
            files: FileSettings {
                limits,
                listing: or(&site.listing, true),
                index: index(&site.index, problems),
                precompressed: or(&site.precompressed, true),
                compression: or(&site.compression, true),
                follow_links: or(&site.follow_links, false),
            },
            answers: answers::of_table(site, |path| self.path(path)),
            log: site
                .log
                .as_ref()
                .map(|table| self.site_log(table, log, problems)),
            certificates: self.certificates(&site.certificate),
            clients: self.clients(site.client_auth.as_ref(), problems),
        }
    }

    fn certificates(&self, tables: &[At<CertificateTable>]) -> Vec<Certificate> {
        let certificate = |table: &At<CertificateTable>| {
            let table = &table.value;
            Certificate {
                chain: self.path(&table.chain),
                key: table.key.as_ref().map(|key| self.path(key)),
                passphrase: table.passphrase.as_ref().map(|source| self.source(source)),
            }
        };
        tables.iter().map(certificate).collect()
    }

    fn source(&self, source: &At<Source>) -> Source {
        match (&source.value.0, &source.place) {
            (PassphraseSource::File(path), Place::File(_)) => {
                Source(PassphraseSource::File(self.directory.join(path)))
            }
            _ => source.value.clone(),
        }
    }

    fn clients(&self, table: Option<&At<ClientAuthTable>>, problems: &mut Vec<Problem>) -> Clients {
        let Some(at) = table else {
            return Clients::default();
        };
        let table = &at.value;
        let demand = or(&table.demand, Demand::default());
        if table.ca.is_none() && demand != Demand::None {
            let what = "client_auth has no `ca`: it is not clear whose certificates are accepted";
            problems.push(Problem::new(at.place.clone(), what).with_fix(
                "add ca = \"FILE\" with the CA that issues clients' certificates, or \"local\"",
            ));
        }
        let ca = table
            .ca
            .as_ref()
            .map(|path| match path.value.0.as_os_str() == LOCAL {
                true => path.with(path.value.0.clone()),
                false => self.path(path),
            });
        Clients {
            demand,
            ca,
            crl: table
                .crl
                .iter()
                .flatten()
                .map(|path| self.path(path))
                .collect(),
            crl_expired: or(&table.crl_expired, CrlExpired::default()),
            depth: table.depth.as_ref().map(|depth| depth.value),
        }
    }
}

/// A site without a root answers something, and nothing of it is a file beneath the root.
fn needs_no_root(table: &At<SiteTable>, problems: &mut Vec<Problem>) {
    const FIX: &str = "add root = \"DIR\", the directory to serve";
    let site = &table.value;
    let place = |place: Option<&Place>| place.cloned();
    let pages = site.error_page.first().map(|page| &page.value.file.place);
    let of_files = [
        ("listing", site.listing.as_ref().map(|key| &key.place)),
        ("index", site.index.as_ref().map(|key| &key.place)),
        (
            "precompressed",
            site.precompressed.as_ref().map(|key| &key.place),
        ),
        (
            "compression",
            site.compression.as_ref().map(|key| &key.place),
        ),
        (
            "follow_links",
            site.follow_links.as_ref().map(|key| &key.place),
        ),
        ("fallback", site.fallback.as_ref().map(|key| &key.place)),
        ("error_page", pages),
    ];
    let of_files = of_files
        .into_iter()
        .filter_map(|(key, at)| Some((key, place(at)?)));
    for (key, place) in of_files {
        let what = format!("`{key}` is about files beneath `root`, and this site has no root");
        problems.push(Problem::new(place, what).with_fix(FIX));
    }
    let answers = |rule: &At<RuleTable>| {
        let rule = &rule.value;
        rule.redirect.is_some() || rule.status.is_some()
    };
    if site.upload.is_empty() && !site.rule.iter().any(answers) {
        let what = "this site answers nothing: it has no root, no rule that redirects or has a status, and no uploads";
        problems.push(Problem::new(table.place.clone(), what).with_fix(FIX));
    }
}

fn or<T: Clone>(given: &Option<At<T>>, default: T) -> T {
    given.as_ref().map_or(default, |given| given.value.clone())
}

fn ascending(versions: &[Version]) -> Vec<Version> {
    [Version::Tls12, Version::Tls13]
        .into_iter()
        .filter(|version| versions.contains(version))
        .collect()
}

/// Names of files, `index.html` by default.
fn index(given: &Option<At<Vec<String>>>, problems: &mut Vec<Problem>) -> Vec<String> {
    let Some(given) = given else {
        return vec!["index.html".to_owned()];
    };
    for name in &given.value {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            let name = handfast::escape_control(name);
            let what = format!(
                "\"{name}\" cannot be an index: it is the name of a file in each directory, and not of a hidden one"
            );
            problems.push(Problem::new(given.place.clone(), what));
        }
    }
    given.value.clone()
}

/// Names and addresses for a certificate.
fn certificate_names(given: &Option<At<Vec<String>>>, problems: &mut Vec<Problem>) -> Vec<String> {
    let Some(given) = given else {
        return Vec::new();
    };
    let name = |text: &String| match text.parse::<std::net::IpAddr>() {
        Ok(address) => Some(address.to_string()),
        Err(_) => host_name(text)
            .map_err(|why| {
                let text = handfast::escape_control(text);
                let what = format!("\"{text}\" is neither a host name nor an IP address: {why}");
                problems.push(Problem::new(given.place.clone(), what));
            })
            .ok(),
    };
    given.value.iter().filter_map(name).collect()
}

/// A limit of nothing is a mistake where nothing would work with it.
fn not_zero<T: fmt::Display + Default + PartialEq>(
    given: &Option<At<T>>,
    why: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(none) = given.as_ref().filter(|given| given.value == T::default()) {
        let what = format!("{} is {why}", none.value);
        let problem = Problem::new(none.place.clone(), what);
        problems.push(problem.with_fix("leave it out for the default, or give more"));
    }
}

/// The limits, each by its key.
fn limits(table: &LimitsTable, problems: &mut Vec<Problem>) -> Limits {
    for given in [&table.head, &table.idle, &table.write, &table.read] {
        not_zero(given, "too short: every client would be cut off", problems);
    }
    let (head, held) = (&table.head_bytes_max, &table.held_bytes_max);
    not_zero(head, "too small: every request would be refused", problems);
    not_zero(held, "too small: replies need memory", problems);
    let mut limits = Limits::default();
    let count = |given: &Option<At<NonZeroUsize>>, default: usize| {
        given.as_ref().map_or(default, |count| count.value.get())
    };
    let time = |given: &Option<At<Time>>, default| or(given, Time(default)).0;
    limits.connections_max = count(&table.connections_max, limits.connections_max);
    limits.head = time(&table.head, limits.head);
    limits.idle = time(&table.idle, limits.idle);
    limits.write = time(&table.write, limits.write);
    limits.write_rate_min = or(&table.write_rate_min, limits.write_rate_min);
    limits.read = time(&table.read, limits.read);
    limits.read_rate_min = or(&table.read_rate_min, limits.read_rate_min);
    limits.head_bytes_max = size(&table.head_bytes_max, limits.head_bytes_max);
    limits.fields_max = count(&table.fields_max, limits.fields_max);
    let streams = table.streams_max.as_ref().map(|count| count.value.get());
    limits.streams_max = streams.unwrap_or(limits.streams_max);
    limits.discard_max = or(&table.discard_max, Size(limits.discard_max)).0;
    let rate = |given: &Option<At<Often>>| {
        let given = given.as_ref()?.value;
        Some(Rate::new(given.per_second, given.burst))
    };
    let per_address = table.connections_per_address_max.as_ref();
    limits.connections_per_address_max = per_address.map(|count| count.value);
    limits.handshakes_per_address = rate(&table.handshakes_per_address);
    limits.requests_per_address = rate(&table.requests_per_address);
    limits.held_bytes_max = size(&table.held_bytes_max, limits.held_bytes_max);
    limits
}

fn file_limits(table: &LimitsTable) -> FileLimits {
    /// As the library has it.
    const COMPRESSED_DEFAULT: usize = 32 << 20;
    const ENTRIES_DEFAULT: usize = 10_000;
    let entries = table.listing_entries_max.as_ref();
    FileLimits {
        entries_max: entries.map_or(ENTRIES_DEFAULT, |entries| entries.value.get()),
        compressed_bytes_max: size(&table.compressed_bytes_max, COMPRESSED_DEFAULT),
    }
}

fn size(given: &Option<At<Size>>, default: usize) -> usize {
    let given = given.as_ref().map(|size| size.value.0);
    given.map_or(default, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

/// A host name in lower case, in its ASCII form, perhaps with `*.` before it.
fn host_name(text: &str) -> Result<String, &'static str> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let (star, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.contains('*') {
        return Err("`*` stands for the whole first label only, as in *.example.org");
    }
    if name.contains("://") || name.contains('/') {
        return Err("give the name alone, without scheme and path");
    }
    let is_ipv6 = name.matches(':').count() > 1;
    if !is_ipv6 && name.contains(':') {
        return Err("give the name alone, without a port");
    }
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return match star {
            "" => Ok(address.to_string()),
            _ => Err("an address has no names below it"),
        };
    }
    let Ok(url::Host::Domain(ascii)) = url::Host::parse(name) else {
        return Err("it has characters that names do not have");
    };
    if ascii.len() > 253
        || ascii
            .split('.')
            .any(|label| label.is_empty() || label.len() > 63)
    {
        return Err("a label of it is empty or too long");
    }
    Ok(format!("{star}{ascii}"))
}

/// No two sites may have one name, and one may be the default.
fn names_are_unique(sites: &[Site], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut default: Option<usize> = None;
    for (number, site) in sites.iter().enumerate() {
        if site.names.is_empty() {
            if default.is_some() {
                let what =
                    "two sites have no names: only one can get the requests for all other names";
                problems.push(
                    Problem::new(site.root_place().clone(), what)
                        .with_fix("give this site names = [\"...\"]"),
                );
            }
            default = Some(number);
        }
        for name in &site.names {
            match seen.insert(&name.value, number) {
                Some(other) if other == number => problems.push(
                    Problem::new(name.place.clone(), format!("{} is there twice", name.value))
                        .with_fix("remove one of the two"),
                ),
                Some(_) => problems.push(
                    Problem::new(
                        name.place.clone(),
                        format!("{} is the name of another site already", name.value),
                    )
                    .with_fix("remove it from one of the two"),
                ),
                None => {}
            }
        }
    }
}
