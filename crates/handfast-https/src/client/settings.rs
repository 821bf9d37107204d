//! What a client is set up with.

use std::net::IpAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use handfast::ClientContext;
use handfast_dial::proxy::Proxy;
use handfast_dial::{AddressFamily, Dialer, LocalEnd};
use http::StatusCode;

use super::event::{Callback, Callbacks, Event};
use super::pace::SpeedMin;
use super::places::PoolLimits;
use super::redirect;
use super::request::Request;

/// How long to wait for the peer's part of a close. The caller waits meanwhile, and all that is
/// to be had is the knowledge that the server closed in order.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The longest silence within an exchange. Servers that compute an answer need some time.
const SILENCE: Duration = Duration::from_secs(60);

/// As many as curl allows.
const REDIRECTS_MAX: usize = 50;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) context: ClientContext,
    pub(super) redirects_max: Option<usize>,
    pub(super) redirects: redirect::Rules,
    /// Not chosen: the default, unless there is a limit on all of it.
    silence_max: Option<Option<Duration>>,
    pub(super) total_max: Option<Duration>,
    pub(super) rate_max: Option<u64>,
    pub(super) speed_min: Option<SpeedMin>,
    pub(super) connect_max: Option<Duration>,
    pub(super) close_wait: Duration,
    pub(super) dialer: Dialer,
    /// The context for a proxy that is reached over TLS.
    pub(super) proxy_context: Option<ClientContext>,
    /// The dialer for URLs of the scheme http, if it is another one.
    pub(super) proxy_of_http: Option<Option<Proxy>>,
    /// Proxies are asked for tunnels also for URLs of the scheme http.
    pub(super) tunnels_http: bool,
    /// Connections begin with a line of the PROXY protocol.
    pub(super) announces_client: bool,
    /// A Unix socket that every connection leads to.
    #[cfg(unix)]
    pub(super) unix_socket: Option<PathBuf>,
    pub(super) probes: bool,
    pub(super) pool: PoolLimits,
    #[cfg(feature = "cookies")]
    pub(super) cookies: Option<super::cookies::CookieJar>,
    observer: Option<Callback>,
}

impl Settings {
    /// The longest silence.
    pub(super) fn silence(&self) -> Option<Duration> {
        let default = self.total_max.is_none().then_some(SILENCE);
        let silence = self.silence_max.unwrap_or(default);
        // Nothing at all is too slow as well.
        match self.speed_min {
            Some(min) => Some(silence.map_or(min.time, |silence| silence.min(min.time))),
            None => silence,
        }
    }

    /// Those who are told of this request's exchange.
    pub(super) fn callbacks(&self, request: &Request) -> Callbacks {
        Callbacks {
            client: self.observer.clone(),
            request: request.observer.clone(),
        }
    }

    /// Tells what belongs to no exchange.
    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(Callback(observe)) = &self.observer {
            observe(event);
        }
    }
}

/// Builds a [`Client`](super::Client).
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder(Settings);

impl ClientBuilder {
    pub(super) fn new(context: ClientContext) -> Self {
        Self(Settings {
            context,
            redirects_max: None,
            redirects: redirect::Rules::default(),
            silence_max: None,
            total_max: None,
            rate_max: None,
            speed_min: None,
            connect_max: None,
            close_wait: CLOSE_WAIT,
            dialer: Dialer::new(),
            proxy_context: None,
            proxy_of_http: None,
            tunnels_http: false,
            announces_client: false,
            #[cfg(unix)]
            unix_socket: None,
            probes: false,
            pool: PoolLimits::default(),
            #[cfg(feature = "cookies")]
            cookies: None,
            observer: None,
        })
    }

    /// Follows redirects. Default: off; a redirect is a response like any other.
    pub fn follow_redirects(mut self, on: bool) -> Self {
        self.0.redirects_max = on.then(|| self.0.redirects_max.unwrap_or(REDIRECTS_MAX));
        self
    }

