//! Options take the place of keys.

use std::path::Path;

use super::answers;
use crate::command::serve::args::Args;
use crate::command::serve::config::choices::Events;
use crate::command::serve::config::file::{
    CertificateTable, ClientAuthTable, File, ListenerTable, SiteTable,
};
use crate::command::serve::config::{Address, At, FilePath, Place, Problem, Source};

/// Options take the place of keys.
pub(super) fn override_by(args: &Args, file: &mut File, problems: &mut Vec<Problem>) {
    let running = &args.running;
    if let Some(threads) = running.threads {
        file.threads = Some(At::flag("--threads", threads));
    }
    if let Some(time) = running.grace {
        file.grace = Some(At::flag("--grace", time));
    }
    if !args.identity.name.is_empty() {
        file.certificate_names = Some(At::flag("--name", args.identity.name.clone()));
    }
    if let Some(user) = &running.user {
        file.user = Some(At::flag("--user", user.clone()));
    }
    if running.no_sandbox {
        file.sandbox = Some(At::flag("--no-sandbox", false));
    }
    if let Some(path) = &running.takeover {
        file.takeover = Some(At::flag("--takeover", typed(path)));
    }
    if let Some(close) = running.close {
        file.close = Some(At::flag("--close", close));
    }
    if let Some(count) = running.connections_max {
        file.limits.connections_max = Some(At::flag("--connections-max", count));
    }
    if let Some(count) = running.wrong_passwords_max {
        file.limits.wrong_passwords_max = Some(At::flag("--wrong-passwords-max", count));
    }
    if let Some(path) = &running.audit {
        file.log.audit = Some(At::flag("--audit", typed(path)));
    }
    if let Some(to) = &running.log {
        file.log.to = Some(At::flag("--log", to.clone()));
    }
    if let Some(format) = running.log_format {
        file.log.format = Some(At::flag("--log-format", format));
    }
    if let Some(address) = running.status {
        file.status.address = Some(At::flag("--status", address));
    }
    if running.quiet {
        file.log.events = Some(At::flag("--quiet", Events::None));
    }
    if running.verbose {
        file.log.events = Some(At::flag("--verbose", Events::Connections));
    }
    if let Some((flag, versions)) = args.tls.versions() {
        file.tls.versions = Some(At::flag(flag, versions));
    }
    if let Some(path) = &args.tls.key_log {
        file.tls.key_log = Some(At::flag("--key-log", typed(path)));
    }
    if let Some(path) = &args.identity.ca_dir {
        file.ca_dir = Some(At::flag("--ca-dir", typed(path)));
    }
    let listener = |flag, address: &Address| {
        let table = ListenerTable {
            address: At::flag(flag, address.clone()),
            kind: None,
        };
        At::flag(flag, table)
    };
    if let Some(port) = args.port {
        file.listener = vec![listener("--port", &Address::loopback(port))];
    }
    if !args.listen.is_empty() {
        let addresses = args.listen.iter();
        file.listener = addresses.map(|one| listener("--listen", one)).collect();
    }
    if let Some((flag, _)) = about_one_site(args).first()
        && let Some(site) = file.site.first()
    {
        let what =
            format!("{flag} cannot be used together with [[site]] in the configuration file");
        let fix = format!("leave out {flag}, or the tables [[site]]");
        problems.push(Problem::new(site.place.clone(), what).with_fix(fix));
        return;
    }
    if file.site.is_empty() {
        match site_of(args) {
            Some(site) => file.site.push(At::flag("DIR", site)),
            None => problems.push(
                Problem::new(Place::Unset, "there is nothing to serve").with_fix(
                    "give a directory, or add a [[site]] with a root to the configuration file",
                ),
            ),
        }
    }
}

/// A path from the command line is relative to the working directory: joining it to another changes nothing.
fn typed(path: &Path) -> FilePath {
    FilePath(path.to_owned())
}

/// The options in use that describe one site, and their keys.
fn about_one_site(args: &Args) -> Vec<(&'static str, &'static str)> {
    let (identity, clients) = (&args.identity, &args.clients);
    let used = [
        (args.directory.is_some(), "DIR", "site.root"),
        (args.no_listing, "--no-listing", "site.listing"),
        (identity.cert.is_some(), "--cert", "site.certificate.chain"),
        (identity.key.is_some(), "--key", "site.certificate.key"),
        (
            identity.pass.is_some(),
            "--pass",
            "site.certificate.passphrase",
        ),
        (
            clients.client_ca.is_some(),
            "--client-ca",
            "site.client_auth.ca",
        ),
        (
            clients.client_auth.is_some(),
            "--client-auth",
            "site.client_auth.demand",
        ),
        (!clients.crl.is_empty(), "--crl", "site.client_auth.crl"),
        (
            clients.crl_expired.is_some(),
            "--crl-expired",
            "site.client_auth.crl_expired",
        ),
        (clients.depth.is_some(), "--depth", "site.client_auth.depth"),
        (!args.answers.index.is_empty(), "--index", "site.index"),
        (
            args.answers.no_compression,
            "--no-compression",
            "site.compression",
        ),
        (
            args.answers.follow_links,
            "--follow-links",
            "site.follow_links",
        ),
        (args.answers.spa, "--spa", "site.fallback"),
        (!args.answers.cors.is_empty(), "--cors", "site.cors.origins"),
        (
            args.answers.not_found.is_some(),
            "--404",
            "site.error_page.file",
        ),
        (
            !args.answers.add_header.is_empty(),
            "--add-header",
            "site.rule.headers",
        ),
        (args.answers.hsts.is_some(), "--hsts", "site.hsts.max_age"),
        (
            !args.answers.basic_auth.is_empty(),
            "--basic-auth",
            "site.basic_auth.file",
        ),
        (
            args.answers.upload.is_some(),
            "--upload",
            "site.upload.directory",
        ),
    ];
    used.into_iter()
        .filter(|(used, ..)| *used)
        .map(|(_, flag, key)| (flag, key))
        .collect()
}

