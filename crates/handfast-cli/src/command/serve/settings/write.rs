//! From settings back to a file that says the same.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use handfast_https::server::Rate;

use super::answers;
use super::types::{Certificate, Clients, Listener, Settings, Site};
use crate::command::serve::config::choices::LogFormat;
use crate::command::serve::config::file::{
    CertificateTable, ClientAuthTable, File, LimitsTable, ListenerTable, LogTable, SiteLogTable,
    SiteTable, StatusTable, TlsTable,
};
use crate::command::serve::config::{
    Address, At, FilePath, LogTarget, Often, Place, Size, Source, Time,
};
use crate::data_dir::LOCAL;
use crate::passphrase::PassphraseSource;

fn set<T>(value: T) -> Option<At<T>> {
    Some(at(value))
}

fn at<T>(value: T) -> At<T> {
    At {
        value,
        place: Place::Unset,
    }
}

fn path(path: &Path) -> FilePath {
    FilePath(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn certificate(certificate: &Certificate) -> At<CertificateTable> {
    let source = certificate.passphrase.as_ref();
    at(CertificateTable {
        chain: at(path(&certificate.chain.value)),
        key: certificate.key.as_ref().map(|key| at(path(&key.value))),
        passphrase: source.and_then(|source| match &source.0 {
            PassphraseSource::Text(_) => None,
            PassphraseSource::File(file) => Some(at(Source(PassphraseSource::File(path(file).0)))),
            _ => Some(at(source.clone())),
        }),
    })
}

fn clients(clients: &Clients) -> ClientAuthTable {
    let ca = clients.ca.as_ref();
    ClientAuthTable {
        demand: set(clients.demand),
        ca: ca.map(|ca| match ca.value.as_os_str() == LOCAL {
            true => at(FilePath(ca.value.clone())),
            false => at(path(&ca.value)),
        }),
        crl: match clients.crl.is_empty() {
            true => None,
            false => Some(clients.crl.iter().map(|crl| at(path(&crl.value))).collect()),
        },
        crl_expired: set(clients.crl_expired),
        depth: clients.depth.map(at),
    }
}

/// A file with every default written out. Paths are absolute; a passphrase that was typed is left out.
pub(in crate::command::serve) fn file(settings: &Settings) -> File {
    let limits = &settings.limits;
    let bytes = |count: usize| set(Size(count as u64));
    let often = |rate: Rate| {
        at(Often {
            per_second: rate.per_second,
            burst: rate.burst,
        })
    };
    let listener = |listener: &Listener| {
        at(ListenerTable {
            address: at(match &listener.address.value {
                Address::Unix(socket) => Address::Unix(path(socket).0),
                other => other.clone(),
            }),
            kind: set(listener.kind),
        })
    };
    let target = |to: &LogTarget| match to {
        LogTarget::File(file) => LogTarget::File(path(file).0),
        other => other.clone(),
    };
    let format = |to: &LogTarget, format: LogFormat| match to {
        LogTarget::Journal(_) => None,
        _ => set(format),
    };
    let site = |site: &Site| {
        let names = &site.names;
        let mut table = SiteTable {
            names: (!names.is_empty()).then(|| names.clone()),
            root: site.root.as_ref().map(|root| at(path(&root.value))),
            listing: set(site.files.listing),
            index: set(site.files.index.clone()),
            precompressed: set(site.files.precompressed),
            compression: set(site.files.compression),
            follow_links: set(site.files.follow_links),
            log: site.log.as_ref().map(|log| {
                at(SiteLogTable {
                    to: set(target(&log.to.value)),
                    format: format(&log.to.value, log.format),
                })
            }),
            client_auth: (site.clients != Clients::default()).then(|| at(clients(&site.clients))),
            certificate: site.certificates.iter().map(certificate).collect(),
            ..SiteTable::default()
        };
        answers::write(&site.answers, &mut table, |file| path(file));
        at(table)
    };
    File {
        threads: settings.threads.map(at),
        certificate_names: match settings.certificate_names.is_empty() {
            true => None,
            false => set(settings.certificate_names.clone()),
        },
        user: settings.user.clone().map(at),
        sandbox: set(settings.sandbox),
        grace: set(Time(settings.grace)),
        close: set(settings.close),
        takeover: settings.takeover.as_deref().map(|file| at(path(file))),
        ca_dir: settings.ca_dir.as_deref().map(|dir| at(path(dir))),
        limits: LimitsTable {
            connections_max: NonZeroUsize::new(limits.connections_max).map(at),
            head: set(Time(limits.head)),
            idle: set(Time(limits.idle)),
            write: set(Time(limits.write)),
            write_rate_min: set(limits.write_rate_min),
            read: set(Time(limits.read)),
            read_rate_min: set(limits.read_rate_min),
            head_bytes_max: bytes(limits.head_bytes_max),
            fields_max: NonZeroUsize::new(limits.fields_max).map(at),
            streams_max: NonZeroU32::new(limits.streams_max).map(at),
            discard_max: set(Size(limits.discard_max)),
            connections_per_address_max: limits.connections_per_address_max.map(at),
            handshakes_per_address: limits.handshakes_per_address.map(often),
            requests_per_address: limits.requests_per_address.map(often),
            held_bytes_max: bytes(limits.held_bytes_max),
            wrong_passwords_max: set(settings.wrong_passwords_max),
            listing_entries_max: NonZeroUsize::new(settings.file_limits.entries_max).map(at),
            compressed_bytes_max: bytes(settings.file_limits.compressed_bytes_max),
        },
        tls: TlsTable {
            versions: set(settings.versions.clone()),
            key_log: settings.key_log.as_ref().map(|file| at(path(&file.value))),
            certificate: settings.certificates.iter().map(certificate).collect(),
        },
        status: StatusTable {
            address: settings.status.map(at),
        },
        log: LogTable {
            to: set(target(&settings.log.to.value)),
            format: format(&settings.log.to.value, settings.log.format),
            events: set(settings.log.events),
            audit: settings
                .log
                .audit
                .as_ref()
                .map(|file| at(path(&file.value))),
        },
        listener: settings.listeners.iter().map(listener).collect(),
        site: settings.sites.iter().map(site).collect(),
    }
}