    /// Follows at most so many redirects. Default when following: 50.
    pub fn redirects_max(mut self, limit: usize) -> Self {
        self.0.redirects_max = Some(limit);
        self
    }

    /// Redirects with these statuses leave a POST a POST, with its body. Default: none; after 301, 302 and 303 it becomes
    /// a GET (RFC 9110, section 15.4), after 307 and 308 it always stays what it was.
    pub fn redirects_keep_post(mut self, statuses: impl Into<Vec<StatusCode>>) -> Self {
        self.0.redirects.keeps_post = statuses.into();
        self
    }

    /// Also sends credentials (`Authorization`, `Cookie`, `Proxy-Authorization`, and the client certificate of the context) to
    /// other origins that a redirect leads to: any of them may then use them. Default: off.
    pub fn redirects_keep_credentials(mut self, on: bool) -> Self {
        self.0.redirects.keeps_credentials = on;
        self
    }

    /// Following a redirect, sends the URL that it came from as `Referer`. Default: off.
    pub fn redirects_set_referer(mut self, on: bool) -> Self {
        self.0.redirects.sets_referer = on;
        self
    }

    /// Follows redirects to `http`, of requests that allow http ([`Request::new_allowing_http`](super::Request::new_allowing_http)):
    /// with `true` also from `https`, with `false` none, which then are [`Error::PlainHttp`](super::Error::PlainHttp). Default: those from `http` alone.
    pub fn redirects_to_http(mut self, on: bool) -> Self {
        self.0.redirects.to_http = Some(on);
        self
    }

    /// The longest time without a byte in either direction, from the request on. Default: 60 s; none where
    /// [`total_max`](Self::total_max) limits all of it.
    pub fn silence_max(mut self, limit: Option<Duration>) -> Self {
        self.0.silence_max = Some(limit);
        self
    }

    /// The time that one call of [`Client::send`](super::Client::send), redirects included, and the reading of its
    /// response may take together. It is also the limit on waiting until one of the connections is free that
    /// [`pool_limits`](Self::pool_limits) allows. Default: no limit.
    pub fn total_max(mut self, limit: Option<Duration>) -> Self {
        self.0.total_max = limit;
        self
    }

    /// Bodies go no faster than so many bytes a second, each in its direction, on average. Default: as fast as the network.
    pub fn rate_max(mut self, bytes_per_second: Option<u64>) -> Self {
        self.0.rate_max = bytes_per_second;
        self
    }

    /// Gives a response up ([`Error::Truncated`](super::Error::Truncated), over time) whose body has come with fewer bytes a second for so long; nor may
    /// nothing at all come for so long. Default: no limit but that on silence.
    pub fn speed_min(mut self, bytes_per_second: u64, time: Duration) -> Self {
        self.0.speed_min = Some(SpeedMin {
            bytes_per_second,
            time,
        });
        self
    }

    /// The time that name resolution, TCP and TLS may take together, in place of the limits of the
    /// context for each of them. Default: those limits.
    pub fn connect_max(mut self, limit: Option<Duration>) -> Self {
        self.0.connect_max = limit;
        self
    }

    /// How long a close waits for the server's `close_notify`, and a response that is complete for the rest of the request's
    /// body. Default: 1 s.
    pub fn close_wait(mut self, limit: Duration) -> Self {
        self.0.close_wait = limit;
        self
    }

    /// Connects to this address when asked for this host and port; the server must still be the one
    /// with the host's name. The host `*` is every host. May be called repeatedly, also for the same host.
    pub fn resolve(mut self, host: &str, port: u16, address: IpAddr) -> Self {
        self.0.dialer = self.0.dialer.fixed(host, port, address);
        self
    }

