//! What `handfast.toml` can hold. The schema, the documentation and the names of keys in messages are made from these
//! types: the comment of a field is its text in all of them.
//!
//! A key is added here, with its default; and in `settings.rs`, where it becomes a setting and is written back.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::answers::{
    BasicAuthTable, CorsTable, ErrorPageTable, GuardTable, HstsTable, RuleTable, UploadTable,
};
use super::choices::{Close, Demand, Events, Kind, LogFormat, Version};
use super::value::{At, FilePath, LogTarget, Often, Size, Source, StatusAddress, Time};
use crate::trust_args::CrlExpired;

/// The configuration of `handfast serve`. Paths are relative to the directory of the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "handfast.toml")]
pub(crate) struct File {
    /// Number of threads that serve. Default: one per core that the process may use.
    #[schemars(extend("examples" = [2]))]
    pub(crate) threads: Option<At<NonZeroUsize>>,
    /// After SIGINT or SIGTERM, time for running replies to finish; a second signal stops at once.
    #[schemars(extend("default" = "10s"))]
    pub(crate) grace: Option<At<Time>>,
    /// Control socket of a running server. A server that is started with the same path takes over its listening sockets: no connection
    /// is refused or reset, and the running one finishes its open connections, then ends. Without one there, it is made.
    #[schemars(extend("examples" = ["/run/handfast/takeover"]))]
    pub(crate) takeover: Option<At<FilePath>>,
    /// How connections are closed.
    #[schemars(extend("default" = "linger"))]
    pub(crate) close: Option<At<Close>>,
    /// Directory of the local authority, which signs for sites without a certificate. Default: `HANDFAST_CA_DIR`, or the
    /// platform's data directory.
    #[schemars(extend("examples" = ["/var/lib/handfast/ca"]))]
    pub(crate) ca_dir: Option<At<FilePath>>,
    /// Further names and addresses for the certificate that the local authority issues for sites without names.
    #[schemars(extend("examples" = [["dev.localhost", "192.168.1.7"]]))]
    pub(crate) certificate_names: Option<At<Vec<String>>>,
    /// Once everything is open, become this user, with the user's group or the one after a colon. Only root can.
    #[schemars(extend("examples" = ["www-data", "www-data:adm"]))]
    pub(crate) user: Option<At<String>>,
    /// Once everything is open, give up what serving does not need: other files, connections to others, other programs.
    #[schemars(extend("default" = true))]
    pub(crate) sandbox: Option<At<bool>>,
    /// What clients may take.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) limits: LimitsTable,
    /// TLS for all sites.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) tls: TlsTable,
    /// What is logged, and where.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) log: LogTable,
    /// The status page.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) status: StatusTable,
    /// Where to listen. Default: HTTPS at port 8443 of both loopback addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listener: Vec<At<ListenerTable>>,
    /// What is served: a site for each group of names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) site: Vec<At<SiteTable>>,
}

