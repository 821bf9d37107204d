//! What is printed at the start: addresses, and commands that reach the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use handfast::{
    CertificateFacts, Explanation, SubjectAltName, TrustAnchors, UnixTime, VerificationPolicy,
    VerifyCause,
};

use handfast_https::server::LocalAddress;
use handfast_site::SiteTable;

use super::certificates::{Origin, Shown, SiteIdentities, Trusted, any_name};
use super::config::choices::Demand;
use super::desk;
use super::settings::{Settings, Site};
use crate::data_dir;
use crate::failure::{Failure, code};
use crate::output;

/// The most sites for which commands are shown.
const SITES_SHOWN_MAX: usize = 3;

/// How long printing is waited for. A reader that takes longer gets it later; until then signals would not be answered.
const PRINTED_WITHIN: Duration = Duration::from_secs(1);

/// Prints text on stdout.
///
/// # Errors
/// If standard output cannot be written. Not if it is not read.
pub(super) fn print(text: String) -> Result<(), Failure> {
    let (done, result) = mpsc::channel();
    let print = move || {
        // Without a receiver it took too long.
        let _ = done.send(output::write_stdout(text.as_bytes()));
    };
    let thread = thread::Builder::new().name("handfast-stdout".into());
    match thread.spawn(print) {
        Ok(_) => result.recv_timeout(PRINTED_WITHIN).unwrap_or(Ok(())),
        Err(error) => {
            let what = "the addresses cannot be printed: the system gives no thread";
            let explanation = Explanation::new("output-unwritable", what);
            Err(Failure::new(
                code::WRITE,
                explanation.with_evidence(error.to_string()),
            ))
        }
    }
}

/// The addresses at which plain HTTP is redirected.
pub(super) fn redirects(addresses: &[LocalAddress]) -> String {
    let line = |address: &LocalAddress| match address.socket() {
        Some(address) => format!("redirecting http://{address}/ to https\n"),
        None => format!("redirecting plain HTTP at {address} to https\n"),
    };
    addresses.iter().map(line).collect()
}

/// The Unix sockets at which HTTPS is served.
pub(super) fn unix(addresses: &[LocalAddress]) -> String {
    let unix = addresses
        .iter()
        .filter(|address| address.socket().is_none());
    unix.map(|address| format!("listening on {address}\n"))
        .collect()
}

/// Its addresses, a line each, and commands to reach it. Reads the local authority's certificate.
pub(super) fn text(
    settings: &Settings,
    identities: &SiteIdentities,
    addresses: &[SocketAddr],
    status: &[SocketAddr],
    sites: &SiteTable,
) -> String {
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("listening on https://{address}/\n"));
    }
    for (ip, url) in desk::urls_for_others(addresses) {
        let listed = format!("listening on {url}\n");
        if !text.contains(&listed) {
            let unnamed = match covers(identities, ip) {
                true => "",
                false => " (which the certificate does not name)",
            };
            text.push_str(&format!("  reached by others as {url}{unnamed}\n"));
        }
    }
    for address in status {
        text.push_str(&format!("status page and /metrics on https://{address}/\n"));
    }
    if let Some(address) = addresses.first() {
        for site in sites.sites().iter().take(SITES_SHOWN_MAX) {
            text.extend(upload_forms(site, *address));
        }
    }
    let mut lines: Vec<String> = Vec::new();
    let sites = settings.sites.iter().zip(&identities.sites);
    for (site, shown) in sites.take(SITES_SHOWN_MAX) {
        let Some(shown) = shown.first() else { continue };
        let authority = identities.authority.as_ref();
        for line in commands(site, shown, authority, addresses) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if let (true, Origin::Local, Some(authority), Some(address)) = (
            site.names.is_empty(),
            &shown.origin,
            authority,
            addresses.first(),
        ) {
            let client = client_options(site);
            lines.extend(commands_by_name(
                settings, shown, authority, *address, client,
            ));
        }
    }
    if !lines.is_empty() {
        text.push_str(&format!("\n  {}\n\n", lines.join("\n  ")));
    }
    let refused = &identities.own_names.refused;
    if !refused.is_empty() {
        output::note(format!(
            "the certificate does not name {}: the local authority may not sign for that; clients that connect by this name refuse the server",
            refused.join(", ")
        ));
    }
    text
}

