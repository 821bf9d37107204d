//! From a name to a TCP channel: fixed or resolved addresses, the race, a proxy.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use handfast::{Phase, Timeouts};

use crate::error::{Cause, Error};
use crate::local::{AddressFamily, LocalEnd};
use crate::proxy::{Proxy, ProxyError, ProxyProblem, ProxyProtocol, Target};
use crate::resolve::resolve;
use crate::system::not_resolved;
use crate::tcp;
#[cfg(feature = "tokio")]
use crate::tcp_async::Connected;

/// How to reach servers: time limits, a proxy, fixed addresses. Set up once and used for each connection.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use handfast_dial::{Dialer, proxy::Proxy};
///
/// let proxy = Proxy::parse("socks5h://127.0.0.1:9050")?.bypassing("localhost");
/// let dialer = Dialer::new().through(proxy);
/// let dialled = dialer.dial("example.org", 443)?;
/// println!("connected to {}", dialled.address); // the proxy's
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Dialer {
    resolve_max: Option<Duration>,
    connect_max: Option<Duration>,
    proxy: Option<Proxy>,
    fixed: HashMap<(String, u16), Vec<IpAddr>>,
    instead: Vec<Instead>,
    family: Option<AddressFamily>,
    local: LocalEnd,
}

/// Where connections to some place lead; what is not given is every one, or stays as it is.
#[derive(Debug, Clone)]
struct Instead {
    asked: (Option<String>, Option<u16>),
    to: (Option<String>, Option<u16>),
}

/// A channel to a server.
#[derive(Debug)]
#[non_exhaustive]
pub struct Dialled<S> {
    /// The channel to the server, possibly through a proxy.
    pub channel: S,
    /// The address connected to: the server's, or the proxy's.
    pub address: SocketAddr,
}

/// A progress event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'p> {
    /// The name has these addresses.
    Resolved {
        /// The name, or an IP address: the server's, or the proxy's.
        host: &'p str,
        /// In the resolver's order.
        addresses: &'p [SocketAddr],
        /// How long it took.
        took: Duration,
    },
    /// An address was tried. Attempts that were still running when another address
    /// answered are not reported; asynchronous dialling reports only the one that answered.
    Tried {
        /// The address.
        address: SocketAddr,
        /// How long it took.
        took: Duration,
        /// Why it failed, if it did.
        problem: Option<&'p io::Error>,
    },
    /// The proxy has connected to the server.
    Proxied {
        /// The proxy, as `host:port`.
        proxy: &'p str,
        /// The server, as `host:port`.
        server: &'p str,
        /// How long it took.
        took: Duration,
    },
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new()
    }
}

impl Dialer {
    /// With the limits of [`Timeouts::default`], no proxy, and the operating system's resolver.
    pub fn new() -> Self {
        Self::within(&Timeouts::default())
    }

    /// With these limits on resolving and connecting. The dialogue with a proxy has the connect limit again.
    pub fn within(limits: &Timeouts) -> Self {
        Self {
            resolve_max: limits.resolve,
            connect_max: limits.connect,
            proxy: None,
            fixed: HashMap::new(),
            instead: Vec::new(),
            family: None,
            local: LocalEnd::default(),
        }
    }

    /// Reaches servers through this proxy, except those that bypass it.
    pub fn through(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Reaches servers through this proxy, or without any.
    pub fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Connects to this address for this host and port; the host `*` is every host without a fixed address
    /// of its own. May be called repeatedly, also for the same host. Applies also to servers behind a proxy that takes
    /// addresses ([`ProxyProtocol::Socks5`], [`ProxyProtocol::Socks4`]).
    pub fn fixed(mut self, host: &str, port: u16, address: IpAddr) -> Self {
        let key = (host.to_ascii_lowercase(), port);
        self.fixed.entry(key).or_default().push(address);
        self
    }

    /// Connects to another host and port: for connections to the host `asked.0` and the port `asked.1`, where `None` is
    /// every one, to those in `to`, where `None` is the one that was asked for. May be called repeatedly: the first that
    /// fits counts. TLS is not concerned: the server must still be the one with the name that was asked for.
    pub fn instead(
        mut self,
        asked: (Option<&str>, Option<u16>),
        to: (Option<&str>, Option<u16>),
    ) -> Self {
        let asked = (asked.0.map(str::to_ascii_lowercase), asked.1);
        let to = (to.0.map(str::to_owned), to.1);
        self.instead.push(Instead { asked, to });
        self
    }

    /// Uses only addresses of this family. Default: both, as they come ([RFC 8305](https://www.rfc-editor.org/rfc/rfc8305)).
    pub fn only(mut self, family: AddressFamily) -> Self {
        self.family = Some(family);
        self
    }

    /// Connects from this end. With an address, only servers of its family are reached.
    pub fn from_local(mut self, local: LocalEnd) -> Self {
        self.local = local;
        self
    }

    /// The same with other limits.
    pub fn with_limits(mut self, limits: &Timeouts) -> Self {
        (self.resolve_max, self.connect_max) = (limits.resolve, limits.connect);
        self
    }

    /// The same without a proxy and without other places, to connect to a proxy itself.
    pub fn directly(mut self) -> Self {
        self.proxy = None;
        self.instead = Vec::new();
        self
    }

    /// The same, to connect to this proxy itself: directly, or through the one before it.
    pub fn to_proxy(self, proxy: &Proxy) -> Self {
        let dialer = self.directly();
        match proxy.before() {
            Some(first) => dialer.through(first.clone().bypassing("")),
            None => dialer,
        }
    }

    /// Where connections to this host and port lead ([`instead`](Self::instead)).
    pub fn place<'a>(&'a self, host: &'a str, port: u16) -> (&'a str, u16) {
        let fits = |one: &&Instead| {
            let (asked_host, asked_port) = &one.asked;
            asked_host
                .as_deref()
                .is_none_or(|asked| asked.eq_ignore_ascii_case(host))
                && asked_port.is_none_or(|asked| asked == port)
        };
        match self.instead.iter().find(fits) {
            Some(Instead { to, .. }) => (to.0.as_deref().unwrap_or(host), to.1.unwrap_or(port)),
            None => (host, port),
        }
    }

