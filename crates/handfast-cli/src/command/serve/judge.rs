//! What can be served and will not do what was meant: told at the start, and wrong for `--check`.

use std::path::{Component, Path};

use handfast::{
    Identity, RevocationLists, TrustAnchors, UnixTime, VerificationPolicy, VerifyCause,
};

use super::certificates::any_name;
use super::settings::{Certificate, Site};
use super::warnings::Warning;

/// Pages that a site is to answer with, and that its directory does not have.
pub(super) fn pages(site: &Site) -> Vec<Warning> {
    let fallback = site.answers.fallback.iter();
    let fallback = fallback.map(|file| (file, "navigations to paths that do not exist get 404"));
    let pages = site.answers.error_page.iter();
    let pages = pages.map(|table| (&table.value.file, "errors are answered without it"));
    let all = fallback.chain(pages).filter_map(|(file, until)| {
        let text = format!("{}: {until}", missing(&file.value, site)?);
        Some(Warning {
            place: file.place.clone(),
            text,
            is_fatal: true,
        })
    });
    all.collect()
}

fn shown(path: &Path) -> String {
    handfast::escape_control(&path.display().to_string()).into_owned()
}

/// Why there is no such file. Not for those whose names are encoded.
fn missing(file: &str, site: &Site) -> Option<String> {
    let root = &site.root.as_ref()?.value;
    let relative = Path::new(file.trim_start_matches('/'));
    if file.contains('%') || !root.is_dir() {
        return None;
    }
    let is_beneath = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(is_beneath) {
        return Some(format!(
            "{} is not beneath {}",
            handfast::escape_control(file),
            shown(root)
        ));
    }
    let path = root.join(relative);
    let mut indexes = site.files.index.iter();
    let is_there = path.is_file() || indexes.any(|index| path.join(index).is_file());
    (!is_there).then(|| format!("there is no file {}", shown(&path)))
}

/// Whether the local authority in this directory has revoked a certificate: its clients refuse the server then.
pub(super) fn revoked(
    certificate: &Certificate,
    identity: &Identity,
    ca: &Path,
) -> Option<Warning> {
    let anchors = TrustAnchors::empty().with_file(ca.join("ca.pem")).ok()?;
    let lists = RevocationLists::none().with_file(ca.join("crl.pem")).ok()?;
    let name = any_name(identity.facts())?;
    let policy = VerificationPolicy::new(anchors).with_revocation_lists(lists);
    let refused = policy
        .check_server_chain(identity.chain(), &name, UnixTime::now())
        .err()?;
    matches!(refused.cause, VerifyCause::Revoked { .. }).then(|| Warning {
        place: certificate.chain.place.clone(),
        text: "the local authority has revoked this certificate: its clients refuse it; have another one issued (`handfast ca issue NAME`)"
            .to_owned(),
        is_fatal: true,
    })
}

/// Whether others than its owner can use or replace a private key.
#[cfg(unix)]
pub(super) fn key(certificate: &Certificate) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt as _;
    /// Readable and writable by everyone, and writable by the group: a group that reads keys is common.
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o022;
    let path = certificate.key_file();
    let found = path.metadata().ok().filter(|found| found.is_file())?;
    let mode = found.permissions().mode();
    let who = match (mode & OTHERS_WRITE, mode & OTHERS_READ) {
        (0, 0) => return None,
        (0, _) => "every user of this machine can read",
        _ => "other users of this machine can change",
    };
    let path = shown(path);
    Some(Warning {
        place: match &certificate.key {
            Some(key) => key.place.clone(),
            None => certificate.chain.place.clone(),
        },
        text: format!(
            "{who} the private key {path} (mode {:o}): chmod 600",
            mode & 0o7777
        ),
        is_fatal: mode & OTHERS_WRITE != 0,
    })
}

#[cfg(not(unix))]
pub(super) fn key(_: &Certificate) -> Option<Warning> {
    None
}
