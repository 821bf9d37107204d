//! What a site answers besides plain files, as the configuration file has it: tables beneath `[[site]]`.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{At, FilePath, Size, Time};

/// What is done for some paths. Redirects, rewrites and errors: the first rule that matches; header fields: all of them, for
/// the path that is answered in the end.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleTable {
    /// Pattern of paths: `*` stands for anything within a segment, `**` for any number of segments.
    #[schemars(extend("examples" = ["/old/**"]))]
    pub(crate) path: At<String>,
    /// Redirect to this path or URL; `$1` is what the first wildcard stands for. The query is kept.
    #[serde(default)]
    #[schemars(extend("examples" = ["/new/$1"]))]
    pub(crate) redirect: Option<At<String>>,
    /// Answer as if this path had been asked for.
    #[serde(default)]
    #[schemars(extend("examples" = ["/releases/2.4/$1"]))]
    pub(crate) rewrite: Option<At<String>>,
    /// Of a redirect: 301, 302, 303, 307 or 308, by default 302. Alone: answer with this error, such as 410.
    #[serde(default)]
    #[schemars(range(min = 300, max = 599), extend("examples" = [308]))]
    pub(crate) status: Option<At<u16>>,
    /// Header fields to set in responses.
    #[serde(default)]
    #[schemars(extend("examples" = [["Referrer-Policy: no-referrer"]]))]
    pub(crate) headers: Option<Vec<At<String>>>,
    /// Header fields to add to responses, beside those of the same name.
    #[serde(default)]
    #[schemars(extend("examples" = [["Link: </style.css>; rel=preload"]]))]
    pub(crate) add_headers: Option<Vec<At<String>>>,
    /// Names of header fields to remove from responses.
    #[serde(default)]
    #[schemars(extend("examples" = [["Last-Modified"]]))]
    pub(crate) remove_headers: Option<Vec<At<String>>>,
    /// `Cache-Control` of successful responses.
    #[serde(default)]
    #[schemars(extend("examples" = ["max-age=31536000, immutable"]))]
    pub(crate) cache_control: Option<At<String>>,
}

/// Only some clients, by their verified certificate, for some paths and everything beneath them. `client_auth` must ask for
/// certificates.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuardTable {
    /// Pattern of paths.
    #[schemars(extend("examples" = ["/admin"]))]
    pub(crate) path: At<String>,
    /// DNS names that are allowed. Without names every verified client is.
    #[serde(default)]
    #[schemars(extend("examples" = [["backup.example.org"]]))]
    pub(crate) dns: Option<Vec<String>>,
    /// Mailboxes that are allowed.
    #[serde(default)]
    #[schemars(extend("examples" = [["ann@example.org"]]))]
    pub(crate) email: Option<Vec<String>>,
    /// URIs that are allowed.
    #[serde(default)]
    #[schemars(extend("examples" = [["spiffe://example.org/backup"]]))]
    pub(crate) uri: Option<Vec<String>>,
    /// Common names that are allowed.
    #[serde(default)]
    #[schemars(extend("examples" = [["Ann"]]))]
    pub(crate) common_name: Option<Vec<String>>,
    /// Issuers that are allowed, as `handfast inspect` shows them.
    #[serde(default)]
    #[schemars(extend("examples" = [["CN=Staff CA"]]))]
    pub(crate) issuer: Option<Vec<String>>,
}

/// A user name and a password (Basic authentication) for some paths and everything beneath them.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicAuthTable {
    /// Pattern of paths.
    #[serde(default)]
    #[schemars(extend("default" = "/"))]
    pub(crate) path: Option<At<String>>,
    /// Users and hashes of their passwords, as `htpasswd -B` writes them.
    #[schemars(extend("examples" = ["users.htpasswd"]))]
    pub(crate) file: At<FilePath>,
    /// Only this user; the file may then have the hash alone.
    #[serde(default)]
    #[schemars(extend("examples" = ["ann"]))]
    pub(crate) user: Option<At<String>>,
    /// What browsers show with their question for a password.
    #[serde(default)]
    #[schemars(extend("default" = "restricted"))]
    pub(crate) realm: Option<At<String>>,
}