    /// The proxy for a host, if any.
    pub fn proxy_for(&self, host: &str) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.is_for(host))
    }

    /// A TCP channel to this host and port.
    ///
    /// # Errors
    /// With the phase in which it failed: resolve or connect.
    pub fn dial(&self, host: &str, port: u16) -> Result<Dialled<TcpStream>, Error> {
        self.dial_observed(host, port, &mut |_| {})
    }

    /// The same, with progress events.
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub fn dial_observed(
        &self,
        host: &str,
        port: u16,
        observe: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Dialled<TcpStream>, Error> {
        let proxy = self.proxy_for(host);
        let (host, port) = self.place(host, port);
        let Some(proxy) = proxy else {
            return self.dial_directly(host, port, observe);
        };
        let target = proxy.target(host, port);
        refuse_tls(proxy, &target)?;
        let mut answers = 0;
        let (dialled, began) = loop {
            let mut dialled = self
                .dial_proxy(proxy, observe)
                .map_err(|error| error.of_proxy(&target))?;
            let began = Instant::now();
            let address = match proxy.takes_address() {
                true => proxy.choose(&self.addresses(host, port)?),
                false => None,
            };
            let server = (host, port);
            let asked = proxy.tunnel_to(&mut dialled.channel, server, address, self.connect_max);
            match asked {
                Ok(()) => break (dialled, began),
                Err(error) if proxy.is_answering_error(&error, &mut answers) => {}
                Err(error) => return Err(error),
            }
        };
        observe(&Progress::Proxied {
            proxy: &target.proxy,
            server: &target.authority(),
            took: began.elapsed(),
        });
        Ok(dialled)
    }

    /// A channel to this proxy itself, through the one before it if there is one.
    fn dial_proxy(
        &self,
        proxy: &Proxy,
        observe: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Dialled<TcpStream>, Error> {
        let (host, port) = (proxy.host(), proxy.port());
        let Some(first) = proxy.before() else {
            return self.dial_directly(host, port, observe);
        };
        let target = first.target(host, port);
        refuse_tls(first, &target)?;
        let dialled = self.dial_directly(first.host(), first.port(), observe);
        let mut dialled = dialled.map_err(|error| error.of_proxy(&target))?;
        let began = Instant::now();
        let address = match first.takes_address() {
            true => first.choose(&self.addresses(host, port)?),
            false => None,
        };
        let limit = self.connect_max;
        first.tunnel_to(&mut dialled.channel, (host, port), address, limit)?;
        observe(&Progress::Proxied {
            proxy: &target.proxy,
            server: &target.authority(),
            took: began.elapsed(),
        });
        Ok(dialled)
    }

    fn dial_directly(
        &self,
        host: &str,
        port: u16,
        observe: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Dialled<TcpStream>, Error> {
        let began = Instant::now();
        let addresses = self.addresses(host, port)?;
        observe(&resolved(host, &addresses, began));
        let mut tried = |address, took, outcome: Result<(), &io::Error>| {
            let problem = outcome.err();
            observe(&Progress::Tried {
                address,
                took,
                problem,
            });
        };
        let limit = self.connect_max;
        let (channel, address) = match self.local.is_any() {
            true => tcp::connect(host, &addresses, limit, &mut tried),
            false => tcp::connect_from(&self.local, host, &addresses, limit, &mut tried),
        }?;
        Ok(Dialled { channel, address })
    }

    fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let addresses = match self.fixed_addresses(host, port) {
            Some(addresses) => addresses,
            None => resolve(host, port, self.resolve_max)?,
        };
        self.usable(host, addresses)
    }

    /// Those of the chosen family.
    fn usable(&self, host: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
        let mut usable = addresses.clone();
        for family in [self.family, self.local.family()].into_iter().flatten() {
            usable.retain(|address| family.has(address));
            if usable.is_empty() {
                let nothing = format!("there is no {family} address, and no other may be used");
                let source = io::Error::new(io::ErrorKind::NotFound, nothing);
                return Err(match host.parse::<IpAddr>() {
                    Ok(_) => Error::new(Phase::Connect, Cause::Unreachable { addresses, source }),
                    Err(_) => not_resolved(host, source),
                });
            }
        }
        Ok(usable)
    }

    fn fixed_addresses(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        if self.fixed.is_empty() {
            return None;
        }
        let of_host = self.fixed.get(&(host.to_ascii_lowercase(), port));
        let addresses = of_host.or_else(|| self.fixed.get(&("*".to_owned(), port)))?;
        let with_port = |address: &IpAddr| SocketAddr::new(*address, port);
        Some(addresses.iter().map(with_port).collect())
    }
}

#[cfg(feature = "tokio")]
impl Dialer {
    /// As [`dial`](Self::dial), without blocking the thread.
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub async fn dial_async(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Dialled<tokio::net::TcpStream>, Error> {
        self.dial_async_observed(host, port, |_| {}).await
    }

    /// The same, with progress events.
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub async fn dial_async_observed(
        &self,
        host: &str,
        port: u16,
        mut observe: impl FnMut(&Progress<'_>),
    ) -> Result<Dialled<tokio::net::TcpStream>, Error> {
        let proxy = self.proxy_for(host);
        let (host, port) = self.place(host, port);
        let Some(proxy) = proxy else {
            return self.dial_directly_async(host, port, &mut observe).await;
        };
        let target = proxy.target(host, port);
        refuse_tls(proxy, &target)?;
        let mut answers = 0;
        let (dialled, began) = loop {
            let mut dialled = self
                .dial_proxy_async(proxy, &mut observe)
                .await
                .map_err(|error| error.of_proxy(&target))?;
            let began = Instant::now();
            let address = match proxy.takes_address() {
                true => proxy.choose(&self.addresses_async(host, port).await?),
                false => None,
            };
            let (channel, limit) = (&mut dialled.channel, self.connect_max);
            let asking = proxy.tunnel_to_async(channel, (host, port), address, limit);
            match asking.await {
                Ok(()) => break (dialled, began),
                Err(error) if proxy.is_answering_error(&error, &mut answers) => {}
                Err(error) => return Err(error),
            }
        };
        observe(&Progress::Proxied {
            proxy: &target.proxy,
            server: &target.authority(),
            took: began.elapsed(),
        });
        Ok(dialled)
    }

    /// A channel to this proxy itself, through the one before it if there is one.
    async fn dial_proxy_async(
        &self,
        proxy: &Proxy,
        observe: &mut impl FnMut(&Progress<'_>),
    ) -> Result<Dialled<tokio::net::TcpStream>, Error> {
        let (host, port) = (proxy.host(), proxy.port());
        let Some(first) = proxy.before() else {
            return self.dial_directly_async(host, port, observe).await;
        };
        let target = first.target(host, port);
        refuse_tls(first, &target)?;
        let dialled = self
            .dial_directly_async(first.host(), first.port(), observe)
            .await;
        let mut dialled = dialled.map_err(|error| error.of_proxy(&target))?;
        let began = Instant::now();
        let address = match first.takes_address() {
            true => first.choose(&self.addresses_async(host, port).await?),
            false => None,
        };
        let limit = self.connect_max;
        let asking = first.tunnel_to_async(&mut dialled.channel, (host, port), address, limit);
        asking.await?;
        observe(&Progress::Proxied {
            proxy: &target.proxy,
            server: &target.authority(),
            took: began.elapsed(),
        });
        Ok(dialled)
    }

    async fn dial_directly_async(
        &self,
        host: &str,
        port: u16,
        observe: &mut impl FnMut(&Progress<'_>),
    ) -> Result<Dialled<tokio::net::TcpStream>, Error> {
        let began = Instant::now();
        let addresses = self.addresses_async(host, port).await?;
        observe(&resolved(host, &addresses, began));
        let connecting = crate::tcp_async::connect(host, &addresses, self.connect_max, &self.local);
        let Connected {
            socket: channel,
            address,
            took,
        } = connecting.await?;
        observe(&Progress::Tried {
            address,
            took,
            problem: None,
        });
        Ok(Dialled { channel, address })
    }

    async fn addresses_async(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let addresses = match self.fixed_addresses(host, port) {
            Some(addresses) => addresses,
            None => crate::resolve::resolve_async(host, port, self.resolve_max).await?,
        };
        self.usable(host, addresses)
    }
}

/// A channel of this crate is a socket.
fn refuse_tls(proxy: &Proxy, target: &Target) -> Result<(), Error> {
    match proxy.protocol() {
        ProxyProtocol::Https => Err(ProxyError {
            target: target.clone(),
            problem: ProxyProblem::NeedsTls,
        }
        .into()),
        _ => Ok(()),
    }
}

fn resolved<'p>(host: &'p str, addresses: &'p [SocketAddr], began: Instant) -> Progress<'p> {
    Progress::Resolved {
        host,
        addresses,
        took: began.elapsed(),
    }
}
