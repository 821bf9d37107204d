//! From an origin to a stream: resolve, connect, handshake (for https), with the phase of each error.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
#[cfg(unix)]
use std::{net::Ipv4Addr, path::Path, time::Duration};

use handfast::{ClientContext, Phase, Report};
use handfast_dial::proxy::{Proxy, ProxyProtocol};
use handfast_dial::{Dialer, Dialled, Progress};
use tokio::io::AsyncWriteExt as _;

use super::error::Error;
use super::event::{Callbacks, Event};
use super::facts::SetupTimes;
use super::origin::Origin;
use super::settings::Settings;
use super::stream::{Plain, Stream};
use super::tls_stream::Channel;

/// Connects, through a proxy if one is set, and completes the handshake; reports each phase after the first to `reached`.
pub(super) async fn open(
    settings: &Settings,
    context: &ClientContext,
    origin: &Origin,
    callbacks: &Callbacks,
    reached: impl Fn(Phase),
) -> Result<(Stream, Option<Arc<Report>>, Way), Error> {
    let (mut socket, mut way) = reach(settings, origin, callbacks, &reached).await?;
    if settings.announces_client && way.forward.is_none() {
        announce(&mut *socket, &way).await?;
    }
    if origin.is_plain {
        return Ok((Stream::Plain(Plain::new(socket)), None, way));
    }
    reached(Phase::Handshake);
    let mut stream = context
        .secure_async(&origin.host, socket)
        .await
        .map_err(|failure| failure.error)?;
    // What is to be sent is flushed; and how long silence may last is judged over both
    // directions together, in `patience.rs`.
    stream.set_flush_on_read(false);
    stream.set_timeouts(&handfast::Timeouts::NONE);
    let report = Arc::clone(stream.report());
    way.setup.handshake = report.handshake;
    Ok((Stream::Tls(Box::new(stream)), Some(report), way))
}

/// How a server was reached.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    pub(super) unix_socket: Option<PathBuf>,
    pub(super) local: Option<SocketAddr>,
    pub(super) proxy: Option<String>,
    /// The proxy that is given the requests themselves.
    pub(super) forward: Option<Proxy>,
    pub(super) setup: SetupTimes,
}