/// The site that options describe.
fn site_of(args: &Args) -> Option<SiteTable> {
    let root = args.directory.as_deref()?;
    let certificate = args.identity.cert.as_deref().map(|chain| {
        let table = CertificateTable {
            chain: At::flag("--cert", typed(chain)),
            key: args
                .identity
                .key
                .as_deref()
                .map(|key| At::flag("--key", typed(key))),
            passphrase: args
                .identity
                .pass
                .clone()
                .map(|source| At::flag("--pass", Source(source))),
        };
        At::flag("--cert", table)
    });
    let clients = &args.clients;
    let client_auth = clients.client_ca.as_deref().map(|ca| {
        let crl = clients.crl.iter();
        let table = ClientAuthTable {
            demand: clients
                .client_auth
                .map(|demand| At::flag("--client-auth", demand)),
            ca: Some(At::flag("--client-ca", typed(ca))),
            crl: Some(crl.map(|path| At::flag("--crl", typed(path))).collect()),
            crl_expired: clients
                .crl_expired
                .map(|policy| At::flag("--crl-expired", policy)),
            depth: clients.depth.map(|depth| At::flag("--depth", depth)),
        };
        At::flag("--client-ca", table)
    });
    let answers_args = &args.answers;
    let mut table = SiteTable {
        names: None,
        root: Some(At::flag("DIR", typed(root))),
        listing: args.no_listing.then(|| At::flag("--no-listing", false)),
        index: (!answers_args.index.is_empty())
            .then(|| At::flag("--index", answers_args.index.clone())),
        compression: answers_args
            .no_compression
            .then(|| At::flag("--no-compression", false)),
        follow_links: answers_args
            .follow_links
            .then(|| At::flag("--follow-links", true)),
        client_auth,
        certificate: certificate.into_iter().collect(),
        ..SiteTable::default()
    };
    answers::of_options(&args.answers, &mut table);
    Some(table)
}

/// Each option of `serve`, and its key; `None` for those that are about the command and not about the server.
#[cfg(test)]
pub(super) const KEYS: &[(&str, Option<&str>)] = &[
    ("DIR", Some("site.root")),
    ("--listen", Some("listener.address")),
    ("--port", Some("listener.address")),
    ("--no-listing", Some("site.listing")),
    ("--index", Some("site.index")),
    ("--no-compression", Some("site.compression")),
    ("--follow-links", Some("site.follow_links")),
    ("--qr", None),
    ("--open", None),
    ("--spa", Some("site.fallback")),
    ("--cors", Some("site.cors.origins")),
    ("--404", Some("site.error_page.file")),
    ("--add-header", Some("site.rule.headers")),
    ("--hsts", Some("site.hsts.max_age")),
    ("--basic-auth", Some("site.basic_auth.file")),
    ("--upload", Some("site.upload.directory")),
    ("--config", None),
    ("--check", None),
    ("--print-config", None),
    ("--schema", None),
    ("--cert", Some("site.certificate.chain")),
    ("--key", Some("site.certificate.key")),
    ("--pass", Some("site.certificate.passphrase")),
    ("--ca-dir", Some("ca_dir")),
    ("--client-ca", Some("site.client_auth.ca")),
    ("--client-auth", Some("site.client_auth.demand")),
    ("--crl", Some("site.client_auth.crl")),
    ("--crl-expired", Some("site.client_auth.crl_expired")),
    ("--depth", Some("site.client_auth.depth")),
    ("--grace", Some("grace")),
    ("--takeover", Some("takeover")),
    ("--close", Some("close")),
    ("--threads", Some("threads")),
    ("--name", Some("certificate_names")),
    ("--user", Some("user")),
    ("--no-sandbox", Some("sandbox")),
    ("--connections-max", Some("limits.connections_max")),
    ("--wrong-passwords-max", Some("limits.wrong_passwords_max")),
    ("--log", Some("log.to")),
    ("--log-format", Some("log.format")),
    ("--status", Some("status.address")),
    ("--audit", Some("log.audit")),
    ("--quiet", Some("log.events")),
    ("--verbose", Some("log.events")),
    ("--tlsv1.3", Some("tls.versions")),
    ("--tls-max", Some("tls.versions")),
    ("--key-log", Some("tls.key_log")),
];
