//! What can be served and will not do what was meant: told at the start, and wrong for `--check`.

use std::path::{Component, Path};

use super::answers::beneath;
use super::config::Problem;
use super::settings::{Certificate, Settings, Site};
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

/// Directories for uploads to one site that another site serves files of.
pub(super) fn uploads(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (at, site) in settings.sites.iter().enumerate() {
        for table in &site.answers.upload {
            let directory = &table.value.directory;
            let (path, place) = (&directory.value.0, &directory.place);
            for (number, other) in settings.sites.iter().enumerate() {
                let Some(root) = other.root.as_ref().filter(|_| number != at) else {
                    continue;
                };
                let other_name = match other.names.first() {
                    Some(name) => format!("the site {}", name.value),
                    None => "the site without names".to_owned(),
                };
                let is_served = beneath(path, &root.value).is_some();
                if is_served && !stores_in(other, path) {
                    let text = format!(
                        "what is uploaded to {} is also served by {other_name}, and can do in browsers what pages of that site can: \
                         take a directory that is not beneath its root",
                        shown(path)
                    );
                    warnings.push(Warning {
                        place: place.clone(),
                        text,
                        is_fatal: false,
                    });
                } else if !is_served && beneath(&root.value, path).is_some() {
                    let what = format!(
                        "the root of {other_name} lies beneath the directory for uploads: clients could change that site"
                    );
                    let fix = "take a directory that holds no root";
                    problems.push(Problem::new(place.clone(), what).with_fix(fix));
                }
            }
        }
    }
    warnings
}

/// Are files in this directory, to this site, what clients have uploaded?
fn stores_in(site: &Site, directory: &Path) -> bool {
    let mut tables = site.answers.upload.iter();
    tables.any(|table| beneath(directory, &table.value.directory.value.0).is_some())
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
