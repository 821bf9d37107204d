//! The target of a request to a proxy.

/// A proxy, and the server to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The proxy as `host:port`, for messages.
    pub proxy: String,
    /// The server's host: a DNS name, or an IP address without brackets.
    pub host: String,
    /// The server's port.
    pub port: u16,
    pub(super) is_socks: bool,
}

impl Target {
    /// The proxy, only for messages, and the server's host and port.
    pub fn new(proxy: impl Into<String>, host: &str, port: u16) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self {
            proxy: proxy.into(),
            host: host.to_owned(),
            port,
            is_socks: false,
        }
    }

    /// The proxy is asked over SOCKS, not over HTTP.
    pub(super) fn by_socks(mut self) -> Self {
        self.is_socks = true;
        self
    }

    /// The server as `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}
