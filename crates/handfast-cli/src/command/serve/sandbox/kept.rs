//! What the server reads and writes as long as it runs, found in its settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handfast_confine::Confinement;

use super::holders::{holders, holds_roots, is_in};
use super::words::{list, shown};
use crate::command::serve::args::Args;
use crate::command::serve::config::{Address, At};
use crate::command::serve::context;
use crate::command::serve::settings::Settings;
use crate::data_dir;
use crate::output;

/// What the server reads and writes as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Kept {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
    /// Those of `read` that hold what is read.
    holders: BTreeSet<PathBuf>,
    /// Directories that hold much else and can be read because of a root in them, which comes second.
    broad: Vec<(PathBuf, PathBuf)>,
    /// What is read again, while another one in its place could not be.
    fixed: BTreeSet<PathBuf>,
    /// Logs that could not be opened again.
    fixed_logs: BTreeSet<PathBuf>,
    /// Unix sockets whose file cannot be removed.
    fixed_sockets: BTreeSet<PathBuf>,
}

impl Kept {
    pub(super) fn of(args: &Args, settings: &Settings) -> Self {
        let mut kept = Self::default();
        for site in &settings.sites {
            if site.files.follow_links {
                kept.read.insert(PathBuf::from("/"));
            }
            let Some(At { value: root, .. }) = &site.root else {
                continue;
            };
            kept.reads(root);
            // Otherwise a root that is built again could not be served.
            for holder in holders(root)
                .broad
                .into_iter()
                .filter(|one| holds_roots(one))
            {
                kept.read.insert(holder.clone());
                kept.broad.push((holder, root.clone()));
            }
        }
        for path in read_again(args, settings) {
            kept.reads(&path);
        }
        for path in settings.log_files().into_iter().map(|log| log.value) {
            kept.write.insert(path.clone());
            // For rotation: the file is opened again after it was renamed.
            let holders = holders(&path);
            kept.write.extend(holders.kept);
            if !holders.broad.is_empty() {
                kept.fixed_logs.insert(path);
            }
        }
        if let Some(path) = &settings.key_log {
            kept.write.insert(path.value.clone());
        }
        // Certificates and lists of the local authority are renewed.
        if context::has_local_authority(settings)
            && let Ok(directory) = data_dir::ca_dir(settings.ca_dir.clone())
        {
            kept.write.insert(directory);
        }
        // The file of a Unix socket is removed at the end.
        let listeners = settings.listeners.iter();
        let listeners = listeners.filter_map(|listener| match &listener.address.value {
            Address::Unix(path) => Some(path),
            _ => None,
        });
        for path in listeners.chain(&settings.takeover) {
            let holders = holders(path);
            kept.write.extend(holders.kept);
            if !holders.broad.is_empty() {
                kept.fixed_sockets.insert(path.clone());
            }
        }
        let uploads = settings.sites.iter().flat_map(|site| &site.answers.upload);
        let uploads = uploads.map(|table| table.value.directory.value.0.clone());
        kept.write.extend(uploads);
        // What holds them may be kept for something else.
        let is_kept = |path: &Path, by: &BTreeSet<PathBuf>| {
            let holder = std::path::absolute(path).ok();
            let holder = holder.and_then(|path| path.parent()?.canonicalize().ok());
            holder.is_some_and(|holder| by.iter().any(|kept| is_in(&holder, kept)))
        };
        let Self { read, write, .. } = &kept;
        let (read, write) = (read.clone(), write.clone());
        kept.fixed
            .retain(|path| !is_kept(path, &read) && !is_kept(path, &write));
        kept.fixed_logs.retain(|path| !is_kept(path, &write));
        kept.fixed_sockets.retain(|path| !is_kept(path, &write));
        kept
    }

    fn reads(&mut self, path: &Path) {
        let holders = holders(path);
        self.read.insert(path.to_owned());
        self.holders.extend(holders.kept.iter().cloned());
        self.read.extend(holders.kept);
        if !holders.broad.is_empty() {
            self.fixed.insert(path.to_owned());
        }
    }

    /// The directories that can be read because of what they hold; not those in others of them.
    pub(super) fn beside(&self) -> BTreeSet<PathBuf> {
        let all = || self.read.iter().chain(&self.write);
        let beside = self.holders.iter();
        let beside = beside.filter(|one| !all().any(|kept| kept != *one && is_in(one, kept)));
        beside.cloned().collect()
    }

    pub(super) fn confinement(self) -> Confinement {
        let exists = |path: &PathBuf| path.exists();
        let read = self.read.into_iter().filter(exists);
        let confinement = read.fold(Confinement::new(), Confinement::read);
        let write = self.write.into_iter().filter(exists);
        write.fold(confinement, Confinement::write)
    }

