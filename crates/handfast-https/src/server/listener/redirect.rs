//! Where a listener for plain HTTP sends its clients.

use std::fmt;
use std::sync::Arc;

/// Where clients of plain HTTP are redirected to: the same host, path and query, by https.
///
/// The reply is 308 (Permanent Redirect), which keeps the method. The host is the one in the request's Host field,
/// if it is one that can be in a URL; a target cannot lead elsewhere. A request without a usable Host gets 400.
#[derive(Clone)]
#[must_use]
pub struct Redirect {
    pub(in crate::server) port: u16,
    pub(in crate::server) hosts: Option<Hosts>,
}

type Hosts = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl Redirect {
    /// To this port, as clients reach it: with a packet filter in between it may not be the one that is listened on.
    /// 443 is not spelled in URLs.
    pub fn to_port(port: u16) -> Self {
        Self { port, hosts: None }
    }

    /// Only for hosts that are served: others get 421 (Misdirected Request). `is_served` is given the host in lower case,
    /// without a port, an IPv6 address in brackets. Default: for every host, since the one that a client names is the one
    /// that it is sent to.
    pub fn only_for(mut self, is_served: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.hosts = Some(Arc::new(is_served));
        self
    }
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirect")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