/// Whether a certificate names this address.
pub(super) fn covers(identities: &SiteIdentities, ip: IpAddr) -> bool {
    let is_it = |name: &SubjectAltName| matches!(name, SubjectAltName::Ip(known) if *known == ip);
    let mut shown = identities.sites.iter().flatten();
    shown.any(|shown| shown.facts().names.iter().any(is_it))
}

/// Where people upload files to a site, a line each.
fn upload_forms(site: &handfast_site::Site, address: SocketAddr) -> impl Iterator<Item = String> {
    let host = match site.names().next() {
        // Any name that the wildcard stands for.
        Some(name) => name.replacen('*', "www", 1),
        None => reachable(address.ip()),
    };
    let port = address.port();
    let pages = site.upload_pages();
    pages.map(move |page| format!("upload form at https://{host}:{port}{page}\n"))
}

/// Commands to reach a site at each address; addresses with the same name and port are listed once.
fn commands(
    site: &Site,
    shown: &Shown,
    authority: Option<&Trusted>,
    addresses: &[SocketAddr],
) -> Vec<String> {
    let client = client_options(site);
    let facts = shown.facts();
    let mut lines: Vec<String> = Vec::new();
    for address in addresses {
        let port = address.port();
        // A name of a site that has names; otherwise one of the certificate.
        let name = match site.names.is_empty() {
            true => presented(facts, *address),
            false => reached_as(site, *address),
        };
        let pair = match authority.filter(|_| shown.origin == Origin::Local) {
            Some(authority) => {
                let (name, resolve) = match site.names.is_empty() {
                    true => (reachable(address.ip()), String::new()),
                    false => match name {
                        Some(name) => name,
                        None => continue,
                    },
                };
                let url = format!("https://{name}:{port}/");
                let file = output::shell_path(&authority.file);
                let cacert = match authority.is_default {
                    true => String::new(),
                    false => format!(" --cacert {file}"),
                };
                [
                    format!("handfast get{cacert}{resolve}{client} {url}"),
                    format!("curl --cacert {file}{resolve}{client} {url}"),
                ]
            }
            None => {
                let Some((name, resolve)) = name else {
                    continue;
                };
                // A self-issued certificate is itself the anchor; for others, only the local authority is known.
                let cacert = match &shown.origin {
                    Origin::Given(file) if facts.is_self_issued => {
                        format!(" --cacert {}", output::shell_path(file))
                    }
                    _ => String::new(),
                };
                let cacert = match cacert.is_empty() && !is_trusted_here(shown) {
                    true => " --cacert ISSUER.pem".to_owned(),
                    false => cacert,
                };
                let how = format!("{resolve}{client} https://{name}:{port}/");
                // `get` trusts the local authority by default.
                let curl = match data_dir::local_ca_that_issued(facts) {
                    Some(file) => format!(" --cacert {}", output::shell_path(&file)),
                    None => cacert.clone(),
                };
                // The local authority's is trusted by default.
                let cacert = match data_dir::local_ca_that_issued(facts) {
                    Some(_) => String::new(),
                    None => cacert,
                };
                [
                    format!("handfast get{cacert}{how}"),
                    format!("curl{curl}{how}"),
                ]
            }
        };
        lines.extend(pair);
    }
    lines
}

/// Commands to reach it by each name that was added to the certificate of the local authority, at the first address.
fn commands_by_name(
    settings: &Settings,
    shown: &Shown,
    authority: &Trusted,
    address: SocketAddr,
    client: &str,
) -> Vec<String> {
    let file = output::shell_path(&authority.file);
    let cacert = match authority.is_default {
        true => String::new(),
        false => format!(" --cacert {file}"),
    };
    let (ip, port) = (connectable(address.ip()), address.port());
    let mut lines = Vec::new();
    for name in &settings.certificate_names {
        let is_it = |known: &SubjectAltName| match known {
            SubjectAltName::Dns(known) => known.eq_ignore_ascii_case(name),
            _ => false,
        };
        // Otherwise it was refused, or is an address.
        if !shown.facts().names.iter().any(is_it) {
            continue;
        }
        let name = name.replacen('*', "www", 1);
        // Both clients know where such names lead.
        let resolve = match name.ends_with(".localhost") && ip.is_loopback() {
            true => String::new(),
            false => format!(" --resolve {name}:{port}:{}", bracketed(ip)),
        };
        let how = format!("{resolve}{client} https://{name}:{port}/");
        lines.push(format!("handfast get{cacert}{how}"));
        lines.push(format!("curl --cacert {file}{how}"));
    }
    lines
}

