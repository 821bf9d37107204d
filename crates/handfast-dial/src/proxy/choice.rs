//! Parses a proxy's URL, and decides which hosts bypass it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use handfast::escape_control;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::authenticate::Authenticate;
use super::credentials::Credentials;
use super::problem::ProxyProblem;
use super::target::Target;
use crate::error::{Cause, Error};

/// The default port, as in curl.
const DEFAULT_PORT: u16 = 1080;
/// That of a proxy that is reached over TLS, as in curl.
const DEFAULT_HTTPS_PORT: u16 = 443;

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// CONNECT (RFC 9110, section 9.3.6). The proxy resolves the server's name.
    Http,
    /// CONNECT over TLS with the proxy: for programs that bring a context for it (`handfast-https`), and not for a
    /// [`Dialer`](crate::Dialer).
    Https,
    /// SOCKS5 (RFC 1928) to an address: the server's name is resolved here.
    Socks5,
    /// SOCKS5 to a name, which the proxy resolves.
    Socks5h,
    /// SOCKS4 to an IPv4 address: the server's name is resolved here.
    Socks4,
    /// SOCKS4 to a name, which the proxy resolves (SOCKS4a).
    Socks4a,
}

/// A proxy that connects to servers on request.
///
/// ```
/// use handfast_dial::proxy::Proxy;
/// let proxy = Proxy::parse("http://proxy.internal:3128")?.bypassing("localhost,.internal,10.0.0.0/8");
/// assert_eq!(proxy.to_string(), "proxy.internal:3128");
/// assert!(proxy.is_for("example.org") && !proxy.is_for("db.internal") && !proxy.is_for("10.1.2.3"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone)]
pub struct Proxy {
    protocol: ProxyProtocol,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
    authenticator: Option<Arc<dyn Authenticate>>,
    /// Further lines of the head of a CONNECT request.
    fields: Vec<(String, String)>,
    bypass: Vec<String>,
    /// Another proxy, which this one is reached through.
    before: Option<Box<Self>>,
}

