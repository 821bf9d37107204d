//! NSS databases, by NSS's `certutil`: Chromium's (one for each user), and Firefox' (one for each profile).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::StoreError;
use super::kind::{Change, StoreKind};
use super::step::{Step, output};
use super::store::{Anchor, Found, Places, Plan, Store, StoreReport};
use super::tool::{self, Tool, ToolProblem};

/// certutil takes some 10 ms; the rest is for loaded machines and home directories on a network.
const LIMIT: Duration = Duration::from_secs(30);

/// A user has a few profiles and a few sandboxed browsers. Each costs a few runs of certutil.
const DATABASES_MAX: usize = 100;

/// In which the authority's certificate is looked for under another name, each with a run of certutil. Users import a
/// handful of certificates.
const NICKNAMES_MAX: usize = 200;

const CHROMIUM: &str = "Chromium";
const FIREFOX: &str = "Firefox";

/// Browsers that read the user's database, by the names of their programs.
const BROWSERS: [&str; 8] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "brave-browser",
    "microsoft-edge",
    "vivaldi",
    "opera",
];

/// Managers of packages, each with the command that installs certutil.
const INSTALL: [(&str, &str); 6] = [
    ("usr/bin/apt-get", "apt-get install libnss3-tools"),
    ("usr/bin/dnf", "dnf install nss-tools"),
    ("usr/bin/zypper", "zypper install mozilla-nss-tools"),
    ("usr/bin/pacman", "pacman -S nss"),
    ("sbin/apk", "apk add nss-tools"),
    ("opt/homebrew/bin/brew", "brew install nss"),
];

/// Without a terminal to ask at: certutil opens one, unless it is given a file with the password.
const NO_PASSWORD: [&str; 2] = ["-f", "/dev/null"];

/// The databases of this user. `create`: make Chromium's if there is none and Chromium was not found, either.
pub(super) fn find(places: &Places, create: bool) -> Found {
    const OWNER: &str = "Chromium, Firefox";
    if cfg!(windows) {
        let reason = "on Windows, browsers read the system's store";
        return Err(StoreReport::not_found(StoreKind::Nss, OWNER, reason));
    }
    let Some(home) = &places.home else {
        return Err(StoreReport::not_found(
            StoreKind::Nss,
            OWNER,
            "this user has no home directory",
        ));
    };
    let mut databases = chromium(places, home);
    let has_chromium = |name: &&str| tool::find(&places.search_path, name).is_some();
    if databases.is_empty()
        && !cfg!(target_os = "macos")
        && (create || BROWSERS.iter().any(has_chromium))
    {
        // Every version reads this one; newer ones make another only where it is missing.
        databases.push((CHROMIUM, home.join(".pki/nssdb")));
    }
    databases.extend(firefox(places, home));
    databases.truncate(DATABASES_MAX);
    if databases.is_empty() {
        let reason = format!(
            "no database of Chromium or Firefox in {}: start the browser once",
            home.display()
        );
        return Err(StoreReport::not_found(StoreKind::Nss, OWNER, reason));
    }
    let certutil = tool::find(&places.search_path, "certutil");
    let databases = databases.into_iter().map(|(owner, directory)| {
        let database: Box<dyn Store> = Box::new(Database {
            owner,
            directory,
            certutil: certutil.clone(),
            install: install(places),
        });
        database
    });
    Ok(databases.collect())
}

fn chromium(places: &Places, home: &Path) -> Vec<(&'static str, PathBuf)> {
    let data = places
        .data_home
        .clone()
        .unwrap_or_else(|| home.join(".local/share"));
    let mut candidates = vec![home.join(".pki/nssdb"), data.join("pki/nssdb")];
    for snap in entries(&home.join("snap")) {
        candidates.push(snap.join("current/.pki/nssdb"));
        candidates.push(snap.join("current/.local/share/pki/nssdb"));
    }
    for flatpak in entries(&home.join(".var/app")) {
        candidates.push(flatpak.join(".pki/nssdb"));
        candidates.push(flatpak.join("data/pki/nssdb"));
    }
    let existing = candidates.into_iter().filter(|path| is_database(path));
    existing.map(|path| (CHROMIUM, path)).collect()
}

