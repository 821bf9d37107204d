//! A site: its names, and how it answers a request.

use std::sync::Arc;

use handfast_files::Files;
use handfast_https::server::{ConnectionInfo, Request, Response, plain};
use http::StatusCode;

use crate::name::{NameError, SiteName};

/// What answers the requests for some names.
///
/// Without [files](Self::with_files) nothing is found in it.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Site {
    pub(crate) names: Vec<SiteName>,
    pub(crate) needs_server_name: bool,
    files: Option<Files>,
}

impl Site {
    /// A site without names and content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds names: DNS names, `*.` and a DNS name for every name with one label more, IP addresses. Names in Unicode are
    /// converted (IDNA).
    ///
    /// # Errors
    /// [`NameError`] for the first that is none of these.
    pub fn with_names<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, NameError> {
        for name in names {
            let name = SiteName::parse(name.as_ref())?;
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        Ok(self)
    }

    /// The names, in the form that they are compared in.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.names.iter().map(ToString::to_string)
    }

    /// Requests on connections without a server name (SNI) are answered with 421 (Misdirected Request). For a site whose
    /// handshakes differ from those of the default, for example in the client certificates that are accepted. Default: such
    /// requests are answered.
    pub fn with_server_name_needed(mut self, on: bool) -> Self {
        self.needs_server_name = on;
        self
    }

    /// The files that are served. Default: none.
    pub fn with_files(mut self, files: Files) -> Self {
        self.files = Some(files);
        self
    }

    /// Answers a request that is for this site.
    pub(crate) async fn answer(
        &self,
        request: Request,
        _connection: &Arc<ConnectionInfo>,
    ) -> Response {
        match &self.files {
            Some(files) => files.answer(&request).await,
            None => plain(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}
