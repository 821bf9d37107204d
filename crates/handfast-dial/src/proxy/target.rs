//! What a proxy is asked for.

/// Which proxy is asked, and for which server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The proxy as `host:port`, for messages.
    pub proxy: String,
    /// The server's host, an IPv6 address without brackets.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The server as `host:port`, as it is sent over HTTP: an IPv6 address in brackets.
    pub authority: String,
}

impl Target {
    /// The proxy, for messages alone, and the server's host (a DNS name or an IP address) and port.
    pub fn new(proxy: impl Into<String>, host: &str, port: u16) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let authority = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        Self {
            proxy: proxy.into(),
            host: host.to_owned(),
            port,
            authority,
        }
    }
}