fn firefox(places: &Places, home: &Path) -> Vec<(&'static str, PathBuf)> {
    let config = places
        .config_home
        .clone()
        .unwrap_or_else(|| home.join(".config"));
    let roots = [
        home.join(".mozilla/firefox"),
        // Since version 147.
        config.join("mozilla/firefox"),
        home.join("snap/firefox/common/.mozilla/firefox"),
        home.join(".var/app/org.mozilla.firefox/.mozilla/firefox"),
        home.join(".var/app/org.mozilla.firefox/config/mozilla/firefox"),
        home.join("Library/Application Support/Firefox/Profiles"),
    ];
    let profiles = roots.iter().flat_map(|root| entries(root));
    let profiles = profiles.filter(|profile| is_database(profile));
    profiles.map(|profile| (FIREFOX, profile)).collect()
}

/// What is in a directory, in the order of the names. A directory that cannot be read holds nothing of this user.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .take(DATABASES_MAX)
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn is_database(directory: &Path) -> bool {
    directory.join("cert9.db").is_file()
}

fn install(places: &Places) -> String {
    let known = INSTALL
        .iter()
        .find(|(manager, _)| places.root.join(manager).exists());
    known.map_or_else(
        || "the package libnss3-tools (Debian), nss-tools (Fedora) or nss".to_owned(),
        |(_, command)| (*command).to_owned(),
    )
}

#[derive(Debug)]
struct Database {
    owner: &'static str,
    directory: PathBuf,
    certutil: Option<PathBuf>,
    install: String,
}

/// An entry of the authority's certificate.
#[derive(Debug)]
struct Entry {
    nickname: String,
    is_trusted: bool,
}

impl Store for Database {
    fn kind(&self) -> StoreKind {
        StoreKind::Nss
    }

    fn owner(&self) -> String {
        self.owner.to_owned()
    }

    fn path(&self) -> PathBuf {
        self.directory.clone()
    }

    fn plan(&self, change: Change, anchor: &Anchor) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        let exists = is_database(&self.directory);
        if !exists && change == Change::Untrust {
            return Ok(plan);
        }
        self.require_own()?;
        if self.certutil.is_none() {
            return Err(StoreError::ToolMissing {
                tool: "certutil",
                path: self.directory.clone(),
                install: self.install.clone(),
            });
        }
        if !exists {
            let path = self.directory.clone();
            if !path.is_dir() {
                plan.steps.push(Step::CreateDirectory { path });
            }
            plan.steps
                .push(Step::Run(self.certutil("-N").args(NO_PASSWORD)));
        }
        let entry = if exists { self.entry(anchor)? } else { None };
        match (change, entry) {
            (
                Change::Trust,
                Some(Entry {
                    is_trusted: true, ..
                }),
            )
            | (Change::Untrust, None) => {}
            (Change::Trust, entry) => {
                if entry.is_none() {
                    // A database with a password gets the certificate, and then refuses to trust it.
                    let remove = self.certutil("-D").args(["-n", &anchor.name]);
                    plan.undo.push(Step::Run(remove.args(NO_PASSWORD)));
                }
                let add = self.certutil("-A");
                // Trusted as an authority for servers, and for nothing else.
                let add = add.args(["-t", "C,,", "-n", &anchor.name, "-i"]);
                let add = add.arg(&anchor.file).args(NO_PASSWORD);
                plan.steps.push(Step::Run(add));
            }
            (Change::Untrust, Some(entry)) => {
                let remove = self.certutil("-D").args(["-n", &entry.nickname]);
                plan.steps.push(Step::Run(remove.args(NO_PASSWORD)));
            }
        }
        Ok(plan)
    }

    fn interpret(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Tool {
                problem: ToolProblem::Ended { .. },
                message,
                ..
            } if message.contains("SEC_ERROR_BAD_PASSWORD") => StoreError::Locked {
                path: self.directory.clone(),
            },
            error => error,
        }
    }
}