/// A channel to the origin: TCP, through a proxy where one is set; or a Unix socket.
pub(super) async fn reach(
    settings: &Settings,
    origin: &Origin,
    callbacks: &Callbacks,
    reached: impl Fn(Phase),
) -> Result<(Box<dyn Channel>, Way), Error> {
    #[cfg(unix)]
    if let Some(path) = &settings.unix_socket {
        reached(Phase::Connect);
        return Ok(reach_unix(path, settings.context.timeouts().connect).await?);
    }
    let mut setup = SetupTimes::default();
    let mut through = None;
    let limits = settings.context.timeouts();
    let mut dialer = Dialer::clone(&settings.dialer).with_limits(&limits);
    if let (true, Some(proxy)) = (origin.is_plain, &settings.proxy_of_http) {
        dialer = dialer.with_proxy(proxy.clone());
    }
    let place = origin.place();
    let secured = match (dialer.proxy_for(&place), &settings.proxy_context) {
        (Some(proxy), Some(context)) if proxy.protocol() == ProxyProtocol::Https => {
            Some((proxy.clone(), context))
        }
        _ => None,
    };
    let forward = dialer.proxy_for(&place).filter(|proxy| {
        let forwards = match proxy.protocol() {
            ProxyProtocol::Http => true,
            ProxyProtocol::Https => secured.is_some(),
            _ => false,
        };
        forwards && origin.is_plain && !settings.tunnels_http
    });
    let forward = forward.cloned();
    let (server_host, server_port) = dialer.place(&place, origin.port);
    // Over TLS the proxy is a server first, and what is told of it is what is told of a server.
    let first = secured
        .as_ref()
        .map(|(proxy, _)| proxy)
        .or(forward.as_ref());
    let (host, port) = match first {
        Some(proxy) => (proxy.host(), proxy.port()),
        None => (&*place, origin.port),
    };
    let dialling = match first {
        Some(proxy) => dialer.clone().to_proxy(proxy),
        None => dialer.clone(),
    };
    let mut answers = 0;
    loop {
        let dialling = dialling.dial_async_observed(host, port, |progress| match progress {
            Progress::Resolved {
                host,
                addresses,
                took,
            } => {
                setup.resolve = *took;
                callbacks.tell(&Event::Resolved {
                    host,
                    addresses,
                    took: *took,
                });
                reached(Phase::Connect);
            }
            Progress::Tried { address, took, .. } => {
                setup.connect = *took;
                callbacks.tell(&Event::Connected {
                    address: *address,
                    took: *took,
                });
            }
            Progress::Proxied {
                proxy,
                server,
                took,
            } => {
                setup.proxy = Some(*took);
                through = Some((*proxy).to_owned());
                callbacks.tell(&Event::Proxied {
                    proxy,
                    server,
                    took: *took,
                });
            }
            _ => {}
        });
        let Dialled {
            channel, address, ..
        } = dialling.await.map_err(|error| match first {
            Some(proxy) => error.of_proxy(&proxy.target(server_host, server_port)),
            None => error,
        })?;
        let mut way = Way {
            address,
            unix_socket: None,
            local: channel.local_addr().ok(),
            proxy: forward
                .as_ref()
                .map(Proxy::to_string)
                .or_else(|| through.take()),
            forward: forward.clone(),
            setup,
        };
        let Some((proxy, context)) = &secured else {
            return Ok((Box::new(channel), way));
        };
        let began = Instant::now();
        let secured = context.secure_async(proxy.host(), channel).await;
        let mut stream = secured.map_err(|failure| Error::ProxyTls {
            proxy: proxy.to_string(),
            source: failure.error,
        })?;
        if forward.is_none() {
            let asking = proxy.tunnel_async(&mut stream, server_host, server_port, limits.connect);
            match asking.await {
                Ok(()) => {}
                Err(error) if proxy.is_answering_error(&error, &mut answers) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        // How long silence may last is judged over the server's stream.
        stream.set_timeouts(&handfast::Timeouts::NONE);
        let took = began.elapsed();
        let name = proxy.to_string();
        if forward.is_none() {
            callbacks.tell(&Event::Proxied {
                proxy: &name,
                server: &proxy.target(server_host, server_port).authority(),
                took,
            });
        }
        way.setup.proxy = Some(took);
        way.proxy = Some(name);
        return Ok((Box::new(stream), way));
    }
}

/// Sends the line of the PROXY protocol, version 1, as a load balancer would.
async fn announce(channel: &mut dyn Channel, way: &Way) -> Result<(), Error> {
    let line = match (way.local, way.address) {
        (Some(local @ SocketAddr::V4(_)), server @ SocketAddr::V4(_)) => {
            announcement("TCP4", local, server)
        }
        (Some(local @ SocketAddr::V6(_)), server @ SocketAddr::V6(_)) => {
            announcement("TCP6", local, server)
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    let written = channel.write_all(line.as_bytes()).await;
    written.map_err(|error| {
        handfast::Error::new(Phase::Connect, handfast::NetworkCause::from(error)).into()
    })
}

fn announcement(family: &str, local: SocketAddr, server: SocketAddr) -> String {
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        local.ip(),
        server.ip(),
        local.port(),
        server.port()
    )
}

#[cfg(unix)]
async fn reach_unix(
    path: &Path,
    limit: Option<Duration>,
) -> Result<(Box<dyn Channel>, Way), handfast_dial::Error> {
    let began = Instant::now();
    let channel = handfast_dial::connect_unix_async(path, limit).await?;
    let way = Way {
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        unix_socket: Some(path.to_owned()),
        local: None,
        proxy: None,
        forward: None,
        setup: SetupTimes {
            connect: began.elapsed(),
            ..SetupTimes::default()
        },
    };
    Ok((Box::new(channel), way))
}
