//! The settings as values.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast::TlsVersion;
use handfast_https::server::{Limits, LocalAddress};

use crate::command::serve::config::answers::{
    BasicAuthTable, CorsTable, ErrorPageTable, GuardTable, HstsTable, RuleTable, UploadTable,
};
use crate::command::serve::config::choices::{Close, Demand, Events, Kind, LogFormat, Version};
use crate::command::serve::config::{Address, At, LogTarget, Place, Source, StatusAddress};
use crate::trust_args::CrlExpired;

/// Everything that was decided.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct Settings {
    pub(in crate::command::serve) listeners: Vec<Listener>,
    pub(in crate::command::serve) sites: Vec<Site>,
    /// For sites without certificates of their own.
    pub(in crate::command::serve) certificates: Vec<Certificate>,
    pub(in crate::command::serve) versions: Vec<Version>,
    pub(in crate::command::serve) key_log: Option<At<PathBuf>>,
    pub(in crate::command::serve) ca_dir: Option<PathBuf>,
    /// For the certificate of sites without names.
    pub(in crate::command::serve) certificate_names: Vec<String>,
    /// To become once everything is open.
    pub(in crate::command::serve) user: Option<String>,
    pub(in crate::command::serve) sandbox: bool,
    pub(in crate::command::serve) limits: Limits,
    pub(in crate::command::serve) file_limits: FileLimits,
    pub(in crate::command::serve) wrong_passwords_max: NonZeroU32,
    /// As many as there are cores, if not given.
    pub(in crate::command::serve) threads: Option<NonZeroUsize>,
    pub(in crate::command::serve) grace: Duration,
    pub(in crate::command::serve) close: Close,
    pub(in crate::command::serve) log: LogSettings,
    pub(in crate::command::serve) status: Option<StatusAddress>,
    /// The control socket, by which a new process takes over.
    pub(in crate::command::serve) takeover: Option<PathBuf>,
}

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct LogSettings {
    pub(in crate::command::serve) to: At<LogTarget>,
    pub(in crate::command::serve) format: LogFormat,
    pub(in crate::command::serve) events: Events,
    pub(in crate::command::serve) audit: Option<At<PathBuf>>,
}

impl LogSettings {
    pub(in crate::command::serve) fn is_quiet(&self) -> bool {
        self.events == Events::None
    }

    pub(in crate::command::serve) fn is_verbose(&self) -> bool {
        self.events == Events::Connections
    }
}

/// The access log of a site.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct SiteLog {
    pub(in crate::command::serve) to: At<LogTarget>,
    pub(in crate::command::serve) format: LogFormat,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct Listener {
    pub(in crate::command::serve) address: At<Address>,
    pub(in crate::command::serve) kind: Kind,
}

/// A group of names, what is served for them, and to which clients.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct Site {
    /// In lower case; empty for the site that gets every other request.
    pub(in crate::command::serve) names: Vec<At<String>>,
    /// Where the site is described.
    pub(in crate::command::serve) table: At<()>,
    /// None: no files are served.
    pub(in crate::command::serve) root: Option<At<PathBuf>>,
    pub(in crate::command::serve) files: FileSettings,
    pub(in crate::command::serve) answers: Answers,
    /// None: that of all sites.
    pub(in crate::command::serve) log: Option<SiteLog>,
    /// None: those for all sites, or one from the local authority.
    pub(in crate::command::serve) certificates: Vec<Certificate>,
    pub(in crate::command::serve) clients: Clients,
}

/// Limits on listings and compression, the same for every site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::command::serve) struct FileLimits {
    pub(in crate::command::serve) entries_max: usize,
    pub(in crate::command::serve) compressed_bytes_max: usize,
}

/// How a site's files are served.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::command::serve) struct FileSettings {
    pub(in crate::command::serve) limits: FileLimits,
    pub(in crate::command::serve) listing: bool,
    pub(in crate::command::serve) index: Vec<String>,
    pub(in crate::command::serve) precompressed: bool,
    pub(in crate::command::serve) compression: bool,
    pub(in crate::command::serve) follow_links: bool,
}

