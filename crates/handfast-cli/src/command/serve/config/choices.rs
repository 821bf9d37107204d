//! Choices that can be made on the command line and in the configuration file alike.

use std::time::Duration;

use handfast::{ClosePolicy, TlsVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// With `close = "wait"`: how long to wait for the client's `close_notify`.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Whether clients show certificates.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Demand {
    /// Clients are not asked for one
    None,
    /// Clients without one are served, too
    Optional,
    /// Clients without one are refused
    #[default]
    Required,
}

/// How connections are closed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Close {
    /// Send close_notify and FIN, do not wait
    Send,
    /// Then read until the client ends, within limits, so that the last reply is not lost
    #[default]
    Linger,
    /// Wait for the client's close_notify
    Wait,
}

impl From<Close> for ClosePolicy {
    fn from(close: Close) -> Self {
        match close {
            Close::Send => Self::Send,
            Close::Linger => Self::default(),
            Close::Wait => Self::Wait(CLOSE_WAIT),
        }
    }
}

/// Which events are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Events {
    /// On stderr none: only warnings and errors are shown
    None,
    /// Requests, failed handshakes, and connections that ended abnormally
    #[default]
    Requests,
    /// Also how every connection began and ended
    Connections,
}

/// How the access log is written.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Short lines for people
    #[default]
    Handfast,
    /// Apache httpd's and nginx' combined format
    Combined,
    /// A line of JSON for each event
    Json,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// HTTPS
    #[default]
    Https,
    /// Plain HTTP that answers every request with a redirect to the same URL over HTTPS
    Redirect,
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Version {
    /// TLS 1.2
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    Tls13,
}

impl From<Version> for TlsVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::Tls12 => Self::Tls12,
            Version::Tls13 => Self::Tls13,
        }
    }
}