fn client_options(site: &Site) -> &'static str {
    match site.clients.demand {
        Demand::Required => " --cert CLIENT.pem --key CLIENT.key",
        Demand::Optional | Demand::None => "",
    }
}

/// Whether the platform's store has the authority of a given certificate: clients then need no option.
fn is_trusted_here(shown: &Shown) -> bool {
    let Some(name) = any_name(shown.facts()) else {
        return true;
    };
    let policy = VerificationPolicy::new(TrustAnchors::platform());
    let verdict = policy.check_server_chain(shown.identity.chain(), &name, UnixTime::now());
    // What else is wrong with it is told elsewhere.
    !verdict.is_err_and(|refused| {
        matches!(
            refused.cause,
            VerifyCause::UnknownIssuer { .. } | VerifyCause::UntrustedRoot { .. }
        )
    })
}

/// A site's first name, and the options that make clients connect to this address for it.
fn reached_as(site: &Site, address: SocketAddr) -> Option<(String, String)> {
    let name = &site.names.first()?.value;
    // Any name that the wildcard stands for.
    let name = name.replacen('*', "www", 1);
    let ip = connectable(address.ip());
    if name == ip.to_string() || (name == "localhost" && ip.is_loopback()) {
        let name = if name == "localhost" {
            name
        } else {
            bracketed(ip)
        };
        return Some((name, String::new()));
    }
    let resolve = format!(" --resolve {name}:{}:{}", address.port(), bracketed(ip));
    Some((name, resolve))
}

fn connectable(ip: IpAddr) -> IpAddr {
    match ip {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A name in a given certificate for an address, and the options that make clients connect to it. `None` if it
/// names no server.
fn presented(facts: &CertificateFacts, address: SocketAddr) -> Option<(String, String)> {
    let ip = connectable(address.ip());
    let is_ip = |name: &SubjectAltName| matches!(name, SubjectAltName::Ip(found) if *found == ip);
    if facts.names.iter().any(is_ip) {
        return Some((bracketed(ip), String::new()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut names = facts.names.iter().filter_map(|name| match name {
        SubjectAltName::Dns(_) if name.never_matches().is_some() => None,
        // Any name that the wildcard matches.
        SubjectAltName::Dns(name) => Some(name.replacen('*', "www", 1)),
        _ => None,
    });
    let name = names.find(|name| !name.is_empty() && name.chars().all(plain))?;
    if name == "localhost" && ip.is_loopback() {
        return Some((name, String::new()));
    }
    let resolve = format!(" --resolve {name}:{}:{}", address.port(), bracketed(ip));
    Some((name, resolve))
}

/// The name in the certificate for an address.
fn reachable(ip: IpAddr) -> String {
    if ip.is_loopback() || ip.is_unspecified() {
        return "localhost".to_owned();
    }
    bracketed(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_shown_can_be_typed() {
        assert_eq!(output::shell_path("/a/b-c.pem".as_ref()), "/a/b-c.pem");
        assert_eq!(output::shell_path("/a b/it's".as_ref()), r"'/a b/it'\''s'");
        assert_eq!(reachable(Ipv4Addr::LOCALHOST.into()), "localhost");
        assert_eq!(reachable(Ipv6Addr::UNSPECIFIED.into()), "localhost");
        assert_eq!(reachable("10.0.0.7".parse().unwrap()), "10.0.0.7");
        assert_eq!(reachable("fd00::7".parse().unwrap()), "[fd00::7]");
    }
}