/// What clients may take, all of them. A change needs a restart, but for `listing_entries_max`, `compressed_bytes_max` and
/// `wrong_passwords_max`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsTable {
    /// Connections at once; more wait until one ends.
    #[schemars(extend("default" = 8192))]
    pub(crate) connections_max: Option<At<NonZeroUsize>>,
    /// From the accepting of a connection to the end of its first request head, handshake included; of a later request,
    /// from the first byte of its head to the last.
    #[schemars(extend("default" = "15s"))]
    pub(crate) head: Option<At<Time>>,
    /// Between a reply and the next request.
    #[schemars(extend("default" = "1m"))]
    pub(crate) idle: Option<At<Time>>,
    /// The span in which a client must take `write_rate_min` bytes of its replies for each second.
    #[schemars(extend("default" = "1m"))]
    pub(crate) write: Option<At<Time>>,
    /// Bytes a second that a client must take, on average over `write`.
    #[schemars(extend("default" = 128))]
    pub(crate) write_rate_min: Option<At<u32>>,
    /// Of silence while the body of a request is waited for.
    #[schemars(extend("default" = "30s"))]
    pub(crate) read: Option<At<Time>>,
    /// Bytes a second that a client must send of a request's body, on average over `read`; 0 is no limit.
    #[schemars(extend("default" = 128))]
    pub(crate) read_rate_min: Option<At<u32>>,
    /// Size of a request head; less than 8 KiB is 8 KiB.
    #[schemars(extend("default" = "32KiB"))]
    pub(crate) head_bytes_max: Option<At<Size>>,
    /// Header fields of a request.
    #[schemars(extend("default" = 100))]
    pub(crate) fields_max: Option<At<NonZeroUsize>>,
    /// HTTP/2 streams at once on a connection.
    #[schemars(extend("default" = 128))]
    pub(crate) streams_max: Option<At<NonZeroU32>>,
    /// Of an unread request body, what is read and discarded so that the reply arrives.
    #[schemars(extend("default" = "4MiB"))]
    pub(crate) discard_max: Option<At<Size>>,
    /// Connections at once from one address: an IPv4 address, or an IPv6 network of 64 bits; a further one is reset. Default:
    /// no limit, since many people may share an address.
    #[schemars(extend("examples" = [100]))]
    pub(crate) connections_per_address_max: Option<At<NonZeroUsize>>,
    /// TLS handshakes of one address in a second; one too many is reset. Default: no limit.
    #[schemars(extend("examples" = ["20/s"]))]
    pub(crate) handshakes_per_address: Option<At<Often>>,
    /// Requests of one address in a second; one too many gets 429 (Too Many Requests). Default: no limit.
    #[schemars(extend("examples" = ["200/s, burst 1000"]))]
    pub(crate) requests_per_address: Option<At<Often>>,
    /// Different wrong passwords of one address in a minute; then no more are checked until the minute is over, and requests with
    /// others get 429 (Too Many Requests). Channels without an address, such as Unix sockets, have ten times as many together.
    #[schemars(extend("default" = 10))]
    pub(crate) wrong_passwords_max: Option<At<NonZeroU32>>,
    /// Replies that were made and are not taken yet, of all connections together.
    #[schemars(extend("default" = "128MiB"))]
    pub(crate) held_bytes_max: Option<At<Size>>,
    /// Entries that the listing of a directory shows.
    #[schemars(extend("default" = 10000))]
    pub(crate) listing_entries_max: Option<At<NonZeroUsize>>,
    /// Of each site, what is kept of files that were compressed while they were sent.
    #[schemars(extend("default" = "32MiB"))]
    pub(crate) compressed_bytes_max: Option<At<Size>>,
}

/// TLS for all sites.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsTable {
    /// TLS versions to allow.
    #[schemars(extend("default" = ["1.2", "1.3"]))]
    pub(crate) versions: Option<At<Vec<Version>>>,
    /// Append TLS session secrets to this file, for a packet analyser; anyone with it can decrypt the traffic.
    #[schemars(extend("examples" = ["keys.log"]))]
    pub(crate) key_log: Option<At<FilePath>>,
    /// Certificates for every site that has none of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificate: Vec<At<CertificateTable>>,
}

/// What is logged, and where.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogTable {
    /// Where the access log goes: `stderr`, `journal`, `off`, or a file to append to, which SIGHUP reopens.
    #[schemars(extend("default" = "stderr"))]
    pub(crate) to: Option<At<LogTarget>>,
    /// How the access log is written. The journal has fields instead.
    #[schemars(extend("default" = "handfast"))]
    pub(crate) format: Option<At<LogFormat>>,
    /// Events to log.
    #[schemars(extend("default" = "requests"))]
    pub(crate) events: Option<At<Events>>,
    /// Append failed handshakes and connections to this file, a line of JSON each; SIGHUP reopens it.
    #[schemars(extend("examples" = ["audit.jsonl"]))]
    pub(crate) audit: Option<At<FilePath>>,
}

/// A listener for those who watch the server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StatusTable {
    /// Serve a status page and `/metrics` there, over TLS with the same certificates; a port alone, also as `:PORT`, is one of loopback. If all sites have names, it has in addition a certificate for `localhost` from the local authority, where there is one, and answers other names with the first site's.
    /// Default: nowhere.
    #[schemars(extend("examples" = ["127.0.0.1:9443"]))]
    pub(crate) address: Option<At<StatusAddress>>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerTable {
    /// IP address and port, 8443 if none is given, 0 for a free one; or `localhost:PORT` for both loopback addresses, `*:PORT` for all addresses of this
    /// machine; or `unix:PATH`; or `systemd` for the sockets that systemd hands over, `systemd:NAME` for those of this
    /// `FileDescriptorName`.
    #[schemars(extend("examples" = ["0.0.0.0:443"]))]
    pub(crate) address: At<Address>,
    /// What is spoken there.
    #[serde(default)]
    #[schemars(extend("default" = "https"))]
    pub(crate) kind: Option<At<Kind>>,
}