    /// What the operator would not expect of a server.
    pub(super) fn tell(&self, settings: &Settings) {
        if !self.fixed_logs.is_empty() {
            output::warning(format!(
                "after log rotation the server cannot create its log again: {}; log to a file in a directory that holds little else, or use --no-sandbox",
                list(&self.fixed_logs)
            ));
        }
        if settings.log.is_quiet() {
            return;
        }
        for (holder, root) in &self.broad {
            output::note(format!(
                "the server can read all of {}, which holds {}: in a directory of its own it is confined to that",
                shown(holder),
                shown(root)
            ));
        }
        if !self.fixed.is_empty() {
            output::note(format!(
                "if one of these is deleted and made again, restart the server (or use --no-sandbox): {}; in a directory that holds little else it is not needed",
                list(&self.fixed)
            ));
        }
        if !self.fixed_sockets.is_empty() {
            output::note(format!(
                "the server cannot remove its socket when it ends: {}; keep it in a directory that holds little else, or use --no-sandbox",
                list(&self.fixed_sockets)
            ));
        }
    }
}

/// What is read again by its name, besides the roots.
pub(super) fn read_again(args: &Args, settings: &Settings) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<_> = context::watched(settings).into_iter().collect();
    paths.extend(args.configuration.config.iter().cloned());
    for site in &settings.sites {
        paths.extend(site.clients.crl.iter().map(|list| list.value.clone()));
    }
    paths
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// What is kept of a server with these arguments, which has its authority there.
    fn kept(arguments: &[&str], authority: &Path) -> Kept {
        #[derive(Debug, clap::Parser)]
        struct Serve {
            #[command(flatten)]
            args: Args,
        }
        let arguments = ["serve"].iter().chain(arguments);
        let args = <Serve as clap::Parser>::parse_from(arguments).args;
        let mut settings = crate::command::serve::settings::resolve(&args, None).unwrap();
        settings.ca_dir = Some(authority.to_owned());
        Kept::of(&args, &settings)
    }

    #[test]
    fn the_local_authority_can_renew_its_list_however_it_was_named() {
        let place = tempfile::tempdir().unwrap();
        let (authority, root) = (place.path().join("ca"), place.path().join("public"));
        std::fs::create_dir(&root).unwrap();
        let options = handfast_ca::InitOptions::default();
        handfast_ca::Authority::init(&authority, &options).unwrap();
        let (certificate, copy) = (authority.join("ca.pem"), place.path().join("copy.pem"));
        std::fs::copy(&certificate, &copy).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (certificate, copy, root) = (text(&certificate), text(&copy), text(&root));
        for (client_ca, demand, expected) in [
            ("local", "required", true),
            (&*certificate, "optional", true),
            (&*certificate, "none", false),
            (&*copy, "required", false),
        ] {
            let clients = ["--client-ca", client_ca, "--client-auth", demand];
            let arguments = [&["--cert", &*copy, &*root], &clients[..]].concat();
            let kept = kept(&arguments, &authority);
            assert_eq!(kept.write.contains(&authority), expected, "{arguments:?}");
        }
        assert!(kept(&[&root], &authority).write.contains(&authority));
    }

    #[test]
    fn what_another_file_may_take_the_place_of_unseen_is_told() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("public");
        std::fs::create_dir(&root).unwrap();
        let root = root.to_str().unwrap();
        let arguments = [
            root,
            "--cert",
            "/etc/chain.pem",
            "--key",
            "/etc/keys/key.pem",
            "--log",
            "/var/log/access.log",
            "--audit",
            "/dev/stdout",
            "--listen",
            "unix:/run/handfast",
        ];
        let kept = kept(&arguments, place.path());
        let paths = |set: &BTreeSet<PathBuf>| {
            let exists = set.iter().filter(|path| path.parent().unwrap().exists());
            exists.map(|path| shown(path)).collect::<Vec<_>>()
        };
        assert_eq!(paths(&kept.fixed), ["/etc/chain.pem"]);
        assert_eq!(paths(&kept.fixed_logs), ["/var/log/access.log"]);
        assert_eq!(paths(&kept.fixed_sockets), ["/run/handfast"]);
        assert!(kept.read.contains(place.path()), "the holder of the root");
        for broad in ["/dev", "/etc", "/run", "/var/log"].map(PathBuf::from) {
            assert!(!kept.read.contains(&broad) && !kept.write.contains(&broad));
        }
    }
}