    /// Connects to another host and port than those that a URL names; the server must still be the one with the name in the
    /// URL ([`Dialer::instead`]).
    pub fn connect_to(
        mut self,
        asked: (Option<&str>, Option<u16>),
        to: (Option<&str>, Option<u16>),
    ) -> Self {
        self.0.dialer = self.0.dialer.instead(asked, to);
        self
    }

    /// Connects to this Unix socket whatever a URL names, past any proxy; the server must still be the one with the name in
    /// the URL. A path that begins with a NUL byte is a name of Linux's abstract namespace. Addresses of such connections are
    /// unspecified: `0.0.0.0:0`.
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.unix_socket = Some(path.into());
        self
    }

    /// Uses only addresses of this family. Default: both.
    pub fn address_family(mut self, family: AddressFamily) -> Self {
        self.0.dialer = self.0.dialer.only(family);
        self
    }

    /// Connects from this address, device or port of this machine.
    pub fn local_end(mut self, local: LocalEnd) -> Self {
        self.0.dialer = self.0.dialer.from_local(local);
        self
    }

    /// Reaches servers through this proxy, except those that bypass it. The proxy resolves their names, unless its
    /// protocol is [`ProxyProtocol::Socks5`](handfast_dial::proxy::ProxyProtocol::Socks5). Default: none; the environment is not read.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.0.dialer = self.0.dialer.through(proxy);
        self
    }

    /// Reaches servers of URLs of the scheme http through this proxy, or none, instead of the one for all.
    pub fn proxy_of_http(mut self, proxy: Option<Proxy>) -> Self {
        self.0.proxy_of_http = Some(proxy);
        self
    }

    /// Asks HTTP proxies for a tunnel also for URLs of the scheme http. Default: off; they get the request itself, with the
    /// whole URL as its target (RFC 9112, section 3.2.2), and see all of it.
    pub fn tunnels_http(mut self, on: bool) -> Self {
        self.0.tunnels_http = on;
        self
    }

    /// Begins each connection to a server with a line of the PROXY protocol, version 1, that names this end's address as the
    /// client's: for servers behind a load balancer, which expect it. Default: off.
    pub fn announces_client(mut self, on: bool) -> Self {
        self.0.announces_client = on;
        self
    }

    /// How a proxy is secured and verified that is reached over TLS
    /// ([`ProxyProtocol::Https`](handfast_dial::proxy::ProxyProtocol::Https)). Without it, there is no connection through
    /// such a proxy.
    pub fn proxy_context(mut self, context: ClientContext) -> Self {
        self.0.proxy_context = Some(context.with_alpn(["http/1.1"]));
        self
    }

    /// After a handshake that failed over what was offered, asks the server over a few more
    /// connections what it would have taken, and puts that into the error
    /// ([`handfast_probe::Inquiry`]). After one that was refused over time or name, asks `HEAD /` of
    /// the server without verifying it, with nothing of the request's, for its clock
    /// ([`handfast_probe::UnverifiedReply`]). Not sent with a context that encrypts its ClientHello: they would send the name
    /// in the clear. Default: off.
    pub fn probes(mut self, on: bool) -> Self {
        self.0.probes = on;
        self
    }

    /// Takes the cookies of responses into this jar, and sends those in it, before those of a `Cookie` field. Default: none;
    /// `Set-Cookie` is a field like any other.
    #[cfg(feature = "cookies")]
    pub fn cookies(mut self, jar: super::cookies::CookieJar) -> Self {
        self.0.cookies = Some(jar);
        self
    }

    /// How many connections there may be, and how long idle ones are kept. Default: [`PoolLimits::default`].
    pub fn pool_limits(mut self, limits: PoolLimits) -> Self {
        self.0.pool = limits;
        self
    }

    /// Tells this function what happens, as it happens, in all exchanges. Those of one request:
    /// [`Request::with_observer`](super::Request::with_observer).
    pub fn observer(mut self, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.0.observer = Some(Callback(Arc::new(observe)));
        self
    }

    pub(super) fn into_settings(self) -> Settings {
        self.0
    }
}
