//! What is kept from one configuration to the next: what can be read once only, and what would be opened again for
//! nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use handfast::{Explanation, Identity, KeyLog, Passphrase, TrustAnchors};
use handfast_files::Files;
use zeroize::Zeroizing;

use super::answers;
use super::certificates;
use super::config::problem::shown_path;
use super::config::{At, Problem, Source};
use super::last_read::LastRead;
use super::lists::Lists;
use super::log;
use super::once::{Once, is_pipe};
use super::settings::{Certificate, Clients, FileSettings, Settings, Site};
use crate::failure::{Failure, code};
use crate::passphrase::{self, PassphraseSource};

/// Kept by one server.
pub(super) struct Held {
    /// Once the server runs, there is no prompt for a passphrase.
    is_running: bool,
    once: Once,
    /// From terminals and descriptors, by key file.
    passphrases: Arc<Mutex<HashMap<PathBuf, Zeroizing<String>>>>,
    /// From pipes, by their files.
    identities: HashMap<(PathBuf, PathBuf), Identity>,
    last_identities: LastRead<Identity>,
    last_anchors: LastRead<TrustAnchors>,
    /// By directory, how it is served, how many files may be open, and where clients store files.
    files: HashMap<(PathBuf, FileSettings, usize, Vec<PathBuf>), Files>,
    key_logs: HashMap<PathBuf, KeyLog>,
    /// By the clients that they are for: lists are read again one by one, and never replaced by older ones.
    lists: Vec<(Clients, Rc<RefCell<Lists>>)>,
    pub(super) answers: answers::Kept,
    pub(super) local: certificates::Kept,
    pub(super) logs: log::SiteLogs,
}

impl Default for Held {
    fn default() -> Self {
        let once = Once::default();
        Self {
            is_running: false,
            answers: answers::Kept::new(once.clone()),
            once,
            passphrases: Arc::default(),
            identities: HashMap::new(),
            last_identities: LastRead::default(),
            last_anchors: LastRead::default(),
            files: HashMap::new(),
            key_logs: HashMap::new(),
            lists: Vec::new(),
            local: certificates::Kept::default(),
            logs: log::SiteLogs::default(),
        }
    }
}

impl Held {
    /// From now on nothing can be asked.
    pub(super) fn runs(&mut self) {
        self.is_running = true;
        self.once.runs();
    }

    /// The CAs in a file.
    pub(super) fn anchors(&mut self, path: &Path) -> Result<TrustAnchors, Failure> {
        let content = self.once.content(path);
        let anchors = match content.map_err(|error| unopened(path, &error))? {
            Some(content) => TrustAnchors::empty().with_pem(&content),
            None => self.last_anchors.read(vec![path.to_owned()], || {
                TrustAnchors::empty().with_file(path)
            }),
        };
        anchors.map_err(|mut error| {
            error.path = Some(path.to_owned());
            Failure::from(handfast::Error::from(error))
        })
    }

    /// The identity in these files.
    pub(super) fn identity(&mut self, certificate: &Certificate) -> Result<Identity, Failure> {
        let (chain, key) = (
            certificate.chain.value.clone(),
            certificate.key_file().to_owned(),
        );
        let place = (chain, key);
        if let Some(identity) = self.identities.get(&place) {
            return Ok(identity.clone());
        }
        for path in [&place.0, &place.1] {
            let unopened = |error| unopened(path, &error);
            self.once.check(path).map_err(unopened)?;
        }
        let is_read_once = [&place.0, &place.1].into_iter().any(|path| is_pipe(path));
        let passphrase = self.passphrase(certificate.passphrase.as_ref(), &place.1);
        let mut files = vec![place.0.clone(), place.1.clone()];
        let source = certificate.passphrase.as_ref().map(|source| &source.0);
        if let Some(PassphraseSource::File(path)) = source {
            files.push(path.clone());
        }
        let identity = self.last_identities.read(files, || {
            Identity::from_files(&place.0, &place.1, passphrase)
        });
        let identity = identity.map_err(|error| Failure::from(handfast::Error::from(error)))?;
        if is_read_once {
            self.identities.insert(place, identity.clone());
        }
        Ok(identity)
    }