/// A site: its names, what it serves, and to which clients.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteTable {
    /// Host names, `*.example.org` for each name one label longer than `example.org`. Default: none, for the site that
    /// gets every request for which no other site has the name.
    #[serde(default)]
    #[schemars(extend("examples" = [["example.org", "*.example.org"]]))]
    pub(crate) names: Option<Vec<At<String>>>,
    /// Directory to serve; files outside it are never served, nor names that begin with a dot, except `/.well-known/`. A site that
    /// only redirects, refuses or stores needs none.
    #[serde(default)]
    #[schemars(extend("examples" = ["public"]))]
    pub(crate) root: Option<At<FilePath>>,
    /// List directories that have no index.html.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) listing: Option<At<bool>>,
    /// Files that are served for a directory, the first that exists.
    #[serde(default)]
    #[schemars(extend("default" = ["index.html"]))]
    pub(crate) index: Option<At<Vec<String>>>,
    /// Serve `FILE.br`, `FILE.zst` or `FILE.gz` in place of a file, to clients that accept it.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) precompressed: Option<At<bool>>,
    /// Compress files while they are sent, where that gains, for clients that accept it.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) compression: Option<At<bool>>,
    /// Follow symbolic links that lead out of `root`, to whatever this user may read. The process then stays able to read all files.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) follow_links: Option<At<bool>>,
    /// Answer navigations with this file beneath `root` where nothing is found: for applications that choose their page in
    /// the browser.
    #[serde(default)]
    #[schemars(extend("examples" = ["/index.html"]))]
    pub(crate) fallback: Option<At<String>>,
    /// Which other origins may read responses.
    #[serde(default)]
    pub(crate) cors: Option<At<CorsTable>>,
    /// Strict transport security.
    #[serde(default)]
    pub(crate) hsts: Option<At<HstsTable>>,
    /// The access log for requests of this site, in place of the common one. Events of handshakes and connections stay in the common log.
    #[serde(default)]
    pub(crate) log: Option<At<SiteLogTable>>,
    /// Which clients are accepted.
    #[serde(default)]
    pub(crate) client_auth: Option<At<ClientAuthTable>>,
    /// Pages for errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) error_page: Vec<At<ErrorPageTable>>,
    /// What is done for some paths, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rule: Vec<At<RuleTable>>,
    /// Paths that are only for some clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) guard: Vec<At<GuardTable>>,
    /// Paths that need a password.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) basic_auth: Vec<At<BasicAuthTable>>,
    /// Directories that clients store files in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) upload: Vec<At<UploadTable>>,
    /// Certificates, several for several kinds of key. Default: those of `tls.certificate`; without them one from the
    /// local authority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificate: Vec<At<CertificateTable>>,
}

/// The access log of a site.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteLogTable {
    /// Where it goes: `stderr`, `journal`, `off`, or a file to append to, which SIGHUP reopens. Default: where the common log goes.
    #[serde(default)]
    #[schemars(extend("examples" = ["example.org.log"]))]
    pub(crate) to: Option<At<LogTarget>>,
    /// How it is written. Default: as the common log.
    #[serde(default)]
    #[schemars(extend("examples" = ["combined"]))]
    pub(crate) format: Option<At<LogFormat>>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateTable {
    /// Certificate chain, end-entity certificate first: PEM, DER or PKCS#12.
    #[schemars(extend("examples" = ["chain.pem"]))]
    pub(crate) chain: At<FilePath>,
    /// Private key. Default: it is in the same file as the certificate.
    #[serde(default)]
    #[schemars(extend("examples" = ["key.pem"]))]
    pub(crate) key: Option<At<FilePath>>,
    /// Source of the key's passphrase: `env:VAR`, `file:PATH`, `fd:N`, `stdin`, `prompt`.
    #[serde(default)]
    #[schemars(extend("examples" = ["file:key.pass"]))]
    pub(crate) passphrase: Option<At<Source>>,
}

/// Which clients are accepted.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientAuthTable {
    /// Client certificate: `none`, `optional` or `required`.
    #[serde(default)]
    #[schemars(extend("default" = "required"))]
    pub(crate) demand: Option<At<Demand>>,
    /// The CAs that may have issued it, in a file; `local` is your own authority. Required unless `demand` is `none`.
    #[serde(default)]
    #[schemars(extend("examples" = ["clients.pem", "local"]))]
    pub(crate) ca: Option<At<FilePath>>,
    /// Check certificates against the certificate revocation lists in these files. Default: none, and the list of your
    /// own authority if `ca` is that.
    #[serde(default)]
    #[schemars(extend("examples" = [["revoked.crl"]]))]
    pub(crate) crl: Option<Vec<At<FilePath>>>,
    /// What to do with an expired revocation list.
    #[serde(default)]
    #[schemars(extend("default" = "hard"))]
    pub(crate) crl_expired: Option<At<CrlExpired>>,
    /// Accept at most so many intermediates in a chain.
    #[serde(default)]
    #[schemars(range(min = 0, max = 6), extend("default" = 6))]
    pub(crate) depth: Option<At<usize>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