impl Proxy {
    /// Parses `[http://|https://|socks5://|socks5h://|socks4://|socks4a://][USER[:PASSWORD]@]HOST[:PORT]`; the default port is 443 for
    /// `https`, else 1080, as in curl.
    ///
    /// # Errors
    /// What is wrong with it, without the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        // `url` drops the scheme's default port.
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyProtocol::Http,
            "https" => ProxyProtocol::Https,
            "socks5" => ProxyProtocol::Socks5,
            "socks5h" => ProxyProtocol::Socks5h,
            "socks4" => ProxyProtocol::Socks4,
            "socks4a" => ProxyProtocol::Socks4a,
            // As in curl.
            "socks" => ProxyProtocol::Socks4,
            _ => {
                return Err(format!(
                    "there are no {} proxies: give http://HOST:PORT or socks5h://HOST:PORT",
                    escape_control(scheme)
                ));
            }
        };
        let parsed = Url::parse(&format!("handfast-proxy://{rest}"))
            .map_err(|error| format!("not a proxy URL: {error}"))?;
        let host = match parsed.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err("not a proxy URL: it has no host".to_owned()),
        };
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let credentials = (!parsed.username().is_empty()).then(|| {
            Credentials::basic(
                &decode(parsed.username()),
                &decode(parsed.password().unwrap_or_default()),
            )
        });
        Ok(Self {
            protocol,
            host,
            port: parsed.port().unwrap_or(match protocol {
                ProxyProtocol::Https => DEFAULT_HTTPS_PORT,
                _ => DEFAULT_PORT,
            }),
            credentials,
            authenticator: None,
            fields: Vec::new(),
            bypass: Vec::new(),
            before: None,
        })
    }

    /// With these credentials instead of those in the URL.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Answers the challenges of the proxy by this, in place of sending the credentials. Without effect for SOCKS.
    #[must_use]
    pub fn with_authenticator(mut self, authenticator: Arc<dyn Authenticate>) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// The value of `Proxy-Authorization` for a request with this method and target, if there is one.
    pub fn authorization(&self, method: &str, target: &str) -> Option<Zeroizing<String>> {
        if let Some(authenticator) = &self.authenticator {
            return authenticator.field(method, target);
        }
        self.credentials.as_ref().map(Credentials::to_basic)
    }

    /// Takes the `Proxy-Authenticate` fields of a 407: is the request to be sent again, over another connection? `answers`
    /// counts how often that was so.
    pub fn is_answering(&self, challenges: &[String], answers: &mut u32) -> bool {
        let authenticator = self.authenticator.as_ref();
        authenticator.is_some_and(|it| it.challenged(challenges, answers))
    }

    /// As [`is_answering`](Self::is_answering), for a failed request for a tunnel.
    pub fn is_answering_error(&self, error: &Error, answers: &mut u32) -> bool {
        match error.cause() {
            Cause::Proxy(error) => match &error.problem {
                ProxyProblem::AuthenticationRequired { challenges, .. } => {
                    self.is_answering(challenges, answers)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Sends this header field with CONNECT, to the proxy and not to servers. Nothing that could end the line is sent. Without
    /// effect for SOCKS.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        self.fields.push((clean(name), clean(value)));
        self
    }

    /// Reaches this proxy through another one, whose own list of hosts that bypass it does not count.
    #[must_use]
    pub fn after(mut self, first: Self) -> Self {
        self.before = Some(Box::new(first));
        self
    }

    /// The proxy that this one is reached through.
    pub fn before(&self) -> Option<&Self> {
        self.before.as_deref()
    }

    /// The header fields that are sent to it.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// Not for these hosts, separated by commas: a domain and all below it, an IP address, a network
    /// such as `10.0.0.0/8`, or `*` for all.
    #[must_use]
    pub fn bypassing(mut self, hosts: &str) -> Self {
        self.bypass = hosts
            .split([',', ' '])
            .map(|host| host.trim().trim_start_matches('.').to_ascii_lowercase())
            .filter(|host| !host.is_empty())
            .collect();
        self
    }

    /// Its protocol.
    pub fn protocol(&self) -> ProxyProtocol {
        self.protocol
    }

    /// Its host: a DNS name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The credentials for it.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether this host is reached through the proxy.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches([']', '.'])
            .to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        !self.bypass.iter().any(|rule| match address {
            _ if rule == "*" => true,
            Some(address) => in_network(address, rule),
            None => host
                .strip_suffix(rule.as_str())
                .is_some_and(|front| front.is_empty() || front.ends_with('.')),
        })
    }

    /// The target of a request to it.
    pub fn target(&self, host: &str, port: u16) -> Target {
        Target::new(self.to_string(), host, port)
    }
}

/// `host:port`, without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Whether `rule` is this address, or a network that contains it.
fn in_network(address: IpAddr, rule: &str) -> bool {
    let (base, bits) = match rule.split_once('/') {
        None => (rule, None),
        Some((base, bits)) => (base, Some(bits)),
    };
    let bare = base.trim_start_matches('[').trim_end_matches(']');
    let Ok(base) = bare.parse::<IpAddr>() else {
        return false;
    };
    let Some(bits) = bits else {
        return base == address;
    };
    let Ok(bits) = bits.parse::<u32>() else {
        return false;
    };
    let same = |one: u128, other: u128, width: u32| match width.checked_sub(bits) {
        Some(free) => one.checked_shr(free) == other.checked_shr(free),
        None => false,
    };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            same(base.to_bits().into(), address.to_bits().into(), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => same(base.to_bits(), address.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_parsed_as_in_curl() {
        for (text, shown) in [
            ("http://proxy:3128", Some("proxy:3128")),
            ("proxy", Some("proxy:1080")),
            ("http://proxy:80/", Some("proxy:80")),
            ("al%20ice:s3cret@[::1]:8080", Some("[::1]:8080")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("socks5://proxy", Some("proxy:1080")),
            ("SOCKS5H://u:p@[::1]:9050", Some("[::1]:9050")),
            ("socks4://proxy:1080", Some("proxy:1080")),
            ("socks4a://al@proxy", Some("proxy:1080")),
            ("ftp://proxy:1080", None),
            ("https://proxy", Some("proxy:443")),
            ("https://proxy:3129", Some("proxy:3129")),
            ("http://", None),
            ("http://u:s3cret@:x", None),
        ] {
            let parsed = Proxy::parse(text);
            assert_eq!(
                parsed.as_ref().ok().map(ToString::to_string).as_deref(),
                shown,
                "{text}"
            );
            assert!(!format!("{parsed:?}").contains("s3cret"), "{parsed:?}");
        }
        assert!(Proxy::parse("u@p:1").unwrap().credentials().is_some());
    }

    #[test]
    fn some_hosts_bypass_the_proxy() {
        let proxy = Proxy::parse("p:1").unwrap();
        let proxy = proxy.bypassing("localhost, .internal,a.example,10.0.0.0/8,::1,192.0.2.7");
        for (host, is_for) in [
            ("example.org", true),
            ("localhost", false),
            ("LOCALHOST.", false),
            ("notlocalhost", true),
            ("db.internal", false),
            ("internal", false),
            ("b.a.example", false),
            ("xa.example", true),
            ("10.255.0.1", false),
            ("11.0.0.1", true),
            ("[::1]", false),
            ("::2", true),
            ("192.0.2.7", false),
        ] {
            assert_eq!(proxy.is_for(host), is_for, "{host}");
        }
        assert!(!proxy.bypassing("*").is_for("example.org"));
    }
}