impl Database {
    fn certutil(&self, action: &str) -> Tool {
        let mut database = std::ffi::OsString::from("sql:");
        database.push(&self.directory);
        let program = self
            .certutil
            .as_deref()
            .unwrap_or_else(|| Path::new("certutil"));
        Tool::new(program, LIMIT).args([action, "-d"]).arg(database)
    }

    /// Root, by way of sudo, would leave files in a user's profile that the browser cannot write any longer.
    fn require_own(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let existing = self.directory.ancestors().find_map(|path| {
                let found = fs::metadata(path).ok()?;
                Some((path, found.uid()))
            });
            if let Some((path, owner)) = existing
                && owner != rustix::process::geteuid().as_raw()
            {
                return Err(StoreError::OtherOwner {
                    path: path.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The entry with this certificate.
    ///
    /// A database keeps a certificate once, under the nickname that it was first given.
    fn entry(&self, anchor: &Anchor) -> Result<Option<Entry>, StoreError> {
        let list = output(&self.certutil("-L").args(NO_PASSWORD))?;
        let mut entries = parse(&String::from_utf8_lossy(&list));
        let own = entries.iter().position(|one| one.nickname == anchor.name);
        if let Some(own) = own {
            let own = entries.swap_remove(own);
            return match anchor.is_in(&self.certificates_of(&own.nickname)?) {
                true => Ok(Some(own)),
                false => Err(StoreError::AnotherCertificate {
                    path: self.directory.clone(),
                    name: own.nickname,
                }),
            };
        }
        for entry in entries.into_iter().take(NICKNAMES_MAX) {
            // certutil gives all certificates of the same subject. Where there are several, which of them a nickname
            // stands for is not known, and deleting one might hit another.
            let pem = self.certificates_of(&entry.nickname)?;
            if anchor.is_alone_in(&pem) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn certificates_of(&self, nickname: &str) -> Result<Vec<u8>, StoreError> {
        let show = self.certutil("-L").args(["-n", nickname, "-a"]);
        output(&show.args(NO_PASSWORD))
    }
}

/// The lines of `certutil -L`: a nickname, spaces, and three sets of flags, `C,,`.
fn parse(list: &str) -> Vec<Entry> {
    let lines = list.lines().filter_map(|line| {
        let (nickname, flags) = line.trim_end().rsplit_once(char::is_whitespace)?;
        let nickname = nickname.trim();
        let mut sets = flags.split(',');
        let (Some(tls), Some(_), Some(_), None) =
            (sets.next(), sets.next(), sets.next(), sets.next())
        else {
            return None;
        };
        let is_flags = flags.chars().all(|c| "pPcCTuwg,".contains(c));
        (is_flags && !nickname.is_empty()).then(|| Entry {
            nickname: nickname.to_owned(),
            is_trusted: tls.contains('C'),
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_certutil_are_read() {
        let list = "\nCertificate Nickname                                         Trust Attributes\n\
                    \u{20}                                                            SSL,S/MIME,JAR/XPI\n\n\
                    handfast-ca-0123456789abcdef                                 C,,  \n\
                    imported by hand, twice                                      ,,   \n\
                    mine                                                         CT,c,u\n\n";
        let entries = parse(list);
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (entry.nickname.as_str(), entry.is_trusted))
            .collect();
        assert_eq!(
            found,
            [
                ("handfast-ca-0123456789abcdef", true),
                ("imported by hand, twice", false),
                ("mine", true)
            ]
        );
        assert!(parse("").is_empty());
    }
}