/// Which other origins may read responses (CORS).
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorsTable {
    /// Origins; `*` for any.
    #[schemars(extend("examples" = [["https://app.example.org"]]))]
    pub(crate) origins: At<Vec<String>>,
    /// Methods that they may use.
    #[serde(default)]
    #[schemars(extend("default" = ["GET", "HEAD"]))]
    pub(crate) methods: Option<At<Vec<String>>>,
    /// Header fields that they may send besides those that are always allowed.
    #[serde(default)]
    #[schemars(extend("examples" = [["content-type"]]))]
    pub(crate) headers: Option<At<Vec<String>>>,
    /// Header fields of responses that they may read besides those that are always allowed.
    #[serde(default)]
    #[schemars(extend("examples" = [["etag"]]))]
    pub(crate) exposed_headers: Option<At<Vec<String>>>,
    /// How long browsers may keep the answer to their question.
    #[serde(default)]
    #[schemars(extend("default" = "1h"))]
    pub(crate) max_age: Option<At<Time>>,
    /// Whether cookies, passwords and client certificates may be used.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) credentials: Option<At<bool>>,
}

/// Strict transport security: browsers that have been here come by HTTPS alone.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HstsTable {
    /// For how long after the last visit.
    #[schemars(extend("examples" = ["8760h"]))]
    pub(crate) max_age: At<Time>,
    /// For all names beneath this one, too.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) subdomains: Option<At<bool>>,
    /// Agree to be in the list that browsers are delivered with.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) preload: Option<At<bool>>,
}

/// A page for errors, which keep their status.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorPageTable {
    /// The status. Default: every error that has no page of its own.
    #[serde(default)]
    #[schemars(range(min = 400, max = 599), extend("examples" = [404]))]
    pub(crate) status: Option<At<u16>>,
    /// File beneath `root`.
    #[schemars(extend("examples" = ["404.html"]))]
    pub(crate) file: At<String>,
}

/// Files from clients: by PUT, or with a form. They are stored whole or not at all, and only beneath this directory.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadTable {
    /// Directory to store files in. If it is beneath `root`, they can be fetched as well.
    #[schemars(extend("examples" = ["incoming"]))]
    pub(crate) directory: At<FilePath>,
    /// Path in URLs. Default: `/upload/`. A directory beneath `root` has the path at which it is served, and no other.
    #[serde(default)]
    #[schemars(extend("examples" = ["/upload/"]))]
    pub(crate) path: Option<At<String>>,
    /// Whether files may be replaced.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) replace: Option<At<bool>>,
    /// Size of a file.
    #[serde(default)]
    #[schemars(extend("default" = "1GiB"))]
    pub(crate) file_bytes_max: Option<At<Size>>,
    /// Size of a request: of a form, all its files.
    #[serde(default)]
    #[schemars(extend("default" = "4GiB"))]
    pub(crate) request_bytes_max: Option<At<Size>>,
    /// Files in a form.
    #[serde(default)]
    #[schemars(extend("default" = 32))]
    pub(crate) files_max: Option<At<NonZeroUsize>>,
    /// Uploads at once; clients of one address have at most half of them, rounded up.
    #[serde(default)]
    #[schemars(extend("default" = 16))]
    pub(crate) uploads_max: Option<At<NonZeroUsize>>,
    /// What stays free on the disk.
    #[serde(default)]
    #[schemars(extend("default" = "256MiB"))]
    pub(crate) free_bytes_min: Option<At<Size>>,
    /// How long an upload may take.
    #[serde(default)]
    #[schemars(extend("default" = "1h"))]
    pub(crate) time_max: Option<At<Time>>,
}