/// What a site answers besides plain files. Paths are resolved.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::command::serve) struct Answers {
    pub(in crate::command::serve) fallback: Option<At<String>>,
    pub(in crate::command::serve) cors: Option<At<CorsTable>>,
    pub(in crate::command::serve) hsts: Option<At<HstsTable>>,
    pub(in crate::command::serve) error_page: Vec<At<ErrorPageTable>>,
    pub(in crate::command::serve) rule: Vec<At<RuleTable>>,
    pub(in crate::command::serve) guard: Vec<At<GuardTable>>,
    pub(in crate::command::serve) basic_auth: Vec<At<BasicAuthTable>>,
    pub(in crate::command::serve) upload: Vec<At<UploadTable>>,
}

/// A certificate, by its files.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct Certificate {
    pub(in crate::command::serve) chain: At<PathBuf>,
    /// The chain's file, if not given.
    pub(in crate::command::serve) key: Option<At<PathBuf>>,
    pub(in crate::command::serve) passphrase: Option<Source>,
}

impl Certificate {
    pub(in crate::command::serve) fn key_file(&self) -> &Path {
        self.key
            .as_ref()
            .map_or(&self.chain.value, |key| &key.value)
    }
}

/// Which clients are accepted.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::command::serve) struct Clients {
    pub(in crate::command::serve) demand: Demand,
    /// Of whatever the demand is, only used if it is not `none`.
    pub(in crate::command::serve) ca: Option<At<PathBuf>>,
    pub(in crate::command::serve) crl: Vec<At<PathBuf>>,
    pub(in crate::command::serve) crl_expired: CrlExpired,
    pub(in crate::command::serve) depth: Option<usize>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            demand: Demand::None,
            ca: None,
            crl: Vec::new(),
            crl_expired: CrlExpired::default(),
            depth: None,
        }
    }
}

impl Site {
    /// The place of its root, or else of the site.
    pub(in crate::command::serve) fn root_place(&self) -> &Place {
        match &self.root {
            Some(root) => &root.place,
            None => &self.table.place,
        }
    }
}

impl Settings {
    /// The directories that are served.
    pub(in crate::command::serve) fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        let roots = self.sites.iter().filter_map(|site| site.root.as_ref());
        roots.map(|root| &root.value)
    }

    /// The versions of TLS, as the library names them.
    pub(in crate::command::serve) fn tls_versions(&self) -> Vec<TlsVersion> {
        self.versions
            .iter()
            .copied()
            .map(TlsVersion::from)
            .collect()
    }

    /// The files that are logged to, which SIGHUP reopens.
    pub(in crate::command::serve) fn log_files(&self) -> Vec<At<PathBuf>> {
        let of_sites = self.sites.iter().filter_map(|site| site.log.as_ref());
        let to = of_sites.map(|log| &log.to).chain([&self.log.to]);
        let files = to.filter_map(|to| match &to.value {
            LogTarget::File(path) => Some(to.with(path.clone())),
            _ => None,
        });
        files.chain(self.log.audit.clone()).collect()
    }

    /// IP addresses of listeners that speak HTTPS, or that redirect.
    pub(in crate::command::serve) fn addresses(&self, kind: Kind) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter(|listener| listener.kind == kind)
            .flat_map(|listener| listener.address.value.ips())
            .collect()
    }

    /// Where the listener is from that has this address.
    pub(in crate::command::serve) fn place_of(&self, address: Option<&LocalAddress>) -> Place {
        let has = |listener: &&Listener| match (address, &listener.address.value) {
            (Some(LocalAddress::Unix(path)), Address::Unix(own)) => **path == **own,
            (Some(address), own) => address.socket().is_some_and(|one| own.ips().contains(&one)),
            (None, _) => false,
        };
        let listener = self.listeners.iter().find(has);
        listener.map_or(Place::Unset, |listener| listener.address.place.clone())
    }
}