    fn passphrase(&self, source: Option<&Source>, key: &Path) -> Passphrase {
        let source = source.map(|source| source.0.clone());
        let source = match self.is_running {
            false => passphrase::or_prompt(source),
            true => source,
        };
        let (kept, key, is_running) = (
            Arc::clone(&self.passphrases),
            key.to_owned(),
            self.is_running,
        );
        let known = kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&key);
        if source.is_none() && !known {
            return Passphrase::none();
        }
        let what = key.display().to_string();
        Passphrase::ask(move |_| {
            let can_be_read_again = match &source {
                Some(PassphraseSource::File(path)) => !is_pipe(path),
                Some(PassphraseSource::Environment(_) | PassphraseSource::Text(_)) => true,
                _ => false,
            };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            match &source {
                Some(source) if can_be_read_again => source.read(&what),
                _ if kept.contains_key(&key) => Ok(kept[&key].clone()),
                Some(source) if !is_running => {
                    let read = source.read(&what)?;
                    kept.insert(key.clone(), read.clone());
                    Ok(read)
                }
                _ => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "it cannot be asked for while the server runs: give it by file:PATH, or restart",
                )),
            }
        })
    }

    /// The files of a site with this root. `stored`: the directories in which clients of any site store files.
    pub(super) fn files(
        &mut self,
        root: &Path,
        site: &Site,
        open_files_max: usize,
        stored: &[PathBuf],
    ) -> io::Result<Files> {
        let place = (
            root.to_owned(),
            site.files.clone(),
            open_files_max,
            stored.to_owned(),
        );
        if let Some(files) = self.files.get(&place) {
            return Ok(files.clone());
        }
        let files = Files::new(root)?
            .with_listing(site.files.listing)
            .with_indexes(site.files.index.iter().cloned())
            .with_precompressed(site.files.precompressed)
            .with_compression(site.files.compression)
            .with_follow_links(site.files.follow_links)
            .with_open_files_max(open_files_max)
            .with_entries_max(site.files.limits.entries_max)
            .with_compressed_bytes_max(site.files.limits.compressed_bytes_max);
        let files = match stored {
            [] => files,
            stored => files.with_unlinked(stored.iter().cloned()),
        };
        self.files.insert(place, files.clone());
        Ok(files)
    }

    /// Forgets what these settings do not need.
    pub(super) fn forget_unused(&mut self, settings: &Settings) {
        let sites = &settings.sites;
        self.files.retain(|(root, files, ..), _| {
            let is_root = |site: &Site| site.root.as_ref().is_some_and(|at| at.value == *root);
            let serves = |site: &Site| is_root(site) && site.files == *files;
            sites.iter().any(serves)
        });
        self.last_identities.forget_unused();
        self.last_anchors.forget_unused();
        self.logs.forget_unused(settings);
        self.lists
            .retain(|(clients, _)| sites.iter().any(|site| site.clients == *clients));
        self.answers.forget_unused(sites);
    }

    /// The lists that are in use for these clients.
    pub(super) fn lists(&self, clients: &Clients) -> Option<Rc<RefCell<Lists>>> {
        let mut known = self.lists.iter();
        let (_, lists) = known.find(|(known, _)| known == clients)?;
        Some(Rc::clone(lists))
    }

    /// Can the lists for these clients be opened now?
    pub(super) fn check_lists(&self, clients: &Clients) -> Result<(), Box<Problem>> {
        for file in &clients.crl {
            let unopened = |error| Problem::mistake(&file.place, unopened(&file.value, &error));
            self.once.check(&file.value).map_err(unopened)?;
        }
        Ok(())
    }

    pub(super) fn keep_lists(&mut self, clients: &Clients, lists: Lists) -> Rc<RefCell<Lists>> {
        let lists = Rc::new(RefCell::new(lists));
        self.lists.push((clients.clone(), Rc::clone(&lists)));
        lists
    }

    pub(super) fn key_log(&mut self, path: &At<PathBuf>) -> Result<KeyLog, Failure> {
        if let Some(log) = self.key_logs.get(&path.value) {
            return Ok(log.clone());
        }
        // Opening a pipe blocks until a process reads from it.
        let unopened = |error| unopened(&path.value, &error);
        self.once.check(&path.value).map_err(unopened)?;
        let log = KeyLog::to_file(&path.value)?;
        self.key_logs.insert(path.value.clone(), log.clone());
        Ok(log)
    }
}

fn unopened(path: &Path, error: &io::Error) -> Failure {
    let what = format!("{} cannot be opened", shown_path(path));
    let explanation = Explanation::new("configuration-invalid", what);
    Failure::new(code::READ, explanation.with_evidence(error.to_string()))
}
